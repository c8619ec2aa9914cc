// SPDX-License-Identifier: EUPL-1.2
//! Sound that is a little longer or shorter than it was: so a track whose clock was corrected comes back to its time without a
//! seam, at a pitch that nobody can tell from the right one.

use super::{CHANNELS, SAMPLE_RATE};

/// What is not corrected: files have whole milliseconds, and so times waver by one.
const SLACK: i64 = SAMPLE_RATE as i64 * 3 / 2 / 1_000;
/// A piece changes by one part in so many: by 5 ms a second, a twelfth of a semitone.
const SHARE: i64 = 200;

/// `samples`, both channels in turns, longer by what of `late` can be made up for at once. That is in samples of one channel, and
/// below 0 for sound that is early.
pub(super) fn stretched(samples: Vec<f32>, late: i64) -> Vec<f32> {
    let channels = CHANNELS as usize;
    let count = samples.len() / channels;
    let most = (count as i64 / SHARE).max(1);
    let change = if late.abs() > SLACK { late.clamp(-most, most) } else { 0 };
    let wanted = count.saturating_add_signed(change as isize);
    if change == 0 || count < 2 || wanted < 2 {
        return samples;
    }
    // Both ends stay where they are, and so nothing leaps from one piece to the next.
    let step = (count - 1) as f64 / (wanted - 1) as f64;
    let at =
        |place: usize, channel: usize| samples.get(place * channels + channel).copied().unwrap_or_default();
    let mut out = Vec::with_capacity(wanted * channels);
    for number in 0..wanted {
        let place = number as f64 * step;
        let (before, share) = (place as usize, place.fract() as f32);
        for channel in 0..channels {
            let after = at((before + 1).min(count - 1), channel);
            out.push(at(before, channel) * (1.0 - share) + after * share);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 20 ms of a ramp on the left, of its opposite on the right.
    fn ramp() -> Vec<f32> {
        (0..960).flat_map(|number| [number as f32, -(number as f32)]).collect()
    }

    #[test]
    fn what_is_late_grows_and_what_is_early_shrinks_by_little_and_keeps_its_ends() {
        for (late, pairs) in [(288, 964), (-288, 956), (73, 964), (72, 960), (-72, 960), (0, 960)] {
            let out = stretched(ramp(), late);
            assert_eq!(out.len() / 2, pairs, "{late}");
            assert_eq!((out[0], out[1]), (0.0, 0.0));
            let [left, right] = *out.last_chunk::<2>().unwrap();
            assert!((left - 959.0).abs() < 0.01 && (right + 959.0).abs() < 0.01, "{left} {right}");
            // Still a ramp, at nearly the same slope.
            assert!(out.chunks(2).zip(out.chunks(2).skip(1)).all(|(a, b)| (b[0] - a[0] - 1.0).abs() < 0.01));
        }
    }

    #[test]
    fn next_to_nothing_stays_as_it_is() {
        assert!(stretched(Vec::new(), 1_000).is_empty());
        assert_eq!(stretched(vec![1.0, 2.0], -1_000), [1.0, 2.0]);
    }
}
