//! What a node runs beside kubelet: containerd, built from the module `tests/go/containerd`, and what Debian has.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use elector_xtask::root;

use super::debian::Packaged;
use crate::controlplane::Binary;
use elector_xtask::gobuild::{GoProgram, Origin, required_version};

/// The module whose version is that of the programs.
const CONTAINERD: &str = "github.com/containerd/containerd/v2";

/// Where everything is.
#[derive(Clone, Debug)]
pub(super) struct Binaries {
    pub(super) kubelet: PathBuf,
    pub(super) containerd: PathBuf,
    pub(super) ctr: PathBuf,
    pub(super) runc: PathBuf,
    /// Folder of the network plugins.
    pub(super) cni: PathBuf,
    /// Linked statically: what images are made of.
    pub(super) busybox: PathBuf,
}

impl Binaries {
    /// The first call on a machine builds and fetches them, which takes minutes.
    ///
    /// # Errors
    /// When one can't be had; the message says what to install.
    pub(super) async fn ready() -> Result<Binaries> {
        // containerd looks for this one beside itself.
        go("containerd-shim-runc-v2").await?;
        Ok(Binaries {
            kubelet: Binary::Kubelet.ready().await?,
            containerd: go("containerd").await?,
            ctr: go("ctr").await?,
            runc: packaged("runc", "/usr/sbin/runc").await?,
            cni: packaged("containernetworking-plugins", "/usr/lib/cni").await?,
            busybox: packaged("busybox-static", "/bin/busybox").await?,
        })
    }
}

async fn packaged(package: &'static str, path: &'static str) -> Result<PathBuf> {
    tokio::task::spawn_blocking(move || Packaged { package, with: &[], path }.path()).await?
}

async fn go(name: &'static str) -> Result<PathBuf> {
    tokio::task::spawn_blocking(move || program(name)?.path()).await?
}

fn program(name: &str) -> Result<GoProgram> {
    let module = root().join("tests/go/containerd");
    let file = module.join("go.mod");
    let go_mod = fs::read_to_string(&file).with_context(|| format!("failed to read {}", file.display()))?;
    let version = required_version(&go_mod, CONTAINERD).context("go.mod does not require containerd")?;
    Ok(GoProgram {
        name: name.to_owned(),
        package: format!("{CONTAINERD}/cmd/{name}"),
        key: format!("containerd/{version}"),
        ldflags: "-s -w".to_owned(),
        // Snapshotters that nobody here has a disk for.
        tags: "no_btrfs no_devmapper no_zfs".to_owned(),
        origin: Origin::Pinned,
        module,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_keyed_by_version() {
        let key = program("ctr").unwrap().key;
        assert!(key.starts_with("containerd/2."), "{key}");
    }
}
