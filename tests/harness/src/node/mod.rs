//! A real node: kubelet, containerd and runc, if asked for kube-proxy, in namespaces of their own on this machine. Nothing
//! is mocked.
//!
//! What is not there: a registry (images are made here and imported), DNS, a way from the API server to kubelet (`kubectl logs`
//! and `exec` fail; the test looks for itself), and, until [`Node::start_proxy`], a way to any Service but `kubernetes`, whose
//! address is the node's own.

mod binaries;
mod debian;
mod image;
mod link;
mod memory;
mod pods;
mod proxy;
mod settings;
mod world;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::core::v1 as core;
use kube::Api;
use rustix::process::geteuid;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep};

use self::binaries::Binaries;
pub use self::image::Image;
use self::link::Link;
pub use self::link::inside;
pub use self::memory::Hog;
pub use self::pods::container_status;
pub use self::proxy::PACE;
use self::world::World;
use crate::controlplane::ControlPlane;
use crate::process::Process;
use elector_xtask::scratch::Scratch;

/// How long a node may take to be ready. It takes 10 s on an idle machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A node of a control plane that was started with [`Options::nodes`](crate::controlplane::Options::nodes). Takes root.
///
/// Everything on it is gone after drop, and after this process's end, whatever ends it.
#[derive(Debug)]
pub struct Node {
    // In the order of drop: nobody writes to the folder when it goes.
    proxy: OnceCell<Process>,
    kubelet: Process,
    containerd: Process,
    _link: Link,
    world: World,
    name: String,
    binaries: Binaries,
    scratch: Scratch,
}

impl Node {
    /// Whether there can be one here, to be asked before minutes go into building it.
    ///
    /// # Errors
    /// When there can't; it says what to do.
    pub fn possible() -> Result<()> {
        ensure!(geteuid().is_root(), "a node takes root, for namespaces, mounts and cgroups: run this as root");
        ensure!(fs::exists("/sys/fs/cgroup")?, "a node takes cgroups: mount them at /sys/fs/cgroup");
        Ok(())
    }

