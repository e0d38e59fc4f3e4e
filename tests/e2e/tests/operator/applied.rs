//! `kubectl apply`, and what is there then: a Lease, a Role, a RoleBinding, a status.

use std::time::Duration;

use anyhow::{Context as _, Result};
use elector_crds::annotations::TimingsAnnotation;
use elector_crds::conditions::{ConditionType, Reason};
use elector_crds::{LeaderElection, StoredLease, TIMINGS_ANNOTATION};
use elector_harness::candidate::{AgentOptions, Candidate, leader};
use elector_harness::controlplane::{ControlPlane, NODE, Namespace};
use elector_harness::kubectl::kubectl;
use elector_harness::operators::{Election, OPERATOR, place, shared, short_timings};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

#[tokio::test]
async fn apply_makes_a_lease_that_was_never_held_a_role_and_a_binding() {
    applied("billing").await.unwrap();
}

async fn applied(name: &str) -> Result<()> {
    let namespace = place("applied").await?;
    let example = format!(
        "apiVersion: leader-elector.io/v1alpha1\nkind: LeaderElection\nmetadata: {{name: {name}}}\n\
         spec: {{candidates: {{serviceAccountNames: [one, two]}}}}\n"
    );
    kubectl(&namespace.cluster().kubeconfig(), &["-n", namespace.name(), "apply", "-f", "-"], &example).await?;
    let election = Election::named(&namespace, name);
    let stored = election.until_reason(ConditionType::Ready, Reason::Reconciled).await?;

    let owner = json!([{
        "apiVersion": "leader-elector.io/v1alpha1", "kind": "LeaderElection", "name": name,
        "uid": stored.uid(), "controller": true,
    }]);
    let labels = json!({
        "app.kubernetes.io/managed-by": "leader-elector-operator", "leader-elector.io/election": name,
    });

    let lease = json!(election.lease().await?);
    let never = "1970-01-01T00:00:00.000000Z";
    let first = json!({"leaseDurationSeconds": 15, "leaseTransitions": 0, "acquireTime": never, "renewTime": never});
    assert_eq!(lease["spec"], first);
    let timings = lease["metadata"]["annotations"][TIMINGS_ANNOTATION].as_str().unwrap_or_default();
    assert_eq!(
        serde_json::from_str::<Value>(timings)?,
        json!({
            "leaseDurationSeconds": 15, "renewDeadlineSeconds": 10, "retryPeriodSeconds": 2, "releaseDelaySeconds": 0,
            "neverHeld": true,
        })
    );
    assert_eq!(lease["metadata"]["annotations"].as_object().map(serde_json::Map::len), Some(1));

    let role = json!(namespace.api::<Role>().get(&format!("leader-elector-{name}")).await?);
    assert_eq!(
        role["rules"],
        json!([{
            "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": [name],
            "verbs": ["get", "list", "watch", "update"],
        }])
    );

    let binding = json!(namespace.api::<RoleBinding>().get(&format!("leader-elector-{name}")).await?);
    let subject = |account: &str| json!({"kind": "ServiceAccount", "name": account, "namespace": namespace.name()});
    assert_eq!(binding["subjects"], json!([subject("one"), subject("two")]));
    assert_eq!(binding["roleRef"]["name"], json!(format!("leader-elector-{name}")));

    let mut of_lease = labels.clone();
    of_lease["leader-elector.io/strict-identity"] = json!("true");
    for (object, labels) in [(&lease, &of_lease), (&role, &labels), (&binding, &labels)] {
        assert_eq!(object["metadata"]["ownerReferences"], owner);
        assert_eq!(object["metadata"]["labels"], *labels);
    }

    // It is made without the mark of one never held, which the version that was made then gets, and no other (rule O2).
    let writes = shared().await?.requests(|entry| {
        entry.namespace == namespace.name()
            && entry.resource == "leases"
            && ["create", "update"].contains(&&*entry.verb)
    })?;
    assert_eq!(writes.iter().map(|entry| entry.verb.as_str()).collect::<Vec<_>>(), ["create", "update"]);

    let status = json!(stored.status);
    let condition = |index: usize| {
        let condition = &status["conditions"][index];
        assert_eq!(condition["observedGeneration"], 1);
        [&condition["type"], &condition["status"], &condition["reason"], &condition["message"]].map(Value::clone)
    };
    assert_eq!(condition(0), ["Ready", "True", "Reconciled", "Lease, Role and RoleBinding are in place"]);
    assert_eq!(condition(1), ["LeaderElected", "False", "NeverHeld", "no candidate has led yet"]);
    let missing = format!(
        "no pod matches leader-elector.io/election={name}; label the candidates so, or set spec.candidates.selector"
    );
    assert_eq!(condition(2), ["CandidatesReady", "False", "NoPodsMatch", &missing]);
    let mut fields = status.as_object().cloned().unwrap_or_default();
    fields.remove("conditions");
    assert_eq!(
        json!(fields),
        json!({
            "observedGeneration": 1,
            "selector": format!("leader-elector.io/election={name}"),
            "state": "NeverHeld",
            "leaseUID": lease["metadata"]["uid"],
            "leaseTransitions": 0,
            "candidates": 0,
            "readyCandidates": 0,
        })
    );

    election.apply(json!({"candidates": {"serviceAccountNames": ["three"]}})).await?;
    let spec = json!({"candidates": {"serviceAccountNames": ["three"]}});
    let patched = Patch::Merge(json!({"spec": spec}));
    namespace.api::<LeaderElection>().patch(name, &PatchParams::default(), &patched).await?;
    election.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
    let binding = json!(namespace.api::<RoleBinding>().get(&format!("leader-elector-{name}")).await?);
    assert_eq!(binding["subjects"], json!([subject("three")]));
    assert_eq!(election.event_reasons().await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn what_is_changed_by_hand_is_put_back() {
    put_back().await.unwrap();
}

async fn put_back() -> Result<()> {
    let namespace = place("put-back").await?;
    let election = Election::create(&namespace, "billing", short_timings()).await?;
    election.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
    let roles: Api<Role> = namespace.api();
    let bindings: Api<RoleBinding> = namespace.api();
    let (role, binding) = (roles.get("leader-elector-billing").await?, bindings.get("leader-elector-billing").await?);

    let widened = Patch::Merge(json!({"rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]}));
    roles.patch("leader-elector-billing", &PatchParams::default(), &widened).await?;
    bindings.delete("leader-elector-billing", &DeleteParams::default()).await?;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        let is_role = roles.get("leader-elector-billing").await?;
        let is_binding = bindings.get_opt("leader-elector-billing").await?;
        if is_role.rules == role.rules && is_binding.is_some_and(|is| is.subjects == binding.subjects) {
            return Ok(());
        }
        anyhow::ensure!(tokio::time::Instant::now() < deadline, "{is_role:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn agents_lead_and_kubectl_shows_who_and_where() {
    lead().await.unwrap();
}

/// Header and row of the table, in words.
async fn table(namespace: &Namespace<'_>, arguments: &[&str]) -> Result<[Vec<String>; 2]> {
    let arguments = [&["-n", namespace.name(), "get", "le"], arguments].concat();
    let table = kubectl(&namespace.cluster().kubeconfig(), &arguments, "").await?;
    let mut lines = table.lines().map(|line| {
        let cells = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty());
        cells.map(str::to_owned).collect()
    });
    Ok([lines.next().unwrap_or_default(), lines.next().unwrap_or_default()])
}

async fn lead() -> Result<()> {
    let namespace = place("lead").await?;
    let election = Election::create(&namespace, "billing", short_timings()).await?;
    election.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
    let mut candidates = Vec::new();
    for pod in ["billing-0", "billing-1"] {
        candidates.push(Candidate::start(&namespace, "billing", pod, &AgentOptions::default()).await?);
        namespace.set_pod_ready(pod, true).await?;
    }
    // A Lease that was never held is free at once.
    let first = leader(&candidates, Duration::from_secs(4)).await?;
    election.until_held_by(first.name()).await?;
    let stored = election.until_reason(ConditionType::CandidatesReady, Reason::AllReady).await?;
    let status = json!(stored.status);
    let lease = json!(election.lease().await?);
    assert_eq!(
        status["holder"],
        json!({
            "name": first.name(),
            "identity": first.identity(),
            "nodeName": NODE,
            "acquireTime": lease["spec"]["acquireTime"],
        })
    );
    assert_eq!([&status["candidates"], &status["readyCandidates"], &status["leaseTransitions"]], [2, 2, 1]);

    let [header, row] = table(&namespace, &[]).await?;
    assert_eq!(header, ["NAME", "HOLDER", "CANDIDATES", "TRANSITIONS", "HELD FOR", "STATE", "READY", "AGE"]);
    assert_eq!(row[..4], ["billing", first.name(), "2", "1"]);
    assert!(row[4].ends_with('s') && row[5] == "LeaseHeld" && row[6] == "True", "{row:?}");
    let [header, row] = table(&namespace, &["-o", "wide"]).await?;
    assert_eq!(header[8..], ["ELECTED", "REASON", "NODE"]);
    assert_eq!(row[8..], ["True", "LeaseHeld", NODE]);

    let events = election.event_objects().await?;
    assert_eq!(events.len(), 1, "{events:?}");
    let event = &events[0];
    assert_eq!(event.reason.as_deref(), Some("LeaderElected"));
    assert_eq!(event.note, Some(format!("{} leads", first.name())));
    assert_eq!(event.reporting_controller.as_deref(), Some("leader-elector.io/operator"));
    assert_eq!(event.reporting_instance.as_deref(), Some("shared"));
    let regarding = event.regarding.clone().unwrap_or_default();
    assert_eq!((regarding.kind.as_deref(), regarding.uid), (Some("LeaderElection"), stored.uid()));
    let related = event.related.clone().unwrap_or_default();
    let pod = namespace.api::<Pod>().get(first.name()).await?;
    assert_eq!((related.name.as_deref(), related.uid), (Some(first.name()), pod.uid()));

    // Handed over by the leader itself: nobody waits, and both tenures are told.
    let first = first.name().to_owned();
    candidates.iter().find(|candidate| candidate.name() == first).expect("it is one of them").process().stop().await?;
    let next = leader(&candidates, Duration::from_secs(3)).await?.name();
    assert_ne!(next, first);
    let stored = election.until_held_by(next).await?;
    assert_eq!(stored.status.and_then(|status| status.lease_transitions), Some(2));
    let told: Vec<_> = election.events().await?.into_iter().map(|(reason, _)| reason).collect();
    assert_eq!(told, ["LeaderElected", "LeaderLost", "LeaderElected"]);

    // The last one leaves, too.
    candidates.iter().find(|candidate| candidate.name() == next).expect("it is one of them").process().stop().await?;
    let stored = election.until_reason(ConditionType::LeaderElected, Reason::Released).await?;
    let status = stored.status.context("no status")?;
    assert_eq!(status.holder, None);
    // Told to stop by SIGTERM, as when a pod is deleted.
    let ends: Vec<_> = status.history.iter().filter_map(|tenure| tenure.reason.as_deref()).collect();
    assert_eq!(ends, ["Stopped", "Stopped"]);
    let [_, row] = table(&namespace, &[]).await?;
    assert_eq!(row[..5], ["billing", "2", "2", "Released", "True"]);
    Ok(())
}

#[tokio::test]
async fn a_candidates_token_can_do_four_verbs_on_one_lease() {
    rights().await.unwrap();
}

fn lease(name: &str) -> Lease {
    let mut lease = Lease::default();
    lease.metadata.name = Some(name.to_owned());
    lease
}

async fn rights() -> Result<()> {
    let namespace = place("rights").await?;
    let elsewhere = place("elsewhere").await?;
    for (namespace, name, account) in
        [(&namespace, "billing", "default"), (&namespace, "other", "somebody"), (&elsewhere, "billing", "default")]
    {
        let spec = json!({"candidates": {"serviceAccountNames": [account]}});
        let election = Election::create(namespace, name, spec).await?;
        election.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
    }
    let pod = namespace.create_pod("billing-0", "default", &[]).await?;
    let token = namespace.pod_token(&pod).await?;
    let client = ControlPlane::shared().await?.client_for(&token).await?;
    let leases: Api<Lease> = Api::namespaced(client.clone(), namespace.name());

    let own = leases.get("billing").await?;
    leases.list(&ListParams::default().fields("metadata.name=billing")).await?;
    drop(leases.watch(&WatchParams::default().fields("metadata.name=billing"), "0").await?);
    leases.replace("billing", &PostParams::default(), &own).await?;

    let post = PostParams::default();
    let label = Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}}));
    let others: Api<Lease> = Api::namespaced(client.clone(), elsewhere.name());
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace.name());
    let elections: Api<LeaderElection> = Api::namespaced(client, namespace.name());
    for (what, refused) in [
        ("create", leases.create(&post, &lease("third")).await.err()),
        ("delete", leases.delete("billing", &DeleteParams::default()).await.err()),
        ("patch", leases.patch("billing", &PatchParams::default(), &label).await.err()),
        ("list all", leases.list(&ListParams::default()).await.err()),
        ("get other", leases.get("other").await.err()),
        ("update other", leases.replace("other", &post, &lease("other")).await.err()),
        ("get elsewhere", others.get("billing").await.err()),
        ("update elsewhere", others.replace("billing", &post, &lease("billing")).await.err()),
        ("config maps", maps.list(&ListParams::default()).await.err()),
        ("elections", elections.get("billing").await.err()),
    ] {
        assert!(matches!(&refused, Some(kube::Error::Api(status)) if status.is_forbidden()), "{what}: {refused:?}");
    }
    Ok(())
}

