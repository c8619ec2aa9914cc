// SPDX-License-Identifier: EUPL-1.2
//! How much redundancy a subscriber's losses call for.

use std::time::{Duration, Instant};

use super::super::MediaConfig;

/// Packets that a share is taken of at least: one lost of fewer would say little.
const MIN_EXPECTED: u64 = 25;
/// Weights of a new share: up fast, for words are being lost; down slowly.
const RISE: f32 = 0.6;
const FALL: f32 = 0.2;

/// One subscriber's losses as it reports them, and what follows.
#[derive(Debug, Default)]
pub(crate) struct Redundancy {
    level: u8,
    loss: f32,
    expected: u64,
    lost: u64,
    calm_since: Option<Instant>,
}

impl Redundancy {
    /// Earlier packets that go with each one.
    pub(crate) fn level(&self) -> u8 {
        self.level
    }

    /// A report told of `lost` packets of `expected`.
    pub(crate) fn on_report(&mut self, now: Instant, expected: u64, lost: u64, config: &MediaConfig) {
        self.on_losses(now, expected, lost, &config.red_loss, config.red_hold);
    }

    /// The same, by shares that rise, one for each level, and a time that are given.
    pub(crate) fn on_losses(
        &mut self,
        now: Instant,
        expected: u64,
        lost: u64,
        shares: &[f32],
        hold: Duration,
    ) {
        self.expected += expected;
        self.lost += lost.min(expected);
        if self.expected < MIN_EXPECTED {
            return;
        }
        let share = self.lost as f32 / self.expected as f32;
        (self.expected, self.lost) = (0, 0);
        self.loss += (share - self.loss) * if share > self.loss { RISE } else { FALL };
        let called_for = shares.iter().take_while(|share| self.loss >= **share).count() as u8;
        if called_for > self.level {
            self.level = called_for;
            self.calm_since = None;
        } else if self.level > 0 && self.loss < shares[usize::from(self.level) - 1] / 2.0 {
            let since = *self.calm_since.get_or_insert(now);
            if now.saturating_duration_since(since) >= hold {
                self.level -= 1;
                self.calm_since = None;
            }
        } else {
            self.calm_since = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redundancy_comes_with_loss_and_goes_when_it_has_been_calm_for_long() {
        let config = MediaConfig::default();
        let mut now = Instant::now();
        let mut redundancy = Redundancy::default();
        let mut report = |lost, times: u32| {
            for _ in 0..times {
                now += Duration::from_secs(1);
                redundancy.on_report(now, 50, lost, &config);
            }
            redundancy.level()
        };
        assert_eq!(report(0, 10), 0);
        assert_eq!(report(1, 5), 0, "two percent need none");
        assert_eq!(report(3, 3), 1);
        assert_eq!(report(10, 3), 2);
        assert_eq!(report(2, 10), 2, "four percent after twenty: not yet calm for ten seconds");
        assert_eq!(report(2, 15), 1);
        assert_eq!(report(1, 60), 1, "two percent keep what they would not have begun");
        assert_eq!(report(0, 30), 0);
    }

    #[test]
    fn small_reports_are_added_up() {
        let config = MediaConfig::default();
        let now = Instant::now();
        let mut redundancy = Redundancy::default();
        redundancy.on_report(now, 4, 1, &config);
        assert_eq!(redundancy.level(), 0);
        for _ in 0..20 {
            redundancy.on_report(now, 4, 1, &config);
        }
        assert_eq!(redundancy.level(), 2);
    }
}
