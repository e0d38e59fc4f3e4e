use super::*;

/// The agent's container of the first pod.
fn agent(world: &mut Value) -> &mut Value {
    &mut world["pods"][0]["spec"]["initContainers"][0]
}

/// Sets a variable of it, or takes it away.
fn set(world: &mut Value, name: &str, value: Option<&str>) {
    let variables = agent(world)["env"].as_array_mut().unwrap();
    variables.retain(|variable| variable["name"] != name);
    variables.extend(value.map(|value| json!({"name": name, "value": value})));
}

fn volume(world: &mut Value, volume: Value) {
    for pod in world["pods"].as_array_mut().unwrap() {
        let volumes = pod["spec"]["volumes"].as_array_mut().unwrap();
        volumes[0] = volume.clone();
        volumes[0]["name"] = json!("leader-election");
    }
}

fn without_agent(world: &mut Value) {
    world["pods"][0]["spec"]["initContainers"] = json!([]);
}

/// What kubelet says of the agent of the first pod.
fn reported(world: &mut Value, state: Value, last: Value) {
    let status = &mut world["pods"][0]["status"]["initContainerStatuses"][0];
    (status["state"], status["lastState"], status["restartCount"]) = (state, last, json!(3));
}

#[test]
fn who_may_not_contend_or_has_no_agent() {
    are_found(&[
        (
            &|world| world["pods"] = json!([]),
            "pods",
            Outcome::Error,
            "no pod matches leader-elector.io/election=billing",
            "spec.candidates.selector",
        ),
        (&|world| world["pods"] = json!([]), "volumes", Outcome::NotApplicable, "there is no pod to look at", ""),
        (
            &|world| world["pods"][1]["spec"]["serviceAccountName"] = json!("other"),
            "pod-accounts",
            Outcome::Error,
            "billing-1: service account other is not in spec.candidates.serviceAccountNames",
            r#"kubectl -n shop patch leaderelection billing --type merge -p '{"spec":{"candidates":{"serviceAccountNames":["default","other"]}}}'"#,
        ),
        (
            &|world| agent(world)["restartPolicy"] = json!(null),
            "agents",
            Outcome::Error,
            "billing-0: init container leader-elector is no sidecar",
            "restartPolicy: Always",
        ),
        (
            &|world| {
                without_agent(world);
                world["pods"][0]["metadata"]["labels"]["leader-elector.io/injection"] = json!("disabled");
            },
            "agents",
            Outcome::Error,
            "label leader-elector.io/injection is disabled",
            "remove that label",
        ),
        (
            &|world| {
                without_agent(world);
                world["pods"][0]["metadata"]["creationTimestamp"] = json!("2026-10-01T00:00:00Z");
                world["pods"][0]["metadata"]["labels"]["pod-template-hash"] = json!("7d9");
                world["pods"][0]["metadata"]["ownerReferences"] = json!([{
                    "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "billing-7d9", "uid": "r", "controller": true,
                }]);
            },
            "agents",
            Outcome::Error,
            "older than policy leader-elector-injection",
            "kubectl -n shop rollout restart deployment/billing",
        ),
        (
            &|world| {
                without_agent(world);
                world["injection"] = json!([]);
            },
            "agents",
            Outcome::Error,
            "no container leader-elector, and no policy adds it",
            "helm upgrade the chart with injection.enabled=true, or add the agent to the workload's manifest: kubectl election inject -f FILE",
        ),
        (
            &|world| {
                without_agent(world);
                world["injection"] = json!(null);
            },
            "agents",
            Outcome::Error,
            "billing-0: no container leader-elector",
            "add the agent to the workload's manifest: kubectl election inject -f FILE",
        ),
        (
            &|world| {
                without_agent(world);
                world["injection"] = json!("list mutatingadmissionpolicies");
            },
            "agents",
            Outcome::Error,
            "billing-0: no container leader-elector",
            "make the pods anew",
        ),
        (
            &|world| {
                without_agent(world);
                world["election"]["spec"]["candidates"] = json!({"selector": {"matchLabels": {"app": "billing"}}});
                world["pods"][0]["metadata"]["labels"] = json!({"app": "billing"});
            },
            "agents",
            Outcome::Error,
            "without label leader-elector.io/election none is added",
            "leader-elector.io/election: billing",
        ),
        (&without_agent, "agents", Outcome::Error, "though policy leader-elector-injection adds it", "namespace shop"),
        (
            &|world| {
                without_agent(world);
                world["pods"].as_array_mut().unwrap().truncate(1);
            },
            "tokens",
            Outcome::NotApplicable,
            "there is no agent to look at",
            "",
        ),
        (
            &|world| {
                without_agent(world);
                world["election"]["spec"]["candidates"] = json!({"identity": "Any"});
            },
            "agents",
            Outcome::Warning,
            "it may be another kind of candidate",
            "make the pods anew",
        ),
    ]);
}

