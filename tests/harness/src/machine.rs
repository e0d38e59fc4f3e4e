//! The machine that something is measured on, and what a process takes of it.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::param::clock_ticks_per_second;
use serde::{Deserialize, Serialize};

use crate::figures::Spread;

/// As little of it as says how fast it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Processors.
    pub cores: usize,
    /// Memory.
    pub gibibytes: f64,
    /// Processes that ran or wanted to, over a minute, each time something was measured: ours, and those of whoever
    /// else used the machine.
    pub load: Vec<f64>,
}

impl Machine {
    /// This one.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn this() -> Result<Machine> {
        let kibibytes = kib(&fs::read_to_string("/proc/meminfo")?, "MemTotal:").context("no MemTotal in meminfo")?;
        let mebibytes = u32::try_from(kibibytes / 1024)?;
        let cores = std::thread::available_parallelism()?.get();
        Ok(Machine { cores, gibibytes: f64::from(mebibytes) / 1024.0, load: Vec::new() })
    }

    /// Takes down how busy it is.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn note_load(&mut self) -> Result<()> {
        let load = fs::read_to_string("/proc/loadavg")?;
        self.load.push(load.split(' ').next().context("an empty loadavg")?.parse()?);
        Ok(())
    }

    /// For people.
    #[must_use]
    pub fn describe(&self) -> String {
        let load = Spread::of(self.load.clone()).map_or_else(String::new, |Spread { min, median, max }| {
            format!(", load average {median:.1} ({min:.1} – {max:.1}) meanwhile")
        });
        format!("{} cores, {:.0} GiB{load}", self.cores, self.gibibytes)
    }
}

/// A value that process `id` has in its `status`, such as `VmRSS:`, in KiB.
///
/// # Errors
/// When it is gone.
pub fn memory(id: u32, key: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    kib(&status, key).with_context(|| format!("no {key} in a process's status"))
}

/// The value of a line such as `VmRSS:     5632 kB`.
#[must_use]
pub fn kib(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse().ok())
}

/// Time that process `id` has computed since its start, in all threads, to a clock tick of 10 ms.
///
/// # Errors
/// When it is gone.
pub fn computed(id: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    let ticks = ticks(&stat).context("no times in a process's stat")?;
    Ok(Duration::from_micros(ticks * 1_000_000 / clock_ticks_per_second()))
}

/// `utime` and `stime`: the 12th and 13th field after the name, which is in brackets and can hold any character.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_count_whatever_the_name() {
        let stat = "7 (a) S 1 2) S 1 7 7 0 -1 4194304 100 0 0 0 23 19 5 6 20 0 1 0 100 1000 10";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(ticks("7 (a) S 1"), None);
    }

    #[test]
    fn who_computes_is_seen_to() {
        let before = computed(std::process::id()).unwrap();
        let begun = std::time::Instant::now();
        while computed(std::process::id()).unwrap() < before + Duration::from_millis(30) {
            assert!(begun.elapsed() < Duration::from_secs(20));
        }
    }
}
