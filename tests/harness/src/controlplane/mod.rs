//! A Kubernetes control plane on loopback: etcd and kube-apiserver, nothing mocked.
//!
//! What is not there unless a test plays it or starts it: a scheduler, any controller, and a kubelet: until there is a
//! [`Node`](crate::node::Node), pods are objects that nobody runs.

mod audit;
mod binaries;
mod credentials;
mod flags;
mod releases;

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    ops::Deref,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Result, bail};
use kube::{api::GetParams, core::Request};
use tokio::{
    sync::OnceCell,
    time::{Instant, sleep, timeout},
};

use self::credentials::Credentials;
pub use self::{
    audit::{AuditLog, Entry, Stage},
    binaries::Binary,
    releases::Release,
};
pub use crate::cluster::{NODE, Namespace};
use crate::{cluster::Cluster, process::Process};
use elector_xtask::scratch::Scratch;

/// How long a server may take to be ready. It takes 3 s on an idle machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A control plane of its own. Its processes are gone after drop, and after this process's end, whatever ends it.
///
/// Authorization is `Node,RBAC`. Admission is the server's default and OwnerReferencesPermissionEnforcement, so a pod needs its service account to exist, as
/// in a cluster; nobody makes the account `default` of a namespace, except [`Cluster::namespace`](crate::cluster::Cluster::namespace).
#[derive(Debug)]
pub struct ControlPlane {
    // In the order of drop: nobody writes to the folder when it goes.
    controller_manager: OnceCell<Process>,
    scheduler: OnceCell<Process>,
    api_server: Process,
    etcd: Process,
    credentials: Credentials,
    cluster: Cluster,
    port: u16,
    minor: u32,
    nodes: bool,
    scratch: Scratch,
}

/// What can be asked of any cluster can be asked of this one.
impl Deref for ControlPlane {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.cluster
    }
}

/// What differs from one control plane to another.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Whether etcd waits for the disk. Without, a write survives the death of etcd, but not of the
    /// machine, which no test outlives; and no test is slow or fast by what else uses the disk.
    pub fsync: bool,
    /// Whether there are to be real nodes: then kube-controller-manager also runs Deployments, StatefulSets and Jobs, binds
    /// volumes, and judges nodes and what is on them.
    pub nodes: bool,
    /// More arguments for kube-apiserver.
    pub api_server_arguments: Vec<String>,
    /// More environment for kube-apiserver.
    pub api_server_environment: Vec<(String, String)>,
    /// More arguments for etcd.
    pub etcd_arguments: Vec<String>,
}

impl ControlPlane {
    /// Starts one and waits until it is ready.
    ///
    /// # Errors
    /// When a program is missing and can't be built, or a server ends or isn't ready in two minutes; with the end of its log.
    pub async fn start(options: Options) -> Result<Self> {
        let etcd = Binary::Etcd.ready().await?;
        let api_server = Binary::KubeApiserver.ready().await?;
        // Between our look at a port and the server's use of it, another may take it.
        for _ in 0..5 {
            let plane = Self::launch(&etcd, &api_server, &options)?;
            match plane.ready().await {
                Ok(()) => return Ok(plane),
                Err(_) if plane.api_server.log_tail().contains("address already in use") => {}
                Err(error) => return Err(error),
            }
        }
        bail!("failed to find a free port five times")
    }

