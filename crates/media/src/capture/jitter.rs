// SPDX-License-Identifier: EUPL-1.2
//! Puts packets in their order, asks for those that are missing, and gives up on them in time.

use std::collections::BTreeMap;

use parvis_jobs::UnixMicros;

/// How patient a recorder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JitterConfig {
    /// How long a packet waits for those before it, in microseconds.
    pub wait_micros: u64,
    /// How long one that is only late is not asked for.
    pub reorder_micros: u64,
    /// Between two requests for one packet.
    pub repeat_micros: u64,
    /// Packets held, at most. The oldest are given when there are more.
    pub packets: usize,
}

impl Default for JitterConfig {
    /// Half a second: a packet that was lost on a publisher's way is back by then. What waits here is what a killed worker
    /// loses. 2,048 packets are a second of 20 Mbit/s.
    fn default() -> JitterConfig {
        JitterConfig { wait_micros: 500_000, reorder_micros: 10_000, repeat_micros: 100_000, packets: 2048 }
    }
}

/// A jump by more than this is a sender that began anew, not a loss.
const RESTART: i64 = 3000;
/// What one request names, at most.
const NACKS: usize = 128;

/// A packet in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ordered<T> {
    /// What was put in.
    pub packet: T,
    /// How many before it never came.
    pub lost: u64,
}

/// Packets on their way to their order.
#[derive(Debug)]
pub struct Jitter<T> {
    config: JitterConfig,
    /// The number that is given next, unwrapped; `None` before the first packet.
    next: Option<i64>,
    highest: i64,
    held: BTreeMap<i64, (UnixMicros, T)>,
    /// When each missing packet was first missed, and when it is asked for next.
    missing: BTreeMap<i64, UnixMicros>,
    late: u64,
}

impl<T> Jitter<T> {
    /// Nothing came yet.
    pub fn new(config: JitterConfig) -> Jitter<T> {
        Jitter { config, next: None, highest: 0, held: BTreeMap::new(), missing: BTreeMap::new(), late: 0 }
    }

    /// Takes a packet. One that came before, or whose place was passed, is dropped.
    pub fn push(&mut self, now: UnixMicros, sequence: u16, packet: T) {
        let Some(next) = self.next else {
            let first = i64::from(sequence);
            (self.next, self.highest) = (Some(first), first);
            self.held.insert(first, (now, packet));
            return;
        };
        let step = i64::from(sequence.wrapping_sub(self.highest as u16) as i16);
        let place = self.highest + step;
        if step.abs() > RESTART {
            // All that is held goes out first; what lies between counts as one packet.
            self.restart(place, packet);
            return;
        }
        if place < next || self.held.contains_key(&place) {
            self.late += 1;
            return;
        }
        for missing in self.highest + 1..place {
            self.missing.insert(missing, UnixMicros(now.0 + self.config.reorder_micros));
        }
        self.missing.remove(&place);
        self.highest = self.highest.max(place);
        self.held.insert(place, (now, packet));
    }

    /// The next packet, if it is there or those before it have been waited for.
    pub fn pop(&mut self, now: UnixMicros) -> Option<Ordered<T>> {
        let next = self.next?;
        let (&place, &(came, _)) = self.held.first_key_value()?;
        let due = came.0 + self.config.wait_micros <= now.0 || self.held.len() > self.config.packets;
        if place != next && !due {
            return None;
        }
        self.give(next)
    }

    /// The next packet, whatever is missing before it: nothing will come any more.
    pub fn drain(&mut self) -> Option<Ordered<T>> {
        self.give(self.next?)
    }

    /// Which packets to ask for now. Those are not named again for a while.
    pub fn nacks(&mut self, now: UnixMicros) -> Vec<u16> {
        let mut due = Vec::new();
        for (place, at) in self.missing.iter_mut().filter(|(_, at)| at.0 <= now.0).take(NACKS) {
            at.0 = now.0 + self.config.repeat_micros;
            due.push(*place as u16);
        }
        due
    }

    /// When [`Jitter::pop`] or [`Jitter::nacks`] may have something; `None` while nothing is waited for.
    pub fn deadline(&self) -> Option<UnixMicros> {
        let given =
            self.held.first_key_value().map(|(_, (came, _))| UnixMicros(came.0 + self.config.wait_micros));
        // Few are missing at a time, and all are looked at.
        let asked = self.missing.values().min().copied();
        [given, asked].into_iter().flatten().min()
    }

    /// Packets that came twice, or too late.
    pub fn late(&self) -> u64 {
        self.late
    }

    fn give(&mut self, next: i64) -> Option<Ordered<T>> {
        let (place, (_, packet)) = self.held.pop_first()?;
        self.next = Some(place + 1);
        self.missing = self.missing.split_off(&place);
        Some(Ordered { packet, lost: u64::try_from(place - next).unwrap_or(0) })
    }

