// SPDX-License-Identifier: EUPL-1.2
//! Spreads one peer's video over time: a token bucket with short bursts. Audio doesn't pass through it.
//!
//! What waits leaves a burst at a time rather than a packet at a time: each release costs a wake and a system call, and
//! packets that leave together leave as one train.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::SubscriptionId;

/// A queue longer than this in time is sent faster than the rate: late video is worth less than none.
const MAX_QUEUE_TIME: Duration = Duration::from_millis(1500);
/// Timers below a millisecond cost more than they smooth.
const MIN_WAIT: Duration = Duration::from_millis(1);
/// A release is due when this share of a whole burst is saved up: of 5 ms it leaves one for a clock that wakes late, so
/// that lateness costs no rate.
const RELEASE_SHARE: f64 = 0.8;

/// A packet that waits: which subscription's, under which outgoing number. Its bytes stay in the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Paced {
    pub(crate) slot: usize,
    pub(crate) subscription: SubscriptionId,
    pub(crate) out: u64,
    pub(crate) bytes: u32,
    pub(crate) resend: bool,
}

/// One peer's pacer.
#[derive(Debug)]
pub(crate) struct Pacer {
    /// Retransmissions go first: somebody waits for them.
    resends: VecDeque<Paced>,
    media: VecDeque<Paced>,
    queued_bytes: u64,
    limit: usize,
    /// In bytes; below zero after a packet larger than what was left.
    budget: f64,
    refilled: Instant,
    rate_bps: f64,
    /// Never exceeded, however long the queue.
    max_bps: f64,
    burst: Duration,
}

impl Pacer {
    pub(crate) fn new(now: Instant, limit: usize, rate_bps: u64, max_bps: u64, burst: Duration) -> Pacer {
        Pacer {
            resends: VecDeque::new(),
            media: VecDeque::new(),
            queued_bytes: 0,
            limit,
            budget: 0.0,
            refilled: now,
            rate_bps: rate_bps as f64,
            max_bps: max_bps as f64,
            burst,
        }
    }

    pub(crate) fn set_rate(&mut self, now: Instant, rate_bps: u64) {
        self.refill(now);
        self.rate_bps = rate_bps as f64;
    }

    /// Whether a packet may leave now without waiting behind others.
    pub(crate) fn is_free(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.budget >= 0.0 && self.resends.is_empty() && self.media.is_empty()
    }

    /// A packet left.
    pub(crate) fn spend(&mut self, bytes: usize) {
        self.budget -= bytes as f64;
    }

    /// Lets a packet wait. `false` when the queue is full.
    pub(crate) fn push(&mut self, paced: Paced) -> bool {
        if self.resends.len() + self.media.len() >= self.limit {
            return false;
        }
        self.queued_bytes += u64::from(paced.bytes);
        if paced.resend {
            self.resends.push_back(paced)
        } else {
            self.media.push_back(paced)
        }
        true
    }

    /// The next packet that may leave now. The caller calls [`Pacer::spend`].
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Paced> {
        self.refill(now);
        if self.budget < 0.0 {
            return None;
        }
        let paced = self.resends.pop_front().or_else(|| self.media.pop_front())?;
        self.queued_bytes -= u64::from(paced.bytes);
        Some(paced)
    }

    /// Forgets all that waits.
    pub(crate) fn clear(&mut self) {
        self.resends.clear();
        self.media.clear();
        self.queued_bytes = 0;
    }

    /// Bytes that wait.
    #[cfg(test)]
    pub(crate) fn queued_bytes(&self) -> u64 {
        self.queued_bytes
    }

    /// When the next packets may leave: all that wait, or a burst of them. A retransmission doesn't wait for company.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let last = self.media.back().or(self.resends.back())?;
        let rate = self.bytes_per_second();
        let release = rate * self.burst.as_secs_f64() * RELEASE_SHARE;
        // The last packet may leave while anything is left.
        let others = self.queued_bytes.saturating_sub(u64::from(last.bytes)) as f64;
        // Where a burst is less than two packets there are no trains to wait for.
        let trains = self.resends.is_empty() && release >= f64::from(2 * last.bytes);
        let wanted = if trains { others.min(release) } else { 0.0 };
        let missing = (wanted - self.budget).max(0.0) / rate;
        // Rounded up: a nanosecond early would find nothing to do.
        Some(self.refilled + (Duration::from_secs_f64(missing) + Duration::from_nanos(100)).max(MIN_WAIT))
    }

    fn refill(&mut self, now: Instant) {
        let rate = self.bytes_per_second();
        let elapsed = now.saturating_duration_since(self.refilled).as_secs_f64();
        self.refilled = self.refilled.max(now);
        self.budget = (self.budget + rate * elapsed).min(rate * self.burst.as_secs_f64());
    }

    fn bytes_per_second(&self) -> f64 {
        let drain_bps = self.queued_bytes as f64 * 8.0 / MAX_QUEUE_TIME.as_secs_f64();
        (self.rate_bps.max(drain_bps).min(self.max_bps) / 8.0).max(1.0)
    }
}

