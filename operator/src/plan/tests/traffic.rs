//! The leader's Service and its EndpointSlices.

use std::sync::Arc;

use super::*;
use crate::features::Features;
use crate::index::{FailedWrites, NamedPort, Part};
use crate::plan::TrafficWrite;
use elector_crds::conditions::Reason;
use elector_crds::ownership::OPERATOR_NAME;
use elector_crds::{LeaderService, LeaderServicePort, PodLabels, Protocol, ROLE_LABEL, TargetPort};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;

const FEATURES: Features = Features { leader_service: true, pod_labels: true };

fn port(number: i64, target: Option<TargetPort>) -> LeaderServicePort {
    LeaderServicePort { name: None, port: number, target_port: target, protocol: Protocol::Tcp, app_protocol: None }
}

fn asks_for(name: &str) -> LeaderElection {
    let mut election = election();
    let ports = vec![port(80, Some(TargetPort::Number(8080)))];
    election.spec.leader_service = Some(LeaderService { name: name.to_owned(), ports });
    election
}

/// As [`in_place`], with pods that have addresses.
fn reachable(lease: LeaseSeen) -> ElectionSnapshot {
    let mut snapshot = in_place(lease);
    for (number, pod) in (1_u32..).zip(&mut snapshot.pods) {
        Arc::make_mut(pod).addresses =
            ["10.0.0.", "fd00::"].map(|network| format!("{network}{number}").parse().unwrap()).to_vec();
    }
    let holder = snapshot.holder_pod.map(|holder| holder.name.clone());
    snapshot.holder_pod = snapshot.pods.iter().find(|pod| Some(&pod.name) == holder.as_ref()).cloned();
    snapshot.features = FEATURES;
    snapshot
}

/// Does what is planned until nothing is left to do for traffic, as the API server would; and returns all of it.
fn settle(election: &LeaderElection, snapshot: &mut ElectionSnapshot, second: u64) -> Vec<TrafficWrite> {
    let mut done = Vec::new();
    loop {
        let plan = plan(election, snapshot, at(second));
        if plan.traffic.is_empty() {
            return done;
        }
        assert_eq!(Plan { traffic: vec![], ..plan.clone() }, Plan::default(), "traffic waits for nothing else");
        assert!(done.len() < 9, "it never ends: {done:?}");
        for write in plan.traffic {
            carry_out(snapshot, &write);
            done.push(write);
        }
    }
}

fn carry_out(snapshot: &mut ElectionSnapshot, write: &TrafficWrite) {
    let services = |snapshot: &mut ElectionSnapshot, service: &Service| {
        snapshot.services.retain(|known| known.metadata.name != service.metadata.name);
    };
    let slices = |snapshot: &mut ElectionSnapshot, slice: &EndpointSlice| {
        snapshot.slices.retain(|known| known.metadata.name != slice.metadata.name);
    };
    match write {
        TrafficWrite::Service(service) => {
            services(snapshot, service);
            let mut stored = Service::clone(service);
            // An empty one is none, as it is stored.
            stored.spec.as_mut().unwrap().selector = None;
            snapshot.services.push(stored);
        }
        TrafficWrite::Slice(slice) => {
            slices(snapshot, slice);
            snapshot.slices.push(EndpointSlice::clone(slice));
        }
        TrafficWrite::DeleteService(service) => services(snapshot, service),
        TrafficWrite::DeleteSlice(slice) => slices(snapshot, slice),
        TrafficWrite::Label(label) => {
            let holder = snapshot.holder_pod.iter_mut();
            snapshot.strays.retain(|pod| pod.uid != label.uid);
            for pod in snapshot.pods.iter_mut().chain(holder).filter(|pod| pod.uid == label.uid) {
                let labels = &mut Arc::make_mut(pod).labels;
                labels.remove(ROLE_LABEL);
                labels.extend(label.role.map(|role| (ROLE_LABEL.to_owned(), role.as_str().to_owned())));
            }
            let leaders = snapshot.pods.iter().filter(|pod| role(pod) == "leader").count();
            assert!(leaders <= 1, "two leaders");
        }
    }
}

