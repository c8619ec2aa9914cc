// SPDX-License-Identifier: EUPL-1.2
//! A seeded stand-in for simulation: the same interface, the same flights, timers and failures, and **no protection
//! at all**. BoringSSL's randomness can't be seeded; a simulation that must give the same bytes for the same seed
//! runs on this. Whoever sees the datagrams can compute the keys.
//!
//! A record is: its type (as DTLS numbers them, so that RFC 7983 demultiplexing holds), `FE 00` (no version of DTLS
//! ends in 00), a tag of 16 bytes, the body. The handshake: `Hello(random, identity)`, answered by
//! `HelloBack(random, identity)`, answered by `Done`, answered by `DoneBack`.

use std::{
    collections::VecDeque,
    fmt,
    hash::Hasher,
    time::{Duration, Instant},
};

use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};
use rustc_hash::FxHasher;
use sha2::{Digest, Sha256};

use crate::{Connected, Endpoint, Error, Event, Factory, Limits, Role, SrtpProfile};

/// Makes stand-in endpoints.
#[derive(Clone)]
pub struct StandIn {
    identity: [u8; 32],
    limits: Limits,
    profile: SrtpProfile,
}

impl StandIn {
    /// A factory whose "certificate" follows from `seed`.
    pub fn new(seed: [u8; 32]) -> StandIn {
        let mut identity = [0; 32];
        ChaCha20Rng::from_seed(seed).fill_bytes(&mut identity);
        StandIn { identity, limits: Limits::default(), profile: SrtpProfile::AeadAes128Gcm }
    }
}

impl Factory for StandIn {
    fn fingerprint_sha256(&self) -> [u8; 32] {
        Sha256::digest(self.identity).into()
    }

    fn endpoint(
        &self,
        role: Role,
        peer_fingerprint: [u8; 32],
        seed: [u8; 32],
        now: Instant,
    ) -> Result<Box<dyn Endpoint>, Error> {
        let mut random = [0; 32];
        ChaCha20Rng::from_seed(seed).fill_bytes(&mut random);
        let mut endpoint = StandInEndpoint {
            role,
            identity: self.identity,
            random,
            peer_fingerprint,
            profile: self.profile,
            limits: self.limits,
            start: now,
            received: (0, 0),
            phase: Phase::Hello,
            key: [0; 32],
            flight: None,
            sent: 0,
            outgoing: VecDeque::new(),
            events: VecDeque::new(),
        };
        if role == Role::Client {
            let hello = endpoint.greeting(HELLO);
            endpoint.send_flight(now, hello);
        }
        Ok(Box::new(endpoint))
    }
}

impl fmt::Debug for StandIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StandIn").finish_non_exhaustive()
    }
}

struct StandInEndpoint {
    role: Role,
    identity: [u8; 32],
    random: [u8; 32],
    peer_fingerprint: [u8; 32],
    profile: SrtpProfile,
    limits: Limits,
    start: Instant,
    /// Datagrams and bytes before the handshake's end.
    received: (usize, usize),
    phase: Phase,
    key: [u8; 32],
    /// What is sent again until it is answered.
    flight: Option<Flight>,
    sent: u64,
    outgoing: VecDeque<Vec<u8>>,
    events: VecDeque<Event>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Waiting for the other's greeting.
    Hello,
    /// A server that waits for `Done`.
    Greeted,
    Connected,
    Closed,
}

struct Flight {
    datagram: Vec<u8>,
    due: Instant,
    wait: Duration,
}

impl StandInEndpoint {
    fn greeting(&self, kind: u8) -> Vec<u8> {
        record(HANDSHAKE, &[0; 32], &[&[kind], &self.random[..], &self.identity[..]].concat())
    }

    fn send_flight(&mut self, now: Instant, datagram: Vec<u8>) {
        self.outgoing.push_back(datagram.clone());
        self.flight = Some(Flight { datagram, due: now + FIRST_RETRANSMISSION, wait: FIRST_RETRANSMISSION });
    }

