// SPDX-License-Identifier: EUPL-1.2
//! The way to a media worker: a forwarder's outlet and its commands. That packets come through it is shown with whole servers, in
//! `tests/e2e/suites/recording.test.mjs`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use parvis_dtls::standin::StandIn;
use parvis_peer::sdp::{CodecKind, MediaKind, Msid, SenderId, SenderSpec};
use parvis_peer::{LocalCandidate, Path, Peer, PeerConfig, Protocol};
use parvis_sfu::media::MediaConfig;
use parvis_sfu::{
    Command, Description, DescriptionKind, Event, Forwarder, ForwarderConfig, ForwarderId, OUTLET_KEY_BYTES,
    Outbox, OutletKey, OutletSpec, PeerId, PeerRole, RoomId, Spread, SpreadConfig, SubscriptionId,
    SubscriptionSettings, TrackId, TrackSpec,
};

const ROOM: RoomId = RoomId(7);
const ADA: PeerId = PeerId(1);
const OUTLET: PeerId = PeerId(2);
const SOUND: TrackId = TrackId(10);
const TAKEN: SubscriptionId = SubscriptionId((7 << 32) | 5);

fn server() -> SocketAddr {
    "192.0.2.1:7882".parse().unwrap()
}

fn worker() -> SocketAddr {
    "127.0.0.1:40000".parse().unwrap()
}

fn peer_config() -> Arc<PeerConfig> {
    Arc::new(PeerConfig {
        local_candidates: Arc::new([LocalCandidate { protocol: Protocol::Udp, address: server() }]),
        dtls: Arc::new(StandIn::new([1; 32])),
        sdp: Arc::default(),
        sctp: Default::default(),
        limits: Default::default(),
        ufrag_tag: None,
    })
}

fn key(byte: u8) -> OutletKey {
    OutletKey([byte; OUTLET_KEY_BYTES])
}

/// A forwarder with a room in which Ada is to publish.
struct Lab {
    now: Instant,
    forwarder: Forwarder,
    outbox: Outbox,
    events: Vec<Event>,
}

impl Lab {
    fn new(max_subscriptions_per_outlet: usize) -> Lab {
        let config = ForwarderConfig {
            bound: vec![server()],
            max_subscriptions_per_outlet,
            ..ForwarderConfig::new(peer_config(), Arc::new(MediaConfig::default()))
        };
        let mut lab = Lab {
            now: Instant::now(),
            forwarder: Forwarder::new(config, [3; 32]),
            outbox: Outbox::default(),
            events: Vec::new(),
        };
        lab.tell(Command::CreatePeer { room: ROOM, peer: ADA, role: PeerRole::Publisher });
        let spec = sound();
        lab.tell(Command::Publish { peer: ADA, track: SOUND, spec });
        lab
    }

    fn tell(&mut self, command: Command) {
        self.forwarder.handle_command(self.now, command, &mut self.outbox);
        self.listen();
    }

    fn listen(&mut self) {
        self.events.extend(std::iter::from_fn(|| self.forwarder.poll_event()).map(|(_, event)| event));
    }

    fn refused(&self) -> u64 {
        self.forwarder.stats().refused_commands
    }

    fn open(&mut self, byte: u8) {
        let outlet = Box::new(OutletSpec { to: worker(), key: key(byte) });
        self.tell(Command::CreateOutlet { room: ROOM, peer: OUTLET, outlet });
    }

    fn subscribe(&mut self, subscription: SubscriptionId) {
        let (stream_id, track_label) = (String::new(), String::new());
        self.tell(Command::Subscribe { subscription, peer: OUTLET, track: SOUND, stream_id, track_label });
    }

    /// What left for the worker since the last time.
    fn taken_to_worker(&mut self) -> Vec<Vec<u8>> {
        let sent = self.outbox.iter().filter(|(path, _)| path.remote == worker());
        let sent = sent.map(|(path, datagram)| {
            assert_eq!((path.protocol, path.local), (Protocol::Udp, server()), "from a socket that there is");
            datagram.to_vec()
        });
        let sent = sent.collect();
        self.outbox.clear();
        sent
    }
}

/// What Ada publishes.
fn sound() -> TrackSpec {
    TrackSpec {
        cid: "sound".to_owned(),
        kind: MediaKind::Audio,
        screen_share: false,
        muted: false,
        encoder: Default::default(),
        layers: Vec::new(),
    }
}

/// Ada offers her track, so that it is bound.
fn bind(lab: &mut Lab) {
    let mut client = Peer::new(peer_config(), [9; 32], lab.now);
    client.add_sender(SenderSpec {
        id: SenderId(1),
        kind: MediaKind::Audio,
        codecs: vec![CodecKind::Opus],
        msid: Msid { stream: "s".to_owned(), track: "sound".to_owned() },
        ssrc: 9,
        rtx_ssrc: None,
        fec_ssrc: None,
    });
    let sdp = client.create_offer(lab.now, false).unwrap();
    let description = Description { kind: DescriptionKind::Offer, sdp, id: 1 };
    lab.tell(Command::RemoteDescription { peer: ADA, description });
    assert!(lab.events.iter().any(|event| matches!(event, Event::TrackBound { .. })));
}

