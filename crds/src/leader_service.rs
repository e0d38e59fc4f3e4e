//! The spec of the Service that leads to the leader alone. Its ports have the shape of a Service's.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::validation;

/// A Service without a selector, whose only endpoint is the leader's pod. It has no endpoint while no candidate leads.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct LeaderService {
    /// The Service's name. A Service of that name that others made is left alone, and the condition Ready says so.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,

    /// The Service's ports.
    #[schemars(length(min = 1, max = 16), transform = validation::ports)]
    pub ports: Vec<LeaderServicePort>,
}

/// A port of a leaderService, as in a Service.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct LeaderServicePort {
    /// The port's name; needed if there are several ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: Option<String>,

    /// The port on which the Service is reached.
    #[schemars(extend("format" = "int32", "minimum" = 1, "maximum" = 65535))]
    pub port: i64,

    /// The port on which the leader's pod is reached: a number, or the name of a port of one of its containers. Absent:
    /// the same as the Service's port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_port: Option<TargetPort>,

    /// The transport protocol of the port.
    #[serde(default)]
    pub protocol: Protocol,

    /// The application's protocol, a hint for implementations that route by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), transform = validation::app_protocol)]
    pub app_protocol: Option<String>,
}

/// A port of a pod: a number, or the name of a container's port.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(untagged)]
pub enum TargetPort {
    /// The port's number.
    Number(i64),
    /// The name of a container's port.
    Name(String),
}

/// The transport protocol of a port.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// TCP.
    #[default]
    #[serde(rename = "TCP")]
    Tcp,
    /// UDP.
    #[serde(rename = "UDP")]
    Udp,
    /// SCTP.
    #[serde(rename = "SCTP")]
    Sctp,
}

impl LeaderServicePort {
    /// The port of the leader's pod: the target port, or else the Service's port.
    #[must_use]
    pub fn target(&self) -> TargetPort {
        self.target_port.clone().unwrap_or(TargetPort::Number(self.port))
    }
}

impl TargetPort {
    /// The port in the form that Kubernetes objects use.
    #[must_use]
    pub fn to_int_or_string(&self) -> IntOrString {
        match self {
            // The schema keeps it below 65536.
            TargetPort::Number(number) => IntOrString::Int(i32::try_from(*number).unwrap_or_default()),
            TargetPort::Name(name) => IntOrString::String(name.clone()),
        }
    }
}

impl Protocol {
    /// The protocol's name, as the API writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Tcp => "TCP",
            Protocol::Udp => "UDP",
            Protocol::Sctp => "SCTP",
        }
    }
}

impl JsonSchema for TargetPort {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TargetPort".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "minimum": 1,
            "maximum": 65535,
            "maxLength": 15,
            "pattern": "^([a-z0-9]+-)*[a-z0-9]*[a-z][a-z0-9]*(-[a-z0-9]+)*$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(json: &str) -> LeaderServicePort {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_port_leads_to_the_one_of_its_number_unless_another_is_named() {
        assert_eq!(port(r#"{"port": 80}"#).target(), TargetPort::Number(80));
        assert_eq!(port(r#"{"port": 80, "targetPort": 8080}"#).target(), TargetPort::Number(8080));
        let named = port(r#"{"port": 80, "targetPort": "http", "protocol": "UDP"}"#);
        assert_eq!((named.target(), named.protocol.as_str()), (TargetPort::Name("http".to_owned()), "UDP"));
        assert_eq!(named.target().to_int_or_string(), IntOrString::String("http".to_owned()));
    }
}
