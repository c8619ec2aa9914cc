// SPDX-License-Identifier: EUPL-1.2
//! What publishers send: VP8 frames without pictures in them, Opus packets without sound, and a stamp in each.

use std::time::{Duration, Instant};

use parvis_rtp::rtcp::{SenderInfo, Writer};
use parvis_rtp::{AudioLevel, ExtensionMap, Extensions, HeaderFields, Mid, Rid, write_header};

use crate::stamp::{AUDIO_OFFSET, STAMP_BYTES, Stamp, VIDEO_OFFSET};

/// The largest payload of a video packet: with headers, SRTP's tag, UDP and IP it stays below 1,250 bytes, as Chromium's.
const MAX_PAYLOAD_BYTES: usize = 1_150;
/// I, L, T: picture id of 15 bits, index of the base layer, temporal layer.
const DESCRIPTOR_BYTES: usize = 6;
/// A key frame is so many times larger than others.
const KEY_FRAME_FACTOR: usize = 3;
/// Requests for key frames within this time are one.
const KEY_FRAME_EVERY: Duration = Duration::from_millis(500);
/// The smallest frame: one packet with its stamp.
const MIN_FRAME_BYTES: usize = DESCRIPTOR_BYTES + VIDEO_OFFSET + STAMP_BYTES;
/// Room for a packet with its header and SRTP's tag.
pub(crate) const PACKET_BYTES: usize = 1_400;

/// What all packets of a section have in common, once it is agreed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Section {
    pub(crate) mid: Mid,
    pub(crate) payload_type: u8,
    pub(crate) extensions: ExtensionMap,
}

/// One stream of RTP.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) ssrc: u32,
    rid: Option<Rid>,
    layer: u8,
    sequence: u32,
    packets: u32,
    octets: u32,
    timestamp: u32,
}

/// A packet that is ready to be encrypted: the first `len` bytes.
pub(crate) type Emit<'a> = &'a mut dyn FnMut(&mut [u8; PACKET_BYTES], usize);

impl Stream {
    fn new(ssrc: u32, rid: Option<Rid>, layer: u8) -> Stream {
        // Not 0: the first numbers of real streams are random.
        Stream { ssrc, rid, layer, sequence: ssrc >> 17, packets: 0, octets: 0, timestamp: ssrc >> 3 }
    }

    fn begin(
        &mut self,
        buf: &mut [u8; PACKET_BYTES],
        section: &Section,
        transport_sequence: &mut u16,
        marker: bool,
        audio_level: Option<AudioLevel>,
    ) -> Option<usize> {
        let fields = HeaderFields {
            marker,
            payload_type: section.payload_type,
            sequence: self.sequence as u16,
            timestamp: self.timestamp,
            ssrc: self.ssrc,
            ..HeaderFields::default()
        };
        let extensions = Extensions {
            mid: Some(section.mid),
            rid: self.rid,
            transport_sequence: Some(*transport_sequence),
            audio_level,
            ..Extensions::default()
        };
        let len = write_header(buf, &fields, &section.extensions, &extensions).ok()?;
        *transport_sequence = transport_sequence.wrapping_add(1);
        self.sequence = self.sequence.wrapping_add(1);
        self.packets = self.packets.wrapping_add(1);
        Some(len)
    }

    /// A sender report, so that receivers know this stream's clock.
    pub(crate) fn report(&self, ntp: u64, writer: &mut Writer<'_>) {
        let info =
            SenderInfo { ntp, rtp_timestamp: self.timestamp, packets: self.packets, octets: self.octets };
        // What has no room is left out: the next report is a second away.
        let _ = writer.sender_report(self.ssrc, &info, &[]);
    }
}

/// A camera: one to three layers.
#[derive(Debug)]
pub(crate) struct Video {
    publisher: u32,
    pub(crate) layers: Vec<Layer>,
    timestamp_step: u32,
}

/// One layer of it.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) stream: Stream,
    pub(crate) name: &'static str,
    pub(crate) size: (u16, u16),
    pub(crate) bitrate: u32,
    bytes_per_frame: usize,
    frame: u32,
    key_wanted: bool,
    last_key: Option<Instant>,
}

