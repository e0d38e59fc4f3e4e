//! A pod as a holder: `<pod>_<pod uid>`.

/// The identity of a pod, unlike any other pod's of that name.
#[must_use]
pub fn of_pod(name: &str, uid: &str) -> String {
    format!("{name}_{uid}")
}

/// The pod's name and uid in an identity. `None` if it has not that form.
///
/// client-go's `<hostname>_<nonce>` has it too: whether the second part is the uid of a pod only the pod can tell.
#[must_use]
pub fn pod_and_uid(identity: &str) -> Option<(&str, &str)> {
    // Names of pods contain no underscore.
    identity.rsplit_once('_').filter(|(pod, uid)| !pod.is_empty() && !pod.contains('_') && !uid.is_empty())
}

/// The name to show for a holder: of its pod, else the identity itself.
#[must_use]
pub fn display_name(identity: &str) -> &str {
    pod_and_uid(identity).map_or(identity, |(pod, _)| pod)
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
}
