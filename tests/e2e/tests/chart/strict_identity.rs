//! Who holds a Lease is the pod that says so: the policy on writes to Leases, against real tokens.

mod operator;

use anyhow::{Context as _, Result};
use elector_crds::{STRICT_IDENTITY_LABEL, StoredLease};
use elector_harness::candidate::{AgentOptions, Candidate, leader};
use elector_harness::cluster::Namespace;
use elector_harness::kubectl::kubectl;
use elector_harness::operators::{Election, OPERATOR, short_timings};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use std::time::Duration;

use crate::release::operated;

const NOW: &str = "2026-11-27T10:00:00.000000Z";
const LATER: &str = "2026-11-27T10:00:02.000000Z";

/// A namespace with an election and two pods.
struct Scene {
    namespace: Namespace<'static>,
    election: Election<'static>,
    pods: [Pod; 2],
}

impl Scene {
    async fn set(prefix: &str, spec: Value) -> Result<Scene> {
        let namespace = operated().await?.namespace(prefix).await?;
        let election = Election::create(&namespace, "billing", spec).await?;
        election
            .until("it is ready", |election| election.status.as_ref().is_some_and(|it| it.lease_uid.is_some()))
            .await?;
        // Its service account may do more than the operator grants, as somebody may have it: the policy does not rely on
        // a Role that is narrow.
        let verbs = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
        namespace.allow_leases(&verbs).await?;
        let label = [("leader-elector.io/election", "billing")];
        let pods = [
            namespace.create_pod("billing-0", "default", &label).await?,
            namespace.create_pod("billing-1", "default", &label).await?,
        ];
        Ok(Scene { namespace, election, pods })
    }

    fn identity(&self, pod: usize) -> String {
        format!("{}_{}", self.pods[pod].name_any(), self.pods[pod].uid().unwrap_or_default())
    }

    /// Speaks with the token of a pod, as a kubelet mounts it.
    async fn pod(&self, pod: usize) -> Result<Client> {
        let token = self.namespace.pod_token(&self.pods[pod]).await?;
        self.namespace.cluster().client_for(&token).await
    }

    /// Speaks with a token of the same account that is bound to no pod.
    async fn nobody(&self) -> Result<Client> {
        let cluster = self.namespace.cluster();
        let token = cluster.service_account_token(self.namespace.name(), "default", None).await?;
        cluster.client_for(&token).await
    }

    async fn operator(&self) -> Result<Client> {
        let cluster = self.namespace.cluster();
        cluster.client_for(&cluster.service_account_token("leader-elector", OPERATOR, None).await?).await
    }

    fn leases(&self, client: &Client) -> Api<StoredLease> {
        Api::namespaced(client.clone(), self.namespace.name())
    }

    /// Replaces the Lease by what `change` makes of it.
    async fn write(&self, client: &Client, change: &Change) -> Result<(), kube::Error> {
        let stored = self.leases(&self.namespace.client()).get("billing").await?;
        let mut lease = serde_json::to_value(&stored).map_err(kube::Error::SerdeError)?;
        change(self, &mut lease);
        let lease: StoredLease = serde_json::from_value(lease).map_err(kube::Error::SerdeError)?;
        self.leases(client).replace("billing", &PostParams::default(), &lease).await.map(drop)
    }
}

type Change = dyn Fn(&Scene, &mut Value) + Send + Sync;

/// What an agent writes that takes the Lease.
fn acquire(pod: usize) -> impl Fn(&Scene, &mut Value) {
    move |scene, lease| {
        let transitions = lease["spec"]["leaseTransitions"].as_i64().unwrap_or(0);
        let transitions = if transitions >= 2_147_483_647 { 1 } else { transitions + 1 };
        lease["metadata"]["annotations"]["leader-elector.io/agent"] = json!("{}");
        lease["spec"] = json!({
            "holderIdentity": scene.identity(pod),
            "leaseDurationSeconds": 5,
            "acquireTime": NOW,
            "renewTime": NOW,
            "leaseTransitions": transitions,
        });
    }
}

