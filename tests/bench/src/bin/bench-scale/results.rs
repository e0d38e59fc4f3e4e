//! All that was measured, as it is kept, and what follows from it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use elector_harness::machine::Machine;
use serde::{Deserialize, Serialize};

/// Pods of each election.
pub(crate) const PODS: u32 = 3;

/// Renewals a second and election: 2,000 elections make 300.
pub(crate) const RENEWALS: f64 = 0.15;

/// What is extrapolated to.
pub(crate) const MANY: u32 = 10_000;

/// Requests by verb and what they are about, such as `create leases`.
pub(crate) type Requests = BTreeMap<String, u32>;

/// One run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Results {
    /// The day it began, UTC.
    pub(crate) date: String,
    /// How many minutes it took.
    pub(crate) minutes: f64,
    /// Where it ran.
    pub(crate) machine: Machine,
    /// Of the API server.
    pub(crate) kubernetes: String,
    /// What the sidecars ask.
    pub(crate) sidecars: Sidecars,
    /// From few elections to many.
    pub(crate) steps: Vec<Step>,
    /// After the last step.
    pub(crate) strangers: Strangers,
}

/// What candidates ask of the API server by themselves, with 15/10/2.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sidecars {
    /// Of client-go.
    pub(crate) client_go_version: String,
    /// With client-go.
    pub(crate) client_go: Asked,
    /// With our agent.
    pub(crate) leader_elector: Asked,
}

/// Requests in some elections of [`PODS`] candidates each.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Asked {
    /// So many elections.
    pub(crate) elections: u32,
    /// For so long.
    pub(crate) seconds: f64,
    /// All of them.
    pub(crate) requests: Requests,
}

/// One number of elections.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Step {
    /// That number.
    pub(crate) elections: u32,
    /// Everything at once.
    pub(crate) cold: Cold,
    /// What the API server can take from as many writers as the operator is.
    pub(crate) plain: Plain,
    /// What it can take from many.
    pub(crate) plain_by_many: Plain,
    /// Nothing to do.
    pub(crate) rest: Rest,
}

/// From the start of an operator that finds elections and pods, and no object of its own, until all elections are ready.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cold {
    /// From the start of the process to the last answer.
    pub(crate) seconds: f64,
    /// From the first request about an election to the last answer.
    pub(crate) writing_seconds: f64,
    /// About elections.
    pub(crate) writes: Requests,
    /// About elections.
    pub(crate) reads: Requests,
    /// What the operator computed, in seconds of one processor.
    pub(crate) computed_seconds: f64,
    /// The most memory that it had, in KiB.
    pub(crate) peak_kibibytes: u64,
}

/// Writes of the same kinds in the same numbers, by a client that does nothing else.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Plain {
    /// How many.
    pub(crate) writes: u32,
    /// How long they took.
    pub(crate) seconds: f64,
}

/// With each election led and its Lease renewed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rest {
    /// For so long.
    pub(crate) seconds: f64,
    /// Meanwhile.
    pub(crate) renewals: u32,
    /// Of the operator, about elections.
    pub(crate) writes: Requests,
    /// All others of the operator, those about its own Lease among them.
    pub(crate) other_requests: Requests,
    /// What the operator computed, in seconds of one processor.
    pub(crate) computed_seconds: f64,
    /// What kube-apiserver and etcd computed.
    pub(crate) servers_computed_seconds: f64,
    /// VmRSS at the end, in KiB.
    pub(crate) kibibytes: u64,
    /// Of it anonymous, in KiB.
    pub(crate) anonymous_kibibytes: u64,
}

/// Pods that are candidates of nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Strangers {
    /// How many.
    pub(crate) pods: u32,
    /// VmRSS of an operator that found elections and candidates at its start, in KiB.
    pub(crate) kibibytes_without: u64,
    /// The same with these pods beside them, in KiB.
    pub(crate) kibibytes_with: u64,
}

/// A line through some points.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Line {
    /// At 0.
    pub(crate) base: f64,
    /// For each one more.
    pub(crate) slope: f64,
}

