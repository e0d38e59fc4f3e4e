//! What can be done to an election, each fault whole: it begins at the leader in a random moment, lasts, and is over.

mod edit;
mod tampering;

use std::fmt;
use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::process::Signal;
use tokio::time::{Instant, sleep};

pub use self::edit::Edit;
pub use self::tampering::Tampering;
use super::{Arena, Cut, Direction, ELECTION, Flow, Kind, Manners, Part};

/// A time, as far as timings say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// Nine tenths of what a request may take.
    Bearable,
    /// Half a renew deadline.
    HalfDeadline,
    /// A renew deadline.
    Deadline,
    /// A lease duration.
    Lease,
    /// A lease duration and ten seconds.
    Longer,
}

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// SIGSTOP, then SIGCONT.
    Stop(Part, Span),
    /// SIGSTOP for 99 of each 100 milliseconds.
    Throttle,
    /// SIGKILL; what does not start again by itself is started again once another leads.
    Kill(Part),
    /// SIGTERM, and a start soon after.
    Terminate,
    /// The same while nothing of what the leader says, or hears, arrives.
    TerminateCutOff(Direction),
    /// SIGTERM; whoever takes the Lease next is stopped when that is stored and before it knows.
    StopWinner(Span),
    /// No more descriptors, and all connections reset.
    NoDescriptors,
    /// In both directions, until the next leader has led for a while.
    Network(Flow),
    /// In one direction, just as long.
    OneWay(Direction, Flow),
    /// Everything arrives late.
    Late(Direction, Span),
    /// Again and again.
    Cuts(Cut),
    /// Connections are reset and refused.
    Refusal,
    /// The same for three seconds, and then not for three seconds, again and again.
    Flapping,
    /// All candidates are cut off at once, and what they said arrives afterwards.
    EveryoneHeld,
    /// Each leader in turn; what the one before has said arrives when the next is cut off.
    Relayed,
    /// Answers to the leader.
    Answers(Manners),
    /// By hand.
    Edit(Edit),
    /// By hand, right after the leader was cut off.
    EditUnseen(Edit),
    /// By hand, right before the leader is cut off.
    Tampering(Tampering),
    /// By hand, right before the electing process is killed and, when it is back, cut off.
    TamperingAndKill(Tampering),
}

impl fmt::Display for Fault {
    /// As a part of names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let debug = format!("{self:?}").to_lowercase();
        let words = debug.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        f.pad(&words.collect::<Vec<_>>().join("-"))
    }
}

