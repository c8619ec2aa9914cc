// SPDX-License-Identifier: EUPL-1.2
//! What is recorded or streamed, and what was. Records are sealed: a request carries the credentials of its storage.

use livekit_protocol as proto;
use livekit_protocol::EgressStatus as Status;

use crate::records::{Draft, Put, Table, put};
use crate::{Store, StoreError, TenantId};

pub(crate) const EGRESSES: Table =
    Table { name: "egresses", what: "egress", columns: &["room", "state"], sealed: true };

/// How many of those that ended give way when the table is full, so that not each new one has to make place.
const MAKE_PLACE: i64 = 100;

impl Store {
    /// Keeps an egress under its id. Of a full table, the oldest that ended go.
    pub async fn create_egress(
        &self,
        tenant: &TenantId,
        egress: &proto::EgressInfo,
    ) -> Result<(), StoreError> {
        let draft = self.egress_draft(tenant, egress)?;
        match self.put(Put::New, &EGRESSES, tenant, &draft).await {
            Err(StoreError::Full { .. }) => {}
            other => return other,
        }
        let (database, limit) = (self.database(), self.limits().rows);
        let work = async {
            let (_alone, mut open) = database.write().await?;
            let sql = "DELETE FROM egresses WHERE tenant = $1 AND id IN (SELECT id FROM egresses \
                       WHERE tenant = $1 AND state = 'ended' ORDER BY updated_ms, id LIMIT $2)";
            open.execute(sql, &[tenant.as_str().into(), MAKE_PLACE.into()]).await?;
            put(&mut open, Put::New, &EGRESSES, limit, tenant, &draft).await?;
            open.commit().await
        };
        database.timed(work).await
    }

    /// Writes down how an egress does.
    pub async fn update_egress(
        &self,
        tenant: &TenantId,
        egress: &proto::EgressInfo,
    ) -> Result<(), StoreError> {
        let draft = self.egress_draft(tenant, egress)?;
        self.put(Put::Changed, &EGRESSES, tenant, &draft).await
    }

    /// Writes down where the files of an egress lie that has ended. It counts as ended when it did before.
    pub async fn relocate_egress(
        &self,
        tenant: &TenantId,
        egress: &proto::EgressInfo,
    ) -> Result<(), StoreError> {
        let draft = self.egress_draft(tenant, egress)?;
        let (database, limit) = (self.database(), self.limits().rows);
        let work = async {
            let (_alone, mut open) = database.write().await?;
            let one = [tenant.as_str().into(), egress.egress_id.as_str().into()];
            let sql = "SELECT updated_ms FROM egresses WHERE tenant = $1 AND id = $2";
            let ended_ms = open.rows(sql, &one).await?.first().map(|row| row.int(0)).transpose()?;
            put(&mut open, Put::Changed, &EGRESSES, limit, tenant, &draft).await?;
            let [tenant, id] = one;
            let sql = "UPDATE egresses SET updated_ms = $3 WHERE tenant = $1 AND id = $2";
            open.execute(sql, &[tenant, id, ended_ms.unwrap_or_default().into()]).await?;
            open.commit().await
        };
        database.timed(work).await
    }

    /// The egress of this id.
    pub async fn egress(&self, tenant: &TenantId, id: &str) -> Result<Option<proto::EgressInfo>, StoreError> {
        self.get(&EGRESSES, tenant, id).await
    }

    /// The egresses of one room, or of all; all, or only those that have not ended; the oldest first.
    pub async fn list_egresses(
        &self,
        tenant: &TenantId,
        room: Option<&str>,
        only_active: bool,
    ) -> Result<Vec<proto::EgressInfo>, StoreError> {
        let room = room.map(|room| ("room", room));
        let state = only_active.then_some(("state", "active"));
        let filter: Vec<(&str, &str)> = room.into_iter().chain(state).collect();
        self.list(&EGRESSES, tenant, &filter).await
    }

    /// The egresses of all tenants that have not ended, the oldest first.
    pub async fn active_egresses(&self) -> Result<Vec<(TenantId, proto::EgressInfo)>, StoreError> {
        let active = self.all(&EGRESSES, Some(("state", "active"))).await?.into_iter();
        Ok(active.map(|(tenant, _, egress)| (tenant, egress)).collect())
    }

    /// The egresses of all tenants, the oldest first.
    pub async fn egresses(&self) -> Result<Vec<(TenantId, proto::EgressInfo)>, StoreError> {
        let all = self.all(&EGRESSES, None).await?.into_iter();
        Ok(all.map(|(tenant, _, egress)| (tenant, egress)).collect())
    }

    /// The egresses of all tenants that had ended by a moment, in milliseconds since 1970: whose they are, and which; the oldest
    /// first. Records that can't be read are among them.
    pub async fn ended_egresses(&self, by_ms: i64) -> Result<Vec<(TenantId, String)>, StoreError> {
        // One that has ended is never written again.
        let sql = "SELECT tenant, id FROM egresses WHERE state = 'ended' AND updated_ms <= $1 \
                   ORDER BY updated_ms, id";
        let rows = self.database().rows(sql, &[by_ms.into()]).await?;
        rows.iter().map(|row| Ok((TenantId::new(row.text(0)?), row.text(1)?))).collect()
    }

    /// The tenants that have an egress of this id, or had one that was erased.
    pub async fn tenants_of_egress(&self, id: &str) -> Result<Vec<TenantId>, StoreError> {
        let sql = "SELECT tenant FROM egresses WHERE id = $1 UNION SELECT tenant FROM erasures WHERE id = $1 \
                   ORDER BY tenant";
        let rows = self.database().rows(sql, &[id.into()]).await?;
        rows.iter().map(|row| Ok(TenantId::new(row.text(0)?))).collect()
    }

    /// Takes an egress out.
    pub async fn delete_egress(&self, tenant: &TenantId, id: &str) -> Result<proto::EgressInfo, StoreError> {
        self.delete(&EGRESSES, tenant, id).await
    }

    fn egress_draft<'a>(
        &self,
        tenant: &TenantId,
        egress: &'a proto::EgressInfo,
    ) -> Result<Draft<'a>, StoreError> {
        let state = match egress.status() {
            Status::EgressStarting | Status::EgressActive | Status::EgressEnding => "active",
            _ => "ended",
        };
        self.draft(&EGRESSES, tenant, &egress.egress_id, &[&egress.room_name, state], egress)
    }
}
