// SPDX-License-Identifier: EUPL-1.2
//! Who lives where, and which trunks that takes.

use std::collections::BTreeSet;

use parvis_peer::FailReason;
use parvis_sfu::{
    Command, Event, ForwarderId, PeerId, PeerRole, RoomId, Spread, SpreadConfig, SubscriptionId, TrackId,
};

use crate::world::audio_spec;

const ROOM: RoomId = RoomId(7);

/// A room that may spread over three forwarders, with so many peers on each.
struct Lab {
    spread: Spread,
    free: Vec<ForwarderId>,
}

impl Lab {
    fn new(peers_per_part: usize) -> Lab {
        let spread = Spread::new(SpreadConfig { peers_per_part }, ROOM, ForwarderId(0));
        Lab { spread, free: vec![ForwarderId(2), ForwarderId(1)] }
    }

    fn give(&mut self, command: Command) -> Vec<(ForwarderId, Command)> {
        let free = &mut self.free;
        self.spread.command(command, || free.pop());
        self.outcome()
    }

    fn outcome(&mut self) -> Vec<(ForwarderId, Command)> {
        std::iter::from_fn(|| self.spread.poll_command()).collect()
    }

    /// On which forwarder a new peer is made.
    fn peer(&mut self, peer: u64) -> ForwarderId {
        let create = Command::CreatePeer { room: ROOM, peer: PeerId(peer), role: PeerRole::Single };
        let made = self.give(create.clone());
        assert_eq!((made.len(), &made[0].1), (1, &create));
        made[0].0
    }

    /// Peers 1 to `count`.
    fn peers(&mut self, count: u64) {
        for peer in 1..=count {
            self.peer(peer);
        }
    }

    fn publish(&mut self, peer: u64, track: u64) {
        self.give(Command::Publish { peer: PeerId(peer), track: TrackId(track), spec: audio_spec() });
    }

    fn subscribe(&mut self, subscription: u64, peer: u64, track: u64) -> Vec<(ForwarderId, Command)> {
        let (stream_id, track_label) = (String::new(), String::new());
        self.give(Command::Subscribe {
            subscription: SubscriptionId(subscription),
            peer: PeerId(peer),
            track: TrackId(track),
            stream_id,
            track_label,
        })
    }

    fn unsubscribe(&mut self, subscription: u64) -> Vec<(ForwarderId, Command)> {
        self.give(Command::Unsubscribe { subscription: SubscriptionId(subscription) })
    }
}

const HOME: ForwarderId = ForwarderId(0);
const FAR: ForwarderId = ForwarderId(1);

fn opened(track: u64, from: ForwarderId, to: ForwarderId) -> [(ForwarderId, Command); 2] {
    let track = TrackId(track);
    [(from, Command::Export { track, to }), (to, Command::Import { room: ROOM, track, from })]
}

fn closed(track: u64, from: ForwarderId, to: ForwarderId) -> [(ForwarderId, Command); 2] {
    let track = TrackId(track);
    [(to, Command::Unimport { track }), (from, Command::Unexport { track, to })]
}

#[test]
fn a_room_fills_one_forwarder_after_the_other_and_then_all_alike() {
    let mut lab = Lab::new(2);
    let places: Vec<u64> = (1..=9).map(|peer| lab.peer(peer).0).collect();
    assert_eq!(places, [0, 0, 1, 1, 2, 2, 0, 1, 2]);
    lab.give(Command::ClosePeer { peer: PeerId(3) });
    lab.give(Command::ClosePeer { peer: PeerId(8) });
    assert_eq!(lab.peer(10), FAR, "where there is room again");
}

#[test]
fn the_first_subscription_of_a_part_opens_a_trunk_and_the_last_closes_it() {
    let mut lab = Lab::new(2);
    lab.peers(4);
    lab.publish(1, 10);
    assert_eq!(lab.subscribe(20, 2, 10).len(), 1, "within a part there is no trunk");
    let first = lab.subscribe(30, 3, 10);
    assert_eq!(first[..2], opened(10, HOME, FAR));
    assert!(matches!(first[2], (FAR, Command::Subscribe { .. })), "{first:?}");
    assert_eq!(lab.subscribe(40, 4, 10).len(), 1, "there is one already");
    assert_eq!(lab.spread.trunks().collect::<Vec<_>>(), [(TrackId(10), HOME, FAR)]);
    assert_eq!(lab.unsubscribe(30).len(), 1);
    assert_eq!(lab.unsubscribe(40)[1..], closed(10, HOME, FAR));
    assert_eq!(lab.spread.trunks().count(), 0);
}

