//! What happened in a history: for people, and to be played again.

use elector_election::{Answer, Hints, Lease, Recorder, Recording, Request, Timestamp, Write};

use crate::clock::{SECOND, Time};

/// Lines and recordings, if anybody wants them.
#[derive(Debug, Default)]
pub struct Trace {
    lines: Option<Vec<String>>,
    recordings: Vec<Recording>,
}

impl Trace {
    /// One that keeps what it is told.
    #[must_use]
    pub fn kept() -> Trace {
        Trace { lines: Some(Vec::new()), recordings: Vec::new() }
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.lines.is_some()
    }

    pub(crate) fn keep(&mut self, election: Option<Recorder>) {
        if self.is_kept() {
            self.recordings.extend(election.map(Recorder::into_recording));
        }
    }

    pub(crate) fn note(&mut self, now: Time, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{:>11.6} {}", now as f64 / SECOND as f64, line()));
        }
    }

    /// In order of time.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        self.lines.as_deref().unwrap_or_default()
    }

    /// What each process of an agent was told, and said.
    #[must_use]
    pub fn recordings(&self) -> &[Recording] {
        &self.recordings
    }
}

pub(crate) fn of_request(request: &Request) -> String {
    match request {
        Request::Get => "get".to_owned(),
        Request::Create(write) => format!("create {}", of_write(write)),
        Request::Update { uid, resource_version, write } => {
            format!("update {uid} v{} {}", resource_version.0, of_write(write))
        }
    }
}

pub(crate) fn of_answer(answer: &Answer) -> String {
    match answer {
        Answer::Found(lease) => format!("found {}", of_lease(lease)),
        Answer::Stored(lease) => format!("stored {}", of_lease(lease)),
        Answer::NotFound => "not found".to_owned(),
        Answer::Conflict => "conflict".to_owned(),
        Answer::Refused { retry_after } => format!("refused {retry_after:?}"),
        Answer::Unknown => "no answer".to_owned(),
    }
}

fn of_write(write: &Write) -> String {
    let Write { holder, lease_duration_seconds, acquire_time, renew_time, transitions, agent } = write;
    let mark = if agent.release.is_some() { " released" } else { "" };
    let (acquired, renewed) = (wall(Some(*acquire_time)), wall(Some(*renew_time)));
    format!("{holder:?} for {lease_duration_seconds} s, tenure {transitions} since {acquired}, renewed {renewed}{mark}")
}

pub(crate) fn of_lease(lease: &Lease) -> String {
    let Lease { resource_version, record, lease_duration_seconds, timings, .. } = lease;
    let Lease { never_held, least_wait_seconds, hints, agent, .. } = lease;
    let (acquired, renewed) = (wall(record.acquire_time), wall(record.renew_time));
    let timings = timings.map(|set| format!(" asked for {} s", set.lease_duration_seconds()));
    let agent = agent.as_ref().map(|mark| {
        let release = if mark.release.is_some() { ", released" } else { "" };
        format!(" by process {} in tenure {}{release}", mark.start, mark.transitions)
    });
    let hints = if *hints == Hints::default() { String::new() } else { format!(" {hints:?}") };
    let least = if *least_wait_seconds > 0 { format!(" wait {least_wait_seconds} s") } else { String::new() };
    format!(
        "{} v{} {:?} for {lease_duration_seconds} s, tenure {} since {acquired}, renewed {renewed};{}{}{}{least}{hints}",
        record.uid,
        resource_version.0,
        record.holder,
        record.transitions,
        timings.unwrap_or_default(),
        agent.unwrap_or_default(),
        if *never_held { " never held" } else { "" },
    )
}

/// What a wall clock said, which can be any time.
fn wall(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "never".to_owned(), |time| format!("{:.6}", time.as_microseconds() as f64 / SECOND as f64))
}