#[test]
fn what_agents_were_told_and_may_use() {
    are_found(&[
        (
            &|world| set(world, "LEASE_NAME", Some("shipping")),
            "settings",
            Outcome::Error,
            r#"billing-0: contends elsewhere: LEASE_NAME is "shipping", not "billing""#,
            "LEASE_NAME: billing in container leader-elector",
        ),
        (&|world| set(world, "LEASE_NAME", None), "settings", Outcome::Error, "LEASE_NAME is not set", "LEASE_NAME: b"),
        (
            // By the label, as the chart's policy has it.
            &|world| {
                world["election"]["spec"]["candidates"] = json!({"selector": {"matchLabels": {"app": "billing"}}});
                world["pods"][0]["metadata"]["labels"] = json!({"leader-elector.io/election": "shipping"});
            },
            "settings",
            Outcome::Error,
            r#"LEASE_NAME is "shipping""#,
            "LEASE_NAME: billing",
        ),
        (
            &|world| agent(world)["args"] = json!(["--lease-name", "shipping"]),
            "settings",
            Outcome::Error,
            r#"LEASE_NAME is "shipping""#,
            "LEASE_NAME: billing",
        ),
        (
            &|world| set(world, "NAMESPACE", Some("bank")),
            "settings",
            Outcome::Error,
            r#"NAMESPACE is "bank", not "shop""#,
            "NAMESPACE: shop",
        ),
        (&|world| set(world, "NAMESPACE", None), "settings", Outcome::Ok, "contend for this election", ""),
        (
            &|world| {
                set(world, "LEASE_NAME", None);
                agent(world)["envFrom"] = json!([{"configMapRef": {"name": "settings"}}]);
            },
            "settings",
            Outcome::Unknown,
            "LEASE_NAME comes from envFrom, which was not looked at",
            "",
        ),
        (
            &|world| set(world, "IDENTITY", Some("me")),
            "settings",
            Outcome::Error,
            "IDENTITY is set, and spec.candidates.identity is Pod",
            "no IDENTITY in container leader-elector",
        ),
        (&|world| set(world, "IDENTITY", Some("billing-0_a")), "settings", Outcome::Ok, "contend for this", ""),
        (
            &|world| {
                agent(world)["volumeMounts"].as_array_mut().unwrap().truncate(1);
                world["pods"][0]["spec"]["automountServiceAccountToken"] = json!(false);
            },
            "tokens",
            Outcome::Error,
            "no token in container leader-elector: the pod's automountServiceAccountToken is false",
            "automountServiceAccountToken: true",
        ),
        (
            &|world| agent(world)["volumeMounts"].as_array_mut().unwrap().truncate(1),
            "tokens",
            Outcome::Error,
            "the service account's automountServiceAccountToken is false",
            "automountServiceAccountToken: true",
        ),
        (
            &|world| {
                agent(world)["volumeMounts"].as_array_mut().unwrap().truncate(1);
                set(world, "KUBECONFIG", Some("/etc/kubeconfig"));
            },
            "tokens",
            Outcome::Ok,
            "have a token",
            "",
        ),
        (
            &|world| {
                world["election"]["spec"]["releaseDelaySeconds"] = json!(1);
                world["pods"][0]["spec"]["terminationGracePeriodSeconds"] = json!(1);
            },
            "grace-periods",
            Outcome::Warning,
            "billing-0: 1 s are over before the release delay of 1 s is; others wait 15 s",
            "terminationGracePeriodSeconds: 6",
        ),
    ]);
}