impl Results {
    /// As it was saved.
    pub(crate) fn read(path: &Path) -> Result<Results> {
        let text = fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("failed to read {}", path.display()))
    }

    /// Writes it down.
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(path, text).with_context(|| format!("failed to write {}", path.display()))
    }

    /// What `of` a step is by its number of elections.
    pub(crate) fn line(&self, of: impl Fn(&Step) -> f64) -> Option<Line> {
        Line::through(self.steps.iter().map(|step| (f64::from(step.elections), of(step))))
    }
}

impl Asked {
    /// Of one election.
    pub(crate) fn per_second(&self) -> f64 {
        f64::from(sum(&self.requests)) / f64::from(self.elections) / self.seconds
    }
}

impl Cold {
    /// From the start of the process.
    pub(crate) fn writes_per_second(&self) -> f64 {
        f64::from(sum(&self.writes)) / self.seconds
    }
}

impl Plain {
    /// As fast as it goes.
    pub(crate) fn writes_per_second(&self) -> f64 {
        f64::from(self.writes) / self.seconds
    }
}

impl Step {
    /// How much of what the API server can take a cold reconcile uses.
    pub(crate) fn share(&self) -> f64 {
        self.cold.writes_per_second() / self.plain.writes_per_second()
    }
}

impl Rest {
    /// Of one processor.
    pub(crate) fn percent(&self) -> f64 {
        100.0 * self.computed_seconds / self.seconds
    }

    /// Of one processor.
    pub(crate) fn servers_percent(&self) -> f64 {
        100.0 * self.servers_computed_seconds / self.seconds
    }

    /// All that the operator asks.
    pub(crate) fn requests_per_second(&self) -> f64 {
        f64::from(sum(&self.writes) + sum(&self.other_requests)) / self.seconds
    }

    /// VmRSS.
    pub(crate) fn mebibytes(&self) -> f64 {
        mebibytes(self.kibibytes)
    }
}

impl Line {
    /// By least squares; none through less than two.
    pub(crate) fn through(points: impl IntoIterator<Item = (f64, f64)>) -> Option<Line> {
        let points: Vec<(f64, f64)> = points.into_iter().collect();
        let count = f64::from(u32::try_from(points.len()).ok()?);
        let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
        let (x, y) = (mean(|point| point.0), mean(|point| point.1));
        let spread: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
        let together: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
        let slope = together / spread;
        slope.is_finite().then_some(Line { base: y - slope * x, slope })
    }

    /// What it says of `x`.
    pub(crate) fn at(&self, x: f64) -> f64 {
        self.base + self.slope * x
    }
}

/// All of them.
pub(crate) fn sum(requests: &Requests) -> u32 {
    requests.values().sum()
}

/// From KiB.
pub(crate) fn mebibytes(kibibytes: u64) -> f64 {
    u32::try_from(kibibytes).map_or(f64::INFINITY, f64::from) / 1024.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_goes_through_what_lies_on_one_and_between_the_rest() {
        assert_eq!(Line::through([(0.0, 1.0), (2.0, 5.0), (4.0, 9.0)]), Some(Line { base: 1.0, slope: 2.0 }));
        assert_eq!(Line::through([(1.0, 0.0), (1.0, 5.0)]), None);
        assert_eq!(Line::through([]), None);
        assert_eq!(Line::through([(0.0, 0.0), (1.0, 3.0), (2.0, 0.0)]).map(|line| line.at(9.0)), Some(1.0));
    }

    #[test]
    fn a_share_is_of_rates_from_the_start_of_the_process() {
        let requests = |count| Requests::from([("create leases".to_owned(), count)]);
        let cold = Cold { seconds: 2.0, writing_seconds: 1.0, writes: requests(800), ..Cold::default() };
        let step = Step { cold, plain: Plain { writes: 1000, seconds: 2.0 }, ..Step::default() };
        assert_eq!((step.cold.writes_per_second(), step.share()), (400.0, 0.8));
        let rest = Rest { seconds: 50.0, writes: requests(1), other_requests: requests(9), ..Rest::default() };
        assert_eq!(rest.requests_per_second(), 0.2);
        let asked = Asked { elections: 3, seconds: 60.0, requests: requests(90) };
        assert_eq!(asked.per_second(), 0.5);
    }
}
