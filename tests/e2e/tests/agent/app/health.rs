//! An app that is not well neither contends nor leads.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use elector_crds::ReleaseReason;
use elector_harness::candidate::{Candidate, leader};
use elector_harness::controlplane::Namespace;
use elector_xtask::scratch::Scratch;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::{SOON, START, candidate, namespace};

/// Two looks, a second apart, and what the hand-over takes.
const STEP_DOWN: Duration = Duration::from_secs(4);

/// An agent whose app is well while a file is there.
struct Patient {
    candidate: Candidate,
    file: PathBuf,
    _folder: Scratch,
}

impl Patient {
    async fn start(namespace: &Namespace<'_>, pod: &str, well: bool, grace: &str) -> Result<Patient> {
        let folder = Scratch::new()?;
        let file = folder.path().join("well");
        if well {
            fs::write(&file, "")?;
        }
        let path = file.display().to_string();
        let settings = [
            ("HEALTH_FILE", &*path),
            ("HEALTH_PERIOD_SECONDS", "1"),
            ("HEALTH_FAILURE_THRESHOLD", "2"),
            ("HEALTH_GRACE_SECONDS", grace),
        ];
        let candidate = candidate(namespace, pod, &settings).await?;
        Ok(Patient { candidate, file, _folder: folder })
    }
}

#[tokio::test]
async fn an_app_that_falls_ill_hands_over_and_contends_again_when_it_is_well() {
    let namespace = namespace("health").await.unwrap();
    let first = Patient::start(&namespace, "a-0", true, "3600").await.unwrap();
    first.candidate.leads_within(START).await.unwrap();
    let second = Patient::start(&namespace, "a-1", true, "3600").await.unwrap();
    second.candidate.says_within("contending again", START).await.unwrap();

    let begun = Instant::now();
    fs::remove_file(&first.file).unwrap();
    second.candidate.leads_within(STEP_DOWN).await.unwrap();
    println!("another led {:?} after the app fell ill", begun.elapsed());
    // One failed look is not enough.
    assert!(begun.elapsed() > Duration::from_secs(1), "{:?}", begun.elapsed());
    assert!(!first.candidate.leads());
    assert_eq!(first.candidate.said("stepped down").len(), 1, "{}", first.candidate.log());

    fs::write(&first.file, "").unwrap();
    sleep(Duration::from_millis(1500)).await;
    assert!(second.candidate.leads(), "who is well again takes nothing from anybody");
    fs::remove_file(&second.file).unwrap();
    first.candidate.leads_within(STEP_DOWN).await.unwrap();
}

#[tokio::test]
async fn an_app_that_was_never_well_leaves_the_lease_to_others() {
    let namespace = namespace("health-start").await.unwrap();
    let ill = Patient::start(&namespace, "a-0", false, "3600").await.unwrap();
    sleep(Duration::from_secs(3)).await;
    assert!(!ill.candidate.leads());
    assert_eq!(namespace.lease("a").await.unwrap().record.holder, "");
    fs::write(&ill.file, "").unwrap();
    ill.candidate.leads_within(Duration::from_secs(2)).await.unwrap();
}

#[tokio::test]
async fn if_all_are_ill_one_leads_after_the_grace_and_goes_on() {
    let namespace = namespace("health-all").await.unwrap();
    let begun = Instant::now();
    let candidates = [
        Patient::start(&namespace, "a-0", false, "3").await.unwrap().candidate,
        Patient::start(&namespace, "a-1", false, "3").await.unwrap().candidate,
    ];
    let leads = leader(&candidates, Duration::from_secs(6)).await.unwrap();
    assert!(begun.elapsed() > Duration::from_secs(3), "{:?}", begun.elapsed());
    let since = leads.leads_since().unwrap();
    sleep(Duration::from_secs(4)).await;
    assert_eq!(leader(&candidates, SOON).await.unwrap().leads_since().unwrap(), since);
}

#[tokio::test]
async fn an_app_can_say_so_by_http() {
    let (health, says) = watch::channel(StatusCode::NO_CONTENT);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/healthz?deep", listener.local_addr().unwrap());
    let answer = get(move || {
        let status = *says.borrow();
        async move { status }
    });
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/healthz", answer)).await });

    let namespace = namespace("health-url").await.unwrap();
    let settings = [("HEALTH_URL", &*url), ("HEALTH_PERIOD_SECONDS", "1"), ("HEALTH_FAILURE_THRESHOLD", "2")];
    let first = candidate(&namespace, "a-0", &settings).await.unwrap();
    first.leads_within(START).await.unwrap();
    health.send_replace(StatusCode::INTERNAL_SERVER_ERROR);
    first.yields_within(STEP_DOWN).await.unwrap();
    first.says_within("answered 500", SOON).await.unwrap();
    let begun = Instant::now();
    while !namespace.lease("a").await.unwrap().record.holder.is_empty() {
        assert!(begun.elapsed() < SOON, "it is not released");
    }
    assert_eq!(namespace.release_reason("a").await.unwrap(), Some(ReleaseReason::AppUnhealthy));
    health.send_replace(StatusCode::OK);
    first.leads_within(STEP_DOWN).await.unwrap();
    assert_eq!(namespace.release_reason("a").await.unwrap(), None, "it is said of the last tenure alone");
    first.process().stop().await.unwrap();
    assert_eq!(namespace.release_reason("a").await.unwrap(), Some(ReleaseReason::Stopped));
}
