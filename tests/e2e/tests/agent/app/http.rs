//! Who leads, by HTTP; and what Prometheus and probes find.

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use elector_harness::attack::{Cut, Relay};
use elector_harness::candidate::{AgentOptions, Candidate};
use elector_harness::controlplane::ControlPlane;
use elector_harness::figures::{is_measured, rounds};
use elector_harness::hostile::{flood, most_resident};
use elector_harness::http::{Events, get};
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::{SOON, START, TAKEOVER, candidate, namespace};

const APP: (&str, &str) = ("HTTP_ADDRESS", "127.0.0.1:0");
const OBSERVE: (&str, &str) = ("OBSERVE_ADDRESS", "127.0.0.1:0");
/// From the file to the event that tells of it: `test -f` and the push look at the same moment from two sides.
const PUSH: Duration = Duration::from_millis(10);

async fn app_address(candidate: &Candidate) -> Result<SocketAddr> {
    candidate.address("HTTP_ADDRESS").await
}

async fn observed(candidate: &Candidate, path: &str) -> Result<(u16, String)> {
    let answer = get(candidate.address("OBSERVE_ADDRESS").await?, path).await?;
    Ok((answer.status, answer.body))
}

#[tokio::test]
async fn the_leader_and_a_standby_say_who_leads() {
    let namespace = namespace("http").await.unwrap();
    let first = candidate(&namespace, "a-0", &[APP]).await.unwrap();
    first.leads_within(START).await.unwrap();
    let answer = get(app_address(&first).await.unwrap(), "/").await.unwrap();
    assert_eq!((answer.status, &*answer.content_type), (200, "application/json"));
    let own = answer.json().unwrap();
    assert_eq!(own["name"], first.name());
    assert_eq!(own["is_leader"], true);
    assert_eq!(own["fencing_token"], first.report().unwrap().fencing_token);
    assert_eq!(own["identity"], first.identity());
    let (age, left) = (own["age_seconds"].as_f64().unwrap(), own["expires_in_seconds"].as_f64().unwrap());
    assert!((0.0..=3.0).contains(&age) && (2.9..=3.1).contains(&(age + left)), "{own}");
    let updated: jiff::Timestamp = own["last_update"].as_str().unwrap().parse().unwrap();
    assert!((jiff::Timestamp::now() - updated).get_seconds().abs() <= 5, "{own}");
    assert_eq!(get(app_address(&first).await.unwrap(), "/isLeader").await.unwrap().status, 200);

    let second = candidate(&namespace, "a-1", &[APP]).await.unwrap();
    second.says_within("observed holder", START).await.unwrap();
    let address = app_address(&second).await.unwrap();
    // Who was there before is named once it was seen to renew.
    let mut events = Events::open(address, "/sse").await.unwrap();
    let first_said = events.next().await.unwrap().unwrap();
    assert_eq!((&first_said["name"], &first_said["is_leader"]), (&json!(""), &json!(false)));
    assert_eq!(events.next().await.unwrap().unwrap()["name"], "a-0");
    let others = get(address, "/").await.unwrap().json().unwrap();
    assert_eq!(others["name"], "a-0");
    assert_eq!(others["identity"], first.identity());
    assert_eq!((&others["is_leader"], &others["fencing_token"]), (&json!(false), &Value::Null));
    let left = others["expires_in_seconds"].as_f64().unwrap();
    assert!((1.0..=3.0).contains(&left), "{others}");
    let asked = get(address, "/isLeader").await.unwrap();
    assert_eq!((asked.status, asked.json().unwrap()["name"].as_str()), (503, Some("a-0")));
    for path in ["/elsewhere", "/leader/", "/sse/?a=b"] {
        let answer = get(address, path).await.unwrap();
        assert_eq!((answer.status, answer.json().unwrap()["name"].as_str()), (200, Some("a-0")), "{path}");
    }
}

