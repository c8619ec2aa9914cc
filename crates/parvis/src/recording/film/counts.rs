// SPDX-License-Identifier: EUPL-1.2
//! What films count, and how the metrics page shows it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parvis_api::Sample;

use super::composer::Failed;

/// What films count.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) waiting: AtomicU64,
    pub(super) running: AtomicU64,
    pub(super) made: AtomicU64,
    pub(super) restarts: AtomicU64,
    milliseconds: AtomicU64,
    said: AtomicU64,
    died: AtomicU64,
    hung: AtomicU64,
    space: AtomicU64,
    erased: AtomicU64,
    system: AtomicU64,
}

impl Counts {
    /// A composer ran so long.
    pub(super) fn took(&self, time: Duration) {
        let milliseconds = u64::try_from(time.as_millis()).unwrap_or_default();
        self.milliseconds.fetch_add(milliseconds, Ordering::Relaxed);
    }

    /// A film is given up.
    pub(super) fn failed(&self, failed: &Failed) {
        let counter = match failed {
            Failed::Said(_) => &self.said,
            Failed::Died(_) => &self.died,
            Failed::Hung(_) => &self.hung,
            Failed::Space => &self.space,
            Failed::Erased => &self.erased,
            Failed::System(_) => &self.system,
            Failed::Closing => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn samples(&self) -> Vec<Sample> {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        let sample = |name: &str, help, counter, value| Sample {
            name: name.to_owned(),
            help,
            counter,
            labels: Vec::new(),
            value,
        };
        let failed = |reason: &str, counter| Sample {
            labels: vec![("reason", reason.to_owned())],
            ..sample("parvis_recording_films_failed_total", "Films that were given up.", true, read(counter))
        };
        vec![
            sample(
                "parvis_recording_films_waiting",
                "Films that wait for others.",
                false,
                read(&self.waiting),
            ),
            sample("parvis_recording_films", "Films that are being made.", false, read(&self.running)),
            sample("parvis_recording_films_made_total", "Films made.", true, read(&self.made)),
            failed("composer", &self.said),
            failed("died", &self.died),
            failed("hung", &self.hung),
            failed("min_free_bytes", &self.space),
            failed("erased", &self.erased),
            failed("system", &self.system),
            sample(
                "parvis_recording_film_restarts_total",
                "Composers started in place of one that died or hung.",
                true,
                read(&self.restarts),
            ),
            sample(
                "parvis_recording_film_seconds_total",
                "Seconds for which composers ran.",
                true,
                read(&self.milliseconds) / 1_000.0,
            ),
        ]
    }
}
