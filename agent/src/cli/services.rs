//! Settings of the agent's services: how the app is told, beside the files, whether it leads, and how the agent sees
//! that the app is well.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use elector_program::server::address;
use hyper::Uri;
use leader_elector::url;

use crate::services::{Addresses, AppHealth, Hooks, Probe, ServiceOptions};

/// The settings of the services.
#[derive(Debug, Args)]
#[allow(rustdoc::broken_intra_doc_links, reason = "clap shows these comments as they are written")]
pub(crate) struct ServiceArguments {
    /// Address where the app can ask who leads, such as 127.0.0.1:4040 [default: nowhere]
    #[arg(long, env = "HTTP_ADDRESS", value_name = "ADDRESS", value_parser = address::parse)]
    http_address: Option<SocketAddr>,
    /// Address of /metrics, /healthz and /readyz, such as [::]:4041 [default: nowhere]
    #[arg(long, env = "OBSERVE_ADDRESS", value_name = "ADDRESS", value_parser = address::parse)]
    observe_address: Option<SocketAddr>,
    /// Program to run when this pod begins to lead, with arguments separated by spaces; without a shell, so without
    /// quotes
    #[arg(long, env = "ON_ACQUIRED", value_name = "COMMAND")]
    on_acquired: Option<String>,
    /// Program to run when this pod no longer leads, with arguments separated by spaces; without a shell, so without
    /// quotes
    #[arg(long, env = "ON_LOST", value_name = "COMMAND")]
    on_lost: Option<String>,
    /// Seconds after which a program of --on-acquired or --on-lost is killed
    #[arg(long, env = "HOOK_TIMEOUT_SECONDS", value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3600))]
    hook_timeout_seconds: u32,
    /// File that exists while the app is well
    #[arg(long, env = "HEALTH_FILE", value_name = "PATH")]
    health_file: Option<PathBuf>,
    /// URL whose GET is answered with 200 to 399 within a second while the app is well
    #[arg(long, env = "HEALTH_URL", value_name = "URL")]
    health_url: Option<String>,
    /// Seconds between two checks whether the app is well
    #[arg(long, env = "HEALTH_PERIOD_SECONDS", value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=3600))]
    health_period_seconds: u32,
    /// Number of failed checks in a row after which the app is not well: its pod then steps down and leaves the Lease
    /// to others
    #[arg(long, env = "HEALTH_FAILURE_THRESHOLD", value_name = "NUMBER", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    health_failure_threshold: u32,
    /// Seconds for which a pod whose app is not well leaves a free Lease to others; if no app is well, one leads after
    /// that
    #[arg(long, env = "HEALTH_GRACE_SECONDS", value_name = "SECONDS", default_value_t = 60)]
    health_grace_seconds: u32,
}

/// An invalid setting of a service, and what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Both a file and a URL are set as the sign that the app is well.
    #[error("both HEALTH_FILE and HEALTH_URL are set: keep the one that tells whether the app is well")]
    TwoSigns,
    /// The URL cannot be asked.
    #[error("HEALTH_URL {0:?} is no URL such as http://127.0.0.1:8080/healthz; https is not spoken")]
    Url(String),
    /// A command has quotes, which only a shell would understand.
    #[error(
        "{setting} {command:?} has quotes, and no shell reads them: keep them out, or name a script that does the work"
    )]
    Quotes {
        /// The name of the setting.
        setting: &'static str,
        /// The command as given.
        command: String,
    },
}

impl ServiceArguments {
    /// Checks the settings.
    pub(super) fn wanted(&self) -> Result<ServiceOptions, Error> {
        Ok(ServiceOptions {
            addresses: Addresses { app: self.http_address, observe: self.observe_address },
            hooks: self.hooks()?,
            health: self.health()?,
        })
    }

    fn hooks(&self) -> Result<Option<Hooks>, Error> {
        let on_acquired = words("ON_ACQUIRED", self.on_acquired.as_deref())?;
        let on_lost = words("ON_LOST", self.on_lost.as_deref())?;
        let timeout = Duration::from_secs(self.hook_timeout_seconds.into());
        let any = !on_acquired.is_empty() || !on_lost.is_empty();
        Ok(any.then_some(Hooks { on_acquired, on_lost, timeout }))
    }

