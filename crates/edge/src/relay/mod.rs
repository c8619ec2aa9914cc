// SPDX-License-Identifier: EUPL-1.2
//! The sockets around [`parvis_turn::Server`]: clients' datagrams and streams on one side, a UDP socket for each allocation
//! on the other. One lock guards the server and is held for one message at a time; nothing waits under it.
//! `docs/decisions/0038-turn.md` says what that costs.

mod sockets;
mod stream;

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use parvis_api::{ByteStream, Place, Relays};
use parvis_turn::{
    Client, Family, Issuer, Outcome, Peers, RelayId, Server, Transport, TurnConfig, TurnStats,
};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// How often allocations are looked through for those whose time is over.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);

/// How the relay is reached, and what it relays to.
#[derive(Debug, Clone)]
pub struct RelayConfig {
    /// Addresses to bind for clients over UDP. Never a wildcard: an answer must leave from the address that was asked.
    pub udp: Vec<SocketAddr>,
    /// Our media addresses: as they are offered, and as they are bound.
    pub media: Vec<(SocketAddr, SocketAddr)>,
    /// What participants may take.
    pub turn: TurnConfig,
    /// How long a stream may be without an allocation.
    pub first_allocation: Duration,
    /// Messages that may wait for a slow reader of a stream; each has at most 2,048 bytes. Beyond, they are dropped.
    pub write_queue: usize,
}

/// Why the relay does not start.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// A socket can't be bound.
    #[error("cannot bind UDP {address} for TURN: {source}; is another server running there?")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
}

/// The relay, running; cheap to clone. It stops with the runtime.
#[derive(Clone)]
pub struct Relay {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    config: RelayConfig,
    /// For clients over UDP, by address.
    udp: HashMap<SocketAddr, Arc<UdpSocket>>,
    /// Messages dropped because a reader is too slow, or the system's buffer full.
    dropped_full: AtomicU64,
}

struct State {
    server: Server,
    open: HashMap<RelayId, Open>,
    streams: HashMap<Client, mpsc::Sender<Vec<u8>>>,
}

/// An allocation's socket, and who reads from it.
struct Open {
    socket: Arc<UdpSocket>,
    reader: AbortHandle,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Relay {
    /// Binds the sockets for clients and serves them. `seed` is to be random.
    pub async fn start(config: RelayConfig, issuer: Issuer, seed: [u8; 32]) -> Result<Relay, RelayError> {
        let mut udp = HashMap::new();
        for address in &config.udp {
            let bind = |source| RelayError::Bind { address: *address, source };
            let socket = UdpSocket::bind(address).await.map_err(bind)?;
            udp.insert(socket.local_addr().map_err(bind)?, Arc::new(socket));
        }
        let peers = Peers::new(config.media.iter().copied());
        let server = Server::new(config.turn, issuer, peers, seed);
        let state = Mutex::new(State { server, open: HashMap::new(), streams: HashMap::new() });
        let shared = Arc::new(Shared { state, config, udp, dropped_full: AtomicU64::new(0) });
        for (local, socket) in &shared.udp {
            tokio::spawn(sockets::serve_clients(Arc::clone(&shared), *local, Arc::clone(socket)));
        }
        tokio::spawn(sweep(Arc::clone(&shared)));
        Ok(Relay { shared })
    }

    /// Serves one byte stream until it ends. With an allocation it keeps its place.
    pub(crate) async fn serve_stream(&self, stream: Box<dyn ByteStream>, client: Client, place: &Place) {
        stream::serve(&self.shared, stream, client, place).await;
    }

    /// Where clients reach it over UDP.
    pub fn udp_addresses(&self) -> Vec<SocketAddr> {
        let mut addresses: Vec<SocketAddr> = self.shared.udp.keys().copied().collect();
        addresses.sort();
        addresses
    }

    /// The server's counters, and how many messages were dropped for want of room.
    pub fn stats(&self) -> (TurnStats, u64) {
        (self.shared.state().server.stats(), self.shared.dropped_full.load(Ordering::Relaxed))
    }
}

impl Relays for Relay {
    fn admit(&self, sid: &str) {
        self.shared.state().server.admit(sid);
    }