#[test]
fn an_outlet_is_a_peer_that_comes_and_goes_and_leaves_nothing() {
    let mut lab = Lab::new(10);
    bind(&mut lab);
    lab.open(1);
    assert_eq!(lab.forwarder.stats().outlets, 1);
    lab.subscribe(TAKEN);
    lab.tell(Command::ConfigureSubscription {
        subscription: TAKEN,
        settings: SubscriptionSettings { priority: 1, ..SubscriptionSettings::default() },
    });
    assert_eq!(lab.refused(), 0);
    lab.open(1);
    lab.subscribe(TAKEN);
    assert_eq!(lab.refused(), 2, "neither comes twice");
    lab.tell(Command::Unsubscribe { subscription: TAKEN });
    lab.tell(Command::RepairOutlet { subscription: TAKEN, lost: vec![1] });
    assert_eq!(lab.refused(), 3, "what is over is not repaired");
    lab.tell(Command::ClosePeer { peer: OUTLET });
    assert_eq!((lab.forwarder.stats().outlets, lab.forwarder.stats().peers), (0, 1));
    lab.tell(Command::ClosePeer { peer: ADA });
    assert_eq!(lab.forwarder.held(), 0);
}

#[test]
fn a_room_lives_on_by_its_outlet_and_is_gone_with_it() {
    let mut lab = Lab::new(10);
    lab.open(1);
    lab.subscribe(TAKEN);
    lab.tell(Command::ClosePeer { peer: ADA });
    assert_eq!(lab.forwarder.stats().rooms, 1);
    lab.tell(Command::ClosePeer { peer: OUTLET });
    assert_eq!((lab.forwarder.stats().rooms, lab.forwarder.held()), (0, 0));
}

#[test]
fn row_21_an_outlet_carries_so_many_tracks_and_needs_a_socket_of_its_family() {
    let mut lab = Lab::new(1);
    lab.open(1);
    lab.subscribe(TAKEN);
    lab.subscribe(SubscriptionId(TAKEN.0 + 1));
    assert_eq!(lab.refused(), 1);
    let outlet = Box::new(OutletSpec { to: "[::1]:9".parse().unwrap(), key: key(2) });
    lab.tell(Command::CreateOutlet { room: ROOM, peer: PeerId(3), outlet });
    assert_eq!((lab.refused(), lab.forwarder.stats().outlets), (2, 1));
}

#[test]
fn what_comes_from_a_workers_address_is_nothing_to_us() {
    let mut lab = Lab::new(10);
    lab.open(1);
    let path = Path { protocol: Protocol::Udp, local: server(), remote: worker() };
    for datagram in [&mut [0x80, 200, 0, 1, 0, 0, 0, 0][..], &mut [0x80; 100], &mut []] {
        lab.forwarder.handle_datagram(lab.now, path, datagram, &mut lab.outbox);
    }
    assert_eq!(lab.forwarder.stats().outlet_refused, 3);
    assert_eq!(lab.taken_to_worker(), Vec::<Vec<u8>>::new());
}

#[test]
fn a_room_that_spreads_gives_an_outlet_a_part_and_a_trunk_to_what_is_elsewhere() {
    let config = SpreadConfig { peers_per_part: 1 };
    let mut spread = Spread::new(config, ROOM, ForwarderId(0));
    let open = || Some(ForwarderId(1));
    spread.command(Command::CreatePeer { room: ROOM, peer: ADA, role: PeerRole::Publisher }, open);
    let outlet = Box::new(OutletSpec { to: worker(), key: key(1) });
    spread.command(Command::CreateOutlet { room: ROOM, peer: OUTLET, outlet: outlet.clone() }, open);
    let spec = sound();
    spread.command(Command::Publish { peer: ADA, track: SOUND, spec }, open);
    let (stream_id, track_label) = (String::new(), String::new());
    let subscription = TAKEN;
    spread.command(
        Command::Subscribe { subscription, peer: OUTLET, track: SOUND, stream_id, track_label },
        open,
    );
    spread.command(Command::RepairOutlet { subscription, lost: Vec::new() }, open);
    let told: Vec<_> = std::iter::from_fn(|| spread.poll_command()).collect();
    let of =
        |wanted: fn(&Command) -> bool| told.iter().find(|(_, command)| wanted(command)).map(|(to, _)| to.0);
    assert_eq!(of(|command| matches!(command, Command::CreateOutlet { .. })), Some(1));
    assert_eq!(of(|command| matches!(command, Command::Export { .. })), Some(0));
    assert_eq!(of(|command| matches!(command, Command::Import { .. })), Some(1));
    assert_eq!(of(|command| matches!(command, Command::RepairOutlet { .. })), Some(1));
}
