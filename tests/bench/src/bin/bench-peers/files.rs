//! Status files as they come and go, from the kernel: to the moment, and at no cost while nothing happens.

use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;

/// What happened to one of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change {
    /// Index of the file among those that are watched.
    pub(crate) file: usize,
    /// Whether it appeared.
    pub(crate) appeared: bool,
    /// When this process knew, which is a little later than the change.
    pub(crate) at: Instant,
}

/// Changes of some files since it was made, in the order in which they happened.
pub(crate) struct FileChanges {
    inotify: AsyncFd<OwnedFd>,
    /// The kernel's number for each folder, and its file's name.
    watched: Vec<(i32, PathBuf)>,
    pending: Vec<Change>,
}

impl FileChanges {
    /// Watches `files`, which may be missing; each in a folder of its own.
    pub(crate) fn of(files: Vec<PathBuf>) -> Result<FileChanges> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let flags = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::DELETE | WatchFlags::MOVED_FROM;
        let mut watched = Vec::new();
        for file in files {
            let folder = file.parent().context("a file without a folder")?;
            watched.push((inotify::add_watch(&inotify, folder, flags)?, file));
        }
        #[expect(
            deprecated,
            reason = "its successor is unsafe, for types that change their descriptor; `OwnedFd` cannot"
        )]
        let inotify = AsyncFd::new(inotify)?;
        Ok(FileChanges { inotify, watched, pending: Vec::new() })
    }

    /// The next one; waits for it as long as it takes.
    pub(crate) async fn next(&mut self) -> Result<Change> {
        loop {
            if !self.pending.is_empty() {
                return Ok(self.pending.remove(0));
            }
            let mut ready = self.inotify.readable().await?;
            self.pending = read(ready.get_inner(), &self.watched)?;
            ready.clear_ready();
        }
    }
}

fn read(inotify: &OwnedFd, watched: &[(i32, PathBuf)]) -> Result<Vec<Change>> {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut events = Reader::new(inotify, &mut buffer);
    let mut changes = Vec::new();
    loop {
        let event = match events.next() {
            Ok(event) => event,
            Err(Errno::AGAIN) => return Ok(changes),
            Err(error) => return Err(error.into()),
        };
        let at = Instant::now();
        let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
        let file = watched.iter().position(|(number, path)| *number == event.wd() && path.file_name() == name);
        if let Some(file) = file {
            let appeared = event.events().intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO);
            changes.push(Change { file, appeared, at });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn only_the_files_themselves_count_and_in_order() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let files = folders.each_ref().map(|folder| folder.path().join("status"));
        let before = Instant::now();
        let mut changes = FileChanges::of(files.to_vec()).unwrap();
        fs::write(folders[1].path().join("partial"), "").unwrap();
        fs::rename(folders[1].path().join("partial"), &files[1]).unwrap();
        fs::write(&files[0], "").unwrap();
        fs::remove_file(&files[1]).unwrap();
        let mut seen = Vec::new();
        for _ in 0..3 {
            let Change { file, appeared, at } = changes.next().await.unwrap();
            assert!(at > before);
            seen.push((file, appeared));
        }
        assert_eq!(seen, [(1, true), (0, true), (1, false)]);
    }
}
