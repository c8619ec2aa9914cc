// SPDX-License-Identifier: EUPL-1.2
//! Rooms that are configured ahead: they need not be open.

use livekit_protocol as proto;

use crate::records::{Put, Table};
use crate::{Store, StoreError, TenantId};

pub(crate) const ROOMS: Table = Table { name: "rooms", what: "room", columns: &[], sealed: true };

/// What a room is made with: its name, empty and departure timeouts in seconds, the most participants, metadata, agents
/// and egress. 0 and nothing mean the server's own choice.
pub type RoomSettings = proto::CreateRoomRequest;

impl Store {
    /// Configures a room ahead; [`StoreError::Exists`] if there is one of this name.
    pub async fn create_room(&self, tenant: &TenantId, room: &RoomSettings) -> Result<(), StoreError> {
        self.write_room(Put::New, tenant, room).await
    }

    /// Configures a room ahead, in place of what was configured of this name.
    pub async fn put_room(&self, tenant: &TenantId, room: &RoomSettings) -> Result<(), StoreError> {
        match self.create_room(tenant, room).await {
            Err(StoreError::Exists { .. }) => self.update_room(tenant, room).await,
            other => other,
        }
    }

    /// Changes the settings of a room.
    pub async fn update_room(&self, tenant: &TenantId, room: &RoomSettings) -> Result<(), StoreError> {
        self.write_room(Put::Changed, tenant, room).await
    }

    async fn write_room(&self, how: Put, tenant: &TenantId, room: &RoomSettings) -> Result<(), StoreError> {
        let draft = self.draft(&ROOMS, tenant, &room.name, &[], room)?;
        self.put(how, &ROOMS, tenant, &draft).await
    }

    /// The settings of a room of this name.
    pub async fn room(&self, tenant: &TenantId, name: &str) -> Result<Option<RoomSettings>, StoreError> {
        self.get(&ROOMS, tenant, name).await
    }

    /// All rooms that are configured, the oldest first.
    pub async fn list_rooms(&self, tenant: &TenantId) -> Result<Vec<RoomSettings>, StoreError> {
        self.list(&ROOMS, tenant, &[]).await
    }

    /// All rooms of all tenants, the oldest first.
    pub async fn rooms(&self) -> Result<Vec<(TenantId, RoomSettings)>, StoreError> {
        let all = self.all(&ROOMS, None).await?.into_iter();
        Ok(all.map(|(tenant, _, room)| (tenant, room)).collect())
    }

    /// Forgets the settings of a room.
    pub async fn delete_room(&self, tenant: &TenantId, name: &str) -> Result<RoomSettings, StoreError> {
        self.delete(&ROOMS, tenant, name).await
    }
}
