//! Gathers the facts for all checks at once. What this user may not see is noted, for the checks to report.

use elector_crds::rbac::VERBS;
use elector_crds::rbac::rbac_name;
use elector_crds::{LeaderElection, StoredLease};
use futures::future::join_all;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use k8s_openapi::api::authorization::v1::{LocalSubjectAccessReview, ResourceAttributes, SubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{ApiResource, DynamicObject, GetParams, GroupVersionKind, ListParams, PostParams};
use kube::client::Body;
use kube::core::Request;
use kube::{Api, CustomResourceExt as _, Resource as _, ResourceExt as _};
use serde_json::json;

use super::facts::{Clock, Facts, Look, Policies, Policy, Review};
use crate::cluster::{Cluster, Unseen, is_without_definition};
use crate::lenient::{Lenient, readable};

/// The label selector of the objects that the chart creates.
const CHART_LABEL: &str = "app.kubernetes.io/name=leader-elector";

/// The API group of the policies.
const POLICY_GROUP: &str = "admissionregistration.k8s.io";

/// The API versions in which the chart creates policies, the newest first.
const POLICY_VERSIONS: [&str; 2] = ["v1", "v1beta1"];

pub(super) async fn gather(cluster: &Cluster, election: LeaderElection) -> Facts {
    let name = election.name_any();
    let rbac = rbac_name(&name);
    let selector = election.spec.selector(&name);
    let (role, role_binding) = (cluster.api::<Lenient<Role>>(), cluster.api::<Lenient<RoleBinding>>());
    let leases = cluster.api::<Lenient<StoredLease>>();
    let definitions = cluster.api_of_all::<Lenient<CustomResourceDefinition>>();
    let here = |what: &str| format!("{what} in namespace {}", cluster.namespace);
    let rights = ["get leases", "list pods", "get roles", "get rolebindings"].map(here);
    let [get_leases, list_pods, get_roles, get_role_bindings] = &rights;
    let looks = tokio::join!(
        cluster.look("get customresourcedefinitions", definitions.get_opt(LeaderElection::crd_name())),
        operators(cluster),
        policies(cluster, "MutatingAdmissionPolicy", "-injection"),
        policies(cluster, "ValidatingAdmissionPolicy", "-strict-identity"),
        cluster.look(get_roles, role.get_opt(&rbac)),
        cluster.look(get_role_bindings, role_binding.get_opt(&rbac)),
        accounts(cluster, &election),
        reviews(cluster, &election),
        cluster.look(list_pods, cluster.matching::<Pod>(&selector)),
        cluster.look(get_leases, leases.get_opt(&name)),
    );
    let (definition, operators, injection, strict_identity, role, role_binding, accounts, reviews, pods, lease) = looks;
    let (definition, role, role_binding, lease) =
        (definition.map(one), role.map(one), role_binding.map(one), lease.map(one));
    // After the Lease: what it says was written before.
    let clock = clock(cluster, &name).await;
    Facts {
        election,
        definition,
        operators,
        injection,
        strict_identity,
        role,
        role_binding,
        accounts,
        reviews,
        pods,
        lease,
        clock,
    }
}

/// The object, if it exists and can be read.
fn one<K: kube::Resource<DynamicType = ()>>(object: Option<Lenient<K>>) -> Option<K> {
    object.and_then(Lenient::into_readable)
}

/// The Leases of operators, under the name that the chart gives them in a release called leader-elector.
async fn operators(cluster: &Cluster) -> Look<Vec<StoredLease>> {
    let named = ListParams::default().fields(&format!("metadata.name={}", elector_crds::ownership::OPERATOR_NAME));
    let leases: Api<Lenient<StoredLease>> = cluster.api_of_all();
    cluster.look("list leases in all namespaces", leases.list(&named)).await.map(readable)
}

async fn accounts(cluster: &Cluster, election: &LeaderElection) -> Vec<(String, Look<Option<ServiceAccount>>)> {
    let right = format!("get serviceaccounts in namespace {}", cluster.namespace);
    let api = cluster.api::<Lenient<ServiceAccount>>();
    let looks = election.spec.candidates.service_account_names.iter().map(async |account| {
        let look = cluster.look(&right, api.get_opt(account)).await.map(one);
        (account.clone(), look)
    });
    join_all(looks).await
}

/// Asks the API server which verbs on the Lease each listed service account is allowed, by any Role.
async fn reviews(cluster: &Cluster, election: &LeaderElection) -> Look<Vec<Review>> {
    let accounts = &election.spec.candidates.service_account_names;
    let asked = accounts.iter().flat_map(|account| VERBS.map(|verb| (account, verb)));
    let reviews = asked.map(async |(account, verb)| {
        let allowed = review(cluster, &election.name_any(), account, verb).await?;
        Ok(Review { account: account.clone(), verb, allowed })
    });
    join_all(reviews).await.into_iter().collect()
}

async fn review(cluster: &Cluster, lease: &str, account: &str, verb: &str) -> Look<bool> {
    let namespace = &cluster.namespace;
    let review = LocalSubjectAccessReview {
        metadata: ObjectMeta { namespace: Some(namespace.clone()), ..ObjectMeta::default() },
        spec: SubjectAccessReviewSpec {
            user: Some(format!("system:serviceaccount:{namespace}:{account}")),
            groups: Some(vec![
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{namespace}"),
                "system:authenticated".to_owned(),
            ]),
            resource_attributes: Some(ResourceAttributes {
                group: Some("coordination.k8s.io".to_owned()),
                resource: Some("leases".to_owned()),
                namespace: Some(namespace.clone()),
                name: Some(lease.to_owned()),
                verb: Some(verb.to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        status: None,
    };
    let api = cluster.api::<LocalSubjectAccessReview>();
    let right = format!("create localsubjectaccessreviews in namespace {namespace}");
    let answer = cluster.look(&right, api.create(&PostParams::default(), &review)).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

/// The chart's policies whose names end with `suffix`, of any release.
async fn policies(cluster: &Cluster, kind: &str, suffix: &str) -> Look<Policies> {
    let binding = format!("{kind}Binding");
    let (policies, bindings) = tokio::join!(of_chart(cluster, kind), of_chart(cluster, &binding));
    let (Some(policies), Some(bindings)) = (policies?, bindings?) else { return Ok(None) };
    let policies = policies.into_iter().filter(|policy| policy.name_any().ends_with(suffix));
    Ok(Some(joined(policies, &bindings)))
}

/// The chart's objects of a kind, in the newest version of it that the API server serves.
async fn of_chart(cluster: &Cluster, kind: &str) -> Look<Option<Vec<DynamicObject>>> {
    for version in POLICY_VERSIONS {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(POLICY_GROUP, version, kind));
        let api: Api<DynamicObject> = Api::all_with(cluster.client.clone(), &resource);
        let list = async {
            match api.list(&ListParams::default().labels(CHART_LABEL)).await {
                Ok(list) => Ok(Some(list.items)),
                Err(error) if is_without_definition(&error) => Ok(None),
                Err(error) => Err(error),
            }
        };
        let found = cluster.look(&format!("list {}", resource.plural), list).await?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

fn joined(policies: impl Iterator<Item = DynamicObject>, bindings: &[DynamicObject]) -> Vec<Policy> {
    let policy = |policy: DynamicObject| {
        let name = policy.name_any();
        let binds = |binding: &DynamicObject| binding.data.pointer("/spec/policyName") == Some(&json!(name));
        Policy {
            bound: bindings.iter().any(binds),
            created: policy.metadata.creation_timestamp.as_ref().map(|time| time.0),
            name,
        }
    };
    policies.map(policy).collect()
}

/// Reads the API server's clock from the answer to a request that this user can surely make.
async fn clock(cluster: &Cluster, name: &str) -> Look<Clock> {
    let asked = Timestamp::now();
    let path = LeaderElection::url_path(&(), Some(&cluster.namespace));
    let request = Request::new(path).get(name, &GetParams::default()).map_err(kube::Error::BuildRequest);
    let answer = async { cluster.client.send(request?.map(Body::from)).await };
    let answer = cluster.look("get leaderelections", answer).await?;
    let date = answer.headers().get("date").and_then(|date| server_time(date.as_bytes()));
    let server = date.ok_or_else(|| Unseen::Failed("the API server does not say what time it is".to_owned()))?;
    Ok(Clock { asked, server, answered: Timestamp::now() })
}

/// Reads the time of a `Date` header.
fn server_time(date: &[u8]) -> Option<Timestamp> {
    DateTimeParser::new().parse_timestamp(date).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_of_an_answer_is_a_time() {
        assert_eq!(server_time(b"Fri, 27 Nov 2026 12:00:05 GMT"), "2026-11-27T12:00:05Z".parse().ok());
        assert_eq!(server_time(b"soon"), None);
    }

    #[test]
    fn a_policy_is_in_force_by_the_binding_that_names_it() {
        let object = |object: serde_json::Value| -> DynamicObject { serde_json::from_value(object).unwrap() };
        let policies = vec![
            object(json!({"metadata": {"name": "injection", "creationTimestamp": "2026-11-01T00:00:00Z"}})),
            object(json!({"metadata": {"name": "other"}})),
        ];
        let bindings = [object(json!({"metadata": {"name": "any"}, "spec": {"policyName": "injection"}}))];
        let created = "2026-11-01T00:00:00Z".parse().ok();
        assert_eq!(
            joined(policies.into_iter(), &bindings),
            [
                Policy { name: "injection".to_owned(), created, bound: true },
                Policy { name: "other".to_owned(), created: None, bound: false },
            ]
        );
    }
}
