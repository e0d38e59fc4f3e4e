use super::*;
use serde_json::{Value, json};

const SECOND: i64 = 1_000_000;

fn now() -> Timestamp {
    elector_crds::parse_timestamp("2026-11-27T12:00:00Z").unwrap()
}

fn election(change: impl Fn(&mut Value)) -> LeaderElection {
    let condition = |type_: &str, reason: &str| {
        json!({"type": type_, "status": "True", "reason": reason, "message": "fine",
               "lastTransitionTime": "2026-11-27T10:00:00Z"})
    };
    let mut election = json!({
        "apiVersion": "leader-elector.io/v1alpha1", "kind": "LeaderElection",
        "metadata": {"name": "billing", "namespace": "shop", "generation": 2},
        "spec": {},
        "status": {
            "observedGeneration": 2, "leaseUID": "u", "leaseTransitions": 4,
            "holder": {"name": "billing-0", "identity": "billing-0_a", "nodeName": "node-1"},
            "conditions": [condition("Ready", "Reconciled"), condition("LeaderElected", "LeaseHeld"),
                           condition("CandidatesReady", "AllReady")],
        },
    });
    change(&mut election);
    serde_json::from_value(election).unwrap()
}

fn lease(change: impl Fn(&mut Value)) -> LeaseSight {
    let mut lease = json!({
        "metadata": {"name": "billing", "namespace": "shop", "uid": "u", "resourceVersion": "7"},
        "spec": {"holderIdentity": "billing-0_a", "leaseDurationSeconds": 15, "leaseTransitions": 4,
                 "acquireTime": "2026-11-27T09:00:00.000000Z", "renewTime": "2026-11-27T11:59:58.800000Z"},
    });
    change(&mut lease);
    LeaseSight::of(Some(serde_json::from_value(lease).unwrap()))
}

fn pod(name: &str, uid: &str, account: &str, ready: &str) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": name, "uid": uid},
        "spec": {"containers": [], "nodeName": "node-1", "serviceAccountName": account},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]},
    }))
    .unwrap()
}

fn pods() -> Result<Vec<Pod>, String> {
    Ok(vec![pod("billing-1", "b", "default", "True"), pod("billing-0", "a", "default", "True")])
}

fn report(election: LeaderElection, lease: LeaseSight) -> StatusReport {
    StatusReport::new(&LiveView { election, lease }, pods(), now())
}

fn printed(report: &StatusReport) -> String {
    text::text(report, "2026-11-27T12:00:00Z".parse().unwrap(), Style::new(false))
}

#[test]
fn all_is_well() {
    let report = report(election(|_| {}), lease(|_| {}));
    assert_eq!(
        printed(&report),
        "\
Name:       billing
Namespace:  shop
Leader:     billing-0 on node-1
Identity:   billing-0_a
Tenure:     4, since 2026-11-27T09:00:00Z (3h)
Renewed:    1.2 s ago by this machine's clock; the lease lasts 15 s
Asked for:  nothing
Candidates:
  POD         NODE     READY   LEADS   SERVICE ACCOUNT   MAY CONTEND
  billing-0   node-1   True    True    default           True
  billing-1   node-1   True    False   default           True
History:  none
Problems:  none
"
    );
}

#[test]
fn the_last_tenures_are_a_table_and_one_is_still_under_way() {
    let seen = |election: &mut Value| {
        election["status"]["history"] = json!([
            {"holder": "billing-0", "identity": "billing-0_a", "leaseTransitions": 4,
             "from": "2026-11-27T09:00:00.000000Z"},
            {"holder": "billing-1", "identity": "billing-1_b", "leaseTransitions": 3,
             "from": "2026-11-27T08:20:00.500000Z", "until": "2026-11-27T08:59:59.600000Z", "reason": "Transferred"},
            // As of a holder that is no agent of ours, and of a clock that shows no time.
            {"holder": "x", "identity": "x", "leaseTransitions": 2, "until": "9999-12-31T23:59:59.000000Z",
             "reason": "Replaced"},
        ]);
    };
    let report = report(election(seen), lease(|_| {}));
    let printed = printed(&report);
    let table = "\
History:
  HOLDER      TENURE   FROM                   UNTIL                         LASTED   REASON
  billing-0   4        2026-11-27T09:00:00Z   still                         3h       <none>
  billing-1   3        2026-11-27T08:20:00Z   2026-11-27T08:59:59Z          39m      Transferred
  x           2        <none>                 9999-12-31T23:59:59.000000Z   <none>   Replaced
";
    assert!(printed.contains(table), "{printed}");
    let document = serde_json::to_value(&report).unwrap();
    assert_eq!(document["history"][1]["reason"], "Transferred");
    assert_eq!(document["history"][0].get("until"), None);
}

