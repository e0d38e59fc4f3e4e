//! The agent: see the README.

mod cli;

use std::process::ExitCode;

use clap::Parser as _;
use elector_agent::driver::{self, Campaign};
use elector_agent::identity::{self, Sources};
use elector_agent::status::{self, Author, StatusFiles};
use elector_agent::{connect, nonce};
use nix::unistd::gethostname;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::cli::{Cli, LogFormat, Settings};

/// Something inside went wrong; a restart may help.
const INTERNAL: u8 = 1;
/// What was asked for cannot be done; a restart does not help.
const CONFIGURATION: u8 = 2;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(asked) if !asked.use_stderr() => {
            print!("{asked}");
            return ExitCode::SUCCESS;
        }
        // The first line says what is wrong; the rest is for a terminal.
        Err(error) => return fail(CONFIGURATION, error.to_string().lines().next().unwrap_or_default()),
    };
    match start_logging(&cli).and_then(|()| run(&cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { code, said }) => fail(code, &format!("error: {said}")),
    }
}

fn fail(code: u8, said: &str) -> ExitCode {
    eprintln!("{said}");
    ExitCode::from(code)
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

fn start_logging(cli: &Cli) -> Result<(), Failure> {
    // The libraries repeat at each attempt what the agent says once.
    let filter = EnvFilter::try_new(format!("kube=off,kube_client=off,kube_runtime=off,{}", cli.log_level))
        .map_err(|error| configuration(format!("log level {:?}: {error}", cli.log_level)))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match cli.log_format {
        LogFormat::Text => log.with_ansi(false).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    Ok(())
}

fn run(cli: &Cli) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(internal)?;
    runtime.block_on(contend(cli.settings().map_err(configuration)?))
}

async fn contend(settings: Settings) -> Result<(), Failure> {
    // From here on a signal is answered by an orderly end, even before there is anything to end.
    let mut terminate = signal(SignalKind::terminate()).map_err(internal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(internal)?;
    let Settings { lease, namespace, identity, pod, status_file, timings } = settings;
    let hostname = gethostname().map_err(internal)?.to_string_lossy().into_owned();
    let config = connect::config().await.map_err(configuration)?;
    let sources = Sources { set: identity, token: identity::token(&config), pod, hostname: hostname.clone() };
    let identity = sources.identity();
    let start = nonce().map_err(internal)?;
    let author = Author {
        hostname,
        identity: identity.clone(),
        namespace: namespace.clone(),
        lease: lease.clone(),
        start: start.clone(),
        boot_id: status::boot_id().map_err(internal)?,
    };
    let (mut files, predecessor) = StatusFiles::open(&status_file, author).map_err(configuration)?;
    let campaign = Campaign { namespace, lease, identity, start, timings, predecessor };
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    driver::run(campaign, &mut files, stop).await.map_err(|error| match error {
        driver::Error::Connect(error) => configuration(error),
        driver::Error::Clock(error) => internal(error),
    })
}
