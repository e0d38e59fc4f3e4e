//! The agent: see the README.

mod cli;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use elector_agent::driver::{self, Campaign};
use elector_agent::identity::{self, Sources};
use elector_agent::status::{self, Author, Claim};
use elector_agent::{connect, nonce};
use nix::unistd::gethostname;
use tokio::signal::unix::{SignalKind, signal};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use crate::cli::{Cli, LogFormat, Settings};

/// Something inside went wrong; a restart may help.
const INTERNAL: u8 = 1;
/// What was asked for cannot be done; a restart does not help.
const CONFIGURATION: u8 = 2;

/// How long a last line is waited for, if nobody reads it.
const LAST_WORD: Duration = Duration::from_secs(1);
/// So many lines of the log wait for a reader; more are dropped.
const MOST_LINES: usize = 1024;

fn main() -> ExitCode {
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(asked) if !asked.use_stderr() => {
            print!("{asked}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            // There is a better reason to end than this one's.
            drop(Claim::take(&Cli::status_file_of_sorts()));
            return fail(CONFIGURATION, first_paragraph(&error.to_string()));
        }
    };
    match contend(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { code, said }) => fail(code, format!("error: {said}")),
    }
}

fn contend(cli: &Cli) -> Result<(), Failure> {
    // Whatever else is wrong, what an earlier process left behind must go.
    let claim = Claim::take(cli.status_file()).map_err(configuration)?;
    let _log = start_logging(cli)?;
    let settings = cli.settings().map_err(configuration)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(internal)?;
    let result = runtime.block_on(campaign(settings, claim));
    // A lookup of the API server's name may still be under way, and takes its time.
    runtime.shutdown_background();
    result
}

/// Whatever is said, it is one line; and the exit code comes through, whether anybody reads that or not.
fn fail(code: u8, said: String) -> ExitCode {
    let (written, is_written) = mpsc::channel();
    thread::spawn(move || {
        let _ = writeln!(io::stderr(), "{}", said.replace(['\r', '\n'], " "));
        written.send(())
    });
    let _ = is_written.recv_timeout(LAST_WORD);
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

/// Lines are written by a thread of their own, and dropped where it cannot keep up: a leader that waited for a reader of its
/// log could not stop leading in time.
fn start_logging(cli: &Cli) -> Result<WorkerGuard, Failure> {
    // The libraries repeat at each attempt what the agent says once.
    let filter = EnvFilter::try_new(format!("kube=off,kube_client=off,kube_runtime=off,{}", cli.log_level))
        .map_err(|error| configuration(format!("log level {:?}: {error}", cli.log_level)))?;
    let (lines, guard) =
        NonBlockingBuilder::default().lossy(true).buffered_lines_limit(MOST_LINES).finish(io::stderr());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(lines);
    match cli.log_format {
        LogFormat::Text => log.with_ansi(false).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    Ok(guard)
}

async fn campaign(settings: Settings, claim: Claim) -> Result<(), Failure> {
    // From here on a signal is answered by an orderly end, even before there is anything to end.
    let mut terminate = signal(SignalKind::terminate()).map_err(internal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(internal)?;
    let Settings { lease, namespace, identity, pod, timings } = settings;
    let hostname = gethostname().map_err(internal)?.to_string_lossy().into_owned();
    let boot_id = status::boot_id().map_err(internal)?;
    let predecessor = claim.predecessor(&boot_id);
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
    };
    let mut files = claim.sign(author, boot_id);
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
