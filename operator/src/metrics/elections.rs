//! The metrics of each election: the stored status, and the age of the last renewal.

use std::fmt::Write as _;
use std::time::Duration;

use elector_crds::LeaderElectionStatus;
use elector_crds::conditions::{ConditionType, Status, find};
use elector_crds::display_text::{MAX_NAME, shown};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::index::{ClockReading, ElectionView, Index, own_duration};
use crate::key::Key;

/// The number of elections in one piece of a family.
pub(super) const PIECE_ELECTIONS: usize = 500;

/// A family of metrics with samples for each election.
pub(super) struct PerElection {
    /// The name of the family; samples have this name and perhaps a suffix.
    name: &'static str,
    kind: Kind,
    help: &'static str,
    show: fn(&ElectionView<'_>, ClockReading, &mut Samples<'_>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Gauge,
    Seconds,
    Counter,
    Info,
}

/// Writes the samples of one election to a text.
struct Samples<'a> {
    text: &'a mut String,
    name: &'static str,
    suffix: &'static str,
    key: &'a Key,
}

/// All families, in the order in which they are written.
pub(super) const FAMILIES: &[PerElection] = &[
    PerElection {
        name: "leader_elector_election_leader",
        kind: Kind::Gauge,
        help: "Whether a candidate leads, as the condition LeaderElected and the age of the last renewal have it",
        show: |sight, now, samples| samples.push(&[], if sight.is_led(now) { 1.0 } else { 0.0 }),
    },
    PerElection {
        name: "leader_elector_election_holder",
        kind: Kind::Info,
        help: "Who leads, and on which node",
        show: |sight, now, samples| {
            let holder = sight.status().and_then(|status| status.holder.as_ref()).filter(|_| sight.is_led(now));
            if let Some(holder) = holder {
                let node = holder.node_name.as_deref().unwrap_or_default();
                samples.push(&[("holder", &holder.name), ("node", node)], 1.0);
            }
        },
    },
    PerElection {
        name: "leader_elector_election_condition",
        kind: Kind::Gauge,
        help: "1 for each condition, as it stands in the status",
        show: |sight, _, samples| {
            for Condition { type_, status, reason, .. } in sight.status().iter().flat_map(|status| &status.conditions) {
                samples.push(&[("condition", type_), ("status", status), ("reason", reason)], 1.0);
            }
        },
    },
    PerElection {
        name: "leader_elector_election_transitions",
        kind: Kind::Counter,
        help: "Tenures so far, as the Lease counts them",
        show: |sight, _, samples| samples.push_known(sight.status().and_then(|status| status.lease_transitions)),
    },
    PerElection {
        name: "leader_elector_election_candidates",
        kind: Kind::Gauge,
        help: "Pods that may lead, now or later",
        show: |sight, _, samples| samples.push_known(sight.status().and_then(|status| status.candidates)),
    },
    PerElection {
        name: "leader_elector_election_ready_candidates",
        kind: Kind::Gauge,
        help: "Candidates that are ready",
        show: |sight, _, samples| samples.push_known(sight.status().and_then(|status| status.ready_candidates)),
    },
    PerElection {
        name: "leader_elector_election_paused",
        kind: Kind::Gauge,
        help: "Whether the election is paused",
        show: |sight, _, samples| samples.push(&[], if sight.election.spec.paused { 1.0 } else { 0.0 }),
    },
    PerElection {
        name: "leader_elector_election_renewal_age_seconds",
        kind: Kind::Seconds,
        help: "How long ago the leader was last seen to renew the Lease",
        show: |sight, now, samples| samples.push_time(sight.renewal(now).map(|(age, _)| age)),
    },
    PerElection {
        name: "leader_elector_election_lease_duration_seconds",
        kind: Kind::Seconds,
        help: "For how long a silent leader is waited for",
        show: |sight, now, samples| samples.push_time(sight.renewal(now).map(|(_, duration)| duration)),
    },
];

impl PerElection {
    /// The comments before the samples of this family.
    pub(super) fn head(&self) -> String {
        let PerElection { name, kind, help, .. } = self;
        let kind_name = match kind {
            Kind::Gauge | Kind::Seconds => "gauge",
            Kind::Counter => "counter",
            Kind::Info => "info",
        };
        let unit = if *kind == Kind::Seconds { format!("# UNIT {name} seconds\n") } else { String::new() };
        format!("# HELP {name} {help}.\n# TYPE {name} {kind_name}\n{unit}")
    }

