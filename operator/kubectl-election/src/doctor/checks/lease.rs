//! Checks of the Lease: its ownership, what it tells candidates, its holder, and the clocks that wrote it.

use elector_crds::display_text::{self, MAX_NAME};
use elector_crds::flapping::{MAX_ENDS, WINDOW, ended_lately};
use elector_crds::ownership::{is_adoptable_in, is_made_for};
use elector_crds::{
    ADOPT_ANNOTATION, AGENT_CONTAINER, CandidateIdentity, TRANSFER_ANNOTATION, identity, selector_query,
};
use elector_election::Timings;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

use super::{SEE_OPERATOR, kubectl, selector};
use crate::doctor::facts::{Clock, Facts, LeaseRead, identity_of, written_at};
use crate::doctor::finding::Finding;

/// The largest normal difference between two clocks, in seconds: clocks that are set by the network differ by less, and
/// a request takes some time.
const MAX_CLOCK_DIFFERENCE_SECONDS: f64 = 3.0;

/// After how many seconds, beyond the release delay, the operator should have refused a request for another leader and
/// said so.
const TRANSFER_TIMEOUT_SECONDS: i64 = 65;

const OTHER_NAME: &str = "give the LeaderElection another name";

pub(super) fn lease(facts: &Facts) -> Finding {
    let check = "lease";
    if let Ok(None) = &facts.lease {
        let message = format!("there is no Lease {}", facts.name());
        return Finding::error(check, message, format!("the operator makes it; {SEE_OPERATOR}"));
    }
    let LeaseRead { stored, lease, warnings } = match facts.lease() {
        Ok(read) => read,
        Err(why) => return Finding::unknown(check, why),
    };
    let name = facts.name();
    let is_own = is_made_for(stored, &facts.election);
    let namespace = stored.namespace().unwrap_or_default();
    let is_adopted = stored.annotation(ADOPT_ANNOTATION) == Some("true") && is_adoptable_in(&namespace);
    if facts.operators.iter().flatten().any(|own| own.namespace() == stored.namespace() && own.name_any() == name) {
        let message = format!("Lease {name} is that of the operator's own election, which nobody else steers");
        return Finding::error(check, message, OTHER_NAME);
    }
    if !is_own && !is_adopted {
        let message = format!("Lease {name} was made by somebody else, and the operator leaves it alone");
        if !is_adoptable_in(&namespace) {
            return Finding::error(check, message, OTHER_NAME);
        }
        let adopt = kubectl(facts, &format!("annotate lease {name} {ADOPT_ANNOTATION}=true"));
        let mend = format!("{OTHER_NAME}; or, if the Lease's holders are meant: {adopt}");
        return Finding::error(check, message, mend);
    }
    if stored.timings_annotation().unconfirmed && lease.agent.is_none() {
        let message = "the Lease was made, and is not confirmed yet: nobody takes it";
        return Finding::error(check, message, SEE_OPERATOR);
    }
    if let Some(warning) = warnings.first() {
        return Finding::warning(
            check,
            warning.to_string(),
            "the Lease's managedFields name the program that wrote that, which should not",
        );
    }
    Finding::ok(
        check,
        if is_own { "the Lease is this election's" } else { "the Lease was there before, and is adopted" },
    )
}

/// Checks that the Lease tells candidates the timings of the spec.
pub(super) fn told_timings(facts: &Facts) -> Finding {
    let check = "told-timings";
    let read = match facts.lease() {
        Ok(read) => read,
        Err(why) => return Finding::unknown(check, why),
    };
    match (read.lease.timings, facts.election.spec.timings()) {
        (_, Err(_)) => Finding::unknown(check, "the spec has no valid timings to pass on"),
        (None, Ok(_)) => Finding::warning(
            check,
            "the Lease carries no timings, and candidates go by their own settings",
            SEE_OPERATOR,
        ),
        (Some(told), Ok(wanted)) if told != wanted => Finding::warning(
            check,
            format!("candidates go by {}, and the spec says {}", shown(told), shown(wanted)),
            format!("the operator passes it on; {SEE_OPERATOR}"),
        ),
        (Some(told), Ok(_)) => Finding::ok(check, format!("candidates go by {}, as the spec says", shown(told))),
    }
}

fn shown(timings: Timings) -> String {
    let (lease, deadline) = (timings.lease_duration_seconds(), timings.renew_deadline_seconds());
    let (retry, delay) = (timings.retry_period_seconds(), timings.release_delay_seconds());
    format!("{lease}/{deadline}/{retry} s with a release delay of {delay} s")
}

