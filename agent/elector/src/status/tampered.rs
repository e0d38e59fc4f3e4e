//! What others can do to each file of the folder: with links, pipes and directories, with locks, and to the folder itself.

use std::fs::{File, OpenOptions, Permissions, set_permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use elector_election::Validity;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, Flock, FlockArg, fcntl};
use nix::libc::{F_RDLCK, F_WRLCK, SEEK_SET, flock};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::tests::{author, claim, leading, names, tenure, why};
use super::*;

const MINUTE: Duration = Duration::from_secs(60);
const FILES: [&str; 6] = [
    "leader_status",
    "leader_status.json",
    "leader_status.lock",
    "leader_status.tmp",
    "leader_status.json.tmp",
    "leader_status.acquired",
];

/// What a test puts at a path in place of a file; links lead to a file elsewhere.
#[derive(Debug, Clone, Copy)]
enum Trick {
    Link,
    LinkToNothing,
    LinkToItself,
    HardLink,
    Pipe,
    Socket,
    Folder,
    FullFolder,
    Gigabyte,
    Unreadable,
}

const TRICKS: [Trick; 10] = [
    Trick::Link,
    Trick::LinkToNothing,
    Trick::LinkToItself,
    Trick::HardLink,
    Trick::Pipe,
    Trick::Socket,
    Trick::Folder,
    Trick::FullFolder,
    Trick::Gigabyte,
    Trick::Unreadable,
];

impl Trick {
    fn play(self, path: &Path, elsewhere: &Path) {
        let _ = fs::remove_file(path);
        match self {
            Trick::Link => symlink(elsewhere, path).unwrap(),
            Trick::LinkToNothing => symlink(elsewhere.with_extension("none"), path).unwrap(),
            Trick::LinkToItself => symlink(path, path).unwrap(),
            Trick::HardLink => fs::hard_link(elsewhere, path).unwrap(),
            Trick::Pipe => mkfifo(path, Mode::S_IRWXU).unwrap(),
            // Closed at once: it stays there.
            Trick::Socket => drop(UnixListener::bind(path).unwrap()),
            Trick::Folder => fs::create_dir(path).unwrap(),
            Trick::FullFolder => fs::create_dir_all(path.join("full")).unwrap(),
            Trick::Gigabyte => File::create(path).unwrap().set_len(1 << 30).unwrap(),
            Trick::Unreadable => {
                fs::write(path, "secret").unwrap();
                set_permissions(path, Permissions::from_mode(0o000)).unwrap();
            }
        }
    }
}

/// A folder with the status files, and beside it a file that must stay as it is.
struct Volume {
    scratch: tempfile::TempDir,
}

impl Volume {
    fn new() -> Volume {
        let scratch = tempfile::tempdir().unwrap();
        fs::create_dir(scratch.path().join("volume")).unwrap();
        fs::write(scratch.path().join("elsewhere"), "untouched").unwrap();
        Volume { scratch }
    }

    fn elsewhere(&self) -> PathBuf {
        self.scratch.path().join("elsewhere")
    }

    fn status(&self) -> PathBuf {
        self.scratch.path().join("volume/leader_status")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.status().with_file_name(name)
    }

    /// The names of the agent's files, without what was moved away.
    fn names(&self) -> Vec<String> {
        names(&self.scratch.path().join("volume")).into_iter().filter(|name| !name.contains(".moved.")).collect()
    }

    fn assert_nothing_touched(&self, what: &str) {
        let elsewhere = self.elsewhere();
        assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "untouched", "{what}");
        assert_eq!(fs::metadata(&elsewhere).unwrap().permissions().mode() & 0o777, 0o644, "{what}");
        assert_eq!(names(self.scratch.path()), ["elsewhere", "volume"], "{what}");
    }
}

/// Files that are replaced while the agent leads come back at the next renewal (rule P5).
#[test]
fn whatever_is_put_in_place_of_a_file_while_it_leads_gives_way_at_the_next_renewal() {
    for trick in TRICKS {
        for name in FILES {
            let what = format!("{trick:?} at {name}");
            let volume = Volume::new();
            let (mut files, now) = leading(&volume.status(), MINUTE);
            trick.play(&volume.file(name), &volume.elsewhere());
            // Others may not be able to tell meanwhile.
            let _ = check(&volume.status());
            let validity = Validity { since: now.moment, lasting: MINUTE };
            files.extend(&Tenure { validity, ..tenure() }, now).unwrap();
            assert_eq!(why(&volume.status()), None, "{what}");
            assert_eq!(fs::read_to_string(volume.status()).unwrap(), "billing-0\n", "{what}");
            assert!(fs::symlink_metadata(volume.status()).unwrap().is_file(), "{what}");
            files.retract().unwrap();
            assert_eq!(why(&volume.status()), Some(NotLeading::NoReport), "{what}");
            assert!(!volume.names().contains(&"leader_status".to_owned()), "{what}");
            volume.assert_nothing_touched(&what);
        }
    }
}

