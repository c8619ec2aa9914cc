// SPDX-License-Identifier: EUPL-1.2
//! Spreads one peer's video over time: a token bucket with short bursts. Audio doesn't pass through it.
//!
//! What waits leaves a burst at a time rather than a packet at a time: each release costs a wake and a system call, and
//! packets that leave together leave as one train.
//!
//! Each subscription waits in a lane of its own, and lanes take turns: one whose publisher sends many times what was
//! granted waits behind itself, not before everyone else's pictures.

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
/// Nor does a release wait for more packets than this: a longer train is hardly cheaper, and who waits for it waits for
/// nothing.
const TRAIN_PACKETS: u32 = 8;

/// Packets that a lane may send before the next one's turn: a frame of a camera, so that it leaves in one train.
const TURN_PACKETS: u32 = 8;

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
    /// Lanes that are empty keep their memory and wait for another subscription.
    lanes: Vec<Lane>,
    /// Whose turn it is, and how many packets of it are left.
    turn: (usize, u32),
    queued: usize,
    queued_bytes: u64,
    /// Of the packet that came last.
    last_bytes: u32,
    limit: usize,
    /// In bytes; below zero after a packet larger than what was left.
    budget: f64,
    refilled: Instant,
    /// By what is known of the path: this is what a burst is reckoned by.
    rate_bps: f64,
    /// What leaves in the long run is never more, however fast the path and however long the queue.
    max_bps: f64,
    burst: Duration,
}

/// One subscription's packets, oldest first.
#[derive(Debug, Default)]
struct Lane {
    packets: VecDeque<Paced>,
}

impl Lane {
    fn is_of(&self, subscription: SubscriptionId) -> bool {
        self.packets.front().is_some_and(|first| first.subscription == subscription)
    }
}

impl Pacer {
    pub(crate) fn new(now: Instant, limit: usize, rate_bps: u64, max_bps: u64, burst: Duration) -> Pacer {
        Pacer {
            resends: VecDeque::new(),
            lanes: Vec::new(),
            turn: (0, TURN_PACKETS),
            queued: 0,
            queued_bytes: 0,
            last_bytes: 0,
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
        self.budget >= 0.0 && self.queued == 0
    }

    /// A packet left.
    pub(crate) fn spend(&mut self, bytes: usize) {
        self.budget -= bytes as f64;
    }

    /// Lets a packet wait. When the queue is full, the newest packet of the longest lane goes. How many were dropped: 0 or 1.
    pub(crate) fn push(&mut self, paced: Paced) -> u64 {
        let full = self.queued >= self.limit;
        if full && !self.make_room(&paced) {
            return 1;
        }
        self.queued += 1;
        self.queued_bytes += u64::from(paced.bytes);
        self.last_bytes = paced.bytes;
        if paced.resend {
            self.resends.push_back(paced);
        } else {
            let own = self.lanes.iter().position(|lane| lane.is_of(paced.subscription));
            let free = || self.lanes.iter().position(|lane| lane.packets.is_empty());
            let at = own.or_else(free).unwrap_or_else(|| {
                self.lanes.push(Lane::default());
                self.lanes.len() - 1
            });
            self.lanes[at].packets.push_back(paced);
        }
        u64::from(full)
    }

    /// Drops a packet of the longest lane, unless `paced` would only make that one longer.
    fn make_room(&mut self, paced: &Paced) -> bool {
        let Some(longest) = self.lanes.iter_mut().max_by_key(|lane| lane.packets.len()) else { return false };
        if longest.is_of(paced.subscription) {
            return false;
        }
        let Some(dropped) = longest.packets.pop_back() else { return false };
        self.queued -= 1;
        self.queued_bytes -= u64::from(dropped.bytes);
        true
    }

    /// The next packet that may leave now. The caller calls [`Pacer::spend`].
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Paced> {
        self.refill(now);
        if self.budget < 0.0 || self.queued == 0 {
            return None;
        }
        let paced = self.resends.pop_front().or_else(|| self.pop_lane())?;
        self.queued -= 1;
        self.queued_bytes -= u64::from(paced.bytes);
        Some(paced)
    }

    /// The next packet of the lane whose turn it is.
    fn pop_lane(&mut self) -> Option<Paced> {
        for _ in 0..=self.lanes.len() {
            let (at, left) = self.turn;
            if left > 0
                && let Some(paced) = self.lanes.get_mut(at).and_then(|lane| lane.packets.pop_front())
            {
                self.turn.1 -= 1;
                return Some(paced);
            }
            self.turn = ((at + 1) % self.lanes.len().max(1), TURN_PACKETS);
        }
        None
    }

    /// Forgets all that waits.
    pub(crate) fn clear(&mut self) {
        self.resends.clear();
        for lane in &mut self.lanes {
            lane.packets.clear();
        }
        (self.queued, self.queued_bytes) = (0, 0);
    }

    /// Bytes that wait.
    #[cfg(test)]
    pub(crate) fn queued_bytes(&self) -> u64 {
        self.queued_bytes
    }

    /// When the next packets may leave: all that wait, or a burst of them. A retransmission doesn't wait for company.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        if self.queued == 0 {
            return None;
        }
        let rate = self.bytes_per_second();
        let train = f64::from(TRAIN_PACKETS) * f64::from(self.last_bytes);
        let release = (self.burst_bytes() * RELEASE_SHARE).min(train);
        // The last packet may leave while anything is left.
        let others = self.queued_bytes.saturating_sub(u64::from(self.last_bytes)) as f64;
        // Where a burst is less than two packets there are no trains to wait for.
        let trains = self.resends.is_empty() && release >= f64::from(2 * self.last_bytes);
        let wanted = if trains { others.min(release) } else { 0.0 };
        let missing = (wanted - self.budget).max(0.0) / rate;
        // Rounded up: a nanosecond early would find nothing to do.
        Some(self.refilled + (Duration::from_secs_f64(missing) + Duration::from_nanos(100)).max(MIN_WAIT))
    }

    fn refill(&mut self, now: Instant) {
        if now == self.refilled {
            return;
        }
        let rate = self.bytes_per_second();
        let elapsed = now.saturating_duration_since(self.refilled).as_secs_f64();
        self.refilled = self.refilled.max(now);
        self.budget = (self.budget + rate * elapsed).min(self.burst_bytes());
    }

    /// What may leave at once. A path that carries more takes a larger frame at once, whatever may leave in the long run.
    fn burst_bytes(&self) -> f64 {
        self.bytes_per_second().max(self.rate_bps / 8.0) * self.burst.as_secs_f64()
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
    /// The share of packets that the peer loses.
    loss: f64,
}

