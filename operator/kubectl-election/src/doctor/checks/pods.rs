//! Checks of the candidates: whether they may contend, whether they have an agent, and how that agent does.

use std::collections::BTreeMap;

use elector_crds::candidate::service_account;
use elector_crds::{AGENT_CONTAINER, CandidateIdentity, INJECTION_LABEL};
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, Pod, PodSpec,
};
use kube::ResourceExt as _;

use super::{ADD_AGENTS, INJECT_AGENTS, kubectl, selector, volume};
use crate::doctor::agent::{Agent, Place, Setting};
use crate::doctor::facts::{Facts, identity_of};
use crate::doctor::finding::{Finding, Flaw, named, of_pods};

/// The folder in which client libraries look for a token.
const TOKEN_FOLDER: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The exit code of an agent whose settings cannot work.
const UNUSABLE_SETTINGS_EXIT_CODE: i32 = 2;

/// The termination grace period of a pod that does not set one, in seconds.
const DEFAULT_GRACE_SECONDS: i64 = 30;

/// The names of all checks of pods.
const CHECKS: [&str; 9] =
    ["pods", "pod-accounts", "agents", "settings", "tokens", "volumes", "containers", "versions", "grace-periods"];

pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let [matching, accounts, with_agent, settings, tokens, volumes, containers, versions, grace_periods] = CHECKS;
    let pods = match facts.candidates() {
        Ok(pods) if pods.is_empty() => {
            let mend = "label the pods so in their workload's template, or set spec.candidates.selector";
            let first = Finding::error(matching, format!("no pod matches {}", selector(facts)), mend);
            let none = |check: &&'static str| Finding::not_applicable(check, "there is no pod to look at");
            return std::iter::once(first).chain(CHECKS[1..].iter().map(none)).collect();
        }
        Ok(pods) => pods,
        Err(why) => return CHECKS.iter().map(|check| Finding::unseen(check, why)).collect(),
    };
    let agents: Vec<Agent<'_>> = pods.iter().filter_map(|pod| Agent::of(pod)).collect();
    let of_agents = |check, fine: &str, flaws: &dyn Fn(&Agent<'_>) -> Vec<Flaw>| {
        if agents.is_empty() {
            return vec![Finding::not_applicable(check, "there is no agent to look at")];
        }
        of_pods(check, &pods, fine, |pod| Agent::of(pod).map(|agent| flaws(&agent)).unwrap_or_default())
    };
    let listed = "all candidates run as listed service accounts";
    let mut findings = vec![Finding::ok(matching, format!("{} match {}", pods.len(), selector(facts)))];
    findings.extend(of_pods(accounts, &pods, listed, |pod| unlisted(facts, pod)));
    findings.extend(of_pods(with_agent, &pods, "all candidates have an agent", |pod| lacks_agent(facts, pod)));
    findings.extend(of_agents(settings, "agents contend for this election", &|agent| told(facts, agent)));
    findings.extend(of_agents(tokens, "agents have a token", &token));
    findings.extend(of_agents(volumes, "apps see their agent's file", &|agent| volume::flaws(agent, &pods)));
    findings.extend(of_agents(containers, "agents run", &|agent| state(facts, agent)));
    findings.push(images(versions, &agents));
    findings
        .extend(of_agents(grace_periods, "agents have time to release the Lease", &|agent| grace(facts, agent.pod)));
    findings
}

fn unlisted(facts: &Facts, pod: &Pod) -> Vec<Flaw> {
    let account = service_account(pod.spec.as_ref().and_then(|spec| spec.service_account_name.clone()));
    let candidates = &facts.election.spec.candidates;
    if candidates.lists(&account) {
        return Vec::new();
    }
    let names: Vec<&String> = candidates.service_account_names.iter().chain([&account]).collect();
    let patch = serde_json::json!({"spec": {"candidates": {"serviceAccountNames": names}}});
    let patch = format!("patch leaderelection {} --type merge -p '{patch}'", facts.name());
    let said = format!("service account {account} is not in spec.candidates.serviceAccountNames, and may not contend");
    vec![Flaw::error(said, kubectl(facts, &patch))]
}

