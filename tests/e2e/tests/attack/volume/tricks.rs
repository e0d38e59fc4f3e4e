//! The tricks, and the folder that they are played in.

use std::fs::{self, File, Permissions, set_permissions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use elector_harness::candidate::Candidate;
use elector_xtask::scratch::Scratch;
use rustix::fs::{CWD, FileType, Mode, mknodat};

/// What somebody does to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trick {
    Put(Thing),
    Held(How, By),
}

/// What is put in its place, by the agent's own user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thing {
    Link,
    LinkToNothing,
    LinkToItself,
    HardLink,
    Pipe,
    Socket,
    Device,
    Folder,
    FullFolder,
    Gigabyte,
    Garbage,
    Unreadable,
    Nothing,
}

/// How it is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    ReadLock,
    PosixReadLock,
    WriteLock,
    Flock,
    ReadLease,
    WriteLease,
}

/// By whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// Another user, who may only read.
    Nobody,
    /// The agent's own user.
    Same,
}

impl Trick {
    pub(crate) fn all() -> Vec<Trick> {
        let things = [
            Thing::Link,
            Thing::LinkToNothing,
            Thing::LinkToItself,
            Thing::HardLink,
            Thing::Pipe,
            Thing::Socket,
            Thing::Device,
            Thing::Folder,
            Thing::FullFolder,
            Thing::Gigabyte,
            Thing::Garbage,
            Thing::Unreadable,
            Thing::Nothing,
        ];
        let by_nobody = [How::ReadLock, How::PosixReadLock, How::Flock].map(|how| Trick::Held(how, By::Nobody));
        let by_same = [How::ReadLock, How::WriteLock, How::Flock, How::ReadLease, How::WriteLease];
        let by_same = by_same.map(|how| Trick::Held(how, By::Same));
        things.map(Trick::Put).into_iter().chain(by_nobody).chain(by_same).collect()
    }

    /// As a part of names.
    pub(crate) fn name(self) -> String {
        let debug = format!("{self:?}").to_lowercase();
        let words = debug.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        words.collect::<Vec<_>>().join("-")
    }

    /// Only another agent, or who may do all that it may, can take a write lock.
    pub(crate) fn looks_like_an_agent(self) -> bool {
        matches!(self, Trick::Held(How::WriteLock, _))
    }

    /// Whether it makes the dead look as if they lived.
    pub(crate) fn forges(self) -> bool {
        self.looks_like_an_agent()
    }

    pub(crate) fn play(self, files: &[PathBuf], volume: &Volume) -> Result<Played> {
        match self {
            Trick::Put(thing) => {
                for file in files {
                    thing.put(file, &volume.elsewhere())?;
                }
                Ok(Played { _holder: None })
            }
            Trick::Held(how, by) => Ok(Played { _holder: Some(volume.hold(how, by, files)?) }),
        }
    }
}

impl Thing {
    fn put(self, path: &Path, elsewhere: &Path) -> Result<()> {
        if fs::symlink_metadata(path).is_ok_and(|found| found.is_dir()) {
            fs::remove_dir_all(path)?;
        } else {
            let _ = fs::remove_file(path);
        }
        match self {
            Thing::Link => symlink(elsewhere, path)?,
            Thing::LinkToNothing => symlink(elsewhere.with_extension("none"), path)?,
            Thing::LinkToItself => symlink(path, path)?,
            Thing::HardLink => fs::hard_link(elsewhere, path)?,
            Thing::Pipe => mknodat(CWD, path, FileType::Fifo, Mode::RWXU, 0)?,
            // Closed at once: it stays there.
            Thing::Socket => drop(UnixListener::bind(path)?),
            // /dev/zero; a user who may make none has nothing to put there.
            Thing::Device => _ = mknodat(CWD, path, FileType::CharacterDevice, Mode::RWXU, rustix::fs::makedev(1, 5)),
            Thing::Folder => fs::create_dir(path)?,
            Thing::FullFolder => fs::create_dir_all(path.join("full"))?,
            Thing::Gigabyte => File::create(path)?.set_len(1 << 30)?,
            Thing::Garbage => fs::write(path, "{\"leads\": true}")?,
            Thing::Unreadable => {
                fs::write(path, "secret")?;
                set_permissions(path, Permissions::from_mode(0o000))?;
            }
            Thing::Nothing => {}
        }
        Ok(())
    }
}