#[test]
fn what_becomes_of_the_file() {
    let mount = |world: &mut Value, key: &str, value: Value| agent(world)["volumeMounts"][0][key] = value;
    are_found(&[
        (
            &|world| world["pods"][0]["spec"]["containers"][0]["volumeMounts"] = json!([]),
            "volumes",
            Outcome::Error,
            "billing-0: volume leader-election is mounted in no other container, so that app cannot see who leads",
            "volumeMounts: [{name: leader-election, mountPath: /run/leader-election, readOnly: true}]",
        ),
        (
            &|world| {
                world["pods"][0]["spec"]["containers"][0]["volumeMounts"] = json!([]);
                set(world, "HTTP_ADDRESS", Some("127.0.0.1:4040"));
            },
            "volumes",
            Outcome::Ok,
            "apps see",
            "",
        ),
        (
            &|world| set(world, "STATUS_FILE", None),
            "volumes",
            Outcome::Error,
            "no volume is mounted at /tmp/leader_status in container leader-elector",
            "emptyDir",
        ),
        (
            &|world| mount(world, "readOnly", json!(true)),
            "volumes",
            Outcome::Error,
            "volume leader-election is read-only in container leader-elector",
            "no readOnly",
        ),
        (
            // As the old sidecar's manifest has it.
            &|world| {
                set(world, "STATUS_FILE", None);
                mount(world, "mountPath", json!("/tmp/leader_status"));
            },
            "volumes",
            Outcome::Warning,
            "makes that a folder: the file is /tmp/leader_status/leader_status",
            "set STATUS_FILE to a file in it",
        ),
        (
            // A folder that is named as one.
            &|world| set(world, "STATUS_FILE", Some("/run/leader-election")),
            "volumes",
            Outcome::Ok,
            "apps see",
            "",
        ),
        (
            &|world| mount(world, "subPath", json!("here")),
            "volumes",
            Outcome::Warning,
            "is mounted by subPath in container leader-elector",
            "mount the volume whole",
        ),
        (
            &|world| volume(world, json!({"emptyDir": {}})),
            "volumes",
            Outcome::Warning,
            "billing-0, billing-1: volume leader-election lies on the node's disk",
            "medium: Memory",
        ),
        (
            &|world| volume(world, json!({"persistentVolumeClaim": {"claimName": "files"}})),
            "volumes",
            Outcome::Error,
            "is shared with other candidates",
            "medium: Memory",
        ),
        (
            &|world| volume(world, json!({"hostPath": {"path": "/run/election"}})),
            "volumes",
            Outcome::Error,
            "is shared with other candidates",
            "medium: Memory",
        ),
        (
            &|world| {
                volume(world, json!({"hostPath": {"path": "/run/election"}}));
                world["pods"][1]["spec"]["nodeName"] = json!("node-2");
            },
            "volumes",
            Outcome::Warning,
            "is no emptyDir, and outlives the pod",
            "medium: Memory",
        ),
    ]);
}

