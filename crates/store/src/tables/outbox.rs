// SPDX-License-Identifier: EUPL-1.2
//! The outbox: what is to be told to others is written here before it is sent, and goes when it was taken. Within a lane
//! (one room's events for one target) order is kept: only its first is ever sent.

use crate::database::{Row, Transaction, Value};
use crate::migrate::unix_ms;
use crate::{Store, StoreError, TenantId};

/// How many dead events give way when the outbox is full, the oldest first.
const MAKE_PLACE: i64 = 1_000;

/// An event that just happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// Its id, never used twice.
    pub id: String,
    /// Whose it is.
    pub tenant: TenantId,
    /// The room in which it happened; events of one room stay in order. Empty for one without a room.
    pub room: String,
    /// Its name, such as `room_started`.
    pub event: String,
    /// What is sent.
    pub body: String,
    /// When it happened, in milliseconds since 1970.
    pub created_ms: i64,
    /// Whom it is sent to; nobody for one that is only kept.
    pub targets: Vec<String>,
}

/// The first event of a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueEvent {
    /// Its id.
    pub id: String,
    /// Its lane.
    pub lane: String,
    /// Its name.
    pub event: String,
    /// What is sent.
    pub body: String,
    /// When it happened, or was sent anew, in milliseconds since 1970.
    pub created_ms: i64,
    /// How often it was tried.
    pub attempts: u32,
    /// When it may be tried, in milliseconds since 1970.
    pub next_ms: i64,
}

/// An event in the outbox, as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldEvent {
    /// Its id.
    pub id: String,
    /// To where it is to go.
    pub target: String,
    /// Whose it is.
    pub tenant: TenantId,
    /// Its name.
    pub event: String,
    /// When it happened, or was sent anew, in milliseconds since 1970.
    pub created_ms: i64,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was given up, in milliseconds since 1970; `None` while it waits.
    pub dead_ms: Option<i64>,
    /// What went wrong at the last try.
    pub problem: String,
}

impl Store {
    /// Writes events down, once for each target, all or none; and keeps them as past events if that is wished.
    /// [`StoreError::Full`] if the outbox holds as many as it may, none of them dead.
    pub async fn add_events(&self, events: &[NewEvent]) -> Result<(), StoreError> {
        let (database, limits) = (self.database(), self.limits());
        let work = async {
            let (_alone, mut open) = database.write().await?;
            for event in events {
                for target in &event.targets {
                    add(&mut open, event, target).await?;
                }
            }
            if events.iter().any(|event| !event.targets.is_empty()) {
                make_place(&mut open, limits.outbox_rows).await?;
            }
            if limits.events > 0 {
                super::events::keep(&mut open, events, limits.events).await?;
            }
            open.commit().await
        };
        database.timed(work).await
    }

    /// The first events of a target's lanes: those that may be tried soonest first, at most so many.
    pub async fn first_events(&self, target: &str, limit: u32) -> Result<Vec<DueEvent>, StoreError> {
        let sql = "SELECT event_id, lane, event, body, created_ms, attempts, next_ms FROM outbox o \
                   WHERE target = $1 AND dead_ms = 0 AND NOT EXISTS (SELECT 1 FROM outbox p WHERE p.target = $1 \
                   AND p.lane = o.lane AND p.dead_ms = 0 AND p.seq < o.seq) ORDER BY next_ms, seq LIMIT $2";
        let rows = self.database().rows(sql, &[target.into(), i64::from(limit).into()]).await?;
        rows.iter().map(due).collect()
    }

    /// The first event of one lane.
    pub async fn first_of_lane(&self, target: &str, lane: &str) -> Result<Option<DueEvent>, StoreError> {
        let sql = "SELECT event_id, lane, event, body, created_ms, attempts, next_ms FROM outbox \
                   WHERE target = $1 AND lane = $2 AND dead_ms = 0 ORDER BY seq LIMIT 1";
        self.database().rows(sql, &[target.into(), lane.into()]).await?.first().map(due).transpose()
    }

    /// An event was taken by its target.
    pub async fn event_delivered(&self, id: &str, target: &str) -> Result<(), StoreError> {
        let sql = "DELETE FROM outbox WHERE event_id = $1 AND target = $2";
        self.database().execute(sql, &[id.into(), target.into()]).await.map(drop)
    }

    /// An event was not taken; it is tried again at `next_ms`, and those behind it wait.
    pub async fn put_event_off(
        &self,
        id: &str,
        target: &str,
        next_ms: i64,
        problem: &str,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE outbox SET attempts = attempts + 1, next_ms = $3, problem = $4 \
                   WHERE event_id = $1 AND target = $2";
        let values = [id.into(), target.into(), next_ms.into(), problem.into()];
        self.database().execute(sql, &values).await.map(drop)
    }

    /// An event is given up; those behind it go on. It stays until it is resent or dropped.
    pub async fn give_event_up(&self, id: &str, target: &str, problem: &str) -> Result<(), StoreError> {
        let sql = "UPDATE outbox SET attempts = attempts + 1, dead_ms = $3, problem = $4 \
                   WHERE event_id = $1 AND target = $2";
        let values = [id.into(), target.into(), unix_ms().into(), problem.into()];
        self.database().execute(sql, &values).await.map(drop)
    }

    /// Gives up all that waits for a target.
    pub async fn give_target_up(&self, target: &str, problem: &str) -> Result<u64, StoreError> {
        let sql = "UPDATE outbox SET dead_ms = $2, problem = $3 WHERE target = $1 AND dead_ms = 0";
        self.database().execute(sql, &[target.into(), unix_ms().into(), problem.into()]).await
    }

