// SPDX-License-Identifier: EUPL-1.2
//! The conference: one forwarder, the rooms' sessions, clients, what is under way between them, and the clock.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use livekit_protocol as proto;
use parvis_dtls::Factory;
use parvis_dtls::standin::StandIn;
use parvis_meeting::Permissions;
use parvis_peer::sctp::SctpLimits;
use parvis_peer::sdp::SessionConfig;
use parvis_peer::{LocalCandidate, Path, PeerConfig, PeerLimits, Protocol};
use parvis_sfu::media::MediaConfig;
use parvis_sfu::{Forwarder, ForwarderConfig, ForwarderStats, Outbox, RoomId};
use parvis_signal::{ConnectionId, Frame, Grants, Join, JoinParams, Output, Room, RoomConfig};
use prost::Message;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rustc_hash::FxHasher;

use crate::check::Checks;
use crate::client::{Client, ClientId, Profile};
use crate::deeds::Attack;
use crate::link::{Link, LinkModel};
use crate::nonces::Nonces;
use crate::receive::Got;
use crate::transport::Connection;

/// What IPv4 and UDP add to a datagram on the line.
const HEADER_BYTES: usize = 20 + 8;
/// What a wall clock shows when a run begins.
const UNIX_MS: i64 = 1_800_000_000_000;
/// A frozen process's socket buffer, in datagrams.
const SOCKET_BUFFER: usize = 256;
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
    ToClient(Path, Vec<u8>),
    Connect(ClientId, ConnectionId, Box<JoinParams>),
    Request(ConnectionId, RoomId, Vec<u8>),
    Response(ConnectionId, Bytes),
    /// The server closed the socket.
    Closed(ConnectionId),
    /// The client's end is gone.
    Dropped(ConnectionId, RoomId),
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
    pub(crate) links: BTreeMap<ClientId, Wire>,
    forwarder: Forwarder,
    rooms: BTreeMap<RoomId, Room>,
    client_dtls: Arc<dyn Factory>,
    pub(crate) server_address: SocketAddr,
    pub(crate) clients: BTreeMap<ClientId, Client>,
    /// Everyone who ever was there.
    pub(crate) people: BTreeMap<ClientId, (RoomId, Profile)>,
    /// Whose a path is, and under which key the server sends on it; old paths of those who moved too.
    pub(crate) paths: BTreeMap<Path, (ClientId, u64)>,
    pub(crate) sockets: BTreeMap<ConnectionId, ClientId>,
    under_way: BTreeMap<(Instant, u64), Happening>,
    outbox: Outbox,
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

/// A client's line: up, down, when the last message of its socket arrives each way.
pub(crate) struct Wire {
    pub(crate) models: [LinkModel; 2],
    pub(crate) links: [Link; 2],
    last: [Instant; 2],
}

impl Conference {
    /// A conference without people, all of whose chance comes from `seed`.
    pub fn new(seed: u64) -> Conference {
        Conference::with(seed, Dtls::StandIn)
    }

