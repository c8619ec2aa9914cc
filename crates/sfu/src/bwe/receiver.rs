// SPDX-License-Identifier: EUPL-1.2
//! Tells a peer which of its packets arrived, and when.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parvis_rtp::rtcp::{TICK_MICROS, Writer};

/// Between reports of a busy stream, and of a quiet one.
const BUSY_INTERVAL: Duration = Duration::from_millis(50);
const QUIET_INTERVAL: Duration = Duration::from_millis(100);
/// So many packets in an interval are a busy stream's: 320 a second and more.
const BUSY_PACKETS: u64 = 32;
/// Packets remembered, reported on or not: 2 s at 2,000 packets a second (20 Mbit/s), 16 bytes each. A jump beyond
/// it forgets what is older.
const MAX_WINDOW: usize = 4096;
/// A late packet is reported on again, with those after it, when it is no older than this many packets.
const MAX_REORDER: u64 = 512;
/// A gap longer than this is left out of reports: no feedback packet holds more statuses.
const MAX_GAP: usize = 1000;

/// The receiving end of transport-wide feedback, for one transport.
#[derive(Debug, Default)]
pub struct Receiver {
    /// The clock that arrivals are reported by starts with the first packet.
    epoch: Option<Instant>,
    /// Arrivals in ticks by unwrapped sequence number, from `first` on; the last one has arrived.
    arrivals: VecDeque<Option<i64>>,
    first: u64,
    /// The first packet that is not reported on.
    next_report: u64,
    feedback_count: u8,
    deadline: Option<Instant>,
    last_report: Option<Instant>,
    /// Packets that came before the last report, and since.
    last_size: u64,
    fresh: u64,
}

impl Receiver {
    /// Begins with nothing.
    pub fn new() -> Receiver {
        Receiver::default()
    }

    /// A packet came, numbered by its sender over the whole transport.
    pub fn on_packet(&mut self, now: Instant, transport_sequence: u16) {
        let epoch = *self.epoch.get_or_insert(now);
        let ticks = now.saturating_duration_since(epoch).as_micros() as i64 / TICK_MICROS;
        if self.arrivals.is_empty() {
            // Far enough from 0 that late packets have numbers.
            self.first = (1 << 16) + u64::from(transport_sequence);
            self.next_report = self.first;
        }
        let highest = self.first + self.arrivals.len().saturating_sub(1) as u64;
        let distance = transport_sequence.wrapping_sub(highest as u16) as i16;
        let number = highest.saturating_add_signed(distance.into());
        if number < self.first {
            if !self.make_room_before(number) {
                return;
            }
        } else {
            self.make_room_up_to(number);
        }
        let Some(slot) = self.arrivals.get_mut((number - self.first) as usize) else { return };
        if slot.is_some() {
            return; // a duplicate keeps its first arrival
        }
        *slot = Some(ticks);
        self.fresh += 1;
        self.next_report = self.next_report.min(number);
        if self.deadline.is_none() {
            let interval = if self.last_size >= BUSY_PACKETS { BUSY_INTERVAL } else { QUIET_INTERVAL };
            self.deadline =
                Some(self.last_report.map_or(now + BUSY_INTERVAL, |last| (last + interval).max(now)));
        }
    }

    /// When [`Receiver::write_feedback`] wants to be called; `None` while there is nothing to report.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    /// Writes a feedback packet when it is time for one. Called again until `None`: what doesn't fit in `buf` goes
    /// into another.
    pub fn write_feedback(
        &mut self,
        now: Instant,
        sender_ssrc: u32,
        media_ssrc: u32,
        buf: &mut [u8],
    ) -> Option<usize> {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return None;
        }
        let mut from = (self.next_report - self.first) as usize;
        let gap = self.arrivals.iter().skip(from).position(Option::is_some);
        let Some(gap) = gap else {
            self.finish_report(now);
            return None;
        };
        if gap > MAX_GAP {
            from += gap;
        }
        let base = self.first + from as u64;
        let arrivals = &self.arrivals.make_contiguous()[from..];
        let mut writer = Writer::new(buf);
        let covered = writer
            .transport_feedback(sender_ssrc, media_ssrc, self.feedback_count, base as u16, arrivals)
            .ok()?;
        let len = writer.len();
        self.feedback_count = self.feedback_count.wrapping_add(1);
        self.next_report = base + covered as u64;
        if self.next_report >= self.first + self.arrivals.len() as u64 {
            self.finish_report(now);
        }
        Some(len)
    }

    fn finish_report(&mut self, now: Instant) {
        self.last_report = Some(now);
        self.last_size = std::mem::take(&mut self.fresh);
        self.deadline = None;
        // Keep what a late packet may be among.
        let end = self.first + self.arrivals.len() as u64;
        while self.arrivals.len() > 1 && self.first < self.next_report && self.first + MAX_REORDER < end {
            self.arrivals.pop_front();
            self.first += 1;
        }
    }

    /// A late packet: those between it and the first known are unknown.
    fn make_room_before(&mut self, number: u64) -> bool {
        let missing = self.first - number;
        if missing > MAX_REORDER || self.arrivals.len() + missing as usize > MAX_WINDOW {
            return false;
        }
        (0..missing).for_each(|_| self.arrivals.push_front(None));
        self.first = number;
        true
    }

    fn make_room_up_to(&mut self, number: u64) {
        if number - self.first >= 2 * MAX_WINDOW as u64 {
            self.arrivals.clear();
            self.first = number;
        }
        while self.first + (self.arrivals.len() as u64) <= number {
            if self.arrivals.len() == MAX_WINDOW {
                self.arrivals.pop_front();
                self.first += 1;
            }
            self.arrivals.push_back(None);
        }
        self.next_report = self.next_report.max(self.first);
    }
}
