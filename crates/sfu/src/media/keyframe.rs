// SPDX-License-Identifier: EUPL-1.2
//! When a layer's sender is asked for a key frame: once per interval, whoever asks, until one comes.

use std::time::{Duration, Instant};

/// Requests after the first that bring nothing before we wait for somebody to ask anew: at one per 500 ms, 10 s.
const MAX_UNANSWERED: u32 = 20;

/// An unanswered request is repeated after two round trips, which are believed up to this.
const MAX_REPEAT: Duration = Duration::from_secs(1);

/// How far apart requests to a sender are: two round trips, so that the answer to one can come before the next, and never
/// less than `least`, whoever asks.
pub(crate) fn spacing(least: Duration, round_trip: Duration) -> Duration {
    least.max((round_trip * 2).min(MAX_REPEAT))
}

/// What one subscriber may ask for by itself: each key frame costs all the others bandwidth (row 19).
#[derive(Debug)]
pub(crate) struct KeyFrameBudget {
    tokens: f32,
    most: f32,
    refill: Duration,
    refilled: Instant,
}

impl KeyFrameBudget {
    pub(crate) fn new(now: Instant, burst: u32, refill: Duration) -> KeyFrameBudget {
        KeyFrameBudget { tokens: burst as f32, most: burst as f32, refill, refilled: now }
    }

    /// Takes one request if it is there.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.refilled).as_secs_f32();
        self.refilled = self.refilled.max(now);
        let gained = elapsed / self.refill.as_secs_f32().max(f32::EPSILON);
        self.tokens = (self.tokens + gained).min(self.most);
        let enough = self.tokens >= 1.0;
        self.tokens -= f32::from(u8::from(enough));
        enough
    }
}

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

    /// Whether somebody waits for one.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted
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

    #[test]
    fn requests_are_two_round_trips_apart_and_never_closer_than_the_least() {
        let ms = Duration::from_millis;
        let apart = |round_trip| spacing(ms(500), ms(round_trip));
        assert_eq!([20, 250, 400, 3000].map(apart), [ms(500), ms(500), ms(800), ms(1000)]);
    }

    #[test]
    fn one_subscriber_may_ask_in_a_burst_and_then_seldom() {
        let start = Instant::now();
        let mut budget = KeyFrameBudget::new(start, 8, Duration::from_secs(4));
        let asked = (0..20_000).filter(|ms| budget.take(start + Duration::from_millis(*ms))).count();
        assert_eq!(asked, 8 + 4, "eight, and one for each four of twenty seconds, the last not yet");
    }
}
