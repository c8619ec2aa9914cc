// SPDX-License-Identifier: EUPL-1.2
//! The store itself: opening, closing, health. What it keeps is in [`crate::tables`], one file for each family.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use crate::database::Database;
use crate::migrate::{check, migrate};
use crate::seal::Seal;
use crate::{StoreConfig, StoreError, StoreLimits, StoreStats};

/// An organisation on this server. For now there is one, the default; every call and every table names it already.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(String);

impl TenantId {
    /// Of that name.
    pub fn new(name: impl Into<String>) -> TenantId {
        TenantId(name.into())
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for TenantId {
    fn default() -> Self {
        TenantId("default".to_owned())
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What outlives the server. Cheap to clone; all clones are one store.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    database: Database,
    secrets: Seal,
    limits: RwLock<StoreLimits>,
}

impl fmt::Debug for Store {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Store").field("engine", &self.engine()).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the database, makes it or brings it to this server's schema if need be.
    pub async fn open(config: StoreConfig) -> Result<Store, StoreError> {
        let secrets = Seal::load(&config.folder)?;
        let database = Database::open(&config).await?;
        migrate(&database).await?;
        Ok(Store { inner: Arc::new(Inner { database, secrets, limits: RwLock::new(config.limits) }) })
    }

    /// Sees whether the database that [`Store::open`] would open can be used, and leaves it as it is: one of an older schema
    /// stays that, since a server may be running on it. A database that is still to be made is no problem.
    pub async fn probe(config: StoreConfig) -> Result<(), StoreError> {
        if !Database::is_there(&config) {
            return Ok(());
        }
        let database = Database::open(&config).await?;
        let result = check(&database).await;
        database.close().await;
        result
    }

    /// Ends all connections, after what is under way. Operations fail from then on.
    pub async fn close(&self) {
        self.inner.database.close().await;
    }

    /// Whether it answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.inner.database.rows("SELECT count(*) FROM schema_versions", &[]).await.map(drop)
    }

    /// `sqlite` or `postgres`.
    pub fn engine(&self) -> &'static str {
        self.inner.database.engine()
    }

    /// What it counted since it was opened.
    pub fn stats(&self) -> StoreStats {
        self.inner.database.counters().snapshot()
    }

    /// How far it may grow.
    pub fn limits(&self) -> StoreLimits {
        *self.inner.limits.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has it grow so far from now on. What is beyond it already stays.
    pub fn set_limits(&self, limits: StoreLimits) {
        *self.inner.limits.write().unwrap_or_else(PoisonError::into_inner) = limits;
    }

    pub(crate) fn database(&self) -> &Database {
        &self.inner.database
    }

    pub(crate) fn secrets(&self) -> &Seal {
        &self.inner.secrets
    }
}
