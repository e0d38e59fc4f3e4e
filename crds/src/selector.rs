//! The label selector of candidates: as that of Deployments, but never empty.
//!
//! The text of a selector is for people and never parsed: a key or value that no label can have, such as `a,b=c`, would
//! read as two requirements.

use std::collections::BTreeMap;

use kube::core::{Expression, Selector};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::display_text::{MAX_SELECTOR, shown};
use crate::validation::{self, MAX_LABEL_NAME, MAX_LABEL_PREFIX};

/// The longest query, in bytes: servers and proxies limit the first line of a request.
const MAX_QUERY: usize = 4096;

/// A label selector: a pod must satisfy every part of it.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = validation::selector_is_not_empty)]
pub struct CandidateSelector {
    /// Labels and the values that they must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = validation::match_labels)]
    pub match_labels: BTreeMap<String, String>,

    /// Conditions on labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "atomic"))]
    pub match_expressions: Vec<SelectorRequirement>,
}

/// A condition on one label.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = validation::values_fit_the_operator)]
pub struct SelectorRequirement {
    /// The key of the label.
    #[schemars(length(min = 1), transform = validation::label_key)]
    pub key: String,

    /// How the label relates to the values.
    pub operator: SelectorOperator,

    /// The values: at least one for In and NotIn, none for Exists and DoesNotExist.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), transform = validation::label_values, extend("x-kubernetes-list-type" = "atomic"))]
    pub values: Vec<String>,
}

/// How a label relates to a set of values.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
pub enum SelectorOperator {
    /// The label has one of the values.
    In,
    /// The label has none of the values, or is absent.
    NotIn,
    /// The label is present.
    Exists,
    /// The label is absent.
    DoesNotExist,
}

impl CandidateSelector {
    /// The selector in the form that can be matched against labels.
    #[must_use]
    pub fn to_selector(&self) -> Selector {
        let mut selector: Selector = self.match_labels.clone().into_iter().collect();
        selector.extend(self.match_expressions.iter().map(SelectorRequirement::to_expression));
        selector
    }
}

impl SelectorRequirement {
    fn to_expression(&self) -> Expression {
        let values = || self.values.iter().cloned().collect();
        match self.operator {
            SelectorOperator::In => Expression::In(self.key.clone(), values()),
            SelectorOperator::NotIn => Expression::NotIn(self.key.clone(), values()),
            SelectorOperator::Exists => Expression::Exists(self.key.clone()),
            SelectorOperator::DoesNotExist => Expression::DoesNotExist(self.key.clone()),
        }
    }
}

/// A selector for people, as `kubectl -l` takes it, cut if it is long. A requirement that would read as others is in
/// quotes, which `kubectl` refuses.
#[must_use]
pub fn selector_text(selector: &Selector) -> String {
    let requirements = selector.clone().into_iter().map(|requirement| {
        let text = requirement.to_string();
        if is_one_requirement(&requirement) { text } else { format!("{text:?}") }
    });
    shown(&requirements.collect::<Vec<_>>().join(","), MAX_SELECTOR).into_owned()
}

/// The requirements of a selector that a request can state. The answer may have more objects than match, so the caller
/// matches the selector against them.
#[must_use]
pub fn selector_query(selector: &Selector) -> String {
    let mut query = String::new();
    for requirement in selector.clone().into_iter().filter(is_one_requirement) {
        let requirement = requirement.to_string();
        if query.len() + 1 + requirement.len() <= MAX_QUERY {
            query += if query.is_empty() { "" } else { "," };
            query += &requirement;
        }
    }
    query
}

/// Whether the API server reads the text of a requirement as this one requirement.
fn is_one_requirement(requirement: &Expression) -> bool {
    let is_key = |key: &str| {
        let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
        // The operators are no keys there.
        !["in", "notin"].contains(&key)
            && prefix.is_none_or(is_label_prefix)
            && !name.is_empty()
            && is_label_value(name)
    };
    match requirement {
        Expression::In(key, values) | Expression::NotIn(key, values) => {
            // None at all would be the empty value.
            is_key(key) && !values.is_empty() && values.iter().all(|value| is_label_value(value))
        }
        Expression::Equal(key, value) | Expression::NotEqual(key, value) => is_key(key) && is_label_value(value),
        Expression::Exists(key) | Expression::DoesNotExist(key) => is_key(key),
    }
}

fn is_label_value(value: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    value.len() <= MAX_LABEL_NAME && value.bytes().all(is_inner) && is_bounded_by_alphanumerics(value)
}

fn is_label_prefix(prefix: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_part = |part: &str| !part.is_empty() && part.bytes().all(is_inner) && is_bounded_by_alphanumerics(part);
    prefix.len() <= MAX_LABEL_PREFIX && prefix.split('.').all(is_part)
}

