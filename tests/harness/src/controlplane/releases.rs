//! API servers of other releases of Kubernetes, built from the modules of those releases.

use std::{
    fmt::{self, Display, Formatter},
    fs,
    path::{Path, PathBuf},
    process::Command,
    str::FromStr,
};

use anyhow::{Context, Result, bail, ensure};

use super::binaries::{Binary, ldflags};
use elector_xtask::gobuild::{self, GoProgram, Origin};

const KUBERNETES: &str = "k8s.io/kubernetes";

/// The first that the operator works on.
const OLDEST: u32 = 30;

/// The first that can be made to serve MutatingAdmissionPolicy, as v1beta1.
pub(super) const MUTATING_POLICIES: u32 = 34;

/// A release of Kubernetes: `1.34`, whose newest patch is meant, or `1.34.2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    minor: u32,
    patch: Option<u32>,
}

impl FromStr for Release {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Release> {
        let numbers: Option<Vec<u32>> = text.split('.').map(|number| number.parse().ok()).collect();
        let (minor, patch) = match numbers.as_deref() {
            Some([1, minor]) => (*minor, None),
            Some([1, minor, patch]) => (*minor, Some(*patch)),
            Some(_) | None => bail!("a release of Kubernetes is written 1.34 or 1.34.2"),
        };
        ensure!(minor >= OLDEST, "the oldest release is 1.{OLDEST}");
        Ok(Release { minor, patch })
    }
}

impl Display for Release {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        write!(f, "1.{}", self.minor)?;
        self.patch.map_or(Ok(()), |patch| write!(f, ".{patch}"))
    }
}

impl Release {
    /// The middle number.
    #[must_use]
    pub fn minor(&self) -> u32 {
        self.minor
    }

    /// A folder for `KUBEBUILDER_ASSETS` with its kube-apiserver, which is built first if need be: in three minutes. Blocks.
    ///
    /// # Errors
    /// Without Go, when there is no such release, and when the build fails.
    pub fn assets(&self) -> Result<PathBuf> {
        let kubernetes = gobuild::module(KUBERNETES, &format!("v{self}"))?;
        let version = kubernetes.version.trim_start_matches('v');
        let key = format!("compat/k8s-{version}");
        let folder = gobuild::cache()?.join(&key);
        let module = folder.join("module");
        let program = GoProgram {
            name: Binary::KubeApiserver.name().to_owned(),
            package: Binary::KubeApiserver.package().to_owned(),
            ldflags: ldflags(version),
            tags: String::new(),
            origin: Origin::Pinned,
            module: module.clone(),
            key,
        };
        if !folder.join(&program.name).is_file() {
            fs::create_dir_all(&module)?;
            let _lock = gobuild::lock(&module)?;
            write_module(&module, &fs::read_to_string(&kubernetes.go_mod)?, version)?;
        }
        program.path()?;
        Ok(folder)
    }
}

/// Of a kube-apiserver, as it says itself.
///
/// # Errors
/// When it cannot be run, or says something else.
pub(super) fn minor_of(api_server: &Path) -> Result<u32> {
    let output = Command::new(api_server).arg("--version").output().context("failed to run kube-apiserver")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let version = said.trim().strip_prefix("Kubernetes v").unwrap_or_default();
    // A version before its release, such as 1.38.0-rc.1, is of the same minor.
    let minor = version.split('.').nth(1).and_then(|minor| minor.parse().ok());
    minor.with_context(|| format!("kube-apiserver --version says {said:?}"))
}

/// Kubernetes' own go.mod takes its parts from folders beside it, which the published module has not: here each is the
/// module of the same release.
fn write_module(folder: &Path, kubernetes: &str, version: &str) -> Result<()> {
    let go = kubernetes.lines().find(|line| line.starts_with("go ")).context("Kubernetes' go.mod has no go line")?;
    let parts = version.strip_prefix("1.").context("a version that does not begin with 1")?;
    let mut module = format!("module compat\n\n{go}\n\nrequire {KUBERNETES} v{version}\n\n");
    for name in parts_of(kubernetes) {
        module.push_str(&format!("replace {name} => {name} v0.{parts}\n"));
    }
    fs::write(folder.join("go.mod"), module)?;
    fs::write(
        folder.join("tools.go"),
        format!("package compat\n\nimport _ \"{KUBERNETES}/cmd/kube-apiserver/app\"\n"),
    )?;
    gobuild::tidy(folder)
}

/// The modules that a go.mod of Kubernetes requires without a version.
fn parts_of(go_mod: &str) -> impl Iterator<Item = &str> {
    go_mod.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let name = words.next().filter(|name| name.starts_with("k8s.io/"))?;
        (words.next() == Some("v0.0.0")).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_with_or_without_its_patch() {
        for text in ["1.34", "1.34.2"] {
            assert_eq!(text.parse::<Release>().unwrap().to_string(), text);
        }
        for text in ["", "1", "2.34", "v1.34", "1.34.2.1", "1.34-rc.1", "1.29", "1.x"] {
            assert!(text.parse::<Release>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_has_no_version_of_its_own_is_taken_from_the_same_release() {
        let go_mod = "require (\n\tk8s.io/api v0.0.0\n\tk8s.io/klog/v2 v2.130.1\n\tk8s.io/client-go v0.0.0\n)\n\
                      replace (\n\tk8s.io/api => ./staging/src/k8s.io/api\n)\n";
        assert_eq!(parts_of(go_mod).collect::<Vec<_>>(), ["k8s.io/api", "k8s.io/client-go"]);
    }
}
