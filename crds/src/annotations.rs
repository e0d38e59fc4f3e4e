//! The project's labels and annotations, and the JSON that some of them carry on a Lease.
//!
//! Reading never fails: a value that is missing or wrong is left out, or read as what makes candidates wait longest,
//! and reported as a [`ParseWarning`]. Unknown JSON fields are ignored.

use std::borrow::Cow;

use elector_election::{AgentMark, Hints, MAX_LEASE_DURATION_SECONDS, MAX_TRANSITIONS, ReleaseMark, Timings};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::conditions::names;
use crate::parse_warning::ParseWarning;
use crate::timestamp::{format_timestamp, parse_timestamp};
use crate::untrusted::shorten;

/// Defines constants for names in the project's group, and a list of them all.
macro_rules! keys {
    ($(#[$list_doc:meta])* $list:ident: $($(#[$doc:meta])* $key:ident = $name:literal;)*) => {
        $($(#[$doc])* pub const $key: &str = group!($name);)*

        $(#[$list_doc])*
        pub const $list: &[&str] = &[$($key),*];
    };
}

names! {
    /// Why a Lease was released, as the release mark in [`AGENT_ANNOTATION`] states it. The reason is for people:
    /// candidates wait no shorter or longer for it.
    ReleaseReason {
        /// The holder's process was told to stop, for example because its pod is deleted.
        Stopped,
        /// The app beside the holder was not healthy.
        AppUnhealthy,
        /// The command that the holder ran had ended, or could not be run.
        CommandEnded,
        /// The holder could not publish that it leads, for example on a full disk, or could not start its command.
        PublishFailed,
        /// The election was paused.
        Paused,
        /// The operator asked the holder to hand over.
        HandedOver,
        /// The holder's pod had ended, and the operator released the Lease for it.
        PodTerminated,
    }
}

/// The name of the container that the chart's policy adds to pods.
pub const AGENT_CONTAINER: &str = "leader-elector";

keys! {
    /// All labels of the project.
    LABELS:

    /// A pod's label that names the election it is a candidate of, unless the election has a selector of its own.
    ELECTION_LABEL = "election";

    /// A pod's label: `disabled` keeps the chart's policy from adding an agent.
    INJECTION_LABEL = "injection";

    /// The label that the operator sets on a candidate's pod if the election asks for it: `leader` or `standby`.
    ROLE_LABEL = "role";

    /// The label that the operator sets on a Lease for the API server's policy: `"true"` if only the pod that writes
    /// may be the holder, `"false"` if candidates name themselves.
    STRICT_IDENTITY_LABEL = "strict-identity";
}

keys! {
    /// All annotations of the project but those that the chart alone reads.
    ANNOTATIONS:

    /// The annotation on a Lease by which the operator tells agents the timings, and whether the Lease was created as
    /// never held.
    TIMINGS_ANNOTATION = "timings";

    /// The annotation on a Lease by which the operator tells agents what it would like to happen.
    HINTS_ANNOTATION = "hints";

    /// The annotation on a Lease by which agents tell each other which process wrote the record, and whether it was
    /// released.
    AGENT_ANNOTATION = "agent";

    /// The annotation by which a person asks for another leader, on a LeaderElection: the pod that is to lead, or `*`
    /// for any but the current one. The operator removes it when the request is done or refused.
    TRANSFER_ANNOTATION = "transfer-to";

    /// The annotation by which a person lets the operator adopt a Lease, on that Lease: `"true"`.
    ADOPT_ANNOTATION = "adopt";
}

/// The content of [`TIMINGS_ANNOTATION`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct TimingsAnnotation {
    /// The timings; `None` if there is no valid set.
    pub timings: Option<Timings>,
    /// Whether the operator says that no candidate can have held this Lease's election before.
    pub never_held: bool,
    /// Whether the operator has created this Lease and does not know yet which absence it has ended: no candidate takes
    /// the Lease (rule O2).
    pub unconfirmed: bool,
    /// How long every candidate that finds the operator's record waits, in seconds.
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
    /// How long every candidate that finds the operator's record waits, in seconds; the longest possible while the
    /// Lease is unconfirmed.
    #[must_use]
    pub fn least_wait_seconds(&self) -> u32 {
        if self.unconfirmed { MAX_LEASE_DURATION_SECONDS } else { self.wait_seconds }
    }

    /// The JSON that is the annotation's value.
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

/// `hints` as the value of [`HINTS_ANNOTATION`], in JSON.
#[must_use]
pub fn hints_to_json(hints: &Hints) -> String {
    let Hints { paused, end_tenure, successor } = hints;
    json(&HintsJson { paused: *paused, end_tenure: *end_tenure, successor: successor.as_deref() })
}

/// Reads the value of [`HINTS_ANNOTATION`]. A part that cannot be read gives no hint: ignoring a hint is safe (rule
/// F4).
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

/// `mark` as the value of [`AGENT_ANNOTATION`], in JSON. `reason` goes into the mark's release, if the mark has one.
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
/// A value that cannot be read counts as the mark of an unknown agent whose tenure goes on. The Lease then counts as
/// neither released nor never held, so that every candidate waits.
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

/// Reads why the Lease was released from the value of [`AGENT_ANNOTATION`]. `None` for a word that is not in
/// [`ReleaseReason`].
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
