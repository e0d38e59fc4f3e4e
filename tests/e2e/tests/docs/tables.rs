//! The tables of the reference, against the programs and the API.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use elector_crds::annotations::{ANNOTATIONS, LABELS};
use elector_crds::conditions::{ConditionType, Reason, Status};
use elector_crds::event::EventReason;
use elector_crds::{GROUP, LeaderElection, TenureEnd};
use elector_harness::candidate::{AgentOptions, Candidate};
use elector_harness::controlplane::ControlPlane;
use elector_harness::http;
use elector_harness::leases::short_timings;
use elector_harness::operators::{active, contended};
use elector_xtask::programs::Programs;
use kube::CustomResourceExt as _;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::examples::{SOON, START};
use crate::page::{Page, assert_same, code, plain};

const REFERENCE: &str = "docs/reference.md";

/// The chart with its default values.
const INSTALL: &str = include_str!("../../../../charts/install.yaml");

/// An option, as `--help` has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HelpOption {
    flag: String,
    pub(crate) variable: Option<String>,
    default: String,
}

fn help(program: &Path, command: &[&str]) -> Result<String> {
    let output = Command::new(program).args(command).arg("--help").env_clear().output()?;
    ensure!(output.status.success(), "{}: {output:?}", program.display());
    Ok(String::from_utf8(output.stdout)?)
}

/// All but `--help` and `--version`.
pub(crate) fn options(program: &Path, command: &[&str]) -> Result<Vec<HelpOption>> {
    let help = help(program, command)?;
    let (_, options) = help.split_once("\nOptions:\n").context("it has options")?;
    let begins = |line: &str| line.trim_start().starts_with('-') && line.len() - line.trim_start().len() < 8;
    let mut texts: Vec<String> = Vec::new();
    for line in options.lines() {
        if begins(line) {
            texts.push(String::new());
        }
        if let Some(text) = texts.last_mut() {
            text.push_str(line);
            text.push('\n');
        }
    }
    let between = |text: &str, from: &str, to: char| Some(text.split_once(from)?.1.split(to).next()?.to_owned());
    let option = |text: String| HelpOption {
        flag: format!("--{}", between(&text, "--", ' ').unwrap_or_default().trim()),
        variable: between(&text, "[env: ", '='),
        // An address may have such brackets itself.
        default: text
            .split_once("[default: ")
            .and_then(|(_, rest)| rest.lines().next()?.split("] [").next())
            .map(|default| default.strip_suffix(']').unwrap_or(default).to_owned())
            .unwrap_or_default(),
    };
    let options = texts.into_iter().map(option);
    Ok(options.filter(|option| !["--help", "--version"].contains(&&*option.flag)).collect())
}

/// The commands that `--help` names.
fn commands(program: &Path) -> Result<Vec<String>> {
    let help = help(program, &[])?;
    let (_, commands) = help.split_once("\nCommands:\n").context("it has commands")?;
    let commands =
        commands.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.split_whitespace().next());
    Ok(commands.filter(|command| *command != "help").map(str::to_owned).collect())
}

#[tokio::test]
async fn settings_are_those_of_the_help() {
    let programs = Programs::built().await.unwrap();
    for (heading, program) in
        [("Settings of the agent", &programs.agent), ("Settings of the operator", &programs.operator)]
    {
        let documented = Page::read(REFERENCE).unwrap().table(heading).unwrap().into_iter().map(|row| HelpOption {
            flag: plain(&row[1]),
            variable: Some(plain(&row[0])),
            default: plain(&row[2]),
        });
        assert_same(heading, documented.collect(), options(program, &[]).unwrap());
    }
}

