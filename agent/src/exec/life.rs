//! The life of the command: what is to be done with it, from what its leader, its users and the kernel say.
//!
//! Nothing is done here, and no clock is read: the [`CommandRunner`](super::CommandRunner) starts processes, sends signals and
//! sets the alarm.

use std::time::Duration;

use elector_crds::ReleaseReason;
use elector_election::{Now, Validity};
use rustix::process::Pid;

use crate::children::End;

/// The longest time that a command has between SIGTERM and SIGKILL before its tenure ends; a quarter of the tenure if
/// that is less.
const MAX_TERMINATION_GRACE: Duration = Duration::from_secs(3);
/// The time between SIGKILL and the end of a tenure, so that the command is gone by the end.
const KILL_MARGIN: Duration = Duration::from_millis(50);

/// The command, in all tenures of this process.
#[derive(Debug, Default)]
pub(super) struct Life {
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

/// What is to be done with the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CommandDue {
    /// Nothing: none runs.
    Nothing,
    /// To look again after that time.
    In(Duration),
    /// To kill what there is of it: the process group of that command, if it was not waited for yet, and all else.
    Kill(Option<Pid>),
}

/// Where a signal goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Receiver {
    /// To the command.
    Command(Pid),
    /// To the campaign, which ends.
    Campaign,
    /// To the campaign, which ends because the supervisor is dead, whatever the signal asks for.
    OrphanedCampaign,
    /// Nowhere: what the signal asks for is under way.
    NotNeeded,
    /// Nowhere, and for which reason.
    Nobody(&'static str),
}

impl Life {
    /// The exit code of the command, if it has ended for good.
    pub(super) fn exit_code(&self) -> Option<u8> {
        self.exit_code
    }

    /// Whether no process of the command runs.
    pub(super) fn is_resting(&self) -> bool {
        self.job.is_none()
    }

    /// Why the Lease is given up, once it is.
    pub(super) fn release_reason(&self) -> ReleaseReason {
        // Without an end of the command it was told to stop, or has lost its supervisor.
        match self.exit_code {
            Some(_) if !self.told_to_end => ReleaseReason::CommandEnded,
            Some(_) | None => ReleaseReason::Stopped,
        }
    }

    /// Notes that this process leads, for `validity`. Returns whether the command is to be started.
    pub(super) fn lead(&mut self, validity: Validity, now: Now) -> bool {
        self.validity = Some(validity);
        // A command that was told to end because renewals came late starts again at the next one, in the same tenure.
        let in_time = validity.remaining(now.moment) > grace(validity);
        self.job.is_none() && self.exit_code.is_none() && in_time
    }

    /// Notes that the command was started, as the process `id`.
    pub(super) fn begin(&mut self, id: Pid) {
        self.job = Some(RunningCommand { main: Some(id), end: None, grace: None });
    }

    /// Notes that this process no longer leads. Returns the process group that is to be sent SIGTERM, if any.
    pub(super) fn lose(&mut self, now: Now) -> Option<Pid> {
        let validity = self.validity.take();
        self.job.as_mut()?.tell_to_end(validity, now)
    }

    /// As [`Life::lose`], if the tenure was not renewed in time.
    pub(super) fn lose_if_late(&mut self, now: Now) -> Option<Pid> {
        let validity = self.validity.filter(|validity| validity.remaining(now.moment) <= grace(*validity))?;
        self.job.as_mut()?.tell_to_end(Some(validity), now)
    }

    /// What is to be done with the command now.
    pub(super) fn due(&self, now: Now) -> CommandDue {
        let Some(job) = &self.job else { return CommandDue::Nothing };
        match (job.grace, self.validity) {
            (Some(grace), _) if !grace.has_expired(now.moment) && job.main.is_some() => {
                CommandDue::In(grace.remaining(now.moment))
            }
            (None, Some(validity)) if job.main.is_some() => {
                CommandDue::In(validity.remaining(now.moment).saturating_sub(grace(validity)))
            }
            (Some(_), _) | (None, Some(_) | None) => CommandDue::Kill(job.main),
        }
    }

    /// Notes a signal, which `ends` the process that gets it or does not. Returns where the signal goes.
    pub(super) fn take(&mut self, ends: bool, supervisor_lives: bool) -> Receiver {
        if ends && !supervisor_lives {
            return Receiver::OrphanedCampaign;
        }
        self.told_to_end |= ends;
        match &self.job {
            Some(RunningCommand { main: Some(id), grace: None, .. }) => Receiver::Command(*id),
            Some(_) if ends => Receiver::NotNeeded,
            None if ends => Receiver::Campaign,
            Some(_) => Receiver::Nobody("the command was told to end, or has ended"),
            None => Receiver::Nobody("the command runs only on the leader"),
        }
    }

    /// Notes that the process `id` has ended: the command, or a process that it has left behind.
    pub(super) fn note_end(&mut self, id: Pid, end: End) {
        if let Some(job) = self.job.as_mut().filter(|job| job.main == Some(id)) {
            job.main = None;
            job.end = Some(end);
        }
    }

    /// Notes that no process of the command is left. Returns the exit code, if a command ran, and whether the campaign ends with
    /// it. A command that is to run `once` always ends the campaign.
    pub(super) fn rest(&mut self, once: bool) -> Option<(u8, bool)> {
        let RunningCommand { end: Some(end), grace, .. } = self.job.take()? else { return None };
        let code = end.exit_code();
        let ends = grace.is_none() || once || self.told_to_end;
        if ends {
            self.exit_code = Some(code);
        }
        Some((code, ends))
    }
}

impl RunningCommand {
    /// Notes that the command has to end within its grace. Returns the process group that is to be sent SIGTERM, unless it was sent
    /// before.
    fn tell_to_end(&mut self, validity: Option<Validity>, now: Now) -> Option<Pid> {
        let (None, Some(main)) = (self.grace, self.main) else { return None };
        let lasting = validity.map_or(Duration::ZERO, |validity| validity.remaining(now.moment).min(grace(validity)));
        self.grace = Some(Validity { since: now.moment, lasting: lasting.saturating_sub(KILL_MARGIN) });
        Some(main)
    }
}

/// The time between SIGTERM and the end of a tenure of this validity.
fn grace(validity: Validity) -> Duration {
    MAX_TERMINATION_GRACE.min(validity.lasting / 4)
}

#[cfg(test)]
mod tests;
