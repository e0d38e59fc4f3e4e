//! The operator: see the README.

use std::process::ExitCode;

use clap::Parser as _;
use elector_agent::company::Company;
use elector_agent::driver::{self, Campaign};
use elector_agent::identity::{self, Sources};
use elector_agent::{connect, nonce};
use elector_crds::display_text::{MAX_LINE, shown};
use elector_operator::key::Key;
use elector_operator::leadership::Leadership;
use elector_operator::metrics::{Counts, Metrics, Observer};
use elector_operator::settings::{Cli, OwnElection, Settings};
use elector_operator::{controller, health, watches};
use futures::future::try_join_all;
use kube::Client;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Something inside went wrong; a restart may help.
const INTERNAL: u8 = 1;
/// What was asked for cannot be done; a restart does not help.
const CONFIGURATION: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { code, said }) => {
            eprintln!("error: {}", shown(&said, MAX_LINE));
            ExitCode::from(code)
        }
    }
}

struct Failure {
    code: u8,
    said: String,
}

fn configuration(error: impl std::fmt::Display) -> Failure {
    Failure { code: CONFIGURATION, said: error.to_string() }
}

fn internal(error: impl std::fmt::Display) -> Failure {
    Failure { code: INTERNAL, said: error.to_string() }
}

fn run(cli: &Cli) -> Result<(), Failure> {
    let _log = cli.log.start().map_err(configuration)?;
    let own = cli.own_election().map_err(configuration)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(internal)?;
    runtime.block_on(operate(cli, own))
}

async fn operate(cli: &Cli, own: OwnElection) -> Result<(), Failure> {
    let stop = stop().map_err(internal)?;
    let mut config = connect::config().await.map_err(configuration)?;
    config.read_timeout = Some(watches::READ_TIMEOUT);
    config.reset_reader_on_write = true;
    let identity = identity(cli, identity::token(&config));
    let client = Client::try_from(config).map_err(configuration)?;

    let (mut leadership, leading) = Leadership::new();
    let watched = cli.watched();
    let (ready, are_ready): (Vec<_>, Vec<_>) = watched.iter().map(|_| watch::channel(false)).unzip();
    let counts = Counts::default();
    let (observers, subjects): (Vec<_>, Vec<_>) = watched.iter().map(|_| Observer::new(&counts)).unzip();
    let metrics = Metrics::new(&counts, leading.clone(), observers, cli.metrics_per_election);
    let own_lease = Key::new(&own.namespace, &own.lease);
    let OwnElection { lease, namespace, timings } = own;
    let start = nonce().map_err(internal)?;
    let campaign = Campaign {
        namespace,
        lease,
        identity: identity.clone(),
        start,
        timings,
        predecessor: None,
        obeys_hints: false,
    };

    // Elections of different namespaces have nothing to do with each other.
    let controllers = watched.into_iter().zip(ready).zip(subjects).map(|((namespace, ready), subject)| {
        let settings = Settings {
            namespace_bytes: cli.namespace_bytes(),
            ..Settings::new(identity.clone(), namespace, cli.features(), own_lease.clone())
        };
        controller::run(client.clone(), settings, leading.clone(), ready, subject, std::future::pending())
    });

    // The controllers go on until the election has retracted and released. Whatever else ends first ends the process.
    tokio::select! {
        elected = driver::run(campaign, &mut leadership, Company::none(), stop) => elected.map_err(internal),
        served = health::serve(cli.health_address, are_ready, metrics) => {
            let why = served.err().map_or_else(|| "ended".to_owned(), |error| error.to_string());
            Err(configuration(format!("failed to serve {}: {why}", cli.health_address)))
        }
        controlled = try_join_all(controllers) => controlled.map(drop).map_err(internal),
    }
}

fn identity(cli: &Cli, token: Option<String>) -> String {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
    let pod = set("POD_NAME").zip(set("POD_UID"));
    let told = cli.identity.clone().filter(|identity| !identity.is_empty());
    Sources { set: told, token, pod, hostname }.identity()
}

/// Completes when the process is asked to end.
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
