//! The API server's address, as kubeconfigs write it.

use http::Uri;

use crate::url::has_possible_port;

/// The longest address, in bytes: requests add their paths to it, and a URL has 64 KiB at most.
const MAX_BYTES: usize = 4096;

/// Parses `http` or `https`, a host and a port. An address without a scheme, such as `localhost:8001`, means `http`.
///
/// # Errors
/// What is wrong with the address.
pub(super) fn parse(text: &str) -> Result<Uri, String> {
    let named = format!("the API server {:?}", without_user(text));
    if text.len() > MAX_BYTES {
        return Err(format!("the API server's address has more than {MAX_BYTES} bytes"));
    }
    let (scheme, rest) = match split(text) {
        Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
        // What has no scheme is no more than host and port.
        None if text.strip_suffix('/').unwrap_or(text).contains('/') => {
            return Err(format!("{named} is neither a URL nor a host and port"));
        }
        None => ("http".to_owned(), text),
    };
    if scheme != "http" && scheme != "https" {
        return Err(format!("{named} cannot be asked: only http and https can"));
    }
    let rest = &rest[..rest.find(['?', '#']).unwrap_or(rest.len())];
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    // An empty port is the scheme's.
    let authority = authority.strip_suffix(':').unwrap_or(authority);
    let uri: Option<Uri> = format!("{scheme}://{authority}{path}").parse().ok();
    let uri = uri.filter(|uri| uri.host().is_some_and(|host| !host.is_empty()));
    let uri = uri.ok_or_else(|| format!("{named} is no URL"))?;
    if !uri.host().is_some_and(|host| has_possible_port(authority, host)) {
        return Err(format!("{named} cannot be asked: its port must be a number from 1 to 65535"));
    }
    Ok(uri)
}

/// The part of a URL that can be shown: not a name and a password in it.
pub(super) fn without_user(url: &str) -> &str {
    url.rsplit_once('@').map_or(url, |(_, rest)| rest)
}

/// The scheme and the rest of a URL; `None` if one of them is missing.
fn split(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let mut letters = scheme.bytes();
    let begins = letters.next().is_some_and(|byte| byte.is_ascii_alphabetic());
    let is_scheme = begins && letters.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    (is_scheme && !rest.is_empty() && !rest.starts_with('/')).then_some((scheme, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_server_is_a_url_or_a_host_and_a_port() {
        for (text, url) in [
            ("localhost:8001", "http://localhost:8001/"),
            ("127.0.0.1", "http://127.0.0.1/"),
            ("https://[::1]:6443", "https://[::1]:6443/"),
            ("http://localhost:1/", "http://localhost:1/"),
            ("HTTPS://a", "https://a/"),
            ("https://a/prefix", "https://a/prefix"),
            ("https://a:", "https://a/"),
            ("https://user:word@a:1", "https://a:1/"),
            ("https://a?x=y", "https://a/"),
            ("https://a#f", "https://a/"),
        ] {
            assert_eq!(parse(text).map(|uri| uri.to_string()), Ok(url.to_owned()), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_in_one_line() {
        let long = format!("https://a/{}", "b".repeat(MAX_BYTES));
        for text in [
            "",
            "/x",
            "//localhost:1",
            "localhost:1/prefix",
            "ftp://a",
            "http://",
            "https:///x",
            "https://a:99999",
            "https://a:0",
            "a:-1",
            "  http://a",
            "http://a ",
            "https://[::1",
            "a b",
            "https://a\n",
            "\u{0}",
            &long,
        ] {
            let refused = parse(text).unwrap_err();
            assert_eq!(refused.lines().count(), 1, "{text:?}: {refused}");
        }
        assert!(!parse("ftp://user:word@a").unwrap_err().contains("word"));
    }

    proptest! {
        #[test]
        fn no_text_is_too_much(text in "\\PC{0,64}") {
            drop(parse(&text));
            drop(parse(&format!("https://{text}")));
        }
    }
}
