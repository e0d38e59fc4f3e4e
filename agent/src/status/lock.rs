//! The lock file: whoever can lock it knows that no other electing process uses the same status files.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc::{F_WRLCK, SEEK_SET, flock};

use super::{ELSEWHERE, Error};

/// An open-file-description lock, held until it is dropped or the process dies. The file stays: were it
/// removed, two processes could each lock a file of that name.
#[derive(Debug)]
pub(super) struct Lock {
    // Opened close-on-exec: a descriptor that a child inherits would keep the lock alive.
    _file: File,
}

impl Lock {
    pub(super) fn take(path: &Path) -> Result<Lock, Error> {
        let failed = |doing, source| Error::Io { doing, path: path.to_owned(), source, advice: ELSEWHERE };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(path)
            .map_err(|source| failed("open", source))?;
        match fcntl(&file, FcntlArg::F_OFD_SETLK(&whole_file())) {
            Ok(_) => Ok(Lock { _file: file }),
            Err(Errno::EAGAIN | Errno::EACCES) => Err(Error::Locked { path: path.to_owned() }),
            Err(error) => Err(failed("lock", io::Error::from(error))),
        }
    }
}

fn whole_file() -> flock {
    flock { l_type: F_WRLCK as i16, l_whence: SEEK_SET as i16, l_start: 0, l_len: 0, l_pid: 0 }
}
