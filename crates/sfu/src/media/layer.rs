// SPDX-License-Identifier: EUPL-1.2
//! One incoming stream: the only one of its track, or one of its simulcast layers.

use std::time::Instant;

use parvis_peer::sdp::CodecKind;
use parvis_rtp::{Extensions, Packet, Rid};

use super::facts::{Facts, FrameReader};
use super::fec::FecReceiver;
use super::keyframe::KeyFrameRequests;
use super::nack::NackGenerator;
use super::rates::Rates;
use super::reception::ReceptionCounter;
use super::ring::{Meta, Ring};
use super::sequence::Unwrapper;
use super::{MediaConfig, MediaStats};

/// A jump of more packets than this, either way, is a source that began anew (RFC 3550 appendix A.1, MAX_DROPOUT).
const MAX_JUMP: u64 = 3000;

/// One stream and all that is kept of it.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) rid: Option<Rid>,
    /// The SSRC that brings it now.
    pub(crate) ssrc: Option<u32>,
    /// The SSRC that brings its retransmissions.
    pub(crate) rtx_ssrc: Option<u32>,
    /// The SSRC that brings its repair packets.
    pub(crate) fec_ssrc: Option<u32>,
    /// What repair packets are used with, once one came.
    pub(crate) fec: Option<Box<FecReceiver>>,
    /// Counts the sources that brought it: numbers of two epochs don't compare.
    pub(crate) epoch: u32,
    pub(crate) ring: Ring,
    pub(crate) nack: Option<NackGenerator>,
    pub(crate) reception: ReceptionCounter,
    pub(crate) key_frames: KeyFrameRequests,
    pub(crate) clock: Option<SenderClock>,
    pub(crate) rates: Rates,
    pub(crate) reader: FrameReader,
    pub(crate) last_packet: Option<Instant>,
    /// When the room's choices were these, nobody took it.
    pub(crate) untaken: Option<u64>,
    unwrapper: Unwrapper<16>,
    /// The next number of a source that may have begun anew: two in a row are believed.
    suspect: Option<u16>,
    /// The next packet is the first of a new source.
    fresh: bool,
}

/// A packet's place in its stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival<'a> {
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) codec: CodecKind,
    pub(crate) rtp_clock: u32,
    pub(crate) extensions: Extensions<'a>,
    pub(crate) payload: &'a [u8],
    /// It came as a retransmission: that says nothing of the link's jitter.
    pub(crate) retransmitted: bool,
}

impl<'a> Arrival<'a> {
    /// A packet as it came.
    pub(crate) fn new(
        packet: &Packet<'a>,
        codec: CodecKind,
        rtp_clock: u32,
        extensions: Extensions<'a>,
    ) -> Self {
        Arrival {
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            marker: packet.marker,
            codec,
            rtp_clock,
            extensions,
            payload: packet.payload,
            retransmitted: false,
        }
    }
}

impl Layer {
    pub(crate) fn new(config: &MediaConfig, now: Instant, audio: bool, rid: Option<Rid>) -> Layer {
        let packets = if audio { config.ring_packets_audio } else { config.ring_packets_video };
        Layer {
            rid,
            ssrc: None,
            rtx_ssrc: None,
            fec_ssrc: None,
            fec: None,
            epoch: 0,
            ring: Ring::new(audio, packets, config.ring_duration),
            nack: None,
            reception: ReceptionCounter::default(),
            key_frames: KeyFrameRequests::default(),
            clock: None,
            rates: Rates::new(now),
            reader: FrameReader::default(),
            last_packet: None,
            untaken: None,
            unwrapper: Unwrapper::default(),
            suspect: None,
            fresh: false,
        }
    }

    /// Whether it brought a packet lately.
    pub(crate) fn is_live(&self, config: &MediaConfig, now: Instant) -> bool {
        self.last_packet.is_some_and(|last| now.saturating_duration_since(last) < config.layer_timeout)
    }

    /// The highest number that came.
    pub(crate) fn highest(&self) -> Option<u64> {
        self.unwrapper.highest()
    }

    /// Another source brings it from now on.
    pub(crate) fn set_source(&mut self, ssrc: u32) {
        if self.ssrc.replace(ssrc).is_some_and(|old| old != ssrc) {
            self.begin_epoch();
            self.fresh = true;
        }
    }

    /// A packet that comes by a trunk belongs to this run of the layer there.
    pub(crate) fn begin_run(&mut self, run: u32) {
        if self.epoch != run {
            self.begin_epoch();
            self.epoch = run;
            self.fresh = true;
        }
    }

