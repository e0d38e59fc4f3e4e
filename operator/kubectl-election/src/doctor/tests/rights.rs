use super::*;

#[test]
fn what_is_not_granted_and_what_is_not_checked() {
    are_found(&[
        (
            &|world| (world["role"], world["refused"]) = (json!(null), json!(["update"])),
            "role",
            Outcome::Error,
            "there is no Role leader-elector-billing",
            "see whether the operator runs",
        ),
        (
            &|world| world["role"] = json!(null),
            "role",
            Outcome::Warning,
            "though service accounts may contend: somebody else grants it",
            "the operator makes it",
        ),
        (
            &|world| (world["role"], world["refused"]) = (json!(null), json!("create localsubjectaccessreviews")),
            "role",
            Outcome::Error,
            "there is no Role leader-elector-billing",
            "the operator makes it",
        ),
        (
            &|world| world["role"]["rules"][0]["verbs"] = json!(["get"]),
            "role",
            Outcome::Error,
            "Role leader-elector-billing does not grant get, list, watch, update on Lease billing",
            "the operator puts it right",
        ),
        (
            &|world| (world["binding"], world["refused"]) = (json!(null), json!(["get", "update"])),
            "role-binding",
            Outcome::Error,
            "there is no RoleBinding leader-elector-billing",
            "the operator makes it",
        ),
        (
            &|world| world["binding"]["roleRef"]["name"] = json!("view"),
            "role-binding",
            Outcome::Error,
            "does not refer to Role leader-elector-billing",
            "the operator puts it right",
        ),
        (
            &|world| world["binding"]["subjects"][0]["name"] = json!("other"),
            "role-binding",
            Outcome::Error,
            "is not of the service accounts that spec.candidates lists",
            "the operator puts it right",
        ),
        (
            &|world| world["binding"]["metadata"] = json!({"name": "leader-elector-billing"}),
            "role-binding",
            Outcome::Error,
            "was not made for this LeaderElection",
            "kubectl -n shop delete rolebinding leader-elector-billing",
        ),
        (
            &|world| world["account"] = json!(null),
            "service-accounts",
            Outcome::Error,
            "there is no service account default",
            "kubectl -n shop create serviceaccount default",
        ),
        (
            &|world| world["refused"] = json!(["watch", "update"]),
            "rights",
            Outcome::Error,
            "service account default may not watch, update Lease billing",
            "Role and RoleBinding",
        ),
        (
            &|world| world["refused"] = json!("create localsubjectaccessreviews"),
            "rights",
            Outcome::Ok,
            "as Role and RoleBinding say; you may not create localsubjectaccessreviews",
            "",
        ),
        (
            &|world| world["injection"][0]["bound"] = json!(false),
            "injection",
            Outcome::NotApplicable,
            "no binding puts policy leader-elector-injection into force; pods bring their own",
            "",
        ),
        (
            &|world| {
                world["injection"] = json!([]);
                world["pods"][0]["spec"]["initContainers"] = json!([]);
            },
            "injection",
            Outcome::Warning,
            "no policy of the chart adds the agent",
            "injection.enabled=true",
        ),
        (
            &|world| world["strict"] = json!([]),
            "strict-identity",
            Outcome::Warning,
            "no policy of the chart checks",
            "strictIdentity.enabled=true",
        ),
        (
            &|world| world["strict"][0]["bound"] = json!(false),
            "strict-identity",
            Outcome::Warning,
            "no policy of the chart checks",
            "strictIdentity.enabled=true",
        ),
        (
            &|world| world["lease"]["metadata"]["labels"]["leader-elector.io/strict-identity"] = json!(null),
            "strict-identity",
            Outcome::Warning,
            "the Lease has no label leader-elector.io/strict-identity",
            "operator",
        ),
        (
            &|world| {
                world["strict"] = json!([]);
                world["election"]["spec"]["candidates"] = json!({"identity": "Any"});
            },
            "strict-identity",
            Outcome::NotApplicable,
            "nobody is to be checked",
            "",
        ),
        (
            &|world| world["strict"] = json!(null),
            "strict-identity",
            Outcome::Warning,
            "no policy of the chart checks",
            "strictIdentity.enabled=true",
        ),
        (
            &|world| world["injection"] = json!(null),
            "injection",
            Outcome::NotApplicable,
            "this API server has no MutatingAdmissionPolicy",
            "",
        ),
    ]);
}

#[test]
fn each_service_account_that_is_listed_counts() {
    let two = |world: &mut Value| {
        world["election"]["spec"]["candidates"] = json!({"serviceAccountNames": ["default", "billing"]});
        world["refused"] = json!(["update"]);
    };
    are_found(&[
        (&two, "rights", Outcome::Error, "service account default may not update", ""),
        (&two, "rights", Outcome::Error, "service account billing may not update", ""),
        (&two, "role-binding", Outcome::Error, "is not of the service accounts", ""),
    ]);
}
