//! Kubernetes' and etcd's own programs: from `$KUBEBUILDER_ASSETS`, as with
//! envtest, else built from the module `tests/go/controlplane`.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow};
use elector_xtask::root;

use elector_xtask::gobuild::{GoProgram, Origin, required_version};

/// A program of the control plane, or of Kubernetes on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// etcd
    Etcd,
    /// kube-apiserver
    KubeApiserver,
    /// kube-controller-manager
    KubeControllerManager,
    /// kube-scheduler
    KubeScheduler,
    /// kubectl
    Kubectl,
    /// kubelet
    Kubelet,
    /// kube-proxy
    KubeProxy,
}

impl Binary {
    /// Its name, as in `$KUBEBUILDER_ASSETS`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::KubeScheduler => "kube-scheduler",
            Self::Kubectl => "kubectl",
            Self::Kubelet => "kubelet",
            Self::KubeProxy => "kube-proxy",
        }
    }

    /// Where it is. The first call on a machine builds it, which takes minutes; async code calls [`Binary::ready`].
    ///
    /// # Errors
    /// When it has to be built and can't be; the message says what to install.
    pub fn path(self) -> Result<PathBuf> {
        let asset = env::var_os("KUBEBUILDER_ASSETS").map(|folder| PathBuf::from(folder).join(self.name()));
        match asset {
            Some(asset) if asset.is_file() => Ok(asset),
            Some(_) | None => self.built().map_err(|error| {
                let name = self.name();
                anyhow!("{error:#}; or set KUBEBUILDER_ASSETS to a folder that has {name}")
            }),
        }
    }

    /// [`Binary::path`] for async code.
    ///
    /// # Errors
    /// As [`Binary::path`].
    pub async fn ready(self) -> Result<PathBuf> {
        tokio::task::spawn_blocking(move || self.path()).await?
    }

    fn built(self) -> Result<PathBuf> {
        let module = root().join("tests/go/controlplane");
        let versions = Versions::read(&module)?;
        GoProgram {
            name: self.name().to_owned(),
            module,
            package: self.package().to_owned(),
            key: versions.key(),
            ldflags: ldflags(&versions.kubernetes),
            tags: String::new(),
            origin: Origin::Pinned,
        }
        .path()
    }

    pub(super) fn package(self) -> &'static str {
        match self {
            Self::Etcd => "go.etcd.io/etcd/server/v3",
            Self::KubeApiserver => "k8s.io/kubernetes/cmd/kube-apiserver",
            Self::KubeControllerManager => "k8s.io/kubernetes/cmd/kube-controller-manager",
            Self::KubeScheduler => "k8s.io/kubernetes/cmd/kube-scheduler",
            Self::Kubectl => "k8s.io/kubernetes/cmd/kubectl",
            Self::Kubelet => "k8s.io/kubernetes/cmd/kubelet",
            Self::KubeProxy => "k8s.io/kubernetes/cmd/kube-proxy",
        }
    }
}

/// go.mod is the one place that says them.
struct Versions {
    kubernetes: String,
    etcd: String,
}

impl Versions {
    fn read(module: &Path) -> Result<Self> {
        let file = module.join("go.mod");
        let go_mod = fs::read_to_string(&file).with_context(|| format!("failed to read {}", file.display()))?;
        let version = |module| {
            required_version(&go_mod, module)
                .map(str::to_owned)
                .with_context(|| format!("{} does not require {module}", file.display()))
        };
        Ok(Self { kubernetes: version("k8s.io/kubernetes")?, etcd: version("go.etcd.io/etcd/server/v3")? })
    }

    fn key(&self) -> String {
        let Self { kubernetes, etcd } = self;
        format!("controlplane/k8s-{kubernetes}-etcd-{etcd}")
    }
}

/// For the linker. Without a version set by it, the API server says that it is v0.0.0 and kubectl warns of the skew.
pub(super) fn ldflags(kubernetes: &str) -> String {
    let version = "k8s.io/component-base/version";
    let mut numbers = kubernetes.split('.');
    format!(
        "-s -w -X {version}.gitVersion=v{kubernetes} -X {version}.gitMajor={} -X {version}.gitMinor={}",
        numbers.next().unwrap_or_default(),
        numbers.next().unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_keyed_by_version() {
        let versions = Versions { kubernetes: "1.37.2".to_owned(), etcd: "3.7.0".to_owned() };
        assert_eq!(versions.key(), "controlplane/k8s-1.37.2-etcd-3.7.0");
        let flags = ldflags(&versions.kubernetes);
        assert!(flags.contains("gitVersion=v1.37.2 "));
        assert!(flags.ends_with("gitMinor=37"));
    }

    #[test]
    fn go_mod_has_them() {
        Versions::read(&root().join("tests/go/controlplane")).unwrap();
    }
}
