//! The proxy through which the API server of a kubeconfig is reached, as kubectl chooses it.

use std::env;
use std::net::IpAddr;

use http::Uri;
use http::uri::{Authority, Scheme};
use ipnet::IpNet;

use super::kubeconfig::nonempty;
use super::server::without_user;
use crate::url::has_possible_port;

/// The proxy that a kubeconfig names, or else `HTTPS_PROXY`, or `HTTP_PROXY` for a server without TLS. `None` if
/// `NO_PROXY` exempts the API server.
///
/// # Errors
/// If the proxy is no URL, or one of an unknown kind.
pub(super) fn of(server: &Uri, named: Option<&str>) -> Result<Option<Uri>, String> {
    if let Some(named) = named {
        return parse(named).map(Some);
    }
    let variable = |upper: &str| {
        let lower = upper.to_ascii_lowercase();
        nonempty(env::var(upper).ok()).or_else(|| nonempty(env::var(lower).ok()))
    };
    let proxy = variable(if server.scheme() == Some(&Scheme::HTTPS) { "HTTPS_PROXY" } else { "HTTP_PROXY" });
    let is_asked = |_: &String| !is_exempt(server, &variable("NO_PROXY").unwrap_or_default());
    proxy.filter(is_asked).map(|proxy| parse(&proxy)).transpose()
}

/// The server's URL with a port, which a proxy must be told.
pub(super) fn with_port(server: Uri) -> Uri {
    if server.port().is_some() {
        return server;
    }
    let port = default_port(&server);
    let mut parts = server.clone().into_parts();
    parts.authority = server.host().and_then(|host| Authority::try_from(format!("{host}:{port}")).ok());
    Uri::from_parts(parts).unwrap_or(server)
}

fn default_port(server: &Uri) -> u16 {
    if server.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 }
}

/// Whether `server` is this machine, or is listed in `no_proxy` by the rules of Go's clients. An entry is a name with
/// all names below it, an address or a range of addresses; a port restricts the entry to that port.
fn is_exempt(server: &Uri, no_proxy: &str) -> bool {
    let host = server.host().unwrap_or_default().trim_matches(['[', ']']).to_ascii_lowercase();
    let port = server.port_u16().unwrap_or_else(|| default_port(server)).to_string();
    let address = host.parse().map(|address: IpAddr| address.to_canonical()).ok();
    if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
        return true;
    }
    no_proxy.split(',').any(|entry| {
        let entry = entry.trim().to_ascii_lowercase();
        if entry == "*" {
            return true;
        }
        if let Ok(range) = entry.parse::<IpNet>() {
            return address.is_some_and(|address| range.contains(&address));
        }
        let (name, of_port) = host_and_port(&entry);
        if of_port.is_some_and(|of_port| of_port != port) {
            return false;
        }
        if let Ok(exempt) = name.parse::<IpAddr>() {
            return address == Some(exempt.to_canonical());
        }
        let name = name.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(name);
        match name {
            "" | "." => false,
            _ if name.starts_with('.') => host.ends_with(name),
            _ => host == name || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.')),
        }
    })
}

/// The host and the port of `name`, `name:port`, `[address]:port` or an address, which may have colons itself.
fn host_and_port(entry: &str) -> (&str, Option<&str>) {
    if let Some((address, rest)) = entry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (address, rest.strip_prefix(':').filter(|port| !port.is_empty()));
    }
    match entry.split_once(':') {
        Some((name, port)) if !port.contains(':') => (name, Some(port).filter(|port| !port.is_empty())),
        Some(_) | None => (entry, None),
    }
}

