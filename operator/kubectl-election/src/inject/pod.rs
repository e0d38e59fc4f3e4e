//! Adds the agent to a pod or the template of a pod, and removes it again.

use super::node::Node;
use super::resources::{Defaults, resources};

/// The agent as a sidecar: the same file as the chart's.
const SIDECAR: &str = include_str!("../../../../agent/src/sidecar.yaml");
const AGENT: &str = "leader-elector";
const ELECTION_LABEL: &str = "leader-elector.io/election";
const INJECTION_LABEL: &str = "leader-elector.io/injection";
const VOLUME: &str = "leader-election";
const FOLDER: &str = "/run/leader-election";
const LISTS: [&str; 2] = ["initContainers", "containers"];

/// What is added to a pod.
#[derive(Debug)]
pub(super) struct AgentParts {
    container: Node,
    volumes: Vec<Node>,
    defaults: Defaults,
}

/// The values that the chart has as settings of injection.
#[derive(Debug)]
pub(crate) struct Values {
    pub(super) image: Option<String>,
    pub(super) resources: Option<Node>,
    pub(super) guaranteed: Node,
    pub(super) platform_assigns_users: bool,
}

impl AgentParts {
    /// Reads the sidecar, and applies `values` to it.
    ///
    /// # Errors
    /// None in practice: the sidecar is part of this program.
    pub(super) fn new(values: Values) -> Result<AgentParts, String> {
        let (sidecar, _) = super::read::yaml(SIDECAR)?.ok_or("the sidecar is empty")?;
        let sidecar = sidecar.uncommented();
        let first = |key| sidecar.get(key).map(Node::items).unwrap_or_default();
        let mut container = first("initContainers").first().ok_or("the sidecar has no container")?.clone();
        if let Some(image) = values.image {
            container.set("image", Node::string(&image), None);
        }
        container.set("imagePullPolicy", Node::string("IfNotPresent"), Some("restartPolicy"));
        if values.platform_assigns_users
            && let Some(context) = container.get_mut("securityContext")
        {
            context.remove("runAsUser");
        }
        let own = container.get("resources").ok_or("the sidecar has no resources")?.clone();
        let defaults = Defaults { resources: values.resources.unwrap_or(own), guaranteed: values.guaranteed };
        Ok(AgentParts { volumes: first("volumes").to_vec(), container, defaults })
    }

    /// Adds the agent to a pod that asks for it and has none. If `election` is given, the pod is first labelled with
    /// it. Returns whether the agent was added.
    ///
    /// # Errors
    /// What in the pod is invalid.
    pub(super) fn inject(&self, pod: &mut Node, election: Option<&str>) -> Result<bool, String> {
        if !is_candidate(pod) {
            return Ok(false);
        }
        if let Some(election) = election {
            label(pod, election)?;
        }
        let Some(name) = pod.path(&["metadata", "labels", ELECTION_LABEL]) else { return Ok(false) };
        let is_name = name.as_str().is_some_and(|name| election_name(name).is_ok());
        if !is_name {
            let name = name.scalar().unwrap_or("the value");
            return Err(format!("label {ELECTION_LABEL}: {name:?} is no name of a LeaderElection"));
        }
        let taken = |volume: &&Node| self.volumes.iter().any(|ours| ours.get("name") == volume.get("name"));
        if let Some(volume) = pod.path(&["spec", "volumes"]).and_then(|volumes| volumes.items().iter().find(taken)) {
            let name = volume.get("name").and_then(Node::scalar).unwrap_or_default();
            return Err(format!("it has a volume {name} of its own: call that otherwise"));
        }
        let mut container = self.container.clone();
        let resources = resources(pod, &self.defaults)?;
        if resources.fields().is_empty() {
            container.remove("resources");
        } else {
            container.set("resources", resources, None);
        }
        let Some(spec) = pod.get_mut("spec") else { return Ok(false) };
        for key in LISTS {
            for other in spec.get_mut(key).map(Node::items_mut).unwrap_or_default() {
                if !mounts(other).iter().any(|mount| mount.get("mountPath").and_then(Node::scalar) == Some(FOLDER)) {
                    let list = other.list_mut("volumeMounts", None);
                    list.ok_or("its volumeMounts are no list")?.push(mount());
                }
            }
        }
        let containers = spec.list_mut("initContainers", Some("containers"));
        containers.ok_or("its initContainers are no list")?.insert(0, container);
        let volumes = spec.list_mut("volumes", None);
        volumes.ok_or("its volumes are no list")?.extend(self.volumes.iter().cloned());
        Ok(true)
    }

