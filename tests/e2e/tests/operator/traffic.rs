//! The Service that leads to the leader alone, and the label on its pod.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use elector_crds::conditions::{ConditionType, Reason, find};
use elector_crds::{ROLE_LABEL, StoredLease};
use elector_harness::candidate::leader;
use elector_harness::controlplane::Namespace;
use elector_harness::figures::{figure, is_measured, rounds};
use elector_harness::operators::{Election, contended, place, short_timings};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(20);
/// From a change of the Lease to one of the endpoints: beside other tests.
const SWITCH: Duration = Duration::from_secs(1);
/// The same alone.
const SWITCH_ALONE: Duration = Duration::from_millis(100);

/// What is asked for, beside short timings.
pub(crate) fn with_service(name: &str) -> Value {
    let mut spec = short_timings();
    spec["leaderService"] = json!({"name": name, "ports": [{"port": 80, "targetPort": 8080}]});
    spec
}

/// Reports the address of a pod as a kubelet does.
pub(crate) async fn set_address(namespace: &Namespace<'_>, pod: &str, address: &str) -> Result<()> {
    namespace.patch_pod_status(pod, json!({"podIP": address, "podIPs": [{"ip": address}]})).await.map(drop)
}

/// The addresses that the Service called `service` leads to.
async fn reached(namespace: &Namespace<'_>, service: &str) -> Result<Vec<String>> {
    let of_service = ListParams::default().labels(&format!("kubernetes.io/service-name={service}"));
    let slices = namespace.api::<EndpointSlice>().list(&of_service).await?;
    Ok(slices.into_iter().flat_map(|slice| slice.endpoints).flat_map(|endpoint| endpoint.addresses).collect())
}

