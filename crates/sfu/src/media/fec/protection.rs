// SPDX-License-Identifier: EUPL-1.2
//! Whether a subscriber's losses and round trip call for repair packets.

use std::time::{Duration, Instant};

use super::super::MediaConfig;
use super::super::audio::Redundancy;

/// One subscriber's need of repair packets. A lost packet is back within a round trip anyhow: only who is farther away
/// than a frame may wait gains by having it sooner.
#[derive(Debug, Default)]
pub(crate) struct Protection {
    losses: Redundancy,
    far: bool,
}

impl Protection {
    /// Repair packets to each group.
    pub(crate) fn level(&self) -> u8 {
        if self.far { self.losses.level() } else { 0 }
    }

    /// A report told of `lost` packets of `expected`; `round_trip` is what is known of it.
    pub(crate) fn on_report(
        &mut self,
        now: Instant,
        expected: u64,
        lost: u64,
        round_trip: Option<Duration>,
        config: &MediaConfig,
    ) {
        self.losses.on_losses(now, expected, lost, &config.fec_loss, config.fec_hold);
        let round_trip = round_trip.unwrap_or_default();
        if round_trip >= config.fec_round_trip {
            self.far = true;
        } else if round_trip < config.fec_round_trip * 3 / 4 {
            // A round trip that wavers about the bound changes nothing.
            self.far = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_calls_for_repair_packets_only_over_a_long_round_trip() {
        let config = MediaConfig::default();
        let mut now = Instant::now();
        let mut protection = Protection::default();
        let mut report = |lost, round_trip, times: u32| {
            for _ in 0..times {
                now += Duration::from_secs(1);
                protection.on_report(now, 50, lost, round_trip, &config);
            }
            protection.level()
        };
        let ms = |ms| Some(Duration::from_millis(ms));
        assert_eq!(report(3, ms(20), 5), 0, "a retransmission is there sooner");
        assert_eq!(report(3, None, 5), 0);
        assert_eq!(report(3, ms(100), 1), 1);
        assert_eq!(report(10, ms(100), 3), 2);
        assert_eq!(report(10, ms(80), 3), 2);
        assert_eq!(report(10, ms(70), 1), 0);
        assert_eq!(report(10, ms(120), 1), 2);
        assert_eq!(report(0, ms(120), 60), 0, "it ends when the losses have");
    }
}
