use super::*;

#[test]
fn an_operator_that_is_not_there_and_what_it_said_last() {
    are_found(&[
        (
            &|world| {
                let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
                world["definition"].pointer_mut(spec).unwrap().as_object_mut().unwrap().remove("paused");
            },
            "definition",
            Outcome::Warning,
            "older than this plugin, and drops spec.paused",
            "kubectl apply --server-side",
        ),
        (&|world| world["operators"] = json!([]), "operator", Outcome::Unknown, "no Lease leader-elector-operator", ""),
        (
            &|world| world["operators"][0]["spec"]["holderIdentity"] = json!(""),
            "operator",
            Outcome::Error,
            "no replica of the operator in namespace leader-elector is active",
            "kubectl get pods -A",
        ),
        (
            &|world| world["operators"][0]["metadata"]["managedFields"] = json!([renewed("2026-11-27T11:59:00Z")]),
            "operator",
            Outcome::Error,
            "has renewed its Lease for 61 s",
            "kubectl get pods -A",
        ),
        (
            &|world| world["election"]["status"] = json!(null),
            "reconciled",
            Outcome::Error,
            "the operator has not looked at this LeaderElection yet",
            "see whether the operator runs",
        ),
        (
            &|world| world["election"]["status"] = json!({"observedGeneration": -1}),
            "reconciled",
            Outcome::Error,
            "the operator has not looked at this LeaderElection yet",
            "see whether the operator runs",
        ),
        (
            &|world| world["election"]["metadata"]["generation"] = json!(3),
            "reconciled",
            Outcome::Error,
            "has seen generation 2 of the spec, which is at 3",
            "see whether the operator runs",
        ),
        (
            &|world| world["election"]["status"]["leaseTransitions"] = json!(3),
            "reconciled",
            Outcome::Warning,
            "the Lease is at tenure 4, and the operator says 3",
            "if that stays so",
        ),
        (
            &|world| world["election"]["spec"]["renewDeadlineSeconds"] = json!(12),
            "timings",
            Outcome::Error,
            "renewDeadlineSeconds is 12; with leaseDurationSeconds 15 it can be 11 at most",
            "spec",
        ),
        (
            &|world| world["election"]["spec"]["paused"] = json!(true),
            "paused",
            Outcome::Warning,
            "spec.paused is true",
            "kubectl election resume billing -n shop",
        ),
        (
            &|world| world["election"]["status"]["conditions"][2]["status"] = json!("False"),
            "candidates-ready",
            Outcome::Error,
            "CandidatesReady is False (AllReady): fine",
            "kubectl -n shop describe leaderelection billing",
        ),
        (
            &|world| {
                let condition = &mut world["election"]["status"]["conditions"][2];
                (condition["status"], condition["reason"]) = (json!("False"), json!("LeaderNotReady"));
            },
            "candidates-ready",
            Outcome::Error,
            "CandidatesReady is False (LeaderNotReady): fine",
            "see kubectl -n shop describe pod billing-0; docs/runbooks/LeaderElectorLeaderNotReady.md says",
        ),
        (
            &|world| {
                let condition = &mut world["election"]["status"]["conditions"][2];
                (condition["status"], condition["reason"]) = (json!("False"), json!("SomeNotReady"));
            },
            "candidates-ready",
            Outcome::Warning,
            "CandidatesReady is False (SomeNotReady): fine",
            "else see kubectl",
        ),
        (
            &|world| world["election"]["status"]["conditions"][1]["status"] = json!("Unknown"),
            "leader-elected",
            Outcome::Warning,
            "LeaderElected is Unknown",
            "wait",
        ),
        (&|world| world["election"]["status"]["conditions"] = json!([]), "ready", Outcome::Unknown, "has not said", ""),
    ]);
}

#[test]
fn any_operator_that_renews_is_one() {
    let two = |world: &mut Value| {
        let mut silent = world["operators"][0].clone();
        silent["metadata"]["managedFields"] = json!([renewed("2026-11-27T11:00:00Z")]);
        silent["metadata"]["namespace"] = json!("old");
        world["operators"].as_array_mut().unwrap().insert(0, silent);
    };
    let said =
        "operator-a is active, in namespace leader-elector; no replica of the operator in namespace old has renewed";
    are_found(&[(&two, "operator", Outcome::Warning, said, "which of these namespaces")]);
}

#[test]
fn a_pause_is_no_symptom() {
    let paused = |world: &mut Value| {
        world["election"]["spec"]["paused"] = json!(true);
        let condition = &mut world["election"]["status"]["conditions"][1];
        (condition["status"], condition["reason"]) = (json!("False"), json!("Paused"));
    };
    are_found(&[(&paused, "leader-elected", Outcome::Ok, "(Paused)", "")]);
}
