use std::os::unix::fs::symlink;
use std::time::Duration;

use elector_election::{Moment, ResourceVersion, Timestamp, Validity};
use nix::time::{ClockId, clock_gettime};

use super::*;
use crate::clock;

pub(super) fn author() -> Author {
    Author {
        hostname: "billing-0".to_owned(),
        identity: "billing-0_5f0c".to_owned(),
        namespace: "shop".to_owned(),
        lease: "billing".to_owned(),
        start: "nonce".to_owned(),
    }
}

pub(super) fn claim(path: &Path) -> Result<Claim, Error> {
    Claim::take(path, "nonce")
}

fn files(path: &Path) -> StatusFiles {
    claim(path).unwrap().sign(author(), "boot".to_owned())
}

fn now() -> Now {
    let moment = Moment { boottime: Duration::from_secs(100), monotonic_raw: Duration::from_secs(90) };
    Now { moment, wall: Timestamp::from_microseconds(1_000_000) }
}

pub(super) fn tenure() -> Tenure {
    Tenure {
        uid: "u1".to_owned(),
        fencing_token: ResourceVersion(17),
        acquire_time: Timestamp::from_microseconds(500_000),
        transitions: 4,
        validity: Validity { since: now().moment, lasting: Duration::from_secs(10) },
    }
}

pub(super) fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Rule P5.
#[test]
fn files_appear_whole_and_disappear() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("status");
    let claim = claim(&path).unwrap();
    assert_eq!(claim.predecessor("boot", "shop", "billing"), None);
    let mut files = claim.sign(author(), "boot".to_owned());
    assert_eq!(names(folder.path()), ["status.lock"]);
    files.publish(&tenure(), now()).unwrap();
    assert_eq!(names(folder.path()), ["status", "status.json", "status.lock"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), "billing-0\n");
    let report = Report::read(&folder.path().join("status.json")).unwrap();
    assert_eq!(report.fencing_token, 17);
    assert_eq!(report.valid_until_boottime_ns, 110_000_000_000);
    assert_eq!(report.valid_until, "1970-01-01T00:00:11.000000Z");
    files.retract().unwrap();
    assert_eq!(names(folder.path()), ["status.lock"]);
    files.retract().unwrap();
}

#[test]
fn a_directory_is_filled() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = files(folder.path());
    files.publish(&tenure(), now()).unwrap();
    assert_eq!(names(folder.path()), ["leader_status", "leader_status.json", "leader_status.lock"]);
}

#[test]
fn a_report_of_another_election_vouches_for_nobody() {
    for (namespace, lease, found) in [("shop", "billing", true), ("shop", "other", false), ("bank", "billing", false)] {
        let folder = tempfile::tempdir().unwrap();
        files(folder.path()).publish(&tenure(), now()).unwrap();
        assert_eq!(claim(folder.path()).unwrap().predecessor("boot", namespace, lease).is_some(), found);
    }
}

#[test]
fn what_a_dead_process_left_is_removed_and_its_tenure_returned() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = files(folder.path());
    files.publish(&tenure(), now()).unwrap();
    drop(files);
    let claim = claim(folder.path()).unwrap();
    assert_eq!(names(folder.path()), ["leader_status.lock"]);
    let predecessor = claim.predecessor("boot", "shop", "billing").unwrap();
    assert_eq!((predecessor.uid.as_str(), predecessor.start.as_str(), predecessor.transitions), ("u1", "nonce", 4));
    assert_eq!(predecessor.acquire_time, tenure().acquire_time);
}

#[test]
fn a_tenure_of_an_earlier_boot_is_not_returned() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = files(folder.path());
    files.publish(&tenure(), now()).unwrap();
    drop(files);
    assert_eq!(claim(folder.path()).unwrap().predecessor("another", "shop", "billing"), None);
}