impl How {
    fn word(self) -> &'static str {
        match self {
            How::ReadLock => "read-lock",
            How::PosixReadLock => "posix-read-lock",
            How::WriteLock => "write-lock",
            How::Flock => "flock",
            How::ReadLease => "read-lease",
            How::WriteLease => "write-lease",
        }
    }
}

/// Is over when this is dropped, as far as it can be.
pub(crate) struct Played {
    _holder: Option<Holder>,
}

/// The program that holds files, compiled once.
fn holder() -> Result<PathBuf> {
    static FOLDER: Mutex<Option<Scratch>> = Mutex::new(None);
    let mut folder = FOLDER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(folder) = &*folder {
        return Ok(folder.path().join("hold"));
    }
    let scratch = Scratch::new()?;
    set_permissions(scratch.path(), Permissions::from_mode(0o755))?;
    let (source, program) = (scratch.path().join("hold.c"), scratch.path().join("hold"));
    fs::write(&source, include_str!("hold.c"))?;
    let compiled = Command::new("cc").arg("-o").arg(&program).arg(source).output().context("no C compiler")?;
    ensure!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    *folder = Some(scratch);
    Ok(program)
}

/// A process that holds files.
struct Holder(Child);

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// The folder of an agent, and what is beside it and must stay as it is.
pub(crate) struct Volume {
    status: PathBuf,
    /// On the same file system, for hard links.
    beside: Scratch,
}

impl Volume {
    pub(crate) fn of(candidate: &Candidate) -> Result<Volume> {
        let status = candidate.status_file();
        let beside = Scratch::in_memory()?;
        // For those who are not this user.
        for folder in [status.parent().context("a file lies in a folder")?, beside.path()] {
            set_permissions(folder, Permissions::from_mode(0o755))?;
        }
        let volume = Volume { status, beside };
        fs::write(volume.elsewhere(), "untouched")?;
        set_permissions(volume.elsewhere(), Permissions::from_mode(0o600))?;
        Ok(volume)
    }

    fn elsewhere(&self) -> PathBuf {
        self.beside.path().join("elsewhere")
    }

    /// Each file of the agent, whether it is there or not.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let suffixes = ["", ".json", ".lock", ".tmp", ".json.tmp", ".probe", ".acquired"];
        suffixes.map(|suffix| PathBuf::from(format!("{}{suffix}", self.status.display()))).to_vec()
    }

    /// Those that are not there, or not to be opened by him, nobody can hold.
    fn hold(&self, how: How, by: By, files: &[PathBuf]) -> Result<Holder> {
        let holder = holder()?;
        let mut command = match by {
            By::Nobody => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(holder);
                command
            }
            By::Same => Command::new(holder),
        };
        let mut child = command.arg(how.word()).args(files).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("it has an output")?).read_line(&mut line)?;
        ensure!(line.trim().parse::<usize>().is_ok(), "the holder said {line:?}");
        Ok(Holder(child))
    }

    /// Whether the file says what an agent writes into it.
    pub(crate) fn shows_a_true_file(&self) -> bool {
        let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let is_file = fs::symlink_metadata(&self.status).is_ok_and(|found| found.is_file());
        is_file && fs::read_to_string(&self.status).is_ok_and(|text| text == name)
    }

    pub(crate) fn ensure_nothing_touched(&self) -> Result<()> {
        let elsewhere = self.elsewhere();
        ensure!(fs::read_to_string(&elsewhere)? == "untouched", "the file elsewhere was written to");
        let mode = fs::metadata(&elsewhere)?.permissions().mode() & 0o777;
        ensure!(mode == 0o600, "the file elsewhere has mode {mode:o}");
        let mut names: Vec<_> =
            fs::read_dir(self.beside.path())?.map(|entry| Ok(entry?.file_name())).collect::<Result<_>>()?;
        names.sort();
        ensure!(names == ["elsewhere"], "beside the folder there are {names:?}");
        Ok(())
    }
}
