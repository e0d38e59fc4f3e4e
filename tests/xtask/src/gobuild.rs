//! Go programs, built when first needed and kept in a cache outside the
//! checkout, so that `cargo clean` and a fresh clone cost no second build.

use std::{
    env,
    ffi::OsString,
    fs::{self, File, TryLockError},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::root;

/// A Go program of a module in this repository.
#[derive(Clone, Debug)]
pub struct GoProgram {
    /// File name of the binary.
    pub name: String,
    /// Folder of the module: the one with go.mod.
    pub module: PathBuf,
    /// What to build: an import path, or `./folder` of the module.
    pub package: String,
    /// Folder below the cache. It names every version that the binary depends on.
    pub key: String,
    /// For the linker, as in `go build -ldflags`.
    pub ldflags: String,
    /// As in `go build -tags`.
    pub tags: String,
    /// Whether a binary that is in the cache can be old.
    pub origin: Origin,
}

/// Where a program's source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In modules of fixed versions, which [`GoProgram::key`] names: what is in the cache is right.
    Pinned,
    /// In this repository: only go itself knows whether a binary is current, so it is asked each time.
    Checkout,
}

impl GoProgram {
    /// The command `name` of `module`, in the version that the go.mod in `tests/go/FOLDER` requires.
    ///
    /// # Errors
    /// When that go.mod cannot be read or does not require the module.
    pub fn pinned(folder: &str, module: &str, name: &str) -> Result<Self> {
        let file = root().join("tests/go").join(folder).join("go.mod");
        let go_mod = fs::read_to_string(&file).with_context(|| format!("failed to read {}", file.display()))?;
        let version = required_version(&go_mod, module).with_context(|| format!("go.mod does not require {module}"))?;
        Ok(Self {
            name: name.to_owned(),
            package: format!("{module}/cmd/{name}"),
            key: format!("{folder}/{name}-{version}"),
            ldflags: "-s -w".to_owned(),
            tags: String::new(),
            origin: Origin::Pinned,
            module: file.with_file_name(""),
        })
    }

    /// Path of the binary, building it first if need be, which can take minutes. Blocks.
    ///
    /// One process builds, others wait. The binary appears by rename, so one that exists is whole.
    ///
    /// # Errors
    /// Without Go, with one older than the module asks for, and when the build fails.
    pub fn path(&self) -> Result<PathBuf> {
        self.path_in(&cache()?)
    }

    /// The same, below another folder than the cache.
    ///
    /// # Errors
    /// As [`GoProgram::path`].
    pub fn path_in(&self, cache: &Path) -> Result<PathBuf> {
        let folder = cache.join(&self.key);
        let binary = folder.join(&self.name);
        if self.is_current(&binary) {
            return Ok(binary);
        }
        fs::create_dir_all(&folder).with_context(|| format!("failed to create {}", folder.display()))?;
        let _lock = lock(&folder)?;
        if !self.is_current(&binary) {
            self.build(&folder, &binary).with_context(|| format!("failed to build {}", self.name))?;
        }
        Ok(binary)
    }

    fn is_current(&self, binary: &Path) -> bool {
        match self.origin {
            Origin::Pinned => binary.is_file(),
            Origin::Checkout => false,
        }
    }