#[test]
fn a_second_agent_on_one_path_is_refused_and_removes_nothing_of_whoever_leads() {
    let folder = tempfile::tempdir().unwrap();
    let (_files, _) = leading(folder.path(), Duration::from_secs(60));
    let error = claim(folder.path()).unwrap_err();
    assert!(error.to_string().contains("give each agent one of its own"), "{error}");
    assert_eq!(names(folder.path()), ["leader_status", "leader_status.json", "leader_status.lock"]);
    assert_eq!(why(folder.path()), None);
}

#[test]
fn a_path_that_cannot_serve_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (link, target) = (folder.path().join("link"), folder.path().join("target"));
    symlink(&target, &link).unwrap();
    // Not one of the system's own: whatever is wrong with the code, root runs it.
    let socket = folder.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    for path in [link, folder.path().join("missing/status"), socket] {
        assert!(claim(&path).is_err(), "{}", path.display());
    }
    assert!(!target.exists());
}

#[test]
fn what_lies_at_the_temporary_name_is_not_written_through() {
    let folder = tempfile::tempdir().unwrap();
    let victim = folder.path().join("victim");
    fs::write(&victim, "untouched").unwrap();
    let mut files = files(&folder.path().join("status"));
    symlink(&victim, folder.path().join("status.tmp")).unwrap();
    files.publish(&tenure(), now()).unwrap();
    assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
}

#[test]
fn garbage_in_the_report_is_no_predecessor() {
    let folder = tempfile::tempdir().unwrap();
    for garbage in ["", "{", "null", "{}", r#"{"identity":1}"#] {
        fs::write(folder.path().join("leader_status.json"), garbage).unwrap();
        assert_eq!(claim(folder.path()).unwrap().predecessor("boot", "shop", "billing"), None, "{garbage}");
    }
}

#[test]
fn a_report_that_would_never_end_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("leader_status.json");
    nix::unistd::mkfifo(&report, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(claim(folder.path()).unwrap().predecessor("boot", "shop", "billing"), None);
    symlink("/dev/zero", &report).unwrap();
    assert_eq!(claim(folder.path()).unwrap().predecessor("boot", "shop", "billing"), None);
    assert_eq!(names(folder.path()), ["leader_status.lock"]);
}

#[test]
fn a_file_that_somebody_removed_is_back_at_the_next_renewal() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = files(folder.path());
    files.publish(&tenure(), now()).unwrap();
    fs::remove_file(folder.path().join("leader_status")).unwrap();
    files.extend(&tenure(), now()).unwrap();
    assert_eq!(names(folder.path()), ["leader_status", "leader_status.json", "leader_status.lock"]);
}

/// Rule P4.
#[test]
fn a_lock_file_that_somebody_removed_is_back_at_the_next_renewal() {
    let folder = tempfile::tempdir().unwrap();
    let lock = folder.path().join("leader_status.lock");
    let (mut files, now) = leading(folder.path(), Duration::from_secs(60));
    let removals: [&dyn Fn(); 3] =
        [&|| fs::remove_file(&lock).unwrap(), &|| fs::rename(&lock, folder.path().join("elsewhere")).unwrap(), &|| {
            fs::write(folder.path().join("another"), "").unwrap();
            fs::rename(folder.path().join("another"), &lock).unwrap();
        }];
    for remove in removals {
        remove();
        assert!(!matches!(check(folder.path()), Ok(Standing::Leads { .. })));
        let validity = Validity { since: now.moment, lasting: Duration::from_secs(60) };
        files.extend(&Tenure { validity, ..tenure() }, now).unwrap();
        assert!(matches!(check(folder.path()), Ok(Standing::Leads { .. })));
        assert!(matches!(claim(folder.path()), Err(Error::Locked { .. })));
    }
}

#[test]
fn who_finds_another_at_its_lock_file_writes_nothing_more() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = files(folder.path());
    files.publish(&tenure(), now()).unwrap();
    fs::remove_file(folder.path().join("leader_status.lock")).unwrap();
    let _another = claim(folder.path()).unwrap();
    let error = files.extend(&tenure(), now()).unwrap_err();
    assert!(error.to_string().contains("give each agent one of its own"), "{error}");
    assert_eq!(names(folder.path()), ["leader_status.lock"]);
}

