// SPDX-License-Identifier: EUPL-1.2
//! One allocation: whose it is, how long it lives, what it lets through.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use parvis_peer::stun::TRANSACTION_BYTES;

use crate::server::{Client, Family, RelayId};

/// RFC 8656 section 9.
const PERMISSION_LIFETIME: Duration = Duration::from_secs(300);
/// RFC 8656 section 12.
const CHANNEL_LIFETIME: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub(crate) struct Allocation {
    pub(crate) client: Client,
    pub(crate) sid: Arc<str>,
    pub(crate) relay: RelayId,
    pub(crate) family: Family,
    pub(crate) expires: Instant,
    /// The request that made it, which may be repeated (RFC 8656 section 7.2), …
    pub(crate) transaction: [u8; TRANSACTION_BYTES],
    /// … and its answer, from when the socket is there.
    pub(crate) answer: Option<Vec<u8>>,
    /// What that answer is signed with.
    pub(crate) key: hmac::Key,
    permissions: BTreeMap<IpAddr, Instant>,
    channels: BTreeMap<u16, Channel>,
    by_peer: BTreeMap<SocketAddr, u16>,
}

#[derive(Debug, Clone, Copy)]
struct Channel {
    peer: SocketAddr,
    expires: Instant,
}

impl Allocation {
    pub(crate) fn new(
        client: Client,
        sid: Arc<str>,
        relay: RelayId,
        family: Family,
        expires: Instant,
        transaction: [u8; TRANSACTION_BYTES],
        key: hmac::Key,
    ) -> Allocation {
        Allocation {
            client,
            sid,
            relay,
            family,
            expires,
            transaction,
            answer: None,
            key,
            permissions: BTreeMap::new(),
            channels: BTreeMap::new(),
            by_peer: BTreeMap::new(),
        }
    }

    /// Lets packets from and to an address through. Addresses are those of [`crate::Peers`], so there are few.
    pub(crate) fn permit(&mut self, now: Instant, peer: IpAddr) {
        self.permissions.insert(peer, now + PERMISSION_LIFETIME);
    }

    pub(crate) fn permits(&self, now: Instant, peer: IpAddr) -> bool {
        self.permissions.get(&peer).is_some_and(|expires| now < *expires)
    }

    /// Gives a peer a number, or says that number or peer have another already.
    pub(crate) fn bind(&mut self, now: Instant, number: u16, peer: SocketAddr) -> bool {
        self.forget_channels(now);
        let is_free = match (self.channels.get(&number), self.by_peer.get(&peer)) {
            (None, None) => true,
            (Some(channel), Some(bound)) => channel.peer == peer && *bound == number,
            _ => false,
        };
        if is_free {
            self.channels.insert(number, Channel { peer, expires: now + CHANNEL_LIFETIME });
            self.by_peer.insert(peer, number);
            self.permit(now, peer.ip());
        }
        is_free
    }

    /// Whose number this is.
    pub(crate) fn channel_peer(&self, now: Instant, number: u16) -> Option<SocketAddr> {
        self.channels.get(&number).filter(|channel| now < channel.expires).map(|channel| channel.peer)
    }

    /// The number of a peer.
    pub(crate) fn channel_of(&self, now: Instant, peer: SocketAddr) -> Option<u16> {
        let number = *self.by_peer.get(&peer)?;
        self.channel_peer(now, number).map(|_| number)
    }

    /// How many permissions and channels it holds, those that are over too.
    #[cfg(test)]
    pub(crate) fn held(&self) -> (usize, usize) {
        (self.permissions.len(), self.channels.len())
    }

    fn forget_channels(&mut self, now: Instant) {
        self.channels.retain(|_, channel| now < channel.expires);
        let channels = &self.channels;
        self.by_peer.retain(|_, number| channels.contains_key(number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Transport;

    #[test]
    fn a_channel_has_one_peer_until_its_time_is_over() {
        let now = Instant::now();
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let client = Client {
            transport: Transport::Udp,
            local: address("192.0.2.1:3478"),
            remote: address("192.0.2.9:1"),
        };
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"");
        let sid: Arc<str> = "PA_ada".into();
        let mut allocation = Allocation::new(client, sid, RelayId(1), Family::V4, now, [0; 12], key);
        let (one, other) = (address("192.0.2.1:7882"), address("192.0.2.1:7883"));
        assert!(allocation.bind(now, 0x4000, one) && allocation.bind(now, 0x4000, one));
        assert!(!allocation.bind(now, 0x4000, other), "the number is taken");
        assert!(!allocation.bind(now, 0x4001, one), "the peer has a number");
        assert_eq!(allocation.channel_of(now, one), Some(0x4000));
        assert!(
            allocation.permits(now, one.ip()) && !allocation.permits(now + PERMISSION_LIFETIME, one.ip())
        );
        let later = now + CHANNEL_LIFETIME;
        assert_eq!((allocation.channel_peer(later, 0x4000), allocation.channel_of(later, one)), (None, None));
        assert!(allocation.bind(later, 0x4000, other) && allocation.bind(later, 0x4001, one));
        assert_eq!(allocation.held(), (1, 2));
    }
}