/// Checks whether a request for another leader hangs.
pub(super) fn transfer(facts: &Facts) -> Finding {
    let check = "transfer";
    let Some(target) = facts.election.annotations().get(TRANSFER_ANNOTATION) else {
        return Finding::not_applicable(check, "no other leader is asked for");
    };
    let target = display_text::shown(target, MAX_NAME);
    let asked_at = written_at(&facts.election.metadata, &["metadata", "annotations", TRANSFER_ANNOTATION]);
    let (Some(asked_at), Ok(clock)) = (asked_at, &facts.clock) else {
        return Finding::unknown(check, format!("{target} is asked for, and not answered; since when is not known"));
    };
    let seconds = clock.server.duration_since(asked_at).as_secs();
    let message = format!("{target} was asked for {seconds} s ago, and the operator has not answered");
    if seconds <= TRANSFER_TIMEOUT_SECONDS + facts.election.spec.release_delay_seconds.clamp(0, 3600) {
        return Finding::ok(check, message);
    }
    let take_back = kubectl(facts, &format!("annotate leaderelection {} {TRANSFER_ANNOTATION}-", facts.name()));
    Finding::error(check, message, format!("{SEE_OPERATOR}; to take it back: {take_back}"))
}

/// Checks whether leaders change all the time, by the history that the operator keeps.
pub(super) fn changes(facts: &Facts) -> Finding {
    let check = "changes";
    let Ok(clock) = &facts.clock else { return Finding::unknown(check, "the API server's clock is not known") };
    let minutes = WINDOW.as_mins();
    let history = facts.election.status.as_ref().map_or(&[][..], |status| &status.history);
    let ended = ended_lately(history, clock.server);
    let message = format!("{} tenures have ended within the last {minutes} minutes", ended.len());
    if ended.len() <= MAX_ENDS {
        return Finding::ok(check, message);
    }
    let mut reasons: Vec<&str> = ended.iter().filter_map(|tenure| tenure.reason.as_deref()).collect();
    reasons.sort_unstable();
    reasons.dedup();
    let reasons = reasons.iter().map(|reason| display_text::shown(reason, MAX_NAME)).collect::<Vec<_>>().join(", ");
    let mend = "docs/runbooks/LeaderElectorFlapping.md says what each reason means";
    Finding::warning(check, format!("{message}: {reasons}"), mend)
}

/// Checks that the holder is one of the candidates, and an agent.
pub(super) fn holder(facts: &Facts) -> Finding {
    let check = "holder";
    let read = match facts.lease() {
        Ok(read) => read,
        Err(why) => return Finding::unknown(check, why),
    };
    let holder = read.holder();
    if holder.is_empty() {
        return Finding::ok(check, "nobody holds the Lease");
    }
    if !read.is_held() {
        return Finding::ok(
            check,
            "who held the Lease last is not known, and candidates wait in case that one still leads",
        );
    }
    // One that is terminating or has ended may have led until now.
    let is_candidate = match &facts.pods {
        Ok(pods) => pods.iter().any(|pod| identity_of(pod) == holder),
        Err(why) => return Finding::unseen(check, why),
    };
    let (who, holder) = (identity::shown_name(holder), identity::shown(holder));
    let judge = |message: String, mend: &str| match facts.election.spec.candidates.identity {
        CandidateIdentity::Pod => Finding::error(check, message, mend),
        CandidateIdentity::Any => Finding::warning(check, format!("{message}; spec.candidates.identity lets it"), mend),
    };
    let only_agents =
        "only agents on a Lease keep the promise: give other candidates, as client-go's, a Lease of their own";
    match (is_candidate, read.is_held_by_agent()) {
        (true, true) => Finding::ok(check, format!("{who} leads, and is an agent")),
        (true, false) => judge(format!("{holder} holds the Lease, and is no agent of leader-elector"), only_agents),
        (false, false) => {
            let message =
                format!("{holder} holds the Lease, and is no pod that matches and no agent of leader-elector");
            judge(message, only_agents)
        }
        // As of a pod that was deleted by force.
        (false, true) if is_silent(facts, &read) => Finding::warning(
            check,
            format!("{holder} holds the Lease, and its pod is gone"),
            "wait: another takes over when the lease is over",
        ),
        (false, true) => judge(
            format!("{holder} holds the Lease, and is no pod that matches {}", selector(facts)),
            "label that pod as the selector asks, or set IDENTITY of its agent to nothing",
        ),
    }
}

/// The command that prints the logs of the candidates' agents. With labels that no pod can have, a shell could read
/// another command.
fn logs(facts: &Facts) -> String {
    let selector = facts.election.spec.selector(&facts.name());
    let query = selector_query(&selector);
    if query != selector.to_string() {
        return "see the log of its agent".to_owned();
    }
    kubectl(facts, &format!("logs -l '{query}' -c {AGENT_CONTAINER} --prefix"))
}

