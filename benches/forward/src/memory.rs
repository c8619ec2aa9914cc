// SPDX-License-Identifier: EUPL-1.2
//! The load in fixed time and without a socket: recorded once with real clients, then played to a fresh forwarder,
//! so that what the clients do is not counted.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parvis_peer::sdp::{EncoderPreference, MediaKind};
use parvis_peer::{LocalCandidate, Path, Protocol, Received};
use parvis_rtp::rtcp::{Rtcp, packets};
use parvis_sfu::media::MediaConfig;
use parvis_sfu::{
    Command, Description, Event, Forwarder, ForwarderConfig, Outbox, PeerId, PeerRole, RoomId,
    SubscriptionId, TrackId, TrackSpec,
};
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;

use crate::client::{CID, Client};
use crate::sink::Sink;
use crate::source::Source;
use crate::{Error, FRAME_PACKETS, peer_config};

/// Time goes in steps, as a thread that waits in epoll sees it.
const STEP: Duration = Duration::from_millis(1);
/// Steps between frames: 30 a second.
const FRAME_STEPS: u64 = 33;
/// Steps after which handshakes are done, or never will be.
const HANDSHAKE_STEPS: u64 = 10_000;
const ROOM: RoomId = RoomId(1);
const PUBLISHER: PeerId = PeerId(1);
const TRACK: TrackId = TrackId(1);
const SSRC: u32 = 1000;

/// What a forwarder was told, and when.
#[derive(Clone)]
enum Input {
    Command(Instant, Command),
    Datagram(Instant, Path, Vec<u8>),
    Timeout(Instant),
}

/// What an input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A packet of the publisher's.
    Media,
    /// Transport feedback and reports.
    Feedback,
    /// Time that has come.
    Time,
    /// A connectivity check, a handshake, a command.
    Control,
}

impl Input {
    fn kind(&self) -> Kind {
        match self {
            Input::Datagram(_, _, bytes) => match bytes[..] {
                [128..=191, 192..=223, ..] => Kind::Feedback,
                [128..=191, ..] => Kind::Media,
                _ => Kind::Control,
            },
            Input::Timeout(_) => Kind::Time,
            Input::Command(..) => Kind::Control,
        }
    }
}

/// A recorded load.
pub struct Recording {
    server: SocketAddr,
    inputs: Vec<Input>,
    /// Where handshakes are over and the estimates have risen.
    steady: usize,
}

impl Recording {
    /// Records `frames` to so many subscribers; the second half is what [`Recording::replay`] counts. A world that did
    /// not come up records nothing.
    pub fn make(subscribers: usize, frames: u64) -> Recording {
        let mut world = World::new();
        let steady = world.run(subscribers, frames).unwrap_or(world.inputs.len());
        Recording { server: world.server, inputs: world.inputs, steady }
    }

    /// Plays all of it to a fresh forwarder. Returns how many media packets it sent in the steady part. What the forwarder
    /// does there happens within [`steady_input`] and nowhere else, for whoever counts a function's instructions.
    pub fn replay(&self) -> u64 {
        let mut sum = 0;
        self.replay_each(|_, sent| sum += sent);
        sum
    }

    /// Plays all of it to a fresh forwarder, and says after each input of the steady part what it was and how many media
    /// packets were sent because of it.
    pub fn replay_each(&self, mut seen: impl FnMut(Kind, u64)) {
        let mut forwarder = forwarder(self.server);
        let mut outbox = Outbox::default();
        let (before, steady) = self.inputs.split_at(self.steady);
        let (mut before, mut steady) = (before.to_vec(), steady.to_vec());
        let mut play = |inputs: &mut [Input], take: Take, seen: &mut dyn FnMut(Kind, u64)| {
            play(inputs, |input, last| {
                let kind = input.kind();
                take(&mut forwarder, input, last, &mut outbox);
                let sent = outbox.iter().filter(|(_, datagram)| is_media(datagram)).count();
                outbox.clear();
                seen(kind, sent as u64);
            });
        };
        play(&mut before, take, &mut |_, _| ());
        play(&mut steady, steady_input, &mut seen);
    }

    /// Plays all of it to a fresh forwarder, datagrams that come together also one by one if so wished. Gives everything that
    /// it sends, by path.
    pub fn sent(&self, one_by_one: bool) -> BTreeMap<Path, Vec<Vec<u8>>> {
        let (mut forwarder, mut outbox) = (forwarder(self.server), Outbox::default());
        let mut sent: BTreeMap<Path, Vec<Vec<u8>>> = BTreeMap::new();
        play(&mut self.inputs.clone(), |input, last| {
            take(&mut forwarder, input, last || one_by_one, &mut outbox);
            for (path, datagram) in outbox.iter() {
                sent.entry(path).or_default().push(datagram.to_vec());
            }
            outbox.clear();
        });
        sent
    }
}