/// The addresses that are reached, with whether each is ready.
fn endpoints(snapshot: &ElectionSnapshot) -> Vec<(String, bool)> {
    let endpoints = snapshot.slices.iter().flat_map(|slice| &slice.endpoints);
    endpoints
        .map(|endpoint| (endpoint.addresses[0].clone(), endpoint.conditions.as_ref().unwrap().ready.unwrap()))
        .collect()
}

fn both(number: u32, ready: bool) -> Vec<(String, bool)> {
    vec![(format!("10.0.0.{number}"), ready), (format!("fd00::{number}"), ready)]
}

#[test]
fn the_leader_alone_is_reached() {
    let mut snapshot = reachable(held_by("billing-0", 1, 0));
    let writes = settle(&asks_for("front"), &mut snapshot, 1);
    let service = json!(snapshot.services[0]);
    assert_eq!(
        service["spec"],
        json!({"type": "ClusterIP", "ports": [{"port": 80, "targetPort": 8080, "protocol": "TCP"}]})
    );
    assert_eq!(service["metadata"]["ownerReferences"][0]["uid"], "election-uid");
    assert!(
        matches!(writes[..], [TrafficWrite::Service(_), TrafficWrite::Slice(_), TrafficWrite::Slice(_)]),
        "{writes:?}"
    );
    assert_eq!(
        json!(snapshot.slices[0]),
        json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": "leader-elector-billing-ipv4",
                "namespace": "shop",
                "labels": {
                    "app.kubernetes.io/managed-by": OPERATOR_NAME,
                    "endpointslice.kubernetes.io/managed-by": OPERATOR_NAME,
                    "kubernetes.io/service-name": "front",
                    "leader-elector.io/election": "billing",
                },
                "ownerReferences": [own_reference()],
            },
            "addressType": "IPv4",
            "endpoints": [{
                "addresses": ["10.0.0.1"],
                "conditions": {"ready": true},
                "nodeName": "node-3",
                "targetRef": {"kind": "Pod", "namespace": "shop", "name": "billing-0", "uid": "billing-0-uid"},
            }],
            "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
        })
    );
}

#[test]
fn nobody_is_reached_once_nobody_leads() {
    let mut snapshot = reachable(held_by("billing-0", 1, 0));
    let election = asks_for("front");
    settle(&election, &mut snapshot, 1);
    assert_eq!(endpoints(&snapshot), both(1, true));

    let mut freed = ElectionSnapshot { lease: Some(released(1, 2)), holder_pod: None, ..snapshot.clone() };
    let at_once = plan(&election, &freed, at(2));
    assert_eq!(at_once.traffic, [], "the next leader comes within milliseconds, and proxies wait between two changes");
    let at_once = plan(&after(&election, &at_once), &freed, at(2));
    assert_eq!(at_once.next_look, Some(Duration::from_millis(2100)));
    settle(&election, &mut freed, 3);
    assert_eq!(endpoints(&freed), []);
    assert_eq!(freed.slices.len(), 2, "they stay, for the next leader");

    let mut gone = ElectionSnapshot { lease: None, ..snapshot.clone() };
    settle(&election, &mut gone, 2);
    assert_eq!(endpoints(&gone), []);

    let mut next = reachable(held_by("billing-1", 2, 2));
    (next.services, next.slices) = (freed.services, freed.slices);
    settle(&election, &mut next, 2);
    assert_eq!(endpoints(&next), both(2, true));
}

#[test]
fn a_holder_that_fell_silent_is_reached_until_the_lease_was_read_once_more() {
    let mut snapshot = reachable(held_by("billing-0", 1, 0));
    let election = asks_for("front");
    settle(&election, &mut snapshot, 1);
    let expired = plan(&election, &snapshot, at(16));
    assert_eq!((expired.traffic, expired.lease), (vec![], crate::plan::LeaseAction::Look));
    snapshot.lease.as_mut().unwrap().read_at = Some(Duration::from_secs(16));
    settle(&election, &mut snapshot, 16);
    assert_eq!(endpoints(&snapshot), []);
}

