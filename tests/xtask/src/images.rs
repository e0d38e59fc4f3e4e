//! What is shipped: static programs in `dist/`, and the images that the Dockerfile packs them into, by the real buildah.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tokio::process::Command;

use crate::command;
use crate::programs::Programs;
use crate::root;
use crate::scratch::Scratch;
use crate::version::VERSION;

/// The programs that are in images.
const SHIPPED: [&str; 2] = ["elector-agent", "elector-operator"];

/// An image, as files.
#[derive(Debug)]
pub struct Packed {
    /// As `docker save` writes it, for a container runtime to import.
    pub archive: PathBuf,
    /// What a registry would hand out, in bytes: all layers, compressed.
    pub compressed: u64,
    /// Its configuration: user, entry point, labels.
    pub config: Value,
    /// All that is in it, layer by layer.
    pub files: Vec<String>,
}

/// Both images, in a folder of their own.
#[derive(Debug)]
pub struct Images {
    /// `leader-elector/agent`.
    pub agent: Packed,
    /// `leader-elector/operator`.
    pub operator: Packed,
    _scratch: Scratch,
}

impl Images {
    /// Builds the programs and packs them.
    ///
    /// # Errors
    /// When something does not compile, or there is no buildah; the message says what to install.
    pub async fn packed() -> Result<Images> {
        let scratch = Scratch::new()?;
        // Said before minutes go into what would have to be packed.
        buildah(scratch.path(), &["version"]).await?;
        let dist = dist().await?;
        // The Dockerfile's own context: nothing in the checkout can get into an image by accident.
        let context = scratch.path().join("context");
        let folder = context.join("dist").join(architecture());
        fs::create_dir_all(&folder)?;
        for program in SHIPPED {
            fs::copy(dist.join(program), folder.join(program))?;
        }
        Ok(Images {
            agent: pack(scratch.path(), &context, "agent").await?,
            operator: pack(scratch.path(), &context, "operator").await?,
            _scratch: scratch,
        })
    }
}

/// Builds the programs as they are shipped, for this machine's architecture; the folder that has them.
///
/// # Errors
/// When they do not compile.
pub async fn dist() -> Result<PathBuf> {
    let folder = dist_folder()?;
    let completion = root().join("operator/kubectl-election/src/kubectl_complete-election");
    for program in Programs::shipped().await?.into_iter().chain([completion]) {
        let name = program.file_name().context("a program without a name")?;
        // Whole or not at all: another process may be packing it.
        let partial = folder.join(format!(".{}.{}", name.to_string_lossy(), std::process::id()));
        fs::copy(&program, &partial)?;
        fs::rename(partial, folder.join(name))?;
    }
    Ok(folder)
}

/// Where they are, for this machine's architecture.
pub fn dist_folder() -> Result<PathBuf> {
    let folder = root().join("dist").join(architecture());
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

async fn pack(work: &Path, context: &Path, target: &str) -> Result<Packed> {
    let name = format!("docker.io/leader-elector/{target}:{VERSION}");
    let dockerfile = root().join("Dockerfile");
    let (dockerfile, context) = (text(&dockerfile)?, text(context)?);
    let architecture = format!("TARGETARCH={}", architecture());
    let build = ["build", "--isolation=chroot", "--target", target, "--build-arg", &architecture];
    buildah(work, &[&build[..], &["--tag", &name, "--file", dockerfile, context]].concat()).await?;
    let archive = work.join(format!("{target}.tar"));
    let oci = work.join(format!("{target}.oci"));
    buildah(work, &["push", &name, &format!("docker-archive:{}:{name}", text(&archive)?)]).await?;
    buildah(work, &["push", &name, &format!("oci:{}", text(&oci)?)]).await?;
    let blob = |digest: &Value| -> Result<PathBuf> {
        let digest = digest.as_str().and_then(|digest| digest.strip_prefix("sha256:")).context("no digest")?;
        Ok(oci.join("blobs/sha256").join(digest))
    };
    let read = |path: &Path| -> Result<Value> { Ok(serde_json::from_slice(&fs::read(path)?)?) };
    let index = read(&oci.join("index.json"))?;
    let manifest = read(&blob(&index["manifests"][0]["digest"])?)?;
    let layers = manifest["layers"].as_array().context("no layers")?;
    ensure!(!layers.is_empty(), "an image without layers");
    let mut files = Vec::new();
    for layer in layers {
        let mut list = Command::new("tar");
        let list = list.args(["--list", "--gzip", "--file"]).arg(blob(&layer["digest"])?);
        files.extend(command::run(list, "", Duration::from_secs(60)).await?.lines().map(str::to_owned));
    }
    Ok(Packed {
        files,
        archive,
        compressed: layers.iter().filter_map(|layer| layer["size"].as_u64()).sum(),
        config: read(&blob(&manifest["config"]["digest"])?)?["config"].clone(),
    })
}

/// In a store of its own.
async fn buildah(work: &Path, arguments: &[&str]) -> Result<String> {
    let mut buildah = Command::new("buildah");
    buildah
        .args(["--storage-driver", "vfs"])
        .arg("--root")
        .arg(work.join("store"))
        .arg("--runroot")
        .arg(work.join("run"));
    let done = command::run(buildah.args(arguments), "", Duration::from_secs(120)).await;
    done.context("images are packed by buildah: install package buildah")
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is no text")
}

/// This machine's architecture, as Go calls it.
#[must_use]
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
