// SPDX-License-Identifier: EUPL-1.2
//! A jitter buffer of pictures, as far as the server tells it how long to wait: each picture is shown when it has been so long
//! on its way as the playout delay in its packets says at least, counted from the one that came the fastest.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parvis_rtp::PlayoutDelay;

/// Ticks of a stream of pictures in a millisecond.
const TICKS: i64 = 90;
/// Pictures that wait to be shown at most; beyond that the oldest is shown at once.
const WAITING: usize = 256;

/// The unit of the header extension.
fn time(units: u16) -> Duration {
    Duration::from_millis(u64::from(units) * 10)
}

/// One stream's.
#[derive(Debug, Default)]
pub(crate) struct Playout {
    /// What the newest packet said.
    delay: Option<PlayoutDelay>,
    /// The timestamp and the time of the picture that was the shortest time on its way.
    fastest: Option<(u32, Instant)>,
    /// Moments at which pictures are due, in their order.
    waiting: VecDeque<Instant>,
    last: Option<Instant>,
}

impl Playout {
    /// A packet says how long its picture may be held.
    pub(crate) fn told(&mut self, delay: Option<PlayoutDelay>) {
        self.delay = delay.or(self.delay);
    }

    /// A picture was decoded.
    pub(crate) fn decoded(&mut self, now: Instant, timestamp: u32) {
        let of = |(first, at): (u32, Instant)| {
            let millis = i64::from(timestamp.wrapping_sub(first) as i32) / TICKS;
            if millis < 0 {
                at.checked_sub(Duration::from_millis(millis.unsigned_abs())).unwrap_or(at)
            } else {
                at + Duration::from_millis(millis.unsigned_abs())
            }
        };
        let earliest = self.fastest.map_or(now, of);
        if now <= earliest {
            self.fastest = Some((timestamp, now));
        }
        let earliest = earliest.min(now);
        let due = self.delay.map_or(now, |delay| now.max(earliest + time(delay.min)));
        // Never before the one that it follows.
        let due = self.last.map_or(due, |last| due.max(last));
        self.last = Some(due);
        self.waiting.push_back(due);
    }

    /// The next picture whose time has come, with that time.
    pub(crate) fn shown(&mut self, now: Instant) -> Option<Instant> {
        let full = self.waiting.len() > WAITING;
        self.waiting.pop_front_if(|due| full || *due <= now).map(|due| due.min(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pictures 100 ms apart that come so many milliseconds after they were sent; when they are shown after that.
    fn shown(delay: Option<PlayoutDelay>, ways: &[u64]) -> Vec<u64> {
        let start = Instant::now();
        let mut playout = Playout::default();
        playout.told(delay);
        let mut now = start;
        for (picture, way) in (0..).zip(ways) {
            now = now.max(start + Duration::from_millis(picture * 100 + way));
            playout.decoded(now, (picture * 9_000) as u32);
        }
        let all = std::iter::from_fn(|| playout.shown(now + Duration::from_secs(60)));
        all.zip(0..).map(|(at, picture)| (at - start).as_millis() as u64 - picture * 100).collect()
    }

    #[test]
    fn what_came_late_is_shown_evenly_where_the_delay_covers_it_and_as_it_comes_where_nothing_is_said() {
        let ways = [20, 30, 150, 60, 20];
        assert_eq!(shown(None, &ways), [20, 30, 150, 60, 20]);
        assert_eq!(shown(Some(PlayoutDelay { min: 20, max: 40 }), &ways), [220; 5]);
        assert_eq!(shown(Some(PlayoutDelay { min: 10, max: 40 }), &ways), [120, 120, 150, 120, 120]);
    }
}
