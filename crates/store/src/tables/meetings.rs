// SPDX-License-Identifier: EUPL-1.2
//! Meetings that people made a room for. The record says who may open the door, so it is sealed; what is in it beyond its own name is
//! the caller's.

use serde::{Deserialize, Serialize};

use crate::database::Row;
use crate::records::{Put, Table};
use crate::{Store, StoreError, TenantId};

pub(crate) const MEETINGS: Table = Table { name: "meetings", what: "meeting", columns: &[], sealed: true };

/// A meeting as it is kept: by which key it is conducted, what it is, and how it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredMeeting {
    /// The name of its room.
    pub room: String,
    /// All else, as whoever keeps it says.
    pub record: serde_json::Value,
}

/// Whose meeting it is, its room, and itself.
pub type MeetingRow = (TenantId, String, Result<StoredMeeting, StoreError>);

impl Store {
    /// Keeps a meeting under its room's name, in place of what was kept of it.
    pub async fn put_meeting(&self, tenant: &TenantId, meeting: &StoredMeeting) -> Result<(), StoreError> {
        let draft = self.draft(&MEETINGS, tenant, &meeting.room, &[], &meeting.record)?;
        match self.put(Put::New, &MEETINGS, tenant, &draft).await {
            Err(StoreError::Exists { .. }) => self.put(Put::Changed, &MEETINGS, tenant, &draft).await,
            other => other,
        }
    }

    /// The meeting of this room.
    pub async fn meeting(&self, tenant: &TenantId, room: &str) -> Result<Option<StoredMeeting>, StoreError> {
        let record = self.get(&MEETINGS, tenant, room).await?;
        Ok(record.map(|record| StoredMeeting { room: room.to_owned(), record }))
    }

    /// All meetings of all tenants by their rooms, the oldest first. One that can't be read is there all the same: its room is not to
    /// stand open for that.
    pub async fn meetings(&self) -> Result<Vec<MeetingRow>, StoreError> {
        let sql = "SELECT id, record, tenant FROM meetings ORDER BY created_ms, id";
        let rows = self.database().rows(sql, &[]).await?;
        let read = |row: &Row| {
            let (tenant, room) = (TenantId::new(row.text(2)?), row.text(0)?);
            let record = self.record(&MEETINGS, &tenant, row);
            let meeting = record.map(|record| StoredMeeting { room: room.clone(), record });
            Ok((tenant, room, meeting))
        };
        rows.iter().map(read).collect()
    }

    /// Forgets a meeting.
    pub async fn delete_meeting(&self, tenant: &TenantId, room: &str) -> Result<StoredMeeting, StoreError> {
        let record = self.delete(&MEETINGS, tenant, room).await?;
        Ok(StoredMeeting { room: room.to_owned(), record })
    }
}
