// SPDX-License-Identifier: EUPL-1.2
//! The conference: the server, clients, what is under way between them, and the clock.

mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parvis_dtls::Factory;
use parvis_dtls::standin::StandIn;
use parvis_peer::{Path, Protocol};
use parvis_sfu::{ForwarderId, ForwarderStats, RoomId, TrunkBatch};
use parvis_signal::{ConnectionId, JoinParams};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rustc_hash::{FxHashMap, FxHasher};

use crate::agenda::Agenda;
use crate::check::Checks;
use crate::client::{Client, ClientId, Profile};
use crate::deeds::Right;
use crate::link::{Link, LinkModel};
use crate::nonces::Nonces;
use crate::receive::Got;
use crate::server::{self, Meter, Server, ServerModel};
use crate::sleepers::Sleepers;
use crate::transport::Connection;

/// What IPv4 and UDP add to a datagram on the line.
const HEADER_BYTES: usize = 20 + 8;
/// A frozen process's socket buffer, in datagrams.
const SOCKET_BUFFER: usize = 256;
/// Datagrams whose memory is kept for the next ones.
const SPARE: usize = 4096;
/// How long a batch takes from one forwarder to another: a thread is woken in less.
const TRUNK_DELAY: Duration = Duration::from_micros(200);
/// How often the checkers go over everyone.
pub(crate) const CHECK_EVERY: Duration = Duration::from_millis(250);

/// Steps at one and the same time. Whoever is due is served in one step, and what that sets off at once (a client that
/// answers, a place freed in a pacer) takes a few more; more than this is somebody who wants to be woken again and
/// again and does nothing then.
const STILL_STEPS: u32 = 1000;
/// What arrives at one time at most. Two who send a hundred times their pictures, some 8,000 packets a second each, have a server that
/// was frozen for a second come back to 16,000 arrivals, most of which its socket's buffer has no room for; several times as
/// many is an arrival that puts itself off to the same time again and again.
const STILL_HAPPENINGS: u32 = 100_000;

/// What is under way.
pub(crate) enum Happening {
    ToServer(Path, Vec<u8>),
    ToClient(ClientId, Path, Vec<u8>),
    Connect(ClientId, ConnectionId, Box<JoinParams>),
    Request(ConnectionId, RoomId, Vec<u8>),
    Response(ConnectionId, Bytes),
    /// The server closed the socket.
    Closed(ConnectionId),
    /// The client's end is gone.
    Dropped(ConnectionId, RoomId),
    /// From one forwarder to another.
    Trunk(ForwarderId, ForwarderId, TrunkBatch),
    /// A moderator gives someone a right, or takes it away.
    Permit(ClientId, Right, bool),
}

/// Is told what happens, and when.
pub type Narrator = Box<dyn FnMut(Duration, &str)>;

/// Which DTLS a run has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtls {
    /// The seeded stand-in: the same bytes for the same seed.
    StandIn,
    /// BoringSSL, whose randomness can't be seeded.
    Real,
}

/// One run.
pub struct Conference {
    start: Instant,
    pub(crate) now: Instant,
    pub(crate) random: ChaCha8Rng,
    /// Everyone's lines, in the order of their names; see [`ClientId::place`].
    pub(crate) links: Vec<Wire>,
    pub(crate) server: Server,
    client_dtls: Arc<dyn Factory>,
    pub(crate) clients: Sleepers<ClientId, Client>,
    /// Everyone who ever was there, likewise.
    pub(crate) people: Vec<(RoomId, Profile)>,
    /// Rights that were taken away from someone who had them.
    pub(crate) withdrawn: BTreeMap<(ClientId, Right), Withdrawn>,
    /// Rooms in which someone floods data channels, or did: what it sent may wait there still.
    pub(crate) flooded: BTreeSet<RoomId>,
    /// Whose an address is, and under which key the server sends to it; old ones of those who moved too.
    pub(crate) addresses: FxHashMap<SocketAddr, (ClientId, u64)>,
    pub(crate) sockets: BTreeMap<ConnectionId, ClientId>,
    under_way: Agenda<Happening>,
    /// Datagrams that arrived, whose memory is used again.
    spare: Vec<Vec<u8>>,
    /// What a client sends at once; empty in between.
    out: Vec<(Path, Vec<u8>)>,
    last_id: u64,
    pub(crate) server_frozen_until: Option<Instant>,
    next_check: Instant,
    nonces: Nonces,
    trace: FxHasher,
    packets: u64,
    pub(crate) failures: Vec<String>,
    pub(crate) checks: Checks,
    /// Time that passed after everyone had gone.
    pub(crate) idle: Duration,
    narrator: Option<Narrator>,
}