#[tokio::test]
async fn commands_of_the_agent_and_their_flags_are_those_of_the_help() {
    let agent = &Programs::built().await.unwrap().agent;
    let heading = "Commands of the agent";
    let documented =
        Page::read(REFERENCE).unwrap().table(heading).unwrap().into_iter().map(|row| (plain(&row[0]), code(&row[1])));
    let flags =
        |options: Vec<HelpOption>| -> BTreeSet<String> { options.into_iter().map(|option| option.flag).collect() };
    let settings = flags(options(agent, &[]).unwrap());
    let real = commands(agent).unwrap().into_iter().map(|command| {
        let mut all = flags(options(agent, &[&command]).unwrap());
        if command == "exec" {
            assert!(all.is_superset(&settings), "{all:?}");
            all = all.difference(&settings).cloned().collect();
        }
        (command, all)
    });
    assert_same(heading, documented.collect(), real.collect());
}

#[tokio::test]
async fn commands_of_the_plugin_are_those_of_its_help() {
    let plugin = &Programs::built().await.unwrap().plugin;
    let heading = "kubectl election";
    let table = Page::read("docs/operating.md").unwrap().table(heading).unwrap();
    let documented = table.iter().flat_map(|row| code(&row[0])).filter(|code| !code.starts_with('-'));
    let documented = documented.map(|code| code.split(' ').next().unwrap_or_default().to_owned());
    assert_same(heading, documented.collect(), commands(plugin).unwrap());
}

/// The spellings of each option of a command: `-o` and `--output`, say.
fn spellings(program: &Path, command: &str) -> Result<Vec<BTreeSet<String>>> {
    let help = help(program, &[command])?;
    let options = help.lines().filter_map(|line| line.trim_start().strip_prefix('-'));
    let spellings = options.map(|option| {
        let words = format!("-{option}");
        words.split([' ', ',']).filter(|word| word.starts_with('-')).map(str::to_owned).collect()
    });
    Ok(spellings.filter(|spellings: &BTreeSet<String>| !spellings.contains("--help")).collect())
}

/// What in a text of options is one: `-o` of `[-o json|yaml]`.
fn flags(text: &str) -> Vec<String> {
    let words =
        code(text).into_iter().flat_map(|code| code.split([' ', '[', ']']).map(str::to_owned).collect::<Vec<_>>());
    words.filter(|word| word.starts_with('-')).collect()
}

/// Each may be written in either way, once.
#[tokio::test]
async fn flags_of_the_plugin_are_those_of_its_help() {
    let plugin = &Programs::built().await.unwrap().plugin;
    let page = Page::read("docs/operating.md").unwrap();
    let of_all = page.text.lines().find_map(|line| line.strip_prefix("All take ")).unwrap();
    let mut documented = Vec::new();
    for row in page.table("kubectl election").unwrap() {
        let named = code(&row[0]).into_iter().filter(|code| !code.starts_with('-'));
        for command in named.map(|code| code.split(' ').next().unwrap_or_default().to_owned()) {
            let all = [of_all, &row[0], &row[1]].map(flags).concat();
            documented.extend(all.into_iter().map(|flag| (command.clone(), flag)));
        }
    }
    let mut real = Vec::new();
    for command in commands(plugin).unwrap() {
        for spellings in spellings(plugin, &command).unwrap() {
            let of_command = |flag: &&String| documented.contains(&(command.clone(), (*flag).clone()));
            let flag = spellings.iter().find(of_command).or(spellings.first()).unwrap();
            real.push((command.clone(), flag.clone()));
        }
    }
    assert_same("kubectl election", documented, real);
}

/// What stands at the beginning of lines, and the heads of tables.
fn headings(status: &str) -> Vec<String> {
    let heads = |line: &str| line.starts_with("  ") && line.chars().all(|letter| !letter.is_lowercase());
    let names = status.lines().filter_map(|line| match line.split_once(':') {
        Some((name, _)) if !line.starts_with(' ') => Some(name.to_owned()),
        _ if heads(line) => {
            Some(line.split("  ").map(str::trim).filter(|name| !name.is_empty()).collect::<Vec<_>>().join("|"))
        }
        _ => None,
    });
    names.collect()
}