    fn handle_handshake(&mut self, now: Instant, datagram: &[u8], body: &[u8]) -> Result<(), Error> {
        let Some((kind, rest)) = body.split_first() else { return Ok(()) };
        match (self.role, *kind, self.phase) {
            (Role::Server, HELLO, Phase::Hello) | (Role::Client, HELLO_BACK, Phase::Hello) => {
                let Some((random, identity)) = rest.split_at_checked(32) else { return Ok(()) };
                if !is_authentic(&[0; 32], datagram) || identity.len() != 32 {
                    return Ok(());
                }
                if Sha256::digest(identity)[..] != self.peer_fingerprint {
                    self.outgoing.push_back(record(ALERT, &[0; 32], b"bad certificate"));
                    return Err(self.fail(Error::Fingerprint));
                }
                let (client, server) = match self.role {
                    Role::Client => (&self.random[..], random),
                    Role::Server => (random, &self.random[..]),
                };
                self.key = Sha256::digest([b"parvis stand-in", client, server].concat()).into();
                match self.role {
                    Role::Server => {
                        self.phase = Phase::Greeted;
                        let answer = self.greeting(HELLO_BACK);
                        self.send_flight(now, answer);
                    }
                    Role::Client => {
                        let done = record(HANDSHAKE, &self.key, &[DONE]);
                        self.send_flight(now, done);
                        self.connect();
                    }
                }
            }
            (Role::Server, DONE, Phase::Greeted | Phase::Connected) if is_authentic(&self.key, datagram) => {
                self.flight = None;
                self.outgoing.push_back(record(HANDSHAKE, &self.key, &[DONE_BACK]));
                if self.phase == Phase::Greeted {
                    self.connect();
                }
            }
            (Role::Client, DONE_BACK, Phase::Connected) if is_authentic(&self.key, datagram) => {
                self.flight = None;
            }
            // Repeated, too early or not for this side: as DTLS, drop it.
            _ => {}
        }
        Ok(())
    }

    fn connect(&mut self) {
        let mut keying_material = vec![0; self.profile.keying_len()];
        ChaCha20Rng::from_seed(self.key).fill_bytes(&mut keying_material);
        self.phase = Phase::Connected;
        self.events.push_back(Event::Connected(Box::new(Connected {
            srtp_profile: self.profile,
            keying_material,
            version: "stand-in".to_owned(),
            cipher: "none".to_owned(),
            group: 0,
        })));
    }

    fn fail(&mut self, error: Error) -> Error {
        self.phase = Phase::Closed;
        self.flight = None;
        error
    }

    fn handshake_ended(&self) -> bool {
        matches!(self.phase, Phase::Connected | Phase::Closed)
    }

    fn check_time(&mut self, now: Instant) -> Result<(), Error> {
        let limit = self.limits.handshake_time;
        if !self.handshake_ended() && now >= self.start + limit {
            return Err(self.fail(Error::HandshakeTime { limit }));
        }
        Ok(())
    }
}

