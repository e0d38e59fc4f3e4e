//! What an agent cannot work with: exit code 2, and one line on stderr that says what is wrong and what to do.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use elector_crds::timings_cases::{TIMINGS_CASES, TimingsCase};
use elector_harness::process::Process;
use elector_xtask::programs::Programs;
use elector_xtask::scratch::Scratch;
use tokio::process::Command;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

/// An agent that lacks nothing but an API server, and its folder.
struct Setup {
    folder: Scratch,
    agent: &'static Path,
}

impl Setup {
    async fn new() -> Result<Setup> {
        let folder = Scratch::new()?;
        let kubeconfig = r#"{
            clusters: [{name: none, cluster: {server: "https://127.0.0.1:9"}}], users: [{name: none, user: {token: none}}],
            contexts: [{name: none, context: {cluster: none, user: none}}], current-context: none}"#;
        fs::write(folder.path().join("kubeconfig"), kubeconfig)?;
        Ok(Setup { folder, agent: &Programs::built().await?.agent })
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn environment(&self) -> Vec<(String, String)> {
        [
            ("LEASE_NAME", "billing".to_owned()),
            ("NAMESPACE", "shop".to_owned()),
            ("KUBECONFIG", self.path("kubeconfig")),
            ("STATUS_FILE", self.path("leader_status")),
            ("HOME", self.path("")),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    fn command(&self, settings: &[(&str, &str)], arguments: &[String]) -> Command {
        let mut command = Command::new(self.agent);
        command.env_clear().envs(self.environment()).envs(settings.iter().copied()).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// What an agent that refuses these settings says.
    async fn refusal(&self, settings: &[(&str, &str)], arguments: &[String]) -> Result<String> {
        let output = timeout(PATIENCE, self.command(settings, arguments).output()).await;
        let output = output.with_context(|| format!("it runs with {settings:?} {arguments:?}"))??;
        let said = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(2), "{settings:?} {arguments:?}: {said}");
        assert_eq!((said.matches('\n').count(), output.stdout.len()), (1, 0), "{said}");
        assert!(said.starts_with("error: "), "{said}");
        Ok(said.trim_end().to_owned())
    }

    /// Asserts that an agent refuses these settings, and says so in these words.
    async fn refuses(&self, settings: &[(&str, &str)], words: &[&str]) -> Result<()> {
        let said = self.refusal(settings, &[]).await?;
        for word in words {
            assert!(said.contains(word), "{settings:?}: no {word:?} in: {said}");
        }
        Ok(())
    }
}

#[tokio::test]
async fn names_that_are_missing_or_no_names() {
    let setup = Setup::new().await.unwrap();
    setup.refuses(&[("LEASE_NAME", "")], &["no LEASE_NAME", "--lease-name"]).await.unwrap();
    setup.refuses(&[("NAMESPACE", "")], &["no namespace found", "NAMESPACE", "--namespace"]).await.unwrap();
    for name in ["Billing", "a_b", "-a", "a.", "a/b", "ü", "a\nb", " ", &"a".repeat(254)] {
        setup.refuses(&[("LEASE_NAME", name)], &["lease name", "is no DNS", "lower-case"]).await.unwrap();
    }
    for name in ["Shop", "a.b", "a-", &"a".repeat(64)] {
        setup.refuses(&[("NAMESPACE", name)], &["namespace", "is no DNS label", "lower-case"]).await.unwrap();
    }
}

#[tokio::test]
async fn timings_are_accepted_and_refused_in_the_words_of_the_api_server() {
    let setup = Setup::new().await.unwrap();
    for case in TIMINGS_CASES {
        let TimingsCase { lease_duration, renew_deadline, retry_period, release_delay, refusal } = case;
        let arguments = [
            format!("--lease-duration-seconds={lease_duration}"),
            format!("--renew-deadline-seconds={renew_deadline}"),
            format!("--retry-period-seconds={retry_period}"),
            format!("--release-delay-seconds={release_delay}"),
        ];
        // What is accepted fails at the next thing.
        let said = setup.refusal(&[("KUBECONFIG", "/none")], &arguments).await.unwrap();
        match refusal {
            Some(refusal) => assert_eq!(said, format!("error: {refusal}")),
            None => assert!(said.contains("kubeconfig"), "{case:?}: {said}"),
        }
    }
}

#[tokio::test]
async fn settings_that_are_no_numbers_or_no_words_that_it_knows() {
    let setup = Setup::new().await.unwrap();
    setup
        .refuses(&[("RETRY_PERIOD_SECONDS", "2147483648")], &["retryPeriodSeconds is 2147483648; it can be 3600"])
        .await
        .unwrap();
    for number in ["two", "2s", "1.5", " ", "1e3", "99999999999999999999"] {
        setup
            .refuses(&[("RETRY_PERIOD_SECONDS", number)], &["invalid value", "--retry-period-seconds", "whole seconds"])
            .await
            .unwrap();
    }
    setup.refuses(&[("LOG_FORMAT", "xml")], &["xml", "text, json"]).await.unwrap();
    for level in ["a=b=c", "warning", "loud", "info,verbose"] {
        setup.refuses(&[("LOG_LEVEL", level)], &["log level"]).await.unwrap();
    }
    let said = setup.refusal(&[], &["--leese-name=a".to_owned()]).await.unwrap();
    assert!(said.contains("--leese-name") && said.contains("see --help"), "{said}");
}

#[tokio::test]
async fn status_paths_that_cannot_serve() {
    let setup = Setup::new().await.unwrap();
    fs::write(setup.path("file"), "").unwrap();
    symlink(setup.path("elsewhere"), setup.path("link")).unwrap();
    let _listener = UnixListener::bind(setup.path("socket")).unwrap();
    for (path, words) in [
        (setup.path("missing/leader_status"), ["lies in a directory that does not exist", "create it"]),
        (setup.path("file/leader_status"), ["Not a directory", "name a status file in a directory"]),
        (setup.path("link"), ["is a symbolic link", "name the file itself"]),
        ("/proc/leader_status".to_owned(), ["failed to create", "name a status file in a directory"]),
        (setup.path("socket"), ["is no regular file", "name another"]),
        ("/".to_owned() + &"a".repeat(300), ["File name too long", "name a status file"]),
    ] {
        setup.refuses(&[("STATUS_FILE", &path)], &words).await.unwrap();
    }
    assert!(!Path::new(&setup.path("elsewhere")).exists());
}

/// Charts and templates leave them behind.
#[tokio::test]
async fn what_the_app_cannot_be_told_or_asked() {
    let setup = Setup::new().await.unwrap();
    for (setting, flag) in [("HTTP_ADDRESS", "--http-address"), ("OBSERVE_ADDRESS", "--observe-address")] {
        for address in ["127.0.0.1", "127.0.0.1:99999", "somewhere:4040", "http://127.0.0.1:4040"] {
            setup
                .refuses(&[(setting, address)], &["invalid value", flag, "no address and port such as"])
                .await
                .unwrap();
        }
    }
    setup
        .refuses(&[("HEALTH_FILE", "/a"), ("HEALTH_URL", "http://127.0.0.1/")], &["both HEALTH_FILE and HEALTH_URL"])
        .await
        .unwrap();
    for url in ["https://127.0.0.1/", "http://x:99999/", "http://x:/", "http://x:0/", "http://[::1/", "http://a..b/"] {
        setup.refuses(&[("HEALTH_URL", url)], &["is no URL such as http://", "https", url]).await.unwrap();
    }
    for number in ["0", "-1", "1.5", "two"] {
        setup.refuses(&[("HEALTH_PERIOD_SECONDS", number)], &["--health-period-seconds"]).await.unwrap();
        setup.refuses(&[("HOOK_TIMEOUT_SECONDS", number)], &["--hook-timeout-seconds"]).await.unwrap();
    }
    for setting in ["ON_ACQUIRED", "ON_LOST"] {
        let words = [setting, "has quotes", "name a script that does the work"];
        setup.refuses(&[(setting, r#"sh -c "touch /tmp/leads""#)], &words).await.unwrap();
    }
    let exec = ["exec", "--", "true"].map(str::to_owned);
    let said = setup.refusal(&[("ON_ACQUIRED", "/bin/true")], &exec).await.unwrap();
    assert!(said.contains("the command is what is run and ended"), "{said}");
}

#[tokio::test]
async fn a_variable_that_is_empty_counts_as_not_set() {
    let setup = Setup::new().await.unwrap();
    let settings =
        ["LEASE_DURATION_SECONDS", "RELEASE_DELAY_SECONDS", "LOG_FORMAT", "LOG_LEVEL", "IDENTITY", "POD_UID"];
    let empty: Vec<_> = settings.into_iter().map(|setting| (setting, "")).collect();
    setup.refuses(&[&empty[..], &[("KUBECONFIG", "/none")]].concat(), &["kubeconfig"]).await.unwrap();
}

#[tokio::test]
async fn a_disk_without_room() {
    let setup = Setup::new().await.unwrap();
    // No file may be longer than 0 bytes, which is as good as a full disk.
    let script = r#"trap "" XFSZ; ulimit -f 0; exec "$0""#;
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(setup.agent).env_clear().envs(setup.environment());
    let output = timeout(PATIENCE, command.output()).await.unwrap().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("failed to write beside") && said.contains("with room in it"), "{said}");
}

#[tokio::test]
async fn no_way_to_the_api_server_and_what_was_left_behind_is_removed_all_the_same() {
    let setup = Setup::new().await.unwrap();
    fs::write(setup.path("garbage"), "{\n\n:").unwrap();
    fs::write(setup.path("nobody"), "{clusters: [], users: [], contexts: [], current-context: none}").unwrap();
    for kubeconfig in ["/none".to_owned(), String::new(), setup.path("garbage"), setup.path("nobody")] {
        fs::write(setup.path("leader_status"), "stale").unwrap();
        fs::write(setup.path("leader_status.json"), "stale").unwrap();
        setup.refuses(&[("KUBECONFIG", &kubeconfig)], &["kubeconfig"]).await.unwrap();
        assert!(!Path::new(&setup.path("leader_status")).exists());
        assert!(!Path::new(&setup.path("leader_status.json")).exists());
    }
}

#[tokio::test]
async fn an_api_server_on_a_port_that_there_cannot_be() {
    let setup = Setup::new().await.unwrap();
    let kubeconfig = fs::read_to_string(setup.path("kubeconfig")).unwrap();
    for port in ["99999", "0"] {
        fs::write(setup.path("other"), kubeconfig.replace("127.0.0.1:9", &format!("127.0.0.1:{port}"))).unwrap();
        setup.refuses(&[("KUBECONFIG", &setup.path("other"))], &["API server", "1 to 65535"]).await.unwrap();
    }
}

/// As when a container is restarted with settings that were edited meanwhile.
#[tokio::test]
async fn whatever_else_is_wrong_what_was_left_behind_is_removed() {
    let setup = Setup::new().await.unwrap();
    for (settings, arguments) in [
        (vec![("RENEW_DEADLINE_SECONDS", "12")], vec![]),
        (vec![("RETRY_PERIOD_SECONDS", "two")], vec![]),
        (vec![("LEASE_NAME", "")], vec![]),
        (vec![("LOG_LEVEL", "a=b=c")], vec![]),
        (vec![], vec!["--leese-name=a".to_owned()]),
    ] {
        fs::write(setup.path("leader_status"), "stale").unwrap();
        setup.refusal(&settings, &arguments).await.unwrap();
        assert!(!Path::new(&setup.path("leader_status")).exists(), "{settings:?} {arguments:?}");
    }
}

#[tokio::test]
async fn two_agents_on_one_status_path() {
    let setup = Setup::new().await.unwrap();
    let first = Process::new(setup.agent.to_owned(), Vec::new(), setup.folder.path().join("log"))
        .with_environment(setup.environment());
    first.start().unwrap();
    let log = || fs::read_to_string(setup.path("log")).unwrap();
    timeout(Duration::from_secs(10), async {
        while !log().contains("contending") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
    setup.refuses(&[], &["leader_status.lock is locked", "give each agent one of its own"]).await.unwrap();
    assert_eq!(first.exited().unwrap(), None);
}

/// The volume may be one that apps wrote to before.
#[tokio::test]
async fn a_program_is_installed_through_no_link() {
    let setup = Setup::new().await.unwrap();
    fs::write(setup.path("elsewhere"), "untouched").unwrap();
    symlink(setup.path("elsewhere"), setup.path("elector-agent.tmp")).unwrap();
    let status = setup.command(&[], &["install".to_owned(), setup.path("")]).status().await.unwrap();
    assert!(status.success());
    assert_eq!(fs::read_to_string(setup.path("elsewhere")).unwrap(), "untouched");
    let installed = std::process::Command::new(setup.path("elector-agent")).arg("--version").output().unwrap();
    assert!(installed.status.success());
}

#[tokio::test]
async fn the_exit_code_is_the_same_if_nobody_can_read_why() {
    let setup = Setup::new().await.unwrap();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let status = setup.command(&[("LEASE_NAME", "")], &[]).stderr(full).status().await.unwrap();
    assert_eq!(status.code(), Some(2));
}
