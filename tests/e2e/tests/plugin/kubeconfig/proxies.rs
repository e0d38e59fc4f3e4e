//! Proxies that variables and kubeconfigs name.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// A proxy that passes on by CONNECT, and by SOCKS 5 without a password, whatever it is asked for, to `upstream`: what is
/// named is on no network.
struct Proxy {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Proxy {
    async fn start(upstream: SocketAddr) -> Result<Proxy> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, connections) = (listener.local_addr()?, Arc::new(AtomicUsize::new(0)));
        let counted = connections.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(pass_on(client, upstream));
            }
        });
        Ok(Proxy { address, connections })
    }

    /// How many connections there were since the last time.
    fn taken(&self) -> usize {
        self.connections.swap(0, Ordering::Relaxed)
    }
}

async fn pass_on(mut client: TcpStream, upstream: SocketAddr) -> Result<()> {
    let first = client.read_u8().await?;
    if first == 5 {
        let methods = client.read_u8().await?;
        client.read_exact(&mut vec![0; methods.into()]).await?;
        client.write_all(&[5, 0]).await?;
        let mut request = [0; 4];
        client.read_exact(&mut request).await?;
        let length = match request[3] {
            1 => 4,
            4 => 16,
            _ => client.read_u8().await?.into(),
        };
        client.read_exact(&mut vec![0; length + 2]).await?;
        client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    } else {
        let mut head = vec![first];
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await?);
        }
        ensure!(head.starts_with(b"CONNECT "), "no CONNECT");
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    }
    let mut server = TcpStream::connect(upstream).await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

/// The control plane as a host that only the proxy knows: its certificate is good for that address.
const HOST: &str = "10.0.0.1";

fn kubeconfig(plane: &ControlPlane, proxy: Option<String>) -> Result<String> {
    let mut value: Value = serde_yaml_ng::from_str(&fs::read_to_string(plane.kubeconfig())?)?;
    value["clusters"][0]["cluster"]["server"] = json!(format!("https://{HOST}:6443"));
    value["clusters"][0]["cluster"]["proxy-url"] = json!(proxy);
    Ok(value.to_string())
}

#[tokio::test]
async fn a_proxy_is_asked_where_kubectl_asks_it() {
    let (plane, namespace) = (plane().await.unwrap(), namespace("proxies").await.unwrap());
    let proxy = Proxy::start(plane.address()).await.unwrap();
    let at = |scheme: &str| format!("{scheme}{}", proxy.address);
    let all_of = |name: &'static str, value: String| vec![(name, value)];
    let cases = [
        (None, all_of("HTTPS_PROXY", at("http://"))),
        (None, all_of("https_proxy", at("http://"))),
        (None, all_of("HTTPS_PROXY", at(""))),
        (None, all_of("HTTPS_PROXY", at("socks5://"))),
        (None, vec![("HTTPS_PROXY", at("http://")), ("NO_PROXY", "example.com,11.0.0.0/8".to_owned())]),
        (Some(at("http://")), vec![]),
        (Some(at("socks5://")), vec![]),
        // What the file says is not for variables to take back.
        (Some(at("http://")), all_of("NO_PROXY", HOST.to_owned())),
    ];
    for (number, (named, variables)) in cases.into_iter().enumerate() {
        let mut setting = Setting::new().unwrap();
        setting.write("kubeconfig", kubeconfig(plane, named.clone()).unwrap()).unwrap();
        setting.set("KUBECONFIG", "kubeconfig");
        variables.iter().for_each(|(name, value)| setting.set(name, value));
        let outcome = agree(&setting, namespace.name(), &format!("proxy-{number}"), &[]).await;
        assert_eq!(outcome.unwrap(), Outcome::Works, "{named:?} {variables:?}");
        assert!(proxy.taken() >= 4, "{named:?} {variables:?}: somebody went past it");
    }
}

#[tokio::test]
async fn a_proxy_that_cannot_be_one_is_refused_and_one_that_is_not_meant_is_not_asked() {
    let (plane, namespace) = (plane().await.unwrap(), namespace("no-proxy").await.unwrap());
    let mut setting = Setting::new().unwrap();
    setting.write("kubeconfig", kubeconfig(plane, Some("ftp://127.0.0.1:1".to_owned())).unwrap()).unwrap();
    setting.set("KUBECONFIG", "kubeconfig");
    let outcome = agree(&setting, namespace.name(), "ftp", &[]).await.unwrap();
    assert!(matches!(outcome, Outcome::Refused(..)), "{outcome:?}");

    // This machine is asked directly, whatever the variables say.
    let proxy = Proxy::start(plane.address()).await.unwrap();
    let mut setting = Setting::new().unwrap();
    setting.set("KUBECONFIG", plane.kubeconfig().to_str().unwrap());
    setting.set("HTTPS_PROXY", &format!("http://{}", proxy.address));
    assert_eq!(agree(&setting, namespace.name(), "local", &[]).await.unwrap(), Outcome::Works);
    assert_eq!(proxy.taken(), 0);
}
