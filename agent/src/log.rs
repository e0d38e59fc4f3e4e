//! The log: lines on standard error, which are dropped rather than waited for.

use std::io;
use std::os::fd::AsFd as _;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// A pipe that can be written to takes this much at once (`PIPE_BUF`).
const MOST: usize = 4096;

/// Standard error. A line that it does not take at once is lost: a leader that waited for a reader of its log could not
/// stop leading in time.
#[derive(Debug)]
pub(crate) struct Log;

impl io::Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut stderr = io::stderr().lock();
        let takes_some = {
            let mut looked_at = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
            poll(&mut looked_at, PollTimeout::ZERO).is_ok()
                && looked_at[0].revents().is_some_and(|ready| ready.contains(PollFlags::POLLOUT))
        };
        if takes_some {
            // There is nobody to tell that it failed.
            let _ = match line.get(..MOST - 1) {
                Some(start) => stderr.write(&[start, b"\n"].concat()),
                None => stderr.write(line),
            };
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
