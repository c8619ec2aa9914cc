// SPDX-License-Identifier: EUPL-1.2
//! The audit log. `state` is where it is, `append` adds entries, within the transaction of the act where there is one, `people` has
//! pseudonyms for people, `prune` erases what is old, `read` hands all of it to whoever checks it, of a copy too.
//!
//! **No entry is ever changed.** What is added hangs on all before it, in the same transaction; what is erased is erased from the first on,
//! up to a checkpoint, and leaves the subtrees over it and an entry that says so.

mod append;
mod people;
mod prune;
mod read;
mod state;

use parvis_audit::{AuditError, Event};

pub use people::AuditPerson;
pub use read::{AuditCopy, AuditProblem};
pub use state::AuditState;

pub(super) use append::log;
pub(crate) use people::PEOPLE;
pub(crate) use state::STATE;

use crate::migrate::unix_ms;
use crate::{Store, StoreError};

/// What is in the way of an entry that can't be what it has to be.
fn broken(error: AuditError) -> StoreError {
    StoreError::Corrupt(format!("the audit log: {error}"))
}

impl Store {
    /// Adds these events to the log, all or none; gives how many entries it has then. [`StoreError::AuditFull`] when it has no place.
    pub async fn audit_append(&self, events: &[Event]) -> Result<u64, StoreError> {
        let database = self.database();
        let work = async {
            let (_alone, mut open) = database.write().await?;
            let size = append::append(self, &mut open, events).await?;
            open.commit().await?;
            Ok(size)
        };
        database.timed(work).await
    }

    /// Keeps a checkpoint of the log at that size. Of one size the last counts.
    pub async fn audit_put_checkpoint(&self, size: u64, note: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO audit_checkpoints (size, note, created_ms) VALUES ($1, $2, $3) \
                   ON CONFLICT (size) DO UPDATE SET note = $2, created_ms = $3";
        let values = [state::to_int(size).into(), note.into(), unix_ms().into()];
        self.database().execute(sql, &values).await.map(drop)
    }
}
