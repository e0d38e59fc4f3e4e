//! Of files and what is in them.

use anyhow::Result;
use elector_harness::process::Process;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};

use super::*;

/// How many are tried at a time.
const AT_ONCE: usize = 4;

type Form = Box<dyn Fn(&mut Setting, &Cluster) -> Result<()> + Send + Sync>;

/// What kubeconfigs say of the control plane.
struct Cluster {
    server: String,
    authority: String,
    token: String,
}

impl Cluster {
    fn value(&self) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "x",
            "clusters": [{"name": "c", "cluster": {"server": self.server, "certificate-authority": self.authority}}],
            "users": [{"name": "u", "user": {"token": self.token}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        })
    }
}

async fn cluster() -> Result<Cluster> {
    let plane = plane().await?;
    let kubeconfig: Value = serde_yaml_ng::from_str(&fs::read_to_string(plane.kubeconfig())?)?;
    let token = kubeconfig["users"][0]["user"]["token"].as_str().context("no token")?.to_owned();
    Ok(Cluster { server: plane.url(), authority: plane.ca().display().to_string(), token })
}

/// One file, `kubeconfig`, that `change` makes of the plain one.
fn changed(change: impl Fn(&mut Value, &Cluster) + Send + Sync + 'static) -> Form {
    Box::new(move |setting, cluster| {
        let mut value = cluster.value();
        change(&mut value, cluster);
        setting.write("kubeconfig", serde_yaml_ng::to_string(&value)?)?;
        let path = setting.path("kubeconfig").display().to_string();
        setting.set("KUBECONFIG", &path);
        Ok(())
    })
}

/// One file with these bytes, made of the plain one's YAML.
fn written(bytes: impl Fn(String) -> Vec<u8> + Send + Sync + 'static) -> Form {
    Box::new(move |setting, cluster| {
        setting.write("kubeconfig", bytes(serde_yaml_ng::to_string(&cluster.value())?))?;
        let path = setting.path("kubeconfig").display().to_string();
        setting.set("KUBECONFIG", &path);
        Ok(())
    })
}

/// `KUBECONFIG` is this, and `kubeconfig` and `empty` are there.
fn listed(list: &'static str) -> Form {
    Box::new(move |setting, cluster| {
        setting.write("kubeconfig", serde_yaml_ng::to_string(&cluster.value())?)?;
        setting.write("empty", "")?;
        setting.write("unset", "current-context: \"\"\ncontexts: null\nclusters:\nusers: []\n")?;
        let other = cluster.value().to_string().replace(&cluster.server, "https://127.0.0.1:9");
        setting.write("other", other)?;
        setting.set("KUBECONFIG", list);
        Ok(())
    })
}

fn utf16(text: &str, mark: [u8; 2], unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
    mark.into_iter().chain(text.encode_utf16().flat_map(unit)).collect()
}

fn user(user: impl Fn(&Cluster) -> Value + Send + Sync + 'static) -> Form {
    changed(move |value, cluster| value["users"][0]["user"] = user(cluster))
}

