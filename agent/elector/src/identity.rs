//! Who this process is: a name that no other candidate has.

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

/// Where an identity can come from, in the order in which it is looked for.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Sources {
    /// What the user set.
    pub set: Option<String>,
    /// The service account token that requests are made with.
    pub token: Option<String>,
    /// `POD_NAME` and `POD_UID`.
    pub pod: Option<(String, String)>,
    /// Equal for all pods of a node that use its network: the last resort.
    pub hostname: String,
}

impl Sources {
    /// `<pod>_<pod uid>` wherever it can be known.
    #[must_use]
    pub fn identity(self) -> String {
        self.set
            .or_else(|| self.token.as_deref().and_then(pod_of_token))
            .or_else(|| self.pod.map(|(name, uid)| format!("{name}_{uid}")))
            .unwrap_or(self.hostname)
    }
}

/// An identity that the user sets. In a Lease a longer one is known by a short form, in which its own process would not know itself.
///
/// # Errors
/// If it is longer than [`MAX_TEXT_BYTES`].
pub fn parse(identity: &str) -> Result<String, String> {
    if identity.len() > MAX_TEXT_BYTES {
        return Err(format!("it has {} bytes; it can have {MAX_TEXT_BYTES} at most", identity.len()));
    }
    Ok(identity.to_owned())
}

/// The pod that a service account token is bound to. Its signature is the API server's business.
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
