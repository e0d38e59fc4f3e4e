//! Whatever stands in the objects of a namespace, index and plan take it in without a panic, and elections beside it are planned as
//! they were.
//!
//! `PROPTEST_CASES=1000000` looks longer.

use std::time::Duration;

use elector_crds::untrusted::{FromUntrusted, StoredElection};
use elector_crds::{LeaderElection, LeaderElectionSpec, StoredLease};
use elector_operator::index::{ClockReading, Index, Observation, StoredPod};
use elector_operator::key::Key;
use elector_operator::plan::plan;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::runtime::watcher::Event;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// Names of fields that some reader knows.
const FIELDS: &str = "metadata spec status name namespace uid resourceVersion labels annotations ownerReferences controller \
                      apiVersion kind managedFields time deletionTimestamp creationTimestamp generation candidates selector \
                      matchLabels matchExpressions key operator values serviceAccountNames preferred identity paused \
                      leaseDurationSeconds leaderService ports port targetPort holder history conditions type reason message \
                      lastTransitionTime containers initContainers containerStatuses state terminated exitCode finishedAt \
                      podIPs ip phase rules roleRef subjects endpoints addresses addressType holderIdentity renewTime \
                      acquireTime leaseTransitions";

/// What a field may hold that some reader would take for its own.
const TEXTS: &[&str] = &["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "True", "Ready", "LeaderElection", "billing"];

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
        prop::sample::select(TEXTS).prop_map(Value::from),
    ];
    let names: Vec<String> = FIELDS.split_whitespace().map(str::to_owned).collect();
    leaf.prop_recursive(5, 64, 6, move |inner| {
        let fields = prop::collection::vec((prop::sample::select(names.clone()), inner.clone()), 0..6);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::from),
            fields.prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// An object of that name, of which any other field may be anything.
fn named(object: &Value, name: &str) -> String {
    let mut object = if object.is_object() { object.clone() } else { json!({"spec": object}) };
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    for (field, value) in [("name", name), ("namespace", "shop"), ("uid", "u"), ("resourceVersion", "7")] {
        object["metadata"][field] = json!(value);
    }
    object.to_string()
}

fn show<K: FromUntrusted>(index: &mut Index, seen: fn(Event<K>) -> Observation, objects: &[String], now: ClockReading) {
    let listed = objects.iter().map(|object| Event::InitApply(K::from_untrusted(object)));
    for event in [Event::Init].into_iter().chain(listed).chain([Event::InitDone]) {
        index.handle_seen(seen(event), now);
    }
    for object in objects {
        index.handle_seen(seen(Event::Apply(K::from_untrusted(object))), now);
    }
}

fn sane() -> String {
    let mut election = LeaderElection::new("sane", LeaderElectionSpec::default());
    election.metadata.namespace = Some("bank".to_owned());
    election.metadata.uid = Some("s".to_owned());
    election.metadata.resource_version = Some("3".to_owned());
    json!(election).to_string()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(500)))]

    #[test]
    fn anything_is_taken_in_and_planned_for(objects in prop::collection::vec(any_json(), 7), seconds in 0_u64..100) {
        let now = ClockReading { at: Duration::from_secs(seconds), wall: Timestamp::UNIX_EPOCH };
        let mut index = Index::default();
        let odd = |number: usize, name: &str| [named(&objects[number], name)];
        show::<StoredElection>(&mut index, Observation::Election, &[named(&objects[0], "billing"), sane()], now);
        show::<StoredLease>(&mut index, Observation::Lease, &odd(1, "billing"), now);
        show::<StoredPod>(&mut index, Observation::Pod, &odd(2, "billing-0"), now);
        show::<Role>(&mut index, Observation::Role, &odd(3, "leader-elector-billing"), now);
        show::<RoleBinding>(&mut index, Observation::RoleBinding, &odd(4, "leader-elector-billing"), now);
        show::<Service>(&mut index, Observation::Service, &odd(5, "billing"), now);
        show::<EndpointSlice>(&mut index, Observation::Slice, &odd(6, "leader-elector-billing-ipv4"), now);
        prop_assert!(index.is_complete());
        let (election, snapshot) = index.snapshot(&Key::new("shop", "billing")).unwrap();
        let _ = plan(&election, &snapshot, now);
        let (election, snapshot) = index.snapshot(&Key::new("bank", "sane")).unwrap();
        prop_assert_eq!(&election.spec, &LeaderElectionSpec::default());
        prop_assert!(plan(&election, &snapshot, now).has_objects());
    }
}
