// SPDX-License-Identifier: EUPL-1.2
//! What a forwarder tells the control side.

use std::time::Instant;

use bytes::Bytes;
use parvis_peer::sdp::CodecKind;
use parvis_peer::{DropReason, FailReason, TransportReport};
use parvis_rtp::Mid;

use crate::{DataChannel, Description, PeerId, RoomId, SubscriptionId, TrackId};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Send this description to the client: the answer to its offer, or an offer of ours.
    LocalDescription {
        /// Whose.
        peer: PeerId,
        /// What.
        description: Description,
        /// Which of our tracks is in which media section.
        mids: Vec<(Mid, SubscriptionId)>,
    },
    /// Ask the client to offer so many more receiving sections, and to offer anew even when none is missing ([`crate::PeerRole::Single`]).
    MediaSectionsRequired {
        /// Whom.
        peer: PeerId,
        /// Audio sections.
        audios: u32,
        /// Video sections.
        videos: u32,
    },
    /// A description was refused; the connection stays as it was.
    DescriptionRefused {
        /// Whose.
        peer: PeerId,
        /// What was wrong, where.
        reason: String,
    },
    /// ICE and DTLS are up.
    PeerConnected {
        /// Who.
        peer: PeerId,
        /// How.
        report: Box<TransportReport>,
    },
    /// The network is gone for now.
    PeerDisconnected {
        /// Whose.
        peer: PeerId,
    },
    /// The network is back without a new handshake.
    PeerResumed {
        /// Whose.
        peer: PeerId,
    },
    /// The connection is over; its peer is already forgotten.
    PeerFailed {
        /// Whose.
        peer: PeerId,
        /// Why.
        reason: FailReason,
    },
    /// All of a peer's data channels that it needs are open.
    ChannelsOpen {
        /// Whose.
        peer: PeerId,
    },
    /// A published track has its media section: it can be announced.
    TrackBound {
        /// Which.
        track: TrackId,
        /// In which section.
        mid: Mid,
        /// Its codec of first choice.
        codec: CodecKind,
        /// Whether RTX, simulcast or SVC were agreed, for the track's description: simulcast by RID.
        simulcast: bool,
    },
    /// The first packet of a track came.
    TrackStarted {
        /// Which.
        track: TrackId,
        /// The codec that it is sent in.
        codec: CodecKind,
    },
    /// The client's last description no longer sends this track: it was unpublished by renegotiation. The control side
    /// answers with [`crate::Command::Unpublish`].
    TrackEnded {
        /// Which.
        track: TrackId,
    },
    /// The first packet of a subscription went out.
    SubscriptionStarted {
        /// Which.
        subscription: SubscriptionId,
    },
    /// A subscriber's connection came to an agreement that leaves out the codec in which its track is sent: nothing
    /// reaches it until [`crate::Command::SwitchTrack`] names another.
    CodecUnsupported {
        /// Which.
        subscription: SubscriptionId,
        /// What it can't take.
        codec: CodecKind,
    },
    /// A sender report on a subscription of an outlet's: what its RTP clock shows at a moment of ours.
    OutletClock {
        /// Which.
        subscription: SubscriptionId,
        /// As the worker sees its timestamps.
        rtp_timestamp: u32,
        /// The moment.
        at: Instant,
    },
    /// The forwarder paused a subscription for lack of bandwidth, or took it up again.
    StreamState {
        /// Which.
        subscription: SubscriptionId,
        /// Whether it is paused.
        paused: bool,
    },
    /// Who speaks in a room: every audible track with its level, loudest first. Sent when it changes, at most every 300 ms.
    Speakers {
        /// Where.
        room: RoomId,
        /// Track and level, 0.0 silent to 1.0 loud.
        speakers: Vec<(TrackId, f32)>,
    },
    /// How a peer's network does; every few seconds.
    Quality {
        /// Whose.
        peer: PeerId,
        /// What was seen.
        report: QualityReport,
    },
    /// A message came on a data channel.
    Data {
        /// From whom.
        peer: PeerId,
        /// On which channel.
        channel: DataChannel,
        /// What.
        payload: Bytes,
    },
    /// A peer has acknowledged so much more of what it was sent on its reliable channel: payload, and
    /// [`crate::DATA_OVERHEAD_BYTES`] for each message. Told when it has come to [`crate::DATA_TAKEN_STEP_BYTES`].
    DataTaken {
        /// Who.
        peer: PeerId,
        /// How much.
        bytes: u64,
    },
    /// A reliable channel's reader is too slow: its buffer was full and the message is lost to it. The control side ends the session.
    DataOverflow {
        /// Whose.
        peer: PeerId,
        /// On which channel.
        channel: DataChannel,
    },
    /// A limit was hit for this peer, for the first time or again after a while.
    LimitHit {
        /// Whose.
        peer: PeerId,
        /// Which.
        reason: DropReason,
    },
}

/// A peer's network over the last few seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct QualityReport {
    /// Share of the client's packets that did not reach us, 0 to 1.
    pub uplink_loss: f32,
    /// Share of our packets that did not reach the client, 0 to 1.
    pub downlink_loss: f32,
    /// Round trip in milliseconds; 0 when unknown.
    pub round_trip_ms: u32,
    /// What we believe the client can receive, in bits per second; 0 when nothing is sent.
    pub estimate: u64,
    /// Whether less is sent than the client asked for, for lack of bandwidth.
    pub limited: bool,
}
