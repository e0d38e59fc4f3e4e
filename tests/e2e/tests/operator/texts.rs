//! Texts of others, in Leases and on LeaderElections: whatever they are, the status says who leads, and each request is answered.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use elector_crds::conditions::{ConditionType, Reason, find};
use elector_crds::display_text::{MAX_MESSAGE, is_hidden};
use elector_crds::untrusted::shorten;
use elector_crds::{LeaderElection, TRANSFER_ANNOTATION, identity};
use elector_harness::controlplane::Namespace;
use elector_harness::kubectl::kubectl;
use elector_harness::operators::{Election, place};
use k8s_openapi::api::events::v1::Event;
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::time::sleep;

/// For how long nothing may be written that has been written.
const QUIET: Duration = Duration::from_millis(500);

/// What a holder or a request may be called: what a server-side apply refuses, what is longer than a status or an event takes, and
/// what shows as something else.
fn hostile() -> Vec<String> {
    let characters =
        ["\u{7f}", "\u{85}", "\u{9b}2J", "\u{feff}", "\u{fffe}", "\u{ffff}", "\u{202e}", "\u{e0041}", "\n", "\0"];
    let mut texts: Vec<String> = characters.iter().map(|character| format!("billing-0{character}x_uid")).collect();
    // Cut in the middle of a character, and of a name for one, if anywhere.
    texts.extend([
        format!("{}😀😀", "a".repeat(507)),
        format!("{}\u{202e}\u{202e}", "b".repeat(500)),
        "c".repeat(10_000),
    ]);
    texts
}

/// Writes as a candidate that is no agent does, twice: only then is it known to live.
async fn hold(namespace: &Namespace<'_>, name: &str, holder: &str, tenure: i64) -> Result<()> {
    for more in [json!({"holderIdentity": holder, "leaseTransitions": tenure, "leaseDurationSeconds": 60}), json!({})] {
        let mut spec = more;
        spec["renewTime"] = json!(format!("{:.6}", jiff::Timestamp::now()));
        namespace.edit_lease(name, json!({"spec": spec})).await?;
    }
    Ok(())
}

async fn until_led_by(election: &Election<'_>, holder: &str, tenure: i64) -> Result<LeaderElection> {
    let shown = identity::shown(&shorten(holder)).into_owned();
    let led = |election: &LeaderElection| {
        let status = election.status.clone().unwrap_or_default();
        let elected = find(&status.conditions, ConditionType::LeaderElected);
        elected.is_some_and(|elected| elected.status == "True")
            && status.lease_transitions == Some(tenure)
            && status.holder.is_some_and(|holder| holder.identity == shown)
    };
    election.until(&format!("tenure {tenure} of {shown}"), led).await
}

#[tokio::test]
async fn the_status_follows_the_lease_whatever_its_holder_is_called() {
    let namespace = place("texts").await.unwrap();
    let election = Election::create(&namespace, "billing", json!({})).await.unwrap();
    election.until_reason(ConditionType::Ready, Reason::Reconciled).await.unwrap();
    let mut holders = hostile();
    holders.extend(["\u{7f}".repeat(300_000), "d".repeat(1_400_000), "billing-0_uid".to_owned()]);
    for (holder, tenure) in holders.iter().zip(1..) {
        hold(&namespace, "billing", holder, tenure).await.unwrap();
        let version = until_led_by(&election, holder, tenure).await.unwrap().resource_version();
        sleep(QUIET).await;
        assert_eq!(election.get().await.unwrap().resource_version(), version, "it is written again");
    }
    let status = election.get().await.unwrap().status.unwrap();
    assert_eq!(status.holder.unwrap().name, "billing-0");
    assert_eq!(status.history.len(), 10);
    let told = election.event_objects().await.unwrap();
    let elected = told.iter().filter(|event| event.reason.as_deref() == Some("LeaderElected"));
    assert_eq!(elected.count(), holders.len());
    for event in told {
        let note = event.note.unwrap();
        assert!(note.len() <= MAX_MESSAGE && !note.chars().any(is_hidden), "{note}");
    }
}

