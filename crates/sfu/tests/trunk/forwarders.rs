// SPDX-License-Identifier: EUPL-1.2
//! Two forwarders that the control side tells what to share.

use std::sync::Arc;
use std::time::Instant;

use parvis_peer::Peer;
use parvis_peer::sdp::{CodecKind, MediaKind, Msid, SenderId, SenderSpec};
use parvis_sfu::{
    Command, Description, DescriptionKind, Event, Forwarder, ForwarderConfig, ForwarderId, Outbox, PeerId,
    PeerRole, RoomId, SubscriptionId, TrackId, TrunkBatch, TrunkWord,
};

use crate::peer_config;
use crate::world::audio_spec;

const HOME: ForwarderId = ForwarderId(0);
const FAR: ForwarderId = ForwarderId(1);
const ROOM: RoomId = RoomId(7);
const TRACK: TrackId = TrackId(10);
const PUBLISHER: PeerId = PeerId(1);
const SUBSCRIBER: PeerId = PeerId(2);

/// Someone publishes sound at home, and someone far away is there to receive it.
struct Lab {
    now: Instant,
    home: Forwarder,
    far: Forwarder,
    outbox: Outbox,
    events: Vec<(ForwarderId, Event)>,
}

impl Lab {
    fn new() -> Lab {
        let forwarder =
            |seed| Forwarder::new(ForwarderConfig::new(peer_config(), Arc::default()), [seed; 32]);
        let mut lab = Lab {
            now: Instant::now(),
            home: forwarder(1),
            far: forwarder(2),
            outbox: Outbox::default(),
            events: Vec::new(),
        };
        lab.tell(HOME, Command::CreatePeer { room: ROOM, peer: PUBLISHER, role: PeerRole::Publisher });
        lab.tell(FAR, Command::CreatePeer { room: ROOM, peer: SUBSCRIBER, role: PeerRole::Subscriber });
        lab.tell(HOME, Command::Publish { peer: PUBLISHER, track: TRACK, spec: audio_spec() });
        lab
    }

    fn tell(&mut self, to: ForwarderId, command: Command) {
        let forwarder = if to == HOME { &mut self.home } else { &mut self.far };
        forwarder.handle_command(self.now, command, &mut self.outbox);
        self.listen();
    }

    fn listen(&mut self) {
        for (id, forwarder) in [(HOME, &mut self.home), (FAR, &mut self.far)] {
            forwarder.handle_timeout(self.now, &mut self.outbox);
            self.events.extend(std::iter::from_fn(|| forwarder.poll_event()).map(|(_, event)| (id, event)));
        }
    }

    /// The publisher offers its track.
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
        self.tell(HOME, Command::RemoteDescription { peer: PUBLISHER, description });
    }

    fn subscribe(&mut self) {
        let (stream_id, track_label) = ("s".to_owned(), "the-track".to_owned());
        let subscription = SubscriptionId(20);
        self.tell(
            FAR,
            Command::Subscribe { subscription, peer: SUBSCRIBER, track: TRACK, stream_id, track_label },
        );
    }

    fn export(&mut self) {
        self.tell(HOME, Command::Export { track: TRACK, to: FAR });
    }

    fn import(&mut self) {
        self.tell(FAR, Command::Import { room: ROOM, track: TRACK, from: HOME });
    }

    /// Carries what both have to say until they are silent.
    fn carry(&mut self) {
        loop {
            let down = self.home.poll_trunk(FAR);
            let up = self.far.poll_trunk(HOME);
            if down.is_none() && up.is_none() {
                return self.listen();
            }
            if let Some(batch) = down {
                self.far.handle_trunk(self.now, HOME, &batch, &mut self.outbox);
                self.home.recycle_trunk(batch);
            }
            if let Some(batch) = up {
                self.home.handle_trunk(self.now, FAR, &batch, &mut self.outbox);
                self.far.recycle_trunk(batch);
            }
        }
    }

    /// Whether the far subscriber was offered the track.
    fn is_offered(&self) -> bool {
        self.events.iter().any(|(from, event)| match event {
            Event::LocalDescription { peer: SUBSCRIBER, description, .. } => {
                *from == FAR && description.sdp.contains("the-track")
            }
            _ => false,
        })
    }

    /// As the control side does it, with everything in its place.
    fn shared() -> Lab {
        let mut lab = Lab::new();
        lab.offer();
        lab.export();
        lab.import();
        lab.subscribe();
        lab.carry();
        // The first offer has no track in it; a client answers, and gets the next one.
        lab
    }
}

