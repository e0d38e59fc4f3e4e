//! Looks at who leads, as apps do, and remembers when each look began.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{fmt, fs};

use leader_elector::clock;
use leader_elector::status::{Standing, check};

use super::judge::{Belief, Tenure, Verdict};

/// Between two looks at each candidate; of the program, which takes some milliseconds for each.
const PERIOD: Duration = Duration::from_millis(1);
const PERIOD_OF_PROGRAM: Duration = Duration::from_millis(20);

/// How somebody looks whether a candidate leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// `test -f` on the file.
    File,
    /// The library's `check`.
    Check,
    /// `elector-agent check`.
    Program,
}

impl fmt::Display for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Look::File => "test -f",
            Look::Check => "check",
            Look::Program => "check (program)",
        })
    }
}

/// Threads that look at all candidates in turn, until dropped. Each look ends before the next begins, so their order
/// is that of what they found.
#[derive(Debug)]
pub struct Looks {
    seen: Arc<Seen>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Seen {
    paths: Vec<PathBuf>,
    records: [Mutex<Record>; 3],
    ended: AtomicBool,
}

/// What one kind of look has found.
#[derive(Debug, Default, Clone)]
struct Record {
    /// In the order of their beginnings.
    beliefs: Vec<Belief>,
    rounds: u32,
    /// The longest time between two looks at one candidate.
    worst: Duration,
}

impl Looks {
    /// Looks at the status files at `paths` from now on, each a candidate's. `program` is an agent's, to run every 20 ms.
    pub fn at(paths: Vec<PathBuf>, program: Option<PathBuf>) -> Looks {
        let seen = Arc::new(Seen { paths, records: Default::default(), ended: AtomicBool::new(false) });
        let spawn = |look: fn(&Seen)| {
            let seen = Arc::clone(&seen);
            thread::spawn(move || look(&seen))
        };
        let mut threads = vec![spawn(Seen::look)];
        if let Some(program) = program {
            let seen = Arc::clone(&seen);
            threads.push(thread::spawn(move || seen.run(&program)));
        }
        Looks { seen, threads }
    }

    /// What one kind of look has found so far.
    pub fn verdict(&self, look: Look) -> Verdict {
        let record = self.seen.record(look).clone();
        Verdict::of(&record.beliefs, record.rounds, record.worst)
    }

    /// Who was believed to lead at `since`, on `CLOCK_BOOTTIME`, or at any time after.
    pub fn leaders(&self, look: Look, since: Duration) -> Vec<usize> {
        let record = self.seen.record(look);
        record.beliefs.iter().filter(|belief| belief.to >= since).map(|belief| belief.who).collect()
    }
}

impl Drop for Looks {
    fn drop(&mut self) {
        self.seen.ended.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            // It has said why, if it panicked.
            let _ = thread.join();
        }
    }
}

impl Seen {
    fn record(&self, look: Look) -> MutexGuard<'_, Record> {
        self.records[look as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn goes_on(&self) -> bool {
        !self.ended.load(Ordering::SeqCst)
    }

    fn look(&self) {
        let mut rounds = [Round::default(), Round::default()];
        while self.goes_on() {
            for (look, round) in [Look::File, Look::Check].into_iter().zip(&mut rounds) {
                let found = self.paths.iter().map(|path| (boottime(), find(look, path))).collect();
                round.end(found, &mut self.record(look));
            }
            thread::sleep(PERIOD);
        }
    }

    fn run(&self, program: &Path) {
        let mut round = Round::default();
        while self.goes_on() {
            let begun = Instant::now();
            let found = self.paths.iter().map(|path| (boottime(), ask(program, path))).collect();
            round.end(found, &mut self.record(Look::Program));
            thread::sleep(PERIOD_OF_PROGRAM.saturating_sub(begun.elapsed()));
        }
    }
}

fn find(look: Look, path: &Path) -> Option<Tenure> {
    match look {
        Look::File | Look::Program => {
            // The file is made anew in each tenure. As `test -f` has it, which follows a link.
            let found = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
            Some(Tenure::File { inode: found.ino(), changed: (found.ctime(), found.ctime_nsec()) })
        }
        Look::Check => match check(path) {
            Ok(Standing::Leads { report, .. }) => Some(Tenure::Token(report.fencing_token)),
            Ok(Standing::DoesNot(_)) | Err(_) => None,
        },
    }
}

/// Its exit code alone is what scripts go by.
fn ask(program: &Path, path: &Path) -> Option<Tenure> {
    let mut command = Command::new(program);
    command.args(["check", "--status-file"]).arg(path).stdin(Stdio::null());
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success()).then_some(Tenure::Unknown)
}

/// What each candidate was believed to be at the last look.
#[derive(Debug, Default)]
struct Round {
    last: Vec<Option<usize>>,
    begun: Option<Duration>,
}

impl Round {
    /// Takes in what was found of each candidate, and when the look at it began.
    fn end(&mut self, found: Vec<(Duration, Option<Tenure>)>, record: &mut Record) {
        let Some((begun, _)) = found.first().copied() else { return };
        if let Some(before) = self.begun.replace(begun) {
            record.worst = record.worst.max(begun.saturating_sub(before));
        }
        record.rounds += 1;
        self.last.resize(found.len(), None);
        for (who, ((at, tenure), last)) in found.into_iter().zip(&mut self.last).enumerate() {
            let Some(tenure) = tenure else {
                *last = None;
                continue;
            };
            match last.and_then(|index| record.beliefs.get_mut(index)).filter(|belief| belief.tenure == tenure) {
                Some(belief) => belief.to = at,
                None => {
                    *last = Some(record.beliefs.len());
                    record.beliefs.push(Belief { who, tenure, from: at, to: at });
                }
            }
        }
    }
}

/// Now, as the agents count it.
pub(super) fn boottime() -> Duration {
    // Linux has these clocks; without them there is nothing to record.
    clock::now().map(|now| now.moment.boottime).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use elector_xtask::scratch::Scratch;

    fn until(condition: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(5);
        while !condition() {
            assert!(Instant::now() < deadline);
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn two_files_at_once_are_found_and_two_in_turn_are_none() {
        let scratch = Scratch::new().unwrap();
        let paths = ["a", "b"].map(|name| scratch.path().join(name));
        let looks = Looks::at(paths.to_vec(), None);
        let verdict = || looks.verdict(Look::File);
        for _ in 0..3 {
            for (who, path) in paths.iter().enumerate() {
                let before = boottime();
                fs::write(path, "").unwrap();
                until(|| looks.leaders(Look::File, before) == [who]);
                fs::remove_file(path).unwrap();
            }
        }
        assert_eq!((verdict().tenures, verdict().overlaps.len()), (6, 0));
        assert!(verdict().margin.is_some());
        for path in &paths {
            fs::write(path, "").unwrap();
        }
        until(|| !verdict().overlaps.is_empty());
        thread::sleep(Duration::from_millis(100));
        assert!(verdict().largest() > Some(Duration::from_millis(50)), "{:?}", verdict());
        assert_eq!(looks.verdict(Look::Check).tenures, 0);
    }

    #[test]
    fn a_file_that_is_replaced_is_another_tenure() {
        let scratch = Scratch::new().unwrap();
        let path = scratch.path().join("a");
        fs::write(&path, "").unwrap();
        let looks = Looks::at(vec![path.clone()], None);
        until(|| looks.verdict(Look::File).tenures == 1);
        fs::write(scratch.path().join("next"), "").unwrap();
        fs::rename(scratch.path().join("next"), path).unwrap();
        until(|| looks.verdict(Look::File).tenures == 2);
    }
}