#[test]
fn whatever_is_put_in_place_of_a_file_goes_when_leadership_is_retracted() {
    for trick in TRICKS {
        for name in FILES {
            let what = format!("{trick:?} at {name}");
            let volume = Volume::new();
            let (mut files, _) = leading(&volume.status(), MINUTE);
            trick.play(&volume.file(name), &volume.elsewhere());
            files.retract().unwrap();
            for gone in ["leader_status", "leader_status.json"] {
                assert!(!volume.names().contains(&gone.to_owned()), "{what}: {:?}", volume.names());
            }
            assert!(!matches!(check(&volume.status()), Ok(Standing::Leads { .. })), "{what}");
            volume.assert_nothing_touched(&what);
        }
    }
}

#[test]
fn whatever_is_put_in_place_of_a_file_of_the_dead_keeps_nobody_from_starting() {
    for trick in TRICKS {
        for name in FILES {
            let what = format!("{trick:?} at {name}");
            let volume = Volume::new();
            drop(leading(&volume.status(), MINUTE));
            trick.play(&volume.file(name), &volume.elsewhere());
            assert!(!matches!(check(&volume.status()), Ok(Standing::Leads { .. })), "{what}");
            clear(&volume.status()).unwrap();
            assert!(!volume.status().is_file(), "{what}");
            let claim = claim(&volume.status()).unwrap_or_else(|error| panic!("{what}: {error}"));
            // Whoever took its lock file away may have left it alive.
            let is_known = !matches!(name, "leader_status.lock" | "leader_status.json");
            assert!(claim.predecessor(&boot_id().unwrap(), "shop", "billing").is_some() || !is_known, "{what}");
            let marker = claim.beside(".acquired");
            marker.put().unwrap();
            assert!(marker.is_there() && volume.file("leader_status.acquired").is_file(), "{what}");
            marker.remove().unwrap();
            assert!(!marker.is_there(), "{what}");
            let mut files = claim.sign(author(), boot_id().unwrap());
            files.turned(crate::clock::now().unwrap());
            assert_eq!(check_health(&volume.status()).unwrap(), Health::Works, "{what}");
            assert!(!volume.names().contains(&"leader_status".to_owned()), "{what}");
            volume.assert_nothing_touched(&what);
        }
    }
}

#[test]
fn whatever_is_put_in_place_of_the_file_of_a_standby_is_gone_at_its_next_turn() {
    for trick in TRICKS {
        for name in FILES {
            let what = format!("{trick:?} at {name}");
            let volume = Volume::new();
            let mut files = claim(&volume.status()).unwrap().sign(author(), boot_id().unwrap());
            trick.play(&volume.file(name), &volume.elsewhere());
            files.turned(crate::clock::now().unwrap());
            assert!(!volume.names().contains(&"leader_status".to_owned()), "{what}");
            assert_eq!(check_health(&volume.status()).unwrap(), Health::Works, "{what}");
            assert!(!matches!(check(&volume.status()), Ok(Standing::Leads { .. })), "{what}");
            volume.assert_nothing_touched(&what);
        }
    }
}

#[test]
fn a_lock_file_that_somebody_else_took_away_vouches_for_nobodys_death() {
    for trick in
        TRICKS.into_iter().filter(|trick| !matches!(trick, Trick::HardLink | Trick::Gigabyte | Trick::Unreadable))
    {
        let volume = Volume::new();
        let _leading = leading(&volume.status(), MINUTE);
        trick.play(&volume.file("leader_status.lock"), &volume.elsewhere());
        let claim = claim(&volume.status()).unwrap();
        assert_eq!(claim.predecessor(&boot_id().unwrap(), "shop", "billing"), None, "{trick:?}");
    }
}

/// A lock on a whole file, by a process that opened the file only to lock it.
fn lock_all(path: &Path, kind: i32) -> File {
    let file = OpenOptions::new().read(true).write(kind == F_WRLCK).open(path).unwrap();
    let all = flock { l_type: kind as i16, l_whence: SEEK_SET as i16, l_start: 0, l_len: 0, l_pid: 0 };
    fcntl(&file, FcntlArg::F_OFD_SETLK(&all)).unwrap();
    file
}