/// The words of a batch about the track.
fn words(batch: &TrunkBatch) -> Vec<TrunkWord> {
    batch.words().map(|(_, _, word)| word.clone()).collect()
}

#[test]
fn whichever_end_is_told_first_and_whenever_the_track_is_bound_it_arrives() {
    type Act = fn(&mut Lab);
    let acts: [Act; 3] = [Lab::export, Lab::import, Lab::offer];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut lab = Lab::new();
        for act in order {
            acts[act](&mut lab);
            // A word that comes too early is lost: the other end has another.
            lab.carry();
        }
        assert_eq!(lab.far.imports(ROOM), [(TRACK, HOME)], "{order:?}");
        assert_eq!(lab.home.exports(ROOM), [(TRACK, FAR)], "{order:?}");
        lab.subscribe();
        let bound = lab.events.iter().filter(|(_, event)| matches!(event, Event::TrackBound { .. }));
        assert_eq!(bound.map(|(from, _)| *from).collect::<Vec<_>>(), [HOME], "{order:?}: told once, at home");
        assert_eq!(lab.far.stats().refused_commands + lab.home.stats().refused_commands, 0, "{order:?}");
        assert!(is_known(&mut lab), "{order:?}");
    }
}

/// A far subscriber of a known track gets a section for it: in the offer after the one that is out.
fn is_known(lab: &mut Lab) -> bool {
    let out = lab.events.iter().find_map(|(_, event)| match event {
        Event::LocalDescription { peer: SUBSCRIBER, description, .. } => Some(description.clone()),
        _ => None,
    });
    let Some(offer) = out.filter(|_| !lab.is_offered()) else { return lab.is_offered() };
    let mut client = Peer::new(peer_config(), [8; 32], lab.now);
    let sdp = client.accept_offer(lab.now, &offer.sdp).unwrap();
    let description = Description { kind: DescriptionKind::Answer, sdp, id: offer.id };
    lab.tell(FAR, Command::RemoteDescription { peer: SUBSCRIBER, description });
    lab.is_offered()
}

#[test]
fn when_the_track_ends_its_import_and_all_of_its_subscriptions_end() {
    let mut lab = Lab::shared();
    assert!(is_known(&mut lab));
    lab.tell(HOME, Command::Unpublish { track: TRACK });
    lab.carry();
    assert_eq!((lab.far.imports(ROOM), lab.far.stats().imports), (Vec::new(), 0));
    // The control side's own words come after it, and are of no more use.
    lab.tell(FAR, Command::Unimport { track: TRACK });
    lab.tell(HOME, Command::Unexport { track: TRACK, to: FAR });
    lab.tell(FAR, Command::Unsubscribe { subscription: SubscriptionId(20) });
    assert_eq!(lab.home.stats().refused_commands, 0);
    assert_eq!(lab.far.stats().refused_commands, 1, "the subscription had ended with the track");
}

#[test]
fn when_the_publisher_leaves_the_far_side_hears_of_it_by_the_trunk() {
    let mut lab = Lab::shared();
    lab.tell(HOME, Command::ClosePeer { peer: PUBLISHER });
    let batch = lab.home.poll_trunk(FAR).unwrap();
    assert_eq!(words(&batch), [TrunkWord::Ended]);
    lab.far.handle_trunk(lab.now, HOME, &batch, &mut lab.outbox);
    assert_eq!((lab.far.imports(ROOM), lab.home.stats().rooms), (Vec::new(), 0));
}

#[test]
fn when_the_last_far_peer_leaves_nothing_is_wanted_there_any_more() {
    let mut lab = Lab::shared();
    lab.tell(FAR, Command::ClosePeer { peer: SUBSCRIBER });
    let batch = lab.far.poll_trunk(HOME).unwrap();
    assert!(matches!(words(&batch)[..], [.., TrunkWord::Demand(demand)] if demand.taken == 0));
    assert_eq!((lab.far.stats().rooms, lab.far.stats().imports), (0, 0));
    lab.tell(FAR, Command::Unimport { track: TRACK });
    assert_eq!(lab.far.stats().refused_commands, 0);
}

