// SPDX-License-Identifier: EUPL-1.2
//! Two endpoints and a link between them, in virtual time.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use parvis_dtls::{Certificate, Config, Connected, Context, Endpoint, Error, Event, Factory, Role};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};

pub fn context(config: Config) -> Context {
    Context::new(&Certificate::generate().unwrap(), config).unwrap()
}

/// What the link does to each datagram, in percent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    pub loss: u32,
    pub duplicate: u32,
    pub reorder: u32,
}

pub struct End {
    pub endpoint: Box<dyn Endpoint>,
    pub connected: Option<(Duration, Connected)>,
    pub data: Vec<Vec<u8>>,
    pub closed: bool,
    pub error: Option<Error>,
    /// All datagrams sent.
    pub sent: Vec<Vec<u8>>,
}

impl End {
    fn new(endpoint: Box<dyn Endpoint>) -> End {
        End { endpoint, connected: None, data: Vec::new(), closed: false, error: None, sent: Vec::new() }
    }
}

pub struct Pair {
    pub client: End,
    pub server: End,
    pub start: Instant,
    pub now: Instant,
    faults: Faults,
    random: ChaCha20Rng,
    /// By arrival and order of sending: (to the server, datagram).
    flying: BTreeMap<(Instant, u64), (bool, Vec<u8>)>,
    count: u64,
}

/// One way.
pub const DELAY: Duration = Duration::from_millis(20);

impl Pair {
    /// Each expects the other's certificate.
    pub fn new(client: &dyn Factory, server: &dyn Factory, faults: Faults, seed: u64) -> Pair {
        Pair::expecting(
            client,
            server,
            server.fingerprint_sha256(),
            client.fingerprint_sha256(),
            faults,
            seed,
        )
    }

    pub fn expecting(
        client: &dyn Factory,
        server: &dyn Factory,
        client_expects: [u8; 32],
        server_expects: [u8; 32],
        faults: Faults,
        seed: u64,
    ) -> Pair {
        let start = Instant::now();
        let mut seeds = ChaCha20Rng::seed_from_u64(seed);
        let (mut one, mut two) = ([0; 32], [0; 32]);
        seeds.fill_bytes(&mut one);
        seeds.fill_bytes(&mut two);
        let client = client.endpoint(Role::Client, client_expects, one, start).unwrap();
        let server = server.endpoint(Role::Server, server_expects, two, start).unwrap();
        Pair {
            client: End::new(client),
            server: End::new(server),
            start,
            now: start,
            faults,
            random: seeds,
            flying: BTreeMap::new(),
            count: 0,
        }
    }

    /// Runs until nothing is due, or until `limit` after the start.
    pub fn run(&mut self, limit: Duration) {
        loop {
            self.collect();
            let arrival = self.flying.first_key_value().map(|((at, _), _)| *at);
            let timers = [&self.client, &self.server].map(|end| end.endpoint.poll_timeout());
            let Some(next) = timers.into_iter().chain([arrival]).flatten().min() else { return };
            if next > self.start + limit {
                return;
            }
            self.now = self.now.max(next);
            for end in [&mut self.client, &mut self.server] {
                if end.endpoint.poll_timeout().is_some_and(|at| at <= self.now) {
                    let result = end.endpoint.handle_timeout(self.now);
                    end.error = end.error.take().or(result.err());
                }
            }
            while let Some(entry) = self.flying.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let (to_server, datagram) = entry.remove();
                let end = if to_server { &mut self.server } else { &mut self.client };
                let result = end.endpoint.handle_datagram(self.now, &datagram);
                end.error = end.error.take().or(result.err());
            }
        }
    }

    pub fn both_connected(&self) -> bool {
        self.client.connected.is_some() && self.server.connected.is_some()
    }

    fn collect(&mut self) {
        for to_server in [true, false] {
            let end = if to_server { &mut self.client } else { &mut self.server };
            while let Some(event) = end.endpoint.poll_event() {
                match event {
                    Event::Connected(connected) => {
                        assert!(end.connected.is_none(), "connected twice");
                        end.connected = Some((self.now - self.start, *connected));
                    }
                    Event::Data(data) => end.data.push(data),
                    Event::Closed => end.closed = true,
                }
            }
            while let Some(datagram) = end.endpoint.poll_transmit() {
                assert!(datagram.len() <= 1200, "{} bytes", datagram.len());
                end.sent.push(datagram.clone());
                let mut chance = |percent| self.random.next_u32() % 100 < percent;
                let lost = chance(self.faults.loss);
                let twice = chance(self.faults.duplicate);
                let late = if chance(self.faults.reorder) { DELAY } else { Duration::ZERO };
                for copy in 0..if lost { 0 } else { 1 + u32::from(twice) } {
                    self.count += 1;
                    let at = self.now + DELAY + late + copy * DELAY / 4;
                    self.flying.insert((at, self.count), (to_server, datagram.clone()));
                }
            }
        }
    }
}
