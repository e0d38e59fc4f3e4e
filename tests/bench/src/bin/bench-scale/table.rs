//! What was measured, for people: a table by number of elections, what is extrapolated from it, and what had to be reached.

use crate::results::{Line, MANY, PODS, RENEWALS, Results, Step, mebibytes, sum};

/// Of the API server's plain write rate.
const LEAST_SHARE: f64 = 0.8;

/// A line of the table.
struct Row {
    measure: &'static str,
    /// One for each step.
    cells: Vec<String>,
    target: &'static str,
    missed: bool,
    extrapolated: String,
}

/// The table, and where it comes from.
pub(crate) fn section(results: &Results) -> String {
    let Results { date, kubernetes, machine, minutes, .. } = results;
    let heads: String = results.steps.iter().map(|step| format!(" {} |", thousands(step.elections))).collect();
    let mut text = format!(
        "{date}, Kubernetes {kubernetes}; {}; {minutes:.0} minutes.\n\n| elections |{heads} to reach | {}, extrapolated |\n|---|{}---|---|\n",
        machine.describe(),
        thousands(MANY),
        "---|".repeat(results.steps.len()),
    );
    for Row { measure, cells, target, missed, extrapolated } in rows(results) {
        let verdict = if missed { " **missed**" } else { "" };
        text += &format!("| {measure} | {} | {target}{verdict} | {extrapolated} |\n", cells.join(" | "));
    }
    text + &growth(results)
}

/// The measures whose target was missed.
pub(crate) fn missed(results: &Results) -> Vec<String> {
    let row = |row: Row| format!("{}: {}; to reach: {}", row.measure, row.cells.join(", "), row.target);
    rows(results).into_iter().filter(|row| row.missed).map(row).collect()
}

/// What one more costs.
fn growth(results: &Results) -> String {
    let Some(Line { base, slope }) = results.line(|step| step.rest.mebibytes()) else { return String::new() };
    let strangers = &results.strangers;
    let more = mebibytes(strangers.kibibytes_with) - mebibytes(strangers.kibibytes_without);
    format!(
        "\nMemory at rest, by a line through these: {base:.1} MiB and {:.1} KiB for each election with its {PODS} pods. {} more pods that are \
         candidates of nothing: {:.1} KiB each.\n",
        slope * 1024.0,
        thousands(strangers.pods),
        1024.0 * more / f64::from(strangers.pods),
    )
}

fn rows(results: &Results) -> Vec<Row> {
    let plain = |measure, cell: &dyn Fn(&Step) -> String, extrapolated: String| Row {
        measure,
        cells: results.steps.iter().map(cell).collect(),
        target: "",
        missed: false,
        extrapolated,
    };
    let many = |of: &dyn Fn(&Step) -> f64| results.line(of).map(|line| line.at(f64::from(MANY)));
    let many = |of: &dyn Fn(&Step) -> f64, format: &dyn Fn(f64) -> String| many(of).map_or_else(String::new, format);
    let memory = |mebibytes: f64| format!("{mebibytes:.1} MiB");
    let percent = |percent: f64| format!("{percent:.1} %");
    let seconds = |seconds: f64| format!("{seconds:.1} s");
    let whole = |number: f64| format!("{number:.0}");
    let is_short = results.steps.last().is_some_and(|step| step.share() < LEAST_SHARE);
    let candidates = |asked: &crate::results::Asked, step: &Step| f64::from(step.elections) * asked.per_second();
    let ours = |step: &Step| candidates(&results.sidecars.leader_elector, step) + step.rest.requests_per_second();
    let theirs = |step: &Step| candidates(&results.sidecars.client_go, step);
    vec![
        plain("pods", &|step| thousands(step.elections * PODS), thousands(MANY * PODS)),
        plain(
            "renewals/s",
            &|step| whole(f64::from(step.rest.renewals) / step.rest.seconds),
            whole(RENEWALS * f64::from(MANY)),
        ),
        plain(
            "cold reconcile, from the start of the operator",
            &|step| seconds(step.cold.seconds),
            many(&|step| step.cold.seconds, &seconds),
        ),
        plain("– writes/s", &|step| whole(step.cold.writes_per_second()), String::new()),
        plain("– the API server's plain writes/s", &|step| whole(step.plain.writes_per_second()), String::new()),
        Row {
            target: "≥ 80 % at the most elections",
            missed: is_short,
            ..plain("– share of these", &|step| format!("{:.0} %", 100.0 * step.share()), String::new())
        },
        plain(
            "– plain writes/s of 64 writers rather than 16",
            &|step| whole(step.plain_by_many.writes_per_second()),
            String::new(),
        ),
        plain(
            "– CPU of the operator, in all",
            &|step| seconds(step.cold.computed_seconds),
            many(&|step| step.cold.computed_seconds, &seconds),
        ),
        plain(
            "– memory of the operator, at most",
            &|step| memory(mebibytes(step.cold.peak_kibibytes)),
            many(&|step| mebibytes(step.cold.peak_kibibytes), &memory),
        ),
        Row {
            target: "0",
            missed: results.steps.iter().any(|step| sum(&step.rest.writes) > 0),
            ..plain(
                "at rest: writes of the operator about elections",
                &|step| sum(&step.rest.writes).to_string(),
                String::new(),
            )
        },
        plain(
            "– requests/min of the operator, all",
            &|step| whole(60.0 * step.rest.requests_per_second()),
            String::new(),
        ),
        plain(
            "– CPU of the operator, of one core",
            &|step| percent(step.rest.percent()),
            many(&|step| step.rest.percent(), &percent),
        ),
        plain("– CPU of API server and etcd", &|step| format!("{:.0} %", step.rest.servers_percent()), String::new()),
        plain(
            "– memory of the operator",
            &|step| memory(step.rest.mebibytes()),
            many(&|step| step.rest.mebibytes(), &memory),
        ),
        plain(
            "– of it anonymous",
            &|step| memory(mebibytes(step.rest.anonymous_kibibytes)),
            many(&|step| mebibytes(step.rest.anonymous_kibibytes), &memory),
        ),
        plain("requests/s of agents (15/10/2) and operator", &|step| whole(ours(step)), many(&ours, &whole)),
        plain("– of client-go's sidecars (15/10/2)", &|step| whole(theirs(step)), many(&theirs, &whole)),
    ]
}

