//! The metadata of an object that others may have written.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{items, part};

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Parts<'a> {
    #[serde(borrow)]
    annotations: Option<&'a RawValue>,
    #[serde(borrow)]
    creation_timestamp: Option<&'a RawValue>,
    #[serde(borrow)]
    deletion_grace_period_seconds: Option<&'a RawValue>,
    #[serde(borrow)]
    deletion_timestamp: Option<&'a RawValue>,
    #[serde(borrow)]
    finalizers: Option<&'a RawValue>,
    #[serde(borrow)]
    generate_name: Option<&'a RawValue>,
    #[serde(borrow)]
    generation: Option<&'a RawValue>,
    #[serde(borrow)]
    labels: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    namespace: Option<&'a RawValue>,
    #[serde(borrow)]
    owner_references: Option<&'a RawValue>,
    #[serde(borrow)]
    resource_version: Option<&'a RawValue>,
    #[serde(borrow)]
    uid: Option<&'a RawValue>,
}

/// Reads `metadata`, whatever stands in it. Of `managedFields` nothing is read: an update without them leaves them as they are, and
/// the API server stores times in them that end the range of a [`Timestamp`].
#[must_use]
pub fn read_metadata(json: &str) -> ObjectMeta {
    let parts: Parts<'_> = serde_json::from_str(json).unwrap_or_default();
    ObjectMeta {
        annotations: texts(parts.annotations),
        creation_timestamp: time(parts.creation_timestamp),
        deletion_grace_period_seconds: part(parts.deletion_grace_period_seconds),
        deletion_timestamp: time(parts.deletion_timestamp),
        finalizers: some(items(parts.finalizers)),
        generate_name: part(parts.generate_name),
        generation: part(parts.generation),
        labels: texts(parts.labels),
        managed_fields: None,
        name: part(parts.name),
        namespace: part(parts.namespace),
        owner_references: some(items::<OwnerReference>(parts.owner_references)),
        resource_version: part(parts.resource_version),
        self_link: None,
        uid: part(parts.uid),
    }
}

/// Of a map those entries that are texts.
fn texts(json: Option<&RawValue>) -> Option<BTreeMap<String, String>> {
    let entries: BTreeMap<String, &RawValue> = serde_json::from_str(json?.get()).ok()?;
    Some(entries.into_iter().filter_map(|(key, value)| Some((key, part(Some(value))?))).collect())
}

/// A time that is set but cannot be read is set all the same: whether there is one at all is what most readers ask.
fn time(json: Option<&RawValue>) -> Option<Time> {
    let json = json.filter(|json| json.get() != "null")?;
    Some(part(Some(json)).unwrap_or(Time(Timestamp::MAX)))
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}
