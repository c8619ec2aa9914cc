// SPDX-License-Identifier: EUPL-1.2
//! A room, its clock, and small builders of packets.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parvis_peer::sdp::{
    Codec, CodecKind, Direction, EncoderPreference, Feedback, MediaKind, MediaSection, RemoteStream, SenderId,
};
use parvis_rtp::rtcp::{Rtcp, Writer, packets};
use parvis_rtp::{Extension, ExtensionMap, Extensions, HeaderFields, Mid, Packet, Rid, write_packet};
use parvis_sfu::media::{Egress, MediaConfig, MediaEvent, RoomMedia};
use parvis_sfu::{LayerSpec, PeerId, Quality, SubscriptionId, TrackId, TrackSpec};

/// Payload types of publishers. Subscribers have others: [`SUB_SHIFT`] higher.
pub(crate) const OPUS: u8 = 100;
pub(crate) const RED: u8 = 101;
pub(crate) const VP8: u8 = 70;
pub(crate) const VP8_RTX: u8 = 71;
pub(crate) const VP9: u8 = 72;
pub(crate) const AV1: u8 = 74;
pub(crate) const H264: u8 = 76;
pub(crate) const SUB_SHIFT: u8 = 10;

/// A packet that left, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) at: Instant,
    pub(crate) peer: PeerId,
    pub(crate) marker: bool,
    pub(crate) payload_type: u8,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) ssrc: u32,
    pub(crate) payload: Vec<u8>,
    pub(crate) padding: u8,
    pub(crate) bytes: Vec<u8>,
}

/// Collects what leaves. As encryption does, it lets nobody use a number of a stream twice.
#[derive(Debug)]
pub(crate) struct Collected {
    pub(crate) now: Instant,
    pub(crate) rtp: Vec<Left>,
    pub(crate) rtcp: Vec<(PeerId, Vec<u8>)>,
    /// Nothing leaves.
    pub(crate) shut: bool,
    /// Numbers may be used again: what the engine hands over is looked at, whatever encryption would make of it.
    pub(crate) lenient: bool,
    used: HashSet<(PeerId, u32, u16)>,
    pub(crate) refused: usize,
}

impl Collected {
    pub(crate) fn new(now: Instant) -> Collected {
        Collected {
            now,
            rtp: Vec::new(),
            rtcp: Vec::new(),
            shut: false,
            lenient: false,
            used: HashSet::new(),
            refused: 0,
        }
    }
}

impl Egress for Collected {
    fn rtp(&mut self, peer: PeerId, room: usize, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> bool {
        let mut bytes = vec![0; room];
        let Some(len) = write(&mut bytes) else { return false };
        bytes.truncate(len);
        let packet = Packet::parse(&bytes).unwrap();
        let number = |sequence| (peer, packet.ssrc, sequence);
        let fresh = self.used.insert(number(packet.sequence));
        if self.shut || !(fresh || self.lenient) {
            self.refused += 1;
            return false;
        }
        // Half a round later it is another one's number.
        self.used.remove(&number(packet.sequence.wrapping_add(1 << 15)));
        self.rtp.push(Left {
            at: self.now,
            peer,
            marker: packet.marker,
            payload_type: packet.payload_type,
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            ssrc: packet.ssrc,
            payload: packet.payload.to_vec(),
            padding: packet.padding,
            bytes: bytes.clone(),
        });
        true
    }

    fn rtcp(&mut self, peer: PeerId, compound: &[u8]) {
        self.rtcp.push((peer, compound.to_vec()));
    }

    fn is_full(&self) -> bool {
        true
    }
}

/// A room in virtual time.
pub(crate) struct World {
    pub(crate) room: RoomMedia,
    pub(crate) now: Instant,
    pub(crate) out: Collected,
    pub(crate) events: Vec<MediaEvent>,
}

pub(crate) fn config() -> MediaConfig {
    MediaConfig { start_bitrate: 20_000_000, ..MediaConfig::default() }
}

impl World {
    pub(crate) fn new() -> World {
        World::with(config())
    }

    pub(crate) fn with(config: MediaConfig) -> World {
        let now = Instant::now();
        let room = RoomMedia::new(Arc::new(config), [7; 32], now);
        let out = Collected::new(now);
        World { room, now, out, events: Vec::new() }
    }

