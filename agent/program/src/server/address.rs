//! Addresses to listen on, as people write them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Reads an address such as `127.0.0.1:4040`, `[::1]:4040` or `localhost:4040`. `:4040`, `*:4040` and `4040` mean all
/// addresses of this machine.
///
/// # Errors
/// Which forms are valid.
pub fn parse(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    let ip = match host {
        "" | "*" => Some(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        "localhost" => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        _ => None,
    };
    // A number may begin with a sign, a port may not.
    let port = port.parse().ok().filter(|_| port.bytes().all(|byte| byte.is_ascii_digit()));
    let address = ip.zip(port).map(|(ip, port)| SocketAddr::new(ip, port));
    address.ok_or_else(|| "it is no address and port such as 127.0.0.1:4040, [::]:4040 or :4040".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_means_what_people_mean() {
        for (text, address) in [
            ("127.0.0.1:4040", "127.0.0.1:4040"),
            ("[::1]:4040", "[::1]:4040"),
            ("localhost:4040", "127.0.0.1:4040"),
            (":4040", "[::]:4040"),
            ("*:4040", "[::]:4040"),
            ("4040", "[::]:4040"),
        ] {
            assert_eq!(parse(text).map(|it| it.to_string()), Ok(address.to_owned()), "{text}");
        }
        for text in [
            "",
            ":",
            "127.0.0.1",
            "127.0.0.1:99999",
            "[::1:4040",
            "::1",
            "a:4040",
            "+40",
            "http://localhost:4040",
            "4040 ",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
