//! The command `watch`: a line for each change of the leader.

use jiff::Timestamp;
use serde::Serialize;

use crate::age::seconds;
use crate::cluster::Cluster;
use crate::live::{Leads, Lost, Sights};
use crate::print::Output;
use crate::print::{item, note, print};
use crate::style::{Style, Tone};
use elector_program::failure::Failure;

/// Prints a line for each change of the leader, until the program is interrupted.
///
/// # Errors
/// If there is no such election, or it is deleted.
pub(crate) async fn watch(cluster: &Cluster, name: &str, output: Option<Output>) -> Result<(), Failure> {
    cluster.election(name).await?;
    let paint = Style::of_stdout();
    let mut sights = Sights::of(cluster, name);
    let (mut last, mut trouble) = (None, None);
    loop {
        match sights.next().await {
            Ok(live) => {
                trouble = None;
                let leads = live.leads();
                let tenure = tenure(&leads);
                if last.as_ref() != Some(&tenure) {
                    let now = Timestamp::now();
                    match output {
                        None => print(&line(&leads, now, paint))?,
                        Some(output) => item(&change(&leads, now), output)?,
                    }
                    last = Some(tenure);
                }
            }
            Err(Lost::Gone) => return Err(Failure::failed(format!("LeaderElection {name} is gone"))),
            Err(Lost::Failed(why)) => {
                if trouble.as_ref() != Some(&why) {
                    note(&format!("warning: {why}; trying again"));
                }
                trouble = Some(why);
            }
        }
    }
}

/// The tenure of the leader; `None` without a leader. The reason why no candidate leads may change without a new
/// leader.
fn tenure(leads: &Leads) -> Option<(String, Option<i64>)> {
    match leads {
        Leads::Somebody { identity, tenure, .. } => Some((identity.clone(), *tenure)),
        Leads::Nobody(_) => None,
    }
}

/// A change of the leader, in a format for programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    /// The time of the change by this machine's clock.
    time: String,
    /// Whether a candidate leads.
    leads: bool,
    /// The name of the leader.
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenure: Option<i64>,
    /// Why no candidate leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

fn change(leads: &Leads, now: Timestamp) -> Change {
    let time = seconds(now).to_string();
    match leads.clone() {
        Leads::Somebody { name, identity, tenure } => {
            Change { time, leads: true, holder: Some(name), identity: Some(identity), tenure, reason: None }
        }
        Leads::Nobody(why) => {
            Change { time, leads: false, holder: None, identity: None, tenure: None, reason: Some(why) }
        }
    }
}

/// A change of the leader as a line for people, with the time by this machine's clock.
fn line(leads: &Leads, now: Timestamp, paint: Style) -> String {
    let now = seconds(now);
    match leads {
        Leads::Somebody { name, tenure, .. } => {
            let tenure = tenure.map(|tenure| format!(", tenure {tenure}")).unwrap_or_default();
            format!("{now} {} leads{tenure}\n", paint.paint(name, Tone::Good))
        }
        Leads::Nobody(why) => {
            format!("{now} {}: {}\n", paint.paint("nobody leads", Tone::Bad), paint.paint(why, Tone::Plain))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_says_the_same_to_programs() {
        let change =
            |leads: Leads| serde_json::to_string(&change(&leads, "2026-11-27T12:00:00.7Z".parse().unwrap())).unwrap();
        let (name, identity) = ("billing-0".to_owned(), "billing-0_5f0c".to_owned());
        assert_eq!(
            change(Leads::Somebody { name, identity, tenure: Some(4) }),
            r#"{"time":"2026-11-27T12:00:00Z","leads":true,"holder":"billing-0","identity":"billing-0_5f0c","tenure":4}"#
        );
        assert_eq!(
            change(Leads::Nobody("the election is paused".to_owned())),
            r#"{"time":"2026-11-27T12:00:00Z","leads":false,"reason":"the election is paused"}"#
        );
    }

    #[test]
    fn a_line_says_when_and_who() {
        let line = |leads: Leads| line(&leads, "2026-11-27T12:00:00.7Z".parse().unwrap(), Style::new(false));
        let (name, identity) = ("billing-0".to_owned(), "billing-0_5f0c".to_owned());
        let somebody = Leads::Somebody { name, identity, tenure: Some(4) };
        assert_eq!(line(somebody), "2026-11-27T12:00:00Z billing-0 leads, tenure 4\n");
        let nobody = Leads::Nobody("the election is paused".to_owned());
        assert_eq!(line(nobody), "2026-11-27T12:00:00Z nobody leads: the election is paused\n");
    }
}