/// The names of simulcast layers, lowest first, and how many of the highest one's pixels they have in each direction.
const LAYERS: [(&str, u16); 3] = [("q", 4), ("h", 2), ("f", 1)];

impl Video {
    /// A camera that sends from these SSRCs, one for each layer.
    pub(crate) fn new(publisher: u32, bitrate: u32, fps: u32, ssrcs: &[u32]) -> Video {
        let first = LAYERS.len() - ssrcs.len().min(LAYERS.len());
        let layers = LAYERS[first..].iter().zip(ssrcs).enumerate().map(|(place, ((name, divisor), ssrc))| {
            let bitrate = bitrate / 3_u32.pow((ssrcs.len() - 1 - place) as u32);
            let rid = if ssrcs.len() > 1 { Rid::new(name) } else { None };
            Layer {
                stream: Stream::new(*ssrc, rid, place as u8),
                name,
                size: (1280 / divisor, 720 / divisor),
                bitrate,
                bytes_per_frame: frame_bytes(bitrate, fps),
                frame: 0,
                key_wanted: true,
                last_key: None,
            }
        });
        Video { publisher, layers: layers.collect(), timestamp_step: 90_000 / fps }
    }

    /// Sends so many bits per second from now on in the highest layer, and a third of it in each lower one.
    pub(crate) fn set_bitrate(&mut self, bitrate: u32, fps: u32) {
        let layers = self.layers.iter_mut().rev();
        for (layer, bitrate) in layers.zip(std::iter::successors(Some(bitrate), |bits| Some(bits / 3))) {
            layer.bitrate = bitrate;
            layer.bytes_per_frame = frame_bytes(bitrate, fps);
        }
    }

    /// Someone needs a key frame of the layer with this SSRC.
    pub(crate) fn want_key_frame(&mut self, ssrc: u32) {
        if let Some(layer) = self.layers.iter_mut().find(|layer| layer.stream.ssrc == ssrc) {
            layer.key_wanted = true;
        }
    }

    /// One frame of each layer. `since_start` is the time that the stamps tell.
    pub(crate) fn frame(
        &mut self,
        now: Instant,
        since_start: Duration,
        section: &Section,
        transport_sequence: &mut u16,
        emit: Emit<'_>,
    ) {
        let (publisher, step) = (self.publisher, self.timestamp_step);
        for layer in &mut self.layers {
            layer.stream.timestamp = layer.stream.timestamp.wrapping_add(step);
            layer.frame(now, since_start, publisher, section, transport_sequence, emit);
        }
    }
}

impl Layer {
    fn frame(
        &mut self,
        now: Instant,
        since_start: Duration,
        publisher: u32,
        section: &Section,
        transport_sequence: &mut u16,
        emit: Emit<'_>,
    ) {
        let key =
            self.key_wanted && self.last_key.is_none_or(|last| now.duration_since(last) >= KEY_FRAME_EVERY);
        if key {
            self.key_wanted = false;
            self.last_key = Some(now);
        }
        let bytes = self.bytes_per_frame * if key { KEY_FRAME_FACTOR } else { 1 };
        let count = bytes.div_ceil(MAX_PAYLOAD_BYTES).max(1);
        let each = bytes.div_ceil(count).max(MIN_FRAME_BYTES);
        for index in 0..count {
            let mut buf = [0; PACKET_BYTES];
            let number = self.stream.sequence;
            let last = index + 1 == count;
            let Some(start) = self.stream.begin(&mut buf, section, transport_sequence, last, None) else {
                return;
            };
            let Some(payload) = buf.get_mut(start..start + each) else { return };
            self.describe(payload, index == 0, key);
            let stamp = Stamp {
                publisher,
                layer: self.stream.layer,
                frame: self.frame,
                index: index as u16,
                count: count as u16,
                sequence: number,
                sent_ns: since_start.as_nanos() as u64,
            };
            stamp.write(&mut payload[DESCRIPTOR_BYTES + VIDEO_OFFSET..]);
            self.stream.octets = self.stream.octets.wrapping_add(each as u32);
            emit(&mut buf, start + each);
        }
        self.frame = self.frame.wrapping_add(1);
    }

