// SPDX-License-Identifier: EUPL-1.2
//! Words that cross the crate's border: paths, channels, events, reports.

use std::net::SocketAddr;

/// How a datagram travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// UDP.
    Udp,
    /// TCP with RFC 4571 framing; the peer connected to us (RFC 6544, passive).
    Tcp,
}

/// One 5-tuple. `local` is the address that the socket is bound to (UDP) or was reached at (TCP).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    /// The protocol.
    pub protocol: Protocol,
    /// Our end.
    pub local: SocketAddr,
    /// The peer's end.
    pub remote: SocketAddr,
}

/// An address that we offer (RFC 8445 section 5.1.1; always of type host).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LocalCandidate {
    /// UDP, or passive TCP.
    pub protocol: Protocol,
    /// The address that the peer sends to.
    pub address: SocketAddr,
}

/// Names one data channel of a peer: its SCTP stream id (RFC 8832).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelId(pub u16);

/// What a data channel promises (RFC 8832 section 5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelSpec {
    /// Its name.
    pub label: String,
    /// Whether messages arrive in order.
    pub ordered: bool,
    /// How often a lost message is sent again; `None` until it arrives.
    pub max_retransmits: Option<u16>,
}

/// What became of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// An RTP packet, authenticated and decrypted in place: the first `len` bytes.
    Rtp {
        /// Its length in bytes.
        len: usize,
    },
    /// A compound RTCP packet, authenticated and decrypted in place: the first `len` bytes.
    Rtcp {
        /// Its length in bytes.
        len: usize,
    },
    /// STUN, DTLS or SCTP: the peer took care of it.
    Handled,
    /// Refused; nothing changed.
    Dropped(DropReason),
}

/// Why a datagram was refused. Each is a metric's label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DropReason {
    /// Neither STUN, DTLS, RTP nor RTCP by its first bytes (RFC 7983).
    Unknown,
    /// Malformed.
    Malformed,
    /// STUN whose user name or message integrity doesn't hold.
    Unauthenticated,
    /// DTLS, RTP or RTCP from a path that no integrity-checked STUN request came from.
    UnvalidatedPath,
    /// SRTP whose tag doesn't hold.
    BadTag,
    /// SRTP seen before, or too old to tell.
    Replayed,
    /// RTP or RTCP before the handshake gave keys.
    NoKeys,
    /// A limit of the configuration.
    Limit,
}

impl DropReason {
    /// Every reason, in the order of their discriminants.
    pub const ALL: [DropReason; 8] = [
        DropReason::Unknown,
        DropReason::Malformed,
        DropReason::Unauthenticated,
        DropReason::UnvalidatedPath,
        DropReason::BadTag,
        DropReason::Replayed,
        DropReason::NoKeys,
        DropReason::Limit,
    ];
}

/// What a peer tells its owner.
#[derive(Debug, Clone, PartialEq)]
pub enum PeerEvent {
    /// An integrity-checked STUN request came from this path: datagrams from it are this peer's.
    PathValidated(Path),
    /// This path is no longer the peer's (consent expired, too many, closed).
    PathRemoved(Path),
    /// DTLS is done and media keys are there.
    Connected(Box<TransportReport>),
    /// No consent for the configured time (RFC 7675): nothing more is sent; a STUN request or an ICE restart revives it.
    Disconnected,
    /// Consent is back.
    Resumed,
    /// The peer can't go on: its owner closes it.
    Failed(FailReason),
    /// A data channel is open, whoever opened it.
    ChannelOpen(ChannelId, ChannelSpec),
    /// A message arrived on a channel.
    ChannelMessage {
        /// The channel.
        channel: ChannelId,
        /// Whether it was sent as text.
        text: bool,
        /// Its bytes.
        payload: bytes::Bytes,
    },
    /// A channel drained below its low-water mark after [`crate::SendError::Full`].
    ChannelWritable(ChannelId),
    /// A channel is closed.
    ChannelClosed(ChannelId),
}

/// Why a peer failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FailReason {
    /// The DTLS handshake ended in an alert or ran out of time.
    Handshake(String),
    /// The certificate isn't the one whose fingerprint was signalled.
    Fingerprint,
    /// The peer closed DTLS.
    Closed,
    /// No valid path came up, or consent was gone, for too long.
    Timeout,
}

/// What the transport came to; shown in logs, metrics and tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportReport {
    /// The path of the handshake.
    pub path: Path,
    /// `DTLSv1.3` or `DTLSv1.2`.
    pub dtls_version: String,
    /// The cipher suite's IANA name.
    pub cipher: String,
    /// The key exchange group, by IANA number: 0x11ec is X25519MLKEM768.
    pub group: u16,
    /// The SRTP protection profile's IANA name.
    pub srtp_profile: String,
}
