//! The alerts, as rules and as pages.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use elector_harness::prometheus::promtool;
use elector_xtask::helm::chart;
use serde_json::Value;

use super::{file, list};

/// Each alert, by its name.
pub(crate) fn alerts() -> Result<BTreeMap<String, Value>> {
    let file: Value = serde_yaml_ng::from_str(&file("alerts.yaml")?)?;
    let rules = list(&file["groups"]).flat_map(|group| list(&group["rules"]));
    rules.map(|rule| Ok((rule["alert"].as_str().context("no alert")?.to_owned(), rule.clone()))).collect()
}

/// What shows each of them firing, and not.
pub(crate) fn scenes() -> Result<Vec<Value>> {
    let file: Value = serde_yaml_ng::from_str(include_str!("../../../../go/promtool/alerts.yaml"))?;
    Ok(list(&file["tests"]).cloned().collect())
}

#[tokio::test]
async fn promtool_finds_no_fault_and_each_fires_where_it_should_alone() {
    let rules = chart().join("files/alerts.yaml");
    promtool(&["check", "rules", "--lint=all", "--lint-fatal", rules.to_str().unwrap()]).await.unwrap();
    promtool(&["test", "rules", "alerts.yaml"]).await.unwrap();
    let scenes = scenes().unwrap();
    let looks: Vec<&Value> = scenes.iter().flat_map(|scene| list(&scene["alert_rule_test"])).collect();
    for (name, _) in alerts().unwrap() {
        let fires = |expected: bool| {
            let is_so = |look: &&&Value| look["exp_alerts"].as_array().unwrap().is_empty() != expected;
            looks.iter().filter(is_so).any(|look| look["alertname"] == *name)
        };
        assert!(fires(true) && fires(false), "{name} is not shown to fire, or not to");
    }
}

#[test]
fn each_says_what_is_wrong_and_names_its_page_and_there_is_no_other_page() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/runbooks");
    let pages = fs::read_dir(folder).unwrap().map(|page| page.unwrap().path());
    let pages: BTreeMap<String, String> = pages
        .map(|page| (page.file_name().unwrap().to_string_lossy().into_owned(), fs::read_to_string(page).unwrap()))
        .collect();
    let mut named = BTreeSet::new();
    for (name, alert) in alerts().unwrap() {
        let annotations = &alert["annotations"];
        assert!(annotations["summary"].is_string() && annotations["description"].is_string(), "{alert}");
        assert!(["critical", "warning"].contains(&alert["labels"]["severity"].as_str().unwrap()), "{alert}");
        let page = annotations["runbook_url"].as_str().unwrap().strip_prefix("docs/runbooks/").unwrap();
        assert_eq!(page, format!("{name}.md"));
        assert!(pages[page].starts_with(&format!("# {name}\n")), "{page}");
        for part in ["## What it means", "## What to look at", "## What mends it"] {
            assert_eq!(pages[page].matches(&format!("\n{part}\n")).count(), 1, "{part} in {page}");
        }
        named.insert(page.to_owned());
    }
    assert_eq!(pages.into_keys().collect::<BTreeSet<_>>(), named);
}
