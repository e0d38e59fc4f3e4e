//! The hooks of a campaign: an observer that is told what happens, and requests to leave the Lease to others.

use std::pin::Pin;
use std::time::Duration;

use elector_crds::ReleaseReason;
use elector_election::{Loss, Now, Vacancy};
use futures::Stream;
use futures::stream;

/// Is told what happens, as it happens. The election does not depend on an observer but waits for it, so an observer
/// must be quick.
pub trait Observer {
    /// The driver learned something, or time has passed; the view is what it knows now.
    fn saw(&self, _: &LeaseView<'_>, _: Now) {}

    /// A request was answered, or given up, after this time.
    fn answered(&self, _request: &'static str, _outcome: &'static str, _took: Duration) {}

    /// A tenure began, on a Lease that could be taken for this reason.
    fn acquired(&self, _: Vacancy) {}

    /// The tenure was prolonged.
    fn renewed(&self) {}

    /// The tenure is over: what was published of it is taken back.
    fn lost(&self, _: &Loss) {}

    /// The watch is begun again, after a failure or because it fell silent.
    fn rewatched(&self) {}
}

/// An observer that ignores everything.
impl Observer for () {}

/// What a candidate, leading or not, knows of the Lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseView<'a> {
    /// The holder that the Lease names; empty if it names none. `None` as long as no Lease was seen.
    pub holder: Option<&'a str>,
    /// How many tenures there have been.
    pub transitions: u32,
    /// How long ago the holder was last seen to renew the Lease.
    pub age: Duration,
    /// For how much longer the holder may be reported if nothing more is seen of it: to the end of the renew deadline,
    /// after which no leader with the same timings acts. Candidates wait longer than that.
    pub expires_in: Duration,
    /// What keeps this candidate from contending, in a word.
    pub problem: Option<&'static str>,
}

/// The request that a candidate leaves the Lease to others (rule F4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct YieldRequest {
    /// For how long the candidate waits beyond the time at which it could take the Lease.
    pub grace: Duration,
    /// The reason that a leader states in the Lease when it gives the Lease up.
    pub reason: ReleaseReason,
}

/// A stream of whether a candidate should leave the Lease to others, with an item for each change; `None`: it should
/// not (rule F4).
pub type YieldRequests<'a> = Pin<Box<dyn Stream<Item = Option<YieldRequest>> + 'a>>;

/// What a program adds to its campaign.
pub struct CampaignHooks<'a> {
    /// The observer that is told what happens.
    pub observer: &'a dyn Observer,
    /// The requests to leave the Lease to others.
    pub yield_requests: YieldRequests<'a>,
}

impl CampaignHooks<'static> {
    /// Hooks that do nothing.
    #[must_use]
    pub fn none() -> CampaignHooks<'static> {
        CampaignHooks { observer: &(), yield_requests: Box::pin(stream::pending()) }
    }
}
