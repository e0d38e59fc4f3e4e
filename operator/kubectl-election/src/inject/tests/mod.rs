//! What `inject` prints. tests/e2e/tests/chart/inject.rs has what the API server and kubectl make of it.

mod fuzz;

use std::ffi::OsString;

use serde_json::{Value, json};

use super::read;
use crate::cli::{Cli, Command};

fn changed(arguments: &[&str], text: &str) -> Result<String, String> {
    let arguments = ["kubectl-election", "inject", "-f", "-"].iter().chain(arguments);
    let cli = Cli::read(arguments.map(OsString::from)).map_err(|failure| failure.message)?;
    let Command::Inject(inject) = cli.command else { return Err("another command".to_owned()) };
    inject.changed(text)
}

fn injected(text: &str) -> String {
    changed(&[], text).unwrap()
}

const POD: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: billing-0
  labels:
    leader-elector.io/election: billing
spec:
  containers:
  - name: app
    image: busybox
";

fn with(replaced: &str, by: &str) -> String {
    assert!(POD.contains(replaced), "{replaced}");
    POD.replace(replaced, by)
}

#[test]
fn a_pod_gets_the_agent_and_goes_on_as_it_was() {
    let pod = injected(POD);
    let (before, after) = pod.split_once("  initContainers:\n  - name: leader-elector\n").unwrap();
    assert_eq!(before, POD.split_once("  containers:").unwrap().0);
    let containers = "  containers:\n  - name: app\n    image: busybox\n    volumeMounts:\n    - name: leader-election\n      \
                      mountPath: /run/leader-election\n      readOnly: true\n  volumes:\n  - name: leader-election\n";
    assert!(after.contains(containers), "{after}");
    assert!(!after.contains('#') && !after.contains("resources:"), "{after}");
    assert_eq!(injected(&pod), pod);
    assert_eq!(changed(&["--uninject"], &pod).unwrap(), POD);
    assert_eq!(changed(&["--uninject"], POD).unwrap(), POD);
}

#[test]
fn what_is_not_changed_comes_out_to_the_letter() {
    let other = "# a licence\n--- # first\n\n---\nkind:   Service # of theirs\ndata: {a: 0644, b: [y, 'no']}   \nodd: |+\n  x\n\n\n...\n---\n";
    for text in [
        "",
        "\n\n",
        "# nothing\n",
        "---\n---\n...\n",
        other,
        &other.replace('\n', "\r\n"),
        &format!("\u{feff}{other}"),
        &with("    leader-elector.io/election: billing", "    app: billing"),
        &with(
            "    leader-elector.io/election",
            "    leader-elector.io/injection: disabled\n    leader-elector.io/election",
        ),
        &with("- name: app", "- name:   leader-elector"),
        &with("  containers:", "  initContainers: [{name: leader-elector}]\n  containers:"),
        &with("apiVersion: v1", "apiVersion: example.com/v1"),
        &with("  containers:\n  - name: app\n    image: busybox\n", "  containers: []\n"),
        "kind: Deployment\napiVersion: apps/v1\nspec: {replicas: 2}\n",
        "{\"kind\":\"Service\"}\n\n  {\"kind\" : \"ConfigMap\", \"a\": 1.0e+3}",
        "[1, 2]",
        "text",
        "7\n",
    ] {
        assert_eq!(injected(text), text);
        assert_eq!(changed(&["--uninject"], text).unwrap(), text);
    }
    let mixed = format!("{other}{POD}---\n{other}");
    let out = injected(&mixed);
    assert!(out.starts_with(other) && out.ends_with(&format!("---\n{other}")), "{out}");
    assert_eq!(changed(&["--uninject"], &out).unwrap(), mixed);
}

#[test]
fn comments_stay_beside_what_they_are_said_of() {
    let text = "\
# of the pod
apiVersion: v1
kind: Pod  # right of it
metadata:
  # of the name
  name: billing-0
  labels:  # those
    leader-elector.io/election: billing
spec:
  containers:
  # of the first
  - name: app  # its name
    # of the command
    command: [sh, -c, 'sleep 1']  # its command
    image: busybox
  # of the second
  - image: busybox
    name: other
# at the end
";
    let out = injected(text);
    for comment in text.lines().filter(|line| line.contains('#')) {
        assert!(out.contains(&format!("{comment}\n")), "{comment}: {out}");
    }
    assert_eq!(changed(&["--uninject"], &out).unwrap(), text);
}

