//! The definition and the Helm chart, by the real helm, on a real API server.

mod crd;
mod fences;
mod files;
mod inject;
mod injection;
mod kustomize;
mod least_power;
mod monitoring;
mod openshift;
mod other_charts;
mod refused;
mod release;
mod resources;
mod strict_identity;
mod users;
mod velero;
mod words;
