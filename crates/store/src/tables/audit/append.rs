// SPDX-License-Identifier: EUPL-1.2
//! Adds entries: people become pseudonyms, the entry its one text, the text a leaf and a link of the chain.

use parvis_audit::{Act, Entry, Event, Who, chain_hash};

use super::broken;
use super::people::{PERSON_BYTES, People};
use super::state::{Held, to_int};
use crate::database::Transaction;
use crate::{Store, StoreError};

/// What a row takes beside its entry: the chain's hash, two keys, their indices.
pub(super) const ROW_BYTES: u64 = 200;
/// Place that is left for what the server and its operator do when all else has none any more.
const RESERVE_BYTES: u64 = 1 << 20;

/// Adds these events within a transaction; gives how many entries there are then.
pub(super) async fn append(
    store: &Store,
    open: &mut Transaction,
    events: &[Event],
) -> Result<u64, StoreError> {
    let mut held = Held::lock(store, open).await?;
    add(store, open, &mut held, events).await?;
    held.write(open).await?;
    Ok(held.state.size())
}

/// What the log is to say of an act, within the act's own transaction; nothing where it keeps none.
pub(in crate::tables) async fn log(
    store: &Store,
    open: &mut Transaction,
    events: &[Event],
) -> Result<(), StoreError> {
    if events.is_empty() || store.limits().audit_bytes == 0 {
        Ok(())
    } else {
        append(store, open, events).await.map(drop)
    }
}

/// Adds them for who holds the log already, and writes down later where it is.
pub(super) async fn add(
    store: &Store,
    open: &mut Transaction,
    held: &mut Held,
    events: &[Event],
) -> Result<(), StoreError> {
    let limit = store.limits().audit_bytes;
    let mut people = People::new(store, held.pepper.clone());
    for event in events {
        let number = held.state.size();
        let (who, from) = people.who(open, event).await?;
        let about = match &event.about {
            Some(identity) => people.person(open, &event.tenant, identity, "").await?,
            None => String::new(),
        };
        let entry = Entry::of(event, number, who, about, from);
        let text = entry.text().map_err(broken)?;
        let bytes = held.state.bytes + text.len() as u64 + ROW_BYTES + people.take_new() * PERSON_BYTES;
        let own = matches!(event.who, Who::Server | Who::Operator) && event.act != Act::LogLost;
        if bytes > if own { limit.saturating_add(RESERVE_BYTES) } else { limit } {
            return Err(StoreError::AuditFull { limit });
        }
        let leaf = Entry::leaf(&text);
        let state = &mut held.state;
        state.chain = chain_hash(&state.chain, &leaf);
        state.frontier.push(leaf);
        state.bytes = bytes;
        let chain = hex::encode(state.chain);
        let sql = "INSERT INTO audit_entries (seq, tenant, entry, chain) VALUES ($1, $2, $3, $4)";
        let values = [to_int(number).into(), (&entry.tenant).into(), (&text).into(), (&chain).into()];
        open.execute(sql, &values).await?;
    }
    Ok(())
}