#[test]
fn a_lease_that_was_given_up_says_when_and_why() {
    let released = |lease: &mut Value| {
        lease["spec"]["holderIdentity"] = json!("");
        lease["spec"]["leaseDurationSeconds"] = json!(1);
    };
    let plain = report(election(|_| {}), lease(released));
    let said = printed(&plain);
    assert!(said.contains("Released:   2026-11-27T11:59:58Z, 1.2 s ago by this machine's clock\n"), "{said}");
    assert!(
        !said.contains("Renewed:") && said.contains("Leader:     nobody: the last leader gave the Lease up\n"),
        "{said}"
    );
    assert_eq!(serde_json::to_value(&plain).unwrap()["lease"]["released"], true);

    let by_agent = |lease: &mut Value| {
        released(lease);
        let mark = r#"{"start":"n","transitions":4,"release":{"uid":"u","transitions":4,"renewTime":"2026-11-27T11:59:58.800000Z","reason":"AppUnhealthy"}}"#;
        lease["metadata"]["annotations"] = json!({elector_crds::AGENT_ANNOTATION: mark});
    };
    let unwell = report(election(|_| {}), lease(by_agent));
    let said = printed(&unwell);
    assert!(said.contains("1.2 s ago by this machine's clock (AppUnhealthy)\n"), "{said}");
    assert_eq!(
        unwell.nobody_leads.as_deref(),
        Some("the last leader gave the Lease up: its app was not healthy"),
        "before the operator says it"
    );
    assert_eq!(serde_json::to_value(&unwell).unwrap()["lease"]["releaseReason"], "AppUnhealthy");
}

#[test]
fn a_program_reads_the_same() {
    let report = serde_json::to_value(report(election(|_| {}), lease(|_| {}))).unwrap();
    assert_eq!(
        report["leader"],
        json!({"name": "billing-0", "identity": "billing-0_a", "node": "node-1", "tenure": 4,
               "acquireTime": "2026-11-27T09:00:00.000000Z"})
    );
    assert_eq!(
        report["lease"],
        json!({"transitions": 4, "leaseDurationSeconds": 15, "renewTime": "2026-11-27T11:59:58.800000Z",
               "renewedSecondsAgo": 1.2})
    );
    assert_eq!(report["hints"], json!({"paused": false}));
    assert_eq!(report["candidates"][1]["leads"], false);
    assert_eq!(report["problems"], json!([]));
}

