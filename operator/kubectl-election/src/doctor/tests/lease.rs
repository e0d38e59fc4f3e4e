use super::*;

const ANNOTATIONS: &str = "/lease/metadata/annotations";

fn annotate(world: &mut Value, key: &str, value: Value) {
    world.pointer_mut(ANNOTATIONS).unwrap()[format!("leader-elector.io/{key}")] = value;
}

/// Somebody asked for another leader at that time.
fn asked(at: &'static str) -> impl Fn(&mut Value) {
    move |world| {
        let metadata = &mut world["election"]["metadata"];
        metadata["annotations"] = json!({"leader-elector.io/transfer-to": "billing-1"});
        metadata["managedFields"] = json!([{
            "manager": "kubectl-annotate", "operation": "Update", "time": at, "fieldsType": "FieldsV1",
            "fieldsV1": {"f:metadata": {"f:annotations": {"f:leader-elector.io/transfer-to": {}}}},
        }]);
    }
}

fn held_by(holder: &'static str, at: &'static str) -> impl Fn(&mut Value) {
    move |world| {
        world["lease"]["spec"]["holderIdentity"] = json!(holder);
        world["lease"]["metadata"]["managedFields"] = json!([renewed(at)]);
    }
}

fn of_client_go(world: &mut Value) {
    held_by("billing-0_5c1b", "2026-11-27T12:00:00Z")(world);
    annotate(world, "agent", json!(null));
}

