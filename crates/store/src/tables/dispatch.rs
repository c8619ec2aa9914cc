// SPDX-License-Identifier: EUPL-1.2
//! Which agents are to come to which rooms.

use livekit_protocol as proto;

use crate::records::{Put, Table};
use crate::{Store, StoreError, TenantId};

pub(crate) const DISPATCHES: Table =
    Table { name: "dispatches", what: "agent dispatch", columns: &["room"], sealed: false };

impl Store {
    /// Keeps a dispatch under its id.
    pub async fn create_dispatch(
        &self,
        tenant: &TenantId,
        dispatch: &proto::AgentDispatch,
    ) -> Result<(), StoreError> {
        self.put_dispatch(Put::New, tenant, dispatch).await
    }

    /// Changes a dispatch, such as the state of its jobs.
    pub async fn update_dispatch(
        &self,
        tenant: &TenantId,
        dispatch: &proto::AgentDispatch,
    ) -> Result<(), StoreError> {
        self.put_dispatch(Put::Changed, tenant, dispatch).await
    }

    async fn put_dispatch(
        &self,
        how: Put,
        tenant: &TenantId,
        dispatch: &proto::AgentDispatch,
    ) -> Result<(), StoreError> {
        let draft = self.draft(&DISPATCHES, tenant, &dispatch.id, &[&dispatch.room], dispatch)?;
        self.put(how, &DISPATCHES, tenant, &draft).await
    }

    /// The dispatch of this id.
    pub async fn dispatch(
        &self,
        tenant: &TenantId,
        id: &str,
    ) -> Result<Option<proto::AgentDispatch>, StoreError> {
        self.get(&DISPATCHES, tenant, id).await
    }

    /// The dispatches to one room, or all, the oldest first.
    pub async fn list_dispatches(
        &self,
        tenant: &TenantId,
        room: Option<&str>,
    ) -> Result<Vec<proto::AgentDispatch>, StoreError> {
        let filter: Vec<(&str, &str)> = room.map(|room| ("room", room)).into_iter().collect();
        self.list(&DISPATCHES, tenant, &filter).await
    }

    /// Takes a dispatch out.
    pub async fn delete_dispatch(
        &self,
        tenant: &TenantId,
        id: &str,
    ) -> Result<proto::AgentDispatch, StoreError> {
        self.delete(&DISPATCHES, tenant, id).await
    }
}
