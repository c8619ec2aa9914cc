// SPDX-License-Identifier: EUPL-1.2
//! Packets between a client and our media addresses.

use std::net::SocketAddr;
use std::time::Instant;

use parvis_peer::stun::{Message, TRANSACTION_BYTES, Writer};

use super::{Client, Outcome, RelayId, Server, Transport};
use crate::wire::{self, DATA, DATA_INDICATION, XOR_PEER_ADDRESS};

/// An indication is answered by nothing, so its transaction may be any.
const NO_TRANSACTION: [u8; TRANSACTION_BYTES] = [0; TRANSACTION_BYTES];

impl Server {
    /// RFC 8656 section 11.2. An indication proves nothing; the 5-tuple that an allocation was made from does.
    pub(super) fn send_indication<'a>(
        &mut self,
        now: Instant,
        client: Client,
        message: &Message<'a>,
    ) -> Outcome<'a> {
        let peer = message.attribute(XOR_PEER_ADDRESS).and_then(|value| wire::peer_address(message, value));
        let (Some(peer), Some(payload)) = (peer, message.attribute(DATA)) else {
            self.stats.malformed += 1;
            return Outcome::Nothing;
        };
        let permitted = self.peers.named(peer).filter(|peer| {
            self.allocations.get(&client).is_some_and(|allocation| allocation.permits(now, peer.ip()))
        });
        self.carry_to_media(now, client, permitted, payload)
    }

    /// RFC 8656 section 12.6.
    pub(super) fn channel_message<'a>(
        &mut self,
        now: Instant,
        client: Client,
        bytes: &'a [u8],
    ) -> Outcome<'a> {
        let Some((number, payload)) = wire::read_channel(bytes) else {
            self.stats.malformed += 1;
            return Outcome::Nothing;
        };
        let peer = self.allocations.get(&client).and_then(|allocation| allocation.channel_peer(now, number));
        self.carry_to_media(now, client, peer, payload)
    }

    fn carry_to_media<'a>(
        &mut self,
        now: Instant,
        client: Client,
        peer: Option<SocketAddr>,
        payload: &'a [u8],
    ) -> Outcome<'a> {
        let to = peer.and_then(|peer| self.peers.bound(peer));
        let relay = self.allocations.get(&client).map(|allocation| allocation.relay);
        let (Some(to), Some(relay)) = (to, relay) else {
            self.stats.unpermitted += 1;
            return Outcome::Nothing;
        };
        if !self.afford(now, client, payload.len()) {
            return Outcome::Nothing;
        }
        self.stats.packets_to_media += 1;
        self.stats.bytes_to_media += payload.len() as u64;
        Outcome::Relay { relay, to, payload }
    }

    /// Takes a packet that came to an allocation's socket. Returns whom to send what.
    pub fn handle_relay(
        &mut self,
        now: Instant,
        relay: RelayId,
        from: SocketAddr,
        payload: &[u8],
    ) -> Option<(Client, Vec<u8>)> {
        let client = *self.by_relay.get(&relay)?;
        let allocation = self.allocations.get(&client)?;
        // Whatever comes from elsewhere than our media came from a stranger.
        let peer = self.peers.offered(from).filter(|peer| allocation.permits(now, peer.ip()));
        let Some(peer) = peer else {
            self.stats.unpermitted += 1;
            return None;
        };
        let message = match allocation.channel_of(now, peer) {
            Some(number) => wire::write_channel(number, payload, client.transport != Transport::Udp)?,
            None => {
                let mut writer = Writer::new(DATA_INDICATION, &NO_TRANSACTION);
                writer.xor_address(XOR_PEER_ADDRESS, peer);
                writer.attribute(DATA, payload);
                writer.finish_bare()
            }
        };
        if !self.afford(now, client, payload.len()) {
            return None;
        }
        self.stats.packets_to_clients += 1;
        self.stats.bytes_to_clients += payload.len() as u64;
        Some((client, message))
    }

    /// Whether so much more may be relayed, for this client and in all.
    fn afford(&mut self, now: Instant, client: Client, bytes: usize) -> bool {
        let sid = self.allocations.get(&client).map(|allocation| &allocation.sid);
        let user = sid.and_then(|sid| self.users.get_mut(sid));
        let affords = user.is_some_and(|user| user.bucket.take(now, bytes)) && self.bucket.take(now, bytes);
        if !affords {
            self.stats.over_bitrate += 1;
        }
        affords
    }
}