    /// The payload descriptor (RFC 7741 section 4.2) and, where a frame begins, its header (RFC 6386 section 9.1).
    fn describe(&self, payload: &mut [u8], first: bool, key: bool) {
        payload[0] = 0x80 | u8::from(first) << 4;
        payload[1] = 0x80 | 0x40 | 0x20;
        let picture_id = 0x8000 | self.frame as u16 & 0x7fff;
        payload[2..4].copy_from_slice(&picture_id.to_be_bytes());
        payload[4] = self.frame as u8;
        payload[5] = 0;
        if !first {
            return;
        }
        let header = &mut payload[DESCRIPTOR_BYTES..];
        // Shown, and a key frame or not.
        header[0] = 0x10 | u8::from(!key);
        if key {
            header[3..6].copy_from_slice(&[0x9d, 0x01, 0x2a]);
            header[6..8].copy_from_slice(&self.size.0.to_le_bytes());
            header[8..10].copy_from_slice(&self.size.1.to_le_bytes());
        }
    }
}

fn frame_bytes(bitrate: u32, fps: u32) -> usize {
    ((bitrate / 8 / fps) as usize).max(MIN_FRAME_BYTES)
}

/// A microphone.
#[derive(Debug)]
pub(crate) struct Audio {
    publisher: u32,
    pub(crate) stream: Stream,
    bytes: usize,
    speaks: bool,
    ticks: u32,
}

/// Between two packets.
pub(crate) const AUDIO_INTERVAL: Duration = Duration::from_millis(20);
/// Of the packets of someone silent, one in so many is sent (RFC 7587 section 3.1.3: one each 400 ms).
const SILENT_TICKS: u32 = 20;

impl Audio {
    pub(crate) fn new(publisher: u32, bitrate: u32, ssrc: u32, speaks: bool) -> Audio {
        let bytes = (bitrate / 8 / 50) as usize;
        Audio { publisher, stream: Stream::new(ssrc, None, 0), bytes, speaks, ticks: 0 }
    }

    /// The packet that is due, if one is.
    pub(crate) fn packet(
        &mut self,
        since_start: Duration,
        section: &Section,
        transport_sequence: &mut u16,
        emit: Emit<'_>,
    ) {
        self.ticks += 1;
        self.stream.timestamp = self.stream.timestamp.wrapping_add(960);
        let speaks = self.speaks;
        if !speaks && !self.ticks.is_multiple_of(SILENT_TICKS) {
            return;
        }
        let number = self.stream.sequence;
        // 127 is silence (RFC 6464 section 3).
        let level = AudioLevel { voice: speaks, level: if speaks { 25 } else { 127 } };
        let mut buf = [0; PACKET_BYTES];
        let begun = self.stream.begin(&mut buf, section, transport_sequence, false, Some(level));
        let Some(start) = begun else { return };
        let len = if speaks { self.bytes } else { AUDIO_OFFSET + STAMP_BYTES };
        let Some(payload) = buf.get_mut(start..start + len) else { return };
        // RFC 6716 section 3.1: CELT, full band, 20 ms, one channel, one frame.
        payload[0] = 31 << 3;
        let stamp = Stamp {
            publisher: self.publisher,
            layer: 0,
            frame: number,
            index: 0,
            count: 1,
            sequence: number,
            sent_ns: since_start.as_nanos() as u64,
        };
        stamp.write(&mut payload[AUDIO_OFFSET..]);
        self.stream.octets = self.stream.octets.wrapping_add(len as u32);
        emit(&mut buf, start + len);
    }
}

#[cfg(test)]
mod tests {
    use parvis_rtp::{Extension, Packet, vp8};

    use super::*;

    fn section() -> Section {
        let mut extensions = ExtensionMap::default();
        extensions.insert(1, Extension::AudioLevel);
        extensions.insert(3, Extension::TransportSequence);
        extensions.insert(4, Extension::Mid);
        extensions.insert(10, Extension::Rid);
        Section { mid: Mid::new("0").unwrap(), payload_type: 96, extensions }
    }

