//! The CustomResourceDefinition as a file. It is generated from the types and checked in, and a test checks that it is
//! current.

use kube::CustomResourceExt;

use crate::LeaderElection;

const HEADER: &str = "# Generated from crds/src by `cargo crdgen`.\n";

/// The paths of the manifest, from the root of the repository: one for kubectl and one for the Helm chart, byte for
/// byte the same.
pub const PLACES: [&str; 2] = ["crds/leaderelections.yaml", "charts/leader-elector/files/leaderelections.yaml"];

/// The manifest, as YAML.
#[must_use]
pub fn manifest() -> String {
    let yaml = serde_yaml_ng::to_string(&LeaderElection::crd()).expect("a CustomResourceDefinition is YAML");
    format!("{HEADER}{yaml}")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

    #[test]
    fn the_files_are_current() {
        for place in PLACES {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(place);
            assert_eq!(fs::read_to_string(path).unwrap(), manifest(), "{place} is stale: run `cargo crdgen`");
        }
    }

    #[test]
    fn every_field_is_described() {
        let crd: CustomResourceDefinition = serde_yaml_ng::from_str(&manifest()).unwrap();
        let schema = crd.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap();
        let mut silent = Vec::new();
        undescribed(&serde_json::to_value(schema).unwrap(), "", &mut silent);
        assert_eq!(silent, Vec::<String>::new());
    }

    fn undescribed(schema: &serde_json::Value, path: &str, silent: &mut Vec<String>) {
        if let Some(properties) = schema.get("properties").and_then(|properties| properties.as_object()) {
            for (name, property) in properties {
                let path = format!("{path}.{name}");
                if property.get("description").is_none() {
                    silent.push(path.clone());
                }
                undescribed(property, &path, silent);
            }
        }
        if let Some(items) = schema.get("items") {
            undescribed(items, &format!("{path}[]"), silent);
        }
    }
}