    /// The same with this DTLS.
    pub fn with(seed: u64, dtls: Dtls) -> Conference {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let server_address = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 7882));
        let (server, client) = (factory(dtls, random.random()), factory(dtls, random.random()));
        let candidate = LocalCandidate { protocol: Protocol::Udp, address: server_address };
        let peers = Arc::new(PeerConfig {
            local_candidates: Arc::new([candidate]),
            dtls: server,
            sdp: Arc::new(SessionConfig::default()),
            sctp: SctpLimits::default(),
            limits: PeerLimits::default(),
        });
        let config = ForwarderConfig::new(peers, Arc::new(MediaConfig::default()));
        let start = Instant::now();
        Conference {
            start,
            now: start,
            links: BTreeMap::new(),
            forwarder: Forwarder::new(config, random.random()),
            rooms: BTreeMap::new(),
            random,
            client_dtls: client,
            server_address,
            clients: BTreeMap::new(),
            people: BTreeMap::new(),
            paths: BTreeMap::new(),
            sockets: BTreeMap::new(),
            under_way: BTreeMap::new(),
            outbox: Outbox::default(),
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

    /// A new room.
    pub fn open_room(&mut self) -> RoomId {
        let id = RoomId(self.fresh());
        let seed = self.random.random();
        let room = Room::new(Arc::new(RoomConfig::default()), id, "atelier", seed, self.now, UNIX_MS);
        self.rooms.insert(id, room);
        id
    }

    /// Lets someone join, over a line of these two models: up and down.
    pub fn join(&mut self, room: RoomId, profile: Profile, models: [LinkModel; 2]) -> ClientId {
        let id = ClientId(self.people.len() as u32 + 1);
        let (now, server, dtls) = (self.now, self.server_address, self.client_dtls.clone());
        let connect = |place: u8, random: &mut ChaCha8Rng| {
            let host = Ipv4Addr::new(198, 18, (id.0 / 250) as u8, (id.0 % 250) as u8);
            let remote = SocketAddr::from((host, 5000 + u16::from(place)));
            let path = Path { protocol: Protocol::Udp, local: server, remote };
            Connection::new(path, dtls.clone(), random, now)
        };
        let client = Client::new((id, room, profile), self.random.random(), now, connect);
        self.people.insert(id, (room, profile));
        let key = u64::from(id.0) * 2;
        self.paths.insert(client.sending.path, (id, key));
        if let Some(receiving) = &client.receiving {
            self.paths.insert(receiving.path, (id, key + 1));
        }
        let links = models.map(|model| Link::new(model, self.random.random()));
        self.links.insert(id, Wire { models, links, last: [now; 2] });
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

    /// What the forwarder counted.
    pub fn stats(&self) -> &ForwarderStats {
        self.forwarder.stats()
    }

    /// What [`Conference::held`] may be at most, everyone who ever was there taken for present: a room with its timer; of each
    /// person two peers with a timer, an ufrag and eight paths each (of the last ones only some live, as each outlives a change of
    /// address for a while), two tracks; and of each pair in a room a subscription to both tracks.
    pub(crate) fn held_at_most(&self) -> usize {
        let mut people: BTreeMap<RoomId, usize> = self.rooms.keys().map(|room| (*room, 0)).collect();
        for (room, _) in self.people.values() {
            *people.entry(*room).or_default() += 1;
        }
        people.values().map(|count| 3 + count * (2 * 11 + 2) + count * count.saturating_sub(1) * 2).sum()
    }

    /// How many entries the server's tables hold, rooms included: 0 when all is gone.
    pub fn held(&self) -> usize {
        self.forwarder.held() + self.rooms.len()
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
        self.links.get(&id).map(|wire| wire.models)
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
        let room = self.people.get(&id).map(|(room, _)| *room);
        for client in self.clients.values_mut().filter(|client| Some(client.room) == room) {
            client.disturbed = client.disturbed.max(now);
        }
    }

    pub(crate) fn fresh(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub(crate) fn later(&mut self, after: Duration, what: Happening) {
        let id = self.fresh();
        self.under_way.insert((self.now + after, id), what);
    }

    /// A message on a client's socket, reliable and in order: 0 for up, 1 for down.
    fn by_socket(&mut self, id: ClientId, direction: usize, what: Happening) {
        let Some(wire) = self.links.get_mut(&id) else { return };
        let model = &wire.models[direction];
        let at = (self.now + model.delay + model.jitter / 2).max(wire.last[direction]);
        wire.last[direction] = at;
        let number = self.fresh();
        self.under_way.insert((at, number), what);
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

    /// Who wants to be woken at once.
    fn who_waits(&self) -> String {
        let mut waits = Vec::new();
        if self.forwarder.poll_timeout().is_some_and(|at| at <= self.now) {
            waits.push("the forwarder".to_owned());
        }
        let rooms = self.rooms.iter();
        let rooms = rooms.filter(|(_, room)| room.poll_timeout().is_some_and(|at| at <= self.now));
        waits.extend(rooms.map(|(id, _)| format!("{id:?}")));
        waits.extend(self.due_clients().iter().map(|id| format!("c{}", id.0)));
        if let Some(((at, _), _)) = self.under_way.first_key_value().filter(|((at, _), _)| *at <= self.now) {
            waits.push(format!("a datagram or message of {:?} ago", self.now - *at));
        }
        waits.join(", ")
    }

    fn next(&self) -> Option<Instant> {
        let under_way = self.under_way.keys().next().map(|(at, _)| *at);
        let clients = self.clients.values();
        let clients = clients.map(|client| if client.wake { self.now } else { client.wakes_at() }).min();
        let rooms = self.rooms.values().filter_map(Room::poll_timeout).min();
        let server = [self.forwarder.poll_timeout(), rooms].into_iter().flatten().min();
        let server = server.map(|at| self.server_frozen_until.map_or(at, |frozen| at.max(frozen)));
        [under_way, clients, server, Some(self.next_check)].into_iter().flatten().min()
    }

    /// Everything that is due now.
    fn step(&mut self) {
        if self.server_frozen_until.is_some_and(|until| until <= self.now) {
            self.server_frozen_until = None;
        }
        let mut held = 0;
        let mut happened = 0;
        while let Some(((at, number), what)) = self.under_way.pop_first() {
            let stands = happened == STILL_HAPPENINGS;
            if at > self.now || stands {
                self.under_way.insert((at, number), what);
                if stands {
                    self.fail(format!("time stands still: {STILL_HAPPENINGS} arrivals at once and more"));
                }
                break;
            }
            happened += 1;
            self.happen(what, &mut held);
        }
        if self.server_frozen_until.is_none() {
            if self.forwarder.poll_timeout().is_some_and(|at| at <= self.now) {
                self.forwarder.handle_timeout(self.now, &mut self.outbox);
            }
            for room in self.rooms.values_mut() {
                if room.poll_timeout().is_some_and(|at| at <= self.now) {
                    room.handle_timeout(self.now);
                }
            }
            self.settle();
        }
        let due: Vec<ClientId> = self.due_clients();
        for id in due {
            self.act(id);
        }
        if self.next_check <= self.now {
            self.next_check = self.now + CHECK_EVERY;
            self.check();
        }
    }

    fn due_clients(&self) -> Vec<ClientId> {
        let due = |client: &Client| client.wake || client.wakes_at() <= self.now;
        self.clients.iter().filter(|(_, client)| due(client)).map(|(id, _)| *id).collect()
    }

    fn act(&mut self, id: ClientId) {
        let now = self.now;
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.frozen_until = client.frozen_until.filter(|until| *until > now);
        if client.resumes_at.is_some_and(|at| at <= now) {
            let resume = !client.sid.is_empty();
            self.open_socket(id, resume);
        }
        let mut out = Vec::new();
        if let Some(client) = self.clients.get_mut(&id) {
            client.act(now, &mut out);
        }
        for (path, bytes) in out {
            self.launch(path, &bytes, true);
        }
        self.send_requests(id);
    }

    fn happen(&mut self, what: Happening, held: &mut usize) {
        let now = self.now;
        if let Some(until) = self.server_frozen_until.filter(|_| what.is_for_server()) {
            *held += usize::from(matches!(what, Happening::ToServer(..)));
            if *held <= SOCKET_BUFFER {
                let number = self.fresh();
                self.under_way.insert((until, number), what);
            }
            return;
        }
        match what {
            Happening::ToServer(path, mut bytes) => {
                self.forwarder.handle_datagram(now, path, &mut bytes, &mut self.outbox);
                self.settle();
            }
            Happening::ToClient(path, mut bytes) => {
                let Some(client) = self.paths.get(&path).and_then(|(id, _)| self.clients.get_mut(id)) else {
                    return;
                };
                if client.frozen_until.is_none_or(|until| until <= now) {
                    client.datagram(now, path, &mut bytes);
                    client.wake = true;
                }
            }
            Happening::Connect(id, connection, params) => {
                let Some((room, profile)) = self.people.get(&id).copied() else { return };
                let permissions = Permissions {
                    can_publish: profile.may_publish,
                    can_subscribe: profile.may_subscribe,
                    can_publish_data: profile.may_send_data,
                    hidden: profile.hidden,
                    ..Permissions::default()
                };
                let grants = Grants { permissions, ..Grants::of(&format!("c{}", id.0)) };
                let join = Join { grants, params: *params, address: String::new() };
                let result = self.rooms.get_mut(&room).map(|room| room.connect(now, connection, join));
                match result {
                    Some(Ok(())) => self.settle(),
                    Some(Err(error)) => self.fail(format!("c{} was refused: {error}", id.0)),
                    None => self.fail(format!("c{} comes to a room that has ended", id.0)),
                }
            }
            Happening::Request(connection, room, bytes) => {
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.message(now, connection, &bytes);
                }
                self.settle();
            }
            Happening::Dropped(connection, room) => {
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.disconnected(now, connection);
                }
                self.settle();
            }
            Happening::Response(connection, bytes) => {
                let Some(client) = self.sockets.get(&connection).and_then(|id| self.clients.get_mut(id))
                else {
                    return;
                };
                if client.attack == Some(Attack::StopsReading) {
                    return;
                }
                if let Some(until) = client.frozen_until.filter(|until| *until > now) {
                    let number = self.fresh();
                    self.under_way.insert((until, number), Happening::Response(connection, bytes));
                    return;
                }
                let response =
                    proto::SignalResponse::decode(bytes).ok().and_then(|response| response.message);
                if let Some(response) = response {
                    client.message(now, response);
                    client.wake = true;
                }
            }
            Happening::Closed(connection) => {
                if let Some(client) =
                    self.sockets.remove(&connection).and_then(|id| self.clients.get_mut(&id))
                {
                    client.socket_lost();
                    client.closed_by_server = true;
                }
            }
        }
    }

    pub(crate) fn send_requests(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.wake = false;
        let (Some(connection), room) = (client.socket, client.room) else { return };
        for request in std::mem::take(&mut client.requests) {
            let bytes = proto::SignalRequest { message: Some(request) }.encode_to_vec();
            self.by_socket(id, 0, Happening::Request(connection, room, bytes));
        }
    }

    fn launch(&mut self, path: Path, bytes: &[u8], to_server: bool) {
        let Some((id, _)) = self.paths.get(&path) else { return };
        let mutates = self.clients.get(id).is_some_and(|client| client.attack == Some(Attack::Mutates));
        let mutated = mutates && to_server && !bytes.is_empty();
        let Some(wire) = self.links.get_mut(id) else { return };
        let link = &mut wire.links[usize::from(!to_server)];
        for at in link.send(self.now, bytes.len() + HEADER_BYTES).into_iter().flatten() {
            self.last_id += 1;
            let mut bytes = bytes.to_vec();
            if mutated && self.random.random_range(0..3) == 0 {
                for _ in 0..self.random.random_range(1..8) {
                    let bit = self.random.random_range(0..bytes.len() * 8);
                    bytes[bit / 8] ^= 1 << (bit % 8);
                }
            }
            let what =
                if to_server { Happening::ToServer(path, bytes) } else { Happening::ToClient(path, bytes) };
            self.under_way.insert((at, self.last_id), what);
        }
    }

    /// Passes on what the server has to send and to say, until nothing moves.
    fn settle(&mut self) {
        loop {
            self.send_outbox();
            if let Some((room, event)) = self.forwarder.poll_event() {
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.event(self.now, event);
                }
                continue;
            }
            let output = self.rooms.iter_mut().find_map(|(id, room)| Some((*id, room.poll_output()?)));
            let Some((room, output)) = output else { return };
            match output {
                Output::Forward(command) => {
                    self.forwarder.handle_command(self.now, command, &mut self.outbox);
                }
                Output::Send { connection, frame } => {
                    let bytes = match frame {
                        Frame::Binary(bytes) => bytes,
                        Frame::Text(text) => Bytes::from(text),
                    };
                    self.note(bytes.len(), &bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>());
                    if let Some(id) = self.sockets.get(&connection).copied() {
                        self.by_socket(id, 1, Happening::Response(connection, bytes));
                    }
                }
                Output::Close { connection, code, .. } => {
                    self.note(usize::from(code), &connection.0);
                    if let Some(id) = self.sockets.get(&connection).copied() {
                        self.by_socket(id, 1, Happening::Closed(connection));
                    }
                }
                Output::RefreshToken { connection, .. } => {
                    if let Some(room) = self.rooms.get_mut(&room) {
                        room.refreshed(connection, "token".to_owned());
                    }
                }
                Output::Ended => {
                    self.rooms.remove(&room);
                }
            }
        }
    }

    fn send_outbox(&mut self) {
        if self.outbox.is_empty() {
            return;
        }
        let mut outbox = std::mem::take(&mut self.outbox);
        for (path, bytes) in outbox.iter() {
            path.hash(&mut self.trace);
            self.note(bytes.len(), bytes);
            self.packets += 1;
            let owner = self.paths.get(&path);
            self.checks.nonces += u64::from(owner.is_some());
            let reuse = owner.and_then(|(_, key)| self.nonces.on(*key, bytes));
            if let Some(reuse) = reuse {
                self.fail(reuse);
            }
            self.launch(path, bytes, false);
        }
        outbox.clear();
        self.outbox = outbox;
    }

    fn note(&mut self, what: usize, content: &(impl Hash + ?Sized)) {
        (self.now - self.start).hash(&mut self.trace);
        what.hash(&mut self.trace);
        content.hash(&mut self.trace);
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
