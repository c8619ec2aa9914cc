// SPDX-License-Identifier: EUPL-1.2
//! What the store counts of itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::StoreError;

/// Counters since the store was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Operations done or tried.
    pub operations: u64,
    /// How long all of them took together.
    pub time: Duration,
    /// The longest.
    pub longest: Duration,
    /// Operations that a lock ended.
    pub busy: u64,
    /// Operations that found no database, or not in time.
    pub unavailable: u64,
    /// Operations that a bound refused.
    pub full: u64,
    /// Operations that failed otherwise; those that found nothing, or found what they were to make, are no failures.
    pub failed: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    operations: AtomicU64,
    micros: AtomicU64,
    longest_micros: AtomicU64,
    busy: AtomicU64,
    unavailable: AtomicU64,
    full: AtomicU64,
    failed: AtomicU64,
}

impl Counters {
    pub(crate) fn took(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.operations.fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
        self.longest_micros.fetch_max(micros, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self, error: &StoreError) {
        let counter = match error {
            StoreError::Busy(_) => &self.busy,
            StoreError::Unavailable(_) => &self.unavailable,
            StoreError::Full { .. } | StoreError::AuditFull { .. } | StoreError::TooLarge { .. } => {
                &self.full
            }
            StoreError::NotFound { .. } | StoreError::Exists { .. } => return,
            _ => &self.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> StoreStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StoreStats {
            operations: read(&self.operations),
            time: Duration::from_micros(read(&self.micros)),
            longest: Duration::from_micros(read(&self.longest_micros)),
            busy: read(&self.busy),
            unavailable: read(&self.unavailable),
            full: read(&self.full),
            failed: read(&self.failed),
        }
    }
}
