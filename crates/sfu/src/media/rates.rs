// SPDX-License-Identifier: EUPL-1.2
//! How much each spatial and temporal layer of an incoming stream brings.

use std::time::{Duration, Instant};

use crate::RateSnapshot;

/// Spatial layers told apart; more than three are not in use.
pub(crate) const SPATIAL_LAYERS: usize = 4;
/// Temporal layers told apart.
pub(crate) const TEMPORAL_LAYERS: usize = 4;
/// A window must hold a few frames at 15 frames per second.
const WINDOW: Duration = Duration::from_millis(500);

/// A layer's rate is the middle one of so many windows: a key frame fills one, and says nothing of the layer.
const WINDOWS: usize = 3;
/// Below this, in bits per second, there is no temporal layer, but for what is left of one that ended.
const LEAST_TEMPORAL_BITRATE: f64 = 2_000.0;

/// Bytes and frames per layer, measured over windows and smoothed.
#[derive(Debug)]
pub(crate) struct Rates {
    window_start: Instant,
    bytes: [[u64; TEMPORAL_LAYERS]; SPATIAL_LAYERS],
    frames: [u32; TEMPORAL_LAYERS],
    /// The last windows, newest last.
    windows: [[[f32; WINDOWS]; TEMPORAL_LAYERS]; SPATIAL_LAYERS],
    bits_per_second: [[f64; TEMPORAL_LAYERS]; SPATIAL_LAYERS],
    frames_per_second: [f64; TEMPORAL_LAYERS],
    measured: bool,
}

impl Rates {
    pub(crate) fn new(now: Instant) -> Rates {
        Rates {
            window_start: now,
            bytes: Default::default(),
            frames: Default::default(),
            windows: Default::default(),
            bits_per_second: Default::default(),
            frames_per_second: Default::default(),
            measured: false,
        }
    }

    pub(crate) fn on_packet(&mut self, spatial: u8, temporal: u8, bytes: usize, ends_picture: bool) {
        let temporal = usize::from(temporal).min(TEMPORAL_LAYERS - 1);
        self.bytes[usize::from(spatial).min(SPATIAL_LAYERS - 1)][temporal] += bytes as u64;
        self.frames[temporal] += u32::from(ends_picture);
    }

    /// Closes the window when it is full. Whether it was.
    pub(crate) fn roll(&mut self, now: Instant) -> bool {
        if self.bytes.iter().flatten().all(|bytes| *bytes == 0) {
            // Silence says nothing: a layer that stopped comes back as it was. The next window begins with what comes.
            self.window_start = now;
            return false;
        }
        let elapsed = now.saturating_duration_since(self.window_start);
        if elapsed < WINDOW {
            return false;
        }
        let seconds = elapsed.as_secs_f64();
        // Up at once, down slowly: a still picture will move again.
        let smooth = |old: f64, new: f64, measured: bool| {
            if !measured || new > old { new } else { old + (new - old) * 0.25 }
        };
        for spatial in 0..SPATIAL_LAYERS {
            for temporal in 0..TEMPORAL_LAYERS {
                let new = self.bytes[spatial][temporal] as f64 * 8.0 / seconds;
                let windows = &mut self.windows[spatial][temporal];
                if self.measured {
                    windows.rotate_left(1);
                    windows[WINDOWS - 1] = new as f32;
                } else {
                    *windows = [new as f32; WINDOWS];
                }
                let new = f64::from(middle(*windows));
                let old = &mut self.bits_per_second[spatial][temporal];
                *old = smooth(*old, new, self.measured);
            }
        }
        for temporal in 0..TEMPORAL_LAYERS {
            let new = f64::from(self.frames[temporal]) / seconds;
            let old = &mut self.frames_per_second[temporal];
            *old += (new - *old) * if self.measured { 0.5 } else { 1.0 };
        }
        self.measured |= self.bytes.iter().flatten().any(|bytes| *bytes > 0);
        self.bytes = Default::default();
        self.frames = Default::default();
        self.window_start = now;
        true
    }

    /// Bits per second of all layers up to these; `None` before the first full window.
    pub(crate) fn bitrate(&self, spatial: u8, temporal: u8) -> Option<u64> {
        let rows = &self.bits_per_second[..=usize::from(spatial).min(SPATIAL_LAYERS - 1)];
        let columns = usize::from(temporal).min(TEMPORAL_LAYERS - 1);
        let sum: f64 = rows.iter().map(|row| row[..=columns].iter().sum::<f64>()).sum();
        self.measured.then_some(sum as u64)
    }

