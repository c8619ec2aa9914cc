// SPDX-License-Identifier: EUPL-1.2
//! Forwarding: publications, subscriptions, layers, bandwidth, pacing, repair, speakers; no I/O.
//!
//! A [`Forwarder`] stands behind one set of sockets. [`Command`]s and datagrams go in; datagrams (into an [`Outbox`]),
//! [`Event`]s and the next deadline come out. [`media`] is the engine of one room's plaintext packets, [`bwe`] estimates
//! what a path carries; neither knows of encryption, which the forwarder puts around them.
//!
//! **The invariant: what enters one room leaves by no other,** but for the tracks that the control side lends by a bridge
//! ([`Command::OpenBridge`]); and nothing is taken from, or sent to, an address that
//! no authentic STUN request came from. The same seed, commands, datagrams and times give the same bytes out.
//!
//! ```
//! use std::{sync::Arc, time::Instant};
//! use parvis_dtls::standin::StandIn;
//! use parvis_peer::{LocalCandidate, Path, PeerConfig, Protocol};
//! use parvis_sfu::{Command, Forwarder, ForwarderConfig, Outbox, PeerId, PeerRole, RoomId};
//!
//! # fn main() -> Result<(), std::net::AddrParseError> {
//! let address = "192.0.2.1:7882".parse()?;
//! let peers = PeerConfig {
//!     local_candidates: Arc::new([LocalCandidate { protocol: Protocol::Udp, address }]),
//!     dtls: Arc::new(StandIn::new([1; 32])), // in production, BoringSSL
//!     sdp: Arc::default(),
//!     sctp: Default::default(),
//!     limits: Default::default(),
//!     ufrag_tag: None,
//! };
//! let mut forwarder = Forwarder::new(ForwarderConfig::new(Arc::new(peers), Arc::default()), [2; 32]);
//! let (now, mut outbox) = (Instant::now(), Outbox::default());
//! let create = Command::CreatePeer { room: RoomId(1), peer: PeerId(1), role: PeerRole::Publisher };
//! forwarder.handle_command(now, create, &mut outbox);
//! let stranger = Path { protocol: Protocol::Udp, local: address, remote: "198.51.100.7:9".parse()? };
//! forwarder.handle_datagram(now, stranger, &mut [0x80; 100], &mut outbox);
//! assert_eq!((forwarder.stats().strangers, outbox.len()), (1, 0), "not a word to a stranger");
//! assert!(forwarder.poll_timeout().is_some(), "call handle_timeout then");
//! # Ok(())
//! # }
//! ```

pub mod bwe;
mod command;
mod event;
mod forwarder;
mod id;
pub mod media;
mod outbox;
mod outlet;
mod spread;
mod trunk;

pub use command::{
    Command, DataChannel, Description, DescriptionKind, LayerSpec, PeerRole, Quality, SubscriptionSettings,
    TrackSpec,
};
pub use event::{Event, QualityReport};
pub use forwarder::{CheckRate, Forwarder, ForwarderConfig, ForwarderStats};
pub use forwarder::{DATA_OVERHEAD_BYTES, DATA_TAKEN_STEP_BYTES};
pub use id::{ForwarderId, PeerId, RoomId, SubscriptionId, TrackId};
pub use outbox::{MAX_DATAGRAM_BYTES, Outbox};
pub use outlet::{OUTLET_CODECS, OUTLET_EXTENSIONS, OUTLET_KEY_BYTES, OutletCodec, OutletKey, OutletSpec};
pub use spread::{Spread, SpreadConfig};
pub use trunk::{
    Demand, PacketHead, RateSnapshot, TrackFormat, TrackState, TrunkBatch, TrunkClock, TrunkLimits, TrunkWord,
};