impl Fault {
    /// Every kind, as it is played with any timings and on any candidates of ours.
    pub const ALL: &'static [Fault] = &[
        Fault::Stop(Part::Electing, Span::HalfDeadline),
        Fault::Stop(Part::Electing, Span::Deadline),
        Fault::Stop(Part::Electing, Span::Lease),
        Fault::Stop(Part::Electing, Span::Longer),
        Fault::Stop(Part::Supervisor, Span::Longer),
        Fault::Stop(Part::Both, Span::Deadline),
        Fault::Stop(Part::Both, Span::Longer),
        Fault::Throttle,
        Fault::Kill(Part::Electing),
        Fault::Kill(Part::Supervisor),
        Fault::Kill(Part::Both),
        Fault::Terminate,
        Fault::TerminateCutOff(Direction::ToServer),
        Fault::TerminateCutOff(Direction::ToAgent),
        Fault::StopWinner(Span::HalfDeadline),
        Fault::StopWinner(Span::Deadline),
        Fault::StopWinner(Span::Longer),
        Fault::NoDescriptors,
        Fault::Network(Flow::Hold),
        Fault::Network(Flow::Freeze),
        Fault::Network(Flow::Drop),
        Fault::OneWay(Direction::ToServer, Flow::Hold),
        Fault::OneWay(Direction::ToServer, Flow::Freeze),
        Fault::OneWay(Direction::ToServer, Flow::Drop),
        Fault::OneWay(Direction::ToAgent, Flow::Hold),
        Fault::OneWay(Direction::ToAgent, Flow::Freeze),
        Fault::OneWay(Direction::ToAgent, Flow::Drop),
        Fault::Late(Direction::ToServer, Span::Bearable),
        Fault::Late(Direction::ToServer, Span::HalfDeadline),
        Fault::Late(Direction::ToServer, Span::Deadline),
        Fault::Late(Direction::ToServer, Span::Lease),
        Fault::Late(Direction::ToAgent, Span::Bearable),
        Fault::Late(Direction::ToAgent, Span::HalfDeadline),
        Fault::Late(Direction::ToAgent, Span::Deadline),
        Fault::Late(Direction::ToAgent, Span::Lease),
        Fault::Cuts(Cut::Reset),
        Fault::Cuts(Cut::ServerSide),
        Fault::Cuts(Cut::AgentSide),
        Fault::Refusal,
        Fault::Flapping,
        Fault::EveryoneHeld,
        Fault::Relayed,
        Fault::Answers(Manners::Refuses(401, None)),
        Fault::Answers(Manners::Refuses(403, None)),
        Fault::Answers(Manners::Refuses(429, Some(1))),
        Fault::Answers(Manners::Refuses(500, None)),
        Fault::Answers(Manners::Refuses(503, Some(1))),
        Fault::Answers(Manners::DoesAndSays(500)),
        Fault::Answers(Manners::DoesAndSays(504)),
        Fault::Answers(Manners::Babbles),
        Fault::Answers(Manners::ForgetsWatches),
        Fault::Answers(Manners::SilencesWatches),
        Fault::Edit(Edit::Holder),
        Fault::Edit(Edit::Empty),
        Fault::Edit(Edit::Released),
        Fault::Edit(Edit::NoTimes),
        Fault::Edit(Edit::Transitions),
        Fault::Edit(Edit::Delete),
        Fault::Edit(Edit::Recreate),
        Fault::EditUnseen(Edit::Holder),
        Fault::EditUnseen(Edit::Empty),
        Fault::EditUnseen(Edit::Released),
        Fault::EditUnseen(Edit::Transitions),
        Fault::EditUnseen(Edit::Delete),
        Fault::EditUnseen(Edit::Recreate),
        Fault::Tampering(Tampering::Removed),
        Fault::Tampering(Tampering::Link),
        Fault::Tampering(Tampering::Directory),
        Fault::Tampering(Tampering::ReportDirectory),
        Fault::Tampering(Tampering::Lock),
        Fault::TamperingAndKill(Tampering::Link),
    ];

    /// Whether those who only test for the file may be wrong: nobody who could run was left to remove it.
    pub fn leaves_files(self) -> bool {
        match self {
            Fault::Stop(part, _) | Fault::Kill(part) => part == Part::Both,
            // Whoever runs for a millisecond of a hundred, on a machine that has other work, may not run at all.
            Fault::Throttle => true,
            Fault::Terminate
            | Fault::TerminateCutOff(_)
            | Fault::StopWinner(_)
            | Fault::NoDescriptors
            | Fault::Network(_)
            | Fault::OneWay(..)
            | Fault::Late(..)
            | Fault::Cuts(_)
            | Fault::Refusal
            | Fault::Flapping
            | Fault::EveryoneHeld
            | Fault::Relayed
            | Fault::Answers(_)
            | Fault::Edit(_)
            | Fault::EditUnseen(_)
            | Fault::Tampering(_)
            | Fault::TamperingAndKill(_) => false,
        }
    }

    /// Whether it needs somebody who understands requests.
    pub fn needs_front(self) -> bool {
        matches!(self, Fault::Answers(_))
    }

    /// Does it to the leader, waits until it is over, and until somebody leads.
    ///
    /// # Errors
    /// When it cannot be done, or nobody leads afterwards.
    pub async fn play(self, arena: &Arena<'_>) -> Result<()> {
        let leader = arena.settled_leader().await?;
        self.inflict(arena, leader).await?;
        arena.settled_leader().await.map(drop)
    }

    async fn inflict(self, arena: &Arena<'_>, leader: usize) -> Result<()> {
        let member = &arena.members[leader];
        match self {
            Fault::Stop(part, span) => member.stop_for(part, span.of(arena)).await,
            Fault::Throttle => throttle(arena, leader).await,
            Fault::Kill(part) => kill(arena, leader, part).await,
            Fault::Terminate => {
                member.candidate.process().stop().await?;
                arena.leader_beside(leader).await?;
                member.candidate.process().start()
            }
            Fault::TerminateCutOff(direction) => {
                member.relay.set(direction, Flow::Hold);
                member.candidate.process().stop().await?;
                arena.leader_beside(leader).await?;
                member.relay.heal();
                member.candidate.process().start()
            }
            Fault::StopWinner(span) => {
                for other in arena.members.iter().filter(|other| other.candidate.name() != member.candidate.name()) {
                    other.relay.set(Direction::ToAgent, Flow::Delay(ANSWERED_LATE));
                }
                member.candidate.process().terminate()?;
                let winner = next_holder(arena, leader).await?;
                arena.members[winner].stop_for(Part::Electing, span.of(arena)).await?;
                arena.heal();
                member.candidate.process().ended().await?;
                member.candidate.process().start()
            }
            Fault::NoDescriptors => {
                member.candidate.limit_descriptors(4)?;
                member.relay.cut(Cut::Reset);
                arena.leader_beside(leader).await?;
                // A process of the same limit would not come far.
                member.candidate.process().kill();
                member.candidate.process().start()
            }
            Fault::Network(flow) => {
                member.relay.set_both(flow);
                outlast(arena).await;
                member.relay.heal();
                Ok(())
            }
            Fault::OneWay(direction, flow) => {
                member.relay.set(direction, flow);
                outlast(arena).await;
                member.relay.heal();
                Ok(())
            }
            Fault::Late(direction, span) => {
                member.relay.set(direction, Flow::Delay(span.of(arena)));
                outlast(arena).await;
                member.relay.heal();
                Ok(())
            }
            Fault::Cuts(cut) => {
                repeat(arena, Duration::from_millis(700), || member.relay.cut(cut)).await;
                Ok(())
            }
            Fault::Refusal => {
                member.relay.refuse(true);
                member.relay.cut(Cut::Reset);
                outlast(arena).await;
                member.relay.heal();
                Ok(())
            }
            Fault::Flapping => {
                for _ in 0..3 {
                    for member in &arena.members {
                        member.relay.refuse(true);
                        member.relay.cut(Cut::Reset);
                    }
                    sleep(Duration::from_secs(3)).await;
                    arena.heal();
                    sleep(Duration::from_secs(3)).await;
                }
                Ok(())
            }
            Fault::EveryoneHeld => {
                for member in &arena.members {
                    member.relay.set_both(Flow::Hold);
                }
                outlast(arena).await;
                arena.heal();
                Ok(())
            }
            Fault::Relayed => {
                let mut last = leader;
                arena.members[last].relay.set_both(Flow::Hold);
                for _ in 0..2 {
                    let next = arena.leader_beside(last).await?;
                    sleep(arena.some_of(arena.renew_deadline())).await;
                    arena.members[next].relay.set_both(Flow::Hold);
                    arena.members[last].relay.heal();
                    last = next;
                }
                arena.leader_beside(last).await?;
                arena.heal();
                Ok(())
            }
            Fault::Answers(manners) => {
                let front = member.front()?;
                front.set(manners);
                outlast(arena).await;
                front.set(Manners::Good);
                Ok(())
            }
            Fault::Edit(edit) => {
                edit.apply(arena).await?;
                sleep(arena.lease_duration()).await;
                // Whatever duration was written would be waited for now.
                edit.undo(arena).await
            }
            Fault::EditUnseen(edit) => {
                member.relay.set_both(Flow::Hold);
                edit.apply(arena).await?;
                outlast(arena).await;
                edit.undo(arena).await?;
                member.relay.heal();
                Ok(())
            }
            Fault::Tampering(tampering) => {
                tampering.apply(arena, leader)?;
                member.relay.set_both(Flow::Hold);
                outlast(arena).await;
                tampering.undo(arena, leader)?;
                member.relay.heal();
                Ok(())
            }
            Fault::TamperingAndKill(tampering) => {
                tampering.apply(arena, leader)?;
                member.signal(Part::Electing, Signal::KILL)?;
                // Whether it is back by then or not.
                sleep(Duration::from_millis(400)).await;
                member.relay.set_both(Flow::Hold);
                outlast(arena).await;
                tampering.undo(arena, leader)?;
                member.relay.heal();
                member.candidate.process().start()
            }
        }
    }
}

