//! The command that runs while this pod leads, controlled by the tenure and by signals.

use std::cell::RefCell;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::time::Duration;

use elector_crds::ReleaseReason;
use elector_election::{Now, Tenure};
use leader_elector::clock::Alarm;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::sync::Notify;
use tracing::{info, warn};

use super::life::{CommandDue, Life, Receiver};
use crate::children::{self, Reaped};
use crate::cli::Exec;
use crate::process_role::{self, Parent, Role};
use crate::signals::name;

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
    life: RefCell<Life>,
    alarm: Alarm,
    stop: Notify,
}

impl CommandRunner {
    /// A runner of the command of `exec`. `holder` is the identity that the command is told.
    ///
    /// # Errors
    /// If the kernel gives no timer.
    pub(crate) fn new(exec: &Exec, holder: String) -> io::Result<CommandRunner> {
        let Exec { once, stop_signal, .. } = *exec;
        let (life, alarm, stop) = (RefCell::default(), Alarm::new()?, Notify::new());
        Ok(CommandRunner { command: exec.command.clone(), once, stop_signal, holder, life, alarm, stop })
    }

    /// The alarm that rings when [`CommandRunner::look`] must be called.
    pub(crate) fn alarm(&self) -> &Alarm {
        &self.alarm
    }

    /// Completes when the campaign should end, with the reason.
    pub(crate) async fn stopped(&self) -> ReleaseReason {
        self.stop.notified().await;
        self.life.borrow().release_reason()
    }

    /// The exit code of the command, if it has ended for good.
    pub(crate) fn exit_code(&self) -> Option<u8> {
        self.life.borrow().exit_code()
    }

    /// Whether no process of the command runs.
    pub(crate) fn is_resting(&self) -> bool {
        self.life.borrow().is_resting()
    }

    /// Takes in that this pod leads for as long as `tenure` is valid: starts the command if it does not run.
    pub(crate) fn lead(&self, tenure: &Tenure, now: Now) -> io::Result<()> {
        let mut life = self.life.borrow_mut();
        if life.lead(tenure.validity, now) {
            let id = self.spawn(tenure)?;
            life.begin(id);
            info!(process = id.as_raw_pid(), "started the command");
        }
        drop(life);
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
        let group = self.life.borrow_mut().lose(now);
        if let Some(group) = group {
            terminate(group);
        }
        self.look(now)
    }

    /// Ends or collects the command, as is due at `now`.
    pub(crate) fn look(&self, now: Now) -> io::Result<()> {
        let mut life = self.life.borrow_mut();
        if let Some(group) = life.lose_if_late(now) {
            warn!("told the command to end: its leader was not renewed in time");
            terminate(group);
        }
        let wait = match life.due(now) {
            CommandDue::Nothing => None,
            CommandDue::In(wait) => Some(wait),
            CommandDue::Kill(group) => {
                kill(group)?;
                Some(REAP_PERIOD)
            }
        };
        self.alarm.set(wait)
    }

    /// Takes in a signal that this process received.
    pub(crate) fn take(&self, signal: Signal, parent: Parent) -> io::Result<()> {
        if signal == Signal::CHILD {
            return self.reap();
        }
        let ends = [Signal::TERM, Signal::INT, Signal::QUIT].contains(&signal) || self.stop_signal == Some(signal);
        let receiver = self.life.borrow_mut().take(ends, parent.lives());
        match receiver {
            Receiver::Command(id) => {
                // It is ours until it is waited for; that it has ended is about to be seen.
                let _ = kill_process(id, signal);
            }
            Receiver::Campaign => self.stop.notify_one(),
            Receiver::OrphanedCampaign => {
                warn!("the supervisor is dead");
                self.stop.notify_one();
            }
            Receiver::NotNeeded => {}
            Receiver::Nobody(why) => info!(signal = name(signal), "signal not passed on: {why}"),
        }
        Ok(())
    }

    fn reap(&self) -> io::Result<()> {
        let mut life = self.life.borrow_mut();
        loop {
            match children::reap()? {
                Reaped::One(id, end) => life.note_end(id, end),
                // What the command leaves behind does not outlive it.
                Reaped::NoneNow => return Ok(()),
                Reaped::NoneLeft => {
                    if let Some((code, ends)) = life.rest(self.once) {
                        info!(code, "the command has ended");
                        if ends {
                            self.stop.notify_one();
                        }
                    }
                    return Ok(());
                }
            }
        }
    }
}

/// All of it, as there is little time: a shell passes nothing on before its own command has ended.
fn terminate(group: Pid) {
    let _ = kill_process_group(group, Signal::TERM);
}

fn kill(group: Option<Pid>) -> io::Result<()> {
    if let Some(group) = group {
        // The command is ours until it is waited for, and so is its group.
        let _ = kill_process_group(group, Signal::KILL);
    }
    // What left the group became ours when its parent died.
    children::kill_all()
}