impl Endpoint for StandInEndpoint {
    fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) -> Result<(), Error> {
        if self.phase == Phase::Closed {
            return Err(Error::Closed);
        }
        self.check_time(now)?;
        if !self.handshake_ended() {
            self.received = (self.received.0 + 1, self.received.1 + datagram.len());
            let Limits { handshake_bytes, handshake_datagrams, .. } = self.limits;
            if self.received.0 > handshake_datagrams {
                let error = Error::HandshakeSize { limit: handshake_datagrams, unit: "datagrams" };
                return Err(self.fail(error));
            }
            if self.received.1 > handshake_bytes {
                return Err(self.fail(Error::HandshakeSize { limit: handshake_bytes, unit: "bytes" }));
            }
        }
        let Some((header, body)) = datagram.split_at_checked(HEADER_BYTES) else { return Ok(()) };
        let authentic = self.phase == Phase::Connected && is_authentic(&self.key, datagram);
        match header[0] {
            HANDSHAKE => return self.handle_handshake(now, datagram, body),
            APPLICATION_DATA if authentic && body.len() >= COUNTER_BYTES => {
                self.events.push_back(Event::Data(body[COUNTER_BYTES..].to_vec()));
            }
            ALERT if authentic => {
                self.fail(Error::Closed);
                self.events.push_back(Event::Closed);
            }
            ALERT if !self.handshake_ended() && is_authentic(&[0; 32], datagram) => {
                let reason = String::from_utf8_lossy(body).into_owned();
                return Err(self.fail(Error::Handshake(reason)));
            }
            _ => {}
        }
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        self.check_time(now)?;
        if let Some(flight) = self.flight.as_mut().filter(|flight| flight.due <= now) {
            self.outgoing.push_back(flight.datagram.clone());
            flight.wait = (flight.wait * 2).min(LONGEST_RETRANSMISSION);
            flight.due = now + flight.wait;
        }
        Ok(())
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let flight = self.flight.as_ref().map(|flight| flight.due);
        let deadline = (!self.handshake_ended()).then_some(self.start + self.limits.handshake_time);
        flight.into_iter().chain(deadline).min()
    }

    fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.outgoing.pop_front()
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn send(&mut self, _now: Instant, data: &[u8]) -> Result<(), Error> {
        match self.phase {
            Phase::Hello | Phase::Greeted => Err(Error::NotConnected),
            Phase::Closed => Err(Error::Closed),
            Phase::Connected => {
                let counter = self.sent.to_be_bytes();
                self.sent += 1;
                self.outgoing.push_back(record_of(APPLICATION_DATA, &self.key, &counter, data));
                Ok(())
            }
        }
    }

    fn close(&mut self, _now: Instant) {
        if self.phase == Phase::Connected {
            self.outgoing.push_back(record(ALERT, &self.key, b"close"));
        }
        self.fail(Error::Closed);
    }
}

/// A record's bytes. The tag catches damage and strangers who didn't see the handshake, nobody else.
fn record(kind: u8, key: &[u8; 32], body: &[u8]) -> Vec<u8> {
    record_of(kind, key, &[], body)
}

/// The same for a body in two parts.
fn record_of(kind: u8, key: &[u8; 32], counter: &[u8], rest: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(HEADER_BYTES + counter.len() + rest.len());
    record.extend([kind, 0xfe, 0x00]);
    record.extend([0; TAG_BYTES]);
    record.extend_from_slice(counter);
    record.extend_from_slice(rest);
    let tag = tag(kind, key, &record[HEADER_BYTES..]);
    record[HEADER_BYTES - TAG_BYTES..HEADER_BYTES].copy_from_slice(&tag);
    record
}

/// Whether a datagram is a record under this key.
fn is_authentic(key: &[u8; 32], datagram: &[u8]) -> bool {
    datagram.split_at_checked(HEADER_BYTES).is_some_and(|(header, body)| {
        let (start, own) = header.split_at(HEADER_BYTES - TAG_BYTES);
        start[1..] == [0xfe, 0x00] && own == tag(start[0], key, body)
    })
}

/// No cryptographic sum: it is made twice for each record of a simulation, and has to tell damage only.
fn tag(kind: u8, key: &[u8; 32], body: &[u8]) -> [u8; TAG_BYTES] {
    let mut hash = FxHasher::default();
    for part in [&key[..], &[kind], body] {
        hash.write(part);
    }
    let first = hash.finish();
    hash.write_u64(first);
    let mut tag = [0; TAG_BYTES];
    tag[..8].copy_from_slice(&first.to_be_bytes());
    tag[8..].copy_from_slice(&hash.finish().to_be_bytes());
    tag
}

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

const HELLO: u8 = 1;
const HELLO_BACK: u8 = 2;
const DONE: u8 = 3;
const DONE_BACK: u8 = 4;

const TAG_BYTES: usize = 16;
const HEADER_BYTES: usize = 3 + TAG_BYTES;
const COUNTER_BYTES: usize = 8;

const FIRST_RETRANSMISSION: Duration = Duration::from_millis(50);
const LONGEST_RETRANSMISSION: Duration = Duration::from_secs(60);
