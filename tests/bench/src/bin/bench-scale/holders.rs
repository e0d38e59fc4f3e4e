//! Leaders of many elections, all in this process: they take their Leases and renew them as agents do, by PUT at the version
//! that they know.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use elector_crds::{StoredLease, lease};
use elector_election::{AgentMark, Timestamp, Write};
use kube::Api;
use kube::api::PostParams;
use tokio::task::LocalSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::crowd::{Crowd, LEASE_DURATION_SECONDS, Member};
use crate::results::RENEWALS;

/// One for each election, as long as this is polled.
#[derive(Debug)]
pub(crate) struct Holders {
    tasks: LocalSet,
    count: Rc<Count>,
}

/// What became of their writes.
#[derive(Debug, Default)]
pub(crate) struct Count {
    /// Answered as wished.
    pub(crate) renewals: Cell<u32>,
    /// Not so.
    pub(crate) failures: Cell<u32>,
}

impl Holders {
    /// They begin when this is polled, spread over the time between two renewals.
    pub(crate) fn of(crowd: &Crowd<'_>) -> Result<Holders> {
        let tasks = LocalSet::new();
        let count = Rc::new(Count::default());
        let period = Duration::from_secs_f64(1.0 / RENEWALS);
        let begun = Instant::now();
        let elections = u32::try_from(crowd.members.len())?;
        for (number, member) in (0..elections).zip(&crowd.members) {
            let Member { namespace, name, holder } = member.clone();
            let holder = holder.context("an election without pods")?;
            let (leases, count) = (namespace.api::<StoredLease>(), Rc::clone(&count));
            let first = begun + period * number / elections;
            tasks.spawn_local(async move {
                let mut ticks = interval_at(first, period);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                let mut known = None;
                loop {
                    ticks.tick().await;
                    let (written, which) = match write(&leases, &name, &holder, known.take()).await {
                        Ok(written) => (Some(written), &count.renewals),
                        Err(error) => {
                            eprintln!("{name} is not renewed: {error:#}");
                            (None, &count.failures)
                        }
                    };
                    known = written;
                    which.set(which.get() + 1);
                }
            });
        }
        Ok(Holders { tasks, count })
    }

    /// What became of their writes so far.
    pub(crate) fn count(&self) -> Rc<Count> {
        Rc::clone(&self.count)
    }

    /// Does `work` while they renew.
    pub(crate) async fn meanwhile<T>(&self, work: impl Future<Output = T>) -> T {
        self.tasks.run_until(work).await
    }
}

/// Renews what is `known`, or takes what is there.
async fn write(leases: &Api<StoredLease>, name: &str, holder: &str, known: Option<StoredLease>) -> Result<StoredLease> {
    let now = Timestamp::from_microseconds(jiff::Timestamp::now().as_microsecond());
    let mut stored = match known {
        Some(known) => known,
        None => leases.get(name).await?,
    };
    let record = lease::read(&stored)?.0.record;
    let begins = record.holder != holder;
    let transitions = record.transitions + u32::from(begins);
    let acquire_time = record.acquire_time.filter(|_| !begins).unwrap_or(now);
    let agent = AgentMark { start: holder.to_owned(), transitions, release: None };
    let write = Write {
        holder: holder.to_owned(),
        lease_duration_seconds: LEASE_DURATION_SECONDS,
        acquire_time,
        renew_time: now,
        transitions,
        agent,
    };
    lease::apply(&write, None, &mut stored);
    Ok(leases.replace(name, &PostParams::default(), &stored).await?)
}