#[tokio::test]
async fn every_request_for_another_leader_is_answered_and_goes() {
    let namespace = place("requests").await.unwrap();
    let election = Election::create(&namespace, "billing", json!({})).await.unwrap();
    election.until_reason(ConditionType::Ready, Reason::Reconciled).await.unwrap();
    hold(&namespace, "billing", "billing-0_uid", 1).await.unwrap();
    until_led_by(&election, "billing-0_uid", 1).await.unwrap();
    let mut targets = hostile();
    targets.extend([String::new(), "d".repeat(200_000), "billing-9".to_owned()]);
    for (target, answered) in targets.iter().zip(1..) {
        let elections = namespace.api::<LeaderElection>();
        let asked = json!({"metadata": {"annotations": {TRANSFER_ANNOTATION: target}}});
        elections.patch("billing", &PatchParams::default(), &Patch::Merge(asked)).await.unwrap();
        let gone = |election: &LeaderElection| !election.annotations().contains_key(TRANSFER_ANNOTATION);
        election.until("the request is taken back", gone).await.unwrap();
        let reasons = election.event_reasons().await.unwrap();
        assert_eq!(reasons.iter().filter(|reason| *reason == "TransferRefused").count(), answered, "{target:.40}");
    }
}

/// Longer than a condition or a query may be.
#[tokio::test]
async fn the_longest_selector_is_cut_where_it_is_shown() {
    let namespace = place("selectors").await.unwrap();
    let key =
        |number: usize| format!("{}/{}{number:02}", ["d"; 4].map(|part| part.repeat(61)).join("."), "n".repeat(61));
    let labels: BTreeMap<String, String> = (0..64).map(|number| (key(number), "v".repeat(63))).collect();
    let spec = json!({"candidates": {"selector": {"matchLabels": labels}}, "podLabels": "Enabled"});
    let election = Election::create(&namespace, "billing", spec).await.unwrap();
    election.until_reason(ConditionType::Ready, Reason::Reconciled).await.unwrap();
    let status =
        election.until_reason(ConditionType::CandidatesReady, Reason::NoPodsMatch).await.unwrap().status.unwrap();
    let selector = status.selector.unwrap();
    assert!(selector.len() <= 4096 && selector.ends_with('…'), "{selector}");
    let said = find(&status.conditions, ConditionType::CandidatesReady).unwrap().message.clone();
    assert!(said.ends_with("…; label the candidates so, or set spec.candidates.selector"), "{said}");
}

