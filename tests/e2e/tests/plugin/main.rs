//! `kubectl election`, and kubeconfigs as kubectl takes them, on a real API server.

mod commands;
mod doctor;
mod gitops;
mod kubeconfig;
mod scene;
mod texts;
