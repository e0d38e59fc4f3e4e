//! The operator of leader-elector: see the README.

use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::thread;

use elector_crds::ReleaseReason;
use elector_operator::heartbeat::Heartbeat;
use elector_operator::key::Key;
use elector_operator::leadership::Leadership;
use elector_operator::metrics::{ControllerHandle, Counts, Metrics};
use elector_operator::settings::{Cli, OwnElection, Settings};
use elector_operator::{controller, health, watches};
use elector_program::failure::Failure;
use elector_program::server;
use futures::FutureExt as _;
use futures::future::{BoxFuture, try_join_all};
use leader_elector::connect::{self, Access};
use leader_elector::driver::{self, Campaign};
use leader_elector::identity::Sources;
use leader_elector::nonce;
use leader_elector::observer::CampaignHooks;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};

fn main() -> ExitCode {
    match Cli::read().map_err(|error| Failure::of_arguments(&error)).and_then(|cli| run(&cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.exit(),
    }
}

fn run(cli: &Cli) -> Result<(), Failure> {
    let _log = cli.log.start().map_err(Failure::usage)?;
    let own = cli.own_election().map_err(Failure::usage)?;
    let threads = Threads::prepare(cli.health_address)?;
    let runtime = runtime()?;
    let access = connect::access().map_err(Failure::usage)?;
    let running = {
        let _in_runtime = runtime.enter();
        operate(cli, own, access, threads)?
    };
    let result = runtime.block_on(running);
    // A lookup of the API server's name may still be under way, and takes its time.
    runtime.shutdown_background();
    result
}

fn runtime() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::failed)
}

/// The threads beside the controllers: neither a long turn of a controller nor a flood of requests may cost the
/// operator its own Lease, or keep kubelet from an answer.
struct Threads {
    election: Runtime,
    stop: BoxFuture<'static, ()>,
    http: Runtime,
    listener: TcpListener,
}

impl Threads {
    /// Sets the signal handler and listens. From now on a signal ends the operator in order, and an address in use is
    /// noticed.
    fn prepare(address: SocketAddr) -> Result<Threads, Failure> {
        let (election, http) = (runtime()?, runtime()?);
        let stop = {
            let _in_runtime = election.enter();
            stop().map_err(Failure::failed)?.boxed()
        };
        let listener = {
            let _in_runtime = http.enter();
            server::listen(address).map_err(|error| Failure::usage(format!("failed to serve {address}: {error}")))?
        };
        let address = listener.local_addr().map_err(Failure::failed)?;
        tracing::info!(%address, "serving /metrics, /healthz and /readyz");
        Ok(Threads { election, stop, http, listener })
    }
}

/// Runs `work` on a thread called `name`. The receiver gets its result, or an error if the thread panicked.
fn start<T, W>(
    name: &str,
    runtime: Runtime,
    work: impl FnOnce() -> W + Send + 'static,
) -> Result<oneshot::Receiver<T>, Failure>
where
    T: Send + 'static,
    W: Future<Output = T>,
{
    let (ended, end) = oneshot::channel();
    let run = move || {
        let _ = ended.send(runtime.block_on(work()));
        runtime.shutdown_background();
    };
    thread::Builder::new().name(name.to_owned()).spawn(run).map_err(Failure::failed)?;
    Ok(end)
}

/// Starts the other threads. The future that is returned runs the controllers, and completes when any part has ended.
fn operate(
    cli: &Cli,
    own: OwnElection,
    access: Access,
    threads: Threads,
) -> Result<impl Future<Output = Result<(), Failure>>, Failure> {
    let identity = identity(cli, access.token());
    let mut watching = access.clone();
    watching.config.read_timeout = Some(watches::READ_TIMEOUT);
    watching.config.reset_reader_on_write = true;
    let client = watching.client().map_err(Failure::usage)?;
    tracing::info!(server = %access.config.cluster_url, credentials = access.source, "asking the API server");

    let election_turns = Heartbeat::new();
    let (mut leadership, leading) = Leadership::new(election_turns.clone());
    let watched = cli.watched();
    let (ready, are_ready): (Vec<_>, Vec<_>) = watched.iter().map(|_| watch::channel(false)).unzip();
    let turns: Vec<_> = watched.iter().map(|_| Heartbeat::new()).collect();
    let counts = Counts::default();
    let (observers, subjects): (Vec<_>, Vec<_>) = watched.iter().map(|_| ControllerHandle::new(&counts)).unzip();
    let metrics = Metrics::new(&counts, leading.clone(), observers, cli.metrics_per_election);

    let Threads { election, stop, http, listener } = threads;
    let controller_turns = turns.iter().map(|turns| ("controller", turns.clone()));
    let loops = std::iter::once(("election", election_turns)).chain(controller_turns).collect();
    let router = health::router(loops, are_ready, metrics);
    let served = start("http", http, || server::serve(listener, router))?;

    let own_lease = Key::new(&own.namespace, &own.lease);
    let OwnElection { lease, namespace, timings } = own;
    let nonce = nonce().map_err(Failure::failed)?;
    let campaign = Campaign {
        access,
        namespace,
        lease,
        identity: identity.clone(),
        start: nonce,
        timings,
        predecessor: None,
        obeys_hints: false,
    };
    // What the controllers look at is returned, too: they must not take its end for one that nobody asked for.
    let elected = start("election", election, async move || {
        let stop = stop.map(|()| ReleaseReason::Stopped);
        let result = driver::run(campaign, &mut leadership, CampaignHooks::none(), stop).await;
        (result, leadership)
    })?;

    // Elections of different namespaces have nothing to do with each other.
    let each = watched.into_iter().zip(ready).zip(subjects).zip(turns);
    let controllers: Vec<_> = each
        .map(|(((namespace, ready), subject), turns)| {
            let settings = Settings {
                namespace_bytes: cli.namespace_bytes(),
                ..Settings::new(identity.clone(), namespace, cli.features(), own_lease.clone())
            };
            controller::run(client.clone(), settings, leading.clone(), ready, subject, turns, std::future::pending())
        })
        .collect();

    // The controllers go on until the election has retracted and released. Whatever else ends first ends the process.
    let address = cli.health_address;
    Ok(async move {
        tokio::select! {
            elected = elected => match elected {
                Ok((result, _)) => result.map_err(Failure::failed),
                Err(_) => Err(Failure::failed("the thread of the operator's own election panicked")),
            },
            _ = served => Err(Failure::failed(format!("failed to serve {address}: the server ended"))),
            controlled = try_join_all(controllers) => controlled.map(drop).map_err(Failure::failed),
        }
    })
}

fn identity(cli: &Cli, token: Option<String>) -> String {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
    let pod = set("POD_NAME").zip(set("POD_UID"));
    let told = cli.identity.clone().filter(|identity| !identity.is_empty());
    Sources { set: told, token, pod, hostname }.identity()
}

/// Completes when the process is told to end.
fn stop() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
