//! The commands `transfer`, `pause` and `resume`: they ask the operator by a write that any user may make, and wait for
//! the result.

use std::collections::BTreeSet;
use std::time::Duration;

use elector_crds::conditions::{ConditionType, Reason};
use elector_crds::display_text::{MAX_NAME, shown};
use elector_crds::event::EventReason;
use elector_crds::{LeaderElection, TRANSFER_ANNOTATION};
use k8s_openapi::api::events::v1::Event;
use kube::ResourceExt as _;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::lenient::{Lenient, readable};
use crate::live::{Leads, LiveView, Sights, Until};
use crate::print::{note, print};
use elector_program::failure::Failure;

/// The target of a request for any other candidate.
const ANYBODY: &str = "*";

/// The field manager of the plugin's writes. Flux takes back the writes of managers whose names begin with `kubectl`.
const FIELD_MANAGER: &str = "leader-elector-plugin";

/// Labels and annotations that other tools put on objects which they keep as a source says, each with the name of the
/// tool.
const OWNERS: [(&str, &str); 5] = [
    ("kustomize.toolkit.fluxcd.io/name", "Flux"),
    ("helm.toolkit.fluxcd.io/name", "Flux"),
    ("argocd.argoproj.io/tracking-id", "Argo CD"),
    ("argocd.argoproj.io/instance", "Argo CD"),
    ("meta.helm.sh/release-name", "Helm"),
];

/// How long to look for the present leader before a request is made without knowing it.
const FIRST_LOOK_TIMEOUT: Duration = Duration::from_secs(3);

/// Asks for the leader `to`, or for any other, and prints the operator's answer. A pod that leads already is not asked
/// for.
///
/// # Errors
/// If the request is refused, or the operator does not answer; then the request is taken back.
pub(crate) async fn transfer(
    cluster: &Cluster,
    name: &str,
    to: Option<&str>,
    timeout: Duration,
) -> Result<(), Failure> {
    let target = to.unwrap_or(ANYBODY);
    let uid = cluster.election(name).await?.uid().unwrap_or_default();
    if let Some(to) = to
        && let Until::Holds(live) = Sights::of(cluster, name).until(FIRST_LOOK_TIMEOUT.min(timeout), |_| true).await
        && let Leads::Somebody { name, .. } = live.leads()
        && name == to
    {
        return print(&format!("{} leads already\n", crate::style::printable(to)));
    }
    // By their names, for clocks differ: the same answer to an earlier request is none to this one.
    let earlier: BTreeSet<String> = answers(cluster, &uid).await?.iter().map(Event::name_any).collect();
    patch(cluster, name, &json!({"metadata": {"annotations": {TRANSFER_ANNOTATION: target}}})).await?;

    let asks =
        |election: &LeaderElection| election.annotations().get(TRANSFER_ANNOTATION).map(String::as_str) == Some(target);
    match Sights::of(cluster, name).until(timeout, |live| !asks(&live.election)).await {
        Until::Holds(_) => {}
        Until::TimeIsOver(last) => {
            let last = last.filter(|last| asks(&last.election));
            let why =
                last.as_ref().and_then(|last| last.obstacle()).unwrap_or("see whether the operator runs").to_owned();
            let said = match last {
                Some(last) if take_back(cluster, name, &last.election).await.is_ok() => "the request is taken back",
                Some(_) | None => "the request stays",
            };
            let within = timeout.as_secs();
            return Err(Failure::failed(format!("the operator has not answered within {within} s, and {said}: {why}")));
        }
        Until::Gone => return Err(gone(name)),
    }
    let answers = answers(cluster, &uid).await?;
    let asked_for = shown(target, MAX_NAME);
    let answer = answers.iter().find(|event| {
        let answers_to = event.annotations().get(TRANSFER_ANNOTATION);
        !earlier.contains(&event.name_any()) && answers_to.map(String::as_str) == Some(&*asked_for)
    });
    match answer.map(|event| (is_of(event, EventReason::TransferCompleted), event.note.as_deref().unwrap_or_default()))
    {
        Some((true, note)) => print(&format!("{}\n", crate::style::printable(note))),
        Some((false, note)) => Err(Failure::failed(format!("refused: {note}"))),
        None => Err(Failure::failed(format!(
            "the request is gone, but no event says why: somebody else has removed it, or the operator may not create \
             events; see kubectl election status {name}"
        ))),
    }
}

/// The events by which the operator has answered requests for another leader.
async fn answers(cluster: &Cluster, uid: &str) -> Result<Vec<Event>, Failure> {
    let about = ListParams::default().fields(&format!("regarding.uid={uid}"));
    let mut events = readable(cluster.ask("list events", cluster.api::<Lenient<Event>>().list(&about)).await?);
    events.retain(|event| is_of(event, EventReason::TransferCompleted) || is_of(event, EventReason::TransferRefused));
    Ok(events)
}

