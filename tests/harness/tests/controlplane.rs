//! The harness itself: what other tests rely on must be so.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use elector_harness::{
    controlplane::{ControlPlane, Namespace, Options, Stage},
    kubectl::kubectl,
    process,
};
use futures::StreamExt;
use k8s_openapi::api::{
    authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus},
    coordination::v1::Lease,
    core::v1::{ConfigMap, Pod},
};
use kube::{
    Api,
    api::{PostParams, WatchParams},
    core::ObjectMeta,
};
use tokio::time::{Instant, sleep};

#[tokio::test]
async fn kubectl_sees_a_ready_server_of_the_version_in_go_mod() {
    let plane = ControlPlane::shared().await.unwrap();
    let admin = plane.kubeconfig();
    let ready = kubectl(&admin, &["get", "--raw", "/readyz"], "").await;
    assert_eq!(ready.unwrap(), "ok");
    let versions = kubectl(&admin, &["version"], "").await.unwrap();
    assert!(versions.contains("Server Version: v1.37.2"), "{versions}");
    assert!(versions.contains("Client Version: v1.37.2"), "{versions}");
}

#[tokio::test]
async fn rbac_denies_who_has_no_role() {
    let plane = ControlPlane::shared().await.unwrap();
    let namespace = plane.namespace("rbac").await.unwrap();
    let token = plane.service_account_token(namespace.name(), "default", None).await.unwrap();
    let client = plane.client_for(&token).await.unwrap();
    let leases: Api<Lease> = Api::namespaced(client, namespace.name());
    assert!(matches!(
        leases.get("any").await,
        Err(kube::Error::Api(status)) if status.is_forbidden()
    ));
}

#[tokio::test]
async fn a_pods_token_is_bound_to_it() {
    let plane = ControlPlane::shared().await.unwrap();
    let namespace = plane.namespace("bound").await.unwrap();
    namespace.service_account("app").await.unwrap();
    let pod = namespace.create_pod("pod-1", "app", &[]).await.unwrap();

    let token = namespace.pod_token(&pod).await.unwrap();
    let review = review(&namespace, &token).await;
    assert_eq!(review.authenticated, Some(true));
    let extra = review.user.unwrap().extra.unwrap();
    let claim = |key: &str| extra[&format!("authentication.kubernetes.io/{key}")].join(",");
    assert_eq!(claim("pod-name"), "pod-1");
    assert_eq!(claim("pod-uid"), pod.metadata.uid.clone().unwrap());

    let kubeconfig = namespace.pod_kubeconfig_at(&pod, None).await.unwrap();
    let mode = fs::metadata(&kubeconfig).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    // Another account's pod can't be had: the test would not notice that it tests nothing.
    let refused = plane.service_account_token(namespace.name(), "default", Some(&pod)).await;
    assert!(refused.is_err());
}

#[tokio::test]
async fn a_pod_is_ready_terminating_and_gone_as_said() {
    let plane = ControlPlane::shared().await.unwrap();
    let namespace = plane.namespace("pods").await.unwrap();
    let labels = [("app", "billing")];
    let pod = namespace.create_pod("pod-1", "default", &labels).await;
    assert_eq!(pod.unwrap().metadata.labels.unwrap()["app"], "billing");

    let pod = namespace.set_pod_ready("pod-1", true).await.unwrap();
    let status = pod.status.unwrap();
    assert_eq!(status.phase.as_deref(), Some("Running"));
    let ready = |condition: &&_| {
        let condition: &k8s_openapi::api::core::v1::PodCondition = condition;
        condition.type_ == "Ready" && condition.status == "True"
    };
    assert_eq!(status.conditions.unwrap().iter().filter(ready).count(), 1);

    namespace.terminate_pod("pod-1").await.unwrap();
    let pods: Api<Pod> = namespace.api();
    let terminating = pods.get("pod-1").await.unwrap();
    assert!(terminating.metadata.deletion_timestamp.is_some());

    namespace.remove_pod("pod-1").await.unwrap();
    assert!(pods.get_opt("pod-1").await.unwrap().is_none());
}