/// A tenure that began now, of a process that lives, as [`check`] finds it.
pub(super) fn leading(path: &Path, lasting: Duration) -> (StatusFiles, Now) {
    let now = crate::clock::now().unwrap();
    let mut files = claim(path).unwrap().sign(author(), boot_id().unwrap());
    files.publish(&Tenure { validity: Validity { since: now.moment, lasting }, ..tenure() }, now).unwrap();
    (files, now)
}

pub(super) fn why(path: &Path) -> Option<NotLeading> {
    match check(path).unwrap() {
        Standing::Leads { .. } => None,
        Standing::DoesNot(why) => Some(why),
    }
}

/// Rule P4.
#[test]
fn a_check_believes_a_report_of_a_process_that_lives_while_it_is_valid() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(check(folder.path()), Err(Unknown::NoAgent(_))));
    let (mut files, now) = leading(folder.path(), Duration::from_secs(60));
    let Standing::Leads { report, remaining } = check(folder.path()).unwrap() else { panic!("it leads") };
    assert_eq!(report.fencing_token, 17);
    assert!(remaining > Duration::from_secs(50) && remaining <= Duration::from_secs(60), "{remaining:?}");
    // Of the kernel's two clocks the report knows one.
    files
        .publish(&Tenure { validity: Validity { since: now.moment, lasting: Duration::ZERO }, ..tenure() }, now)
        .unwrap();
    assert_eq!(why(folder.path()), Some(NotLeading::Expired));
    files.retract().unwrap();
    assert_eq!(why(folder.path()), Some(NotLeading::NoReport));
}

/// By the time that its thread was on a CPU, whatever else runs.
#[test]
fn a_check_costs_less_than_a_millisecond() {
    const CHECKS: u32 = 200;
    let folder = tempfile::tempdir().unwrap();
    let _leading = leading(folder.path(), Duration::from_secs(60));
    let worked = || Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap());
    let begun = worked();
    for _ in 0..CHECKS {
        assert!(matches!(check(folder.path()), Ok(Standing::Leads { .. })));
    }
    let each = (worked() - begun) / CHECKS;
    println!("{each:?} each");
    assert!(each < Duration::from_millis(1), "{each:?}");
}

#[test]
fn a_check_does_not_believe_what_the_dead_and_earlier_boots_left() {
    let folder = tempfile::tempdir().unwrap();
    drop(leading(folder.path(), Duration::from_secs(60)));
    assert_eq!(why(folder.path()), Some(NotLeading::WriterDead));
    // The next process has its lock, and has not yet removed the report.
    let lock = Lock::take(&Folder::open(folder.path()).unwrap(), OsStr::new("leader_status.lock"), "another nonce");
    assert_eq!(why(folder.path()), Some(NotLeading::WriterDead));
    drop(lock);
    let mut files = files(folder.path());
    files.publish(&tenure(), now()).unwrap();
    assert_eq!(why(folder.path()), Some(NotLeading::EarlierBoot));
}

#[test]
fn a_check_that_cannot_tell_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (_files, _) = leading(folder.path(), Duration::from_secs(60));
    let report = folder.path().join("leader_status.json");
    for garbage in ["", "{", "null", "{}"] {
        fs::write(&report, garbage).unwrap();
        assert!(matches!(check(folder.path()), Err(Unknown::Unreadable { .. })), "{garbage}");
    }
    fs::remove_file(&report).unwrap();
    nix::unistd::mkfifo(&report, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(matches!(check(folder.path()), Err(Unknown::Unreadable { .. })));
    assert!(matches!(check(&folder.path().join("none/leader_status")), Err(Unknown::Path(_))));
}

