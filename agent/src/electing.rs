//! The electing process: it contends, and publishes whether it leads. It follows its supervisor, which clears up after
//! it.

use std::ffi::OsString;
use std::rc::Rc;

use elector_crds::ReleaseReason;
use leader_elector::driver::{self, Campaign};
use leader_elector::identity::Sources;
use leader_elector::status::{self, Author, Claim, StatusFiles};
use leader_elector::{clock, connect, nonce};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::gethostname;
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

use crate::cli::{Cli, Command, Exec, Settings};
use crate::exec::{App, CommandRunner, Signals, tend};
use crate::kill_timer::{self, KillTimer};
use crate::process_role::{Given, Parent};
use crate::services::{Notifying, Services};
use crate::supervise::awaited;

use elector_program::failure::{Failure, USAGE};

/// Runs the electing process. Returns its exit code.
pub(crate) fn run(Given { parent, rest }: Given) -> Result<u8, Failure> {
    // At its death, an orderly end: nobody would remove the file of one that is killed.
    parent.follow(Signal::SIGTERM).map_err(Failure::failed)?;
    // Else it is named after the link that it was started by.
    prctl::set_name(c"elector-agent").map_err(Failure::failed)?;
    let mut rest = rest.into_iter();
    let again = rest.next().is_some_and(|starts| starts != "0");
    let arguments: Vec<OsString> = ["elector-agent".into()].into_iter().chain(rest).collect();
    let cli = crate::read(arguments.clone()).inspect_err(|failure| {
        if failure.code == USAGE {
            // There is a better reason to end than this one's.
            drop(Claim::take(&Cli::status_file_of_sorts(arguments), ""));
        }
    })?;
    // Whatever else is wrong, what an earlier process left behind must go.
    let claim = Claim::take(cli.options().status_file(), &nonce().map_err(Failure::failed)?).map_err(Failure::usage)?;
    let _log = crate::start_logging(&cli)?;
    let settings = cli.options().settings().map_err(Failure::usage)?;
    if let (Some(Command::Exec(_)), Some(_)) = (&cli.command, &settings.services.hooks) {
        return Err(Failure::usage(
            "ON_ACQUIRED and ON_LOST are for an agent beside its app: with exec, the command is what is run and ended",
        ));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::failed)?;
    let result = runtime.block_on(async {
        match &cli.command {
            Some(Command::Exec(exec)) => run_app(settings, claim, exec, parent, again).await,
            // The others are none of its business.
            Some(Command::Check { .. } | Command::Wait { .. } | Command::Manifest { .. } | Command::Install { .. })
            | None => show(settings, claim).await,
        }
    });
    // A lookup of the API server's name may still be under way, and takes its time.
    runtime.shutdown_background();
    result
}

/// Contends with a publication of status files alone.
async fn show(settings: Settings, claim: Claim) -> Result<u8, Failure> {
    // From here on a signal is answered by an orderly end, even before there is anything to end.
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::failed)?;
    awaited(false).thread_unblock().map_err(Failure::failed)?;
    let Prepared { campaign, files, services } = prepare(settings, claim).await?;
    let mut files = KillTimer::new(files).map_err(Failure::failed)?;
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        ReleaseReason::Stopped
    };
    let result = driver::run(campaign, &mut files, services.campaign_hooks(), stop).await;
    services.end();
    result.map_err(failure).map(|()| 0)
}

/// Contends with a publication of status files and a command.
async fn run_app(settings: Settings, claim: Claim, exec: &Exec, parent: Parent, again: bool) -> Result<u8, Failure> {
    let signals = Signals::take().map_err(Failure::failed)?;
    awaited(true).thread_unblock().map_err(Failure::failed)?;
    let Prepared { mut campaign, files, services } = prepare(settings, claim).await?;
    // Of the files alone, a lock says that their user is dead. Of what a command has left behind, only a supervisor
    // that has looked, or the end of its container.
    campaign.predecessor = campaign.predecessor.filter(|_| again || parent.is_init());
    prctl::set_child_subreaper(true).map_err(Failure::failed)?;
    let work = CommandRunner::new(exec, campaign.identity.clone()).map_err(Failure::failed)?;
    let work = Rc::new(work);
    let app = App { work: Rc::clone(&work), publication: files };
    let mut app = KillTimer::new(app).map_err(Failure::failed)?;
    tokio::select! {
        result = driver::run(campaign, &mut app, services.campaign_hooks(), work.stopped()) => {
            result.map_err(failure).map(|()| work.exit_code().unwrap_or(0))
        }
        error = tend(&work, signals, parent) => Err(Failure::failed(format!("failed to look after the command: {error}"))),
    }
}

struct Prepared {
    campaign: Campaign,
    files: Notifying<StatusFiles>,
    services: Rc<Services>,
}

/// Prepares all that must precede the first request.
async fn prepare(settings: Settings, claim: Claim) -> Result<Prepared, Failure> {
    let Settings { lease, namespace, identity, pod, timings, services } = settings;
    let hostname = gethostname().map_err(Failure::failed)?.to_string_lossy().into_owned();
    let boot_id = status::boot_id().map_err(Failure::failed)?;
    let predecessor = claim.predecessor(&boot_id, &namespace, &lease);
    let access = connect::access().map_err(Failure::usage)?;
    let (server, credentials) = (&access.config.cluster_url, &access.source);
    info!(%namespace, %lease, %server, credentials, "asking the API server");
    kill_timer::probe().map_err(|error| {
        Failure::usage(format!(
            "nothing here can stop a leader that hangs: {error}; use a sandbox whose timers do as Linux's"
        ))
    })?;
    let sources = Sources { set: identity, token: access.token(), pod, hostname: hostname.clone() };
    let identity = sources.identity();
    let start = claim.start().to_owned();
    let author = Author {
        hostname,
        identity: identity.clone(),
        namespace: namespace.clone(),
        lease: lease.clone(),
        start: start.clone(),
    };
    let now = clock::now().map_err(Failure::failed)?;
    let services = Services::start(services, &author, claim.beside(".acquired"), now).map_err(Failure::usage)?;
    let services = Rc::new(services);
    let publication = claim.sign(author, boot_id);
    let files = Notifying { publication, services: Rc::clone(&services) };
    let campaign = Campaign { access, namespace, lease, identity, start, timings, predecessor, obeys_hints: true };
    Ok(Prepared { campaign, files, services })
}

fn failure(error: driver::Error) -> Failure {
    match error {
        driver::Error::Connect(error) => Failure::usage(error),
        error @ (driver::Error::Clock(_) | driver::Error::Publication(_)) => Failure::failed(error),
    }
}
