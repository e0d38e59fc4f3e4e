//! The examples of the Service: clients that ask the leader by it, while the leader changes, falls silent, or is nobody.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::http::StatusCode;
use elector_harness::candidate::{Candidate, leader};
use elector_harness::controlplane::Namespace;
use elector_harness::operators::{contended, short_timings};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::ListParams;
use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::examples::{App, LANGUAGES, SAID, TAKEOVER, example, until};
use crate::manifests::{LEARNING, manifest};

/// A client gives up after two seconds, and asks twice a second: on a machine that is busy.
const HEARD: Duration = Duration::from_secs(20);
const NOBODY: &str = "nobody";

/// What the leader's app does with requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// 200 and its pod's name on the leader, else 503.
    Looks,
    /// 503, as if the Service still led to it.
    Refuses,
    Hangs,
}

/// The app of a pod: its address.
async fn serve(pod: &Candidate, manner: watch::Receiver<Manner>) -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let (name, status_file) = (pod.name().to_owned(), pod.status_file());
    let answer = move || answer(name.clone(), status_file.clone(), manner.clone());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    Ok(address)
}

async fn answer(name: String, status_file: PathBuf, mut manner: watch::Receiver<Manner>) -> (StatusCode, String) {
    let now = *manner.borrow_and_update();
    if now == Manner::Hangs {
        // Nobody listens any more when it comes back: a client that waited for longer than it says would.
        _ = manner.changed().await;
    }
    if now == Manner::Looks && status_file.is_file() {
        (StatusCode::OK, name)
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, String::new())
    }
}

/// What a node makes of a Service: each connection goes to the pod that its slices name by then, and ends if there is none.
/// `apps` has the apps by the addresses of their pods.
async fn proxy(listener: TcpListener, namespace: Namespace<'static>, apps: BTreeMap<String, SocketAddr>) -> Result<()> {
    let slices = namespace.api::<EndpointSlice>();
    let of_service = ListParams::default().labels("kubernetes.io/service-name=billing-leader");
    loop {
        let (mut client, _) = listener.accept().await?;
        let (slices, of_service, apps) = (slices.clone(), of_service.clone(), apps.clone());
        tokio::spawn(async move {
            let mut slices = slices.list(&of_service).await?.items.into_iter();
            let found = slices.find_map(|slice| {
                let address = slice.endpoints.first()?.addresses.first()?.clone();
                Some((address, slice.ports?.first()?.port?))
            });
            let Some((address, 8080)) = found else { return Ok(()) };
            let app = apps.get(&address).with_context(|| format!("{address} is no pod's"))?;
            copy_bidirectional(&mut client, &mut TcpStream::connect(app).await?).await?;
            anyhow::Ok(())
        });
    }
}

/// Who leads, by what a client has said last.
fn last(log: &str) -> Option<&str> {
    log.lines().filter_map(|line| line.strip_prefix("leader: ")).next_back()
}

async fn until_told(apps: &[App], who: &str, patience: Duration) -> Result<()> {
    until(apps, who, |log| last(log) == Some(who), patience).await
}

/// The spec that is shown, with short timings.
fn shown() -> Result<Value> {
    let mut spec = short_timings();
    spec["leaderService"] = manifest(LEARNING, "## Service")?["spec"]["leaderService"].clone();
    Ok(spec)
}

#[tokio::test]
async fn who_asks_by_the_service_goes_on_until_the_next_leader_answers() {
    let (namespace, election, mut candidates) = contended("example-service").await.unwrap();
    let (manner, receiver) = watch::channel(Manner::Looks);
    let mut servers = BTreeMap::new();
    for (number, candidate) in candidates.iter().enumerate() {
        let address = format!("10.0.9.1{number}");
        let status = json!({"podIP": address, "podIPs": [{"ip": address}]});
        namespace.patch_pod_status(candidate.name(), status).await.unwrap();
        servers.insert(address, serve(candidate, receiver.clone()).await.unwrap());
    }
    election.apply(shown().unwrap()).await.unwrap();

    // Connections are refused at first: nobody listens where the Service is to be.
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
    let mut apps = Vec::new();
    for language in LANGUAGES {
        let environment = ("LEADER_URL".to_owned(), format!("http://{address}"));
        apps.push(App::start("service", language, &[environment]).await.unwrap());
    }
    until_told(&apps, NOBODY, SAID).await.unwrap();
    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(proxy(listener, namespace.clone(), servers));
    until_told(&apps, "billing-0", HEARD).await.unwrap();

    for ill in [Manner::Hangs, Manner::Refuses] {
        manner.send_replace(ill);
        until_told(&apps, NOBODY, HEARD).await.unwrap();
        manner.send_replace(Manner::Looks);
        until_told(&apps, "billing-0", HEARD).await.unwrap();
    }

    // Its app lives on, and so do connections to it.
    candidates[0].process().terminate().unwrap();
    candidates[0].ends_within(TAKEOVER).await.unwrap();
    let next = leader(&candidates, TAKEOVER).await.unwrap().name().to_owned();
    assert_ne!(next, "billing-0");
    until_told(&apps, &next, HEARD).await.unwrap();

    let mut paused = shown().unwrap();
    paused["paused"] = json!(true);
    election.apply(paused).await.unwrap();
    until_told(&apps, NOBODY, HEARD).await.unwrap();
    candidates.retain(|candidate| candidate.name() != next);
    election.apply(shown().unwrap()).await.unwrap();
    let last = leader(&candidates, TAKEOVER).await.unwrap().name().to_owned();
    until_told(&apps, &last, HEARD).await.unwrap();
}

#[test]
fn clients_ask_the_service_that_is_shown_if_they_are_told_of_no_other() {
    let service = &shown().unwrap()["leaderService"];
    assert_eq!(service["ports"][0]["port"], 80, "the port of http");
    let url = format!("http://{}\"", service["name"].as_str().unwrap());
    for language in LANGUAGES {
        let text = fs::read_to_string(example("service", language.file)).unwrap().replace('}', "\"");
        assert!(text.contains(&url), "{}: {url}", language.file);
    }
}
