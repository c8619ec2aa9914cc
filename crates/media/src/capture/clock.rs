// SPDX-License-Identifier: EUPL-1.2
//! From a track's RTP timestamps to the recording's one clock.
//!
//! Sender reports say which moment a timestamp is (RFC 3550 section 6.4.1). Until the first one comes, the arrival of the
//! first packet does. A correction is not a leap: it is worked in over the frames that follow, a tenth of their time at
//! most, so that nothing goes backwards. Only a correction that is too large for that is taken at once.

use parvis_jobs::UnixMicros;

/// A correction beyond this is not worked in slowly when it goes forward.
const STEP_MICROS: i64 = 500_000;
/// A frame that is this far from its arrival is not where its timestamp says: the sender's timestamps leapt.
const LEAP_MICROS: i64 = 10_000_000;
/// The share of time by which a correction is worked in: one part in so many.
const SLEW: i64 = 10;

/// One track's clock.
#[derive(Debug)]
pub struct Clock {
    rate: i64,
    /// A timestamp, unwrapped, and its moment.
    anchor: Option<(i64, i64)>,
    /// What is added to moments now, and what should be.
    applied: i64,
    wanted: i64,
    reported: bool,
    /// The last frame: its timestamp unwrapped, and the moment that it was given.
    last: Option<(i64, i64)>,
    /// The last timestamp of all, to unwrap the next.
    newest: Option<i64>,
}

/// What a clock says of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Its moment.
    pub at: UnixMicros,
    /// The sender's timestamps leapt before it.
    pub leapt: bool,
}

impl Clock {
    /// For a codec's clock in Hz.
    pub fn new(rate: u32) -> Clock {
        Clock {
            rate: i64::from(rate.max(1)),
            anchor: None,
            applied: 0,
            wanted: 0,
            reported: false,
            last: None,
            newest: None,
        }
    }

    /// A packet came; the first one is what the clock begins with, and of two the earlier in time is more right.
    pub fn arrived(&mut self, timestamp: u32, now: UnixMicros) {
        if self.anchor.is_none() {
            let timestamp = self.unwrap(timestamp);
            self.anchor = Some((timestamp, micros(now)));
        }
    }

    /// A sender report. Returns by how many microseconds it moves the track, beyond what is worked in already.
    pub fn report(&mut self, timestamp: u32, at: UnixMicros) -> i64 {
        let timestamp = self.unwrap(timestamp);
        let anchor = *self.anchor.get_or_insert((timestamp, micros(at)));
        let wanted = micros(at) - self.nominal(anchor, timestamp);
        let moved = wanted - self.wanted;
        self.wanted = wanted;
        if self.last.is_none() || (self.wanted - self.applied) > STEP_MICROS {
            self.applied = self.wanted;
        }
        self.reported = true;
        moved
    }

    /// Whether any sender report came.
    pub fn is_reported(&self) -> bool {
        self.reported
    }

    /// The moment of a frame. Never before the one of the last frame.
    pub fn moment(&mut self, timestamp: u32, now: UnixMicros) -> Moment {
        let timestamp = self.unwrap(timestamp);
        let mut anchor = *self.anchor.get_or_insert((timestamp, micros(now)));
        let mut leapt = false;
        if (self.nominal(anchor, timestamp) + self.wanted - micros(now)).abs() > LEAP_MICROS {
            leapt = self.last.is_some();
            anchor = (timestamp, micros(now));
            self.anchor = Some(anchor);
            (self.applied, self.wanted, self.reported) = (0, 0, false);
        }
        if let Some((before, _)) = self.last.filter(|_| !leapt) {
            let room = (self.to_micros(timestamp - before) / SLEW).max(0);
            self.applied += (self.wanted - self.applied).clamp(-room, room);
        }
        let at = self.nominal(anchor, timestamp) + self.applied;
        let at = self.last.map_or(at, |(_, last)| at.max(last)).max(0);
        self.last = Some((timestamp, at));
        Moment { at: UnixMicros(at as u64), leapt }
    }

    fn nominal(&self, anchor: (i64, i64), timestamp: i64) -> i64 {
        anchor.1 + self.to_micros(timestamp - anchor.0)
    }

    fn to_micros(&self, ticks: i64) -> i64 {
        (i128::from(ticks) * 1_000_000 / i128::from(self.rate)) as i64
    }

    fn unwrap(&mut self, timestamp: u32) -> i64 {
        let newest = self.newest.unwrap_or(i64::from(timestamp));
        let unwrapped = newest + i64::from(timestamp.wrapping_sub(newest as u32) as i32);
        self.newest = Some(unwrapped);
        unwrapped
    }
}