fn is_bounded_by_alphanumerics(text: &str) -> bool {
    [text.bytes().next(), text.bytes().last()].into_iter().flatten().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::SelectorExt;
    use proptest::prelude::*;

    fn selector(json: &str) -> Selector {
        serde_json::from_str::<CandidateSelector>(json).unwrap().to_selector()
    }

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn selects_what_satisfies_everything() {
        let both = selector(
            r#"{"matchLabels": {"app": "billing"},
                "matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["canary"]}]}"#,
        );
        assert!(both.matches(&labels(&[("app", "billing")])));
        assert!(both.matches(&labels(&[("app", "billing"), ("tier", "stable")])));
        assert!(!both.matches(&labels(&[("app", "billing"), ("tier", "canary")])));
        assert!(!both.matches(&labels(&[("tier", "stable")])));
        let text = "app=billing,tier notin (canary)";
        assert_eq!((selector_text(&both), selector_query(&both)), (text.to_owned(), text.to_owned()));
    }

    #[test]
    fn a_value_is_never_two_requirements() {
        for (json, text) in [
            (r#"{"matchLabels": {"app": "a,b=c"}}"#, r#""app=a,b=c""#),
            (r#"{"matchLabels": {"app": "a in (b)"}}"#, r#""app=a in (b)""#),
            (r#"{"matchLabels": {"app=a,b": "c"}}"#, r#""app=a,b=c""#),
            (r#"{"matchLabels": {"in": "a"}}"#, r#""in=a""#),
            (r#"{"matchLabels": {"": "a"}}"#, r#""=a""#),
            (
                r#"{"matchExpressions": [{"key": "a", "operator": "In", "values": ["b),c in (d"]}]}"#,
                r#""a in (b),c in (d)""#,
            ),
            (r#"{"matchExpressions": [{"key": "!a,b", "operator": "Exists"}]}"#, r#""!a,b""#),
            (r#"{"matchExpressions": [{"key": "a", "operator": "NotIn"}]}"#, r#""a notin ()""#),
        ] {
            let hostile = selector(json);
            assert_eq!((&*selector_text(&hostile), &*selector_query(&hostile)), (text, ""));
            // What can be said is asked for all the same.
            let mut both = hostile.clone();
            both.extend(Expression::Equal("tier".to_owned(), "stable".to_owned()));
            assert_eq!(selector_query(&both), "tier=stable");
        }
        for key in ["a", "A_b.c-d", "example.com/a"] {
            assert!(is_one_requirement(&Expression::Equal(key.to_owned(), String::new())), "{key}");
        }
        for key in ["-a", "a-", "Example.com/a", "example..com/a", "/a", "a/", "a/b/c", "ä", &"a".repeat(64)] {
            assert!(!is_one_requirement(&Expression::Exists(key.to_owned())), "{key}");
        }
    }

    #[test]
    fn a_query_has_an_end() {
        let labels: BTreeMap<String, String> =
            (0..200).map(|number| (format!("label-{number}"), "a".repeat(63))).collect();
        let long: Selector = labels.into_iter().collect();
        let (query, text) = (selector_query(&long), selector_text(&long));
        assert!(query.len() <= MAX_QUERY && query.split(',').all(|requirement| requirement.len() > 63), "{query}");
        assert!(text.len() <= MAX_SELECTOR && text.ends_with('…'), "{text}");
    }

    proptest! {
        #[test]
        fn any_text_of_a_requirement_is_on_one_line_and_bounded(key in any::<String>(), value in any::<String>()) {
            let selector: Selector = [(key, value)].into_iter().collect::<BTreeMap<_, _>>().into_iter().collect();
            let text = selector_text(&selector);
            prop_assert!(text.len() <= MAX_SELECTOR && shown(&text, MAX_SELECTOR) == text);
            let query = selector_query(&selector);
            prop_assert!(query.is_empty() || query == text, "{query}");
        }
    }

    #[test]
    fn the_operators_are_those_of_kubernetes() {
        let of = |operator: &str, values: &str| {
            selector(&format!(
                r#"{{"matchExpressions": [{{"key": "app", "operator": "{operator}", "values": {values}}}]}}"#
            ))
        };
        let (with, without) = (labels(&[("app", "billing")]), labels(&[]));
        for (selector, matches_with, matches_without) in [
            (of("In", r#"["billing"]"#), true, false),
            (of("NotIn", r#"["billing"]"#), false, true),
            (of("Exists", "[]"), true, false),
            (of("DoesNotExist", "[]"), false, true),
        ] {
            assert_eq!(selector.matches(&with), matches_with, "{selector}");
            assert_eq!(selector.matches(&without), matches_without, "{selector}");
        }
    }
}
