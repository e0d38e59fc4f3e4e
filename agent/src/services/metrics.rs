//! The agent's metrics for Prometheus.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use elector_election::{Loss, Now, Vacancy};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::snapshot::Snapshot;

/// The buckets of the request durations, in seconds: a renewal takes some 5 ms where all is well, and 10 s at most.
const BUCKETS: [f64; 10] = [0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];

type Seconds = Gauge<f64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    request: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CauseLabels {
    cause: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SettingLabels {
    setting: &'static str,
}

/// The metrics of one election: the election's thread writes them, the server's thread reads them.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    master_status: Gauge,
    transitions: Gauge,
    time_to_deadline: Seconds,
    acquisitions: Family<CauseLabels, Counter>,
    losses: Family<ReasonLabels, Counter>,
    renewals: Counter,
    watch_restarts: Counter,
    requests: Family<RequestLabels, Histogram>,
    listening: Family<SettingLabels, Gauge>,
}

impl Metrics {
    pub(crate) fn new(lease: &str) -> Metrics {
        let mut registry = Registry::with_labels([("name".into(), lease.to_owned().into())].into_iter());
        let requests = Family::<RequestLabels, Histogram>::new_with_constructor(|| Histogram::new(BUCKETS));
        let metrics = Metrics {
            master_status: Gauge::default(),
            transitions: Gauge::default(),
            time_to_deadline: Seconds::default(),
            acquisitions: Family::default(),
            losses: Family::default(),
            renewals: Counter::default(),
            watch_restarts: Counter::default(),
            listening: Family::default(),
            requests,
            registry: Registry::default(),
        };
        registry.register(
            "leader_election_master_status",
            "Whether this candidate leads, under the name that client-go gives it",
            metrics.master_status.clone(),
        );
        let ours = registry.sub_registry_with_prefix("leader_elector");
        ours.register("lease_transitions", "Tenures so far, as the Lease counts them", metrics.transitions.clone());
        ours.register_with_unit(
            "time_to_deadline",
            "For how much longer this leader acts if it is not renewed; 0 on a standby",
            Unit::Seconds,
            metrics.time_to_deadline.clone(),
        );
        ours.register(
            "acquisitions",
            "Tenures of this process, by the reason why the Lease could be taken",
            metrics.acquisitions.clone(),
        );
        ours.register("losses", "Tenures of this process that ended, by reason", metrics.losses.clone());
        ours.register("renewals", "Renewals that were stored in time", metrics.renewals.clone());
        ours.register("watch_restarts", "How often the watch failed or fell silent", metrics.watch_restarts.clone());
        ours.register(
            "listening",
            "Whether the address of a setting is served; 0 where the address is taken, or not there",
            metrics.listening.clone(),
        );
        ours.register_with_unit(
            "request_duration",
            "Requests to the API server, by outcome",
            Unit::Seconds,
            metrics.requests.clone(),
        );
        Metrics { registry, ..metrics }
    }

    pub(super) fn answered(&self, request: &'static str, outcome: &'static str, took: Duration) {
        self.requests.get_or_create(&RequestLabels { request, outcome }).observe(took.as_secs_f64());
    }

    pub(super) fn acquired(&self, vacancy: Vacancy) {
        let cause = match vacancy {
            Vacancy::NeverHeld => "never_held",
            Vacancy::Released => "released",
            Vacancy::Own => "own",
            Vacancy::Expired => "expired",
        };
        self.acquisitions.get_or_create(&CauseLabels { cause }).inc();
    }

    pub(super) fn renewed(&self) {
        self.renewals.inc();
    }

    pub(super) fn lost(&self, loss: &Loss) {
        let reason = match loss {
            Loss::DeadlinePassed => "deadline_passed",
            Loss::HeldByAnother { .. } => "held_by_another",
            Loss::Emptied => "emptied",
            Loss::Deleted => "deleted",
            Loss::Replaced => "replaced",
            Loss::RolledBack => "rolled_back",
            Loss::SteppedDown => "stepped_down",
            Loss::Paused => "paused",
            Loss::HandedOver => "handed_over",
            Loss::Stopped => "stopped",
        };
        self.losses.get_or_create(&ReasonLabels { reason }).inc();
    }

    pub(super) fn rewatched(&self) {
        self.watch_restarts.inc();
    }

    /// The metrics in the format of OpenMetrics, as they are at `now`.
    pub(super) fn encode(&self, snapshot: &Snapshot, listening: &BTreeMap<&'static str, bool>, now: Now) -> String {
        for (setting, is) in listening {
            self.listening.get_or_create(&SettingLabels { setting }).set((*is).into());
        }
        let remaining = snapshot.remaining(now);
        self.master_status.set(remaining.is_some().into());
        self.time_to_deadline.set(remaining.unwrap_or_default().as_secs_f64());
        self.transitions.set(snapshot.transitions.into());
        let mut text = String::new();
        // A String takes whatever it is given.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
