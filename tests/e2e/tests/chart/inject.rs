//! `kubectl election inject` adds what the chart's policy adds, and changes nothing else of what kubectl reads.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result};
use elector_harness::cluster::Cluster;
use elector_harness::controlplane::ControlPlane;
use elector_harness::kubectl::kubectl;
use elector_xtask::programs::Programs;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::release::installed;
use crate::resources::{Case, cases, stored};

/// What the plugin makes of its standard input.
async fn run(arguments: &[&str], text: &str) -> Result<Output> {
    let mut command = Command::new(&Programs::built().await?.plugin);
    // It needs no cluster.
    command.env_clear().args(["inject", "-f", "-"]).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let text = text.to_owned();
    let output = spawn_blocking(move || {
        let mut child = command.spawn()?;
        child.stdin.take().context("no standard input")?.write_all(text.as_bytes())?;
        anyhow::Ok(child.wait_with_output()?)
    });
    output.await?
}

async fn injected(arguments: &[&str], text: &str) -> Result<String> {
    let output = run(arguments, text).await?;
    anyhow::ensure!(output.status.success(), "{text}: {output:?}");
    Ok(String::from_utf8(output.stdout)?)
}

/// Of a stored pod what does not differ from one creation, or namespace, to the next.
fn lasting(mut pod: Value) -> Value {
    fn without_token(list: &mut Value) {
        let is_made_up = |item: &Value| item["name"].as_str().is_some_and(|name| name.starts_with("kube-api-access-"));
        if let Some(list) = list.as_array_mut() {
            list.retain(|item| !is_made_up(item));
        }
    }
    without_token(&mut pod["spec"]["volumes"]);
    for list in ["containers", "initContainers"] {
        for container in pod["spec"][list].as_array_mut().into_iter().flatten() {
            without_token(&mut container["volumeMounts"]);
        }
    }
    let metadata = &pod["metadata"];
    json!({"metadata": [metadata["labels"], metadata["annotations"]], "spec": pod["spec"], "status": pod["status"]})
}

#[tokio::test]
async fn what_is_stored_of_a_pod_is_what_the_policy_makes_of_it_from_1_34() {
    let with_policy = installed().await.unwrap().namespace("policy").await.unwrap();
    let without = ControlPlane::shared().await.unwrap().namespace("inject").await.unwrap();
    for Case { name, mut pod, .. } in cases() {
        pod["spec"]["volumes"] = json!([{"name": "c", "emptyDir": {}}]);
        pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "c", "mountPath": "/c"}]);
        let by_policy = lasting(stored(&with_policy, &pod).await.unwrap());
        assert_eq!(by_policy["spec"]["initContainers"][0]["name"], "leader-elector", "{name}");
        let yaml = serde_yaml_ng::to_string(&pod).unwrap();
        for (form, text) in [("json", pod.to_string()), ("yaml", yaml)] {
            let out = injected(&[], &text).await.unwrap();
            let mut injected: Value = serde_yaml_ng::from_str(&out).unwrap();
            injected["metadata"]["name"] = json!(format!("{name}-{form}"));
            let stored = lasting(stored(&without, &injected).await.unwrap());
            assert_eq!(stored, by_policy, "{name}, {form}");
        }
    }
}

/// What kubectl reads: an object after the other, in JSON.
async fn read(cluster: &Cluster, text: &str) -> Result<String> {
    let create = ["create", "--dry-run=client", "--validate=false", "--output=json", "--filename=-"];
    kubectl(&cluster.kubeconfig(), &create, text).await
}

fn objects(text: &str) -> serde_json::Result<Vec<Value>> {
    serde_json::Deserializer::from_str(text).into_iter().collect()
}

