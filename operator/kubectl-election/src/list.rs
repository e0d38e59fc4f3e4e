//! The command `list`: a table like that of `kubectl get leaderelections`, coloured so that elections without a leader
//! stand out.

use elector_crds::LeaderElection;
use elector_crds::conditions::{ConditionType, Reason, Status, find};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use serde_json::json;

use crate::age::{age, time};
use crate::cli::ListOutput;
use crate::cluster::Cluster;
use crate::lenient::{Lenient, readable};
use crate::print::Output;
use crate::print::{document, note, print};
use crate::style::Style;
use crate::table::{Cell, Table};
use elector_program::failure::Failure;

/// How many elections a request asks for: one can have 1.5 MB, and an answer must arrive within the usual timeout.
const PAGE: u32 = 100;

/// Prints the elections.
///
/// # Errors
/// If the elections cannot be read.
pub(crate) async fn list(cluster: &Cluster, all_namespaces: bool, output: Option<ListOutput>) -> Result<(), Failure> {
    let api: Api<Lenient<LeaderElection>> = if all_namespaces { cluster.api_of_all() } else { cluster.api() };
    let mut page = ListParams::default().limit(PAGE);
    let mut elections = Vec::new();
    loop {
        let listed = cluster.ask("list LeaderElections", api.list(&page)).await?;
        let next = listed.metadata.continue_.clone().filter(|token| !token.is_empty());
        elections.extend(readable(listed));
        let Some(token) = next else { break };
        page = page.continue_token(&token);
    }
    elections.iter_mut().for_each(|election| election.metadata.managed_fields = None);
    let wide = match output {
        None => false,
        Some(ListOutput::Wide) => true,
        Some(ListOutput::Json) => return document(&whole(&elections), Output::Json),
        Some(ListOutput::Yaml) => return document(&whole(&elections), Output::Yaml),
    };
    if elections.is_empty() {
        let place = if all_namespaces { String::new() } else { format!(" in {} namespace", cluster.namespace) };
        note(&format!("No LeaderElections found{place}."));
        return Ok(());
    }
    print(&table(&elections, all_namespaces, wide, Timestamp::now()).render(Style::of_stdout(), ""))
}

fn whole(elections: &[LeaderElection]) -> serde_json::Value {
    json!({"apiVersion": "v1", "kind": "List", "items": elections})
}

fn table(elections: &[LeaderElection], with_namespaces: bool, wide: bool, now: Timestamp) -> Table {
    let mut headings =
        vec!["NAME", "HOLDER", "CANDIDATES", "TRANSITIONS", "HELD FOR", "STATE", "ELECTED", "READY", "AGE"];
    if with_namespaces {
        headings.insert(0, "NAMESPACE");
    }
    if wide {
        headings.extend(["REASON", "NODE"]);
    }
    let mut table = Table::new(&headings);
    for election in elections {
        let status = election.status.clone().unwrap_or_default();
        let condition = |type_| find(&status.conditions, type_);
        let elected = condition(ConditionType::LeaderElected);
        let holder = status.holder.as_ref();
        let held_for = holder.and_then(|holder| time(holder.acquire_time.as_deref()?));
        let created = election.metadata.creation_timestamp.as_ref().map(|time| time.0);
        let mut cells = vec![
            Cell::plain(election.name_any()),
            Cell::or_blank(holder.map(|holder| &holder.name)),
            Cell::or_blank(status.candidates),
            Cell::or_blank(status.lease_transitions),
            Cell::or_blank(held_for.map(|since| age(since, now))),
            Cell::state(status.state.as_deref(), Reason::LeaseHeld.as_str()),
            Cell::state(elected.map(truth), Status::True.as_str()),
            Cell::state(condition(ConditionType::Ready).map(truth), Status::True.as_str()),
            Cell::or_blank(created.map(|created| age(created, now))),
        ];
        if with_namespaces {
            cells.insert(0, Cell::or_blank(election.namespace()));
        }
        if wide {
            cells.push(Cell::or_blank(elected.map(|elected| &elected.reason)));
            cells.push(Cell::or_blank(holder.and_then(|holder| holder.node_name.as_ref())));
        }
        table.row(cells);
    }
    table
}

fn truth(condition: &Condition) -> &str {
    &condition.status
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elections() -> Vec<LeaderElection> {
        serde_json::from_value(json!([
            {
                "apiVersion": "leader-elector.io/v1alpha1", "kind": "LeaderElection",
                "metadata": {"name": "billing", "namespace": "shop", "creationTimestamp": "2026-11-18T12:00:00Z"},
                "spec": {},
                "status": {
                    "holder": {"name": "billing-0", "identity": "billing-0_5f0c", "nodeName": "node-1",
                               "acquireTime": "2026-11-27T09:00:00.000000Z"},
                    "candidates": 3, "leaseTransitions": 4, "state": "LeaseHeld",
                    "conditions": [
                        {"type": "Ready", "status": "True", "reason": "Reconciled", "message": "",
                         "lastTransitionTime": "2026-11-18T12:00:00Z"},
                        {"type": "LeaderElected", "status": "True", "reason": "LeaseHeld", "message": "",
                         "lastTransitionTime": "2026-11-18T12:00:00Z"},
                    ],
                },
            },
            {
                "apiVersion": "leader-elector.io/v1alpha1", "kind": "LeaderElection",
                "metadata": {"name": "new", "namespace": "shop", "creationTimestamp": "2026-11-27T12:00:00Z"},
                "spec": {},
            },
        ]))
        .unwrap()
    }

    fn lines(with_namespaces: bool, wide: bool) -> Vec<String> {
        let now = "2026-11-27T12:00:05Z".parse().unwrap();
        let table = table(&elections(), with_namespaces, wide, now).render(Style::new(false), "");
        table.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_row_says_who_leads_and_one_that_nobody_has_looked_at_is_blank_as_kubectls() {
        assert_eq!(
            lines(false, false),
            [
                "NAME      HOLDER      CANDIDATES   TRANSITIONS   HELD FOR   STATE       ELECTED   READY   AGE",
                "billing   billing-0   3            4             3h         LeaseHeld   True      True    9d",
                "new                                                                                       5s",
            ]
        );
        assert!(lines(true, false)[1].starts_with("shop        billing   billing-0"));
        assert!(lines(false, true)[1].ends_with("9d    LeaseHeld   node-1"));
    }
}