    /// The targets for which something waits.
    pub async fn event_targets(&self) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT DISTINCT target FROM outbox WHERE dead_ms = 0 ORDER BY target";
        self.database().rows(sql, &[]).await?.iter().map(|row| row.text(0)).collect()
    }

    /// What is in the outbox, the oldest first: dead events only, or those that wait too.
    pub async fn held_events(&self, only_dead: bool, limit: u32) -> Result<Vec<HeldEvent>, StoreError> {
        let sql = "SELECT event_id, target, tenant, event, created_ms, attempts, dead_ms, problem FROM outbox \
                   WHERE dead_ms >= $1 ORDER BY seq LIMIT $2";
        let rows = self.database().rows(sql, &[i64::from(only_dead).into(), i64::from(limit).into()]).await?;
        rows.iter().map(held).collect()
    }

    /// Lets dead events be tried again, with their whole time before them: the one of this id, or all. Says how many.
    pub async fn resend_events(&self, id: Option<&str>) -> Result<u64, StoreError> {
        let mut sql =
            "UPDATE outbox SET dead_ms = 0, attempts = 0, next_ms = 0, created_ms = $1 WHERE dead_ms > 0"
                .to_owned();
        let mut values: Vec<Value<'_>> = vec![unix_ms().into()];
        if let Some(id) = id {
            sql.push_str(" AND event_id = $2");
            values.push(id.into());
        }
        found(self.database().execute(&sql, &values).await?, id)
    }

    /// Forgets dead events: the one of this id, or all. Says how many.
    pub async fn drop_events(&self, id: Option<&str>) -> Result<u64, StoreError> {
        let mut sql = "DELETE FROM outbox WHERE dead_ms > 0".to_owned();
        let mut values: Vec<Value<'_>> = Vec::new();
        if let Some(id) = id {
            sql.push_str(" AND event_id = $1");
            values.push(id.into());
        }
        found(self.database().execute(&sql, &values).await?, id)
    }

    /// How many events wait, and how many are dead.
    pub async fn outbox_counts(&self) -> Result<(u64, u64), StoreError> {
        let sql = "SELECT count(*), (SELECT count(*) FROM outbox WHERE dead_ms > 0) FROM outbox";
        let rows = self.database().rows(sql, &[]).await?;
        let Some(row) = rows.first() else { return Ok((0, 0)) };
        let (all, dead) = (row.int(0)?, row.int(1)?);
        Ok((u64::try_from(all - dead).unwrap_or_default(), u64::try_from(dead).unwrap_or_default()))
    }
}

async fn add(open: &mut Transaction, event: &NewEvent, target: &str) -> Result<(), StoreError> {
    let sql = "INSERT INTO outbox (event_id, target, tenant, lane, event, body, created_ms, attempts, next_ms, \
               dead_ms, problem, seq) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0, 0, '', \
               (SELECT COALESCE(MAX(seq), 0) + 1 FROM outbox)) ON CONFLICT DO NOTHING";
    let NewEvent { id, tenant, room, event, body, created_ms, .. } = event;
    let lane = format!("{tenant}/{room}");
    let values: [Value<'_>; 7] = [
        id.into(),
        target.into(),
        tenant.as_str().into(),
        (&lane).into(),
        event.into(),
        body.into(),
        (*created_ms).into(),
    ];
    open.execute(sql, &values).await.map(drop)
}

/// Sees that the outbox stays within its bound, if dead events make it so.
async fn make_place(open: &mut Transaction, limit: usize) -> Result<(), StoreError> {
    let bound = i64::try_from(limit).unwrap_or(i64::MAX);
    if count(open).await? <= bound {
        return Ok(());
    }
    let sql =
        "DELETE FROM outbox WHERE seq IN (SELECT seq FROM outbox WHERE dead_ms > 0 ORDER BY seq LIMIT $1)";
    open.execute(sql, &[MAKE_PLACE.into()]).await?;
    if count(open).await? <= bound {
        Ok(())
    } else {
        Err(StoreError::Full { what: "events that wait", limit })
    }
}

async fn count(open: &mut Transaction) -> Result<i64, StoreError> {
    let rows = open.rows("SELECT count(*) FROM outbox", &[]).await?;
    rows.first().map_or(Ok(0), |row| row.int(0))
}

fn due(row: &Row) -> Result<DueEvent, StoreError> {
    Ok(DueEvent {
        id: row.text(0)?,
        lane: row.text(1)?,
        event: row.text(2)?,
        body: row.text(3)?,
        created_ms: row.int(4)?,
        attempts: u32::try_from(row.int(5)?).unwrap_or(u32::MAX),
        next_ms: row.int(6)?,
    })
}

fn held(row: &Row) -> Result<HeldEvent, StoreError> {
    Ok(HeldEvent {
        id: row.text(0)?,
        target: row.text(1)?,
        tenant: TenantId::new(row.text(2)?),
        event: row.text(3)?,
        created_ms: row.int(4)?,
        attempts: u32::try_from(row.int(5)?).unwrap_or(u32::MAX),
        dead_ms: Some(row.int(6)?).filter(|dead| *dead > 0),
        problem: row.text(7)?,
    })
}

fn found(rows: u64, id: Option<&str>) -> Result<u64, StoreError> {
    match id {
        Some(id) if rows == 0 => Err(StoreError::NotFound { what: "dead event", id: id.to_owned() }),
        _ => Ok(rows),
    }
}
