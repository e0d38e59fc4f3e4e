//! How the servers are run.

use std::{
    net::Ipv4Addr,
    ops::Range,
    path::{Path, PathBuf},
};

use super::releases::MUTATING_POLICIES;

/// Of the service `kubernetes`: the first of the service addresses.
pub(super) const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

/// What pods that nobody runs can live with: no one judges their node, and no one replaces them.
const CONTROLLERS: &str = "garbage-collector-controller,namespace-controller,serviceaccount-controller,\
                           clusterrole-aggregation-controller,validatingadmissionpolicy-status-controller";

/// What real ones need beside.
const NODE_CONTROLLERS: &str = "deployment-controller,replicaset-controller,statefulset-controller,job-controller,\
                                disruption-controller,persistentvolume-binder-controller,\
                                persistentvolume-protection-controller,persistentvolumeclaim-protection-controller,\
                                root-ca-certificate-publisher-controller,\
                                node-lifecycle-controller,taint-eviction-controller,pod-garbage-collector-controller";

/// Releases in which MutatingAdmissionPolicy is off unless it is asked for.
pub(super) const BETA_POLICIES: Range<u32> = MUTATING_POLICIES..36;

/// On a Unix socket: no port to be taken, and none but us to connect.
pub(super) fn etcd(folder: &Path, fsync: bool) -> Vec<String> {
    let socket = format!("unix://{}", socket(folder).display());
    let mut arguments = vec![
        format!("--data-dir={}", folder.join("etcd").display()),
        format!("--listen-client-urls={socket}"),
        format!("--advertise-client-urls={socket}"),
        "--listen-peer-urls=http://127.0.0.1:0".to_owned(),
        "--log-level=warn".to_owned(),
    ];
    if !fsync {
        arguments.push("--unsafe-no-fsync".to_owned());
    }
    arguments
}

/// Where etcd listens.
pub(super) fn socket(folder: &Path) -> PathBuf {
    folder.join("etcd.sock")
}

pub(super) fn api_server(folder: &Path, port: u16, minor: u32) -> Vec<String> {
    let file = |name: &str| folder.join(name).display().to_string();
    let mut arguments = vec![
        format!("--etcd-servers=unix://{}", socket(folder).display()),
        "--bind-address=127.0.0.1".to_owned(),
        "--advertise-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        format!("--tls-cert-file={}", file("server.crt")),
        format!("--tls-private-key-file={}", file("server.key")),
        format!("--token-auth-file={}", file("users.csv")),
        "--authorization-mode=Node,RBAC".to_owned(),
        // As on OpenShift and on many hardened clusters: an owner is set by those only who could delete the object.
        "--enable-admission-plugins=OwnerReferencesPermissionEnforcement".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={}", file("accounts.pub")),
        format!("--service-account-signing-key-file={}", file("accounts.key")),
        "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
        // Nobody connects to the `kubernetes` service, and a loopback address can't be its endpoint.
        "--endpoint-reconciler-type=none".to_owned(),
        format!("--audit-policy-file={}", file("audit-policy.yaml")),
        format!("--audit-log-path={}", file("audit.log")),
        "--audit-log-mode=blocking".to_owned(),
        // Never rotated: whoever counts needs all of it.
        "--audit-log-maxsize=0".to_owned(),
    ];
    if BETA_POLICIES.contains(&minor) {
        arguments.push("--feature-gates=MutatingAdmissionPolicy=true".to_owned());
        arguments.push("--runtime-config=admissionregistration.k8s.io/v1beta1=true".to_owned());
    }
    arguments
}

pub(super) fn controller_manager(folder: &Path, kubeconfig: &Path, nodes: bool) -> Vec<String> {
    let file = |name: &str| folder.join(name).display().to_string();
    vec![
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--controllers={CONTROLLERS}{}", if nodes { format!(",{NODE_CONTROLLERS}") } else { String::new() }),
        format!("--service-account-private-key-file={}", file("accounts.key")),
        format!("--root-ca-file={}", file("ca.crt")),
        // A claim is bound by the next look but one.
        "--pvclaimbinder-sync-period=1s".to_owned(),
        // As clusters are set up: each controller has an account of its own, by which policies know it.
        "--use-service-account-credentials=true".to_owned(),
        "--leader-elect=false".to_owned(),
        "--secure-port=0".to_owned(),
    ]
}

pub(super) fn scheduler(kubeconfig: &Path) -> Vec<String> {
    vec![
        format!("--kubeconfig={}", kubeconfig.display()),
        "--leader-elect=false".to_owned(),
        "--secure-port=0".to_owned(),
    ]
}