#[test]
fn what_is_wrong_with_the_lease_and_who_holds_it() {
    are_found(&[
        (&|world| world["lease"] = json!(null), "lease", Outcome::Error, "there is no Lease billing", "operator"),
        (&|world| world["lease"] = json!(null), "holder", Outcome::Unknown, "there is no Lease billing", ""),
        (
            &|world| {
                world["lease"]["metadata"]["labels"] = json!({});
            },
            "lease",
            Outcome::Error,
            "was made by somebody else",
            "kubectl -n shop annotate lease billing leader-elector.io/adopt=true",
        ),
        (
            &|world| {
                world["lease"]["metadata"]["labels"] = json!({});
                annotate(world, "adopt", json!("true"));
            },
            "lease",
            Outcome::Ok,
            "the Lease was there before, and is adopted",
            "",
        ),
        // The operator adopts none there.
        (
            &|world| {
                world["lease"]["metadata"]["labels"] = json!({});
                world["lease"]["metadata"]["namespace"] = json!("kube-system");
                annotate(world, "adopt", json!("true"));
            },
            "lease",
            Outcome::Error,
            "was made by somebody else",
            "give the LeaderElection another name",
        ),
        (
            &|world| {
                world["operators"][0]["metadata"]["namespace"] = json!("shop");
                world["operators"][0]["metadata"]["name"] = json!("billing");
            },
            "lease",
            Outcome::Error,
            "is that of the operator's own election",
            "give the LeaderElection another name",
        ),
        (
            &|world| {
                annotate(world, "agent", json!(null));
                annotate(world, "timings", json!(r#"{"unconfirmed":true}"#));
            },
            "lease",
            Outcome::Error,
            "is not confirmed yet: nobody takes it",
            "operator",
        ),
        (
            &|world| annotate(world, "hints", json!("garbage")),
            "lease",
            Outcome::Warning,
            "leader-elector.io/hints is \"garbage\"",
            "should not",
        ),
        (
            &|world| world["election"]["spec"]["leaseDurationSeconds"] = json!(30),
            "told-timings",
            Outcome::Warning,
            "candidates go by 15/10/2 s with a release delay of 0 s, and the spec says 30/10/2 s",
            "the operator passes it on",
        ),
        (
            &|world| annotate(world, "timings", json!(null)),
            "told-timings",
            Outcome::Warning,
            "candidates go by their own settings",
            "operator",
        ),
        (
            &asked("2026-11-27T11:58:00Z"),
            "transfer",
            Outcome::Error,
            "billing-1 was asked for 121 s ago",
            "kubectl -n shop annotate leaderelection billing leader-elector.io/transfer-to-",
        ),
        (&asked("2026-11-27T11:59:50Z"), "transfer", Outcome::Ok, "billing-1 was asked for 11 s ago", ""),
        (
            &of_client_go,
            "holder",
            Outcome::Error,
            "billing-0_5c1b holds the Lease, and is no pod that matches and no agent of leader-elector",
            "a Lease of their own",
        ),
        (
            &|world| annotate(world, "agent", json!(r#"{"version":"0.1.0","start":"s","transitions":3}"#)),
            "holder",
            Outcome::Error,
            "billing-0_a holds the Lease, and is no agent of leader-elector",
            "a Lease of their own",
        ),
        // Who has not counted its tenure, after an agent that had given the Lease up, or that was silent.
        (
            &|world| {
                held_by("billing-0_5c1b", "2026-11-27T12:00:00Z")(world);
                let release = r#""release":{"uid":"u","transitions":4,"renewTime":"2026-11-27T11:00:00.000000Z"}"#;
                annotate(
                    world,
                    "agent",
                    json!(format!(r#"{{"version":"0.1.0","start":"s","transitions":4,{release}}}"#)),
                );
            },
            "holder",
            Outcome::Error,
            "billing-0_5c1b holds the Lease, and is no pod that matches and no agent of leader-elector",
            "a Lease of their own",
        ),
        (
            &|world| {
                held_by("billing-0_5c1b", "2026-11-27T12:00:00Z")(world);
                let marked = json!({"f:metadata": {"f:annotations": {"f:leader-elector.io/agent": {}}}});
                world["lease"]["metadata"]["managedFields"].as_array_mut().unwrap().push(json!({
                    "manager": "elector-agent", "operation": "Update", "time": "2026-11-27T11:00:00Z",
                    "fieldsType": "FieldsV1", "fieldsV1": marked,
                }));
            },
            "holder",
            Outcome::Error,
            "billing-0_5c1b holds the Lease, and is no pod that matches and no agent of leader-elector",
            "a Lease of their own",
        ),
        (
            &|world| {
                of_client_go(world);
                world["election"]["spec"]["candidates"] = json!({"identity": "Any"});
            },
            "holder",
            Outcome::Warning,
            "spec.candidates.identity lets it",
            "a Lease of their own",
        ),
        (
            &held_by("billing-9_z", "2026-11-27T12:00:00Z"),
            "holder",
            Outcome::Error,
            "is no pod that matches leader-elector.io/election=billing",
            "label that pod",
        ),
        (&held_by("billing-9_z", "2026-11-27T11:59:50Z"), "holder", Outcome::Warning, "its pod is gone", "wait"),
        (
            &held_by("unknown", "2026-11-27T12:00:00Z"),
            "holder",
            Outcome::Ok,
            "who held the Lease last is not known",
            "",
        ),
        (
            &held_by("billing-0_a", "2026-11-27T11:59:00Z"),
            "renewal",
            Outcome::Error,
            "billing-0 has not renewed for 61 s, though its lease lasts 15 s",
            "kubectl -n shop logs -l 'leader-elector.io/election=billing' -c leader-elector",
        ),
        (
            &|world| world["lease"]["metadata"]["managedFields"] = json!([]),
            "renewal",
            Outcome::Unknown,
            "does not say when it was written",
            "",
        ),
    ]);
}

/// Of the time in the record and the API server's of its writing: a second of that is rounding.
#[test]
fn clocks_that_differ_are_named_and_how_far() {
    let renews_at = |time: &'static str| move |world: &mut Value| world["lease"]["spec"]["renewTime"] = json!(time);
    let asks_at = |time: &'static str| {
        move |world: &mut Value| (world["clock"]["asked"], world["clock"]["answered"]) = (json!(time), json!(time))
    };
    let (warning, ok) = (Outcome::Warning, Outcome::Ok);
    are_found(&[
        (
            &renews_at("2026-11-27T12:00:31.500Z"),
            "clocks",
            warning,
            "the clock of billing-0 is 30 s ahead",
            "node node-1",
        ),
        (
            &renews_at("2026-11-27T11:59:50.000Z"),
            "clocks",
            warning,
            "the clock of billing-0 is 10 s behind",
            "node node-1",
        ),
        (&renews_at("2026-11-27T12:00:03.900Z"), "clocks", ok, "agree", ""),
        (&renews_at("2026-11-27T11:59:57.100Z"), "clocks", ok, "agree", ""),
        (&asks_at("2026-11-27T12:01:02Z"), "clocks", warning, "this machine's clock is 60 s ahead of", "this machine"),
        (&asks_at("2026-11-27T11:59:01Z"), "clocks", warning, "this machine's clock is 60 s behind", "this machine"),
        (&asks_at("2026-11-27T12:00:04.500Z"), "clocks", ok, "agree", ""),
        (
            &|world| world["lease"]["spec"]["holderIdentity"] = json!(""),
            "clocks",
            ok,
            "this machine's clock agrees",
            "",
        ),
    ]);
}

#[test]
fn leaders_that_change_all_the_time_are_named_with_why() {
    let ended = |minutes: &'static [u32], reason: &'static str| {
        move |world: &mut Value| {
            let tenure = |minute| json!({"holder": "a", "identity": "a", "until": format!("2026-11-27T11:{minute}:00Z"), "reason": reason});
            world["election"]["status"]["history"] = minutes.iter().map(tenure).collect();
        }
    };
    let six = ended(&[59, 58, 55, 52, 50, 46], "Released");
    let five = ended(&[59, 58, 55, 52, 50, 30, 20], "Released");
    let rolled = |world: &mut Value| {
        let tenure = |number: u32| json!({"holder": format!("a-{number}"), "identity": format!("a-{number}"), "until": "2026-11-27T11:59:00Z", "reason": "Stopped"});
        world["election"]["status"]["history"] = (0..8).map(tenure).collect();
    };
    let odd = ended(&[59, 58, 55, 52, 50, 46], "a\u{202e}b");
    are_found(&[
        (&six, "changes", Outcome::Warning, "6 tenures have ended within the last 15 minutes: Released", "Flapping.md"),
        (&five, "changes", Outcome::Ok, "5 tenures have ended within the last 15 minutes", ""),
        (&rolled, "changes", Outcome::Ok, "0 tenures have ended within the last 15 minutes", ""),
        (&odd, "changes", Outcome::Warning, r"minutes: a\u{202e}b", ""),
    ]);
}
