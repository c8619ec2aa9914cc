// SPDX-License-Identifier: EUPL-1.2
//! One WebRTC peer: SDP, ICE, SCTP, both offer directions, over dtls and rtp; no I/O.

pub mod framing;
mod ice;
mod peer;
pub mod sctp;
pub mod sdp;
mod types;

pub use ice::{CandidateError, stun_local_ufrag};
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
