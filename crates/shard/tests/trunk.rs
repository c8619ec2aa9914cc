// SPDX-License-Identifier: EUPL-1.2
//! One room on two threads: callers on real sockets, each on a shard of its own, hear each other by trunks.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{PATIENCE, config};
use parvis_dtls::{Certificate, Context, Factory};
use parvis_peer::sdp::{CodecKind, EncoderPreference, MediaKind, Msid, SenderId, SenderSpec};
use parvis_peer::{Path, Peer, PeerConfig, PeerEvent, Protocol, Received};
use parvis_rtp::{Extensions, HeaderFields, Packet, write_packet};
use parvis_sfu::{
    Command, Description, DescriptionKind, Event, Forwarder, ForwarderConfig, ForwarderId, PeerId, PeerRole,
    RoomId, Spread, SpreadConfig, SubscriptionId, TrackId, TrackSpec,
};
use parvis_shard::{EngineSetup, ShardConfig, ShardEvent, ShardHandle, Shards};
use tokio::sync::mpsc::Receiver;

const ROOM: RoomId = RoomId(4);
const CHECK_EVERY: Duration = Duration::from_millis(50);

fn peer_config(candidates: Vec<parvis_peer::LocalCandidate>, dtls: Arc<dyn Factory>) -> Arc<PeerConfig> {
    Arc::new(PeerConfig {
        local_candidates: candidates.into(),
        dtls,
        sdp: Arc::default(),
        sctp: parvis_peer::sctp::SctpLimits::default(),
        limits: parvis_peer::PeerLimits::default(),
        ufrag_tag: None,
    })
}

fn boring() -> Arc<dyn Factory> {
    Arc::new(Context::new(&Certificate::generate().unwrap(), parvis_dtls::Config::default()).unwrap())
}

/// One peer connection of a caller's, over its own socket.
struct Line {
    socket: UdpSocket,
    peer: Peer,
    path: Path,
    local: Option<(String, String)>,
    remote: Option<(String, String)>,
    next_check: Instant,
    checks: u32,
    connected: bool,
    heard: Vec<Vec<u8>>,
    sequence: u16,
}

impl Line {
    fn new(seed: u8) -> Line {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let local = socket.local_addr().unwrap();
        let now = Instant::now();
        Line {
            socket,
            peer: Peer::new(peer_config(Vec::new(), boring()), [seed; 32], now),
            path: Path { protocol: Protocol::Udp, local, remote: local },
            local: None,
            remote: None,
            next_check: now,
            checks: 0,
            connected: false,
            heard: Vec::new(),
            sequence: 0,
        }
    }

    fn offer(&mut self) -> String {
        self.peer.add_sender(SenderSpec {
            id: SenderId(1),
            kind: MediaKind::Audio,
            codecs: vec![CodecKind::Opus],
            msid: Msid { stream: "stream".to_owned(), track: "sound".to_owned() },
            ssrc: 0x5eed,
            rtx_ssrc: None,
            fec_ssrc: None,
        });
        let sdp = self.peer.create_offer(Instant::now(), false).unwrap();
        self.local = Some(credentials(&sdp));
        sdp
    }

    /// Takes the server's description; gives the answer to an offer.
    fn take(&mut self, description: &Description) -> Option<String> {
        let now = Instant::now();
        self.remote = Some(credentials(&description.sdp));
        self.path.remote = candidate(&description.sdp);
        if description.kind == DescriptionKind::Answer {
            self.peer.accept_answer(now, &description.sdp).unwrap();
            return None;
        }
        let sdp = self.peer.accept_offer(now, &description.sdp).unwrap();
        self.local = Some(credentials(&sdp));
        Some(sdp)
    }

