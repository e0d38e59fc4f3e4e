//! The project's labels and annotations, and the JSON that two of them carry on a Lease.
//!
//! Reading never fails: what is missing or wrong is left out, or read as whatever makes candidates wait longest, and
//! reported as a [`ParseWarning`]. Unknown JSON fields are ignored.

use std::borrow::Cow;

use elector_election::{AgentMark, Hints, MAX_LEASE_DURATION_SECONDS, MAX_TRANSITIONS, ReleaseMark, Timings};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::conditions::names;
use crate::parse_warning::ParseWarning;
use crate::timestamp::{format_timestamp, parse_timestamp};
use crate::untrusted::shorten;

/// Constants that hold names of the project's group, and a list of them all.
macro_rules! keys {
    ($(#[$list_doc:meta])* $list:ident: $($(#[$doc:meta])* $key:ident = $name:literal;)*) => {
        $($(#[$doc])* pub const $key: &str = group!($name);)*

        $(#[$list_doc])*
        pub const $list: &[&str] = &[$($key),*];
    };
}

names! {
    /// Why a Lease was released, as the mark of the release in [`AGENT_ANNOTATION`] says it. It is for people: nobody waits shorter or
    /// longer for it.
    ReleaseReason {
        /// Its process was told to stop, as when its pod is deleted.
        Stopped,
        /// The app beside it was not healthy.
        AppUnhealthy,
        /// The command that it ran had ended, or could not be run.
        CommandEnded,
        /// It could not show that it leads, as on a disk that is full, or not start its command.
        PublishFailed,
        /// The election was paused.
        Paused,
        /// The operator asked it to hand over.
        HandedOver,
        /// Its pod had ended, and the operator released the Lease for it.
        PodTerminated,
    }
}

/// The container that the chart's policy adds to pods.
pub const AGENT_CONTAINER: &str = "leader-elector";

keys! {
    /// Every label.
    LABELS:

    /// On a pod: the election that it is a candidate of, unless the election has a selector of its own.
    ELECTION_LABEL = "election";

    /// On a pod: `disabled` keeps the chart's policy from adding an agent.
    INJECTION_LABEL = "injection";

    /// On a candidate's pod, by the operator if the election asks for it: `leader` or `standby`.
    ROLE_LABEL = "role";

    /// On a Lease, operator to the API server's policy: `"true"` if its holder can only be the pod that writes, `"false"` if
    /// candidates name themselves.
    STRICT_IDENTITY_LABEL = "strict-identity";
}

keys! {
    /// Every annotation but those that the chart alone reads.
    ANNOTATIONS:

    /// On a Lease, operator to agents: the timings, and whether it was made as never held.
    TIMINGS_ANNOTATION = "timings";

    /// On a Lease, operator to agents: what it would like to happen.
    HINTS_ANNOTATION = "hints";

    /// On a Lease, among agents: who wrote the record, and whether it was released.
    AGENT_ANNOTATION = "agent";

    /// On a LeaderElection, by a person: the pod that is to lead, or `*` for any but the one that does. The operator removes it
    /// when that is done, or refused.
    TRANSFER_ANNOTATION = "transfer-to";

    /// On a Lease, by a person: `"true"` lets the operator adopt it.
    ADOPT_ANNOTATION = "adopt";
}

/// What [`TIMINGS_ANNOTATION`] says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct TimingsAnnotation {
    /// `None`: no valid set.
    pub timings: Option<Timings>,
    /// The operator's word that nobody can have held this Lease's election before.
    pub never_held: bool,
    /// The operator has made this Lease and does not know yet which absence it has ended (rule O2): nobody takes it.
    pub unconfirmed: bool,
    /// For how long everybody waits who finds what the operator made, in seconds.
    pub wait_seconds: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TimingsJson {
    lease_duration_seconds: i64,
    renew_deadline_seconds: i64,
    retry_period_seconds: i64,
    release_delay_seconds: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TimingsAnnotationJson {
    #[serde(flatten)]
    timings: Option<TimingsJson>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    never_held: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unconfirmed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    wait_seconds: Option<u32>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AgentJson<'a> {
    version: &'a str,
    start: &'a str,
    transitions: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    release: Option<ReleaseJson<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReleaseJson<'a> {
    uid: &'a str,
    transitions: u32,
    renew_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

impl TimingsAnnotation {
    /// For how long everybody waits who finds what the operator made, confirmed or not.
    #[must_use]
    pub fn least_wait_seconds(&self) -> u32 {
        if self.unconfirmed { MAX_LEASE_DURATION_SECONDS } else { self.wait_seconds }
    }

    /// As the annotation's value.
    #[must_use]
    pub fn to_json(&self) -> String {
        let timings = self.timings.map(|timings| TimingsJson {
            lease_duration_seconds: timings.lease_duration_seconds().into(),
            renew_deadline_seconds: timings.renew_deadline_seconds().into(),
            retry_period_seconds: timings.retry_period_seconds().into(),
            release_delay_seconds: timings.release_delay_seconds().into(),
        });
        let wait_seconds = (self.wait_seconds > 0).then_some(self.wait_seconds);
        let TimingsAnnotation { never_held, unconfirmed, .. } = *self;
        json(&TimingsAnnotationJson { timings, never_held, unconfirmed, wait_seconds })
    }

    /// Reads the annotation's value.
    #[must_use]
    pub fn parse(text: &str, warnings: &mut Vec<ParseWarning>) -> TimingsAnnotation {
        let value: Value = serde_json::from_str(text).unwrap_or_default();
        let never_held = value.get("neverHeld") == Some(&Value::Bool(true));
        let unconfirmed = !matches!(value.get("unconfirmed"), None | Some(Value::Null | Value::Bool(false)));
        let wait_seconds = value.get("waitSeconds").filter(|seconds| !seconds.is_null()).map_or(0, |seconds| {
            let seconds = seconds.as_u64().and_then(|seconds| u32::try_from(seconds).ok());
            seconds.unwrap_or(MAX_LEASE_DURATION_SECONDS).min(MAX_LEASE_DURATION_SECONDS)
        });
        let annotation = TimingsAnnotation { timings: None, never_held, unconfirmed, wait_seconds };
        let timings = serde_json::from_value::<TimingsJson>(value).map_err(|error| error.to_string()).and_then(
            |TimingsJson {
                 lease_duration_seconds,
                 renew_deadline_seconds,
                 retry_period_seconds,
                 release_delay_seconds,
             }| {
                Timings::new(
                    lease_duration_seconds,
                    renew_deadline_seconds,
                    retry_period_seconds,
                    release_delay_seconds,
                )
                .map_err(|invalid| invalid.to_string())
            },
        );
        match timings {
            Ok(timings) => TimingsAnnotation { timings: Some(timings), ..annotation },
            Err(why) => {
                warnings.push(ParseWarning::new(TIMINGS_ANNOTATION, text, format!("no timings: {why}")));
                annotation
            }
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HintsJson<'a> {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    paused: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_tenure: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    successor: Option<&'a str>,
}

/// `hints` as the value of [`HINTS_ANNOTATION`].
#[must_use]
pub fn hints_to_json(hints: &Hints) -> String {
    let Hints { paused, end_tenure, successor } = hints;
    json(&HintsJson { paused: *paused, end_tenure: *end_tenure, successor: successor.as_deref() })
}

/// Reads the value of [`HINTS_ANNOTATION`]. What cannot be read is no hint: to ignore one is safe (rule F4).
#[must_use]
pub fn parse_hints(text: &str, warnings: &mut Vec<ParseWarning>) -> Hints {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    let mut odd = !value.is_object();
    let field = |name: &str| value.get(name).filter(|field| !field.is_null()).cloned();
    let (paused, end_tenure, successor) = (field("paused"), field("endTenure"), field("successor"));
    let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
    let hints = Hints {
        paused: paused == Some(Value::Bool(true)),
        end_tenure: end_tenure.as_ref().and_then(number).filter(|number| *number <= MAX_TRANSITIONS),
        successor: successor
            .as_ref()
            .and_then(Value::as_str)
            .filter(|name| !name.is_empty())
            .map(shorten)
            .map(Cow::into_owned),
    };
    odd |= paused.is_some_and(|paused| !paused.is_boolean());
    odd |= end_tenure.is_some() != hints.end_tenure.is_some() || successor.is_some() != hints.successor.is_some();
    if odd {
        warnings.push(ParseWarning::new(HINTS_ANNOTATION, text, hints_to_json(&hints)));
    }
    hints
}

/// `mark` as the value of [`AGENT_ANNOTATION`]; `reason` stands in its release, if it has one.
#[must_use]
pub fn agent_to_json(mark: &AgentMark, reason: Option<ReleaseReason>) -> String {
    json(&AgentJson {
        version: env!("CARGO_PKG_VERSION"),
        start: &mark.start,
        transitions: mark.transitions,
        release: mark.release.as_ref().map(|release| ReleaseJson {
            uid: &release.uid,
            transitions: release.transitions,
            renew_time: format_timestamp(release.renew_time),
            reason: reason.map(ReleaseReason::as_str),
        }),
    })
}

/// Reads the value of [`AGENT_ANNOTATION`].
///
/// One that cannot be read counts as the mark of an unknown agent's running tenure: the Lease is then neither released nor
/// never held, so that everybody waits.
#[must_use]
pub fn parse_agent(text: &str, warnings: &mut Vec<ParseWarning>) -> AgentMark {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    let start = value.get("start").and_then(Value::as_str);
    let transitions = value.get("transitions").and_then(transitions);
    let (Some(start), Some(transitions)) = (start, transitions) else {
        warnings.push(ParseWarning::new(AGENT_ANNOTATION, text, "the mark of an unknown agent"));
        return AgentMark { start: String::new(), transitions: MAX_TRANSITIONS, release: None };
    };
    let release = match value.get("release") {
        None | Some(Value::Null) => None,
        Some(release) => {
            let mark = release_mark(release);
            if mark.is_none() {
                warnings.push(ParseWarning::new(AGENT_ANNOTATION, text, "no release"));
            }
            mark
        }
    };
    AgentMark { start: shorten(start).into_owned(), transitions, release }
}

/// Reads from the value of [`AGENT_ANNOTATION`] why the Lease was released. Any other word than those of [`ReleaseReason`] is none.
pub(crate) fn parse_release_reason(text: &str) -> Option<ReleaseReason> {
    let value: Value = serde_json::from_str(text).ok()?;
    let said = value.get("release")?.get("reason")?.as_str()?;
    ReleaseReason::ALL.iter().copied().find(|reason| reason.as_str() == said)
}

fn release_mark(value: &Value) -> Option<ReleaseMark> {
    Some(ReleaseMark {
        uid: shorten(value.get("uid")?.as_str()?).into_owned(),
        transitions: value.get("transitions").and_then(transitions)?,
        renew_time: parse_timestamp(value.get("renewTime")?.as_str()?)?,
    })
}

fn transitions(value: &Value) -> Option<u32> {
    u32::try_from(value.as_u64()?).ok().filter(|transitions| *transitions <= MAX_TRANSITIONS)
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("strings, numbers and booleans are JSON")
}

#[cfg(test)]
mod tests;