    /// What is held takes places shortly before the new one, so that it is given at once and in order. One place between
    /// stays empty: what comes next does not follow what was.
    fn restart(&mut self, place: i64, packet: T) {
        // Far above all that was: unwrapped numbers only grow. The lower 16 bits are the packet's own.
        let place = if place > self.highest { place } else { place + (1 << 16) };
        let held = std::mem::take(&mut self.held);
        let first = place - 1 - held.len() as i64;
        for (step, (_, waiting)) in held.into_values().enumerate() {
            self.held.insert(first + step as i64, (UnixMicros(0), waiting));
        }
        self.held.insert(place, (UnixMicros(0), packet));
        self.missing.clear();
        (self.next, self.highest) = (Some(first), place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(millis: u64) -> UnixMicros {
        UnixMicros(1_000_000 + millis * 1000)
    }

    fn all(jitter: &mut Jitter<u16>, now: UnixMicros) -> Vec<(u16, u64)> {
        std::iter::from_fn(|| jitter.pop(now)).map(|ordered| (ordered.packet, ordered.lost)).collect()
    }

    fn jitter(sequences: &[u16], at: UnixMicros) -> Jitter<u16> {
        let mut jitter = Jitter::new(JitterConfig::default());
        for sequence in sequences {
            jitter.push(at, *sequence, *sequence);
        }
        jitter
    }

    #[test]
    fn packets_leave_in_their_order_over_the_wrap() {
        let mut jitter = jitter(&[65_534, 65_535, 1, 0, 2], ms(0));
        assert_eq!(all(&mut jitter, ms(0)), [(65_534, 0), (65_535, 0), (0, 0), (1, 0), (2, 0)]);
    }

    #[test]
    fn a_missing_packet_is_asked_for_again_and_again_and_awaited_for_half_a_second() {
        let mut jitter = jitter(&[10, 13], ms(0));
        assert_eq!(all(&mut jitter, ms(0)), [(10, 0)]);
        assert_eq!(jitter.nacks(ms(9)), [] as [u16; 0], "it may only be late");
        assert_eq!(jitter.deadline(), Some(ms(10)));
        assert_eq!(jitter.nacks(ms(10)), [11, 12]);
        assert_eq!(jitter.nacks(ms(100)), [] as [u16; 0]);
        jitter.push(ms(105), 12, 12);
        assert_eq!(jitter.nacks(ms(110)), [11]);
        assert_eq!(all(&mut jitter, ms(499)), []);
        assert_eq!(all(&mut jitter, ms(500)), [], "the first of those held came at 105");
        assert_eq!(all(&mut jitter, ms(605)), [(12, 1), (13, 0)]);
        assert_eq!(jitter.nacks(ms(900)), [] as [u16; 0], "nobody waits for it any more");
        jitter.push(ms(900), 11, 11);
        assert_eq!((all(&mut jitter, ms(900)), jitter.late()), (vec![], 1));
    }

    #[test]
    fn a_repaired_loss_is_none() {
        let mut jitter = jitter(&[1, 3], ms(0));
        jitter.push(ms(80), 2, 2);
        jitter.push(ms(80), 2, 2);
        assert_eq!(all(&mut jitter, ms(80)), [(1, 0), (2, 0), (3, 0)]);
        assert_eq!(jitter.late(), 1, "what came twice is given once");
    }

    #[test]
    fn more_than_may_be_held_is_given_before_its_time() {
        let mut jitter = Jitter::new(JitterConfig { packets: 4, ..JitterConfig::default() });
        for sequence in [0, 2, 3, 4, 5_u16] {
            jitter.push(ms(0), sequence, sequence);
        }
        assert_eq!(all(&mut jitter, ms(0)), [(0, 0)]);
        jitter.push(ms(0), 6, 6);
        assert_eq!(all(&mut jitter, ms(0)), [(2, 1), (3, 0), (4, 0), (5, 0), (6, 0)]);
    }

    #[test]
    fn a_sender_that_begins_anew_elsewhere_is_followed_at_once() {
        let mut jitter = jitter(&[10, 12, 40_000, 40_001], ms(0));
        assert_eq!(all(&mut jitter, ms(0)), [(10, 0), (12, 0), (40_000, 1), (40_001, 0)]);
        jitter.push(ms(1), 100, 100);
        assert_eq!(all(&mut jitter, ms(1)), [(100, 1)]);
    }

    proptest! {
        #[test]
        fn whatever_is_lost_and_swapped_order_and_counts_hold(
            seed in prop::collection::vec((any::<bool>(), 0_usize..8), 1..300), start in any::<u16>(),
        ) {
            // (kept, how far it is moved back)
            let mut sent: Vec<(usize, u16)> = Vec::new();
            for (place, (kept, moved)) in seed.iter().enumerate() {
                if *kept || place == 0 {
                    sent.push((if place == 0 { 0 } else { place + moved }, place as u16));
                }
            }
            sent.sort();
            let mut jitter = Jitter::new(JitterConfig::default());
            let mut got = Vec::new();
            for (step, (_, place)) in sent.iter().enumerate() {
                let now = ms(step as u64);
                jitter.push(now, start.wrapping_add(*place), *place);
                got.extend(std::iter::from_fn(|| jitter.pop(now)));
            }
            got.extend(std::iter::from_fn(|| jitter.drain()));
            prop_assert!(got.windows(2).all(|pair| pair[0].packet < pair[1].packet));
            let lost: u64 = got.iter().map(|ordered| ordered.lost).sum();
            let span = u64::from(got[got.len() - 1].packet) + 1;
            prop_assert_eq!(lost + got.len() as u64, span, "each is given, or counted as lost");
        }
    }
}
