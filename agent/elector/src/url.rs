//! Checks of a URL that parsers leave out: they take any number for a port, and use the scheme's default in place of an
//! impossible one.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Whether `authority`, the part of a URL with this `host`, names no port or a possible one.
#[must_use]
pub fn has_possible_port(authority: &str, host: &str) -> bool {
    let without_user = authority.rsplit_once('@').map_or(authority, |(_, rest)| rest);
    match without_user.strip_prefix(host) {
        Some("") => true,
        Some(rest) => rest.strip_prefix(':').is_some_and(is_port),
        None => false,
    }
}

fn is_port(text: &str) -> bool {
    // A number may begin with a sign, a port may not.
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Whether `host` is an IP address, an IPv6 one in brackets, or a possible DNS name.
#[must_use]
pub fn is_possible_host(host: &str) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    // As browsers have it: what ends in a number is an address, or nothing.
    let ends_in_number = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    let is_name = name.len() <= 253 && name.split('.').all(is_label);
    host.parse::<Ipv4Addr>().is_ok() || (is_name && !ends_in_number)
}

/// Whether this is a possible label of a DNS name. Underscores are allowed: names that clusters resolve have them,
/// unlike hostnames.
fn is_label(label: &str) -> bool {
    let is_inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=63).contains(&label.len()) && label.bytes().all(is_inside) && !label.starts_with('-') && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_a_number_that_there_can_be_or_is_left_out() {
        for (authority, host) in
            [("a", "a"), ("a:1", "a"), ("a:65535", "a"), ("[::1]", "[::1]"), ("[::1]:80", "[::1]"), ("u:p@a:80", "a")]
        {
            assert!(has_possible_port(authority, host), "{authority}");
        }
        for authority in ["a:", "a:0", "a:65536", "a:99999", "a:+80", "a:-1", "a:8o", "a: 80", "a80", "b:80", "a:80:80"]
        {
            assert!(!has_possible_port(authority, "a"), "{authority}");
        }
    }

    #[test]
    fn a_host_is_an_address_or_a_name() {
        for host in ["a", "a.b-c.d", "127.0.0.1", "[::1]", "_a.b", "a.", "1a", "1.a", &"a".repeat(63)] {
            assert!(is_possible_host(host), "{host}");
        }
        let long = "a".repeat(64);
        let longer = "a.".repeat(127) + "a";
        for host in [
            "",
            ".",
            "a..b",
            "-a",
            "a-",
            "1.2.3.256",
            "127.1",
            "1.2.3.4.5",
            "[::1",
            "[fe80::1%eth0]",
            "[a]",
            "::1",
            "a*b",
            "a b",
            &*long,
            &*longer,
        ] {
            assert!(!is_possible_host(host), "{host}");
        }
    }
}
