//! A Lease as it is stored, and its translation to and from what the election decides on.
//!
//! [`StoredLease`] keeps `spec` as the JSON that it is: fields that this version does not know survive a replace. No
//! value that others may have written can make a Lease, or a list of Leases, unreadable.

#[cfg(test)]
mod tests;

use elector_election::{Lease, MAX_LEASE_DURATION_SECONDS, MAX_TRANSITIONS, Record, ResourceVersion, Timestamp, Write};
use k8s_openapi::api::coordination;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::annotations::{
    AGENT_ANNOTATION, HINTS_ANNOTATION, ReleaseReason, TIMINGS_ANNOTATION, TimingsAnnotation, agent_to_json,
    parse_agent, parse_hints, parse_release_reason,
};
use crate::leader_election_status::TenureEnd;
use crate::parse_warning::ParseWarning;
use crate::timestamp::{format_timestamp, parse_timestamp};
use crate::untrusted::{FromUntrusted, JsonFields, Untrusted, shorten};

const HOLDER_IDENTITY: &str = "holderIdentity";
const LEASE_DURATION_SECONDS: &str = "leaseDurationSeconds";
const ACQUIRE_TIME: &str = "acquireTime";
const RENEW_TIME: &str = "renewTime";
const LEASE_TRANSITIONS: &str = "leaseTransitions";

/// The times of a Lease that was never held: some libraries cannot read a Lease without times, and no clock shows this
/// one.
const NEVER: &str = "1970-01-01T00:00:00.000000Z";

/// A `coordination.k8s.io/v1` Lease: for `kube::Api`, and to be sent back whole.
#[derive(Resource, Serialize, Debug, Clone, PartialEq)]
#[resource(inherit = "coordination::v1::Lease")]
#[serde(rename_all = "camelCase")]
pub struct StoredLease {
    api_version: &'static str,
    kind: &'static str,
    /// The metadata without `managedFields`.
    pub metadata: ObjectMeta,
    /// The spec as it is stored.
    pub spec: Map<String, Value>,
}

impl FromUntrusted for StoredLease {
    fn from_untrusted(json: &str) -> StoredLease {
        let fields = JsonFields::of(json);
        StoredLease { spec: fields.read("spec").unwrap_or_default(), ..StoredLease::new(fields.metadata()) }
    }
}

impl<'de> Deserialize<'de> for StoredLease {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Untrusted(lease) = Untrusted::deserialize(deserializer)?;
        Ok(lease)
    }
}

/// Why a Lease cannot take part in an election. The API server makes no such Lease.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnusableLease {
    /// The Lease has no uid.
    #[error("the Lease has no uid")]
    NoUid,
    /// The Lease's resourceVersion is no number, so that two versions cannot be ordered.
    #[error("the Lease's resourceVersion {0:?} is not a number")]
    ResourceVersion(String),
}

impl StoredLease {
    /// A Lease that is to be created.
    #[must_use]
    pub fn new(metadata: ObjectMeta) -> StoredLease {
        StoredLease { api_version: "coordination.k8s.io/v1", kind: "Lease", metadata, spec: Map::new() }
    }

    /// The value of an annotation.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.metadata.annotations.as_ref()?.get(key).map(String::as_str)
    }

    /// The operator's annotation; what cannot be read in it is left out.
    #[must_use]
    pub fn timings_annotation(&self) -> TimingsAnnotation {
        let text = self.annotation(TIMINGS_ANNOTATION);
        text.map(|text| TimingsAnnotation::parse(text, &mut Vec::new())).unwrap_or_default()
    }

    /// Removes times that the API server stores but would refuse in a write, such as those of the year 10000.
    pub fn drop_unstorable_times(&mut self) {
        let has_year = |time: &str| matches!(time.as_bytes(), [a, b, c, d, b'-', ..] if [a, b, c, d].into_iter().all(u8::is_ascii_digit));
        for field in [ACQUIRE_TIME, RENEW_TIME] {
            if self.spec.get(field).and_then(Value::as_str).is_some_and(|time| !has_year(time)) {
                self.spec.remove(field);
            }
        }
    }

    /// Sets an annotation, and keeps the others.
    pub fn set_annotation(&mut self, key: &str, value: String) {
        self.metadata.annotations.get_or_insert_default().insert(key.to_owned(), value);
    }
}