/// Read locks neither lock an agent out nor make a dead one seem alive (rule P4).
#[test]
fn whoever_only_reads_can_lock_nobody_out_and_makes_nobody_live() {
    let folder = tempfile::tempdir().unwrap();
    let lock = folder.path().join("leader_status.lock");
    drop(leading(folder.path(), MINUTE));
    let _shared = lock_all(&lock, F_RDLCK);
    let read_only = || OpenOptions::new().read(true).open(&lock).unwrap();
    let _exclusive = Flock::lock(read_only(), FlockArg::LockExclusiveNonblock).unwrap();
    assert_eq!(why(folder.path()), Some(NotLeading::WriterDead));
    assert_eq!(check_health(folder.path()).unwrap(), Health::Dead);
    clear(folder.path()).unwrap();
    let claim = claim(folder.path()).unwrap();
    assert!(claim.predecessor(&boot_id().unwrap(), "shop", "billing").is_some());
    // Of who lives, nobody can: its bytes are locked.
    let all = flock { l_type: F_RDLCK as i16, l_whence: SEEK_SET as i16, l_start: 0, l_len: 0, l_pid: 0 };
    let reader = OpenOptions::new().read(true).open(&lock).unwrap();
    assert_eq!(fcntl(&reader, FcntlArg::F_OFD_SETLK(&all)), Err(Errno::EAGAIN));
    assert_eq!(names(folder.path()), ["leader_status.lock"]);
}

/// A process that may write to the lock file cannot be told from another agent.
#[test]
fn whoever_may_write_can_lock_others_out_and_keeps_no_file_beyond_its_time() {
    let folder = tempfile::tempdir().unwrap();
    for (lasting, stays) in [(MINUTE, true), (Duration::ZERO, false)] {
        drop(leading(folder.path(), lasting));
        let lock = lock_all(&folder.path().join("leader_status.lock"), F_WRLCK);
        assert!(matches!(claim(folder.path()), Err(Error::Locked { .. })));
        assert_eq!(folder.path().join("leader_status").exists(), stays, "{lasting:?}");
        drop(lock);
    }
    drop(leading(folder.path(), MINUTE));
    let _lock = lock_all(&folder.path().join("leader_status.lock"), F_WRLCK);
    fs::remove_file(folder.path().join("leader_status.json")).unwrap();
    assert!(matches!(claim(folder.path()), Err(Error::Locked { .. })));
    assert_eq!(names(folder.path()), ["leader_status.lock"]);
}

#[test]
fn of_those_who_start_at_once_one_has_the_path() {
    for round in 0..100 {
        let folder = tempfile::tempdir().unwrap();
        if round % 2 == 0 {
            drop(leading(folder.path(), MINUTE));
        }
        start_at_once(folder.path(), 8);
    }
}

/// Of two agents that start at once, one has the path (rule P4). A process that can read the folder can keep them from
/// taking turns.
#[test]
fn of_two_who_start_at_once_one_has_the_path_whatever_others_lock() {
    for round in 0..6 {
        let folder = tempfile::tempdir().unwrap();
        if round % 2 == 0 {
            drop(leading(folder.path(), MINUTE));
        }
        let _turn = Flock::lock(File::open(folder.path()).unwrap(), FlockArg::LockExclusiveNonblock).unwrap();
        let begun = Instant::now();
        start_at_once(folder.path(), 2);
        assert!(begun.elapsed() >= folder::LONGEST_WAIT, "they take no turns");
    }
}

fn start_at_once(folder: &Path, agents: usize) {
    let barrier = Barrier::new(agents);
    let start = || {
        barrier.wait();
        claim(folder)
    };
    let claims: Vec<_> = thread::scope(|scope| {
        let agents: Vec<_> = (0..agents).map(|_| scope.spawn(start)).collect();
        agents.into_iter().map(|agent| agent.join().unwrap()).collect()
    });
    let refusals: Vec<&Error> = claims.iter().filter_map(|claim| claim.as_ref().err()).collect();
    assert_eq!(refusals.len(), agents - 1, "{claims:?}");
    assert!(refusals.iter().all(|refusal| matches!(refusal, Error::Locked { .. })), "{refusals:?}");
    // It still stands at the path.
    assert!(matches!(claim(folder), Err(Error::Locked { .. })));
    assert_eq!(names(folder), ["leader_status.lock"]);
}

#[test]
fn a_folder_that_is_moved_away_stays_the_one_and_what_takes_its_place_is_not_touched() {
    let scratch = tempfile::tempdir().unwrap();
    let (volume, moved, victim) = (scratch.path().join("a"), scratch.path().join("b"), scratch.path().join("victim"));
    fs::create_dir(&volume).unwrap();
    fs::create_dir(&victim).unwrap();
    let files_of = ["leader_status", "leader_status.json", "leader_status.lock"];
    for name in files_of {
        fs::write(victim.join(name), "untouched").unwrap();
    }
    let (mut files, now) = leading(&volume.join("leader_status"), MINUTE);
    fs::rename(&volume, &moved).unwrap();
    symlink(&victim, &volume).unwrap();
    files.extend(&tenure(), now).unwrap();
    files.turned(now);
    files.retract().unwrap();
    assert_eq!(names(&moved), ["leader_status.lock"]);
    for name in files_of {
        assert_eq!(fs::read_to_string(victim.join(name)).unwrap(), "untouched");
    }
    fs::remove_dir_all(&moved).unwrap();
    assert!(files.publish(&tenure(), now).is_err());
    files.retract().unwrap();
    assert_eq!(names(&victim), files_of);
}
