//! What keeps an agent from contending is said once, and it contends as soon as that has passed.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use elector_harness::candidate::{AgentOptions, Candidate};
use elector_harness::controlplane::{ControlPlane, Namespace, Options};
use elector_harness::leases::short_timings;
use elector_harness::witness::Witness;
use elector_xtask::scratch::Scratch;
use kube::config::Kubeconfig;
use leader_elector::clock;
use tokio::time::{Instant, sleep};

const RIGHTS: &[&str] = &["get", "list", "watch", "update"];

/// A retry period of 1 s, and a bit.
const RETRY: Duration = Duration::from_millis(1600);
const START: Duration = Duration::from_secs(5);

async fn shared(name: &str) -> Result<Namespace<'static>> {
    ControlPlane::shared().await?.namespace(name).await
}

fn short() -> AgentOptions {
    AgentOptions::default().with_timings([5, 3, 1])
}

fn warned_once_of(candidate: &Candidate, words: &[&str]) {
    let warnings = candidate.said(" WARN ");
    assert_eq!(warnings.len(), 1, "{}", candidate.log());
    for word in words {
        assert!(warnings[0].contains(word), "no {word:?} in: {}", warnings[0]);
    }
}

#[tokio::test]
async fn without_rights_it_names_the_role_and_leads_soon_after_that_is_written() {
    let namespace = shared("rights").await.unwrap();
    namespace.create_lease("a", short_timings()).await.unwrap();
    let candidate = Candidate::start(&namespace, "a", "a-0", &short()).await.unwrap();
    candidate.says_within(" WARN ", START).await.unwrap();
    sleep(Duration::from_secs(3)).await;
    assert!(!candidate.leads());
    namespace.allow_lease("a", RIGHTS).await.unwrap();
    candidate.leads_within(RETRY).await.unwrap();
    // Nobody hands over to it in milliseconds before it watches again.
    candidate.says_within("trouble is over", Duration::from_millis(500)).await.unwrap();
    let role = format!("lease a in {}: a Role must grant get, list, watch and update", namespace.name());
    warned_once_of(&candidate, &[&role, "resourceNames [a]"]);
}

#[tokio::test]
async fn a_namespace_that_does_not_exist_is_named_once() {
    let namespace = shared("nowhere").await.unwrap();
    let admin = ControlPlane::shared().await.unwrap().kubeconfig().display().to_string();
    let environment = [("KUBECONFIG", admin.as_str()), ("NAMESPACE", "nosuch")];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let options = AgentOptions { environment, ..short() };
    let candidate = Candidate::start(&namespace, "a", "a-0", &options).await.unwrap();
    candidate.says_within(" WARN ", START).await.unwrap();
    sleep(Duration::from_secs(4)).await;
    warned_once_of(&candidate, &["there is no namespace nosuch", "NoNamespace"]);
}

/// As the manifest of the sidecar in Go, where somebody wrote one, gives them.
#[tokio::test]
async fn without_the_right_to_watch_it_asks_once_each_retry_period() {
    let namespace = shared("polling").await.unwrap();
    namespace.allow_leases(&["get", "create", "update"]).await.unwrap();
    namespace.create_lease("a", short_timings()).await.unwrap();
    let first = Candidate::start(&namespace, "a", "a-0", &short()).await.unwrap();
    first.leads_within(START).await.unwrap();
    let second = Candidate::start(&namespace, "a", "a-1", &short()).await.unwrap();
    second.says_within("observed holder", START).await.unwrap();

    let begun = jiff::Timestamp::now();
    sleep(Duration::from_secs(10)).await;
    let audit = ControlPlane::shared().await.unwrap().audit();
    let sent = audit.requests(|entry| {
        entry.namespace == namespace.name() && entry.pod.as_deref() == Some("a-1") && entry.received >= begun
    });
    let sent = sent.unwrap();
    let count = |verb: &str| sent.iter().filter(|entry| entry.verb == verb).count();
    assert!((8..=11).contains(&count("get")), "{}", count("get"));
    assert!(count("watch") <= 3 && sent.len() == count("get") + count("watch"), "{sent:?}");

    first.process().stop().await.unwrap();
    second.leads_within(RETRY).await.unwrap();
    first.process().start().unwrap();
    sleep(RETRY).await;
    second.process().kill();
    first.leads_within(Duration::from_secs(8)).await.unwrap();
    warned_once_of(&second, &["not allowed to watch lease a", "get, list, watch and update"]);
}