    /// Runs timers up to `duration` from now.
    pub(crate) fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        let mut turns = 0;
        while let Some(due) = self.room.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.out.now = self.now;
            self.room.handle_timeout(self.now, &mut self.out);
            turns += 1;
            assert!(turns < 200_000, "timers must not spin");
        }
        self.now = end;
        self.out.now = end;
        self.events.extend(std::iter::from_fn(|| self.room.poll_event()));
    }

    pub(crate) fn run_ms(&mut self, ms: u64) {
        self.run(Duration::from_millis(ms));
    }

    pub(crate) fn rtp(&mut self, peer: u64, packet: &[u8]) {
        self.room.handle_rtp(self.now, PeerId(peer), packet, &mut self.out);
    }

    /// The same, perhaps held back until [`World::forward_held`].
    pub(crate) fn hold(&mut self, peer: u64, packet: &[u8]) {
        self.room.hold_rtp(self.now, PeerId(peer), packet, &mut self.out);
    }

    /// Forwards what is held back, as a socket does that is full again and again.
    pub(crate) fn forward_held(&mut self) {
        while self.room.forward_held(self.now, &mut self.out) {}
    }

    pub(crate) fn rtcp(&mut self, peer: u64, write: impl FnOnce(&mut Writer<'_>)) {
        let mut buf = [0; 1400];
        let mut writer = Writer::new(&mut buf);
        write(&mut writer);
        let len = writer.len();
        self.room.handle_rtcp(self.now, PeerId(peer), &buf[..len], &mut self.out);
    }

    /// A connected peer with these sections.
    pub(crate) fn peer(&mut self, peer: u64, sections: &[MediaSection]) {
        self.room.add_peer(self.now, PeerId(peer));
        self.room.set_sections(self.now, PeerId(peer), sections);
        self.room.set_connected(self.now, PeerId(peer), true);
    }

    /// A track of a peer's, in the section named so.
    pub(crate) fn publish(&mut self, peer: u64, track: u64, mid: &str, spec: &TrackSpec) {
        self.room.publish(self.now, TrackId(track), PeerId(peer), spec);
        self.room.bind(self.now, TrackId(track), Mid::new(mid).unwrap());
    }

    /// A subscription with SSRC `id * 10`, retransmissions from one more.
    pub(crate) fn subscribe(&mut self, id: u64, peer: u64, track: u64) {
        let ssrc = id as u32 * 10;
        self.room.subscribe(self.now, SubscriptionId(id), PeerId(peer), TrackId(track), ssrc, Some(ssrc + 1));
    }

    /// What left to a peer, taken out.
    pub(crate) fn take_rtp(&mut self, peer: u64) -> Vec<Left> {
        let (taken, rest) = self.out.rtp.drain(..).partition(|left| left.peer == PeerId(peer));
        self.out.rtp = rest;
        taken
    }

    /// Key frame requests that left to a peer, taken out alone.
    pub(crate) fn take_plis_only(&mut self, peer: u64) -> usize {
        let others: Vec<_> = self.out.rtcp.iter().filter(|(to, _)| *to != PeerId(peer)).cloned().collect();
        let plis = self.take_plis(peer);
        self.out.rtcp = others;
        plis
    }

    /// Key frame requests that left to a peer, taken out with all other RTCP.
    pub(crate) fn take_plis(&mut self, peer: u64) -> usize {
        let all = std::mem::take(&mut self.out.rtcp);
        let is_pli = |packet: Result<Rtcp<'_>, _>| matches!(packet, Ok(Rtcp::Pli { .. }));
        all.iter()
            .filter(|(to, _)| *to == PeerId(peer))
            .map(|(_, compound)| packets(compound).filter(|packet| is_pli(*packet)).count())
            .sum()
    }
}

/// Header extensions of publishers.
pub(crate) fn publisher_map() -> ExtensionMap {
    let mut map = ExtensionMap::default();
    for (id, extension) in (1..).zip(Extension::ALL) {
        assert!(map.insert(id, extension));
    }
    map
}

/// Header extensions of subscribers: other ids.
pub(crate) fn subscriber_map() -> ExtensionMap {
    let mut map = ExtensionMap::default();
    for (id, extension) in (1..).zip(Extension::ALL.into_iter().rev()) {
        assert!(map.insert(id, extension));
    }
    map
}

fn codec(payload_type: u8, kind: CodecKind, rtx: Option<u8>) -> Codec {
    let audio = matches!(kind, CodecKind::Opus | CodecKind::Red);
    Codec {
        payload_type,
        kind,
        clock_rate: if audio { 48_000 } else { 90_000 },
        channels: if audio { 2 } else { 0 },
        fmtp: String::new(),
        rtx,
        feedback: Feedback { nack: true, pli: true, fir: true, transport_cc: true, remb: false },
    }
}