#[test]
fn commands_reach_the_forwarder_that_has_what_they_are_about() {
    let mut lab = Lab::new(1);
    lab.peers(2);
    lab.publish(2, 10);
    lab.subscribe(20, 1, 10);
    let to = |lab: &mut Lab, command: Command| lab.give(command)[0].0;
    assert_eq!(to(&mut lab, Command::RestartIce { peer: PeerId(2) }), FAR);
    assert_eq!(to(&mut lab, Command::SetMuted { track: TrackId(10), muted: true }), FAR);
    let configure = Command::ConfigureSubscription {
        subscription: SubscriptionId(20),
        settings: parvis_sfu::SubscriptionSettings::default(),
    };
    assert_eq!(to(&mut lab, configure), HOME);
    assert_eq!(
        to(&mut lab, Command::RestartIce { peer: PeerId(99) }),
        HOME,
        "who is unknown is refused there"
    );
}

#[test]
fn whoever_leaves_or_fails_takes_its_trunks_along() {
    let mut lab = Lab::new(1);
    lab.peers(2);
    lab.publish(1, 10);
    lab.publish(2, 11);
    lab.subscribe(20, 2, 10);
    lab.subscribe(21, 1, 11);
    let failed = Event::PeerFailed { peer: PeerId(2), reason: FailReason::Closed };
    assert_eq!(lab.spread.event(FAR, failed.clone()), Some(failed));
    let ended: BTreeSet<String> = lab.outcome().iter().map(|command| format!("{command:?}")).collect();
    let expected = closed(10, HOME, FAR).into_iter().chain(closed(11, FAR, HOME));
    assert_eq!(ended, expected.map(|command| format!("{command:?}")).collect());
    assert_eq!((lab.spread.trunks().count(), lab.spread.peers().count()), (0, 1));
    lab.give(Command::ClosePeer { peer: PeerId(1) });
    assert_eq!((lab.spread.trunks().count(), lab.spread.peers().count()), (0, 0));
}

#[test]
fn an_unpublished_track_ends_its_trunks_and_is_not_known_again() {
    let mut lab = Lab::new(1);
    lab.peers(3);
    lab.publish(1, 10);
    lab.subscribe(20, 2, 10);
    lab.subscribe(30, 3, 10);
    let ended = lab.give(Command::Unpublish { track: TrackId(10) });
    assert_eq!(ended[0], (HOME, Command::Unpublish { track: TrackId(10) }));
    assert_eq!(ended[1..3], closed(10, HOME, FAR));
    assert_eq!(ended[3..], closed(10, HOME, ForwarderId(2)));
    assert_eq!(lab.subscribe(31, 3, 10).len(), 1, "no trunk for what is gone");
}

#[test]
fn speakers_of_all_parts_are_told_as_one_list() {
    let mut lab = Lab::new(1);
    lab.peers(2);
    let tell = |lab: &mut Lab, from, speakers: &[(u64, f32)]| {
        let speakers = speakers.iter().map(|(track, level)| (TrackId(*track), *level)).collect();
        match lab.spread.event(from, Event::Speakers { room: ROOM, speakers }) {
            Some(Event::Speakers { speakers, .. }) => speakers.iter().map(|(track, _)| track.0).collect(),
            other => panic!("{other:?}"),
        }
    };
    let heard: Vec<u64> = tell(&mut lab, HOME, &[(1, 0.5)]);
    assert_eq!(heard, [1]);
    assert_eq!(tell(&mut lab, FAR, &[(2, 0.9), (3, 0.1)]), [2, 1, 3]);
    assert_eq!(tell(&mut lab, HOME, &[]), [2, 3]);
    assert_eq!(tell(&mut lab, FAR, &[]), Vec::<u64>::new());
}
