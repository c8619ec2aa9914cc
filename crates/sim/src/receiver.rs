// SPDX-License-Identifier: EUPL-1.2
//! A receiver of pictures: what is missing is asked for, what is whole goes to the decoder in order.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parvis_rtp::Packet;

use crate::media::{Decoder, Frame, Mark, Verdict};
use crate::playout::Playout;
use crate::svc::{SvcDecoder, SvcFrame};

/// A gap must be this old before it is asked for, and is asked for again after so long.
const NACK_DELAY: Duration = Duration::from_millis(10);
const NACK_AGAIN: Duration = Duration::from_millis(100);
/// After so long a gap is given up: the next key frame ends it.
const GIVE_UP: Duration = Duration::from_millis(800);
/// Key frames are asked for so often.
const PLI_EVERY: Duration = Duration::from_millis(300);
/// Packets of one sequence that wait behind a gap.
const WAITING: usize = 2048;
/// Nothing is waited for that is more packets behind the newest, as in libwebrtc: the numbers on the wire go around.
const MAX_AGE: u64 = 10_000;

/// One stream of pictures.
#[derive(Debug)]
pub(crate) struct VideoIn {
    /// The next packet, by unwrapped sequence number; `None` before the first.
    next: Option<u64>,
    /// The highest that came, by which the next ones' sixteen bits are understood.
    highest: u64,
    waiting: BTreeMap<u64, Piece>,
    /// Missing packets: since when, and when they are asked for next.
    missing: BTreeMap<u64, (Instant, Instant)>,
    /// What has begun, how many parts of it came, and its timestamp.
    frame: Option<(Start, u8, u32)>,
    decoder: Decoder,
    svc: SvcDecoder,
    last_pli: Option<Instant>,
    pli_wanted: bool,
    /// Frames that were decoded, with their timestamps, until somebody takes note of them.
    pub(crate) decoded: Vec<(Mark, u32)>,
    /// When they are shown.
    pub(crate) playout: Playout,
    /// Whose the last of them was.
    pub(crate) whose: Option<u32>,
    /// What is wrong with them, and whose they are.
    pub(crate) wrong: Option<(u32, String)>,
}

#[derive(Debug)]
struct Piece {
    /// The first of its frame, where the payload says so.
    start: Option<Frame>,
    mark: Option<Mark>,
    marker: bool,
    timestamp: u32,
    /// With layers in one stream, its dependency descriptor.
    descriptor: Option<Vec<u8>>,
}

impl Piece {
    fn begins(&self) -> bool {
        let described = |descriptor: &Vec<u8>| descriptor.first().is_some_and(|first| first & 0x80 != 0);
        self.descriptor.as_ref().map_or(self.start.is_some(), described)
    }

    fn ends(&self) -> bool {
        let described = |descriptor: &Vec<u8>| descriptor.first().is_some_and(|first| first & 0x40 != 0);
        self.descriptor.as_ref().map_or(self.marker, described)
    }
}

/// What a frame's first packet says of it.
#[derive(Debug, Clone)]
enum Start {
    Stream(Frame),
    Layer(SvcFrame),
}

impl Start {
    fn mark(&self) -> Mark {
        match self {
            Start::Stream(frame) => frame.mark,
            Start::Layer(frame) => frame.mark,
        }
    }

    /// Whether later frames wait for it.
    fn is_base(&self) -> bool {
        match self {
            Start::Stream(frame) => frame.temporal == 0,
            Start::Layer(frame) => frame.is_base(),
        }
    }
}

impl Default for VideoIn {
    fn default() -> Self {
        VideoIn {
            next: None,
            highest: 0,
            waiting: BTreeMap::new(),
            missing: BTreeMap::new(),
            frame: None,
            decoder: Decoder::default(),
            svc: SvcDecoder::default(),
            last_pli: None,
            pli_wanted: true,
            decoded: Vec::new(),
            playout: Playout::default(),
            whose: None,
            wrong: None,
        }
    }
}