/// A leader that says nothing any more is named for the three seconds for which it may act, and then nobody is, though the others
/// wait for two more.
#[tokio::test]
async fn nobody_is_named_for_longer_than_is_known() {
    let namespace = namespace("http-unknown").await.unwrap();
    let first = candidate(&namespace, "a-0", &[]).await.unwrap();
    first.leads_within(START).await.unwrap();
    // It would rather not lead, so that what it says meanwhile can be seen.
    let never = ("HEALTH_FILE", "/nonexistent/file");
    let second = candidate(&namespace, "a-1", &[APP, never]).await.unwrap();
    second.says_within("observed holder", START).await.unwrap();
    let address = app_address(&second).await.unwrap();
    let mut events = Events::open(address, "/sse").await.unwrap();
    while events.next().await.unwrap().unwrap()["name"] != "a-0" {}
    let renewed = Instant::now();
    first.process().kill();
    let unknown = events.next().await.unwrap().unwrap();
    // Since the last renewal that was seen, of one a second.
    let took = renewed.elapsed();
    assert!(took > Duration::from_millis(1500) && took < Duration::from_millis(3500), "{took:?}");
    assert_eq!((&unknown["name"], &unknown["identity"]), (&json!(""), &Value::Null));
    let looked: jiff::Timestamp = unknown["last_update"].as_str().unwrap().parse().unwrap();
    assert!(looked.duration_until(jiff::Timestamp::now()).as_secs() < 5, "{unknown}");
    assert_eq!((&unknown["age_seconds"], &unknown["is_leader"]), (&Value::Null, &json!(false)));
    let asked = get(address, "/").await.unwrap();
    assert_eq!((asked.status, asked.json().unwrap()["name"].as_str()), (200, Some("")));
}

#[tokio::test]
async fn each_change_is_pushed_as_soon_as_the_file_shows_it() {
    let namespace = namespace("http-push").await.unwrap();
    let mut old = candidate(&namespace, "a-0", &[APP]).await.unwrap();
    old.leads_within(START).await.unwrap();
    let rounds = rounds(5);
    let mut pushes = Vec::new();
    let mut tokens = Vec::new();
    for round in 1..=rounds {
        let next = candidate(&namespace, &format!("a-{round}"), &[APP]).await.unwrap();
        next.says_within("observed holder", START).await.unwrap();
        let mut events = Events::open(app_address(&next).await.unwrap(), "/sse").await.unwrap();
        while events.next().await.unwrap().unwrap()["name"] != old.name() {}
        kill_process(old.supervisor().unwrap(), Signal::TERM).unwrap();
        let led = loop {
            let event = events.next().await.unwrap().unwrap();
            let at = SystemTime::now();
            if event["is_leader"] == true {
                break (event, at);
            }
            assert_eq!(event["name"], "", "{event}");
        };
        let file = fs::metadata(next.status_file()).unwrap().modified().unwrap();
        pushes.push(led.1.duration_since(file).unwrap_or_default());
        tokens.push(led.0["fencing_token"].as_u64().unwrap());
        old.ends_within(START).await.unwrap();
        old = next;
    }
    pushes.sort_unstable();
    println!("from the file to the event: median {:?}, max {:?} of {rounds}", pushes[pushes.len() / 2], pushes.last());
    assert!(tokens.is_sorted(), "{tokens:?}");
    assert!(pushes[pushes.len() / 2] <= PUSH, "{pushes:?}");
    if is_measured() {
        assert!(pushes.iter().all(|push| *push <= PUSH), "{pushes:?}");
    }
}

#[tokio::test]
async fn a_leader_that_stops_says_so_before_its_stream_ends() {
    let namespace = namespace("http-end").await.unwrap();
    let leader = candidate(&namespace, "a-0", &[APP]).await.unwrap();
    leader.leads_within(START).await.unwrap();
    let mut events = Events::open(app_address(&leader).await.unwrap(), "/sse").await.unwrap();
    assert_eq!(events.next().await.unwrap().unwrap()["is_leader"], true);
    kill_process(leader.supervisor().unwrap(), Signal::TERM).unwrap();
    assert_eq!(events.next().await.unwrap().unwrap()["is_leader"], false);
    assert_eq!(events.next().await.unwrap(), None);
    leader.ends_within(SOON).await.unwrap();
}

/// The sample of that name and labels.
fn sample(text: &str, name: &str) -> Result<f64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(value.with_context(|| format!("no {name} in {text}"))?.parse()?)
}

