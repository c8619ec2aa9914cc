// SPDX-License-Identifier: EUPL-1.2
//! What losses make of the rate (draft-ietf-rmcat-gcc-02 section 6), with one addition: loss that doesn't go away
//! when less is sent is the path's own, such as a bad radio link's, and is lived with.

/// Losses are judged over at least this time and number of packets.
const WINDOW_MICROS: i64 = 500_000;
const WINDOW_PACKETS: u32 = 20;
/// Below this share the rate may grow, above the next it must fall.
const LOW: f64 = 0.02;
const HIGH: f64 = 0.10;
/// Growth of the limit for a window of low loss.
const GROWTH: f64 = 1.05;
/// The rate has been brought down to this share of what it was, and loss stayed above the next share of what it was:
/// it is the path's own.
const TRIED: f64 = 0.6;
const UNIMPRESSED: f64 = 0.7;
/// No more than this is ever taken for the path's own.
const MAX_OWN: f64 = 0.3;
/// What loss may exceed the path's own by.
const MARGIN: f64 = 0.05;
/// How much of a new window the shown loss takes on.
const SMOOTHING: f64 = 0.3;

/// The loss-based limit.
#[derive(Debug)]
pub(super) struct LossLimit {
    limit: f64,
    packets: u32,
    lost: u32,
    window_start_micros: Option<i64>,
    smoothed: f64,
    /// The path's own loss.
    own: f64,
    /// Where a series of decreases began: rate and loss.
    series: Option<(f64, f64)>,
}

impl LossLimit {
    pub(super) fn new() -> LossLimit {
        LossLimit {
            limit: f64::INFINITY,
            packets: 0,
            lost: 0,
            window_start_micros: None,
            smoothed: 0.0,
            own: 0.0,
            series: None,
        }
    }

    /// In bits per second; infinite while losses say nothing.
    pub(super) fn limit(&self) -> f64 {
        self.limit
    }

    /// The share of packets lost, 0 to 1, over the last windows.
    pub(super) fn loss(&self) -> f64 {
        self.smoothed
    }

    /// Whether so little is lost that it may be the path's own, whatever is sent.
    pub(super) fn may_be_own(&self) -> bool {
        self.smoothed <= MAX_OWN + MARGIN
    }

    /// Whether so much is lost that the rate has to fall: nothing more is tried then.
    pub(super) fn calls_for_less(&self) -> bool {
        self.limit.is_finite() && self.smoothed > self.high()
    }

    fn high(&self) -> f64 {
        HIGH.max(self.own + MARGIN)
    }

    pub(super) fn on_arrived(&mut self, was_lost: bool) {
        if was_lost {
            // Late, not lost: it was counted before.
            self.lost = self.lost.saturating_sub(1);
        } else {
            self.packets += 1;
        }
    }

    pub(super) fn on_lost(&mut self) {
        self.packets += 1;
        self.lost += 1;
    }

    /// Closes the window when it is full. `rate` is the estimate, in bits per second.
    pub(super) fn update(&mut self, now: i64, rate: f64) {
        let start = *self.window_start_micros.get_or_insert(now);
        if now - start < WINDOW_MICROS || self.packets < WINDOW_PACKETS {
            return;
        }
        let loss = f64::from(self.lost) / f64::from(self.packets);
        (self.packets, self.lost, self.window_start_micros) = (0, 0, Some(now));
        self.on_window(loss, rate);
    }

    /// Takes a receiver report's share of lost packets for a window, where there is no better feedback.
    pub(super) fn on_window(&mut self, loss: f64, rate: f64) {
        self.smoothed += SMOOTHING * (loss - self.smoothed);
        self.own = self.own.min(self.smoothed + MARGIN);
        let low = LOW.max(self.own);
        let high = self.high();
        if self.smoothed > high && loss > high {
            let rate = rate.min(self.limit);
            let (began_at, began_with) = *self.series.get_or_insert((rate, self.smoothed));
            let stays = rate <= TRIED * began_at && self.smoothed >= UNIMPRESSED * began_with;
            // More than that is no path to live with, whatever it comes from.
            if stays && self.may_be_own() {
                self.own = self.smoothed.min(MAX_OWN);
                self.limit = began_at;
                self.series = None;
            } else {
                self.limit = rate * (1.0 - 0.5 * loss);
            }
        } else if self.smoothed <= low || (self.own > 0.0 && self.smoothed <= self.own + MARGIN) {
            self.series = None;
            self.limit *= GROWTH;
            // Far above the estimate it has no say until losses come again.
            if self.limit > 4.0 * rate {
                self.limit = f64::INFINITY;
            }
        }
    }

    /// A probe has proven so much: the limit is not below it.
    pub(super) fn raise(&mut self, proven: f64) {
        self.limit = self.limit.max(proven);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_that_stays_when_less_is_sent_is_lived_with_and_loss_that_goes_is_not() {
        let mut limit = LossLimit::new();
        let mut rate: f64 = 1e6;
        for _ in 0..100 {
            limit.on_window(0.15, rate);
            rate = rate.min(limit.limit());
        }
        assert!(limit.limit() > 5e5, "{limit:?}");
        // A policer at 500 kbit/s drops what is above it.
        let mut limit = LossLimit::new();
        let mut rate: f64 = 1e6;
        for _ in 0..100 {
            limit.on_window((1.0 - 5e5 / rate).max(0.0), rate);
            rate = limit.limit().min(1e6);
        }
        assert!(limit.limit() < 6.5e5 && limit.limit() > 3e5, "{limit:?}");
        // Most of it lost: that is not lived with, though sending less changes nothing.
        let mut limit = LossLimit::new();
        let mut highest: f64 = 0.0;
        for window in 0..100 {
            limit.on_window(0.6, 1e6);
            highest = if window < 10 { 0.0 } else { highest.max(limit.limit()) };
        }
        assert!(highest < 2e5, "{highest}");
    }
}