/// What may come still after a right was taken away.
pub(crate) struct Withdrawn {
    /// Until when, on the lines of then.
    pub(crate) until: Instant,
    /// The last number of a reliable message that its owner had used.
    pub(crate) said: u32,
}

/// A client's line: up, down, when the last message of its socket arrives each way.
pub(crate) struct Wire {
    pub(crate) models: [LinkModel; 2],
    pub(crate) links: [Link; 2],
    last: [Instant; 2],
    /// Nothing leaves it towards the client until then, and nobody is told.
    pub(crate) withheld_until: Option<Instant>,
}

impl Conference {
    /// A conference without people, all of whose chance comes from `seed`.
    pub fn new(seed: u64) -> Conference {
        Conference::with(seed, Dtls::StandIn)
    }

    /// The same with this DTLS.
    pub fn with(seed: u64, dtls: Dtls) -> Conference {
        Conference::on(seed, ServerModel { dtls, ..ServerModel::default() })
    }

    /// The same on a server of this model.
    pub fn on(seed: u64, model: ServerModel) -> Conference {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let (server, client) = (factory(model.dtls, random.random()), factory(model.dtls, random.random()));
        let seeds: Vec<[u8; 32]> = (0..model.forwarders.max(1)).map(|_| random.random()).collect();
        let start = Instant::now();
        Conference {
            start,
            now: start,
            links: Vec::new(),
            server: Server::new(&model, &server, &seeds),
            random,
            client_dtls: client,
            clients: Sleepers::new(),
            people: Vec::new(),
            withdrawn: BTreeMap::new(),
            flooded: BTreeSet::new(),
            addresses: FxHashMap::default(),
            sockets: BTreeMap::new(),
            under_way: Agenda::new(start),
            spare: Vec::new(),
            out: Vec::new(),
            last_id: 0,
            server_frozen_until: None,
            next_check: start + CHECK_EVERY,
            nonces: Nonces::default(),
            trace: FxHasher::default(),
            packets: 0,
            failures: Vec::new(),
            checks: Checks::default(),
            idle: Duration::ZERO,
            narrator: None,
        }
    }

    /// Tells `narrator` what happens, and when.
    pub fn narrate(&mut self, narrator: impl FnMut(Duration, &str) + 'static) {
        self.narrator = Some(Box::new(narrator));
    }

    /// Measures from now on what the server holds in bytes, and holds it against its bound.
    pub fn measure(&mut self, meter: Meter) {
        self.server.measure(meter);
    }

    /// What the server holds in bytes more than when it was begun to be measured; `None` when it is not.
    pub fn bytes(&self) -> Option<i64> {
        self.server.bytes()
    }

    /// A new room.
    pub fn open_room(&mut self) -> RoomId {
        let id = RoomId(self.fresh());
        let seed = self.random.random();
        self.server.open_room(self.now, id, seed);
        id
    }

    /// Lets someone join, over a line of these two models: up and down.
    pub fn join(&mut self, room: RoomId, profile: Profile, models: [LinkModel; 2]) -> ClientId {
        let id = ClientId::at(self.people.len());
        let (now, dtls) = (self.now, self.client_dtls.clone());
        // Until it is told of another one.
        let server = server::address(ForwarderId(0));
        let connect = |place: u8, random: &mut ChaCha8Rng| {
            let host = Ipv4Addr::new(198, 18, (id.0 / 250) as u8, (id.0 % 250) as u8);
            let remote = SocketAddr::from((host, 5000 + u16::from(place)));
            let path = Path { protocol: Protocol::Udp, local: server, remote };
            Connection::new(path, dtls.clone(), random, now)
        };
        let mut client = Client::new((id, room, profile), self.random.random(), now, connect);
        client.publishing.fit(models[0].rate);
        self.people.push((room, profile));
        let key = u64::from(id.0) * 2;
        self.addresses.insert(client.sending.path.remote, (id, key));
        if let Some(receiving) = &client.receiving {
            self.addresses.insert(receiving.path.remote, (id, key + 1));
        }
        let links = models.map(|model| Link::new(model, self.random.random()));
        self.links.push(Wire { models, links, last: [now; 2], withheld_until: None });
        self.clients.insert(id, client);
        self.tell(id, &format!("joins {room:?} as {profile:?}"));
        self.open_socket(id, false);
        id
    }

