//! Objects that others may have written, read as far as they are used.
//!
//! Whoever may write one object could otherwise keep a reader from all of them: a list whose one item cannot be read is
//! read by nobody. So reading an [`Untrusted`] object never fails. What is not used is not parsed, `managedFields` among it;
//! of what cannot be read the rest is read; and long values are [shortened](shorten) in a way that keeps them apart.

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

/// The longest text of others that is kept as it is, in bytes. Names, uids and identities of pods are a quarter of it.
pub const MAX_TEXT_BYTES: usize = 1024;

/// How much of a longer text is kept, in bytes.
const KEPT_BYTES: usize = 128;

/// What can be read from any JSON.
pub trait FromUntrusted: Sized {
    /// Takes what is used from the object `json`, of one kind by its place. What cannot be read is left out.
    fn from_untrusted(json: &str) -> Self;
}

/// An object in an answer of the API server. As long as the answer is JSON, reading it does not fail.
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

/// `text`, or if it is longer than [`MAX_TEXT_BYTES`] its beginning, its length and its hash: of two different texts that both are
/// longer the results differ, too.
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

/// The fields of an object, each as the JSON that it is.
#[derive(Debug, Default)]
pub struct JsonFields<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> JsonFields<'a> {
    /// None, if `json` is no object.
    #[must_use]
    pub fn of(json: &'a str) -> JsonFields<'a> {
        JsonFields(serde_json::from_str(json).unwrap_or_default())
    }

    /// Each of them, by its name.
    pub fn all(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.0.iter().map(|(name, json)| (name.as_str(), json.get()))
    }

    /// The JSON of a field, unless it is absent or null.
    #[must_use]
    pub fn json(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).map(|json| json.get()).filter(|json| *json != "null")
    }

    /// A field: `None` if it is absent, null or cannot be read.
    #[must_use]
    pub fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_str(self.json(name)?).ok()
    }

    /// The items of a list that can be read.
    #[must_use]
    pub fn items<T: DeserializeOwned>(&self, name: &str) -> Vec<T> {
        let items: Vec<&RawValue> =
            self.json(name).and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
        items.into_iter().filter_map(|item| serde_json::from_str(item.get()).ok()).collect()
    }

    /// The field `metadata`, whatever stands in it.
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
