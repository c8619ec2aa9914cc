// SPDX-License-Identifier: EUPL-1.2
//! What the participants' plane is told at start.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parvis_sfu::SpreadConfig;
use parvis_signal::RoomConfig;

use crate::agents::AgentLimits;
use crate::branding::Branding;
use crate::front::{Front, Relays};
use crate::presets::RoomPresets;

/// How rooms, sockets and joins are bounded.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// How a room behaves.
    pub room: Arc<RoomConfig>,
    /// When a room spreads over several forwarders.
    pub spread: SpreadConfig,
    /// Whether a room comes to be when someone joins it. Otherwise an application's server makes it first, or the token has
    /// the grant `roomCreate`.
    pub auto_create: bool,
    /// Configurations of rooms that have a name.
    pub presets: RoomPresets,
    /// Bounds of agents.
    pub agents: AgentLimits,
    /// How the web client looks.
    pub branding: Arc<Branding>,
    /// Where WHIP clients connect, as applications are told; empty when nobody said.
    pub whip_url: String,
    /// The largest body of a call of the server APIs, in bytes.
    pub server_api_body_bytes: usize,
    /// Rooms open at once.
    pub max_rooms: usize,
    /// Whether whoever has a room's link may join it without a token of his own.
    pub guests: bool,
    /// Characters of a room's name that guests may join: 22 of 64 possible ones are 132 bits, beyond guessing.
    pub guest_room_chars: usize,
    /// Meetings that people make a room for, at one time: a record of each is kept, of some 2 KB and what it bans.
    pub max_meetings: usize,
    /// How long a meeting is kept that nobody opens.
    pub keep_meetings: Duration,
    /// Passwords that one address may try, at once and each second.
    pub password_tries: parvis_signal::Rate,
    /// How long a guest's token opens the door. Sessions go on beyond: the server renews it.
    pub guest_token: Duration,
    /// Addresses of reverse proxies in front of us: they open connections for everyone and say for whom.
    pub trusted_proxies: Vec<IpAddr>,
    /// Sites that may show the client within a page of theirs, each as [`parvis_web::is_frame_ancestor`] has it.
    pub frame_ancestors: Vec<String>,
    /// Bounds of connections.
    pub connections: ConnectionLimits,
    /// What takes connections before HTTP does; without it, all that comes is HTTP.
    pub front: Option<Arc<dyn Front>>,
    /// The relay whose credentials participants get.
    pub relays: Option<Arc<dyn Relays>>,
    /// Bounds of clients that publish or watch by an offer (WHIP, WHEP).
    pub offers: OfferLimits,
}

/// Bounds of clients that publish or watch by an offer. One token has one session: the newest.
#[derive(Debug, Clone)]
pub struct OfferLimits {
    /// Sessions in all.
    pub max: usize,
    /// Sessions of one address (one /64 with IPv6).
    pub max_per_ip: usize,
    /// Largest body of a request, in bytes. OBS' offer has 2,000, a browser's with all its codecs 8,000.
    pub max_bytes: usize,
}

impl Default for OfferLimits {
    fn default() -> Self {
        OfferLimits { max: 1_000, max_per_ip: 50, max_bytes: 64 << 10 }
    }
}

/// Bounds of connections to the HTTP port.
#[derive(Debug, Clone)]
pub struct ConnectionLimits {
    /// Open in all; never more than the process's limit of file descriptors less [`ConnectionLimits::reserve`].
    pub max: usize,
    /// Open from one address (one /64 with IPv6). A browser opens six and one per meeting; offices share an address.
    pub max_per_ip: usize,
    /// File descriptors kept for media sockets, the log, the database and the operator.
    pub reserve: usize,
    /// How long a client may take to send a request's head.
    pub request_head: Duration,
    /// How long a client may take to send a request's body, and we to answer.
    pub request: Duration,
    /// How long after the upgrade the first message of a WebSocket may take.
    pub first_message: Duration,
    /// How long a WebSocket may be silent. Clients ping every 5 s; a page in the background may be slowed to one a minute.
    pub idle: Duration,
    /// How long a client may take to read a message.
    pub write: Duration,
    /// Messages that may wait for a slow client …
    pub write_queue: usize,
    /// … and their bytes.
    pub write_queue_bytes: usize,
    /// Joins of one address at once, and each second.
    pub joins: parvis_signal::Rate,
}

impl Default for ApiConfig {
    fn default() -> Self {
        ApiConfig {
            room: Arc::new(RoomConfig::default()),
            spread: SpreadConfig::default(),
            auto_create: true,
            presets: RoomPresets::default(),
            agents: AgentLimits::default(),
            branding: Arc::default(),
            whip_url: String::new(),
            server_api_body_bytes: 1 << 20,
            max_rooms: 1_000,
            guests: false,
            guest_room_chars: 22,
            max_meetings: 10_000,
            keep_meetings: Duration::from_secs(90 * 86_400),
            password_tries: parvis_signal::Rate { burst: 10, per_second: 1 },
            guest_token: Duration::from_secs(600),
            trusted_proxies: Vec::new(),
            frame_ancestors: Vec::new(),
            connections: ConnectionLimits::default(),
            front: None,
            relays: None,
            offers: OfferLimits::default(),
        }
    }
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        ConnectionLimits {
            max: 10_000,
            max_per_ip: 200,
            reserve: 128,
            request_head: Duration::from_secs(5),
            request: Duration::from_secs(10),
            first_message: Duration::from_secs(10),
            idle: Duration::from_secs(90),
            write: Duration::from_secs(10),
            write_queue: 1_024,
            write_queue_bytes: 8 << 20,
            joins: parvis_signal::Rate { burst: 100, per_second: 10 },
        }
    }
}