    fn build(&self, folder: &Path, binary: &Path) -> Result<()> {
        let go_mod = fs::read_to_string(self.module.join("go.mod"))?;
        require_go(&go_mod)?;
        // go refuses to overwrite what is no program, such as half of one.
        let partial = folder.join(format!(".{}.partial", self.name));
        match fs::remove_file(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
        let first = !binary.is_file();
        if first {
            say(&format!("building {} in {}", self.name, folder.display()));
        }
        let started = Instant::now();
        // What someone's environment asks of their own builds must not change these.
        let status = go()
            .args(["build", "-v", "-mod=readonly", "-trimpath", "-buildvcs=false"])
            .args(["-tags", &self.tags, "-ldflags", &self.ldflags, "-o"])
            .args([partial.as_os_str(), self.package.as_ref()])
            .current_dir(&self.module)
            .env("CGO_ENABLED", "0")
            .env("GOWORK", "off")
            .env_remove("GOFLAGS")
            .env_remove("GOOS")
            .env_remove("GOARCH")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .context("failed to run go")?;
        if !status.success() {
            bail!("go build ended with {status}; its messages are above");
        }
        fs::rename(&partial, binary)?;
        if first {
            say(&format!("built {} in {:.0} s", self.name, started.elapsed().as_secs_f64()));
        }
        Ok(())
    }
}

/// A module of others, as `go mod download` says where it is.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct Module {
    /// With its `v`.
    #[serde(rename = "Version")]
    pub version: String,
    /// Of its files.
    #[serde(rename = "Dir")]
    pub folder: PathBuf,
    /// Its go.mod.
    #[serde(rename = "GoMod")]
    pub go_mod: PathBuf,
}

/// A module of others, for files in it; fetched if need be. Go's checksums hold for it. Blocks.
///
/// A version without its last number, such as `v1.34`, is the newest of those.
///
/// # Errors
/// Without Go, and when there is no such module.
pub fn module(path: &str, version: &str) -> Result<Module> {
    let mut download = go();
    // Outside of any module, whose go.mod would have a say.
    download.args(["mod", "download", "-json", &format!("{path}@{version}")]).current_dir("/").env_remove("GOFLAGS");
    let output = download.output().context("failed to run go")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "failed to fetch {path}@{version}: {said}");
    Ok(serde_json::from_str(&said)?)
}

/// Writes the go.sum of the module in `folder`, and completes its go.mod. Blocks.
///
/// # Errors
/// Without Go, and when what the module asks for cannot be had.
pub fn tidy(folder: &Path) -> Result<()> {
    let output = go().args(["mod", "tidy"]).current_dir(folder).env("GOWORK", "off").env_remove("GOFLAGS").output();
    let output = output.context("failed to run go")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "go mod tidy failed in {}: {said}", folder.display());
    Ok(())
}

/// The version in which a go.mod requires `module`, without the `v`.
pub fn required_version<'a>(go_mod: &'a str, module: &str) -> Option<&'a str> {
    go_mod.lines().find_map(|line| {
        let mut words = line.trim_start().trim_start_matches("require ").split_whitespace();
        (words.next() == Some(module)).then(|| words.next()?.strip_prefix('v')).flatten()
    })
}

/// `$LEADER_ELECTOR_CACHE`, else the user's cache folder.
pub fn cache() -> Result<PathBuf> {
    let set = |name| env::var_os(name).filter(|value: &OsString| !value.is_empty());
    set("LEADER_ELECTOR_CACHE")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(set("XDG_CACHE_HOME")?).join("leader-elector")))
        .or_else(|| Some(PathBuf::from(set("HOME")?).join(".cache/leader-elector")))
        .context("no folder for built programs: set LEADER_ELECTOR_CACHE or HOME")
}

/// Of all that a build depends on, the names of the files and the version of what reads them included. Two checkouts with different sources then use one cache
/// without taking each other's programs; that Rust may hash otherwise one day costs a build.
pub fn fingerprint(files: &[PathBuf], version: Option<&[u8]>) -> Result<u64> {
    let mut files = files.to_vec();
    files.sort();
    let mut hasher = DefaultHasher::new();
    for file in files {
        let content = fs::read(&file).with_context(|| format!("failed to read {}", file.display()))?;
        (file.file_name(), content).hash(&mut hasher);
    }
    if let Some(version) = version {
        version.hash(&mut hasher);
    }
    Ok(hasher.finish())
}

