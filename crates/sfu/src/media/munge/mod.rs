// SPDX-License-Identifier: EUPL-1.2
//! What changes in a packet on its way to one subscriber: sequence number, timestamp, and the codec's own numbers.
//!
//! [`ranges`] closes what is dropped and keeps the place of what is late; [`numbers`] applies it to picture ids and frame
//! numbers; [`Munger`] ties them together across layer switches.

mod numbers;
mod ranges;

use std::time::{Duration, Instant};

pub(crate) use numbers::CodecNumbers;
pub(crate) use ranges::Ranges;

use super::layer::SenderClock;

/// A layer's clock that differs from arrival by more than this is wrong: then arrival counts.
const MAX_CLOCK_DISAGREEMENT_SECONDS: f64 = 2.0;

/// Sequence numbers and timestamps of one subscription.
#[derive(Debug)]
pub(crate) struct Munger {
    sequences: Ranges,
    /// Added to incoming timestamps, modulo 2^32.
    shift: u32,
    /// The newest packet that was sent: its outgoing timestamp, and when.
    last: Option<(u32, Instant)>,
    first_sequence: u64,
    first_timestamp: u32,
    /// The first outgoing number of the stream that is followed.
    stream_start: u64,
}

impl Munger {
    pub(crate) fn new(first_sequence: u16, first_timestamp: u32) -> Munger {
        Munger {
            sequences: Ranges::new(),
            shift: 0,
            last: None,
            // Beyond one wrap, so that numbers below the first are not negative.
            first_sequence: (1 << 16) + u64::from(first_sequence),
            first_timestamp,
            stream_start: 0,
        }
    }

    /// Goes on with the stream in which `number` comes next, right after what was sent last.
    pub(crate) fn switch(&mut self, number: u64, shift: u32) {
        let out = if self.last.is_some() { self.sequences.next_out() } else { self.first_sequence };
        self.sequences.restart(number, out);
        self.stream_start = out;
        self.shift = shift;
    }

    /// What to add to the new layer's timestamps so that they continue those sent: by sender reports if both layers
    /// have one, by the time that passed otherwise.
    pub(crate) fn shift_for(
        &self,
        now: Instant,
        timestamp: u32,
        rtp_clock: u32,
        old: Option<&SenderClock>,
        new: Option<&SenderClock>,
    ) -> u32 {
        let Some((last_timestamp, last_at)) = self.last else {
            return self.first_timestamp.wrapping_sub(timestamp);
        };
        let elapsed = now.saturating_duration_since(last_at).as_secs_f64();
        let by_arrival = elapsed * f64::from(rtp_clock);
        let mut advance = by_arrival;
        if let (Some(old), Some(new)) = (old, new) {
            let same_moment =
                old.rtp_at(new.ntp_at(timestamp, rtp_clock), rtp_clock).wrapping_add(self.shift);
            let by_report = f64::from(same_moment.wrapping_sub(last_timestamp) as i32);
            if (by_report - by_arrival).abs() < MAX_CLOCK_DISAGREEMENT_SECONDS * f64::from(rtp_clock) {
                advance = by_report;
            }
        }
        // Frames must not go back in time or share a timestamp: a millisecond is the least.
        let advance = advance.max(f64::from(rtp_clock / 1000)).min(f64::from(i32::MAX)) as u32;
        last_timestamp.wrapping_add(advance).wrapping_sub(timestamp)
    }

    /// The shift in use.
    pub(crate) fn shift(&self) -> u32 {
        self.shift
    }

    /// Which number of the followed stream leaves as `out`.
    pub(crate) fn source(&self, out: u64) -> Option<u64> {
        self.sequences.source(out).filter(|_| out >= self.stream_start)
    }

    /// Whether `number` is beyond all that was decided on.
    pub(crate) fn is_new(&self, number: u64) -> bool {
        self.sequences.is_new(number)
    }

    /// Sends a new packet: its outgoing number and timestamp.
    pub(crate) fn take(&mut self, now: Instant, number: u64, timestamp: u32) -> (u64, u32) {
        let timestamp = timestamp.wrapping_add(self.shift);
        self.last = Some((timestamp, now));
        (self.sequences.take(number), timestamp)
    }

    /// A packet of our own after what was sent last, `ticks` later: its number and timestamp. What was late is given up.
    pub(crate) fn append(&mut self, now: Instant, ticks: u32) -> Option<(u64, u32)> {
        let timestamp = self.last?.0.wrapping_add(ticks);
        self.last = Some((timestamp, now));
        let out = self.sequences.append();
        self.stream_start = out + 1;
        Some((out, timestamp))
    }

    /// Whether a packet with this timestamp would leave later than all that was sent.
    pub(crate) fn goes_on(&self, timestamp: u32) -> bool {
        let out = timestamp.wrapping_add(self.shift);
        self.last.is_none_or(|(last, _)| out.wrapping_sub(last) as i32 > 0)
    }

    /// Drops a new packet.
    pub(crate) fn exclude(&mut self, number: u64) {
        self.sequences.exclude(number);
    }

    /// Sends a late packet, if its place was kept.
    pub(crate) fn late(&self, number: u64, timestamp: u32) -> Option<(u64, u32)> {
        Some((self.sequences.late(number)?, timestamp.wrapping_add(self.shift)))
    }

    /// The highest number sent.
    pub(crate) fn highest_out(&self) -> Option<u64> {
        self.last.map(|_| self.sequences.next_out() - 1)
    }

    /// The lowest number that may have been sent.
    pub(crate) fn first_out(&self) -> u64 {
        self.first_sequence
    }

    /// The first number of the stream that is followed. Gaps below it stay.
    pub(crate) fn stream_start(&self) -> u64 {
        self.stream_start
    }

    /// The newest timestamp sent.
    pub(crate) fn last_timestamp(&self) -> u32 {
        self.last.map_or(self.first_timestamp, |(timestamp, _)| timestamp)
    }

    /// Where the outgoing RTP clock stands at `now`, going by arrival.
    pub(crate) fn clock_at(&self, now: Instant, rtp_clock: u32) -> Option<u32> {
        let (timestamp, at) = self.last?;
        Some(timestamp.wrapping_add(ticks(now.saturating_duration_since(at), rtp_clock)))
    }
}

fn ticks(duration: Duration, rtp_clock: u32) -> u32 {
    (duration.as_secs_f64() * f64::from(rtp_clock)) as u64 as u32
}
