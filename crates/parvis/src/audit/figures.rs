// SPDX-License-Identifier: EUPL-1.2
//! What the metrics page says of the audit log.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use parvis_api::{Sample, Source};

use super::keeper::{Keeper, State};
use super::now_ms;

/// The figures of this log.
pub(super) fn figures(keeper: Arc<Keeper>) -> Source {
    Arc::new(move || {
        let one = |name: &str, help: &'static str, counter: bool, value: f64| Sample {
            name: format!("parvis_audit_{name}"),
            help,
            counter,
            labels: Vec::new(),
            value,
        };
        let State { bytes, signed_ms, unsigned_ms, failures, failed, broken, checked_ms, pruned, .. } =
            keeper.state();
        let log = keeper.log();
        let counts = log.counts();
        let seconds = |ms: i64| ms as f64 / 1_000.0;
        let unsigned = match unsigned_ms.load(Relaxed) {
            0 => 0.0,
            since => seconds((now_ms() - since).max(0)),
        };
        let mut samples = vec![
            one(
                "entries_total",
                "Entries written into the audit log.",
                true,
                counts.written.load(Relaxed) as f64,
            ),
            one(
                "lost_total",
                "Events that could not be written into the audit log.",
                true,
                counts.lost.load(Relaxed) as f64,
            ),
            one("pruned_total", "Entries erased because they were old.", true, pruned.load(Relaxed) as f64),
            one("waiting", "Events that wait to be written.", false, log.waiting() as f64),
            one(
                "stuck",
                "Whether the log takes no entries now.",
                false,
                f64::from(u8::from(counts.stuck.load(Relaxed))),
            ),
            one("bytes", "What the log takes in the database, about.", false, bytes.load(Relaxed) as f64),
            one("max_bytes", "What it may take.", false, keeper.max_bytes() as f64),
            one(
                "checkpoint_timestamp_seconds",
                "When the last checkpoint was signed; 0 if none was yet.",
                false,
                seconds(signed_ms.load(Relaxed)),
            ),
            one("unsigned_seconds", "How long entries wait that could not be signed.", false, unsigned),
            one(
                "checkpoints_failed_total",
                "Tries to sign the log that failed.",
                true,
                failed.load(Relaxed) as f64,
            ),
            one(
                "broken",
                "Whether the last check found the log changed.",
                false,
                f64::from(u8::from(broken.load(Relaxed))),
            ),
            one(
                "check_timestamp_seconds",
                "When the whole log was last checked; 0 if it was not yet.",
                false,
                seconds(checked_ms.load(Relaxed)),
            ),
        ];
        let places = keeper.places().zip(failures.iter().map(|failures| failures.load(Relaxed)));
        let authority = keeper.unstamped().map(|failures| ("authority", failures));
        samples.extend(places.chain(authority).map(|(place, failures)| Sample {
            labels: vec![("place", place.to_owned())],
            ..one(
                "place_failures_total",
                "Tries to bring a checkpoint to a second place that failed.",
                true,
                failures as f64,
            )
        }));
        samples
    })
}
