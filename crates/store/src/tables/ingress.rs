// SPDX-License-Identifier: EUPL-1.2
//! Where streams come in. A stream key opens a room to whoever has it: the table holds its hash, the record is sealed.

use livekit_protocol as proto;

use crate::records::{Put, Table};
use crate::seal::hash;
use crate::{Store, StoreError, TenantId};

pub(crate) const INGRESSES: Table =
    Table { name: "ingresses", what: "ingress", columns: &["room", "key_hash"], sealed: true };

impl Store {
    /// Keeps an ingress under its id; [`StoreError::Exists`] if another has its id or stream key. One without a stream key
    /// is found by its id only.
    pub async fn create_ingress(
        &self,
        tenant: &TenantId,
        ingress: &proto::IngressInfo,
    ) -> Result<(), StoreError> {
        self.put_ingress(Put::New, tenant, ingress).await
    }

    /// Changes an ingress, such as its state.
    pub async fn update_ingress(
        &self,
        tenant: &TenantId,
        ingress: &proto::IngressInfo,
    ) -> Result<(), StoreError> {
        self.put_ingress(Put::Changed, tenant, ingress).await
    }

    /// The ingress of this id.
    pub async fn ingress(
        &self,
        tenant: &TenantId,
        id: &str,
    ) -> Result<Option<proto::IngressInfo>, StoreError> {
        self.get(&INGRESSES, tenant, id).await
    }

    /// The ingress that this stream key opens, and whose it is.
    pub async fn ingress_by_stream_key(
        &self,
        stream_key: &str,
    ) -> Result<Option<(TenantId, proto::IngressInfo)>, StoreError> {
        if stream_key.is_empty() {
            return Ok(None);
        }
        let sql = "SELECT id, record, tenant FROM ingresses WHERE key_hash = $1";
        let rows = self.database().rows(sql, &[(&hash(stream_key)).into()]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let tenant = TenantId::new(row.text(2)?);
        let ingress = self.record(&INGRESSES, &tenant, row)?;
        Ok(Some((tenant, ingress)))
    }

    /// The ingresses of one room, or all, the oldest first.
    pub async fn list_ingresses(
        &self,
        tenant: &TenantId,
        room: Option<&str>,
    ) -> Result<Vec<proto::IngressInfo>, StoreError> {
        let filter: Vec<(&str, &str)> = room.map(|room| ("room", room)).into_iter().collect();
        self.list(&INGRESSES, tenant, &filter).await
    }

    /// Takes an ingress out: its stream key opens nothing any more.
    pub async fn delete_ingress(
        &self,
        tenant: &TenantId,
        id: &str,
    ) -> Result<proto::IngressInfo, StoreError> {
        self.delete(&INGRESSES, tenant, id).await
    }

    async fn put_ingress(
        &self,
        how: Put,
        tenant: &TenantId,
        ingress: &proto::IngressInfo,
    ) -> Result<(), StoreError> {
        let key = key_hash(tenant, ingress);
        let columns = [ingress.room_name.as_str(), &key];
        let draft = self.draft(&INGRESSES, tenant, &ingress.ingress_id, &columns, ingress)?;
        self.put(how, &INGRESSES, tenant, &draft).await
    }
}

fn key_hash(tenant: &TenantId, ingress: &proto::IngressInfo) -> String {
    if ingress.stream_key.is_empty() {
        // Unique, and no hash of anything.
        return format!("none/{tenant}/{}", ingress.ingress_id);
    }
    hash(&ingress.stream_key)
}
