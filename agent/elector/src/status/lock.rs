//! The lock file: a process whose lock file is at that path knows that no other electing process uses the same status
//! files.
//!
//! | bytes | locked by | says |
//! |---|---|---|
//! | the first | an electing process, all its life | to which process the status files belong |
//! | one chosen by its nonce | the same process | that the process that signs with this nonce lives |
//!
//! Only write locks count (`F_WRLCK`). Any process that may read the file can take a read lock, which would keep a
//! write lock from being taken, and a lease (`F_SETLEASE`), which would keep the file from being opened. So a process
//! never takes a lock on a file that others may have opened. It makes a file that no other process knows yet, locks it,
//! and exchanges it with the file at the path. Then it looks at the file that was there: a process that holds a lock on
//! it had that lock before the file came to the path, and has it for as long as it lives. Then that file is put back.
//! This tells two processes that start at once apart. So that there are never more than two, processes take turns,
//! unless another process prevents that ([`Folder::wait_for_turn`]).
//!
//! The lock file holds a [`Pulse`], because a process that holds its locks may still hang.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc::{F_RDLCK, F_UNLCK, F_WRLCK, SEEK_SET, flock};

use super::folder::{ATTEMPTS, Folder, open_to_read, unique};
use super::{ELSEWHERE, Error};

/// The locks of an electing process, held until this is dropped or the process dies (open-file-description locks). The
/// file stays: it says that the last process that used this path is dead.
#[derive(Debug)]
pub(super) struct Lock {
    folder: Folder,
    name: OsString,
    start: String,
    // Opened close-on-exec: a descriptor that a child inherits would keep the lock alive.
    file: File,
}

/// The process that used this path before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Former {
    /// The former process lives.
    Lives,
    /// The former process is dead.
    Dead,
    /// The former process is not known: there was none, or its lock file was taken away.
    Unknown,
}

impl Lock {
    /// Takes the lock for the process with the nonce `start`. Returns the lock, and what became of the process that had
    /// it before.
    pub(super) fn take(folder: &Folder, name: &OsStr, start: &str) -> Result<(Lock, Former), Error> {
        let failed = |doing| move |source| Error::Io { doing, path: folder.named(name), source, advice: ELSEWHERE };
        // Of those who start at once, one after the other.
        let _turn = folder.wait_for_turn();
        let former = former(&folder.at(name)).map_err(failed("look at"))?;
        if former == Former::Lives {
            return Err(Error::Locked { path: folder.named(name) });
        }
        let (lock, temporary) = Lock::make(folder, name, start).map_err(failed("create"))?;
        // What cannot be removed lies there by a name that nobody asks for.
        let remove = || _ = folder.remove(&temporary);
        folder.exchange(&temporary, name).inspect_err(|_| remove()).map_err(failed("replace"))?;
        let replaced = self::former(&folder.at(&temporary));
        if !matches!(replaced, Ok(Former::Dead | Former::Unknown)) {
            folder.exchange(&temporary, name).map_err(failed("put back"))?;
        }
        remove();
        match replaced.map_err(failed("look at"))? {
            Former::Lives => Err(Error::Locked { path: folder.named(name) }),
            Former::Dead | Former::Unknown => Ok((lock, former)),
        }
    }

    /// Makes and locks a lock file at a temporary path.
    fn make(folder: &Folder, name: &OsStr, start: &str) -> io::Result<(Lock, OsString)> {
        let mut last = Errno::EAGAIN;
        for _ in 0..ATTEMPTS {
            let temporary = unique(name, ".")?;
            let file = folder.create(&temporary)?;
            let locked = [0, byte_of(start)]
                .into_iter()
                .try_for_each(|byte| fcntl(&file, FcntlArg::F_OFD_SETLK(&one_byte(F_WRLCK, byte))).map(drop));
            let Err(error) = locked else {
                let lock = Lock { folder: folder.clone(), name: name.to_owned(), start: start.to_owned(), file };
                return Ok((lock, temporary));
            };
            folder.remove(&temporary)?;
            match error {
                // Somebody was very quick to open it.
                Errno::EAGAIN | Errno::EACCES => last = error,
                error => return Err(error.into()),
            }
        }
        Err(last.into())
    }

    /// The nonce of the process that holds this lock.
    pub(super) fn start(&self) -> &str {
        &self.start
    }