/// Tells a forwarder something, the last of what came together or not.
type Take = fn(&mut Forwarder, &mut Input, bool, &mut Outbox);

/// Gives each input, and whether it is the last of those that came together.
fn play(inputs: &mut [Input], mut take: impl FnMut(&mut Input, bool)) {
    for at in 0..inputs.len() {
        let together = match (&inputs[at], inputs.get(at + 1)) {
            (Input::Datagram(now, ..), Some(Input::Datagram(next, ..))) => now == next,
            _ => false,
        };
        take(&mut inputs[at], !together);
    }
}

fn take(forwarder: &mut Forwarder, input: &mut Input, last: bool, outbox: &mut Outbox) {
    match input {
        Input::Command(now, command) => forwarder.handle_command(*now, command.clone(), outbox),
        Input::Datagram(now, path, bytes) => {
            forwarder.hold_datagram(*now, *path, bytes, outbox);
            // A socket would be written to in between; here the outbox has room for all.
            while last && forwarder.forward_held(*now, outbox) {}
        }
        Input::Timeout(now) => forwarder.handle_timeout(*now, outbox),
    }
    while forwarder.poll_event().is_some() {}
}

/// What callgrind is told to count: this function by its name, and all that it calls.
#[inline(never)]
fn steady_input(forwarder: &mut Forwarder, input: &mut Input, last: bool, outbox: &mut Outbox) {
    take(forwarder, input, last, outbox);
    std::hint::black_box(&outbox);
}

/// Whether a datagram is a packet of the publisher's, forwarded, and not padding, RTCP or part of a handshake.
fn is_media(datagram: &[u8]) -> bool {
    matches!(datagram, [128..=191, 0..=191 | 224.., ..]) && datagram.len() > crate::PACKET_BYTES / 2
}

/// The real thing that is recorded.
struct World {
    now: Instant,
    server: SocketAddr,
    random: ChaCha20Rng,
    forwarder: Forwarder,
    outbox: Outbox,
    inputs: Vec<Input>,
    publisher: Client,
    sinks: Vec<Sink>,
    source: Option<Source>,
    bound: bool,
    key_wanted: bool,
}