const PODS: &[(&str, &str)] = &[
    (
        "YAML 1.1",
        "
apiVersion: v1
kind: Pod
metadata:
  name: odd
  labels: {leader-elector.io/election: billing}
  annotations:
    y: 'y'
    plain: y?
    'on': \"on\"
    \"no\": 'no'
    date: '2001-01-01'
    float: '1e3'
    hex: '0x10'
    tagged: !!str 0644
    2001-01-01: x
    folded: >
      one
      two

      three
    literal: |2-
        indented
      not
    keep: |+
      a

    tabs: \"a\\tb\\u0007\\x41\\U0001F600\\
      c\"
    multi: a
      b
      c
    single: 'it''s
      two'
spec:
  terminationGracePeriodSeconds: 0x1e
  hostNetwork: no
  shareProcessNamespace: off
  activeDeadlineSeconds: 1_000
  containers:
  - name: app
    tty: on
    stdin: y
    env: [{name: A, value: ''}, {name: B, value: \"null\"}, {name: C, value: !!str yes}]
    args: ['-', '?', ':', '- a', \"#\", '&a', '%', '@', '`', '{', ']', ',', '|', '>', ' a ', '', '~', '.inf', '1:30']
  volumes:
  - name: c
    configMap: {name: c, defaultMode: 0644, items: [{key: k, path: p, mode: 0o777}]}
  - {name: d, emptyDir: }
",
    ),
    (
        "anchors and merges",
        "
kind: Pod
apiVersion: v1
metadata: {name: odd, labels: &l {leader-elector.io/election: billing}, annotations: *l}
spec:
  containers:
  - &a
    image: busybox
    name: app
    env: &e
    - {name: A, value: \"1\"}
  - <<: *a
    name: other
  - name: third
    <<: [{image: x, name: third}, *a]
  - {name: fourth, env: *e, image: &i 'y', command: [*i]}
",
    ),
    (
        "several of a key, comments, a list, and more than one document",
        "
# one
---  # two
apiVersion: v1
kind: Pod
kind: Pod
metadata: {name: a, labels: {a: b}}
metadata: {name: one, labels: {leader-elector.io/election: billing}} # of it
spec:
# not indented
  containers:
# neither
  - # of the item
    name: app # app
    name: app
  # at the end
---
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Service, metadata: {name: two}, spec: {ports: [{port: 80}]}}
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: three}
  spec:
    selector: {matchLabels: {a: b}}
    template:
      metadata: {labels: {a: b, leader-elector.io/election: billing}}
      spec:
        containers:
        -
          name: app
          command:
            - sh
            - -c
            - |
              # no comment
              true
---
",
    ),
    (
        "brackets over several lines",
        "
{
  apiVersion: v1, # c
  \"kind\": Pod,
  metadata: {name: \"odd\", labels: {
      leader-elector.io/election: billing,},
  },
  spec: {containers: [
      {name: app, args: [a b, 'c', \"d\", ? e : f, g: h]},
    ], \"nodeSelector\":{},overhead: {},
  }
}
",
    ),
    (
        "JSON",
        "{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": {\"name\": \"\\u006fdd\", \"labels\": {\"leader-elector.io/election\": \"billing\"}},
        \"spec\": {\"containers\": [{\"name\": \"app\", \"args\": [\"\\/\", \"\\ud83d\\ude00\", \"\\u0000\", \"yes\", \"é\"]}], \"priority\": 1e1,
        \"activeDeadlineSeconds\": 9007199254740993, \"nodeName\": null, \"hostAliases\": []}}",
    ),
];

/// To inject what kubectl reads of a text is to read what was injected into the text.
#[tokio::test]
async fn kubectl_reads_the_same_and_the_agent() {
    let plane = ControlPlane::shared().await.unwrap();
    for (what, text) in PODS {
        let with_mark = format!("\u{feff}{text}");
        for text in [text, text.replace('\n', "\r\n").as_str(), &with_mark] {
            let plain = match read(plane, text).await {
                // As YAML, which JSON is with the mark, it has escapes that there are in JSON alone.
                Err(_) if *what == "JSON" && text == with_mark => continue,
                plain => plain.unwrap(),
            };
            let expected = injected(&[], &plain).await.unwrap();
            assert!(expected.contains("\"name\": \"leader-elector\""), "{what}: {expected}");
            let out = injected(&[], text).await.unwrap();
            assert_eq!(
                objects(&read(plane, &out).await.unwrap()).unwrap(),
                objects(&expected).unwrap(),
                "{what}: {out}"
            );
            assert_eq!(injected(&[], &out).await.unwrap(), out, "{what}");
            let undone = injected(&["--uninject"], &out).await.unwrap();
            assert_eq!(
                objects(&read(plane, &undone).await.unwrap()).unwrap(),
                objects(&plain).unwrap(),
                "{what}: {undone}"
            );
        }
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_one_line_and_nothing_is_printed() {
    for (arguments, text) in [
        (&[][..], "a: [1\nb: 2\n"),
        (&[], "{\"apiVersion\": \"v1\", \"kind\": ]"),
        (
            &[],
            "apiVersion: v1\nkind: Pod\nmetadata: {labels: {leader-elector.io/election: Ä}}\nspec: {containers: [{name: a}]}\n",
        ),
        (&["--template-path=spec.pod"], "kind: Rollout\n"),
        (&["--filename=/nonexistent.yaml"], ""),
        (&["--filename=/"], ""),
        (&["--election=Billing"], ""),
    ] {
        // An argument twice is refused, too: in its place.
        let own = arguments.iter().any(|argument| argument.starts_with("--filename"));
        let output = if own {
            let mut command = Command::new(&Programs::built().await.unwrap().plugin);
            command.env_clear().arg("inject").args(arguments).output().unwrap()
        } else {
            run(arguments, text).await.unwrap()
        };
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(2), &b""[..]), "{text}: {said}");
        assert!(said.starts_with("error: ") && said.lines().count() == 1, "{text}: {said:?}");
    }
}

/// As large as it gets.
#[tokio::test]
async fn ten_megabytes_go_through() {
    let one = PODS[2].1;
    let text = one.repeat(10_000_000 / one.len());
    let out = injected(&[], &text).await.unwrap();
    assert_eq!(out.matches("- name: leader-elector\n").count(), 2 * text.matches("kind: List").count());
    assert_eq!(injected(&["--uninject"], &text).await.unwrap(), text);
}
