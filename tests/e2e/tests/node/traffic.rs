//! The Service of a leader: what is sent to it, through the node's own kube-proxy, comes to the leader and to nobody else.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use elector_crds::StoredLease;
use elector_harness::calls::{Call, Caller, Outcome, call_from};
use elector_harness::figures::{figure, is_measured, rounds};
use elector_harness::node::PACE;
use elector_harness::operators::short_timings;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt as _;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::billing::{Billing, Setup};
use crate::manifest::{App, SERVED, serving};
use crate::stage::{PATIENCE, Stage, stage};
use crate::watched::Watched;

/// From a change of the Lease to that of the endpoints.
const ENDPOINTS: Duration = Duration::from_millis(100);
/// From a new leader in the Lease to its first answer, where kube-proxy waits for nothing.
const SWITCH: Duration = Duration::from_millis(100);
/// By default it lets a second pass between two changes of its rules. Between two leaders there is a moment without any, and
/// before that a leader's pod may be about to go: three changes, or two seconds.
const SWITCH_BY_DEFAULT: Duration = Duration::from_millis(2_100);
/// From the last answer of a leader to the first one of the next: with the end of its pod's app, and of its tenure.
const UNANSWERED: Duration = Duration::from_millis(2_600);
/// What an answer may be late by after the Lease has named another.
const ASTRAY: Duration = Duration::from_millis(200);
/// After which kube-proxy waits for nothing any more: what changes then becomes a rule at once.
const REST: Duration = Duration::from_millis(1_500);
/// For each of them, beside tests that start containers and that leave kube-proxy no rest.
const IN_A_CROWD: Duration = Duration::from_secs(2);
/// How long it is looked whether anybody answers while nobody leads.
const QUIET: Duration = Duration::from_secs(2);

/// Three pods behind one Service, which is called all the time.
struct Scene<'a> {
    billing: Billing<'a>,
    /// Of the Service.
    address: SocketAddr,
    caller: Caller,
    /// Whom the Lease names.
    lease: Watched,
    /// To whom the Service leads.
    endpoints: Watched,
}

#[tokio::test]
async fn traffic_follows_the_leader_whose_pod_is_deleted() {
    let scene = Scene::shared("traffic-deleted").await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..rounds(2) {
        let delete = async |old: &Pod, _: &str| scene.billing.delete(old).await;
        seen.push(scene.handed_over(delete).await.unwrap());
    }
    judge(&seen, SWITCH_BY_DEFAULT);
    scene.end().await.unwrap();
}

/// Who led goes on to serve, as one of the others.
#[tokio::test]
async fn traffic_follows_the_leader_that_is_asked_for_and_leaves_the_one_that_goes_on() {
    let scene = Scene::shared("traffic-transferred").await.unwrap();
    judge(&scene.transferred().await.unwrap(), SWITCH_BY_DEFAULT);
    scene.end().await.unwrap();
}

#[tokio::test]
async fn the_next_leader_answers_a_tenth_of_a_second_after_it_is_in_the_lease_if_kube_proxy_does_not_wait() {
    let stage = Stage::set(1).await.unwrap();
    let scene = Scene::set(&stage, "traffic-paced", Duration::from_millis(10)).await.unwrap();
    judge(&scene.transferred().await.unwrap(), SWITCH);
    scene.end().await.unwrap();
}

#[tokio::test]
async fn connections_are_refused_while_nobody_leads() {
    let scene = Scene::shared("traffic-paused").await.unwrap();
    sleep(REST).await;
    let mut paused = spec();
    paused["paused"] = json!(true);
    let since = Instant::now();
    scene.billing.election.apply(paused).await.unwrap();
    scene.lease.until_named("", since).await.unwrap();
    sleep(most(SWITCH_BY_DEFAULT)).await;
    let quiet = Instant::now();
    sleep(QUIET).await;
    let calls = scene.caller.calls(quiet);
    println!("{} connections in {QUIET:?}", calls.len());
    assert!(calls.len() > 100, "{} connections only", calls.len());
    assert_eq!(calls.iter().find(|call| call.outcome != Outcome::Refused), None);

    scene.billing.election.apply(spec()).await.unwrap();
    scene.leader().await.unwrap();
    scene.end().await.unwrap();
}

/// By the addresses that they have in the pods' network, and back from there.
#[tokio::test]
async fn pods_reach_the_leader_by_its_service_as_the_node_does_and_so_does_the_leader() {
    let scene = Scene::shared("traffic-pods").await.unwrap();
    let leader = scene.leader().await.unwrap().name_any();
    for pod in scene.billing.pods().await.unwrap() {
        let app = scene.billing.processes(&pod, "app").unwrap()[0];
        let network = PathBuf::from(format!("/proc/{app}/ns/net"));
        let address = scene.address;
        let seen = spawn_blocking(move || call_from(&network, address)).await.unwrap().unwrap();
        assert_eq!(seen, Outcome::Answered(leader.clone()), "from {}", pod.name_any());
    }
    scene.end().await.unwrap();
}

/// What one hand-over cost.
#[derive(Debug)]
struct Handover {
    /// From the Lease that names the next leader to the endpoints that do.
    endpoints: Duration,
    /// From the same to the next leader's first answer.
    switch: Duration,
    /// From the old leader's last answer to the next one's first.
    unanswered: Duration,
}

fn judge(seen: &[Handover], switch: Duration) {
    let of = |what: fn(&Handover) -> Duration| seen.iter().map(what).collect::<Vec<_>>();
    figure("a new leader in the Lease, until it was in the endpoints", &of(|seen| seen.endpoints), most(ENDPOINTS));
    figure("the same, until it answered", &of(|seen| seen.switch), most(switch));
    figure("without an answer", &of(|seen| seen.unanswered), most(UNANSWERED));
}

