//! Each command of `kubectl election` on a real API server, as people on call use it.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use elector_crds::TRANSFER_ANNOTATION;
use elector_crds::conditions::{ConditionType, Reason};
use elector_harness::candidate::leader;
use elector_harness::controlplane::{ControlPlane, Namespace};
use elector_harness::kubectl::{kubectl, shell};
use elector_harness::operators::{Election, Operators, place, short_timings};
use elector_harness::process::Process;
use elector_xtask::programs::Programs;
use elector_xtask::scratch::Scratch;
use kube::ResourceExt as _;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::doctor;
use crate::scene::{SOON, Scene, election, run, until_lines};

#[tokio::test]
async fn the_list_has_what_kubectl_has_and_whether_somebody_leads() {
    let scene = Scene::set("plugin-list").await.unwrap();
    let (namespace, kubeconfig) = (scene.namespace.name(), scene.namespace.cluster().kubeconfig());
    let list = scene.run(&["list"]).await.unwrap().done().out;
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(
        lines[0],
        "NAME      HOLDER      CANDIDATES   TRANSITIONS   HELD FOR   STATE       ELECTED   READY   AGE"
    );
    assert!(lines[1].starts_with("billing   billing-0   3            1             "), "{list}");
    let get = kubectl(&kubeconfig, &["-n", namespace, "get", "leaderelections"], "").await.unwrap();
    let cells = |lines: &str| -> Vec<String> {
        lines.lines().nth(1).into_iter().flat_map(str::split_whitespace).map(str::to_owned).collect()
    };
    let (ours, theirs) = (cells(&list), cells(&get));
    assert_eq!(
        (&ours[..4], &ours[5..8]),
        (&theirs[..4], &[theirs[5].clone(), "True".to_owned(), theirs[6].clone()][..]),
        "{list}{get}"
    );

    let wide = scene.run(&["list", "-o", "wide"]).await.unwrap().done().out;
    assert!(wide.lines().nth(1).unwrap().ends_with("   LeaseHeld   node-1"), "{wide}");
    let everywhere = run(&kubeconfig, &["list", "-A"]).await.unwrap().done().out;
    assert!(everywhere.starts_with("NAMESPACE "), "{everywhere}");
    let row = everywhere.lines().find(|line| line.starts_with(namespace)).unwrap();
    assert_eq!(row.split_whitespace().skip(1).take(3).collect::<Vec<_>>(), ["billing", "billing-0", "3"]);
    let whole = scene.run(&["list", "-o", "json"]).await.unwrap().done().json();
    assert_eq!((&whole["kind"], &whole["items"][0]["kind"]), (&json!("List"), &json!("LeaderElection")));
    assert_eq!(whole["items"][0]["status"]["holder"]["name"], "billing-0");
    let yaml = scene.run(&["list", "-o", "yaml"]).await.unwrap().done().out;
    assert_eq!(serde_yaml_ng::from_str::<Value>(&yaml).unwrap()["items"][0]["metadata"], whole["items"][0]["metadata"]);

    let empty = place("plugin-empty").await.unwrap();
    let none = election(&empty, &["list"]).await.unwrap();
    let said = format!("No LeaderElections found in {} namespace.\n", empty.name());
    assert_eq!((none.code, none.out.as_str(), none.error), (Some(0), "", said));
}

/// In a pseudo-terminal, by script(1) of util-linux.
async fn on_a_terminal(namespace: &Namespace<'_>, arguments: &str, environment: (&str, &str)) -> Result<String> {
    let plugin = Programs::built().await?.plugin.display().to_string();
    let mut command = Command::new("script");
    let line = format!("'{plugin}' {arguments} -n {}", namespace.name());
    command.env_clear().env("KUBECONFIG", namespace.cluster().kubeconfig()).envs([environment]);
    command.env("PATH", "/usr/bin:/bin").args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    let output = spawn_blocking(move || command.output()).await?.context("no script(1): install util-linux")?;
    ensure!(output.status.success(), "{output:?}");
    Ok(String::from_utf8(output.stdout)?)
}

