//! The command `doctor`: checks all that an election needs, from causes of trouble to its symptoms, and says what to
//! mend.
//!
//! [`gather`] looks, with the rights of the user; [`checks`] judge what it has found, without IO.

mod agent;
mod checks;
mod facts;
mod finding;
mod gather;
#[cfg(test)]
mod tests;

use self::checks::findings;
use self::finding::{Finding, Outcome};
use crate::cluster::Cluster;
use crate::print::Output;
use crate::print::{document, print};
use crate::style::{Style, Tone};
use crate::table::{Cell, Table};
use elector_program::failure::Failure;

/// The exit code if a check has found an error.
const SOMETHING_WRONG: u8 = 1;

/// Prints the finding of each check.
///
/// # Errors
/// If there is no such election, or it cannot be read; and, without a message, if a check has found an error.
pub(crate) async fn doctor(cluster: &Cluster, name: &str, output: Option<Output>) -> Result<(), Failure> {
    let election = cluster.election(name).await?;
    let findings = findings(&gather::gather(cluster, election).await);
    match output {
        Some(output) => document(&findings, output)?,
        None => print(&text(&findings, Style::of_stdout()))?,
    }
    let is_ill = findings.iter().any(|finding| finding.result == Outcome::Error);
    if is_ill { Err(Failure::silent(SOMETHING_WRONG)) } else { Ok(()) }
}

/// A line for each finding, and below what to do, in the order in which it is worth doing.
fn text(findings: &[Finding], paint: Style) -> String {
    let mut table = Table::new(&["CHECK", "RESULT", "MESSAGE"]);
    for Finding { check, result, message, mend: _ } in findings {
        let tone = match result {
            Outcome::Ok => Tone::Good,
            Outcome::NotApplicable => Tone::Plain,
            Outcome::Warning | Outcome::Unknown => Tone::Doubtful,
            Outcome::Error => Tone::Bad,
        };
        table.row(vec![Cell::plain(check), Cell::toned(result.as_str(), tone), Cell::plain(message)]);
    }
    let mut lines = table.render(paint, "");
    let mends: Vec<_> = findings.iter().filter_map(|it| Some((it.check, it.mend.as_ref()?))).collect();
    if !mends.is_empty() {
        lines += &format!("{}\n", paint.paint("Mend:", Tone::Heading));
    }
    for (check, mend) in mends {
        lines += &format!("  {check}: {}\n", paint.paint(mend, Tone::Plain));
    }
    lines
}