#[tokio::test]
async fn the_audit_log_has_each_request_and_an_open_watch() {
    let plane = ControlPlane::shared().await.unwrap();
    let namespace = plane.namespace("audit").await.unwrap();
    let pod = namespace.create_pod("pod-1", "default", &[]).await.unwrap();
    let token = namespace.pod_token(&pod).await.unwrap();
    let refused: Api<Lease> = Api::namespaced(plane.client_for(&token).await.unwrap(), namespace.name());
    refused.replace("mine", &PostParams::default(), &lease("mine")).await.unwrap_err();

    let leases: Api<Lease> = namespace.api();
    let made = leases.create(&PostParams::default(), &lease("mine")).await.unwrap();
    leases.replace("mine", &PostParams::default(), &made).await.unwrap();
    let parameters = WatchParams::default().fields("metadata.name=mine");
    let mut watch = leases.watch(&parameters, "0").await.unwrap().boxed();
    watch.next().await.unwrap().unwrap();

    let about = |entry: &_| {
        let entry: &elector_harness::controlplane::Entry = entry;
        entry.is_about(namespace.name(), "leases")
    };
    let requests = plane.audit().requests(about).unwrap();
    let seen: Vec<_> =
        requests.iter().map(|entry| (entry.verb.as_str(), entry.code, entry.stage, entry.is_write())).collect();
    assert_eq!(
        seen,
        [
            ("update", Some(403), Stage::ResponseComplete, true),
            ("create", Some(201), Stage::ResponseComplete, true),
            ("update", Some(200), Stage::ResponseComplete, true),
            ("watch", Some(200), Stage::ResponseStarted, false),
        ]
    );
    assert!(requests[0].is_from(namespace.name(), "default"));
    assert_eq!(requests[0].pod.as_deref(), Some("pod-1"));
    assert_eq!(requests[1].user, "admin");
    assert_eq!(requests[2].name, "mine");
    assert_eq!(requests[2].group, "coordination.k8s.io");
}

#[tokio::test]
async fn data_outlives_the_servers_and_nothing_outlives_the_control_plane() {
    let plane = ControlPlane::start(Options::default()).await.unwrap();
    let namespace = plane.namespace("restart").await.unwrap();
    let leases: Api<Lease> = namespace.api();
    let made = leases.create(&PostParams::default(), &lease("kept")).await.unwrap();
    let url = plane.url();

    plane.api_server().stop().await.unwrap();
    assert!(leases.get("kept").await.is_err());
    plane.api_server().start().unwrap();
    plane.ready().await.unwrap();
    assert_eq!(leases.get("kept").await.unwrap(), made);

    plane.api_server().kill();
    plane.etcd().kill();
    plane.etcd().start().unwrap();
    plane.api_server().start().unwrap();
    plane.ready().await.unwrap();
    assert_eq!(leases.get("kept").await.unwrap(), made);
    assert_eq!(plane.url(), url);

    plane.api_server().pause().unwrap();
    let frozen = tokio::time::timeout(Duration::from_secs(1), leases.get("kept")).await;
    assert!(frozen.is_err(), "a frozen server answered");
    plane.api_server().resume().unwrap();
    leases.get("kept").await.unwrap();

    // A frozen process ends too.
    plane.etcd().pause().unwrap();
    let processes = [plane.etcd().id().unwrap(), plane.api_server().id().unwrap()];
    let folder = plane.kubeconfig().parent().unwrap().to_owned();
    assert!(processes.iter().all(|id| runs(*id)));
    drop(plane);
    assert!(!processes.iter().any(|id| runs(*id)));
    assert!(!folder.exists());
}

