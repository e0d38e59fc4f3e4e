//! What apps did while they took themselves for the leader's: one log for all, to which each act adds a line.
//!
//! A line is added whole, at the end as it then is, so the log's order is that in which things happened, whatever
//! the clocks say. Whoever acts beside a later leader is seen by its fencing token: it is lower than one that was used before.

use std::fmt;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// For sh: `act TOKEN` adds a line to the log at `$ACTS`, under the pod's name.
pub const ACT: &str = r#"act() { read -r up _ < /proc/uptime; echo "$up $HOSTNAME $1" >> "$ACTS"; }"#;

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// On CLOCK_BOOTTIME, in hundredths of a second.
    pub at: Duration,
    /// Pod.
    pub by: String,
    /// Under which it acted.
    pub fencing_token: u64,
}

/// A whole log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Acts(Vec<Act>);

/// All acts of one tenure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Pod.
    pub by: String,
    /// Of the tenure.
    pub fencing_token: u64,
    /// The time of its first act.
    pub first: Duration,
    /// The time of its last act.
    pub last: Duration,
    /// How many there were.
    pub acts: usize,
}

/// Somebody acted who should not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clash {
    /// What was done, by one whose time was over.
    pub act: Act,
    /// By whom it was over, or who had the same token.
    pub beside: Act,
}

impl fmt::Display for Clash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Clash { act, beside } = self;
        let (token, other) = (act.fencing_token, beside.fencing_token);
        write!(f, "{} acted with token {token} at {:?}, after {} had with {other}", act.by, act.at, beside.by)
    }
}

impl Acts {
    /// Reads a log. A last line without its end is still being written, and does not count.
    ///
    /// # Errors
    /// When it can't be read, or a line of it is none of [`ACT`]'s.
    pub fn read(log: &Path) -> Result<Acts> {
        let text = fs::read_to_string(log).with_context(|| format!("failed to read {}", log.display()))?;
        let lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        let acts: Result<Vec<Act>> = lines.map(|line| act(line).with_context(|| format!("no act: {line:?}"))).collect();
        Ok(Acts(acts?))
    }

    /// Each act of one who was not the last to begin: two wrote at once.
    pub fn clashes(&self) -> Vec<Clash> {
        let mut clashes = Vec::new();
        let mut latest: Option<&Act> = None;
        for act in &self.0 {
            match latest {
                Some(latest) if act.fencing_token < latest.fencing_token => {
                    clashes.push(Clash { act: act.clone(), beside: latest.clone() });
                }
                Some(latest) if act.fencing_token == latest.fencing_token && act.by != latest.by => {
                    clashes.push(Clash { act: act.clone(), beside: latest.clone() });
                }
                Some(_) | None => latest = Some(act),
            }
        }
        clashes
    }

    /// Tenure by tenure, in the order in which they began to act.
    pub fn runs(&self) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for Act { at, by, fencing_token } in self.0.iter().cloned() {
            match runs.iter_mut().find(|run| run.fencing_token == fencing_token && run.by == by) {
                Some(run) => (run.last, run.acts) = (at, run.acts + 1),
                None => runs.push(Run { by, fencing_token, first: at, last: at, acts: 1 }),
            }
        }
        runs
    }

    /// Between the last act of each tenure and the first of the next.
    pub fn pauses(&self) -> Vec<Duration> {
        self.runs().windows(2).map(|pair| pair[1].first.saturating_sub(pair[0].last)).collect()
    }

    /// All but the first ones.
    #[must_use]
    pub fn after(self, number: usize) -> Acts {
        Acts(self.0.into_iter().skip(number).collect())
    }

    /// Those of a time on their clock.
    #[must_use]
    pub fn within(self, time: &Range<Duration>) -> Acts {
        Acts(self.0.into_iter().filter(|act| time.contains(&act.at)).collect())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody did anything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The time, on the clock of acts.
///
/// # Errors
/// Where the kernel does not tell.
pub fn now() -> Result<Duration> {
    let uptime = fs::read_to_string("/proc/uptime").context("failed to read /proc/uptime")?;
    uptime.split(' ').next().and_then(seconds).with_context(|| format!("no time: {uptime:?}"))
}

fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.parse().ok()?).ok()
}

