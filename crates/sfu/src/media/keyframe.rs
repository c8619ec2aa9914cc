// SPDX-License-Identifier: EUPL-1.2
//! When a layer's sender is asked for a key frame: once per interval, whoever asks, until one comes.

use std::time::{Duration, Instant};

/// Requests after the first that bring nothing before we wait for somebody to ask anew: at one per 500 ms, 10 s.
const MAX_UNANSWERED: u32 = 20;

/// One layer's requests.
#[derive(Debug, Default)]
pub(crate) struct KeyFrameRequests {
    wanted: bool,
    last_sent: Option<Instant>,
    unanswered: u32,
}

impl KeyFrameRequests {
    /// Somebody can't go on without a key frame.
    pub(crate) fn want(&mut self) {
        if !self.wanted {
            self.unanswered = 0;
        }
        self.wanted = true;
    }

    /// A key frame came.
    pub(crate) fn satisfied(&mut self) {
        self.wanted = false;
    }

    /// Whether to send a request now.
    pub(crate) fn take_due(&mut self, now: Instant, interval: Duration) -> bool {
        if self.poll_timeout(now, interval).is_none_or(|due| due > now) {
            return false;
        }
        if self.unanswered >= MAX_UNANSWERED {
            self.wanted = false;
            return false;
        }
        self.unanswered += 1;
        self.last_sent = Some(now);
        true
    }

    /// When a request is next due; `now` when it is already.
    pub(crate) fn poll_timeout(&self, now: Instant, interval: Duration) -> Option<Instant> {
        self.wanted.then(|| self.last_sent.map_or(now, |last| last + interval))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_wishes_a_second_become_two_requests() {
        let start = Instant::now();
        let interval = Duration::from_millis(500);
        let mut requests = KeyFrameRequests::default();
        let sent = (0..1000)
            .filter(|ms| {
                requests.want();
                let sent = requests.take_due(start + Duration::from_millis(*ms), interval);
                if sent {
                    requests.satisfied();
                }
                sent
            })
            .count();
        assert_eq!(sent, 2);
    }

    #[test]
    fn one_wish_is_repeated_until_a_key_frame_comes() {
        let start = Instant::now();
        let interval = Duration::from_millis(500);
        let mut requests = KeyFrameRequests::default();
        requests.want();
        let at = |ms| start + Duration::from_millis(ms);
        assert!(requests.take_due(at(0), interval));
        assert!(!requests.take_due(at(499), interval));
        assert!(requests.take_due(at(500), interval));
        requests.satisfied();
        assert!(!requests.take_due(at(1500), interval));
    }
}
