//! Objects of Kubernetes' own kinds, as operators make them, that others may have written since: what plans compare.

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding, RoleRef};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{FromUntrusted, part, read_metadata};

/// The top level of all of these kinds.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Parts<'a> {
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
    #[serde(borrow)]
    spec: Option<&'a RawValue>,
    #[serde(borrow)]
    rules: Option<&'a RawValue>,
    #[serde(borrow)]
    role_ref: Option<&'a RawValue>,
    #[serde(borrow)]
    subjects: Option<&'a RawValue>,
    #[serde(borrow)]
    address_type: Option<&'a RawValue>,
    #[serde(borrow)]
    endpoints: Option<&'a RawValue>,
    #[serde(borrow)]
    ports: Option<&'a RawValue>,
}

impl Parts<'_> {
    fn of(json: &str) -> Parts<'_> {
        serde_json::from_str(json).unwrap_or_default()
    }

    fn metadata(&self) -> k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
        self.metadata.map(|json| read_metadata(json.get())).unwrap_or_default()
    }
}

impl FromUntrusted for Role {
    fn from_untrusted(json: &str) -> Role {
        let parts = Parts::of(json);
        Role { metadata: parts.metadata(), rules: part(parts.rules) }
    }
}

impl FromUntrusted for RoleBinding {
    fn from_untrusted(json: &str) -> RoleBinding {
        let parts = Parts::of(json);
        let role_ref = part(parts.role_ref).unwrap_or_else(|| RoleRef {
            api_group: String::new(),
            kind: String::new(),
            name: String::new(),
        });
        RoleBinding { metadata: parts.metadata(), role_ref, subjects: part(parts.subjects) }
    }
}

impl FromUntrusted for Service {
    fn from_untrusted(json: &str) -> Service {
        let parts = Parts::of(json);
        // Its status is nobody's business here, and has times in it.
        Service { metadata: parts.metadata(), spec: part(parts.spec), status: None }
    }
}

impl FromUntrusted for EndpointSlice {
    fn from_untrusted(json: &str) -> EndpointSlice {
        let parts = Parts::of(json);
        EndpointSlice {
            metadata: parts.metadata(),
            address_type: part(parts.address_type).unwrap_or_default(),
            endpoints: part(parts.endpoints).unwrap_or_default(),
            ports: part(parts.ports),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::untrusted::Untrusted;

    fn read<K: FromUntrusted>(json: &str) -> K {
        let Untrusted(object) = serde_json::from_str(json).unwrap();
        object
    }

    #[test]
    fn what_is_compared_is_read_whatever_stands_beside_it() {
        let far = r#""metadata":{"name":"n","managedFields":[{"time":"9999-12-31T23:59:59Z"}]}"#;
        let role: Role = read(&format!(r#"{{{far},"rules":[{{"verbs":["get"]}}]}}"#));
        assert_eq!((role.metadata.name.as_deref(), role.rules.unwrap().len()), (Some("n"), 1));
        let status = r#""status":{"conditions":[{"lastTransitionTime":"9999-12-31T23:59:59Z"}]}"#;
        let service: Service = read(&format!(r#"{{{far},"spec":{{"type":"ClusterIP"}},{status}}}"#));
        assert_eq!(service.spec.unwrap().type_.as_deref(), Some("ClusterIP"));
    }

    #[test]
    fn what_cannot_be_read_is_never_what_was_asked_for() {
        let binding: RoleBinding = read(r#"{"metadata":{"name":"n"},"roleRef":7,"subjects":"x"}"#);
        assert_eq!((binding.role_ref.name.as_str(), binding.subjects), ("", None));
        let slice: EndpointSlice = read(r#"{"metadata":null,"endpoints":[{"addresses":7}],"ports":[]}"#);
        assert_eq!((slice.endpoints.len(), slice.ports.unwrap().len()), (0, 0));
        let role: Role = read("[]");
        assert_eq!(role.rules, None);
    }
}
