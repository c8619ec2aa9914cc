// SPDX-License-Identifier: EUPL-1.2
//! One track as the server sends it to a worker: packets under SRTP, repeated when asked for (RFC 4588).

use std::collections::VecDeque;

use parvis_jobs::{Codec, Kind, Origin, Profile, Source, SrtpKey, UnixMicros};
use parvis_rtp::srtp::{Limits, MasterKey, SrtpContext};
use parvis_rtp::{ExtensionMap, Extensions, HeaderFields, write_packet};

use crate::Fallible;

const PROFILE: parvis_rtp::srtp::Profile = parvis_rtp::srtp::Profile::Aead128Gcm;
const TAG_BYTES: usize = 16;
const HEAD_BYTES: usize = 12;
const PAYLOAD_BYTES: usize = 1_100;
const PAYLOAD_TYPE: u8 = 96;
const RTX_PAYLOAD_TYPE: u8 = 97;
/// Packets that can be asked for again.
const RING: usize = 1_000;

struct Sent {
    sequence: u16,
    timestamp: u32,
    marker: bool,
    payload: Vec<u8>,
}

/// See the module's page.
pub(crate) struct Sender {
    pub(crate) source: Source,
    srtp: SrtpContext,
    repair: SrtpContext,
    sequence: u16,
    repairs: u16,
    ring: VecDeque<Sent>,
    repair_ssrc: u32,
}

impl Sender {
    pub(crate) fn new(participant: &str, codec: Codec, ssrc: u32, at: UnixMicros) -> Fallible<Sender> {
        let mut key = [0; 28];
        rand::fill(&mut key);
        let (master, salt) = key.split_at(16);
        let context = || -> Fallible<SrtpContext> {
            Ok(SrtpContext::new(PROFILE, &MasterKey::new(PROFILE, master, salt)?, Limits::SEND)?)
        };
        let repair_ssrc = ssrc + 0x8000_0000;
        let source = Source {
            track: format!("TR_{ssrc}"),
            name: String::new(),
            participant: participant.to_owned(),
            kind: codec.kind(),
            origin: if codec.kind() == Kind::Audio { Origin::Microphone } else { Origin::Camera },
            codec,
            clock_rate: codec.clock_rate(),
            channels: 2,
            payload_type: PAYLOAD_TYPE,
            red_payload_type: None,
            ssrc,
            rtx: Some((repair_ssrc, RTX_PAYLOAD_TYPE)),
            profile: Profile::Aead128Gcm,
            key: SrtpKey::new(key.to_vec()),
            muted: false,
            at,
        };
        let (srtp, repair) = (context()?, context()?);
        Ok(Sender { source, srtp, repair, sequence: 0, repairs: 0, ring: VecDeque::new(), repair_ssrc })
    }

    /// The packets of a frame: of VP8 with the shortest descriptor (RFC 7741 section 4.2), of sound one.
    pub(crate) fn packets(&mut self, frame: &[u8], timestamp: u32) -> Fallible<Vec<Vec<u8>>> {
        let payloads: Vec<Vec<u8>> = match self.source.kind {
            Kind::Audio => vec![frame.to_vec()],
            Kind::Video => {
                let first = |place| if place == 0 { 0x10 } else { 0 };
                let chunks = frame.chunks(PAYLOAD_BYTES).enumerate();
                chunks.map(|(place, chunk)| [&[first(place)], chunk].concat()).collect()
            }
        };
        let last = payloads.len().saturating_sub(1);
        let mut packets = Vec::new();
        for (place, payload) in payloads.into_iter().enumerate() {
            let marker = self.source.kind == Kind::Video && place == last;
            let fields = HeaderFields {
                marker,
                payload_type: PAYLOAD_TYPE,
                sequence: self.sequence,
                timestamp,
                ssrc: self.source.ssrc,
                ..HeaderFields::default()
            };
            packets.push(protect(&mut self.srtp, &fields, &payload)?);
            self.ring.push_back(Sent { sequence: self.sequence, timestamp, marker, payload });
            if self.ring.len() > RING {
                self.ring.pop_front();
            }
            self.sequence = self.sequence.wrapping_add(1);
        }
        Ok(packets)
    }

    /// A packet once more, if it is remembered.
    pub(crate) fn again(&mut self, sequence: u16) -> Fallible<Option<Vec<u8>>> {
        let Some(sent) = self.ring.iter().find(|sent| sent.sequence == sequence) else { return Ok(None) };
        let fields = HeaderFields {
            marker: sent.marker,
            payload_type: RTX_PAYLOAD_TYPE,
            sequence: self.repairs,
            timestamp: sent.timestamp,
            ssrc: self.repair_ssrc,
            ..HeaderFields::default()
        };
        self.repairs = self.repairs.wrapping_add(1);
        let payload = [&sequence.to_be_bytes(), sent.payload.as_slice()].concat();
        protect(&mut self.repair, &fields, &payload).map(Some)
    }
}

fn protect(srtp: &mut SrtpContext, fields: &HeaderFields<'_>, payload: &[u8]) -> Fallible<Vec<u8>> {
    let mut packet = vec![0; HEAD_BYTES + payload.len() + TAG_BYTES];
    let written =
        write_packet(&mut packet, fields, &ExtensionMap::default(), &Extensions::default(), payload)?;
    let written = srtp.protect_rtp(&mut packet, written)?;
    packet.truncate(written);
    Ok(packet)
}
