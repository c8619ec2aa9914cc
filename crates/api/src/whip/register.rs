// SPDX-License-Identifier: EUPL-1.2
//! Sessions that clients reach by URL: who may, how many there are, and where they are.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parvis_signal::ConnectionId;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use crate::config::OfferLimits;
use crate::limit::shared_by;
use crate::metrics::Metrics;
use crate::rooms::Input;
use crate::tenant::RoomKey;

/// A bearer token or stream key, as it is remembered.
pub(crate) type BearerHash = [u8; 32];

/// All sessions that came by an offer.
pub(crate) struct Resources {
    table: Mutex<Table>,
    metrics: Metrics,
}

#[derive(Default)]
struct Table {
    by_id: HashMap<String, Resource>,
    /// Places taken, in all and by address: from before the room has answered.
    taken: usize,
    per_ip: HashMap<IpAddr, usize>,
}

/// One session.
#[derive(Clone)]
pub(crate) struct Resource {
    pub(crate) room: RoomKey,
    pub(crate) identity: String,
    /// What it came with: the same opens it later, even when it has expired meanwhile.
    pub(crate) bearer: BearerHash,
    pub(crate) connection: ConnectionId,
    pub(crate) inbox: mpsc::Sender<Input>,
    /// Names its ICE session, once it is answered.
    pub(crate) entity_tag: Option<String>,
}

/// A place among the sessions; it is free again when this is dropped, and its session is no longer found.
pub(crate) struct Seat {
    resources: Arc<Resources>,
    ip: IpAddr,
    id: Option<String>,
}

/// By which limit there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    All,
    OfAddress,
}

/// What is remembered of a bearer token.
pub(crate) fn hash(bearer: &str) -> BearerHash {
    Sha256::digest(bearer.as_bytes()).into()
}

impl Resources {
    pub(crate) fn new(metrics: Metrics) -> Arc<Resources> {
        Arc::new(Resources { table: Mutex::default(), metrics })
    }

    /// Takes a place for a client of this address.
    pub(crate) fn seat(self: &Arc<Self>, limits: &OfferLimits, ip: IpAddr) -> Result<Seat, Taken> {
        let ip = shared_by(ip);
        let mut table = self.table();
        if table.taken >= limits.max {
            return Err(Taken::All);
        }
        let own = table.per_ip.entry(ip).or_default();
        if *own >= limits.max_per_ip {
            return Err(Taken::OfAddress);
        }
        *own += 1;
        table.taken += 1;
        self.metrics.offered.inc();
        Ok(Seat { resources: Arc::clone(self), ip, id: None })
    }

    /// The session of this name.
    pub(crate) fn find(&self, id: &str) -> Option<Resource> {
        self.table().by_id.get(id).cloned()
    }

    /// Its ICE session is another one from now on.
    pub(crate) fn set_entity_tag(&self, id: &str, entity_tag: Option<String>) {
        if let Some(resource) = self.table().by_id.get_mut(id) {
            resource.entity_tag = entity_tag;
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing in these short sections panics half way.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Lets the session be found by its name.
    pub(crate) fn take(&mut self, id: &str, resource: Resource) {
        self.id = Some(id.to_owned());
        self.resources.table().by_id.insert(id.to_owned(), resource);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut table = self.resources.table();
        table.taken = table.taken.saturating_sub(1);
        if let Some(own) = table.per_ip.get_mut(&self.ip) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                table.per_ip.remove(&self.ip);
            }
        }
        if let Some(id) = &self.id {
            table.by_id.remove(id);
        }
        self.resources.metrics.offered.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenant::TenantId;

    #[test]
    fn places_are_bounded_in_all_and_by_address_and_come_back() {
        let limits = OfferLimits { max: 3, max_per_ip: 2, ..OfferLimits::default() };
        let resources = Resources::new(Metrics::new(Vec::new()).unwrap());
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let mut first = resources.seat(&limits, ip("192.0.2.1")).ok().unwrap();
        let _second = resources.seat(&limits, ip("192.0.2.1")).ok().unwrap();
        assert_eq!(resources.seat(&limits, ip("192.0.2.1")).err(), Some(Taken::OfAddress));
        let _third = resources.seat(&limits, ip("192.0.2.2")).ok().unwrap();
        assert_eq!(resources.seat(&limits, ip("192.0.2.3")).err(), Some(Taken::All));

        let (inbox, _) = mpsc::channel(1);
        let resource = Resource {
            room: RoomKey::new(&TenantId::default(), "atelier"),
            identity: "studio".into(),
            bearer: hash("token"),
            connection: ConnectionId(1),
            inbox,
            entity_tag: None,
        };
        first.take("PA_1", resource);
        resources.set_entity_tag("PA_1", Some("\"x\"".into()));
        assert_eq!(resources.find("PA_1").unwrap().entity_tag.as_deref(), Some("\"x\""));
        drop(first);
        assert!(resources.find("PA_1").is_none());
        assert!(resources.seat(&limits, ip("192.0.2.1")).is_ok());
    }
}
