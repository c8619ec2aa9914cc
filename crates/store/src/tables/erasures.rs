// SPDX-License-Identifier: EUPL-1.2
//! What was erased of recordings, when and why. It says neither who was there nor what was said, and stays when the egress's
//! own record is gone: the evidence that it is.

use parvis_audit::Event;
use serde::{Deserialize, Serialize};

use super::audit::log;
use crate::records::{Draft, Put, Table, put};
use crate::{Store, StoreError, TenantId};

pub(crate) const ERASURES: Table =
    Table { name: "erasures", what: "erasure", columns: &["room"], sealed: false };

/// How many of the oldest give way when the table is full, so that not each new one has to make place.
const MAKE_PLACE: i64 = 100;

/// Why a recording was erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EraseReason {
    /// It had been kept as long as the configuration has recordings kept.
    Retention,
    /// An operator said so.
    Asked,
}

impl EraseReason {
    /// One word.
    pub fn as_str(self) -> &'static str {
        match self {
            EraseReason::Retention => "retention",
            EraseReason::Asked => "asked",
        }
    }
}

/// That a recording was erased. Times are milliseconds since 1970; 0 where nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erasure {
    /// Which.
    pub egress_id: String,
    /// The room that it was of; empty for files of which there was no record any more.
    pub room: String,
    /// When it began.
    pub started_ms: i64,
    /// When it ended.
    pub ended_ms: i64,
    /// When it was erased.
    pub erased_ms: i64,
    /// Why.
    pub why: EraseReason,
    /// How many files it had.
    pub files: u64,
    /// What they took, in bytes.
    pub bytes: u64,
}

impl Store {
    /// Takes an egress's record out, if there is one, and writes down that what it kept is erased: both or neither. Of a full
    /// table, the oldest go. [`StoreError::Refused`] for one that has not ended.
    pub async fn erase_egress(&self, tenant: &TenantId, erasure: &Erasure) -> Result<(), StoreError> {
        self.erase_egress_with(tenant, erasure, &[]).await
    }

    /// The same, with what the audit log is to say of it: all of it or nothing.
    pub async fn erase_egress_with(
        &self,
        tenant: &TenantId,
        erasure: &Erasure,
        events: &[Event],
    ) -> Result<(), StoreError> {
        let id = erasure.egress_id.as_str();
        let draft = self.draft(&ERASURES, tenant, id, &[&erasure.room], erasure)?;
        match self.put_erasure(tenant, id, &draft, 0, events).await {
            Err(StoreError::Full { .. }) => self.put_erasure(tenant, id, &draft, MAKE_PLACE, events).await,
            other => other,
        }
    }

    /// What was erased of all tenants, the oldest first.
    pub async fn erasures(&self) -> Result<Vec<(TenantId, Erasure)>, StoreError> {
        let all = self.all(&ERASURES, None).await?.into_iter();
        Ok(all.map(|(tenant, _, erasure)| (tenant, erasure)).collect())
    }

    /// That the egress of this id was erased, if it was.
    pub async fn erasure(&self, tenant: &TenantId, id: &str) -> Result<Option<Erasure>, StoreError> {
        self.get(&ERASURES, tenant, id).await
    }

    async fn put_erasure(
        &self,
        tenant: &TenantId,
        id: &str,
        draft: &Draft<'_>,
        make_place: i64,
        events: &[Event],
    ) -> Result<(), StoreError> {
        let (database, limit) = (self.database(), self.limits().rows);
        let work = async {
            let (_alone, mut open) = database.write().await?;
            let which = [tenant.as_str().into(), id.into()];
            let going_on = "SELECT id FROM egresses WHERE tenant = $1 AND id = $2 AND state <> 'ended'";
            if !open.rows(going_on, &which).await?.is_empty() {
                return Err(StoreError::Refused(format!("egress {id} has not ended")));
            }
            if make_place > 0 {
                let sql = "DELETE FROM erasures WHERE tenant = $1 AND id IN (SELECT id FROM erasures \
                           WHERE tenant = $1 ORDER BY created_ms, id LIMIT $2)";
                open.execute(sql, &[tenant.as_str().into(), make_place.into()]).await?;
            }
            match put(&mut open, Put::New, &ERASURES, limit, tenant, draft).await {
                // Its files came back from a backup.
                Err(StoreError::Exists { .. }) => {
                    put(&mut open, Put::Changed, &ERASURES, limit, tenant, draft).await?;
                }
                other => other?,
            }
            open.execute("DELETE FROM egresses WHERE tenant = $1 AND id = $2", &which).await?;
            log(self, &mut open, events).await?;
            open.commit().await
        };
        database.timed(work).await
    }
}