#[test]
fn after_a_restart_traffic_stays_where_it_is_and_begins_nowhere() {
    let unseen = |pod| {
        let mut lease = held_by(pod, 1, 0);
        lease.moved = false;
        lease
    };
    let mut snapshot = reachable(held_by("billing-0", 1, 0));
    let election = asks_for("front");
    settle(&election, &mut snapshot, 1);
    snapshot.lease = Some(unseen("billing-0"));
    assert_eq!(settle(&election, &mut snapshot, 1), []);
    let mut other = reachable(unseen("billing-1"));
    (other.services, other.slices) = (snapshot.services, snapshot.slices);
    settle(&election, &mut other, 1);
    assert_eq!(endpoints(&other), []);
}

#[test]
fn a_leader_that_is_not_ready_is_told_as_such_and_one_that_ends_is_not() {
    let election = asks_for("front");
    let mut snapshot = reachable(held_by("billing-0", 1, 0));
    settle(&election, &mut snapshot, 1);
    let mut unready = snapshot.clone();
    Arc::make_mut(unready.holder_pod.as_mut().unwrap()).ready_since = None;
    settle(&election, &mut unready, 1);
    assert_eq!(endpoints(&unready), both(1, false));
    let status = plan(&election, &unready, at(1)).status.unwrap();
    assert_eq!(
        message(&status, ConditionType::LeaderElected),
        "billing-0 holds the Lease; Service front waits for it to be ready"
    );
    let mut ending = snapshot.clone();
    Arc::make_mut(ending.holder_pod.as_mut().unwrap()).terminating = true;
    assert_eq!(settle(&election, &mut ending, 1), [], "it leads on, and nobody else does");
}

#[test]
fn a_port_by_name_is_the_one_of_the_leaders_containers() {
    let mut election = asks_for("front");
    election.spec.leader_service.as_mut().unwrap().ports = vec![port(80, Some(TargetPort::Name("http".to_owned())))];
    let mut snapshot = reachable(held_by("billing-0", 1, 0));
    let named = |protocol: &str, number| NamedPort { name: "http".to_owned(), protocol: protocol.to_owned(), number };
    let mut without = snapshot.clone();
    settle(&election, &mut without, 1);
    assert_eq!(endpoints(&without), [], "reached at no port is reached at all of them, in a slice");
    let status = plan(&election, &without, at(1)).status.unwrap();
    assert_eq!(
        message(&status, ConditionType::LeaderElected),
        "billing-0 holds the Lease; Service front does not reach it at port 80: none of its containers has a port named http"
    );
    Arc::make_mut(snapshot.holder_pod.as_mut().unwrap()).named_ports = vec![named("UDP", 53), named("TCP", 8081)];
    settle(&election, &mut snapshot, 1);
    assert_eq!(json!(snapshot.slices[0].ports), json!([{"name": "", "port": 8081, "protocol": "TCP"}]));
}

#[test]
fn another_name_moves_it_and_none_removes_it() {
    let mut snapshot = reachable(held_by("billing-0", 1, 0));
    settle(&asks_for("front"), &mut snapshot, 1);
    settle(&asks_for("leader"), &mut snapshot, 1);
    let names: Vec<_> = snapshot.services.iter().map(|service| service.metadata.name.clone().unwrap()).collect();
    assert_eq!(names, ["leader"]);
    let of_service =
        |slice: &EndpointSlice| slice.metadata.labels.as_ref().unwrap()["kubernetes.io/service-name"].clone();
    assert_eq!(snapshot.slices.iter().map(of_service).collect::<Vec<_>>(), ["leader", "leader"]);
    settle(&election(), &mut snapshot, 1);
    assert_eq!((snapshot.services.len(), snapshot.slices.len()), (0, 0));
}

