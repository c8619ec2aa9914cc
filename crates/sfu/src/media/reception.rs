// SPDX-License-Identifier: EUPL-1.2
//! What a receiver reports of one incoming stream (RFC 3550 section 6.4.1, appendix A.3 and A.8).

use std::time::Instant;

/// The figures of one report block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reception {
    /// Lost since the last report, in 256ths.
    pub(crate) fraction_lost: u8,
    /// Lost in all, 24 bits signed.
    pub(crate) cumulative_lost: i32,
    /// Highest sequence number with its wraps.
    pub(crate) highest: u32,
    /// In timestamp units.
    pub(crate) jitter: u32,
}

/// Counts one stream.
#[derive(Debug, Default)]
pub(crate) struct ReceptionCounter {
    first: Option<u64>,
    highest: u64,
    received: u64,
    expected_before: u64,
    received_before: u64,
    jitter: f64,
    last: Option<(Instant, u32)>,
    epoch: u64,
}

impl ReceptionCounter {
    /// A packet came; `rtp_clock` in Hz.
    pub(crate) fn on_packet(&mut self, now: Instant, number: u64, timestamp: u32, rtp_clock: u32) {
        let first = *self.first.get_or_insert(number);
        if number < first {
            self.first = Some(number);
        }
        self.epoch = self.epoch.max(1);
        self.received += 1;
        if number >= self.highest {
            self.highest = number;
            if let Some((last_arrival, last_timestamp)) = self.last {
                let waited = now.saturating_duration_since(last_arrival).as_secs_f64() * f64::from(rtp_clock);
                let advanced = f64::from(timestamp.wrapping_sub(last_timestamp) as i32);
                let difference = (waited - advanced).abs();
                // A jump of the source's clock is not jitter.
                if difference < f64::from(rtp_clock) {
                    self.jitter += (difference - self.jitter) / 16.0;
                }
            }
            self.last = Some((now, timestamp));
        }
    }

    /// The figures since the last call; `None` before the first packet.
    pub(crate) fn report(&mut self) -> Option<Reception> {
        let first = self.first?;
        let expected = self.highest - first + 1;
        let expected_now = expected - self.expected_before.min(expected);
        let received_now = self.received - self.received_before;
        self.expected_before = expected;
        self.received_before = self.received;
        let lost_now = expected_now.saturating_sub(received_now);
        let fraction_lost = (lost_now * 256).checked_div(expected_now).unwrap_or(0).min(255) as u8;
        let cumulative = (expected as i64 - self.received as i64).clamp(-0x80_0000, 0x7f_ffff);
        Some(Reception {
            fraction_lost,
            cumulative_lost: cumulative as i32,
            highest: self.highest as u32,
            jitter: self.jitter as u32,
        })
    }

    /// The lowest number that came.
    pub(crate) fn first(&self) -> Option<u64> {
        self.first
    }

    /// Packets expected and received so far.
    pub(crate) fn totals(&self) -> (u64, u64) {
        self.first.map_or((0, 0), |first| (self.highest - first + 1, self.received))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_quarter_lost_is_reported_as_a_quarter_once() {
        let start = Instant::now();
        let mut counter = ReceptionCounter::default();
        assert_eq!(counter.report(), None);
        for number in (1000..1100u64).filter(|number| number % 4 != 3) {
            let elapsed = number - 1000;
            counter.on_packet(
                start + Duration::from_millis(elapsed * 20),
                number,
                elapsed as u32 * 960,
                48_000,
            );
        }
        counter.on_packet(start + Duration::from_secs(2), 1100, 96_000, 48_000);
        let report = counter.report().unwrap();
        assert_eq!(report.cumulative_lost, 25);
        assert_eq!(report.fraction_lost, (25 * 256 / 101) as u8);
        assert_eq!(report.highest, 1100);
        assert_eq!(report.jitter, 0);
        assert_eq!(counter.report().unwrap().fraction_lost, 0);
    }
}