fn is_silent(facts: &Facts, read: &LeaseRead<'_>) -> bool {
    let clock = facts.clock.as_ref().ok();
    let retry = i64::from(facts.election.spec.timings().unwrap_or_default().retry_period_seconds());
    clock.and_then(|clock| read.silent_for(clock)).is_some_and(|seconds| seconds > retry + 2)
}

/// Checks that the holder renews, by the API server's clock alone.
pub(super) fn renewal(facts: &Facts) -> Finding {
    let check = "renewal";
    let (read, clock) = match (facts.lease(), &facts.clock) {
        (Ok(read), Ok(clock)) => (read, clock),
        (Err(why), _) => return Finding::unknown(check, why),
        (Ok(_), Err(why)) => return Finding::unseen(check, why),
    };
    if !read.is_held() {
        return Finding::not_applicable(check, "the Lease has no holder that could renew it");
    }
    let who = identity::shown_name(read.holder());
    match read.silent_for(clock) {
        None => Finding::unknown(check, "the Lease does not say when it was written"),
        Some(seconds) if seconds <= read.lasts() => {
            Finding::ok(check, format!("{who} has renewed the Lease {} s ago", seconds.max(0)))
        }
        Some(seconds) => Finding::error(
            check,
            format!(
                "{who} has not renewed for {seconds} s, though its lease lasts {} s",
                read.lease.lease_duration_seconds
            ),
            // Not by the holder's name: whoever holds a Lease may call itself anything, and this is for a shell.
            logs(facts),
        ),
    }
}

/// Checks the clocks that were seen. No difference endangers the promise, for which only intervals count.
pub(super) fn clocks(facts: &Facts) -> Vec<Finding> {
    let check = "clocks";
    let clock = match &facts.clock {
        Ok(clock) => clock,
        Err(why) => return vec![Finding::unseen(check, why)],
    };
    let read = facts.lease().ok();
    let holder = read.as_ref().and_then(|read| Some((read, ahead_by(read)?)));
    let mut findings = Vec::new();
    if let Some((read, ahead)) = holder
        && ahead.abs() > MAX_CLOCK_DIFFERENCE_SECONDS
    {
        let who = identity::shown_name(read.holder());
        let node = node(facts, read).map_or_else(|| "its node".to_owned(), |node| format!("node {node}"));
        findings.push(differs(check, &format!("the clock of {who}"), ahead, &format!("the clock of {node}")));
    }
    let ahead = machine_ahead_by(clock);
    if ahead.abs() > MAX_CLOCK_DIFFERENCE_SECONDS {
        findings.push(differs(check, "this machine's clock", ahead, "this machine's clock"));
    }
    if findings.is_empty() {
        let who = match holder {
            Some(_) => "the leader's clock and this machine's agree",
            None => "this machine's clock agrees",
        };
        findings.push(Finding::ok(check, format!("{who} with the API server's")));
    }
    findings
}

fn differs(check: &'static str, whose: &str, ahead: f64, what: &str) -> Finding {
    let by = if ahead > 0.0 { "ahead of" } else { "behind" };
    let message = format!(
        "{whose} is {:.0} s {by} the API server's; times that are shown are off, leadership is not",
        ahead.abs()
    );
    Finding::warning(check, message, format!("set {what} by the network, as with chrony"))
}

/// By how many seconds the holder's clock was ahead of the API server's at the last renewal.
fn ahead_by(read: &LeaseRead<'_>) -> Option<f64> {
    // The operator restores records for others, by its own clock.
    let renewed = read.lease.record.renew_time.filter(|_| read.is_held())?;
    let at = read.renewed_at()?;
    let seconds = (renewed.as_microseconds().saturating_sub(at.as_microsecond())) as f64 / 1e6;
    // Somewhere in the second that it names.
    Some(if seconds > 1.0 { seconds - 1.0 } else { seconds.min(0.0) })
}

/// By how many seconds this machine's clock is ahead of the API server's, as far as that is certain.
fn machine_ahead_by(clock: &Clock) -> f64 {
    let since = |machine: Timestamp| machine.duration_since(clock.server).as_secs_f64();
    let (least, most) = (since(clock.asked) - 1.0, since(clock.answered));
    if least > 0.0 { least } else { most.min(0.0) }
}

fn node(facts: &Facts, read: &LeaseRead<'_>) -> Option<String> {
    let is_holder = |pod: &&Pod| identity_of(pod) == read.holder();
    facts.pods.as_ref().ok()?.iter().find(is_holder)?.spec.as_ref()?.node_name.clone()
}
