//! Prometheus' own judge of rules and queries, built from the module `tests/go/promtool`, and what it is given to judge: what
//! programs really expose.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use elector_xtask::root;
use serde_json::{Value, json};
use tokio::process::Command;

use elector_xtask::command;
use elector_xtask::gobuild::{GoProgram, Origin, module, required_version};
use elector_xtask::scratch::Scratch;

const PROMETHEUS: &str = "github.com/prometheus/prometheus";
/// Whose definitions the chart's objects are of.
const PROMETHEUS_OPERATOR: &str = "github.com/prometheus-operator/prometheus-operator";
const PROMETHEUS_OPERATOR_VERSION: &str = "v0.85.0";

/// How long promtool may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Some time, in seconds since 1970.
const THEN: u64 = 1_700_000_000;

/// Runs promtool in the folder of its module, and returns what it printed.
///
/// # Errors
/// With its own message when it finds a fault, or can't be built.
pub async fn promtool(arguments: &[&str]) -> Result<String> {
    promtool_on("", arguments).await
}

/// The same, with `input` as its standard input.
///
/// # Errors
/// As [`promtool`].
pub async fn promtool_on(input: &str, arguments: &[&str]) -> Result<String> {
    let program = program()?;
    let folder = program.module.clone();
    let mut promtool = Command::new(tokio::task::spawn_blocking(move || program.path()).await??);
    command::run(promtool.args(arguments).current_dir(folder), input, PATIENCE).await
}

/// The CustomResourceDefinitions of the Prometheus Operator, one file each.
///
/// # Errors
/// When the module can't be had.
pub async fn definitions() -> Result<PathBuf> {
    let found = tokio::task::spawn_blocking(|| module(PROMETHEUS_OPERATOR, PROMETHEUS_OPERATOR_VERSION)).await??;
    Ok(found.folder.join("example/prometheus-operator-crd"))
}

fn program() -> Result<GoProgram> {
    let module = root().join("tests/go/promtool");
    let file = module.join("go.mod");
    let go_mod = fs::read_to_string(&file).with_context(|| format!("failed to read {}", file.display()))?;
    let version = required_version(&go_mod, PROMETHEUS).context("go.mod does not require Prometheus")?;
    Ok(GoProgram {
        name: "promtool".to_owned(),
        package: format!("{PROMETHEUS}/cmd/promtool"),
        key: format!("promtool/{version}"),
        ldflags: "-s -w".to_owned(),
        // It looks for targets in no cloud: half of the build.
        tags: "remove_all_sd".to_owned(),
        origin: Origin::Pinned,
        module,
    })
}

/// What was scraped, as if each scrape of all targets had come a minute after the last one.
#[derive(Debug, Default)]
pub struct Recording {
    /// The samples of each series, by the scrape.
    series: BTreeMap<String, BTreeMap<usize, String>>,
    scrapes: usize,
}

/// A query, and whether there is an answer to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// In PromQL.
    pub expression: String,
    /// Whether it finds anything that is a number.
    pub finds: bool,
}

impl Recording {
    /// Takes in a scrape: of each target its labels, and what it exposes. A label that a target exposes counts, as with
    /// `honorLabels`.
    ///
    /// # Errors
    /// When Prometheus can't read it.
    pub async fn scrape(&mut self, targets: &[(&[(&str, &str)], &str)]) -> Result<()> {
        for (labels, text) in targets {
            for (series, value) in samples(text).await? {
                let missing = labels.iter().filter(|(name, _)| !series.contains(&format!(" {name}=\"")));
                let added: String = missing.map(|(name, value)| format!(", {name}=\"{value}\"")).collect();
                let series = format!("{}{added}}}", series.trim_end_matches('}'));
                self.series.entry(series).or_default().insert(self.scrapes, value);
            }
        }
        self.scrapes += 1;
        Ok(())
    }