#[test]
fn each_kind_with_a_pod_in_it_gets_the_agent_and_lists_of_them() {
    let indented =
        |text: &str, by: usize| text.lines().map(|line| format!("{}{line}\n", " ".repeat(by))).collect::<String>();
    let body = POD.split_once("kind: Pod\n").unwrap().1;
    for (version, kind, path) in [
        ("v1", "PodTemplate", "template"),
        ("v1", "ReplicationController", "spec.template"),
        ("apps/v1", "Deployment", "spec.template"),
        ("apps/v1", "StatefulSet", "spec.template"),
        ("apps/v1", "DaemonSet", "spec.template"),
        ("apps/v1", "ReplicaSet", "spec.template"),
        ("batch/v1", "Job", "spec.template"),
        ("batch/v1", "CronJob", "spec.jobTemplate.spec.template"),
        ("argoproj.io/v1alpha1", "Rollout", "spec.template"),
    ] {
        let (mut keys, mut indent) = (String::new(), 0);
        for key in path.split('.') {
            keys += &format!("{}{key}:\n", " ".repeat(indent));
            indent += 2;
        }
        let text = format!(
            "apiVersion: {version}\nkind: {kind}\nmetadata: {{name: billing}}\n{keys}{}",
            indented(body, indent)
        );
        let is_known = kind != "Rollout";
        assert_eq!(injected(&text).contains("initContainers"), is_known, "{text}");
        let arguments = ["--template-path", path];
        assert!(changed(&arguments, &text).unwrap().contains("initContainers"), "{text}");
        let undone = changed(&["--uninject", "--template-path", path], &changed(&arguments, &text).unwrap()).unwrap();
        assert_eq!(read::yaml(&undone).unwrap().unwrap().0, read::yaml(&text).unwrap().unwrap().0);
        if is_known {
            let list = format!("kind: List\napiVersion: v1\nitems:\n-\n{}", indented(&text, 2));
            assert!(injected(&list).contains("initContainers"), "{list}");
            let items = indented(text.split_once("\nmetadata").unwrap().1, 2).replace("  : {name", "  metadata: {name");
            let typed = format!("kind: {kind}List\napiVersion: {version}\nitems:\n-\n{items}");
            assert!(injected(&typed).contains("initContainers"), "{typed}");
        }
    }
    let tasks = format!(
        "apiVersion: batch.volcano.sh/v1alpha1\nkind: Job\nspec:\n  tasks:\n  - template:\n{}",
        indented(body, 6)
    );
    assert!(changed(&["--template-path", "spec.tasks.template"], &tasks).unwrap().contains("initContainers"));
    assert_eq!(changed(&["--template-path=.spec.tasks.template", "--uninject"], &tasks).unwrap(), tasks);
}

