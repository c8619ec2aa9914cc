// SPDX-License-Identifier: EUPL-1.2
//! Accepting connections and serving HTTP/1.1 on them, within limits and deadlines.
//!
//! HTTP/2 is not spoken: browsers use it only where TLS offers it, which ours does not, and its attacks stay outside.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode, Uri};
use axum::response::IntoResponse;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tower::ServiceExt;

use crate::config::ConnectionLimits;
use crate::front::{Arrival, Front, Place, Visitor};
use crate::http::page::to_https;
use crate::limit::{Connections, Permit};
use crate::live::Live;
use crate::metrics::Metrics;

/// How long accepting rests when the process has no file descriptor left: short enough for the one who waits, long
/// enough that the processor rests.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// How long one connection may carry requests; a WebSocket is not bound by it.
const MAX_CONNECTION_AGE: Duration = Duration::from_secs(600);

/// Who sent a request.
#[derive(Clone)]
pub(crate) struct Client {
    /// The other end of the connection.
    pub(crate) peer: SocketAddr,
    /// Keeps the connection counted while an upgraded socket lives.
    pub(crate) permit: Arc<Permit>,
}

/// What a listener's connections come to.
#[derive(Clone)]
pub(crate) struct Doors {
    pub(crate) router: Router,
    pub(crate) front: Option<Arc<dyn Front>>,
    pub(crate) live: Arc<Live>,
    pub(crate) connections: Arc<Connections>,
}

/// Serves until told to stop. Connections that are open then go on.
pub(crate) async fn serve(
    listener: TcpListener,
    doors: Doors,
    metrics: Metrics,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match accepted {
            Ok((stream, peer)) => match doors.connections.admit(peer.ip()).await {
                Ok(permit) => {
                    let arrival = Arrival { stream, peer, place: Place(permit) };
                    tokio::spawn(doors.clone().receive(arrival));
                }
                Err(limit) => metrics.connections_refused.with_label_values(&[limit]).inc(),
            },
            Err(error) if is_exhausted(&error) => {
                // The connection stays in the backlog: to ask again at once would spin.
                metrics.accept_pauses.inc();
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            // It was gone before we took it.
            Err(_) => {}
        }
    }
}

impl Doors {
    /// Serves a connection until it ends, or has to make room for another.
    async fn receive(self, arrival: Arrival) {
        let told_to_go = arrival.place.0.told_to_go();
        tokio::select! {
            () = told_to_go.notified() => {}
            () = self.serve(arrival) => {}
        }
    }

    async fn serve(self, arrival: Arrival) {
        // Signalling is small messages that wait for each other.
        let _ = arrival.stream.set_nodelay(true);
        let visitor = match self.front {
            Some(front) => front.receive(arrival).await,
            None => Some(Visitor::plain(arrival)),
        };
        let Some(visitor) = visitor else { return };
        let router = if visitor.to_https { Router::new().fallback(to_https) } else { self.router };
        let limits = self.live.get().config.connections.clone();
        serve_connection(visitor, router, limits).await;
    }
}

async fn serve_connection(visitor: Visitor, router: Router, limits: ConnectionLimits) {
    let client = Client { peer: visitor.peer, permit: Arc::new(visitor.place.0) };
    let stream = visitor.stream;
    let deadline = limits.request;
    let service = service_fn(move |mut request: Request<Incoming>| {
        client.permit.touch();
        request.extensions_mut().insert(client.clone());
        collapse_slashes(request.uri_mut());
        let router = router.clone();
        async move {
            let answer = router.oneshot(request.map(Body::new));
            Ok::<Response<Body>, std::convert::Infallible>(
                match tokio::time::timeout(deadline, answer).await {
                    Ok(Ok(response)) => response,
                    Ok(Err(never)) => match never {},
                    Err(_) => StatusCode::REQUEST_TIMEOUT.into_response(),
                },
            )
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.request_head)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    // What goes wrong on a connection concerns its client, who knows.
    let _ = tokio::time::timeout(MAX_CONNECTION_AGE, connection).await;
}

/// The address that a request is counted for: the connection's, or what a trusted proxy says in the lines of
/// `X-Forwarded-For`. They are one list (RFC 9110, section 5.3), of whose entries the last that is no proxy's counts, since a
/// client can write all those before it.
pub(crate) fn client_ip<'a>(
    peer: IpAddr,
    forwarded_for: impl DoubleEndedIterator<Item = &'a str>,
    trusted: &[IpAddr],
) -> IpAddr {
    let peer = peer.to_canonical();
    if !trusted.contains(&peer) {
        return peer;
    }
    let entries = forwarded_for.rev().flat_map(|line| line.rsplit(','));
    let entries = entries.map_while(|entry| entry.trim().parse().ok());
    entries.map(|ip: IpAddr| ip.to_canonical()).find(|ip| !trusted.contains(ip)).unwrap_or(peer)
}

fn is_exhausted(error: &std::io::Error) -> bool {
    use nix::errno::Errno;
    let errnos = [Errno::EMFILE, Errno::ENFILE, Errno::ENOBUFS, Errno::ENOMEM];
    errnos.iter().any(|errno| error.raw_os_error() == Some(*errno as i32))
}

/// Some SDKs add their path to a server address that ends in a slash.
fn collapse_slashes(uri: &mut Uri) {
    if !uri.path().contains("//") {
        return;
    }
    let mut path = String::with_capacity(uri.path().len());
    for character in uri.path().chars() {
        if !(character == '/' && path.ends_with('/')) {
            path.push(character);
        }
    }
    if let Some(query) = uri.query() {
        path.push('?');
        path.push_str(query);
    }
    if let Ok(collapsed) = path.parse() {
        *uri = collapsed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn double_slashes_collapse_and_the_query_stays() {
        let mut uri: Uri = "//rtc///v1?access_token=a//b".parse().unwrap();
        collapse_slashes(&mut uri);
        assert_eq!(uri, "/rtc/v1?access_token=a//b");
    }

    #[test]
    fn only_a_trusted_proxy_says_who_it_speaks_for() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let trusted = [ip("10.0.0.1"), ip("10.0.0.2")];
        let counted = |peer, lines: &[&'static str]| client_ip(ip(peer), lines.iter().copied(), &trusted);
        for forged in
            [&["203.0.113.9, 198.51.100.7, 10.0.0.2"][..], &["203.0.113.9", "198.51.100.7, 10.0.0.2"]]
        {
            assert_eq!(counted("10.0.0.1", forged), ip("198.51.100.7"));
            assert_eq!(counted("192.0.2.5", forged), ip("192.0.2.5"));
        }
        assert_eq!(counted("10.0.0.1", &[]), ip("10.0.0.1"));
        assert_eq!(counted("10.0.0.1", &["nonsense, 10.0.0.2"]), ip("10.0.0.1"));
        assert_eq!(counted("10.0.0.1", &["203.0.113.9", "nonsense"]), ip("10.0.0.1"));
    }
}
