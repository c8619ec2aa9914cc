// SPDX-License-Identifier: EUPL-1.2
//! Pictures in layers of one stream (SVC), as AV1 sends them: three sizes with three temporal layers each, of which only key
//! pictures build upon the smaller ones (L3T3_KEY). Dependency descriptors say which frame needs which (RTP Payload Format
//! for AV1, appendix A); a decoder goes by them alone, and is held against the truth.

use std::collections::VecDeque;

use parvis_rtp::dependency::{Descriptor, Structure};

use crate::media::{Mark, PICTURE_BYTES, REMEMBERED, TEMPORAL, Verdict};

const SIZES: u32 = 3;
/// Packets of a frame by its size, and how often more a key picture's have.
const PACKETS: [u8; SIZES as usize] = [1, 1, 3];
const KEY_FRAME_FACTOR: u8 = 3;
/// Templates of one size, in the order of its temporal layers: of the key picture, the other 0, the 1, the first and the second 2.
const TEMPLATES: u32 = 5;
/// A base frame, from which on a layer can be decoded …
const SWITCH: u32 = 2;
/// … one on which nothing builds, and one that belongs to another target.
const DISCARDABLE: u32 = 1;
const ABSENT: u32 = 0;

/// Packets of a picture in all its sizes.
pub(crate) fn packets_per_picture() -> usize {
    PACKETS.iter().map(|packets| usize::from(*packets)).sum()
}

/// One packet: its dependency descriptor, its payload, and whether it is the last of its picture.
pub(crate) struct SvcPacket {
    pub(crate) descriptor: Vec<u8>,
    pub(crate) payload: Vec<u8>,
    pub(crate) last: bool,
}

#[derive(Debug)]
pub(crate) struct SvcEncoder {
    /// The number of the next frame.
    frame: u32,
    /// Pictures since the last key picture.
    since_key: u32,
    pub(crate) key_wanted: bool,
}

impl SvcEncoder {
    pub(crate) fn new(start: u32) -> SvcEncoder {
        SvcEncoder { frame: start & 0xffff, since_key: 0, key_wanted: true }
    }

    /// The packets of the next picture, smallest size first.
    pub(crate) fn picture(&mut self, publisher: u32) -> Vec<SvcPacket> {
        let key = std::mem::take(&mut self.key_wanted);
        self.since_key = if key { 0 } else { self.since_key + 1 };
        let mut packets: Vec<SvcPacket> =
            (0..SIZES).flat_map(|size| self.packets_of(publisher, key, size)).collect();
        if let Some(last) = packets.last_mut() {
            last.last = true;
        }
        self.frame += SIZES;
        packets
    }

    fn packets_of(&self, publisher: u32, key: bool, size: u32) -> Vec<SvcPacket> {
        let frame = self.frame + size;
        let kind = Kind { size, place: self.since_key % 4, key };
        // Whatever it needs is named in the template, too.
        let needs = frame - kind.needs().unwrap_or(0);
        let parts = PACKETS[size as usize] * if key { KEY_FRAME_FACTOR } else { 1 };
        let packet = |part: u8| {
            let (start, end) = (part == 0, part + 1 == parts);
            let mut bits = Bits::default();
            bits.put(u32::from(start), 1).put(u32::from(end), 1);
            bits.put(kind.template(), 6).put(frame & 0xffff, 16);
            if key && start && size == 0 {
                // A structure, and nothing that differs from its templates.
                bits.put(0b10000, 5);
                put_structure(&mut bits);
            }
            // One element, which a new sequence begins.
            let mut payload = vec![0x10 | if key && start && size == 0 { 0x08 } else { 0 }];
            let layer = size as u8;
            Mark { publisher, video: true, layer, frame, part, parts, needs }.write(&mut payload);
            payload.resize(PICTURE_BYTES, 0x55);
            SvcPacket { descriptor: bits.bytes(), payload, last: false }
        };
        (0..parts).map(packet).collect()
    }
}

/// What a frame is.
#[derive(Debug, Clone, Copy)]
struct Kind {
    size: u32,
    /// Its picture's place among four.
    place: u32,
    key: bool,
}