#[tokio::test]
async fn colours_are_for_terminals_and_for_those_who_want_them() {
    let scene = Scene::set("plugin-colours").await.unwrap();
    let coloured = async |environment| on_a_terminal(&scene.namespace, "status billing", environment).await.unwrap();
    let seen = coloured(("TERM", "xterm")).await;
    for text in ["\x1b[1mCandidates:\x1b[0m", "\x1b[32mTrue\x1b[0m"] {
        assert!(seen.contains(text), "{seen:?}");
    }
    for environment in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let seen = coloured(environment).await;
        assert!(seen.contains("\nCandidates:\r\n") && !seen.contains('\x1b'), "{environment:?}: {seen:?}");
    }
    let elsewhere = scene.run(&["status", "billing"]).await.unwrap().done().out;
    assert!(elsewhere.contains("\nCandidates:\n") && !elsewhere.contains('\x1b'), "{elsewhere:?}");
}

#[tokio::test]
async fn the_status_says_who_leads_who_may_and_what_is_wrong() {
    let scene = Scene::set("plugin-status").await.unwrap();
    scene.namespace.service_account("other").await.unwrap();
    let well = scene.run(&["status", "billing"]).await.unwrap().done().out;
    for line in [
        "Leader:     billing-0 on node-1\n",
        &format!("Identity:   {}\n", scene.candidates[0].identity()),
        "Tenure:     1, since 20",
        " s ago by this machine's clock; the lease lasts 5 s\n",
        "Asked for:  nothing\n",
        "  POD         NODE     READY   LEADS   SERVICE ACCOUNT   MAY CONTEND\n",
        "  billing-0   node-1   True    True    default           True\n",
        "  billing-2   node-1   True    False   default           True\n",
        "History:\n  HOLDER      TENURE   FROM                   UNTIL   LASTED   REASON\n  billing-0   1        20",
        "Problems:  none\n",
    ] {
        assert!(well.contains(line), "{line}{well}");
    }

    let label = [("leader-elector.io/election", "billing")];
    scene.namespace.create_pod("billing-3", "other", &label).await.unwrap();
    scene.election.until_reason(ConditionType::CandidatesReady, Reason::ServiceAccountNotListed).await.unwrap();
    let ill = scene.run(&["status", "billing", "-o", "json"]).await.unwrap().done().json();
    assert_eq!(ill["leader"]["name"], "billing-0");
    assert!(ill["lease"]["renewedSecondsAgo"].as_f64().is_some_and(|ago| (-0.1..5.0).contains(&ago)), "{ill}");
    let unlisted = json!({"pod": "billing-3", "node": "node-1", "ready": "False", "leads": false,
                          "serviceAccount": "other", "listed": false});
    assert_eq!(ill["candidates"][3], unlisted);
    let problems = ill["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 1, "{ill}");
    assert!(
        problems[0].as_str().unwrap().starts_with("CandidatesReady is False (ServiceAccountNotListed): pod billing-3")
    );

    // Nobody takes over from one that is killed whole before its lease is over.
    for candidate in &scene.candidates {
        candidate.process().kill();
    }
    scene.election.until_reason(ConditionType::LeaderElected, Reason::LeaseExpired).await.unwrap();
    let silent = scene.run(&["status", "billing", "-o", "yaml"]).await.unwrap().done().out;
    let silent: Value = serde_yaml_ng::from_str(&silent).unwrap();
    assert_eq!(silent["nobodyLeads"], "billing-0 has not renewed the Lease for more than 5 s");
    assert_eq!(silent.get("leader"), None);
    assert_eq!(silent["history"][0]["reason"], "Expired");
}

/// Who may look at LeaderElections and nothing else is told what the operator says.
#[tokio::test]
async fn whoever_may_see_no_lease_is_told_what_the_operator_sees() {
    let scene = Scene::set("plugin-viewer").await.unwrap();
    let (namespace, admin) = (scene.namespace.name(), scene.namespace.cluster().kubeconfig());
    scene.namespace.service_account("viewer").await.unwrap();
    let viewer = format!("{namespace}:viewer");
    for grant in [
        &["role", "viewer", "--verb=get,list,watch", "--resource=leaderelections.leader-elector.io"][..],
        &["rolebinding", "viewer", "--role=viewer", "--serviceaccount", &viewer],
    ] {
        kubectl(&admin, &[&["-n", namespace, "create"], grant].concat(), "").await.unwrap();
    }
    let kubeconfig = scene.namespace.kubeconfig("viewer").await.unwrap();
    let status = run(&kubeconfig, &["status", "billing", "-n", namespace, "-o", "json"]).await.unwrap().done().json();
    assert_eq!((&status["leader"]["name"], &status["leader"]["node"]), (&json!("billing-0"), &json!("node-1")));
    let problems = status["problems"].to_string();
    assert!(problems.contains("who leads is what the operator says: failed to read the Lease: "), "{problems}");
    assert!(problems.contains("failed to list pods: "), "{problems}");
    let refused = run(&kubeconfig, &["pause", "billing", "-n", namespace]).await.unwrap();
    refused
        .failed(1, "failed to change the LeaderElection: leaderelections.leader-elector.io \"billing\" is forbidden");
    run(&kubeconfig, &["list", "-A"]).await.unwrap().failed(1, "failed to list LeaderElections: ");
}

#[tokio::test]
async fn a_transfer_is_waited_for_and_each_change_of_who_leads_is_a_line() {
    let scene = Scene::set("plugin-transfer").await.unwrap();
    let folder = Scratch::new().unwrap();
    let log = folder.path().join("watch.log");
    let kubeconfig = scene.namespace.cluster().kubeconfig().display().to_string();
    let arguments = ["watch", "billing", "-n", scene.namespace.name(), "--kubeconfig", &kubeconfig];
    let program = Programs::built().await.unwrap().plugin.clone();
    let watch = Process::new(program, arguments.map(str::to_owned).to_vec(), log.clone());
    watch.start().unwrap();
    until_lines(&log, 1).await.unwrap();

    let done = scene.run(&["transfer", "billing", "--to", "billing-1"]).await.unwrap().done();
    assert_eq!(done.out, "asked for billing-1: billing-1 leads\n");
    assert_eq!(scene.leader(), ["billing-1"]);
    until_lines(&log, 3).await.unwrap();

    let why = "refused: asked for billing-9: billing-9 is no pod that may lead";
    scene.run(&["transfer", "billing", "--to", "billing-9"]).await.unwrap().failed(1, why);
    let events = scene.election.event_reasons().await.unwrap();
    let done = scene.run(&["transfer", "billing", "--to", "billing-1"]).await.unwrap().done();
    assert_eq!(done.out, "billing-1 leads already\n");
    assert_eq!(scene.election.event_reasons().await.unwrap(), events, "nothing was asked");
    let done = scene.run(&["transfer", "billing", "--to-any", "--timeout", "30s"]).await.unwrap().done();
    let next = scene.leader();
    assert!(next.len() == 1 && next != ["billing-1"], "{next:?}");
    assert_eq!(done.out, format!("asked for *: {} leads\n", next[0]));

    let lines = until_lines(&log, 5).await.unwrap();
    let expected = [
        "billing-0 leads, tenure 1",
        "nobody leads: the last leader gave the Lease up",
        "billing-1 leads, tenure 2",
        "nobody leads: the last leader gave the Lease up",
        &format!("{} leads, tenure 3", next[0]),
    ];
    let said: Vec<&str> = lines.iter().filter_map(|line| Some(line.split_once("Z ")?.1)).collect();
    assert_eq!(said, expected);
    scene.election.delete().await.unwrap();
    let lines = until_lines(&log, 6).await.unwrap();
    assert_eq!(lines[5], "error: LeaderElection billing is gone");
    watch.ended().await.unwrap();
    assert_eq!(watch.exited().unwrap().and_then(|status| status.code()), Some(1));
}

#[tokio::test]
async fn a_pause_is_over_when_somebody_leads() {
    let scene = Scene::set("plugin-pause").await.unwrap();
    let paused = scene.run(&["pause", "billing"]).await.unwrap().done();
    assert_eq!(paused.out, "billing is paused: nobody leads\n");
    assert_eq!(scene.leader(), [""; 0]);
    let status = scene.run(&["status", "billing"]).await.unwrap().done().out;
    assert!(status.contains("Leader:     nobody: the election is paused\n"), "{status}");
    assert!(status.contains("Asked for:  a pause: nobody is to lead\n"), "{status}");
    assert!(status.contains("Problems:  none\n"), "{status}");
    // Once more is as good.
    scene.run(&["pause", "billing"]).await.unwrap().done();
    scene.run(&["transfer", "billing", "--to-any"]).await.unwrap().failed(1, "asked for *: the election is paused");

    let resumed = scene.run(&["resume", "billing"]).await.unwrap().done();
    // Its file comes right after its Lease.
    let next = leader(&scene.candidates, SOON).await.unwrap();
    assert_eq!(resumed.out, format!("billing goes on: {} leads\n", next.name()));

    for candidate in &scene.candidates {
        candidate.process().stop().await.unwrap();
    }
    scene.run(&["resume", "billing", "--timeout", "1s"]).await.unwrap().failed(1, "not within 1 s: nobody leads: ");
}

#[tokio::test]
async fn what_cannot_work_is_one_line_that_says_what_to_do() {
    let namespace = place("plugin-input").await.unwrap();
    let kubeconfig = namespace.cluster().kubeconfig();
    let missing = format!("no LeaderElection billing in namespace {}; see kubectl election list -A", namespace.name());
    for command in [
        &["status", "billing"][..],
        &["doctor", "billing"],
        &["watch", "billing"],
        &["transfer", "billing", "--to", "billing-0"],
        &["transfer", "billing", "--to-any"],
        &["pause", "billing"],
        &["resume", "billing"],
    ] {
        election(&namespace, command).await.unwrap().failed(1, &missing);
    }
    for (arguments, why) in [
        (&[][..], "requires a subcommand"),
        (&["transfer", "billing"], "--to-any"),
        (&["list", "-o", "xml"], "invalid value 'xml'"),
        (&["list", "--context", "nowhere"], "nowhere"),
        (&["list", "--kubeconfig", "/nonexistent"], "name another by --kubeconfig"),
    ] {
        run(&kubeconfig, arguments).await.unwrap().failed(2, why);
    }
    // Nobody listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap();
    let nowhere = namespace.cluster().kubeconfig_at("t", Some(&format!("https://{free}"))).unwrap();
    for command in [&["list"][..], &["status", "billing"], &["watch", "billing"], &["pause", "billing"]] {
        run(&nowhere, command).await.unwrap().failed(1, &format!("failed to reach https://{free}/: "));
    }
    let anonymous = namespace.cluster().kubeconfig_for("no-token").unwrap();
    run(&anonymous, &["list"]).await.unwrap().failed(1, "failed to list LeaderElections: Unauthorized");
    let help = run(&kubeconfig, &["transfer", "--help"]).await.unwrap().done().out;
    assert!(help.contains("Usage: kubectl election transfer [OPTIONS] <--to <POD>|--to-any> <NAME>"), "{help}");
}

#[tokio::test]
async fn without_definition_or_operator_it_says_so_and_leaves_no_request_behind() {
    unattended().await.unwrap();
}

async fn unattended() -> Result<()> {
    let plane = ControlPlane::start(Default::default()).await?;
    let kubeconfig = plane.kubeconfig();
    for command in
        [&["list"][..], &["status", "billing"], &["doctor", "billing"], &["watch", "billing"], &["resume", "billing"]]
    {
        run(&kubeconfig, command).await?.failed(1, "knows no LeaderElections: install leader-elector there");
    }
    let operators = Operators::install(&plane).await?;
    let namespace = plane.namespace("unattended").await?;
    let billing = Election::create(&namespace, "billing", json!({})).await?;
    let status = election(&namespace, &["status", "billing"]).await?.done().out;
    assert!(status.contains("Leader:     nobody: there is no Lease\n"), "{status}");
    assert!(status.contains("  the operator has not looked at this LeaderElection yet"), "{status}");
    let list = election(&namespace, &["list"]).await?.done().out;
    let row: Vec<&str> = list.lines().nth(1).unwrap_or_default().split_whitespace().collect();
    assert!(row.len() == 2 && row[0] == "billing", "all but its age is blank: {list}");
    let transfer = election(&namespace, &["transfer", "billing", "--to-any", "--timeout", "1s"]).await?;
    transfer.failed(1, "the operator has not answered within 1 s, and the request is taken back");
    assert!(!billing.get().await?.annotations().contains_key(TRANSFER_ANNOTATION));
    let pause = election(&namespace, &["pause", "billing", "--timeout", "1s"]).await?;
    pause.failed(1, "not within 1 s: the operator has not looked at it; see whether it runs");
    assert!(billing.get().await?.spec.paused);
    doctor::without_operator(&operators, &namespace).await
}

#[tokio::test]
async fn kubectl_finds_it_and_completes_what_is_typed() {
    let scene = Scene::set("plugin-complete").await.unwrap();
    let namespace = scene.namespace.name();
    Election::create(&scene.namespace, "shipping", short_timings()).await.unwrap();
    let plugin = Programs::built().await.unwrap().plugin.clone();
    let folder = plugin.parent().context("it is in no folder").unwrap().display();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../operator/kubectl-election/src");
    let kubectl = async |line: &str| {
        let line = format!("PATH={folder}:{script}:$PATH kubectl {line}");
        shell(&scene.namespace.cluster().kubeconfig(), &line).await.unwrap()
    };
    let list = kubectl(&format!("election list -n {namespace}")).await;
    assert!(list.contains("\nbilling    billing-0 "), "{list}");
    let before = format!("PATH={folder}:{script}:$PATH kubectl -n {namespace} election list");
    let refused = shell(&scene.namespace.cluster().kubeconfig(), &before).await.unwrap_err().to_string();
    assert!(refused.contains("flags cannot be placed before plugin name"), "{refused}");

    let completed = async |line: &str| -> Vec<String> {
        let said = kubectl(&format!("__complete election {line} 2>/dev/null")).await;
        let words = said.lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned());
        words.filter(|word| !word.is_empty()).collect()
    };
    let commands = ["list", "status", "doctor", "watch", "transfer", "pause", "resume", "inject", ":4"];
    assert_eq!(completed("''").await, commands);
    assert_eq!(completed("pa").await, ["pause", ":4"]);
    assert_eq!(completed(&format!("status -n {namespace} ''")).await, ["billing", "shipping", ":4"]);
    assert_eq!(completed(&format!("doctor -n {namespace} s")).await, ["shipping", ":4"]);
    assert_eq!(completed("doctor -o ''").await, ["json", "yaml", ":4"]);
    assert_eq!(completed(&format!("-n {namespace} transfer s")).await, ["shipping", ":4"]);
    assert_eq!(completed(&format!("status -n {namespace} billing ''")).await, [":4"]);
    let pods = ["billing-0", "billing-1", "billing-2", ":4"];
    assert_eq!(completed(&format!("transfer billing -n {namespace} --to ''")).await, pods);
    assert_eq!(completed("list -o ''").await, ["wide", "json", "yaml", ":4"]);
    assert_eq!(completed("list --kubeconfig ''").await, [":0"]);
    assert_eq!(completed("inject -f ''").await, [":0"]);
    assert_eq!(completed("inject --image ''").await, [":4"]);
    assert_eq!(completed(&format!("inject -n {namespace} --election s")).await, ["shipping", ":4"]);
    assert_eq!(completed("transfer --to").await, ["--to", "--to-any", ":4"]);
    assert_eq!(completed(&format!("list -n {}", &namespace[..namespace.len() - 1])).await, [namespace, ":4"]);
}
