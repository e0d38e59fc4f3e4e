//! The clocks of this machine, and an alarm that suspend does not stop.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::{Duration, SystemTime};

use elector_election::{Moment, Now, Timestamp};
use nix::sys::time::TimeSpec;

use nix::sys::timerfd::{ClockId as AlarmClock, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::time::{ClockId, clock_gettime};
use tokio::io::unix::AsyncFd;

/// Reads all clocks now.
///
/// # Errors
/// If the kernel lacks one of the clocks, which no Linux that runs containers does.
pub fn now() -> io::Result<Now> {
    let moment = Moment {
        boottime: clock_gettime(ClockId::CLOCK_BOOTTIME)?.into(),
        monotonic_raw: clock_gettime(ClockId::CLOCK_MONOTONIC_RAW)?.into(),
    };
    Ok(Now { moment, wall: wall() })
}

fn wall() -> Timestamp {
    let microseconds = match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, i64::saturating_neg),
    };
    Timestamp::from_microseconds(microseconds)
}

/// An alarm that wakes its task after a time on `CLOCK_BOOTTIME`; tokio's own timers stop while the machine is
/// suspended.
#[derive(Debug)]
pub struct Alarm {
    timer: AsyncFd<Timer>,
}

impl Alarm {
    /// An alarm that is not set.
    ///
    /// # Errors
    /// If the kernel gives no timer, or there is no tokio runtime with IO enabled.
    pub fn new() -> io::Result<Alarm> {
        let timer = TimerFd::new(AlarmClock::CLOCK_BOOTTIME, TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK)?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe, for types that change their descriptor; `Timer` cannot"
        )]
        let timer = AsyncFd::new(Timer(timer))?;
        Ok(Alarm { timer })
    }

    /// Sets the alarm to go off after `wait`, in place of its last setting; `None` turns it off.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn set(&self, wait: Option<Duration>) -> io::Result<()> {
        let timer = &self.timer.get_ref().0;
        match wait {
            // Zero would disarm it.
            Some(wait) => timer.set(
                Expiration::OneShot(TimeSpec::from_duration(wait.max(Duration::from_nanos(1)))),
                TimerSetTimeFlags::empty(),
            )?,
            None => timer.unset()?,
        }
        Ok(())
    }

    /// Returns once the alarm has gone off.
    ///
    /// # Errors
    /// If the runtime is shutting down.
    pub async fn rings(&self) -> io::Result<()> {
        let mut ready = self.timer.readable().await?;
        // Setting it again takes the expiration back, so there is nothing to read: only the readiness is stale.
        ready.clear_ready();
        Ok(())
    }
}

#[derive(Debug)]
struct Timer(TimerFd);

impl AsRawFd for Timer {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}
