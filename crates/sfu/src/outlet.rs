// SPDX-License-Identifier: EUPL-1.2
//! An outlet: the way by which tracks of a room reach a media worker, another process that records or streams them.
//!
//! To its room an outlet is one more subscriber, so that choice of layers, switching at key frames, numbering without seams,
//! retransmission and sender reports on one clock are the code that people's clients have. It differs in its transport: there
//! is no negotiation, since both ends are ours. Its packets are SRTP under AEAD_AES_128_GCM with a key that whoever started the
//! worker chose and told both ends, its codecs and extensions are those of [`OUTLET_CODECS`] and [`OUTLET_EXTENSIONS`], and the
//! SSRCs follow from the subscription ([`SubscriptionId::outlet_ssrcs`]), so that what a stream is can be told before its first
//! packet comes. Only packets go that way, and only there. What would be RTCP takes the control side's way:
//! [`crate::Event::OutletClock`] to the worker, [`crate::Command::RepairOutlet`] from it.
//!
//! Nothing is kept for a worker that is slow or dead: datagrams that its socket has no room for are lost, and nobody waits.

use std::fmt;
use std::net::SocketAddr;

use parvis_peer::sdp::{Codec, CodecKind, Feedback, MediaKind};
use parvis_rtp::Extension;

use crate::SubscriptionId;

/// Bytes of a master key with its salt: 16 and 12 (RFC 7714 section 12).
pub const OUTLET_KEY_BYTES: usize = 28;

/// Master key, then master salt. It does not show in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct OutletKey(pub [u8; OUTLET_KEY_BYTES]);

impl fmt::Debug for OutletKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OutletKey(..)")
    }
}

/// Where an outlet leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutletSpec {
    /// The worker's UDP socket.
    pub to: SocketAddr,
    /// What protects its packets. No two outlets may share one: their SSRCs may meet, and with them nonces.
    pub key: OutletKey,
}

/// A codec as it goes through outlets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutletCodec {
    /// Which.
    pub kind: CodecKind,
    /// The payload type of its packets.
    pub payload_type: u8,
    /// The payload type of its retransmissions (RFC 4588); sound has none.
    pub rtx: Option<u8>,
    /// In Hz.
    pub clock_rate: u32,
}

/// Every codec that goes through outlets. Redundant sound (RED) goes as the Opus within.
pub const OUTLET_CODECS: [OutletCodec; 5] = [
    OutletCodec { kind: CodecKind::Opus, payload_type: 111, rtx: None, clock_rate: 48_000 },
    OutletCodec { kind: CodecKind::Vp8, payload_type: 96, rtx: Some(97), clock_rate: 90_000 },
    OutletCodec { kind: CodecKind::Vp9, payload_type: 98, rtx: Some(99), clock_rate: 90_000 },
    OutletCodec { kind: CodecKind::Av1, payload_type: 45, rtx: Some(46), clock_rate: 90_000 },
    OutletCodec { kind: CodecKind::H264, payload_type: 108, rtx: Some(109), clock_rate: 90_000 },
];

/// The header extensions that go through outlets, by their ids.
pub const OUTLET_EXTENSIONS: [(u8, Extension); 3] =
    [(1, Extension::AudioLevel), (6, Extension::VideoOrientation), (7, Extension::AbsCaptureTime)];

impl OutletCodec {
    /// Whether it is sound or pictures.
    pub fn media_kind(&self) -> MediaKind {
        if self.kind == CodecKind::Opus { MediaKind::Audio } else { MediaKind::Video }
    }

    pub(crate) fn negotiated(&self) -> Codec {
        let video = self.media_kind() == MediaKind::Video;
        Codec {
            payload_type: self.payload_type,
            kind: self.kind,
            clock_rate: self.clock_rate,
            channels: if video { 0 } else { 2 },
            fmtp: String::new(),
            rtx: self.rtx,
            feedback: Feedback { nack: video, pli: video, fir: video, transport_cc: false, remb: false },
        }
    }
}

impl SubscriptionId {
    /// The SSRCs of a subscription that goes through an outlet: of its packets and of their retransmissions. A room numbers
    /// its subscriptions from one, so that no two within one outlet meet before 2^31.
    pub fn outlet_ssrcs(self) -> (u32, u32) {
        let media = (self.0 as u32) << 1;
        (media, media | 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_one_room_never_meet_and_keys_do_not_show() {
        let room = 7_u64 << 32;
        let mut all: Vec<u32> = (1..1_000)
            .flat_map(|number| {
                let (media, rtx) = SubscriptionId(room | number).outlet_ssrcs();
                [media, rtx]
            })
            .collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 2 * 999);
        let spec = OutletSpec {
            to: SocketAddr::from(([127, 0, 0, 1], 9)),
            key: OutletKey([0xab; OUTLET_KEY_BYTES]),
        };
        let shown = format!("{spec:?}");
        assert!(!shown.contains("171") && !shown.contains("ab") && shown.contains("127.0.0.1:9"), "{shown}");
    }

    #[test]
    fn payload_types_are_told_apart_from_each_other_and_from_rtcp() {
        let mut types: Vec<u8> =
            OUTLET_CODECS.iter().flat_map(|codec| [Some(codec.payload_type), codec.rtx]).flatten().collect();
        // RFC 5761 section 4: with the marker bit, 64 to 95 would be RTCP packet types.
        assert!(types.iter().all(|payload_type| *payload_type < 128 && !(64..96).contains(payload_type)));
        types.sort_unstable();
        types.dedup();
        assert_eq!(types.len(), 9);
    }
}