impl World {
    fn new() -> World {
        let start = Instant::now();
        let server = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 7882));
        let mut random = ChaCha20Rng::seed_from_u64(5);
        let publisher = Client::new(PUBLISHER, peer_config(&[], 4), path(server, 0), &mut random, start);
        World {
            now: start,
            server,
            random,
            forwarder: forwarder(server),
            outbox: Outbox::default(),
            inputs: Vec::new(),
            publisher,
            sinks: Vec::new(),
            source: None,
            bound: false,
            key_wanted: true,
        }
    }

    /// Connects everyone and plays the frames. Gives the place in the inputs where the second half began.
    fn run(&mut self, subscribers: usize, frames: u64) -> Result<usize, Error> {
        self.input(Input::Command(
            self.now,
            Command::CreatePeer { room: ROOM, peer: PUBLISHER, role: PeerRole::Publisher },
        ))?;
        let spec = TrackSpec {
            cid: CID.to_owned(),
            kind: MediaKind::Video,
            screen_share: false,
            muted: false,
            encoder: EncoderPreference::default(),
            layers: Vec::new(),
        };
        self.input(Input::Command(self.now, Command::Publish { peer: PUBLISHER, track: TRACK, spec }))?;
        let description = self.publisher.offer(self.now, SSRC)?;
        self.describe(PUBLISHER, description)?;
        self.until(|world| world.publisher.connected && world.bound)?;
        self.source = Some(Source::new(&self.publisher, SSRC)?);
        for place in 0..subscribers {
            let peer = PeerId(place as u64 + 2);
            let path = path(self.server, place as u16 + 1);
            let client = Client::new(peer, peer_config(&[], 4), path, &mut self.random, self.now);
            self.sinks.push(Sink::new(client, self.now));
            let create = Command::CreatePeer { room: ROOM, peer, role: PeerRole::Subscriber };
            self.input(Input::Command(self.now, create))?;
            let subscribe = Command::Subscribe {
                subscription: SubscriptionId(peer.0),
                peer,
                track: TRACK,
                stream_id: "s".to_owned(),
                track_label: "t".to_owned(),
            };
            self.input(Input::Command(self.now, subscribe))?;
        }
        self.until(|world| {
            world.sinks.iter().all(|sink| sink.client.connected && !sink.client.peer.sections().is_empty())
        })?;
        let mut steady = 0;
        for frame in 0..frames {
            if frame == frames / 2 {
                steady = self.inputs.len();
            }
            let mut packets = Vec::with_capacity(FRAME_PACKETS);
            let (key, peer) = (std::mem::take(&mut self.key_wanted), &mut self.publisher.peer);
            if let Some(source) = &mut self.source {
                source.frame(key, |packet, len| {
                    packets.extend(peer.protect_rtp(packet, len).map(|len| packet[..len].to_vec()));
                })?;
            }
            for packet in packets {
                self.input(Input::Datagram(self.now, self.publisher.path, packet))?;
            }
            for _ in 0..FRAME_STEPS {
                self.step()?;
            }
        }
        Ok(steady)
    }

    fn until(&mut self, done: impl Fn(&Self) -> bool) -> Result<(), Error> {
        for _ in 0..HANDSHAKE_STEPS {
            if done(self) {
                return Ok(());
            }
            self.step()?;
        }
        Err("not connected".into())
    }

    fn step(&mut self) -> Result<(), Error> {
        self.now += STEP;
        let now = self.now;
        if self.forwarder.poll_timeout().is_some_and(|at| at <= now) {
            self.input(Input::Timeout(now))?;
        }
        let mut out = Vec::new();
        self.publisher.act(now, &mut self.random, |datagram| out.push((PUBLISHER, datagram.to_vec())));
        for sink in &mut self.sinks {
            let id = sink.client.id;
            sink.client.act(now, &mut self.random, |datagram| out.push((id, datagram.to_vec())));
            sink.act(now, |datagram| out.push((id, datagram.to_vec())));
        }
        for (id, datagram) in out {
            let path = self.client(id).path;
            self.input(Input::Datagram(now, path, datagram))?;
        }
        Ok(())
    }

    fn client(&mut self, id: PeerId) -> &mut Client {
        let place = id.0.checked_sub(2).map(|place| place as usize);
        match place.and_then(|place| self.sinks.get_mut(place)) {
            Some(sink) => &mut sink.client,
            None => &mut self.publisher,
        }
    }

    fn describe(&mut self, peer: PeerId, description: Description) -> Result<(), Error> {
        self.input(Input::Command(self.now, Command::RemoteDescription { peer, description }))
    }

    /// Tells the forwarder something, notes it, and passes on what comes of it.
    fn input(&mut self, input: Input) -> Result<(), Error> {
        self.inputs.push(input.clone());
        let forwarder = &mut self.forwarder;
        match input {
            Input::Command(now, command) => forwarder.handle_command(now, command, &mut self.outbox),
            Input::Datagram(now, path, mut bytes) => {
                forwarder.handle_datagram(now, path, &mut bytes, &mut self.outbox);
            }
            Input::Timeout(now) => forwarder.handle_timeout(now, &mut self.outbox),
        }
        let mut events = Vec::new();
        while let Some((_, event)) = self.forwarder.poll_event() {
            events.push(event);
        }
        let outbox = std::mem::take(&mut self.outbox);
        let now = self.now;
        for (path, datagram) in outbox.iter() {
            let mut datagram = datagram.to_vec();
            let place = usize::from(path.remote.port()).checked_sub(usize::from(FIRST_PORT) + 1);
            match place.and_then(|place| self.sinks.get_mut(place)) {
                Some(sink) => sink.take(now, &mut datagram),
                None => {
                    if let Received::Rtcp { len } = self.publisher.take(now, &mut datagram) {
                        let wanted = |packet| matches!(packet, Ok(Rtcp::Pli { .. } | Rtcp::Fir(_)));
                        self.key_wanted |= packets(&datagram[..len]).any(wanted);
                    }
                }
            }
        }
        for event in events {
            match event {
                Event::LocalDescription { peer, description, .. } => {
                    if let Some(answer) = self.client(peer).describe(now, &description)? {
                        self.describe(peer, answer)?;
                    }
                }
                Event::TrackBound { .. } => self.bound = true,
                Event::PeerFailed { .. } | Event::DescriptionRefused { .. } => {
                    return Err(format!("{event:?}").into());
                }
                _ => {}
            }
        }
        Ok(())
    }
}

const FIRST_PORT: u16 = 10_000;

fn path(server: SocketAddr, place: u16) -> Path {
    let remote = SocketAddr::from((Ipv4Addr::new(198, 51, 100, 1), FIRST_PORT + place));
    Path { protocol: Protocol::Udp, local: server, remote }
}

fn forwarder(server: SocketAddr) -> Forwarder {
    let peers = peer_config(&[LocalCandidate { protocol: Protocol::Udp, address: server }], 1);
    Forwarder::new(ForwarderConfig::new(peers, Arc::new(MediaConfig::default())), [2; 32])
}
