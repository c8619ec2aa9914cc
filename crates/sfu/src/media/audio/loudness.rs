// SPDX-License-Identifier: EUPL-1.2
//! Who speaks, from the levels that senders put beside their audio (RFC 6464).

use std::time::{Duration, Instant};

/// A track is heard speaking when at least so many of a hundred packets in a window are loud.
const LOUD_PERCENT: u32 = 40;
/// Steps in which a level is told, so that an unchanged voice makes no message.
const LEVEL_STEPS: f32 = 16.0;
/// Weight of the newest window in the smoothed level.
const SMOOTHING: f32 = 2.0 / 3.0;

/// One audio track's loudness.
#[derive(Debug, Default)]
pub(crate) struct Loudness {
    packets: u32,
    loud_packets: u32,
    loud_sum: f32,
    smoothed: f32,
    last_loud: Option<Instant>,
}

impl Loudness {
    /// A packet with this level, in −dBov.
    pub(crate) fn on_level(&mut self, level: u8, threshold: u8) {
        self.packets = self.packets.saturating_add(1);
        if level <= threshold {
            self.loud_packets += 1;
            self.loud_sum += amplitude(level);
        }
    }

    /// The track was muted: it is silent at once.
    pub(crate) fn silence(&mut self) {
        *self = Loudness::default();
    }

    /// Ends a window. The level to tell when the track counts as speaking.
    pub(crate) fn end_window(&mut self, now: Instant, hangover: Duration) -> Option<f32> {
        let loud = self.loud_packets > 0 && self.loud_packets * 100 >= self.packets * LOUD_PERCENT;
        let level = if loud { self.loud_sum / self.loud_packets as f32 } else { 0.0 };
        if loud {
            self.last_loud = Some(now);
        }
        self.smoothed += (level - self.smoothed) * SMOOTHING;
        (self.packets, self.loud_packets, self.loud_sum) = (0, 0, 0.0);
        let speaking = self.last_loud.is_some_and(|last| now.saturating_duration_since(last) < hangover);
        speaking.then(|| ((self.smoothed * LEVEL_STEPS).ceil() / LEVEL_STEPS).clamp(1.0 / LEVEL_STEPS, 1.0))
    }
}

/// −dBov to a share of full scale. Repeated products are the same on every machine; a library's power isn't.
fn amplitude(level: u8) -> f32 {
    const TENTH_ROOT_PER_DECIBEL: f32 = 0.891_250_9;
    (0..level.min(127)).fold(1.0, |amplitude, _| amplitude * TENTH_ROOT_PER_DECIBEL)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_millis(300);
    const HANGOVER: Duration = Duration::from_millis(900);

    #[test]
    fn a_voice_is_heard_at_once_outlasts_a_pause_and_then_ends() {
        let start = Instant::now();
        let mut loudness = Loudness::default();
        for _ in 0..15 {
            loudness.on_level(10, 35);
        }
        let level = loudness.end_window(start, HANGOVER).unwrap();
        assert!((0.2..0.35).contains(&level), "two thirds of 10^(-10/20), got {level}");
        let silent = |loudness: &mut Loudness, windows| {
            for _ in 0..15 {
                loudness.on_level(90, 35);
            }
            loudness.end_window(start + WINDOW * windows, HANGOVER)
        };
        assert!(silent(&mut loudness, 1).is_some());
        assert!(silent(&mut loudness, 2).is_some());
        assert_eq!(silent(&mut loudness, 3), None);
    }

    #[test]
    fn a_click_is_no_voice() {
        let mut loudness = Loudness::default();
        for at in 0..15 {
            loudness.on_level(if at < 3 { 5 } else { 80 }, 35);
        }
        assert_eq!(loudness.end_window(Instant::now(), HANGOVER), None);
    }
}