    /// The one that all tests of a process share, each in its own [`Cluster::namespace`](crate::cluster::Cluster::namespace).
    /// Whoever stops, freezes or floods servers starts another.
    ///
    /// # Errors
    /// As [`ControlPlane::start`].
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();
        SHARED.get_or_try_init(|| Self::start(Options::default())).await
    }

    /// Waits until the API server is ready, as after a start of it or of etcd.
    ///
    /// # Errors
    /// When a server ends or it takes more than two minutes; with the end of its log.
    pub async fn ready(&self) -> Result<()> {
        let client = self.client().await?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let request = Request::new("").get("readyz", &GetParams::default())?;
            let answer = timeout(Duration::from_secs(2), client.request_text(request)).await;
            if matches!(answer, Ok(Ok(text)) if text == "ok") {
                return Ok(());
            }
            for server in [&self.etcd, &self.api_server] {
                if let Some(status) = server.exited()? {
                    bail!("{} ended with {status}:\n{}", server.name(), server.log_tail());
                }
            }
            if Instant::now() > deadline {
                bail!("kube-apiserver is not ready after {PATIENCE:?}:\n{}", self.api_server.log_tail());
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// The API server's process. Started again, it has the same port; then wait for [`ControlPlane::ready`].
    pub fn api_server(&self) -> &Process {
        &self.api_server
    }

    /// etcd's process. Started again, it has the same data.
    pub fn etcd(&self) -> &Process {
        &self.etcd
    }

    /// kube-controller-manager's process, started by the first call: garbage collection, the end of
    /// namespaces, the service account `default`.
    ///
    /// It collects objects of kinds that exist when it starts (new ones 30 s later), and those of other tests whose
    /// owners are invented: use a control plane of your own.
    ///
    /// # Errors
    /// When the program is missing and can't be built, or no process can be made.
    pub async fn controller_manager(&self) -> Result<&Process> {
        self.controller_manager
            .get_or_try_init(|| async {
                let program = Binary::KubeControllerManager.ready().await?;
                let kubeconfig = self.kubeconfig_for(&self.credentials.controller_manager)?;
                let process = Process::new(
                    program,
                    flags::controller_manager(self.scratch.path(), &kubeconfig, self.nodes),
                    self.file("kube-controller-manager.log"),
                );
                process.start()?;
                Ok(process)
            })
            .await
    }

    /// kube-scheduler's process, started by the first call.
    ///
    /// # Errors
    /// As [`ControlPlane::controller_manager`].
    pub async fn scheduler(&self) -> Result<&Process> {
        self.scheduler
            .get_or_try_init(|| async {
                let program = Binary::KubeScheduler.ready().await?;
                let kubeconfig = self.kubeconfig_as("system:kube-scheduler", &[], &self.url())?;
                let process = Process::new(program, flags::scheduler(&kubeconfig), self.file("kube-scheduler.log"));
                process.start()?;
                Ok(process)
            })
            .await
    }

    /// The address of service `kubernetes`, at which a pod looks for the API server.
    pub fn service(&self) -> SocketAddr {
        SocketAddr::from((flags::SERVICE, 443))
    }

    /// Where the API server listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// Where the API server listens.
    pub fn url(&self) -> String {
        url(self.port)
    }

    /// Of its Kubernetes: 37 of 1.37.2.
    pub fn minor(&self) -> u32 {
        self.minor
    }

    /// Whether it serves MutatingAdmissionPolicy.
    pub fn has_mutating_policies(&self) -> bool {
        self.mutating_policies().is_some()
    }

    /// The version of MutatingAdmissionPolicy that it serves.
    pub fn mutating_policies(&self) -> Option<&'static str> {
        match self.minor {
            ..releases::MUTATING_POLICIES => None,
            minor if flags::BETA_POLICIES.contains(&minor) => Some("v1beta1"),
            _ => Some("v1"),
        }
    }

    /// The certificate (PEM) that verifies the API server.
    pub fn ca(&self) -> PathBuf {
        self.credentials.file("ca.crt")
    }

    /// What the API server was asked.
    pub fn audit(&self) -> AuditLog {
        AuditLog { path: self.file("audit.log") }
    }

    fn launch(etcd: &Path, api_server: &Path, options: &Options) -> Result<Self> {
        let scratch = Scratch::new()?;
        let file = |name: &str| scratch.path().join(name);
        let port = free_port()?;
        let credentials = Credentials::create(scratch.path())?;
        credentials.kubeconfig(&file("kubeconfig"), &url(port), &credentials.admin)?;
        fs::write(file("audit-policy.yaml"), audit::POLICY)?;
        let mut etcd_arguments = flags::etcd(scratch.path(), options.fsync);
        etcd_arguments.extend(options.etcd_arguments.iter().cloned());
        let etcd = Process::new(etcd.to_owned(), etcd_arguments, file("etcd.log"));
        let minor = releases::minor_of(api_server)?;
        let mut arguments = flags::api_server(scratch.path(), port, minor);
        arguments.extend_from_slice(&options.api_server_arguments);
        let api_server = Process::new(api_server.to_owned(), arguments, file("kube-apiserver.log"))
            .with_environment(options.api_server_environment.clone());
        etcd.start()?;
        api_server.start()?;
        Ok(Self {
            controller_manager: OnceCell::new(),
            scheduler: OnceCell::new(),
            api_server,
            etcd,
            credentials,
            cluster: Cluster::new(file("kubeconfig"))?,
            port,
            minor,
            nodes: options.nodes,
            scratch,
        })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }
}

fn url(port: u16) -> String {
    format!("https://127.0.0.1:{port}")
}

/// Below 32768, where Linux takes its ports for outgoing connections from: there, one of those could have
/// the port while the server is down for a test.
fn free_port() -> Result<u16> {
    for _ in 0..100 {
        let port = 20_000 + u16::try_from(getrandom::u32()? % 12_000)?;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("failed to find a free port on 127.0.0.1 between 20000 and 31999")
}