fn lacks_agent(facts: &Facts, pod: &Pod) -> Vec<Flaw> {
    let agent = Agent::of(pod);
    if agent.as_ref().is_some_and(|agent| agent.place == Place::Init) {
        let said = format!("init container {AGENT_CONTAINER} is no sidecar, and all others wait for its end");
        return vec![Flaw::error(said, format!("restartPolicy: Always in init container {AGENT_CONTAINER}"))];
    }
    if agent.is_some() {
        return Vec::new();
    }
    let restart = restart(facts, pod);
    if facts.election.spec.candidates.identity == CandidateIdentity::Any {
        let said = "no container is known for an agent; it may be another kind of candidate";
        return vec![Flaw::warning(said, format!("if it is no candidate of another kind: {restart}"))];
    }
    if pod.labels().get(INJECTION_LABEL).is_some_and(|value| value == "disabled") {
        let said = format!("no agent: label {INJECTION_LABEL} is disabled, and no container has LEASE_NAME");
        let mend = "remove that label from the pod template, or run elector-agent in the app's container";
        return vec![Flaw::error(said, mend)];
    }
    let policies = match &facts.injection {
        Ok(Some(policies)) => policies,
        Ok(None) => return vec![Flaw::error(format!("no container {AGENT_CONTAINER}"), INJECT_AGENTS)],
        Err(_) => return vec![Flaw::error(format!("no container {AGENT_CONTAINER}"), restart)],
    };
    let Some(policy) = policies.iter().find(|policy| policy.bound) else {
        return vec![Flaw::error(format!("no container {AGENT_CONTAINER}, and no policy adds it"), ADD_AGENTS)];
    };
    let created = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
    if created.zip(policy.created).is_some_and(|(pod, policy)| pod < policy) {
        let said = format!("no container {AGENT_CONTAINER}: older than policy {}, which adds it", policy.name);
        return vec![Flaw::error(said, restart)];
    }
    if !pod.labels().contains_key(elector_crds::ELECTION_LABEL) {
        let said =
            format!("no container {AGENT_CONTAINER}: without label {} none is added", elector_crds::ELECTION_LABEL);
        return vec![Flaw::error(
            said,
            format!("{}: {} in the pod template", elector_crds::ELECTION_LABEL, facts.name()),
        )];
    }
    let said = format!("no container {AGENT_CONTAINER}, though policy {} adds it", policy.name);
    vec![Flaw::error(said, format!("see whether its binding selects namespace {}; then {restart}", facts.namespace()))]
}

/// The command that replaces the pod, as far as its owner tells what created it.
fn restart(facts: &Facts, pod: &Pod) -> String {
    let owner = pod.owner_references().iter().find(|owner| owner.controller == Some(true));
    let hash = pod.labels().get("pod-template-hash");
    let workload = owner.and_then(|owner| match owner.kind.as_str() {
        "ReplicaSet" => Some(format!("deployment/{}", owner.name.strip_suffix(&format!("-{}", hash?))?)),
        "StatefulSet" | "DaemonSet" => Some(format!("{}/{}", owner.kind.to_lowercase(), owner.name)),
        _ => None,
    });
    // The owner's name is the word of the pod's maker, and this is for a shell.
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || "-./".contains(letter);
    match workload.filter(|workload| workload.chars().all(is_name)) {
        Some(workload) => kubectl(facts, &format!("rollout restart {workload}")),
        None => "make the pods anew".to_owned(),
    }
}

fn told(facts: &Facts, agent: &Agent<'_>) -> Vec<Flaw> {
    let container = &agent.container.name;
    let mut flaws = Vec::new();
    for (variable, flag, wanted) in
        [("LEASE_NAME", "--lease-name", facts.name()), ("NAMESPACE", "--namespace", facts.namespace())]
    {
        let mend = format!("{variable}: {wanted} in container {container}");
        match agent.setting(variable, flag) {
            Setting::Set(value) if value == wanted => {}
            Setting::Set(value) => {
                flaws.push(Flaw::error(format!("contends elsewhere: {variable} is {value:?}, not {wanted:?}"), mend));
            }
            // The pod's own.
            Setting::Unset if variable == "NAMESPACE" => {}
            Setting::Unset => flaws.push(Flaw::error(format!("{variable} is not set"), mend)),
            Setting::Elsewhere(place) => {
                flaws.push(Flaw::unknown(format!("{variable} comes from {place}, which was not looked at")));
            }
        }
    }
    let is_checked = facts.election.spec.candidates.identity == CandidateIdentity::Pod;
    if let Setting::Set(identity) = agent.setting("IDENTITY", "--identity")
        && is_checked
        && !identity.contains("$(")
        && identity != identity_of(agent.pod)
    {
        let said = "IDENTITY is set, and spec.candidates.identity is Pod: only <pod>_<pod uid> may contend";
        flaws
            .push(Flaw::error(said, format!("no IDENTITY in container {container}, or spec.candidates.identity: Any")));
    }
    flaws
}

fn token(agent: &Agent<'_>) -> Vec<Flaw> {
    let mounts = agent.container.volume_mounts.iter().flatten();
    let has_token = mounts.into_iter().any(|mount| mount.mount_path.trim_end_matches('/') == TOKEN_FOLDER);
    if has_token || agent.variable("KUBECONFIG") != Setting::Unset {
        return Vec::new();
    }
    let of_pod = agent.pod.spec.as_ref().and_then(|spec| spec.automount_service_account_token);
    let whose = if of_pod == Some(false) { "the pod's" } else { "the service account's" };
    let container = &agent.container.name;
    vec![Flaw::error(
        format!("no token in container {container}: {whose} automountServiceAccountToken is false"),
        "automountServiceAccountToken: true in the pod template, or the volume that `elector-agent manifest` prints",
    )]
}