#[tokio::test]
async fn without_a_lease_and_the_right_to_create_one_it_asks_for_a_leader_election() {
    let namespace = shared("nothing").await.unwrap();
    namespace.allow_leases(RIGHTS).await.unwrap();
    let candidate = Candidate::start(&namespace, "a", "a-0", &short()).await.unwrap();
    candidate.says_within(" WARN ", Duration::from_secs(8)).await.unwrap();
    sleep(Duration::from_secs(7)).await;
    warned_once_of(&candidate, &[&format!("no LeaderElection a in {}: apply one", namespace.name())]);
    namespace.create_lease("a", short_timings()).await.unwrap();
    // For all that it knows, somebody has held that while it did not look.
    let waited = candidate.leads_within(Duration::from_secs(8)).await.unwrap();
    assert!(waited > Duration::from_millis(4900), "{waited:?}");
    warned_once_of(&candidate, &[]);
}

/// The options of a candidate whose token is in a file, as a kubelet does it.
fn token_in(file: &Path, namespace: &Namespace<'_>) -> Result<AgentOptions> {
    let mut kubeconfig = Kubeconfig::read_from(namespace.cluster().kubeconfig())?;
    for user in &mut kubeconfig.auth_infos {
        user.auth_info = serde_json::from_value(serde_json::json!({"tokenFile": file}))?;
    }
    let path = file.with_extension("kubeconfig");
    fs::write(&path, serde_yaml_ng::to_string(&kubeconfig)?)?;
    let environment = vec![("KUBECONFIG".to_owned(), path.display().to_string())];
    Ok(AgentOptions { environment, ..short() })
}

#[tokio::test]
async fn a_token_that_is_refused_or_unusable_is_read_again_at_each_attempt() {
    let namespace = shared("token").await.unwrap();
    namespace.allow_leases(RIGHTS).await.unwrap();
    let folder = Scratch::new().unwrap();
    for (election, garbage) in [("refused", "garbage"), ("unusable", "gar\nbage")] {
        namespace.create_lease(election, short_timings()).await.unwrap();
        let file = folder.path().join(election);
        fs::write(&file, garbage).unwrap();
        let candidate =
            Candidate::start(&namespace, election, election, &token_in(&file, &namespace).unwrap()).await.unwrap();
        candidate.says_within(" WARN ", START).await.unwrap();
        sleep(Duration::from_secs(3)).await;
        fs::remove_file(&file).unwrap();
        sleep(Duration::from_secs(2)).await;
        let pod = namespace.api().get(election).await.unwrap();
        fs::write(&file, namespace.pod_token(&pod).await.unwrap()).unwrap();
        candidate.leads_within(2 * RETRY).await.unwrap();
        // The missing file is another trouble than its contents, and may be one that is over before it is met.
        assert!((1..=3).contains(&candidate.said(" WARN ").len()), "{}", candidate.log());
        candidate.says_within("trouble is over", RETRY).await.unwrap();
    }
}

#[tokio::test]
async fn a_leader_whose_token_dies_stops_in_time_and_leads_again_with_another() {
    let namespace = shared("rotated").await.unwrap();
    namespace.allow_leases(RIGHTS).await.unwrap();
    namespace.create_lease("a", short_timings()).await.unwrap();
    let folder = Scratch::new().unwrap();
    let file = folder.path().join("token");
    let pod = namespace.create_pod("a-0", "default", &[]).await.unwrap();
    fs::write(&file, namespace.pod_token(&pod).await.unwrap()).unwrap();
    let candidate = Candidate::of_pod(&namespace, "a", pod, &token_in(&file, &namespace).unwrap()).await.unwrap();
    candidate.process().start().unwrap();
    candidate.leads_within(START).await.unwrap();
    namespace.remove_pod("a-0").await.unwrap();
    // The API server believes a token for 10 s after it has looked.
    candidate.yields_within(Duration::from_secs(16)).await.unwrap();
    assert_eq!(candidate.said("does not accept the token").len(), 1, "{}", candidate.log());
    candidate.says_within("renew deadline passed", RETRY).await.unwrap();
    let pod = namespace.create_pod("a-0", "default", &[]).await.unwrap();
    fs::write(&file, namespace.pod_token(&pod).await.unwrap()).unwrap();
    // The record is its own, lapsed.
    candidate.leads_within(2 * RETRY).await.unwrap();
}

