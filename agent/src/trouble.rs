//! What keeps a candidate from contending, said once per change.

use std::error::Error as _;
use std::fmt;

use elector_crds::lease::Oddity;
use kube::Error;

/// A reason why somebody should look, in the words of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No answer, or none that says anything.
    Unreachable(String),
    /// 401.
    Unauthorized,
    /// 403: which verb is missing.
    Forbidden(&'static str),
    /// Any other refusal.
    Refused(String),
    /// The Lease cannot be read as one.
    Garbage(String),
}

impl Trouble {
    pub(crate) fn of_error(error: &Error, verb: &'static str) -> Trouble {
        match error {
            Error::Api(status) if status.code == 401 => Trouble::Unauthorized,
            Error::Api(status) if status.code == 403 => Trouble::Forbidden(verb),
            Error::Api(status) if status.code < 500 => Trouble::Refused(status.message.clone()),
            _ => Trouble::Unreachable(with_sources(error)),
        }
    }

    pub(crate) fn of_oddities(oddities: &[Oddity]) -> Option<Trouble> {
        let said: Vec<String> = oddities.iter().map(ToString::to_string).collect();
        (!said.is_empty()).then(|| Trouble::Garbage(said.join("; ")))
    }
}

/// The last cause is the one that tells what happened.
fn with_sources(error: &Error) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_said = cause.to_string();
        if !said.contains(&cause_said) {
            said = format!("{said}: {cause_said}");
        }
        source = cause.source();
    }
    said
}

/// Remembers what was said, so that each change is said once.
#[derive(Debug)]
pub(crate) struct Troubles {
    namespace: String,
    lease: String,
    requests: Option<Trouble>,
    watch: Option<Trouble>,
}

impl Troubles {
    pub(crate) fn new(namespace: &str, lease: &str) -> Troubles {
        Troubles { namespace: namespace.to_owned(), lease: lease.to_owned(), requests: None, watch: None }
    }

    pub(crate) fn of_requests(&mut self, trouble: Option<Trouble>) {
        if self.requests != trouble {
            self.say(trouble.as_ref());
            self.requests = trouble;
        }
    }

    /// The API server answered that there is no Lease. Whoever may not create one learns nothing new by that.
    pub(crate) fn of_missing_lease(&mut self) {
        if self.requests != Some(Trouble::Forbidden("create")) {
            self.of_requests(None);
        }
    }

    pub(crate) fn of_watch(&mut self, trouble: Option<Trouble>) {
        if self.watch != trouble {
            self.say(trouble.as_ref());
            self.watch = trouble;
        }
    }

    fn say(&self, trouble: Option<&Trouble>) {
        let (namespace, lease) = (&self.namespace, &self.lease);
        match trouble {
            Some(trouble) => tracing::warn!(%namespace, %lease, "{}", Said { trouble, namespace, lease }),
            None => tracing::info!(%namespace, %lease, "API server answers again"),
        }
    }
}

struct Said<'a> {
    trouble: &'a Trouble,
    namespace: &'a str,
    lease: &'a str,
}

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Said { trouble, namespace, lease } = self;
        match trouble {
            Trouble::Unreachable(why) => write!(f, "failed to reach the API server: {why}"),
            Trouble::Unauthorized => f.write_str("API server does not accept the token: reading it again"),
            Trouble::Forbidden("create") => {
                write!(
                    f,
                    "no LeaderElection {lease} in {namespace}: apply one, or allow this service account to create leases"
                )
            }
            Trouble::Forbidden(verb) => write!(
                f,
                "not allowed to {verb} lease {lease} in {namespace}: a Role must grant get, list, watch and update on \
                 leases.coordination.k8s.io with resourceNames [{lease}]; a LeaderElection that lists this service account makes it"
            ),
            Trouble::Refused(why) => write!(f, "API server refused: {why}"),
            Trouble::Garbage(why) => write!(f, "lease holds what cannot be used: {why}"),
        }
    }
}