#[tokio::test]
async fn the_sample_of_a_status_has_what_the_plugin_prints() {
    let (namespace, _election, _candidates) = contended("docs-status").await.unwrap();
    let mut plugin = Command::new(&Programs::built().await.unwrap().plugin);
    plugin.env_clear().env("KUBECONFIG", namespace.cluster().kubeconfig());
    plugin.args(["status", "billing", "-n", namespace.name()]);
    let output = spawn_blocking(move || plugin.output()).await.unwrap().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let page = Page::read("docs/operating.md").unwrap();
    let (_, sample) = page.text.split_once("\n$ kubectl election status billing\n").unwrap();
    let sample = sample.split("\n$ ").next().unwrap();
    assert_eq!(headings(sample), headings(&printed), "{printed}");
    assert!(headings(sample).contains(&"HOLDER|TENURE|FROM|UNTIL|LASTED|REASON".to_owned()), "{sample}");
}

/// Paths of what a schema describes down to lists and maps, with their defaults.
fn fields(path: &str, schema: &Value, found: &mut Vec<(String, String)>) {
    match schema["properties"].as_object() {
        Some(properties) => {
            for (name, schema) in properties {
                fields(&format!("{path}.{name}"), schema, found);
            }
        }
        None => {
            let default = match &schema["default"] {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                default => default.to_string(),
            };
            found.push((path.to_owned(), default));
        }
    }
}

#[test]
fn fields_are_those_of_the_definition() {
    let heading = "Fields of a LeaderElection";
    let documented =
        Page::read(REFERENCE).unwrap().table(heading).unwrap().into_iter().map(|row| (plain(&row[0]), plain(&row[1])));
    let definition = serde_json::to_value(LeaderElection::crd()).unwrap();
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let mut real = Vec::new();
    fields("spec", &schema["properties"]["spec"], &mut real);
    assert_same(heading, documented.collect(), real);
}

/// How long texts, lists and maps may be, down to the last of a schema.
fn limits(path: &str, schema: &Value, found: &mut Vec<(String, String)>) {
    for (limit, unit) in [("maxProperties", "entries"), ("maxItems", "entries"), ("maxLength", "characters")] {
        found.extend(schema[limit].as_u64().map(|most| (path.to_owned(), format!("{most} {unit}"))));
    }
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        limits(&format!("{path}.{name}"), schema, found);
    }
    for (inner, suffix) in [("items", "[]"), ("additionalProperties", ".*")] {
        if schema[inner].is_object() {
            limits(&format!("{path}{suffix}"), &schema[inner], found);
        }
    }
}

#[test]
fn limits_are_those_of_the_definition() {
    let heading = "Limits of a LeaderElection";
    let documented =
        Page::read(REFERENCE).unwrap().table(heading).unwrap().into_iter().map(|row| (plain(&row[0]), row[1].clone()));
    let definition = serde_json::to_value(LeaderElection::crd()).unwrap();
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let mut real = Vec::new();
    for part in ["spec", "status"] {
        limits(part, &schema["properties"][part], &mut real);
    }
    // Each is a selector.
    let (preferred, real): (Vec<_>, Vec<_>) = real.into_iter().partition(|(path, _)| path.contains(".preferred[]."));
    let as_selector = preferred.into_iter().map(|(path, most)| (path.replace("preferred[]", "selector"), most));
    assert!(as_selector.into_iter().all(|limit| real.contains(&limit)), "{real:?}");
    assert_same(heading, documented.collect(), real);
}

