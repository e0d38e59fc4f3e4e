//! A machine within the machine: namespaces and cgroups of its own, all of it gone when this process is.
//!
//! A container's processes have no parent of ours that could take them along, but they are in a PID namespace of ours:
//! its first process gets SIGKILL when we end, and all others with it. What is mounted goes with the mount namespace,
//! the network with its own; only cgroups have to be removed, once nobody is in them.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::time::{Instant, sleep};

use crate::process::Process;
use elector_xtask::scratch::AtEnd;

/// `$0` is a folder for what would lie on the machine, `$1` the address of the service `kubernetes`, `$2` a busybox.
/// An empty bridge stands in for a network card: kubelet wants a default route. Then: reap the orphans, for ever.
const INIT: &str = r#"set -e
mkdir "$0/lib" "$0/work"
mount -t overlay -o "lowerdir=/var/lib,upperdir=$0/lib,workdir=$0/work" overlay /var/lib
mount -t tmpfs -o mode=755 tmpfs /var/log
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/netns
"$2" ip link set lo up
"$2" ip address add "$1/32" dev lo
"$2" ip link add node0 type bridge
"$2" ip address add 10.0.1.1/24 dev node0
"$2" ip link set node0 up
"$2" ip route add default dev node0
echo 1 > /proc/sys/net/ipv4/ip_forward
touch "$0/up"
while :; do sleep 3600; done"#;

/// In each hierarchy of version 1, or in the one of version 2.
const REMOVE_CGROUPS: &str = r#"for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
left=
for root in /sys/fs/cgroup/"$0" /sys/fs/cgroup/*/"$0"; do
[ ! -d "$root" ] || find "$root" -depth -type d -exec rmdir {} + || left=1
done
[ "$left" ] || exit; sleep 0.2; done"#;

/// The namespaces, and the first process in them.
#[derive(Debug)]
pub(super) struct World {
    // In the order of drop: a cgroup can be removed when its processes are gone.
    init: Process,
    id: u32,
    cgroup: String,
    _cgroups: AtEnd,
}

impl World {
    /// `folder` takes what the machine's own folders are not to have; its name is that of the cgroup too.
    pub(super) async fn create(folder: &Path, service: &str, busybox: &Path) -> Result<World> {
        let cgroup = folder.file_name().and_then(OsStr::to_str).context("the folder has no name")?.to_owned();
        let machine = folder.join("machine");
        fs::create_dir(&machine)?;
        let cgroups = AtEnd::run(REMOVE_CGROUPS, cgroup.as_ref())?;
        for hierarchy in hierarchies()? {
            let folder = hierarchy.join(&cgroup);
            fs::create_dir(&folder).context("failed to make a cgroup")?;
            prefer(&folder)?;
        }
        let mut arguments: Vec<String> =
            ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"].map(str::to_owned).to_vec();
        arguments.extend(["sh", "-c", INIT].map(str::to_owned));
        arguments.extend([machine.display().to_string(), service.to_owned(), busybox.display().to_string()]);
        let init = Process::new("unshare".into(), arguments, folder.join("init.log"));
        init.start()?;
        let deadline = Instant::now() + Duration::from_secs(10);
        while !machine.join("up").exists() {
            if init.exited()?.is_some() || Instant::now() > deadline {
                bail!("failed to make namespaces (does this machine allow root to?):\n{}", init.log_tail());
            }
            sleep(Duration::from_millis(10)).await;
        }
        let id = only_child(init.id().context("it was started")?)?;
        Ok(World { init, id, cgroup, _cgroups: cgroups })
    }

    /// What runs a program in here; the program ends when that does.
    pub(super) fn entrance(&self) -> Vec<String> {
        let target = self.id.to_string();
        ["nsenter", "--target", &target, "--net", "--mount", "--pid", "--", "setpriv", "--pdeathsig", "KILL", "--"]
            .map(str::to_owned)
            .to_vec()
    }

    /// A program in here that ends soon.
    pub(super) fn command(&self, program: PathBuf) -> Command {
        let entrance = self.entrance();
        let mut command = Command::new(&entrance[0]);
        command.args(&entrance[1..]).arg(program).stdin(Stdio::null());
        command
    }

    /// A path in here, as it is seen from outside.
    pub(super) fn path(&self, inside: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.id));
        root.join(inside.strip_prefix("/").unwrap_or(inside))
    }

    /// The network namespace.
    pub(super) fn network(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/net", self.id))
    }

    /// The cgroup of everything in here that is limited, below the root of each hierarchy.
    pub(super) fn cgroup(&self) -> &str {
        &self.cgroup
    }

    /// The process that all others here depend on.
    pub(super) fn init(&self) -> &Process {
        &self.init
    }
}

/// A machine's pods share it with few others. Here those are all of this machine's programs, and each weighs as much by
/// default as all pods together.
fn prefer(cgroup: &Path) -> Result<()> {
    for (file, most) in [("cpu.shares", "262144"), ("cpu.weight", "10000")] {
        let file = cgroup.join(file);
        if file.exists() {
            fs::write(file, most).context("failed to give a cgroup its share")?;
        }
    }
    Ok(())
}

/// Where the kernel has a version 2 only, it is the one; else each of version 1, and of version 2 what lies beside.
pub(super) fn hierarchies() -> Result<Vec<PathBuf>> {
    let root = Path::new("/sys/fs/cgroup");
    if root.join("cgroup.procs").exists() {
        return Ok(vec![root.to_owned()]);
    }
    let folders = fs::read_dir(root).context("there are no cgroups")?.flatten().map(|entry| entry.path());
    Ok(folders.filter(|folder| !folder.is_symlink() && folder.join("cgroup.procs").exists()).collect())
}

fn only_child(parent: u32) -> Result<u32> {
    let file = format!("/proc/{parent}/task/{parent}/children");
    let children = fs::read_to_string(&file).with_context(|| format!("failed to read {file}"))?;
    children.trim().parse().with_context(|| format!("{file} does not name one process: {children:?}"))
}