#[test]
fn what_is_asked_for_is_no_problem() {
    let paused = |election: &mut Value| {
        election["spec"]["paused"] = json!(true);
        election["metadata"]["annotations"] = json!({TRANSFER_ANNOTATION: "billing-1"});
        election["status"]["holder"] = json!(null);
        election["status"]["conditions"][1]["status"] = json!("False");
        election["status"]["conditions"][1]["reason"] = json!("Paused");
    };
    let released = |lease: &mut Value| {
        lease["spec"]["holderIdentity"] = json!(null);
        lease["metadata"]["annotations"] =
            json!({elector_crds::HINTS_ANNOTATION: r#"{"paused":true,"endTenure":4,"successor":"billing-1_b"}"#});
    };
    let report = report(election(paused), lease(released));
    assert_eq!(report.problems, [""; 0]);
    let printed = printed(&report);
    assert!(printed.contains("Leader:     nobody: the election is paused\n"), "{printed}");
    let asked = "Asked for:  a pause: nobody is to lead; a transfer to billing-1, not answered yet; tenure 4 is to end, and billing-1 to begin the next\n";
    assert!(printed.contains(asked), "{printed}");
}

#[test]
fn a_leader_that_is_silent_leads_until_the_operator_says_otherwise() {
    let silent = |lease: &mut Value| lease["spec"]["renewTime"] = json!("2026-11-27T11:59:20.000000Z");
    let unseen = report(election(|_| {}), lease(silent));
    assert_eq!(unseen.leader.as_ref().unwrap().name, "billing-0");
    assert_eq!(
        unseen.problems,
        ["billing-0 has not renewed for 40 s by this machine's clock, though its lease lasts 15 s"]
    );
    let expired = |election: &mut Value| {
        election["status"]["holder"] = json!(null);
        election["status"]["conditions"][1]["status"] = json!("False");
        election["status"]["conditions"][1]["reason"] = json!("LeaseExpired");
        election["status"]["conditions"][1]["message"] =
            json!("billing-0 has not renewed the Lease for more than 15 s");
    };
    let seen = report(election(expired), lease(silent));
    assert_eq!(seen.nobody_leads.as_deref(), Some("billing-0 has not renewed the Lease for more than 15 s"));
    assert_eq!(
        seen.problems,
        ["LeaderElected is False (LeaseExpired): billing-0 has not renewed the Lease for more than 15 s"]
    );
    // What was said of the last tenure says nothing about the next.
    let next = |lease: &mut Value| {
        lease["spec"]["holderIdentity"] = json!("billing-1_b");
        lease["spec"]["leaseTransitions"] = json!(5);
    };
    let next = report(election(expired), lease(next));
    assert_eq!(next.leader.as_ref().unwrap().name, "billing-1");
    assert!(next.problems[0].starts_with("the Lease names billing-1, and the operator nobody"), "{:?}", next.problems);
}

#[test]
fn an_election_that_flaps_is_a_problem() {
    let flaps = |election: &mut Value| {
        let stable = json!({"type": "LeaderStable", "status": "False", "reason": "Flapping", "message": "they end",
                            "lastTransitionTime": "2026-11-27T10:00:00Z"});
        election["status"]["conditions"].as_array_mut().unwrap().push(stable);
    };
    let problems = report(election(flaps), lease(|_| {})).problems;
    assert_eq!(problems, ["LeaderStable is False (Flapping): they end"]);
}

#[test]
fn clocks_that_differ_are_told_from_silence() {
    let ahead = |lease: &mut Value| lease["spec"]["renewTime"] = json!("2026-11-27T12:01:00.000000Z");
    let report = report(election(|_| {}), lease(ahead));
    assert_eq!(report.lease.as_ref().unwrap().renewed_seconds_ago, Some(-60.0));
    assert_eq!(report.problems, ["this machine's clock is 60 s behind that of billing-0, or more"]);
    let almost = Timestamp::from_microseconds(now().as_microseconds() - 2 * SECOND);
    let live = LiveView { election: election(|_| {}), lease: lease(|_| {}) };
    assert_eq!(StatusReport::new(&live, pods(), almost).problems, [""; 0]);
}

#[test]
fn an_operator_that_is_not_there_is_a_problem() {
    let problem = |change: &dyn Fn(&mut Value)| report(election(change), lease(|_| {})).problems.remove(0);
    for status in [json!(null), json!({"observedGeneration": -1})] {
        let never = problem(&|election| election["status"] = status.clone());
        assert_eq!(never, "the operator has not looked at this LeaderElection yet; see whether it runs");
    }
    let behind = problem(&|election| election["metadata"]["generation"] = json!(3));
    assert_eq!(behind, "the operator has not looked at the latest change of the spec; see whether it runs");
    let other = problem(&|election| election["status"]["holder"]["identity"] = json!("billing-0_z"));
    assert!(other.starts_with("the Lease names billing-0, and the operator billing-0"), "{other}");
}

#[test]
fn without_the_rights_there_is_what_the_operator_says() {
    let live = LiveView { election: election(|_| {}), lease: LeaseSight::Unreadable("forbidden".to_owned()) };
    let report = StatusReport::new(&live, Err("failed to list pods: forbidden".to_owned()), now());
    assert_eq!(report.leader.as_ref().unwrap().name, "billing-0");
    assert_eq!(report.problems, ["who leads is what the operator says: forbidden", "failed to list pods: forbidden"]);
    let printed = printed(&report);
    assert!(printed.contains("\nCandidates:  none\nHistory:  none\n") && !printed.contains("Renewed:"), "{printed}");
}

#[test]
fn pods_are_candidates_until_they_have_ended_and_say_what_keeps_them() {
    let mut ended = pod("billing-3", "d", "default", "False");
    ended.status.get_or_insert_default().phase = Some("Failed".to_owned());
    let mut terminating = pod("billing-2", "c", "default", "True");
    terminating.metadata.deletion_timestamp =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH));
    // A StatefulSet's pod that came after the one that leads.
    let namesake = pod("billing-0", "z", "other", "False");
    let live = LiveView { election: election(|_| {}), lease: lease(|_| {}) };
    let report = StatusReport::new(&live, Ok(vec![ended.clone(), terminating.clone(), namesake]), now());
    let rows: Vec<_> = report.candidates.iter().map(|it| (&*it.pod, it.ready, it.leads, it.listed)).collect();
    assert_eq!(rows, [("billing-0", "False", false, false), ("billing-2", "Terminating", false, true)]);
    assert_eq!(report.problems, [""; 0]);
    let strangers = StatusReport::new(&live, Ok(vec![ended, terminating]), now());
    assert_eq!(strangers.problems, ["billing-0 leads, which is no pod that matches the selector"]);
}

#[test]
fn a_lease_of_somebody_elses_leads_nobody() {
    let foreign = |election: &mut Value| {
        election["status"]["leaseUID"] = json!(null);
        election["status"]["holder"] = json!(null);
        election["status"]["conditions"][0]["status"] = json!("False");
        election["status"]["conditions"][0]["reason"] = json!("ObjectConflict");
    };
    let report = report(election(foreign), lease(|_| {}));
    assert_eq!(report.nobody_leads.as_deref(), Some("the Lease of that name is not this LeaderElection's"));
    assert_eq!(report.problems, ["Ready is False (ObjectConflict): fine"]);
}
