//! The metadata of an object that others may have written.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

use super::JsonFields;

/// Reads `metadata` without `managedFields`: an update without them leaves them as they are, and the API server stores
/// times in them that are outside the range of a [`Timestamp`].
pub(super) fn read_metadata(json: &str) -> ObjectMeta {
    let fields = JsonFields::of(json);
    ObjectMeta {
        annotations: texts(&fields, "annotations"),
        creation_timestamp: time(&fields, "creationTimestamp"),
        deletion_grace_period_seconds: fields.read("deletionGracePeriodSeconds"),
        deletion_timestamp: time(&fields, "deletionTimestamp"),
        finalizers: some(fields.items("finalizers")),
        generate_name: fields.read("generateName"),
        generation: fields.read("generation"),
        labels: texts(&fields, "labels"),
        managed_fields: None,
        name: fields.read("name"),
        namespace: fields.read("namespace"),
        owner_references: some(fields.items("ownerReferences")),
        resource_version: fields.read("resourceVersion"),
        self_link: None,
        uid: fields.read("uid"),
    }
}

/// The entries of a map whose values are texts.
fn texts(fields: &JsonFields<'_>, name: &str) -> Option<BTreeMap<String, String>> {
    let entries = JsonFields::of(fields.json(name)?);
    let texts = entries.all().filter_map(|(key, json)| Some((key.to_owned(), serde_json::from_str(json).ok()?)));
    Some(texts.collect())
}

/// Reads a time. A time that is set but cannot be read counts as set: most readers ask only whether there is one.
fn time(fields: &JsonFields<'_>, name: &str) -> Option<Time> {
    fields.json(name)?;
    Some(fields.read(name).unwrap_or(Time(Timestamp::MAX)))
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}
