//! What an election asked of the API server in a time, by its audit log.

use std::collections::BTreeMap;

use elector_harness::controlplane::Entry;
use serde::Serialize;

/// Requests by verb, as the audit log calls them: an `update` is a PUT.
pub(crate) type Verbs = BTreeMap<String, usize>;

/// Every request of an election's candidates, whatever it was about.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Requests {
    /// How long they were counted.
    pub(crate) minutes: f64,
    /// By the one who led throughout.
    pub(crate) leader: Verbs,
    /// By all others together.
    pub(crate) standbys: Verbs,
}

impl Requests {
    /// Counts `entries`, all of which are the election's.
    pub(crate) fn count<'a>(entries: impl IntoIterator<Item = &'a Entry>, leader: &str, minutes: f64) -> Requests {
        let mut requests = Requests { minutes, ..Requests::default() };
        for entry in entries {
            let leads = entry.pod.as_deref() == Some(leader);
            let verbs = if leads { &mut requests.leader } else { &mut requests.standbys };
            *verbs.entry(entry.verb.clone()).or_default() += 1;
        }
        requests
    }

    /// All of them, a minute.
    pub(crate) fn per_minute(&self) -> f64 {
        self.rate(&self.leader) + self.rate(&self.standbys)
    }

    /// Those of `verbs`, a minute.
    pub(crate) fn rate(&self, verbs: &Verbs) -> f64 {
        to_float(verbs.values().sum()) / self.minutes
    }

    /// Of standbys, all but watches.
    pub(crate) fn polls(&self) -> usize {
        self.standbys.iter().filter(|(verb, _)| *verb != "watch").map(|(_, count)| count).sum()
    }

    /// One after another, such as `PUT 30.0, WATCH 0.3`, a minute.
    pub(crate) fn describe(&self, verbs: &Verbs) -> String {
        let each = verbs.iter().map(|(verb, count)| {
            let verb = if verb == "update" { "PUT".to_owned() } else { verb.to_uppercase() };
            format!("{verb} {:.1}", to_float(*count) / self.minutes)
        });
        let each: Vec<String> = each.collect();
        if each.is_empty() { "none".to_owned() } else { each.join(", ") }
    }
}

fn to_float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

#[cfg(test)]
mod tests {
    use elector_harness::controlplane::Stage;
    use jiff::Timestamp;

    use super::*;

    fn entry(pod: &str, verb: &str) -> Entry {
        Entry {
            id: String::new(),
            stage: Stage::ResponseComplete,
            verb: verb.to_owned(),
            uri: String::new(),
            user: String::new(),
            pod: Some(pod.to_owned()),
            user_agent: String::new(),
            group: String::new(),
            resource: "leases".to_owned(),
            subresource: String::new(),
            namespace: String::new(),
            name: String::new(),
            code: Some(200),
            received: Timestamp::UNIX_EPOCH,
            reached: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn the_leaders_and_the_others_are_told_apart_and_a_watch_is_no_poll() {
        let entries = [("a", "update"), ("a", "update"), ("a", "watch"), ("b", "watch"), ("c", "get"), ("c", "list")]
            .map(|(pod, verb)| entry(pod, verb));
        let requests = Requests::count(&entries, "a", 0.5);
        assert_eq!(requests.describe(&requests.leader), "PUT 4.0, WATCH 2.0");
        assert_eq!(requests.describe(&requests.standbys), "GET 2.0, LIST 2.0, WATCH 2.0");
        assert_eq!((requests.per_minute(), requests.polls()), (12.0, 2));
    }
}
