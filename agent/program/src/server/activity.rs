//! What each connection is used for at the moment, and which connection can be closed for a new one.

use std::cmp::Reverse;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The use of a connection: the connection's own task updates it, and the accepting task reads it.
#[derive(Debug)]
pub(super) struct Activity(Mutex<Progress>);

#[derive(Debug)]
struct Progress {
    accepted_at: Instant,
    is_answering: bool,
    /// Whether the answer goes on for ever, as a stream of events does.
    is_stream: bool,
    /// The time since which the client has sent no request. Without meaning while an answer is under way.
    waiting_since: Instant,
    /// The time since which the client has not read what there is to read.
    stalled_since: Option<Instant>,
}

/// What a connection is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Usage {
    /// The client keeps the server waiting: it sends no request, or does not read an answer.
    Waiting { since: Instant },
    /// The server works on an answer, or the client reads one.
    Answering { accepted_at: Instant },
    /// The client listens to a stream of events.
    Listening,
}

/// An answer that is under way until this is dropped.
#[derive(Debug)]
pub(super) struct Answering(Arc<Activity>);

impl Activity {
    /// The activity of a connection that was accepted right now.
    pub(super) fn new() -> Activity {
        let now = Instant::now();
        Activity(Mutex::new(Progress {
            accepted_at: now,
            is_answering: false,
            is_stream: false,
            waiting_since: now,
            stalled_since: None,
        }))
    }

    /// Notes that a request came, which is answered until the result is dropped.
    pub(super) fn answer(activity: &Arc<Activity>) -> Answering {
        activity.progress().is_answering = true;
        Answering(Arc::clone(activity))
    }

    /// Notes that the client reads nothing more at the moment; repeated calls keep the first time.
    pub(super) fn stall(&self) {
        self.progress().stalled_since.get_or_insert_with(Instant::now);
    }

    /// Notes that the client has read something.
    pub(super) fn go_on(&self) {
        self.progress().stalled_since = None;
    }

    pub(super) fn usage(&self) -> Usage {
        match *self.progress() {
            Progress { stalled_since: Some(since), .. }
            | Progress { is_answering: false, waiting_since: since, .. } => Usage::Waiting { since },
            Progress { is_answering: true, is_stream: true, stalled_since: None, .. } => Usage::Listening,
            Progress { is_answering: true, is_stream: false, stalled_since: None, accepted_at, .. } => {
                Usage::Answering { accepted_at }
            }
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answering {
    /// Notes that this answer goes on for as long as the client listens.
    pub(super) fn stream(&self) {
        self.0.progress().is_stream = true;
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let mut progress = self.0.progress();
        (progress.is_answering, progress.is_stream, progress.waiting_since) = (false, false, Instant::now());
    }
}

/// How long a client has to send a request before its connection may be closed for a new one.
const REQUEST_GRACE: Duration = Duration::from_millis(100);

/// The position in `connections` of the one to close for a new one; `None` if there are no connections.
///
/// It is a connection of the address that has the most, so that a flood from one pod takes no place of another pod. Of
/// these it is the one whose client has kept the server waiting for longest, or else the oldest that is answered.
/// Clients that listen to a stream are meant to stay and have a limit of their own, so they are closed only if there
/// are no others.
pub(super) fn spared(connections: &[(IpAddr, Usage)], now: Instant) -> Option<usize> {
    let is_of = |(other, usage): &&(IpAddr, Usage), address| *other == address && *usage != Usage::Listening;
    let rank = |(address, usage): &(IpAddr, Usage)| {
        let (preference, since) = match *usage {
            Usage::Listening => return None,
            Usage::Waiting { since } => (2, since),
            Usage::Answering { accepted_at } => (1, accepted_at),
        };
        let preference = if since + REQUEST_GRACE > now { 0 } else { preference };
        let number = connections.iter().filter(|connection| is_of(connection, *address)).count();
        Some((number, preference, Reverse(since)))
    };
    (0..connections.len()).max_by_key(|position| rank(&connections[*position]))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::time::advance;

    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))
    }

    /// A connection: the end of its address, what it does, and for how many milliseconds.
    type Case = (u8, fn(Instant) -> Usage, u64);

    /// The position of the connection that is closed for a new one.
    fn spares(connections: &[Case]) -> Option<usize> {
        let now = Instant::now() + Duration::from_secs(60);
        let usage = |(last, usage, age): &Case| (address(*last), usage(now - Duration::from_millis(*age)));
        spared(&connections.iter().map(usage).collect::<Vec<_>>(), now)
    }

    const WAITING: fn(Instant) -> Usage = |since| Usage::Waiting { since };
    const ANSWERING: fn(Instant) -> Usage = |accepted_at| Usage::Answering { accepted_at };
    const LISTENING: fn(Instant) -> Usage = |_| Usage::Listening;

    #[test]
    fn the_connection_that_has_waited_longest_is_spared() {
        assert_eq!(spares(&[]), None);
        assert_eq!(spares(&[(1, WAITING, 500), (1, WAITING, 700), (1, WAITING, 600)]), Some(1));
        assert_eq!(spares(&[(1, WAITING, 50), (1, WAITING, 70), (1, WAITING, 60)]), Some(1));
    }

    #[test]
    fn the_address_with_the_most_connections_is_the_one_to_lose_one() {
        assert_eq!(spares(&[(1, WAITING, 900), (2, WAITING, 500), (2, WAITING, 600), (2, ANSWERING, 999)]), Some(2));
        assert_eq!(spares(&[(1, WAITING, 900), (2, ANSWERING, 500), (2, ANSWERING, 600)]), Some(2));
        assert_eq!(spares(&[(1, WAITING, 900), (2, LISTENING, 999), (2, LISTENING, 999)]), Some(0));
    }

    #[test]
    fn a_client_that_has_just_come_is_not_spared_for_one_that_is_answered_for_long() {
        assert_eq!(spares(&[(1, ANSWERING, 500), (1, ANSWERING, 600), (1, WAITING, 101)]), Some(2));
        assert_eq!(spares(&[(1, ANSWERING, 500), (1, ANSWERING, 600), (1, WAITING, 99)]), Some(1));
    }

    #[test]
    fn listeners_stay_while_there_is_anybody_else() {
        assert_eq!(spares(&[(1, LISTENING, 900), (1, LISTENING, 900), (2, ANSWERING, 10)]), Some(2));
        assert!(spares(&[(1, LISTENING, 900), (2, LISTENING, 900)]).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_keeps_the_server_waiting_even_while_it_is_answered() {
        let begun = Instant::now();
        let activity = Arc::new(Activity::new());
        assert_eq!(activity.usage(), Usage::Waiting { since: begun });
        let answer = Activity::answer(&activity);
        assert_eq!(activity.usage(), Usage::Answering { accepted_at: begun });
        answer.stream();
        for _ in 0..2 {
            advance(Duration::from_secs(1)).await;
            activity.stall();
            assert_eq!(activity.usage(), Usage::Waiting { since: begun + Duration::from_secs(1) });
        }
        activity.go_on();
        assert_eq!(activity.usage(), Usage::Listening);
        drop(answer);
        assert_eq!(activity.usage(), Usage::Waiting { since: begun + Duration::from_secs(2) });
    }
}
