//! A LeaderElection that others may have written.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use kube::Resource;

use super::{FromUntrusted, JsonFields};
use crate::conditions::ConditionType;
use crate::{LeaderElection, LeaderElectionSpec, LeaderElectionStatus, PastTenure};

/// The longest spec that is read, in bytes of JSON: room for some 2,000 selectors.
pub const MAX_SPEC_BYTES: usize = 256 * 1024;

/// The most past tenures that are read.
const MAX_PAST_TENURES: usize = 10;

/// A LeaderElection as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredElection {
    /// The election, as far as it could be read. A spec that cannot be read is replaced by the default.
    pub election: LeaderElection,
    /// Why the spec cannot be read, for people; `None` if it can.
    pub unreadable: Option<String>,
    /// The length of the election as JSON, in bytes, with all that was not read.
    pub json_bytes: usize,
}

impl FromUntrusted for StoredElection {
    fn from_untrusted(json: &str) -> StoredElection {
        let fields = JsonFields::of(json);
        let metadata = fields.metadata();
        let (spec, unreadable) = match spec(fields.json("spec")) {
            Ok(spec) => (spec, None),
            Err(why) => (LeaderElectionSpec::default(), Some(why)),
        };
        let status = fields.json("status").map(status);
        StoredElection { election: LeaderElection { metadata, spec, status }, unreadable, json_bytes: json.len() }
    }
}

impl FromUntrusted for LeaderElection {
    /// Reads an election, for programs that show elections. A spec that cannot be read is replaced by the default.
    fn from_untrusted(json: &str) -> LeaderElection {
        StoredElection::from_untrusted(json).election
    }
}

impl From<LeaderElection> for StoredElection {
    fn from(election: LeaderElection) -> StoredElection {
        let json_bytes = serde_json::to_string(&election).map_or(0, |json| json.len());
        StoredElection { election, unreadable: None, json_bytes }
    }
}

impl Resource for StoredElection {
    type DynamicType = ();
    type Scope = <LeaderElection as Resource>::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        LeaderElection::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        LeaderElection::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        LeaderElection::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        LeaderElection::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.election.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.election.metadata
    }
}

fn spec(json: Option<&str>) -> Result<LeaderElectionSpec, String> {
    let Some(json) = json else { return Ok(LeaderElectionSpec::default()) };
    let length = json.len();
    if length > MAX_SPEC_BYTES {
        return Err(format!("it has {length} bytes of JSON; {MAX_SPEC_BYTES} are read at most"));
    }
    serde_json::from_str(json).map_err(|error| format!("it cannot be read: {error}"))
}

/// Reads the parts of a status that the operator goes by: its own conditions, and as many past tenures as it keeps.
fn status(json: &str) -> LeaderElectionStatus {
    let fields = JsonFields::of(json);
    let mut conditions: Vec<Condition> = fields.items("conditions");
    conditions.retain(|condition| ConditionType::ALL.iter().any(|known| known.as_str() == condition.type_));
    let mut history: Vec<PastTenure> = fields.items("history");
    history.truncate(MAX_PAST_TENURES);
    LeaderElectionStatus {
        observed_generation: fields.read("observedGeneration"),
        selector: fields.read("selector"),
        lease_uid: fields.read("leaseUID"),
        state: fields.read("state"),
        holder: fields.read("holder"),
        lease_transitions: fields.read("leaseTransitions"),
        candidates: fields.read("candidates"),
        ready_candidates: fields.read("readyCandidates"),
        history,
        conditions,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::untrusted::Untrusted;

    fn read(election: &serde_json::Value) -> StoredElection {
        let Untrusted(stored) = serde_json::from_str(&election.to_string()).unwrap();
        stored
    }

    #[test]
    fn what_is_written_is_read() {
        let mut election = LeaderElection::new("billing", LeaderElectionSpec::default());
        election.metadata.namespace = Some("shop".to_owned());
        election.metadata.resource_version = Some("7".to_owned());
        election.status = Some(LeaderElectionStatus { lease_transitions: Some(4), ..LeaderElectionStatus::default() });
        let json = serde_json::to_value(&election).unwrap();
        assert_eq!(read(&json), StoredElection { election, unreadable: None, json_bytes: json.to_string().len() });
    }

    #[test]
    fn no_field_that_is_not_used_keeps_the_rest_from_being_read() {
        let far = "9999-12-31T23:59:59Z";
        let stored = read(&json!({
            "metadata": {
                "name": "billing",
                "managedFields": [{"manager": "m", "operation": "Update", "time": far, "fieldsV1": {"f:a": {}}}],
                "labels": {"odd": null, "app": "billing"},
                "creationTimestamp": far,
                "deletionTimestamp": null,
            },
            "spec": {"leaseDurationSeconds": 20, "unknown": [1]},
            "status": {
                "holder": {"name": 7},
                "leaseTransitions": 4,
                "history": [{"holder": "a"}, {"holder": "a", "identity": "a", "leaseTransitions": 4}],
                "conditions": [
                    {"type": "Ready", "status": "True", "reason": "R", "message": "", "lastTransitionTime": far},
                    {"type": "Other", "status": "True", "reason": "R", "message": "", "lastTransitionTime": "2026-11-30T00:00:00Z"},
                    {"type": "LeaderElected", "status": "True", "reason": "R", "message": "", "lastTransitionTime": "2026-11-30T00:00:00Z"},
                ],
            },
        }));
        assert_eq!((stored.unreadable, stored.election.spec.lease_duration_seconds), (None, 20));
        let metadata = stored.election.metadata;
        assert_eq!((metadata.name.as_deref(), metadata.managed_fields), (Some("billing"), None));
        assert_eq!(metadata.labels.unwrap(), [("app".to_owned(), "billing".to_owned())].into());
        assert!(metadata.creation_timestamp.is_some() && metadata.deletion_timestamp.is_none());
        let status = stored.election.status.unwrap();
        assert_eq!((status.holder, status.lease_transitions, status.history.len()), (None, Some(4), 1));
        assert_eq!(status.conditions.iter().map(|it| it.type_.as_str()).collect::<Vec<_>>(), ["LeaderElected"]);
    }

    #[test]
    fn a_spec_that_cannot_be_read_is_named_and_costs_nothing_else() {
        for (spec, why) in [
            (json!({"paused": "yes"}), "invalid type: string \"yes\", expected a boolean"),
            (json!(7), "invalid type: integer"),
            (json!({"candidates": {"serviceAccountNames": ["x".repeat(MAX_SPEC_BYTES)]}}), "262144 are read at most"),
        ] {
            let stored = read(&json!({"metadata": {"name": "billing"}, "spec": spec, "status": {"candidates": 3}}));
            assert!(stored.unreadable.as_ref().is_some_and(|said| said.contains(why)), "{:?}", stored.unreadable);
            assert_eq!(stored.election.metadata.name.as_deref(), Some("billing"));
            assert_eq!(stored.election.status.unwrap().candidates, Some(3));
        }
    }

    #[test]
    fn anything_at_all_is_read_as_some_election() {
        for json in ["{}", "null", "7", "[]", r#"{"metadata":[],"spec":null,"status":"x"}"#] {
            let Untrusted(stored) = serde_json::from_str::<Untrusted<StoredElection>>(json).unwrap();
            assert_eq!(stored.election.metadata.name, None, "{json}");
        }
    }
}
