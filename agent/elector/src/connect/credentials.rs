//! The credentials of requests: the user of a kubeconfig, and tokens in files.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request};
use kube::config::AuthInfo;
use secrecy::{ExposeSecret as _, SecretString};

use super::{exec, files};

/// How long a token that was read is sent before its file is read again. kubelet replaces a token minutes before it
/// expires.
const TOKEN_CACHE_TIME: Duration = Duration::from_secs(10);

/// A token in a file that another program keeps current, such as kubelet.
#[derive(Debug, Clone)]
pub(super) struct TokenFile {
    path: Arc<Path>,
    last: Arc<Mutex<Last>>,
}

#[derive(Debug)]
struct Last {
    /// The value of the `Authorization` header, marked as sensitive so that it is not shown.
    header: HeaderValue,
    read_at: Instant,
}

impl TokenFile {
    /// Opens the file of a token, and reads the token once.
    ///
    /// # Errors
    /// If it cannot be read, or there is nothing in it.
    pub(super) fn open(path: PathBuf) -> Result<TokenFile, String> {
        let token = read(&path).map_err(|error| format!("failed to read token file {path:?}: {error}"))?;
        let last = Last { header: header(&token), read_at: Instant::now() };
        Ok(TokenFile { path: path.into(), last: Arc::new(Mutex::new(last)) })
    }

    /// Signs a request with the token that the file holds now. If the file cannot be read any more, perhaps because it
    /// is just being replaced, the last token is sent.
    pub(super) fn sign<B>(&self, mut request: Request<B>) -> Request<B> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.read_at.elapsed() >= TOKEN_CACHE_TIME {
            last.read_at = Instant::now();
            if let Ok(token) = read(&self.path) {
                last.header = header(&token);
            }
        }
        request.headers_mut().insert(AUTHORIZATION, last.header.clone());
        request
    }

    /// The token that the file holds now; `None` if it cannot be read.
    pub(super) fn token(&self) -> Option<String> {
        read(&self.path).ok()
    }
}

fn read(path: &Path) -> io::Result<String> {
    let token = String::from_utf8(files::read(path)?).map_err(|_| io::Error::other("it is no text"))?;
    let token = token.trim();
    if token.is_empty() { Err(io::Error::other("it is empty")) } else { Ok(token.to_owned()) }
}

/// The header that sends `token`. A token that no header can hold becomes one that no user has: the API server then
/// refuses it.
fn header(token: &str) -> HeaderValue {
    bearer(token).unwrap_or(HeaderValue::from_static("Bearer unusable"))
}