fn codecs(kind: MediaKind, shift: u8) -> Vec<Codec> {
    match kind {
        MediaKind::Audio => {
            vec![codec(RED + shift, CodecKind::Red, None), codec(OPUS + shift, CodecKind::Opus, None)]
        }
        MediaKind::Video => {
            [(VP8, CodecKind::Vp8), (VP9, CodecKind::Vp9), (AV1, CodecKind::Av1), (H264, CodecKind::H264)]
                .map(|(payload_type, kind)| codec(payload_type + shift, kind, Some(payload_type + shift + 1)))
                .to_vec()
        }
    }
}

/// A section in which a peer sends to us.
pub(crate) fn inbound(mid: &str, kind: MediaKind, rids: &[&str]) -> MediaSection {
    MediaSection {
        index: 0,
        mid: Mid::new(mid).unwrap(),
        kind,
        direction: Direction::RecvOnly,
        codecs: codecs(kind, 0),
        fec: None,
        extensions: publisher_map(),
        rids: rids.iter().map(|rid| Rid::new(rid).unwrap()).collect(),
        remote_streams: Vec::new(),
        remote_msid: None,
        sender: None,
    }
}

/// The same with streams announced by SSRC.
pub(crate) fn inbound_by_ssrc(mid: &str, kind: MediaKind, streams: &[(u32, Option<u32>)]) -> MediaSection {
    let streams = streams.iter().map(|(ssrc, rtx)| RemoteStream { ssrc: *ssrc, rtx: *rtx, fec: None });
    MediaSection { remote_streams: streams.collect(), ..inbound(mid, kind, &[]) }
}

/// A section in which we send a subscription to a peer.
pub(crate) fn outbound(mid: &str, kind: MediaKind, subscription: u64) -> MediaSection {
    MediaSection {
        direction: Direction::SendOnly,
        codecs: codecs(kind, SUB_SHIFT),
        extensions: subscriber_map(),
        sender: Some(SenderId(subscription)),
        ..inbound(mid, kind, &[])
    }
}

pub(crate) fn audio_spec() -> TrackSpec {
    TrackSpec {
        cid: "a".into(),
        kind: MediaKind::Audio,
        screen_share: false,
        muted: false,
        encoder: EncoderPreference::default(),
        layers: Vec::new(),
    }
}

/// A video track with a layer for each RID, or one without.
pub(crate) fn video_spec(rids: &[&str]) -> TrackSpec {
    let qualities = [Quality::Low, Quality::Medium, Quality::High];
    let sizes = [(320, 180, 150_000), (640, 360, 500_000), (1280, 720, 1_700_000)];
    let rids: Vec<Option<Rid>> =
        if rids.is_empty() { vec![None] } else { rids.iter().map(|rid| Rid::new(rid)).collect() };
    let layers = rids.into_iter().zip(qualities).zip(sizes);
    let layers = layers.map(|((rid, quality), (width, height, bitrate))| LayerSpec {
        quality,
        rid,
        width,
        height,
        bitrate,
    });
    TrackSpec {
        cid: "v".into(),
        kind: MediaKind::Video,
        screen_share: false,
        muted: false,
        encoder: EncoderPreference::default(),
        layers: layers.collect(),
    }
}

/// A packet of a publisher's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct In<'a> {
    pub(crate) payload_type: u8,
    pub(crate) ssrc: u32,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) extensions: Extensions<'a>,
}

impl Default for In<'_> {
    fn default() -> Self {
        In {
            payload_type: VP8,
            ssrc: 1,
            sequence: 0,
            timestamp: 0,
            marker: true,
            extensions: Extensions::default(),
        }
    }
}

impl In<'_> {
    pub(crate) fn with(&self, payload: &[u8]) -> Vec<u8> {
        let fields = HeaderFields {
            marker: self.marker,
            payload_type: self.payload_type,
            sequence: self.sequence,
            timestamp: self.timestamp,
            ssrc: self.ssrc,
            ..HeaderFields::default()
        };
        let mut buf = [0; 2000];
        let len = write_packet(&mut buf, &fields, &publisher_map(), &self.extensions, payload).unwrap();
        buf[..len].to_vec()
    }
}

pub(crate) fn mid_ext(mid: &str) -> Extensions<'static> {
    Extensions { mid: Mid::new(mid), ..Extensions::default() }
}

pub(crate) fn rid_ext(mid: &str, rid: &str) -> Extensions<'static> {
    Extensions { mid: Mid::new(mid), rid: Rid::new(rid), ..Extensions::default() }
}

/// A VP8 payload: descriptor with every number, then the frame tag, then `content`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vp8 {
    pub(crate) start: bool,
    pub(crate) key: bool,
    pub(crate) picture: u16,
    pub(crate) tl0: u8,
    pub(crate) key_index: u8,
    pub(crate) temporal: u8,
    pub(crate) sync: bool,
}

