//! What OpenShift asks of pods and of EndpointSlices, as policies in namespaces that are like its own. The third of its rules, who may
//! set an owner, holds on every control plane of the tests: the admission plugin OwnerReferencesPermissionEnforcement.

use std::time::Duration;

use anyhow::{Result, ensure};
use elector_crds::conditions::{ConditionType, Reason};
use elector_harness::candidate::{AgentOptions, Candidate};
use elector_harness::cluster::Namespace;
use elector_harness::controlplane::{ControlPlane, Options};
use elector_harness::kubectl::kubectl;
use elector_harness::operators::{Election, OPERATOR, short_timings};
use elector_harness::policies::until_in_force;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::files::{find, rendered};
use crate::injection::{created, pasted, pod};
use crate::release::{on, operated};

/// Until the API server has heard of a policy.
const SOON: Duration = Duration::from_secs(30);

/// Of a namespace: its first user id, and how many it has.
const USERS: &str = "openshift.io/sa.scc.uid-range";

const FOREIGN_USER: &str = "must be unset, or in the range of the namespace";

/// As `restricted-v2`, which every pod there gets that no account asks more for.
fn on_users(namespace: &str) -> String {
    let of_namespace = format!("namespaceObject.metadata.annotations['{USERS}'].split('/').map(part, int(part))");
    let contexts = "[dyn(object).spec.?securityContext] + dyn(object).spec.containers.map(c, c.?securityContext) \
                    + dyn(object).spec.?initContainers.orValue([]).map(c, c.?securityContext)";
    let is_assigned = "!id.hasValue() || id.value() >= variables.range[0] \
                       && id.value() < variables.range[0] + variables.range[1]";
    policy(
        namespace,
        &json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}),
        &json!([{"name": "range", "expression": of_namespace}, {"name": "contexts", "expression": contexts}]),
        &json!({
            "expression": format!(
                "variables.contexts.all(context, [context.?runAsUser, context.?runAsGroup].all(id, {is_assigned}))"
            ),
            "message": format!("runAsUser and runAsGroup {FOREIGN_USER}"),
        }),
    )
}

/// Who may not `create` the resource `endpointslices/restricted` leads traffic to no address of the cluster's own.
fn on_slices(namespace: &str) -> String {
    let is_of_cluster = "['10.128.0.0/14', '172.30.0.0/16'].exists(network, cidr(network).containsIP(address))";
    let may = "authorizer.group('discovery.k8s.io').resource('endpointslices').subresource('restricted')\
               .namespace(request.namespace).check('create').allowed()";
    policy(
        namespace,
        &json!({
            "apiGroups": ["discovery.k8s.io"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
            "resources": ["endpointslices"],
        }),
        &json!([]),
        &json!({
            "expression": format!(
                "object.?endpoints.orValue([]).all(endpoint, endpoint.addresses.all(address, !({is_of_cluster}))) || {may}"
            ),
            "message": "endpoint address is not allowed",
        }),
    )
}

fn policy(namespace: &str, rule: &Value, variables: &Value, validation: &Value) -> String {
    let kind = |kind: &str, spec: Value| json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": namespace}, "spec": spec});
    let policy = kind(
        "ValidatingAdmissionPolicy",
        json!({
            "matchConstraints": {"resourceRules": [rule]},
            "variables": variables,
            "validations": [validation],
        }),
    );
    let there = json!({"matchLabels": {"kubernetes.io/metadata.name": namespace}});
    let binding = kind(
        "ValidatingAdmissionPolicyBinding",
        json!({
            "policyName": namespace, "validationActions": ["Deny"], "matchResources": {"namespaceSelector": there},
        }),
    );
    format!("{policy}\n---\n{binding}\n")
}

/// A pod of an app that leaves its user to the platform, one of the operator as the chart makes it with these values, and one
/// with what the agent prints with these arguments.
async fn pods(value: &str, arguments: &[&str]) -> Result<[Value; 3]> {
    let mut app = pod();
    app["spec"]["securityContext"] = json!({"runAsNonRoot": true});
    let template = find(&rendered(&[value]).await?, "Deployment")[0]["spec"]["template"].clone();
    let operator = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "operator", "labels": template["metadata"]["labels"]}, "spec": template["spec"],
    });
    let mut by_hand = pasted(app.clone(), arguments).await?;
    by_hand["metadata"]["labels"]["leader-elector.io/injection"] = json!("disabled");
    Ok([app, operator, by_hand])
}

