//! What a program believes, by its own words.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use elector_harness::packages;
use elector_harness::process::Process;
use elector_harness::witness::Sighting;
use elector_xtask::scratch::Scratch;
use rustix::time::{ClockId, clock_gettime};
use tokio::time::sleep;

/// A time in which somebody takes itself for the leader, on CLOCK_MONOTONIC.
pub(crate) type Belief = Range<Duration>;

/// For what has not ended.
const FOR_EVER: Duration = Duration::MAX;

/// A program that prints a line at each change of what it believes: the time on CLOCK_MONOTONIC in nanoseconds, and `leads` or
/// `follows`.
pub(crate) struct Believer {
    process: Process,
    folder: Scratch,
}

/// The arguments of `unshare` that run a program as in a pod: under the pod's name as its hostname.
pub(crate) fn in_pod(pod: &str) -> Vec<String> {
    ["--map-root-user", "--uts", "sh", "-c", r#"hostname "$0" && exec "$@""#, pod].map(str::to_owned).to_vec()
}

impl Believer {
    /// Starts the program in that folder of this test's.
    pub(crate) async fn start(name: &str, pod: &str, environment: &[(&str, String)]) -> Result<Believer> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/clients").join(name);
        let mut program = packages::program(source).await?;
        program.environment.extend(environment.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let folder = Scratch::new()?;
        // What the JVM asks for its own name.
        let hosts = folder.path().join("hosts");
        fs::write(&hosts, format!("127.0.0.1 localhost {pod}\n"))?;
        program.environment.push(("JDK_JAVA_OPTIONS".to_owned(), format!("-Djdk.net.hosts.file={}", hosts.display())));
        let process = Process::new(program.interpreter, program.arguments, folder.path().join("log"));
        let wrapper = [vec!["unshare".to_owned()], in_pod(pod)].concat();
        let process = process.with_environment(program.environment).wrapped(wrapper);
        process.start()?;
        Ok(Believer { process, folder })
    }

    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// In order.
    pub(crate) fn beliefs(&self) -> Vec<Belief> {
        let log = self.log();
        let changes = log.lines().filter_map(|line| match line.split_once(' ')? {
            (at, "leads") => Some((Duration::from_nanos(at.parse().ok()?), true)),
            (at, "follows") => Some((Duration::from_nanos(at.parse().ok()?), false)),
            _ => None,
        });
        intervals(changes)
    }

    /// Waits until it believes that.
    pub(crate) async fn until(&self, leads: bool, patience: Duration) -> Result<()> {
        let begun = Instant::now();
        let believes = || self.beliefs().last().is_some_and(|last| last.end == FOR_EVER);
        while believes() != leads {
            ensure!(begun.elapsed() < patience, "not in {patience:?}: {leads}\n{}", self.log());
            ensure!(self.process.exited()?.is_none(), "it has ended\n{}", self.log());
            sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }
}

/// When the file with that index was there, as a witness has seen it.
pub(crate) fn of_file(file: usize, sightings: &[Sighting]) -> Vec<Belief> {
    let (now, at) = (Instant::now(), monotonic());
    let of_file = sightings.iter().filter(|sighting| sighting.file == file);
    intervals(of_file.map(|sighting| (at - now.duration_since(sighting.at), sighting.there)))
}

/// Each time at which somebody of one kind believed, and somebody of the other did too.
pub(crate) fn overlaps(one: &[Belief], other: &[Belief]) -> Vec<Belief> {
    let pairs = one.iter().flat_map(|one| other.iter().map(move |other| (one, other)));
    let common = pairs.map(|(one, other)| one.start.max(other.start)..one.end.min(other.end));
    common.filter(|common| !common.is_empty()).collect()
}

/// The longest time for which somebody believed what was not so.
pub(crate) fn longest_error(beliefs: &[Belief], truth: &[Belief]) -> Duration {
    let errors = beliefs.iter().flat_map(|belief| {
        let mut left = belief.start;
        let mut errors = Vec::new();
        for true_time in truth.iter().filter(|time| time.end > belief.start && time.start < belief.end) {
            errors.push(true_time.start.saturating_sub(left));
            left = left.max(true_time.end);
        }
        errors.push(belief.end.saturating_sub(left));
        errors
    });
    errors.max().unwrap_or_default()
}

fn intervals(changes: impl Iterator<Item = (Duration, bool)>) -> Vec<Belief> {
    let mut intervals: Vec<Belief> = Vec::new();
    for (at, leads) in changes {
        match (leads, intervals.last_mut().filter(|last| last.end == FOR_EVER)) {
            (true, None) => intervals.push(at..FOR_EVER),
            (false, Some(last)) => last.end = at,
            (true, Some(_)) | (false, None) => {}
        }
    }
    intervals
}

fn monotonic() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::try_from(now).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn belief(start: u64, end: u64) -> Belief {
        Duration::from_secs(start)..Duration::from_secs(end)
    }

    #[test]
    fn two_at_once_and_errors_are_found() {
        let [one, other] = [[belief(1, 3), belief(6, 9)], [belief(3, 5), belief(8, 12)]];
        assert_eq!(overlaps(&one, &other), [belief(8, 9)]);
        assert_eq!(longest_error(&one, &one), Duration::ZERO);
        assert_eq!(longest_error(&one, &other), Duration::from_secs(2));
        assert_eq!(longest_error(&[belief(2, 7)], &[belief(3, 4), belief(5, 6)]), Duration::from_secs(1));
        assert_eq!(longest_error(&one, &[]), Duration::from_secs(3));
        let seconds = [(1, true), (2, true), (3, false), (4, false), (5, true)];
        let changes = seconds.map(|(at, leads)| (Duration::from_secs(at), leads));
        assert_eq!(intervals(changes.into_iter()), [belief(1, 3), Duration::from_secs(5)..FOR_EVER]);
    }
}
