// SPDX-License-Identifier: EUPL-1.2
//! One point of the grid: its link, what a receiver's statistics say there, and how two servers compare.

use std::fmt;

use serde::Deserialize;

use super::super::figures::Figure;

/// What the link is like, the same in both directions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Link {
    pub(super) loss: f64,
    pub(super) round_trip_ms: u32,
    pub(super) rate_kbps: u32,
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} % loss, {} ms, {} kbit/s", 100.0 * self.loss, self.round_trip_ms, self.rate_kbps)
    }
}

/// What the receiver's statistics said at one moment. All counters run since it joined.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Sample {
    /// Seconds since the first picture.
    pub(super) at: f64,
    pub(super) video: Option<Video>,
    pub(super) audio: Option<Audio>,
    /// Only in the first line: how long joining took until the first picture, when there was one.
    pub(super) picture_ms: Option<f64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Video {
    decoded: u64,
    height: u64,
    freezes: u64,
    frozen_s: f64,
    bytes: u64,
    plis: u64,
    nacks: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Audio {
    samples: u64,
    concealed: u64,
}

/// What else could have limited a run.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Machine {
    /// The share of processor time that nobody used.
    pub(super) idle: f64,
    /// Pictures a second that the publisher drew.
    pub(super) drawn_fps: f64,
    /// The share of packets that the router delivered a millisecond late or more, or had to drop.
    pub(super) late: f64,
}

impl Machine {
    /// Whether the figures tell of the machine rather than of the server.
    fn limited(self) -> bool {
        self.idle < 0.05 || self.drawn_fps < 28.5 || self.late > 0.05
    }
}

/// What one receiver got.
#[derive(Debug, Clone, Default)]
pub(super) struct Quality {
    /// Decoded frames per second.
    pub(super) fps: f64,
    /// Freezes, as libwebrtc counts them, and one that was not over at the end.
    pub(super) freezes: u64,
    /// The share of the time that the picture stood.
    pub(super) frozen: f64,
    /// Lines of the picture, for most of the time.
    pub(super) height: f64,
    /// The share of samples of sound that were made up.
    pub(super) concealed: f64,
    /// From the call to join until the first picture.
    pub(super) join_ms: Option<f64>,
    /// Video alone, with what was sent again.
    pub(super) kbps: f64,
    pub(super) plis: u64,
    pub(super) nacks: u64,
    pub(super) limited: bool,
}

/// What counts as no worse, for single runs of some seconds: 5 % of the frames; in time frozen and sound concealed two
/// points in a hundred, which is one loss burst of 200 ms in ten seconds. Two runs of one server differ by as much.
const FPS_TOLERANCE: f64 = 1.5;
const SHARE_TOLERANCE: f64 = 0.02;

impl Quality {
    /// What the samples say of the time between `from` and `to`.
    pub(super) fn of(samples: &[Sample], from: f64, to: f64, machine: Machine) -> Quality {
        let join_ms = samples.iter().find_map(|sample| sample.picture_ms);
        let none = Quality { join_ms, limited: machine.limited(), frozen: 1.0, ..Quality::default() };
        let within: Vec<&Sample> =
            samples.iter().filter(|sample| sample.at >= from - 0.1 && sample.at <= to + 0.2).collect();
        let (Some(first), Some(last)) = (within.first(), within.last()) else { return none };
        let seconds = last.at - first.at;
        if seconds <= 0.0 {
            return none;
        }
        let mut quality = none;
        if let (Some(before), Some(after)) = (&first.audio, &last.audio) {
            let samples = after.samples.saturating_sub(before.samples);
            let concealed = after.concealed.saturating_sub(before.concealed);
            quality.concealed = if samples == 0 { 1.0 } else { concealed as f64 / samples as f64 };
        } else {
            quality.concealed = 1.0;
        }
        let (Some(before), Some(after)) = (&first.video, &last.video) else { return quality };
        quality.fps = after.decoded.saturating_sub(before.decoded) as f64 / seconds;
        quality.kbps = after.bytes.saturating_sub(before.bytes) as f64 * 8.0 / seconds / 1_000.0;
        quality.plis = after.plis.saturating_sub(before.plis);
        quality.nacks = after.nacks.saturating_sub(before.nacks);
        // A freeze is counted when it ends; one that goes on is seen by the frames that don't come.
        let standing = last.at - last_growth(&within);
        let goes_on = standing > 0.5;
        quality.freezes = after.freezes.saturating_sub(before.freezes) + u64::from(goes_on);
        let frozen = (after.frozen_s - before.frozen_s).max(0.0) + if goes_on { standing } else { 0.0 };
        quality.frozen = (frozen / seconds).min(1.0);
        quality.height = usual_height(&within) as f64;
        quality
    }

