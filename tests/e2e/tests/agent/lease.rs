//! What an agent makes of its Lease, whatever becomes of it: without an operator, on a real API server.

use std::time::Duration;

use anyhow::Result;
use elector_crds::{AGENT_ANNOTATION, ReleaseReason, StoredLease, TIMINGS_ANNOTATION};
use elector_election::Timings;
use elector_harness::candidate::{AgentOptions, Candidate};
use elector_harness::controlplane::{ControlPlane, Entry, Namespace};
use elector_harness::leases::short_timings;
use elector_harness::odd_objects::Target;
use elector_harness::witness::Witness;
use elector_xtask::scratch::Scratch;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use leader_elector::clock;
use leader_elector::status::Report;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

const RIGHTS: &[&str] = &["create", "get", "list", "watch", "update"];

/// To do what needs no waiting.
const SOON: Duration = Duration::from_secs(1);
/// To take over from somebody silent or unknown: a lease duration of 5 s, and some time for a machine that is busy.
const TAKEOVER: Duration = Duration::from_secs(8);
const LEASE_DURATION: Duration = Duration::from_secs(5);

async fn namespace(name: &str) -> Result<Namespace<'static>> {
    let namespace = ControlPlane::shared().await?.namespace(name).await?;
    namespace.allow_leases(RIGHTS).await?;
    Ok(namespace)
}

fn short() -> AgentOptions {
    AgentOptions::default().with_timings([5, 3, 1])
}

/// The leader of election `a`, at once.
async fn leader(namespace: &Namespace<'_>) -> Result<Candidate> {
    namespace.create_lease("a", short_timings()).await?;
    let leader = Candidate::start(namespace, "a", "a-0", &AgentOptions::default()).await?;
    leader.leads_within(Duration::from_secs(5)).await?;
    Ok(leader)
}

/// A standby of election `a` that has seen the leader.
async fn standby(namespace: &Namespace<'_>, pod: &str, options: &AgentOptions) -> Result<Candidate> {
    let standby = Candidate::start(namespace, "a", pod, options).await?;
    standby.says_within("observed holder", Duration::from_secs(5)).await?;
    Ok(standby)
}

/// It has led before and lost; now it waits as for anybody, and leads again.
async fn leads_again_after_the_lease_duration(candidate: &Candidate, before: &Report) -> Result<Report> {
    let waited = candidate.leads_within(TAKEOVER).await?;
    assert!(waited > LEASE_DURATION - SOON, "{waited:?}\n{}", candidate.log());
    let report = candidate.report()?;
    assert!(report.fencing_token > before.fencing_token, "{report:?} after {before:?}");
    Ok(report)
}

#[tokio::test]
async fn without_operator_and_lease_it_waits_once_and_creates_one_and_again_if_that_is_deleted() {
    let namespace = namespace("missing").await.unwrap();
    let candidate = Candidate::start(&namespace, "a", "a-0", &short()).await.unwrap();
    let waited = candidate.leads_within(TAKEOVER).await.unwrap();
    assert!(waited >= LEASE_DURATION, "{waited:?}");
    assert_eq!(candidate.said("there is no lease").len(), 1, "{}", candidate.log());
    assert_eq!(candidate.said(" WARN "), [] as [String; 0]);

    let report = candidate.report().unwrap();
    let lease = namespace.lease("a").await.unwrap();
    assert_eq!(report.identity, candidate.identity());
    assert_eq!((report.namespace.as_str(), report.lease.as_str()), (namespace.name(), "a"));
    assert_eq!((&report.uid, report.transitions), (&lease.record.uid, 1));
    assert_eq!(report.start, lease.agent.unwrap().start);
    assert!(report.fencing_token > 0 && report.fencing_token <= lease.resource_version.0);
    let now = u64::try_from(clock::now().unwrap().moment.boottime.as_nanos()).unwrap();
    assert!((now + 1..now + 3_000_000_000).contains(&report.valid_until_boottime_ns), "{report:?} at {now}");

    namespace.api::<StoredLease>().delete("a", &DeleteParams::default()).await.unwrap();
    candidate.yields_within(SOON).await.unwrap();
    let again = leads_again_after_the_lease_duration(&candidate, &report).await.unwrap();
    assert_ne!(again.uid, report.uid);
    assert_eq!(again.transitions, 2);
    assert_eq!(candidate.said("there is no lease").len(), 2, "{}", candidate.log());
}

