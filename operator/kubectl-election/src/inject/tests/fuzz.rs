//! Pods with anything in them.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{POD, changed};
use crate::inject::read;

/// Strings that a reader of YAML 1.1 may take for something else, or that are hard to print.
fn texts() -> impl Strategy<Value = String> {
    let odd = [
        "",
        "y",
        "no",
        "on",
        "Off",
        "null",
        "~",
        "0644",
        "0x10",
        "1e3",
        "1_000",
        "2001-01-01",
        "12:30:45",
        ".inf",
        "- a",
        "a: b",
        "a #b",
        "#",
        "&a",
        "*a",
        "!t",
        "%",
        "@",
        "`",
        "'",
        "\"",
        "\\",
        "a\nb",
        "a\n\nb\n",
        "\n",
        "a\n\n",
        " a\n",
        "\ta",
        "a\tb\n",
        "\r\n",
        "---",
        "...",
        "<<",
        "=",
        "? a",
        "é",
        "\u{1f600}",
        "\u{85}",
        "\u{2028}",
        "\u{feff}",
        "\u{7f}",
        "\0",
        "{a}",
        "[",
        "|",
        ">-",
        "leader-elector",
        "leader-election",
    ];
    prop_oneof![proptest::sample::select(odd.to_vec()).prop_map(str::to_owned), "[a-z0-9:# \\-\n'\"]{0,12}"]
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e9..1e9).prop_map(Value::from),
        texts().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((texts(), inner), 0..4).prop_map(|fields| Value::from(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// A pod with anything in it.
fn pods() -> impl Strategy<Value = Value> {
    let containers = || vec((texts(), values(), vec(values(), 1..3)), 1..3);
    let odd =
        || vec(("[a-z]{1,3}[?:# ]?", values()), 0..3).prop_map(|fields| fields.into_iter().collect::<Map<_, _>>());
    (containers(), containers(), vec(values(), 1..3), odd(), odd()).prop_map(|(init, containers, volumes, spec, metadata)| {
        let container = |(name, env, mounts): (String, Value, Vec<Value>)| json!({"name": name, "env": env, "volumeMounts": mounts});
        let list = |items: Vec<_>| items.into_iter().map(container).collect::<Vec<_>>();
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec});
        pod["metadata"]["labels"] = json!({"leader-elector.io/election": "billing"});
        pod["spec"]["initContainers"] = list(init).into();
        pod["spec"]["containers"] = list(containers).into();
        pod["spec"]["volumes"] = volumes.into();
        pod
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn to_inject_and_uninject_changes_nothing_and_twice_is_once(pod in pods(), is_json in any::<bool>()) {
        let text = if is_json { pod.to_string() } else { serde_yaml_ng::to_string(&pod).unwrap() };
        let tree = |text: &str| if is_json { read::json(text).unwrap() } else { read::yaml(text).unwrap().unwrap().0 };
        if let Ok(out) = changed(&[], &text) {
            prop_assert_eq!(changed(&[], &out).unwrap(), out.clone());
            let undone = changed(&["--uninject"], &out).unwrap();
            prop_assert_eq!(tree(&undone), tree(&text), "{}", undone);
        }
    }

    #[test]
    fn no_text_is_too_much(text in "[\\[\\]{}:,&*!|>'\"\\-\n a0~#?%\\\\\t\r]{0,60}", at in 0..POD.len(), until in 0..POD.len()) {
        drop(changed(&["--election=billing"], &text));
        let edited = format!("{}{text}{}", &POD[..at.min(until)], &POD[at.max(until)..]);
        if let Ok(out) = changed(&[], &edited) {
            prop_assert_eq!(changed(&[], &out).unwrap(), out);
        }
    }
}
