//! The rules that the API server checks: those of `elector_election::Timings` in CEL, with the same words, and the
//! limits of the other fields.
//!
//! Each rule about timings applies only if all earlier ones hold. So a bad spec gets exactly one message: that of the
//! first rule that it breaks, as from `Timings::new`.

use elector_election::{Field, MAX_LEASE_DURATION_SECONDS};
use kube::core::{Message, Rule};
use schemars::Schema;
use serde_json::{Value, json};

/// The longest name in the key of a label, and the longest value of a label, in characters.
pub(crate) const MAX_LABEL_NAME: usize = 63;

/// The longest domain before the name in the key of a label.
pub(crate) const MAX_LABEL_PREFIX: usize = 253;

/// The longest key of a label: domain, slash and name.
pub(crate) const MAX_LABEL_KEY: usize = MAX_LABEL_PREFIX + 1 + MAX_LABEL_NAME;

/// The longest name of an election: it is the value of a label on its candidates.
const MAX_NAME_LENGTH: u32 = 63;

/// The CEL expression for the time that a reader of the status file and its retraction take, in 132nds of a second as
/// the inequality counts them.
const READING: &str = "143 * (1 + self.releaseDelaySeconds)";

pub(crate) fn name_fits_a_label() -> Rule {
    Rule {
        message: Some(formatted(
            &format!("metadata.name is %d characters long; it can be {MAX_NAME_LENGTH} at most"),
            &["size(self.metadata.name)"],
        )),
        ..Rule::new(format!("size(self.metadata.name) <= {MAX_NAME_LENGTH}"))
    }
}

/// Adds the rules of `Timings::new`, in its order.
pub(crate) fn timings(schema: &mut Schema) {
    add_rules(schema, timings_rules());
}

pub(crate) fn selector_is_not_empty(schema: &mut Schema) {
    let rule = Rule::new(
        "has(self.matchLabels) && size(self.matchLabels) > 0 || \
         has(self.matchExpressions) && size(self.matchExpressions) > 0",
    )
    .message(
        "selector is empty, which would select every pod; name labels, or leave selector out for \
         leader-elector.io/election=<name>",
    );
    add_rules(schema, [rule]);
}

/// The pattern of a label's key: a name, after a domain and a slash or after neither.
const LABEL_KEY: &str = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]$";

/// The pattern of a label's value.
const LABEL_VALUE: &str = "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$";

/// The most labels in `matchLabels` of a selector.
const MAX_MATCH_LABELS: u32 = 64;

/// Limits a map of labels to valid labels: any other text would match nothing, and read as something else in the text
/// of a selector.
pub(crate) fn match_labels(schema: &mut Schema) {
    let object = schema.ensure_object();
    object.insert("maxProperties".to_owned(), json!(MAX_MATCH_LABELS));
    object.insert("additionalProperties".to_owned(), label_value());
    // A schema limits the values of a map only.
    let rule = Rule::new(format!("self.all(key, size(key) <= {MAX_LABEL_KEY} && key.matches(r'{LABEL_KEY}'))"))
        .message("matchLabels: a key is a domain and a slash, or neither, and a name of 63 letters, digits, -, _ and . at most");
    add_rules(schema, [rule]);
}

/// Limits the key of a requirement to keys of labels.
pub(crate) fn label_key(schema: &mut Schema) {
    let object = schema.ensure_object();
    object.insert("maxLength".to_owned(), json!(MAX_LABEL_KEY));
    object.insert("pattern".to_owned(), json!(LABEL_KEY));
}

/// Limits the values of a requirement to values of labels.
pub(crate) fn label_values(schema: &mut Schema) {
    schema.ensure_object().insert("items".to_owned(), label_value());
}

fn label_value() -> Value {
    json!({"type": "string", "maxLength": MAX_LABEL_NAME, "pattern": LABEL_VALUE})
}

pub(crate) fn values_fit_the_operator(schema: &mut Schema) {
    let rule = Rule::new(
        "self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0 : \
         !has(self.values) || size(self.values) == 0",
    )
    .message("values: operators In and NotIn need at least one, Exists and DoesNotExist take none");
    add_rules(schema, [rule]);
}

/// Limits a list to a set of names of objects.
pub(crate) fn service_account_names(schema: &mut Schema) {
    let object = schema.ensure_object();
    object.insert("x-kubernetes-list-type".to_owned(), json!("set"));
    object.insert(
        "items".to_owned(),
        json!({
            "type": "string",
            "minLength": 1,
            "maxLength": 253,
            "pattern": r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        }),
    );
}

/// Limits an application protocol as a Service does, by the rule for the key of a label.
pub(crate) fn app_protocol(schema: &mut Schema) {
    schema.ensure_object().insert("pattern".to_owned(), json!(LABEL_KEY));
}

/// Limits ports as a Service does: number and transport identify a port.
pub(crate) fn ports(schema: &mut Schema) {
    let object = schema.ensure_object();
    object.insert("x-kubernetes-list-type".to_owned(), json!("map"));
    object.insert("x-kubernetes-list-map-keys".to_owned(), json!(["port", "protocol"]));
    let rule = Rule::new(
        "size(self) == 1 || self.all(port, has(port.name) && \
         self.exists_one(other, has(other.name) && other.name == port.name))",
    )
    .message("ports: of several, each needs a name of its own");
    add_rules(schema, [rule]);
}