/// Reads a stored Lease. Values that are null, extreme or garbage are clamped and returned as warnings. Names that are
/// longer than [`MAX_TEXT_BYTES`](crate::untrusted::MAX_TEXT_BYTES) are shortened.
///
/// # Errors
/// If the Lease has no uid, or no resourceVersion that can be compared.
pub fn read(stored: &StoredLease) -> Result<(Lease, Vec<ParseWarning>), UnusableLease> {
    let uid = stored.metadata.uid.clone().filter(|uid| !uid.is_empty()).ok_or(UnusableLease::NoUid)?;
    let resource_version = stored.metadata.resource_version.as_deref().unwrap_or_default();
    let resource_version = resource_version
        .parse()
        .map(ResourceVersion)
        .map_err(|_| UnusableLease::ResourceVersion(resource_version.to_owned()))?;

    let mut warnings = Vec::new();
    let mut spec = Fields { spec: &stored.spec, warnings: &mut warnings };
    let record = Record {
        uid,
        holder: shorten(spec.string(HOLDER_IDENTITY).unwrap_or_default()).into_owned(),
        acquire_time: spec.time(ACQUIRE_TIME),
        renew_time: spec.time(RENEW_TIME),
        transitions: spec.number(LEASE_TRANSITIONS, MAX_TRANSITIONS).unwrap_or(0),
    };
    let lease_duration_seconds = match spec.number(LEASE_DURATION_SECONDS, MAX_LEASE_DURATION_SECONDS) {
        Some(seconds) => seconds,
        None => {
            if !record.holder.is_empty() {
                warnings.push(ParseWarning::new(LEASE_DURATION_SECONDS, "null", "0"));
            }
            0
        }
    };
    let annotation = match stored.annotation(TIMINGS_ANNOTATION) {
        Some(text) => TimingsAnnotation::parse(text, &mut warnings),
        None => TimingsAnnotation::default(),
    };
    let agent = stored.annotation(AGENT_ANNOTATION).map(|text| parse_agent(text, &mut warnings));
    let hints = stored.annotation(HINTS_ANNOTATION).map(|text| parse_hints(text, &mut warnings)).unwrap_or_default();
    let TimingsAnnotation { timings, never_held, .. } = annotation;
    let least_wait_seconds = annotation.least_wait_seconds();
    let lease = Lease {
        resource_version,
        record,
        lease_duration_seconds,
        timings,
        never_held,
        least_wait_seconds,
        hints,
        agent,
    };
    Ok((lease, warnings))
}

/// Why the agent that held the Lease last gave it up, if its mark says so. `lease` is `stored` as it was read. A mark
/// counts only if the record is still as that agent left it: what an earlier holder left says nothing of a later one.
#[must_use]
pub fn release_reason(stored: &StoredLease, lease: &Lease) -> Option<ReleaseReason> {
    let release = lease.agent.as_ref()?.release.as_ref()?;
    let is_of_this_record = lease.record.holder.is_empty() && release.is_of(&lease.record);
    parse_release_reason(stored.annotation(AGENT_ANNOTATION).filter(|_| is_of_this_record)?)
}

/// The sentence that the last leader gave the Lease up, with the reason. What the operator asked the leader for is left
/// out: another message says what came of it.
#[must_use]
pub fn given_up(reason: Option<ReleaseReason>) -> String {
    let asked = [ReleaseReason::Paused, ReleaseReason::HandedOver];
    match reason.filter(|reason| !asked.contains(reason)) {
        Some(reason) => format!("the last leader gave the Lease up: {}", TenureEnd::from(reason).in_words()),
        None => "the last leader gave the Lease up".to_owned(),
    }
}

