//! What a program hangs into its campaign: an observer, who is told what happens, and requests to leave the Lease to others.

use std::pin::Pin;
use std::time::Duration;

use elector_crds::ReleaseReason;
use elector_election::{Loss, Now, Vacancy};
use futures::Stream;
use futures::stream;

/// Is told what happens as it happens. Nothing depends on it, and it must not take long: the election waits for it.
pub trait Observer {
    /// Something was learned, or time has passed: what is known by now.
    fn saw(&self, _: &LeaseView<'_>, _: Now) {}

    /// A request was answered, or given up, after so long.
    fn answered(&self, _request: &'static str, _outcome: &'static str, _took: Duration) {}

    /// A tenure began, on a Lease that could be taken for this reason.
    fn acquired(&self, _: Vacancy) {}

    /// It was prolonged.
    fn renewed(&self) {}

    /// It is over: what shows of it is taken back.
    fn lost(&self, _: &Loss) {}

    /// The watch is begun anew, after a failure or because it fell silent.
    fn rewatched(&self) {}
}

/// Ignores it all.
impl Observer for () {}

/// What is known of the Lease, by somebody who may lead or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseView<'a> {
    /// Whom the Lease names; empty where it names nobody. `None` as long as no Lease was seen.
    pub holder: Option<&'a str>,
    /// How many tenures there have been.
    pub transitions: u32,
    /// How long ago the holder was seen to have renewed it.
    pub age: Duration,
    /// For how much longer the holder may be named, if nothing more is seen of it: to the end of the renew deadline, after which
    /// nobody who goes by the same timings acts. Candidates wait longer than that.
    pub expires_in: Duration,
    /// What keeps this candidate from contending, in a word.
    pub problem: Option<&'static str>,
}

/// That a candidate should leave the Lease to others (rule F4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct YieldRequest {
    /// For how long beyond the time at which the candidate could take it.
    pub grace: Duration,
    /// What a leader says of it in the Lease that it gives up.
    pub reason: ReleaseReason,
}

/// Says whether a candidate should leave the Lease to others, whenever that changes; `None`: not at all (rule F4).
pub type YieldRequests<'a> = Pin<Box<dyn Stream<Item = Option<YieldRequest>> + 'a>>;

/// What a program hangs into its campaign.
pub struct CampaignHooks<'a> {
    /// Is told what happens.
    pub observer: &'a dyn Observer,
    /// When others should lead.
    pub yield_requests: YieldRequests<'a>,
}

impl CampaignHooks<'static> {
    /// Nothing.
    #[must_use]
    pub fn none() -> CampaignHooks<'static> {
        CampaignHooks { observer: &(), yield_requests: Box::pin(stream::pending()) }
    }
}
