// SPDX-License-Identifier: EUPL-1.2
//! What the delays make of the rate: additive or multiplicative increase, multiplicative decrease
//! (draft-ietf-rmcat-gcc-02 section 5.5).

use super::trend::Usage;

/// A decrease goes to this share of what was acknowledged: enough to drain the queue.
const BETA: f64 = 0.85;
/// Growth per second far from the capacity.
const GROWTH: f64 = 1.08;
/// A packet of video in bits: what additive growth adds in one response time.
const PACKET_BITS: f64 = 9600.0;
/// The slowest additive growth, in bits per second each second.
const MIN_GROWTH: f64 = 4000.0;
/// The estimate stays below this multiple of what was acknowledged, and a constant: what was never tried is not
/// believed.
const MAX_OF_ACKNOWLEDGED: f64 = 1.5;
const ABOVE_ACKNOWLEDGED: f64 = 10_000.0;
/// When less than this share of the estimate is sent, the sender has nothing to say: its silence tells nothing.
const LIMITED_SHARE: f64 = 0.65;
/// When more than this share of what is sent arrives, the path bears it.
const WHOLE_SHARE: f64 = 0.75;
/// When more than this share does, nothing of it is dropped: what arrives is carried.
const CARRIED_SHARE: f64 = 0.95;
/// After a decrease a queue drains as fast as the path carries, which says nothing of what fits.
const DRAINED_MICROS: i64 = 1_000_000;
/// The deepest single decrease while the application sends less than it may.
const LIMITED_DECREASE: f64 = 0.7;
/// How much of a new sample the capacity takes on.
const CAPACITY_WEIGHT: f64 = 0.05;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Increase,
    Hold,
}

/// The delay-based estimate, in bits per second.
#[derive(Debug)]
pub(super) struct Aimd {
    rate: f64,
    state: State,
    capacity: Capacity,
    last_update_micros: Option<i64>,
    last_decrease_micros: Option<i64>,
}

impl Aimd {
    pub(super) fn new(start: f64) -> Aimd {
        Aimd {
            rate: start,
            state: State::Hold,
            capacity: Capacity::default(),
            last_update_micros: None,
            last_decrease_micros: None,
        }
    }

    pub(super) fn rate(&self) -> f64 {
        self.rate
    }

    pub(super) fn last_decrease_micros(&self) -> Option<i64> {
        self.last_decrease_micros
    }

    /// Takes a rate that a probe has proven, or a bound from elsewhere.
    pub(super) fn set_rate(&mut self, rate: f64) {
        if self.capacity.is_below(rate) {
            self.capacity = Capacity::default();
        }
        self.rate = rate;
    }

    pub(super) fn clamp(&mut self, floor: f64, cap: f64) {
        self.rate = self.rate.clamp(floor, cap);
    }

    /// Acts upon what the delays say. `acknowledged` and `sent` in bits per second, `round_trip_micros` as far as known.
    pub(super) fn update(
        &mut self,
        now: i64,
        usage: Usage,
        acknowledged: Option<f64>,
        sent: Option<f64>,
        round_trip_micros: i64,
    ) {
        let elapsed = self.last_update_micros.map_or(0.0, |last| ((now - last) as f64 / 1e6).clamp(0.0, 1.0));
        self.last_update_micros = Some(now);
        match usage {
            Usage::Over => {
                // One decrease must have had time to show.
                let pause = round_trip_micros.clamp(50_000, 200_000) + 100_000;
                if self.last_decrease_micros.is_none_or(|last| now - last >= pause) {
                    self.decrease(now, acknowledged, sent);
                }
                self.state = State::Hold;
            }
            Usage::Under => self.state = State::Hold,
            Usage::Normal if self.state == State::Hold => self.state = State::Increase,
            Usage::Normal => self.increase(elapsed, acknowledged, round_trip_micros),
        }
    }

    /// Sound is sent whatever the estimate says, and as much of it as arrives whole is carried. Pictures build on that where
    /// nothing can be tried: else a meeting of many voices would wait for its first until the estimate has crept up to its sound.
    pub(super) fn take_carried(&mut self, now: i64, acknowledged: Option<f64>, sent: Option<f64>) {
        let drained = self.last_decrease_micros.is_none_or(|last| now - last >= DRAINED_MICROS);
        if let (State::Increase, true, Some(acknowledged), Some(sent)) =
            (self.state, drained, acknowledged, sent)
            && acknowledged > CARRIED_SHARE * sent
        {
            self.rate = self.rate.max(acknowledged);
        }
    }

    fn increase(&mut self, elapsed: f64, acknowledged: Option<f64>, round_trip_micros: i64) {
        if acknowledged.is_some_and(|acknowledged| self.capacity.is_below(acknowledged)) {
            self.capacity = Capacity::default();
        }
        let step = if self.capacity.is_near(self.rate) {
            let response = (round_trip_micros.max(0) as f64 + 100_000.0) / 1e6;
            elapsed * (PACKET_BITS / response).max(MIN_GROWTH)
        } else {
            (self.rate * (GROWTH.powf(elapsed) - 1.0)).max(1000.0 * elapsed)
        };
        let limit = acknowledged.map_or(self.rate, |rate| MAX_OF_ACKNOWLEDGED * rate + ABOVE_ACKNOWLEDGED);
        // Nor beyond what the path was overused at, until as much arrives: sending just what it carries shows no delay.
        let limit = self.capacity.bounds().map_or(limit, |(_, high)| limit.min(high));
        // A rate already above the limit stays: idling takes nothing away.
        self.rate = (self.rate + step).min(limit.max(self.rate));
    }