#[test]
fn an_election_that_is_named_is_that_of_all_pods() {
    let unlabelled = with("  labels:\n    leader-elector.io/election: billing\n", "");
    let labelled = changed(&["--election", "billing"], &unlabelled).unwrap();
    assert_eq!(labelled, injected(POD));
    assert_eq!(changed(&["--uninject", "--election", "billing"], &labelled).unwrap(), unlabelled);
    let other = changed(&["--election", "shipping"], POD).unwrap();
    assert_eq!(other, injected(&with("election: billing", "election: shipping")));
    let bare = "{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"app\"}]}}}}";
    let labelled = changed(&["--election=7"], bare).unwrap();
    assert!(
        labelled.contains(r#""template":{"metadata":{"labels":{"leader-elector.io/election":"7"}},"spec""#),
        "{labelled}"
    );
    assert_eq!(changed(&["--uninject", "--election=7"], &labelled).unwrap(), bare);
}

#[test]
fn json_stays_json_with_its_indentation() {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": {"leader-elector.io/election": "billing"}},
                     "spec": {"containers": [{"name": "app", "args": [], "ports": [{"containerPort": 80}]}]}});
    let compact = pod.to_string();
    let pretty = serde_json::to_string_pretty(&pod).unwrap();
    for text in [
        &compact,
        &pretty,
        &pretty.replace("  ", "    "),
        &pretty.replace("  ", "\t"),
        &format!("{pretty}\n{compact}\n"),
    ] {
        let out = injected(text);
        assert_eq!(injected(&out), out);
        assert_eq!(&changed(&["--uninject"], &out).unwrap(), text);
        assert!(out.contains("initContainers") && out.lines().count() >= text.lines().count(), "{out}");
    }
    let value: Value = serde_json::from_str(&injected(&compact)).unwrap();
    let agent = &value["spec"]["initContainers"][0];
    assert_eq!(
        (&agent["livenessProbe"]["periodSeconds"], &agent["securityContext"]["runAsNonRoot"]),
        (&json!(30), &json!(true))
    );
    let odd = compact
        .replace("80", "8.0e1")
        .replace("\"app\"", "\"\\u0061pp\\/\"")
        .replace("\"args\":[]", "\"big\":12345678901234567890123");
    let out = injected(&odd);
    assert!(out.contains("8.0e1") && out.contains("\\u0061pp\\/") && out.contains("12345678901234567890123"), "{out}");
}

#[test]
fn the_options_say_what_is_added() {
    let burstable = format!("{POD}    resources: {{requests: {{cpu: 1}}}}\n");
    let out = injected(&burstable);
    assert!(out.contains("    resources:\n      requests:\n        cpu: 5m\n        memory: 16Mi\n      limits:\n        memory: 32Mi\n"), "{out}");
    let resources = "--resources={requests: {cpu: 1, ephemeral-storage: 1Mi}}";
    let out =
        changed(&[resources, "--image=registry.example.com/agent:1", "--platform-assigns-users"], &burstable).unwrap();
    assert!(out.contains("    image: \"registry.example.com/agent:1\"\n"), "{out}");
    assert!(
        out.contains("      requests:\n        ephemeral-storage: 1Mi\n        cpu: \"1\"\n")
            && !out.contains("runAsUser"),
        "{out}"
    );
    let guaranteed = format!("{POD}    resources: {{limits: {{cpu: 1, memory: 1Gi}}}}\n");
    let out = changed(&["--guaranteed-resources={cpu: 70m, memory: 1e8}"], &guaranteed).unwrap();
    assert!(
        out.contains("      limits:\n        cpu: 70m\n        memory: \"1e8\"\n") && !out.contains("requests"),
        "{out}"
    );
}

