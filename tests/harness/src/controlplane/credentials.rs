//! Keys, certificates, tokens and kubeconfigs of one control plane, made anew each time.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    net::Ipv4Addr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use serde_json::json;

use super::flags::SERVICE;

/// The files, all in one folder, and the tokens of the two users that exist from the start.
#[derive(Debug)]
pub(super) struct Credentials {
    folder: PathBuf,
    /// Of user `admin`, who may do everything.
    pub(super) admin: String,
    /// Of user `system:kube-controller-manager`, as policies and the audit log know it, who may too.
    pub(super) controller_manager: String,
}

impl Credentials {
    /// Writes them. Made here rather than by the API server, so that a client
    /// can verify it by a CA, which it doesn't make for itself. Elliptic, as an RSA
    /// key takes a second. Valid for centuries: tests move the clock.
    pub(super) fn create(folder: &Path) -> Result<Self> {
        let credentials = Self { folder: folder.to_owned(), admin: secret()?, controller_manager: secret()? };
        let ca = CertifiedIssuer::self_signed(authority(), KeyPair::generate()?)?;
        let server_key = KeyPair::generate()?;
        let server = server().signed_by(&server_key, &ca)?;
        let accounts = KeyPair::generate()?;
        let users = format!(
            "{},admin,admin,system:masters\n{},system:kube-controller-manager,controller-manager,system:masters\n",
            credentials.admin, credentials.controller_manager
        );
        for (name, text) in [
            ("ca.crt", ca.pem()),
            ("server.crt", server.pem()),
            ("server.key", server_key.serialize_pem()),
            ("accounts.key", accounts.serialize_pem()),
            ("accounts.pub", accounts.public_key_pem()),
            ("users.csv", users),
        ] {
            write_secret(&credentials.file(name), &text)?;
        }
        Ok(credentials)
    }

    /// One of the files, or a path for another one.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes a kubeconfig for a token.
    pub(super) fn kubeconfig(&self, path: &Path, url: &str, token: &str) -> Result<()> {
        let text = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {"server": url, "certificate-authority": self.file("ca.crt")}}],
            "users": [{"name": "test", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "current-context": "test",
        });
        write_secret(path, &serde_yaml_ng::to_string(&text)?)
    }
}

fn authority() -> CertificateParams {
    let mut params = named("leader-elector test CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params
}

fn server() -> CertificateParams {
    let mut params = named("kube-apiserver");
    // Pods know the second address: that of the service `kubernetes`.
    params.subject_alt_names = [Ipv4Addr::LOCALHOST, SERVICE].map(|address| SanType::IpAddress(address.into())).into();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// Loopback is everybody's on this machine, so a token can't be a constant.
fn secret() -> Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(u128::from_ne_bytes(bytes).to_string())
}

/// For the owner alone, never half written.
fn write_secret(path: &Path, text: &str) -> Result<()> {
    let partial = path.with_extension("partial");
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&partial)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&partial, path))
        .with_context(|| format!("failed to write {}", path.display()))
}
