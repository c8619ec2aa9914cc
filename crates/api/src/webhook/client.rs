// SPDX-License-Identifier: EUPL-1.2
//! One request: the name is looked up, the addresses are checked, and the connection goes to exactly one of those that
//! were checked. So a name that changes its address between check and connection reaches nothing (row 49). No redirect is
//! followed, and no answer's body is read.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::http::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, USER_AGENT};
use axum::http::{Request, StatusCode};
use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use parvis_addr::is_internal;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::target::{InternalPlaces, Target};

/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 4;

/// Looks names up.
pub(super) trait Resolve: Send + Sync {
    /// The addresses of a name.
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Addresses<'a>;
}

type Addresses<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>>;

/// As the system does.
struct System;

impl Resolve for System {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Addresses<'a> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}

/// Makes requests.
pub(crate) struct Client {
    resolver: Box<dyn Resolve>,
    allowed: InternalPlaces,
    timeout: Duration,
    tls: Arc<ClientConfig>,
}

/// What is sent beside the body.
pub(super) struct Head<'a> {
    /// The token that says who sends, and signs the body.
    pub(super) token: &'a str,
    /// The event's id.
    pub(super) id: &'a str,
    /// When it happened, in seconds since 1970.
    pub(super) created: i64,
}

/// Why a target did not take an event.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    #[error("{host} can't be looked up: {source}")]
    Lookup { host: String, source: io::Error },
    #[error("{host} has no address")]
    NoAddress { host: String },
    #[error(
        "{host} is at {address}, inside a network; if that is meant, add \"{host}:{port}\" to webhooks.allow_internal"
    )]
    Internal { host: String, address: SocketAddr, port: u16 },
    #[error("{host} is at {address}, inside a network, where only targets of this server's own keys may be")]
    Foreign { host: String, address: SocketAddr },
    #[error("no connection to {address}: {source}")]
    Connect { address: SocketAddr, source: io::Error },
    #[error("no TLS with {host}: {source}")]
    Tls { host: String, source: io::Error },
    #[error(
        "it answers with a redirect ({0}), which is not followed: name the place itself in the configuration"
    )]
    Redirect(StatusCode),
    #[error("it answers {0}")]
    Status(StatusCode),
    #[error("the request failed: {0}")]
    Http(String),
    #[error("no answer within {0} s")]
    Timeout(u64),
}

impl SendError {
    /// Whether the answer is to the event itself, and would be the same for as long as the event is: it is of a kind that the
    /// target doesn't know, or too large for it. Answers that are to who asks, where, or when (a key or a path that somebody mends,
    /// a proxy with nobody behind it yet) say nothing of the event.
    pub(super) fn refuses_event(&self) -> bool {
        let SendError::Status(status) = self else { return false };
        let of_the_moment = [
            StatusCode::UNAUTHORIZED,
            StatusCode::FORBIDDEN,
            StatusCode::NOT_FOUND,
            StatusCode::PROXY_AUTHENTICATION_REQUIRED,
            StatusCode::REQUEST_TIMEOUT,
            StatusCode::CONFLICT,
            StatusCode::MISDIRECTED_REQUEST,
            StatusCode::LOCKED,
            StatusCode::TOO_EARLY,
            StatusCode::TOO_MANY_REQUESTS,
        ];
        status.is_client_error() && !of_the_moment.contains(status)
    }
}

impl Client {
    /// Looks names up as the system does, and trusts what it trusts, so that an operator's own authority counts.
    pub(crate) fn new(allowed: InternalPlaces, timeout: Duration) -> Result<Client, rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Client::with(Box::new(System), allowed, timeout, roots)
    }

    pub(super) fn with(
        resolver: Box<dyn Resolve>,
        allowed: InternalPlaces,
        timeout: Duration,
        roots: RootCertStore,
    ) -> Result<Client, rustls::Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let mut tls = builder.with_root_certificates(roots).with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Client { resolver, allowed, timeout, tls: Arc::new(tls) })
    }

    /// Sends an event; `Ok` when the target took it.
    pub(super) async fn send(&self, target: &Target, head: &Head<'_>, body: Bytes) -> Result<(), SendError> {
        let request = request(target, head, body).map_err(|error| SendError::Http(error.to_string()))?;
        self.exchange(target, request).await
    }

    /// Makes a request; `Ok` when the target answers that it took it.
    pub(crate) async fn exchange(
        &self,
        target: &Target,
        request: Request<Full<Bytes>>,
    ) -> Result<(), SendError> {
        let exchange = async {
            let stream = self.connect(target).await?;
            if !target.tls {
                return exchange(stream, request).await;
            }
            let failed = |source| SendError::Tls { host: target.host.clone(), source };
            let name = ServerName::try_from(target.host.clone())
                .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
            let connector = TlsConnector::from(Arc::clone(&self.tls));
            exchange(connector.connect(name, stream).await.map_err(failed)?, request).await
        };
        let status = timeout(self.timeout, exchange)
            .await
            .unwrap_or(Err(SendError::Timeout(self.timeout.as_secs())))?;
        match status {
            status if status.is_success() => Ok(()),
            status if status.is_redirection() => Err(SendError::Redirect(status)),
            status => Err(SendError::Status(status)),
        }
    }

    /// Connects to one of the addresses that a target may have.
    async fn connect(&self, target: &Target) -> Result<TcpStream, SendError> {
        let host = || target.host.clone();
        let found = self.resolver.resolve(&target.host, target.port).await;
        let found = found.map_err(|source| SendError::Lookup { host: host(), source })?;
        let first = *found.first().ok_or_else(|| SendError::NoAddress { host: host() })?;
        let may = |address: &SocketAddr| {
            if target.trusted {
                self.allowed.may_connect(&target.host, *address)
            } else {
                !is_internal(address.ip())
            }
        };
        let allowed = found.into_iter().filter(may);
        let mut failure = if target.trusted {
            SendError::Internal { host: host(), address: first, port: target.port }
        } else {
            SendError::Foreign { host: host(), address: first }
        };
        for address in allowed.take(MAX_ADDRESSES) {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(source) => failure = SendError::Connect { address, source },
            }
        }
        Err(failure)
    }
}

fn request(target: &Target, head: &Head<'_>, body: Bytes) -> Result<Request<Full<Bytes>>, axum::http::Error> {
    Request::post(&target.path)
        .header(HOST, &target.authority)
        .header(USER_AGENT, concat!("Parvis/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, "close")
        .header(CONTENT_TYPE, "application/webhook+json")
        .header(AUTHORIZATION, head.token)
        .header("parvis-event-id", head.id)
        .header("parvis-event-time", head.created)
        .body(Full::new(body))
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<StatusCode, SendError> {
    let failed = |error: hyper::Error| SendError::Http(error.to_string());
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let answer = sender.send_request(request);
    tokio::pin!(answer, connection);
    let response = tokio::select! {
        response = &mut answer => response,
        ended = &mut connection => match ended {
            Ok(()) => answer.await,
            Err(error) => Err(error),
        },
    };
    Ok(response.map_err(failed)?.status())
}
