//! The command that runs while this pod leads, controlled by the tenure and by signals.

use std::cell::{RefCell, RefMut};
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::time::Duration;

use elector_crds::ReleaseReason;
use elector_election::{Now, Tenure, Validity};
use leader_elector::clock::Alarm;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::sync::Notify;
use tracing::{info, warn};

use crate::children::{self, End, Reaped};
use crate::cli::Exec;
use crate::process_role::{self, Parent, Role};
use crate::signals::name;

/// The longest time that a command has between SIGTERM and SIGKILL before its tenure ends; a quarter of the tenure if
/// that is less.
const MAX_TERMINATION_GRACE: Duration = Duration::from_secs(3);
/// The time between SIGKILL and the end of a tenure, so that the command is gone by the end.
const KILL_MARGIN: Duration = Duration::from_millis(50);
/// The time between two checks whether a killed command is gone.
const REAP_PERIOD: Duration = Duration::from_millis(10);

/// Runs a command while this pod leads.
#[derive(Debug)]
pub(crate) struct CommandRunner {
    command: Vec<OsString>,
    once: bool,
    /// A further signal that ends the agent, beside those that end every agent.
    stop_signal: Option<Signal>,
    holder: String,
    state: RefCell<RunnerState>,
    alarm: Alarm,
    stop: Notify,
}

#[derive(Debug, Default)]
struct RunnerState {
    /// The validity of the tenure, while this pod leads.
    validity: Option<Validity>,
    job: Option<RunningCommand>,
    told_to_end: bool,
    exit_code: Option<u8>,
}

#[derive(Debug)]
struct RunningCommand {
    /// The process of the command, whose id is also that of its process group; `None` once it was collected.
    main: Option<Pid>,
    /// How the command ended, once it has.
    end: Option<End>,
    /// How long the command may take to end, once it was told to end because of its tenure.
    grace: Option<Validity>,
}

impl CommandRunner {
    /// A runner of the command of `exec`. `holder` is the identity that the command is told.
    ///
    /// # Errors
    /// If the kernel gives no timer.
    pub(crate) fn new(exec: &Exec, holder: String) -> io::Result<CommandRunner> {
        let Exec { once, stop_signal, .. } = *exec;
        let (state, alarm, stop) = (RefCell::default(), Alarm::new()?, Notify::new());
        Ok(CommandRunner { command: exec.command.clone(), once, stop_signal, holder, state, alarm, stop })
    }

    /// The alarm that rings when [`CommandRunner::look`] must be called.
    pub(crate) fn alarm(&self) -> &Alarm {
        &self.alarm
    }

    /// Completes when the campaign should end, with the reason.
    pub(crate) async fn stopped(&self) -> ReleaseReason {
        self.stop.notified().await;
        let state = self.state.borrow();
        // Without an end of the command it was told to stop, or has lost its supervisor.
        match state.exit_code {
            Some(_) if !state.told_to_end => ReleaseReason::CommandEnded,
            Some(_) | None => ReleaseReason::Stopped,
        }
    }

    /// The exit code of the command, if it has ended for good.
    pub(crate) fn exit_code(&self) -> Option<u8> {
        self.state.borrow().exit_code
    }

    /// Whether no process of the command runs.
    pub(crate) fn is_resting(&self) -> bool {
        self.state.borrow().job.is_none()
    }