/// A peer that loses packets has this times their share beyond the configured one, for retransmissions are lost as well; and
/// never more than as much as its media.
const RESENDS_FOR_LOSS: f64 = 2.0;
const MAX_RESEND_SHARE: f64 = 1.0;
/// The most that is saved up, in bytes: one large key frame.
const MAX_SAVED_BYTES: f64 = 64_000.0;

impl ResendBudget {
    pub(crate) fn new(now: Instant, share: f64, floor_bytes_per_second: u32) -> ResendBudget {
        let floor_bytes_per_second = f64::from(floor_bytes_per_second);
        ResendBudget {
            share,
            floor_bytes_per_second,
            bytes: floor_bytes_per_second,
            refilled: now,
            loss: 0.0,
        }
    }

    /// The peer loses so large a share of what it is sent, 0 to 1.
    pub(crate) fn set_loss(&mut self, loss: f32) {
        self.loss = f64::from(loss);
    }

    /// Media was sent.
    pub(crate) fn earn(&mut self, bytes: usize) {
        let share = (self.share + RESENDS_FOR_LOSS * self.loss).min(MAX_RESEND_SHARE).max(self.share);
        self.bytes = (self.bytes + share * bytes as f64).min(MAX_SAVED_BYTES);
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
            assert_eq!(pacer.push(packet(out)), 0);
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
            assert_eq!(pacer.push(packet(out)), 0);
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
        assert_eq!(pacer.push(packet(8)) + pacer.push(packet(9)), 0);
        let whole = pacer.poll_timeout().unwrap();
        assert_eq!(pacer.push(Paced { resend: true, ..packet(10) }), 0);
        let due = pacer.poll_timeout().unwrap();
        assert!(due < whole, "{due:?} {whole:?}");
        now = due;
        assert_eq!(pacer.pop(now).map(|paced| paced.out), Some(10));
    }

    #[test]
    fn where_a_burst_is_long_a_train_of_eight_does_not_wait_for_the_rest_of_it() {
        let start = Instant::now();
        // A burst of 5 ms is 26 packets, a train of eight takes 1.54 ms.
        let rate = 50_000_000;
        let mut pacer = Pacer::new(start, 1024, rate, rate, Duration::from_millis(5));
        pacer.refill(start + Duration::from_secs(1));
        let packet =
            |out| Paced { slot: 0, subscription: SubscriptionId(1), out, bytes: 1200, resend: false };
        for out in 0..60 {
            assert_eq!(pacer.push(packet(out)), 0);
        }
        let (mut now, mut trains) = (start + Duration::from_secs(1), Vec::new());
        while let Some(due) = pacer.poll_timeout() {
            assert!(due.saturating_duration_since(now) <= Duration::from_micros(1_800), "{trains:?}");
            now = due.max(now);
            let mut train = 0;
            while pacer.pop(now).is_some() {
                pacer.spend(1200);
                train += 1;
            }
            trains.push(train);
        }
        assert_eq!((trains.first(), trains.iter().sum::<i32>()), (Some(&27), 60));
        assert!(trains[1..trains.len() - 1].iter().all(|train| (8..=9).contains(train)), "{trains:?}");
    }