    fn health(&self) -> Result<Option<AppHealth>, Error> {
        let probe = match (&self.health_file, &self.health_url) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => return Err(Error::TwoSigns),
            (Some(file), None) => Probe::File(file.clone()),
            (None, Some(url)) => Probe::Url(parsed(url).ok_or_else(|| Error::Url(url.clone()))?),
        };
        Ok(Some(AppHealth {
            probe,
            period: Duration::from_secs(self.health_period_seconds.into()),
            failure_threshold: self.health_failure_threshold,
            grace: Duration::from_secs(self.health_grace_seconds.into()),
        }))
    }
}

/// Splits a command into the program and its arguments. Quotes are refused: they would be split like any other text,
/// which is never meant.
fn words(setting: &'static str, command: Option<&str>) -> Result<Vec<String>, Error> {
    let command = command.unwrap_or_default();
    if command.contains(['\'', '"']) {
        return Err(Error::Quotes { setting, command: command.to_owned() });
    }
    Ok(command.split_whitespace().map(str::to_owned).collect())
}

fn parsed(url: &str) -> Option<Uri> {
    let uri: Uri = url.parse().ok()?;
    let (authority, host) = (uri.authority()?, uri.host()?);
    // Nobody is told a name and a password that are in it.
    let is_plain = uri.scheme_str() == Some("http") && !authority.as_str().contains('@');
    let can_be_asked = url::is_possible_host(host) && url::has_possible_port(authority.as_str(), host);
    (is_plain && can_be_asked).then_some(uri)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Alone {
        #[command(flatten)]
        app: ServiceArguments,
    }

    fn wanted(arguments: &[&str]) -> Result<ServiceOptions, Error> {
        Alone::parse_from(["agent"].iter().chain(arguments)).app.wanted()
    }

    #[test]
    fn nothing_is_wanted_unless_it_is_asked_for() {
        assert_eq!(wanted(&[]).unwrap(), ServiceOptions::default());
        assert_eq!(wanted(&["--on-acquired= ", "--hook-timeout-seconds=5"]).unwrap(), ServiceOptions::default());
    }

    #[test]
    fn a_hook_is_a_program_and_its_arguments() {
        let hooks = wanted(&["--on-acquired", "/bin/up  one two", "--on-lost=/bin/down"]).unwrap().hooks.unwrap();
        assert_eq!(hooks.on_acquired, ["/bin/up", "one", "two"]);
        assert_eq!(hooks.on_lost, ["/bin/down"]);
        assert_eq!(hooks.timeout, Duration::from_secs(30));
    }

    #[test]
    fn quotes_are_for_a_shell_and_refused() {
        for (setting, flag) in [("ON_ACQUIRED", "--on-acquired"), ("ON_LOST", "--on-lost")] {
            for command in [r#"sh -c "touch /tmp/a""#, "echo it's", "'/bin/up'"] {
                let refused = wanted(&[flag, command]).unwrap_err().to_string();
                assert!(refused.starts_with(setting) && refused.contains("name a script"), "{command}: {refused}");
            }
        }
    }

    #[test]
    fn the_app_is_asked_by_plain_http_alone() {
        let schemes = ["https://127.0.0.1/", "127.0.0.1:80", "/healthz", "http://", "http:///x", "ftp://a/b", "ü"];
        let ports =
            ["http://a:99999/", "http://a:/", "http://a:0", "http://a:+80", "http://a:8o/", "http://[::1]:65536/"];
        let hosts = [
            "http://u:p@a/",
            "http://a..b/",
            "http://1.2.3.256/",
            "http://[::1/",
            "http://[a]/",
            "http://a b/",
            "http://a/\n",
        ];
        for url in [&schemes[..], &ports, &hosts].concat() {
            let refused = wanted(&["--health-url", url]).unwrap_err().to_string();
            assert!(refused.contains("no URL such as http://127.0.0.1:8080/healthz"), "{url}: {refused}");
        }
        for url in ["http://127.0.0.1:8080/healthz", "http://localhost", "http://[::1]:80/a?b", "http://a:65535"] {
            assert!(matches!(wanted(&["--health-url", url]).unwrap().health.unwrap().probe, Probe::Url(_)), "{url}");
        }
        assert!(matches!(wanted(&["--health-url=http://a", "--health-file=/a"]), Err(Error::TwoSigns)));
    }
}
