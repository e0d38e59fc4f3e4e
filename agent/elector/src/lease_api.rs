//! The three requests that an election makes, each with a fate: stored, refused, or unknown.

use std::time::Duration;

use elector_crds::{ReleaseReason, StoredLease};
use elector_election::{Answer, Request};
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, Error};

use crate::problem::{Problem, is_refusal};

/// The result of a request.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The answer, for the election.
    pub(crate) answer: Answer,
    /// The whole stored object that the answer holds.
    pub(crate) object: Option<StoredLease>,
    /// The problem to log, if there is one.
    pub(crate) problem: Option<Problem>,
}

impl Reply {
    fn without_object(answer: Answer, problem: Option<Problem>) -> Reply {
        Reply { answer, object: None, problem }
    }
}

/// Access to one Lease.
#[derive(Debug, Clone)]
pub(crate) struct LeaseApi {
    leases: Api<StoredLease>,
    name: String,
}

impl LeaseApi {
    pub(crate) fn new(client: Client, namespace: &str, name: &str) -> LeaseApi {
        LeaseApi { leases: Api::namespaced(client, namespace), name: name.to_owned() }
    }

    /// Sends `request`. An update starts from `base`, whose other fields stay as they are. A release states `reason`.
    pub(crate) async fn send(
        self,
        request: Request,
        reason: Option<ReleaseReason>,
        base: Option<StoredLease>,
        timeout: Duration,
    ) -> Reply {
        let reading = request == Request::Get;
        let verb = verb(&request);
        match tokio::time::timeout(timeout, self.call(request, reason, base)).await {
            Ok(Ok(object)) => found(object, reading),
            Ok(Err(error)) => failed(&error, verb),
            Err(_) => {
                Reply::without_object(Answer::Unknown, Some(Problem::Unreachable(format!("no answer to {verb}"))))
            }
        }
    }

    async fn call(
        &self,
        request: Request,
        reason: Option<ReleaseReason>,
        base: Option<StoredLease>,
    ) -> kube::Result<StoredLease> {
        let new = || StoredLease::new(ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() });
        match request {
            Request::Get => self.leases.get(&self.name).await,
            Request::Create(write) => {
                // Of a Lease that was deleted nothing is carried over.
                let mut object = new();
                elector_crds::lease::apply(&write, None, &mut object);
                self.leases.create(&PostParams::default(), &object).await
            }
            Request::Update { uid, resource_version, write } => {
                let mut object = base.unwrap_or_else(new);
                elector_crds::lease::apply(&write, reason, &mut object);
                object.metadata.uid = Some(uid);
                object.metadata.resource_version = Some(resource_version.0.to_string());
                self.leases.replace(&self.name, &PostParams::default(), &object).await
            }
        }
    }
}

/// The fate of a request, as one word for metrics.
pub(crate) fn outcome(answer: &Answer) -> &'static str {
    match answer {
        Answer::Found(_) => "found",
        Answer::Stored(_) => "stored",
        Answer::NotFound => "not_found",
        Answer::Conflict => "conflict",
        Answer::Refused { .. } => "refused",
        Answer::Unknown => "unknown",
    }
}

pub(crate) fn verb(request: &Request) -> &'static str {
    match request {
        Request::Get => "get",
        Request::Create(_) => "create",
        Request::Update { .. } => "update",
    }
}

fn found(object: StoredLease, reading: bool) -> Reply {
    match elector_crds::lease::read(&object) {
        Ok((lease, warnings)) => Reply {
            answer: if reading { Answer::Found(lease) } else { Answer::Stored(lease) },
            object: Some(object),
            problem: Problem::of_warnings(&warnings),
        },
        Err(error) => Reply::without_object(Answer::Unknown, Some(Problem::Garbage(error.to_string()))),
    }
}

fn failed(error: &Error, verb: &'static str) -> Reply {
    let Error::Api(status) = error else {
        return Reply::without_object(Answer::Unknown, Some(Problem::of_error(error, verb)));
    };
    let retry_after = status
        .details
        .as_ref()
        .map(|details| Duration::from_secs(details.retry_after_seconds.into()))
        .filter(|wait| !wait.is_zero());
    match status.code {
        // Whatever stands in between may say 404 too; it is no proof.
        404 if status.reason == "NotFound" => {
            let problem = (verb == "create").then_some(Problem::NoNamespace);
            Reply::without_object(Answer::NotFound, problem)
        }
        409 => Reply::without_object(Answer::Conflict, None),
        code if is_refusal(code) => {
            Reply::without_object(Answer::Refused { retry_after }, Some(Problem::of_error(error, verb)))
        }
        _ => Reply::without_object(Answer::Unknown, Some(Problem::of_error(error, verb))),
    }
}

#[cfg(test)]
mod tests;