    /// Starts one and waits until pods can run on it; with it the scheduler, and the controllers of pods and nodes.
    ///
    /// # Errors
    /// Without root, when a program is missing and can't be had, or when the node isn't ready in two minutes; with the end
    /// of a log.
    pub async fn start(plane: &ControlPlane, name: &str) -> Result<Node> {
        Self::possible()?;
        let binaries = Binaries::ready().await?;
        plane.controller_manager().await?;
        plane.scheduler().await?;
        let scratch = Scratch::new()?;
        let service = plane.service();
        let world = World::create(scratch.path(), &service.ip().to_string(), &binaries.busybox).await?;
        // At each of the node's addresses: kube-proxy leads to another than that of the service.
        let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, service.port()));
        let link = Link::open(&world.network(), everywhere, plane.address())?;
        let user = format!("system:node:{name}");
        let kubeconfig = plane.kubeconfig_as(&user, &["system:nodes"], &format!("https://{service}"))?;
        let folder = scratch.path();
        configure(folder, &binaries, world.cgroup())?;
        let containerd = containerd(folder, &binaries).wrapped(world.entrance());
        let kubelet = kubelet(folder, &binaries, name, &kubeconfig).wrapped(world.entrance());
        let proxy = OnceCell::new();
        let node = Node { proxy, kubelet, containerd, _link: link, world, name: name.to_owned(), binaries, scratch };
        node.containerd.start()?;
        node.until_serving().await?;
        node.import(&pause(&node.binaries.busybox)).await?;
        node.kubelet.start()?;
        node.until_ready(plane).await?;
        Ok(node)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its logs and volumes are; its cgroups have the folder's name.
    pub fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// The process that takes kubelet along when it is killed. Containers live on; started again, kubelet finds them.
    pub fn kubelet(&self) -> &Process {
        &self.kubelet
    }

    /// The same for containerd.
    pub fn containerd(&self) -> &Process {
        &self.containerd
    }

    /// Starts containerd again, and waits until it serves.
    ///
    /// # Errors
    /// When it does not.
    pub async fn restart_containerd(&self) -> Result<()> {
        self.containerd.start()?;
        self.until_serving().await
    }

    /// The process on which all others depend: with it goes the machine.
    pub fn machine(&self) -> &Process {
        self.world.init()
    }

    /// Its network namespace, for [`inside`].
    pub fn network(&self) -> PathBuf {
        self.world.network()
    }

    /// A busybox, for containers that need a shell.
    pub fn busybox(&self) -> Image {
        let applets = ["sh", "sleep", "cat", "ls", "id", "touch", "test", "tail", "dd", "rm", "nc", "hostname"];
        Image {
            name: "busybox:1.37".to_owned(),
            entrypoint: vec!["/bin/sh".to_owned()],
            programs: vec![(self.binaries.busybox.clone(), "/bin/busybox".to_owned())],
            links: applets.map(|applet| (format!("/bin/{applet}"), "busybox".to_owned())).to_vec(),
        }
    }

    /// Puts an image where a pull would have put it.
    ///
    /// # Errors
    /// When it can't be made, or containerd refuses it.
    pub async fn import(&self, image: &Image) -> Result<()> {
        let archive = tempfile::Builder::new().suffix(".tar").tempfile_in(self.scratch.path())?.into_temp_path();
        let (of_image, path) = (image.clone(), archive.to_path_buf());
        tokio::task::spawn_blocking(move || of_image.write(&path)).await??;
        self.import_archive(&archive).await.with_context(|| format!("failed to import image {}", image.name))
    }

    /// The same with one that `docker save`, or a builder of images, has written.
    ///
    /// # Errors
    /// When containerd refuses it.
    pub async fn import_archive(&self, archive: &Path) -> Result<()> {
        let path = archive.to_str().context("a path that is no text")?;
        self.ctr(&["images", "import", path]).await.map(|_| ())
    }

    async fn ctr(&self, arguments: &[&str]) -> Result<String> {
        let mut ctr = Command::new(&self.binaries.ctr);
        ctr.arg("--address").arg(self.scratch.path().join("containerd.sock"));
        ctr.args(["--namespace", "k8s.io"]).args(arguments);
        let output = tokio::task::spawn_blocking(move || ctr.output()).await??;
        if !output.status.success() {
            bail!("ctr {} failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    async fn until_serving(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = self.ctr(&["version"]).await {
            self.still_runs(&self.containerd)?;
            if Instant::now() > deadline {
                bail!("containerd does not serve after {PATIENCE:?}: {error:#}\n{}", self.containerd.log_tail());
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    async fn until_ready(&self, plane: &ControlPlane) -> Result<()> {
        let nodes: Api<core::Node> = Api::all(plane.client().await?);
        let deadline = Instant::now() + PATIENCE;
        while !nodes.get_opt(&self.name).await?.is_some_and(|node| takes_pods(&node)) {
            self.still_runs(&self.containerd)?;
            self.still_runs(&self.kubelet)?;
            if Instant::now() > deadline {
                bail!("node {} is not ready after {PATIENCE:?}:\n{}", self.name, self.kubelet.log_tail());
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    fn still_runs(&self, process: &Process) -> Result<()> {
        match process.exited()? {
            Some(status) => bail!("{} ended with {status}:\n{}", process.name(), process.log_tail()),
            None => Ok(()),
        }
    }
}

/// Ready, and nothing keeps the scheduler away.
fn takes_pods(node: &core::Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True") && taints.is_empty()
}

fn configure(folder: &Path, binaries: &Binaries, cgroup: &str) -> Result<()> {
    fs::create_dir(folder.join("cni"))?;
    fs::write(folder.join("cni/10-pods.conflist"), settings::network())?;
    fs::write(folder.join("containerd.toml"), settings::containerd(folder, binaries))?;
    fs::write(folder.join("kubelet.json"), settings::kubelet(folder, cgroup))?;
    Ok(())
}

fn containerd(folder: &Path, binaries: &Binaries) -> Process {
    let arguments = vec![format!("--config={}", folder.join("containerd.toml").display())];
    // It runs runc by files that lie there until runc has ended; a machine that is gone at once leaves some.
    let temporary = vec![("TMPDIR".to_owned(), folder.display().to_string())];
    Process::new(binaries.containerd.clone(), arguments, folder.join("containerd.log")).with_environment(temporary)
}

fn kubelet(folder: &Path, binaries: &Binaries, name: &str, kubeconfig: &Path) -> Process {
    let file = |name: &str| folder.join(name).display().to_string();
    let arguments = vec![
        format!("--config={}", file("kubelet.json")),
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--root-dir={}", file("kubelet")),
        format!("--cert-dir={}", file("certificates")),
        format!("--hostname-override={name}"),
        format!("--node-ip={}", settings::ADDRESS),
    ];
    Process::new(binaries.kubelet.clone(), arguments, folder.join("kubelet.log"))
}

/// Holds a pod's namespaces, and reaps its orphans where processes share one.
fn pause(busybox: &Path) -> Image {
    let script = "trap 'exit 0' TERM; while :; do /bin/busybox sleep 3600 & wait; done";
    Image {
        name: settings::PAUSE.to_owned(),
        entrypoint: ["/bin/busybox", "sh", "-c", script].map(str::to_owned).to_vec(),
        programs: vec![(busybox.to_owned(), "/bin/busybox".to_owned())],
        links: Vec::new(),
    }
}