#[test]
fn what_others_change_is_put_right_unless_it_is_theirs() {
    let mut snapshot = reachable(held_by("billing-0", 1, 0));
    let election = asks_for("front");
    settle(&election, &mut snapshot, 1);
    let mut selecting = snapshot.clone();
    let spec = selecting.services[0].spec.as_mut().unwrap();
    spec.selector = Some([("app".to_owned(), "billing".to_owned())].into());
    spec.ports.as_mut().unwrap()[0].node_port = Some(30080);
    assert!(matches!(plan(&election, &selecting, at(1)).traffic[..], [TrafficWrite::Service(_)]));

    let mut emptied = snapshot.clone();
    emptied.slices[0].endpoints.clear();
    assert!(matches!(plan(&election, &emptied, at(1)).traffic[..], [TrafficWrite::Slice(_)]));

    snapshot.services[0].metadata.owner_references = Some(vec![reference("Deployment", "billing", "other")]);
    let writes = plan(&election, &snapshot, at(1)).traffic;
    let expected =
        [&snapshot.slices[0], &snapshot.slices[1]].map(|slice| TrafficWrite::DeleteSlice(Box::new(slice.clone())));
    assert_eq!(writes[..2], expected, "on somebody else's Service they would lead its traffic here");
}

#[test]
fn trouble_with_the_service_keeps_nothing_else_from_being_done_and_the_other_way_round() {
    let election = asks_for("front");
    let mut snapshot = reachable(held_by("billing-0", 1, 0));
    snapshot.role = None;
    snapshot.failed_writes.insert(Part::Service, failed(Reason::ObjectConflict, "Service front is somebody else's"));
    let first = plan(&election, &snapshot, at(1));
    assert!(first.traffic.iter().all(|write| write.part() != Part::Service), "{first:?}");
    settle(&election, &mut snapshot, 1);
    snapshot.role = plan(&election, &snapshot, at(1)).role;
    let second = plan(&election, &snapshot, at(1));
    assert_eq!(second.next_look, Some(Duration::from_secs(9)));
    let status = second.status.unwrap();
    assert_eq!(reason(&status, ConditionType::Ready), "False ObjectConflict");
    assert_eq!(message(&status, ConditionType::Ready), "Service front is somebody else's");

    snapshot.role = None;
    snapshot.failed_writes = FailedWrites::default();
    snapshot.failed_writes.insert(Part::Role, failed(Reason::Forbidden, "no Role"));
    assert_eq!(settle(&election, &mut snapshot, 1).len(), 3);
    let status = plan(&election, &snapshot, at(1)).status.unwrap();
    assert_eq!(message(&status, ConditionType::Ready), "no Role");
}

#[test]
fn an_operator_without_the_right_says_so() {
    let mut snapshot = reachable(held_by("billing-0", 1, 0));
    snapshot.features = Features::default();
    let plan = plan(&asks_for("front"), &snapshot, at(1));
    assert_eq!(plan.traffic, []);
    let status = plan.status.unwrap();
    assert_eq!(reason(&status, ConditionType::Ready), "False Forbidden");
    assert!(message(&status, ConditionType::Ready).contains("leaderService.enabled"));
}

#[test]
fn an_invalid_spec_does_not_keep_traffic_from_following_the_leader() {
    let mut election = asks_for("front");
    let mut snapshot = reachable(held_by("billing-0", 1, 0));
    settle(&election, &mut snapshot, 1);
    election.spec.renew_deadline_seconds = 12;
    let mut next = reachable(held_by("billing-1", 2, 2));
    (next.services, next.slices) = (snapshot.services, snapshot.slices);
    settle(&election, &mut next, 2);
    assert_eq!(endpoints(&next), both(2, true));
}

fn labelled() -> LeaderElection {
    let mut election = election();
    election.spec.pod_labels = PodLabels::Enabled;
    election
}

fn role(pod: &Pod) -> &str {
    pod.labels.get(ROLE_LABEL).map_or("", String::as_str)
}

fn roles(snapshot: &ElectionSnapshot) -> Vec<&str> {
    snapshot.pods.iter().map(|pod| role(pod)).collect()
}

