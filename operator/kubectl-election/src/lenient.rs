//! Whole objects that others may have written: what cannot be read is left out of the one object that has it.

use std::borrow::Cow;

use elector_crds::untrusted::JsonFields;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use kube::Resource;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::print::note;

/// An object in an answer of the API server, which never fails to be read. `Err` has the metadata of an object whose
/// rest cannot be read.
#[derive(Debug, Clone)]
pub(crate) struct Lenient<K>(Result<K, Box<ObjectMeta>>);

impl<K: Resource<DynamicType = ()>> Lenient<K> {
    /// The object; `None`, with a note to the user, if it cannot be read.
    pub(crate) fn into_readable(self) -> Option<K> {
        match self.0 {
            Ok(object) => Some(object),
            Err(metadata) => {
                note(&format!("{} {} cannot be read", K::kind(&()), metadata.name.unwrap_or_default()));
                None
            }
        }
    }
}

impl<'de, K: Resource + DeserializeOwned> Deserialize<'de> for Lenient<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Lenient(read(json.get())))
    }
}

impl<K: Resource> Resource for Lenient<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(dynamic)
    }

    fn group(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::group(dynamic)
    }

    fn version(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::version(dynamic)
    }

    fn plural(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(dynamic)
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.as_ref().map_or_else(|metadata| &**metadata, K::meta)
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.as_mut().map_or_else(|metadata| &mut **metadata, K::meta_mut)
    }
}

/// The objects of a list that can be read.
pub(crate) fn readable<K: Resource<DynamicType = ()>>(list: impl IntoIterator<Item = Lenient<K>>) -> Vec<K> {
    list.into_iter().filter_map(Lenient::into_readable).collect()
}

fn read<K: Resource + DeserializeOwned>(json: &str) -> Result<K, Box<ObjectMeta>> {
    let fields = JsonFields::of(json);
    let metadata = fields.metadata();
    let managed_fields = managed_fields(fields.json("metadata").unwrap_or_default());
    let mut object = values(&fields);
    object.insert("metadata".to_owned(), serde_json::to_value(&metadata).unwrap_or_default());
    let whole = serde_json::from_value::<K>(Value::Object(object.clone()));
    let read = whole.or_else(|_| {
        object.remove("status");
        serde_json::from_value::<K>(Value::Object(object))
    });
    let mut read = read.map_err(|_| Box::new(metadata))?;
    read.meta_mut().managed_fields = (!managed_fields.is_empty()).then_some(managed_fields);
    Ok(read)
}

/// The fields that can be read, with times cut to the range of a [`Timestamp`].
fn values(fields: &JsonFields<'_>) -> Map<String, Value> {
    let values = fields.all().filter_map(|(name, json)| Some((name.to_owned(), clamped(json)?)));
    values.collect()
}

/// The entries of `managedFields` that can be read: one may be nested more deeply than the parser goes.
fn managed_fields(metadata: &str) -> Vec<ManagedFieldsEntry> {
    let entries: Vec<Box<RawValue>> = JsonFields::of(metadata).items("managedFields");
    let entries = entries.iter().filter_map(|entry| serde_json::from_value(clamped(entry.get())?).ok());
    entries.collect()
}

fn clamped(json: &str) -> Option<Value> {
    let mut value = serde_json::from_str(json).ok()?;
    clamp_times(&mut value);
    Some(value)
}

/// Cuts times to the range of a [`Timestamp`]: the API server stores years outside of it.
fn clamp_times(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(clamp_times),
        Value::Array(items) => items.iter_mut().for_each(clamp_times),
        Value::String(text) if is_far(text) => {
            let nearest = if text.starts_with('9') { Timestamp::MAX } else { Timestamp::MIN };
            *text = nearest.to_string();
        }
        Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null => {}
    }
}

/// Whether `text` has the form of a time in the first or last year that a time can have.
fn is_far(text: &str) -> bool {
    let has_form = text.len() >= 20 && text.as_bytes()[4] == b'-' && text.as_bytes()[10] == b'T' && text.ends_with('Z');
    has_form && (text.starts_with("9999-") || text.starts_with("000")) && text.parse::<Timestamp>().is_err()
}

#[cfg(test)]
mod tests {
    use elector_crds::LeaderElection;
    use k8s_openapi::api::core::v1::Pod;
    use kube::ResourceExt as _;
    use serde_json::json;

    use super::*;

    fn lenient<K: Resource + DeserializeOwned>(object: &Value) -> Lenient<K> {
        serde_json::from_str(&object.to_string()).unwrap()
    }

    #[test]
    fn a_time_beyond_the_range_is_the_last_that_there_is() {
        let far = "9999-12-31T23:59:59Z";
        let pod: Lenient<Pod> = lenient(&json!({
            "metadata": {"name": "billing-0", "managedFields": [{"manager": "m", "time": far}, {"manager": 7}]},
            "status": {"phase": "Running", "startTime": far, "conditions": [
                {"type": "Ready", "status": "True", "lastTransitionTime": "0000-01-01T00:00:00Z"},
            ]},
        }));
        let pod = pod.into_readable().unwrap();
        assert_eq!(pod.managed_fields().len(), 1);
        let status = pod.status.unwrap();
        assert_eq!(status.start_time.unwrap().0, Timestamp::MAX);
        assert_eq!(status.conditions.unwrap()[0].status, "True");
    }

    #[test]
    fn fields_that_are_nested_too_deeply_are_left_out() {
        let mut fields = json!({});
        for _ in 0..130 {
            fields = json!({"f:a": fields});
        }
        let text = format!(
            r#"{{"metadata": {{"name": "billing", "managedFields": [{{"fieldsV1": {fields}}}, {{"manager": "m"}}]}}, "spec": {{}}}}"#
        );
        let election: Lenient<LeaderElection> = serde_json::from_str(&text).unwrap();
        let election = election.into_readable().unwrap();
        assert_eq!((election.name_any().as_str(), election.managed_fields().len()), ("billing", 1));
    }

    #[test]
    fn a_status_that_cannot_be_read_is_left_out_and_without_a_spec_nothing_is_left() {
        let election: Lenient<LeaderElection> =
            lenient(&json!({"metadata": {"name": "billing"}, "spec": {}, "status": {"history": "none"}}));
        assert_eq!(election.into_readable().unwrap().status, None);
        let election: Lenient<LeaderElection> =
            lenient(&json!({"metadata": {"name": "billing"}, "spec": {"paused": 7}}));
        assert_eq!(election.name_any(), "billing");
        assert_eq!(election.into_readable(), None);
    }
}