/// The options of a candidate whose token comes from a program, which hangs as soon as a file `slow` is there.
fn token_from_program(folder: &Path, namespace: &Namespace<'_>, token: &str) -> Result<AgentOptions> {
    let credential = serde_json::json!({
        "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": token},
    });
    fs::write(folder.join("credential"), credential.to_string())?;
    let script = format!("cd {}; if [ -f slow ]; then exec sleep 60; fi; cat credential", folder.display());
    let mut kubeconfig = Kubeconfig::read_from(namespace.cluster().kubeconfig())?;
    for user in &mut kubeconfig.auth_infos {
        user.auth_info = serde_json::from_value(serde_json::json!({"exec": {
            "apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "args": ["-c", script],
            "interactiveMode": "Never",
        }}))?;
    }
    let path = folder.join("kubeconfig");
    fs::write(&path, serde_yaml_ng::to_string(&kubeconfig)?)?;
    let environment = vec![("KUBECONFIG".to_owned(), path.display().to_string())];
    Ok(AgentOptions { environment, ..short() })
}

#[tokio::test]
async fn a_program_for_tokens_that_hangs_keeps_no_file_and_no_process() {
    let namespace = shared("program").await.unwrap();
    namespace.allow_leases(RIGHTS).await.unwrap();
    namespace.create_lease("a", short_timings()).await.unwrap();
    let folder = Scratch::new().unwrap();
    let pod = namespace.create_pod("a-0", "default", &[]).await.unwrap();
    let token = namespace.pod_token(&pod).await.unwrap();
    let options = token_from_program(folder.path(), &namespace, &token).unwrap();
    let candidate = Candidate::of_pod(&namespace, "a", pod, &options).await.unwrap();
    candidate.process().start().unwrap();
    candidate.leads_within(START).await.unwrap();
    fs::write(folder.path().join("slow"), "").unwrap();
    namespace.remove_pod("a-0").await.unwrap();
    candidate.yields_within(Duration::from_secs(16)).await.unwrap();
    candidate.says_within("renew deadline passed", RETRY).await.unwrap();
    candidate.process().terminate().unwrap();
    candidate.ends_within(Duration::from_secs(5)).await.unwrap();
}