fn renew(lease: &mut Value) {
    lease["spec"]["renewTime"] = json!(LATER);
}

fn release(lease: &mut Value) {
    lease["spec"]["holderIdentity"] = json!("");
    lease["spec"]["leaseDurationSeconds"] = json!(1);
}

fn said(refused: Result<(), kube::Error>) -> String {
    match refused {
        Err(kube::Error::Api(status)) => status.message.clone(),
        Err(error) => format!("another error: {error}"),
        Ok(()) => "allowed".to_owned(),
    }
}

#[tokio::test]
async fn agents_hand_over_under_it() {
    let scene = Scene::set("strict", short_timings()).await.unwrap();
    assert_eq!(scene.election.lease().await.unwrap().labels()[STRICT_IDENTITY_LABEL], "true");
    let mut candidates = Vec::new();
    for pod in &scene.pods {
        let options = AgentOptions::default();
        let candidate = Candidate::of_pod(&scene.namespace, "billing", pod.clone(), &options).await.unwrap();
        candidate.process().start().unwrap();
        candidates.push(candidate);
    }
    for _ in 0..3 {
        let first = leader(&candidates, Duration::from_secs(8)).await.unwrap();
        // Some renewals on.
        tokio::time::sleep(Duration::from_millis(2500)).await;
        assert!(first.leads(), "{}", first.log());
        first.process().stop().await.unwrap();
        first.process().start().unwrap();
    }
    let next = leader(&candidates, Duration::from_secs(8)).await.unwrap();
    assert_eq!(next.said(" WARN ").len(), 0, "{}", next.log());
}

