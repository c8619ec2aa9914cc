// SPDX-License-Identifier: EUPL-1.2
//! Where the log is: its size, the frontier of its tree, the last hash of its chain, and what is kept of what was pruned.

use aws_lc_rs::hmac;
use parvis_audit::{Beginning, Frontier, Hash, from_hex};
use serde::{Deserialize, Serialize};

use super::broken;
use crate::database::{Row, Transaction};
use crate::migrate::unix_ms;
use crate::records::Table;
use crate::seal::random;
use crate::{Store, StoreError, TenantId};

pub(crate) const STATE: Table =
    Table { name: "audit_state", what: "state of the audit log", columns: &[], sealed: true };

/// Under which id its one row is; it is no tenant's.
const ID: &str = "log";
const COLUMNS: &str = "id, record, size, bytes, frontier, chain, pruned, pruned_frontier, pruned_chain";

/// Where the log is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditState {
    /// The subtrees over all entries; its size is the log's.
    pub frontier: Frontier,
    /// The chain's last hash.
    pub chain: Hash,
    /// What is kept of entries that were erased.
    pub beginning: Beginning,
    /// What it takes in the database, about.
    pub bytes: u64,
}

/// What pseudonyms are found by.
#[derive(Serialize, Deserialize)]
struct Record {
    pepper: String,
}

/// The log, held against every other writer until the transaction is over.
pub(super) struct Held {
    pub(super) state: AuditState,
    pub(super) pepper: hmac::Key,
}

impl Held {
    /// Waits for its turn. The first statement writes: so nobody who read before finds that another one wrote meanwhile.
    pub(super) async fn lock(store: &Store, open: &mut Transaction) -> Result<Held, StoreError> {
        let take = "UPDATE audit_state SET updated_ms = $1 WHERE id = 'log'";
        if open.execute(take, &[unix_ms().into()]).await? == 0 {
            let record = Record { pepper: hex::encode(random::<32>().map_err(StoreError::Refused)?) };
            let text =
                serde_json::to_string(&record).map_err(|error| StoreError::Refused(error.to_string()))?;
            let record = STATE.close(store.secrets(), "", ID, text)?;
            let first = hex::encode(Hash::default());
            let sql = "INSERT INTO audit_state (tenant, id, record, size, bytes, frontier, chain, pruned, \
                       pruned_frontier, pruned_chain, created_ms, updated_ms) \
                       VALUES ('', 'log', $1, 0, 0, '', $2, 0, '', $2, $3, $3) ON CONFLICT DO NOTHING";
            open.execute(sql, &[(&record).into(), (&first).into(), unix_ms().into()]).await?;
            open.execute(take, &[unix_ms().into()]).await?;
        }
        let rows = open.rows(&format!("SELECT {COLUMNS} FROM audit_state WHERE id = 'log'"), &[]).await?;
        let row = rows.first().ok_or_else(|| StoreError::Corrupt("the audit log has no state".to_owned()))?;
        let Record { pepper } = store.record(&STATE, &TenantId::new(""), row)?;
        let pepper = hmac::Key::new(hmac::HMAC_SHA256, pepper.as_bytes());
        Ok(Held { state: AuditState::of(row)?, pepper })
    }

    /// Writes down where it is now.
    pub(super) async fn write(&self, open: &mut Transaction) -> Result<(), StoreError> {
        let AuditState { frontier, chain, beginning, bytes } = &self.state;
        let (nodes, chain) = (frontier.to_text(), hex::encode(chain));
        let (pruned, pruned_chain) = (beginning.frontier.to_text(), hex::encode(beginning.chain));
        let sql = "UPDATE audit_state SET size = $1, bytes = $2, frontier = $3, chain = $4, pruned = $5, \
                   pruned_frontier = $6, pruned_chain = $7 WHERE id = 'log'";
        let values = [
            to_int(frontier.size()).into(),
            to_int(*bytes).into(),
            (&nodes).into(),
            (&chain).into(),
            to_int(beginning.frontier.size()).into(),
            (&pruned).into(),
            (&pruned_chain).into(),
        ];
        open.execute(sql, &values).await.map(drop)
    }
}

impl AuditState {
    /// As it is in a database; empty where nothing was ever written.
    pub(super) async fn read(open: &mut Transaction) -> Result<AuditState, StoreError> {
        let rows = open.rows(&format!("SELECT {COLUMNS} FROM audit_state WHERE id = 'log'"), &[]).await?;
        rows.first().map_or_else(|| Ok(AuditState::default()), AuditState::of)
    }

    fn of(row: &Row) -> Result<AuditState, StoreError> {
        let number = |column| row.int(column).map(|number| u64::try_from(number).unwrap_or_default());
        let frontier = |size, nodes: String| Frontier::parse(size, &nodes).map_err(broken);
        let chain = |text: String| from_hex(&text).map_err(broken);
        Ok(AuditState {
            frontier: frontier(number(2)?, row.text(4)?)?,
            chain: chain(row.text(5)?)?,
            beginning: Beginning {
                frontier: frontier(number(6)?, row.text(7)?)?,
                chain: chain(row.text(8)?)?,
            },
            bytes: number(3)?,
        })
    }

    /// How many entries there are, those that were erased included.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }
}

impl Store {
    /// Where the audit log is.
    pub async fn audit_state(&self) -> Result<AuditState, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM audit_state WHERE id = 'log'");
        let rows = self.database().rows(&sql, &[]).await?;
        rows.first().map_or_else(|| Ok(AuditState::default()), AuditState::of)
    }
}

/// A number as databases have it.
pub(super) fn to_int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
