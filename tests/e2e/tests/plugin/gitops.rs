//! Tools that keep a LeaderElection as a source says, and what becomes of a pause meanwhile.

use anyhow::Result;
use elector_crds::{LeaderElection, StoredLease};
use elector_harness::kubectl::kubectl;
use elector_harness::operators::short_timings;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::Api;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::scene::Scene;

/// What the source says, which says nothing of a pause.
fn source(metadata: &Value) -> Value {
    let mut object = json!({"apiVersion": "leader-elector.io/v1alpha1", "kind": "LeaderElection", "metadata": metadata,
                            "spec": short_timings()});
    object["metadata"]["name"] = json!("billing");
    object
}

/// A turn of Flux, which takes over what kubectl's managers wrote, and applies what its source says; returns whether the
/// election is paused then.
async fn flux(api: &Api<LeaderElection>) -> Result<bool> {
    loop {
        let mut stored = api.get("billing").await?;
        for entry in stored.metadata.managed_fields.iter_mut().flatten() {
            if entry.manager.as_deref().is_some_and(|manager| manager.starts_with("kubectl")) {
                entry.manager = Some("kustomize-controller".to_owned());
                entry.operation = Some("Apply".to_owned());
            }
        }
        match api.replace("billing", &PostParams::default(), &stored).await {
            // The operator writes the status meanwhile.
            Err(kube::Error::Api(status)) if status.is_conflict() => {}
            replaced => break drop(replaced?),
        }
    }
    let apply = PatchParams::apply("kustomize-controller").force();
    Ok(api.patch("billing", &apply, &Patch::Apply(source(&json!({})))).await?.spec.paused)
}

#[tokio::test]
async fn a_pause_outlives_what_flux_does_and_its_owner_is_named() {
    let scene = Scene::set("plugin-flux").await.unwrap();
    let api = scene.namespace.api::<LeaderElection>();
    let label = json!({"metadata": {"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}}});
    api.patch("billing", &PatchParams::default(), &Patch::Merge(label)).await.unwrap();
    let paused = scene.run(&["pause", "billing"]).await.unwrap();
    assert_eq!((paused.code, paused.out.as_str()), (Some(0), "billing is paused: nobody leads\n"), "{paused:?}");
    assert!(paused.error.starts_with("warning: Flux manages billing: "), "{paused:?}");
    assert!(flux(&api).await.unwrap());

    let resumed = scene.run(&["resume", "billing"]).await.unwrap();
    assert_eq!(resumed.code, Some(0), "{resumed:?}");
    assert!(resumed.error.starts_with("warning: Flux manages billing: "), "{resumed:?}");
    let by_hand = ["patch", "leaderelection", "billing", "--type=merge", r#"--patch={"spec": {"paused": true}}"#];
    let (kubeconfig, of_namespace) = (scene.namespace.cluster().kubeconfig(), ["-n", scene.namespace.name()]);
    for (manager, outlives) in [(&[][..], false), (&["--field-manager=on-call"], true)] {
        kubectl(&kubeconfig, &[&of_namespace, &by_hand[..], manager].concat(), "").await.unwrap();
        assert!(api.get("billing").await.unwrap().spec.paused);
        assert_eq!(flux(&api).await.unwrap(), outlives, "{manager:?}");
    }
}

/// It applies as kubectl does, by the client or by the server.
#[tokio::test]
async fn a_pause_outlives_a_sync_of_argo_cd_unless_its_source_says_otherwise() {
    const TRACKED: &str = "argocd.argoproj.io/tracking-id";
    let scene = Scene::set("plugin-argo").await.unwrap();
    let api = scene.namespace.api::<LeaderElection>();
    let instance = "app.kubernetes.io/instance";
    let marked = source(&json!({"annotations": {TRACKED: "shop:LeaderElection"}, "labels": {instance: "shop"}}));
    let kubeconfig = scene.namespace.cluster().kubeconfig();
    let sync = async |source: &Value, more: &[&str]| {
        let apply = ["-n", scene.namespace.name(), "apply", "--filename=-", "--field-manager=argocd-controller"];
        kubectl(&kubeconfig, &[&apply[..], more].concat(), &source.to_string()).await.unwrap();
        api.get("billing").await.unwrap().spec.paused
    };
    let by_server = ["--server-side", "--force-conflicts"];
    assert!(!sync(&marked, &[]).await);
    let paused = scene.run(&["pause", "billing"]).await.unwrap();
    assert_eq!(paused.code, Some(0), "{paused:?}");
    assert!(paused.error.starts_with("warning: Argo CD manages billing: "), "{paused:?}");
    // None that there would be to sync.
    let diff = ["-n", scene.namespace.name(), "diff", "--filename=-"];
    assert_eq!(kubectl(&kubeconfig, &diff, &marked.to_string()).await.unwrap(), "");
    assert!(sync(&marked, &[]).await);
    assert!(sync(&marked, &by_server).await);
    let mut says_so = marked.clone();
    says_so["spec"]["paused"] = json!(false);
    assert!(!sync(&says_so, &by_server).await);

    // Else it would take them for its own, and prune what its source has not.
    let (lease, role, binding): (StoredLease, Role, RoleBinding) = (
        scene.namespace.api().get("billing").await.unwrap(),
        scene.namespace.api().get("leader-elector-billing").await.unwrap(),
        scene.namespace.api().get("leader-elector-billing").await.unwrap(),
    );
    for ObjectMeta { labels, annotations, .. } in [lease.metadata, role.metadata, binding.metadata] {
        let marks = labels.into_iter().chain(annotations).flatten().map(|(mark, _)| mark);
        let marks: Vec<String> = marks.filter(|mark| mark == instance || mark.starts_with("argocd")).collect();
        assert_eq!(marks, [""; 0]);
    }
}
