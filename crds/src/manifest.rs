//! The CustomResourceDefinition as a file: generated from the types, checked in, and tested to be current.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use kube::CustomResourceExt;

use crate::LeaderElection;

const HEADER: &str = "# Generated from crds/src by `cargo crdgen`.\n";

/// Where it is kept, from the root of the repository: for kubectl, and for the Helm chart, byte for byte the same.
const PLACES: [&str; 2] = ["crds/leaderelections.yaml", "charts/leader-elector/files/leaderelections.yaml"];

/// Why the manifest could not be written or is not current.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// A file could not be read or written.
    #[error("failed to access {}: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not what the types say.
    #[error("{} is stale: run `cargo crdgen`", path.display())]
    Stale {
        /// Which one.
        path: PathBuf,
    },
}

/// The manifest.
#[must_use]
pub fn manifest() -> String {
    let yaml = serde_yaml_ng::to_string(&LeaderElection::crd()).expect("a CustomResourceDefinition is YAML");
    format!("{HEADER}{yaml}")
}

/// What `cargo crdgen` does: writes the manifest, or with `only_check` looks whether it is current, and says what went wrong.
#[must_use]
pub fn run(only_check: bool) -> ExitCode {
    let done = if only_check { check() } else { write() };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Writes it to all its places.
///
/// # Errors
/// If a file cannot be written.
pub fn write() -> Result<(), ManifestError> {
    for path in paths() {
        fs::write(&path, manifest()).map_err(|source| ManifestError::File { path, source })?;
    }
    Ok(())
}

/// Whether all its places are current.
///
/// # Errors
/// The first file that is not, or cannot be read.
pub fn check() -> Result<(), ManifestError> {
    for path in paths() {
        match fs::read_to_string(&path) {
            Ok(text) if text == manifest() => {}
            Ok(_) => return Err(ManifestError::Stale { path }),
            Err(source) => return Err(ManifestError::File { path, source }),
        }
    }
    Ok(())
}

fn paths() -> impl Iterator<Item = PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    PLACES.into_iter().map(move |place| root.join(place))
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

    #[test]
    fn the_files_are_current() {
        check().unwrap();
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
