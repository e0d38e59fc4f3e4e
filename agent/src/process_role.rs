//! The processes of one agent run one program: a first argument that no user gives says which role this one has.
//!
//! A child prepares itself after exec, in safe code, instead of being prepared between fork and exec.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getpid, getppid};

/// The program that runs, even if its file was replaced since.
const ITSELF: &str = "/proc/self/exe";

/// The role of a process of the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Contends, and publishes whether it leads.
    Elect,
    /// Shows that the kernel's timers kill a stopped process.
    Probe,
    /// Becomes the command of `exec`.
    Become,
}

impl Role {
    const ALL: [Role; 3] = [Role::Elect, Role::Probe, Role::Become];

    fn argument(self) -> &'static str {
        match self {
            Role::Elect => "@elect",
            Role::Probe => "@probe",
            Role::Become => "@become",
        }
    }

    /// The role that the first argument `argument` names, if it names one.
    pub(crate) fn of(argument: Option<&OsStr>) -> Option<Role> {
        Role::ALL.into_iter().find(|role| argument == Some(OsStr::new(role.argument())))
    }
}

/// A command that starts this program in another role, with this process as its parent.
pub(crate) fn command(role: Role) -> io::Result<Command> {
    let mut command = Command::new(ITSELF);
    command.arg0(env::args_os().next().unwrap_or_else(|| "elector-agent".into()));
    command.arg(role.argument()).arg(getpid().to_string());
    Ok(command)
}

/// The arguments of a process with a role: its parent, and what follows the two arguments that [`command`] gives.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) parent: Parent,
    pub(crate) rest: Vec<OsString>,
}

impl Given {
    pub(crate) fn read() -> Option<Given> {
        let mut arguments = env::args_os().skip(2);
        let id = arguments.next()?.to_str()?.parse().ok()?;
        Some(Given { parent: Parent(Pid::from_raw(id)), rest: arguments.collect() })
    }
}

/// The process that started this one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parent(Pid);

impl Parent {
    /// Has the kernel send `signal` to this process, but not to its children, when the parent dies.
    ///
    /// # Errors
    /// If the parent has died already, or the kernel refuses.
    pub(crate) fn follow(self, signal: Signal) -> io::Result<()> {
        prctl::set_pdeathsig(signal)?;
        // A death before that is never told.
        if self.lives() { Ok(()) } else { Err(io::Error::other("the process that started this one is dead")) }
    }

    /// Whether the parent is the first process of its PID namespace: no other process of the namespace outlives it.
    pub(crate) fn is_init(self) -> bool {
        self.0.as_raw() == 1
    }

    /// Whether the parent lives.
    pub(crate) fn lives(self) -> bool {
        getppid() == self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_known_by_its_argument() {
        for role in Role::ALL {
            assert_eq!(Role::of(Some(OsStr::new(role.argument()))), Some(role));
        }
        assert_eq!(Role::of(Some(OsStr::new("exec"))), None);
        assert_eq!(Role::of(None), None);
    }
}