    /// Takes in that this pod leads for as long as `tenure` is valid: starts the command if it does not run.
    pub(crate) fn lead(&self, tenure: &Tenure, now: Now) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        state.validity = Some(tenure.validity);
        // A command that was told to end because renewals came late starts again at the next one, in the same tenure.
        let in_time = tenure.validity.remaining(now.moment) > grace(tenure.validity);
        if state.job.is_none() && state.exit_code.is_none() && in_time {
            let id = self.spawn(tenure)?;
            state.job = Some(RunningCommand { main: Some(id), end: None, grace: None });
            info!(process = id.as_raw_pid(), "started the command");
        }
        drop(state);
        self.look(now)
    }

    fn spawn(&self, tenure: &Tenure) -> io::Result<Pid> {
        let child = process_role::command(Role::Become)?
            .args(&self.command)
            .env("LEADER_ELECTION_FENCING_TOKEN", tenure.fencing_token.0.to_string())
            .env("LEADER_ELECTION_HOLDER", &self.holder)
            .process_group(0)
            .spawn()?;
        Ok(Pid::from_child(&child))
    }

    /// Takes in that this pod no longer leads.
    pub(crate) fn end(&self, now: Now) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        let validity = state.validity.take();
        if let Some(job) = &mut state.job {
            job.tell_to_end(validity, now);
        }
        drop(state);
        self.look(now)
    }

    /// Ends or collects the command, as is due at `now`.
    pub(crate) fn look(&self, now: Now) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        let RunnerState { validity, job, .. } = &mut *state;
        let Some(job) = job else { return self.alarm.set(None) };
        if let Some(validity) = validity
            && validity.remaining(now.moment) <= grace(*validity)
            && job.grace.is_none()
        {
            warn!("told the command to end: its leader was not renewed in time");
            job.tell_to_end(Some(*validity), now);
        }
        let wait = match (job.grace, *validity) {
            (Some(grace), _) if !grace.has_expired(now.moment) && job.main.is_some() => grace.remaining(now.moment),
            (None, Some(validity)) if job.main.is_some() => {
                validity.remaining(now.moment).saturating_sub(grace(validity))
            }
            (Some(_), _) | (None, Some(_) | None) => {
                job.kill()?;
                REAP_PERIOD
            }
        };
        self.alarm.set(Some(wait))
    }

    /// Takes in a signal that this process received.
    pub(crate) fn take(&self, signal: Signal, parent: Parent) -> io::Result<()> {
        if signal == Signal::CHILD {
            return self.reap();
        }
        let ends = [Signal::TERM, Signal::INT, Signal::QUIT].contains(&signal) || self.stop_signal == Some(signal);
        if ends && !parent.lives() {
            warn!("the supervisor is dead");
            self.stop.notify_one();
            return Ok(());
        }
        let mut state = self.state.borrow_mut();
        state.told_to_end |= ends;
        match &state.job {
            Some(RunningCommand { main: Some(id), grace: None, .. }) => {
                // It is ours until it is waited for; that it has ended is about to be seen.
                let _ = kill_process(*id, signal);
            }
            // It is on its way.
            Some(_) if ends => {}
            None if ends => self.stop.notify_one(),
            Some(_) => info!(signal = name(signal), "signal not passed on: the command was told to end, or has ended"),
            None => info!(signal = name(signal), "signal not passed on: the command runs only on the leader"),
        }
        Ok(())
    }

    fn reap(&self) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        loop {
            match children::reap()? {
                Reaped::One(id, end) => {
                    if let Some(job) = state.job.as_mut().filter(|job| job.main == Some(id)) {
                        job.main = None;
                        job.end = Some(end);
                    }
                }
                // What the command leaves behind does not outlive it.
                Reaped::NoneNow => return Ok(()),
                Reaped::NoneLeft => {
                    self.over(&mut state);
                    return Ok(());
                }
            }
        }
    }

    fn over(&self, state: &mut RefMut<'_, RunnerState>) {
        let Some(RunningCommand { end: Some(end), grace, .. }) = state.job.take() else { return };
        let code = end.exit_code();
        info!(code, "the command has ended");
        if grace.is_none() || self.once || state.told_to_end {
            state.exit_code = Some(code);
            self.stop.notify_one();
        }
    }
}

impl RunningCommand {
    fn tell_to_end(&mut self, validity: Option<Validity>, now: Now) {
        let (None, Some(main)) = (self.grace, self.main) else { return };
        let lasting = validity.map_or(Duration::ZERO, |validity| validity.remaining(now.moment).min(grace(validity)));
        self.grace = Some(Validity { since: now.moment, lasting: lasting.saturating_sub(KILL_MARGIN) });
        // All of it, as there is little time: a shell passes nothing on before its own command has ended.
        let _ = kill_process_group(main, Signal::TERM);
    }

    fn kill(&self) -> io::Result<()> {
        if let Some(main) = self.main {
            // It is ours until it is waited for, and so is its group.
            let _ = kill_process_group(main, Signal::KILL);
        }
        // What left the group became ours when its parent died.
        children::kill_all()
    }
}

fn grace(validity: Validity) -> Duration {
    MAX_TERMINATION_GRACE.min(validity.lasting / 4)
}
