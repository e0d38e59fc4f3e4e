//! The agent's commands for the app and its users, which do not contend.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use elector_crds::display_text::json_shown;
use leader_elector::status::{Health, Standing, Unknown, check, check_health};
use serde_json::{Value, json};

use crate::cli::DEFAULT_IMAGE;
use elector_program::failure::Failure;

const LEADS: u8 = 0;
const DOES_NOT: u8 = 1;
const UNKNOWN: u8 = 2;
const WORKS: u8 = 0;
const AILS: u8 = 1;
/// The exit code of `wait` after its timeout, as that of timeout(1).
const TIMED_OUT: u8 = 124;
/// The time between two checks of `wait`; a check takes some 50 µs.
const POLL_PERIOD: Duration = Duration::from_millis(50);
/// The agent as a sidecar: the same file as the chart's.
const SIDECAR: &str = include_str!("sidecar.yaml");

/// Reports whether this pod leads. Returns the exit code.
pub(crate) fn tell(status_file: &Path, in_json: bool) -> Result<u8, Failure> {
    let found = check(status_file);
    if in_json {
        // The exit code must come through, whether anybody reads this or not.
        let _ = writeln!(io::stdout(), "{}", json_shown(&json_of(&found).to_string()));
    }
    match found {
        Ok(Standing::Leads { .. }) => Ok(LEADS),
        Ok(Standing::DoesNot(_)) => Ok(DOES_NOT),
        Err(error) => Err(Failure::with_code(UNKNOWN, error)),
    }
}

/// Reports whether the agent works. Returns the exit code.
pub(crate) fn tell_health(status_file: &Path) -> Result<u8, Failure> {
    let ails = |said: &str| Err(Failure::with_code(AILS, said));
    match check_health(status_file) {
        Ok(Health::Works) => Ok(WORKS),
        Ok(Health::Hangs) => ails("the electing process has done nothing for long: restart it"),
        Ok(Health::Dead) => ails("there is no electing process"),
        Err(error) => Err(Failure::with_code(UNKNOWN, error)),
    }
}

fn json_of(found: &Result<Standing, Unknown>) -> Value {
    match found {
        Ok(Standing::Leads { report, remaining }) => {
            json!({"leads": true, "remainingSeconds": remaining.as_secs_f64(), "report": report})
        }
        Ok(Standing::DoesNot(why)) => json!({"leads": false, "reason": why.to_string()}),
        Err(error) => json!({"leads": null, "reason": error.to_string()}),
    }
}

/// Waits until this pod leads, or `timeout` has passed. Returns the exit code.
pub(crate) fn wait(status_file: &Path, timeout: Option<u64>) -> u8 {
    let timeout = timeout.map(Duration::from_secs);
    let begun = Instant::now();
    let mut said = false;
    loop {
        match check(status_file) {
            Ok(Standing::Leads { remaining, .. }) => {
                say(&format!(
                    "this pod leads, for {:.1} s if it is not renewed; nothing stops what you do now when it no longer leads: \
                     use exec for that, or check again",
                    remaining.as_secs_f64()
                ));
                return LEADS;
            }
            Ok(Standing::DoesNot(_)) => {}
            // The agent may not have started yet.
            Err(error) if !said => {
                say(&format!("waiting, although it cannot be told who leads: {error}"));
                said = true;
            }
            Err(_) => {}
        }
        let left = timeout.map_or(POLL_PERIOD, |timeout| timeout.saturating_sub(begun.elapsed()));
        if left.is_zero() {
            return TIMED_OUT;
        }
        sleep(POLL_PERIOD.min(left));
    }
}

fn say(line: &str) {
    // As above.
    let _ = writeln!(io::stderr(), "{line}");
}

/// Prints the agent as a sidecar, as the policy of the Helm chart adds it. Returns the exit code.
pub(crate) fn manifest(image: &str, platform_assigns_users: bool) -> u8 {
    // As above.
    let _ = write!(io::stdout(), "{}", sidecar(image, platform_assigns_users));
    0
}

fn sidecar(image: &str, platform_assigns_users: bool) -> String {
    let sidecar = SIDECAR.replace(DEFAULT_IMAGE, image);
    let is_meant = |line: &&str| !platform_assigns_users || !line.trim_start().starts_with("runAsUser:");
    sidecar.lines().filter(is_meant).flat_map(|line| [line, "\n"]).collect()
}

/// Copies this program into `directory`, whole or not at all. Returns the exit code.
pub(crate) fn install(directory: &Path) -> Result<u8, Failure> {
    let (path, temporary) = (directory.join("elector-agent"), directory.join("elector-agent.tmp"));
    let copy = || {
        // What lies there is somebody else's: it is not written through.
        let _ = fs::remove_file(&temporary);
        let mut copy = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
        io::copy(&mut File::open("/proc/self/exe")?, &mut copy)?;
        copy.set_permissions(Permissions::from_mode(0o755))?;
        fs::rename(&temporary, &path)
    };
    copy().map(|()| 0).map_err(|error| {
        // Half a program helps nobody; that it was never there is no matter.
        let _ = fs::remove_file(&temporary);
        Failure::usage(format!(
            "failed to copy this program to {}: {error}; name a directory that this user may write to, with room in it",
            path.display()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sidecar_names_this_version_and_is_the_charts() {
        assert_eq!(SIDECAR.matches(DEFAULT_IMAGE).count(), 1);
        assert_eq!(SIDECAR, include_str!("../../charts/leader-elector/files/sidecar.yaml"));
        assert_eq!(sidecar(DEFAULT_IMAGE, false), SIDECAR);
    }

    #[test]
    fn a_platform_that_assigns_users_finds_none_in_it() {
        let sidecar = sidecar("registry.example.com/agent:1", true);
        assert_eq!((SIDECAR.matches("runAsUser").count(), sidecar.matches("runAsUser").count()), (1, 0));
        assert!(sidecar.contains("  image: registry.example.com/agent:1\n") && sidecar.contains("runAsNonRoot: true"));
    }
}
