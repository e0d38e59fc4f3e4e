//! The status of an election as text, for people.

use elector_crds::PastTenure;

use super::{HintsReport, LeaderReport, LeaseReport, StatusReport};
use crate::age::{age, seconds, time};
use crate::style::{Style, Tone};
use crate::table::{Cell, Table};

/// The status in the form of `kubectl describe`: one field a line.
pub(super) fn text(report: &StatusReport, now: jiff::Timestamp, paint: Style) -> String {
    let mut fields = vec![("Name", vec![(report.name.clone(), Tone::Plain)])];
    fields.push(("Namespace", vec![(report.namespace.clone(), Tone::Plain)]));
    match (&report.leader, &report.nobody_leads) {
        (Some(leader), _) => {
            fields.push(("Leader", vec![(leader.name.clone(), Tone::Good), (place(leader), Tone::Plain)]));
            fields.push(("Identity", vec![(leader.identity.clone(), Tone::Plain)]));
            fields.push(("Tenure", vec![(tenure(leader, now), Tone::Plain)]));
        }
        (None, why) => {
            let why = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            fields.push(("Leader", vec![("nobody".to_owned(), Tone::Bad), (why, Tone::Plain)]));
        }
    }
    fields.extend(report.lease.as_ref().map(|lease| match lease.released {
        Some(true) => ("Released", vec![(released(lease), Tone::Plain)]),
        Some(false) | None => ("Renewed", vec![(renewed(lease), Tone::Plain)]),
    }));
    fields.push(("Asked for", vec![(hints(&report.hints), Tone::Plain)]));

    let mut lines = String::new();
    for (name, value) in fields {
        let value: String = value.iter().map(|(text, tone)| paint.paint(text, *tone)).collect();
        lines += &format!("{:<12}{value}\n", format!("{name}:"));
    }
    lines += &section("Candidates", report.candidates.is_empty(), paint);
    lines += &candidates(report, paint);
    lines += &section("History", report.history.is_empty(), paint);
    lines += &history(&report.history, now, paint);
    lines += &section("Problems", report.problems.is_empty(), paint);
    for problem in &report.problems {
        lines += &format!("  {}\n", paint.paint(problem, Tone::Bad));
    }
    lines
}

fn section(name: &str, is_empty: bool, paint: Style) -> String {
    let nothing = if is_empty { "  none" } else { "" };
    format!("{}{nothing}\n", paint.paint(&format!("{name}:"), Tone::Heading))
}

fn place(leader: &LeaderReport) -> String {
    leader.node.as_ref().map(|node| format!(" on {node}")).unwrap_or_default()
}

fn tenure(leader: &LeaderReport, now: jiff::Timestamp) -> String {
    let number = leader.tenure.map_or_else(|| "unknown".to_owned(), |tenure| tenure.to_string());
    let Some(acquired) = &leader.acquire_time else { return number };
    match time(acquired) {
        Some(since) => format!("{number}, since {} ({})", seconds(since), age(since, now)),
        None => format!("{number}, since {acquired}"),
    }
}

/// When the last leader gave the Lease up, by its clock, and why.
fn released(lease: &LeaseReport) -> String {
    let when = match (&lease.renew_time, lease.renewed_seconds_ago) {
        (Some(at), Some(ago)) => {
            let at = time(at).map_or_else(|| at.clone(), seconds);
            format!("{at}, {ago:.1} s ago by this machine's clock")
        }
        (Some(_) | None, _) => "at a time that the Lease does not say".to_owned(),
    };
    match lease.release_reason {
        Some(reason) => format!("{when} ({reason})"),
        None => when,
    }
}

fn renewed(lease: &LeaseReport) -> String {
    match lease.renewed_seconds_ago {
        None => "never".to_owned(),
        Some(ago) => {
            let lasts = lease.lease_duration_seconds;
            format!("{ago:.1} s ago by this machine's clock; the lease lasts {lasts} s")
        }
    }
}

fn hints(hints: &HintsReport) -> String {
    let HintsReport { paused, transfer_to, end_tenure, successor } = hints;
    let mut asked = Vec::new();
    if *paused {
        asked.push("a pause: nobody is to lead".to_owned());
    }
    asked.extend(transfer_to.as_ref().map(|target| match target.as_str() {
        "*" => "a transfer to any other pod, not answered yet".to_owned(),
        pod => format!("a transfer to {pod}, not answered yet"),
    }));
    asked.extend(end_tenure.map(|tenure| {
        let next = successor.as_deref().unwrap_or("any other");
        format!("tenure {tenure} is to end, and {next} to begin the next")
    }));
    if asked.is_empty() { "nothing".to_owned() } else { asked.join("; ") }
}

fn candidates(report: &StatusReport, paint: Style) -> String {
    if report.candidates.is_empty() {
        return String::new();
    }
    let truth = |is: bool| if is { "True" } else { "False" };
    let mut table = Table::new(&["POD", "NODE", "READY", "LEADS", "SERVICE ACCOUNT", "MAY CONTEND"]);
    for candidate in &report.candidates {
        table.row(vec![
            Cell::plain(&candidate.pod),
            Cell::maybe(candidate.node.as_ref()),
            Cell::truth(Some(candidate.ready)),
            Cell::plain(truth(candidate.leads)),
            Cell::plain(&candidate.service_account),
            Cell::truth(Some(truth(candidate.listed))),
        ]);
    }
    table.render(paint, "  ")
}

/// The table of the last tenures. It has times of two clocks: a tenure begins by the holder's clock, and ends by the
/// operator's.
fn history(tenures: &[PastTenure], now: jiff::Timestamp, paint: Style) -> String {
    if tenures.is_empty() {
        return String::new();
    }
    let shown = |text: &str| time(text).map_or_else(|| text.to_owned(), seconds);
    let mut table = Table::new(&["HOLDER", "TENURE", "FROM", "UNTIL", "LASTED", "REASON"]);
    for tenure in tenures {
        let PastTenure { holder, identity: _, lease_transitions, from, until, reason } = tenure;
        let end = until.as_deref().map_or(Some(now), time);
        let lasted = from.as_deref().and_then(time).zip(end).map(|(from, end)| age(from, end));
        table.row(vec![
            Cell::plain(holder),
            Cell::maybe(lease_transitions.as_ref()),
            Cell::maybe(from.as_deref().map(shown)),
            Cell::plain(until.as_deref().map_or_else(|| "still".to_owned(), shown)),
            Cell::maybe(lasted),
            Cell::maybe(reason.as_ref()),
        ]);
    }
    table.render(paint, "  ")
}
