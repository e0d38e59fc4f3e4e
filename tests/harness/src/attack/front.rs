//! What stands between an agent and the API server and understands what is said: it refuses, stores and says that it has
//! not, or talks garbage.
//!
//! It is spoken to without TLS, and passes on who asks.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{Request, Response, StatusCode, header};
use futures::StreamExt as _;
use kube::Client;
use kube::config::{AuthInfo, Config, KubeConfigOptions, Kubeconfig};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::relay::background;

/// No Lease is larger.
const MOST: usize = 1 << 20;

/// How requests are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Manners {
    /// As the API server answers them.
    #[default]
    Good,
    /// With this code, and nothing is done; perhaps with so many seconds to wait.
    Refuses(u16, Option<u32>),
    /// With this code, although it is done.
    DoesAndSays(u16),
    /// With 200 and what is no JSON, although it is done.
    Babbles,
    /// Requests as they should be; a watch ends with "gone", and those that there are end.
    ForgetsWatches,
    /// Requests as they should be; a watch shows nothing any more, and does not end.
    SilencesWatches,
}

/// A front until it is dropped.
#[derive(Debug)]
pub struct Front {
    manners: watch::Sender<Manners>,
    address: SocketAddr,
}

#[derive(Clone)]
struct Desk {
    client: Client,
    manners: watch::Receiver<Manners>,
}

impl Front {
    /// Before the API server of this kubeconfig, whose user is not used.
    ///
    /// # Errors
    /// When there is no port, or the kubeconfig can't be used.
    pub async fn before(kubeconfig: &Path) -> Result<Front> {
        let mut kubeconfig = Kubeconfig::read_from(kubeconfig)?;
        for user in &mut kubeconfig.auth_infos {
            user.auth_info = Some(AuthInfo::default());
        }
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        config.default_retry = false;
        let (manners, receiver) = watch::channel(Manners::Good);
        let served = background()?.spawn(async move {
            let desk = Desk { client: Client::try_from(config)?, manners: receiver };
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            let address = listener.local_addr()?;
            let mut closing = desk.manners.clone();
            let router = Router::new().fallback(answer).with_state(Arc::new(desk));
            tokio::spawn(async move {
                tokio::select! {
                    _ = axum::serve(listener, router) => {}
                    // Once nobody can change them any more.
                    _ = async { while closing.changed().await.is_ok() {} } => {}
                }
            });
            anyhow::Ok(address)
        });
        Ok(Front { manners, address: served.await.context("the front's runtime is gone")?? })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on.
    pub fn set(&self, manners: Manners) {
        self.manners.send_replace(manners);
    }
}

async fn answer(State(desk): State<Arc<Desk>>, request: Request<Body>) -> Response<Body> {
    let manners = *desk.manners.borrow();
    let watching = request.uri().query().is_some_and(|query| query.contains("watch=true"));
    match manners {
        Manners::Refuses(code, wait) => refusal(code, wait),
        Manners::ForgetsWatches if watching => refusal(410, None),
        Manners::Good | Manners::ForgetsWatches | Manners::SilencesWatches => {
            let answer = desk.pass_on(request).await.unwrap_or_else(|_| refusal(502, None));
            if watching { shown(answer, &desk) } else { answer }
        }
        Manners::DoesAndSays(code) => {
            // Whatever comes of it.
            let _ = desk.pass_on(request).await;
            refusal(code, None)
        }
        Manners::Babbles => {
            let _ = desk.pass_on(request).await;
            let mut answer = Response::new(Body::from("<html>Sign in to go on"));
            answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
            answer
        }
    }
}

impl Desk {
    async fn pass_on(&self, request: Request<Body>) -> Result<Response<Body>> {
        let (mut parts, body) = request.into_parts();
        parts.headers.remove(header::HOST);
        let body = to_bytes(body, MOST).await?;
        let answer = self.client.send(Request::from_parts(parts, body.to_vec().into())).await?;
        Ok(answer.map(Body::new))
    }
}

/// A watch that goes on as manners allow.
fn shown(answer: Response<Body>, desk: &Desk) -> Response<Body> {
    let (looked_at, mut ends) = (desk.manners.clone(), desk.manners.clone());
    let forgotten = async move {
        let _ = ends.wait_for(|manners| *manners == Manners::ForgetsWatches).await;
    };
    answer.map(|body| {
        let pieces = body.into_data_stream().filter(move |_| {
            let silent = *looked_at.borrow() == Manners::SilencesWatches;
            async move { !silent }
        });
        Body::from_stream(pieces.take_until(Box::pin(forgotten)))
    })
}

/// As the API server refuses.
fn refusal(code: u16, wait: Option<u32>) -> Response<Body> {
    let reason = match code {
        401 => "Unauthorized",
        403 => "Forbidden",
        410 => "Expired",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "InternalError",
    };
    let status = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "storm", "reason": reason,
        "details": {"retryAfterSeconds": wait}, "code": code,
    });
    let mut answer = Response::new(Body::from(status.to_string()));
    *answer.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    if let Some(wait) = wait {
        answer.headers_mut().insert(header::RETRY_AFTER, wait.into());
    }
    answer
}