fn bearer(token: &str) -> Option<HeaderValue> {
    let mut header = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// The user with what is sent of it, and the file of its token if it has one.
///
/// # Errors
/// If the user has something that cannot be sent, or that kubectl would not send.
pub(super) fn of(mut user: AuthInfo, name: &str) -> Result<(AuthInfo, Option<TokenFile>), String> {
    let of_user = |why: String| format!("user {name:?} of the kubeconfig: {why}");
    certificate(&mut user).map_err(of_user)?;
    if user.impersonate.is_none() && (user.impersonate_uid.is_some() || user.impersonate_groups.is_some()) {
        return Err(of_user("as-uid and as-groups need as".to_owned()));
    }
    let has_token = user.token.is_some() || user.token_file.is_some();
    if has_token && user.username.is_some() {
        return Err(of_user("it has a token and a user name: one of them is too many".to_owned()));
    }
    if user.username.is_some() && user.password.is_none() {
        user.password = Some(SecretString::from(String::new()));
    }
    if has_token || user.username.is_some() {
        user.auth_provider = None;
    }
    if has_token || user.username.is_some() || user.client_certificate_data.is_some() {
        // As kubectl, which asks no program for what it has.
        user.exec.take().map_or(Ok(()), |exec| exec::check(&exec)).map_err(of_user)?;
    }
    if let Some(exec) = &user.exec {
        let given = exec::run(exec).map_err(of_user)?;
        if given.expiration_timestamp.is_none() {
            user.exec = None;
            user.client_certificate_data = given.client_certificate_data.map(|pem| STANDARD.encode(pem));
            user.client_key_data = given.client_key_data.map(|pem| STANDARD.encode(pem).into());
        }
        // One that expires is asked for again by the client, which checks it then.
        let token = given.token.map(SecretString::from);
        is_sendable(token.as_ref()).map_err(of_user)?;
        user.token = token.filter(|_| user.exec.is_none());
    }
    if let Some(provider) = &user.auth_provider {
        for token in ["id-token", "access-token"] {
            let token = provider.config.get(token).map(|token| SecretString::from(token.clone()));
            is_sendable(token.as_ref()).map_err(of_user)?;
        }
    }
    is_sendable(user.token.as_ref()).map_err(of_user)?;
    // Of two the file counts: it is the one that is kept current.
    let file = match (user.token_file.take(), &user.token) {
        (Some(path), None) => Some(TokenFile::open(path.into())?),
        (Some(path), Some(_)) => TokenFile::open(path.into()).ok(),
        (None, _) => None,
    };
    if file.is_some() {
        user.token = None;
    }
    Ok((user, file))
}

fn is_sendable(token: Option<&SecretString>) -> Result<(), String> {
    match token {
        Some(token) if bearer(token.expose_secret()).is_none() => {
            Err("its token has characters, such as a line feed, that no token has".to_owned())
        }
        Some(_) | None => Ok(()),
    }
}

/// Replaces the client's certificate and key by their data, which each come from one source.
fn certificate(user: &mut AuthInfo) -> Result<(), String> {
    let certificate = data(
        user.client_certificate_data.take().as_deref(),
        user.client_certificate.take().as_deref(),
        "client-certificate",
    )?;
    let key = user.client_key_data.take();
    let key = data(key.as_ref().map(SecretString::expose_secret), user.client_key.take().as_deref(), "client-key")?;
    if certificate.is_some() != key.is_some() {
        return Err("it has a client certificate without its key, or a key without its certificate".to_owned());
    }
    user.client_certificate_data = certificate;
    user.client_key_data = key.map(SecretString::from);
    Ok(())
}

/// The content of `data` or of `file`, as base64 on one line.
///
/// # Errors
/// If both are set, or the one that is set cannot be read.
pub(super) fn data(data: Option<&str>, file: Option<&str>, what: &str) -> Result<Option<String>, String> {
    match (data, file) {
        (Some(_), Some(_)) => Err(format!("{what} and {what}-data are both there: one of them is too many")),
        (Some(data), None) => {
            let data = without_blanks(data);
            let decoded = STANDARD.decode(&data);
            decoded.map(|_| Some(data)).map_err(|error| format!("{what}-data is no base64: {error}"))
        }
        (None, Some(file)) => {
            let read = files::read(file).map_err(|error| format!("failed to read {what} {file:?}: {error}"))?;
            Ok(Some(STANDARD.encode(read)))
        }
        (None, None) => Ok(None),
    }
}

/// Removes line breaks and blanks, by which base64 may be broken anywhere.
fn without_blanks(base64: &str) -> String {
    base64.chars().filter(|it| !it.is_ascii_whitespace()).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn sent(file: &TokenFile) -> String {
        let request = file.sign(Request::new(()));
        request.headers()[AUTHORIZATION].to_str().unwrap().to_owned()
    }

    #[test]
    fn a_token_in_a_file_is_sent_without_the_blanks_around_it_and_as_it_is_by_then() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        for nothing in ["", " \n"] {
            fs::write(&path, nothing).unwrap();
            assert!(TokenFile::open(path.clone()).unwrap_err().ends_with("it is empty"));
        }
        fs::write(&path, "  first\r\n").unwrap();
        let file = TokenFile::open(path.clone()).unwrap();
        assert_eq!((sent(&file), file.token()), ("Bearer first".to_owned(), Some("first".to_owned())));
        fs::write(&path, "second\n").unwrap();
        assert_eq!(sent(&file), "Bearer first");
        let later = |file: &TokenFile| {
            let mut last = file.last.lock().unwrap();
            last.read_at = last.read_at.checked_sub(TOKEN_CACHE_TIME).unwrap();
        };
        later(&file);
        assert_eq!(sent(&file), "Bearer second");
        fs::remove_file(&path).unwrap();
        later(&file);
        assert_eq!(sent(&file), "Bearer second");
        fs::write(&path, "gar\nbage").unwrap();
        later(&file);
        assert_eq!(sent(&file), "Bearer unusable");
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        let user = |text: &str| -> AuthInfo { serde_json::from_str(text).unwrap() };
        let v1 = "client.authentication.k8s.io/v1";
        for text in [
            r#"{"token": "a\n"}"#.to_owned(),
            r#"{"token": "a", "username": "b"}"#.to_owned(),
            r#"{"tokenFile": "/nonexistent"}"#.to_owned(),
            r#"{"as-groups": ["a"]}"#.to_owned(),
            r#"{"client-certificate-data": "!", "client-key-data": "!"}"#.to_owned(),
            r#"{"client-certificate-data": "YQ=="}"#.to_owned(),
            r#"{"client-certificate-data": "YQ==", "client-certificate": "/a", "client-key-data": "YQ=="}"#.to_owned(),
            r#"{"auth-provider": {"name": "oidc", "config": {"id-token": "a\nb"}}}"#.to_owned(),
            r#"{"exec": {"command": "true"}}"#.to_owned(),
            format!(r#"{{"exec": {{"apiVersion": "{v1}", "command": "true"}}}}"#),
            format!(r#"{{"exec": {{"apiVersion": "{v1}", "interactiveMode": "Never", "command": "false"}}}}"#),
            format!(
                r#"{{"exec": {{"apiVersion": "{v1}", "interactiveMode": "Never", "command": "printf", "args": ["%s", "{}"]}}}}"#,
                r#"{\"status\": {\"token\": \"a\\nb\"}}"#
            ),
        ] {
            assert_eq!(of(user(&text), "u").unwrap_err().lines().count(), 1, "{text}");
        }
        let (kept, file) = of(user(r#"{"token": "a", "tokenFile": "/nonexistent"}"#), "u").unwrap();
        assert!(kept.token.is_some() && file.is_none());
    }

    #[test]
    fn no_program_is_asked_for_what_there_is() {
        let exec = r#""exec": {"apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never", "command": "false"}"#;
        for has in
            [r#""token": "a""#, r#""username": "a""#, r#""client-certificate-data": "YQ==", "client-key-data": "YQ==""#]
        {
            let user: AuthInfo = serde_json::from_str(&format!("{{{has}, {exec}}}")).unwrap();
            assert!(of(user, "u").unwrap().0.exec.is_none(), "{has}");
        }
    }
}