impl Kind {
    /// Every kind that there is, in the order of their templates.
    fn all() -> impl Iterator<Item = Kind> {
        let places = [(0, true), (0, false), (2, false), (1, false), (3, false)];
        (0..SIZES).flat_map(move |size| places.map(|(place, key)| Kind { size, place, key }))
    }

    fn template(self) -> u32 {
        let among = match (self.key, self.place) {
            (true, _) => 0,
            (_, 0) => 1,
            (_, 2) => 2,
            (_, 1) => 3,
            _ => 4,
        };
        self.size * TEMPLATES + among
    }

    fn temporal(self) -> u32 {
        if self.key { 0 } else { u32::from(TEMPORAL[self.place as usize]) }
    }

    /// How many frames back the one is that it needs.
    fn needs(self) -> Option<u32> {
        let pictures = match (self.key, self.place) {
            (true, _) => return (self.size > 0).then_some(1),
            (_, 0) => 4,
            (_, 2) => 2,
            _ => 1,
        };
        Some(pictures * SIZES)
    }

    /// What it is to the target of a size and a temporal layer.
    fn indication(self, size: u32, temporal: u32) -> u32 {
        let of_size = self.size == size || (self.key && self.size < size);
        match self.temporal() {
            own if own > temporal || !of_size => ABSENT,
            own if own == temporal && own > 0 => DISCARDABLE,
            _ => SWITCH,
        }
    }

    /// How many frames back the previous one of a chain is: of base frames of a size, and what they build upon.
    fn chain(self, chain: u32) -> u32 {
        if self.key {
            return if self.size == 0 { 0 } else { self.size - chain.min(self.size - 1) };
        }
        let pictures = match self.place {
            0 if chain < self.size => 0,
            0 => 4,
            place => place,
        };
        pictures * SIZES + self.size - chain
    }
}

/// The templates of all kinds (appendix A.8.3).
fn put_structure(bits: &mut Bits) {
    let targets = || (0..SIZES).flat_map(|size| (0..3).map(move |temporal| (size, temporal)));
    bits.put(0, 6).put(SIZES * 3 - 1, 5);
    for size in 0..SIZES {
        // Each of the five says what follows it: the same temporal layer, the next one, the next size, or nothing.
        let end = if size + 1 == SIZES { 3 } else { 2 };
        for code in [0, 1, 1, 0, end] {
            bits.put(code, 2);
        }
    }
    for kind in Kind::all() {
        for (size, temporal) in targets() {
            bits.put(kind.indication(size, temporal), 2);
        }
    }
    for kind in Kind::all() {
        if let Some(diff) = kind.needs() {
            bits.put(1, 1).put(diff - 1, 4);
        }
        bits.put(0, 1);
    }
    bits.put_below(SIZES, SIZES * 3 + 1);
    for (size, _) in targets() {
        bits.put_below(size, SIZES);
    }
    for kind in Kind::all() {
        for chain in 0..SIZES {
            bits.put(kind.chain(chain), 4);
        }
    }
    bits.put(0, 1);
}

/// Bits, the highest first.
#[derive(Debug, Default)]
struct Bits {
    bytes: Vec<u8>,
    len: usize,
}

impl Bits {
    fn put(&mut self, value: u32, count: u32) -> &mut Bits {
        for bit in (0..count).rev() {
            if self.len.is_multiple_of(8) {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= ((value >> bit & 1) as u8) << (7 - self.len % 8);
            }
            self.len += 1;
        }
        self
    }

    /// A value below `limit`, of which the first few take a bit less (`ns(n)`, appendix A.8.2).
    fn put_below(&mut self, value: u32, limit: u32) -> &mut Bits {
        let width = u32::BITS - limit.leading_zeros();
        let short = (1 << width) - limit;
        if value < short { self.put(value, width - 1) } else { self.put(value + short, width) }
    }

