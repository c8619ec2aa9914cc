// SPDX-License-Identifier: EUPL-1.2
//! Reads the log for whoever checks it: of the database that is in use, or of a copy, which is opened to be read alone and needs no key.

use parvis_audit::{AuditError, Check, Checked, Checkpoint, Entry, Flaw, Signed, Tree, Verifier, open_note};

use super::broken;
use super::state::{AuditState, to_int};
use crate::database::{Database, Transaction};
use crate::{Store, StoreConfig, StoreError, TenantId};

/// Rows read at once.
const PAGE: u64 = 1_000;

/// Why a log is not found whole.
#[derive(Debug, thiserror::Error)]
pub enum AuditProblem {
    /// It can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is not as it was.
    #[error(transparent)]
    Flaw(#[from] Flaw),
    /// A checkpoint that it keeps itself holds nothing.
    #[error("the checkpoint of {size} entries in the database: {problem}")]
    Checkpoint {
        /// Of how many entries.
        size: i64,
        /// What is wrong with it.
        problem: AuditError,
    },
    /// There is none.
    #[error("there is no audit log in this database: it was made by an older server, or is another's")]
    None,
}

/// An audit log to be read, and nothing else.
pub struct AuditCopy {
    database: Database,
}

impl std::fmt::Debug for AuditCopy {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("AuditCopy").field("engine", &self.database.engine()).finish_non_exhaustive()
    }
}

impl AuditCopy {
    /// Opens a database to be read: the file or server that the configuration names. Nothing is written there, and no key is needed.
    pub async fn open(config: &StoreConfig) -> Result<AuditCopy, StoreError> {
        Ok(AuditCopy { database: Database::open_to_read(config).await? })
    }

    /// Checks all of it, beside what was signed of it elsewhere.
    pub async fn check(&self, keys: &[Verifier], signed: Vec<Signed>) -> Result<Checked, AuditProblem> {
        check(&self.database, keys, signed).await
    }

    /// Ends all connections.
    pub async fn close(&self) {
        self.database.close().await;
    }
}

impl Store {
    /// Checks all of the audit log, beside what was signed of it elsewhere. Others go on reading and writing meanwhile.
    pub async fn audit_check(&self, keys: &[Verifier], signed: Vec<Signed>) -> Result<Checked, AuditProblem> {
        check(self.database(), keys, signed).await
    }

    /// Gives each entry of a tenant's before that size, with the way from it to the root of the tree of that size, in their order.
    pub async fn audit_export(
        &self,
        tenant: &TenantId,
        size: u64,
        mut each: impl FnMut(&Entry, &str, &[parvis_audit::Hash]) -> Result<(), StoreError> + Send,
    ) -> Result<u64, StoreError> {
        let mut open = self.database().snapshot().await?;
        let state = AuditState::read(&mut open).await?;
        let mut tree = Tree::after(&state.beginning.frontier);
        let mut own = Vec::new();
        'pages: while tree.size() < size {
            let page = page(&mut open, tree.size()).await?;
            if page.is_empty() {
                break;
            }
            for (number, text, _) in page {
                if number != tree.size() || number >= size {
                    break 'pages;
                }
                tree.push(Entry::leaf(&text));
                let entry = Entry::parse(&text).map_err(broken)?;
                if entry.tenant == tenant.as_str() {
                    own.push((entry, text));
                }
            }
        }
        for (entry, text) in &own {
            let path = tree.inclusion(entry.n, size).map_err(broken)?;
            each(entry, text, &path)?;
        }
        Ok(own.len() as u64)
    }
}

async fn check(
    database: &Database,
    keys: &[Verifier],
    mut signed: Vec<Signed>,
) -> Result<Checked, AuditProblem> {
    if !is_there(database).await? {
        return Err(AuditProblem::None);
    }
    let mut open = database.snapshot().await?;
    let state = AuditState::read(&mut open).await?;
    // Those of a key of before are passed over, unless there are no others: then the key that was given is another log's.
    let (mut foreign, mut own) = (None, 0);
    for row in open.rows("SELECT size, note FROM audit_checkpoints ORDER BY size", &[]).await? {
        let size = row.int(0)?;
        let text = open_note(&row.text(1)?, keys);
        match text.and_then(|text| Checkpoint::parse(&text)) {
            Ok(checkpoint) => {
                let place = format!("the database's checkpoint of {size} entries");
                signed.push(Signed { checkpoint, place });
                own += 1;
            }
            Err(problem @ AuditError::Unsigned(_)) => {
                foreign.get_or_insert(AuditProblem::Checkpoint { size, problem });
            }
            Err(problem) => return Err(AuditProblem::Checkpoint { size, problem }),
        }
    }
    if let Some(problem) = foreign.filter(|_| own == 0) {
        return Err(problem);
    }
    let mut check = Check::new(state.beginning.clone(), signed)?;
    loop {
        let page = page(&mut open, check.next_number()).await?;
        if page.is_empty() {
            break;
        }
        for (number, text, chain) in page {
            check.entry(number, &text, &chain)?;
        }
    }
    Ok(check.end(state.size())?)
}

/// The rows from a number on: number, entry, hash of the chain.
async fn page(open: &mut Transaction, from: u64) -> Result<Vec<(u64, String, String)>, StoreError> {
    let sql = "SELECT seq, entry, chain FROM audit_entries WHERE seq >= $1 ORDER BY seq LIMIT $2";
    let rows = open.rows(sql, &[to_int(from).into(), to_int(PAGE).into()]).await?;
    let read = |row: &crate::database::Row| {
        Ok((u64::try_from(row.int(0)?).unwrap_or_default(), row.text(1)?, row.text(2)?))
    };
    rows.iter().map(read).collect()
}

async fn is_there(database: &Database) -> Result<bool, StoreError> {
    let tables = match database.engine() {
        "postgres" => "SELECT count(*) FROM information_schema.tables WHERE table_name = 'audit_state'",
        _ => "SELECT count(*) FROM sqlite_master WHERE name = 'audit_state'",
    };
    let rows = database.rows(tables, &[]).await?;
    Ok(rows.first().map_or(Ok(0), |row| row.int(0))? > 0)
}
