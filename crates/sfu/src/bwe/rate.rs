// SPDX-License-Identifier: EUPL-1.2
//! Bytes per time over a sliding window.

/// The window is counted in steps of this many microseconds.
const STEP_MICROS: i64 = 50_000;
/// Steps in the window: half a second, long enough to hold a few frames, short enough to follow a path.
const WINDOW_STEPS: i64 = 10;
/// Steps needed before a rate is told.
const MIN_STEPS: i64 = 4;
/// The ring also holds steps that are not complete yet.
const RING: usize = 16;

/// A rate over the last half second of a clock that the caller keeps, in microseconds.
#[derive(Debug, Clone, Default)]
pub(super) struct RateWindow {
    bytes: [u64; RING],
    /// The newest step, and the first ever; `None` before the first byte.
    span: Option<(i64, i64)>,
}

impl RateWindow {
    pub(super) fn add(&mut self, at_micros: i64, bytes: usize) {
        let step = at_micros.div_euclid(STEP_MICROS);
        let (newest, first) = self.span.unwrap_or((step, step));
        if step > newest {
            for skipped in (newest + 1..=step).rev().take(RING) {
                self.bytes[slot(skipped)] = 0;
            }
        } else if newest - step >= RING as i64 {
            return;
        }
        self.bytes[slot(step)] += bytes as u64;
        self.span = Some((newest.max(step), first.min(step).max(newest - RING as i64)));
    }

    /// Bits per second over the complete steps before the newest byte; `None` until there are a few.
    pub(super) fn bits_per_second(&self) -> Option<f64> {
        let (newest, first) = self.span?;
        let steps = (newest - first).min(WINDOW_STEPS);
        if steps < MIN_STEPS {
            return None;
        }
        let bytes: u64 = (newest - steps..newest).map(|step| self.bytes[slot(step)]).sum();
        Some(bytes as f64 * 8.0 * 1e6 / (steps * STEP_MICROS) as f64)
    }
}

fn slot(step: i64) -> usize {
    step.rem_euclid(RING as i64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_stream_has_its_rate_and_a_pause_is_seen() {
        let mut window = RateWindow::default();
        assert_eq!(window.bits_per_second(), None);
        for millisecond in 0..1000 {
            window.add(millisecond * 1000, 125);
        }
        let rate = window.bits_per_second().unwrap();
        assert!((rate - 1e6).abs() < 1e3, "{rate}");
        window.add(10_000_000, 125);
        assert_eq!(window.bits_per_second(), Some(0.0), "half a second of silence before the last byte");
        window.add(1_000_000, 1_000_000);
        assert_eq!(window.bits_per_second(), Some(0.0), "bytes from before the window do not count");
    }
}
