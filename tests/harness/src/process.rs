//! Child processes that do not outlive this one, whatever ends it.
//!
//! A test can end by a panic, by SIGKILL, or by libtest's exit, which runs no
//! destructor of a static. Only the kernel sees all three, so each child asks
//! it for SIGKILL at its parent's death (PDEATHSIG). Three things about that:
//!
//! * It is set between fork and exec, which takes `unsafe` here; `setpriv` of
//!   util-linux does it for us.
//! * "Parent" is the *thread* that forked, and libtest ends a thread per test.
//!   One thread that never ends forks all children.
//! * A parent that dies between the fork and the request is never noticed. So
//!   the child then looks whether its parent is still the one it should have.
//!
//! A watcher process that reads from a pipe until it closes would do as well,
//! but it is a process more, can itself be killed, and has to kill by numbers
//! that may have been used again.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError, mpsc},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::time::{Instant, sleep};

/// Run by sh in the child: becomes the program only if its parent, this process, still lives.
const IF_PARENT_LIVES: &str = r#"[ "$PPID" = "$0" ] && exec "$@""#;

/// Starts `program`, which gets SIGKILL when this process ends. `configure` adds
/// arguments, environment and files.
///
/// The child is in a process group of its own, so that Ctrl-C reaches this process only,
/// which then ends its children in order.
///
/// # Errors
/// When `setpriv` is missing or no process can be made. A program that can't be run is seen by its exit code 126 or 127.
pub fn spawn(program: impl AsRef<Path>, configure: impl FnOnce(&mut Command)) -> io::Result<Child> {
    use std::os::unix::process::CommandExt;

    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--", "sh", "-c", IF_PARENT_LIVES])
        .arg(std::process::id().to_string())
        .arg(program.as_ref())
        .process_group(0);
    configure(&mut command);

    let (reply, answer) = mpsc::sync_channel(1);
    forker().send((command, reply)).map_err(|_| io::Error::other("the forking thread is gone"))?;
    let spawned = answer.recv().map_err(|_| io::Error::other("the forking thread is gone"))?;
    spawned.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            io::Error::new(error.kind(), "failed to run setpriv: install util-linux, so that no process is left behind")
        }
        _ => error,
    })
}

type Fork = (Command, mpsc::SyncSender<io::Result<Child>>);

/// The thread that lives as long as this process does.
fn forker() -> &'static mpsc::Sender<Fork> {
    static FORKER: OnceLock<mpsc::Sender<Fork>> = OnceLock::new();
    FORKER.get_or_init(|| {
        let (sender, forks) = mpsc::channel::<Fork>();
        thread::spawn(move || {
            for (mut command, reply) in forks {
                // A caller that went away has dropped its child; nobody is owed an answer.
                let _ = reply.send(command.spawn());
            }
        });
        sender
    })
}

/// A server that can be stopped, killed, frozen and started again with the same arguments.
#[derive(Debug)]
pub struct Process {
    program: PathBuf,
    wrapper: Vec<String>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    log: PathBuf,
    child: Mutex<Option<Child>>,
}

impl Process {
    /// A process that isn't started yet. What it writes is appended to `log`.
    pub fn new(program: PathBuf, arguments: Vec<String>, log: PathBuf) -> Self {
        Self { program, wrapper: Vec::new(), arguments, environment: Vec::new(), log, child: Mutex::new(None) }
    }

    /// Sets variables beside those of this process.
    #[must_use]
    pub fn with_environment(mut self, environment: Vec<(String, String)>) -> Self {
        self.environment = environment;
        self
    }

    /// Has it run by another program, which gets it and its arguments after its own.
    /// Signals reach that one only; it must take the program with it when it ends.
    #[must_use]
    pub fn wrapped(mut self, wrapper: Vec<String>) -> Self {
        self.wrapper = wrapper;
        self
    }