    /// In what it is worse than `other`; nothing, if in nothing. More lines are better only where they move as well: a
    /// large picture that stands is what a smaller one was chosen to avoid.
    pub(super) fn worse_than(&self, other: &Quality) -> Vec<&'static str> {
        let moves_less = |one: &Quality, other: &Quality| {
            one.fps < other.fps - FPS_TOLERANCE || one.frozen > other.frozen + SHARE_TOLERANCE
        };
        [
            (self.fps < other.fps - FPS_TOLERANCE, "frames"),
            (self.frozen > other.frozen + SHARE_TOLERANCE, "freezes"),
            (self.height < other.height && !moves_less(other, self), "height"),
            (self.concealed > other.concealed + SHARE_TOLERANCE, "sound"),
        ]
        .into_iter()
        .filter_map(|(worse, what)| worse.then_some(what))
        .collect()
    }
}

impl fmt::Display for Quality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:4.1} fps, {:3.0} lines, frozen {:5.1} % in {}, sound made up {:4.1} %, joined in {}, {:4.0} kbit/s, {} PLI, {} NACK{}",
            self.fps,
            self.height,
            100.0 * self.frozen,
            self.freezes,
            100.0 * self.concealed,
            self.join_ms.map_or_else(|| "never".to_owned(), |ms| format!("{ms:.0} ms")),
            self.kbps,
            self.plis,
            self.nacks,
            if self.limited { ", limited by the machine" } else { "" }
        )
    }
}

/// When a new frame was last seen.
fn last_growth(samples: &[&Sample]) -> f64 {
    let decoded = |sample: &Sample| sample.video.as_ref().map_or(0, |video| video.decoded);
    let grown = samples.windows(2).rev().find(|pair| decoded(pair[1]) > decoded(pair[0]));
    grown.map_or_else(|| samples.first().map_or(0.0, |first| first.at), |pair| pair[1].at)
}

/// The height at the largest number of samples.
fn usual_height(samples: &[&Sample]) -> u64 {
    let heights: Vec<u64> = samples.iter().filter_map(|sample| Some(sample.video.as_ref()?.height)).collect();
    let count = |height: u64| heights.iter().filter(|other| **other == height).count();
    heights.iter().copied().max_by_key(|height| (count(*height), *height)).unwrap_or(0)
}

/// How a receiver fared when its link halved and came back.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Halving {
    /// Lines before, while it was halved, and at the end.
    pub(super) height: [u64; 3],
    /// After the halving: seconds until a second of at least 24 frames began from which on none was frozen.
    pub(super) smooth_after: Option<f64>,
    /// Seconds frozen from the halving until the rate came back.
    pub(super) frozen_s: f64,
    /// After the rate came back: seconds until the picture had the lines that it had before.
    pub(super) sharp_after: Option<f64>,
}

impl Halving {
    pub(super) fn of(samples: &[Sample], halves_at: f64, recovers_at: f64) -> Halving {
        let between = |from: f64, to: f64| -> Vec<&Sample> {
            samples
                .iter()
                .filter(|sample| sample.at >= from && sample.at < to && sample.video.is_some())
                .collect()
        };
        let end = samples.last().map_or(0.0, |sample| sample.at) + 0.1;
        let (before, halved, after) =
            (between(halves_at - 3.0, halves_at), between(halves_at, recovers_at), between(recovers_at, end));
        let frozen = |samples: &[&Sample]| {
            let of = |sample: Option<&&Sample>| {
                sample.and_then(|s| s.video.as_ref()).map_or(0.0, |video| video.frozen_s)
            };
            of(samples.last()) - of(samples.first())
        };
        let height = [
            usual_height(&before),
            usual_height(&halved[halved.len() / 2..]),
            usual_height(&after[after.len() / 2..]),
        ];
        let sharp =
            after.iter().find(|sample| sample.video.as_ref().is_some_and(|video| video.height >= height[0]));
        Halving {
            height,
            smooth_after: smooth_from(&halved).map(|at| at - halves_at),
            frozen_s: frozen(&halved),
            sharp_after: sharp.map(|sample| sample.at - recovers_at),
        }
    }

    pub(super) fn figures(&self, server: &str) -> Vec<Figure> {
        let of = |what: &str, value: Option<f64>| {
            Figure::of(
                format!("{server}, link halved: {what}"),
                "s",
                &value.into_iter().collect::<Vec<_>>(),
                None,
            )
        };
        let all = [
            of("until smooth again", self.smooth_after),
            of("frozen", Some(self.frozen_s)),
            of("after its return, until as sharp as before", self.sharp_after),
        ];
        all.into_iter().flatten().collect()
    }
}

