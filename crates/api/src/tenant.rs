// SPDX-License-Identifier: EUPL-1.2
//! Organisations that share a server. An API key belongs to one of them; what is made with it is that one's, and no other's
//! key sees it, finds it or touches it (row 54).

use std::fmt;

/// An organisation. Its name is the operator's; keys that name none belong to the default one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(String);

impl TenantId {
    /// Of that name.
    pub fn new(name: impl Into<String>) -> TenantId {
        TenantId(name.into())
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for TenantId {
    fn default() -> Self {
        TenantId("default".to_owned())
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

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