#[tokio::test]
async fn a_holder_that_is_written_in_by_hand_is_waited_out() {
    let namespace = namespace("edited").await.unwrap();
    let candidate = leader(&namespace).await.unwrap();
    let report = candidate.report().unwrap();
    namespace.edit_lease("a", json!({"spec": {"holderIdentity": "somebody"}})).await.unwrap();
    candidate.yields_within(SOON).await.unwrap();
    let again = leads_again_after_the_lease_duration(&candidate, &report).await.unwrap();
    assert_eq!(again.transitions, report.transitions + 1);
}

#[tokio::test]
async fn a_lease_that_is_made_again_by_hand_has_an_unknown_holder() {
    let namespace = namespace("replaced").await.unwrap();
    // Else the agent would be the first to make it again.
    namespace.allow_lease("a", &["get", "list", "watch", "update"]).await.unwrap();
    let candidate = leader(&namespace).await.unwrap();
    let report = candidate.report().unwrap();
    namespace.api::<StoredLease>().delete("a", &DeleteParams::default()).await.unwrap();
    namespace.create_lease("a", short_timings()).await.unwrap();
    candidate.yields_within(SOON).await.unwrap();
    leads_again_after_the_lease_duration(&candidate, &report).await.unwrap();
}

#[tokio::test]
async fn labels_and_annotations_of_others_disturb_nobody_and_stay() {
    let namespace = namespace("labels").await.unwrap();
    let candidate = leader(&namespace).await.unwrap();
    let (since, report) = (candidate.leads_since().unwrap(), candidate.report().unwrap());
    let metadata =
        json!({"labels": {"team": "shop"}, "annotations": {"example.com/a": "b"}, "finalizers": ["example.com/f"]});
    namespace.edit_lease("a", json!({"metadata": metadata})).await.unwrap();
    let edited = namespace.lease("a").await.unwrap();
    sleep(Duration::from_secs(4)).await;
    assert_eq!(
        (candidate.leads_since().unwrap(), candidate.report().unwrap().fencing_token),
        (since, report.fencing_token)
    );
    let lease = namespace.stored_lease("a").await.unwrap();
    assert!(namespace.lease("a").await.unwrap().record.renew_time > edited.record.renew_time);
    assert_eq!(lease.metadata.labels.as_ref().unwrap()["team"], "shop");
    assert_eq!(lease.annotation("example.com/a"), Some("b"));
    assert_eq!(lease.metadata.finalizers.as_deref(), Some(&["example.com/f".to_owned()][..]));
}