impl VideoIn {
    /// Takes a packet, or the original of a retransmission, with its dependency descriptor if it has one.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        (sequence, marker, timestamp): (u16, bool, u32),
        descriptor: Option<&[u8]>,
        payload: &[u8],
    ) {
        if self.next.is_none() {
            self.highest = 0x1_0000 + u64::from(sequence);
        }
        let next = *self.next.get_or_insert(self.highest);
        let distance = sequence.wrapping_sub(self.highest as u16) as i16;
        let number = self.highest.wrapping_add_signed(i64::from(distance));
        self.highest = self.highest.max(number);
        if number < next || self.waiting.contains_key(&number) {
            return;
        }
        self.missing.remove(&number);
        let highest = self.waiting.keys().next_back().map_or(next, |highest| highest + 1);
        for lost in highest..number {
            self.missing.entry(lost).or_insert((now, now + NACK_DELAY));
        }
        let start = if descriptor.is_some() { None } else { Frame::read(payload) };
        let descriptor = descriptor.map(<[u8]>::to_vec);
        let piece = Piece { start, mark: Mark::read(payload), marker, timestamp, descriptor };
        self.waiting.insert(number, piece);
        self.advance();
        let is_behind = |video: &VideoIn| {
            video.waiting.len() > WAITING
                || video.next.is_some_and(|next| video.highest.saturating_sub(next) > MAX_AGE)
        };
        while is_behind(self) && !self.waiting.is_empty() {
            self.give_up();
        }
    }

    /// What is to be asked for now: missing packets, and whether a key frame.
    pub(crate) fn ask(&mut self, now: Instant) -> (Vec<u16>, bool) {
        if self.missing.values().next().is_some_and(|(since, _)| now.duration_since(*since) > GIVE_UP) {
            self.give_up();
        }
        let mut sequences = Vec::new();
        for (number, (_, due)) in &mut self.missing {
            if *due <= now {
                *due = now + NACK_AGAIN;
                sequences.push(*number as u16);
            }
        }
        let key = self.pli_wanted
            && self.next.is_some()
            && self.last_pli.is_none_or(|last| now.duration_since(last) >= PLI_EVERY);
        if key {
            self.last_pli = Some(now);
        }
        (sequences, key)
    }

    /// A packet that carries nothing, or whose turn has come: the sequence goes on.
    fn advance(&mut self) {
        while let Some(piece) = self.next.and_then(|next| self.waiting.remove(&next)) {
            self.next = self.next.map(|next| next + 1);
            let Some(mark) = piece.mark else {
                // Padding fills the place of what the server never had: a frame around it stays without it.
                self.frame = None;
                continue;
            };
            let start = match &piece.descriptor {
                Some(descriptor) => self.svc.read(descriptor, mark).map(Start::Layer),
                None => piece.start.map(Start::Stream),
            };
            if let Some(start) = start {
                self.frame = Some((start, 0, piece.timestamp));
            }
            let Some((frame, parts, timestamp)) = &mut self.frame else { continue };
            let of = frame.mark();
            let same = (mark.publisher, mark.layer, mark.frame) == (of.publisher, of.layer, of.frame);
            if !same || mark.part != *parts {
                let (frame, parts) = (of, *parts);
                let next = self.next.unwrap_or_default();
                let what = format!("part {parts} of {frame:?} is {mark:?}, before packet {}", next as u16);
                self.wrong = Some((frame.publisher, what));
                self.frame = None;
                continue;
            }
            *parts += 1;
            let timestamp = *timestamp;
            if !piece.ends() {
                continue;
            }
            let whole = *parts == mark.parts;
            let Some((frame, ..)) = self.frame.take() else { continue };
            if !whole {
                self.wrong = Some((of.publisher, format!("{of:?} ends after {} parts", mark.part + 1)));
                continue;
            }
            let verdict = match &frame {
                Start::Stream(frame) => self.decoder.decode(frame),
                Start::Layer(frame) => self.svc.decode(frame),
            };
            match verdict {
                Verdict::Decoded => {
                    self.decoded.push((of, timestamp));
                    self.pli_wanted = false;
                }
                Verdict::Undecodable => self.pli_wanted |= frame.is_base(),
                Verdict::Misled => {
                    let what = format!("the numbers of {of:?} claim what it needs was sent");
                    self.wrong = Some((of.publisher, what));
                }
            }
        }
    }

    /// Goes on behind the first gap.
    fn give_up(&mut self) {
        let Some(first) = self.waiting.keys().next().copied() else { return };
        self.missing.retain(|number, _| *number > first);
        self.decoder.pass(first - self.next.unwrap_or(first));
        self.next = Some(first);
        self.frame = None;
        self.pli_wanted = true;
        // What began before the gap is gone: wait for the next start.
        self.advance_from_start();
    }

    fn advance_from_start(&mut self) {
        while let Some(next) = self.next
            && self.waiting.get(&next).is_some_and(|piece| !piece.begins())
        {
            self.waiting.remove(&next);
            self.decoder.pass(1);
            self.next = Some(next + 1);
        }
        self.advance();
    }
}

/// What of one stream's arrivals a receiver report says.
#[derive(Debug, Default)]
pub(crate) struct Reception {
    highest: Option<u32>,
    first: u32,
    received: u32,
    reported: (u32, u32),
}

impl Reception {
    pub(crate) fn on(&mut self, packet: &Packet<'_>) {
        let sequence = packet.sequence;
        let highest = match self.highest {
            None => {
                self.first = u32::from(sequence);
                u32::from(sequence)
            }
            Some(highest) => {
                let ahead = sequence.wrapping_sub(highest as u16) as i16;
                highest.max(highest.wrapping_add_signed(i32::from(ahead)))
            }
        };
        self.highest = Some(highest);
        self.received += 1;
    }

    /// The highest number that came.
    pub(crate) fn highest(&self) -> Option<u16> {
        self.highest.map(|highest| highest as u16)
    }

    /// Share lost since the last report in 1/256, lost in all, highest number.
    pub(crate) fn report(&mut self) -> Option<(u8, i32, u32)> {
        let highest = self.highest?;
        let expected = highest - self.first + 1;
        let lost = i64::from(expected) - i64::from(self.received);
        let (expected_now, received_now) = (expected - self.reported.0, self.received - self.reported.1);
        self.reported = (expected, self.received);
        let lost_now = i64::from(expected_now) - i64::from(received_now);
        let fraction = if expected_now == 0 { 0 } else { lost_now.max(0) * 256 / i64::from(expected_now) };
        Some((fraction.min(255) as u8, lost as i32, highest))
    }
}
