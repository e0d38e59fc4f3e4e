//! The operator's metrics for Prometheus: of this replica, and of each election as long as it exists.
//!
//! Metrics of elections are computed from the index while they are read, one piece at a time. So a renewal touches no
//! metric, and a scrape of 10,000 elections neither holds the controller up nor takes memory. Only the active replica
//! reports elections: otherwise each would be counted as often as there are replicas.

mod elections;

use std::sync::Arc;

use elector_crds::conditions::Reason;
use elector_program::server::exposition::Format;
use futures::Stream;
use futures::stream;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, oneshot};

use self::elections::FAMILIES;
use crate::index::{ClockReading, Index};
use crate::key::Key;
use crate::leadership::Leading;
use crate::queue::Queue;
use crate::watches;

/// How many queries may wait for a controller; a further query waits until there is room.
const MAX_QUERIES: usize = 8;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WatchLabels {
    watch: &'static str,
}

/// The counters of the controllers. A clone counts the same.
#[derive(Debug, Clone)]
pub struct Counts {
    reconciles: Counter,
    failures: Family<ReasonLabels, Counter>,
    watch_restarts: Family<WatchLabels, Counter>,
}

impl Default for Counts {
    /// All counters at zero: each exists from the start, so that a rate can be computed.
    fn default() -> Counts {
        let counts =
            Counts { reconciles: Counter::default(), failures: Family::default(), watch_restarts: Family::default() };
        for reason in [Reason::ObjectConflict, Reason::Forbidden, Reason::ReconcileFailed] {
            counts.failures.get_or_create(&ReasonLabels { reason: reason.as_str() }).inc_by(0);
        }
        for watch in watches::WATCHED {
            counts.watch_restarts.get_or_create(&WatchLabels { watch }).inc_by(0);
        }
        counts
    }
}

impl Counts {
    /// Counts a plan that writes something.
    pub fn reconciled(&self) {
        self.reconciles.inc();
    }

    /// Counts a plan, or a part of one, that could not be carried out.
    pub fn failed(&self, reason: Reason) {
        self.failures.get_or_create(&ReasonLabels { reason: reason.as_str() }).inc();
    }

    /// Counts a watch that failed and begins again.
    pub fn rewatched(&self, watch: &'static str) {
        self.watch_restarts.get_or_create(&WatchLabels { watch }).inc();
    }
}

/// What a controller shows to a query.
#[derive(Debug, Clone, Copy)]
pub struct Queried<'a> {
    /// What the controller has seen of the cluster.
    pub index: &'a Index,
    /// The elections that the controller will plan.
    pub queue: &'a Queue,
    /// One reading of the clocks.
    pub now: ClockReading,
}

/// A function that the controller calls with its view, between two of its own turns.
pub type Query = Box<dyn FnOnce(Queried<'_>) + Send>;

/// The controller's end of the metrics: its counters, and the queries to it.
#[derive(Debug)]
pub struct Queries {
    /// The counters of the controller.
    pub counts: Counts,
    /// The queries to the controller.
    pub queries: mpsc::Receiver<Query>,
}

/// The end of the metrics by which a controller is queried.
#[derive(Debug, Clone)]
pub struct ControllerHandle(mpsc::Sender<Query>);

impl ControllerHandle {
    /// Both ends for one controller.
    #[must_use]
    pub fn new(counts: &Counts) -> (ControllerHandle, Queries) {
        let (sender, queries) = mpsc::channel(MAX_QUERIES);
        (ControllerHandle(sender), Queries { counts: counts.clone(), queries })
    }

    /// Runs `look` in the controller and returns its result; `None` if the controller has ended.
    async fn ask<T: Send + 'static>(&self, look: impl FnOnce(Queried<'_>) -> T + Send + 'static) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let query: Query = Box::new(move |view| {
            // A reader that has hung up wants no answer.
            let _ = answer.send(look(view));
        });
        self.0.send(query).await.ok()?;
        answered.await.ok()
    }
}

/// All metrics of this replica.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    active: Gauge,
    elections: Gauge,
    queue_length: Gauge,
    namespaces_too_large: Gauge,
    unreadable_elections: Gauge,
    leading: Leading,
    controllers: Vec<ControllerHandle>,
    per_election: bool,
}