    /// Starts it. Nothing happens if it runs already.
    ///
    /// # Errors
    /// When no process can be made.
    pub fn start(&self) -> Result<()> {
        let mut child = self.child();
        if let Some(running) = child.as_mut()
            && running.try_wait()?.is_none()
        {
            return Ok(());
        }
        let log = File::options().create(true).append(true).open(&self.log)?;
        let stderr = log.try_clone()?;
        let first = self.wrapper.first().map_or(self.program.as_path(), Path::new);
        let started = spawn(first, |command| {
            if let [_, rest @ ..] = self.wrapper.as_slice() {
                command.args(rest).arg(&self.program);
            }
            command.args(&self.arguments).envs(self.environment.iter().cloned()).stdin(Stdio::null());
            command.stdout(log).stderr(stderr);
        })
        .with_context(|| format!("failed to start {}", self.name()))?;
        *child = Some(started);
        Ok(())
    }

    /// Its program's name.
    pub fn name(&self) -> String {
        let name = self.program.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Its process id, once started; it may have exited since.
    pub fn id(&self) -> Option<u32> {
        self.child().as_ref().map(Child::id)
    }

    /// How it ended, if it did.
    ///
    /// # Errors
    /// When the kernel can't be asked.
    pub fn exited(&self) -> io::Result<Option<ExitStatus>> {
        match self.child().as_mut() {
            Some(child) => child.try_wait(),
            None => Ok(None),
        }
    }

    /// SIGTERM, and does not wait.
    ///
    /// # Errors
    /// When it doesn't run.
    pub fn terminate(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// SIGTERM, and waits for the exit, which an API server takes a second or two for.
    ///
    /// # Errors
    /// When it still runs after 70 s (an API server waits a minute for requests in flight), and is then killed.
    pub async fn stop(&self) -> Result<()> {
        self.terminate()?;
        self.ended().await
    }

    /// Waits until it has ended by itself, or of a SIGTERM before.
    ///
    /// # Errors
    /// As [`Process::stop`].
    pub async fn ended(&self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(70);
        while self.is_running()? {
            if Instant::now() > deadline {
                self.kill();
                bail!("{} ignored SIGTERM for 70 s", self.name());
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// SIGKILL to it and all of its group in the same moment, as when a container is killed. They are gone on return.
    pub fn kill(&self) {
        if let Some(mut child) = self.child().take() {
            let group = Pid::from_child(&child);
            // All fail only for a child that was waited for already.
            let _ = kill_process_group(group, Signal::KILL);
            let _ = child.kill();
            let _ = child.wait();
            let begun = Instant::now();
            while lives(group) && begun.elapsed() < Duration::from_secs(5) {
                thread::sleep(Duration::from_millis(1));
            }
        }
    }

    /// SIGSTOP: connections stay open, answers don't come.
    ///
    /// # Errors
    /// When it doesn't run.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// When it doesn't run.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// The end of its log, for error messages.
    pub fn log_tail(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }

    fn is_running(&self) -> io::Result<bool> {
        match self.child().as_mut() {
            Some(child) => Ok(child.try_wait()?.is_none()),
            None => Ok(false),
        }
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        // The lock is held throughout: nobody waits for the child meanwhile, so its id stays its own.
        let mut child = self.child();
        if let Some(child) = child.as_mut()
            && child.try_wait()?.is_none()
        {
            return Ok(kill_process(Pid::from_child(child), signal)?);
        }
        bail!("{} is not running", self.name())
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a process of this group does anything; those that nobody has waited for yet have let go of all they had.
fn lives(group: Pid) -> bool {
    let group = group.as_raw_nonzero().to_string();
    std::fs::read_dir("/proc").into_iter().flatten().flatten().any(|entry| {
        // It may be gone by now; state, parent and group follow the name, which is in brackets.
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let mut fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
        fields.next().is_some_and(|state| state != "Z" && state != "X") && fields.nth(1) == Some(&group)
    })
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_outlives_the_thread_that_asked_for_it() {
        let asked = thread::spawn(|| spawn("sleep", |command| _ = command.arg("60")).unwrap());
        let mut child = asked.join().unwrap();
        thread::sleep(Duration::from_millis(100));
        assert_eq!(child.try_wait().unwrap(), None);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_child_that_lost_its_parent_before_it_asked_for_the_signal_does_not_start() {
        let someone_else = "1";
        let status = Command::new("sh").args(["-c", IF_PARENT_LIVES, someone_else, "true"]).status();
        assert!(!status.unwrap().success());
    }
}
