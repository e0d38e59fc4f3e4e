//! All processes of one agent: the one that was started, and whatever it has started in turn.

use std::fs;

use anyhow::{Context, Result};
use elector_harness::machine;
use elector_harness::process::Process;
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;

/// Resident memory, in KiB.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Memory {
    /// All of it; what is mapped from files may be shared with other processes.
    pub(crate) resident: u64,
    /// What is the process's own.
    pub(crate) anonymous: u64,
}

/// SIGKILL to all of them. None is left on return.
pub(crate) fn kill(process: &Process) -> Result<()> {
    let descendants = descendants(process.id().context("not started")?)?;
    process.kill();
    for id in descendants {
        let id = i32::try_from(id).ok().and_then(Pid::from_raw).context("a process without a number")?;
        // It may have ended with its parent.
        let _ = kill_process(id, Signal::KILL);
    }
    Ok(())
}

/// The sum over all of them.
pub(crate) fn memory(process: &Process) -> Result<Memory> {
    let id = process.id().context("not started")?;
    let mut sum = Memory::default();
    for id in descendants(id)?.into_iter().chain([id]) {
        sum.resident += machine::memory(id, "VmRSS:")?;
        sum.anonymous += machine::memory(id, "RssAnon:")?;
    }
    Ok(sum)
}

fn descendants(root: u32) -> Result<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(id) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // It may be gone by now.
        let Ok(stat) = fs::read_to_string(format!("/proc/{id}/stat")) else { continue };
        parents.extend(parent(&stat).map(|parent| (id, parent)));
    }
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&ancestor) = found.get(next) {
        found.extend(parents.iter().filter(|(_, parent)| *parent == ancestor).map(|(id, _)| *id));
        next += 1;
    }
    Ok(found.split_off(1))
}

/// The second field after the name, which is in brackets and can hold any character.
fn parent(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_name_with_brackets_hides_no_parent() {
        assert_eq!(parent("17 (a) R 2 (b) S 4 17 17"), Some(4));
        assert_eq!(parent("17 (sh) S"), None);
    }

    #[test]
    fn children_of_children_count_and_are_killed() {
        let folder = tempfile::tempdir().unwrap();
        let arguments = ["-c", "sh -c 'sleep 60 & wait' & wait"].map(str::to_owned).to_vec();
        let process = Process::new("sh".into(), arguments, folder.path().join("log"));
        process.start().unwrap();
        let id = process.id().unwrap();
        let begun = Instant::now();
        while descendants(id).unwrap().len() < 2 || memory(&process).unwrap().resident == 0 {
            assert!(begun.elapsed() < Duration::from_secs(5));
            std::thread::sleep(Duration::from_millis(5));
        }
        let children = descendants(id).unwrap();
        kill(&process).unwrap();
        for child in children {
            let alive = || {
                let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
                !stat.is_empty() && !stat.contains(") Z ")
            };
            while alive() {
                assert!(begun.elapsed() < Duration::from_secs(5));
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}
