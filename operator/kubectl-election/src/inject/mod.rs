//! The command `inject`: adds the agent to pods in files, as the chart's policy adds it to pods that are created.

mod node;
mod pod;
mod quantity;
mod read;
mod resources;
mod stream;
mod write;

#[cfg(test)]
mod tests;

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::print::print;
use elector_program::failure::Failure;
use node::Node;
use pod::{AgentParts, Values, election_name};
use quantity::Quantity;
use stream::{Segment, segments};

/// The default is the image in the sidecar, whose tag is this version.
const IMAGE_HELP: &str = concat!("Image of the agent [default: leader-elector/agent:", env!("CARGO_PKG_VERSION"), "]");
const RESOURCES: &str = "{requests: {cpu: 5m, memory: 16Mi}, limits: {memory: 32Mi}}";
const GUARANTEED_RESOURCES: &str = "{cpu: 50m, memory: 32Mi}";

/// The arguments of `inject`: what to read, and what to add.
#[derive(Debug, Args)]
pub(crate) struct Inject {
    /// File to read, in YAML or JSON; - is standard input
    #[arg(short, long, value_name = "FILE")]
    filename: PathBuf,
    /// Removes the agent again; with --election, its label, too
    #[arg(long)]
    uninject: bool,
    /// Name of the LeaderElection of all pods in the file: their label leader-elector.io/election is set to it
    #[arg(long, value_name = "NAME", value_parser = election_name)]
    election: Option<String>,
    /// Path of the pod's template in kinds that kubectl does not know, such as spec.template
    #[arg(long, value_name = "PATH", value_parser = template_path)]
    template_path: Option<TemplatePath>,
    #[arg(long, value_name = "IMAGE", help = IMAGE_HELP)]
    image: Option<String>,
    /// Resources of the agent in a pod of class Burstable, as a container has them, in YAML or JSON
    #[arg(long, value_name = "RESOURCES", default_value = RESOURCES, value_parser = agent_resources)]
    resources: Node,
    /// Requests and limits of the agent in a pod of class Guaranteed, in YAML or JSON
    #[arg(long, value_name = "CPU AND MEMORY", default_value = GUARANTEED_RESOURCES, value_parser = guaranteed_resources)]
    guaranteed_resources: Node,
    /// Leaves out the user id, for a platform that assigns its own to each namespace, as OpenShift does
    #[arg(long)]
    platform_assigns_users: bool,
}

/// The keys of a path, from the outermost to that of the template.
#[derive(Debug, Clone)]
struct TemplatePath(Vec<String>);

/// Prints what was read, with the agent added or removed.
///
/// # Errors
/// If the input cannot be read, or one of its pods is ambiguous; then nothing is printed.
pub(crate) fn inject(inject: &Inject) -> Result<(), Failure> {
    let name = inject.filename.display();
    let text = read(&inject.filename).map_err(|why| Failure::usage(format!("failed to read {name}: {why}")))?;
    let injected = inject.changed(&text).map_err(|why| Failure::usage(format!("{name}: {}", one_line(&why))))?;
    print(&injected)
}

fn read(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let read =
        if path == Path::new("-") { io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes) } else { fs::read(path) };
    let bytes = read.map_err(|error| error.to_string())?;
    String::from_utf8(bytes)
        .map_err(|error| format!("it is no UTF-8 from byte {} on", error.utf8_error().valid_up_to()))
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

impl Inject {
    fn changed(&self, text: &str) -> Result<String, String> {
        let agent = AgentParts::new(Values {
            image: self.image.clone(),
            resources: Some(self.resources.clone()),
            guaranteed: self.guaranteed_resources.clone(),
            platform_assigns_users: self.platform_assigns_users,
        })?;
        let (mut out, mut has_path) = (String::with_capacity(text.len()), false);
        for part in segments(text)? {
            match part {
                Segment::Between(text) => out.push_str(text),
                Segment::YamlDocument(mut document) => {
                    let own = self.template_path.as_ref().map(|TemplatePath(path)| path.as_slice());
                    has_path |= own.is_some_and(|path| has(&document.root, path));
                    let is_changed = self.object(&agent, &mut document.root, "", "", own)?;
                    let printed = if is_changed { document.printed() } else { document.unchanged().to_owned() };
                    out.push_str(&printed);
                }
            }
        }
        match &self.template_path {
            Some(TemplatePath(path)) if !has_path => Err(format!("nothing in it has {}", path.join("."))),
            Some(_) | None => Ok(out),
        }
    }

