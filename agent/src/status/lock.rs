//! The lock file: whoever can lock it knows that no other electing process uses the same status files.
//!
//! | bytes | locked by | says |
//! |---|---|---|
//! | the first | an electing process, all its life | whose the status files are |
//! | one chosen by its nonce | the same | that the process that signs with this nonce lives |
//!
//! What is written in it is a [`Pulse`]: a process that holds its locks may hang all the same.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc::{F_UNLCK, F_WRLCK, SEEK_SET, flock};

use super::{ELSEWHERE, Error};

/// Open-file-description locks, held until this is dropped or the process dies. The file stays: were it
/// removed, two processes could each lock a file of that name.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    // Opened close-on-exec: a descriptor that a child inherits would keep the lock alive.
    file: File,
}

impl Lock {
    pub(super) fn take(path: &Path) -> Result<Lock, Error> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(path)
            .map_err(|source| Error::Io { doing: "open", path: path.to_owned(), source, advice: ELSEWHERE })?;
        let lock = Lock { path: path.to_owned(), file };
        lock.set(0)?;
        Ok(lock)
    }

    /// Lets others see that the process of this nonce lives.
    pub(super) fn sign(&self, start: &str) -> Result<(), Error> {
        self.set(byte_of(start))
    }

    /// Takes and signs it again where somebody has removed or replaced the file: others see only what stands at its path.
    pub(super) fn keep(&mut self, start: &str) -> Result<(), Error> {
        let ours = self.file.metadata().map(|file| (file.dev(), file.ino()));
        let there = fs::symlink_metadata(&self.path).map(|file| (file.dev(), file.ino()));
        if !matches!((ours, there), (Ok(ours), Ok(there)) if ours == there) {
            let lock = Lock::take(&self.path)?;
            lock.sign(start)?;
            *self = lock;
        }
        Ok(())
    }

    /// Replaces what is written in it.
    pub(super) fn write(&self, pulse: &Pulse) -> io::Result<()> {
        self.file.write_all_at(pulse.to_line().as_bytes(), 0)
    }

    fn set(&self, byte: i64) -> Result<(), Error> {
        match fcntl(&self.file, FcntlArg::F_OFD_SETLK(&one_byte(byte))) {
            Ok(_) => Ok(()),
            Err(Errno::EAGAIN | Errno::EACCES) => Err(Error::Locked { path: self.path.clone() }),
            Err(error) => {
                let source = io::Error::from(error);
                Err(Error::Io { doing: "lock", path: self.path.clone(), source, advice: ELSEWHERE })
            }
        }
    }
}

/// Somebody else's lock file, to look at.
#[derive(Debug)]
pub(super) struct LockFile(File);

impl LockFile {
    pub(super) fn open(path: &Path) -> io::Result<LockFile> {
        let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
        Ok(LockFile(OpenOptions::new().read(true).custom_flags(flags).open(path)?))
    }

    /// Whether the process of this nonce lives.
    pub(super) fn is_signed(&self, start: &str) -> io::Result<bool> {
        self.is_locked(byte_of(start))
    }

    /// Whether any process uses the status files.
    pub(super) fn is_taken(&self) -> io::Result<bool> {
        self.is_locked(0)
    }

    /// The last one written; `None` if there is none.
    pub(super) fn pulse(&self) -> io::Result<Option<Pulse>> {
        let mut line = [0; Pulse::LENGTH];
        match self.0.read_exact_at(&mut line, 0) {
            Ok(()) => Ok(Pulse::of_line(&line)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn is_locked(&self, byte: i64) -> io::Result<bool> {
        let mut found = one_byte(byte);
        fcntl(&self.0, FcntlArg::F_OFD_GETLK(&mut found))?;
        Ok(found.l_type != F_UNLCK as i16)
    }
}

/// Until when whoever reads it may take the electing process for one that works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pulse {
    /// Of the kernel that counts the time.
    pub(super) boot_id: String,
    /// In `CLOCK_BOOTTIME`, to whole milliseconds.
    pub(super) until: Duration,
}

impl Pulse {
    /// In characters.
    const BOOT_ID: usize = 36;
    /// The boot id, a space, 20 digits of milliseconds, a line feed: one write replaces the other whole.
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

fn one_byte(start: i64) -> flock {
    flock { l_type: F_WRLCK as i16, l_whence: SEEK_SET as i16, l_start: start, l_len: 1, l_pid: 0 }
}

/// Any but the first, the same in each version: FNV-1a, of which 62 bits fit beside the first byte.
fn byte_of(start: &str) -> i64 {
    let hash = start
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    i64::try_from(hash >> 2).unwrap_or(0) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of two versions, one of which checks the other.
    #[test]
    fn the_byte_of_a_nonce_is_its_fnv_1a_hash_and_never_the_first() {
        assert_eq!(byte_of("a"), (0xaf63_dc4c_8601_ec8c_u64 >> 2) as i64 + 1);
        assert_eq!(byte_of("foobar"), (0x8594_4171_f739_67e8_u64 >> 2) as i64 + 1);
    }
}