    #[test]
    fn a_burst_goes_by_the_path_and_what_follows_by_what_may_be_sent_at_most() {
        let start = Instant::now();
        let (path, most) = (125_000_000, 50_000_000);
        let mut pacer = Pacer::new(start, 1024, path, most, Duration::from_millis(5));
        let packet =
            |out| Paced { slot: 0, subscription: SubscriptionId(1), out, bytes: 1200, resend: false };
        let mut now = start + Duration::from_secs(1);
        // What goes at once, and then 1.2 MB that wait.
        let (mut at_once, mut sent) = (0, 0);
        while pacer.is_free(now) {
            pacer.spend(1200);
            at_once += 1200;
        }
        assert!((77_000..=79_500).contains(&at_once), "5 ms at 125 Mbit/s are 78 kB: {at_once}");
        for out in 0..1000 {
            assert_eq!(pacer.push(packet(out)), 0);
        }
        let begun = now;
        while let Some(due) = pacer.poll_timeout() {
            now = due.max(now);
            while pacer.pop(now).is_some() {
                pacer.spend(1200);
                sent += 1200;
            }
        }
        let rate = f64::from(sent) * 8.0 / (now - begun).as_secs_f64();
        assert!((45e6..=51e6).contains(&rate), "{rate} bits a second");
    }

    #[test]
    fn a_full_queue_refuses_and_a_long_one_drains_faster_than_the_rate() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start, 100, 100_000, 50_000_000, Duration::from_millis(5));
        let packet =
            |out| Paced { slot: 0, subscription: SubscriptionId(1), out, bytes: 1200, resend: false };
        assert_eq!((0..200).map(|out| pacer.push(packet(out))).sum::<u64>(), 100);
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
    fn one_who_floods_waits_behind_itself_and_fills_only_its_own_lane() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start, 100, 9_600_000, 9_600_000, Duration::from_millis(5));
        let packet = |subscription, out| Paced {
            slot: 0,
            subscription: SubscriptionId(subscription),
            out,
            bytes: 1200,
            resend: false,
        };
        let dropped: u64 = (0..150).map(|out| pacer.push(packet(1, out))).sum();
        assert_eq!(dropped, 50);
        let dropped: u64 = (0..16).map(|out| pacer.push(packet(2, out))).sum();
        assert_eq!(dropped, 16, "the longest lane makes room");
        let (mut now, mut order) = (start, Vec::new());
        while let Some(due) = pacer.poll_timeout() {
            now = due.max(now);
            while let Some(paced) = pacer.pop(now) {
                pacer.spend(1200);
                order.push((paced.subscription.0, paced.out));
            }
        }
        assert_eq!(order.len(), 100);
        let last = order.iter().position(|sent| *sent == (2, 15)).unwrap();
        assert!(last < 4 * TURN_PACKETS as usize, "two frames leave after two turns of the flood: {last}");
        for lane in [1, 2] {
            let outs: Vec<u64> = order.iter().filter(|sent| sent.0 == lane).map(|sent| sent.1).collect();
            assert!(outs.is_sorted(), "{lane}: {outs:?}");
            assert_eq!(outs.len(), if lane == 1 { 84 } else { 16 });
        }
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

    proptest::proptest! {
        /// What leaves at one moment becomes trains: so that none is longer than a release, a release has a bound whatever comes
        /// when, and however late the clock wakes.
        #[test]
        fn whatever_comes_whenever_a_release_is_no_more_than_a_burst_and_a_packet(
            rate in 100_000u64..60_000_000,
            steps in proptest::collection::vec((0u64..40_000, 0u64..60, 50u32..1_400, proptest::bool::ANY), 1..60),
        ) {
            let start = Instant::now();
            let (most, burst) = (50_000_000, Duration::from_millis(5));
            let mut pacer = Pacer::new(start, 512, rate, most, burst);
            let (mut now, mut out, mut all) = (start, 0, 0);
            for (pause, count, bytes, resend) in steps {
                now += Duration::from_micros(pause);
                let (mut released, before) = (0, pacer.queued_bytes());
                // As a packet is sent that comes while nothing waits.
                while pacer.is_free(now) && released < 100_000 && out % 2 == 0 {
                    pacer.spend(bytes as usize);
                    released += u64::from(bytes);
                }
                for _ in 0..count {
                    out += 1;
                    pacer.push(Paced { slot: 0, subscription: SubscriptionId(out % 3), out, bytes, resend });
                }
                // A longer queue is let out faster, as far as may be sent at all; a full one may just have dropped some of it.
                let waiting = pacer.queued_bytes().max(before) as f64 * 8.0 / MAX_QUEUE_TIME.as_secs_f64();
                let bound = (rate as f64).max(waiting.min(most as f64)) / 8.0 * burst.as_secs_f64();
                let mut largest = u64::from(bytes);
                while let Some(paced) = pacer.pop(now) {
                    pacer.spend(paced.bytes as usize);
                    released += u64::from(paced.bytes);
                    largest = largest.max(u64::from(paced.bytes));
                }
                proptest::prop_assert!(
                    released as f64 <= bound + largest as f64 + 1.0,
                    "{} bytes at once, of at most {} and a packet of {}", released, bound, largest
                );
                all += released;
            }
            // Nor more in the long run: what may be sent at most, and the first burst.
            let may = (most.max(rate) as f64 / 8.0) * ((now - start).as_secs_f64() + burst.as_secs_f64()) + 1_400.0;
            proptest::prop_assert!(all as f64 <= may, "{} bytes in {:?}", all, now - start);
        }
    }
}