    /// Changes an object, or the items of a list. A list may state the kind of its items for all of them.
    fn object(
        &self,
        agent: &AgentParts,
        object: &mut Node,
        kind: &str,
        version: &str,
        own: Option<&[String]>,
    ) -> Result<bool, String> {
        let text = |key, default: &str| object.get(key).and_then(Node::as_str).unwrap_or(default).to_owned();
        let (kind, version) = (text("kind", kind), text("apiVersion", version));
        if kind.ends_with("List") && object.get("items").is_some() {
            let of_items = kind.trim_end_matches("List");
            let version = if of_items.is_empty() { String::new() } else { version };
            let mut is_changed = false;
            for item in items(object) {
                is_changed |= self.object(agent, item, of_items, &version, own)?;
            }
            return Ok(is_changed);
        }
        let name = object.path(&["metadata", "name"]).and_then(Node::scalar).unwrap_or("without a name").to_owned();
        let said = |why: String| format!("{kind} {name}: {why}");
        match (known_path(&version, &kind), own) {
            (Some(path), _) => self.template(agent, object, path).map_err(said),
            (None, Some(path)) => self.template(agent, object, path).map_err(said),
            (None, None) => Ok(false),
        }
    }

    /// Changes the pods at a path, which may lead through lists.
    fn template<K: AsRef<str>>(&self, agent: &AgentParts, node: &mut Node, path: &[K]) -> Result<bool, String> {
        let Some((key, rest)) = path.split_first() else {
            return if self.uninject {
                Ok(agent.uninject(node, self.election.as_deref()))
            } else {
                agent.inject(node, self.election.as_deref())
            };
        };
        let mut is_changed = false;
        match node.get_mut(key.as_ref()) {
            Some(next) if next.is_mapping() => is_changed = self.template(agent, next, rest)?,
            Some(next) => {
                for item in next.items_mut() {
                    is_changed |= self.template(agent, item, rest)?;
                }
            }
            None => {}
        }
        Ok(is_changed)
    }
}

fn items(list: &mut Node) -> &mut [Node] {
    list.get_mut("items").map(Node::items_mut).unwrap_or_default()
}

/// The path of the pod in the kinds that kubectl knows.
fn known_path(version: &str, kind: &str) -> Option<&'static [&'static str]> {
    let group = version.rsplit_once('/').map_or("", |(group, _)| group);
    match (group, kind) {
        ("", "Pod") => Some(&[]),
        ("", "PodTemplate") => Some(&["template"]),
        ("", "ReplicationController")
        | ("apps" | "extensions", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
        | ("batch", "Job") => Some(&["spec", "template"]),
        ("batch", "CronJob") => Some(&["spec", "jobTemplate", "spec", "template"]),
        _ => None,
    }
}

/// Whether the path leads to a value in `node` or in one of its lists.
fn has(node: &Node, path: &[String]) -> bool {
    let Some((key, rest)) = path.split_first() else { return node.is_mapping() };
    let through = |next: &Node| has(next, rest) || next.items().iter().any(|item| has(item, rest));
    node.get(key).is_some_and(through)
        || node.get("items").is_some_and(|list| list.items().iter().any(|it| has(it, path)))
}

fn template_path(text: &str) -> Result<TemplatePath, String> {
    let keys: Vec<String> = text.trim_start_matches('.').split('.').map(str::to_owned).collect();
    if keys.iter().any(String::is_empty) {
        return Err("say spec.template".to_owned());
    }
    Ok(TemplatePath(keys))
}

fn agent_resources(text: &str) -> Result<Node, String> {
    let node = mapping(text)?;
    for (kind, figures) in node.fields() {
        match kind.scalar() {
            Some("requests" | "limits") => are_quantities(figures)?,
            other => return Err(format!("{} is neither requests nor limits", other.unwrap_or_default())),
        }
    }
    Ok(node)
}

fn guaranteed_resources(text: &str) -> Result<Node, String> {
    let node = mapping(text)?;
    are_quantities(&node)?;
    let is_whole = node.get("cpu").is_some() && node.get("memory").is_some() && node.fields().len() == 2;
    is_whole.then_some(node).ok_or_else(|| format!("say {GUARANTEED_RESOURCES}"))
}

fn mapping(text: &str) -> Result<Node, String> {
    let node = read::yaml(text)?.map(|(node, _)| node.uncommented());
    node.filter(Node::is_mapping).ok_or_else(|| format!("say {RESOURCES}"))
}

fn are_quantities(figures: &Node) -> Result<(), String> {
    if !figures.is_mapping() && !figures.is_null() {
        return Err(format!("say {RESOURCES}"));
    }
    let is_quantity =
        |node: &Node| node.as_quantity().is_some_and(|text| Quantity::parse(&text) >= Some(Quantity::ZERO));
    match figures.fields().iter().find(|(_, figure)| !is_quantity(figure)) {
        Some((name, _)) => Err(format!("{} is no quantity", name.scalar().unwrap_or_default())),
        None => Ok(()),
    }
}
