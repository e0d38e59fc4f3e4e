//! The command `status`: all that a person on call first asks about one election.

mod problems;
mod text;

use elector_crds::display_text::{MAX_NAME, shown};
use elector_crds::{
    LeaderElection, PastTenure, ReleaseReason, StoredLease, TRANSFER_ANNOTATION, candidate, format_timestamp, identity,
};
use elector_election::{Lease, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use serde::Serialize;

use crate::cluster::Cluster;
use crate::lenient::Lenient;
use crate::live::{Leads, LeaseSight, LiveView};
use crate::print::{Output, document, print};
use crate::style::Style;
use elector_program::failure::Failure;

/// Prints the status of an election.
///
/// # Errors
/// If there is no such election, or it cannot be read. A Lease or pods that cannot be read are reported as problems.
pub(crate) async fn status(cluster: &Cluster, name: &str, output: Option<Output>) -> Result<(), Failure> {
    let election = cluster.election(name).await?;
    let said = |failure: Failure| failure.message.trim_start_matches("error: ").to_owned();
    let lease = match cluster.ask("read the Lease", cluster.api::<Lenient<StoredLease>>().get_opt(name)).await {
        Ok(lease) => LeaseSight::of(lease.and_then(Lenient::into_readable)),
        Err(failure) => LeaseSight::Unreadable(said(failure)),
    };
    // Of the same moment as the Lease.
    let now = jiff::Timestamp::now();
    let pods = cluster.ask("list pods", cluster.matching::<Pod>(&election.spec.selector(name))).await.map_err(said);
    let report =
        StatusReport::new(&LiveView { election, lease }, pods, Timestamp::from_microseconds(now.as_microsecond()));
    match output {
        Some(output) => document(&report, output),
        None => print(&text::text(&report, now, Style::of_stdout())),
    }
}

/// The status of an election, for people and programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StatusReport {
    name: String,
    namespace: String,
    /// The leader. Absent: no candidate leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    leader: Option<LeaderReport>,
    /// Why no candidate leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    nobody_leads: Option<String>,
    /// The Lease. Absent: it does not exist, or cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    lease: Option<LeaseReport>,
    hints: HintsReport,
    candidates: Vec<CandidateReport>,
    /// The last tenures, the latest first, as the operator has seen them.
    history: Vec<PastTenure>,
    /// The problems of the election, one sentence each.
    problems: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LeaderReport {
    name: String,
    identity: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenure: Option<i64>,
    /// The beginning of the tenure by the leader's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    acquire_time: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LeaseReport {
    transitions: u32,
    lease_duration_seconds: u32,
    /// The time of the last renewal by the clock of its writer.
    #[serde(skip_serializing_if = "Option::is_none")]
    renew_time: Option<String>,
    /// The seconds since the last renewal by this machine's clock; negative if that clock is behind.
    #[serde(skip_serializing_if = "Option::is_none")]
    renewed_seconds_ago: Option<f64>,
    /// Whether the last holder gave the Lease up, at the time of the last renewal; the Lease's duration is then without
    /// meaning.
    #[serde(skip_serializing_if = "Option::is_none")]
    released: Option<bool>,
    /// Why the last holder gave the Lease up, if it says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    release_reason: Option<&'static str>,
}

/// What the candidates are asked for.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct HintsReport {
    /// Whether the spec pauses the election.
    paused: bool,
    /// The pod that a person has asked for, if the operator has not answered yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    transfer_to: Option<String>,
    /// The number of the tenure that the Lease asks to end.
    #[serde(skip_serializing_if = "Option::is_none")]
    end_tenure: Option<u32>,
    /// The identity that the Lease asks to begin the next tenure.
    #[serde(skip_serializing_if = "Option::is_none")]
    successor: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CandidateReport {
    pod: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    /// The pod's readiness: True, False, or Terminating.
    ready: &'static str,
    leads: bool,
    service_account: String,
    /// Whether pods of this service account may contend.
    listed: bool,
}

impl StatusReport {
    fn new(live: &LiveView, pods: Result<Vec<Pod>, String>, now: Timestamp) -> StatusReport {
        let LiveView { election, lease } = live;
        let read = match lease {
            LeaseSight::There(lease, _) => Some(&**lease),
            LeaseSight::Absent | LeaseSight::Unreadable(_) => None,
        };
        let (leader, nobody_leads) = match live.leads() {
            Leads::Somebody { name, identity, tenure } => (Some(leader(election, read, name, identity, tenure)), None),
            Leads::Nobody(why) => (None, Some(why)),
        };
        let (mut candidates, unlisted) = match pods {
            Ok(pods) => {
                let may_count = pods.into_iter().filter(|pod| !is_finished(pod));
                let holder = leader.as_ref().map(|leader| leader.identity.as_str());
                (may_count.map(|pod| candidate(election, holder, &pod)).collect(), None)
            }
            Err(why) => (Vec::new(), Some(why)),
        };
        candidates.sort_by(|one: &CandidateReport, other| one.pod.cmp(&other.pod));
        let mut report = StatusReport {
            name: election.name_any(),
            namespace: election.namespace().unwrap_or_default(),
            leader,
            nobody_leads,
            lease: match lease {
                LeaseSight::There(lease, reason) => Some(lease_report(lease, *reason, now)),
                LeaseSight::Absent | LeaseSight::Unreadable(_) => None,
            },
            hints: hints(election, read),
            candidates,
            history: election.status.as_ref().map(|status| status.history.clone()).unwrap_or_default(),
            problems: Vec::new(),
        };
        report.problems = problems::problems(live, &report);
        report.problems.extend(unlisted);
        report
    }
}

fn leader(
    election: &LeaderElection,
    lease: Option<&Lease>,
    name: String,
    identity: String,
    tenure: Option<i64>,
) -> LeaderReport {
    let told = election.status.as_ref().and_then(|status| status.holder.as_ref());
    let told = told.filter(|told| identity::is_same(&told.identity, &identity));
    let acquired = match lease {
        Some(lease) => lease.record.acquire_time.map(format_timestamp),
        None => told.and_then(|told| told.acquire_time.clone()),
    };
    LeaderReport { name, node: told.and_then(|told| told.node_name.clone()), identity, tenure, acquire_time: acquired }
}

fn lease_report(lease: &Lease, reason: Option<ReleaseReason>, now: Timestamp) -> LeaseReport {
    let renewed = lease.record.renew_time;
    let ago = |then: Timestamp| (now.as_microseconds().saturating_sub(then.as_microseconds())) as f64 / 1e6;
    LeaseReport {
        transitions: lease.record.transitions,
        lease_duration_seconds: lease.lease_duration_seconds,
        renew_time: renewed.map(format_timestamp),
        renewed_seconds_ago: renewed.map(ago),
        released: lease.tells_of_release().then_some(true),
        release_reason: reason.map(ReleaseReason::as_str),
    }
}

fn hints(election: &LeaderElection, lease: Option<&Lease>) -> HintsReport {
    let passed_on = lease.map(|lease| lease.hints.clone()).unwrap_or_default();
    let target = election.annotations().get(TRANSFER_ANNOTATION);
    HintsReport {
        paused: election.spec.paused,
        transfer_to: target.map(|target| shown(target, MAX_NAME).into_owned()),
        end_tenure: passed_on.end_tenure,
        successor: passed_on.successor.map(|successor| identity::shown_name(&successor).into_owned()),
    }
}

/// Whether none of the containers of `pod` runs again.
pub(crate) fn is_finished(pod: &Pod) -> bool {
    candidate::is_finished(pod.status.as_ref().and_then(|status| status.phase.as_deref()))
}

fn candidate(election: &LeaderElection, holder: Option<&str>, pod: &Pod) -> CandidateReport {
    let spec = pod.spec.clone().unwrap_or_default();
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let is_ready =
        conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let ready = match (pod.metadata.deletion_timestamp.is_some(), is_ready) {
        (true, _) => "Terminating",
        (false, true) => "True",
        (false, false) => "False",
    };
    let service_account = candidate::service_account(spec.service_account_name);
    CandidateReport {
        leads: holder.is_some_and(|holder| is_of(holder, pod)),
        pod: pod.name_any(),
        node: spec.node_name,
        ready,
        listed: election.spec.candidates.lists(&service_account),
        service_account,
    }
}

/// Whether `holder` is certainly `pod`. An identity with the pod's name before something else does not count: it may be
/// a nonce of client-go's, or the uid of an earlier pod of that name.
fn is_of(holder: &str, pod: &Pod) -> bool {
    let name = pod.name_any();
    holder == identity::of_pod(&name, &pod.uid().unwrap_or_default()) || holder == name
}

#[cfg(test)]
mod tests;
