//! Attacks elections for as long as one likes, each with one random fault after another: never two leaders.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use elector_harness::attack::{Arena, Comparison, DEFAULT, Direction, Fault, Flow, Look, SHORT, Setup, Verdict};
use elector_harness::controlplane::{ControlPlane, Options};
use futures::future::try_join_all;
use tokio::time::{Instant, sleep, timeout};

/// So many faults, then an election begins anew: with new pods and their tokens, which are good for an hour.
const FAULTS_PER_ELECTION: usize = 10;

/// Random faults on real agents at a real API server, while somebody looks every millisecond who leads. Exit code 1: two
/// did, or nobody after a fault was over.
#[derive(Parser)]
struct Arguments {
    /// How long
    #[arg(long, default_value_t = 2)]
    minutes: u64,
    /// How many elections at once, of three candidates each
    #[arg(long, default_value_t = 4)]
    elections: usize,
    /// Instead, plays each fault once on ours and once on client-go, with 15/10/2, and prints a table
    #[arg(long)]
    beside_client_go: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = tokio::select! {
        result = run(&arguments) => result,
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("not as it should be: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<()> {
    let plane = ControlPlane::start(Options::default()).await?;
    if arguments.beside_client_go {
        return compare(&plane, arguments.elections).await;
    }
    let until = Instant::now() + Duration::from_secs(60 * arguments.minutes);
    let elections = (0..arguments.elections).map(|number| election(&plane, number, until));
    let total = try_join_all(elections).await?.into_iter().fold(Tally::default(), Tally::with);
    println!("{} minutes, {} elections at once", arguments.minutes, arguments.elections);
    for (fault, number) in &total.faults {
        println!("{number:5} {fault}");
    }
    let margin = total.margin.map_or_else(|| "none".to_owned(), |margin| format!("{margin:.1?}"));
    println!(
        "{} faults, {} tenures; overlap 0; smallest margin between two leaders {margin}; {} looks at each, at worst {:.1?} apart",
        total.faults.values().sum::<usize>(),
        total.tenures,
        total.rounds,
        total.worst
    );
    println!("largest overlap of test -f where nobody could remove the file: {:.1?}", total.left_behind);
    Ok(())
}

/// What happened.
#[derive(Debug, Default)]
struct Tally {
    faults: BTreeMap<String, usize>,
    tenures: usize,
    margin: Option<Duration>,
    rounds: u64,
    worst: Duration,
    left_behind: Duration,
}

impl Tally {
    fn with(mut self, other: Tally) -> Tally {
        for (fault, number) in other.faults {
            *self.faults.entry(fault).or_default() += number;
        }
        self.tenures += other.tenures;
        self.margin = self.margin.into_iter().chain(other.margin).min();
        self.rounds += other.rounds;
        self.worst = self.worst.max(other.worst);
        self.left_behind = self.left_behind.max(other.left_behind);
        self
    }

    fn add(&mut self, check: &Verdict) {
        self.tenures += check.tenures;
        self.margin = self.margin.into_iter().chain(check.margin).min();
        self.rounds += u64::from(check.rounds);
        self.worst = self.worst.max(check.worst);
    }
}

/// One election after another, the first with the default timings.
async fn election(plane: &ControlPlane, number: usize, until: Instant) -> Result<Tally> {
    let mut tally = Tally::default();
    let timings = if number == 0 { DEFAULT } else { SHORT };
    let setup = Setup { front: number % 2 == 1, ..Setup::ours(timings) };
    while Instant::now() < until {
        let arena = Arena::start(plane, "soak", &setup).await?;
        for _ in 1..FAULTS_PER_ELECTION {
            if Instant::now() < until {
                attack(&arena, any(|fault| !fault.leaves_files() && fault.needs_front() <= setup.front)?, &mut tally)
                    .await?;
            }
        }
        arena.ensure_safe("soak", false)?;
        if Instant::now() < until {
            attack(&arena, any(Fault::leaves_files)?, &mut tally).await?;
            arena.ensure_safe("soak", true)?;
        }
        tally.add(&arena.verdict(Look::Check));
        tally.left_behind = tally.left_behind.max(arena.verdict(Look::File).largest().unwrap_or_default());
    }
    Ok(tally)
}

/// A fault, and as long as it is played somebody's network does as it likes.
async fn attack(arena: &Arena<'_>, fault: Fault, tally: &mut Tally) -> Result<()> {
    *tally.faults.entry(fault.to_string()).or_default() += 1;
    let disturbed = async {
        loop {
            let member = &arena.members[random(arena.members.len())?];
            let direction = [Direction::ToServer, Direction::ToAgent][random(2)?];
            let late = Flow::Delay(arena.some_of(arena.request_timeout()));
            let flow = [Flow::Hold, Flow::Freeze, Flow::Drop, late][random(4)?];
            sleep(arena.some_of(arena.lease_duration())).await;
            let Some(settings) = member.relay.disturb(direction, flow) else { continue };
            sleep(arena.some_of(arena.renew_deadline())).await;
            member.relay.calm(settings);
        }
    };
    let attacked = async {
        let played = tokio::select! {
            played = fault.play(arena) => played,
            disturbed = disturbed => disturbed,
        };
        arena.heal();
        played.with_context(|| fault.to_string())?;
        timeout(6 * arena.lease_duration(), arena.settled_leader()).await.context("nobody leads")?.map(drop)
    };
    tokio::select! {
        attacked = attacked => attacked,
        // One that began while a directory was in place of its file ends when it is to write there.
        failed = arena.restart_failed() => failed,
    }
}

fn any(fits: impl Fn(Fault) -> bool) -> Result<Fault> {
    let faults: Vec<Fault> = Fault::ALL.iter().copied().filter(|fault| fits(*fault)).collect();
    Ok(faults[random(faults.len())?])
}

fn random(below: usize) -> Result<usize> {
    Ok(usize::try_from(getrandom::u32()?)? % below)
}

async fn compare(plane: &ControlPlane, at_once: usize) -> Result<()> {
    // What concerns files that only ours has is left out.
    let both =
        |fault: &&Fault| !matches!(fault, Fault::Tampering(_) | Fault::TamperingAndKill(_) | Fault::NoDescriptors);
    let faults: Vec<Fault> = Fault::ALL.iter().filter(both).copied().collect();
    let compared = Comparison::of(plane, &faults, DEFAULT, at_once).await?;
    println!("{}", Comparison::HEADING);
    for comparison in compared {
        println!("{comparison}");
    }
    Ok(())
}