    /// Takes the lock again if the file was removed or replaced: others see only the file at its path.
    pub(super) fn keep(&mut self) -> Result<(), Error> {
        if !self.folder.has(&self.name, &self.file) {
            *self = Lock::take(&self.folder, &self.name, &self.start)?.0;
        }
        Ok(())
    }

    /// Writes a pulse into the lock file, in place of the last one.
    pub(super) fn write(&self, pulse: &Pulse) -> io::Result<()> {
        self.file.write_all_at(pulse.to_line().as_bytes(), 0)
    }
}

/// Whether the process that made the lock file at `path` lives.
fn former(path: &Path) -> io::Result<Former> {
    match LockFile::open(path) {
        Ok(file) => Ok(if file.is_taken()? { Former::Lives } else { Former::Dead }),
        Err(error) => match error.kind() {
            // There is a lease on it, which is only given for a file that nobody else has opened to write to it.
            io::ErrorKind::WouldBlock => Ok(Former::Dead),
            // Nothing, no file, or one that no agent has made for this user.
            io::ErrorKind::NotFound | io::ErrorKind::InvalidData | io::ErrorKind::PermissionDenied => {
                Ok(Former::Unknown)
            }
            _ => Err(error),
        },
    }
}

/// A lock file of another process, opened to look at it.
#[derive(Debug)]
pub(super) struct LockFile(File);

impl LockFile {
    pub(super) fn open(path: &Path) -> io::Result<LockFile> {
        Ok(LockFile(open_to_read(path)?))
    }

    /// Whether the process with this nonce lives.
    pub(super) fn is_signed(&self, start: &str) -> io::Result<bool> {
        self.is_locked(byte_of(start))
    }

    /// Whether any process uses the status files.
    pub(super) fn is_taken(&self) -> io::Result<bool> {
        self.is_locked(0)
    }

    /// The last pulse that was written; `None` if there is none.
    pub(super) fn pulse(&self) -> io::Result<Option<Pulse>> {
        let mut line = [0; Pulse::LENGTH];
        match self.0.read_exact_at(&mut line, 0) {
            Ok(()) => Ok(Pulse::of_line(&line)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a process holds a write lock on this byte. Read locks do not count: taking one needs only the right to
    /// read.
    fn is_locked(&self, byte: i64) -> io::Result<bool> {
        let mut found = one_byte(F_RDLCK, byte);
        fcntl(&self.0, FcntlArg::F_OFD_GETLK(&mut found))?;
        Ok(found.l_type != F_UNLCK as i16)
    }
}

/// Until when readers may assume that the electing process works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pulse {
    /// The boot id of the kernel by whose clock `until` is meant.
    pub(super) boot_id: String,
    /// The end on `CLOCK_BOOTTIME`, in whole milliseconds.
    pub(super) until: Duration,
}

impl Pulse {
    /// The length of a boot id, in characters.
    const BOOT_ID: usize = 36;
    /// The length of a pulse as written: the boot id, a space, 20 digits of milliseconds, a line feed. One write
    /// replaces the last pulse as a whole.
    const LENGTH: usize = Self::BOOT_ID + 22;

    fn to_line(&self) -> String {
        format!("{:width$.width$} {:020}\n", self.boot_id, self.until.as_millis(), width = Self::BOOT_ID)
    }

    fn of_line(line: &[u8]) -> Option<Pulse> {
        let (boot_id, until) = std::str::from_utf8(line).ok()?.split_at_checked(Self::BOOT_ID)?;
        let until = Duration::from_millis(until.strip_prefix(' ')?.strip_suffix('\n')?.parse().ok()?);
        Some(Pulse { boot_id: boot_id.trim_end().to_owned(), until })
    }
}

fn one_byte(kind: i32, start: i64) -> flock {
    flock { l_type: kind as i16, l_whence: SEEK_SET as i16, l_start: start, l_len: 1, l_pid: 0 }
}

/// The byte that a process with the nonce `start` locks: any but the first, and the same in each version. It is the
/// FNV-1a hash, of which 62 bits fit beside the first byte.
fn byte_of(start: &str) -> i64 {
    let hash = start
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    i64::try_from(hash >> 2).unwrap_or(0) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hash must stay the same: one version may check the lock of another.
    #[test]
    fn the_byte_of_a_nonce_is_its_fnv_1a_hash_and_never_the_first() {
        assert_eq!(byte_of("a"), (0xaf63_dc4c_8601_ec8c_u64 >> 2) as i64 + 1);
        assert_eq!(byte_of("foobar"), (0x8594_4171_f739_67e8_u64 >> 2) as i64 + 1);
    }
}