    fn decrease(&mut self, now: i64, acknowledged: Option<f64>, sent: Option<f64>) {
        self.last_decrease_micros = Some(now);
        let acknowledged = acknowledged.unwrap_or(self.rate);
        // A trickle that arrives whole says nothing; one that doesn't is more than the path bears.
        let whole = sent.is_none_or(|sent| acknowledged > WHOLE_SHARE * sent);
        let limited = acknowledged < LIMITED_SHARE * self.rate && whole;
        let lower = BETA * acknowledged;
        if limited {
            self.rate = lower.max(LIMITED_DECREASE * self.rate);
        } else {
            self.capacity.sample(acknowledged);
            self.rate = self.rate.min(lower);
        }
    }
}

/// Where the path's capacity lies, learnt from the rates at which it was overused.
#[derive(Debug, Default)]
struct Capacity {
    /// In kbit/s, with the variance relative to it.
    mean_and_deviation: Option<(f64, f64)>,
}

impl Capacity {
    fn sample(&mut self, rate: f64) {
        let rate = rate / 1000.0;
        let (mean, deviation) = self.mean_and_deviation.unwrap_or((rate, 0.4));
        let error = mean - rate;
        let mean = mean + CAPACITY_WEIGHT * (rate - mean);
        let deviation = (1.0 - CAPACITY_WEIGHT) * deviation + CAPACITY_WEIGHT * error * error / mean.max(1.0);
        self.mean_and_deviation = Some((mean, deviation.clamp(0.4, 2.5)));
    }

    fn bounds(&self) -> Option<(f64, f64)> {
        let (mean, deviation) = self.mean_and_deviation?;
        let spread = 3.0 * (deviation * mean).max(0.0).sqrt();
        Some((1000.0 * (mean - spread), 1000.0 * (mean + spread)))
    }

    fn is_near(&self, rate: f64) -> bool {
        self.bounds().is_some_and(|(low, _)| rate >= low)
    }

    fn is_below(&self, rate: f64) -> bool {
        self.bounds().is_some_and(|(_, high)| rate > high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One overuse on a path with a round trip of 50 ms.
    fn overused(rate: f64, acknowledged: f64) -> f64 {
        let mut aimd = Aimd::new(rate);
        aimd.update(0, Usage::Over, Some(acknowledged), Some(acknowledged), 50_000);
        aimd.rate()
    }

    #[test]
    fn overuse_falls_below_what_arrives_and_not_at_once_to_a_trickle_that_was_all_there_was_to_send() {
        assert_eq!(overused(1e6, 9e5), 765_000.0);
        assert_eq!(overused(1e6, 2e6), 1e6, "a decrease never raises");
        assert_eq!(overused(2e6, 4e4), 1.4e6, "the application had little to send");
        let mut aimd = Aimd::new(2e6);
        aimd.update(0, Usage::Over, Some(4e4), Some(1e5), 50_000);
        assert_eq!(aimd.rate(), 3.4e4, "little was sent, and not even that arrived");
    }

    #[test]
    fn sound_that_arrives_whole_beyond_the_estimate_is_carried_and_what_is_dropped_or_drains_is_not() {
        let sending = |acknowledged: f64, sent: f64| {
            let mut aimd = Aimd::new(3e5);
            aimd.update(0, Usage::Over, Some(3e5), Some(3e5), 50_000);
            let rates = [500_000, 900_000, 1_000_000].map(|at| {
                aimd.update(at - 50_000, Usage::Normal, Some(acknowledged), Some(sent), 50_000);
                aimd.update(at, Usage::Normal, Some(acknowledged), Some(sent), 50_000);
                aimd.take_carried(at, Some(acknowledged), Some(sent));
                aimd.rate()
            });
            (rates[1], rates[2])
        };
        let (drains, drained) = sending(1e6, 1e6);
        assert!(drains < 3e5, "{drains}: a queue that drains arrives faster than it is sent");
        assert_eq!(drained, 1e6);
        let (_, dropped) = sending(9e5, 1e6);
        assert!(dropped < 3e5, "{dropped}: a tenth is lost");
    }

    #[test]
    fn one_overuse_is_answered_once_until_the_answer_can_show() {
        let mut aimd = Aimd::new(1e6);
        for at in [0, 50_000, 100_000, 160_000] {
            aimd.update(at, Usage::Over, Some(1e6), None, 50_000);
        }
        assert_eq!(aimd.rate(), 850_000.0, "the second would go no lower: as much still arrives");
        assert_eq!(aimd.last_decrease_micros(), Some(160_000));
    }
}
