// SPDX-License-Identifier: EUPL-1.2
//! Recordings are kept as long as `recording.retention` says, and then erased: those that the store knows, and what lies on the
//! disk without a record. What can't be erased is told, keeps nothing else from being erased, and is tried again.

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parvis_api::{Sample, Source};
use parvis_store::{EraseReason, Store, TenantId};
use tokio::time::MissedTickBehavior;

use super::film::place;
use super::kept::{EraseError, erase, folders};
use super::{RecordingEngine, book, kept};

/// How often it is looked for what is past its time.
const LOOK_EVERY: Duration = Duration::from_secs(3_600);

/// See the module's page.
#[derive(Clone)]
pub(crate) struct Retention {
    store: Store,
    directory: PathBuf,
    keep: Duration,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    erased: AtomicU64,
    failed: AtomicU64,
    overdue: AtomicU64,
}

/// What came of one look.
#[derive(Debug, Default)]
pub(crate) struct Swept {
    pub(crate) erased: Vec<String>,
    pub(crate) failed: Vec<EraseError>,
}

impl Retention {
    /// Has what lies in this directory kept so long.
    pub(crate) fn new(store: Store, directory: PathBuf, keep: Duration) -> Retention {
        Retention { store, directory, keep, counts: Arc::default() }
    }

    /// Looks at once, and then each hour.
    pub(crate) async fn run(self, engine: Option<RecordingEngine>) {
        let mut hours = tokio::time::interval(LOOK_EVERY);
        hours.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            hours.tick().await;
            let running = engine.as_ref().map(RecordingEngine::running).unwrap_or_default();
            self.sweep(kept::millis(book::unix_nanos()), &running).await;
        }
    }

    /// Erases what ended longer ago than it is to be kept, by a clock that shows so many milliseconds since 1970, but nothing that
    /// is `running`.
    pub(crate) async fn sweep(&self, now_ms: i64, running: &HashSet<String>) -> Swept {
        let mut swept = Swept::default();
        let keep_ms = i64::try_from(self.keep.as_millis()).unwrap_or(i64::MAX);
        let by_ms = now_ms.saturating_sub(keep_ms);
        let due = self.due(by_ms, &mut swept.failed).await;
        match due {
            Ok(due) => {
                for (tenant, id) in due.iter().filter(|(_, id)| !running.contains(id)) {
                    self.erase(tenant, id, now_ms, &mut swept).await;
                }
            }
            Err(error) => swept.failed.push(error),
        }
        for problem in &swept.failed {
            tracing::warn!(%problem, "a recording that is past its time stays; it is tried again within the hour");
        }
        self.counts.erased.fetch_add(swept.erased.len() as u64, Ordering::Relaxed);
        self.counts.failed.fetch_add(swept.failed.len() as u64, Ordering::Relaxed);
        self.counts.overdue.store(swept.failed.len() as u64, Ordering::Relaxed);
        swept
    }

    /// All that had ended by then.
    async fn due(
        &self,
        by_ms: i64,
        problems: &mut Vec<EraseError>,
    ) -> Result<Vec<(TenantId, String)>, EraseError> {
        // The disk first: a recording's record is there before its folder is.
        let directory = self.directory.clone();
        let looked = tokio::task::spawn_blocking(move || folders(&directory)).await;
        let (found, unread) = looked.unwrap_or_default();
        problems.extend(unread);
        let mut due = self.store.ended_egresses(by_ms).await?;
        // A film that is not made yet keeps nothing longer than it may be kept.
        let films = place::all(&self.directory).into_iter();
        let over = films.filter(|(_, _, film)| {
            film.captured().is_some_and(|captured| kept::millis(captured.ended_at) <= by_ms)
        });
        due.extend(over.map(|(tenant, id, _)| (tenant, id)));
        let known: HashSet<(TenantId, String)> = due.iter().cloned().collect();
        for folder in found.into_iter().filter(|folder| folder.written_ms <= by_ms) {
            let which = (folder.tenant, folder.id);
            if known.contains(&which) {
                continue;
            }
            match self.store.egress(&which.0, &which.1).await {
                Ok(None) => due.push(which),
                Ok(Some(_)) => {}
                Err(error) => problems.push(error.into()),
            }
        }
        Ok(due)
    }

    async fn erase(&self, tenant: &TenantId, id: &str, now_ms: i64, swept: &mut Swept) {
        match erase(&self.store, &self.directory, (tenant, id), EraseReason::Retention, now_ms).await {
            Ok(erasure) => {
                let (files, bytes) = (erasure.files, erasure.bytes);
                tracing::info!(recording = id, %tenant, files, bytes, "a recording is past its time and was erased");
                swept.erased.push(id.to_owned());
            }
            // Someone else did it meanwhile.
            Err(EraseError::Unknown(_)) => {}
            Err(error) => swept.failed.push(error),
        }
    }

    /// The counters for the metrics page.
    pub(crate) fn figures(&self) -> Source {
        let counts = Arc::clone(&self.counts);
        Arc::new(move || {
            let sample = |name: &str, help, counter, value: &AtomicU64| Sample {
                name: name.to_owned(),
                help,
                counter,
                labels: Vec::new(),
                value: value.load(Ordering::Relaxed) as f64,
            };
            vec![
                sample(
                    "parvis_recordings_erased_total",
                    "Recordings erased because they were past their time.",
                    true,
                    &counts.erased,
                ),
                sample(
                    "parvis_recording_erasures_failed_total",
                    "Tries to erase a recording that failed.",
                    true,
                    &counts.failed,
                ),
                sample(
                    "parvis_recordings_overdue",
                    "Recordings past their time that the last try did not erase.",
                    false,
                    &counts.overdue,
                ),
            ]
        })
    }
}
