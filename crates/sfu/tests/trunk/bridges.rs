// SPDX-License-Identifier: EUPL-1.2
//! Two rooms, one of which shows a track of the other's: on one forwarder and on two.

use std::sync::Arc;
use std::time::Instant;

use parvis_peer::Peer;
use parvis_peer::sdp::{CodecKind, MediaKind, Msid, SenderId, SenderSpec};
use parvis_sfu::{
    Command, Description, DescriptionKind, Event, Forwarder, ForwarderConfig, ForwarderId, Outbox, PeerId,
    PeerRole, RoomId, Spread, SpreadConfig, SubscriptionId, TrackId,
};

use crate::peer_config;
use crate::world::audio_spec;

const ROOM: RoomId = RoomId(7);
const OTHER: RoomId = RoomId(8);
const PUBLISHER: PeerId = PeerId(1);
const SUBSCRIBER: PeerId = PeerId(2);
const TRACK: TrackId = TrackId(10);
/// The same in the other room.
const GUEST: TrackId = TrackId(11);
const SUBSCRIPTION: SubscriptionId = SubscriptionId(20);

/// The control side of both rooms, and the forwarders.
struct Lab {
    now: Instant,
    forwarders: Vec<Forwarder>,
    room: Spread,
    other: Spread,
    outbox: Outbox,
    events: Vec<Event>,
}

impl Lab {
    /// The other room lives on the forwarder `at`; the track is published on the first one.
    fn new(at: u64) -> Lab {
        let forwarder =
            |seed| Forwarder::new(ForwarderConfig::new(peer_config(), Arc::default()), [seed; 32]);
        let config = SpreadConfig { peers_per_part: 10 };
        let mut lab = Lab {
            now: Instant::now(),
            forwarders: vec![forwarder(1), forwarder(2)],
            room: Spread::new(config, ROOM, ForwarderId(0)),
            other: Spread::new(config, OTHER, ForwarderId(at)),
            outbox: Outbox::default(),
            events: Vec::new(),
        };
        lab.in_room(Command::CreatePeer { room: ROOM, peer: PUBLISHER, role: PeerRole::Publisher });
        lab.in_other(Command::CreatePeer { room: OTHER, peer: SUBSCRIBER, role: PeerRole::Subscriber });
        lab.in_room(Command::Publish { peer: PUBLISHER, track: TRACK, spec: audio_spec() });
        lab.offer();
        lab
    }

    fn in_room(&mut self, command: Command) {
        self.room.command(command, || None);
        self.pump();
    }

    fn in_other(&mut self, command: Command) {
        self.other.command(command, || None);
        self.pump();
    }

    fn pump(&mut self) {
        let commands = std::iter::from_fn(|| self.room.poll_command().or_else(|| self.other.poll_command()));
        for (to, command) in commands {
            self.forwarders[to.0 as usize].handle_command(self.now, command, &mut self.outbox);
        }
        for _ in 0..10 {
            for (from, to) in [(0, 1), (1, 0)] {
                if let Some(batch) = self.forwarders[from].poll_trunk(ForwarderId(to as u64)) {
                    let here = ForwarderId(from as u64);
                    self.forwarders[to].handle_trunk(self.now, here, &batch, &mut self.outbox);
                }
            }
        }
        for forwarder in &mut self.forwarders {
            forwarder.handle_timeout(self.now, &mut self.outbox);
            self.events.extend(std::iter::from_fn(|| forwarder.poll_event()).map(|(_, event)| event));
        }
    }

    fn offer(&mut self) {
        let mut client = Peer::new(peer_config(), [9; 32], self.now);
        client.add_sender(SenderSpec {
            id: SenderId(1),
            kind: MediaKind::Audio,
            codecs: vec![CodecKind::Opus],
            msid: Msid { stream: "s".to_owned(), track: audio_spec().cid },
            ssrc: 9,
            rtx_ssrc: None,
            fec_ssrc: None,
        });
        let sdp = client.create_offer(self.now, false).unwrap();
        let description = Description { kind: DescriptionKind::Offer, sdp, id: 1 };
        self.in_room(Command::RemoteDescription { peer: PUBLISHER, description });
    }

    fn subscribe(&mut self) {
        self.in_other(Command::Adopt { track: GUEST, at: ForwarderId(0), room: ROOM, of: TRACK });
        self.in_other(Command::Subscribe {
            subscription: SUBSCRIPTION,
            peer: SUBSCRIBER,
            track: GUEST,
            stream_id: "s".to_owned(),
            track_label: "the-guest".to_owned(),
        });
    }

