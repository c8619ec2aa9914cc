// SPDX-License-Identifier: EUPL-1.2
//! The one thread that everyone who has come in is served by.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use parvis_shard::mmsg::{RECEIVE_BATCH, ReceiveRing};

use super::CrowdScenario;
use super::door::Door;
use super::report::{Joins, Latency};
use super::work::Meter;
use crate::LoadError;
use crate::client::{Client, Side};
use crate::connection::Shared;
use crate::histogram::Histogram;
use crate::signalling::{Guest, Opened};
use crate::tally::Tally;

/// How often what has no event of its own is looked after.
const CHORES: Duration = Duration::from_millis(5);
/// In so many of these, everyone has had a turn.
const ROUND: usize = 20;
/// Between two signs of life of an SDK.
const PING: Duration = Duration::from_secs(5);
/// What a server does after an answer counts for as long.
const AFTERWARDS: Duration = Duration::from_secs(1);
const EVENTS: usize = 256;
/// Of epoll, for the door.
const DOOR: u64 = u64::MAX;

pub(super) struct Engine<'a> {
    scenario: &'a CrowdScenario,
    run: String,
    shared: Shared,
    pub(super) clients: Vec<Client>,
    door: Door,
    epoll: Epoll,
    ring: ReceiveRing,
    tally: Tally,
    /// Who is on the way in.
    coming: Vec<usize>,
    /// How long joins took since the last measurement began.
    welcomed: Histogram,
    connected: Histogram,
    pings: Vec<Instant>,
    /// Whose turn it is to be looked after.
    next: usize,
    next_chores: Instant,
    next_check: Instant,
}