#[tokio::test]
async fn timings_reach_the_agents_by_the_annotation_and_the_operator_never_writes_the_record() {
    timings().await.unwrap();
}

fn annotated(lease: &StoredLease) -> Option<[u32; 3]> {
    let text = lease.annotation(TIMINGS_ANNOTATION)?;
    let timings = TimingsAnnotation::parse(text, &mut Vec::new()).timings?;
    Some([timings.lease_duration_seconds(), timings.renew_deadline_seconds(), timings.retry_period_seconds()])
}

async fn timings() -> Result<()> {
    let namespace = place("timings").await?;
    let election = Election::create(&namespace, "billing", short_timings()).await?;
    let options = AgentOptions::default();
    election.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
    let candidates = [Candidate::start(&namespace, "billing", "billing-0", &options).await?];
    leader(&candidates, Duration::from_secs(4)).await?;
    assert_eq!(annotated(&election.lease().await?), Some([5, 3, 1]));

    election.apply(json!({"leaseDurationSeconds": 8, "renewDeadlineSeconds": 5, "retryPeriodSeconds": 1})).await?;
    election.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    let lease = loop {
        let lease = election.lease().await?;
        if annotated(&lease) == Some([8, 5, 1]) && lease.spec["leaseDurationSeconds"] == 8 {
            break lease;
        }
        anyhow::ensure!(tokio::time::Instant::now() < deadline, "{lease:?}\n{}", candidates[0].log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    // Nobody lost anything by it.
    assert_eq!(lease.spec["leaseTransitions"], 1);
    assert!(candidates[0].leads());
    assert_eq!(election.event_reasons().await?, ["LeaderElected"]);

    // Fields belong to whoever last gave them their value.
    let written = namespace.api::<Lease>().get("billing").await?;
    let fields = written.managed_fields().iter().filter(|entry| entry.manager.as_deref() == Some(OPERATOR));
    let of_operator: Vec<Value> = fields.map(|entry| json!(entry.fields_v1)).collect();
    assert!(!of_operator.is_empty());
    assert!(of_operator.iter().all(|fields| fields.get("f:spec").is_none()), "{of_operator:?}");
    let writes = shared().await?.requests(|entry| {
        entry.is_about(namespace.name(), "leases") && entry.is_write() && entry.code.is_some_and(|code| code < 300)
    })?;
    let verbs: Vec<&str> = writes.iter().map(|write| write.verb.as_str()).collect();
    // And the mark of one never held.
    assert_eq!(verbs, ["create", "update", "update"]);
    Ok(())
}
