// SPDX-License-Identifier: EUPL-1.2
//! What simulated clients send. Each payload says what it truly is (whose, which frame, what it needs), so that a
//! packet that strays is seen, and a decoder that was misled too.

use parvis_rtp::vp8;

/// The bytes of a [`Mark`].
const MARK_BYTES: usize = 21;
/// The layers of a camera, as browsers name them, lowest first.
pub(crate) const LAYERS: [&str; 3] = ["q", "h", "f"];
/// Packets of a delta frame, by layer, and how often more a key frame has.
const PACKETS: [u8; 3] = [1, 2, 4];
const KEY_FRAME_FACTOR: u8 = 3;
/// Payload bytes of a packet of pictures.
pub(crate) const PICTURE_BYTES: usize = 900;
/// Payload bytes of a packet of sound.
pub(crate) const SOUND_BYTES: usize = 80;
/// Temporal layers of four frames in turn: 0 2 1 2.
pub(crate) const TEMPORAL: [u8; 4] = [0, 2, 1, 2];

/// Packets of a layer in a second at most: 30 frames, and two key frames asked for meanwhile.
pub(crate) fn packets_per_second(layer: usize) -> usize {
    let delta = usize::from(PACKETS[layer]);
    delta * 31 + delta * usize::from(KEY_FRAME_FACTOR - 1) * 2
}

/// Packets of a picture in so many layers, lowest first.
pub(crate) fn packets_per_picture(layers: usize) -> usize {
    PACKETS.iter().take(layers).map(|packets| usize::from(*packets)).sum()
}

/// What a payload truly is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) publisher: u32,
    pub(crate) video: bool,
    pub(crate) layer: u8,
    pub(crate) frame: u32,
    pub(crate) part: u8,
    pub(crate) parts: u8,
    /// The frame without which this one can't be decoded; itself for a key frame.
    pub(crate) needs: u32,
}

impl Mark {
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        out.extend(*b"mark");
        out.extend(self.publisher.to_be_bytes());
        out.extend([u8::from(self.video), self.layer, self.part, self.parts]);
        out.extend(self.frame.to_be_bytes());
        out.extend(self.needs.to_be_bytes());
        out.push(0);
    }

    /// Finds the mark in a payload, behind whatever the codec puts before it.
    pub(crate) fn read(payload: &[u8]) -> Option<Mark> {
        let at = payload.windows(4).take(32).position(|window| window == b"mark")?;
        let bytes = payload.get(at + 4..at + MARK_BYTES)?;
        let word = |at: usize| bytes.get(at..at + 4)?.first_chunk().map(|word| u32::from_be_bytes(*word));
        Some(Mark {
            publisher: word(0)?,
            video: bytes[4] != 0,
            layer: bytes[5],
            part: bytes[6],
            parts: bytes[7],
            frame: word(8)?,
            needs: word(12)?,
        })
    }
}

/// A packet of sound.
pub(crate) fn sound(publisher: u32, count: u32) -> Vec<u8> {
    let mut payload = vec![0x78];
    let mark = Mark { publisher, video: false, layer: 0, frame: count, part: 0, parts: 1, needs: count };
    mark.write(&mut payload);
    payload.resize(SOUND_BYTES, 0x55);
    payload
}

/// The encoder of one layer: three temporal layers, every number at a place of its own.
#[derive(Debug)]
pub(crate) struct Encoder {
    layer: u8,
    frame: u32,
    /// Frames since the last key frame.
    since_key: u32,
    picture: u16,
    tl0: u8,
    key_index: u8,
    /// A key frame is wanted.
    pub(crate) key_wanted: bool,
}

impl Encoder {
    pub(crate) fn new(layer: u8, start: u32) -> Encoder {
        let (picture, tl0) = (start as u16 & 0x7fff, (start >> 16) as u8);
        Encoder { layer, frame: 0, since_key: 0, picture, tl0, key_index: tl0 & 0x1f, key_wanted: true }
    }

    /// The payloads of the next frame.
    pub(crate) fn frame(&mut self, publisher: u32) -> Vec<Vec<u8>> {
        let key = std::mem::take(&mut self.key_wanted);
        self.frame += 1;
        self.since_key = if key { 0 } else { self.since_key + 1 };
        let place = self.since_key % 4;
        let temporal = TEMPORAL[place as usize];
        // 0 needs the 0 before it; the first 2 and the 1 need that 0; the second 2 needs the 1.
        let needs = match (key, place) {
            (true, _) => self.frame,
            (_, 0) => self.frame - 4,
            (_, 2) => self.frame - 2,
            _ => self.frame - 1,
        };
        let sync = place == 1 || place == 2;
        self.picture = (self.picture + 1) & 0x7fff;
        self.tl0 = self.tl0.wrapping_add(u8::from(temporal == 0));
        self.key_index = (self.key_index + u8::from(key)) & 0x1f;
        let parts = PACKETS[usize::from(self.layer)] * if key { KEY_FRAME_FACTOR } else { 1 };
        (0..parts)
            .map(|part| {
                let [high, low] = (self.picture | 0x8000).to_be_bytes();
                let start = part == 0;
                let numbers = temporal << 6 | u8::from(sync) << 5 | self.key_index;
                let mut payload = vec![0x80 | u8::from(start) << 4, 0xf0, high, low, self.tl0, numbers];
                if start {
                    payload.extend([u8::from(!key) | 0x10, 0, 0]);
                    if key {
                        let width = 320_u16 << self.layer;
                        payload.extend([0x9d, 0x01, 0x2a]);
                        payload.extend(width.to_le_bytes());
                        payload.extend((width * 9 / 16).to_le_bytes());
                    }
                }
                let frame = self.frame;
                Mark { publisher, video: true, layer: self.layer, frame, part, parts, needs }
                    .write(&mut payload);
                payload.resize(PICTURE_BYTES, 0x55);
                payload
            })
            .collect()
    }
}

