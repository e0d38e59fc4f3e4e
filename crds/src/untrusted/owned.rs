//! Objects of Kubernetes' own kinds that operators make and others may have changed: the parts that plans compare.

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding, RoleRef};

use super::{FromUntrusted, JsonFields};

impl FromUntrusted for Role {
    fn from_untrusted(json: &str) -> Role {
        let fields = JsonFields::of(json);
        Role { metadata: fields.metadata(), rules: fields.read("rules") }
    }
}

impl FromUntrusted for RoleBinding {
    fn from_untrusted(json: &str) -> RoleBinding {
        let fields = JsonFields::of(json);
        let role_ref = fields.read("roleRef").unwrap_or_else(|| RoleRef {
            api_group: String::new(),
            kind: String::new(),
            name: String::new(),
        });
        RoleBinding { metadata: fields.metadata(), role_ref, subjects: fields.read("subjects") }
    }
}

impl FromUntrusted for Service {
    fn from_untrusted(json: &str) -> Service {
        let fields = JsonFields::of(json);
        // Its status is nobody's business here, and has times in it.
        Service { metadata: fields.metadata(), spec: fields.read("spec"), status: None }
    }
}

impl FromUntrusted for EndpointSlice {
    fn from_untrusted(json: &str) -> EndpointSlice {
        let fields = JsonFields::of(json);
        EndpointSlice {
            metadata: fields.metadata(),
            address_type: fields.read("addressType").unwrap_or_default(),
            endpoints: fields.read("endpoints").unwrap_or_default(),
            ports: fields.read("ports"),
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
