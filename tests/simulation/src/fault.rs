//! What can go wrong.

use std::fmt;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident = $words:literal,)*) => {
        /// A kind of trouble.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Fault { $($(#[$doc])* $name,)* }

        impl Fault {
            /// Every kind.
            pub const ALL: &'static [Fault] = &[$(Fault::$name,)*];
        }

        impl fmt::Display for Fault {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $(Fault::$name => $words,)* })
            }
        }
    };
}

faults! {
    /// The electing process dies; its parent removes the file, and it is started again.
    Kill = "process killed",
    /// All processes of the container die; the file stays until they are started again.
    KillContainer = "container killed",
    /// The pod is replaced: another identity, and no volume.
    ReplacePod = "pod replaced",
    /// The same, and sooner or later the operator hears that the last one is dead.
    PodDead = "pod dead",
    /// SIGTERM, then a new process.
    Terminate = "process told to stop",
    /// Nobody is to lead for a while.
    Pause = "election paused",
    /// The operator asks for another leader.
    HandOver = "told to hand over",
    /// It leaves the Lease to others for a while.
    Yield = "told to yield",
    /// SIGSTOP, then SIGCONT.
    Stop = "process stopped",
    /// The machine sleeps: CLOCK_MONOTONIC_RAW stands still.
    Suspend = "machine suspended",
    /// The wall clock is set, by up to ten years.
    WallJump = "wall clock set",
    /// Nothing arrives, in either direction.
    CutOff = "cut off",
    /// Requests are lost.
    LoseRequests = "requests lost",
    /// Requests arrive, their answers do not.
    LoseAnswers = "answers lost",
    /// Requests and answers together take up to twice as long as is waited for them.
    Slow = "answers late",
    /// A request arrives long after its sender has given it up.
    Zombie = "write arrives late",
    /// The API server is gone for everybody.
    Down = "API server down",
    /// 5xx, stored or not.
    Errors = "5xx",
    /// 401.
    Unauthorized = "401",
    /// 403, on requests.
    Forbidden = "403",
    /// 403, on the watch.
    WatchForbidden = "watch refused",
    /// 429 with Retry-After.
    Throttled = "429",
    /// The watch shows nothing and does not fail.
    WatchSilent = "watch silent",
    /// The watch shows everything late.
    WatchLate = "watch late",
    /// The watch begins anew, from a cache that is behind.
    WatchBack = "watch goes back",
    /// The watch shows again what it has shown.
    WatchRepeats = "watch repeats",
    /// Somebody labels the Lease.
    EditLabel = "label edited",
    /// Somebody writes another holder.
    EditHolder = "holder edited",
    /// Somebody removes the holder.
    EditEmpty = "holder removed",
    /// Somebody makes it look released.
    EditReleased = "release forged",
    /// Somebody writes other times.
    EditTimes = "times edited",
    /// Somebody raises the duration.
    EditDuration = "duration raised",
    /// Somebody lowers the transitions.
    EditTransitions = "transitions lowered",
    /// Somebody deletes the Lease.
    Delete = "Lease deleted",
    /// Somebody deletes the Lease and makes it again, with nothing in it.
    Recreate = "Lease made again",
    /// The spec is given other timings.
    Timings = "timings changed",
    /// The operator forgets what it has seen.
    OperatorRestart = "operator restarted",
}

impl Fault {
    /// Where it is counted.
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    /// Whether it is over at once, and everything that follows is somebody else's answer to it.
    pub(crate) fn is_instant(self) -> bool {
        match self {
            Fault::Kill
            | Fault::KillContainer
            | Fault::ReplacePod
            | Fault::PodDead
            | Fault::Terminate
            | Fault::HandOver
            | Fault::WallJump
            | Fault::WatchBack
            | Fault::WatchRepeats
            | Fault::EditLabel
            | Fault::EditHolder
            | Fault::EditEmpty
            | Fault::EditReleased
            | Fault::EditTimes
            | Fault::EditDuration
            | Fault::EditTransitions
            | Fault::Delete
            | Fault::Recreate
            | Fault::Timings
            | Fault::OperatorRestart => true,
            Fault::Pause
            | Fault::Yield
            | Fault::Stop
            | Fault::Suspend
            | Fault::CutOff
            | Fault::LoseRequests
            | Fault::LoseAnswers
            | Fault::Slow
            | Fault::Zombie
            | Fault::Down
            | Fault::Errors
            | Fault::Unauthorized
            | Fault::Forbidden
            | Fault::WatchForbidden
            | Fault::Throttled
            | Fault::WatchSilent
            | Fault::WatchLate => false,
        }
    }
}