#[test]
fn an_imported_track_is_not_exported_and_a_room_without_peers_imports_nothing() {
    let mut lab = Lab::shared();
    lab.tell(FAR, Command::Export { track: TRACK, to: HOME });
    assert_eq!((lab.far.stats().refused_commands, lab.far.exports(ROOM)), (1, Vec::new()));
    lab.tell(FAR, Command::Import { room: RoomId(8), track: TrackId(11), from: HOME });
    lab.tell(HOME, Command::Import { room: ROOM, track: TRACK, from: FAR });
    assert_eq!((lab.far.stats().refused_commands, lab.home.stats().refused_commands), (2, 1));
    assert_eq!((lab.home.imports(ROOM), lab.far.imports(RoomId(8))), (Vec::new(), Vec::new()));
}

#[test]
fn what_was_not_arranged_is_not_believed_nor_given() {
    let mut lab = Lab::new();
    lab.offer();
    lab.import();
    lab.carry();
    assert_eq!(lab.home.stats().trunk_strays, 1, "asked for, and not told to give");
    lab.export();
    let batch = lab.home.poll_trunk(FAR).unwrap();
    let stranger = ForwarderId(9);
    lab.far.handle_trunk(lab.now, stranger, &batch, &mut lab.outbox);
    assert_eq!(lab.far.stats().trunk_strays, batch.len() as u64, "not from where it is to come");
    // And in a room of its own the same name means something else.
    lab.home.handle_trunk(lab.now, FAR, &batch, &mut lab.outbox);
    assert_eq!(lab.home.stats().trunk_strays, 1 + batch.len() as u64);
}

#[test]
fn a_batch_that_was_refused_goes_before_what_came_since() {
    let mut lab = Lab::new();
    lab.offer();
    lab.export();
    let batch = lab.home.poll_trunk(FAR).unwrap();
    assert!(lab.home.poll_trunk(FAR).is_none());
    lab.tell(HOME, Command::Unpublish { track: TRACK });
    lab.home.refuse_trunk(FAR, batch);
    let both = lab.home.poll_trunk(FAR).unwrap();
    assert!(matches!(words(&both)[..], [TrunkWord::State(_), .., TrunkWord::Ended]), "{:?}", words(&both));
}

#[test]
fn a_client_of_one_connection_is_asked_for_sections_only_after_our_first_answer() {
    const SINGLE: PeerId = PeerId(3);
    let mut lab = Lab::new();
    lab.offer();
    lab.tell(HOME, Command::CreatePeer { room: ROOM, peer: SINGLE, role: PeerRole::Single });
    lab.tell(
        HOME,
        Command::Subscribe {
            subscription: SubscriptionId(30),
            peer: SINGLE,
            track: TRACK,
            stream_id: "s".to_owned(),
            track_label: "t".to_owned(),
        },
    );
    let told = |lab: &Lab| -> Vec<&str> {
        let of_single = lab.events.iter().filter_map(|(_, event)| match event {
            Event::LocalDescription { peer: SINGLE, .. } => Some("answer"),
            Event::MediaSectionsRequired { peer: SINGLE, audios: 1, videos: 0 } => Some("sections"),
            _ => None,
        });
        of_single.collect()
    };
    assert_eq!(told(&lab), [""; 0], "it waits for an answer, and could not offer more");
    let mut client = Peer::new(peer_config(), [7; 32], lab.now);
    client.add_sender(SenderSpec {
        id: SenderId(1),
        kind: MediaKind::Video,
        codecs: vec![CodecKind::Vp8],
        msid: Msid { stream: "s".to_owned(), track: "camera".to_owned() },
        ssrc: 19,
        rtx_ssrc: None,
        fec_ssrc: None,
    });
    let sdp = client.create_offer(lab.now, false).unwrap();
    let description = Description { kind: DescriptionKind::Offer, sdp, id: 1 };
    lab.tell(HOME, Command::RemoteDescription { peer: SINGLE, description });
    assert_eq!(told(&lab), ["answer", "sections"]);
}
