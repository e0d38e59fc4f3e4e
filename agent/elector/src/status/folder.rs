//! The folder of the status files. Others may write to it: what they put there is neither followed, opened for writing
//! nor waited for, and can harm no more than the file whose place it takes.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag, RenameFlags, renameat2};

use crate::nonce;

/// How often a file is made again if another process removes, replaces or locks it in the moment in which it is made.
pub(super) const ATTEMPTS: u32 = 100;

/// How long a process waits for its turn. A turn takes less than a millisecond on an idle machine.
pub(super) const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// An open folder: it stays the same one when another process renames it, or puts another folder or a link at its path.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    directory: Arc<File>,
    /// The path of the folder, for messages.
    path: PathBuf,
}

impl Folder {
    pub(super) fn open(path: &Path) -> io::Result<Folder> {
        let flags = (OFlag::O_PATH | OFlag::O_DIRECTORY).bits();
        let directory = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        Ok(Folder { directory: Arc::new(directory), path: path.to_owned() })
    }

    /// The path of a file in this folder, for messages.
    pub(super) fn named(&self, name: &OsStr) -> PathBuf {
        self.path.join(name)
    }

    /// The path at which this process can open a file in this folder, as long as this `Folder` exists.
    pub(super) fn at(&self, name: &OsStr) -> PathBuf {
        Path::new("/proc/self/fd").join(self.directory.as_raw_fd().to_string()).join(name)
    }

    /// Whether the file called `name` is `file`. `file` is open, so no other file can have its number.
    pub(super) fn has(&self, name: &OsStr, file: &File) -> bool {
        let id = |file: fs::Metadata| (file.dev(), file.ino());
        let there = fs::symlink_metadata(self.at(name)).map(id);
        there.is_ok_and(|there| file.metadata().is_ok_and(|file| id(file) == there))
    }

    /// Whether anything is called `name`: a link counts, even one that leads nowhere.
    pub(super) fn has_any(&self, name: &OsStr) -> bool {
        fs::symlink_metadata(self.at(name)).is_ok()
    }

    /// Makes an empty file called `name`, in place of anything of that name.
    pub(super) fn create(&self, name: &OsStr) -> io::Result<File> {
        let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
        for _ in 0..ATTEMPTS {
            self.remove(name)?;
            // Which makes one or fails: it does not follow a link.
            match OpenOptions::new().read(true).write(true).create_new(true).mode(0o644).open(self.at(name)) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
                result => return result,
            }
        }
        Err(last)
    }

    /// Makes a file appear whole or not at all, in place of anything of that name.
    pub(super) fn write_whole(&self, name: &OsStr, content: &[u8]) -> io::Result<File> {
        let temporary = with_suffix(name, ".tmp");
        let mut file = self.create(&temporary)?;
        file.write_all(content)?;
        let rename = || fs::rename(self.at(&temporary), self.at(name));
        // A file does not replace a directory.
        rename().or_else(|_| self.remove(name).and_then(|()| rename()))?;
        Ok(file)
    }

    /// Removes the file or directory `name` from this folder, if there is one. A directory that is not empty is renamed
    /// instead.
    pub(super) fn remove(&self, name: &OsStr) -> io::Result<()> {
        let path = self.at(name);
        let removed = match fs::remove_file(&path) {
            Err(_) if fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir()) => match fs::remove_dir(&path) {
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                    fs::rename(&path, self.at(&unique(name, ".moved.")?))
                }
                result => result,
            },
            result => result,
        };
        match removed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    /// Keeps others from having their turn until the result is dropped. `None` if the turn did not come within
    /// [`LONGEST_WAIT`]: `flock` needs only the right to read the folder, so any process could keep a turn for ever.
    pub(super) fn wait_for_turn(&self) -> Option<Flock<File>> {
        let begun = Instant::now();
        let mut folder = File::open(self.at(OsStr::new("."))).ok()?;
        loop {
            match Flock::lock(folder, FlockArg::LockExclusiveNonblock) {
                Ok(turn) => return Some(turn),
                Err((refused, Errno::EAGAIN)) if begun.elapsed() < LONGEST_WAIT => folder = refused,
                Err(_) => return None,
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Exchanges the files of two names in one step. If nothing is called `other`, the file called `one` takes that
    /// name.
    pub(super) fn exchange(&self, one: &OsStr, other: &OsStr) -> io::Result<()> {
        let directory = &*self.directory;
        for _ in 0..ATTEMPTS {
            for flags in [RenameFlags::RENAME_EXCHANGE, RenameFlags::RENAME_NOREPLACE] {
                match renameat2(directory, one, directory, other, flags).map_err(io::Error::from) {
                    Err(error) => match error.kind() {
                        io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists => {}
                        // A file system that cannot, as some of networks.
                        io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported => {
                            return fs::rename(self.at(one), self.at(other));
                        }
                        _ => return Err(error),
                    },
                    Ok(()) => return Ok(()),
                }
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }
}

/// Opens a regular file that others may have put there, to read it.
///
/// # Errors
/// `InvalidData` if it is no regular file; `WouldBlock` if another process has a lease on it (`F_SETLEASE`), for which
/// opening would have to wait.
pub(super) fn open_to_read(path: &Path) -> io::Result<File> {
    let is_file = |metadata: fs::Metadata| match metadata.is_file() {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::InvalidData, "it is no regular file")),
    };
    // A device may do something when it is opened.
    is_file(fs::symlink_metadata(path)?)?;
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    is_file(file.metadata()?)?;
    Ok(file)
}

/// A name for a temporary file that no other process uses.
pub(super) fn unique(name: &OsStr, suffix: &str) -> io::Result<OsString> {
    Ok(with_suffix(name, &format!("{suffix}{:.8}", nonce()?)))
}

pub(super) fn with_suffix(name: &OsStr, suffix: &str) -> OsString {
    let mut name = name.to_owned();
    name.push(suffix);
    name
}