#[test]
fn an_agent_beside_the_app_or_in_its_container_is_one() {
    let beside = |world: &mut Value| {
        let spec = &mut world["pods"][0]["spec"];
        let agent = spec["initContainers"][0].take();
        spec["initContainers"] = json!([]);
        spec["containers"].as_array_mut().unwrap().push(agent);
        let status = &mut world["pods"][0]["status"];
        status["containerStatuses"] = status["initContainerStatuses"].take();
    };
    let within = |world: &mut Value| {
        world["pods"][0]["metadata"]["labels"]["leader-elector.io/injection"] = json!("disabled");
        world["pods"][0]["spec"]["initContainers"] = json!([]);
        world["pods"][0]["spec"]["containers"][0]["env"] = json!([{"name": "LEASE_NAME", "value": "billing"}]);
        let token = json!([{"name": "token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}]);
        world["pods"][0]["spec"]["containers"][0]["volumeMounts"] = token;
        let mut status = world["pods"][0]["status"]["initContainerStatuses"].take();
        status[0]["name"] = json!("app");
        world["pods"][0]["status"]["containerStatuses"] = status;
    };
    for change in [&beside as &dyn Fn(&mut Value), &within] {
        let is_ill = |it: &Finding| !matches!(it.result, Outcome::Ok | Outcome::NotApplicable);
        assert_eq!(said(change).into_iter().filter(is_ill).collect::<Vec<_>>(), []);
    }
}

#[test]
fn what_kubelet_says_of_an_agent() {
    let terminated = |code: i32, reason: &str, message: &str| json!({"terminated": {"exitCode": code, "reason": reason, "message": message}});
    are_found(&[
        (
            &|world| {
                let last = terminated(2, "Error", "starting\nerror: no LEASE_NAME: set it\n");
                reported(world, json!({"waiting": {"reason": "CrashLoopBackOff"}}), last);
            },
            "containers",
            Outcome::Error,
            "does not run (CrashLoopBackOff); last it ended with exit code 2, for settings that cannot work: error: no LEASE_NAME: set it",
            "kubectl -n shop logs billing-0 -c leader-elector --previous",
        ),
        (
            &|world| reported(world, json!({"running": {}}), terminated(137, "OOMKilled", "")),
            "containers",
            Outcome::Warning,
            "was restarted; last it ended with exit code 137 (OOMKilled)",
            "--previous",
        ),
        (
            &|world| reported(world, json!({"waiting": {"reason": "ImagePullBackOff"}}), json!(null)),
            "containers",
            Outcome::Error,
            "container leader-elector is not started: ImagePullBackOff",
            "kubectl -n shop describe pod billing-0",
        ),
        (
            &|world| reported(world, json!({"waiting": {"reason": "PodInitializing"}}), json!(null)),
            "containers",
            Outcome::Warning,
            "is about to be started",
            "describe pod billing-0",
        ),
        (
            &|world| reported(world, terminated(1, "Error", ""), json!(null)),
            "containers",
            Outcome::Error,
            "container leader-elector ended with exit code 1",
            "logs billing-0",
        ),
        (
            &|world| world["pods"][0]["status"] = json!({"phase": "Pending"}),
            "containers",
            Outcome::Warning,
            "is not started; the pod is Pending",
            "describe pod billing-0",
        ),
        (
            &|world| agent(world)["image"] = json!("leader-elector/agent:edge"),
            "versions",
            Outcome::Warning,
            concat!(
                "agents are of 2 images: leader-elector/agent:",
                env!("CARGO_PKG_VERSION"),
                " in billing-1; leader-elector/agent:edge in billing-0"
            ),
            "restart the workload",
        ),
    ]);
}

#[test]
fn pods_with_the_same_trouble_are_one_line() {
    let many = |world: &mut Value| {
        let pods: Vec<Value> = (0..5).map(|at| pod(&format!("billing-{at}"), &format!("{at}"))).collect();
        world["pods"] = json!(pods);
        for pod in world["pods"].as_array_mut().unwrap() {
            pod["spec"]["containers"][0]["volumeMounts"] = json!([]);
        }
    };
    let findings = said(many);
    let volumes: Vec<&Finding> = findings.iter().filter(|finding| finding.check == "volumes").collect();
    assert_eq!(volumes.len(), 1, "{volumes:#?}");
    assert!(volumes[0].message.starts_with("billing-0, billing-1, billing-2 and 2 more: volume "), "{volumes:#?}");
}

/// Whoever has ended, or is about to, is no candidate any more.
#[test]
fn pods_that_are_over_are_not_looked_at() {
    let over = |world: &mut Value| {
        without_agent(world);
        world["pods"][0]["status"]["phase"] = json!("Succeeded");
        world["pods"][1]["metadata"]["deletionTimestamp"] = json!("2026-11-27T12:00:00Z");
    };
    are_found(&[(&over, "pods", Outcome::Error, "no pod matches", ""), (&over, "holder", Outcome::Ok, "leads", "")]);
}
