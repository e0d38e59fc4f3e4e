//! The event objects of planned events.

use elector_crds::display_text::shown;
use elector_crds::{LeaderElection, TRANSFER_ANNOTATION};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1 as api;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::{Resource, ResourceExt};

use crate::index::ClockReading;
use elector_crds::event::ElectionEvent;
use elector_crds::ownership::OPERATOR_NAME;

/// The longest name of a reporter that the API takes, in bytes.
const MAX_INSTANCE: usize = 128;

/// The object for `event` of `election`, reported by the replica called `reporter`.
///
/// kube's Recorder is not used, because it makes up names: events of elections have names of their own, so that none is
/// created twice.
#[must_use]
pub fn object(election: &LeaderElection, event: &ElectionEvent, reporter: &str, now: ClockReading) -> api::Event {
    let related = event.related_pod.as_ref().map(|(name, uid)| ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        name: Some(name.clone()),
        namespace: election.namespace(),
        uid: Some(uid.clone()),
        ..ObjectReference::default()
    });
    api::Event {
        metadata: ObjectMeta {
            name: Some(event.name.clone()),
            namespace: election.namespace(),
            annotations: event.asked_for.clone().map(|target| [(TRANSFER_ANNOTATION.to_owned(), target)].into()),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(now.wall)),
        type_: Some(if event.reason.is_warning() { "Warning" } else { "Normal" }.to_owned()),
        reason: Some(event.reason.as_str().to_owned()),
        action: Some("Reconcile".to_owned()),
        note: Some(event.note.clone()),
        regarding: Some(ObjectReference { resource_version: None, ..election.object_ref(&()) }),
        related,
        reporting_controller: Some(format!("{}/operator", elector_crds::GROUP)),
        reporting_instance: Some(instance(reporter)),
        ..api::Event::default()
    }
}

fn instance(reporter: &str) -> String {
    let reporter = if reporter.is_empty() { OPERATOR_NAME } else { reporter };
    shown(reporter, MAX_INSTANCE).into_owned()
}