fn parse(text: &str) -> Result<Uri, String> {
    let named = format!("the proxy {:?}", without_user(text));
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    // Names are looked up by the proxy in both.
    let with_scheme = with_scheme.replacen("socks5h://", "socks5://", 1);
    let uri: Option<Uri> = with_scheme.parse().ok();
    let uri = uri.filter(|uri| uri.host().is_some_and(|host| !host.is_empty()));
    let uri = uri.ok_or_else(|| format!("{named} is no URL"))?;
    let (authority, host) = (uri.authority().map_or("", Authority::as_str), uri.host().unwrap_or_default());
    if !has_possible_port(authority, host) {
        return Err(format!("{named} cannot be asked: its port must be a number from 1 to 65535"));
    }
    match uri.scheme_str() {
        Some("http" | "https") => Ok(uri),
        Some("socks5") if authority.contains('@') => {
            Err(format!("{named} asks for a password, which is not sent to SOCKS proxies: http and https are known"))
        }
        Some("socks5") if uri.port().is_none() => {
            format!("socks5://{host}:1080").parse().map_err(|_| format!("{named} is no URL"))
        }
        Some("socks5") => Ok(uri),
        _ => Err(format!("{named} cannot be used: http, https and socks5 are known")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn server(text: &str) -> Uri {
        text.parse().unwrap()
    }

    #[test]
    fn who_is_exempt_is_named_by_host_domain_address_or_range() {
        for (no_proxy, host) in [
            ("api.example.com", "api.example.com"),
            ("example.com", "api.example.com"),
            ("EXAMPLE.com", "api.Example.com"),
            (".example.com", "api.example.com"),
            ("*.example.com", "api.example.com"),
            ("a, example.com", "api.example.com"),
            ("example.com:6443", "api.example.com"),
            ("10.0.0.1", "10.0.0.1"),
            ("10.0.0.1:6443", "10.0.0.1"),
            ("10.0.0.0/8", "10.1.2.3"),
            ("fd00::/8", "[fd00::1]"),
            ("fd00::1", "[fd00::1]"),
            ("[fd00::1]:6443", "[fd00::1]"),
            ("*", "anything"),
            ("*", "10.0.0.1"),
            ("", "localhost"),
            ("", "127.1.2.3"),
            ("", "[::1]"),
            ("", "[::ffff:127.0.0.1]"),
        ] {
            assert!(is_exempt(&server(&format!("https://{host}:6443")), no_proxy), "{no_proxy} {host}");
        }
        for (no_proxy, host) in [
            ("", "a"),
            ("b", "a"),
            ("ample.com", "example.com"),
            (".example.com", "example.com"),
            ("*.example.com", "example.com"),
            ("example.com:443", "example.com"),
            ("10.0.0.1:443", "10.0.0.1"),
            ("10.0.0.0/8", "11.0.0.1"),
            (".", "a"),
            (":6443", "a"),
            ("*.", "a"),
            ("", "localhost.example"),
        ] {
            assert!(!is_exempt(&server(&format!("https://{host}:6443")), no_proxy), "{no_proxy} {host}");
        }
    }

    #[test]
    fn a_proxy_is_a_url_or_a_host_and_a_port() {
        for (text, url) in [
            ("proxy:3128", "http://proxy:3128/"),
            ("http://user:word@proxy", "http://user:word@proxy/"),
            ("https://proxy", "https://proxy/"),
            ("socks5://proxy:1080", "socks5://proxy:1080/"),
            ("socks5h://proxy", "socks5://proxy:1080/"),
        ] {
            assert_eq!(parse(text).map(|uri| uri.to_string()), Ok(url.to_owned()), "{text}");
        }
        for text in ["", "ftp://proxy", "http://", "a b", "\n", "proxy:99999", "proxy:abc", "socks5://user:word@proxy"]
        {
            let refused = parse(text).unwrap_err();
            assert_eq!((refused.lines().count(), refused.contains("word@")), (1, false), "{text:?}: {refused}");
        }
    }

    #[test]
    fn a_proxy_is_told_the_port() {
        for (text, with) in
            [("https://a", "https://a:443/"), ("http://a", "http://a:80/"), ("http://a:1/b", "http://a:1/b")]
        {
            assert_eq!(with_port(server(text)).to_string(), with);
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_much(text in "\\PC{0,64}") {
            drop(parse(&text));
            is_exempt(&server("https://10.0.0.1:6443"), &text);
            is_exempt(&server("https://api.example.com"), &text);
        }
    }
}