    fn revoke(&self, sid: &str) {
        let mut state = self.shared.state();
        state.server.revoke(sid);
        state.close_ended();
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Relay").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in these short sections panics half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one message of a client's, and does what comes of it.
    fn handle_client(self: &Arc<Self>, client: Client, message: &[u8]) {
        let now = Instant::now();
        let mut state = self.state();
        let reply = match state.server.handle_client(now, client, message) {
            Outcome::Nothing => None,
            Outcome::Reply(reply) => Some(reply),
            Outcome::Relay { relay, to, payload } => {
                let socket = state.open.get(&relay).map(|open| Arc::clone(&open.socket));
                drop(state);
                if socket.is_some_and(|socket| socket.try_send_to(payload, to).is_err()) {
                    self.dropped_full.fetch_add(1, Ordering::Relaxed);
                }
                return;
            }
            Outcome::Open { relay, family } => {
                let relayed = self.open(&mut state, relay, family);
                state.server.opened(now, relay, relayed).map(|(_, reply)| reply)
            }
        };
        state.close_ended();
        if let Some(reply) = reply {
            self.send(&state, client, reply);
        }
    }

    /// Binds an allocation's socket. Returns the address that clients are told.
    fn open(self: &Arc<Self>, state: &mut State, relay: RelayId, family: Family) -> Option<SocketAddr> {
        let mut media = self.config.media.iter();
        let (offered, bound) = media.find(|(_, bound)| Family::of(bound.ip()) == family)?;
        let socket = std::net::UdpSocket::bind(SocketAddr::new(relay_ip(*offered, *bound), 0)).ok()?;
        socket.set_nonblocking(true).ok()?;
        let port = socket.local_addr().ok()?.port();
        let socket = Arc::new(UdpSocket::from_std(socket).ok()?);
        let reader = tokio::spawn(sockets::serve_media(Arc::downgrade(self), relay, Arc::clone(&socket)));
        state.open.insert(relay, Open { socket, reader: reader.abort_handle() });
        Some(SocketAddr::new(offered.ip(), port))
    }

    /// Takes a packet that came to an allocation's socket.
    fn handle_relay(&self, relay: RelayId, from: SocketAddr, payload: &[u8]) {
        let mut state = self.state();
        if let Some((client, message)) = state.server.handle_relay(Instant::now(), relay, from, payload) {
            self.send(&state, client, message);
        }
    }

    fn send(&self, state: &State, client: Client, message: Vec<u8>) {
        let sent = match client.transport {
            Transport::Udp => {
                let socket = self.udp.get(&client.local);
                socket.is_some_and(|socket| socket.try_send_to(&message, client.remote).is_ok())
            }
            Transport::Tcp | Transport::Tls => {
                state.streams.get(&client).is_some_and(|stream| stream.try_send(message).is_ok())
            }
        };
        if !sent {
            self.dropped_full.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl State {
    /// Closes the sockets of allocations that have ended.
    fn close_ended(&mut self) {
        while let Some(relay) = self.server.poll_closed() {
            self.open.remove(&relay);
        }
    }
}

/// Where an allocation's socket is bound: beside the media socket, so that the media side sees the address that the client
/// was told. Behind a 1:1 NAT that address is on no interface of ours; then it is loopback, which tells nobody anything,
/// and not the address behind the NAT, which answers to checks would carry to clients.
fn relay_ip(offered: SocketAddr, bound: SocketAddr) -> IpAddr {
    match (offered.ip() == bound.ip(), bound.ip()) {
        (true, ip) => ip,
        (false, IpAddr::V4(_)) => Ipv4Addr::LOCALHOST.into(),
        (false, IpAddr::V6(_)) => Ipv6Addr::LOCALHOST.into(),
    }
}

async fn sweep(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(SWEEP_INTERVAL).await;
        let mut state = shared.state();
        state.server.handle_timeout(Instant::now());
        state.close_ended();
    }
}