    /// The samples of the next elections after `last`. Also returns the last of these elections, if there may be more.
    pub(super) fn piece(&self, index: &Index, last: Option<&Key>, now: ClockReading) -> (String, Option<Key>) {
        let suffix = match self.kind {
            Kind::Gauge | Kind::Seconds => "",
            Kind::Counter => "_total",
            Kind::Info => "_info",
        };
        let mut text = String::new();
        let (mut shown, mut reached) = (0, None);
        for sight in index.after(last).take(PIECE_ELECTIONS) {
            let mut samples = Samples { text: &mut text, name: self.name, suffix, key: sight.key };
            (self.show)(&sight, now, &mut samples);
            shown += 1;
            reached = Some(sight.key);
        }
        (text, reached.filter(|_| shown == PIECE_ELECTIONS).cloned())
    }
}

impl ElectionView<'_> {
    fn status(&self) -> Option<&LeaderElectionStatus> {
        self.election.status.as_ref()
    }

    fn is_led(&self, now: ClockReading) -> bool {
        self.renewal(now).is_some_and(|(age, duration)| age < duration)
    }

    /// How long ago the leader that the status names was seen to renew, and how long a silent leader is waited for.
    fn renewal(&self, now: ClockReading) -> Option<(Duration, Duration)> {
        let elected = find(&self.status()?.conditions, ConditionType::LeaderElected)?;
        let seen = self.lease.filter(|_| elected.status == Status::True.as_str())?;
        let age = now.at.saturating_sub(seen.seen_at);
        Some((age, seen.effective_duration(own_duration(&self.election.spec))))
    }
}

impl Samples<'_> {
    fn push(&mut self, labels: &[(&str, &str)], value: f64) {
        let Samples { text, name, suffix, key: Key { namespace, name: election } } = self;
        // A String takes whatever it is given.
        let _ = write!(text, "{name}{suffix}{{namespace=\"{namespace}\",name=\"{election}\"");
        for (label, value) in labels {
            let _ = write!(text, ",{label}=\"{}\"", escaped(&shown(value, MAX_NAME)));
        }
        let _ = writeln!(text, "}} {value}");
    }

    #[expect(clippy::cast_precision_loss, reason = "nobody counts so far")]
    fn push_known(&mut self, value: Option<i64>) {
        if let Some(value) = value {
            self.push(&[], value as f64);
        }
    }

    fn push_time(&mut self, time: Option<Duration>) {
        if let Some(time) = time {
            self.push(&[], time.as_secs_f64());
        }
    }
}

