//! Texts of others, as people and programs see them: nothing that a terminal would follow, and to programs what is there.

use elector_crds::conditions::{ConditionType, Reason};
use elector_crds::display_text::is_hidden;
use elector_crds::{LeaderElection, TRANSFER_ANNOTATION, identity};
use elector_harness::operators::{Election, place};
use elector_harness::process::Process;
use elector_xtask::programs::Programs;
use elector_xtask::scratch::Scratch;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::scene::{Said, election, until_lines};

/// An escape sequence, controls, a letter that turns the direction, some that are not seen, and a line that looks like the
/// plugin's own.
const HOSTILE: &str = "billing-0\u{1b}[2J\u{7f}\u{9b}\u{202e}\u{200b}\u{ad}\u{e0041}\n2026 nobody leads_uid";

/// How the plugin names it on one line.
const NAMED: &str = r"billing-0\u{1b}[2J\u{7f}\u{9b}\u{202e}\u{200b}\u{ad}\u{e0041}\n2026 nobody leads";

#[tokio::test]
async fn a_terminal_follows_nobody_and_programs_read_what_is_there() {
    let namespace = place("plugin-texts").await.unwrap();
    let billing = Election::create(&namespace, "billing", json!({"leaseDurationSeconds": 60})).await.unwrap();
    billing.until_reason(ConditionType::Ready, Reason::Reconciled).await.unwrap();
    let folder = Scratch::new().unwrap();
    let log = folder.path().join("watch.log");
    let kubeconfig = namespace.cluster().kubeconfig().display().to_string();
    let arguments = ["watch", "billing", "-n", namespace.name(), "--kubeconfig", &kubeconfig];
    let program = Programs::built().await.unwrap().plugin.clone();
    let watch = Process::new(program, arguments.map(str::to_owned).to_vec(), log.clone());
    watch.start().unwrap();
    until_lines(&log, 1).await.unwrap();

    let annotated = json!({"metadata": {"annotations": {"note": HOSTILE}}});
    let elections = namespace.api::<LeaderElection>();
    elections.patch("billing", &PatchParams::default(), &Patch::Merge(annotated)).await.unwrap();
    let held = json!({"holderIdentity": HOSTILE, "leaseTransitions": 7, "leaseDurationSeconds": 60});
    namespace.edit_lease("billing", json!({"spec": held})).await.unwrap();
    let lines = until_lines(&log, 2).await.unwrap();
    assert!(lines[1].ends_with(&format!("Z {NAMED} leads, tenure 7")), "{lines:?}");
    billing
        .until("its holder is named", |election| election.status.as_ref().is_some_and(|it| it.holder.is_some()))
        .await
        .unwrap();

    for command in [&["list"][..], &["list", "-o", "wide"], &["status", "billing"], &["doctor", "billing"]] {
        let said = election(&namespace, command).await.unwrap();
        assert_harmless(&said);
        assert!(said.out.contains(NAMED), "{said:?}");
    }
    for output in ["json", "yaml"] {
        for command in [&["list"][..], &["status", "billing"], &["doctor", "billing"]] {
            let said = election(&namespace, &[command, &["-o", output]].concat()).await.unwrap();
            assert_harmless(&said);
            let document: Value = match output {
                "json" => said.json(),
                _ => serde_yaml_ng::from_str(&said.out).unwrap(),
            };
            match command[0] {
                "list" => assert_eq!(document["items"][0]["metadata"]["annotations"]["note"], HOSTILE),
                "status" => assert_eq!(document["leader"]["identity"], &*identity::shown(HOSTILE)),
                _ => assert!(document.as_array().is_some_and(|findings| findings.len() > 10), "{said:?}"),
            }
        }
    }

    let asked = json!({"metadata": {"annotations": {TRANSFER_ANNOTATION: format!("{HOSTILE}{}", "a".repeat(10_000))}}});
    elections.patch("billing", &PatchParams::default(), &Patch::Merge(asked)).await.unwrap();
    assert_harmless(&election(&namespace, &["status", "billing"]).await.unwrap());
    // Nobody renews it: who may take its place is told why nobody does.
    let paused = election(&namespace, &["pause", "billing", "--timeout", "1s"]).await.unwrap();
    paused.failed(1, &format!("{NAMED} still leads"));
    assert_harmless(&paused);
}

/// Lines of what can be seen, and none but the plugin's own.
fn assert_harmless(said: &Said) {
    let is_harmless = |text: &str| text.chars().all(|character| character == '\n' || !is_hidden(character));
    assert!(is_harmless(&said.out) && is_harmless(&said.error), "{said:?}");
    assert!(!said.out.lines().chain(said.error.lines()).any(|line| line.starts_with("2026 nobody")), "{said:?}");
}
