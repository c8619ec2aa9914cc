// SPDX-License-Identifier: EUPL-1.2
//! A peer, a client, and a link between them, in virtual time.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parvis_dtls::Factory;
use parvis_peer::{Path, Peer, PeerConfig, PeerEvent, Received};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};

use super::Client;

/// What the link does to each datagram, in percent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    pub loss: u32,
    pub duplicate: u32,
    pub reorder: u32,
}

enum To {
    Peer(Path),
    /// From the peer, for whoever is at the path's far end.
    Client(Path),
}

pub struct World {
    pub now: Instant,
    pub start: Instant,
    pub peer: Peer,
    pub client: Client,
    pub events: Vec<PeerEvent>,
    /// What became of each datagram that reached the peer.
    pub received: Vec<Received>,
    /// Media that reached the peer, decrypted.
    pub media: Vec<Vec<u8>>,
    /// Every datagram that the peer sent.
    pub sent: Vec<(Path, Vec<u8>)>,
    pub faults: Faults,
    /// How often the client checks its path, and whether it does.
    pub check_every: Option<Duration>,
    next_check: Instant,
    random: ChaCha20Rng,
    flying: BTreeMap<(Instant, u64), (To, Vec<u8>)>,
    count: u64,
}

/// One way.
const DELAY: Duration = Duration::from_millis(20);

impl World {
    pub fn new(config: PeerConfig, client: Arc<dyn Factory>, seed: u8) -> World {
        let now = Instant::now();
        World {
            now,
            start: now,
            peer: Peer::new(Arc::new(config), [seed; 32], now),
            client: Client::new(client, seed, now),
            events: Vec::new(),
            received: Vec::new(),
            media: Vec::new(),
            sent: Vec::new(),
            faults: Faults::default(),
            check_every: Some(Duration::from_secs(2)),
            next_check: now,
            random: ChaCha20Rng::from_seed([seed; 32]),
            flying: BTreeMap::new(),
            count: 0,
        }
    }

    /// Offer and answer, the client offering.
    pub fn negotiate(&mut self) {
        let answer = self.peer.accept_offer(self.now, &self.client.offer()).expect("an answer");
        self.client.take_description(&answer);
    }

    /// Negotiates and runs until both are connected.
    pub fn connect(&mut self) {
        self.negotiate();
        self.run_for(Duration::from_secs(10));
        assert!(self.peer.is_connected() && self.client.connected.is_some(), "{:?}", self.events);
    }

    /// Puts a datagram from `path` on the wire towards the peer.
    pub fn send_to_peer(&mut self, path: Path, datagram: Vec<u8>) {
        self.fly(To::Peer(path), datagram);
    }

    /// Sends a check of the client's on its path.
    pub fn check(&mut self, nominate: bool) {
        let check = self.client.check(nominate);
        self.send_to_peer(self.client.path, check);
    }

    /// Hands a datagram to the peer at once, past the link, and collects what follows.
    pub fn deliver(&mut self, path: Path, mut datagram: Vec<u8>) -> Received {
        let received = self.peer.handle_datagram(self.now, path, &mut datagram);
        if let Received::Rtp { len } | Received::Rtcp { len } = received {
            self.media.push(datagram[..len].to_vec());
        }
        self.received.push(received);
        self.collect();
        received
    }

    /// Protects a packet of the peer's and sends it to the client.
    pub fn send_media(&mut self, packet: &[u8]) {
        let mut buffer = [packet, &[0; 32]].concat();
        let len = self.peer.protect_rtp(&mut buffer, packet.len()).expect("keys");
        buffer.truncate(len);
        let path = self.peer.send_path().expect("a path");
        self.sent.push((path, buffer.clone()));
        self.fly(To::Client(path), buffer);
    }

    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.collect();
            let flying = self.flying.first_key_value().map(|((at, _), _)| *at);
            let check = self.check_every.map(|_| self.next_check.max(self.now));
            let due = [self.peer.poll_timeout(), self.client.poll_timeout(), flying, check];
            let Some(next) = due.into_iter().flatten().min().filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            if self.peer.poll_timeout().is_some_and(|at| at <= self.now) {
                self.peer.handle_timeout(self.now);
            }
            if self.client.poll_timeout().is_some_and(|at| at <= self.now) {
                self.client.handle_timeout(self.now);
            }
            if let Some(every) = self.check_every.filter(|_| self.next_check <= self.now) {
                // The first few in quick succession, as a browser does.
                self.next_check =
                    self.now + every.min((self.now - self.start).max(Duration::from_millis(50)));
                if !self.client.remote_ufrag.is_empty() {
                    self.check(true);
                }
            }
            while let Some(entry) = self.flying.first_entry().filter(|entry| entry.key().0 <= self.now) {
                match entry.remove() {
                    (To::Peer(path), datagram) => {
                        self.deliver(path, datagram);
                    }
                    (To::Client(path), datagram) if path == self.client.path => {
                        self.client.handle_datagram(self.now, &datagram);
                    }
                    // Nobody is there any more.
                    (To::Client(_), _) => {}
                }
            }
        }
        self.now = end;
    }

    pub fn collect(&mut self) {
        while let Some(event) = self.peer.poll_event() {
            self.events.push(event);
        }
        while let Some((path, datagram)) = self.peer.poll_transmit() {
            self.sent.push((path, datagram.clone()));
            self.fly(To::Client(path), datagram);
        }
        while let Some(datagram) = self.client.poll_transmit(self.now) {
            let path = self.client.path;
            self.fly(To::Peer(path), datagram);
        }
    }

    fn fly(&mut self, to: To, datagram: Vec<u8>) {
        let mut chance = |percent| percent > 0 && self.random.next_u32() % 100 < percent;
        let (lost, twice, late) =
            (chance(self.faults.loss), chance(self.faults.duplicate), chance(self.faults.reorder));
        if lost {
            return;
        }
        let at = self.now + if late { 2 * DELAY } else { DELAY };
        if twice {
            self.count += 1;
            let copy = match &to {
                To::Peer(path) => To::Peer(*path),
                To::Client(path) => To::Client(*path),
            };
            self.flying.insert((at + DELAY / 4, self.count), (copy, datagram.clone()));
        }
        self.count += 1;
        self.flying.insert((at, self.count), (to, datagram));
    }
}