impl Vp8 {
    pub(crate) fn with(&self, content: &[u8]) -> Vec<u8> {
        let picture = (self.picture & 0x7fff | 0x8000).to_be_bytes();
        let mut payload = vec![
            0x80 | u8::from(self.start) << 4,
            0xf0,
            picture[0],
            picture[1],
            self.tl0,
            self.temporal << 6 | u8::from(self.sync) << 5 | self.key_index & 0x1f,
            u8::from(!self.key),
        ];
        payload.extend_from_slice(content);
        payload
    }
}

/// What a subscriber reads of a VP8 payload: picture, TL0PICIDX, KEYIDX, key frame, content.
pub(crate) fn read_vp8(payload: &[u8]) -> (u16, u8, u8, bool, Vec<u8>) {
    let descriptor = parvis_rtp::vp8::Descriptor::parse(payload).unwrap();
    (
        descriptor.picture_id.unwrap().value,
        descriptor.tl0_pic_idx.unwrap(),
        descriptor.key_index.unwrap(),
        descriptor.is_keyframe(payload),
        payload[descriptor.len + 1..].to_vec(),
    )
}

/// Sends one VP8 frame of one packet per 100 bytes of content.
pub(crate) struct Vp8Source {
    pub(crate) ssrc: u32,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) picture: u16,
    pub(crate) tl0: u8,
    pub(crate) key_index: u8,
    pub(crate) extensions: Extensions<'static>,
}

impl Vp8Source {
    pub(crate) fn new(ssrc: u32, extensions: Extensions<'static>) -> Vp8Source {
        let seed = ssrc as u16;
        Vp8Source {
            ssrc,
            sequence: seed.wrapping_mul(7919),
            timestamp: ssrc.wrapping_mul(77_777),
            picture: seed.wrapping_mul(131) & 0x7fff,
            tl0: seed as u8,
            key_index: seed as u8 & 0x1f,
            extensions,
        }
    }

    /// The packets of the next frame, `content` in each with its place behind it.
    pub(crate) fn frame(&mut self, key: bool, packets: usize, content: &[u8]) -> Vec<Vec<u8>> {
        self.layered_frame(key, packets, content, 0, false)
    }

    pub(crate) fn layered_frame(
        &mut self,
        key: bool,
        packets: usize,
        content: &[u8],
        temporal: u8,
        sync: bool,
    ) -> Vec<Vec<u8>> {
        self.timestamp = self.timestamp.wrapping_add(3000);
        self.picture = (self.picture + 1) & 0x7fff;
        self.tl0 = self.tl0.wrapping_add(u8::from(temporal == 0));
        self.key_index = (self.key_index + u8::from(key)) & 0x1f;
        (0..packets)
            .map(|at| {
                let (picture, tl0, key_index) = (self.picture, self.tl0, self.key_index);
                let vp8 = Vp8 { start: at == 0, key, picture, tl0, key_index, temporal, sync };
                let packet = In {
                    payload_type: VP8,
                    ssrc: self.ssrc,
                    sequence: self.sequence,
                    timestamp: self.timestamp,
                    marker: at + 1 == packets,
                    extensions: self.extensions,
                };
                self.sequence = self.sequence.wrapping_add(1);
                packet.with(&vp8.with(&[content, &[at as u8]].concat()))
            })
            .collect()
    }

    /// A padding-only packet.
    pub(crate) fn padding(&mut self) -> Vec<u8> {
        let fields = HeaderFields {
            payload_type: VP8,
            ssrc: self.ssrc,
            sequence: self.sequence,
            timestamp: self.timestamp,
            ..HeaderFields::default()
        };
        self.sequence = self.sequence.wrapping_add(1);
        let mut buf = [0; 400];
        let len =
            parvis_rtp::write_padding(&mut buf, &fields, &publisher_map(), &self.extensions, 100).unwrap();
        buf[..len].to_vec()
    }
}

/// Peer 1 publishes track 1 in VP8, peer 2 is subscribed to it by subscription 1.
pub(crate) fn vp8_pair(config: MediaConfig) -> (World, Vp8Source) {
    let mut world = World::with(config);
    world.peer(1, &[inbound("v", MediaKind::Video, &[])]);
    world.peer(2, &[outbound("0", MediaKind::Video, 1)]);
    world.publish(1, 1, "v", &video_spec(&[]));
    world.subscribe(1, 2, 1);
    world.run_ms(0);
    (world, Vp8Source::new(1000, mid_ext("v")))
}
