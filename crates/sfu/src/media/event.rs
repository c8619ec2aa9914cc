// SPDX-License-Identifier: EUPL-1.2
//! What the media engine tells the forwarder, and by which door packets leave it.

use parvis_peer::DropReason;
use parvis_peer::sdp::CodecKind;

use crate::{ForwarderId, PeerId, QualityReport, SubscriptionId, TrackId, TrunkWord};

/// Where plaintext packets go: the forwarder encrypts them and puts them into its outbox.
pub trait Egress {
    /// Lets `write` fill a buffer of at least `room` bytes; it returns the packet's length, or `None` to send
    /// nothing. `false` when nothing was sent: the peer has no keys or no path.
    fn rtp(&mut self, peer: PeerId, room: usize, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> bool;
    /// Sends a compound (or reduced-size) RTCP packet.
    fn rtcp(&mut self, peer: PeerId, compound: &[u8]);
    /// Whether so much waits to be sent that this should be done before more is written. It takes more all the same.
    fn is_full(&self) -> bool {
        false
    }
    /// Takes what another forwarder is to know of a track, a packet with its dependency descriptor and payload.
    /// `false` when there is no room.
    fn trunk(
        &mut self,
        to: ForwarderId,
        track: TrackId,
        word: TrunkWord,
        descriptor: &[u8],
        payload: &[u8],
    ) -> bool {
        let _ = (to, track, word, descriptor, payload);
        false
    }
}

/// One thing that happened in a room's media.
#[derive(Debug, Clone, PartialEq)]
pub enum MediaEvent {
    /// The first packet of a track came.
    TrackStarted {
        /// Which.
        track: TrackId,
        /// The codec that it is sent in.
        codec: CodecKind,
    },
    /// The first packet of a subscription went out.
    SubscriptionStarted {
        /// Which.
        subscription: SubscriptionId,
    },
    /// The subscriber didn't negotiate the codec in which the track is sent.
    CodecUnsupported {
        /// Which.
        subscription: SubscriptionId,
        /// What it can't take.
        codec: CodecKind,
    },
    /// A subscription was paused for lack of bandwidth, or taken up again.
    StreamState {
        /// Which.
        subscription: SubscriptionId,
        /// Whether it is paused.
        paused: bool,
    },
    /// Who speaks, loudest first; only when it changed.
    Speakers(Vec<(TrackId, f32)>),
    /// How a peer's network does.
    Quality(PeerId, QualityReport),
    /// A limit was hit for this peer, for the first time or again after a while.
    LimitHit {
        /// Whose.
        peer: PeerId,
        /// Which.
        reason: DropReason,
    },
}
