//! What was measured, for people: a table with ratios, and what each number had to be.

use elector_harness::figures::Spread;

use crate::requests::Requests;
use crate::results::{Results, Samples};

/// Bytes of a megabyte: of programs, not of memory.
const MEGABYTE: f64 = 1e6;

/// A line of the table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    measure: String,
    client_go: String,
    leader_elector: String,
    ratio: String,
    target: &'static str,
    missed: bool,
}

/// The table, in Markdown.
pub(crate) fn table(results: &Results) -> String {
    let mut text = format!(
        "| | client-go {} | leader-elector {} | ratio | to reach |\n|---|---|---|---|---|\n",
        results.client_go.version, results.leader_elector.version
    );
    for row in rows(results) {
        let Row { measure, client_go, leader_elector, ratio, target, missed } = row;
        let verdict = if missed { " **missed**" } else { "" };
        text += &format!("| {measure} | {client_go} | {leader_elector} | {ratio} | {target}{verdict} |\n");
    }
    text
}

/// The measures whose target was missed.
pub(crate) fn missed(results: &Results) -> Vec<String> {
    let row = |row: Row| format!("{}: {}; to reach: {}", row.measure, row.leader_elector, row.target);
    rows(results).into_iter().filter(|row| row.missed).map(row).collect()
}

fn rows(results: &Results) -> Vec<Row> {
    let (peer, ours) = (&results.client_go, &results.leader_elector);
    let mut rows = Vec::new();
    rows.extend(sigterm(peer, ours).into_iter().flatten());
    rows.extend(sigkill(peer, ours));
    if ours.requests.minutes > 0.0 {
        rows.extend(requests(&peer.requests, &ours.requests));
    }
    rows.extend(memory(peer, ours).into_iter().flatten());
    if ours.binary_bytes > 0 {
        rows.push(binary(peer, ours));
    }
    rows
}

fn sigterm(peer: &Samples, ours: &Samples) -> Option<[Row; 2]> {
    let (theirs, own) = (Spread::of(peer.sigterm_seconds.clone())?, Spread::of(ours.sigterm_seconds.clone())?);
    let samples = ours.sigterm_seconds.len();
    let took = Row {
        measure: format!("SIGTERM → next file, median (min – max) of {samples}"),
        client_go: seconds(theirs),
        leader_elector: milliseconds(own),
        ratio: ratio(theirs.median, own.median),
        target: "median ≤ 20 ms, max ≤ 100 ms",
        missed: own.median > 0.020 || own.max > 0.100,
    };
    let both = Row {
        measure: format!("two files at once, of these {samples}"),
        client_go: peer.overlaps.to_string(),
        leader_elector: ours.overlaps.to_string(),
        ratio: String::new(),
        target: "0",
        missed: ours.overlaps > 0,
    };
    Some([took, both])
}

fn sigkill(peer: &Samples, ours: &Samples) -> Option<Row> {
    let (theirs, own) = (Spread::of(peer.sigkill_seconds.clone())?, Spread::of(ours.sigkill_seconds.clone())?);
    Some(Row {
        measure: format!("SIGKILL 1 s after a renewal → next file, of {}", ours.sigkill_seconds.len()),
        client_go: seconds(theirs),
        leader_elector: seconds(own),
        ratio: ratio(theirs.median, own.median),
        target: "max ≤ 14.3 s",
        missed: own.max > 14.3,
    })
}

fn requests(peer: &Requests, ours: &Requests) -> [Row; 3] {
    let total = Row {
        measure: format!("requests/min, mean of {:.0} min", ours.minutes),
        client_go: format!("{:.1}", peer.per_minute()),
        leader_elector: format!("{:.1}", ours.per_minute()),
        ratio: ratio(peer.per_minute(), ours.per_minute()),
        target: "≤ 31",
        missed: ours.per_minute() > 31.0,
    };
    let leader = Row {
        measure: "– of the leader".to_owned(),
        client_go: peer.describe(&peer.leader),
        leader_elector: ours.describe(&ours.leader),
        ratio: ratio(peer.rate(&peer.leader), ours.rate(&ours.leader)),
        target: "",
        missed: false,
    };
    let standbys = Row {
        measure: "– of two standbys".to_owned(),
        client_go: peer.describe(&peer.standbys),
        leader_elector: ours.describe(&ours.standbys),
        ratio: ratio(peer.rate(&peer.standbys), ours.rate(&ours.standbys)),
        target: "no GET, LIST or PUT",
        missed: ours.polls() > 0,
    };
    [total, leader, standbys]
}

fn memory(peer: &Samples, ours: &Samples) -> Option<[Row; 2]> {
    let spread = |samples: &Samples, of: fn(&crate::family::Memory) -> u64| {
        Spread::of(samples.standby_memory.iter().map(|memory| mebibytes(of(memory))))
    };
    let row = |measure: &str, of, limit: Option<f64>| {
        let (theirs, own) = (spread(peer, of)?, spread(ours, of)?);
        Some(Row {
            measure: measure.to_owned(),
            client_go: range(theirs),
            leader_elector: range(own),
            ratio: ratio(theirs.median, own.median),
            target: if limit.is_some() { "≤ 9 MiB" } else { "" },
            missed: limit.is_some_and(|limit| own.max > limit),
        })
    };
    Some([
        row("memory of a standby after a minute", |memory| memory.resident, Some(9.0))?,
        row("– of it anonymous", |memory| memory.anonymous, None)?,
    ])
}