pub(crate) async fn until_reached(namespace: &Namespace<'_>, service: &str, addresses: &[&str]) -> Result<()> {
    let begun = Instant::now();
    loop {
        let seen = reached(namespace, service).await?;
        if seen == addresses {
            return Ok(());
        }
        ensure!(begun.elapsed() < PATIENCE, "{service} leads to {seen:?}, not to {addresses:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn the_leaders_service_follows_it_and_goes_when_it_is_not_asked_for() {
    let (namespace, election, mut candidates) = contended("traffic").await.unwrap();
    for (pod, address) in [("billing-0", "10.0.0.10"), ("billing-1", "10.0.0.11"), ("billing-2", "10.0.0.12")] {
        set_address(&namespace, pod, address).await.unwrap();
    }
    election.apply(with_service("front")).await.unwrap();
    until_reached(&namespace, "front", &["10.0.0.10"]).await.unwrap();
    let ready = election.until_reason(ConditionType::Ready, Reason::Reconciled).await.unwrap().status.unwrap();
    let message = &find(&ready.conditions, ConditionType::Ready).unwrap().message;
    assert_eq!(message, "Lease, Role, RoleBinding and Service front are in place");

    let service = namespace.api::<Service>().get("front").await.unwrap();
    let spec = json!(service.spec);
    assert_eq!((&spec["type"], spec.get("selector")), (&json!("ClusterIP"), None));
    assert!(spec["clusterIP"].is_string(), "{spec}");
    assert_eq!(service.owner_references()[0].name, "billing");

    candidates[0].process().terminate().unwrap();
    candidates[0].ends_within(PATIENCE).await.unwrap();
    candidates.remove(0);
    let next = leader(&candidates, PATIENCE).await.unwrap().name().to_owned();
    until_reached(&namespace, "front", &[&format!("10.0.0.1{}", &next["billing-".len()..])]).await.unwrap();

    let mut paused = with_service("front");
    paused["paused"] = json!(true);
    election.apply(paused).await.unwrap();
    until_reached(&namespace, "front", &[]).await.unwrap();

    election.apply(with_service("leader")).await.unwrap();
    until_reached(&namespace, "front", &[]).await.unwrap();
    leader(&candidates, PATIENCE).await.unwrap();
    let begun = Instant::now();
    while reached(&namespace, "leader").await.unwrap().len() != 1 {
        assert!(begun.elapsed() < PATIENCE, "the Service of another name leads nowhere");
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(namespace.api::<Service>().get_opt("front").await.unwrap(), None);

    election.apply(short_timings()).await.unwrap();
    let begun = Instant::now();
    let ours = ListParams::default().labels("leader-elector.io/election=billing");
    loop {
        let services = namespace.api::<Service>().list(&ours).await.unwrap().items.len();
        let slices = namespace.api::<EndpointSlice>().list(&ours).await.unwrap().items.len();
        if (services, slices) == (0, 0) {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{services} Services and {slices} EndpointSlices stay");
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(election.event_reasons().await.unwrap().iter().filter(|reason| *reason == "ObjectConflict").count(), 0);
}

#[tokio::test]
async fn somebody_elses_service_is_left_alone_until_it_is_gone() {
    let namespace = place("traffic-conflict").await.unwrap();
    let theirs: Service = serde_json::from_value(json!({
        "metadata": {"name": "front"},
        "spec": {"selector": {"app": "shop"}, "ports": [{"port": 443}]},
    }))
    .unwrap();
    let services = namespace.api::<Service>();
    let made = services.create(&PostParams::default(), &theirs).await.unwrap();
    let election = Election::create(&namespace, "billing", with_service("front")).await.unwrap();
    let told = election.until_reason(ConditionType::Ready, Reason::ObjectConflict).await.unwrap().status.unwrap();
    assert_eq!(
        find(&told.conditions, ConditionType::Ready).unwrap().message,
        "Service front exists and was not made for this LeaderElection; delete it, or rename the LeaderElection"
    );
    // All else is done.
    election.lease().await.unwrap();
    hold(&namespace, "billing-0", "10.0.1.1").await.unwrap();
    election.until_held_by("billing-0").await.unwrap();
    assert_eq!(reached(&namespace, "front").await.unwrap(), Vec::<String>::new());
    assert_eq!(services.get("front").await.unwrap().resource_version(), made.resource_version());

    services.delete("front", &DeleteParams::default()).await.unwrap();
    until_reached(&namespace, "front", &["10.0.1.1"]).await.unwrap();
    election.until_reason(ConditionType::Ready, Reason::Reconciled).await.unwrap();
}

#[tokio::test]
async fn what_others_change_is_put_right() {
    let namespace = place("traffic-edited").await.unwrap();
    let election = Election::create(&namespace, "billing", with_service("front")).await.unwrap();
    election.until_reason(ConditionType::Ready, Reason::Reconciled).await.unwrap();
    hold(&namespace, "billing-0", "10.0.2.1").await.unwrap();
    until_reached(&namespace, "front", &["10.0.2.1"]).await.unwrap();

    let services = namespace.api::<Service>();
    let selecting = json!({"spec": {
        "selector": {"app": "shop"}, "type": "NodePort",
        "ports": [{"name": "a", "port": 80, "appProtocol": "http"}, {"name": "b", "port": 9090}],
    }});
    services.patch("front", &PatchParams::default(), &Patch::Strategic(selecting)).await.unwrap();
    let begun = Instant::now();
    loop {
        let spec = services.get("front").await.unwrap().spec.unwrap();
        let ports = json!([{"port": 80, "targetPort": 8080, "protocol": "TCP"}]);
        if spec.selector.is_none() && spec.type_.as_deref() == Some("ClusterIP") && json!(spec.ports) == ports {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{spec:?}");
        sleep(Duration::from_millis(20)).await;
    }
    namespace.api::<EndpointSlice>().delete("leader-elector-billing-ipv4", &DeleteParams::default()).await.unwrap();
    until_reached(&namespace, "front", &["10.0.2.1"]).await.unwrap();
    services.delete("front", &DeleteParams::default()).await.unwrap();
    let begun = Instant::now();
    while services.get_opt("front").await.unwrap().is_none() {
        assert!(begun.elapsed() < PATIENCE, "the Service stays away");
        sleep(Duration::from_millis(20)).await;
    }
    election.until_reason(ConditionType::Ready, Reason::Reconciled).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let writes = elector_harness::operators::shared()
        .await
        .unwrap()
        .requests(|entry| entry.namespace == namespace.name() && entry.is_write() && entry.resource == "services");
    assert!(writes.unwrap().len() <= 4, "it does not go on writing what is in place");
}

#[tokio::test]
async fn endpoints_follow_the_lease_within_a_tenth_of_a_second() {
    let namespace = place("traffic-switch").await.unwrap();
    let election = Election::create(&namespace, "billing", with_service("front")).await.unwrap();
    election.until_reason(ConditionType::Ready, Reason::Reconciled).await.unwrap();
    for (pod, address) in [("billing-0", "10.0.3.1"), ("billing-1", "10.0.3.2")] {
        appear(&namespace, pod, address).await.unwrap();
    }
    namespace.hold_lease("billing", "billing-0", 60).await.unwrap();
    until_reached(&namespace, "front", &["10.0.3.1"]).await.unwrap();

    let mut leases = watch::<StoredLease>(&namespace).await.unwrap();
    let mut slices = watch::<EndpointSlice>(&namespace).await.unwrap();
    let (mut switched, mut plain) = (Vec::new(), Vec::new());
    for round in 1..=rounds(5) {
        let (pod, address) = [("billing-0", "10.0.3.1"), ("billing-1", "10.0.3.2")][round % 2];
        let sent = namespace.hold_lease("billing", pod, 60).await.unwrap();
        let watched = async |mut it: Events<StoredLease>| {
            next(&mut it, |lease| holds(lease, pod)).await.unwrap();
            (it, sent.elapsed())
        };
        let reached = async |mut it: Events<EndpointSlice>| {
            next(&mut it, |slice| slice.endpoints.iter().any(|endpoint| endpoint.addresses == [address]))
                .await
                .unwrap();
            (it, sent.elapsed())
        };
        let (lease, slice) = tokio::join!(watched(leases), reached(slices));
        (leases, slices) = (lease.0, slice.0);
        plain.push(lease.1);
        switched.push(slice.1);
        // Until the status has been written, too: the next change is then looked at as soon as it comes.
        election.until_held_by(pod).await.unwrap();
    }
    figure("a new leader's write, until a watch showed it", &plain, Duration::MAX);
    figure("the same, until it alone was reached", &switched, most());
}

fn most() -> Duration {
    if is_measured() { SWITCH_ALONE } else { SWITCH }
}

fn holds(lease: &StoredLease, pod: &str) -> bool {
    lease.spec.get("holderIdentity").and_then(Value::as_str).is_some_and(|holder| holder.starts_with(pod))
}

/// Who is labelled as the leader, and who as a standby.
async fn labelled(namespace: &Namespace<'_>) -> Result<(Vec<String>, Vec<String>)> {
    let named = async |role: &str| {
        let of_role = ListParams::default().labels(&format!("{ROLE_LABEL}={role}"));
        let pods = namespace.api::<Pod>().list_metadata(&of_role).await?;
        anyhow::Ok(pods.into_iter().map(|pod| pod.name_any()).collect::<Vec<_>>())
    };
    Ok((named("leader").await?, named("standby").await?))
}

async fn until_labelled(namespace: &Namespace<'_>, leaders: &[&str], standbys: &[&str]) -> Result<()> {
    let begun = Instant::now();
    loop {
        let seen = labelled(namespace).await?;
        if (seen.0 == leaders) && (seen.1 == standbys) {
            return Ok(());
        }
        ensure!(begun.elapsed() < PATIENCE, "{seen:?}, not {leaders:?} and {standbys:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn pods_are_labelled_as_they_lead_and_never_two_at_once() {
    let namespace = place("labelled").await.unwrap();
    let mut spec = short_timings();
    spec["podLabels"] = json!("Enabled");
    let election = Election::create(&namespace, "billing", spec).await.unwrap();
    election.until_reason(ConditionType::Ready, Reason::Reconciled).await.unwrap();
    for (pod, address) in [("billing-0", "10.0.4.1"), ("billing-1", "10.0.4.2")] {
        appear(&namespace, pod, address).await.unwrap();
    }
    until_labelled(&namespace, &[], &["billing-0", "billing-1"]).await.unwrap();
    let mut pods = watch::<Pod>(&namespace).await.unwrap();
    let mut leaders = BTreeSet::new();
    let mut switched = Vec::new();
    for round in 1..=rounds(5) {
        let pod = ["billing-0", "billing-1"][round % 2];
        let sent = namespace.hold_lease("billing", pod, 60).await.unwrap();
        let leads = |seen: &Pod| {
            if seen.labels().get(ROLE_LABEL).is_some_and(|role| role == "leader") {
                leaders.insert(seen.name_any());
            } else {
                leaders.remove(&seen.name_any());
            }
            assert!(leaders.len() <= 1, "two leaders: {leaders:?}");
            leaders.contains(pod)
        };
        next(&mut pods, leads).await.unwrap();
        switched.push(sent.elapsed());
        election.until_held_by(pod).await.unwrap();
    }
    figure("a new leader's write, until its pod alone said so", &switched, most());

    election.apply(short_timings()).await.unwrap();
    until_labelled(&namespace, &[], &[]).await.unwrap();
}

#[tokio::test]
async fn a_pod_that_is_taken_out_of_its_election_loses_its_label() {
    let namespace = place("labelled-stray").await.unwrap();
    let mut spec = short_timings();
    spec["podLabels"] = json!("Enabled");
    let election = Election::create(&namespace, "billing", spec).await.unwrap();
    election.until_reason(ConditionType::Ready, Reason::Reconciled).await.unwrap();
    hold(&namespace, "billing-0", "10.0.5.1").await.unwrap();
    until_labelled(&namespace, &["billing-0"], &[]).await.unwrap();
    let out = Patch::Merge(json!({"metadata": {"labels": {"leader-elector.io/election": null}}}));
    namespace.api::<Pod>().patch("billing-0", &PatchParams::default(), &out).await.unwrap();
    until_labelled(&namespace, &[], &[]).await.unwrap();
}

#[tokio::test]
async fn two_elections_that_share_pods_do_not_take_the_label_from_each_other() {
    let namespace = place("labelled-twice").await.unwrap();
    let spec = json!({"podLabels": "Enabled", "candidates": {"selector": {"matchLabels": {"app": "shop"}}}});
    namespace.create_pod("shop-0", "default", &[("app", "shop")]).await.unwrap();
    let first = Election::create(&namespace, "billing", spec.clone()).await.unwrap();
    let second = Election::create(&namespace, "stock", spec).await.unwrap();
    first.until_reason(ConditionType::Ready, Reason::Reconciled).await.unwrap();
    let told = second.until_reason(ConditionType::Ready, Reason::ObjectConflict).await.unwrap().status.unwrap();
    assert_eq!(
        find(&told.conditions, ConditionType::Ready).unwrap().message,
        "spec.podLabels: LeaderElection billing labels pods of this one already; disable it in one of them"
    );
    until_labelled(&namespace, &[], &["shop-0"]).await.unwrap();
    first.apply(json!({"candidates": {"selector": {"matchLabels": {"app": "shop"}}}})).await.unwrap();
    second.until_reason(ConditionType::Ready, Reason::Reconciled).await.unwrap();
    until_labelled(&namespace, &[], &["shop-0"]).await.unwrap();
}

/// A pod that is ready, at that address, and in the Lease as one of our agents has it.
async fn hold(namespace: &Namespace<'_>, pod: &str, address: &str) -> Result<()> {
    appear(namespace, pod, address).await?;
    namespace.hold_lease("billing", pod, 60).await.map(drop)
}

async fn appear(namespace: &Namespace<'_>, pod: &str, address: &str) -> Result<()> {
    let labels = [("leader-elector.io/election", "billing")];
    namespace.create_pod(pod, "default", &labels).await?;
    set_address(namespace, pod, address).await?;
    namespace.set_pod_ready(pod, true).await.map(drop)
}

type Events<K> = BoxStream<'static, kube::Result<WatchEvent<K>>>;

/// What happens to all of one kind from now on.
async fn watch<K>(namespace: &Namespace<'_>) -> Result<Events<K>>
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned
        + Send
        + 'static,
{
    let api = namespace.api::<K>();
    let version = api.list(&ListParams::default()).await?.metadata.resource_version.unwrap_or_default();
    Ok(api.watch(&WatchParams::default(), &version).await?.boxed())
}

/// The next object of which that holds.
async fn next<K>(events: &mut Events<K>, mut holds: impl FnMut(&K) -> bool) -> Result<()> {
    let found = async {
        while let Some(event) = events.next().await {
            if let WatchEvent::Added(object) | WatchEvent::Modified(object) = event?
                && holds(&object)
            {
                return Ok(());
            }
        }
        anyhow::bail!("the watch ended")
    };
    timeout(PATIENCE, found).await.context("not seen in time")?
}