#[test]
fn conditions_events_and_ends_are_those_of_the_api() {
    let page = Page::read(REFERENCE).unwrap();
    let conditions = page.table("Conditions").unwrap();
    assert_same(
        "Conditions, by reason",
        conditions.iter().map(|row| plain(&row[1])).collect(),
        Reason::ALL.iter().map(ToString::to_string).collect(),
    );
    let names = |of: usize| conditions.iter().map(|row| plain(&row[of])).collect::<BTreeSet<_>>().into_iter().collect();
    let types = ConditionType::ALL.iter().map(ToString::to_string).collect();
    assert_same("Conditions, by type", names(0), types);
    assert_same("Conditions, by status", names(2), Status::ALL.iter().map(ToString::to_string).collect());
    let type_ = |reason: EventReason| if reason.is_warning() { "Warning" } else { "Normal" };
    assert_same(
        "Events",
        page.table("Events").unwrap().iter().map(|row| (plain(&row[0]), row[1].clone())).collect(),
        EventReason::ALL.iter().map(|reason| (reason.to_string(), type_(*reason).to_owned())).collect(),
    );
    assert_same(
        "Ends of a tenure",
        page.table("Ends of a tenure").unwrap().iter().map(|row| plain(&row[0])).collect(),
        TenureEnd::ALL.iter().map(ToString::to_string).collect(),
    );
}

#[test]
fn labels_and_annotations_are_those_of_the_api_and_of_the_chart() {
    let heading = "Labels and annotations";
    let documented =
        Page::read(REFERENCE).unwrap().table(heading).unwrap().into_iter().map(|row| (plain(&row[0]), row[1].clone()));
    let named = |kind: &str, names: &[&str]| -> BTreeSet<(String, String)> {
        names.iter().map(|name| ((*name).to_owned(), kind.to_owned())).collect()
    };
    let mut real = named("label", LABELS);
    real.extend(named("annotation", ANNOTATIONS));
    let prefix = format!("{GROUP}/");
    for (before, name) in INSTALL.match_indices(&prefix) {
        let rest = &INSTALL[before + name.len()..];
        let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-').unwrap_or(rest.len());
        let name = format!("{prefix}{}", &rest[..end]);
        // Versions of the API are written alike: this one, or any.
        if rest.starts_with("v1alpha1") || end == 0 || LABELS.contains(&&*name) || ANNOTATIONS.contains(&&*name) {
            continue;
        }
        let is_annotation =
            ["annotations['", "annotations[?'", "annotation "].iter().any(|said| INSTALL[..before].ends_with(said));
        real.insert((name, if is_annotation { "annotation" } else { "label" }.to_owned()));
    }
    assert_same(heading, documented.collect(), real.into_iter().collect());
}

/// A metric: its name as it is asked for, its type, and its labels.
type Metric = (String, String, BTreeSet<String>);

/// What is told to Prometheus, and the values of each label.
fn metrics(text: &str) -> (Vec<Metric>, BTreeMap<String, BTreeSet<String>>) {
    let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut metrics = Vec::new();
    for (family, type_) in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')) {
        let mut labels = BTreeSet::new();
        let suffixes: &[&str] = match type_ {
            "histogram" => &["_bucket", "_count", "_sum"],
            "counter" => &["_total", ""],
            "info" => &["_info"],
            _ => &[""],
        };
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, rest) = line.split_once('{').unwrap_or((line.split(' ').next().unwrap_or_default(), ""));
            if !suffixes.iter().any(|suffix| name.strip_suffix(suffix) == Some(family)) {
                continue;
            }
            let pairs = rest.split_once('}').map_or("", |(pairs, _)| pairs);
            for (label, value) in pairs.split("\",").filter_map(|pair| pair.split_once("=\"")) {
                if label != "le" {
                    labels.insert(label.to_owned());
                    values.entry(label.to_owned()).or_default().insert(value.trim_end_matches('"').to_owned());
                }
            }
        }
        let name = match type_ {
            "counter" if !family.ends_with("_total") => format!("{family}_total"),
            "info" => format!("{family}_info"),
            _ => family.to_owned(),
        };
        metrics.push((name, type_.to_owned(), labels));
    }
    (metrics, values)
}

fn documented_metrics(heading: &str) -> Result<Vec<Metric>> {
    let tables = Page::read(REFERENCE)?.tables(heading);
    let rows = tables.into_iter().next().unwrap_or_default().into_iter();
    Ok(rows.map(|row| (plain(&row[0]), row[1].clone(), code(&row[2]))).collect())
}