    /// Whether a window with something in it is full.
    pub(crate) fn is_measured(&self) -> bool {
        self.measured
    }

    /// How many temporal layers it has; one before anything was measured.
    pub(crate) fn temporal_layers(&self) -> u8 {
        let of = |at: &usize| self.bits_per_second.iter().any(|row| row[*at] > LEAST_TEMPORAL_BITRATE);
        (1..TEMPORAL_LAYERS).rev().find(of).map_or(1, |highest| highest as u8 + 1)
    }

    /// Bits per second of one spatial layer alone.
    pub(crate) fn spatial_bitrate(&self, spatial: u8) -> f64 {
        self.bits_per_second.get(usize::from(spatial)).map_or(0.0, |row| row.iter().sum())
    }

    /// What another forwarder is to know of it.
    pub(crate) fn snapshot(&self, layer: u8) -> RateSnapshot {
        RateSnapshot {
            layer,
            bits: self.bits_per_second.map(|row| row.map(|rate| rate as f32)),
            frames: self.frames_per_second.map(|rate| rate as f32),
        }
    }

    /// Takes what another forwarder measured.
    pub(crate) fn adopt(&mut self, now: Instant, snapshot: &RateSnapshot) {
        self.bits_per_second = snapshot.bits.map(|row| row.map(f64::from));
        self.frames_per_second = snapshot.frames.map(f64::from);
        (self.window_start, self.measured) = (now, snapshot.bits.iter().flatten().any(|rate| *rate > 0.0));
    }

    /// The lowest temporal layer with which at least `fps` frames per second are kept.
    pub(crate) fn temporal_for(&self, fps: u32) -> u8 {
        let mut sum = 0.0;
        for (temporal, rate) in self.frames_per_second.iter().enumerate() {
            sum += rate;
            // A measured rate wavers by a frame or two.
            if sum * 1.1 >= f64::from(fps) {
                return temporal as u8;
            }
        }
        TEMPORAL_LAYERS as u8 - 1
    }
}

fn middle([a, b, c]: [f32; WINDOWS]) -> f32 {
    a.min(b).max(a.max(b).min(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_add_up_and_frames_choose_the_temporal_layer() {
        let start = Instant::now();
        let mut rates = Rates::new(start);
        for frame in 0..30 {
            rates.on_packet(0, [0, 2, 1, 2][frame % 4], 1000, true);
            rates.on_packet(1, [0, 2, 1, 2][frame % 4], 3000, false);
        }
        assert_eq!(rates.bitrate(0, 3), None);
        assert!(rates.roll(start + Duration::from_secs(1)));
        assert_eq!(rates.bitrate(0, 3), Some(240_000));
        assert_eq!(rates.bitrate(1, 0), Some(8 * 8 * 4000));
        assert_eq!(rates.temporal_for(30), 2);
        assert_eq!(rates.temporal_for(15), 1);
        assert_eq!(rates.temporal_for(8), 0);
        assert_eq!(rates.temporal_layers(), 3);
    }

    #[test]
    fn a_layer_that_stopped_comes_back_as_it_was() {
        let mut now = Instant::now();
        let mut rates = Rates::new(now);
        for millisecond in 0..12_000 {
            now += Duration::from_millis(1);
            if !(1000..11_250).contains(&millisecond) {
                rates.on_packet(0, 0, 125, true);
            }
            if millisecond % 100 == 0 {
                rates.roll(now);
            }
            if millisecond > 600 {
                let bitrate = rates.bitrate(0, 0).unwrap();
                assert!((850_000..1_050_000).contains(&bitrate), "{bitrate} at {millisecond} ms");
            }
        }
    }

    #[test]
    fn one_key_frame_is_no_higher_rate_and_a_real_rise_is_seen_in_a_second() {
        let mut now = Instant::now();
        let mut rates = Rates::new(now);
        let mut play = |bytes: usize| {
            rates.on_packet(0, 0, bytes, true);
            now += WINDOW;
            assert!(rates.roll(now));
            rates.bitrate(0, 0).unwrap()
        };
        assert_eq!(play(10_000), 160_000);
        assert_eq!(play(60_000), 160_000);
        assert_eq!(play(10_000), 160_000);
        assert_eq!(play(30_000), 480_000, "the key frame and this one");
        assert_eq!(play(30_000), 480_000);
    }
}