/// What may be sent again to one peer: a share of what is sent, and a floor (row 20).
#[derive(Debug)]
pub(crate) struct ResendBudget {
    share: f64,
    floor_bytes_per_second: f64,
    bytes: f64,
    refilled: Instant,
}

/// The most that is saved up, in bytes: one large key frame.
const MAX_SAVED_BYTES: f64 = 64_000.0;

impl ResendBudget {
    pub(crate) fn new(now: Instant, share: f64, floor_bytes_per_second: u32) -> ResendBudget {
        let floor_bytes_per_second = f64::from(floor_bytes_per_second);
        ResendBudget { share, floor_bytes_per_second, bytes: floor_bytes_per_second, refilled: now }
    }

    /// Media was sent.
    pub(crate) fn earn(&mut self, bytes: usize) {
        self.bytes = (self.bytes + self.share * bytes as f64).min(MAX_SAVED_BYTES);
    }

    /// Takes `bytes` if they are there.
    pub(crate) fn take(&mut self, now: Instant, bytes: usize) -> bool {
        let elapsed = now.saturating_duration_since(self.refilled).as_secs_f64();
        self.refilled = self.refilled.max(now);
        self.bytes = (self.bytes + elapsed * self.floor_bytes_per_second).min(MAX_SAVED_BYTES);
        let enough = self.bytes >= bytes as f64;
        if enough {
            self.bytes -= bytes as f64;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_frame_leaves_in_bursts_of_at_most_five_milliseconds() {
        let start = Instant::now();
        let rate = 4_000_000;
        let mut pacer = Pacer::new(start, 1024, rate, 50_000_000, Duration::from_millis(5));
        let packet =
            |out| Paced { slot: 0, subscription: SubscriptionId(1), out, bytes: 1200, resend: false };
        for out in 0..100 {
            assert!(pacer.push(packet(out)));
        }
        let (mut now, mut out) = (start, 0);
        while let Some(due) = pacer.poll_timeout() {
            now = due.max(now);
            let mut burst = 0;
            while let Some(paced) = pacer.pop(now) {
                assert_eq!(paced.out, out);
                out += 1;
                burst += paced.bytes;
                pacer.spend(1200);
            }
            assert!(burst <= rate as u32 / 8 / 200 + 1200, "{burst} bytes at once");
        }
        assert_eq!(out, 100);
        let took = (now - start).as_secs_f64();
        assert!((0.22..0.26).contains(&took), "120,000 bytes at 4 Mbit/s take 0.24 s, took {took}");
        assert_eq!(pacer.queued_bytes(), 0);
    }

    #[test]
    fn what_waits_leaves_in_trains_and_no_later_than_packet_by_packet() {
        let start = Instant::now();
        // A packet of 1,200 bytes takes 1.67 ms at this rate, a burst of 5 ms is three of them.
        let rate = 5_760_000;
        let mut pacer = Pacer::new(start, 1024, rate, 50_000_000, Duration::from_millis(5));
        let packet =
            |out| Paced { slot: 0, subscription: SubscriptionId(1), out, bytes: 1200, resend: false };
        for out in 0..8 {
            assert!(pacer.push(packet(out)));
        }
        let (mut now, mut trains) = (start, Vec::new());
        while let Some(due) = pacer.poll_timeout() {
            now = due.max(now);
            let mut train = 0;
            while pacer.pop(now).is_some() {
                pacer.spend(1200);
                train += 1;
            }
            trains.push(train);
        }
        assert!(trains.len() <= 3, "{trains:?}");
        let took = now - start;
        let all_but_one = Duration::from_micros(7 * 1667);
        assert!(took <= all_but_one, "the last left after {took:?}, seven packets take {all_but_one:?}");
        // Somebody waits for a retransmission: it doesn't wait for others.
        assert!(pacer.push(packet(8)) && pacer.push(packet(9)));
        let whole = pacer.poll_timeout().unwrap();
        assert!(pacer.push(Paced { resend: true, ..packet(10) }));
        let due = pacer.poll_timeout().unwrap();
        assert!(due < whole, "{due:?} {whole:?}");
        now = due;
        assert_eq!(pacer.pop(now).map(|paced| paced.out), Some(10));
    }

    #[test]
    fn a_full_queue_refuses_and_a_long_one_drains_faster_than_the_rate() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start, 100, 100_000, 50_000_000, Duration::from_millis(5));
        let packet =
            |out| Paced { slot: 0, subscription: SubscriptionId(1), out, bytes: 1200, resend: false };
        assert_eq!((0..200).filter(|out| pacer.push(packet(*out))).count(), 100);
        let mut now = start;
        while let Some(due) = pacer.poll_timeout() {
            now = due.max(now);
            while pacer.pop(now).is_some() {
                pacer.spend(1200);
            }
        }
        assert!(now - start < Duration::from_secs(8), "120,000 bytes at 100 kbit/s alone would take 9.6 s");
    }

    #[test]
    fn resends_are_a_share_of_what_was_sent() {
        let start = Instant::now();
        let mut budget = ResendBudget::new(start, 0.25, 0);
        assert!(!budget.take(start, 1000));
        budget.earn(4000);
        assert!(budget.take(start, 1000));
        assert!(!budget.take(start, 1));
    }
}
