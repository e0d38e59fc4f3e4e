//! The supervisor, the process that a user starts. It starts the electing process, removes the status file when that
//! process dies of any cause, and ends what it leaves behind.
//!
//! The supervisor stays as small as it can: it neither reads settings nor logs until an electing process crashes.

use std::env;
use std::io;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use leader_elector::status;
use nix::errno::Errno;
use nix::libc::SI_KERNEL;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal as Named};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::process::{Pid, Signal, kill_process};
use rustix_libc_wrappers::process::SignalExt as _;
use tracing::{error, warn};
use tracing_appender::non_blocking::WorkerGuard;

use crate::children::{self, End, Reaped};
use crate::cli::{Cli, Command};
use crate::process_role::{self, Role};
use crate::signals::{self, name};
use elector_program::failure::{FAILED, USAGE};

/// The signals that end the agent. They are passed on to the electing process, which sets its own handlers before it
/// unblocks them: no signal is lost at the start.
const END: [Named; 2] = [Named::SIGTERM, Named::SIGINT];

/// The wait between a crash of the electing process and its next start; doubled at each crash that follows soon.
const MIN_RESTART_DELAY: Duration = Duration::from_millis(100);
const MAX_RESTART_DELAY: Duration = Duration::from_secs(10);
/// How long an electing process must have run so that its crash does not count as one at the start.
const STABLE_AFTER: Duration = Duration::from_secs(60);
/// The wait between two attempts to remove the status file.
const RETRY_PERIOD: Duration = Duration::from_millis(100);

/// Runs until there is nothing more to supervise. Returns the exit code.
///
/// # Errors
/// The error of the kernel, if it refuses a system call.
pub(crate) fn run() -> io::Result<u8> {
    let with_command = env::args_os().nth(1).is_some_and(|first| first == "exec");
    let mut supervisor = Supervisor::new(with_command)?;
    let mut pause = MIN_RESTART_DELAY;
    for starts in 0.. {
        let begun = Instant::now();
        let end = supervisor.supervise(electing(starts)?)?;
        let in_order = [End::Code(0), End::Code(USAGE.into())].contains(&end);
        // It ends in order only when nothing shows any more, and with settings that say nothing it showed nothing.
        let Some(cli) = Cli::read(env::args_os()).ok().filter(|_| !in_order) else {
            supervisor.end_descendants()?;
            return Ok(end.exit_code());
        };
        supervisor.clear_up(&cli)?;
        let End::Signal(signal) = end else { return Ok(end.exit_code()) };
        supervisor.start_logging(&cli);
        let signal = Signal::from_raw(signal).map_or_else(|| signal.to_string(), name);
        warn!(lease = cli.options().lease_name(), signal, "the electing process was killed");
        if let Some(Command::Exec(exec)) = &cli.command {
            if exec.once {
                return Ok(end.exit_code());
            }
            supervisor.ends.extend([Signal::QUIT].into_iter().chain(exec.stop_signal));
        }
        if begun.elapsed() > STABLE_AFTER {
            pause = MIN_RESTART_DELAY;
        }
        supervisor.wait_for(pause)?;
        if supervisor.is_told_to_end() {
            return Ok(FAILED);
        }
        pause = (2 * pause).min(MAX_RESTART_DELAY);
    }
    Ok(FAILED)
}

fn electing(starts: u64) -> io::Result<Pid> {
    let child = process_role::command(Role::Elect)?.arg(starts.to_string()).args(env::args_os().skip(1)).spawn()?;
    Ok(Pid::from_child(&child))
}

struct Supervisor {
    /// The signals that the supervisor waits for.
    signals: SignalFd,
    child: Option<Pid>,
    /// The signals that end the supervisor. There are more of them once it has read the settings.
    ends: Vec<Signal>,
    /// The signals that have come, each once.
    came: Vec<Signal>,
    log: Option<WorkerGuard>,
}

