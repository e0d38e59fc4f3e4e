//! The kill timer: a timer of the kernel that kills this process, even while it is stopped, if it should have stopped
//! leading and did not. The supervisor then removes the file.
//!
//! The kernel spares the first process of a PID namespace, forgets the timer at exec and never hands it to a child: the
//! process that leads makes it for itself, and is never the one that a container starts.

use std::io;
use std::time::{Duration, Instant};

use elector_election::{Now, Tenure};
use leader_elector::publication::Publication;
use nix::sys::signal::{SigEvent, SigevNotify, Signal, raise};
use nix::sys::time::TimeSpec;
use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
use nix::time::ClockId;
use tracing::error;

use crate::process_role::{self, Role};

/// The time from the end of a tenure until the kernel kills the process. A process that runs retracts by itself at the
/// end: killing it at that moment would turn each loss into a restart. The safety margin of a second (SAFETY.md, `w`)
/// includes this delay.
const KILL_DELAY: Duration = Duration::from_millis(50);

/// The time after which a probe is killed by its timer.
const PROBE_TIMER: Duration = Duration::from_millis(20);
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// A publication that is never shown for longer than it may be, as long as a supervisor clears up after this process.
#[derive(Debug)]
pub(crate) struct KillTimer<P> {
    timer: Timer,
    publication: P,
}

impl<P: Publication> KillTimer<P> {
    /// A publication with a kill timer. The timer is made before the first candidacy: a candidate that cannot make one
    /// must not lead.
    pub(crate) fn new(publication: P) -> io::Result<KillTimer<P>> {
        Ok(KillTimer { timer: deadly_timer()?, publication })
    }

    fn arm(&mut self, tenure: &Tenure) -> io::Result<()> {
        let at = TimeSpec::from_duration(tenure.validity.until_boottime() + KILL_DELAY);
        Ok(self.timer.set(Expiration::OneShot(at), TimerSetTimeFlags::TFD_TIMER_ABSTIME)?)
    }
}

impl<P: Publication> Publication for KillTimer<P> {
    fn publish(&mut self, tenure: &Tenure, now: Now) -> io::Result<()> {
        self.arm(tenure)?;
        self.publication.publish(tenure, now)
    }

    fn extend(&mut self, tenure: &Tenure, now: Now) -> io::Result<()> {
        self.arm(tenure)?;
        self.publication.extend(tenure, now)
    }

    fn retract(&mut self) -> io::Result<()> {
        self.publication.retract()?;
        let never = TimeSpec::from_duration(Duration::ZERO);
        if let Err(error) = self.timer.set(Expiration::OneShot(never), TimerSetTimeFlags::empty()) {
            error!(%error, "failed to take back the timer: this process will be killed, and started again");
        }
        Ok(())
    }

    fn turned(&mut self, now: Now) {
        self.publication.turned(now);
    }
}

fn deadly_timer() -> nix::Result<Timer> {
    let notify = SigevNotify::SigevSignal { signal: Signal::SIGKILL, si_value: 0 };
    Timer::new(ClockId::CLOCK_BOOTTIME, SigEvent::new(notify))
}

/// Checks that a stopped child with a kill timer dies of it, which not every sandbox ensures.
///
/// # Errors
/// If the child does not die, or cannot be started.
pub(crate) fn probe() -> io::Result<()> {
    use std::os::unix::process::ExitStatusExt as _;

    let begun = Instant::now();
    let mut child = process_role::command(Role::Probe)?.spawn()?;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if begun.elapsed() > PROBE_TIMEOUT {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::other("a stopped process outlives its timer"));
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    match status.signal() {
        Some(signal) if signal == Signal::SIGKILL as i32 => Ok(()),
        Some(_) | None => Err(io::Error::other(format!("a stopped process with a timer ended with {status}"))),
    }
}

/// Runs the child that [`probe`] starts: it stops itself. Returns only if the kernel does not stop or kill it.
pub(crate) fn probed() -> io::Result<()> {
    let mut timer = deadly_timer()?;
    timer.set(Expiration::OneShot(TimeSpec::from_duration(PROBE_TIMER)), TimerSetTimeFlags::empty())?;
    raise(Signal::SIGSTOP)?;
    Err(io::Error::other("a stopped process goes on"))
}