fn most(alone: Duration) -> Duration {
    if is_measured() { alone } else { alone + IN_A_CROWD }
}

fn spec() -> Value {
    let mut spec = short_timings();
    spec["leaderService"] = json!({"name": "leader", "ports": [{"port": 80, "targetPort": SERVED}]});
    spec
}

impl Scene<'static> {
    /// On the stage of all tests, with kube-proxy as it is by default.
    async fn shared(prefix: &str) -> Result<Scene<'static>> {
        Scene::set(stage().await?, prefix, PACE).await
    }
}

impl<'a> Scene<'a> {
    /// Until the leader answers.
    async fn set(stage: &'a Stage, prefix: &str, pace: Duration) -> Result<Scene<'a>> {
        stage.nodes[0].start_proxy(&stage.plane, pace).await?;
        let setup = Setup { edit: serving, timings: spec(), ..Setup::of(App::AsShown) };
        let billing = Billing::applied(stage, prefix, setup).await?;
        billing.until_there().await?;
        let services = billing.namespace.api::<Service>();
        let mut address = None;
        billing
            .until("the Service has an address", async || {
                let spec = services.get_opt("leader").await?.and_then(|service| service.spec);
                address = spec.and_then(|spec| spec.cluster_ip).map(|address| address.parse()).transpose()?;
                Ok(address.is_some())
            })
            .await?;
        let address = SocketAddr::new(address.context("it was found")?, 80);
        let lease = Watched::new(&billing.namespace, |lease: &StoredLease| {
            let holder = lease.spec.get("holderIdentity").and_then(Value::as_str).unwrap_or_default();
            holder.split('_').next().unwrap_or_default().to_owned()
        });
        let endpoints = Watched::new(&billing.namespace, |slice: &EndpointSlice| {
            let target = slice.endpoints.first().and_then(|endpoint| endpoint.target_ref.as_ref());
            target.and_then(|target| target.name.clone()).unwrap_or_default()
        });
        let caller = Caller::start(&stage.nodes[0], address)?;
        let scene = Scene { billing, address, caller, lease, endpoints };
        scene.leader().await?;
        Ok(scene)
    }

    /// Once it answers.
    async fn leader(&self) -> Result<Pod> {
        let leader = self.billing.leader().await?;
        self.until_answered(&leader.name_any(), Instant::now()).await?;
        Ok(leader)
    }

    async fn until_answered(&self, name: &str, since: Instant) -> Result<Call> {
        let begun = Instant::now();
        loop {
            let calls = self.caller.calls(since);
            if let Some(call) = calls.iter().find(|call| call.by() == Some(name)) {
                return Ok(call.clone());
            }
            ensure!(begun.elapsed() < PATIENCE, "{name} does not answer; last: {:?}", calls.last());
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// What it cost that `act` ends the tenure of the pod that it is told, so that another follows; the second, if it can choose.
    async fn handed_over(&self, act: impl AsyncFnOnce(&Pod, &str) -> Result<()>) -> Result<Handover> {
        let old = self.leader().await?;
        let old_name = old.name_any();
        let others = self.billing.pods().await?.into_iter().map(|pod| pod.name_any());
        let target = others.into_iter().find(|name| *name != old_name).context("there is no other pod")?;
        sleep(REST).await;
        let since = Instant::now();
        act(&old, &target).await?;
        let next = self.billing.next_leader(&old).await?.name_any();
        let first = self.until_answered(&next, since).await?;
        let named = self.lease.until_named(&next, since).await?;
        let reached = self.endpoints.until_named(&next, since).await?;
        let calls = self.caller.calls(since);
        let last =
            calls.iter().filter(|call| call.by() == Some(&*old_name)).map(|call| call.ended).max().unwrap_or(since);
        let between = || calls.iter().filter(|call| call.begun > last && call.ended < first.ended);
        let of = |wanted: fn(&Outcome) -> bool| between().filter(|call| wanted(&call.outcome)).count();
        println!(
            "{:?} without an answer: {} connections refused, {} silent, {} broken",
            first.ended - last,
            of(|outcome| *outcome == Outcome::Refused),
            of(|outcome| *outcome == Outcome::Silent),
            of(|outcome| matches!(outcome, Outcome::Broken(_))),
        );
        self.billing.until_there().await?;
        Ok(Handover {
            endpoints: reached.saturating_duration_since(named),
            switch: first.ended.saturating_duration_since(named),
            unanswered: first.ended.saturating_duration_since(last),
        })
    }

    /// Has one pod after the other asked for.
    async fn transferred(&self) -> Result<Vec<Handover>> {
        let mut seen = Vec::new();
        for _ in 0..rounds(2) {
            let transfer = async |_: &Pod, target: &str| {
                let ask = format!("leader-elector.io/transfer-to={target}");
                let annotate = ["annotate", "--overwrite", "leaderelection", "billing", &ask];
                self.billing.kubectl(&annotate, "").await.map(drop)
            };
            seen.push(self.handed_over(transfer).await?);
        }
        Ok(seen)
    }

    /// Of all calls.
    async fn end(self) -> Result<()> {
        let calls = self.caller.calls(self.lease.begun);
        let named = self.lease.seen();
        let astray: Vec<Duration> = calls.iter().filter_map(|call| call.astray(&named)).collect();
        ensure!(!astray.is_empty(), "nobody answered");
        figure("answers of one that the Lease did not name, how far from when it did", &astray, most(ASTRAY));
        self.billing.end().await.map(drop)
    }
}
