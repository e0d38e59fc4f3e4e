//! Images of one layer, made of programs that need nothing beside themselves, without a registry.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use elector_xtask::images::architecture;
use serde_json::json;

/// What an image is to hold.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// Name and tag as a pod gives them, such as `busybox` or `leader-elector/agent:0.1.0`.
    pub name: String,
    /// What a container runs by default.
    pub entrypoint: Vec<String>,
    /// Programs, with their absolute paths in the image.
    pub programs: Vec<(PathBuf, String)>,
    /// Symbolic links: the path in the image, and what it names.
    pub links: Vec<(String, String)>,
}

impl Image {
    /// One program, which containers run.
    pub fn of(name: &str, program: &Path) -> Self {
        let file = program.file_name().unwrap_or_default().to_string_lossy();
        let path = format!("/{file}");
        Self {
            name: name.to_owned(),
            entrypoint: vec![path.clone()],
            programs: vec![(program.to_owned(), path)],
            links: Vec::new(),
        }
    }

    /// The name with all that is implied, as a container runtime stores it.
    pub(super) fn reference(&self) -> String {
        let tag = if self.name.rsplit('/').next().is_some_and(|last| last.contains(':')) { "" } else { ":latest" };
        let library = if self.name.contains('/') { "" } else { "library/" };
        format!("docker.io/{library}{}{tag}", self.name)
    }

    /// Writes it to `archive` as `docker save` does. Blocks.
    pub(super) fn write(&self, archive: &Path) -> Result<()> {
        let work = tempfile::tempdir()?;
        let root = work.path().join("root");
        self.fill(&root).with_context(|| format!("failed to lay out image {}", self.name))?;
        let layer = work.path().join("layer.tar");
        tar(&root, &layer)?;
        let config = json!({
            "architecture": architecture(),
            "os": "linux",
            "config": {"Entrypoint": self.entrypoint, "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", sha256(&layer)?)]},
        });
        let files = work.path().join("files");
        fs::create_dir(&files)?;
        fs::rename(layer, files.join("layer.tar"))?;
        fs::write(files.join("config.json"), config.to_string())?;
        let manifest = json!([{"Config": "config.json", "RepoTags": [self.reference()], "Layers": ["layer.tar"]}]);
        fs::write(files.join("manifest.json"), manifest.to_string())?;
        tar(&files, archive)
    }

    fn fill(&self, root: &Path) -> Result<()> {
        let place = |path: &str| {
            let place = root.join(path.trim_start_matches('/'));
            let parent = place.parent().context("a path in an image begins with /")?;
            fs::create_dir_all(parent)?;
            anyhow::Ok(place)
        };
        fs::create_dir_all(root.join("tmp"))?;
        fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))?;
        for (program, path) in &self.programs {
            let place = place(path)?;
            fs::copy(program, &place).with_context(|| format!("failed to copy {}", program.display()))?;
            fs::set_permissions(&place, fs::Permissions::from_mode(0o755))?;
        }
        for (path, target) in &self.links {
            symlink(target, place(path)?)?;
        }
        Ok(())
    }
}

fn tar(folder: &Path, archive: &Path) -> Result<()> {
    let mut tar = Command::new("tar");
    tar.args(["--create", "--sort=name", "--numeric-owner", "--owner=0", "--group=0", "--mtime=@0", "--file"]);
    tar.arg(archive).arg("--directory").arg(folder).arg(".");
    said(&mut tar).map(|_| ())
}

fn sha256(file: &Path) -> Result<String> {
    let line = said(Command::new("sha256sum").arg(file))?;
    Ok(line.split_whitespace().next().unwrap_or_default().to_owned())
}

fn said(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("failed to run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_stored_whole() {
        let reference = |name: &str| Image { name: name.to_owned(), ..Image::default() }.reference();
        assert_eq!(reference("busybox"), "docker.io/library/busybox:latest");
        assert_eq!(reference("leader-elector/agent:0.1.0"), "docker.io/leader-elector/agent:0.1.0");
    }
}
