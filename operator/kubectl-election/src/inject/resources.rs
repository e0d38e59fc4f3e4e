//! The agent's resources, by the same rule as in charts/leader-elector/templates/injection.yaml. The tests in
//! tests/e2e/tests/chart/inject.rs check that both agree.

use super::node::Node;
use super::quantity::Quantity;

const MEASURED: [&str; 2] = ["cpu", "memory"];

/// The defaults: the chart's values `agent.resources` and `agent.guaranteedResources`.
#[derive(Debug)]
pub(super) struct Defaults {
    pub(super) resources: Node,
    pub(super) guaranteed: Node,
}

/// What the rule needs to know of a pod.
struct PodFacts<'a> {
    containers: Vec<&'a Node>,
    is_of_pod_level: bool,
    is_best_effort: bool,
    is_guaranteed: bool,
}

/// The `resources` of the agent in a pod that has no agent yet.
///
/// # Errors
/// Which annotation of the pod is invalid.
pub(super) fn resources(pod: &Node, defaults: &Defaults) -> Result<Node, String> {
    let facts = PodFacts::of(pod);
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    for kind in [("requests", &mut requests), ("limits", &mut limits)] {
        let others = defaults.resources.get(kind.0).map(Node::fields).unwrap_or_default();
        let others = others.iter().filter(|(name, _)| name.scalar().is_none_or(|name| !MEASURED.contains(&name)));
        // A number of YAML may be none of JSON.
        let text = |value: &Node| value.scalar().map_or_else(|| value.clone(), Node::string);
        kind.1.extend(others.map(|(name, value)| (name.clone(), text(value))));
    }
    for name in MEASURED {
        let (request, limit) = facts.figures(name, &annotations(pod, name)?, defaults);
        requests.extend(request.map(|figure| (Node::string(name), Node::string(&figure))));
        limits.extend(limit.map(|figure| (Node::string(name), Node::string(&figure))));
    }
    let mut resources = defaults.resources.clone();
    for (kind, figures) in [("requests", requests), ("limits", limits)] {
        if figures.is_empty() {
            resources.remove(kind);
        } else {
            resources.set(kind, Node::new(super::node::NodeContent::Mapping(figures)), None);
        }
    }
    Ok(resources)
}

/// The agent's request and limit of a resource, as the pod's annotations state them.
fn annotations(pod: &Node, name: &str) -> Result<[Option<String>; 2], String> {
    let key = |kind: &str| format!("leader-elector.io/agent-{name}-{kind}");
    let read = |kind: &str| {
        let Some(value) = pod.path(&["metadata", "annotations", &key(kind)]) else { return Ok(None) };
        let Some(text) = value.as_str().filter(|text| !text.is_empty()) else {
            return if value.as_str().is_some() {
                Ok(None)
            } else {
                Err(format!("annotation {} is no string", key(kind)))
            };
        };
        let is_quantity = Quantity::parse(text).is_some_and(|quantity| quantity >= Quantity::ZERO);
        let example = if name == "cpu" { "50m" } else { "32Mi" };
        let refused = || format!("annotation {} is no quantity, such as {example}", key(kind));
        is_quantity.then(|| Some(text.to_owned())).ok_or_else(refused)
    };
    let both = [read("request")?, read("limit")?];
    if let [Some(request), Some(limit)] = &both
        && Quantity::parse(request) > Quantity::parse(limit)
    {
        return Err(format!("annotation {} is more than annotation {}", key("request"), key("limit")));
    }
    Ok(both)
}

impl<'a> PodFacts<'a> {
    fn of(pod: &'a Node) -> PodFacts<'a> {
        let list = |key| pod.path(&["spec", key]).map(Node::items).unwrap_or_default();
        let containers: Vec<_> = list("containers").iter().chain(list("initContainers")).collect();
        let has = |kind| pod.path(&["spec", "resources", kind]).is_some_and(|figures| !figures.fields().is_empty());
        let every = |holds: &dyn Fn(&Node, &str) -> bool| {
            containers.iter().all(|container| MEASURED.iter().all(|name| holds(container, name)))
        };
        let is_zero = |container: &Node, kind: &str, name: &str| {
            amount(container, kind, name).is_none_or(|it| it == Quantity::ZERO)
        };
        PodFacts {
            is_of_pod_level: has("requests") || has("limits"),
            is_best_effort: every(&|container, name| {
                is_zero(container, "requests", name) && is_zero(container, "limits", name)
            }),
            is_guaranteed: every(&|container, name| {
                let limit = amount(container, "limits", name);
                let request = amount(container, "requests", name).or(limit);
                !is_zero(container, "limits", name) && request == limit
            }),
            containers,
        }
    }

    /// Whether each container has a request (or limit) of this resource, even if it is 0. A limit counts as a request,
    /// too.
    fn is_everywhere(&self, kind: &str, name: &str) -> bool {
        let has = |container: &Node, kind| amount(container, kind, name).is_some();
        self.containers.iter().all(|container| has(container, kind) || has(container, "limits"))
    }

    /// The request and the limit of a resource.
    fn figures(
        &self,
        name: &str,
        [asked_request, asked_limit]: &[Option<String>; 2],
        defaults: &Defaults,
    ) -> (Option<String>, Option<String>) {
        let default = |kind| defaults.resources.path(&[kind, name]).and_then(Node::as_quantity);
        let guaranteed = || defaults.guaranteed.get(name).and_then(Node::as_quantity);
        let zero = |kind| self.is_everywhere(kind, name).then(|| "0".to_owned());
        let (request, limit) = if self.is_of_pod_level {
            (None, None)
        } else if self.is_guaranteed {
            (None, guaranteed())
        } else if self.is_best_effort {
            (zero("requests"), zero("limits"))
        } else {
            let needed = self.is_everywhere("limits", name).then(guaranteed).flatten();
            (default("requests"), default("limits").or(needed))
        };
        let is_less = |figure: &str, than: &str| Quantity::parse(figure) < Quantity::parse(than);
        let lowered = request.map(|request| match asked_limit {
            Some(limit) if is_less(limit, &request) => limit.clone(),
            _ => request,
        });
        let request = asked_request.clone().or(lowered);
        let raised = limit.map(|limit| match &request {
            Some(request) if is_less(&limit, request) => request.clone(),
            _ => limit,
        });
        let limit = asked_limit.clone().or(raised);
        (request, limit)
    }
}

fn amount(container: &Node, kind: &str, name: &str) -> Option<Quantity> {
    Quantity::parse(&container.path(&["resources", kind, name])?.as_quantity()?)
}
