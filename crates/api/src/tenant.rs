// SPDX-License-Identifier: EUPL-1.2
//! Organisations that share a server. An API key belongs to one of them; what is made with it is that one's, and no other's
//! key sees it, finds it or touches it (row 54).

pub(crate) use parvis_store::TenantId;

/// How a room is found: names are each tenant's own, so that two may have a room of one name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RoomKey {
    pub(crate) tenant: TenantId,
    pub(crate) name: String,
}

impl RoomKey {
    pub(crate) fn new(tenant: &TenantId, name: &str) -> RoomKey {
        RoomKey { tenant: tenant.clone(), name: name.to_owned() }
    }
}
