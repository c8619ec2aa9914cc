// SPDX-License-Identifier: EUPL-1.2
//! What comes to the public port, told apart and led to where it belongs.

use std::fmt;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use parvis_api::{Arrival, ByteStream, Front, Place, Visitor};
use parvis_peer::{local_ufrag_tag, stun_local_ufrag};
use parvis_turn::{Client, Transport};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::prefixed::Prefixed;
use crate::relay::Relay;
use crate::sniff::{self, Protocol};
use crate::stats::{EdgeStats, count};
use crate::tls::{ALPN_ACME, ALPN_HTTP, ALPN_TURN, Tls};
use crate::{proxy, sniff::ENOUGH_BYTES};

/// The longest first frame of ICE over TCP: a check with all that browsers put into one has 150 bytes.
const MAX_FIRST_FRAME_BYTES: usize = 600;
/// How long to wait for more when a connection has sent something, but too little to tell what it is.
const PEEK_PAUSE: Duration = Duration::from_millis(20);

/// What a connection without TLS may have where TLS is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plain {
    /// The same place by HTTPS.
    Redirect,
    /// What it asks for.
    Serve,
}

/// How the public port receives.
#[derive(Debug, Clone)]
pub struct EdgeConfig {
    /// How long a connection may take to say what it is, a TLS handshake included.
    pub handshake: Duration,
    /// What HTTP without TLS gets.
    pub plain: Plain,
    /// Proxies that begin each connection with whom it is for.
    pub proxy_protocol_from: Vec<IpAddr>,
    /// Names of the relay, for clients that say nothing but whom they want (SNI).
    pub turn_names: Vec<String>,
}

/// Takes connections for forwarding threads.
pub trait IceDoor: fmt::Debug + Send + Sync + 'static {
    /// Hands one over that begins with a frame for this thread; `false` when there is no such thread, or it takes no more.
    fn adopt(&self, shard: usize, stream: std::net::TcpStream) -> bool;
}

/// The public port.
#[derive(Debug)]
pub struct Edge {
    config: RwLock<Arc<EdgeConfig>>,
    tls: Option<Tls>,
    relay: Option<Relay>,
    ice: Option<Arc<dyn IceDoor>>,
    stats: Arc<EdgeStats>,
}

/// What a connection has turned out to be.
enum Guest {
    Http(Visitor),
    Turn {
        stream: Box<dyn ByteStream>,
        client: Client,
        place: Place,
    },
    /// Dealt with, or not wanted.
    Gone,
}

impl Edge {
    /// A port that speaks TLS, has a relay and a door to forwarding threads, or lacks any of them.
    pub fn new(
        config: EdgeConfig,
        tls: Option<Tls>,
        relay: Option<Relay>,
        ice: Option<Arc<dyn IceDoor>>,
        stats: Arc<EdgeStats>,
    ) -> Edge {
        Edge { config: RwLock::new(Arc::new(config)), tls, relay, ice, stats }
    }

    /// Receives connections like this from now on.
    pub fn reconfigure(&self, config: EdgeConfig) {
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }

    fn config(&self) -> Arc<EdgeConfig> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn introduce(&self, mut arrival: Arrival) -> Guest {
        if self.config().proxy_protocol_from.contains(&arrival.peer.ip().to_canonical()) {
            match self.proxied(arrival).await {
                Some(known) => arrival = known,
                None => return Guest::Gone,
            }
        }
        let Some(protocol) = first_protocol(&arrival.stream).await else { return Guest::Gone };
        match (protocol, &self.tls) {
            (Protocol::Tls, Some(tls)) => return self.within_tls(tls, arrival).await,
            (Protocol::Http, tls) => {
                count(&self.stats.http);
                let to_https = tls.is_some() && self.config().plain == Plain::Redirect;
                return Guest::Http(Visitor { to_https, ..Visitor::plain(arrival) });
            }
            (Protocol::Turn, _) if self.relay.is_some() => {
                if let Ok(local) = arrival.stream.local_addr() {
                    let client = Client { transport: Transport::Tcp, local, remote: arrival.peer };
                    return Guest::Turn { stream: Box::new(arrival.stream), client, place: arrival.place };
                }
            }
            (Protocol::Ice, _) => {
                if let Some(ice) = &self.ice {
                    self.hand_over(&**ice, arrival).await;
                    return Guest::Gone;
                }
            }
            _ => {}
        }
        count(&self.stats.unknown);
        Guest::Gone
    }

    /// Reads whom a trusted proxy speaks for, and counts the connection for that address.
    async fn proxied(&self, mut arrival: Arrival) -> Option<Arrival> {
        let mut head = [0; proxy::HEAD_BYTES];
        arrival.stream.read_exact(&mut head).await.ok()?;
        let mut rest = vec![0; self.or_malformed(proxy::rest_bytes(&head))?];
        arrival.stream.read_exact(&mut rest).await.ok()?;
        let Some(source) = self.or_malformed(proxy::source(&head, &rest))? else { return Some(arrival) };
        let peer = SocketAddr::new(source.ip().to_canonical(), source.port());
        let Ok(place) = arrival.place.count_for(peer.ip()) else {
            count(&self.stats.proxy_refused);
            return None;
        };
        Some(Arrival { stream: arrival.stream, peer, place })
    }

