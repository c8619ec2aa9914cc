// SPDX-License-Identifier: EUPL-1.2
//! API keys that are made while the server runs. What a key signs is checked by the same secret (HMAC), so that it can't be
//! kept as a hash: it is sealed.

use std::fmt;

use parvis_audit::Event;
use serde::{Deserialize, Serialize};

use super::audit::log;
use crate::records::{Put, Table, not_found, put};
use crate::{Store, StoreError, TenantId};

pub(crate) const KEYS: Table = Table { name: "api_keys", what: "API key", columns: &[], sealed: true };

/// An API key with its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// Whose tokens it signs.
    pub tenant: TenantId,
    /// What tokens name as their issuer; unique over all tenants.
    pub name: String,
    /// What signs.
    pub secret: String,
}

impl fmt::Debug for StoredKey {
    /// A secret gets into no log.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StoredKey { tenant, name, .. } = self;
        formatter
            .debug_struct("StoredKey")
            .field("tenant", tenant)
            .field("name", name)
            .finish_non_exhaustive()
    }
}

#[derive(Serialize, Deserialize)]
struct Record {
    secret: String,
}

impl Store {
    /// Keeps a key; [`StoreError::Exists`] if any tenant has one of this name.
    pub async fn create_key(&self, key: &StoredKey) -> Result<(), StoreError> {
        self.create_key_with(key, &[]).await
    }

    /// The same, with what the audit log is to say of it: both or neither.
    pub async fn create_key_with(&self, key: &StoredKey, events: &[Event]) -> Result<(), StoreError> {
        let record = Record { secret: key.secret.clone() };
        let draft = self.draft(&KEYS, &key.tenant, &key.name, &[], &record)?;
        let (database, limit) = (self.database(), self.limits().rows);
        let work = async {
            let (_alone, mut open) = database.write().await?;
            put(&mut open, Put::New, &KEYS, limit, &key.tenant, &draft).await?;
            log(self, &mut open, events).await?;
            open.commit().await
        };
        database.timed(work).await
    }

    /// All keys of all tenants, the oldest first: what tokens are checked with is held in memory.
    pub async fn keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        let all = self.all(&KEYS, None).await?.into_iter();
        Ok(all.map(|(tenant, name, Record { secret })| StoredKey { tenant, name, secret }).collect())
    }

    /// Forgets a key: what it signed opens nothing once the server's memory follows.
    pub async fn delete_key(&self, tenant: &TenantId, name: &str) -> Result<StoredKey, StoreError> {
        self.delete_key_with(tenant, name, &[]).await
    }

    /// The same, with what the audit log is to say of it: both or neither.
    pub async fn delete_key_with(
        &self,
        tenant: &TenantId,
        name: &str,
        events: &[Event],
    ) -> Result<StoredKey, StoreError> {
        let database = self.database();
        let work = async {
            let (_alone, mut open) = database.write().await?;
            let sql = "DELETE FROM api_keys WHERE tenant = $1 AND id = $2 RETURNING id, record";
            let rows = open.rows(sql, &[tenant.as_str().into(), name.into()]).await?;
            let row = rows.first().ok_or_else(|| not_found(&KEYS, name))?;
            let Record { secret } = self.record(&KEYS, tenant, row)?;
            log(self, &mut open, events).await?;
            open.commit().await?;
            Ok(StoredKey { tenant: tenant.clone(), name: name.to_owned(), secret })
        };
        database.timed(work).await
    }
}
