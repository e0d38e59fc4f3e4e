//! Objects that others may have written, read as far as they are used.
//!
//! One object that cannot be read would make every list with it unreadable, so that a person who may write one object
//! could hide all of them. So reading an [`Untrusted`] object never fails. What is not used is not parsed,
//! `managedFields` for example. A part that cannot be read is left out. Long values are [shortened](shorten) in a way
//! that keeps them apart.

mod election;
mod metadata;
mod owned;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

pub use self::election::{MAX_SPEC_BYTES, StoredElection};
use self::metadata::read_metadata;

/// The longest text of others that is kept whole, in bytes. Names, uids and identities of pods have at most a quarter
/// of that.
pub const MAX_TEXT_BYTES: usize = 1024;

/// The length of the beginning that is kept of a longer text, in bytes.
const KEPT_BYTES: usize = 128;

/// A type that can be read from any JSON.
pub trait FromUntrusted: Sized {
    /// Reads the parts of the object `json` that are used. The object's place tells its kind; parts that cannot be read
    /// are left out.
    fn from_untrusted(json: &str) -> Self;
}

/// An object in an answer of the API server. Reading it does not fail as long as the answer is JSON.
#[derive(Serialize, Debug, Clone, PartialEq)]
#[serde(transparent)]
pub struct Untrusted<K>(pub K);

impl<'de, K: FromUntrusted> Deserialize<'de> for Untrusted<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Untrusted(K::from_untrusted(json.get())))
    }
}

impl<K: Resource> Resource for Untrusted<K> {
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
        self.0.meta()
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.meta_mut()
    }
}

/// `text`, or its beginning, length and hash if it is longer than [`MAX_TEXT_BYTES`]. Two different long texts give
/// different results.
#[must_use]
pub fn shorten(text: &str) -> Cow<'_, str> {
    if text.len() <= MAX_TEXT_BYTES {
        return Cow::Borrowed(text);
    }
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let end = (0..=KEPT_BYTES).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    let kept = &text[..end];
    Cow::Owned(format!("{kept}…({} bytes, {:016x})", text.len(), hasher.finish()))
}

/// The fields of a JSON object, each as raw JSON.
#[derive(Debug, Default)]
pub struct JsonFields<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> JsonFields<'a> {
    /// The fields of `json`; none if it is no object.
    #[must_use]
    pub fn of(json: &'a str) -> JsonFields<'a> {
        JsonFields(serde_json::from_str(json).unwrap_or_default())
    }

    /// All fields: their names and JSON.
    pub fn all(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.0.iter().map(|(name, json)| (name.as_str(), json.get()))
    }

    /// The JSON of a field; `None` if it is absent or null.
    #[must_use]
    pub fn json(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).map(|json| json.get()).filter(|json| *json != "null")
    }

    /// The value of a field; `None` if it is absent, null or cannot be read.
    #[must_use]
    pub fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_str(self.json(name)?).ok()
    }

    /// Those items of a list that can be read.
    #[must_use]
    pub fn items<T: DeserializeOwned>(&self, name: &str) -> Vec<T> {
        let items: Vec<&RawValue> =
            self.json(name).and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
        items.into_iter().filter_map(|item| serde_json::from_str(item.get()).ok()).collect()
    }

    /// The field `metadata`, read as far as possible.
    #[must_use]
    pub fn metadata(&self) -> ObjectMeta {
        read_metadata(self.json("metadata").unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_as_it_is_up_to_its_limit() {
        let longest = "x".repeat(MAX_TEXT_BYTES);
        assert_eq!(shorten(&longest), longest);
        assert_eq!(shorten(""), "");
    }

    #[test]
    fn longer_texts_are_short_and_stay_apart() {
        let ends = ["a", "b", "aa", "ä"];
        let texts = ends.map(|end| shorten(&format!("{}{end}", "ü".repeat(MAX_TEXT_BYTES))).into_owned());
        for (index, text) in texts.iter().enumerate() {
            assert!(text.len() < 200, "{text}");
            assert!(!texts[..index].contains(text), "{text}");
        }
    }
}
