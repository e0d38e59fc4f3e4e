//! What the agent refuses: exit code 2, and one line on stderr that says what is wrong and what to do.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use elector_crds::timings_cases::TIMINGS_CASES;
use elector_tests::programs::Programs;
use elector_tests::scratch::Scratch;

/// No server listens there, and none is asked before the settings are found to be good.
const KUBECONFIG: &str = "apiVersion: v1\nkind: Config\ncurrent-context: none\n\
                          clusters: [{name: none, cluster: {server: 'https://127.0.0.1:1'}}]\n\
                          users: [{name: none, user: {token: none}}]\n\
                          contexts: [{name: none, context: {cluster: none, user: none}}]\n";

struct Stage {
    scratch: Scratch,
}

impl Stage {
    fn new() -> Stage {
        let scratch = Scratch::new().expect("a temporary folder");
        fs::write(scratch.path().join("kubeconfig"), KUBECONFIG).expect("it can be written");
        Stage { scratch }
    }

    fn path(&self) -> &Path {
        self.scratch.path()
    }

    /// The agent with settings that would do, but for `environment`, ended when it has not refused within a second.
    async fn run(&self, environment: &[(&str, &str)]) -> Output {
        let agent = &Programs::built().await.expect("the programs build").agent;
        Command::new("timeout")
            .args(["--signal=TERM", "1"])
            .arg(agent)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LEASE_NAME", "billing")
            .env("NAMESPACE", "shop")
            .env("KUBECONFIG", self.path().join("kubeconfig"))
            .env("STATUS_FILE", self.path().join("leader_status"))
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .output()
            .expect("timeout is there")
    }

    async fn refuses(&self, environment: &[(&str, &str)], why: &str) {
        let output = self.run(environment).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{environment:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains(why), "{environment:?}: {said}");
    }
}

#[tokio::test]
async fn settings_that_would_do_keep_it_running_though_no_server_answers() {
    let stage = Stage::new();
    let output = stage.run(&[]).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // `timeout` had to end it.
    assert_eq!(output.status.code(), Some(124), "{said}");
    assert!(said.contains("failed to reach the API server"), "{said}");
    assert_eq!(said.matches("WARN").count(), 1, "{said}");
    assert!(!stage.path().join("leader_status").exists());
}

#[tokio::test]
async fn names() {
    let stage = Stage::new();
    stage.refuses(&[("LEASE_NAME", "")], "no LEASE_NAME: set it, or --lease-name").await;
    stage.refuses(&[("NAMESPACE", "")], "no namespace found: set NAMESPACE or --namespace").await;
    for name in ["Billing", "-billing", "billing_1", "a/b", &"a".repeat(254)] {
        stage.refuses(&[("LEASE_NAME", name)], "is no DNS subdomain").await;
        stage.refuses(&[("NAMESPACE", name)], "is no DNS label").await;
    }
}

#[tokio::test]
async fn no_configuration_of_a_cluster() {
    let stage = Stage::new();
    stage.refuses(&[("KUBECONFIG", "/nonexistent")], "set KUBECONFIG").await;
}

#[tokio::test]
async fn timings_in_the_words_of_the_api_server() {
    let stage = Stage::new();
    for case in TIMINGS_CASES {
        let values = [case.lease_duration, case.renew_deadline, case.retry_period, case.release_delay];
        let [lease_duration, renew_deadline, retry_period, release_delay] = values.map(|value| value.to_string());
        let environment = [
            ("LEASE_DURATION_SECONDS", lease_duration.as_str()),
            ("RENEW_DEADLINE_SECONDS", &renew_deadline),
            ("RETRY_PERIOD_SECONDS", &retry_period),
            ("RELEASE_DELAY_SECONDS", &release_delay),
        ];
        match case.refusal {
            Some(refusal) => stage.refuses(&environment, refusal).await,
            // As accepted as the others; each takes the second that it is given.
            None => assert_eq!(stage.run(&environment).await.status.code(), Some(124), "{environment:?}"),
        }
    }
    stage.refuses(&[("LEASE_DURATION_SECONDS", "fifteen")], "invalid value 'fifteen'").await;
    stage.refuses(&[("LEASE_DURATION_SECONDS", "2147483648")], "it can be 3600 at most").await;
}

#[tokio::test]
async fn status_files_that_cannot_serve() {
    let stage = Stage::new();
    let path = |name: &str| stage.path().join(name).display().to_string();
    stage.refuses(&[("STATUS_FILE", &path("missing/leader_status"))], "its directory does not exist").await;
    symlink("/etc/hostname", path("link")).unwrap();
    stage.refuses(&[("STATUS_FILE", &path("link"))], "is a symbolic link").await;
    stage.refuses(&[("STATUS_FILE", "/dev/null")], "is no regular file").await;
    // Not even root creates files there.
    stage.refuses(&[("STATUS_FILE", "/proc/leader_status")], "/proc/leader_status").await;
    // A stale report that is no file cannot be removed.
    fs::create_dir_all(path("stale.json/full")).unwrap();
    stage.refuses(&[("STATUS_FILE", &path("stale"))], "failed to remove the stale").await;
    assert_eq!(fs::read_link(path("link")).unwrap(), Path::new("/etc/hostname"));
}

#[tokio::test]
async fn a_second_agent_on_one_status_path() {
    let stage = Stage::new();
    let agent = Programs::built().await.unwrap().agent.clone();
    let status_file = stage.path().join("leader_status");
    let first = elector_tests::process::Process::new(
        agent,
        vec!["--lease-name=billing".to_owned(), "--namespace=shop".to_owned()],
        stage.path().join("first.log"),
    )
    .with_environment(vec![
        ("KUBECONFIG".to_owned(), stage.path().join("kubeconfig").display().to_string()),
        ("STATUS_FILE".to_owned(), status_file.display().to_string()),
    ]);
    first.start().unwrap();
    while !fs::read_to_string(stage.path().join("first.log")).is_ok_and(|log| log.contains("contending")) {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    stage.refuses(&[], "another agent uses this status path").await;
    assert_eq!(first.exited().unwrap(), None);
    first.stop().await.unwrap();
    assert_eq!(first.exited().unwrap().and_then(|status| status.code()), Some(0));
}

#[tokio::test]
async fn the_log_can_be_json() {
    let output = Stage::new().run(&[("LOG_FORMAT", "json")]).await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.lines().count() >= 2, "{said}");
    for line in said.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line["message"].is_string() && line["lease"] == "billing", "{line}");
    }
}