/// Rule P1.
#[test]
fn the_file_is_cleared_whoever_holds_the_lock() {
    let folder = tempfile::tempdir().unwrap();
    let (mut files, now) = leading(folder.path(), Duration::from_secs(60));
    clear(folder.path()).unwrap();
    assert_eq!(names(folder.path()), ["leader_status.json", "leader_status.lock"]);
    // One that lives after all has it again at its next renewal.
    files.extend(&tenure(), now).unwrap();
    assert_eq!(names(folder.path()), ["leader_status", "leader_status.json", "leader_status.lock"]);
    drop(files);
    for _ in 0..2 {
        clear(folder.path()).unwrap();
        assert_eq!(names(folder.path()), ["leader_status.json", "leader_status.lock"]);
    }
    clear(&folder.path().join("another")).unwrap();
    assert_eq!(names(folder.path()), ["leader_status.json", "leader_status.lock"]);
}

#[test]
fn what_was_put_in_place_of_the_file_of_the_dead_is_cleared_but_for_directories() {
    let folder = tempfile::tempdir().unwrap();
    let (status, victim) = (folder.path().join("leader_status"), folder.path().join("victim"));
    fs::write(&victim, "untouched").unwrap();
    for path in [status.as_path(), folder.path()] {
        symlink(&victim, &status).unwrap();
        clear(path).unwrap();
        assert!(!status.is_symlink());
        nix::unistd::mkfifo(&status, nix::sys::stat::Mode::S_IRWXU).unwrap();
        clear(path).unwrap();
        assert!(!status.exists());
    }
    assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
    fs::create_dir(&status).unwrap();
    clear(&status).unwrap();
    assert!(status.is_dir());
    clear(&folder.path().join("none/leader_status")).unwrap();
}

#[test]
fn a_process_works_while_its_loop_turns() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(check_health(folder.path()), Err(Unknown::NoAgent(_))));
    let mut files = claim(folder.path()).unwrap().sign(author(), boot_id().unwrap());
    assert_eq!(check_health(folder.path()).unwrap(), Health::Hangs, "nothing has turned yet");
    let now = clock::now().unwrap();
    files.turned(now);
    assert_eq!(check_health(folder.path()).unwrap(), Health::Works);
    files.publish(&tenure(), now).unwrap();
    files.retract().unwrap();
    assert_eq!(check_health(folder.path()).unwrap(), Health::Works, "whoever leads");
    drop(files);
    assert_eq!(check_health(folder.path()).unwrap(), Health::Dead);
    let mut next = claim(folder.path()).unwrap().sign(author(), "another boot".to_owned());
    next.turned(now);
    assert_eq!(check_health(folder.path()).unwrap(), Health::Hangs, "the time is another kernel's");
}

#[test]
fn a_turn_vouches_for_some_time_and_is_not_written_too_often() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = files(folder.path());
    let lock = lock::LockFile::open(&folder.path().join("leader_status.lock")).unwrap();
    let at = |milliseconds| {
        let moment = Moment { boottime: Duration::from_millis(milliseconds), monotonic_raw: Duration::ZERO };
        Now { moment, wall: Timestamp::from_microseconds(0) }
    };
    assert_eq!(lock.pulse().unwrap(), None);
    for (turned, until) in [(5_000, 35_000), (5_999, 35_000), (6_000, 36_000), (15_500, 45_500)] {
        files.turned(at(turned));
        assert_eq!(lock.pulse().unwrap().unwrap().until, Duration::from_millis(until), "{turned}");
    }
    fs::write(folder.path().join("leader_status.lock"), "x".repeat(80)).unwrap();
    assert_eq!(lock.pulse().unwrap(), None);
}

#[test]
fn a_boot_has_a_name_of_its_own() {
    let name = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    assert_eq!(boot_id().unwrap(), name.trim());
    assert_eq!(name.trim().len(), 36);
}

/// Whoever may write to the volume could point it at a file that somebody else has locked.
#[test]
fn no_link_is_followed_to_a_lock() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut other = claim(elsewhere.path()).unwrap().sign(author(), boot_id().unwrap());
    let now = clock::now().unwrap();
    other.turned(now);
    symlink(elsewhere.path().join("leader_status.lock"), folder.path().join("leader_status.lock")).unwrap();
    assert!(matches!(check_health(folder.path()), Err(Unknown::Unreadable { .. })));
    assert!(matches!(check(folder.path()), Err(Unknown::Unreadable { .. })));
}