    /// Whether the subscriber gets a section for the track, in the offer after the one that is out.
    fn is_offered(&mut self) -> bool {
        let first = self.events.iter().find_map(|event| match event {
            Event::LocalDescription { peer: SUBSCRIBER, description, .. } => Some(description.clone()),
            _ => None,
        });
        let offer = first.expect("it was offered something");
        let mut client = Peer::new(peer_config(), [8; 32], self.now);
        let sdp = client.accept_offer(self.now, &offer.sdp).unwrap();
        let description = Description { kind: DescriptionKind::Answer, sdp, id: offer.id };
        self.in_other(Command::RemoteDescription { peer: SUBSCRIBER, description });
        self.events.iter().any(|event| {
            matches!(event, Event::LocalDescription { peer: SUBSCRIBER, description, .. }
                if description.sdp.contains("the-guest"))
        })
    }

    fn refused(&self) -> u64 {
        self.forwarders.iter().map(|forwarder| forwarder.stats().refused_commands).sum()
    }

    fn held(&self) -> usize {
        self.forwarders.iter().map(Forwarder::held).sum()
    }
}

#[test]
fn a_track_of_one_room_is_known_in_the_other_wherever_that_is() {
    for at in [0, 1] {
        let mut lab = Lab::new(at);
        lab.subscribe();
        let imports = lab.forwarders[at as usize].imports(OTHER);
        assert_eq!(imports.iter().map(|(track, _)| *track).collect::<Vec<_>>(), [GUEST], "on {at}");
        assert!(imports[0].1.is_bridge());
        assert_eq!(lab.forwarders[0].exports(ROOM).len(), 1);
        assert!(lab.is_offered(), "on {at}");
        assert_eq!(lab.refused(), 0, "on {at}");
        assert_eq!(lab.other.trunks().count(), 0, "a bridge is no trunk of the room's own");
    }
}

#[test]
fn the_last_subscription_takes_the_bridge_down_and_the_next_one_builds_another() {
    for at in [0, 1] {
        let mut lab = Lab::new(at);
        let before = lab.held();
        for _ in 0..3 {
            lab.subscribe();
            assert!(lab.held() > before);
            lab.in_other(Command::Unsubscribe { subscription: SUBSCRIPTION });
            assert_eq!(lab.held(), before, "on {at}");
            assert!(lab.forwarders[0].exports(ROOM).is_empty());
        }
        assert_eq!(lab.refused(), 0, "on {at}");
    }
}

#[test]
fn when_either_side_ends_nothing_is_left() {
    for at in [0, 1] {
        // The publisher leaves its room; the other room hears of it by the bridge, and then from its own control side.
        let mut lab = Lab::new(at);
        lab.subscribe();
        lab.in_room(Command::ClosePeer { peer: PUBLISHER });
        assert!(lab.forwarders[at as usize].imports(OTHER).is_empty(), "on {at}");
        lab.in_other(Command::Unpublish { track: GUEST });
        lab.in_other(Command::ClosePeer { peer: SUBSCRIBER });
        assert_eq!(lab.held(), 0, "on {at}");

        // The subscriber leaves, with it the other room.
        let mut lab = Lab::new(at);
        lab.subscribe();
        lab.in_other(Command::ClosePeer { peer: SUBSCRIBER });
        assert!(lab.forwarders[0].exports(ROOM).is_empty(), "on {at}");
        lab.in_room(Command::ClosePeer { peer: PUBLISHER });
        assert_eq!(lab.held(), 0, "on {at}");
    }
}

#[test]
fn a_bridge_leads_from_one_track_to_one_track_and_not_on() {
    let mut lab = Lab::new(0);
    lab.subscribe();
    let refused = lab.refused();
    // What came over a bridge leaves by none.
    let onward = ForwarderId::of_bridge(RoomId(9), 1);
    lab.forwarders[0].handle_command(lab.now, Command::Export { track: GUEST, to: onward }, &mut lab.outbox);
    assert_eq!(lab.refused(), refused + 1);
    // A name that is no bridge's opens none, and none opens twice.
    for (bridge, times) in [(ForwarderId(3), 1), (onward, 2)] {
        for _ in 0..times {
            let open = Command::OpenBridge { bridge, near: (ROOM, TRACK), far: (OTHER, GUEST), at: None };
            lab.forwarders[0].handle_command(lab.now, open, &mut lab.outbox);
        }
    }
    assert_eq!(lab.refused(), refused + 3);
}