#[tokio::test]
async fn fields_that_are_null_extreme_or_garbage_are_clamped_and_said_and_a_leader_emerges() {
    let namespace = namespace("garbage").await.unwrap();
    let odd = [
        (json!({}), json!({TIMINGS_ANNOTATION: "garbage", AGENT_ANNOTATION: "[]"})),
        (json!({"holderIdentity": "x"}), json!({})),
        (
            json!({"holderIdentity": "x", "leaseDurationSeconds": 1, "renewTime": "9999-12-31T23:59:59.999999Z"}),
            json!({}),
        ),
        (json!({"leaseDurationSeconds": 1}), json!({AGENT_ANNOTATION: r#"{"start":"x","transitions":0,"release":7}"#})),
        (
            json!({"holderIdentity": "x".repeat(2000), "leaseDurationSeconds": 1, "leaseTransitions": 2_147_483_647}),
            json!({AGENT_ANNOTATION: r#"{"start":1,"transitions":-1,"release":{}}"#}),
        ),
        (
            json!({"leaseDurationSeconds": 1}),
            json!({TIMINGS_ANNOTATION: r#"{"leaseDurationSeconds":3600,"renewDeadlineSeconds":3599,"retryPeriodSeconds":1,"releaseDelaySeconds":0}"#}),
        ),
        // The last one only waits: an hour is what is believed at most.
        (json!({"holderIdentity": "x", "leaseDurationSeconds": 2_147_483_647}), json!({})),
    ];
    let mut candidates = Vec::new();
    for (index, (spec, annotations)) in odd.iter().enumerate() {
        let election = format!("odd-{index}");
        let lease = json!({"metadata": {"name": election, "annotations": annotations}, "spec": spec});
        let lease: StoredLease = serde_json::from_value(lease).unwrap();
        namespace.api().create(&PostParams::default(), &lease).await.unwrap();
        candidates.push(Candidate::start(&namespace, &election, &election, &short()).await.unwrap());
    }
    let (patient, others) = candidates.split_last().unwrap();
    for (candidate, odd) in others.iter().zip(odd) {
        candidate.leads_within(TAKEOVER).await.unwrap();
        // Its own write mends some of it, which may be said.
        assert!((1..=2).contains(&candidate.said("OddLease").len()), "{odd:?}\n{}", candidate.log());
    }
    assert_eq!(others[4].report().unwrap().transitions, 1);
    assert!(!patient.leads());
    assert_eq!(patient.said("OddLease").len(), 1, "{}", patient.log());
    for candidate in &candidates {
        assert_eq!(candidate.process().exited().unwrap(), None, "{}", candidate.log());
    }
}

#[tokio::test]
async fn a_standby_sends_nothing_but_its_watch_and_a_leader_one_update_each_retry_period_from_1_34() {
    let namespace = namespace("traffic").await.unwrap();
    let leader = leader(&namespace).await.unwrap();
    let standby = standby(&namespace, "a-1", &AgentOptions::default()).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let (begun, cpu) = (jiff::Timestamp::now(), [leader.cpu_time().unwrap(), standby.cpu_time().unwrap()]);
    sleep(Duration::from_secs(30)).await;
    let cpu = [leader.cpu_time().unwrap() - cpu[0], standby.cpu_time().unwrap() - cpu[1]];

    let audit = ControlPlane::shared().await.unwrap().audit();
    let sent = |pod: &str, since: Option<jiff::Timestamp>| -> Vec<Entry> {
        let wanted = |entry: &Entry| {
            entry.namespace == namespace.name()
                && entry.pod.as_deref() == Some(pod)
                && since.is_none_or(|since| entry.received >= since)
        };
        audit.requests(wanted).unwrap()
    };
    let verbs = |entries: &[Entry]| entries.iter().map(|entry| entry.verb.clone()).collect::<Vec<_>>();
    assert_eq!(verbs(&sent("a-1", None)), ["watch"]);
    let renewals = verbs(&sent("a-0", Some(begun)));
    assert!(renewals.iter().all(|verb| verb == "update"), "{renewals:?}");
    assert!((27..=31).contains(&renewals.len()), "{}", renewals.len());
    // Of 30 s, unoptimized: neither spins.
    println!("CPU time in 30 s: leader {:?}, standby {:?}", cpu[0], cpu[1]);
    assert!(cpu[0] < Duration::from_millis(900) && cpu[1] < Duration::from_millis(400), "{cpu:?}");
}

#[tokio::test]
async fn the_file_goes_before_the_lease_is_released_and_the_release_is_marked() {
    let namespace = namespace("release").await.unwrap();
    let candidate = leader(&namespace).await.unwrap();
    let before = namespace.lease("a").await.unwrap();
    candidate.process().terminate().unwrap();
    let told = Instant::now();
    let released = loop {
        let lease = namespace.lease("a").await.unwrap();
        if lease.record.holder.is_empty() {
            assert!(!candidate.leads());
            break lease;
        }
        assert!(told.elapsed() < SOON);
    };
    candidate.ends_within(SOON).await.unwrap();
    let mark = released.agent.unwrap().release.unwrap();
    assert_eq!((mark.uid, mark.transitions), (before.record.uid, before.record.transitions));
    assert_eq!(Some(mark.renew_time), released.record.renew_time);
    assert_eq!(released.lease_duration_seconds, 1);
    assert!(candidate.report().is_err());
    // So that the next one need not wait.
    let next = Candidate::start(&namespace, "a", "a-1", &AgentOptions::default()).await.unwrap();
    next.leads_within(Duration::from_secs(2)).await.unwrap();
}

#[tokio::test]
async fn the_release_delay_lies_between_the_files_end_and_the_next_leader() {
    let namespace = namespace("delay").await.unwrap();
    let mut options = AgentOptions::default().with_timings([7, 3, 1]);
    options.arguments.push("--release-delay-seconds=2".to_owned());
    let first = Candidate::start(&namespace, "a", "a-0", &options).await.unwrap();
    first.leads_within(Duration::from_secs(10)).await.unwrap();
    let next = standby(&namespace, "a-1", &options).await.unwrap();
    first.process().terminate().unwrap();
    first.yields_within(Duration::from_millis(500)).await.unwrap();
    let waited = next.leads_within(Duration::from_secs(4)).await.unwrap();
    assert!(waited > Duration::from_millis(1950), "{waited:?}");
    first.ends_within(SOON).await.unwrap();
}

#[tokio::test]
async fn a_standby_that_is_told_to_stop_ends_at_once() {
    let namespace = namespace("stop").await.unwrap();
    let leader = leader(&namespace).await.unwrap();
    let standby = standby(&namespace, "a-1", &AgentOptions::default()).await.unwrap();
    standby.process().terminate().unwrap();
    standby.ends_within(SOON).await.unwrap();
    assert!(leader.leads());
}

#[tokio::test]
async fn the_timings_are_those_of_the_lease_also_when_they_change() {
    let namespace = namespace("timings").await.unwrap();
    // Started with 15/10/2, which would show below.
    let leader = leader(&namespace).await.unwrap();
    let standby = standby(&namespace, "a-1", &AgentOptions::default()).await.unwrap();
    assert_eq!(namespace.lease("a").await.unwrap().lease_duration_seconds, 5);
    namespace.set_timings("a", Timings::new(8, 5, 1, 0).unwrap()).await.unwrap();
    sleep(Duration::from_secs(2)).await;
    assert_eq!(namespace.lease("a").await.unwrap().lease_duration_seconds, 8);
    let now = u64::try_from(clock::now().unwrap().moment.boottime.as_nanos()).unwrap();
    assert!(leader.report().unwrap().valid_until_boottime_ns > now + 3_500_000_000);
    leader.process().kill();
    let waited = standby.leads_within(Duration::from_secs(10)).await.unwrap();
    assert!(waited > Duration::from_millis(6900), "{waited:?}");
}

#[tokio::test]
async fn fencing_tokens_grow_from_tenure_to_tenure() {
    let namespace = namespace("tokens").await.unwrap();
    let leader = leader(&namespace).await.unwrap();
    let mut pair = [standby(&namespace, "a-1", &AgentOptions::default()).await.unwrap(), leader];
    let mut tokens = vec![pair[1].report().unwrap().fencing_token];
    for _ in 0..4 {
        pair[1].process().stop().await.unwrap();
        pair[0].leads_within(SOON).await.unwrap();
        tokens.push(pair[0].report().unwrap().fencing_token);
        pair[1].process().start().unwrap();
        pair.swap(0, 1);
        sleep(Duration::from_millis(300)).await;
    }
    assert!(tokens.is_sorted_by(|earlier, later| earlier < later), "{tokens:?}");
}

#[tokio::test]
async fn a_log_of_json_and_a_status_directory() {
    let namespace = namespace("json").await.unwrap();
    namespace.create_lease("a", short_timings()).await.unwrap();
    let volume = Scratch::new().unwrap();
    let environment = [("LOG_FORMAT", "json"), ("STATUS_FILE", volume.path().to_str().unwrap())];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let options = AgentOptions { environment, ..AgentOptions::default() };
    let candidate = Candidate::start(&namespace, "a", "a-0", &options).await.unwrap();
    candidate.says_within("acquired leadership", Duration::from_secs(5)).await.unwrap();
    assert!(volume.path().join("leader_status").is_file() && volume.path().join("leader_status.json").is_file());
    candidate.process().stop().await.unwrap();
    assert!(!volume.path().join("leader_status").exists());
    for line in candidate.log().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(line["level"].is_string() && line["message"].is_string() && line["timestamp"].is_string(), "{line}");
        assert_eq!(line["lease"], "a", "{line}");
    }
    assert!(candidate.log().lines().count() >= 3);
}

/// A container runtime that hangs, or a node whose disk is full.
#[tokio::test]
async fn a_log_that_nobody_takes_keeps_no_file() {
    let namespace = namespace("log").await.unwrap();
    let scripts = [
        r#"mkfifo "$STATUS_FILE.log"; exec 3<>"$STATUS_FILE.log"; exec "$0" "$@" 2>&3"#,
        r#"exec "$0" "$@" 2>/dev/full"#,
    ];
    for (election, script) in ["a", "b"].into_iter().zip(scripts) {
        namespace.create_lease(election, short_timings()).await.unwrap();
        let mut options = AgentOptions::in_shell(script).await.unwrap();
        options.environment.push(("LOG_LEVEL".to_owned(), "trace".to_owned()));
        let candidate = Candidate::start(&namespace, election, election, &options).await.unwrap();
        candidate.leads_within(Duration::from_secs(5)).await.unwrap();
        // In a trace, each renewal fills kilobytes of the pipe's 64.
        sleep(Duration::from_secs(8)).await;
        assert!(candidate.leads());
        namespace.edit_lease(election, json!({"spec": {"holderIdentity": "somebody"}})).await.unwrap();
        candidate.yields_within(SOON).await.unwrap();
        candidate.process().terminate().unwrap();
        candidate.ends_within(SOON).await.unwrap();
    }
}

#[tokio::test]
async fn who_cannot_show_that_it_leads_hands_over_and_ends() {
    let namespace = namespace("unshown").await.unwrap();
    let leader = leader(&namespace).await.unwrap();
    let full = AgentOptions::in_shell(r#"trap "" XFSZ; exec "$0" "$@""#).await.unwrap();
    let unlucky = standby(&namespace, "a-1", &full).await.unwrap();
    let witness = Witness::new(
        vec![("a-0".to_owned(), leader.status_file()), ("a-1".to_owned(), unlucky.status_file())],
        |_, _| {},
    );

    // It wins, and has no room for its file.
    unlucky.limit_file_size(0).unwrap();
    leader.process().stop().await.unwrap();
    let ended = Instant::now();
    while unlucky.process().exited().unwrap().is_none() {
        assert!(ended.elapsed() < SOON, "{}", unlucky.log());
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(unlucky.process().exited().unwrap().unwrap().code(), Some(1), "{}", unlucky.log());
    assert_eq!(namespace.lease("a").await.unwrap().record.holder, "");
    assert_eq!(namespace.release_reason("a").await.unwrap(), Some(ReleaseReason::PublishFailed));

    // It leads, and its disk gets full: what it has shown is obeyed to the end, and no longer.
    unlucky.process().start().unwrap();
    unlucky.leads_within(Duration::from_secs(2)).await.unwrap();
    leader.process().start().unwrap();
    sleep(SOON).await;
    unlucky.limit_file_size(0).unwrap();
    leader.leads_within(Duration::from_secs(5)).await.unwrap();
    assert_eq!(witness.overlaps(), []);
    unlucky.yields_within(SOON).await.unwrap();
}

/// Whether the election goes by what stands there, or the API server does.
fn is_of_the_election(path: &str) -> bool {
    let of_record = ["holderIdentity", "leaseDurationSeconds", "acquireTime", "renewTime", "leaseTransitions"]
        .map(|it| format!("spec.{it}"));
    let of_server =
        ["name", "namespace", "uid", "resourceVersion", "deletionTimestamp"].map(|it| format!("metadata.{it}"));
    ["spec", "metadata", "metadata.annotations"].contains(&path)
        || of_record.iter().chain(&of_server).any(|it| it == path)
}

#[tokio::test]
async fn whatever_stands_in_fields_that_the_election_does_not_need_it_goes_on() {
    let namespace = namespace("odd").await.unwrap();
    let (leader, api) = (leader(&namespace).await.unwrap(), namespace.api::<StoredLease>());
    let standby = standby(&namespace, "a-1", &AgentOptions::default()).await.unwrap();
    let before = leader.report().unwrap();
    let target = Target::new::<StoredLease>(&namespace.client(), json!({})).await.unwrap();
    let (mut stored, mut refused) = (0, 0);
    for patch in target.patches(|path| !is_of_the_election(path)) {
        match api.patch("a", &PatchParams::default(), &Patch::Merge(&patch)).await {
            Ok(_) => {
                stored += 1;
                // What counts is what is written, not how fast: each candidate has read it by the next.
                sleep(Duration::from_millis(100)).await;
            }
            Err(kube::Error::Api(_)) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(stored > 30, "{stored} patches were stored, {refused} refused: this is no attack");
    // Whoever could not read one of them would have lost its tenure, or be about to take over, by now.
    sleep(TAKEOVER).await;
    assert_eq!(leader.report().unwrap().fencing_token, before.fencing_token, "{}", leader.log());
    assert_eq!(namespace.lease("a").await.unwrap().record.holder, leader.identity());
    leader.process().stop().await.unwrap();
    standby.leads_within(SOON).await.unwrap();
    for candidate in [&leader, &standby] {
        assert_eq!(candidate.said("lost leadership"), [] as [String; 0]);
    }
}