/// Has the API server refuse every event of a namespace, by a policy as anybody may have one.
async fn refuse_events(namespace: &Namespace<'_>) -> Result<()> {
    let name = format!("{}.no-events", namespace.name());
    let rules = json!([{"apiGroups": ["", "events.k8s.io"], "apiVersions": ["*"], "operations": ["CREATE"], "resources": ["events"]}]);
    let here = json!({"matchLabels": {"kubernetes.io/metadata.name": namespace.name()}});
    let api_version = "admissionregistration.k8s.io/v1";
    let policy = json!({
        "apiVersion": api_version, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
        "spec": {"matchConstraints": {"resourceRules": rules}, "validations": [{"expression": "false", "message": "no events here"}]},
    });
    let binding = json!({
        "apiVersion": api_version, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"], "matchResources": {"namespaceSelector": here}},
    });
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [policy, binding]});
    kubectl(&namespace.cluster().kubeconfig(), &["apply", "-f", "-"], &list.to_string()).await?;
    let begun = Instant::now();
    while create_note(namespace, "anything").await.is_ok() {
        ensure!(begun.elapsed() < Duration::from_secs(20), "the policy is not in force");
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

#[tokio::test]
async fn an_event_that_is_refused_keeps_no_status_from_being_written() {
    let namespace = place("no-events").await.unwrap();
    let election = Election::create(&namespace, "billing", json!({})).await.unwrap();
    election.until_reason(ConditionType::Ready, Reason::Reconciled).await.unwrap();
    refuse_events(&namespace).await.unwrap();
    for (holder, tenure) in [("billing-0_uid", 1), ("billing-1_uid", 2)] {
        hold(&namespace, "billing", holder, tenure).await.unwrap();
        until_led_by(&election, holder, tenure).await.unwrap();
    }
    assert_eq!(election.events().await.unwrap(), []);
    let stored = election.until_reason(ConditionType::Ready, Reason::Forbidden).await.unwrap();
    let ready = find(&stored.status.as_ref().unwrap().conditions, ConditionType::Ready).unwrap();
    assert!(ready.message.starts_with("the operator may not create an event: "), "{}", ready.message);
    assert!(ready.message.contains("no events here"), "{}", ready.message);
}

/// All characters that are shown, in texts of at most that many bytes.
fn all_that_is_shown(most: usize) -> Vec<String> {
    let mut texts = Vec::new();
    let mut text = String::new();
    for character in ('\0'..=char::MAX).filter(|character| !is_hidden(*character)) {
        if text.len() + character.len_utf8() > most {
            texts.push(std::mem::take(&mut text));
        }
        text.push(character);
    }
    texts.push(text);
    texts
}

async fn apply_message(namespace: &Namespace<'_>, message: &str) -> Result<Value, kube::Error> {
    let condition = json!({
        "type": "Ready", "status": "True", "reason": "Reconciled", "message": message,
        "lastTransitionTime": "2026-11-23T18:00:00Z",
    });
    let object = json!({
        "apiVersion": "leader-elector.io/v1alpha1", "kind": "LeaderElection", "metadata": {"name": "paused"},
        "status": {"conditions": [condition]},
    });
    let parameters = PatchParams { dry_run: true, ..PatchParams::apply("somebody").force() };
    let elections = namespace.api::<LeaderElection>();
    let stored = elections.patch_status("paused", &parameters, &Patch::Apply(object)).await?;
    Ok(json!(stored.status.unwrap_or_default().conditions[0].message))
}

async fn create_note(namespace: &Namespace<'_>, note: &str) -> Result<Value> {
    let event: Event = serde_json::from_value(json!({
        "metadata": {"name": "billing.event"}, "eventTime": "2026-11-23T18:00:00.000000Z", "type": "Normal",
        "reason": "LeaderElected", "action": "Reconcile", "note": note, "reportingController": "leader-elector.io/operator",
        "reportingInstance": "operator", "regarding": {"kind": "LeaderElection", "namespace": namespace.name()},
    }))?;
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    let made = namespace.api::<Event>().create(&dry_run, &event).await?;
    Ok(json!(made.note.context("no note")?))
}

/// What a status is applied with is read as YAML, which is why what is hidden has to be named.
#[tokio::test]
async fn the_api_server_takes_every_character_that_is_shown() {
    shown_characters().await.unwrap();
}

async fn shown_characters() -> Result<()> {
    let namespace = place("characters").await?;
    Election::create(&namespace, "paused", json!({"paused": true})).await?;
    for message in all_that_is_shown(30_000) {
        ensure!(apply_message(&namespace, &message).await? == json!(message));
    }
    ensure!(create_note(&namespace, &"a".repeat(MAX_MESSAGE)).await.is_ok());
    ensure!(create_note(&namespace, &"a".repeat(MAX_MESSAGE + 1)).await.is_err());
    // Bytes count, not characters.
    ensure!(create_note(&namespace, &"ä".repeat(MAX_MESSAGE / 2 + 1)).await.is_err());
    for note in all_that_is_shown(MAX_MESSAGE).iter().step_by(100) {
        ensure!(create_note(&namespace, note).await? == json!(note));
    }
    // As DESIGN.md says: all below U+3000, and the last of the plane, were tried.
    for character in ['\u{7f}', '\u{80}', '\u{9f}', '\u{fffe}', '\u{ffff}'] {
        ensure!(apply_message(&namespace, &format!("a{character}b")).await.is_err(), "{character:?}");
    }
    Ok(())
}