#[tokio::test]
async fn nothing_outlives_a_process_that_is_killed() {
    let program = env!("CARGO_BIN_EXE_controlplane");
    let mut owner = process::spawn(program, |command| {
        command.stdout(Stdio::piped());
    })
    .unwrap();
    let mut processes = Vec::new();
    let mut lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let kubeconfig = loop {
        let line = lines.next().unwrap().unwrap();
        if let Some(kubeconfig) = line.strip_prefix("export KUBECONFIG=") {
            break PathBuf::from(kubeconfig);
        }
        processes.push(line.rsplit_once(' ').unwrap().1.parse::<u32>().unwrap());
    };
    assert_eq!(processes.len(), 2);
    assert!(processes.iter().all(|id| runs(*id)));

    owner.kill().unwrap();
    owner.wait().unwrap();
    eventually("its processes end", async || !processes.iter().any(|id| runs(*id))).await;
    let folder = kubeconfig.parent().unwrap();
    eventually("its folder is gone", async || !folder.exists()).await;
}

#[tokio::test]
async fn what_has_lost_its_owner_is_collected() {
    let plane = ControlPlane::start(Options::default()).await.unwrap();
    plane.controller_manager().await.unwrap();
    let namespace = plane.namespace("garbage").await.unwrap();
    let maps: Api<ConfigMap> = namespace.api();
    let mut owner = ConfigMap::default();
    owner.metadata.name = Some("owner".to_owned());
    let owner = maps.create(&PostParams::default(), &owner).await.unwrap();
    let mut owned = ConfigMap::default();
    owned.metadata.name = Some("owned".to_owned());
    owned.metadata.owner_references = Some(vec![kube::Resource::owner_ref(&owner, &()).unwrap()]);
    maps.create(&PostParams::default(), &owned).await.unwrap();

    maps.delete("owner", &Default::default()).await.unwrap();
    eventually("the owned one is gone", async || maps.get_opt("owned").await.unwrap().is_none()).await;
}

#[test]
fn without_go_or_with_an_old_one_the_error_says_what_to_install() {
    let machine = tempfile::tempdir().unwrap();
    let message = failure_of_controlplane(machine.path());
    assert!(message.contains("failed to build etcd"), "{message}");
    let advice = "there is no `go` in PATH: install Go 1.26.0 or newer";
    assert!(message.contains(advice), "{message}");

    program(&machine.path().join("go"), "echo go1.20.1");
    let message = failure_of_controlplane(machine.path());
    let advice = "go1.20.1 is too old: install Go 1.26.0 or newer";
    assert!(message.contains(advice), "{message}");
}

#[test]
fn what_is_in_kubebuilder_assets_is_not_built() {
    let machine = tempfile::tempdir().unwrap();
    program(&machine.path().join("etcd"), "exit 1");
    let message = failure_of_controlplane(machine.path());
    assert!(!message.contains("etcd"), "{message}");
    let missing = "failed to build kube-apiserver";
    assert!(message.contains(missing), "{message}");
}

/// What it says on a machine that has nothing but what is in `path`.
fn failure_of_controlplane(path: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_controlplane"))
        .env_clear()
        .env("PATH", path)
        .env("KUBEBUILDER_ASSETS", path)
        .env("LEADER_ELECTOR_CACHE", path.join("cache"))
        .output()
        .expect("cargo has built it");
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn program(path: &Path, script: &str) {
    fs::write(path, format!("#!/bin/sh\n{script}\n")).expect("the folder is ours");
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).expect("the file is ours");
}

fn lease(name: &str) -> Lease {
    Lease { metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }, spec: None }
}

async fn review(namespace: &Namespace<'_>, token: &str) -> TokenReviewStatus {
    let review = TokenReview {
        spec: TokenReviewSpec { token: Some(token.to_owned()), ..TokenReviewSpec::default() },
        ..TokenReview::default()
    };
    let reviews: Api<TokenReview> = Api::all(namespace.client());
    let review = reviews.create(&PostParams::default(), &review).await;
    review.expect("admin may review tokens").status.expect("a review has a status")
}

/// Not so for a zombie: an orphan's new parent may take its time.
fn runs(process: u32) -> bool {
    fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds().await {
        assert!(Instant::now() < deadline, "not in 30 s: {what}");
        sleep(Duration::from_millis(50)).await;
    }
}
