// SPDX-License-Identifier: EUPL-1.2
//! Erases entries that have been kept as long as they are to be: from the first on, up to a checkpoint, so that what is kept of them (the
//! subtrees of that size) can still be held against what was signed. An entry says how many are gone.

use parvis_audit::{Act, Beginning, Entry, Event, Who, from_hex};

use super::append::{ROW_BYTES, add};
use super::broken;
use super::people::{PERSON_BYTES, forget};
use super::state::{Held, to_int};
use crate::migrate::unix_ms;
use crate::{Store, StoreError};

/// Entries erased in one transaction: some tenths of a second, in which others wait.
const AT_ONCE: u64 = 20_000;

impl Store {
    /// Erases entries that a checkpoint of before that time covers, some thousands at most; gives how many are gone. 0: there is nothing more
    /// to be erased.
    pub async fn audit_prune(&self, before_ms: i64) -> Result<u64, StoreError> {
        let database = self.database();
        let work = async {
            let (_alone, mut open) = database.write().await?;
            let mut held = Held::lock(self, &mut open).await?;
            let first = held.state.beginning.frontier.size();
            let within = "SELECT COALESCE(MAX(size), 0) FROM audit_checkpoints \
                          WHERE created_ms < $1 AND size > $2 AND size <= $3";
            let values = [before_ms.into(), to_int(first).into(), to_int(first + AT_ONCE).into()];
            let mut rows = open.rows(within, &values).await?;
            if rows.first().map_or(Ok(0), |row| row.int(0))? == 0 {
                let next = "SELECT COALESCE(MIN(size), 0) FROM audit_checkpoints WHERE created_ms < $1 AND size > $2";
                rows = open.rows(next, &[before_ms.into(), to_int(first).into()]).await?;
            }
            let until = rows.first().map_or(Ok(0), |row| row.int(0))?;
            if until == 0 {
                return Ok(0);
            }
            let sql = "SELECT entry, chain FROM audit_entries WHERE seq < $1 ORDER BY seq";
            let rows = open.rows(sql, &[until.into()]).await?;
            let Beginning { frontier, chain } = &mut held.state.beginning;
            let mut bytes = 0;
            for row in &rows {
                let text = row.text(0)?;
                bytes += text.len() as u64 + ROW_BYTES;
                frontier.push(Entry::leaf(&text));
                *chain = from_hex(&row.text(1)?).map_err(broken)?;
            }
            if to_int(frontier.size()) != until {
                // What is missing is for a check to name, and not to be hidden by erasing what is left.
                let problem = format!("entries before {until} are missing; `parvis audit verify` says which");
                return Err(StoreError::Corrupt(format!("the audit log: {problem}")));
            }
            open.execute("DELETE FROM audit_entries WHERE seq < $1", &[until.into()]).await?;
            open.execute("DELETE FROM audit_checkpoints WHERE size < $1", &[until.into()]).await?;
            let people = forget(&mut open, before_ms).await?;
            held.state.bytes = held.state.bytes.saturating_sub(bytes + people * PERSON_BYTES);
            let gone = frontier_size(&held);
            let event = Event::new("", Act::LogPrune, Who::Server).on("log", &format!("0-{}", gone - 1));
            let event = Event { time_ms: unix_ms(), count: Some(gone), ..event };
            add(self, &mut open, &mut held, &[event]).await?;
            held.write(&mut open).await?;
            open.commit().await?;
            Ok(gone - first)
        };
        database.timed(work).await
    }
}

fn frontier_size(held: &Held) -> u64 {
    held.state.beginning.frontier.size()
}