#[tokio::test]
async fn metrics_and_paths_of_the_agent_are_what_a_real_one_serves() {
    let namespace = ControlPlane::shared().await.unwrap().namespace("docs-metrics").await.unwrap();
    namespace.allow_leases(&["get", "list", "watch", "update"]).await.unwrap();
    namespace.create_lease("a", short_timings()).await.unwrap();
    let addresses = ["HTTP_ADDRESS", "OBSERVE_ADDRESS"].map(|name| (name.to_owned(), "127.0.0.1:0".to_owned()));
    let options = AgentOptions { environment: addresses.to_vec(), ..AgentOptions::default() };
    let agent = Candidate::start(&namespace, "a", "a-0", &options).await.unwrap();
    agent.leads_within(START).await.unwrap();
    // A tenure that has ended is one that is told of.
    namespace.edit_lease("a", json!({"spec": {"holderIdentity": "somebody"}})).await.unwrap();
    agent.yields_within(SOON).await.unwrap();

    let observe = agent.address("OBSERVE_ADDRESS").await.unwrap();
    let text = http::get(observe, "/metrics").await.unwrap().body;
    let heading = "Metrics of the agent";
    let (real, seen) = metrics(&text);
    assert_same(heading, documented_metrics(heading).unwrap(), real);
    let values = Page::read(REFERENCE).unwrap().tables(heading).swap_remove(1);
    for row in values {
        let (label, documented) = (plain(&row[0]), code(&row[1]));
        let seen = seen.get(&label).unwrap_or_else(|| panic!("no {label} in {text}"));
        assert!(seen.is_subset(&documented), "{label}: {seen:?}");
    }

    let app = agent.address("HTTP_ADDRESS").await.unwrap();
    for (number, row) in Page::read(REFERENCE).unwrap().table("Paths of the agent").unwrap().iter().enumerate() {
        let path = plain(&row[0]);
        let observed = http::get(observe, &path).await.unwrap();
        assert_eq!(observed.status == 404, number < 3, "{path}: {observed:?}");
        match &*path {
            "/isLeader" => {
                let asked = http::get(app, &path).await.unwrap();
                assert_eq!(asked.json().unwrap()["is_leader"], asked.status == 200, "{asked:?}");
            }
            // It would go on for ever.
            "/sse" => drop(http::Events::open(app, &path).await.unwrap()),
            // Whatever else is asked for.
            _ => assert!(http::get(app, &path).await.unwrap().json().unwrap()["is_leader"].is_boolean(), "{path}"),
        }
    }
}

#[tokio::test]
async fn metrics_of_the_operator_are_what_a_real_one_serves() {
    let _candidates = contended("docs-operator").await.unwrap();
    let (status, text) = active().await.unwrap().answer("/metrics").await.unwrap();
    let heading = "Metrics of the operator";
    let documented = documented_metrics(heading).unwrap();
    match status {
        200 => assert_same(heading, documented, metrics(&text).0),
        status => assert_eq!((status, documented), (404, Vec::new()), "{heading}"),
    }
}

#[test]
fn what_prometheus_is_told_is_read_with_its_labels() {
    let text = "# HELP a b\n# TYPE a counter\na_total{name=\"x\",cause=\"y\"} 1\na_total{name=\"x\",cause=\"z\"} 2\n\
                # TYPE b_seconds histogram\nb_seconds_sum{name=\"x\"} 0.1\nb_seconds_bucket{le=\"0.5\",name=\"x\"} 1\n\
                # TYPE c gauge\nc 1\n# EOF\n";
    let labels = |labels: &[&str]| labels.iter().map(|label| (*label).to_owned()).collect::<BTreeSet<_>>();
    let (metrics, values) = metrics(text);
    let expected = [
        ("a_total".to_owned(), "counter".to_owned(), labels(&["name", "cause"])),
        ("b_seconds".to_owned(), "histogram".to_owned(), labels(&["name"])),
        ("c".to_owned(), "gauge".to_owned(), labels(&[])),
    ];
    assert_eq!(metrics, expected);
    assert_eq!(values["cause"], labels(&["y", "z"]));
}