/// With a comma for each thousand.
pub(crate) fn thousands(number: u32) -> String {
    match (number / 1000, number % 1000) {
        (0, rest) => rest.to_string(),
        (thousand, rest) => format!("{},{rest:03}", thousands(thousand)),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::results::{Asked, Cold, Plain, Requests, Rest, Strangers};

    fn requests(count: u32) -> Requests {
        Requests::from([("patch roles".to_owned(), count)])
    }

    pub(crate) fn results() -> Results {
        let step = |elections: u32| Step {
            elections,
            cold: Cold {
                seconds: f64::from(elections) / 100.0,
                writes: requests(6 * elections),
                peak_kibibytes: 20_480 + u64::from(elections),
                ..Cold::default()
            },
            plain: Plain { writes: 6 * elections, seconds: 0.9 * f64::from(elections) / 100.0 },
            plain_by_many: Plain { writes: 6 * elections, seconds: 0.8 * f64::from(elections) / 100.0 },
            rest: Rest {
                seconds: 60.0,
                renewals: 9 * elections,
                other_requests: requests(30),
                computed_seconds: f64::from(elections) * 0.006,
                kibibytes: 10_240 + 10 * u64::from(elections),
                ..Rest::default()
            },
        };
        let asked = |requests_a_minute| Asked { elections: 1, seconds: 60.0, requests: requests(requests_a_minute) };
        let mut results = Results { steps: vec![step(100), step(1_000)], ..Results::default() };
        results.sidecars.leader_elector = asked(30);
        results.sidecars.client_go = asked(66);
        results.strangers = Strangers { pods: 3_000, kibibytes_without: 20_000, kibibytes_with: 23_000 };
        results
    }

    #[test]
    fn the_table_has_a_column_for_each_step_and_one_beyond() {
        let text = section(&results());
        for row in [
            "| elections | 100 | 1,000 | to reach | 10,000, extrapolated |",
            "| pods | 300 | 3,000 |  | 30,000 |",
            "| renewals/s | 15 | 150 |  | 1500 |",
            "| cold reconcile, from the start of the operator | 1.0 s | 10.0 s |  | 100.0 s |",
            "| – share of these | 90 % | 90 % | ≥ 80 % at the most elections |  |",
            "| – CPU of the operator, of one core | 1.0 % | 10.0 % |  | 100.0 % |",
            "| – memory of the operator | 11.0 MiB | 19.8 MiB |  | 107.7 MiB |",
            "| requests/s of agents (15/10/2) and operator | 50 | 500 |  | 5000 |",
            "| – of client-go's sidecars (15/10/2) | 110 | 1100 |  | 11000 |",
        ] {
            assert!(text.contains(row), "{row}\n{text}");
        }
        assert!(text.contains("10.0 MiB and 10.0 KiB for each election with its 3 pods"), "{text}");
        assert!(text.contains("3,000 more pods that are candidates of nothing: 1.0 KiB each"), "{text}");
        assert!(!text.contains("missed"), "{text}");
    }

    #[test]
    fn each_target_can_be_missed() {
        assert_eq!(missed(&results()), [] as [&str; 0]);
        let with = |change: fn(&mut Results)| {
            let mut results = results();
            change(&mut results);
            missed(&results).len()
        };
        assert_eq!(with(|results| results.steps[1].cold.seconds = 12.0), 1);
        assert_eq!(with(|results| results.steps[0].cold.seconds = 12.0), 0, "a start weighs more with few elections");
        assert_eq!(with(|results| results.steps[0].rest.writes = requests(1)), 1);
    }

    #[test]
    fn thousands_are_told_apart() {
        assert_eq!([7, 1_000, 30_000, 1_002_003].map(thousands), ["7", "1,000", "30,000", "1,002,003"]);
    }
}