#[tokio::test]
async fn pods_of_a_platform_that_assigns_users_take_one_value_of_the_chart_from_1_34() {
    let plane = ControlPlane::start(Options::default()).await.unwrap();
    on(&plane, "install", &[]).await.unwrap();
    until_in_force(&plane).await.unwrap();
    let namespace = plane.namespace("openshift").await.unwrap();
    namespace.service_account(OPERATOR).await.unwrap();
    let kubeconfig = plane.kubeconfig();
    let range = format!("{USERS}=1000650000/10000");
    for change in [["annotate", &range], ["label", "pod-security.kubernetes.io/enforce=restricted"]] {
        kubectl(&kubeconfig, &[change[0], "namespace", namespace.name(), change[1]], "").await.unwrap();
    }
    kubectl(&kubeconfig, &["apply", "-f", "-"], &on_users(namespace.name())).await.unwrap();
    let mut assigned = pod();
    assigned["metadata"]["labels"] = json!({"app": "billing"});
    let refused = async |pod: &Value| created(&namespace, pod).await.map_err(|error| error.to_string());
    let begun = Instant::now();
    while refused(&assigned).await.is_ok() {
        assert!(begun.elapsed() < SOON, "nothing is refused");
        sleep(Duration::from_millis(200)).await;
    }
    assigned["spec"]["securityContext"] = json!({"runAsNonRoot": true, "runAsUser": 1_000_650_000});
    created(&namespace, &assigned).await.unwrap();

    for pod in pods("platformAssignsUsers=false", &[]).await.unwrap() {
        let said = refused(&pod).await.unwrap_err();
        assert!(said.contains(FOREIGN_USER), "{said}");
    }
    on(&plane, "upgrade", &["--set=platformAssignsUsers=true"]).await.unwrap();
    for pod in pods("platformAssignsUsers=true", &["--platform-assigns-users"]).await.unwrap() {
        let begun = Instant::now();
        while let Err(said) = refused(&pod).await {
            assert!(begun.elapsed() < SOON, "{said}");
            sleep(Duration::from_millis(200)).await;
        }
    }
}

/// What an app's own account may do that is granted all of EndpointSlices but the restricted ones.
async fn stranger(namespace: &Namespace<'_>) -> Result<Client> {
    let kubeconfig = namespace.cluster().kubeconfig();
    namespace.service_account("stranger").await?;
    let account = format!("{}:stranger", namespace.name());
    for grant in [
        &["role", "slices", "--verb=create", "--resource=endpointslices.discovery.k8s.io"][..],
        &["rolebinding", "slices", "--role=slices", "--serviceaccount", &account],
    ] {
        kubectl(&kubeconfig, &[&["-n", namespace.name(), "create"], grant].concat(), "").await?;
    }
    let cluster = namespace.cluster();
    cluster.client_for(&cluster.service_account_token(namespace.name(), "stranger", None).await?).await
}

fn slice(address: &str) -> Result<EndpointSlice> {
    let endpoints = json!([{"addresses": [address]}]);
    Ok(serde_json::from_value(
        json!({"metadata": {"generateName": "s-"}, "addressType": "IPv4", "endpoints": endpoints}),
    )?)
}

#[tokio::test]
async fn the_leaders_service_leads_to_pods_where_that_takes_a_right_of_its_own() {
    restricted_slices().await.unwrap();
}

async fn restricted_slices() -> Result<()> {
    const POD: &str = "10.128.0.7";
    let plane = operated().await?;
    let namespace = plane.namespace("openshift-slices").await?;
    kubectl(&plane.kubeconfig(), &["apply", "-f", "-"], &on_slices(namespace.name())).await?;
    let slices: Api<EndpointSlice> = Api::namespaced(stranger(&namespace).await?, namespace.name());
    let begun = Instant::now();
    let said = loop {
        match slices.create(&PostParams::default(), &slice(POD)?).await {
            Err(error) => break error.to_string(),
            Ok(_) => ensure!(begun.elapsed() < SOON, "nothing is refused"),
        }
        sleep(Duration::from_millis(200)).await;
    };
    ensure!(said.contains("endpoint address is not allowed"), "{said}");
    slices.create(&PostParams::default(), &slice("192.0.2.7")?).await?;

    let mut spec = short_timings();
    spec["leaderService"] = json!({"name": "front", "ports": [{"port": 80}]});
    let election = Election::create(&namespace, "billing", spec).await?;
    let _leader = Candidate::start(&namespace, "billing", "billing-0", &AgentOptions::default()).await?;
    namespace.patch_pod_status("billing-0", json!({"podIP": POD, "podIPs": [{"ip": POD}]})).await?;
    namespace.set_pod_ready("billing-0", true).await?;
    election.until_held_by("billing-0").await?;
    election.until_reason(ConditionType::Ready, Reason::Reconciled).await?;
    let of_service = ListParams::default().labels("kubernetes.io/service-name=front");
    let begun = Instant::now();
    loop {
        let led = namespace.api::<EndpointSlice>().list(&of_service).await?.items;
        if led.iter().flat_map(|slice| &slice.endpoints).any(|endpoint| endpoint.addresses == [POD]) {
            return Ok(());
        }
        ensure!(begun.elapsed() < SOON, "{led:?}");
        sleep(Duration::from_millis(100)).await;
    }
}