    /// Has each query answered, at the time of the last scrape.
    ///
    /// # Errors
    /// When one can't be, or finds something where it should not, or nothing where it should; with promtool's words.
    pub async fn answer(&self, queries: &[Query]) -> Result<()> {
        ensure!(self.scrapes > 0 && !queries.is_empty(), "nothing to ask, or nobody");
        let series = self.series.iter().map(|(series, samples)| {
            let values = (0..self.scrapes).map(|scrape| samples.get(&scrape).map_or("_", String::as_str));
            json!({"series": series, "values": values.collect::<Vec<_>>().join(" ")})
        });
        let asked = queries.iter().map(|Query { expression, finds }| {
            // What is no number is not equal to itself.
            let expression = format!("clamp_max(count(({expression}) == ({expression})), 1)");
            let found = json!([{"labels": "{}", "value": 1}]);
            let samples = if *finds { found } else { json!([]) };
            json!({"expr": expression, "eval_time": format!("{}m", self.scrapes - 1), "exp_samples": samples})
        });
        let test: Value = json!({
            "evaluation_interval": "1m",
            "tests": [{
                "interval": "1m",
                "input_series": series.collect::<Vec<_>>(),
                "promql_expr_test": asked.collect::<Vec<_>>(),
            }],
        });
        let folder = Scratch::new()?;
        let file = folder.path().join("queries.yaml");
        fs::write(&file, serde_json::to_string(&test)?)?;
        promtool(&["test", "rules", file.to_str().context("a path that is no text")?]).await.map(drop)
    }
}

/// The series of a scrape, with their labels in order, and their values; as Prometheus reads them.
async fn samples(text: &str) -> Result<Vec<(String, String)>> {
    let folder = Scratch::new()?;
    let path = |name: &str| folder.path().join(name).to_str().map(str::to_owned).context("a path that is no text");
    let (input, blocks) = (path("scrape")?, path("blocks")?);
    // It asks for times, which Prometheus adds itself when it scrapes.
    let timed = |line: &str| if line.starts_with('#') { format!("{line}\n") } else { format!("{line} {THEN}\n") };
    fs::write(&input, text.lines().map(timed).collect::<String>())?;
    // An empty log of what is in no block yet, which `dump` wants to see.
    fs::create_dir_all(format!("{blocks}/wal"))?;
    promtool(&["tsdb", "create-blocks-from", "openmetrics", &input, &blocks]).await.with_context(|| text.to_owned())?;
    let dump = promtool(&["tsdb", "dump", &blocks]).await?;
    let read = |line: &str| {
        let mut words = line.rsplitn(3, ' ').skip(1);
        let value = words.next()?.to_owned();
        Some((words.next()?.to_owned(), value))
    };
    let samples: Vec<_> = dump.lines().map(|line| read(line).context("no sample")).collect::<Result<_>>()?;
    ensure!(!samples.is_empty(), "nothing is exposed: {text}");
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_keyed_by_version() {
        let key = program().unwrap().key;
        assert!(key.starts_with("promtool/0."), "{key}");
    }

    fn query(expression: &str, finds: bool) -> Query {
        Query { expression: expression.to_owned(), finds }
    }

    #[tokio::test]
    async fn a_query_that_finds_other_than_it_should_is_told() {
        let mut recording = Recording::default();
        for value in 1..=2 {
            let text = format!(
                "# TYPE led gauge\nled{{namespace=\"shop\",name=\"a\\\"}} b\"}} {value}\n# TYPE none gauge\nnone NaN\n# EOF\n"
            );
            let labels = [("namespace", "operators"), ("pod", "operator-0")];
            recording.scrape(&[(&labels, &text)]).await.unwrap();
        }
        let of_target = r#"led{namespace="shop", name="a\"} b", pod="operator-0"} == 2"#;
        let found = [of_target, "increase(led[2m]) > 0.9", r#"none{namespace="operators"} or led"#];
        let not_found = ["none", "led > 2", "leads", r#"led{namespace="operators"}"#];
        let finds = found.iter().map(|expression| query(expression, true));
        let right: Vec<Query> = finds.chain(not_found.iter().map(|expression| query(expression, false))).collect();
        recording.answer(&right).await.unwrap();
        for Query { expression, finds } in right {
            recording.answer(&[query(&expression, !finds)]).await.unwrap_err();
        }
        assert!(recording.answer(&[query("sum by (", true)]).await.is_err());
    }

    #[tokio::test]
    async fn what_prometheus_cannot_read_is_told() {
        for text in ["# TYPE led gauge\nled 1\n", "led{name=\"a} 1\n# EOF\n", "# EOF\n"] {
            assert!(Recording::default().scrape(&[(&[], text)]).await.is_err(), "{text}");
        }
    }
}