    fn turn(&mut self) {
        let now = Instant::now();
        if let (true, Some(local), Some(remote)) = (self.next_check <= now, &self.local, &self.remote) {
            self.next_check = now + CHECK_EVERY;
            self.checks += 1;
            let mut id = [1; 12];
            id[..4].copy_from_slice(&self.checks.to_be_bytes());
            let check = parvis_sim::stun::check(&remote.0, &local.0, &remote.1, id);
            self.socket.send_to(&check, self.path.remote).unwrap();
            // Ours is a lite agent, that takes DTLS only from where a check came from: we vouch for the server's path.
            let mut vouched = parvis_sim::stun::check(&local.0, &remote.0, &local.1, id);
            self.peer.handle_datagram(now, self.path, &mut vouched);
        }
        if self.peer.poll_timeout().is_some_and(|at| at <= now) {
            self.peer.handle_timeout(now);
        }
        while let Some(event) = self.peer.poll_event() {
            self.connected |= matches!(event, PeerEvent::Connected(_));
        }
        while let Some((_, datagram)) = self.peer.poll_transmit() {
            if datagram.first().is_some_and(|first| *first > 3) {
                self.socket.send_to(&datagram, self.path.remote).unwrap();
            }
        }
        let mut buffer = [0; 2048];
        while let Ok((length, _)) = self.socket.recv_from(&mut buffer) {
            if buffer[0] > 3
                && let Received::Rtp { len } =
                    self.peer.handle_datagram(Instant::now(), self.path, &mut buffer[..length])
            {
                self.heard.push(Packet::parse(&buffer[..len]).unwrap().payload.to_vec());
            }
        }
    }

    fn send(&mut self, payload: &[u8]) {
        let section = self.peer.sections().iter().find(|section| section.sender == Some(SenderId(1)));
        let section = section.expect("the section was agreed");
        self.sequence += 1;
        let fields = HeaderFields {
            payload_type: section.codecs[0].payload_type,
            sequence: self.sequence,
            timestamp: u32::from(self.sequence) * 960,
            ssrc: 0x5eed,
            ..HeaderFields::default()
        };
        let extensions = Extensions { mid: Some(section.mid), ..Extensions::default() };
        let mut packet = [0; 300];
        let len = write_packet(&mut packet, &fields, &section.extensions, &extensions, payload).unwrap();
        let len = self.peer.protect_rtp(&mut packet, len).expect("keys");
        self.socket.send_to(&packet[..len], self.path.remote).unwrap();
    }
}

fn credentials(sdp: &str) -> (String, String) {
    let line =
        |name: &str| sdp.lines().find_map(|line| line.trim_end().strip_prefix(name)).unwrap().to_owned();
    (line("a=ice-ufrag:"), line("a=ice-pwd:"))
}

fn candidate(sdp: &str) -> SocketAddr {
    let mut candidates = sdp.lines().filter_map(|line| line.trim_end().strip_prefix("a=candidate:"));
    let udp = candidates.find(|candidate| candidate.to_ascii_lowercase().contains(" udp ")).unwrap();
    let words: Vec<&str> = udp.split(' ').collect();
    format!("{}:{}", words[4], words[5]).parse().unwrap()
}

/// The room's control side, its callers by peer, and the threads.
struct Call {
    handle: ShardHandle,
    events: Vec<Receiver<ShardEvent>>,
    spread: Spread,
    lines: BTreeMap<PeerId, Line>,
    /// Where each peer lives.
    places: BTreeMap<PeerId, ForwarderId>,
    bound: Vec<TrackId>,
}

impl Call {
    fn command(&mut self, command: Command) {
        self.spread.command(command, || self.handle.open_part(ROOM));
        while let Some((to, command)) = self.spread.poll_command() {
            if let Command::CreatePeer { peer, .. } = &command {
                self.places.insert(*peer, to);
            }
            self.handle.command(to, command).unwrap();
        }
    }

    fn describe(&mut self, peer: PeerId, kind: DescriptionKind, sdp: String, id: u32) {
        self.command(Command::RemoteDescription { peer, description: Description { kind, sdp, id } });
    }

    fn turn(&mut self) {
        for shard in 0..self.events.len() {
            while let Ok(event) = self.events[shard].try_recv() {
                let ShardEvent::Room(room, event) = event else { panic!("{event:?}") };
                assert_eq!(room, ROOM);
                match self.spread.event(ForwarderId(shard as u64), event) {
                    Some(Event::LocalDescription { peer, description, .. }) => {
                        let answer = self.lines.get_mut(&peer).unwrap().take(&description);
                        if let Some(sdp) = answer {
                            self.describe(peer, DescriptionKind::Answer, sdp, description.id);
                        }
                    }
                    Some(Event::TrackBound { track, .. }) => self.bound.push(track),
                    Some(Event::DescriptionRefused { reason, .. }) => panic!("{reason}"),
                    _ => {}
                }
            }
        }
        self.lines.values_mut().for_each(Line::turn);
    }