#[tokio::test]
async fn what_no_agent_writes_is_refused() {
    let scene = Scene::set("forged", short_timings()).await.unwrap();
    let (first, second) = (scene.pod(0).await.unwrap(), scene.pod(1).await.unwrap());
    let (nobody, admin) = (scene.nobody().await.unwrap(), scene.namespace.client());
    let (own_pod, mark) = ("the holder can become billing-", "are the operator's");
    let transitions = "leaseTransitions is one more";
    let duration = "leaseDurationSeconds is 5 as the operator asks for";

    let before: Vec<(&str, &Client, Box<Change>, &str)> = vec![
        ("another pod's name", &first, Box::new(|scene, lease| acquire(1)(scene, lease)), own_pod),
        (
            "any name",
            &first,
            Box::new(|scene, lease| {
                acquire(0)(scene, lease);
                lease["spec"]["holderIdentity"] = json!("somebody");
            }),
            own_pod,
        ),
        ("a token without a pod", &nobody, Box::new(|scene, lease| acquire(0)(scene, lease)), "bound to no pod"),
        ("an administrator", &admin, Box::new(|scene, lease| acquire(0)(scene, lease)), "bound to no pod"),
        (
            "two tenures at once",
            &first,
            Box::new(|scene, lease| {
                acquire(0)(scene, lease);
                lease["spec"]["leaseTransitions"] = json!(2);
            }),
            transitions,
        ),
        (
            "the same tenure",
            &first,
            Box::new(|scene, lease| {
                acquire(0)(scene, lease);
                lease["spec"]["leaseTransitions"] = json!(0);
            }),
            transitions,
        ),
        (
            "a long lease",
            &first,
            Box::new(|scene, lease| {
                acquire(0)(scene, lease);
                lease["spec"]["leaseDurationSeconds"] = json!(3600);
            }),
            duration,
        ),
    ];
    for (what, client, change, words) in before {
        let refused = said(scene.write(client, &*change).await);
        assert!(refused.contains(words), "{what}: {refused}");
    }

    scene.write(&first, &|scene, lease| acquire(0)(scene, lease)).await.unwrap();
    let held: Vec<(&str, &Client, Box<Change>, &str)> = vec![
        ("another's renewal", &second, Box::new(|_, lease| renew(lease)), own_pod),
        ("another's release", &second, Box::new(|_, lease| release(lease)), own_pod),
        (
            "a renewal that counts",
            &first,
            Box::new(|_, lease| {
                renew(lease);
                lease["spec"]["leaseTransitions"] = json!(2);
            }),
            transitions,
        ),
        (
            "a new tenure that does not",
            &first,
            Box::new(|_, lease| lease["spec"]["acquireTime"] = json!(LATER)),
            transitions,
        ),
        (
            "a release that counts",
            &first,
            Box::new(|_, lease| {
                release(lease);
                lease["spec"]["leaseTransitions"] = json!(0);
            }),
            transitions,
        ),
        ("a short lease", &first, Box::new(|_, lease| lease["spec"]["leaseDurationSeconds"] = json!(1)), duration),
        (
            "a release that lasts",
            &first,
            Box::new(|_, lease| {
                release(lease);
                lease["spec"]["leaseDurationSeconds"] = json!(5);
            }),
            duration,
        ),
        (
            "no mark",
            &first,
            Box::new(|_, lease| {
                lease["metadata"]["labels"].as_object_mut().unwrap().remove(STRICT_IDENTITY_LABEL);
            }),
            mark,
        ),
        ("another label", &first, Box::new(|_, lease| lease["metadata"]["labels"]["a"] = json!("b")), mark),
        (
            "a year that the API server takes no second time",
            &first,
            Box::new(|_, lease| lease["spec"]["renewTime"] = json!("9999-12-31T23:59:59.000000-23:00")),
            "years of four digits",
        ),
        (
            "a year before all",
            &first,
            Box::new(|_, lease| lease["spec"]["renewTime"] = json!("0000-01-01T00:00:00.000000+23:00")),
            "years of four digits",
        ),
        (
            "an annotation that leaves no room for the operator's",
            &first,
            Box::new(|_, lease| {
                lease["metadata"]["annotations"]["leader-elector.io/agent"] = json!("x".repeat(4097));
            }),
            "at most 4096 characters",
        ),
        ("the beginning of a name", &first, Box::new(|_, lease| lease["metadata"]["generateName"] = json!("a")), mark),
        ("no owner", &first, Box::new(|_, lease| lease["metadata"]["ownerReferences"] = json!([])), mark),
        ("a finalizer", &first, Box::new(|_, lease| lease["metadata"]["finalizers"] = json!(["a.example/b"])), mark),
        ("another annotation", &first, Box::new(|_, lease| lease["metadata"]["annotations"]["a"] = json!("b")), mark),
        (
            "other timings",
            &first,
            Box::new(|_, lease| {
                lease["metadata"]["annotations"]["leader-elector.io/timings"] = json!("{\"leaseDurationSeconds\":1}");
            }),
            mark,
        ),
        (
            "no timings",
            &first,
            Box::new(|_, lease| {
                lease["metadata"]["annotations"].as_object_mut().unwrap().remove("leader-elector.io/timings");
            }),
            mark,
        ),
    ];
    for (what, client, change, words) in held {
        let refused = said(scene.write(client, &*change).await);
        assert!(refused.contains(words), "{what}: {refused}");
    }

    scene.write(&first, &|_, lease| renew(lease)).await.unwrap();
    scene.write(&first, &|_, lease| release(lease)).await.unwrap();
    scene.write(&second, &|scene, lease| acquire(1)(scene, lease)).await.unwrap();
    let lease = scene.namespace.lease("billing").await.unwrap();
    assert_eq!((lease.record.holder, lease.record.transitions), (scene.identity(1), 2));
}