/// The most conditions: the five of the operator, and room for those of others.
const MAX_CONDITIONS: u32 = 32;

/// Gives conditions the limits that the Go markers of `metav1.Condition` state, and has them merged by type.
pub(crate) fn conditions(schema: &mut Schema) {
    let object = schema.ensure_object();
    object.insert("x-kubernetes-list-type".to_owned(), json!("map"));
    object.insert("x-kubernetes-list-map-keys".to_owned(), json!(["type"]));
    object.insert("maxItems".to_owned(), json!(MAX_CONDITIONS));
    object.insert(
        "items".to_owned(),
        json!({
            "description": "One aspect of the election's state.",
            "type": "object",
            "required": ["lastTransitionTime", "message", "reason", "status", "type"],
            "properties": {
                "type": {
                    "description": "Ready, LeaderElected, CandidatesReady, AdviceFollowed or LeaderStable.",
                    "type": "string",
                    "maxLength": 316,
                    "pattern": r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
                },
                "status": {
                    "description": "True, False or Unknown.",
                    "type": "string",
                    "enum": ["True", "False", "Unknown"],
                },
                "observedGeneration": {
                    "description": "The generation of the election that this condition speaks of.",
                    "type": "integer",
                    "format": "int64",
                    "minimum": 0,
                },
                "lastTransitionTime": {
                    "description": "When the status last changed.",
                    "type": "string",
                    "format": "date-time",
                },
                "reason": {
                    "description": "The reason for the status, as one word.",
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 1024,
                    "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                },
                "message": {
                    "description": "The reason for the status, for people, and what to do.",
                    "type": "string",
                    "maxLength": 32768,
                },
            },
        }),
    );
}

/// Joins the lines of a description: the program that shows it wraps them.
pub(crate) fn unwrap_description(schema: &mut Schema) {
    if let Some(Value::String(description)) = schema.get_mut("description") {
        *description = description.replace('\n', " ");
    }
}

fn timings_rules() -> Vec<Rule> {
    let mut rules = Vec::new();
    let mut earlier: Vec<String> = Vec::new();
    for Check { field, holds, message } in timings_checks() {
        let rule = match earlier.as_slice() {
            [] => holds.clone(),
            _ => format!("!({}) || {holds}", earlier.join(" && ")),
        };
        rules.push(Rule { message: Some(message), field_path: Some(format!(".{field}")), ..Rule::new(rule) });
        earlier.push(holds);
    }
    rules
}

struct Check {
    field: Field,
    /// A CEL expression that is true if the rule holds.
    holds: String,
    /// The message if the rule does not hold.
    message: Message,
}

fn timings_checks() -> Vec<Check> {
    let mut checks = Vec::new();
    for (field, minimum) in
        [(Field::LeaseDuration, 1), (Field::RenewDeadline, 1), (Field::RetryPeriod, 1), (Field::ReleaseDelay, 0)]
    {
        let value = format!("self.{field}");
        checks.push(Check {
            field,
            holds: format!("{value} >= {minimum}"),
            message: formatted(&format!("{field} is %d; it must be {minimum} at least"), &[&value]),
        });
        checks.push(Check {
            field,
            holds: format!("{value} <= {MAX_LEASE_DURATION_SECONDS}"),
            message: formatted(&format!("{field} is %d; it can be {MAX_LEASE_DURATION_SECONDS} at most"), &[&value]),
        });
    }
    checks.push(Check {
        field: Field::LeaseDuration,
        holds: format!("132 * self.leaseDurationSeconds >= 156 * 2 + {READING}"),
        message: formatted(
            "leaseDurationSeconds is %d; with releaseDelaySeconds %d it must be %d at least",
            &["self.leaseDurationSeconds", "self.releaseDelaySeconds", &format!("(156 * 2 + {READING} + 131) / 132")],
        ),
    });
    checks.push(Check {
        field: Field::RenewDeadline,
        holds: format!("132 * self.leaseDurationSeconds >= 156 * self.renewDeadlineSeconds + {READING}"),
        message: formatted(
            "renewDeadlineSeconds is %d; with leaseDurationSeconds %d it can be %d at most",
            &[
                "self.renewDeadlineSeconds",
                "self.leaseDurationSeconds",
                &format!("(132 * self.leaseDurationSeconds - {READING}) / 156"),
            ],
        ),
    });
    checks.push(Check {
        field: Field::RetryPeriod,
        holds: "self.renewDeadlineSeconds >= 2 * self.retryPeriodSeconds".to_owned(),
        message: formatted(
            "retryPeriodSeconds is %d; with renewDeadlineSeconds %d it can be %d at most",
            &["self.retryPeriodSeconds", "self.renewDeadlineSeconds", "self.renewDeadlineSeconds / 2"],
        ),
    });
    checks
}

/// A message with numbers in it, as a CEL expression. It uses `format`: the API server takes the length of
/// `string(number)` for unlimited, and refuses to join such texts.
fn formatted(words: &str, numbers: &[&str]) -> Message {
    Message::Expression(format!("'{words}'.format([{}])", numbers.join(", ")))
}

fn add_rules(schema: &mut Schema, rules: impl IntoIterator<Item = Rule>) {
    let rules: Vec<Value> = rules.into_iter().map(|rule| json!(rule)).collect();
    schema.ensure_object().insert("x-kubernetes-validations".to_owned(), Value::Array(rules));
}