#[tokio::test]
async fn metrics_tell_leading_and_losing_and_what_it_costs() {
    let namespace = namespace("metrics").await.unwrap();
    let first = candidate(&namespace, "a-0", &[OBSERVE]).await.unwrap();
    first.leads_within(START).await.unwrap();
    let second = candidate(&namespace, "a-1", &[OBSERVE]).await.unwrap();
    second.says_within("observed holder", START).await.unwrap();
    sleep(Duration::from_millis(2500)).await;
    let (_, text) = observed(&first, "/metrics").await.unwrap();
    assert_eq!(sample(&text, r#"leader_election_master_status{name="a"}"#).unwrap(), 1.0);
    assert_eq!(sample(&text, r#"leader_elector_lease_transitions{name="a"}"#).unwrap(), 1.0);
    assert_eq!(sample(&text, r#"leader_elector_acquisitions_total{name="a",cause="never_held"}"#).unwrap(), 1.0);
    assert!(sample(&text, r#"leader_elector_renewals_total{name="a"}"#).unwrap() >= 2.0, "{text}");
    let left = sample(&text, r#"leader_elector_time_to_deadline_seconds{name="a"}"#).unwrap();
    assert!(left > 1.0 && left <= 3.0, "{left}");
    let updates = r#"leader_elector_request_duration_seconds_count{name="a",request="update",outcome="stored"}"#;
    assert!(sample(&text, updates).unwrap() >= 3.0, "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");

    let (_, text) = observed(&second, "/metrics").await.unwrap();
    assert_eq!(sample(&text, r#"leader_election_master_status{name="a"}"#).unwrap(), 0.0);
    assert_eq!(sample(&text, r#"leader_elector_time_to_deadline_seconds{name="a"}"#).unwrap(), 0.0);
    assert_eq!(sample(&text, r#"leader_elector_lease_transitions{name="a"}"#).unwrap(), 1.0);
    kill_process(first.supervisor().unwrap(), Signal::TERM).unwrap();
    second.leads_within(SOON).await.unwrap();
    counts_one(&second, r#"leader_elector_acquisitions_total{name="a",cause="released"}"#).await.unwrap();
    namespace.edit_lease("a", json!({"spec": {"holderIdentity": ""}})).await.unwrap();
    second.yields_within(SOON).await.unwrap();
    counts_one(&second, r#"leader_elector_losses_total{name="a",reason="emptied"}"#).await.unwrap();
    second.leads_within(TAKEOVER).await.unwrap();
    counts_one(&second, r#"leader_elector_acquisitions_total{name="a",cause="expired"}"#).await.unwrap();
}

/// Metrics are told after the file is there or gone, by another thread.
async fn counts_one(candidate: &Candidate, counter: &str) -> Result<()> {
    let begun = Instant::now();
    loop {
        let (_, text) = observed(candidate, "/metrics").await?;
        match sample(&text, counter) {
            Ok(count) => break assert_eq!(count, 1.0, "{text}"),
            Err(error) => assert!(begun.elapsed() < SOON, "{error}"),
        }
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// Its network loses each connection once.
#[tokio::test]
async fn a_watch_that_fails_is_counted_and_costs_no_tenure() {
    let namespace = namespace("metrics-watch").await.unwrap();
    let server = ControlPlane::shared().await.unwrap().url();
    let relay = Relay::to(server.strip_prefix("https://").unwrap().parse().unwrap()).await.unwrap();
    let options = AgentOptions {
        environment: vec![(OBSERVE.0.to_owned(), OBSERVE.1.to_owned())],
        server: Some(format!("https://{}", relay.address())),
        ..AgentOptions::default()
    };
    let leader = Candidate::start(&namespace, "a", "a-0", &options).await.unwrap();
    leader.leads_within(START).await.unwrap();
    let since = leader.leads_since().unwrap();
    let restarts = async || {
        let (_, text) = observed(&leader, "/metrics").await.unwrap();
        sample(&text, r#"leader_elector_watch_restarts_total{name="a"}"#).unwrap()
    };
    assert_eq!(restarts().await, 0.0);
    relay.cut(Cut::Reset);
    let begun = Instant::now();
    while restarts().await == 0.0 {
        assert!(begun.elapsed() < START, "{}", leader.log());
        sleep(Duration::from_millis(10)).await;
    }
    // Longer than the renew deadline.
    sleep(Duration::from_secs(4)).await;
    assert_eq!(restarts().await, 1.0, "{}", leader.log());
    assert_eq!(leader.leads_since().unwrap(), since);
}

#[tokio::test]
async fn ready_is_who_can_contend_and_healthy_who_need_not_be_restarted() {
    let plane = ControlPlane::shared().await.unwrap();
    // With no rights, and no Lease.
    let namespace = plane.namespace("probes").await.unwrap();
    let candidate = candidate(&namespace, "a-0", &[OBSERVE]).await.unwrap();
    candidate.says_within("not allowed", START).await.unwrap();
    assert_eq!(observed(&candidate, "/readyz").await.unwrap(), (503, "Forbidden".to_owned()));
    assert_eq!(observed(&candidate, "/healthz").await.unwrap(), (200, "ok".to_owned()));
    namespace.create_lease("a", elector_harness::leases::short_timings()).await.unwrap();
    namespace.allow_leases(&["get", "list", "watch", "update"]).await.unwrap();
    candidate.leads_within(TAKEOVER).await.unwrap();
    let begun = Instant::now();
    while observed(&candidate, "/readyz").await.unwrap() != (200, "ok".to_owned()) {
        assert!(begun.elapsed() < SOON, "its watch goes on as soon as a request was allowed");
    }
    assert_eq!(observed(&candidate, "/healthz").await.unwrap(), (200, "ok".to_owned()));
}

#[tokio::test]
async fn without_an_api_server_it_is_healthy_and_not_ready() {
    let namespace = namespace("probes-alone").await.unwrap();
    let options = AgentOptions {
        environment: vec![(OBSERVE.0.to_owned(), OBSERVE.1.to_owned())],
        server: Some("https://127.0.0.1:9".to_owned()),
        ..AgentOptions::default()
    };
    let candidate = Candidate::start(&namespace, "a", "a-0", &options).await.unwrap();
    candidate.says_within("failed to reach", START).await.unwrap();
    assert_eq!(observed(&candidate, "/readyz").await.unwrap(), (503, "Unreachable".to_owned()));
    assert_eq!(observed(&candidate, "/healthz").await.unwrap(), (200, "ok".to_owned()));
}

/// As by the app itself, which has the same port by mistake.
#[tokio::test]
async fn an_address_that_is_taken_costs_readiness_and_no_election() {
    let namespace = namespace("http-taken").await.unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let candidate = candidate(&namespace, "a-0", &[("HTTP_ADDRESS", &address), OBSERVE]).await.unwrap();
    candidate.leads_within(START).await.unwrap();
    assert_eq!(candidate.said("failed to listen").len(), 1, "{}", candidate.log());
    assert_eq!(observed(&candidate, "/readyz").await.unwrap(), (503, "NotListening".to_owned()));
    let metric = |value: u8| format!(r#"leader_elector_listening{{name="a",setting="HTTP_ADDRESS"}} {value}"#);
    assert!(observed(&candidate, "/metrics").await.unwrap().1.contains(&metric(0)));
    drop(taken);
    let begun = Instant::now();
    while observed(&candidate, "/readyz").await.unwrap() != (200, "ok".to_owned()) {
        assert!(begun.elapsed() < Duration::from_secs(10), "it does not try again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(observed(&candidate, "/metrics").await.unwrap().1.contains(&metric(1)));
    let told = get(app_address(&candidate).await.unwrap(), "/isLeader").await.unwrap();
    assert_eq!((told.status, candidate.said("lost leadership").len()), (200, 0));
}

/// How much more memory hostile clients may make it use, in KiB.
const MORE: u64 = 4 * 1024;

#[tokio::test]
async fn hostile_clients_cost_neither_the_probe_nor_the_tenure_nor_memory() {
    let namespace = namespace("http-flood").await.unwrap();
    let leader = candidate(&namespace, "a-0", &[APP, OBSERVE]).await.unwrap();
    leader.leads_within(START).await.unwrap();
    let mut events = Events::open(app_address(&leader).await.unwrap(), "/sse").await.unwrap();
    assert_eq!(events.next().await.unwrap().unwrap()["is_leader"], true);
    let since = leader.leads_since().unwrap();
    let electing = leader.electing().unwrap();
    observed(&leader, "/metrics").await.unwrap();
    let before = most_resident(electing).unwrap();

    let address = leader.address("OBSERVE_ADDRESS").await.unwrap();
    let answers = flood(address, "/metrics").await.unwrap();
    let after = most_resident(electing).unwrap();
    println!("memory: {before} KiB, then {after} KiB");
    answers.are_quick();
    assert!(after <= before + MORE, "{before} KiB, then {after} KiB");
    assert_eq!(leader.leads_since().unwrap(), since);
    assert_eq!(leader.said("lost leadership"), [] as [String; 0]);

    // The app's own listener has stayed.
    kill_process(leader.supervisor().unwrap(), Signal::TERM).unwrap();
    assert_eq!(events.next().await.unwrap().unwrap()["is_leader"], false);
}

#[tokio::test]
async fn listeners_that_do_not_leave_keep_nobody_from_asking() {
    let namespace = namespace("http-listeners").await.unwrap();
    let leader = candidate(&namespace, "a-0", &[APP]).await.unwrap();
    leader.leads_within(START).await.unwrap();
    let address = app_address(&leader).await.unwrap();
    let mut listening = Vec::new();
    for _ in 0..32 {
        listening.push(Events::open(address, "/sse").await.unwrap());
    }
    assert_eq!(get(address, "/sse").await.unwrap().status, 503);
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    assert_eq!(get(address, "/isLeader").await.unwrap().status, 200);
    // The first one had to make room.
    assert_eq!(silent[0].read(&mut [0]).await.unwrap(), 0);
    for events in &mut listening {
        assert_eq!(events.next().await.unwrap().unwrap()["is_leader"], true);
    }
    kill_process(leader.supervisor().unwrap(), Signal::TERM).unwrap();
    for events in &mut listening {
        assert_eq!(events.next().await.unwrap().unwrap()["is_leader"], false);
    }
}