    fn bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// A whole frame: what its descriptor says, and what it truly is.
#[derive(Debug, Clone)]
pub(crate) struct SvcFrame {
    number: u16,
    temporal: u8,
    needs: Vec<u16>,
    key: bool,
    pub(crate) mark: Mark,
}

impl SvcFrame {
    pub(crate) fn is_base(&self) -> bool {
        self.temporal == 0
    }
}

/// A decoder of such pictures.
#[derive(Debug, Default)]
pub(crate) struct SvcDecoder {
    structure: Option<Box<Structure>>,
    /// Frames that were decoded, by the number that they came under and by their true one.
    decoded: VecDeque<(u16, u32)>,
}

impl SvcDecoder {
    /// Reads the first packet of a frame, in its turn. `None` when nothing is known of it, or of a packet amid a frame.
    pub(crate) fn read(&mut self, descriptor: &[u8], mark: Mark) -> Option<SvcFrame> {
        let mut descriptor = Descriptor::parse(descriptor, self.structure.as_deref()).ok()?;
        let key = descriptor.structure.is_some();
        if let Some(structure) = descriptor.structure.take() {
            self.structure = Some(structure);
        }
        descriptor.start_of_frame.then(|| SvcFrame {
            number: descriptor.frame_number,
            temporal: descriptor.temporal,
            needs: descriptor
                .frame_diffs
                .as_slice()
                .iter()
                .map(|diff| descriptor.frame_number.wrapping_sub(*diff))
                .collect(),
            key,
            mark,
        })
    }

    pub(crate) fn decode(&mut self, frame: &SvcFrame) -> Verdict {
        if frame.key {
            self.decoded.clear();
        }
        let has = |number: &u16| self.decoded.iter().any(|(known, _)| known == number);
        if !(frame.key || !frame.needs.is_empty() && frame.needs.iter().all(has)) {
            return Verdict::Undecodable;
        }
        let mark = frame.mark;
        let truly =
            mark.needs == mark.frame || self.decoded.iter().any(|(_, true_one)| *true_one == mark.needs);
        self.decoded.push_back((frame.number, mark.frame));
        if self.decoded.len() > REMEMBERED {
            self.decoded.pop_front();
        }
        if truly { Verdict::Decoded } else { Verdict::Misled }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The frames of so many pictures, by their first packets.
    fn frames(pictures: usize) -> Vec<(Vec<u8>, Mark)> {
        let mut encoder = SvcEncoder::new(0xfff0);
        let packets = (0..pictures).flat_map(|_| encoder.picture(7)).collect::<Vec<_>>();
        let first = packets.into_iter().filter(|packet| packet.descriptor[0] & 0x80 != 0);
        first.map(|packet| (packet.descriptor, Mark::read(&packet.payload).unwrap())).collect()
    }

    fn decode(decoder: &mut SvcDecoder, (descriptor, mark): &(Vec<u8>, Mark)) -> Verdict {
        let frame = decoder.read(descriptor, *mark).unwrap();
        decoder.decode(&frame)
    }

    #[test]
    fn a_structure_says_of_every_target_what_it_is() {
        let (descriptor, _) = &frames(1)[0];
        let structure = Descriptor::parse(descriptor, None).unwrap().structure.unwrap();
        assert_eq!((structure.decode_target_count(), structure.chain_count()), (9, 3));
        let layers: Vec<(u8, u8)> = (0..9).map(|target| structure.decode_target_layer(target)).collect();
        let expected = (0..3).flat_map(|size| (0..3).map(move |temporal| (size, temporal)));
        assert_eq!(layers, expected.collect::<Vec<_>>());
        assert_eq!(structure.protected_by(5), Some(1));
        assert_eq!(structure.templates().len(), 15);
    }

    #[test]
    fn frames_of_one_size_can_be_decoded_without_the_others_and_not_without_their_own() {
        let all = frames(9);
        let mut decoder = SvcDecoder::default();
        assert!(all.iter().all(|frame| decode(&mut decoder, frame) == Verdict::Decoded));
        // Only the largest size after the key picture.
        let largest = all.iter().filter(|(_, mark)| mark.frame < 0xfff3 || mark.layer == 2);
        let mut decoder = SvcDecoder::default();
        assert!(largest.clone().all(|frame| decode(&mut decoder, frame) == Verdict::Decoded));
        // The base frame of the fifth picture is lost: all behind it build upon it.
        let mut decoder = SvcDecoder::default();
        let kept = largest.filter(|(_, mark)| mark.frame != 0xfff0 + 4 * 3 + 2);
        let verdicts: Vec<Verdict> = kept.map(|frame| decode(&mut decoder, frame)).collect();
        assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Decoded).count(), 6);
        assert!(verdicts[6..].iter().all(|verdict| *verdict == Verdict::Undecodable));
    }
}
