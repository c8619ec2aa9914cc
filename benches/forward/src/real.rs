// SPDX-License-Identifier: EUPL-1.2
//! The real path: a shard's thread with its sockets and a forwarder, brought up by descriptions, checks and handshakes,
//! fed with transport feedback.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parvis_peer::sdp::{EncoderPreference, MediaKind};
use parvis_peer::{Path, PeerConfig, Protocol, Received};
use parvis_rtp::rtcp::{Rtcp, packets};
use parvis_sfu::media::MediaConfig;
use parvis_sfu::{
    Command, Event, Forwarder, ForwarderConfig, PeerId, PeerRole, RoomId, SubscriptionId, TrackId, TrackSpec,
};
use parvis_shard::mmsg::{Message, ReceiveRing, SendBatch};
use parvis_shard::{Engine, EngineSetup, ShardConfig, ShardEvent, ShardHandle, Shards, StatsSnapshot};
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use tokio::sync::mpsc::Receiver;

use crate::client::{CID, Client};
use crate::cpu::{self, Used};
use crate::sink::Sink;
use crate::source::Source;
use crate::{Error, FRAME_PACKETS, PACKET_BYTES, peer_config};

/// What is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many receive.
    pub subscribers: usize,
    /// Whether trains leave whole.
    pub gso: bool,
    /// Frames of eight packets in a second.
    pub frames_per_second: u32,
    /// How long the estimates may rise before it counts.
    pub warm_up: Duration,
    /// How long is measured.
    pub duration: Duration,
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// Media packets that reached subscribers.
    pub forwarded: u64,
    /// As many as there should be.
    pub expected: u64,
    /// The forwarding thread's processor time.
    pub cpu: Duration,
    /// The share of it in user space, by the kernel's ticks.
    pub user_share: f64,
    /// How long it took.
    pub wall: Duration,
    /// The lowest estimate of all subscribers, in bits per second; 0 when unknown.
    pub estimate: u64,
    /// What the shard counted meanwhile: calls to send, datagrams in trains, datagrams in and turns.
    pub send_calls: u64,
    /// See [`Outcome::send_calls`].
    pub in_trains: u64,
    /// See [`Outcome::send_calls`].
    pub packets_in: u64,
    /// See [`Outcome::send_calls`].
    pub turns: u64,
}

impl Outcome {
    pub(crate) fn new((before, after): (Used, Used), wall: Duration, forwarded: u64, expected: u64) -> Self {
        let (user, system) = (after.ticks.0 - before.ticks.0, after.ticks.1 - before.ticks.1);
        Outcome {
            forwarded,
            expected,
            cpu: after.time - before.time,
            user_share: user as f64 / (user + system).max(1) as f64,
            wall,
            estimate: 0,
            send_calls: 0,
            in_trains: 0,
            packets_in: 0,
            turns: 0,
        }
    }
}

const PUBLISHER: PeerId = PeerId(1);
const TRACK: TrackId = TrackId(1);
const SSRC: u32 = 1000;
/// Subscribers that come at a time: handshakes of all at once are another measurement.
const TOGETHER: usize = 20;
/// How long a few may take to come in.
const PATIENCE: Duration = Duration::from_secs(20);

/// A room on a real shard.
pub struct World<E: Engine> {
    /// Dropped, it stops.
    _shards: Shards<E>,
    handle: ShardHandle,
    events: Receiver<ShardEvent>,
    room: RoomId,
    server: SocketAddr,
    config: Arc<PeerConfig>,
    random: ChaCha20Rng,
    publisher: Client,
    publisher_socket: UdpSocket,
    sinks: Vec<(Sink, UdpSocket)>,
    source: Option<Source>,
    bound: bool,
    key_wanted: bool,
    failed: Option<String>,
    estimates: Vec<u64>,
    frames: u64,
    ring: ReceiveRing,
    batch: SendBatch,
}

/// Runs the load through a shard.
pub fn run(options: &Options) -> Result<Outcome, Error> {
    cpu::pin(1)?;
    let mut world = World::start(options.gso, engine)?;
    let thread = cpu::thread_named("shard-0")?;
    world.fill(options.subscribers)?;
    let measured_from = Instant::now() + options.warm_up;
    world.play(options, measured_from)?;
    let (used, began, frames) = (cpu::used(thread)?, Instant::now(), world.frames);
    let (received, stats) = (world.received(), world.stats());
    world.play(options, measured_from + options.duration)?;
    let (wall, after) = (began.elapsed(), cpu::used(thread)?);
    let expected = (world.frames - frames) * (FRAME_PACKETS * options.subscribers) as u64;
    let now = world.stats();
    Ok(Outcome {
        estimate: world.estimates.iter().skip(2).copied().min().unwrap_or(0),
        send_calls: now.udp_send_calls - stats.udp_send_calls,
        in_trains: now.udp_packets_out_gso - stats.udp_packets_out_gso,
        packets_in: now.udp_packets_in - stats.udp_packets_in,
        turns: now.turns - stats.turns,
        ..Outcome::new((used, after), wall, world.received() - received, expected)
    })
}