/// Long enough to see what was stored before it is answered.
const ANSWERED_LATE: Duration = Duration::from_millis(300);

/// Waits until the Lease names another one than `leader`; whom.
async fn next_holder(arena: &Arena<'_>, leader: usize) -> Result<usize> {
    let begun = Instant::now();
    loop {
        let holder = arena.namespace.lease(ELECTION).await?.record.holder;
        let named = arena.members.iter().position(|member| member.candidate.identity() == holder);
        if let Some(named) = named.filter(|named| *named != leader) {
            return Ok(named);
        }
        ensure!(begun.elapsed() < 2 * arena.lease_duration(), "nobody takes the lease\n{}", arena.logs());
    }
}

/// Longer than any leader may outlive its last renewal, and a bit that differs each time.
async fn outlast(arena: &Arena<'_>) {
    sleep(arena.lease_duration() + arena.renew_deadline() + arena.some_of(arena.renew_deadline())).await;
}

/// As long, and does it all the time.
async fn repeat(arena: &Arena<'_>, every: Duration, act: impl Fn()) {
    let until = Instant::now() + arena.lease_duration() + arena.renew_deadline();
    while Instant::now() < until {
        act();
        sleep(every).await;
    }
}

async fn throttle(arena: &Arena<'_>, leader: usize) -> Result<()> {
    let until = Instant::now() + 2 * arena.lease_duration();
    while Instant::now() < until {
        // The electing process may be another one each time.
        arena.members[leader].stop_for(Part::Both, Duration::from_millis(99)).await?;
        sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

async fn kill(arena: &Arena<'_>, leader: usize, part: Part) -> Result<()> {
    let member = &arena.members[leader];
    if part == Part::Electing && arena.kind() == Kind::Ours {
        for _ in 0..3 {
            member.signal(part, Signal::KILL)?;
            sleep(arena.some_of(arena.renew_deadline())).await;
            arena.leader_of(|who| who == leader).await?;
        }
        return Ok(());
    }
    if part == Part::Both {
        member.candidate.process().kill();
    } else {
        member.signal(part, Signal::KILL)?;
    }
    arena.leader_beside(leader).await?;
    sleep(arena.some_of(arena.renew_deadline())).await;
    member.candidate.process().start()
}

impl Span {
    fn of(self, arena: &Arena<'_>) -> Duration {
        match self {
            Span::Bearable => arena.request_timeout().mul_f32(0.9),
            Span::HalfDeadline => arena.renew_deadline() / 2,
            Span::Deadline => arena.renew_deadline(),
            Span::Lease => arena.lease_duration(),
            Span::Longer => arena.lease_duration() + Duration::from_secs(10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_name_can_be_a_namespaces() {
        assert_eq!(Fault::Stop(Part::Both, Span::HalfDeadline).to_string(), "stop-both-halfdeadline");
        assert_eq!(Fault::Edit(Edit::Duration(-1)).to_string(), "edit-duration-1");
        assert_eq!(Fault::Answers(Manners::Refuses(429, Some(1))).to_string(), "answers-refuses-429-some-1");
    }
}
