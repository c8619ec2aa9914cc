// SPDX-License-Identifier: EUPL-1.2
//! The server's state and its doors. `requests` has what clients ask, proved before anything else; `relay` carries
//! packets.

mod relay;
mod requests;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use parvis_peer::stun::Message;

use crate::account::Accounts;
use crate::allocation::Allocation;
use crate::bucket::Bucket;
use crate::{Issuer, Peers, TurnConfig, TurnStats};

/// How a client reaches us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// Datagrams: whoever sends them may have forged his address.
    Udp,
    /// A byte stream.
    Tcp,
    /// A byte stream within TLS.
    Tls,
}

/// A client's 5-tuple: whose an allocation is (RFC 8656 section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Client {
    /// How it reaches us.
    pub transport: Transport,
    /// Our end.
    pub local: SocketAddr,
    /// Its end.
    pub remote: SocketAddr,
}

/// Names the socket of one allocation; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelayId(pub u64);

/// Which addresses an allocation relays between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(ip: IpAddr) -> Family {
        if ip.is_ipv4() { Family::V4 } else { Family::V6 }
    }
}

/// What a client's message comes to.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// Nothing leaves.
    Nothing,
    /// Send this to the client.
    Reply(Vec<u8>),
    /// Bind a UDP socket of this family, then call [`Server::opened`] and send what it returns.
    Open {
        /// What to call the socket.
        relay: RelayId,
        /// Of which family.
        family: Family,
    },
    /// Send the payload from an allocation's socket to one of our media addresses.
    Relay {
        /// From which socket.
        relay: RelayId,
        /// Where it is bound.
        to: SocketAddr,
        /// A part of the client's message.
        payload: &'a [u8],
    },
}

/// All allocations. See the crate's front page.
#[derive(Debug)]
pub struct Server {
    config: TurnConfig,
    issuer: Issuer,
    peers: Peers,
    accounts: Accounts,
    users: BTreeMap<Arc<str>, User>,
    allocations: BTreeMap<Client, Allocation>,
    by_relay: BTreeMap<RelayId, Client>,
    per_address: BTreeMap<IpAddr, usize>,
    last_relay: u64,
    bucket: Bucket,
    closed: VecDeque<RelayId>,
    stats: TurnStats,
}

/// A participant that may make allocations.
#[derive(Debug)]
struct User {
    allocations: usize,
    bucket: Bucket,
}

impl Server {
    /// A server without users. It takes what `issuer` has issued, and relays to `peers`. `seed` says nothing to anyone.
    pub fn new(config: TurnConfig, issuer: Issuer, peers: Peers, seed: [u8; 32]) -> Server {
        let secret = seed.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        Server {
            bucket: Bucket::new(config.max_bitrate),
            config,
            issuer,
            peers,
            accounts: Accounts::new(secret),
            users: BTreeMap::new(),
            allocations: BTreeMap::new(),
            by_relay: BTreeMap::new(),
            per_address: BTreeMap::new(),
            last_relay: 0,
            closed: VecDeque::new(),
            stats: TurnStats::default(),
        }
    }

    /// Lets a participant make allocations with credentials that were issued for it.
    pub fn admit(&mut self, sid: &str) {
        let user = User { allocations: 0, bucket: Bucket::new(self.config.max_bitrate_per_user) };
        self.users.entry(sid.into()).or_insert(user);
    }

    /// Takes that back and ends its allocations: its credentials are worth nothing from now on (401).
    pub fn revoke(&mut self, sid: &str) {
        if self.users.remove(sid).is_none() {
            return;
        }
        let own = self.allocations.values().filter(|allocation| *allocation.sid == *sid);
        for client in own.map(|allocation| allocation.client).collect::<Vec<_>>() {
            self.stats.revoked += 1;
            self.end(client);
        }
    }

    /// Takes one message of a client's: a datagram, or what [`crate::stream::Deframer`] cut out of a byte stream.
    pub fn handle_client<'a>(&mut self, now: Instant, client: Client, bytes: &'a [u8]) -> Outcome<'a> {
        match bytes.first().map(|first| first >> 6) {
            Some(0) => {
                if client.transport == Transport::Udp {
                    self.accounts.earn(client.remote.ip(), bytes.len());
                }
                if let Some(message) = Message::parse(bytes) {
                    return self.message(now, client, &message);
                }
            }
            Some(1) => return self.channel_message(now, client, bytes),
            _ => {}
        }
        self.stats.malformed += 1;
        Outcome::Nothing
    }

    /// The socket that [`Outcome::Open`] asked for: the address that clients are told, or none when there is no socket to
    /// be had. Returns the client and what to send to it.
    pub fn opened(
        &mut self,
        now: Instant,
        relay: RelayId,
        relayed: Option<SocketAddr>,
    ) -> Option<(Client, Vec<u8>)> {
        let client = *self.by_relay.get(&relay)?;
        let allocation = self.allocations.get_mut(&client)?;
        let Some(relayed) = relayed else {
            let answer = requests::no_capacity(allocation);
            self.stats.no_capacity += 1;
            self.end(client);
            return Some((client, answer));
        };
        let answer = requests::allocated(now, allocation, relayed);
        allocation.answer = Some(answer.clone());
        self.stats.allocations += 1;
        Some((client, answer))
    }

    /// A client's connection is gone, and what it had with it.
    pub fn disconnected(&mut self, client: Client) {
        self.end(client);
    }

    /// Whether a client has an allocation.
    pub fn has_allocation(&self, client: Client) -> bool {
        self.allocations.contains_key(&client)
    }

    /// A socket to be closed: its allocation has ended.
    pub fn poll_closed(&mut self) -> Option<RelayId> {
        self.closed.pop_front()
    }

    /// Ends allocations whose time is over.
    pub fn handle_timeout(&mut self, now: Instant) {
        let over = self.allocations.values().filter(|allocation| allocation.expires <= now);
        for client in over.map(|allocation| allocation.client).collect::<Vec<_>>() {
            self.end(client);
        }
    }

    /// When [`Server::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.allocations.values().map(|allocation| allocation.expires).min()
    }

    /// Its counters.
    pub fn stats(&self) -> TurnStats {
        TurnStats {
            allocations_now: self.allocations.len() as u64,
            users_now: self.users.len() as u64,
            ..self.stats
        }
    }

    fn end(&mut self, client: Client) {
        let Some(allocation) = self.allocations.remove(&client) else { return };
        self.by_relay.remove(&allocation.relay);
        self.closed.push_back(allocation.relay);
        if let Some(user) = self.users.get_mut(&allocation.sid) {
            user.allocations = user.allocations.saturating_sub(1);
        }
        let address = shared_by(client.remote.ip());
        if let Some(count) = self.per_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.per_address.remove(&address);
            }
        }
    }
}

/// What one user has for himself: an IPv4 address, or the /64 around an IPv6 address.
fn shared_by(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) & !u128::from(u64::MAX)).into(),
    }
}
