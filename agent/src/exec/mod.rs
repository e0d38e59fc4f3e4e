//! `exec`: an app that runs only while this pod leads.
//!
//! ```text
//!             publish                        ends by itself, or of a signal passed on
//!   resting ───────────▶ running ───────────────────────────────────────────────────────▶ the agent ends with its code
//!      ▲                    │ retract, or renewed too late
//!      │    nothing left    ▼
//!      └───────────────── ending: SIGTERM, then SIGKILL while the tenure still lasts       (--once: the agent ends)
//! ```

mod command;
mod life;
mod shim;

use std::future::poll_fn;
use std::io;
use std::iter;
use std::rc::Rc;
use std::task::Poll;

use elector_election::{Now, Tenure};
use leader_elector::clock;
use leader_elector::publication::Publication;
use rustix::process::Signal as Number;
use tokio::signal::unix::{Signal, SignalKind, signal};

pub(crate) use self::command::CommandRunner;
pub(crate) use self::shim::become_command;
use crate::process_role::Parent;
use crate::signals;

/// A publication with a command: the inner publication is shown before the command starts, and taken back when no
/// process of the command is left.
#[derive(Debug)]
pub(crate) struct App<P> {
    pub(crate) work: Rc<CommandRunner>,
    pub(crate) publication: P,
}

impl<P: Publication> Publication for App<P> {
    fn publish(&mut self, tenure: &Tenure, now: Now) -> io::Result<()> {
        self.publication.publish(tenure, now)?;
        self.work.lead(tenure, now)
    }

    fn extend(&mut self, tenure: &Tenure, now: Now) -> io::Result<()> {
        self.publication.extend(tenure, now)?;
        self.work.lead(tenure, now)
    }

    fn retract(&mut self) -> io::Result<()> {
        let retracted = self.publication.retract();
        // Whether or not the file could be removed.
        self.work.end(clock::now()?)?;
        retracted?;
        if self.work.is_resting() { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }

    fn turned(&mut self, now: Now) {
        self.publication.turned(now);
    }
}

/// The signals to pass on to the command, and SIGCHLD, with their numbers.
#[derive(Debug)]
pub(crate) struct Signals(Vec<(Number, Signal)>);

impl Signals {
    /// Sets the signal handlers: from now on no signal is lost.
    ///
    /// # Errors
    /// If a handler cannot be set.
    pub(crate) fn take() -> io::Result<Signals> {
        let all = iter::once(Number::CHILD).chain(signals::passed_on());
        let taken: io::Result<_> =
            all.map(|number| Ok((number, signal(SignalKind::from_raw(number.as_raw()))?))).collect();
        Ok(Signals(taken?))
    }

    async fn next(&mut self) -> Number {
        poll_fn(|context| {
            let came =
                |(number, signal): &mut (Number, Signal)| signal.poll_recv(context).is_ready().then_some(*number);
            self.0.iter_mut().find_map(came).map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

/// Controls the command for as long as this future is polled.
///
/// # Errors
/// The error of the kernel that ends the control; the command then ends with this process.
pub(crate) async fn tend(work: &CommandRunner, mut signals: Signals, parent: Parent) -> io::Error {
    loop {
        let tended = tokio::select! {
            signal = signals.next() => work.take(signal, parent),
            rung = work.alarm().rings() => rung,
        };
        if let Err(error) = tended.and_then(|()| work.look(clock::now()?)) {
            return error;
        }
    }
}
