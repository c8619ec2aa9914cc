// SPDX-License-Identifier: EUPL-1.2
//! What the server relays to: our own media addresses, as clients name them and as they are bound.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use parvis_addr::canonical;

use crate::Family;

/// The only addresses that anything is relayed to and from. Behind a 1:1 NAT the address that clients are offered is not
/// the one that the media socket is bound to; clients speak of the former, the relay sends to the latter.
#[derive(Debug, Clone, Default)]
pub struct Peers {
    bound: BTreeMap<SocketAddr, SocketAddr>,
    offered: BTreeMap<SocketAddr, SocketAddr>,
    ips: BTreeSet<IpAddr>,
}

impl Peers {
    /// Each media address as it is offered, and as it is bound.
    pub fn new(media: impl IntoIterator<Item = (SocketAddr, SocketAddr)>) -> Peers {
        let mut peers = Peers::default();
        for (offered, bound) in media {
            let offered = SocketAddr::new(canonical(offered.ip()), offered.port());
            peers.bound.insert(offered, bound);
            peers.offered.insert(bound, offered);
            peers.ips.insert(offered.ip());
        }
        peers
    }

    /// Which of them a client means, in whatever form it wrote the address; `None` for everything else. A permission is
    /// for an IP address (RFC 8656 section 9), so a port of 0 stands for any of that address.
    pub(crate) fn named(&self, address: SocketAddr) -> Option<SocketAddr> {
        let address = SocketAddr::new(canonical(address.ip()), address.port());
        let is_ours = match address.port() {
            0 => self.ips.contains(&address.ip()),
            _ => self.bound.contains_key(&address),
        };
        is_ours.then_some(address)
    }

    /// Where a packet for one of them goes.
    pub(crate) fn bound(&self, offered: SocketAddr) -> Option<SocketAddr> {
        self.bound.get(&offered).copied()
    }

    /// How clients know the one that a packet came from.
    pub(crate) fn offered(&self, bound: SocketAddr) -> Option<SocketAddr> {
        self.offered.get(&bound).copied()
    }

    /// Whether any of them is of this family: without one there is nothing to relay between.
    pub(crate) fn has(&self, family: Family) -> bool {
        self.ips.iter().any(|ip| Family::of(*ip) == family)
    }
}