/// The forwarder as the server makes it, over the stand-in for DTLS.
pub fn engine(setup: EngineSetup) -> Forwarder {
    let peers = peer_config(&setup.candidates, 1);
    Forwarder::new(ForwarderConfig::new(peers, Arc::new(MediaConfig::default())), [2; 32])
}

impl<E: Engine> World<E> {
    /// A shard with a publisher that is connected.
    pub fn start(
        gso: bool,
        engine: impl Fn(EngineSetup) -> E + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let config = ShardConfig {
            addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
            first_udp_port: 0,
            first_tcp_port: None,
            gso,
            ..ShardConfig::default()
        };
        let (shards, mut receivers) = Shards::start(&config, engine)?;
        let handle = shards.handle();
        let server = handle.candidates(0).first().ok_or("no address")?.address;
        let room = handle.new_room().ok_or("no shard")?;
        let mut random = ChaCha20Rng::seed_from_u64(3);
        let config = peer_config(&[], 4);
        let publisher_socket = socket(server)?;
        let path = path(server, &publisher_socket)?;
        let publisher = Client::new(PUBLISHER, config.clone(), path, &mut random, Instant::now());
        let mut world = World {
            events: receivers.remove(0),
            _shards: shards,
            handle,
            room,
            server,
            config,
            random,
            publisher,
            publisher_socket,
            sinks: Vec::new(),
            source: None,
            bound: false,
            key_wanted: true,
            failed: None,
            estimates: Vec::new(),
            frames: 0,
            ring: ReceiveRing::new(),
            batch: SendBatch::new(),
        };
        world.command(Command::CreatePeer { room, peer: PUBLISHER, role: PeerRole::Publisher })?;
        let spec = TrackSpec {
            cid: CID.to_owned(),
            kind: MediaKind::Video,
            screen_share: false,
            muted: false,
            encoder: EncoderPreference::default(),
            layers: Vec::new(),
        };
        world.command(Command::Publish { peer: PUBLISHER, track: TRACK, spec })?;
        let description = world.publisher.offer(Instant::now(), SSRC)?;
        world.command(Command::RemoteDescription { peer: PUBLISHER, description })?;
        world.until("the publisher", |world| world.publisher.connected && world.bound)?;
        world.source = Some(Source::new(&world.publisher, SSRC)?);
        Ok(world)
    }

    /// Lets so many subscribers come in.
    pub fn fill(&mut self, subscribers: usize) -> Result<(), Error> {
        let room = self.room;
        while self.sinks.len() < subscribers {
            for _ in 0..TOGETHER.min(subscribers - self.sinks.len()) {
                let number = self.sinks.len() as u64 + 2;
                let peer = PeerId(number);
                let socket = socket(self.server)?;
                let path = path(self.server, &socket)?;
                let now = Instant::now();
                let client = Client::new(peer, self.config.clone(), path, &mut self.random, now);
                self.sinks.push((Sink::new(client, now), socket));
                self.command(Command::CreatePeer { room, peer, role: PeerRole::Subscriber })?;
                self.command(Command::Subscribe {
                    subscription: SubscriptionId(number),
                    peer,
                    track: TRACK,
                    stream_id: "s".to_owned(),
                    track_label: "t".to_owned(),
                })?;
            }
            self.until("subscribers", |world| {
                world
                    .sinks
                    .iter()
                    .all(|(sink, _)| sink.client.connected && !sink.client.peer.sections().is_empty())
            })?;
        }
        Ok(())
    }

    /// Plays frames until `end`.
    pub fn play(&mut self, options: &Options, end: Instant) -> Result<(), Error> {
        let mut next_frame = Instant::now();
        loop {
            let now = Instant::now();
            if now >= end {
                return Ok(());
            }
            if next_frame <= now {
                // After a pause of the machine frames are left out, as an encoder does.
                next_frame = (next_frame + options.frame_interval()).max(now);
                self.send_frame()?;
            }
            self.turn(now)?;
            std::thread::sleep(options.sweep_pause(next_frame));
        }
    }

