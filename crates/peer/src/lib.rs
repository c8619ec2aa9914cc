// SPDX-License-Identifier: EUPL-1.2
//! One WebRTC peer: SDP, ICE, SCTP, both offer directions, over dtls and rtp; no I/O.
//!
//! A [`Peer`] is one end of one BUNDLEd peer connection. It holds no socket, no clock, no thread and no randomness of
//! its own: descriptions, datagrams and the time go in; descriptions, datagrams, events and the next deadline come
//! out. The same seed and the same inputs give the same bytes (with a seeded DTLS, see [`parvis_dtls::standin`]).
//!
//! **The invariant:** nothing but STUN is taken from a 5-tuple from which no Binding request with our user name and a
//! valid MESSAGE-INTEGRITY came in the time of consent, and nothing but the answers to such requests is sent to it.
//!
//! After each call that takes a time, empty [`Peer::poll_transmit`] and [`Peer::poll_event`], then sleep until
//! [`Peer::poll_timeout`]. Media is the caller's: [`Peer::handle_datagram`] decrypts it in place,
//! [`Peer::protect_rtp`] encrypts it in place, and [`Peer::send_path`] says where it goes.
//!
//! ```
//! use std::{sync::Arc, time::Instant};
//! use parvis_peer::{LocalCandidate, Peer, PeerConfig, Protocol, stun_local_ufrag};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let certificate = parvis_dtls::Certificate::generate()?;
//! let config = Arc::new(PeerConfig {
//!     local_candidates: Arc::new([LocalCandidate { protocol: Protocol::Udp, address: "192.0.2.1:7882".parse()? }]),
//!     dtls: Arc::new(parvis_dtls::Context::new(&certificate, parvis_dtls::Config::default())?),
//!     sdp: Arc::default(),
//!     sctp: Default::default(),
//!     limits: Default::default(),
//!     ufrag_tag: None,
//! });
//! let now = Instant::now();
//! let mut peer = Peer::new(config, [7; 32], now);
//! let offer = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
//!     m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\n\
//!     a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=setup:actpass\r\na=sctp-port:5000\r\n\
//!     a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n";
//! let answer = peer.accept_offer(now, offer)?;
//! assert!(answer.contains("a=setup:passive"));
//! // A shard finds the peer for a new 5-tuple by the user fragment that a STUN request names.
//! assert_eq!(stun_local_ufrag(b"no STUN at all"), None);
//! assert!(answer.contains(peer.local_ufrags().next().unwrap()));
//! assert_eq!(peer.send_path(), None);
//! # Ok(())
//! # }
//! ```

pub mod framing;
mod ice;
mod peer;
pub mod sctp;
pub mod sdp;
mod types;

pub use ice::{CandidateError, local_ufrag_tag, stun, stun_local_ufrag};
pub use peer::{NegotiationError, Peer, PeerConfig, PeerLimits, PeerStats};

pub use types::{
    ChannelId, ChannelSpec, DropReason, FailReason, LocalCandidate, Path, PeerEvent, Protocol, Received,
    TransportReport,
};

/// Why a data channel did not take a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// No such channel, or not open yet.
    #[error("the data channel is not open")]
    NotOpen,
    /// Its buffer is full; wait for [`PeerEvent::ChannelWritable`] or drop the message.
    #[error("the data channel's send buffer is full")]
    Full,
    /// Larger than the peer takes.
    #[error("the message has {bytes} bytes, the peer takes {limit}")]
    TooLarge {
        /// The message's size.
        bytes: usize,
        /// The peer's limit.
        limit: usize,
    },
}