impl Supervisor {
    fn new(with_command: bool) -> io::Result<Supervisor> {
        let awaited = awaited(with_command);
        awaited.thread_block()?;
        let signals = SignalFd::with_flags(&awaited, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        prctl::set_child_subreaper(true)?;
        let ends = vec![Signal::TERM, Signal::INT];
        Ok(Supervisor { signals, child: None, ends, came: Vec::new(), log: None })
    }

    /// Passes signals on to `child` until it has ended. Returns how it ended.
    fn supervise(&mut self, child: Pid) -> io::Result<End> {
        self.child = Some(child);
        loop {
            match children::reap()? {
                Reaped::One(id, end) if id == child => {
                    self.child = None;
                    return Ok(end);
                }
                Reaped::One(..) => {}
                Reaped::NoneNow => self.wait(PollTimeout::NONE)?,
                Reaped::NoneLeft => return Err(io::Error::other("the end of the electing process was never told")),
            }
        }
    }

    /// Removes the status file, trying until that is done, and ends all that the electing process has left.
    fn clear_up(&mut self, cli: &Cli) -> io::Result<()> {
        let mut cleared = status::clear(cli.options().status_file());
        self.end_descendants()?;
        if let Err(error) = &cleared {
            self.start_logging(cli);
            error!(lease = cli.options().lease_name(), %error, "failed to retract leadership: trying until it is done");
        }
        while cleared.is_err() && !self.is_told_to_end() {
            self.wait_for(RETRY_PERIOD)?;
            cleared = status::clear(cli.options().status_file());
        }
        Ok(())
    }

    /// Kills all descendants and waits until they are gone: only then may another tenure begin.
    fn end_descendants(&mut self) -> io::Result<()> {
        loop {
            match children::reap()? {
                Reaped::One(..) => {}
                Reaped::NoneNow => {
                    children::kill_all()?;
                    self.wait(PollTimeout::from(10_u8))?;
                }
                Reaped::NoneLeft => return Ok(()),
            }
        }
    }

    fn is_told_to_end(&self) -> bool {
        self.came.iter().any(|signal| self.ends.contains(signal))
    }

    fn start_logging(&mut self, cli: &Cli) {
        if self.log.is_none() {
            // The electing process could, with the same settings.
            self.log = crate::start_logging(cli).ok();
        }
    }

    /// Waits for `time`, or until a signal that ends the supervisor.
    fn wait_for(&mut self, time: Duration) -> io::Result<()> {
        let begun = Instant::now();
        while !self.is_told_to_end() && begun.elapsed() < time {
            let left = time.saturating_sub(begun.elapsed());
            self.wait(PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX))?;
        }
        Ok(())
    }

    /// Waits for a signal, and passes on all that came.
    fn wait(&mut self, timeout: PollTimeout) -> io::Result<()> {
        match poll(&mut [PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        while let Some(info) = self.signals.read_signal()? {
            let number = i32::try_from(info.ssi_signo).map_err(io::Error::other)?;
            let Some(signal) = Signal::from_raw(number).filter(|signal| *signal != Signal::CHILD) else { continue };
            if !self.came.contains(&signal) {
                self.came.push(signal);
            }
            // A terminal tells the whole process group.
            if let Some(child) = self.child.filter(|_| info.ssi_code != SI_KERNEL) {
                // It is ours until it is waited for; that it has ended is about to be seen.
                let _ = kill_process(child, signal);
            }
        }
        Ok(())
    }
}

/// The signals that a supervisor waits for. The electing process starts with them blocked, and unblocks them once it
/// can handle them.
pub(crate) fn awaited(with_command: bool) -> SigSet {
    if with_command {
        let mut all = SigSet::all();
        let others =
            Named::iterator().filter(|named| !signals::passed_on().any(|signal| signal.as_raw() == *named as i32));
        others.filter(|named| *named != Named::SIGCHLD).for_each(|named| all.remove(named));
        all
    } else {
        END.iter().chain(&[Named::SIGCHLD]).copied().collect()
    }
}