/// What a decoder knows of a whole frame: its numbers as they came, and what it truly is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    pub(crate) key: bool,
    pub(crate) picture: u16,
    pub(crate) tl0: u8,
    pub(crate) temporal: u8,
    pub(crate) sync: bool,
    pub(crate) mark: Mark,
}

impl Frame {
    /// Reads the first packet of a frame.
    pub(crate) fn read(payload: &[u8]) -> Option<Frame> {
        let descriptor = vp8::Descriptor::parse(payload).ok().filter(vp8::Descriptor::starts_frame)?;
        let temporal = descriptor.temporal?;
        Some(Frame {
            key: descriptor.is_keyframe(payload),
            picture: descriptor.picture_id?.value,
            tl0: descriptor.tl0_pic_idx?,
            temporal: temporal.id,
            sync: temporal.layer_sync,
            mark: Mark::read(payload)?,
        })
    }
}

/// After so many base frames a decoder waits for a key frame whatever their numbers say, as libwebrtc does: TL0PICIDX
/// has 8 bits, and after 256 it is the same again.
const FORGETS_BASE: u64 = 50;
/// How many decoded frames are remembered.
pub(crate) const REMEMBERED: usize = 64;

/// A decoder: it goes by the numbers in the packets alone, and is held against the truth.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// TL0PICIDX of the last base frame; `None` before the first key frame.
    base: Option<u8>,
    picture: Option<u16>,
    /// Base frames that may have passed since that one: those that could not be decoded, and a packet each that was given up.
    passed: u64,
    decoded: std::collections::VecDeque<(u8, u32)>,
}

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Decoded,
    /// What it refers to is missing.
    Undecodable,
    /// By its numbers it could be decoded; in truth it could not.
    Misled,
}

impl Decoder {
    /// So many base frames may have passed by.
    pub(crate) fn pass(&mut self, frames: u64) {
        self.passed += frames;
        if self.passed >= FORGETS_BASE {
            self.base = None;
        }
    }

    pub(crate) fn decode(&mut self, frame: &Frame) -> Verdict {
        let follows = self.picture.is_some_and(|last| (last + 1) & 0x7fff == frame.picture);
        let decodable = frame.key
            || match (self.base, frame.temporal) {
                (None, _) => false,
                (Some(base), 0) => base.wrapping_add(1) == frame.tl0,
                (Some(base), _) => base == frame.tl0 && (frame.sync || follows),
            };
        if !decodable {
            self.pass(u64::from(frame.temporal == 0));
            return Verdict::Undecodable;
        }
        let mark = frame.mark;
        let truly = frame.key || self.decoded.contains(&(mark.layer, mark.needs));
        if frame.temporal == 0 {
            (self.base, self.passed) = (Some(frame.tl0), 0);
        }
        self.picture = Some(frame.picture);
        self.decoded.push_back((mark.layer, mark.frame));
        if self.decoded.len() > REMEMBERED {
            self.decoded.pop_front();
        }
        if truly { Verdict::Decoded } else { Verdict::Misled }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(encoder: &mut Encoder, count: usize) -> Vec<Frame> {
        (0..count).filter_map(|_| Frame::read(&encoder.frame(7)[0])).collect()
    }

    #[test]
    fn a_decoder_takes_what_it_has_the_references_of_and_nothing_else() {
        let mut encoder = Encoder::new(1, 0x00fe_7ffd);
        let all = frames(&mut encoder, 9);
        let decode = |missing: &[usize]| {
            let mut decoder = Decoder::default();
            let kept = all.iter().enumerate().filter(|(place, _)| !missing.contains(place));
            kept.map(|(place, frame)| (place, decoder.decode(frame))).collect::<Vec<_>>()
        };
        assert!(decode(&[]).iter().all(|(_, verdict)| *verdict == Verdict::Decoded));
        let lost_one = decode(&[2]);
        assert_eq!(lost_one[2], (3, Verdict::Undecodable), "the second 2 needs the 1");
        assert_eq!(lost_one[3], (4, Verdict::Decoded));
        assert!(decode(&[4]).iter().filter(|(place, _)| *place > 4).all(|(_, v)| *v == Verdict::Undecodable));
        assert!(decode(&[0]).iter().all(|(_, verdict)| *verdict == Verdict::Undecodable));
    }

    #[test]
    fn a_base_frame_with_the_right_number_256_base_frames_later_is_not_the_next_one() {
        let mut encoder = Encoder::new(0, 1);
        let all = frames(&mut encoder, 4 * 257 + 1);
        let mut decoder = Decoder::default();
        decoder.decode(&all[0]);
        assert_eq!(all[4 * 257].tl0, all[4].tl0);
        decoder.pass(256);
        assert_eq!(decoder.decode(&all[4 * 257]), Verdict::Undecodable);
    }

    #[test]
    fn numbers_that_hide_a_loss_are_seen() {
        let mut encoder = Encoder::new(0, 1);
        let mut all = frames(&mut encoder, 9);
        let mut decoder = Decoder::default();
        decoder.decode(&all[0]);
        // As a server would that renumbered the frames behind a lost one.
        all[8].tl0 = all[4].tl0;
        assert_eq!(decoder.decode(&all[8]), Verdict::Misled);
    }
}