/// Escapes a text as the value of a label: hidden characters, such as line breaks, become their codes.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use elector_crds::{LeaderElection, StoredLease};
    use jiff::Timestamp;
    use kube::runtime::watcher::Event;
    use serde_json::{Value, json};

    use super::*;
    use crate::index::Observation;

    fn at(second: u64) -> ClockReading {
        ClockReading { at: Duration::from_secs(second), wall: Timestamp::UNIX_EPOCH }
    }

    fn election(name: &str, paused: bool, status: Value) -> LeaderElection {
        let metadata = json!({"namespace": "shop", "name": name, "uid": name, "resourceVersion": "1"});
        serde_json::from_value(json!({"metadata": metadata, "spec": {"paused": paused}, "status": status})).unwrap()
    }

    fn led_by(holder: &str) -> Value {
        let condition = json!({
            "type": "LeaderElected", "status": "True", "reason": "LeaseHeld", "message": "",
            "lastTransitionTime": "2026-11-23T18:00:00Z",
        });
        json!({
            "conditions": [condition],
            "holder": {"name": holder, "identity": holder, "nodeName": "node-3"},
            "leaseTransitions": 4,
            "candidates": 3,
            "readyCandidates": 2,
        })
    }

    fn lease(name: &str, version: u64) -> StoredLease {
        serde_json::from_value(json!({
            "metadata": {"namespace": "shop", "name": name, "uid": name, "resourceVersion": version.to_string()},
            "spec": {
                "holderIdentity": "billing-0", "leaseDurationSeconds": 20, "leaseTransitions": 4,
                "acquireTime": "2026-11-23T18:00:00.000000Z",
                "renewTime": format!("2026-11-23T18:00:{version:02}.000000Z"),
            },
        }))
        .unwrap()
    }

    fn text(index: &Index, now: ClockReading) -> String {
        FAMILIES.iter().map(|family| family.piece(index, None, now).0).collect()
    }

    #[test]
    fn who_leads_is_shown_with_the_age_of_the_last_renewal_until_it_is_too_old() {
        let mut index = Index::default();
        index.handle_seen(
            Observation::Election(Event::Apply(election("billing", false, led_by("billing-0")).into())),
            at(0),
        );
        index.handle_seen(Observation::Lease(Event::Apply(lease("billing", 1))), at(1));
        index.handle_seen(Observation::Lease(Event::Apply(lease("billing", 2))), at(3));
        let of_status = r#"leader_elector_election_condition{namespace="shop",name="billing",condition="LeaderElected",status="True",reason="LeaseHeld"} 1
leader_elector_election_transitions_total{namespace="shop",name="billing"} 4
leader_elector_election_candidates{namespace="shop",name="billing"} 3
leader_elector_election_ready_candidates{namespace="shop",name="billing"} 2
leader_elector_election_paused{namespace="shop",name="billing"} 0
"#;
        let led = r#"leader_elector_election_leader{namespace="shop",name="billing"} 1
leader_elector_election_holder_info{namespace="shop",name="billing",holder="billing-0",node="node-3"} 1
"#;
        let times = r#"leader_elector_election_renewal_age_seconds{namespace="shop",name="billing"} 7.5
leader_elector_election_lease_duration_seconds{namespace="shop",name="billing"} 20
"#;
        let later = ClockReading { at: Duration::from_millis(10_500), ..at(0) };
        assert_eq!(text(&index, later), format!("{led}{of_status}{times}"));
        // The status still says so, as it does where it cannot be written.
        let nobody = "leader_elector_election_leader{namespace=\"shop\",name=\"billing\"} 0\n";
        let times = times.replace("7.5", "20");
        assert_eq!(text(&index, at(23)), format!("{nobody}{of_status}{times}"));
    }

    #[test]
    fn an_election_is_shown_before_it_has_a_status_and_not_after_its_end() {
        let mut index = Index::default();
        let paused = election("billing", true, Value::Null);
        index.handle_seen(Observation::Election(Event::Apply(paused.clone().into())), at(0));
        let bare = r#"leader_elector_election_leader{namespace="shop",name="billing"} 0
leader_elector_election_paused{namespace="shop",name="billing"} 1
"#;
        assert_eq!(text(&index, at(1)), bare);
        index.handle_seen(Observation::Election(Event::Delete(paused.into())), at(2));
        assert_eq!(text(&index, at(3)), "");
    }

    #[test]
    fn a_lease_may_name_anybody() {
        let mut index = Index::default();
        let holder = "a\"b\\c\nd\u{202e}";
        index
            .handle_seen(Observation::Election(Event::Apply(election("billing", false, led_by(holder)).into())), at(0));
        index.handle_seen(Observation::Lease(Event::Apply(lease("billing", 1))), at(0));
        assert!(text(&index, at(1)).contains(r#"holder="a\"b\\c\\nd\\u{202e}","#));
    }

    #[test]
    fn pieces_show_each_election_once() {
        let names: Vec<String> = (0..2 * PIECE_ELECTIONS + 3).map(|number| format!("e{number:04}")).collect();
        let mut index = Index::default();
        for name in &names {
            index.handle_seen(Observation::Election(Event::Apply(election(name, false, Value::Null).into())), at(0));
        }
        let paused = FAMILIES.iter().find(|family| family.name == "leader_elector_election_paused").unwrap();
        let (mut text, mut last, mut lengths) = (String::new(), None, vec![]);
        loop {
            let (piece, next) = paused.piece(&index, last.as_ref(), at(1));
            lengths.push(piece.lines().count());
            text.push_str(&piece);
            last = next;
            if last.is_none() {
                break;
            }
        }
        assert_eq!(lengths, [PIECE_ELECTIONS, PIECE_ELECTIONS, 3]);
        let shown = text.lines().filter_map(|line| line.split("name=\"").nth(1)?.split('"').next());
        assert!(shown.eq(names.iter().map(String::as_str)), "{text}");
    }
}
