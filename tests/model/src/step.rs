//! What can happen next in a world.

/// One thing that happens. All but [`Step::Fault`] are free: they happen as often as they can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// A tick of true time passes: possible once nobody has anything left to do at this instant.
    Tick,
    /// The driver's timer fires.
    Wake(usize),
    /// The request under way reaches the store.
    Arrive(usize),
    /// The answer reaches the agent.
    Answer(usize),
    /// The driver gives the request up.
    TimeOut(usize),
    /// A request that its agent has given up reaches the store after all.
    ArriveLate {
        /// Whose it was.
        agent: usize,
        /// Which of those that it has given up.
        index: usize,
    },
    /// The watch shows the next thing.
    Watch(usize),
    /// The watch is opened anew, and shows what is there.
    Connect(usize),
    /// The status file is gone, as it should be.
    Retract(usize),
    /// A process begins.
    Start {
        /// Which agent.
        agent: usize,
        /// Whether it finds the report of the one before.
        vouched: bool,
    },
    /// The process runs again, its clocks too.
    Thaw(usize),
    /// The network of an agent is well again.
    Mend(usize),
    /// Somebody ends a pause.
    Resume,
    /// An agent no longer leaves the Lease to others.
    Will(usize),
    /// The operator makes a Lease where there is none, as one that `unknown` holds.
    Restore,
    /// Something goes wrong. Counted.
    Fault(Fault),
}

/// What goes wrong, or what somebody does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Until it is mended, no answer reaches the agent and its watch shows nothing; its requests arrive, or late, or never.
    Cut(usize),
    /// The process stands until it is thawed.
    Freeze(usize),
    /// The machine is suspended until it is thawed: `CLOCK_MONOTONIC_RAW` stands as well.
    Suspend(usize),
    /// `CLOCK_BOOTTIME` of the agent stands until it is thawed, though the process runs.
    Stand(usize),
    /// `CLOCK_BOOTTIME` of an agent that does not lead jumps forward, beyond every wait.
    Jump(usize),
    /// The process is killed.
    Crash(usize),
    /// The process is told to stop.
    Stop(usize),
    /// The process is told to leave the Lease to others, until it is told that it need not.
    Yield(usize),
    /// The watch shows nothing more, without an error.
    Silence(usize),
    /// The API server refuses to watch.
    RefuseWatch(usize),
    /// The API server refuses the request under way.
    Refuse(usize),
    /// Somebody deletes the Lease.
    Delete,
    /// Somebody removes the holder.
    Empty,
    /// Somebody names another holder, no agent.
    Other,
    /// Somebody names an agent as holder.
    Name(usize),
    /// Somebody edits a label.
    Label,
    /// The operator pauses the election, until somebody ends that.
    Pause,
    /// The operator asks for another leader than this one.
    HandOver,
    /// Somebody gives it the looks of a release, with a mark that is not of this record.
    Forge(Forgery),
    /// The operator asks for the timings with this index.
    Timings(usize),
}

/// What is wrong with the mark of a release that never was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Forgery {
    /// It speaks of another Lease.
    Uid,
    /// It speaks of another tenure.
    Transitions,
    /// It speaks of an earlier write.
    RenewTime,
}

impl Forgery {
    pub(crate) const ALL: [Forgery; 3] = [Forgery::Uid, Forgery::Transitions, Forgery::RenewTime];
}

/// A [`Fault`] without whom it strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// [`Fault::Cut`].
    Cut,
    /// [`Fault::Freeze`].
    Freeze,
    /// [`Fault::Suspend`].
    Suspend,
    /// [`Fault::Stand`].
    Stand,
    /// [`Fault::Jump`].
    Jump,
    /// [`Fault::Crash`].
    Crash,
    /// [`Fault::Stop`].
    Stop,
    /// [`Fault::Yield`].
    Yield,
    /// [`Fault::Silence`].
    Silence,
    /// [`Fault::RefuseWatch`].
    RefuseWatch,
    /// [`Fault::Refuse`].
    Refuse,
    /// [`Fault::Delete`].
    Delete,
    /// [`Fault::Empty`].
    Empty,
    /// [`Fault::Other`].
    Other,
    /// [`Fault::Name`].
    Name,
    /// [`Fault::Label`].
    Label,
    /// [`Fault::Pause`].
    Pause,
    /// [`Fault::HandOver`].
    HandOver,
    /// [`Fault::Forge`].
    Forge,
    /// [`Fault::Timings`].
    Timings,
}

impl FaultKind {
    /// Its faults in a world of so many agents and sets of timings.
    pub(crate) fn faults(self, agents: usize, timings: usize) -> Vec<Fault> {
        let each = |fault: fn(usize) -> Fault| (0..agents).map(fault).collect();
        match self {
            FaultKind::Cut => each(Fault::Cut),
            FaultKind::Freeze => each(Fault::Freeze),
            FaultKind::Suspend => each(Fault::Suspend),
            FaultKind::Stand => each(Fault::Stand),
            FaultKind::Jump => each(Fault::Jump),
            FaultKind::Crash => each(Fault::Crash),
            FaultKind::Stop => each(Fault::Stop),
            FaultKind::Yield => each(Fault::Yield),
            FaultKind::Silence => each(Fault::Silence),
            FaultKind::RefuseWatch => each(Fault::RefuseWatch),
            FaultKind::Refuse => each(Fault::Refuse),
            FaultKind::Delete => vec![Fault::Delete],
            FaultKind::Empty => vec![Fault::Empty],
            FaultKind::Other => vec![Fault::Other],
            FaultKind::Name => each(Fault::Name),
            FaultKind::Label => vec![Fault::Label],
            FaultKind::Pause => vec![Fault::Pause],
            FaultKind::HandOver => vec![Fault::HandOver],
            FaultKind::Forge => Forgery::ALL.map(Fault::Forge).to_vec(),
            FaultKind::Timings => (0..timings).map(Fault::Timings).collect(),
        }
    }
}
