// SPDX-License-Identifier: EUPL-1.2
//! The conference: one forwarder, its clients, the datagrams between them, and the clock.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parvis_dtls::standin::StandIn;
use parvis_peer::sctp::SctpLimits;
use parvis_peer::sdp::{EncoderPreference, MediaKind, SessionConfig};
use parvis_peer::{LocalCandidate, Path, PeerConfig, PeerLimits, Protocol};
use parvis_sfu::media::MediaConfig;
use parvis_sfu::{
    Command, Description, DescriptionKind, Event, Forwarder, ForwarderConfig, ForwarderStats, Outbox, PeerId,
    PeerRole, RoomId, SubscriptionId, TrackId, TrackSpec,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;

use crate::client::{CIDS, Client, ClientId, Connection};
use crate::link::{Link, LinkModel};

/// What IPv4 and UDP add to a datagram on the line.
const HEADER_BYTES: usize = 20 + 8;

/// A datagram on its way.
struct Flight {
    path: Path,
    bytes: Vec<u8>,
    to_server: bool,
}

/// One run.
pub struct Conference {
    start: Instant,
    now: Instant,
    random: ChaCha20Rng,
    link: LinkModel,
    /// Each client's way to the server and back.
    links: BTreeMap<ClientId, [Link; 2]>,
    forwarder: Forwarder,
    client_config: Arc<PeerConfig>,
    server_address: SocketAddr,
    clients: BTreeMap<ClientId, Client>,
    paths: BTreeMap<Path, ClientId>,
    flights: BTreeMap<(Instant, u64), Flight>,
    outbox: Outbox,
    last_id: u64,
    trace: DefaultHasher,
    packets: u64,
    failures: Vec<String>,
    ended: BTreeSet<TrackId>,
}

impl Conference {
    /// A conference without people, all of whose chance comes from `seed`.
    pub fn new(seed: u64, link: LinkModel) -> Conference {
        let mut random = ChaCha20Rng::seed_from_u64(seed);
        let server_address = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 7882));
        let start = Instant::now();
        let candidate = LocalCandidate { protocol: Protocol::Udp, address: server_address };
        let server = peer_config(vec![candidate], random.random());
        let client_config = peer_config(Vec::new(), random.random());
        let config = ForwarderConfig::new(server, Arc::new(MediaConfig::default()));
        Conference {
            start,
            now: start,
            link,
            links: BTreeMap::new(),
            forwarder: Forwarder::new(config, random.random()),
            random,
            client_config,
            server_address,
            clients: BTreeMap::new(),
            paths: BTreeMap::new(),
            flights: BTreeMap::new(),
            outbox: Outbox::default(),
            last_id: 0,
            trace: DefaultHasher::new(),
            packets: 0,
            failures: Vec::new(),
            ended: BTreeSet::new(),
        }
    }

    /// A new room.
    pub fn open_room(&mut self) -> RoomId {
        RoomId(self.fresh())
    }

    /// Lets someone join who sends sound and pictures, and receives everyone in the room.
    pub fn join(&mut self, room: RoomId) -> ClientId {
        let id = ClientId(self.clients.len() + 1);
        let tracks = [TrackId(self.fresh()), TrackId(self.fresh())];
        let sending = self.connect(id, 0);
        let receiving = self.connect(id, 1);
        let (publisher, subscriber) = (sending.id, receiving.id);
        let mut client = Client::new(id, room, tracks, sending, receiving, self.now);
        let offer = client.offer(self.now, &mut self.random).unwrap_or_default();
        self.paths.insert(client.sending.path, id);
        self.paths.insert(client.receiving.path, id);
        self.clients.insert(id, client);
        let (up, down) = (self.random.random(), self.random.random());
        self.links.insert(id, [Link::new(self.link, up), Link::new(self.link, down)]);

        self.command(Command::CreatePeer { room, peer: publisher, role: PeerRole::Publisher });
        self.command(Command::CreatePeer { room, peer: subscriber, role: PeerRole::Subscriber });
        for (track, (cid, kind)) in tracks.into_iter().zip(CIDS) {
            self.command(Command::Publish { peer: publisher, track, spec: spec(cid, kind) });
        }
        let others: Vec<(PeerId, [TrackId; 2])> =
            self.others(id).map(|o| (o.receiving.id, o.tracks)).collect();
        for (peer, theirs) in others {
            for (subscribed, to) in [(tracks, peer), (theirs, subscriber)] {
                for track in subscribed {
                    self.subscribe(to, track);
                }
            }
        }
        let description = Description { kind: DescriptionKind::Offer, sdp: offer, id: 1 };
        self.command(Command::RemoteDescription { peer: publisher, description });
        id
    }

    /// Lets someone leave.
    pub fn leave(&mut self, id: ClientId) {
        let Some(client) = self.clients.remove(&id) else { return };
        self.paths.retain(|_, owner| *owner != id);
        self.links.remove(&id);
        for peer in [client.sending.id, client.receiving.id] {
            self.command(Command::ClosePeer { peer });
        }
    }

    /// Lets a client take its pictures back, as browsers do: by an offer in which their section has stopped.
    pub fn stop_pictures(&mut self, id: ClientId) {
        let now = self.now;
        let Some(client) = self.clients.get_mut(&id) else { return };
        let peer = client.sending.id;
        let Some(sdp) = client.offer_without_pictures(now) else { return };
        let description = Description { kind: DescriptionKind::Offer, sdp, id: 2 };
        self.command(Command::RemoteDescription { peer, description });
    }

    /// Whether the forwarder told that a client's sound and its pictures have ended.
    pub fn ended(&self, id: ClientId) -> Option<[bool; 2]> {
        self.clients.get(&id).map(|client| client.tracks.map(|track| self.ended.contains(&track)))
    }

    /// Moves a client's connections to new addresses, as a NAT or a change of network does.
    pub fn rebind(&mut self, id: ClientId) {
        let port = 20_000 + (self.fresh() % 20_000) as u16;
        let Some(client) = self.clients.get_mut(&id) else { return };
        self.paths.retain(|_, owner| *owner != id);
        for (place, connection) in [&mut client.sending, &mut client.receiving].into_iter().enumerate() {
            connection.path.remote.set_port(port + place as u16);
            connection.check_now(self.now);
            self.paths.insert(connection.path, id);
        }
    }

    /// Lets time pass.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.next().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.step();
        }
        self.now = end;
    }

    /// Packets of sound of `from` that `to` got.
    pub fn heard(&self, to: ClientId, from: ClientId) -> u64 {
        self.clients.get(&to).and_then(|client| client.heard.get(&from)).copied().unwrap_or_default()
    }

    /// Packets of pictures of `from` that `to` got.
    pub fn seen(&self, to: ClientId, from: ClientId) -> u64 {
        self.clients.get(&to).and_then(|client| client.seen.get(&from)).copied().unwrap_or_default()
    }

    /// How often each of a client's connections went through a handshake.
    pub fn handshakes(&self, id: ClientId) -> Vec<u32> {
        let client = self.clients.get(&id);
        client
            .map(|client| vec![client.sending.connected_times, client.receiving.connected_times])
            .unwrap_or_default()
    }

    /// Everything that the server sent so far, as one number, and how many datagrams it was.
    pub fn trace(&self) -> (u64, u64) {
        (self.trace.finish(), self.packets)
    }

    /// What the forwarder counted.
    pub fn stats(&self) -> &ForwarderStats {
        self.forwarder.stats()
    }

    /// What broke an invariant: empty in a run that holds them. Checked on every delivery: nothing of one room
    /// reaches another, sound comes in order on links that keep it.
    pub fn failures(&self) -> Vec<String> {
        let mut failures = self.failures.clone();
        let rooms: BTreeMap<ClientId, RoomId> =
            self.clients.iter().map(|(id, client)| (*id, client.room)).collect();
        for (id, client) in &self.clients {
            let from: BTreeSet<&ClientId> = client.heard.keys().chain(client.seen.keys()).collect();
            for other in from {
                if *other == *id || rooms.get(other).is_some_and(|room| *room != client.room) {
                    failures.push(format!("{id:?} of {:?} got media of {other:?}", client.room));
                }
            }
            if client.out_of_order > 0 && self.link.reorder == 0.0 && self.link.loss == 0.0 {
                failures.push(format!("{id:?} got {} packets of sound out of order", client.out_of_order));
            }
        }
        failures
    }

    fn connect(&mut self, id: ClientId, place: u8) -> Connection {
        let address = SocketAddr::from((
            Ipv4Addr::new(198, 51, (id.0 / 250) as u8, (id.0 % 250) as u8),
            5000 + u16::from(place),
        ));
        let peer = PeerId(self.fresh());
        let config = self.client_config.clone();
        Connection::new(peer, config, (self.server_address, address), &mut self.random, self.now)
    }

    fn others(&self, id: ClientId) -> impl Iterator<Item = &Client> {
        let room = self.clients.get(&id).map(|client| client.room);
        self.clients.values().filter(move |client| client.id != id && Some(client.room) == room)
    }

    fn subscribe(&mut self, peer: PeerId, track: TrackId) {
        let subscription = SubscriptionId(self.fresh());
        let (stream_id, track_label) = (format!("s{}", track.0), format!("t{}", track.0));
        self.command(Command::Subscribe { subscription, peer, track, stream_id, track_label });
    }

    fn fresh(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn command(&mut self, command: Command) {
        self.forwarder.handle_command(self.now, command, &mut self.outbox);
        self.settle();
    }

    fn next(&self) -> Option<Instant> {
        let flight = self.flights.keys().next().map(|(at, _)| *at);
        let client = self.clients.values().filter_map(Client::next).min();
        [flight, client, self.forwarder.poll_timeout()].into_iter().flatten().min()
    }

    /// Everything that is due now.
    fn step(&mut self) {
        while self.flights.keys().next().is_some_and(|(at, _)| *at <= self.now) {
            if let Some((_, flight)) = self.flights.pop_first() {
                self.deliver(flight);
            }
        }
        if self.forwarder.poll_timeout().is_some_and(|at| at <= self.now) {
            self.forwarder.handle_timeout(self.now, &mut self.outbox);
        }
        self.settle();
        let mut sent = Vec::new();
        for client in self.clients.values_mut() {
            if client.next().is_some_and(|at| at <= self.now) {
                sent.append(&mut client.act(self.now, &mut self.random));
            }
        }
        for (path, bytes) in sent {
            self.launch(path, bytes, true);
        }
    }

    fn deliver(&mut self, mut flight: Flight) {
        if flight.to_server {
            self.forwarder.handle_datagram(self.now, flight.path, &mut flight.bytes, &mut self.outbox);
            self.settle();
        } else if let Some(client) = self.paths.get(&flight.path).and_then(|id| self.clients.get_mut(id)) {
            client.handle_datagram(self.now, flight.path, &mut flight.bytes);
            for (path, bytes) in client.act(self.now, &mut self.random) {
                self.launch(path, bytes, true);
            }
        }
    }

    fn launch(&mut self, path: Path, bytes: Vec<u8>, to_server: bool) {
        let links = self.paths.get(&path).and_then(|id| self.links.get_mut(id));
        let Some([up, down]) = links else { return };
        let link = if to_server { up } else { down };
        for at in link.send(self.now, bytes.len() + HEADER_BYTES).into_iter().flatten() {
            self.last_id += 1;
            self.flights.insert((at, self.last_id), Flight { path, bytes: bytes.clone(), to_server });
        }
    }

    /// Passes on what the forwarder has to send and to say.
    fn settle(&mut self) {
        loop {
            let outbox = std::mem::take(&mut self.outbox);
            for (path, bytes) in outbox.iter() {
                self.now.duration_since(self.start).hash(&mut self.trace);
                path.hash(&mut self.trace);
                bytes.hash(&mut self.trace);
                self.packets += 1;
                self.launch(path, bytes.to_vec(), false);
            }
            let Some((_, event)) = self.forwarder.poll_event() else { return };
            self.event(event);
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::LocalDescription { peer, description, .. } => self.description(peer, &description),
            Event::DescriptionRefused { peer, reason } => self.failures.push(format!("{peer:?}: {reason}")),
            Event::TrackEnded { track } => {
                self.ended.insert(track);
                self.command(Command::Unpublish { track });
            }
            Event::PeerFailed { peer, reason } => self.failures.push(format!("{peer:?} failed: {reason:?}")),
            _ => {}
        }
    }

    /// The server's description: its answer to a client's offer, or its offer, which the client answers.
    fn description(&mut self, peer: PeerId, description: &Description) {
        let now = self.now;
        let of_peer = |client: &&mut Client| client.sending.id == peer || client.receiving.id == peer;
        let Some(client) = self.clients.values_mut().find(of_peer) else { return };
        match description.kind {
            DescriptionKind::Answer => {
                let connection = &mut client.sending;
                match connection.peer.accept_answer(now, &description.sdp) {
                    Ok(()) => connection.learn_remote(now, &description.sdp),
                    Err(error) => self.failures.push(format!("{peer:?}: the answer was refused: {error}")),
                }
            }
            DescriptionKind::Offer => {
                let connection = &mut client.receiving;
                match connection.peer.accept_offer(now, &description.sdp) {
                    Ok(sdp) => {
                        connection.learn_local(&sdp);
                        connection.learn_remote(now, &description.sdp);
                        let description =
                            Description { kind: DescriptionKind::Answer, sdp, id: description.id };
                        self.command(Command::RemoteDescription { peer, description });
                    }
                    Err(error) => self.failures.push(format!("{peer:?}: the offer was refused: {error}")),
                }
            }
            DescriptionKind::Rollback => {}
        }
    }
}

fn peer_config(candidates: Vec<LocalCandidate>, seed: [u8; 32]) -> Arc<PeerConfig> {
    Arc::new(PeerConfig {
        local_candidates: candidates.into(),
        dtls: Arc::new(StandIn::new(seed)),
        sdp: Arc::new(SessionConfig::default()),
        sctp: SctpLimits::default(),
        limits: PeerLimits::default(),
    })
}

fn spec(cid: &str, kind: MediaKind) -> TrackSpec {
    TrackSpec {
        cid: cid.to_owned(),
        kind,
        screen_share: false,
        muted: false,
        encoder: EncoderPreference::default(),
        layers: Vec::new(),
    }
}