fn is_of(event: &Event, reason: EventReason) -> bool {
    event.reason.as_deref() == Some(reason.as_str())
}

/// Takes a request back, unless the election has changed since.
async fn take_back(cluster: &Cluster, name: &str, election: &LeaderElection) -> Result<(), Failure> {
    let version = election.resource_version();
    let without = json!({"metadata": {"resourceVersion": version, "annotations": {TRANSFER_ANNOTATION: null}}});
    patch(cluster, name, &without).await.map(drop)
}

/// Pauses the election, and waits until no candidate leads.
///
/// # Errors
/// If a candidate still leads at the end.
pub(crate) async fn pause(cluster: &Cluster, name: &str, timeout: Duration) -> Result<(), Failure> {
    warn_of_owner(&cluster.election(name).await?, name);
    let asked = patch(cluster, name, &json!({"spec": {"paused": true}})).await?;
    let generation = asked.metadata.generation;
    let is_done = |live: &LiveView| {
        // Without the operator's word somebody might just be about to take over.
        let told = live.condition(ConditionType::LeaderElected);
        live.is_answer_to(generation)
            && told.is_some_and(|told| told.reason == Reason::Paused.as_str())
            && matches!(live.leads(), Leads::Nobody(_))
    };
    let last = match Sights::of(cluster, name).until(timeout, is_done).await {
        Until::Holds(_) => return print(&format!("{name} is paused: nobody leads\n")),
        Until::TimeIsOver(last) => last,
        Until::Gone => return Err(gone(name)),
    };
    Err(unfinished(last, generation, timeout, |leads| match leads {
        Leads::Somebody { name, .. } => {
            format!("{name} still leads; candidates of client-go's do not follow a pause")
        }
        Leads::Nobody(why) => format!("nobody leads, but not for the pause: {why}"),
    }))
}

/// Ends a pause, and waits until a candidate leads.
///
/// # Errors
/// If no candidate leads at the end.
pub(crate) async fn resume(cluster: &Cluster, name: &str, timeout: Duration) -> Result<(), Failure> {
    warn_of_owner(&cluster.election(name).await?, name);
    let asked = patch(cluster, name, &json!({"spec": {"paused": false}})).await?;
    let generation = asked.metadata.generation;
    let is_done = |live: &LiveView| live.is_answer_to(generation) && matches!(live.leads(), Leads::Somebody { .. });
    let last = match Sights::of(cluster, name).until(timeout, is_done).await {
        Until::Holds(live) => match live.leads() {
            Leads::Somebody { name: holder, .. } => {
                return print(&format!("{name} goes on: {} leads\n", crate::style::printable(&holder)));
            }
            Leads::Nobody(_) => Some(live),
        },
        Until::TimeIsOver(last) => last,
        Until::Gone => return Err(gone(name)),
    };
    Err(unfinished(last, generation, timeout, |leads| match leads {
        Leads::Somebody { name, .. } => format!("{name} leads"),
        Leads::Nobody(why) => format!("nobody leads: {why}; see kubectl election status {name}"),
    }))
}

async fn patch(cluster: &Cluster, name: &str, change: &Value) -> Result<LeaderElection, Failure> {
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let api = cluster.api::<Lenient<LeaderElection>>();
    let patched = cluster.ask("change the LeaderElection", api.patch(name, &parameters, &Patch::Merge(change))).await?;
    patched.into_readable().ok_or_else(|| Failure::failed(format!("LeaderElection {name} cannot be read")))
}

/// Prints which tool may write `spec.paused` again, if there is one.
fn warn_of_owner(election: &LeaderElection, name: &str) {
    let has = |mark: &str| election.labels().contains_key(mark) || election.annotations().contains_key(mark);
    if let Some(owner) = OWNERS.into_iter().find_map(|(mark, tool)| has(mark).then_some(tool)) {
        note(&format!(
            "warning: {owner} manages {name}: if its manifest sets spec.paused, the next sync overwrites this"
        ));
    }
}

fn gone(name: &str) -> Failure {
    Failure::failed(format!("LeaderElection {name} was deleted"))
}

/// The failure after the time is over. What was asked for is not taken back.
fn unfinished(
    last: Option<Box<LiveView>>,
    generation: Option<i64>,
    timeout: Duration,
    said: impl Fn(Leads) -> String,
) -> Failure {
    let why = match last {
        Some(last) if last.is_answer_to(generation) => match last.obstacle() {
            Some(obstacle) => match last.leads() {
                Leads::Somebody { name, .. } => format!("{name} leads; {obstacle}"),
                Leads::Nobody(_) => obstacle.to_owned(),
            },
            None => said(last.leads()),
        },
        Some(_) | None => "the operator has not looked at it; see whether it runs".to_owned(),
    };
    Failure::failed(format!("not within {} s: {why}", timeout.as_secs()))
}