fn act(line: &str) -> Option<Act> {
    let [at, by, token] = line.split(' ').collect::<Vec<_>>()[..] else { return None };
    let at = seconds(at)?;
    // A variable that is not set.
    (!by.is_empty()).then_some(())?;
    Some(Act { at, by: by.to_owned(), fencing_token: token.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};
    use std::thread::sleep;

    use super::*;
    use elector_xtask::scratch::Scratch;

    fn acts(log: &str) -> Result<Acts> {
        let scratch = Scratch::new()?;
        let path = scratch.path().join("log");
        fs::write(&path, log)?;
        Acts::read(&path)
    }

    /// One that acts as an app in a pod does, until it is killed.
    fn writer(log: &Path, pod: &str, token: u64) -> Child {
        let script = format!("{ACT}\nwhile sleep 0.01; do act {token}; done");
        Command::new("sh").args(["-c", &script]).env("HOSTNAME", pod).env("ACTS", log).spawn().unwrap()
    }

    fn end(mut writer: Child) {
        writer.kill().unwrap();
        writer.wait().unwrap();
    }

    #[test]
    fn one_after_the_other_is_no_clash() {
        let acts = acts("1.00 a 10\n1.05 a 10\n1.50 b 12\n1.55 b 12\n1.70 a 17\n2.00 a 2").unwrap();
        assert_eq!(acts.clashes(), []);
        assert_eq!(acts.len(), 5);
        let told: Vec<_> = acts.runs().into_iter().map(|run| (run.by, run.fencing_token, run.acts)).collect();
        assert_eq!(told, [("a".to_owned(), 10, 2), ("b".to_owned(), 12, 2), ("a".to_owned(), 17, 1)]);
        assert_eq!(acts.pauses(), [Duration::from_millis(450), Duration::from_millis(150)]);
        let [from, to] = [1050, 1550].map(Duration::from_millis);
        assert_eq!(acts.within(&(from..to)).len(), 2);
    }

    #[test]
    fn who_acts_beside_a_later_leader_is_found() {
        let found = acts("1.00 a 10\n1.05 b 12\n1.06 a 10\n1.10 b 12\n").unwrap().clashes();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].to_string(), "a acted with token 10 at 1.06s, after b had with 12");
        // Once is enough, even of one that had been silent.
        assert_eq!(acts("1.05 b 12\n1.06 a 10\n").unwrap().clashes().len(), 1);
        assert_eq!(acts("1.00 a 10\n1.05 b 10\n").unwrap().clashes().len(), 1);
    }

    #[test]
    fn what_is_no_act_is_no_log() {
        for log in ["1.00 a\n", "1.00  10\n1.00 a", "a 1.00 10\n", "\n", "1.00 a -1\n", "1.00 a 10 10\n"] {
            assert!(acts(log).is_err(), "{log:?}");
        }
    }

    #[test]
    fn two_real_writers_at_once_are_found_and_two_in_turn_are_not() {
        let scratch = Scratch::new().unwrap();
        let log = scratch.path().join("log");
        let begun = now().unwrap();
        let first = writer(&log, "a", 1);
        sleep(Duration::from_millis(300));
        end(first);
        let second = writer(&log, "b", 2);
        sleep(Duration::from_millis(300));
        let fair = Acts::read(&log).unwrap();
        assert_eq!((fair.runs().len(), fair.clashes().len()), (2, 0), "{fair:?}");
        assert_eq!(fair.clone().within(&(begun..now().unwrap() + Duration::from_millis(10))), fair, "one clock");
        let planted = writer(&log, "a", 1);
        sleep(Duration::from_millis(300));
        end(planted);
        end(second);
        assert!(!Acts::read(&log).unwrap().clashes().is_empty());
    }
}