    /// Keeps a packet. Its number, or `None` when it is to be dropped.
    pub(crate) fn receive(
        &mut self,
        now: Instant,
        arrival: &Arrival<'_>,
        stats: &mut MediaStats,
    ) -> Option<u64> {
        let number = self.place(arrival.sequence)?;
        let before = self.unwrapper.highest();
        let facts = self.reader.read(arrival);
        let meta = Meta {
            number,
            arrival: now,
            timestamp: arrival.timestamp,
            marker: arrival.marker,
            codec: arrival.codec,
            facts,
            audio_level: arrival.extensions.audio_level,
            video_orientation: arrival.extensions.video_orientation,
            playout_delay: arrival.extensions.playout_delay,
            abs_capture_time: arrival.extensions.abs_capture_time,
        };
        let descriptor = arrival.extensions.dependency_descriptor.unwrap_or_default();
        if !self.ring.insert(&meta, descriptor, arrival.payload) {
            // What was found in a later packet's redundancy came after all: to the link it isn't lost.
            if self.ring.get(number).is_some_and(|stored| stored.facts.recovered) && !arrival.retransmitted {
                self.reception.on_packet(now, number, arrival.timestamp, arrival.rtp_clock);
            }
            stats.dropped_duplicate += 1;
            return None;
        }
        self.unwrapper.unwrap(arrival.sequence.into());
        self.last_packet = Some(now);
        if !arrival.retransmitted {
            self.reception.on_packet(now, number, arrival.timestamp, arrival.rtp_clock);
        }
        self.rates.on_packet(
            facts.spatial,
            facts.temporal,
            arrival.payload.len(),
            facts.frame_end && facts.spatial == 0,
        );
        match before {
            Some(highest) if number > highest + 1 => self.on_gap(now, highest + 1, number, stats),
            Some(highest) if number < highest => {
                if let Some(nack) = &mut self.nack {
                    nack.on_late(number);
                }
            }
            _ => {}
        }
        if facts.key && facts.frame_start && facts.spatial == 0 {
            self.key_frames.satisfied();
            if let Some(nack) = &mut self.nack {
                nack.on_key_frame(number);
            }
        }
        stats.received_packets += 1;
        stats.received_bytes += arrival.payload.len() as u64;
        Some(number)
    }

    /// Keeps a packet of Opus that was lost and found in a later one. `false` when it is there after all.
    pub(crate) fn recover(&mut self, now: Instant, number: u64, timestamp: u32, payload: &[u8]) -> bool {
        let meta = Meta {
            number,
            arrival: now,
            timestamp,
            marker: false,
            codec: CodecKind::Opus,
            facts: Facts {
                frame_start: true,
                frame_end: true,
                key: true,
                recovered: true,
                ..Facts::default()
            },
            audio_level: None,
            video_orientation: None,
            playout_delay: None,
            abs_capture_time: None,
        };
        let kept = self.ring.insert(&meta, &[], payload);
        if let Some(nack) = self.nack.as_mut().filter(|_| kept) {
            nack.on_late(number);
        }
        kept
    }

    /// The number that `sequence` stands for; `None` while a jump is in doubt.
    fn place(&mut self, sequence: u16) -> Option<u64> {
        if std::mem::take(&mut self.fresh) {
            return Some(self.unwrapper.restart(sequence.into()));
        }
        let number = self.unwrapper.peek(sequence.into());
        let far = self.unwrapper.highest().is_some_and(|highest| highest.abs_diff(number) > MAX_JUMP);
        if !far {
            self.suspect = None;
            return Some(number);
        }
        if self.suspect != Some(sequence) {
            self.suspect = Some(sequence.wrapping_add(1));
            return None;
        }
        self.suspect = None;
        self.begin_epoch();
        Some(self.unwrapper.restart(sequence.into()))
    }

    fn on_gap(&mut self, now: Instant, from: u64, to: u64, stats: &mut MediaStats) {
        if let Some(nack) = &mut self.nack
            && !nack.on_gap(now, from, to)
        {
            stats.nack_overflow += 1;
            self.key_frames.want();
        }
    }

    fn begin_epoch(&mut self) {
        self.epoch += 1;
        self.reader = FrameReader::default();
        self.reception = ReceptionCounter::default();
        self.clock = None;
        if let Some(fec) = &mut self.fec {
            fec.clear();
        }
        if let Some(nack) = &mut self.nack {
            nack.clear();
        }
    }
}

/// A sender's wall clock against its RTP clock, from its last sender report.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SenderClock {
    /// NTP, 32.32 fixed point seconds.
    pub(crate) ntp: u64,
    pub(crate) rtp: u32,
    pub(crate) arrival: Instant,
}

impl SenderClock {
    /// The sender's wall clock at `timestamp`.
    pub(crate) fn ntp_at(&self, timestamp: u32, rtp_clock: u32) -> u64 {
        let ticks = i64::from(timestamp.wrapping_sub(self.rtp) as i32);
        self.ntp.wrapping_add_signed((ticks << 32) / i64::from(rtp_clock.max(1)))
    }

    /// The RTP clock at the wall clock's `ntp`.
    pub(crate) fn rtp_at(&self, ntp: u64, rtp_clock: u32) -> u32 {
        let elapsed = i128::from(ntp.wrapping_sub(self.ntp) as i64);
        // To the nearest tick.
        self.rtp.wrapping_add(((elapsed * i128::from(rtp_clock) + (1 << 31)) >> 32) as u32)
    }
}
