// SPDX-License-Identifier: EUPL-1.2
//! Recordings are kept as long as they may be ([`keep`]), and then erased: those that the store knows, and what lies on the
//! disk without a record. What can't be erased is told, keeps nothing else from being erased, and is tried again.

mod keep;
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

pub(crate) use self::keep::{Keep, set_days_of_room};
use super::film::place;
use super::kept::{EraseError, Folder, erase, folders};
use super::upload::Remote;
use super::{RecordingEngine, book, folder, kept};

/// How often it is looked for what is past its time.
const LOOK_EVERY: Duration = Duration::from_secs(3_600);

/// See the module's page.
#[derive(Clone)]
pub(crate) struct Retention {
    store: Store,
    directory: PathBuf,
    /// Where files lie besides.
    remote: Option<Remote>,
    keep: Keep,
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
    pub(crate) fn new(store: Store, directory: PathBuf, keep: Keep) -> Retention {
        Retention { store, directory, remote: None, keep, counts: Arc::default() }
    }

    /// Has what lies in a storage erased there too.
    pub(crate) fn with_storage(self, remote: Option<Remote>) -> Retention {
        Retention { remote, ..self }
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
        let due = self.due(now_ms, &mut swept.failed).await;
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

    /// All that is past its time at this moment.
    async fn due(
        &self,
        now_ms: i64,
        problems: &mut Vec<EraseError>,
    ) -> Result<Vec<(TenantId, String)>, EraseError> {
        // The disk first: a recording's record is there before its folder is.
        let directory = self.directory.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let (found, unread) = folders(&directory);
            let of = |one: &Folder| keep::days_of_room(&folder(&directory, &one.tenant, &one.id)?);
            let rooms: HashSet<u32> = found.iter().filter_map(of).collect();
            (found, rooms, unread)
        });
        let (found, rooms, unread) = looked.await.unwrap_or_default();
        problems.extend(unread);
        let days = |tenant: &TenantId, id: &str| self.keep.days(&self.directory, tenant, id);
        let is_over = |tenant: &TenantId, id: &str, ended_ms: i64| {
            days(tenant, id).is_some_and(|days| ended_ms.saturating_add(keep::millis(days)) <= now_ms)
        };
        let mut due = Vec::new();
        for bound in self.keep.known(rooms) {
            let ended = self.store.ended_egresses(now_ms.saturating_sub(keep::millis(bound))).await?;
            due.extend(ended.into_iter().filter(|(tenant, id)| days(tenant, id) == Some(bound)));
        }
        // A film that is not made yet keeps nothing longer than it may be kept.
        let films = place::all(&self.directory).into_iter();
        let over = films.filter(|(tenant, id, film)| {
            film.captured().is_some_and(|captured| is_over(tenant, id, kept::millis(captured.ended_at)))
        });
        due.extend(over.map(|(tenant, id, _)| (tenant, id)));
        let known: HashSet<(TenantId, String)> = due.iter().cloned().collect();
        for folder in found.into_iter().filter(|one| is_over(&one.tenant, &one.id, one.written_ms)) {
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
        let places = (self.directory.as_path(), self.remote.as_ref());
        match erase(&self.store, places, (tenant, id), EraseReason::Retention, now_ms).await {
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
