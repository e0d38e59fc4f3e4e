//! Looks at status files from outside, as an app does, and remembers what it saw and when.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Between two looks at all files.
const PERIOD: Duration = Duration::from_micros(200);

/// Whose file, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// Index of the file among those that are watched.
    pub file: usize,
    /// Whether it is there.
    pub there: bool,
    /// When that was first seen.
    pub at: Instant,
}

/// Two status files at once, both of agents that live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlap {
    /// Their names.
    pub names: Vec<String>,
    /// When it was first seen.
    pub at: Instant,
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status files of {} at once", self.names.join(" and "))
    }
}

/// A thread that looks five times a millisecond, until it is dropped.
#[derive(Debug)]
pub struct Witness {
    seen: Arc<Seen>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Seen {
    files: Mutex<Vec<Arc<File>>>,
    history: Mutex<History>,
    ended: AtomicBool,
}

#[derive(Debug)]
struct File {
    name: String,
    path: PathBuf,
    /// A file that a dead process left counts for nobody: there is no one to remove it, and nobody to act on it.
    dead: AtomicBool,
}

#[derive(Debug, Default)]
struct History {
    sightings: Vec<Sighting>,
    overlaps: Vec<Overlap>,
}

impl Witness {
    /// Looks at `files`, by name, from now on. `tell` is called with each change.
    pub fn new(files: Vec<(String, PathBuf)>, tell: impl Fn(&str, bool) + Send + 'static) -> Witness {
        let files = Mutex::new(files.into_iter().map(File::new).collect());
        let seen = Arc::new(Seen { files, history: Mutex::default(), ended: AtomicBool::new(false) });
        let looking = Arc::clone(&seen);
        Witness { seen, thread: Some(thread::spawn(move || looking.look(&tell))) }
    }

    /// Looks at one more from now on, unless it does already; its index.
    pub fn add(&self, name: &str, path: PathBuf) -> usize {
        let mut files = lock(&self.seen.files);
        files.iter().position(|file| file.name == name).unwrap_or_else(|| {
            files.push(File::new((name.to_owned(), path)));
            files.len() - 1
        })
    }

    /// Everything seen since `since`, in order.
    pub fn sightings(&self, since: Instant) -> Vec<Sighting> {
        self.seen.history().sightings.iter().filter(|sighting| sighting.at >= since).cloned().collect()
    }

    /// Each time at which two agents that live had their files.
    pub fn overlaps(&self) -> Vec<Overlap> {
        self.seen.history().overlaps.clone()
    }

    /// Says that the agent of this file is about to be killed, or (`false`) counts again.
    pub fn set_dead(&self, file: usize, dead: bool) {
        lock(&self.seen.files)[file].dead.store(dead, Ordering::SeqCst);
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.seen.ended.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            // It can only have panicked in `tell`, which has said so.
            let _ = thread.join();
        }
    }
}

impl Seen {
    fn look(&self, tell: &dyn Fn(&str, bool)) {
        let mut known: Vec<Option<u64>> = Vec::new();
        let mut overlapping = false;
        while !self.ended.load(Ordering::SeqCst) {
            let files = lock(&self.files).clone();
            known.resize(files.len(), None);
            for (index, file) in files.iter().enumerate() {
                let inode = inode(&file.path);
                if inode == known[index] {
                    continue;
                }
                // Another inode at once: it was removed and made again between two looks.
                if known[index].is_some() {
                    self.saw(index, false);
                    tell(&file.name, false);
                }
                if inode.is_some() {
                    self.saw(index, true);
                    tell(&file.name, true);
                }
                known[index] = inode;
            }
            overlapping = self.judge(&files, &known, overlapping);
            thread::sleep(PERIOD);
        }
    }

    fn saw(&self, file: usize, there: bool) {
        self.history().sightings.push(Sighting { file, there, at: Instant::now() });
    }

    fn judge(&self, files: &[Arc<File>], known: &[Option<u64>], before: bool) -> bool {
        let living = |(file, inode): &(&Arc<File>, &Option<u64>)| inode.is_some() && !file.dead.load(Ordering::SeqCst);
        let there: Vec<&Arc<File>> = files.iter().zip(known).filter(living).map(|(file, _)| file).collect();
        // One file may have gone while the other came: only what is still there at a second look counts.
        let overlapping = there.len() > 1 && there.iter().filter(|file| inode(&file.path).is_some()).count() > 1;
        if overlapping && !before {
            let names = there.iter().map(|file| file.name.clone()).collect();
            self.history().overlaps.push(Overlap { names, at: Instant::now() });
        }
        overlapping
    }

    fn history(&self) -> MutexGuard<'_, History> {
        lock(&self.history)
    }
}

impl File {
    fn new((name, path): (String, PathBuf)) -> Arc<File> {
        Arc::new(File { name, path, dead: AtomicBool::new(false) })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn inode(path: &PathBuf) -> Option<u64> {
    fs::symlink_metadata(path).ok().map(|found| found.ino())
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
    fn two_files_at_once_are_seen_unless_one_is_of_the_dead() {
        let scratch = Scratch::new().unwrap();
        let paths = ["a", "b"].map(|name| (name.to_owned(), scratch.path().join(name)));
        let [a, b] = paths.clone().map(|(_, path)| path);
        let witness = Witness::new(paths[..1].to_vec(), |_, _| {});
        let start = Instant::now();
        fs::write(&a, "").unwrap();
        until(|| witness.sightings(start).len() == 1);
        witness.set_dead(0, true);
        assert_eq!([witness.add("b", b.clone()), witness.add("a", a.clone())], [1, 0]);
        fs::write(&b, "").unwrap();
        until(|| witness.sightings(start).len() == 2);
        assert_eq!(witness.overlaps(), []);
        witness.set_dead(0, false);
        until(|| witness.overlaps().len() == 1);
        assert_eq!(witness.overlaps()[0].to_string(), "status files of a and b at once");
        fs::remove_file(&a).unwrap();
        until(|| witness.sightings(start).last().is_some_and(|last| !last.there));
        assert_eq!(witness.overlaps().len(), 1);
    }
}
