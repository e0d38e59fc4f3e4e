//! The identity of a pod as a holder: `<pod>_<pod uid>`.

use std::borrow::Cow;

use crate::display_text::{self, MAX_IDENTITY, MAX_NAME};

/// The identity of a pod, which differs from that of any other pod of the same name.
#[must_use]
pub fn of_pod(name: &str, uid: &str) -> String {
    format!("{name}_{uid}")
}

/// The pod's name and uid in an identity. `None` if it does not have that form.
///
/// client-go's `<hostname>_<nonce>` has that form too: only the pod can tell whether the second part is its uid.
#[must_use]
pub fn pod_and_uid(identity: &str) -> Option<(&str, &str)> {
    // Names of pods contain no underscore.
    identity.rsplit_once('_').filter(|(pod, uid)| !pod.is_empty() && !pod.contains('_') && !uid.is_empty())
}

/// The name to show for a holder: the name of its pod, or else the identity.
#[must_use]
pub fn display_name(identity: &str) -> &str {
    pod_and_uid(identity).map_or(identity, |(pod, _)| pod)
}

/// An identity as statuses, logs and answers show it: a holder may call itself anything.
#[must_use]
pub fn shown(identity: &str) -> Cow<'_, str> {
    display_text::shown(identity, MAX_IDENTITY)
}

/// The name to show for a holder, fit to be shown: a holder may call itself anything.
#[must_use]
pub fn shown_name(identity: &str) -> Cow<'_, str> {
    display_text::shown(display_name(identity), MAX_NAME)
}

/// Whether two identities are the same as statuses have them: whole, or as they are shown.
#[must_use]
pub fn is_same(one: &str, other: &str) -> bool {
    shown(one) == shown(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_what_it_joined() {
        let identity = of_pod("billing-7d9-x", "5f0c");
        assert_eq!(identity, "billing-7d9-x_5f0c");
        assert_eq!(pod_and_uid(&identity), Some(("billing-7d9-x", "5f0c")));
        assert_eq!(display_name(&identity), "billing-7d9-x");
    }

    #[test]
    fn anything_else_stands_for_itself() {
        for identity in ["", "_", "host", "host_", "_uid", "my_host_uid"] {
            assert_eq!(pod_and_uid(identity), None, "{identity}");
            assert_eq!(display_name(identity), identity);
        }
    }

    #[test]
    fn a_pods_identity_is_shown_whole_however_long_its_name_is() {
        let identity = of_pod(&"a".repeat(253), "3c8f6c1e-9a43-4bd2-8f41-0c5a7a7d3a10");
        assert_eq!(shown(&identity), identity);
        assert_eq!(shown_name(&identity), "a".repeat(253));
    }

    #[test]
    fn what_a_status_says_is_compared_with_what_a_lease_says() {
        let megabyte = "a\u{7f}".repeat(500_000);
        for identity in ["billing-0_5f0c", "a\u{202e}b", &megabyte] {
            assert!(is_same(&shown(identity), identity) && is_same(identity, &shown(identity)));
            assert!(!is_same("billing-1_5f0c", identity));
        }
        assert_eq!(shown_name("a\u{202e}b_5f0c"), r"a\u{202e}b");
    }
}