/// Without an API server; with one; stopped; started again; stopped for good.
#[tokio::test]
async fn an_api_server_that_is_not_there_is_waited_for() {
    let plane = ControlPlane::start(Options::default()).await.unwrap();
    let namespace = plane.namespace("gone").await.unwrap();
    namespace.allow_leases(RIGHTS).await.unwrap();
    namespace.create_lease("a", short_timings()).await.unwrap();
    let pod = |name: &'static str| namespace.create_pod(name, "default", &[]);
    let [one, early] = [pod("a-0").await.unwrap(), pod("a-1").await.unwrap()];
    let one = Candidate::of_pod(&namespace, "a", one, &short()).await.unwrap();
    let early = Candidate::of_pod(&namespace, "a", early, &short()).await.unwrap();
    plane.api_server().stop().await.unwrap();

    one.process().start().unwrap();
    early.process().start().unwrap();
    early.says_within(" WARN ", START).await.unwrap();
    early.process().terminate().unwrap();
    early.ends_within(Duration::from_secs(1)).await.unwrap();
    sleep(Duration::from_secs(2)).await;
    warned_once_of(&one, &["failed to reach the API server"]);

    plane.api_server().start().unwrap();
    plane.ready().await.unwrap();
    one.leads_within(START).await.unwrap();
    let unreachable = || one.said("Unreachable").iter().filter(|line| line.contains(" WARN ")).count();
    let before = unreachable();
    sleep(Duration::from_millis(1500)).await;

    plane.api_server().kill();
    let until = Duration::from_nanos(one.report().unwrap().valid_until_boottime_ns);
    one.yields_within(START).await.unwrap();
    let yielded = clock::now().unwrap().moment.boottime;
    assert!(yielded + Duration::from_millis(300) > until, "{yielded:?}, not {until:?}");
    assert!(yielded < until + Duration::from_millis(300), "{yielded:?}, not {until:?}");
    sleep(Duration::from_secs(2)).await;
    assert_eq!(unreachable(), before + 1, "{}", one.log());

    plane.api_server().start().unwrap();
    plane.ready().await.unwrap();
    one.leads_within(START).await.unwrap();
    assert_eq!(one.said("renew deadline passed").len(), 1);
    sleep(Duration::from_millis(1200)).await;

    plane.api_server().kill();
    one.process().terminate().unwrap();
    one.yields_within(Duration::from_millis(300)).await.unwrap();
    one.ends_within(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn while_the_api_server_is_frozen_the_leader_stops_in_time_and_never_two_lead() {
    let plane = ControlPlane::start(Options::default()).await.unwrap();
    let namespace = plane.namespace("frozen").await.unwrap();
    namespace.allow_leases(RIGHTS).await.unwrap();
    namespace.create_lease("a", short_timings()).await.unwrap();
    let first = Candidate::start(&namespace, "a", "a-0", &short()).await.unwrap();
    first.leads_within(START).await.unwrap();
    let second = Candidate::start(&namespace, "a", "a-1", &short()).await.unwrap();
    second.says_within("observed holder", START).await.unwrap();
    let files = [&first, &second].map(|one| (one.name().to_owned(), one.status_file()));
    let witness = Witness::new(files.to_vec(), |_, _| {});

    plane.api_server().pause().unwrap();
    let paused = Instant::now();
    first.yields_within(Duration::from_millis(3300)).await.unwrap();
    // Long enough for the standby to try in vain, and for writes that were sent to arrive late.
    sleep(Duration::from_secs(8).saturating_sub(paused.elapsed())).await;
    assert!(!second.leads());
    plane.api_server().resume().unwrap();
    let begun = Instant::now();
    while !first.leads() && !second.leads() {
        assert!(begun.elapsed() < Duration::from_secs(10), "{}\n{}", first.log(), second.log());
        sleep(Duration::from_millis(5)).await;
    }
    sleep(Duration::from_secs(3)).await;

    let leader = if first.leads() { &first } else { &second };
    plane.api_server().pause().unwrap();
    leader.process().terminate().unwrap();
    leader.yields_within(Duration::from_millis(300)).await.unwrap();
    leader.ends_within(Duration::from_secs(6)).await.unwrap();
    plane.api_server().resume().unwrap();
    assert_eq!(witness.overlaps(), []);
}

/// As those before 1.32, and some since.
#[tokio::test]
async fn an_api_server_that_begins_no_watch_with_what_there_is_will_do() {
    let api_server_arguments = vec!["--feature-gates=WatchList=false".to_owned()];
    let plane = ControlPlane::start(Options { api_server_arguments, ..Options::default() }).await.unwrap();
    let namespace = plane.namespace("listed").await.unwrap();
    namespace.allow_lease("a", RIGHTS).await.unwrap();
    namespace.create_lease("a", short_timings()).await.unwrap();
    let first = Candidate::start(&namespace, "a", "a-0", &short()).await.unwrap();
    first.leads_within(START).await.unwrap();
    let second = Candidate::start(&namespace, "a", "a-1", &short()).await.unwrap();
    second.says_within("observed holder", START).await.unwrap();
    sleep(Duration::from_secs(2)).await;
    first.process().stop().await.unwrap();
    second.leads_within(Duration::from_secs(1)).await.unwrap();
    assert_eq!(second.said(" WARN "), [] as [String; 0]);
    let audit = plane.audit();
    let sent = audit.requests(|entry| entry.pod.as_deref() == Some("a-1") && !entry.is_write()).unwrap();
    let verbs: Vec<&str> = sent.iter().map(|entry| entry.verb.as_str()).collect();
    assert_eq!(verbs, ["watch", "list", "watch"]);
}
