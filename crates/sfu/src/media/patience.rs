// SPDX-License-Identifier: EUPL-1.2
//! How long a subscriber whose path loses packets is to hold a picture before it shows it: so long that what was lost can be
//! sent again, and once more if that is lost too. A picture that waits for a packet then waits behind the scenes.
//!
//! It is told by the playout delay in each packet's header (<https://webrtc.googlesource.com/src/+/main/docs/native-code/rtp-hdrext/playout-delay>).
//! Receivers of the libwebrtc family know of retransmissions only that they are late: without a round trip of their own,
//! which one that sends nothing has not, they hold nothing back for them.

use std::time::{Duration, Instant};

use parvis_rtp::PlayoutDelay;

use super::MediaConfig;
use super::audio::Redundancy;

/// For a gap to be seen, and for the picture to be decoded.
const NOTICE: Duration = Duration::from_millis(80);
/// Until the loss of a retransmission is known, beyond a round trip: feedback on the transport comes every 50 to 100 ms.
const NOTICE_AGAIN: Duration = Duration::from_millis(50);
/// A smaller change isn't worth a jump in time.
const STEP: Duration = Duration::from_millis(30);
/// The unit of the header extension.
const UNIT_MILLIS: u128 = 10;
/// The highest bound that the extension can say.
const MAX_UNITS: u16 = 4095;

/// One subscriber's need of it.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    losses: Redundancy,
    /// `None` until there was ever any loss: then nothing is said.
    delay: Option<Duration>,
}

impl Patience {
    /// A report told of `lost` packets of `expected`.
    pub(crate) fn on_report(
        &mut self,
        now: Instant,
        expected: u64,
        lost: u64,
        round_trip: Option<Duration>,
        config: &MediaConfig,
    ) {
        self.losses.on_losses(now, expected, lost, &config.patience_loss, config.patience_hold);
        let Some(round_trip) = round_trip else { return };
        let wanted = match u32::from(self.losses.level()) {
            0 => Duration::ZERO,
            tries => round_trip + NOTICE + (round_trip + NOTICE_AGAIN) * (tries - 1),
        };
        let wanted = wanted.min(config.patience);
        let now_is = self.delay.unwrap_or_default();
        // What ends goes at once; what only wavers stays.
        let ends = wanted.is_zero() && !now_is.is_zero();
        if ends || wanted > now_is + STEP || wanted + 2 * STEP < now_is {
            self.delay = Some(wanted);
        }
    }

    /// What its packets are to say, where the publisher or the room says `said`: that holds, and is only added to.
    pub(crate) fn playout_delay(&self, said: Option<PlayoutDelay>) -> Option<PlayoutDelay> {
        let Some(delay) = self.delay else { return said };
        let units = u16::try_from(delay.as_millis() / UNIT_MILLIS).unwrap_or(MAX_UNITS).min(MAX_UNITS);
        let said = said.unwrap_or(PlayoutDelay { min: 0, max: MAX_UNITS });
        Some(PlayoutDelay { min: said.min.max(units).min(said.max), max: said.max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reports(patience: &mut Patience, now: &mut Instant, lost: u64, round_trip: u64, times: u32) -> u16 {
        let config = MediaConfig::default();
        for _ in 0..times {
            *now += Duration::from_secs(1);
            patience.on_report(*now, 100, lost, Some(Duration::from_millis(round_trip)), &config);
        }
        patience.playout_delay(None).map_or(0, |delay| delay.min)
    }

    #[test]
    fn more_loss_and_a_longer_round_trip_call_for_more_patience_up_to_a_bound() {
        let mut now = Instant::now();
        let mut patience = Patience::default();
        assert_eq!(reports(&mut patience, &mut now, 0, 20, 20), 0);
        assert_eq!(patience.playout_delay(None), None, "nothing was ever lost: nothing is said");
        assert_eq!(reports(&mut patience, &mut now, 2, 20, 5), 10, "one retransmission, in 10 ms");
        assert_eq!(reports(&mut patience, &mut now, 6, 20, 10), 17, "two");
        assert_eq!(reports(&mut patience, &mut now, 6, 150, 1), 43);
        assert_eq!(reports(&mut patience, &mut now, 20, 150, 10), 50, "no more than half a second");
        assert_eq!(reports(&mut patience, &mut now, 0, 150, 90), 0, "it ends when the losses have");
        assert_eq!(
            patience.playout_delay(None),
            Some(PlayoutDelay { min: 0, max: MAX_UNITS }),
            "and is taken back"
        );
    }

    #[test]
    fn a_room_that_asks_for_less_has_less() {
        let mut now = Instant::now();
        let mut patience = Patience::default();
        reports(&mut patience, &mut now, 20, 150, 10);
        let said = |min, max| patience.playout_delay(Some(PlayoutDelay { min, max }));
        assert_eq!(said(0, 20), Some(PlayoutDelay { min: 20, max: 20 }));
        assert_eq!(said(80, 200), Some(PlayoutDelay { min: 80, max: 200 }));
        assert_eq!(said(10, 100), Some(PlayoutDelay { min: 50, max: 100 }));
    }
}
