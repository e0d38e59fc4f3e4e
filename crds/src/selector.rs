//! The label selector of candidates: as the one of Deployments, but never empty.

use std::collections::BTreeMap;

use kube::core::{Expression, Selector};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::validation;

/// A label selector: a pod must satisfy everything in it.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = validation::selector_is_not_empty)]
pub struct CandidateSelector {
    /// Labels and the values that they must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
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
    /// The label.
    #[schemars(length(min = 1))]
    pub key: String,

    /// How the label relates to the values.
    pub operator: SelectorOperator,

    /// For In and NotIn: at least one. For Exists and DoesNotExist: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub values: Vec<String>,
}

/// How a label relates to a set of values.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
pub enum SelectorOperator {
    /// It has one of them.
    In,
    /// It has none of them, or is absent.
    NotIn,
    /// It is present.
    Exists,
    /// It is absent.
    DoesNotExist,
}

impl CandidateSelector {
    /// To be matched against labels.
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

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::SelectorExt;

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
        assert_eq!(both.to_string(), "app=billing,tier notin (canary)");
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
