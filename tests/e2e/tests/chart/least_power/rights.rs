//! What a token is allowed, as the API server says it, and as SECURITY.md does.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use elector_harness::controlplane::ControlPlane;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use hyper::Request;
use k8s_openapi::api::authorization::v1::{SelfSubjectAccessReview, SelfSubjectRulesReview};
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::{Value, json};

const SECURITY: &str = include_str!("../../../../../SECURITY.md");

/// Those of the API and those that the API server's own checks ask for.
const VERBS: [&str; 17] = [
    "get",
    "list",
    "watch",
    "create",
    "update",
    "patch",
    "delete",
    "deletecollection",
    "connect",
    "proxy",
    "use",
    "bind",
    "escalate",
    "impersonate",
    "approve",
    "sign",
    "attest",
];

/// Allowed by any name, so that it is allowed on objects of others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Right {
    /// `RESOURCE[/SUBRESOURCE][.GROUP]`.
    pub(super) resource: String,
    pub(super) verb: String,
}

impl Right {
    pub(super) fn new(resource: &str, verb: &str) -> Right {
        Right { resource: resource.to_owned(), verb: verb.to_owned() }
    }
}

fn of_group(resource: &str, group: &str) -> String {
    if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") }
}

/// The rows of SECURITY.md of which a release with `features` has what they need.
pub(super) fn table(features: &[&str]) -> Result<BTreeSet<Right>> {
    let (_, section) = SECURITY.split_once("## What the operator's token can do").context("no such section")?;
    let rows =
        section.lines().skip_while(|line| !line.starts_with("|---")).skip(1).take_while(|line| line.starts_with('|'));
    let mut rights = BTreeSet::new();
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, resource, verbs, needs, ..] = cells[..] else { anyhow::bail!("{row} has too few cells") };
        let bare = |cell: &str| cell.trim_matches('`').to_owned();
        if needs.is_empty() || features.contains(&&*bare(needs)) {
            rights.extend(verbs.split(", ").map(|verb| Right::new(&bare(resource), &bare(verb))));
        }
    }
    Ok(rights)
}

/// What the user of `client` may do in `namespace`, or in the cluster, beyond what any service account may.
pub(super) async fn rights_of(plane: &ControlPlane, client: &Client, namespace: &str) -> Result<BTreeSet<Right>> {
    plane.existing_namespace(namespace).await?.service_account("default").await?;
    let anybody = plane.client_for(&plane.service_account_token(namespace, "default", None).await?).await?;
    let asked = asked(plane, client, &anybody, namespace).await?;
    // What is granted and no resource of this API server.
    let told = told(client, namespace).await?.difference(&told(&anybody, namespace).await?).cloned().collect();
    Ok(&asked | &told)
}

/// Every verb on everything that the API server has.
async fn asked(plane: &ControlPlane, client: &Client, anybody: &Client, namespace: &str) -> Result<BTreeSet<Right>> {
    let resources = resources(&plane.client().await?).await?;
    let questions = resources.iter().flat_map(|(group, resource, namespaced)| {
        VERBS.iter().map(move |verb| (group.as_str(), resource.as_str(), *namespaced, *verb))
    });
    let answers = stream::iter(questions).map(async |(group, resource, namespaced, verb)| {
        let namespace = if namespaced { namespace } else { "" };
        let allowed = may(client, namespace, group, resource, verb).await?
            && !may(anybody, namespace, group, resource, verb).await?;
        anyhow::Ok(allowed.then(|| Right::new(&of_group(resource, group), verb)))
    });
    let answers: Vec<Option<Right>> = answers.buffer_unordered(16).try_collect().await?;
    Ok(answers.into_iter().flatten().collect())
}

async fn may(client: &Client, namespace: &str, group: &str, resource: &str, verb: &str) -> Result<bool> {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let review: SelfSubjectAccessReview = serde_json::from_value(json!({"spec": {"resourceAttributes": {
        "namespace": namespace, "group": group, "resource": resource, "subresource": subresource, "verb": verb,
        "version": "*",
    }}}))?;
    let review = Api::all(client.clone()).create(&PostParams::default(), &review).await?;
    Ok(review.status.context("it was not answered")?.allowed)
}

/// Group, name, and whether it is namespaced, of all that is served.
async fn resources(client: &Client) -> Result<BTreeSet<(String, String, bool)>> {
    let read =
        async |path: &str| client.request::<Value>(Request::get(path).body(vec![])?).await.map_err(anyhow::Error::from);
    let mut paths = vec!["/api/v1".to_owned()];
    let groups = read("/apis").await?;
    for version in
        groups["groups"].as_array().into_iter().flatten().flat_map(|group| group["versions"].as_array()).flatten()
    {
        paths.push(format!("/apis/{}", version["groupVersion"].as_str().context("a version without a name")?));
    }
    let mut resources = BTreeSet::new();
    for path in paths {
        let list = read(&path).await?;
        let group =
            list["groupVersion"].as_str().and_then(|version| version.split_once('/')).map_or("", |(group, _)| group);
        for resource in list["resources"].as_array().into_iter().flatten() {
            let name = resource["name"].as_str().context("a resource without a name")?;
            resources.insert((group.to_owned(), name.to_owned(), resource["namespaced"] == true));
        }
    }
    assert!(resources.len() > 100, "{} resources", resources.len());
    Ok(resources)
}

/// What its rules grant by any name. None of them has a wildcard.
async fn told(client: &Client, namespace: &str) -> Result<BTreeSet<Right>> {
    let review: SelfSubjectRulesReview = serde_json::from_value(json!({"spec": {"namespace": namespace}}))?;
    let review = Api::all(client.clone()).create(&PostParams::default(), &review).await?;
    let status = review.status.context("it was not answered")?;
    assert!(!status.incomplete, "{:?}", status.evaluation_error);
    let mut rights = BTreeSet::new();
    for rule in status.resource_rules.into_iter().filter(|rule| rule.resource_names.is_none()) {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                rights.extend(rule.verbs.iter().map(|verb| Right::new(&of_group(resource, group), verb)));
            }
        }
    }
    assert!(!rights.iter().any(|right| right.resource.contains('*') || right.verb == "*"), "{rights:?}");
    for rule in status.non_resource_rules {
        for path in rule.non_resource_urls.iter().flatten() {
            rights.extend(rule.verbs.iter().map(|verb| Right::new(path, verb)));
        }
    }
    Ok(rights)
}
