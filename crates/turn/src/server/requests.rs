// SPDX-License-Identifier: EUPL-1.2
//! Requests: who asks is proved first, then each method in its turn.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use parvis_peer::stun::{
    BINDING_REQUEST, BINDING_SUCCESS, Message, UNKNOWN_ATTRIBUTES, Writer, XOR_MAPPED_ADDRESS,
};

use super::{Client, Family, Outcome, RelayId, Server, Transport, shared_by};
use crate::allocation::Allocation;
use crate::credentials::REALM;
use crate::wire::{self, *};

/// Who asks, proved.
struct Proof {
    sid: Arc<str>,
    /// What answers are signed with.
    key: hmac::Key,
    /// The credentials' time is over: what there is may go on, nothing new may begin.
    expired: bool,
}

impl Server {
    pub(super) fn message<'a>(&mut self, now: Instant, client: Client, message: &Message<'a>) -> Outcome<'a> {
        match message.kind() {
            SEND_INDICATION => self.send_indication(now, client, message),
            BINDING_REQUEST => self.binding(client, message),
            kind if kind & CLASS_BITS == 0 => self.request(now, client, message),
            // Answers answer nothing, for we ask nothing; other indications are none of TURN's.
            _ => Outcome::Nothing,
        }
    }

    /// Tells a client its own address (RFC 8489 section 2). Browsers take a TURN server for a STUN server too.
    fn binding<'a>(&mut self, client: Client, message: &Message<'a>) -> Outcome<'a> {
        let mut writer = Writer::new(BINDING_SUCCESS, message.transaction());
        writer.xor_address(XOR_MAPPED_ADDRESS, client.remote);
        let answer = if message.has_fingerprint() { writer.finish(None) } else { writer.finish_bare() };
        self.answer_unproved(client, answer)
    }

    fn request<'a>(&mut self, now: Instant, client: Client, message: &Message<'a>) -> Outcome<'a> {
        let proof = match self.prove(now, client, message) {
            Ok(proof) => proof,
            Err(code) => return self.challenge(now, client, message, code),
        };
        let unknown = unknown_attributes(message);
        let done = if unknown.is_empty() {
            match message.kind() {
                ALLOCATE => match self.allocate(now, client, message, &proof) {
                    Ok(outcome) => return outcome,
                    Err(UNAUTHENTICATED) => return self.challenge(now, client, message, UNAUTHENTICATED),
                    Err(code) => Err(code),
                },
                REFRESH => self.refresh(now, client, message, &proof),
                CREATE_PERMISSION => self.create_permission(now, client, message, &proof),
                CHANNEL_BIND => self.channel_bind(now, client, message, &proof),
                // Connect and ConnectionBind of RFC 6062 among them: nothing is ever relayed over TCP.
                _ => Err(BAD_REQUEST),
            }
        } else {
            Err(UNKNOWN_ATTRIBUTE)
        };
        Outcome::Reply(match done {
            Ok(writer) => writer.finish(Some(&proof.key)),
            Err(code) => {
                match code {
                    QUOTA_REACHED => self.stats.quota_reached += 1,
                    FORBIDDEN => self.stats.forbidden_peers += 1,
                    INSUFFICIENT_CAPACITY => self.stats.no_capacity += 1,
                    _ => self.stats.refused += 1,
                }
                let mut writer = Writer::new(message.kind() | ERROR, message.transaction());
                writer.error_code(code);
                if !unknown.is_empty() {
                    writer.attribute(UNKNOWN_ATTRIBUTES, &unknown);
                }
                writer.finish(Some(&proof.key))
            }
        })
    }

    /// RFC 8489 section 9.2.4. The error is the code of the challenge.
    fn prove(&self, now: Instant, client: Client, message: &Message<'_>) -> Result<Proof, u16> {
        if !message.has_integrity() {
            return Err(UNAUTHENTICATED);
        }
        let (Some(username), Some(realm), Some(nonce)) =
            (message.username(), message.attribute(wire::REALM), message.attribute(NONCE))
        else {
            return Err(BAD_REQUEST);
        };
        if !self.issuer.is_fresh(now, client.remote.ip(), nonce) {
            return Err(STALE_NONCE);
        }
        let (sid, expired) = self.issuer.read(now, username).ok_or(UNAUTHENTICATED)?;
        // Only who is in a meeting has credentials that hold, however long they were made for.
        let (sid, _) = self.users.get_key_value(sid).ok_or(UNAUTHENTICATED)?;
        let key = self.issuer.key(username);
        if realm != REALM.as_bytes() || !message.is_authentic(&key) {
            return Err(UNAUTHENTICATED);
        }
        Ok(Proof { sid: Arc::clone(sid), key, expired })
    }

    fn challenge<'a>(
        &mut self,
        now: Instant,
        client: Client,
        message: &Message<'_>,
        code: u16,
    ) -> Outcome<'a> {
        match code {
            UNAUTHENTICATED => self.stats.unauthenticated += 1,
            STALE_NONCE => self.stats.stale_nonces += 1,
            _ => self.stats.refused += 1,
        }
        let mut writer = Writer::new(message.kind() | ERROR, message.transaction());
        writer.error_code(code);
        if code != BAD_REQUEST {
            writer.attribute(wire::REALM, REALM.as_bytes());
            writer.attribute(NONCE, self.issuer.nonce(now, client.remote.ip()).as_bytes());
        }
        // Without FINGERPRINT, which nothing on this port is told apart by: an answer must not outgrow its request.
        self.answer_unproved(client, writer.finish_bare())
    }

    /// Sends to someone who may have forged his address only what his address has paid for.
    fn answer_unproved<'a>(&mut self, client: Client, answer: Vec<u8>) -> Outcome<'a> {
        if client.transport == Transport::Udp && !self.accounts.spend(client.remote.ip(), answer.len()) {
            self.stats.unanswered += 1;
            return Outcome::Nothing;
        }
        Outcome::Reply(answer)
    }

    /// RFC 8656 section 7.2.
    fn allocate<'a>(
        &mut self,
        now: Instant,
        client: Client,
        message: &Message<'_>,
        proof: &Proof,
    ) -> Result<Outcome<'a>, u16> {
        if let Some(there) = self.allocations.get(&client) {
            return match &there.answer {
                Some(answer) if there.transaction == *message.transaction() => {
                    Ok(Outcome::Reply(answer.clone()))
                }
                _ => Err(ALLOCATION_MISMATCH),
            };
        }
        if proof.expired {
            return Err(UNAUTHENTICATED);
        }
        let transport = message.attribute(REQUESTED_TRANSPORT).ok_or(BAD_REQUEST)?;
        let even_port = message.attribute(EVEN_PORT).is_some();
        let reserved = message.attribute(RESERVATION_TOKEN).is_some();
        let family = message.attribute(REQUESTED_ADDRESS_FAMILY);
        if transport.len() != 4 || (reserved && (even_port || family.is_some())) {
            return Err(BAD_REQUEST);
        }
        if transport.first() != Some(&UDP) {
            return Err(TRANSPORT_NOT_SUPPORTED);
        }
        if even_port || reserved {
            // Pairs of ports are for RTP with RTCP beside it, which no client of ours uses.
            return Err(INSUFFICIENT_CAPACITY);
        }
        let family = match family {
            None | Some([1, ..]) => Family::V4,
            Some([2, ..]) => Family::V6,
            Some(_) => return Err(FAMILY_NOT_SUPPORTED),
        };
        if !self.peers.has(family) {
            return Err(FAMILY_NOT_SUPPORTED);
        }
        self.reserve(client, &proof.sid)?;
        self.last_relay += 1;
        let relay = RelayId(self.last_relay);
        let expires = now + self.config.max_lifetime;
        let (sid, key) = (Arc::clone(&proof.sid), proof.key.clone());
        let allocation = Allocation::new(client, sid, relay, family, expires, *message.transaction(), key);
        self.allocations.insert(client, allocation);
        self.by_relay.insert(relay, client);
        Ok(Outcome::Open { relay, family })
    }

    /// Counts one more allocation, or says that there are enough.
    fn reserve(&mut self, client: Client, sid: &Arc<str>) -> Result<(), u16> {
        let address = shared_by(client.remote.ip());
        let from_address = self.per_address.get(&address).copied().unwrap_or(0);
        let user = self.users.get_mut(sid).ok_or(UNAUTHENTICATED)?;
        if user.allocations >= self.config.max_allocations_per_user
            || from_address >= self.config.max_allocations_per_address
            || self.allocations.len() >= self.config.max_allocations
        {
            return Err(QUOTA_REACHED);
        }
        user.allocations += 1;
        *self.per_address.entry(address).or_insert(0) += 1;
        Ok(())
    }

    /// RFC 8656 section 8.2.
    fn refresh(
        &mut self,
        now: Instant,
        client: Client,
        message: &Message<'_>,
        proof: &Proof,
    ) -> Result<Writer, u16> {
        // Whoever wants none wants the end; everybody else gets what there is, as RFC 8656 section 7.2 advises.
        let lifetime =
            if lifetime_asked(message) == Some(0) { Duration::ZERO } else { self.config.max_lifetime };
        let allocation = self.own(client, proof)?;
        allocation.expires = now + lifetime;
        if lifetime.is_zero() {
            self.end(client);
        }
        let mut writer = Writer::new(message.kind() | SUCCESS, message.transaction());
        writer.attribute(LIFETIME, &seconds(lifetime));
        Ok(writer)
    }

    /// RFC 8656 section 10.2. All of the addresses or none.
    fn create_permission(
        &mut self,
        now: Instant,
        client: Client,
        message: &Message<'_>,
        proof: &Proof,
    ) -> Result<Writer, u16> {
        let family = self.own(client, proof)?.family;
        let addresses = message.attributes().filter(|(kind, _)| *kind == XOR_PEER_ADDRESS);
        let mut peers = Vec::new();
        for (_, value) in addresses {
            peers.push(self.peer(message, value, family)?);
        }
        if peers.is_empty() {
            return Err(BAD_REQUEST);
        }
        let allocation = self.own(client, proof)?;
        for peer in peers {
            allocation.permit(now, peer.ip());
        }
        Ok(Writer::new(message.kind() | SUCCESS, message.transaction()))
    }

    /// RFC 8656 section 12.2.
    fn channel_bind(
        &mut self,
        now: Instant,
        client: Client,
        message: &Message<'_>,
        proof: &Proof,
    ) -> Result<Writer, u16> {
        let family = self.own(client, proof)?.family;
        let number = message.attribute(CHANNEL_NUMBER).ok_or(BAD_REQUEST)?;
        let number = number.first_chunk().map(|bytes| u16::from_be_bytes(*bytes)).ok_or(BAD_REQUEST)?;
        let value = message.attribute(XOR_PEER_ADDRESS).ok_or(BAD_REQUEST)?;
        let peer = self.peer(message, value, family)?;
        if !CHANNELS.contains(&number)
            || peer.port() == 0
            || !self.own(client, proof)?.bind(now, number, peer)
        {
            return Err(BAD_REQUEST);
        }
        Ok(Writer::new(message.kind() | SUCCESS, message.transaction()))
    }

    /// The client's allocation, if whoever asks made it.
    fn own(&mut self, client: Client, proof: &Proof) -> Result<&mut Allocation, u16> {
        let allocation = self.allocations.get_mut(&client).ok_or(ALLOCATION_MISMATCH)?;
        if allocation.sid != proof.sid {
            return Err(WRONG_CREDENTIALS);
        }
        Ok(allocation)
    }

    /// One of our media addresses, or why not.
    fn peer(&self, message: &Message<'_>, value: &[u8], family: Family) -> Result<SocketAddr, u16> {
        let written = peer_address(message, value).ok_or(BAD_REQUEST)?;
        let peer = self.peers.named(written).ok_or(FORBIDDEN)?;
        if Family::of(peer.ip()) != family {
            return Err(FAMILY_MISMATCH);
        }
        Ok(peer)
    }
}

/// The answer to a request that made an allocation.
pub(super) fn allocated(now: Instant, allocation: &Allocation, relayed: SocketAddr) -> Vec<u8> {
    let mut writer = Writer::new(ALLOCATE | SUCCESS, &allocation.transaction);
    writer.xor_address(XOR_RELAYED_ADDRESS, relayed);
    writer.xor_address(XOR_MAPPED_ADDRESS, allocation.client.remote);
    writer.attribute(LIFETIME, &seconds(allocation.expires.saturating_duration_since(now)));
    writer.finish(Some(&allocation.key))
}

/// The answer when there was no socket for it.
pub(super) fn no_capacity(allocation: &Allocation) -> Vec<u8> {
    let mut writer = Writer::new(ALLOCATE | ERROR, &allocation.transaction);
    writer.error_code(INSUFFICIENT_CAPACITY);
    writer.finish(Some(&allocation.key))
}

fn seconds(duration: Duration) -> [u8; 4] {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX).to_be_bytes()
}