    fn or_malformed<T>(&self, read: Result<T, proxy::ProxyError>) -> Option<T> {
        read.inspect_err(|error| {
            count(&self.stats.proxy_malformed);
            tracing::debug!(%error, "a trusted proxy's connection");
        })
        .ok()
    }

    async fn within_tls(&self, tls: &Tls, arrival: Arrival) -> Guest {
        let Arrival { stream, peer, place } = arrival;
        let Ok(local) = stream.local_addr() else { return Guest::Gone };
        let Ok(mut stream) = TlsAcceptor::from(Arc::clone(&tls.config)).accept(stream).await else {
            count(&self.stats.tls_failed);
            return Guest::Gone;
        };
        count(&self.stats.tls_handshakes);
        let session = stream.get_ref().1;
        let config = self.config();
        let named = |name: &str| config.turn_names.iter().any(|turn| turn.eq_ignore_ascii_case(name));
        let spoken = match session.alpn_protocol() {
            Some(ALPN_ACME) => return Guest::Gone,
            Some(ALPN_HTTP) => Some(Protocol::Http),
            Some(ALPN_TURN) => Some(Protocol::Turn),
            // A name of the relay's own; where it shares one with the pages, its clients' first byte tells.
            _ => session.server_name().filter(|name| named(name)).map(|_| Protocol::Turn),
        };
        let mut first = Vec::new();
        let spoken = match spoken {
            Some(spoken) => spoken,
            None => {
                first.resize(ENOUGH_BYTES, 0);
                let count = stream.read(&mut first).await.unwrap_or(0);
                first.truncate(count);
                match first.first() {
                    Some(0..=0x3f) => Protocol::Turn,
                    Some(b'A'..=b'Z') => Protocol::Http,
                    _ => Protocol::Unknown,
                }
            }
        };
        let stream: Box<dyn ByteStream> =
            if first.is_empty() { Box::new(stream) } else { Box::new(Prefixed::new(first, stream)) };
        match spoken {
            Protocol::Http => {
                count(&self.stats.https);
                Guest::Http(Visitor { stream, peer, place, to_https: false })
            }
            Protocol::Turn if self.relay.is_some() => {
                let client = Client { transport: Transport::Tls, local, remote: peer };
                Guest::Turn { stream, client, place }
            }
            _ => {
                count(&self.stats.unknown);
                Guest::Gone
            }
        }
    }

    /// Hands a connection to the forwarding thread whose peer its first frame names. Nothing is read from it.
    async fn hand_over(&self, ice: &dyn IceDoor, arrival: Arrival) {
        let taken = match shard_of(&arrival.stream).await {
            Some(shard) => arrival.stream.into_std().is_ok_and(|stream| ice.adopt(shard, stream)),
            None => false,
        };
        count(if taken { &self.stats.ice } else { &self.stats.ice_refused });
    }
}

impl Front for Edge {
    fn receive(self: Arc<Self>, arrival: Arrival) -> Pin<Box<dyn Future<Output = Option<Visitor>> + Send>> {
        Box::pin(async move {
            let Ok(guest) = tokio::time::timeout(self.config().handshake, self.introduce(arrival)).await
            else {
                count(&self.stats.silent);
                return None;
            };
            match guest {
                Guest::Http(visitor) => return Some(visitor),
                Guest::Turn { stream, client, place } => {
                    count(&self.stats.turn);
                    if let Some(relay) = &self.relay {
                        relay.serve_stream(stream, client, &place).await;
                    }
                    drop(place);
                }
                Guest::Gone => {}
            }
            None
        })
    }
}

/// What a connection begins with; `None` when it ends before that is clear. The caller has a deadline.
async fn first_protocol(stream: &TcpStream) -> Option<Protocol> {
    let mut first = [0; ENOUGH_BYTES];
    peek_until(stream, &mut first, sniff::protocol).await
}

/// Which thread a connection's first frame is for.
async fn shard_of(stream: &TcpStream) -> Option<usize> {
    let mut first = [0; 2 + MAX_FIRST_FRAME_BYTES];
    let shard = |bytes: &[u8]| {
        let length = usize::from(u16::from_be_bytes(*bytes.first_chunk()?));
        if length > MAX_FIRST_FRAME_BYTES {
            return Some(None);
        }
        let frame = bytes.get(2..2 + length)?;
        Some(stun_local_ufrag(frame).and_then(local_ufrag_tag).map(usize::from))
    };
    peek_until(stream, &mut first, shard).await.flatten()
}

/// Looks at what has come until `tell` can tell, and takes nothing of it. `None` when the connection ends before.
async fn peek_until<T>(
    stream: &TcpStream,
    buffer: &mut [u8],
    tell: impl Fn(&[u8]) -> Option<T>,
) -> Option<T> {
    let mut seen = 0;
    loop {
        let count = stream.peek(buffer).await.ok().filter(|count| *count > 0)?;
        if let Some(told) = tell(&buffer[..count]) {
            return Some(told);
        }
        if count == buffer.len() {
            return None;
        }
        // What is there is ready at once, again and again: the next look waits. One that sends nothing more is closed at
        // the deadline.
        if count == seen {
            tokio::time::sleep(PEEK_PAUSE).await;
        }
        seen = count;
    }
}