    /// Media packets that came so far, at all subscribers.
    pub fn received(&self) -> u64 {
        self.sinks.iter().map(|(sink, _)| sink.received).sum()
    }

    /// What the shard has counted so far.
    pub fn stats(&self) -> StatsSnapshot {
        self.handle.stats(0).map(|stats| stats.snapshot()).unwrap_or_default()
    }

    fn send_frame(&mut self) -> Result<(), Error> {
        let Some(source) = &mut self.source else { return Ok(()) };
        let key = std::mem::take(&mut self.key_wanted);
        let mut frame: [[u8; PACKET_BYTES + 16]; FRAME_PACKETS] = [[0; _]; _];
        let (mut at, peer) = (0, &mut self.publisher.peer);
        source.frame(key, |packet, len| {
            if let Some(len) = peer.protect_rtp(packet, len) {
                frame[at][..len].copy_from_slice(&packet[..len]);
            }
            at += 1;
        })?;
        let messages = [Message { to: self.server, pieces: 1, segment: None }; FRAME_PACKETS];
        let pieces = frame.iter().map(|packet| &packet[..]);
        self.batch.send(self.publisher_socket.as_fd(), &messages, pieces)?;
        self.frames += 1;
        Ok(())
    }

    fn command(&mut self, command: Command) -> Result<(), Error> {
        Ok(self.handle.command(self.handle.home(self.room), command)?)
    }

    fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) -> Result<(), Error> {
        let end = Instant::now() + PATIENCE;
        while !done(self) {
            let now = Instant::now();
            if now >= end {
                return Err(format!("{what}: not connected in {PATIENCE:?}").into());
            }
            self.turn(now)?;
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Takes and sends what is due, for everyone.
    fn turn(&mut self, now: Instant) -> Result<(), Error> {
        while let Ok(event) = self.events.try_recv() {
            self.event(now, event)?;
        }
        while let Ok(count) = self.ring.receive(self.publisher_socket.as_fd()) {
            for message in 0..count {
                let (_, bytes) = self.ring.message(message);
                if let Received::Rtcp { len } = self.publisher.take(now, bytes) {
                    let wanted = |packet| matches!(packet, Ok(Rtcp::Pli { .. } | Rtcp::Fir(_)));
                    self.key_wanted |= packets(&bytes[..len]).any(wanted);
                }
            }
        }
        let socket = &self.publisher_socket;
        self.publisher.act(now, &mut self.random, |datagram| drop(socket.send(datagram)));
        for (sink, socket) in &mut self.sinks {
            while let Ok(count) = self.ring.receive(socket.as_fd()) {
                for message in 0..count {
                    let (_, bytes) = self.ring.message(message);
                    sink.take(now, bytes);
                }
                if count < parvis_shard::mmsg::RECEIVE_BATCH {
                    break;
                }
            }
            let send = |datagram: &[u8]| drop(socket.send(datagram));
            if sink.client.next().is_some_and(|at| at <= now) {
                sink.client.act(now, &mut self.random, send);
            }
            if sink.next().is_some_and(|at| at <= now) {
                sink.act(now, send);
            }
        }
        match self.failed.take() {
            Some(failed) => Err(failed.into()),
            None => Ok(()),
        }
    }

    fn event(&mut self, now: Instant, event: ShardEvent) -> Result<(), Error> {
        let ShardEvent::Room(_, event) = event else {
            return Err(format!("the shard failed: {event:?}").into());
        };
        match event {
            Event::LocalDescription { peer, description, .. } => {
                let place = peer.0.checked_sub(2).map(|place| place as usize);
                let client = match place.and_then(|place| self.sinks.get_mut(place)) {
                    Some((sink, _)) => &mut sink.client,
                    None => &mut self.publisher,
                };
                if let Some(description) = client.describe(now, &description)? {
                    self.command(Command::RemoteDescription { peer, description })?;
                }
            }
            Event::TrackBound { .. } => self.bound = true,
            Event::Quality { peer, report } => {
                let place = peer.0 as usize;
                self.estimates.resize(self.estimates.len().max(place + 1), u64::MAX);
                self.estimates[place] = report.estimate;
            }
            Event::PeerFailed { .. } | Event::DescriptionRefused { .. } => {
                self.failed = Some(format!("{event:?}"));
            }
            _ => {}
        }
        Ok(())
    }
}

fn socket(server: SocketAddr) -> Result<UdpSocket, Error> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect(server)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn path(server: SocketAddr, socket: &UdpSocket) -> Result<Path, Error> {
    Ok(Path { protocol: Protocol::Udp, local: server, remote: socket.local_addr()? })
}
