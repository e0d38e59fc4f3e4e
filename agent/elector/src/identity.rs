//! The identity of this process: a name that no other candidate has.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use elector_crds::untrusted::MAX_TEXT_BYTES;
use serde::Deserialize;

/// A nonce that no other process has ever used: 128 random bits in hexadecimal.
///
/// # Errors
/// If the kernel has no randomness to give.
pub fn nonce() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

/// The sources of an identity, in the order in which they are tried.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Sources {
    /// The identity that the user set.
    pub set: Option<String>,
    /// The service account token that requests are sent with.
    pub token: Option<String>,
    /// The values of `POD_NAME` and `POD_UID`.
    pub pod: Option<(String, String)>,
    /// The hostname, the last resort: pods that use their node's network share it.
    pub hostname: String,
}

impl Sources {
    /// The identity from the first source that has one: `<pod>_<pod uid>` wherever the pod is known.
    #[must_use]
    pub fn identity(self) -> String {
        self.set
            .or_else(|| self.token.as_deref().and_then(pod_of_token))
            .or_else(|| self.pod.map(|(name, uid)| format!("{name}_{uid}")))
            .unwrap_or(self.hostname)
    }
}

/// Checks an identity that the user sets. A Lease with a longer one is read with a shortened form, in which the
/// candidate would not know itself.
///
/// # Errors
/// If the identity is longer than [`MAX_TEXT_BYTES`].
pub fn parse(identity: &str) -> Result<String, String> {
    if identity.len() > MAX_TEXT_BYTES {
        return Err(format!("it has {} bytes; it can have {MAX_TEXT_BYTES} at most", identity.len()));
    }
    Ok(identity.to_owned())
}

/// The name and uid of the pod that a service account token is bound to. The signature is not checked: that is up to
/// the API server.
fn pod_of_token(token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Claims {
        #[serde(rename = "kubernetes.io")]
        kubernetes: Kubernetes,
    }
    #[derive(Deserialize)]
    struct Kubernetes {
        pod: Pod,
    }
    #[derive(Deserialize)]
    struct Pod {
        name: String,
        uid: String,
    }
    let payload = token.trim().split('.').nth(1)?;
    let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    let Pod { name, uid } = claims.kubernetes.pod;
    (!name.is_empty() && !uid.is_empty()).then(|| format!("{name}_{uid}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> String {
        format!("head.{}.signature", URL_SAFE_NO_PAD.encode(claims))
    }

    fn sources() -> Sources {
        Sources {
            set: Some("set".to_owned()),
            token: Some(token(r#"{"kubernetes.io":{"pod":{"name":"billing-0","uid":"5f0c"}}}"#)),
            pod: Some(("pod".to_owned(), "uid".to_owned())),
            hostname: "host".to_owned(),
        }
    }

    #[test]
    fn what_is_set_comes_first_then_token_then_pod_then_hostname() {
        let mut sources = sources();
        assert_eq!(sources.clone().identity(), "set");
        sources.set = None;
        assert_eq!(sources.clone().identity(), "billing-0_5f0c");
        sources.token = None;
        assert_eq!(sources.clone().identity(), "pod_uid");
        sources.pod = None;
        assert_eq!(sources.identity(), "host");
    }

    #[test]
    fn a_token_that_is_bound_to_no_pod_names_none() {
        for claims in ["", "{}", "[]", r#"{"kubernetes.io":{}}"#, r#"{"kubernetes.io":{"pod":{"name":"","uid":""}}}"#] {
            assert_eq!(pod_of_token(&token(claims)), None, "{claims}");
        }
        for garbage in ["", ".", "a.b.c", "a.====.c", "opaque"] {
            assert_eq!(pod_of_token(garbage), None, "{garbage}");
        }
    }

    #[test]
    fn nonces_differ() {
        let (one, other) = (nonce().unwrap(), nonce().unwrap());
        assert_eq!(one.len(), 32);
        assert_ne!(one, other);
    }
}
