// SPDX-License-Identifier: EUPL-1.2
//! Data channels (RFC 8831, RFC 8832) over SCTP (RFC 9260) over DTLS, without I/O.
//!
//! [`Association`] takes the plaintext of DTLS records and gives packets for DTLS records. How its files work together:
//!
//! | file | what it knows |
//! |---|---|
//! | `wire` | packets and chunks as bytes |
//! | `association` | the handshake, which chunk goes where, when a packet is due |
//! | `receive` | TSNs and fragments of the peer's, in; messages, out |
//! | `send` | messages, in; TSNs and fragments of ours, out, lost ones again |
//! | `flight` | what is under way, by its number |
//! | `congestion` | how much may be in flight, and the retransmission timeout |
//! | `reset` | closing a stream (RFC 6525) |
//! | `channels` | channels on streams: opening, sending, closing, limits |
//! | `dcep` | the two messages that open a channel |
//!
//! It is our own because it has to give the same bytes for the same seed and to bound what a hostile peer makes it
//! keep, in bytes *and* in fragments; the crates that were looked at draw their tags and TSNs from the thread's
//! generator and bound bytes only. The same seed gives the same packets: nothing is random but the tag, the first TSN
//! and the cookie.

mod association;
mod channels;
mod congestion;
mod dcep;
mod flight;
mod receive;
mod reset;
mod send;
#[cfg(test)]
mod tests;
mod wire;

pub use association::Association;
pub use send::MESSAGE_OVERHEAD_BYTES;

use crate::{ChannelId, ChannelSpec};
use bytes::Bytes;

/// How an association behaves.
#[derive(Debug, Clone, Copy, Default)]
pub struct SctpConfig {
    /// Whether we are the DTLS client: then our channels have even stream ids, else odd ones (RFC 8832 section 6).
    pub dtls_client: bool,
    /// Whether we send INIT. Browsers always do, so a DTLS server needs not; if both do, they meet in the middle
    /// (RFC 9260 section 5.2.1).
    pub initiate: bool,
    /// What a peer may make us keep.
    pub limits: SctpLimits,
}

/// What a peer may make us keep, and its arithmetic. For each association the worst case is
/// `receive_buffer_bytes` + `receive_fragments` × 200 bytes of bookkeeping (0.8 MiB) + `total_buffer_bytes`: 6 MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SctpLimits {
    /// One message, either way; announced as `a=max-message-size`. 64 KiB is what LiveKit's data packets may have.
    pub message_bytes: usize,
    /// One message's fragments: 64 KiB in pieces of 128 bytes, a ninth of what everybody sends.
    pub message_fragments: usize,
    /// Channels open at a time; a further one is refused by resetting its stream.
    pub channels: usize,
    /// A channel's name in bytes.
    pub label_bytes: usize,
    /// What waits to be sent or acknowledged on one reliable channel: a second at 8 Mbit/s.
    pub reliable_buffer_bytes: usize,
    /// The same for a lossy channel, where old messages are worth less than new ones: a tenth of a second at 5 Mbit/s.
    pub lossy_buffer_bytes: usize,
    /// The same for all channels together: four full reliable ones, not 64.
    pub total_buffer_bytes: usize,
    /// Fragments, messages behind a gap, and messages that the owner has not polled; its rest is the announced window.
    pub receive_buffer_bytes: usize,
    /// The number of fragments held, and how far a TSN may be ahead: 1 MiB in pieces of 256 bytes.
    pub receive_fragments: usize,
    /// Chunks of ours that are not acknowledged: 256 KiB of window in pieces of 128 bytes.
    pub chunks_in_flight: usize,
}

impl Default for SctpLimits {
    fn default() -> Self {
        SctpLimits {
            message_bytes: 64 * 1024,
            message_fragments: 512,
            channels: 64,
            label_bytes: 1024,
            reliable_buffer_bytes: 1024 * 1024,
            lossy_buffer_bytes: 64 * 1024,
            total_buffer_bytes: 4 * 1024 * 1024,
            receive_buffer_bytes: 1024 * 1024,
            receive_fragments: 4096,
            chunks_in_flight: 2048,
        }
    }
}

impl SctpLimits {
    /// Streams whose order is kept: every channel's, and as many again that are being refused.
    fn ordered_streams(&self) -> usize {
        self.channels * 2
    }
}

/// What an association tells its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SctpEvent {
    /// A channel is open, whoever opened it.
    Open(ChannelId, ChannelSpec),
    /// A message arrived.
    Message {
        /// Its channel.
        channel: ChannelId,
        /// Whether it was sent as text.
        text: bool,
        /// Its bytes.
        payload: Bytes,
    },
    /// A channel that answered [`SendError::Full`](crate::SendError::Full) drained below a quarter of its limit.
    Writable(ChannelId),
    /// A channel is closed.
    Closed(ChannelId),
    /// The association is at its end, and why. Nothing follows.
    Failed(String),
}

/// Why a channel could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// As many channels as the limit allows are open.
    #[error("{0} data channels are open already: close one first")]
    TooManyChannels(usize),
    /// Its name is too long.
    #[error("the data channel's label has {bytes} bytes, the limit is {limit}")]
    LabelTooLong {
        /// The label's length.
        bytes: usize,
        /// The most that is allowed.
        limit: usize,
    },
    /// The association is at its end.
    #[error("the data channels' association has ended")]
    Ended,
}

/// Counters of an association: what came, what was refused, which limit was met.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SctpStats {
    /// Packets that broke the format or whose checksum was wrong.
    pub malformed_packets: u64,
    /// Packets of another association (RFC 9260 section 8.5).
    pub wrong_tags: u64,
    /// Chunks that there was no room for; the peer sends them again.
    pub chunks_without_room: u64,
    /// Chunks that had been received before.
    pub duplicate_chunks: u64,
    /// Messages on streams without a channel, or with an unknown payload protocol identifier.
    pub orphan_messages: u64,
    /// Channels of the peer's beyond the limit, or malformed.
    pub refused_channels: u64,
    /// Replies dropped because too many waited to be sent.
    pub dropped_replies: u64,
    /// Messages that did not fit a send buffer.
    pub full_buffers: u64,
    /// Chunks sent again.
    pub retransmissions: u64,
    /// Messages given up.
    pub abandoned_messages: u64,
}