#[test]
fn each_candidate_is_labelled_and_the_stale_leader_first() {
    let election = labelled();
    let mut snapshot = reachable(held_by("billing-0", 1, 0));
    settle(&election, &mut snapshot, 1);
    assert_eq!(roles(&snapshot), ["leader", "standby"]);

    let mut next = ElectionSnapshot { lease: Some(held_by("billing-1", 2, 2)), ..snapshot.clone() };
    next.holder_pod = next.pods.iter().find(|pod| pod.name == "billing-1").cloned();
    let writes = settle(&election, &mut next, 2);
    assert_eq!(roles(&next), ["standby", "leader"]);
    assert_eq!(writes.len(), 2);

    let mut freed = ElectionSnapshot { lease: Some(released(1, 2)), holder_pod: None, ..snapshot.clone() };
    settle(&election, &mut freed, 2);
    assert_eq!(roles(&freed), ["standby", "standby"]);

    let mut ended = ElectionSnapshot { lease: Some(released(1, 2)), holder_pod: None, ..snapshot.clone() };
    Arc::make_mut(&mut ended.pods[0]).finished = true;
    Arc::make_mut(&mut ended.pods[1]).labels.clear();
    Arc::make_mut(&mut ended.pods[1]).terminating = true;
    settle(&election, &mut ended, 2);
    assert_eq!(roles(&ended), ["standby", ""], "of those that end, only who led");

    settle(&self::election(), &mut snapshot, 2);
    assert_eq!(roles(&snapshot), ["", ""]);
}

#[test]
fn after_a_restart_no_label_says_leader_that_did_not_before() {
    let election = labelled();
    let mut snapshot = reachable(held_by("billing-0", 1, 0));
    settle(&election, &mut snapshot, 1);
    snapshot.lease.as_mut().unwrap().moved = false;
    assert_eq!(settle(&election, &mut snapshot, 1), []);
    for pod in &mut snapshot.pods {
        Arc::make_mut(pod).labels.clear();
    }
    Arc::make_mut(snapshot.holder_pod.as_mut().unwrap()).labels.clear();
    settle(&election, &mut snapshot, 1);
    assert_eq!(roles(&snapshot), ["standby", "standby"]);
}

#[test]
fn of_two_elections_that_share_pods_one_labels_them() {
    let election = labelled();
    let mut snapshot = reachable(held_by("billing-0", 1, 0));
    snapshot.labelled_by = Some("stock".to_owned());
    assert_eq!(plan(&election, &snapshot, at(1)).traffic.len(), 2, "the first of their names");
    snapshot.labelled_by = Some("accounts".to_owned());
    let plan = plan(&election, &snapshot, at(1));
    assert_eq!(plan.traffic, []);
    let status = plan.status.unwrap();
    assert_eq!(reason(&status, ConditionType::Ready), "False ObjectConflict");
    assert_eq!(
        message(&status, ConditionType::Ready),
        "spec.podLabels: LeaderElection accounts labels pods of this one already; disable it in one of them"
    );
    Arc::make_mut(&mut snapshot.pods[0]).labels.insert(ROLE_LABEL.to_owned(), "leader".to_owned());
    assert_eq!(super::plan(&self::election(), &snapshot, at(1)).traffic, [], "whose label it is");
}

#[test]
fn who_does_not_match_any_more_loses_its_label_before_another_gets_it() {
    let election = labelled();
    let mut snapshot = reachable(held_by("billing-1", 2, 2));
    let labels = [(ROLE_LABEL.to_owned(), "leader".to_owned())].into();
    snapshot.strays = vec![Arc::new(Pod { labels, ..pod("billing-9") })];
    let writes = plan(&election, &snapshot, at(2)).traffic;
    let places = ["billing-9", "billing-1"].map(|pod| {
        let is_of = |write: &&TrafficWrite| matches!(write, TrafficWrite::Label(label) if label.pod == pod);
        writes.iter().position(|write| is_of(&write)).unwrap()
    });
    assert!(places[0] < places[1], "{writes:?}");
    settle(&election, &mut snapshot, 2);
    assert_eq!(roles(&snapshot), ["standby", "leader"]);
}
