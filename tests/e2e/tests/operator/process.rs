//! The program: what it answers, and what it does not start with.

use std::process::{Command, Output};

use anyhow::Result;
use elector_harness::controlplane::ControlPlane;
use elector_harness::hostile::{flood, most_resident};
use elector_harness::operators::{Operators, arguments};
use elector_xtask::programs::Programs;

async fn run(variables: &[(&str, &str)], arguments: Vec<String>) -> Result<Output> {
    let mut command = Command::new(&Programs::built().await?.operator);
    command.env_clear().envs(variables.iter().copied()).args(arguments);
    Ok(tokio::task::spawn_blocking(move || command.output()).await??)
}

/// Exit code and the one line on stderr that says what is wrong; the log is left out.
fn said(output: &Output) -> (Option<i32>, String) {
    let text = String::from_utf8_lossy(&output.stderr);
    let errors: Vec<&str> = text.lines().filter(|line| line.starts_with("error")).collect();
    (output.status.code(), errors.join("\n"))
}

#[tokio::test]
async fn it_says_what_it_cannot_start_with_and_exits_with_2() {
    refused().await.unwrap();
}

async fn refused() -> Result<()> {
    let kubeconfig = ControlPlane::shared().await?.kubeconfig();
    let kubeconfig = [("KUBECONFIG", kubeconfig.to_str().expect("it is UTF-8"))];
    let address = |address: &str| format!("--health-address={address}");

    let (code, error) = said(&run(&kubeconfig, vec![address("127.0.0.1:0")]).await?);
    assert_eq!(code, Some(2));
    assert_eq!(
        error,
        "error: no namespace found: set LEASE_NAMESPACE or --lease-namespace, or run in a pod with a service account token"
    );

    // As the chart sets them where there is nothing to say.
    let unset = [kubeconfig[0], ("FEATURES", ""), ("WATCH_NAMESPACES", ""), ("LOG_LEVEL", ""), ("LEASE_NAMESPACE", "")];
    assert_eq!(said(&run(&unset, vec![address("127.0.0.1:0")]).await?), (code, error));

    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?;
    let namespaced = vec!["--lease-namespace=default".to_owned(), address(&port.to_string())];
    let (code, error) = said(&run(&kubeconfig, namespaced).await?);
    assert_eq!(code, Some(2));
    assert!(error.starts_with(&format!("error: failed to serve {port}: ")), "{error}");

    for wrong in ["127.0.0.1:99999", "127.0.0.1", "somewhere:8080", "http://127.0.0.1:8080", "[::1:8080", ""] {
        let output = run(&kubeconfig, vec!["--lease-namespace=default".to_owned(), address(wrong)]).await?;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), error.lines().count()), (Some(2), 1), "{error}");
        assert!(error.starts_with("error: ") && error.contains("--health-address"), "{error}");
    }

    let slow = vec!["--lease-namespace=default".to_owned(), "--renew-deadline-seconds=15".to_owned()];
    let (code, error) = said(&run(&kubeconfig, slow).await?);
    assert_eq!(code, Some(2));
    assert!(error.contains("renewDeadlineSeconds is 15"), "{error}");

    let (code, error) = said(&run(&[("HOME", "/nonexistent")], arguments("default")).await?);
    assert_eq!(code, Some(2));
    assert_eq!(error.lines().count(), 1, "{error}");
    Ok(())
}

#[tokio::test]
async fn it_answers_for_its_health_and_ends_with_0() {
    healthy().await.unwrap();
}

async fn healthy() -> Result<()> {
    let plane = ControlPlane::start(Default::default()).await?;
    let operators = Operators::install(&plane).await?;
    let operator = operators.leader("one").await?;
    assert_eq!(operator.answer("/healthz").await?, (200, "ok".to_owned()));
    assert_eq!(operator.answer("/readyz").await?, (200, "ok".to_owned()));
    assert_eq!(operator.answer("/").await?.0, 404);
    operator.process().stop().await?;
    assert_eq!(operator.process().exited()?.and_then(|status| status.code()), Some(0), "{}", operator.log());
    assert!(!operator.leads().await?, "it has released");

    // Without rights it is healthy, for a restart would not help, but not ready, and says what is missing.
    let roles = kube::Api::<k8s_openapi::api::rbac::v1::ClusterRoleBinding>::all(plane.client().await?);
    roles.delete(elector_harness::operators::OPERATOR, &Default::default()).await?;
    let blind = operators.replica("two").await?;
    blind.process().start()?;
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(15);
    while !blind.log().contains("watch failed") {
        anyhow::ensure!(tokio::time::Instant::now() < deadline, "{}", blind.log());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(blind.answer("/healthz").await?.0, 200);
    assert_eq!(blind.answer("/readyz").await?, (503, "still listing".to_owned()));
    Ok(())
}

/// How much more memory hostile clients may make it use, in KiB.
const MORE: u64 = 16 * 1024;

#[tokio::test]
async fn hostile_clients_cost_it_neither_its_health_nor_its_lease_nor_memory() {
    flooded().await.unwrap();
}

async fn flooded() -> Result<()> {
    let plane = ControlPlane::start(Default::default()).await?;
    let operators = Operators::install(&plane).await?;
    let operator = operators.leader("flooded").await?;
    let id = operator.process().id().and_then(|id| rustix::process::Pid::from_raw(id.try_into().ok()?));
    let id = id.expect("it was started");
    operator.answer("/metrics").await?;
    let before = most_resident(id)?;

    let answers = flood(operator.address()?, "/metrics").await?;
    let after = most_resident(id)?;
    println!("memory: {before} KiB, then {after} KiB");
    answers.are_quick();
    assert!(after <= before + MORE, "{before} KiB, then {after} KiB");
    assert!(operator.leads().await?, "{}", operator.log());
    assert!(!operator.log().contains("lost leadership"), "{}", operator.log());
    assert!(operator.answer("/metrics").await?.1.ends_with("# EOF\n"), "a scrape is answered in full");
    Ok(())
}