    /// Lets time pass.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        let mut still = 0;
        while let Some(at) = self.next().filter(|at| *at <= end) {
            still = if at > self.now { 0 } else { still + 1 };
            if still > STILL_STEPS {
                let waits = self.who_waits();
                self.fail(format!("time stands still: {waits}"));
                break;
            }
            self.now = self.now.max(at);
            self.step();
        }
        self.now = end;
    }

    /// What `to` got of `from`: packets of sound, decoded pictures, data messages.
    pub fn got(&self, to: ClientId, from: ClientId) -> (u64, u64, u64) {
        let got = self.clients.get(&to).and_then(|client| client.receiver.got.get(&from));
        got.map_or((0, 0, 0), |Got { sounds, pictures, messages, .. }| (*sounds, *pictures, *messages))
    }

    /// The pictures of `from` that `to` was shown, and the longest time between two of them.
    pub fn shown(&self, to: ClientId, from: ClientId) -> (u64, Duration) {
        let got = self.clients.get(&to).and_then(|client| client.receiver.got.get(&from));
        got.map_or((0, Duration::ZERO), |got| (got.shown, got.longest_still))
    }

    /// What packets of pictures told `to` of how long they may be held, at least and at most; `None` for those that said nothing.
    pub fn told_delays(&self, to: ClientId) -> Vec<Option<(Duration, Duration)>> {
        let time = |units: u16| Duration::from_millis(u64::from(units) * 10);
        let delays = self.clients.get(&to).map(|client| &client.receiver.told_delays);
        delays.into_iter().flatten().map(|told| told.map(|(least, most)| (time(least), time(most)))).collect()
    }

    /// The number of the last reliable message of `from` that `to` got; each client counts its own from 1.
    pub fn last_message(&self, to: ClientId, from: ClientId) -> u32 {
        self.clients.get(&to).map_or(0, |client| client.receiver.last_message(from))
    }

    /// How many tracks of `from` the server tells `to` of.
    pub fn tracks(&self, to: ClientId, from: ClientId) -> usize {
        let (to, from) = (self.clients.get(&to), self.clients.get(&from));
        let tracks = to.zip(from).and_then(|(to, from)| to.roster.get(&from.identity()));
        tracks.map_or(0, |tracks| tracks.len())
    }

    /// How often each of a client's connections went through a handshake.
    pub fn handshakes(&self, id: ClientId) -> Vec<u32> {
        let client = self.clients.get(&id).into_iter();
        client
            .flat_map(|client| std::iter::once(&client.sending).chain(&client.receiving))
            .map(|c| c.handshakes)
            .collect()
    }

    /// Everything that the server sent so far, as one number, and how many datagrams it was. Messages count by their
    /// bytes in any order: maps in them have none.
    pub fn trace(&self) -> (u64, u64) {
        (self.trace.finish(), self.packets)
    }

    /// What each forwarder counted.
    pub fn stats(&self) -> impl Iterator<Item = &ForwarderStats> {
        self.server.stats()
    }

    /// What [`Conference::held`] may be at most, everyone who ever was there taken for present: a room, and for each forwarder
    /// its part with its timer; of each person two peers with a timer, an ufrag and eight paths each (of the last ones only some
    /// live, as each outlives a change of address for a while), which the room's spread knows too; two tracks, which
    /// every other part may have by a trunk; and of each pair in a room a subscription to both tracks.
    pub(crate) fn held_at_most(&self) -> usize {
        let mut people: BTreeMap<RoomId, usize> = self.server.rooms().map(|room| (room, 0)).collect();
        for (room, _) in &self.people {
            *people.entry(*room).or_default() += 1;
        }
        let parts = self.server.forwarders();
        let each = 2 * (11 + 1) + 2 * (1 + 2 * (parts - 1));
        people.values().map(|count| 1 + 2 * parts + count * each + count * count.saturating_sub(1) * 2).sum()
    }

    /// How many entries the server's tables hold, rooms included: 0 when all is gone.
    pub fn held(&self) -> usize {
        self.server.held()
    }

    /// What broke an invariant; empty in a run that holds them.
    pub fn failures(&self) -> &[String] {
        &self.failures
    }

    /// How long a run has lasted.
    pub fn passed(&self) -> Duration {
        self.now - self.start
    }

    /// How long of it people were there: what a run's speed is measured by.
    pub fn busy(&self) -> Duration {
        self.passed() - self.idle
    }

    /// How often each invariant was looked at.
    pub fn checks(&self) -> Checks {
        self.checks
    }

    pub(crate) fn fail(&mut self, what: String) {
        let line = format!("{:.3} s: {what}", self.passed().as_secs_f64());
        self.narrate_line(&format!("FAILURE {what}"));
        // One cause makes many failures: the first ones tell.
        if self.failures.len() < 20 {
            self.failures.push(line);
        }
    }

    pub(crate) fn models(&self, id: ClientId) -> Option<[LinkModel; 2]> {
        self.links.get(id.place()).map(|wire| wire.models)
    }

    pub(crate) fn narrate_line(&mut self, text: &str) {
        let passed = self.passed();
        if let Some(narrator) = &mut self.narrator {
            narrator(passed, text);
        }
    }

    pub(crate) fn tell(&mut self, id: ClientId, what: &str) {
        if self.narrator.is_some() {
            self.narrate_line(&format!("c{} {what}", id.0));
        }
    }

    pub(crate) fn disturb_others(&mut self, id: ClientId) {
        let now = self.now;
        let room = self.people.get(id.place()).map(|(room, _)| *room);
        let here = self.clients.iter_mut().filter(|(_, client)| Some(client.room) == room);
        here.for_each(|(_, client)| client.disturbed = client.disturbed.max(now));
    }

    pub(crate) fn fresh(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub(crate) fn later(&mut self, after: Duration, what: Happening) {
        let id = self.fresh();
        self.under_way.insert(self.now + after, id, what);
    }

    /// A message on a client's socket, reliable and in order: 0 for up, 1 for down.
    fn by_socket(&mut self, id: ClientId, direction: usize, what: Happening) {
        let Some(wire) = self.links.get_mut(id.place()) else { return };
        let model = &wire.models[direction];
        let at = (self.now + model.delay + model.jitter / 2).max(wire.last[direction]);
        wire.last[direction] = at;
        let number = self.fresh();
        self.under_way.insert(at, number, what);
    }

    fn open_socket(&mut self, id: ClientId, resume: bool) {
        let now = self.now;
        let connection = ConnectionId(self.fresh());
        let Some(client) = self.clients.get_mut(&id) else { return };
        let Some(params) = client.join_params(now, resume) else {
            return self.fail(format!("c{}'s join can't be read", id.0));
        };
        client.socket = Some(connection);
        client.resumes_at = None;
        self.sockets.insert(connection, id);
        self.by_socket(id, 0, Happening::Connect(id, connection, Box::new(params)));
    }
}

impl Happening {
    fn is_for_server(&self) -> bool {
        !matches!(self, Happening::ToClient(..) | Happening::Response(..) | Happening::Closed(_))
    }
}

fn factory(dtls: Dtls, seed: [u8; 32]) -> Arc<dyn Factory> {
    if dtls == Dtls::Real {
        let context = parvis_dtls::Certificate::generate()
            .and_then(|certificate| parvis_dtls::Context::new(&certificate, parvis_dtls::Config::default()));
        if let Ok(context) = context {
            return Arc::new(context);
        }
    }
    Arc::new(StandIn::new(seed))
}