fn micros(moment: UnixMicros) -> i64 {
    i64::try_from(moment.0).unwrap_or(i64::MAX / 4).min(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const T0: u64 = 1_800_000_000_000_000;

    fn at(micros: u64) -> UnixMicros {
        UnixMicros(T0 + micros)
    }

    #[test]
    fn without_a_report_the_first_arrival_is_the_zero() {
        let mut clock = Clock::new(90_000);
        clock.arrived(u32::MAX - 89, at(0));
        assert_eq!(clock.moment(u32::MAX - 89, at(40_000)).at, at(0));
        // A second later by the timestamp, over its wrap; when it came does not matter.
        assert_eq!(clock.moment(89_910, at(1_300_000)).at, at(1_000_000));
        assert!(!clock.is_reported());
    }

    #[test]
    fn a_report_before_the_first_frame_holds_at_once() {
        let mut clock = Clock::new(48_000);
        clock.arrived(1000, at(200_000));
        clock.report(1000, at(130_000));
        assert_eq!(clock.moment(1000, at(250_000)).at, at(130_000));
    }

    #[test]
    fn a_later_report_is_worked_in_without_a_leap() {
        let mut clock = Clock::new(48_000);
        clock.arrived(0, at(0));
        clock.moment(0, at(0));
        // The track was 100 ms late.
        assert_eq!(clock.report(0, at(0).0.checked_sub(100_000).map(UnixMicros).unwrap()), -100_000);
        let moments: Vec<i64> = (1..=100)
            .map(|frame: u32| clock.moment(frame * 960, at(u64::from(frame) * 20_000)).at.since(at(0)))
            .collect();
        assert_eq!(moments[0], 18_000, "two of twenty milliseconds are taken back");
        assert!(moments.windows(2).all(|pair| pair[1] > pair[0]), "nothing goes backwards");
        assert_eq!(moments[99], 2_000_000 - 100_000, "and after a second it is right");
        assert_eq!(moments[49], 1_000_000 - 100_000);
    }

    #[test]
    fn a_clock_that_runs_fast_is_held_to_the_reports() {
        // The sender's clock gains 200 parts per million; a report comes each five seconds for ten minutes.
        let mut clock = Clock::new(48_000);
        clock.arrived(0, at(0));
        let mut worst = 0;
        for frame in 0..30_000_u64 {
            let real = frame * 20_000;
            let stamp = (frame * 960) as u32;
            // What the sender's crystal makes of it.
            let stamp = stamp.wrapping_add((u64::from(stamp) * 200 / 1_000_000) as u32);
            if frame % 250 == 0 {
                clock.report(stamp, at(real));
            }
            let error = clock.moment(stamp, at(real + 30_000)).at.since(at(real)).abs();
            worst = worst.max(error);
        }
        assert!(worst <= 2_000, "{worst} us");
    }

    #[test]
    fn timestamps_that_leap_are_told_and_begin_anew_at_their_arrival() {
        let mut clock = Clock::new(90_000);
        clock.arrived(0, at(0));
        clock.moment(0, at(0));
        let moment = clock.moment(2_000_000_000, at(33_000));
        assert!(moment.leapt);
        assert_eq!(moment.at, at(33_000));
        assert_eq!(clock.moment(2_000_003_000, at(66_000)), Moment { at: at(66_333), leapt: false });
    }

    #[test]
    fn a_long_silence_is_none() {
        let mut clock = Clock::new(48_000);
        clock.arrived(0, at(0));
        clock.moment(0, at(0));
        // An hour of mute, in which the sender's clock went on.
        let moment = clock.moment(48_000 * 3600, at(3_600_000_000));
        assert_eq!(moment, Moment { at: at(3_600_000_000), leapt: false });
    }

    proptest! {
        #[test]
        fn whatever_is_reported_moments_never_go_backwards(
            steps in prop::collection::vec((any::<u32>(), any::<Option<i32>>(), 0_u64..1_000_000), 1..100),
        ) {
            let mut clock = Clock::new(90_000);
            let (mut now, mut last) = (T0, UnixMicros(0));
            for (stamp, report, step) in steps {
                now += step;
                clock.arrived(stamp, UnixMicros(now));
                if let Some(off) = report {
                    clock.report(stamp, UnixMicros(now.saturating_add_signed(off.into())));
                }
                let moment = clock.moment(stamp, UnixMicros(now)).at;
                prop_assert!(moment >= last);
                last = moment;
            }
        }
    }
}