/// The earliest moment from which on every second has 24 frames and nothing freezes.
fn smooth_from(samples: &[&Sample]) -> Option<f64> {
    let is_smooth = |first: &Sample, last: &Sample| {
        let (Some(before), Some(after)) = (&first.video, &last.video) else { return false };
        let fps = after.decoded.saturating_sub(before.decoded) as f64 / (last.at - first.at).max(0.001);
        fps >= 24.0 && after.freezes == before.freezes
    };
    // Samples come four times a second.
    let seconds: Vec<(&&Sample, &&Sample)> = samples.iter().zip(samples.iter().skip(4)).collect();
    let smooth = seconds.iter().rev().take_while(|(first, last)| is_smooth(first, last)).count();
    (smooth > 0).then(|| seconds[seconds.len() - smooth].0.at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Machine = Machine { idle: 0.5, drawn_fps: 30.0, late: 0.0 };

    /// Four samples a second; `of` gives frames decoded, freezes, seconds frozen and height.
    fn samples(seconds: u32, of: impl Fn(f64) -> (u64, u64, f64, u64)) -> Vec<Sample> {
        let sample = |quarter: u32| {
            let at = f64::from(quarter) / 4.0;
            let (decoded, freezes, frozen_s, height) = of(at);
            let video = Video { decoded, freezes, frozen_s, height, ..Video::default() };
            let audio = Audio { samples: (at * 48_000.0) as u64, concealed: (at * 4_800.0) as u64 };
            Sample { at, video: Some(video), audio: Some(audio), picture_ms: None }
        };
        (0..=seconds * 4).map(sample).collect()
    }

    #[test]
    fn quality_is_what_happened_within_its_time_and_nothing_before() {
        let samples = samples(14, |at| {
            let decoded = if at < 4.0 { 0.0 } else { (at - 4.0) * 25.0 };
            (
                decoded as u64,
                if at < 8.0 { 2 } else { 3 },
                if at < 8.0 { 1.0 } else { 1.5 },
                if at < 6.0 { 180 } else { 360 },
            )
        });
        let quality = Quality::of(&samples, 4.0, 14.0, GOOD);
        assert!((quality.fps - 25.0).abs() < 0.2, "{quality}");
        assert_eq!((quality.freezes, quality.height), (1, 360.0));
        assert!((quality.frozen - 0.05).abs() < 1e-9 && (quality.concealed - 0.1).abs() < 1e-3, "{quality}");
        assert!(!quality.limited && quality.worse_than(&quality).is_empty());
    }

    #[test]
    fn a_picture_that_stands_until_the_end_is_frozen_though_nothing_counted_it() {
        let samples = samples(14, |at| ((at.min(9.0) * 30.0) as u64, 0, 0.0, 180));
        let quality = Quality::of(&samples, 4.0, 14.0, GOOD);
        assert_eq!(quality.freezes, 1);
        assert!((quality.frozen - 0.5).abs() < 0.01, "{quality}");
    }

    #[test]
    fn no_picture_is_the_worst_and_a_busy_machine_is_told() {
        let quality = Quality::of(&[], 4.0, 14.0, Machine { idle: 0.01, ..GOOD });
        assert!(quality.frozen == 1.0 && quality.fps == 0.0 && quality.limited);
        let good = Quality { fps: 30.0, height: 360.0, ..Quality::default() };
        assert_eq!(quality.worse_than(&good), ["frames", "freezes", "height"]);
        assert!(good.worse_than(&quality).is_empty());
        let large = Quality { height: 720.0, ..good.clone() };
        assert_eq!(good.worse_than(&large), ["height"]);
        assert!(good.worse_than(&Quality { frozen: 0.2, ..large.clone() }).is_empty());
        assert!(good.worse_than(&Quality { fps: 8.0, ..large }).is_empty());
    }

    #[test]
    fn a_halving_tells_when_it_was_smooth_and_sharp_again() {
        // Stands for two seconds after the halving at 12, and is small until 4 seconds after the return at 24.
        let samples = samples(44, |at| {
            let shown = if at < 12.0 { at } else { 12.0 + (at - 14.0).max(0.0) };
            let height = if (14.0..28.0).contains(&at) { 360 } else { 720 };
            let over = at >= 14.25;
            ((shown * 30.0) as u64, u64::from(over), if over { 2.0 } else { 0.0 }, height)
        });
        let halving = Halving::of(&samples, 12.0, 24.0);
        assert_eq!(halving.height, [720, 360, 720]);
        assert_eq!(halving.frozen_s, 2.0);
        assert!(halving.smooth_after.is_some_and(|after| (1.9..2.6).contains(&after)), "{halving:?}");
        assert_eq!(halving.sharp_after, Some(4.0));
    }
}