/// Whoever widened the Role.
#[tokio::test]
async fn other_verbs_lead_no_further() {
    let scene = Scene::set("verbs", short_timings()).await.unwrap();
    let first = scene.pod(0).await.unwrap();
    let leases = scene.leases(&first);
    let patch = Patch::Merge(json!({"spec": {"holderIdentity": "somebody"}}));
    let applied = Patch::Apply(json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "billing"},
        "spec": {"holderIdentity": "somebody"},
    }));
    let mut new = StoredLease::new(kube::api::ObjectMeta::default());
    new.metadata.name = Some("other".to_owned());
    new.labels_mut().insert(STRICT_IDENTITY_LABEL.to_owned(), "true".to_owned());
    for (what, refused, words) in [
        ("patch", leases.patch("billing", &PatchParams::default(), &patch).await.map(drop), "the holder can become"),
        (
            "apply",
            leases.patch("billing", &PatchParams::apply("a").force(), &applied).await.map(drop),
            "the holder can become",
        ),
        ("delete", leases.delete("billing", &DeleteParams::default()).await.map(drop), "it goes with it"),
        (
            "delete all",
            leases.delete_collection(&DeleteParams::default(), &Default::default()).await.map(drop),
            "it goes with it",
        ),
        ("create", leases.create(&PostParams::default(), &new).await.map(drop), "only the operator"),
        (
            "an administrator's delete",
            scene.leases(&scene.namespace.client()).delete("billing", &DeleteParams::default()).await.map(drop),
            "it goes with it",
        ),
    ] {
        let refused = said(refused);
        assert!(refused.contains(words), "{what}: {refused}");
    }
}

#[tokio::test]
async fn it_ends_with_its_election_and_an_election_can_do_without() {
    let mut spec = short_timings();
    spec["candidates"] = json!({"identity": "Any"});
    let scene = Scene::set("any", spec).await.unwrap();
    assert_eq!(scene.election.lease().await.unwrap().labels()[STRICT_IDENTITY_LABEL], "false");
    let nobody = scene.nobody().await.unwrap();
    scene.write(&nobody, &|scene, lease| acquire(1)(scene, lease)).await.unwrap();
    // All else stays the operator's.
    for change in [
        |lease: &mut Value| lease["metadata"]["labels"] = json!({}),
        |lease: &mut Value| lease["metadata"]["ownerReferences"] = json!([]),
        |lease: &mut Value| lease["metadata"]["annotations"]["leader-elector.io/timings"] = json!("{}"),
    ] {
        let refused = said(scene.write(&nobody, &move |_, lease| change(lease)).await);
        assert!(refused.contains("are the operator's"), "{refused}");
    }
    scene.election.apply(short_timings()).await.unwrap();
    let begun = tokio::time::Instant::now();
    while scene.election.lease().await.unwrap().labels()[STRICT_IDENTITY_LABEL] != "true" {
        assert!(begun.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let refused = said(scene.write(&nobody, &|_, lease| renew(lease)).await);
    assert!(refused.contains("bound to no pod"), "{refused}");

    operated().await.unwrap().controller_manager().await.context("kube-controller-manager").unwrap();
    scene.election.delete().await.unwrap();
    let leases = scene.leases(&scene.namespace.client());
    let begun = tokio::time::Instant::now();
    while leases.get_opt("billing").await.unwrap().is_some() {
        assert!(begun.elapsed() < Duration::from_secs(60), "nobody collects it");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // Left behind by its election, it is whoever's who may delete Leases.
    let orphaned = Scene::set("orphaned", short_timings()).await.unwrap();
    let orphan =
        ["-n", orphaned.namespace.name(), "delete", "leaderelection", "billing", "--cascade=orphan", "--timeout=50s"];
    kubectl(&operated().await.unwrap().kubeconfig(), &orphan, "").await.unwrap();
    let leases = orphaned.leases(&orphaned.namespace.client());
    assert_eq!(leases.get("billing").await.unwrap().labels()[STRICT_IDENTITY_LABEL], "true");
    leases.delete("billing", &DeleteParams::default()).await.unwrap();

    let another = Scene::set("ending", short_timings()).await.unwrap();
    // Nobody runs them who could end them.
    for pod in &another.pods {
        another.namespace.remove_pod(&pod.name_any()).await.unwrap();
    }
    another.namespace.delete().await.unwrap();
}
