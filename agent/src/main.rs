//! The agent: see the README.

mod cli;
mod log;

use std::io::Write as _;
use std::process::ExitCode;

use elector_agent::driver::{self, Campaign};
use elector_agent::identity::{self, Sources};
use elector_agent::status::{self, Author, Claim};
use elector_agent::{connect, nonce};
use nix::unistd::gethostname;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::cli::{Cli, LogFormat, Settings};
use crate::log::Log;

/// Something inside went wrong; a restart may help.
const INTERNAL: u8 = 1;
/// What was asked for cannot be done; a restart does not help.
const CONFIGURATION: u8 = 2;

fn main() -> ExitCode {
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(asked) if !asked.use_stderr() => {
            print!("{asked}");
            return ExitCode::SUCCESS;
        }
        Err(error) => return fail(CONFIGURATION, &first_paragraph(&error.to_string())),
    };
    match start_logging(&cli).and_then(|()| run(&cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { code, said }) => fail(code, &format!("error: {said}")),
    }
}

/// Whatever is said, it is one line.
fn fail(code: u8, said: &str) -> ExitCode {
    // The exit code must come through, whether anybody reads this or not.
    let _ = writeln!(std::io::stderr(), "{}", said.replace(['\r', '\n'], " "));
    ExitCode::from(code)
}

/// What is wrong and what would do; the rest of what clap says is its usage.
fn first_paragraph(said: &str) -> String {
    let lines: Vec<&str> = said.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    format!("{}; see --help", lines.join(" "))
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
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| Log);
    match cli.log_format {
        LogFormat::Text => log.with_ansi(false).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    Ok(())
}

fn run(cli: &Cli) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(internal)?;
    let result = runtime.block_on(contend(cli.settings().map_err(configuration)?));
    // A lookup of the API server's name may still be under way, and takes its time.
    runtime.shutdown_background();
    result
}

async fn contend(settings: Settings) -> Result<(), Failure> {
    // From here on a signal is answered by an orderly end, even before there is anything to end.
    let mut terminate = signal(SignalKind::terminate()).map_err(internal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(internal)?;
    let Settings { lease, namespace, identity, pod, status_file, timings } = settings;
    let hostname = gethostname().map_err(internal)?.to_string_lossy().into_owned();
    // Whatever else is wrong, what an earlier process left behind must go.
    let claim = Claim::take(&status_file, status::boot_id().map_err(internal)?).map_err(configuration)?;
    let predecessor = claim.predecessor();
    let config = connect::config().await.map_err(configuration)?;
    let sources = Sources { set: identity, token: identity::token(&config), pod, hostname: hostname.clone() };
    let identity = sources.identity();
    let start = nonce().map_err(internal)?;
    let mut files = claim.sign(Author {
        hostname,
        identity: identity.clone(),
        namespace: namespace.clone(),
        lease: lease.clone(),
        start: start.clone(),
    });
    let campaign = Campaign { namespace, lease, identity, start, timings, predecessor };
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    driver::run(campaign, &mut files, stop).await.map_err(|error| match error {
        driver::Error::Connect(error) => configuration(error),
        error @ (driver::Error::Clock(_) | driver::Error::Publication(_)) => internal(error),
    })
}
