//! What Debian has built already, taken from its packages without installing them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use elector_xtask::gobuild::{cache, lock, say};

/// A file of a package.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packaged {
    /// The package's name.
    pub(super) package: &'static str,
    /// What it needs beside, that not every Debian has.
    pub(super) with: &'static [&'static str],
    /// Where it puts the file, or the folder.
    pub(super) path: &'static str,
}

impl Packaged {
    /// Where it is: in its place if it is installed, else in the cache, fetched first if need be. Blocks.
    ///
    /// # Errors
    /// Where there is no apt, or the package can't be had; the message says what to install.
    pub(super) fn path(self) -> Result<PathBuf> {
        Ok(self.below(&self.root()?))
    }

    /// The folder that has what the package puts into `/`, and what those do that it needs; as [`Packaged::path`].
    pub(super) fn root(self) -> Result<PathBuf> {
        // Packages may share a path: busybox can be another's, and dynamic.
        if Path::new(self.path).exists() && Path::new("/usr/share/doc").join(self.package).exists() {
            return Ok("/".into());
        }
        let folder = cache()?.join("debian").join(self.package);
        let file = self.below(&folder);
        if file.exists() {
            return Ok(folder);
        }
        self.fetch(&folder).with_context(|| format!("there is no {}: install package {}", self.path, self.package))?;
        ensure!(file.exists(), "package {} has no {}", self.package, self.path);
        Ok(folder)
    }

    fn below(self, root: &Path) -> PathBuf {
        root.join(self.path.trim_start_matches('/'))
    }

    fn fetch(self, folder: &Path) -> Result<()> {
        let parent = folder.parent().context("it is below the cache")?;
        fs::create_dir_all(parent)?;
        let _lock = lock(parent)?;
        if folder.exists() {
            return Ok(());
        }
        say(&format!("fetching Debian's package {} to {}", self.package, folder.display()));
        let partial = tempfile::Builder::new().prefix(".partial-").tempdir_in(parent)?;
        let apt = |arguments: &[&str]| {
            // Root's apt would drop its rights, and then not write here.
            let options = ["-qq", "-o", "APT::Sandbox::User=root"];
            run(Command::new("apt-get").args(options).args(arguments).current_dir(partial.path()))
        };
        let download = [&["download", self.package], self.with].concat();
        if apt(&download).is_err() {
            // A machine that has just been made knows no packages, and one that has not been updated for long knows old ones.
            let folder = parent.join("lists");
            fs::create_dir_all(folder.join("partial"))?;
            let lists = format!("Dir::State::Lists={}", folder.display());
            apt(&["-o", &lists, "update"])?;
            apt(&[&["-o", &lists], &download[..]].concat())?;
        }
        let archives = downloaded(partial.path())?;
        ensure!(archives.len() > self.with.len(), "apt-get downloaded {archives:?} only");
        let content = partial.path().join("content");
        for archive in archives {
            run(Command::new("dpkg-deb").arg("-x").arg(archive).arg(&content))?;
        }
        fs::rename(content, folder)?;
        Ok(())
    }
}

fn downloaded(folder: &Path) -> Result<Vec<PathBuf>> {
    let files = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    Ok(files
        .into_iter()
        .map(|file| file.path())
        .filter(|path| path.extension().is_some_and(|end| end == "deb"))
        .collect())
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("failed to run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