/// Sums over the index of one controller.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    is_complete: bool,
    elections: usize,
    due: usize,
    namespaces_too_large: usize,
    unreadable_elections: usize,
}

impl Metrics {
    /// The metrics of this replica. `per_election`: whether they have samples for each election.
    #[must_use]
    pub fn new(counts: &Counts, leading: Leading, controllers: Vec<ControllerHandle>, per_election: bool) -> Metrics {
        let [active, elections, queue_length, namespaces_too_large, unreadable_elections] =
            std::array::from_fn(|_| Gauge::default());
        let mut registry = Registry::with_prefix("leader_elector_operator");
        registry.register("active", "Whether this replica writes, and reports elections", active.clone());
        registry.register("elections", "LeaderElections in the watched namespaces", elections.clone());
        registry.register("queue_length", "Elections that are due to be planned", queue_length.clone());
        registry.register(
            "namespaces_too_large",
            "Namespaces with more objects than there is room for",
            namespaces_too_large.clone(),
        );
        registry.register(
            "unreadable_elections",
            "LeaderElections of which the spec cannot be read",
            unreadable_elections.clone(),
        );
        registry.register("reconciles", "Plans that had something to write or to ask", counts.reconciles.clone());
        registry.register(
            "reconcile_failures",
            "Plans that could not be carried out, by reason",
            counts.failures.clone(),
        );
        registry.register(
            "watch_restarts",
            "How often a watch failed, by what it watches",
            counts.watch_restarts.clone(),
        );
        Metrics {
            registry,
            active,
            elections,
            queue_length,
            namespaces_too_large,
            unreadable_elections,
            leading,
            controllers,
            per_election,
        }
    }

    /// Reads the metrics as they are now, in pieces. It fails if a controller has ended: a part must not be taken for
    /// all.
    pub fn read(self: Arc<Metrics>, format: Format) -> impl Stream<Item = Result<String, ControllerEnded>> + Send {
        let reader = Reader { metrics: self, format, place: ReadPosition::Start };
        stream::unfold(reader, async |mut reader| {
            let piece = reader.next().await?;
            Some((piece, reader))
        })
    }

    /// The metrics of this replica, and whether samples of elections follow.
    async fn own(&self) -> Option<(String, bool)> {
        let mut is_active = self.leading.holds();
        let mut all = Sums::default();
        for controller in &self.controllers {
            let sums = controller.ask(|Queried { index, queue, now }| Sums {
                is_complete: index.is_complete(),
                elections: index.len(),
                due: queue.due(now.at),
                namespaces_too_large: index.left_out_namespaces(),
                unreadable_elections: index.unreadable_elections(),
            });
            let sums = sums.await?;
            is_active &= sums.is_complete;
            all.elections += sums.elections;
            all.due += sums.due;
            all.namespaces_too_large += sums.namespaces_too_large;
            all.unreadable_elections += sums.unreadable_elections;
        }
        let set = |gauge: &Gauge, value: usize| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        self.active.set(is_active.into());
        set(&self.elections, all.elections);
        // A standby looks at nothing, and what it would look at piles up.
        set(&self.queue_length, all.due * usize::from(is_active));
        set(&self.namespaces_too_large, all.namespaces_too_large);
        set(&self.unreadable_elections, all.unreadable_elections);
        let mut text = String::new();
        // A String takes whatever it is given.
        let _ = encode_registry(&mut text, &self.registry);
        Some((text, is_active && self.per_election))
    }
}

/// A controller has ended, so that its metrics are missing.
#[derive(Debug, thiserror::Error)]
#[error("a controller has ended")]
pub struct ControllerEnded;

/// A read of all metrics, piece by piece.
struct Reader {
    metrics: Arc<Metrics>,
    format: Format,
    place: ReadPosition,
}

/// The position of a read.
enum ReadPosition {
    Start,
    /// The next samples are those of this family, for the elections of this controller after `last`.
    Elections {
        family: usize,
        controller: usize,
        last: Option<Key>,
    },
    LastLine,
    End,
}

