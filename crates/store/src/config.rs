// SPDX-License-Identifier: EUPL-1.2
//! Where the store is, and how far it may grow.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the store is, and how far it may grow.
#[derive(Clone)]
pub struct StoreConfig {
    /// `postgres://…`, `sqlite:FILE`, or empty for the file `parvis.db` in [`StoreConfig::folder`]. It may hold a password.
    pub url: String,
    /// The data directory: the default database and the key that seals secrets lie there.
    pub folder: PathBuf,
    /// How long one operation may take, waiting for locks and connections included.
    pub timeout: Duration,
    /// Connections to the database.
    pub connections: u32,
    /// How far tables may grow.
    pub limits: StoreLimits,
}

impl std::fmt::Debug for StoreConfig {
    /// A password gets into no log.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("StoreConfig").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl StoreConfig {
    /// A store with the usual bounds.
    pub fn new(url: &str, folder: &Path) -> StoreConfig {
        StoreConfig {
            url: url.to_owned(),
            folder: folder.to_owned(),
            timeout: Duration::from_secs(3),
            connections: 4,
            limits: StoreLimits::default(),
        }
    }
}

/// How far tables may grow. At the defaults the records of one tenant that fills all of them are 6 tables × 10,000 rows ×
/// 64 KiB = 3.9 GB, reached only on purpose; an honest record has 1 KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreLimits {
    /// Rows of one tenant in one table of records.
    pub rows: usize,
    /// Bytes of one record.
    pub record_bytes: usize,
    /// Events of webhooks that wait or are dead, of all tenants.
    pub outbox_rows: usize,
    /// Events of one tenant that are kept after they happened; the oldest go first. 0: none is kept.
    pub events: usize,
    /// Bytes that the audit log may take, about. 0: acts leave no entry.
    pub audit_bytes: u64,
}

impl Default for StoreLimits {
    fn default() -> Self {
        StoreLimits {
            rows: 10_000,
            record_bytes: 64 << 10,
            outbox_rows: 100_000,
            events: 0,
            audit_bytes: 1 << 30,
        }
    }
}
