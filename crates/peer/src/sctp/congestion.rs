// SPDX-License-Identifier: EUPL-1.2
//! How much may be in flight, and how long to wait for an acknowledgement (RFC 9260 sections 6.3 and 7.2).

use super::wire::MAX_PACKET_BYTES;
use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Congestion {
    window: usize,
    threshold: usize,
    /// RFC 9260 section 7.2.2.
    partial_bytes_acked: usize,
    /// Window and threshold before T3-rtx ran out, until something is acknowledged.
    before_timeout: Option<(usize, usize)>,
    /// Fast recovery lasts until this TSN is acknowledged.
    recovery_until: Option<u64>,
    /// One packet goes out at once when fast recovery starts, whatever the window says (RFC 9260 section 7.2.4, rule 3).
    fast_retransmit: bool,
    smoothed: Option<(Duration, Duration)>,
    rto: Duration,
}

impl Congestion {
    pub(crate) fn new() -> Self {
        Congestion {
            window: INITIAL_WINDOW_BYTES,
            threshold: MAX_WINDOW_BYTES,
            partial_bytes_acked: 0,
            before_timeout: None,
            recovery_until: None,
            fast_retransmit: false,
            smoothed: None,
            rto: INITIAL_RTO,
        }
    }

    pub(crate) fn set_threshold(&mut self, peer_window: usize) {
        self.threshold = peer_window.max(MIN_THRESHOLD_BYTES);
    }

    pub(crate) fn window(&self) -> usize {
        self.window
    }

    pub(crate) fn rto(&self) -> Duration {
        self.rto
    }

    /// Whether a packet may go out beyond the window, once for each fast recovery.
    pub(crate) fn take_fast_retransmit(&mut self) -> bool {
        std::mem::take(&mut self.fast_retransmit)
    }

    /// A SACK acknowledged `bytes` for the first time while `in_flight` were outstanding.
    pub(crate) fn acknowledged(&mut self, bytes: usize, in_flight: usize, advanced: bool, cumulative: u64) {
        if self.recovery_until.is_some_and(|until| cumulative >= until) {
            self.recovery_until = None;
        }
        // A window that isn't used is not raised.
        if self.recovery_until.is_some() || !advanced || in_flight + MAX_PACKET_BYTES <= self.window {
            return;
        }
        if self.window <= self.threshold {
            self.window += bytes.min(MAX_PACKET_BYTES);
        } else {
            self.partial_bytes_acked += bytes;
            if self.partial_bytes_acked >= self.window {
                self.partial_bytes_acked -= self.window;
                self.window += MAX_PACKET_BYTES;
            }
        }
        self.window = self.window.min(MAX_WINDOW_BYTES);
    }

    /// A chunk was reported missing three times; `highest` is the last TSN sent.
    pub(crate) fn lost(&mut self, highest: u64) {
        if self.recovery_until.is_some() {
            return;
        }
        self.threshold = (self.window / 2).max(MIN_THRESHOLD_BYTES);
        self.window = self.threshold;
        self.partial_bytes_acked = 0;
        self.recovery_until = Some(highest);
        self.fast_retransmit = true;
    }

    /// T3-rtx ran out.
    pub(crate) fn timed_out(&mut self) {
        self.before_timeout.get_or_insert((self.window, self.threshold));
        self.threshold = (self.window / 2).max(MIN_THRESHOLD_BYTES);
        self.window = MAX_PACKET_BYTES;
        self.partial_bytes_acked = 0;
        self.recovery_until = None;
        self.fast_retransmit = false;
        self.back_off();
    }

    /// Window and threshold from before a timeout after which nothing was acknowledged so far.
    pub(crate) fn take_timeout(&mut self) -> Option<(usize, usize)> {
        self.before_timeout.take()
    }

    /// The timeout was one of a slow path, not of a loss (RFC 4015 section 3.2): what is in flight may be, and more from there on.
    pub(crate) fn undo_timeout(&mut self, (window, threshold): (usize, usize), in_flight: usize) {
        self.window = window.min(in_flight.max(INITIAL_WINDOW_BYTES));
        self.threshold = threshold.max(window);
    }

    /// The next attempt waits for longer.
    pub(crate) fn back_off(&mut self) {
        self.rto = (self.rto * 2).min(MAX_RTO);
    }

    /// A round trip was measured (RFC 9260 section 6.3.1).
    pub(crate) fn measured(&mut self, rtt: Duration) {
        let (mean, deviation) = match self.smoothed {
            None => (rtt, rtt / 2),
            Some((mean, deviation)) => ((mean * 7 + rtt) / 8, (deviation * 3 + mean.abs_diff(rtt)) / 4),
        };
        self.smoothed = Some((mean, deviation));
        self.rto = (mean + deviation * 4).clamp(MIN_RTO, MAX_RTO);
    }
}

/// Ten packets, as TCP starts today (RFC 6928); RFC 9260's four make a 60 kB message take two round trips more.
const INITIAL_WINDOW_BYTES: usize = 10 * MAX_PACKET_BYTES;
const MIN_THRESHOLD_BYTES: usize = 4 * MAX_PACKET_BYTES;
/// 256 KiB in 50 ms is 40 Mbit/s: no data channel of a conference needs more, and media shares the path.
const MAX_WINDOW_BYTES: usize = 256 * 1024;
/// Below RFC 9260's second, as WebRTC's stacks do: a path without any measurement is a path of ICE and DTLS a moment ago.
const INITIAL_RTO: Duration = Duration::from_millis(500);
/// Above the 200 ms for which a peer may delay a SACK.
const MIN_RTO: Duration = Duration::from_millis(250);
const MAX_RTO: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_halves_on_loss_once_a_round_trip_and_falls_to_one_packet_on_a_timeout() {
        let mut congestion = Congestion::new();
        for tsn in 0..40 {
            congestion.acknowledged(5000, congestion.window(), true, tsn);
        }
        let grown = congestion.window();
        assert_eq!(grown, 50 * MAX_PACKET_BYTES);
        congestion.lost(100);
        congestion.lost(101);
        assert_eq!(congestion.window(), grown / 2);
        assert!(congestion.take_fast_retransmit() && !congestion.take_fast_retransmit());
        congestion.timed_out();
        assert_eq!(congestion.window(), MAX_PACKET_BYTES);
    }

    #[test]
    fn a_window_that_is_not_used_does_not_grow() {
        let mut congestion = Congestion::new();
        for tsn in 0..40 {
            congestion.acknowledged(100, 100, true, tsn);
        }
        assert_eq!(congestion.window(), INITIAL_WINDOW_BYTES);
    }

    #[test]
    fn the_timeout_follows_the_round_trip_and_doubles_up_to_ten_seconds() {
        let mut congestion = Congestion::new();
        congestion.measured(Duration::from_millis(400));
        assert_eq!(congestion.rto(), Duration::from_millis(1200));
        for _ in 0..9 {
            congestion.timed_out();
        }
        assert_eq!(congestion.rto(), MAX_RTO);
        congestion.measured(Duration::from_millis(1));
        for _ in 0..50 {
            congestion.measured(Duration::from_millis(1));
        }
        assert_eq!(congestion.rto(), MIN_RTO);
    }
}