/// One build at a time in a folder: two would only take each other's processors.
pub fn lock(folder: &Path) -> Result<File> {
    let file = File::create(folder.join(".lock"))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            say(&format!("waiting for another process that builds in {}", folder.display()));
            file.lock()?;
        }
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    Ok(file)
}

/// Go as it is installed: it must not fetch another toolchain behind our back.
fn go() -> Command {
    let mut go = Command::new("go");
    go.env("GOTOOLCHAIN", "local");
    go
}

fn require_go(go_mod: &str) -> Result<()> {
    let required = go_mod.lines().find_map(|line| line.strip_prefix("go ")).context("go.mod has no go line")?;
    // Outside of any module, because an old go refuses to say its version in a newer one's.
    let output = match go().args(["env", "GOVERSION"]).current_dir("/").output() {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(no_go("there is no `go` in PATH", required));
        }
        Err(error) => return Err(error).context("failed to run go"),
    };
    let installed = String::from_utf8_lossy(&output.stdout);
    let installed = installed.trim();
    match (version(installed), version(required)) {
        (Some(have), Some(need)) if have < need => Err(no_go(&format!("{installed} is too old"), required)),
        // A development build without a number: go build itself is the judge.
        (Some(_), Some(_)) | (None, _) | (_, None) => Ok(()),
    }
}

fn no_go(what: &str, required: &str) -> anyhow::Error {
    anyhow!("{what}: install Go {required} or newer (https://go.dev/dl)")
}

/// `go1.26.8`, `1.26`, `go1.27rc1` as numbers; a release candidate counts as its release.
fn version(text: &str) -> Option<(u32, u32, u32)> {
    let mut parts = text.trim_start_matches("go").split('.').map(|part| {
        let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        part.get(..end).and_then(|digits| digits.parse().ok())
    });
    Some((parts.next()??, parts.next()??, parts.next().flatten().unwrap_or(0)))
}

/// libtest swallows what the print macros write, but not this: nobody should
/// wait five minutes before a silent test.
pub fn say(text: &str) {
    // Whoever closed stderr doesn't want to know.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        assert_eq!(version("go1.26.8"), Some((1, 26, 8)));
        assert_eq!(version("1.26"), Some((1, 26, 0)));
        assert_eq!(version("go1.27rc1"), Some((1, 27, 0)));
        assert_eq!(version("go1.26.8 X:nodwarf5"), Some((1, 26, 8)));
        assert_eq!(version("devel +abc"), None);
        assert_eq!(version(""), None);
        assert!(version("go1.9.7") < version("go1.26.0"));
    }

    #[test]
    fn go_mod_names_the_versions() {
        let go_mod = "module m\n\ngo 1.26.0\n\nrequire a.io/x v1.2.3\nrequire (\n\tb.io/y/v3 v3.0.1\n)\nreplace b.io/y => b.io/y v9.9.9\n";
        assert_eq!(required_version(go_mod, "a.io/x"), Some("1.2.3"));
        assert_eq!(required_version(go_mod, "b.io/y/v3"), Some("3.0.1"));
        assert_eq!(required_version(go_mod, "b.io/y"), None);
    }

    #[test]
    fn another_source_is_another_program() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("main.go");
        let written = |text: &str| {
            fs::write(&source, text).unwrap();
            fingerprint(std::slice::from_ref(&source), None).unwrap()
        };
        let first = written("package main");
        assert_ne!(first, written("package main "));
        assert_eq!(first, written("package main"));
        assert_ne!(first, fingerprint(std::slice::from_ref(&source), Some(b"go1.26")).unwrap());
        let other = folder.path().join("other.go");
        fs::rename(&source, &other).unwrap();
        assert_ne!(first, fingerprint(&[other], None).unwrap());
    }

    #[test]
    fn the_error_says_what_to_install() {
        assert_eq!(
            no_go("go1.20.1 is too old", "1.26.0").to_string(),
            "go1.20.1 is too old: install Go 1.26.0 or newer (https://go.dev/dl)"
        );
    }
}
