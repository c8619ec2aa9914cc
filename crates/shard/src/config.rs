// SPDX-License-Identifier: EUPL-1.2
//! What a shard is told at start, and why it refuses to.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// How the shards are laid out.
#[derive(Debug, Clone)]
pub struct ShardConfig {
    /// How many threads, each with its own ports.
    pub shards: usize,
    /// Addresses to bind and offer. Never a wildcard: an answer must leave from the address that was asked.
    pub addresses: Vec<IpAddr>,
    /// What clients are offered in place of a bound address, where a 1:1 NAT stands between: bound, then offered. An address
    /// that is not in it is offered as it is.
    pub offered: Vec<(IpAddr, IpAddr)>,
    /// A TCP port of somebody else's listener, who hands connections over by [`crate::ShardHandle::adopt`]: offered by all
    /// shards beside their own.
    pub shared_tcp_port: Option<u16>,
    /// The first shard's UDP port; shard n has port first + n. 0 lets the system choose.
    pub first_udp_port: u16,
    /// The first shard's TCP port (RFC 6544, passive); shard n has port first + n. 0 lets the system choose,
    /// `None` offers no TCP.
    pub first_tcp_port: Option<u16>,
    /// Whether each thread stays on one core.
    pub pin: bool,
    /// Socket buffers in bytes; the system may allow less. 4 MiB is 27 ms of 1.2 Gbit/s.
    pub socket_buffer_bytes: usize,
    /// Commands that may wait. A room of 100 makes about 10,000 subscriptions; they come in pieces and the sender waits.
    pub command_queue: usize,
    /// Events that may wait for the control side, per shard.
    pub event_queue: usize,
    /// Batches that may wait between two shards, in each direction: 8 of at most 1.3 MB, a turn of the busiest shard each.
    pub trunk_queue: usize,
    /// Whether to use `UDP_SEGMENT` where the kernel has it.
    pub gso: bool,
    /// Whether to use `UDP_GRO` where the kernel has it.
    pub gro: bool,
    /// Bounds for ICE over TCP.
    pub tcp: TcpConfig,
}

/// Bounds for ICE over TCP, per shard.
#[derive(Debug, Clone)]
pub struct TcpConfig {
    /// Connections in all. At rest one costs 500 bytes; with 256 KiB of writing each, 4,000 take at most 1 GiB.
    pub max_connections: usize,
    /// Connections from one address (one /64 with IPv6). Offices share an address, and a browser opens one from each of its
    /// interfaces to each of our addresses: 256 are the people of a large office.
    pub max_connections_per_ip: usize,
    /// How long a connection may live before the engine answers it for the first time.
    pub first_answer: Duration,
    /// How long a connection may be silent. Browsers ask for consent every 5 s at the latest (RFC 7675).
    pub idle: Duration,
    /// Bytes that may wait for a slow reader: 256 KiB is 1 s at 2 Mbit/s. Frames beyond are dropped, as UDP would.
    pub write_queue_bytes: usize,
}

impl ShardConfig {
    /// What clients are offered for a bound address.
    pub fn offered_ip(&self, bound: IpAddr) -> IpAddr {
        self.offered.iter().find(|(from, _)| *from == bound).map_or(bound, |(_, offered)| *offered)
    }
}

impl Default for ShardConfig {
    fn default() -> Self {
        ShardConfig {
            shards: 1,
            addresses: Vec::new(),
            offered: Vec::new(),
            shared_tcp_port: None,
            first_udp_port: 7882,
            first_tcp_port: Some(7881),
            pin: true,
            socket_buffer_bytes: 4 << 20,
            command_queue: 16_384,
            event_queue: 16_384,
            trunk_queue: 8,
            gso: true,
            gro: true,
            tcp: TcpConfig::default(),
        }
    }
}

impl Default for TcpConfig {
    fn default() -> Self {
        TcpConfig {
            max_connections: 4_000,
            max_connections_per_ip: 256,
            first_answer: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            write_queue_bytes: 256 << 10,
        }
    }
}

/// Why the shards did not start.
#[derive(Debug, thiserror::Error)]
pub enum ShardError {
    /// No address to offer.
    #[error("no address to offer for media: set media.addresses, or give an interface an address")]
    NoAddress,
    /// A wildcard address.
    #[error(
        "media address {0} is a wildcard: name the addresses that clients reach, answers must leave from them"
    )]
    Wildcard(IpAddr),
    /// The ports do not fit below 65536.
    #[error(
        "{shards} shards from port {first} pass 65535: lower media.udp_ports, media.tcp_port or media.shards"
    )]
    Ports {
        /// The first port.
        first: u16,
        /// How many shards.
        shards: usize,
    },
    /// A socket could not be bound.
    #[error("cannot bind {protocol} {address} for media: {source}; is another server running there?")]
    Bind {
        /// UDP or TCP.
        protocol: &'static str,
        /// Where.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The system refused something else.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
}

impl ShardError {
    pub(crate) fn system(what: &'static str) -> impl FnOnce(nix::Error) -> ShardError {
        move |errno| ShardError::System { what, source: errno.into() }
    }
}
