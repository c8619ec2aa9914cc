// SPDX-License-Identifier: EUPL-1.2
//! What happened, for those who want to look it up later. Nothing is kept unless the configuration asks for it: who met
//! whom is for nobody to know who has no need to.

use livekit_protocol::WebhookEvent;

use crate::database::{Row, Transaction, Value};
use crate::{NewEvent, Store, StoreError, TenantId};

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct PastEvent {
    /// Its place in the order in which things happened.
    pub seq: i64,
    /// What happened.
    pub event: WebhookEvent,
}

impl Store {
    /// What happened after the event of number `after`, in one room or in all, the oldest first, at most so many.
    pub async fn list_events(
        &self,
        tenant: &TenantId,
        room: Option<&str>,
        after: i64,
        limit: u32,
    ) -> Result<Vec<PastEvent>, StoreError> {
        let mut sql = "SELECT seq, body FROM events WHERE tenant = $1 AND seq > $2".to_owned();
        let mut values: Vec<Value<'_>> = vec![tenant.as_str().into(), after.into(), i64::from(limit).into()];
        if let Some(room) = room {
            sql.push_str(" AND room = $4");
            values.push(room.into());
        }
        sql.push_str(" ORDER BY seq LIMIT $3");
        self.database().rows(&sql, &values).await?.iter().map(past).collect()
    }
}

/// Keeps events within a transaction, the newest of each tenant.
pub(super) async fn keep(
    open: &mut Transaction,
    events: &[NewEvent],
    limit: usize,
) -> Result<(), StoreError> {
    for NewEvent { id, tenant, room, event, body, created_ms, .. } in events {
        let sql = "INSERT INTO events (id, tenant, room, event, body, created_ms, seq) VALUES ($1, $2, $3, $4, $5, $6, \
                   (SELECT COALESCE(MAX(seq), 0) + 1 FROM events)) ON CONFLICT DO NOTHING";
        let values =
            [id.into(), tenant.as_str().into(), room.into(), event.into(), body.into(), (*created_ms).into()];
        open.execute(sql, &values).await?;
    }
    let mut tenants: Vec<&TenantId> = events.iter().map(|event| &event.tenant).collect();
    tenants.sort_unstable();
    tenants.dedup();
    for tenant in tenants {
        // The first of those that stay has so many behind it.
        let sql = "DELETE FROM events WHERE tenant = $1 AND seq < (SELECT COALESCE(MIN(seq), 0) FROM (SELECT seq FROM \
                   events WHERE tenant = $1 ORDER BY seq DESC LIMIT $2) AS newest)";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        open.execute(sql, &[tenant.as_str().into(), limit.into()]).await?;
    }
    Ok(())
}

fn past(row: &Row) -> Result<PastEvent, StoreError> {
    let event =
        serde_json::from_str(&row.text(1)?).map_err(|error| StoreError::Corrupt(error.to_string()))?;
    Ok(PastEvent { seq: row.int(0)?, event })
}