/// What is wrong with the agent's container, as kubelet reports it.
fn state(facts: &Facts, agent: &Agent<'_>) -> Vec<Flaw> {
    let (pod, container) = (agent.pod.name_any(), &agent.container.name);
    let describe = kubectl(facts, &format!("describe pod {pod}"));
    let log = |more: &str| kubectl(facts, &format!("logs {pod} -c {container}{more}"));
    let Some(ContainerStatus { state, last_state, restart_count, .. }) = agent.status() else {
        let phase = agent.pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("unknown");
        return vec![Flaw::warning(format!("container {container} is not started; the pod is {phase}"), describe)];
    };
    let state = state.clone().unwrap_or_default();
    let last = last_state.as_ref().and_then(|last| last.terminated.as_ref());
    match state {
        ContainerState { running: Some(_), .. } => {
            let last = last.filter(|_| *restart_count > 0).map(|last| {
                let said = format!("container {container} was restarted; last it {}", ended(agent, last));
                Flaw::warning(said, log(" --previous"))
            });
            last.into_iter().collect()
        }
        ContainerState { waiting: Some(ContainerStateWaiting { reason, .. }), .. } => {
            let reason = reason.unwrap_or_default();
            match last {
                Some(last) => {
                    let said = format!("container {container} does not run ({reason}); last it {}", ended(agent, last));
                    vec![Flaw::error(said, log(" --previous"))]
                }
                None if matches!(reason.as_str(), "" | "ContainerCreating" | "PodInitializing") => {
                    vec![Flaw::warning(format!("container {container} is about to be started"), describe)]
                }
                None => vec![Flaw::error(format!("container {container} is not started: {reason}"), describe)],
            }
        }
        ContainerState { terminated: Some(terminated), .. } => {
            vec![Flaw::error(format!("container {container} {}", ended(agent, &terminated)), log(""))]
        }
        ContainerState { .. } => {
            vec![Flaw::unknown(format!("kubelet does not say whether container {container} runs"))]
        }
    }
}

fn ended(agent: &Agent<'_>, end: &ContainerStateTerminated) -> String {
    let what = match end.exit_code {
        UNUSABLE_SETTINGS_EXIT_CODE if agent.is_alone() => {
            "ended with exit code 2, for settings that cannot work".to_owned()
        }
        code => format!("ended with exit code {code}"),
    };
    let reason = end.reason.as_deref().filter(|reason| !matches!(*reason, "" | "Error" | "Completed"));
    let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    let message = end.message.as_deref().and_then(|message| message.trim().lines().last());
    let message = message.map(|message| format!(": {message}")).unwrap_or_default();
    format!("{what}{reason}{message}")
}

/// Checks that agents in containers of their own have the same image.
fn images(check: &'static str, agents: &[Agent<'_>]) -> Finding {
    let mut images: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for agent in agents.iter().filter(|agent| agent.is_alone()) {
        images.entry(agent.container.image.as_deref().unwrap_or_default()).or_default().push(agent.pod.name_any());
    }
    let said: Vec<String> = images.iter().map(|(image, pods)| format!("{image} in {}", named(pods))).collect();
    match images.keys().next() {
        None => Finding::not_applicable(check, "no agent has an image of its own"),
        Some(image) if said.len() == 1 => Finding::ok(check, format!("all agents are of image {image}")),
        Some(_) => Finding::warning(
            check,
            format!("agents are of {} images: {}", said.len(), said.join("; ")),
            "unless a rollout is under way, restart the workload that has the older one",
        ),
    }
}

/// Checks the termination grace period: after the release delay, enough time must be left for the release.
fn grace(facts: &Facts, pod: &Pod) -> Vec<Flaw> {
    let Ok(timings) = facts.election.spec.timings() else { return Vec::new() };
    let grace = pod.spec.as_ref().and_then(|spec: &PodSpec| spec.termination_grace_period_seconds);
    let (grace, delay) = (grace.unwrap_or(DEFAULT_GRACE_SECONDS), i64::from(timings.release_delay_seconds()));
    if grace > delay {
        return Vec::new();
    }
    let lease = timings.lease_duration_seconds();
    let enough = delay + 1 + i64::try_from(timings.request_timeout().as_secs()).unwrap_or_default();
    vec![Flaw::warning(
        format!(
            "{grace} s are over before the release delay of {delay} s is; others wait {lease} s for one that was stopped"
        ),
        format!("terminationGracePeriodSeconds: {enough} in the pod template, and what the app needs beside"),
    )]
}