/// Writes the record and the agent's mark of `write` into `stored`; everything else is kept. `reason` is for a release
/// alone.
pub fn apply(write: &Write, reason: Option<ReleaseReason>, stored: &mut StoredLease) {
    if write.holder.is_empty() {
        stored.spec.remove(HOLDER_IDENTITY);
    } else {
        stored.spec.insert(HOLDER_IDENTITY.to_owned(), write.holder.as_str().into());
    }
    stored.spec.insert(LEASE_DURATION_SECONDS.to_owned(), write.lease_duration_seconds.into());
    stored.spec.insert(ACQUIRE_TIME.to_owned(), format_timestamp(write.acquire_time).into());
    stored.spec.insert(RENEW_TIME.to_owned(), format_timestamp(write.renew_time).into());
    stored.spec.insert(LEASE_TRANSITIONS.to_owned(), write.transitions.into());
    stored.set_annotation(AGENT_ANNOTATION, agent_to_json(&write.agent, reason));
}

/// The record that the operator writes where there is no Lease. It never writes these fields of a Lease that exists
/// (rule O1).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum FirstRecord {
    /// No candidate can have held the Lease (rule O2).
    NeverHeld {
        /// The lease duration, in seconds.
        lease_duration_seconds: u32,
    },
    /// A candidate may still believe that it holds the Lease: every candidate waits for that holder.
    Restored {
        /// The last known holder.
        holder: String,
        /// The lease duration, in seconds.
        lease_duration_seconds: u32,
        /// The time of the restoration, for people to read.
        at: Timestamp,
        /// The last known number of tenures.
        transitions: u32,
    },
}

impl FirstRecord {
    /// Writes the record into a Lease that is to be created.
    pub fn apply(&self, stored: &mut StoredLease) {
        let spec = &mut stored.spec;
        match self {
            FirstRecord::NeverHeld { lease_duration_seconds } => {
                spec.insert(LEASE_DURATION_SECONDS.to_owned(), (*lease_duration_seconds).into());
                spec.insert(ACQUIRE_TIME.to_owned(), NEVER.into());
                spec.insert(RENEW_TIME.to_owned(), NEVER.into());
                spec.insert(LEASE_TRANSITIONS.to_owned(), 0.into());
            }
            FirstRecord::Restored { holder, lease_duration_seconds, at, transitions } => {
                spec.insert(HOLDER_IDENTITY.to_owned(), holder.as_str().into());
                spec.insert(LEASE_DURATION_SECONDS.to_owned(), (*lease_duration_seconds).into());
                spec.insert(ACQUIRE_TIME.to_owned(), format_timestamp(*at).into());
                spec.insert(RENEW_TIME.to_owned(), format_timestamp(*at).into());
                spec.insert(LEASE_TRANSITIONS.to_owned(), (*transitions).into());
            }
        }
    }
}

struct Fields<'a> {
    spec: &'a Map<String, Value>,
    warnings: &'a mut Vec<ParseWarning>,
}

impl Fields<'_> {
    fn string(&mut self, field: &'static str) -> Option<&str> {
        match self.spec.get(field) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text),
            Some(other) => {
                self.warnings.push(ParseWarning::new(field, &other.to_string(), "null"));
                None
            }
        }
    }

    fn time(&mut self, field: &'static str) -> Option<Timestamp> {
        let text = self.string(field).filter(|text| *text != NEVER)?.to_owned();
        let time = parse_timestamp(&text);
        match time {
            None => self.warnings.push(ParseWarning::new(field, &text, "null")),
            Some(time) if time == Timestamp::MIN || time == Timestamp::MAX => {
                self.warnings.push(ParseWarning::new(field, &text, format_timestamp(time)));
            }
            Some(_) => {}
        }
        time
    }

    /// The number in a field: `None` if it is null, 0 if it is negative or no number, and `most` if it is larger.
    fn number(&mut self, field: &'static str, most: u32) -> Option<u32> {
        let value = self.spec.get(field).filter(|value| !value.is_null())?;
        let number = value.as_i64().unwrap_or(0).clamp(0, most.into());
        if value.as_i64() != Some(number) {
            self.warnings.push(ParseWarning::new(field, &value.to_string(), number.to_string()));
        }
        Some(u32::try_from(number).expect("clamped to 0..=most"))
    }
}
