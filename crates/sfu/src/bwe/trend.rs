// SPDX-License-Identifier: EUPL-1.2
//! Whether delays grow: packets in groups, the trend of the groups' delays, and a threshold that adapts
//! (draft-ietf-rmcat-gcc-02 section 5, with the linear regression that took the Kalman filter's place in practice).

use std::collections::VecDeque;

/// Packets sent within this time are one group (section 5.2).
const GROUP_MICROS: i64 = 5_000;
/// A group stretched by the network doesn't grow beyond this.
const MAX_BURST_MICROS: i64 = 100_000;
/// Arrival and sending can't drift apart further in one step; if they do, clocks jumped or the peer lies.
const MAX_DRIFT_MICROS: i64 = 3_000_000;

/// Groups that the trend is drawn through: 20 are about half a second of video.
const WINDOW: usize = 20;
/// How much of the smoothed delay is kept at each group.
const SMOOTHING: f64 = 0.9;
/// Brings the slope into the range of the threshold.
const GAIN: f64 = 4.0;
/// The gain grows with the number of groups up to this.
const MAX_GROUPS: f64 = 60.0;

/// The threshold's start and bounds, in milliseconds (section 5.4).
const THRESHOLD_START: f64 = 12.5;
const THRESHOLD_MIN: f64 = 6.0;
const THRESHOLD_MAX: f64 = 600.0;
/// How fast it follows, when the trend is above and below it.
const K_UP: f64 = 0.0087;
const K_DOWN: f64 = 0.039;
/// A trend so far above the threshold is an outlier that it doesn't follow.
const OUTLIER: f64 = 15.0;
/// The trend must stay above the threshold for so long.
const OVERUSE_MILLIS: f64 = 10.0;

/// What the path does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Usage {
    /// Delays stay as they are.
    #[default]
    Normal,
    /// Delays grow: a queue fills.
    Over,
    /// Delays shrink: a queue drains.
    Under,
}

/// Packets that left together, and when their last arrived.
#[derive(Debug, Clone, Copy)]
struct Group {
    first_sent: i64,
    last_sent: i64,
    first_arrived: i64,
    last_arrived: i64,
}

/// Watches delays.
#[derive(Debug)]
pub(super) struct Trend {
    current: Option<Group>,
    previous: Option<Group>,
    /// Arrival in milliseconds since the first group, and smoothed delay in milliseconds.
    points: VecDeque<(f64, f64)>,
    groups: u32,
    epoch_micros: i64,
    delay: f64,
    smoothed: f64,
    threshold: f64,
    last_slope: f64,
    last_update_micros: i64,
    over_millis: f64,
    over_count: u32,
    usage: Usage,
}

impl Trend {
    pub(super) fn new() -> Trend {
        Trend {
            current: None,
            previous: None,
            points: VecDeque::with_capacity(WINDOW + 1),
            groups: 0,
            epoch_micros: 0,
            delay: 0.0,
            smoothed: 0.0,
            threshold: THRESHOLD_START,
            last_slope: 0.0,
            last_update_micros: 0,
            over_millis: 0.0,
            over_count: 0,
            usage: Usage::Normal,
        }
    }

    pub(super) fn usage(&self) -> Usage {
        self.usage
    }

    /// A packet arrived: sent by our clock, arrived by the peer's.
    pub(super) fn on_packet(&mut self, sent: i64, arrived: i64) {
        let fresh =
            Group { first_sent: sent, last_sent: sent, first_arrived: arrived, last_arrived: arrived };
        let Some(group) = &mut self.current else {
            self.current = Some(fresh);
            return;
        };
        if sent < group.first_sent {
            return; // reordered, of an earlier group
        }
        let catching_up = arrived - group.last_arrived <= GROUP_MICROS
            && (arrived - group.last_arrived) < (sent - group.last_sent)
            && arrived - group.first_arrived < MAX_BURST_MICROS;
        if sent - group.first_sent <= GROUP_MICROS || catching_up {
            group.last_sent = group.last_sent.max(sent);
            group.last_arrived = group.last_arrived.max(arrived);
            return;
        }
        let complete = *group;
        self.current = Some(fresh);
        let Some(previous) = self.previous.replace(complete) else { return };
        let sent_delta = complete.last_sent - previous.last_sent;
        let arrived_delta = complete.last_arrived - previous.last_arrived;
        if arrived_delta < 0 || (arrived_delta - sent_delta).abs() > MAX_DRIFT_MICROS {
            let threshold = self.threshold;
            *self = Trend { threshold, current: Some(fresh), ..Trend::new() };
            return;
        }
        self.on_group(sent_delta as f64 / 1e3, arrived_delta as f64 / 1e3, complete.last_arrived);
    }

