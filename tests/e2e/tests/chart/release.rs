//! A release from its installation to its end, and one that the other tests of this program share.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use elector_harness::cluster::Namespace;
use elector_harness::controlplane::{ControlPlane, Options};
use elector_harness::kubectl::kubectl;
use elector_harness::operators::{Operator, Operators};
use elector_harness::policies::until_in_force;
use elector_harness::release::values_for;
use elector_xtask::helm::{chart, helm};
use elector_xtask::version::VERSION;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use kube::Api;
use kube::api::ListParams;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep};

/// Name of the release, and of its namespace.
pub(crate) const RELEASE: &str = "leader-elector";

/// A control plane on which the chart is installed with its default values and all that
/// it can do. A release makes objects that there can be one
/// of in a cluster.
pub(crate) async fn installed() -> Result<&'static ControlPlane> {
    static INSTALLED: OnceCell<ControlPlane> = OnceCell::const_new();
    INSTALLED
        .get_or_try_init(|| async {
            let plane = ControlPlane::start(Options::default()).await?;
            on(&plane, "install", &["--set=podLabels.enabled=true"]).await?;
            until_in_force(&plane).await?;
            Ok(plane)
        })
        .await
}

/// The control plane of the release, with its operator at work under the chart's rights.
pub(crate) async fn operated() -> Result<&'static ControlPlane> {
    static OPERATOR: OnceCell<(Operators<'static>, Operator)> = OnceCell::const_new();
    let plane = installed().await?;
    OPERATOR
        .get_or_try_init(|| async {
            let operators = Operators::released(plane).await?;
            let operator = operators.leader("chart").await?;
            anyhow::Ok((operators, operator))
        })
        .await?;
    Ok(plane)
}

/// A namespace of it in which Pod Security enforces what it calls restricted.
pub(crate) async fn restricted(prefix: &str) -> Result<Namespace<'static>> {
    let plane = installed().await?;
    let namespace = plane.namespace(prefix).await?;
    let label = ["label", "namespace", namespace.name(), "pod-security.kubernetes.io/enforce=restricted"];
    kubectl(&plane.kubeconfig(), &label, "").await?;
    Ok(namespace)
}

/// `helm VERB leader-elector CHART …`.
pub(crate) async fn on(plane: &ControlPlane, verb: &str, more: &[&str]) -> Result<String> {
    let chart = chart();
    let chart = chart.to_str().context("a path that is no text")?;
    let release = [RELEASE, chart, "--namespace", RELEASE, "--create-namespace"];
    helm(Some(&plane.kubeconfig()), &[&[verb], &release[..], values_for(plane), more].concat()).await
}

/// What the API server thinks of the types in a policy is said in the policy's status.
#[tokio::test]
async fn policies_have_no_faults_of_types() {
    let plane = installed().await.unwrap();
    plane.controller_manager().await.unwrap();
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(plane.client().await.unwrap());
    let begun = Instant::now();
    let checked = loop {
        // Not those that other tests play other software by.
        let of_release = ListParams::default().labels(&format!("app.kubernetes.io/instance={RELEASE}"));
        let listed = policies.list(&of_release).await.unwrap().items;
        let checked: Vec<_> =
            listed.iter().filter_map(|policy| policy.status.as_ref()?.type_checking.clone()).collect();
        if checked.len() == listed.len() {
            break checked;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{} of {} are checked", checked.len(), listed.len());
        sleep(Duration::from_millis(200)).await;
    };
    assert_eq!(checked.len(), if plane.has_mutating_policies() { 8 } else { 7 });
    let warnings: Vec<_> =
        checked.into_iter().flat_map(|types| types.expression_warnings.unwrap_or_default()).collect();
    assert_eq!(warnings, []);
}

/// The names of what there is of a kind, wherever.
async fn names(kubeconfig: &Path, kind: &str) -> Result<Vec<String>> {
    let selector = format!("--selector=app.kubernetes.io/instance={RELEASE}");
    let names = kubectl(kubeconfig, &["get", kind, "--all-namespaces", &selector, "--output=name"], "").await?;
    Ok(names.lines().map(str::to_owned).collect())
}

#[tokio::test]
async fn it_is_installed_upgraded_rolled_back_and_uninstalled() {
    let plane = ControlPlane::start(Options::default()).await.unwrap();
    let kubeconfig = plane.kubeconfig();
    let said = on(&plane, "install", &[]).await.unwrap();
    assert!(said.contains("kubectl get leaderelections"), "{said}");
    let established = ["wait", "--for=condition=Established", "crd/leaderelections.leader-elector.io"];
    kubectl(&kubeconfig, &established, "").await.unwrap();
    let election =
        "{apiVersion: leader-elector.io/v1alpha1, kind: LeaderElection, metadata: {name: billing}, spec: {}}";
    kubectl(&kubeconfig, &["apply", "--filename=-"], election).await.unwrap();

    let replicas = async || {
        let path = "--output=jsonpath={.spec.replicas} {.spec.template.spec.containers[0].image}";
        kubectl(&kubeconfig, &["-n", RELEASE, "get", "deployment", "leader-elector-operator", path], "").await
    };
    assert_eq!(replicas().await.unwrap(), format!("2 leader-elector/operator:{VERSION}"));
    let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
    let image = format!("operator.image.digest={digest}");
    on(&plane, "upgrade", &["--set", &image, "--set", "operator.replicas=3"]).await.unwrap();
    assert_eq!(replicas().await.unwrap(), format!("3 leader-elector/operator:{VERSION}@{digest}"));
    helm(Some(&kubeconfig), &["rollback", RELEASE, "1", "--namespace", RELEASE]).await.unwrap();
    assert_eq!(replicas().await.unwrap(), format!("2 leader-elector/operator:{VERSION}"));

    let mut kinds = "deployments,clusterroles,clusterrolebindings,roles,rolebindings,serviceaccounts,\
                     poddisruptionbudgets,validatingadmissionpolicies,validatingadmissionpolicybindings"
        .to_owned();
    if plane.has_mutating_policies() {
        kinds.push_str(",mutatingadmissionpolicies,mutatingadmissionpolicybindings");
    }
    assert!(names(&kubeconfig, &kinds).await.unwrap().len() >= 13);
    helm(Some(&kubeconfig), &["uninstall", RELEASE, "--namespace", RELEASE]).await.unwrap();
    assert_eq!(names(&kubeconfig, &kinds).await.unwrap(), [] as [&str; 0]);
    let left = kubectl(&kubeconfig, &["get", "leaderelections", "--output=name"], "").await.unwrap();
    assert_eq!(left.trim(), "leaderelection.leader-elector.io/billing");

    // What was kept is taken over again, and goes when it is asked for.
    on(&plane, "install", &["--set", "crds.keep=false"]).await.unwrap();
    let left = kubectl(&kubeconfig, &["get", "leaderelections", "--output=name"], "").await.unwrap();
    assert_eq!(left.trim(), "leaderelection.leader-elector.io/billing");
    helm(Some(&kubeconfig), &["uninstall", RELEASE, "--namespace", RELEASE, "--wait"]).await.unwrap();
    kubectl(&kubeconfig, &["get", "leaderelections"], "").await.unwrap_err();
}