    fn packets(mut make: impl FnMut(Emit<'_>)) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        make(&mut |buf, len| packets.push(buf[..len].to_vec()));
        packets
    }

    #[test]
    fn three_layers_send_whole_frames_of_their_share_with_key_frames_when_asked() {
        let (now, section, mut transport) = (Instant::now(), section(), 0);
        let mut video = Video::new(7, 1_800_000, 30, &[1, 2, 3]);
        let mut next = |now, video: &mut Video| {
            packets(|emit| video.frame(now, Duration::from_micros(5), &section, &mut transport, emit))
        };
        let first = next(now, &mut video);
        assert!(first.iter().all(|packet| packet.len() < 1_200));
        let second = next(now, &mut video);
        // 7,500 bytes, 2,500 and 833 a frame.
        let of = |packets: &[Vec<u8>], ssrc| {
            let mut found = Vec::new();
            for bytes in packets {
                let packet = Packet::parse(bytes).unwrap();
                if packet.ssrc == ssrc {
                    let descriptor = vp8::Descriptor::parse(packet.payload).unwrap();
                    let at = descriptor.len + VIDEO_OFFSET;
                    let stamp = Stamp::read(&packet.payload[at..]).unwrap();
                    let key = descriptor.is_keyframe(packet.payload);
                    found.push((stamp.index, stamp.count, packet.marker, key, stamp.frame));
                    assert_eq!((stamp.publisher, u32::from(stamp.layer)), (7, ssrc - 1));
                    assert_eq!(stamp.sent_ns, 5_000);
                    assert_eq!(stamp.sequence as u16, packet.sequence);
                    let rid = packet.extensions(&section.extensions).rid.unwrap();
                    assert_eq!(rid.as_str(), ["q", "h", "f"][ssrc as usize - 1]);
                }
            }
            found
        };
        assert_eq!(of(&second, 1), [(0, 1, true, false, 1)]);
        let middle = [(0, 3, false, false, 1), (1, 3, false, false, 1), (2, 3, true, false, 1)];
        assert_eq!(of(&second, 2), middle);
        assert_eq!(of(&second, 3).len(), 7);
        assert_eq!(
            of(&first, 3)[0],
            (0, 20, false, true, 0),
            "the first is a key frame, three times as large"
        );
        video.want_key_frame(2);
        let soon = next(now + Duration::from_millis(100), &mut video);
        assert!(!of(&soon, 2)[0].3, "two key frames within half a second are one");
        let later = next(now + Duration::from_millis(600), &mut video);
        assert!(of(&later, 2)[0].3 && !of(&later, 3)[0].3);
        video.set_bitrate(900_000, 30);
        let halved = next(now + Duration::from_millis(700), &mut video);
        let parts = [of(&halved, 1).len(), of(&halved, 2).len(), of(&halved, 3).len()];
        assert_eq!(parts, [1, 2, 4], "416, 1,250 and 3,750 bytes");
        let last = Packet::parse(halved.last().unwrap()).unwrap();
        let number = last.extensions(&section.extensions).transport_sequence;
        assert_eq!(number, Some(transport - 1), "numbered over all layers");
    }

    #[test]
    fn someone_silent_sends_a_packet_each_400_ms() {
        let (section, mut transport) = (section(), 0);
        let (mut speaks, mut silent) = (Audio::new(1, 32_000, 9, true), Audio::new(2, 32_000, 8, false));
        let mut second = |audio: &mut Audio| {
            packets(|emit| {
                for _ in 0..100 {
                    audio.packet(Duration::ZERO, &section, &mut transport, emit);
                }
            })
        };
        let spoken = second(&mut speaks);
        assert_eq!(spoken.len(), 100);
        let packet = Packet::parse(&spoken[99]).unwrap();
        assert_eq!(packet.payload.len(), 80);
        assert_eq!(packet.extensions(&section.extensions).audio_level.unwrap().level, 25);
        assert!(Stamp::read(&packet.payload[AUDIO_OFFSET..]).is_some());
        assert_eq!(second(&mut silent).len(), 5);
    }
}