#[test]
fn what_cannot_be_meant_is_one_line() {
    let volume = format!("{POD}  volumes: [{{name: leader-election}}]\n");
    let annotated = |annotation: &str| with("  labels:", &format!("  annotations: {{{annotation}}}\n  labels:"));
    for (text, said) in [
        ("a: [1, 2\n", "document 1: "),
        ("a: 1\n---\nb: 'x\n", "document 2: "),
        ("a: *b\n", "document 1: "),
        ("a: &a [*a]\n", "an alias stands for what it is in, at line 1"),
        ("{a: 1}: 2\n", "a key that is no text, at line 1"),
        ("a: 1\n--- b: 2\n", "no document begins with \"--- b: 2\": begin it on the next line"),
        ("{\"a\": 1", "document 1: "),
        ("a: {<<: 7}\n", "<< of what is no mapping, at line 1"),
        (
            &with("election: billing", "election: Billing"),
            "Pod billing-0: label leader-elector.io/election: \"Billing\" is no name",
        ),
        (&with("election: billing", "election: 7"), "label leader-elector.io/election: \"7\" is no name"),
        (&with("election: billing", "election: yes"), "label leader-elector.io/election: \"yes\" is no name"),
        (&with("election: billing", "election: ''"), "label leader-elector.io/election: \"\" is no name"),
        (
            &with("election: billing", "election: [billing]"),
            "label leader-elector.io/election: \"the value\" is no name",
        ),
        (&volume, "Pod billing-0: it has a volume leader-election of its own"),
        (
            &annotated("leader-elector.io/agent-cpu-limit: half"),
            "annotation leader-elector.io/agent-cpu-limit is no quantity, such as 50m",
        ),
        (
            &annotated("leader-elector.io/agent-memory-request: 7"),
            "annotation leader-elector.io/agent-memory-request is no string",
        ),
        (
            &annotated("leader-elector.io/agent-memory-request: -1Mi"),
            "annotation leader-elector.io/agent-memory-request is no quantity",
        ),
        (
            &annotated("leader-elector.io/agent-cpu-request: 1000m, leader-elector.io/agent-cpu-limit: 10m"),
            "annotation leader-elector.io/agent-cpu-request is more than annotation leader-elector.io/agent-cpu-limit",
        ),
        (&with("    image: busybox\n", "    volumeMounts: mine\n"), "its volumeMounts are no list"),
    ] {
        let why = changed(&[], text).unwrap_err();
        assert!(why.contains(said), "{said}: {why}");
    }
    for (arguments, said) in [
        (&["--template-path", "spec.pod"][..], "nothing in it has spec.pod"),
        (&["--template-path", "spec..pod"], "say spec.template"),
        (&["--election", "Billing"], "a name has lower-case letters"),
        (&["--election", ""], "a name has lower-case letters"),
        (&["--resources", "cpu=5m"], "say {requests: "),
        (&["--resources", "{requests: {cpu: half}}"], "cpu is no quantity"),
        (&["--resources", "{request: {cpu: 5m}}"], "request is neither requests nor limits"),
        (&["--guaranteed-resources", "{cpu: 5m}"], "say {cpu: 50m, memory: 32Mi}"),
    ] {
        let why = changed(arguments, POD).unwrap_err();
        assert!(why.contains(said) && why.lines().count() == 1, "{said}: {why}");
    }
}

#[test]
fn aliases_and_merges_are_resolved_where_something_is_added() {
    let text = "\
apiVersion: v1
kind: Pod
metadata: {labels: &labels {leader-elector.io/election: billing}, annotations: *labels}
spec:
  initContainers:
  - &base
    name: migrate
    volumeMounts: &mounts
    - {name: c, mountPath: /c}
    env: [{name: A, value: &a 'yes'}, {name: B, value: *a}]
  containers:
  - <<: *base
    name: app
  - {<<: [*base, {tty: true}], name: other, name: last}
  volumes: [{name: c, emptyDir: {}}]
";
    let plain = "\
apiVersion: v1
kind: Pod
metadata: {labels: {leader-elector.io/election: billing}, annotations: {leader-elector.io/election: billing}}
spec:
  initContainers:
  - name: migrate
    volumeMounts: [{name: c, mountPath: /c}]
    env: [{name: A, value: 'yes'}, {name: B, value: 'yes'}]
  containers:
  - name: app
    volumeMounts: [{name: c, mountPath: /c}]
    env: [{name: A, value: 'yes'}, {name: B, value: 'yes'}]
  - tty: true
    name: last
    volumeMounts: [{name: c, mountPath: /c}]
    env: [{name: A, value: 'yes'}, {name: B, value: 'yes'}]
  volumes: [{name: c, emptyDir: {}}]
";
    let tree = |text: &str| read::yaml(text).unwrap().unwrap().0;
    assert_eq!(tree(&injected(text)), tree(&injected(plain)));
    assert_eq!(tree(&changed(&["--uninject"], &injected(text)).unwrap()), tree(plain));
    assert!(!injected(text).contains(['&', '*']), "{}", injected(text));
}

#[test]
fn aliases_of_aliases_are_not_followed_for_ever() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = format!("*a{}", level - 1);
        bomb += &format!("a{level}: &a{level} [{}]\n", [before.as_str(); 10].join(", "));
    }
    let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(1_000_000), ["*a"; 20].join(", "));
    for bomb in [bomb, long] {
        let why = changed(&[], &bomb).unwrap_err();
        assert!(why.contains("its anchors and aliases stand for more than 16 MiB"), "{why}");
    }
    for deep in [
        "[".repeat(5000),
        "{\"a\":".repeat(5000),
        "- ".repeat(5000),
        format!("{}1{}", "{\"a\":".repeat(500), "}".repeat(500)),
    ] {
        changed(&[], &deep).unwrap_err();
    }
}