    fn on_group(&mut self, sent_delta: f64, arrived_delta: f64, arrived_micros: i64) {
        if self.groups == 0 {
            self.epoch_micros = arrived_micros;
            self.last_update_micros = arrived_micros;
        }
        self.groups += 1;
        self.delay += arrived_delta - sent_delta;
        self.smoothed = SMOOTHING * self.smoothed + (1.0 - SMOOTHING) * self.delay;
        self.points.push_back(((arrived_micros - self.epoch_micros) as f64 / 1e3, self.smoothed));
        if self.points.len() > WINDOW {
            self.points.pop_front();
        }
        let slope = if self.points.len() == WINDOW { slope(&self.points) } else { None };
        self.detect(slope.unwrap_or(self.last_slope), sent_delta, arrived_micros);
    }

    fn detect(&mut self, slope: f64, sent_delta: f64, arrived_micros: i64) {
        if self.groups < 2 {
            return;
        }
        let trend = f64::from(self.groups).min(MAX_GROUPS) * slope * GAIN;
        if trend > self.threshold {
            // Half of the first step lies before the crossing.
            self.over_millis += if self.over_count == 0 { sent_delta / 2.0 } else { sent_delta };
            self.over_count += 1;
            if self.over_millis > OVERUSE_MILLIS && self.over_count > 1 && slope >= self.last_slope {
                (self.over_millis, self.over_count) = (0.0, 0);
                self.usage = Usage::Over;
            }
        } else {
            (self.over_millis, self.over_count) = (0.0, 0);
            self.usage = if trend < -self.threshold { Usage::Under } else { Usage::Normal };
        }
        self.last_slope = slope;
        let elapsed = ((arrived_micros - self.last_update_micros) as f64 / 1e3).clamp(0.0, 100.0);
        self.last_update_micros = arrived_micros;
        if trend.abs() <= self.threshold + OUTLIER {
            let k = if trend.abs() < self.threshold { K_DOWN } else { K_UP };
            self.threshold += k * (trend.abs() - self.threshold) * elapsed;
            self.threshold = self.threshold.clamp(THRESHOLD_MIN, THRESHOLD_MAX);
        }
    }
}

/// The slope of the line of least squares; `None` when all points have the same time.
fn slope(points: &VecDeque<(f64, f64)>) -> Option<f64> {
    let count = points.len() as f64;
    let (sum_x, sum_y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
    let (mean_x, mean_y) = (sum_x / count, sum_y / count);
    let (above, below) = points.iter().fold((0.0, 0.0), |(above, below), (x, y)| {
        (above + (x - mean_x) * (y - mean_y), below + (x - mean_x) * (x - mean_x))
    });
    (below > 0.0).then(|| above / below)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds groups 20 ms apart whose delay changes by `step` microseconds each.
    fn run(trend: &mut Trend, from: i64, groups: i64, delay: &mut i64, step: i64) {
        for group in from..from + groups {
            *delay += step;
            trend.on_packet(group * 20_000, group * 20_000 + *delay);
        }
    }

    #[test]
    fn growing_delay_is_overuse_steady_delay_is_normal_shrinking_delay_is_underuse() {
        let (mut trend, mut delay) = (Trend::new(), 30_000);
        run(&mut trend, 0, 100, &mut delay, 0);
        assert_eq!(trend.usage(), Usage::Normal);
        run(&mut trend, 100, 30, &mut delay, 2_000);
        assert_eq!(trend.usage(), Usage::Over, "2 ms more every 20 ms");
        run(&mut trend, 130, 30, &mut delay, -2_000);
        assert_eq!(trend.usage(), Usage::Under);
        run(&mut trend, 160, 60, &mut delay, 0);
        assert_eq!(trend.usage(), Usage::Normal);
    }

    #[test]
    fn jitter_without_growth_is_normal() {
        let mut trend = Trend::new();
        for group in 0..500i64 {
            let jitter = (group * 7919) % 11_000;
            trend.on_packet(group * 20_000, group * 20_000 + 30_000 + jitter);
            assert_ne!(trend.usage(), Usage::Over, "group {group}");
        }
    }

    #[test]
    fn clocks_that_jump_are_forgotten_rather_than_believed() {
        let (mut trend, mut delay) = (Trend::new(), 0);
        run(&mut trend, 0, 50, &mut delay, 0);
        for (group, arrived) in [(50, i64::MAX / 4), (51, 0), (52, i64::MIN / 4), (53, i64::MAX / 4)] {
            trend.on_packet(group * 20_000, arrived);
        }
        delay = 0;
        run(&mut trend, 60, 50, &mut delay, 0);
        assert_eq!(trend.usage(), Usage::Normal);
    }
}