/// Each with whether kubectl works: that none of them is tried in vain.
fn forms() -> Vec<(&'static str, bool, Form)> {
    vec![
        ("plain", true, changed(|_, _| ())),
        ("at-home", true, Box::new(|setting, cluster| setting.write(".kube/config", cluster.value().to_string()))),
        ("nowhere", false, Box::new(|_, _| Ok(()))),
        (
            "json",
            true,
            written(|text| serde_yaml_ng::from_str::<Value>(&text).map(|it| it.to_string()).unwrap_or_default().into()),
        ),
        ("byte-order-mark", true, written(|text| [b"\xef\xbb\xbf", text.as_bytes()].concat())),
        ("carriage-returns", true, written(|text| text.replace('\n', "\r\n").into())),
        ("utf-16-le", true, written(|text| utf16(&text, [0xff, 0xfe], u16::to_le_bytes))),
        ("utf-16-be", true, written(|text| utf16(&text, [0xfe, 0xff], u16::to_be_bytes))),
        ("utf-16-odd", false, written(|text| [&utf16(&text, [0xff, 0xfe], u16::to_le_bytes)[..], b"a"].concat())),
        ("no-text", false, written(|_| vec![0xff, 0x00, 0x80])),
        ("garbage", false, written(|text| text.replace("name: c", "name: [").into())),
        ("a-word", false, written(|_| b"hello".to_vec())),
        ("a-list", false, written(|_| b"[1]".to_vec())),
        ("empty-file", false, written(|_| Vec::new())),
        ("comments-only", false, written(|_| b"# nothing\n".to_vec())),
        ("two-documents", true, written(|text| format!("{text}---\nclusters: []\n").into())),
        ("key-twice", true, written(|text| text.replace("    token:", "    token: none\n    token:").into())),
        (
            "name-twice",
            false,
            changed(|value, _| {
                let cluster = value["clusters"][0].clone();
                value["clusters"].as_array_mut().into_iter().for_each(|list| list.push(cluster.clone()));
            }),
        ),
        ("of-another-version", false, changed(|value, _| value["apiVersion"] = json!("v2"))),
        ("of-another-kind", false, changed(|value, _| value["kind"] = json!("Pod"))),
        (
            "without-kind",
            true,
            changed(|value, _| {
                value["kind"] = json!("");
                value["apiVersion"] = json!(null);
            }),
        ),
        (
            "unknown-fields",
            true,
            changed(|value, _| {
                value["preferences"] = json!({"colors": true});
                value["clusters"][0]["cluster"]["none"] = json!({"a": [1]});
            }),
        ),
        ("no-current-context", false, changed(|value, _| value["current-context"] = json!(null))),
        ("no-such-context", false, changed(|value, _| value["current-context"] = json!("other"))),
        ("no-such-cluster", false, changed(|value, _| value["contexts"][0]["context"]["cluster"] = json!("d"))),
        ("context-of-nothing", false, changed(|value, _| value["contexts"][0]["context"] = json!(null))),
        (
            "other-context-of-nothing",
            true,
            changed(|value, _| {
                let list = value["contexts"].as_array_mut();
                list.into_iter().for_each(|list| list.insert(0, json!({"name": "other", "context": null})));
            }),
        ),
        ("no-server", false, changed(|value, _| value["clusters"][0]["cluster"]["server"] = json!(""))),
        (
            "authority-inline",
            true,
            changed(|value, cluster| {
                let data = base64(&fs::read(&cluster.authority).unwrap_or_default());
                value["clusters"][0]["cluster"] = json!({"server": cluster.server, "certificate-authority-data": data});
            }),
        ),
        (
            "authority-in-lines",
            true,
            changed(|value, cluster| {
                let data = base64(&fs::read(&cluster.authority).unwrap_or_default());
                let lines: Vec<&str> =
                    data.as_bytes().chunks(64).map(|it| std::str::from_utf8(it).unwrap_or_default()).collect();
                let data = lines.join("\n") + "\n";
                value["clusters"][0]["cluster"] = json!({"server": cluster.server, "certificate-authority-data": data});
            }),
        ),
        (
            "authority-unset",
            true,
            changed(|value, cluster| {
                value["clusters"][0]["cluster"] = json!({"server": cluster.server, "certificate-authority": "",
                                                     "insecure-skip-tls-verify": true});
            }),
        ),
        (
            "authority-missing",
            false,
            changed(|value, _| {
                value["clusters"][0]["cluster"]["certificate-authority"] = json!("/nonexistent/ca.crt");
            }),
        ),
        (
            "authority-no-base64",
            false,
            changed(|value, _| {
                value["clusters"][0]["cluster"]["certificate-authority-data"] = json!("!");
            }),
        ),
        (
            "authority-and-insecure",
            false,
            changed(|value, _| {
                value["clusters"][0]["cluster"]["insecure-skip-tls-verify"] = json!(true);
            }),
        ),
        (
            "server-name",
            true,
            changed(|value, _| value["clusters"][0]["cluster"]["tls-server-name"] = json!("10.0.0.1")),
        ),
        (
            "ends-in-a-slash",
            true,
            changed(|value, cluster| {
                value["clusters"][0]["cluster"]["server"] = json!(format!("{}/", cluster.server));
            }),
        ),
        (
            "another-scheme",
            false,
            changed(|value, _| value["clusters"][0]["cluster"]["server"] = json!("ftp://localhost")),
        ),
        (
            "blanks-in-server",
            false,
            changed(|value, cluster| {
                value["clusters"][0]["cluster"]["server"] = json!(format!("{} ", cluster.server));
            }),
        ),
        (
            "no-such-port",
            false,
            changed(|value, _| {
                value["clusters"][0]["cluster"]["server"] = json!("https://127.0.0.1:99999");
            }),
        ),
        (
            "relative-authority",
            true,
            Box::new(|setting, cluster| {
                setting.write("config/ca.crt", fs::read(&cluster.authority)?)?;
                let text = cluster.value().to_string().replace(&cluster.authority, "ca.crt");
                setting.write("config/kubeconfig", text)?;
                setting.set("KUBECONFIG", "config/kubeconfig");
                Ok(())
            }),
        ),
        (
            "token-file",
            true,
            Box::new(|setting, cluster| {
                setting.write("token", format!("  {}\n", cluster.token))?;
                user(|_| json!({"tokenFile": "token"}))(setting, cluster)
            }),
        ),
        ("token-file-missing", false, user(|_| json!({"tokenFile": "/nonexistent"}))),
        (
            "token-file-empty",
            false,
            Box::new(|setting, cluster| {
                setting.write("token", "\n")?;
                user(|_| json!({"tokenFile": "token"}))(setting, cluster)
            }),
        ),
        ("token-file-unset", true, user(|cluster| json!({"token": cluster.token, "tokenFile": ""}))),
        (
            "token-and-file",
            true,
            Box::new(|setting, cluster| {
                setting.write("token", &cluster.token)?;
                user(|_| json!({"token": "none", "tokenFile": "token"}))(setting, cluster)
            }),
        ),
        (
            "token-and-exec",
            true,
            user(|cluster| {
                json!({"token": cluster.token,
                   "exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "/nonexistent",
                            "interactiveMode": "Never"}})
            }),
        ),
        ("groups-of-nobody", false, user(|cluster| json!({"token": cluster.token, "as-groups": ["system:masters"]}))),
        (
            "exec-without-mode",
            false,
            user(|_| json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "true"}})),
        ),
        (
            "authority-twice",
            false,
            changed(|value, cluster| {
                let data = base64(&fs::read(&cluster.authority).unwrap_or_default());
                value["clusters"][0]["cluster"]["certificate-authority-data"] = json!(data);
            }),
        ),
        ("token-with-a-line-feed", false, user(|cluster| json!({"token": format!("{}\n", cluster.token)}))),
        ("token-and-name", false, user(|cluster| json!({"token": cluster.token, "username": "a", "password": "b"}))),
        (
            "exec",
            true,
            user(|cluster| {
                let credential = json!({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
                                    "status": {"token": cluster.token}});
                json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "printf",
                            "args": ["%s", credential.to_string()], "interactiveMode": "Never"}})
            }),
        ),
        (
            "exec-missing",
            false,
            user(|_| {
                json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "/nonexistent",
                            "interactiveMode": "Never"}})
            }),
        ),
        ("missing-before", true, listed("/nonexistent:kubeconfig")),
        ("missing-behind", true, listed("kubeconfig:/nonexistent")),
        ("empty-before", true, listed("empty:kubeconfig")),
        ("unset-before", true, listed("unset:kubeconfig")),
        ("nothing-before", true, listed("::kubeconfig")),
        ("all-missing", false, listed("/nonexistent:/neither")),
        ("a-folder", false, listed(".:kubeconfig")),
        ("the-first-wins", true, listed("kubeconfig:other")),
    ]
}