impl<'a> Engine<'a> {
    pub(super) fn new(scenario: &'a CrowdScenario) -> Result<Engine<'a>, LoadError> {
        let now = Instant::now();
        let door = Door::new(&scenario.target, scenario.in_flight)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(epoll_failed)?;
        epoll.add(door.wake(), EpollEvent::new(EpollFlags::EPOLLIN, DOOR)).map_err(epoll_failed)?;
        Ok(Engine {
            scenario,
            run: format!("{:08x}", rand::random::<u32>()),
            shared: Shared::new(scenario.target.address)?,
            clients: Vec::new(),
            door,
            epoll,
            ring: ReceiveRing::new(),
            tally: Tally::new(now),
            coming: Vec::new(),
            welcomed: Histogram::default(),
            connected: Histogram::default(),
            pings: Vec::new(),
            next: 0,
            next_chores: now,
            next_check: now,
        })
    }

    /// Everyone joins, as fast as the server lets them: so many at a time as the scenario allows.
    pub(super) fn fill(&mut self) -> Result<Joins, LoadError> {
        let (all, scenario) = (self.scenario.participants(), self.scenario);
        self.measure_joins(all, |engine, begun| {
            if begun < all && engine.coming.len() < scenario.in_flight {
                engine.clients.push(Client::idle(engine.guest(begun, 0)));
                engine.pings.push(Instant::now());
                engine.enter(begun);
                return Ok(true);
            }
            Ok(false)
        })
    }

    /// One after the other leaves, and another joins in his place.
    pub(super) fn change(&mut self) -> Result<Joins, LoadError> {
        let (start, scenario) = (Instant::now(), self.scenario);
        self.measure_joins(scenario.changes, |engine, begun| {
            let due = start + Duration::from_secs(1).mul_f64(begun as f64 / f64::from(scenario.change_rate));
            let number = begun % engine.clients.len();
            let busy = engine.coming.len() >= scenario.in_flight || engine.coming.contains(&number);
            let now = Instant::now();
            if begun >= scenario.changes || now < due || busy {
                return Ok(false);
            }
            engine.clients[number].leave(now).map_err(|what| LoadError::Lost {
                clients: 1,
                client: number,
                what,
            })?;
            engine.clients[number] = Client::idle(engine.guest(number, 1 + begun));
            engine.enter(number);
            Ok(true)
        })
    }

    /// Has `begin` begin joins, as many as are due, until `all` have come to their end.
    fn measure_joins(
        &mut self,
        all: usize,
        begin: impl Fn(&mut Self, usize) -> Result<bool, LoadError>,
    ) -> Result<Joins, LoadError> {
        (self.welcomed, self.connected) = (Histogram::default(), Histogram::default());
        let meter = Meter::start(&self.scenario.target)?;
        let mut begun = 0;
        while self.connected.count() < all as u64 {
            while begin(self, begun)? {
                begun += 1;
            }
            self.turn()?;
            self.check_joining(&meter, all)?;
        }
        let window = meter.stop()?;
        self.rest(AFTERWARDS)?;
        Ok(Joins {
            work: window.work(all as u64)?,
            welcomed: Latency::of(&self.welcomed),
            connected: Latency::of(&self.connected),
        })
    }

    /// Serves everyone while threads of ours do something, and gives what they came to.
    pub(super) fn during<T>(
        &mut self,
        threads: Vec<std::thread::JoinHandle<Result<T, LoadError>>>,
    ) -> Result<Vec<T>, LoadError> {
        while !threads.iter().all(std::thread::JoinHandle::is_finished) {
            self.turn()?;
        }
        let ended = threads.into_iter().map(|thread| {
            let panicked = || LoadError::Scenario("a thread of the load panicked".to_owned());
            thread.join().unwrap_or_else(|_| Err(panicked()))
        });
        ended.collect()
    }

    /// Serves everyone for a while.
    pub(super) fn rest(&mut self, time: Duration) -> Result<(), LoadError> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.turn()?;
        }
        Ok(())
    }

    /// Serves everyone for as long as what a server does after an answer counts.
    pub(super) fn rest_afterwards(&mut self) -> Result<(), LoadError> {
        self.rest(AFTERWARDS)
    }

    /// Messages in which everyone was told about participants, up to now.
    pub(super) fn told(&self) -> u64 {
        self.clients.iter().map(|client| client.told).sum()
    }

    /// How connections are encrypted, and how many of them.
    pub(super) fn encryption(&self) -> BTreeMap<String, usize> {
        let mut encryption = BTreeMap::new();
        for line in self.clients.iter().filter_map(|client| client.line.as_ref()) {
            *encryption.entry(line.receiving.profile.clone()).or_default() += 1;
        }
        encryption
    }

    /// The rooms' names with who is in each.
    pub(super) fn rooms(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut rooms: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for Guest { room, identity, .. } in self.clients.iter().map(|client| &client.guest) {
            rooms.entry(room).or_default().push(identity);
        }
        rooms
    }

    fn guest(&self, number: usize, change: usize) -> Guest {
        Guest {
            room: self
                .scenario
                .room
                .clone()
                .unwrap_or_else(|| format!("load-{}-{}", self.run, number % self.scenario.rooms)),
            identity: format!("client-{number}-{change}"),
            receives: self.scenario.room.is_none(),
        }
    }

    fn enter(&mut self, number: usize) {
        self.coming.push(number);
        self.door.let_in(number, &self.clients[number].guest);
    }

    /// Waits for what is next, and handles it.
    fn turn(&mut self) -> Result<(), LoadError> {
        let wait = self.next_chores.saturating_duration_since(Instant::now()).as_micros().div_ceil(1_000);
        let mut events = [EpollEvent::empty(); EVENTS];
        let timeout = EpollTimeout::try_from(wait as i32).unwrap_or(EpollTimeout::ZERO);
        let count = match self.epoll.wait(&mut events, timeout) {
            Ok(count) => count,
            Err(nix::errno::Errno::EINTR) => 0,
            Err(errno) => return Err(epoll_failed(errno)),
        };
        for event in &events[..count] {
            if event.data() == DOOR {
                self.door.hear();
                self.welcome()?;
                continue;
            }
            let (client, media) = (event.data() as usize / 2, event.data() % 2 == 1);
            if media {
                self.receive(client);
            } else {
                self.clients[client].listen(Instant::now());
            }
            self.look_after(client, Instant::now());
        }
        self.chores()
    }

    /// Takes over whose connection was opened.
    fn welcome(&mut self) -> Result<(), LoadError> {
        while let Some(Opened { client, begun, result }) = self.door.opened() {
            self.clients[client].begin(&self.shared, begun, result?)?;
            self.watch(client)?;
            // What came before epoll looked.
            let now = Instant::now();
            self.clients[client].listen(now);
            self.look_after(client, now);
        }
        Ok(())
    }

    fn watch(&self, client: usize) -> Result<(), LoadError> {
        let Some(line) = &self.clients[client].line else { return Ok(()) };
        let readable = |media: u64| EpollEvent::new(EpollFlags::EPOLLIN, client as u64 * 2 + media);
        if let Some(socket) = line.signalling.socket() {
            self.epoll.add(socket, readable(0)).map_err(epoll_failed)?;
        }
        self.epoll.add(line.receiving.socket(), readable(1)).map_err(epoll_failed)
    }

    fn receive(&mut self, client: usize) {
        let client = &mut self.clients[client];
        loop {
            let Some(line) = &client.line else { return };
            let count = self.ring.receive(line.receiving.socket()).unwrap_or(0);
            let now = Instant::now();
            for index in 0..count {
                let (received, bytes) = self.ring.message(index);
                let Some(from) = received.from else { continue };
                let size = received.segment.unwrap_or(bytes.len()).max(1);
                for datagram in bytes.chunks_mut(size) {
                    client.take(now, Side::Receiving, from, datagram, &mut self.tally);
                }
            }
            if count < RECEIVE_BATCH {
                return;
            }
        }
    }

    fn look_after(&mut self, number: usize, now: Instant) {
        let client = &mut self.clients[number];
        if !client.act(now) {
            return;
        }
        self.coming.retain(|coming| *coming != number);
        self.pings[number] = now + PING;
        self.welcomed.add(client.welcomed.unwrap_or_default());
        self.connected.add(client.joined.unwrap_or_default());
    }

    /// What has no event of its own: checks, handshakes' timers, signs of life.
    fn chores(&mut self) -> Result<(), LoadError> {
        let now = Instant::now();
        if now < self.next_chores {
            return Ok(());
        }
        self.next_chores = now + CHORES;
        for number in self.coming.clone() {
            self.look_after(number, now);
        }
        for _ in 0..self.clients.len().div_ceil(ROUND) {
            self.next = (self.next + 1) % self.clients.len();
            self.look_after(self.next, now);
            if self.clients[self.next].joined.is_some() && self.pings[self.next] <= now {
                self.pings[self.next] = now + PING;
                self.clients[self.next].ping();
            }
        }
        if self.next_check <= now {
            self.next_check = now + Duration::from_secs(1);
            self.check_clients()?;
        }
        Ok(())
    }

    /// Someone who was lost ends the run: its figures would mean nothing.
    pub(super) fn check_clients(&self) -> Result<(), LoadError> {
        let mut lost = self
            .clients
            .iter()
            .enumerate()
            .filter_map(|(number, client)| Some((number, client.trouble.clone()?)));
        let Some((client, what)) = lost.next() else { return Ok(()) };
        Err(LoadError::Lost { clients: 1 + lost.count(), client, what })
    }

    fn check_joining(&self, meter: &Meter<'_>, all: usize) -> Result<(), LoadError> {
        let seconds = self.scenario.join_timeout;
        if meter.elapsed() <= Duration::from_secs(seconds) {
            return Ok(());
        }
        let client = self.coming.first().copied().unwrap_or_default();
        let what = self.clients[client].waits_for();
        Err(LoadError::NotJoined { joined: self.connected.count() as usize, all, seconds, client, what })
    }
}

fn epoll_failed(errno: nix::Error) -> LoadError {
    LoadError::System("watch sockets with epoll", errno.into())
}