    /// Removes what [`AgentParts::inject`] adds and, if `election` is given, the label with that name. Returns whether
    /// anything was removed.
    pub(super) fn uninject(&self, pod: &mut Node, election: Option<&str>) -> bool {
        let Some(spec) = pod.get_mut("spec") else { return false };
        if !spec.get("initContainers").is_some_and(|list| list.items().iter().any(is_ours)) {
            return false;
        }
        retain(spec, "initContainers", |container| !is_ours(container));
        retain(spec, "volumes", |volume| !self.volumes.iter().any(|ours| ours.get("name") == volume.get("name")));
        for key in LISTS {
            for other in spec.get_mut(key).map(Node::items_mut).unwrap_or_default() {
                if mounts(other).contains(&mount()) {
                    retain(other, "volumeMounts", |mounted| *mounted != mount());
                }
            }
        }
        let name = pod.path(&["metadata", "labels", ELECTION_LABEL]).and_then(Node::scalar);
        if election.is_some() && name == election {
            unlabel(pod);
        }
        true
    }
}

/// Checks that a LeaderElection, and the value of a label, can have this name.
///
/// # Errors
/// Which names are valid.
pub(crate) fn election_name(name: &str) -> Result<String, String> {
    let is_inner = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    let ends = [name.as_bytes().first(), name.as_bytes().last()];
    let is_name = name.len() <= 63
        && ends.iter().all(|letter| letter.is_some_and(|letter| is_inner(*letter)))
        && name.bytes().all(|letter| is_inner(letter) || b"-.".contains(&letter));
    is_name
        .then(|| name.to_owned())
        .ok_or_else(|| "a name has lower-case letters, digits, - and . only, 63 at most".to_owned())
}

/// Whether this is a whole pod that has no agent and does not refuse one.
fn is_candidate(pod: &Node) -> bool {
    let containers = pod.path(&["spec", "containers"]).map(Node::items).unwrap_or_default();
    let is_agent = |container: &Node| container.get("name").and_then(Node::scalar) == Some(AGENT);
    let has_agent =
        LISTS.iter().any(|key| pod.path(&["spec", key]).is_some_and(|list| list.items().iter().any(is_agent)));
    let asked = pod.path(&["metadata", "labels", INJECTION_LABEL]).and_then(Node::as_str);
    !containers.is_empty() && !has_agent && asked != Some("disabled")
}

/// Whether the container was added by injection, and not by hand.
fn is_ours(container: &Node) -> bool {
    let mounts_ours = |mount: &Node| mount.get("name").and_then(Node::scalar) == Some("leader-elector-token");
    container.get("name").and_then(Node::scalar) == Some(AGENT) && mounts(container).iter().any(mounts_ours)
}

fn mounts(container: &Node) -> &[Node] {
    container.get("volumeMounts").map(Node::items).unwrap_or_default()
}

/// The volume mount that each container gets.
fn mount() -> Node {
    let read_only =
        Node::new(super::node::NodeContent::Scalar { value: "true".to_owned(), style: super::node::QuoteStyle::Plain });
    Node::mapping([("name", Node::string(VOLUME)), ("mountPath", Node::string(FOLDER)), ("readOnly", read_only)])
}

fn label(pod: &mut Node, election: &str) -> Result<(), String> {
    for (path, key) in [(&[][..], "metadata"), (&["metadata"], "labels")] {
        let parent = path.iter().try_fold(&mut *pod, |node, key| node.get_mut(key));
        let parent = parent.ok_or("it has no metadata")?;
        if parent.get(key).is_none() {
            parent.set(key, Node::mapping([]), Some("spec"));
        }
    }
    let labels = pod.get_mut("metadata").and_then(|metadata| metadata.get_mut("labels"));
    let labels = labels.filter(|labels| labels.is_mapping()).ok_or("its labels are no mapping")?;
    labels.set(ELECTION_LABEL, Node::string(election), None);
    Ok(())
}

/// Removes the label of the election; labels and metadata that are then empty are removed, too.
fn unlabel(pod: &mut Node) {
    let Some(metadata) = pod.get_mut("metadata") else { return };
    if let Some(labels) = metadata.get_mut("labels") {
        labels.remove(ELECTION_LABEL);
        if labels.fields().is_empty() {
            metadata.remove("labels");
        }
    }
    if metadata.fields().is_empty() {
        pod.remove("metadata");
    }
}

/// Removes items from the list of a key; a list that is then empty is removed, too.
fn retain(parent: &mut Node, key: &str, keep: impl Fn(&Node) -> bool) {
    let Some(list) = parent.list_mut(key, None) else { return };
    list.retain(|item| keep(item));
    if list.is_empty() {
        parent.remove(key);
    }
}