fn base64(bytes: &[u8]) -> String {
    let encoded = serde_json::to_value(k8s_openapi::ByteString(bytes.to_owned()));
    encoded.ok().and_then(|it| it.as_str().map(str::to_owned)).unwrap_or_default()
}

#[tokio::test]
async fn every_form_that_kubectl_takes_is_taken_and_no_other() {
    let (cluster, namespace) = (cluster().await.unwrap(), namespace("forms").await.unwrap());
    let judged = stream::iter(forms()).map(|(name, works, form)| {
        let (cluster, namespace) = (&cluster, namespace.name());
        async move {
            let mut setting = Setting::new()?;
            form(&mut setting, cluster)?;
            let outcome = agree(&setting, namespace, name, &[]).await?;
            ensure!((outcome == Outcome::Works) == works, "{name}: kubectl {outcome:?}");
            anyhow::Ok(())
        }
    });
    judged.buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await.unwrap();
}

#[tokio::test]
async fn a_context_that_is_named_counts() {
    let cluster = cluster().await.unwrap();
    let mut setting = Setting::new().unwrap();
    let mut value = cluster.value();
    value["current-context"] = json!("gone");
    setting.write("kubeconfig", value.to_string()).unwrap();
    setting.set("KUBECONFIG", "/nonexistent");
    for (arguments, works) in [
        (&["--kubeconfig=kubeconfig", "--context=x"][..], true),
        (&["--kubeconfig=kubeconfig"], false),
        (&["--kubeconfig=kubeconfig", "--context=other"], false),
        (&["--kubeconfig=/nonexistent"], false),
    ] {
        let outcome = agree(&setting, "none", "named", arguments).await.unwrap();
        assert_eq!(outcome == Outcome::Works, works, "{arguments:?}: {outcome:?}");
    }
}

/// As those who speak to `kubectl proxy` write it.
#[tokio::test]
async fn a_server_without_a_scheme_and_without_tls_is_asked_so() {
    let (plane, namespace) = (plane().await.unwrap(), namespace("plain").await.unwrap());
    let mut setting = Setting::new().unwrap();
    let arguments = ["proxy", "--port=0", "--kubeconfig", plane.kubeconfig().to_str().unwrap()].map(str::to_owned);
    let log = setting.path("proxy.log");
    let proxy = Process::new(Binary::Kubectl.ready().await.unwrap(), arguments.to_vec(), log);
    proxy.start().unwrap();
    let begun = Instant::now();
    let address = loop {
        let said = proxy.log_tail();
        if let Some((_, address)) = said.split_once("Starting to serve on ") {
            break address.trim().replace("127.0.0.1", "localhost");
        }
        assert!(begun.elapsed() < PATIENCE, "{said}");
        sleep(Duration::from_millis(20)).await;
    };
    let value = json!({"clusters": [{"name": "c", "cluster": {"server": address}}],
                       "contexts": [{"name": "x", "context": {"cluster": "c"}}], "current-context": "x"});
    setting.write("kubeconfig", value.to_string()).unwrap();
    setting.set("KUBECONFIG", "kubeconfig");
    let outcome = agree(&setting, namespace.name(), "plain", &[]).await.unwrap();
    assert_eq!(outcome, Outcome::Works);
}