    fn until(&mut self, what: &str, holds: impl Fn(&Call) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(Instant::now() < end, "{what}: not in {PATIENCE:?}");
            self.turn();
        }
    }

    /// Someone who publishes on one connection and receives on another.
    fn join(&mut self, publisher: PeerId, subscriber: PeerId, track: TrackId) {
        for (peer, role) in [(publisher, PeerRole::Publisher), (subscriber, PeerRole::Subscriber)] {
            self.lines.insert(peer, Line::new(peer.0 as u8));
            self.command(Command::CreatePeer { room: ROOM, peer, role });
        }
        let spec = TrackSpec {
            cid: "sound".to_owned(),
            kind: MediaKind::Audio,
            screen_share: false,
            muted: false,
            encoder: EncoderPreference::default(),
            layers: Vec::new(),
        };
        self.command(Command::Publish { peer: publisher, track, spec });
        let sdp = self.lines.get_mut(&publisher).unwrap().offer();
        self.describe(publisher, DescriptionKind::Offer, sdp, 1);
    }

    fn subscribe(&mut self, subscription: u64, peer: PeerId, track: TrackId) {
        let subscription = SubscriptionId(subscription);
        let (stream_id, track_label) = (format!("s{}", track.0), format!("t{}", track.0));
        self.command(Command::Subscribe { subscription, peer, track, stream_id, track_label });
    }
}

#[test]
fn callers_on_two_shards_hear_each_other_and_nothing_stays_behind() {
    let dtls = boring();
    let make = move |setup: EngineSetup| {
        let peer = peer_config(setup.candidates, Arc::clone(&dtls));
        Forwarder::new(ForwarderConfig::new(peer, Arc::default()), [setup.shard as u8; 32])
    };
    let (shards, events) = Shards::start(&ShardConfig { shards: 2, ..config() }, make).unwrap();
    let handle = shards.handle();
    let spread = Spread::new(SpreadConfig { peers_per_part: 2 }, ROOM, handle.home(ROOM));
    let mut call =
        Call { handle, events, spread, lines: BTreeMap::new(), places: BTreeMap::new(), bound: Vec::new() };
    let [ada_out, ada_in, bo_out, bo_in] = [1, 2, 3, 4].map(PeerId);
    let (adas, bos) = (TrackId(10), TrackId(20));
    call.join(ada_out, ada_in, adas);
    call.join(bo_out, bo_in, bos);
    assert_eq!(call.places[&ada_in], ForwarderId(0));
    assert_eq!(call.places[&bo_in], ForwarderId(1), "beyond two peers the room goes on elsewhere");
    call.subscribe(30, ada_in, bos);
    call.subscribe(31, bo_in, adas);
    call.until("both tracks are bound", |call| call.bound.len() == 2);
    call.until("all are connected", |call| call.lines.values().all(|line| line.connected));

    let heard = |call: &Call, peer: PeerId| call.lines[&peer].heard.len();
    let mut sent = 0u16;
    while heard(&call, ada_in) < 50 || heard(&call, bo_in) < 50 {
        assert!(sent < 2_000, "{} and {} packets came", heard(&call, ada_in), heard(&call, bo_in));
        sent += 1;
        for (peer, name) in [(ada_out, b'a'), (bo_out, b'b')] {
            let [high, low] = sent.to_be_bytes();
            call.lines.get_mut(&peer).unwrap().send(&[name, high, low]);
        }
        call.turn();
    }
    for (peer, name) in [(ada_in, b'b'), (bo_in, b'a')] {
        let heard = &call.lines[&peer].heard;
        assert!(heard.iter().all(|payload| payload[0] == name), "each hears the other");
        let numbers: Vec<u16> = heard.iter().map(|p| u16::from_be_bytes([p[1], p[2]])).collect();
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "every packet, in order: {numbers:?}");
    }
    for shard in 0..2 {
        let stats = call.handle.stats(shard).unwrap().snapshot();
        assert!(stats.trunk_batches_in > 10 && stats.trunk_batches_out > 10 && stats.trunk_full == 0);
    }

    for peer in [ada_out, ada_in, bo_out, bo_in] {
        call.command(Command::ClosePeer { peer });
    }
    assert_eq!(call.spread.trunks().count(), 0);
    let end = Instant::now() + PATIENCE;
    let empty =
        || shards.engine_stats().iter().all(|stats| (stats.peers, stats.rooms, stats.imports) == (0, 0, 0));
    // The counters are copied about once a second; the first copies may be of before anyone came.
    while !empty() || shards.engine_stats().iter().any(|stats| stats.trunk_packets_in == 0) {
        assert!(Instant::now() < end, "{:?}", shards.engine_stats());
        call.turn();
    }
    assert!(shards.engine_stats().iter().all(|stats| stats.trunk_overflow == 0));
}
