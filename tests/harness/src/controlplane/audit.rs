//! What the API server was asked, by its own account: the audit log, a line of JSON for each stage of a request.

use std::{collections::BTreeMap, fs, path::PathBuf};

use anyhow::{Context, Result};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use serde::Deserialize;

/// Everything but the API server's talk with itself and questions after its health. A watch is
/// logged when it opens too: one that is still open would be missed otherwise.
pub(super) const POLICY: &str = r#"apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, users: ["system:apiserver"]}
- {level: None, nonResourceURLs: ["*"]}
- {level: Metadata}
"#;

/// The audit log of a control plane. The log is written before a small answer is sent, so a
/// request that was answered is in it; an answer of over 4 KB may arrive a moment earlier.
#[derive(Clone, Debug)]
pub struct AuditLog {
    pub(super) path: PathBuf,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Unique for each request.
    pub id: String,
    /// How far it has come.
    pub stage: Stage,
    /// get, list, watch, create, update, patch, delete, deletecollection
    pub verb: String,
    /// Path and query.
    pub uri: String,
    /// Such as `system:serviceaccount:NAMESPACE:NAME`.
    pub user: String,
    /// Pod whose bound token it came with.
    pub pod: Option<String>,
    /// As the client calls itself.
    pub user_agent: String,
    /// API group, "" for the core's.
    pub group: String,
    /// In plural, such as `leases`.
    pub resource: String,
    /// Such as `status`, or "".
    pub subresource: String,
    /// "" where there is none.
    pub namespace: String,
    /// "" for a list, a watch without field selector, and a refused create.
    pub name: String,
    /// HTTP status, once there is one.
    pub code: Option<u16>,
    /// When the server had it, by the wall clock.
    pub received: Timestamp,
    /// When the server was done with [`Entry::stage`].
    pub reached: Timestamp,
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Stage {
    /// Not logged by our policy.
    RequestReceived,
    /// A watch is open.
    ResponseStarted,
    /// The request is answered, or the watch closed.
    ResponseComplete,
    /// The API server failed in a way that it shouldn't.
    Panic,
}

impl AuditLog {
    /// The requests for which `wanted` holds, each once, at its last stage so far, by time of receipt.
    ///
    /// # Errors
    /// When the log can't be read, or is no audit log.
    pub fn requests(&self, wanted: impl Fn(&Entry) -> bool) -> Result<Vec<Entry>> {
        let mut requests = BTreeMap::new();
        for entry in self.entries()? {
            requests.insert(entry.id.clone(), entry);
        }
        let mut requests: Vec<_> = requests.into_values().filter(wanted).collect();
        requests.sort_by_key(|entry| entry.received);
        Ok(requests)
    }

    /// Every line, in the log's order.
    ///
    /// # Errors
    /// As [`AuditLog::requests`].
    pub fn entries(&self) -> Result<Vec<Entry>> {
        let log = fs::read_to_string(&self.path).with_context(|| format!("failed to read {}", self.path.display()))?;
        // What follows the last line's end is still being written.
        let whole = log.rfind('\n').map_or("", |end| &log[..end]);
        whole
            .lines()
            .map(|line| {
                let event: Event =
                    serde_json::from_str(line).with_context(|| format!("failed to read audit line {line}"))?;
                Ok(event.into())
            })
            .collect()
    }
}

impl Entry {
    /// Whether it would change something, answered or refused.
    pub fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }

    /// Whether it came from a service account.
    pub fn is_from(&self, namespace: &str, service_account: &str) -> bool {
        self.user == format!("system:serviceaccount:{namespace}:{service_account}")
    }

    /// Whether it is about this kind of object here; `resource` in plural.
    pub fn is_about(&self, namespace: &str, resource: &str) -> bool {
        self.namespace == namespace && self.resource == resource
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    #[serde(rename = "auditID")]
    audit_id: String,
    stage: Stage,
    verb: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    user: User,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    object_ref: Object,
    response_status: Option<Status>,
    request_received_timestamp: MicroTime,
    stage_timestamp: MicroTime,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    username: String,
    #[serde(default)]
    extra: BTreeMap<String, Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Object {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
    api_group: String,
}

#[derive(Deserialize)]
struct Status {
    code: Option<u16>,
}

impl From<Event> for Entry {
    fn from(event: Event) -> Self {
        let mut extra = event.user.extra;
        Self {
            id: event.audit_id,
            stage: event.stage,
            verb: event.verb,
            uri: event.request_uri,
            user: event.user.username,
            pod: extra.remove("authentication.kubernetes.io/pod-name").and_then(|mut names| names.pop()),
            user_agent: event.user_agent,
            group: event.object_ref.api_group,
            resource: event.object_ref.resource,
            subresource: event.object_ref.subresource,
            namespace: event.object_ref.namespace,
            name: event.object_ref.name,
            code: event.response_status.and_then(|status| status.code),
            received: event.request_received_timestamp.0,
            reached: event.stage_timestamp.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WATCH: &str = r#"{"auditID":"a","stage":"ResponseStarted","requestURI":"/apis","verb":"watch","user":{"username":"u"},"responseStatus":{"code":200},"requestReceivedTimestamp":"2026-01-02T03:04:05.000001Z","stageTimestamp":"2026-01-02T03:04:05.000002Z"}"#;

    #[test]
    fn a_request_counts_once_and_an_unfinished_line_never() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let closed = WATCH.replace("ResponseStarted", "ResponseComplete");
        fs::write(file.path(), format!("{WATCH}\n{closed}\n{{\"audit")).unwrap();
        let log = AuditLog { path: file.path().to_owned() };
        assert_eq!(log.entries().unwrap().len(), 2);
        let requests = log.requests(|entry| !entry.is_write()).unwrap();
        assert_eq!(requests.len(), 1);
        assert_eq!(requests[0].stage, Stage::ResponseComplete);
        assert_eq!(requests[0].code, Some(200));
    }
}