fn binary(peer: &Samples, ours: &Samples) -> Row {
    let megabytes = |samples: &Samples| to_float(samples.binary_bytes) / MEGABYTE;
    Row {
        measure: "binary, stripped".to_owned(),
        client_go: format!("{:.1} MB", megabytes(peer)),
        leader_elector: format!("{:.1} MB", megabytes(ours)),
        ratio: ratio(megabytes(peer), megabytes(ours)),
        target: "≤ 7 MB",
        missed: megabytes(ours) > 7.0,
    }
}

fn seconds(Spread { min, median, max }: Spread) -> String {
    format!("{median:.2} s ({min:.2} – {max:.2})")
}

fn milliseconds(Spread { min, median, max }: Spread) -> String {
    format!("{:.1} ms ({:.1} – {:.1})", median * 1e3, min * 1e3, max * 1e3)
}

fn range(Spread { min, max, .. }: Spread) -> String {
    if format!("{min:.1}") == format!("{max:.1}") {
        format!("{max:.1} MiB")
    } else {
        format!("{min:.1} – {max:.1} MiB")
    }
}

fn ratio(theirs: f64, ours: f64) -> String {
    let ratio = theirs / ours;
    if !ratio.is_finite() {
        return "–".to_owned();
    }
    if ratio >= 10.0 { format!("{ratio:.0} ×") } else { format!("{ratio:.1} ×") }
}

fn mebibytes(kibibytes: u64) -> f64 {
    to_float(kibibytes) / 1024.0
}

fn to_float(number: u64) -> f64 {
    u32::try_from(number).map_or(f64::INFINITY, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::Memory;

    fn results() -> Results {
        let verbs = |verb: &str, count| [(verb.to_owned(), count)].into();
        let requests = |standby| Requests { minutes: 10.0, leader: verbs("update", 300), standbys: verbs(standby, 6) };
        let samples = |sigterm: f64, kibibytes, standby| Samples {
            version: "1".to_owned(),
            sigterm_seconds: vec![sigterm, sigterm, sigterm * 2.0],
            overlaps: 0,
            sigkill_seconds: vec![14.1],
            requests: requests(standby),
            standby_memory: vec![Memory { resident: kibibytes, anonymous: 512 }],
            binary_bytes: 5_400_000,
        };
        Results {
            client_go: samples(1.3, 23_000, "get"),
            leader_elector: samples(0.013, 6144, "watch"),
            ..Results::default()
        }
    }

    #[test]
    fn the_table_shows_both_and_their_ratio() {
        let table = table(&results());
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(
            lines[2],
            "| SIGTERM → next file, median (min – max) of 3 | 1.30 s (1.30 – 2.60) | 13.0 ms (13.0 – 26.0) | 100 × | median ≤ 20 ms, max ≤ 100 ms |"
        );
        assert!(table.contains("| requests/min, mean of 10 min | 30.6 | 30.6 | 1.0 × | ≤ 31 |"), "{table}");
        assert!(table.contains("| – of two standbys | GET 0.6 | WATCH 0.6 |"), "{table}");
        assert!(table.contains("| 22.5 MiB | 6.0 MiB | 3.7 × | ≤ 9 MiB |"), "{table}");
        assert!(!table.contains("missed"), "{table}");
    }

    #[test]
    fn each_target_can_be_missed() {
        assert_eq!(missed(&results()), [] as [&str; 0]);
        let with = |change: fn(&mut Samples)| {
            let mut results = results();
            change(&mut results.leader_elector);
            missed(&results).len()
        };
        assert_eq!(with(|ours| ours.sigterm_seconds = vec![0.021]), 1);
        assert_eq!(with(|ours| ours.sigterm_seconds = vec![0.01, 0.01, 0.101]), 1);
        assert_eq!(with(|ours| ours.overlaps = 1), 1);
        assert_eq!(with(|ours| ours.sigkill_seconds.push(14.4)), 1);
        assert_eq!(with(|ours| *ours.requests.leader.entry("update".to_owned()).or_default() = 305), 1);
        assert_eq!(with(|ours| *ours.requests.standbys.entry("list".to_owned()).or_default() = 1), 1);
        assert_eq!(with(|ours| ours.standby_memory[0].resident = 9 * 1024 + 1), 1);
        assert_eq!(with(|ours| ours.binary_bytes = 7_000_001), 1);
    }

    #[test]
    fn nothing_has_no_ratio() {
        assert_eq!(
            (ratio(36.0, 0.0), ratio(36.0, 24.0), ratio(36.0, 1.0)),
            ("–".into(), "1.5 ×".into(), "36 ×".into())
        );
    }

    #[test]
    fn what_was_not_measured_is_not_shown() {
        assert_eq!(rows(&Results::default()), []);
    }
}
