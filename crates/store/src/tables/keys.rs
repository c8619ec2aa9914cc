// SPDX-License-Identifier: EUPL-1.2
//! API keys that are made while the server runs. What a key signs is checked by the same secret (HMAC), so that it can't be
//! kept as a hash: it is sealed.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::records::{Put, Table};
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
        let record = Record { secret: key.secret.clone() };
        let draft = self.draft(&KEYS, &key.tenant, &key.name, &[], &record)?;
        self.put(Put::New, &KEYS, &key.tenant, &draft).await
    }

    /// All keys of all tenants, the oldest first: what tokens are checked with is held in memory.
    pub async fn keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        let all = self.all(&KEYS, None).await?.into_iter();
        Ok(all.map(|(tenant, name, Record { secret })| StoredKey { tenant, name, secret }).collect())
    }

    /// Forgets a key: what it signed opens nothing once the server's memory follows.
    pub async fn delete_key(&self, tenant: &TenantId, name: &str) -> Result<StoredKey, StoreError> {
        let Record { secret } = self.delete(&KEYS, tenant, name).await?;
        Ok(StoredKey { tenant: tenant.clone(), name: name.to_owned(), secret })
    }
}