impl Reader {
    /// The next piece. It is never empty, because an empty piece would end the answer.
    async fn next(&mut self) -> Option<Result<String, ControllerEnded>> {
        loop {
            let piece = match std::mem::replace(&mut self.place, ReadPosition::End) {
                ReadPosition::Start => self.metrics.own().await.map(|(text, tells_of_elections)| {
                    let first = ReadPosition::Elections { family: 0, controller: 0, last: None };
                    (text, if tells_of_elections { first } else { ReadPosition::LastLine })
                }),
                ReadPosition::Elections { family, controller, last } => self.piece(family, controller, last).await,
                ReadPosition::LastLine => Some(("# EOF\n".to_owned(), ReadPosition::End)),
                ReadPosition::End => return None,
            };
            let Some((text, place)) = piece else { return Some(Err(ControllerEnded)) };
            self.place = place;
            let text = self.format.of(text);
            if !text.is_empty() {
                return Some(Ok(text));
            }
        }
    }

    async fn piece(&self, family: usize, controller: usize, last: Option<Key>) -> Option<(String, ReadPosition)> {
        let Some(shown) = FAMILIES.get(family) else { return Some((String::new(), ReadPosition::LastLine)) };
        let Some(observer) = self.metrics.controllers.get(controller) else {
            return Some((String::new(), ReadPosition::Elections { family: family + 1, controller: 0, last: None }));
        };
        let mut text = if controller == 0 && last.is_none() { shown.head() } else { String::new() };
        let (piece, last) =
            observer.ask(move |Queried { index, now, .. }| shown.piece(index, last.as_ref(), now)).await?;
        text.push_str(&piece);
        let controller = if last.is_some() { controller } else { controller + 1 };
        Some((text, ReadPosition::Elections { family, controller, last }))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use elector_crds::{LeaderElection, LeaderElectionSpec, StoredLease};
    use futures::stream::StreamExt as _;
    use jiff::Timestamp;
    use k8s_openapi::api::core::v1::Service;
    use k8s_openapi::api::discovery::v1::EndpointSlice;
    use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
    use kube::ResourceExt;
    use kube::runtime::watcher::Event;

    use super::*;
    use crate::index::{Observation, StoredPod};
    use crate::leadership;
    use crate::queue::Why;

    const NOW: ClockReading = ClockReading { at: Duration::from_secs(60), wall: Timestamp::UNIX_EPOCH };

    fn election(namespace: &str) -> LeaderElection {
        let mut election = LeaderElection::new("billing", LeaderElectionSpec::default());
        election.metadata.namespace = Some(namespace.to_owned());
        election
    }

    fn list<K: ResourceExt>(index: &mut Index, seen: fn(Event<K>) -> Observation, objects: Vec<K>) {
        let events = objects.into_iter().map(Event::InitApply);
        for event in [Event::Init].into_iter().chain(events).chain([Event::InitDone]) {
            index.handle_seen(seen(event), NOW);
        }
    }

    /// A controller that has seen one election in `namespace`, and ends after `queries` queries.
    fn controller(counts: &Counts, namespace: &str, queries: usize) -> ControllerHandle {
        let (observer, mut subject) = ControllerHandle::new(counts);
        let (mut index, mut queue) = (Index::default(), Queue::default());
        list(&mut index, Observation::Election, vec![election(namespace).into()]);
        list::<StoredLease>(&mut index, Observation::Lease, vec![]);
        list::<StoredPod>(&mut index, Observation::Pod, vec![]);
        list::<Role>(&mut index, Observation::Role, vec![]);
        list::<RoleBinding>(&mut index, Observation::RoleBinding, vec![]);
        list::<Service>(&mut index, Observation::Service, vec![]);
        list::<EndpointSlice>(&mut index, Observation::Slice, vec![]);
        queue.push(Key::new(namespace, "billing"), Why::Time, Duration::from_secs(59));
        tokio::spawn(async move {
            for _ in 0..queries {
                let Some(query) = subject.queries.recv().await else { return };
                query(Queried { index: &index, queue: &queue, now: NOW });
            }
        });
        observer
    }

    type Pieces = Vec<Result<String, ControllerEnded>>;

    async fn pieces(counts: &Counts, controllers: Vec<ControllerHandle>, leads: bool, per_election: bool) -> Pieces {
        let (_leadership, receiver) = leadership::tests::leading(leads);
        let metrics = Arc::new(Metrics::new(counts, receiver, controllers, per_election));
        metrics.read(Format::OpenMetrics).collect().await
    }

    async fn read(counts: &Counts, controllers: Vec<ControllerHandle>, leads: bool, per_election: bool) -> String {
        pieces(counts, controllers, leads, per_election).await.into_iter().collect::<Result<_, _>>().unwrap()
    }

    #[tokio::test]
    async fn the_active_replica_tells_of_the_elections_of_all_controllers_and_of_itself() {
        let counts = Counts::default();
        counts.reconciled();
        counts.failed(Reason::Forbidden);
        counts.rewatched("leases");
        let controllers = vec![controller(&counts, "bank", usize::MAX), controller(&counts, "shop", usize::MAX)];
        let text = read(&counts, controllers, true, true).await;
        for line in [
            "leader_elector_operator_active 1",
            "leader_elector_operator_elections 2",
            "leader_elector_operator_queue_length 2",
            "leader_elector_operator_reconciles_total 1",
            r#"leader_elector_operator_reconcile_failures_total{reason="Forbidden"} 1"#,
            r#"leader_elector_operator_reconcile_failures_total{reason="ObjectConflict"} 0"#,
            r#"leader_elector_operator_watch_restarts_total{watch="leases"} 1"#,
            r#"leader_elector_operator_watch_restarts_total{watch="pods"} 0"#,
        ] {
            assert!(text.lines().any(|there| there == line), "no {line} in {text}");
        }
        let of_elections = r#"# HELP leader_elector_election_leader Whether a candidate leads, as the condition LeaderElected and the age of the last renewal have it.
# TYPE leader_elector_election_leader gauge
leader_elector_election_leader{namespace="bank",name="billing"} 0
leader_elector_election_leader{namespace="shop",name="billing"} 0
# HELP leader_elector_election_holder Who leads, and on which node.
# TYPE leader_elector_election_holder info
"#;
        assert!(text.contains(of_elections), "{text}");
        assert!(text.ends_with("# UNIT leader_elector_election_lease_duration_seconds seconds\n# EOF\n"), "{text}");
    }

    #[tokio::test]
    async fn a_standby_and_whoever_is_told_so_tell_of_no_election() {
        let counts = Counts::default();
        for (leads, per_election) in [(false, true), (true, false)] {
            let controllers = vec![controller(&counts, "shop", usize::MAX)];
            let text = read(&counts, controllers, leads, per_election).await;
            assert!(text.contains(&format!("\nleader_elector_operator_active {}\n", u8::from(leads))), "{text}");
            assert!(text.contains("\nleader_elector_operator_elections 1\n"), "{text}");
            let waiting = format!("\nleader_elector_operator_queue_length {}\n", u8::from(leads));
            assert!(text.contains(&waiting), "{text}");
            assert!(!text.contains("leader_elector_election") && text.ends_with("\n# EOF\n"), "{text}");
        }
    }

    #[tokio::test]
    async fn one_that_has_not_seen_everything_is_not_active() {
        let counts = Counts::default();
        let (observer, mut subject) = ControllerHandle::new(&counts);
        tokio::spawn(async move {
            let query = subject.queries.recv().await.unwrap();
            query(Queried { index: &Index::default(), queue: &Queue::default(), now: NOW });
        });
        let text = read(&counts, vec![observer], true, true).await;
        assert!(text.contains("\nleader_elector_operator_active 0\n") && text.ends_with("\n# EOF\n"), "{text}");
    }

    #[tokio::test]
    async fn what_is_cut_off_does_not_look_whole() {
        let counts = Counts::default();
        let pieces = pieces(&counts, vec![controller(&counts, "shop", 3)], true, true).await;
        let text: String = pieces.iter().flatten().map(String::as_str).collect();
        assert!(text.contains("leader_elector_election_leader{") && !text.contains("# EOF"), "{text}");
        assert!(pieces.last().is_some_and(Result::is_err), "{pieces:?}");
    }
}
