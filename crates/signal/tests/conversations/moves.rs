// SPDX-License-Identifier: EUPL-1.2
//! Participants that go on in another room.

use std::sync::Arc;

use livekit_protocol::leave_request::Action;
use livekit_protocol::signal_response::Message as Response;
use livekit_protocol::{DisconnectReason, TrackSource};
use parvis_meeting::{Kind, Permissions};
use parvis_sfu::RoomId;
use parvis_signal::{ClosedError, ConnectionId, Control, Grants, Join, Room, RoomConfig, RoomSettings};

use crate::lab::*;

/// Another room, in which somebody is.
fn other(config: RoomConfig, identity: &str) -> Room {
    let now = std::time::Instant::now();
    let mut room = Room::new(Arc::new(config), RoomId(6), "salon", [3; 32], now, START_UNIX_MS);
    let join = Join { grants: Grants::of(identity), params: dual(), address: String::new() };
    room.connect(now, ConnectionId(1), join).unwrap();
    room
}

#[test]
fn one_who_is_moved_is_told_where_with_a_token_and_connects_anew_in_both_forms() {
    for params in [dual(), single()] {
        let mut lab = Lab::new();
        let bob = lab.join("bob");
        let permissions = Permissions { can_publish_data: false, ..Permissions::default() };
        let grants = Grants { permissions, name: "Ada".into(), kind: Kind::Sip, ..Grants::of("ada") };
        let ada = lab.connect(grants.clone(), params);
        lab.bring_up(ada);
        lab.publish(ada, "cam", TrackSource::Camera);
        lab.clear();

        let taken = lab.room.grants_of("ada").unwrap();
        assert_eq!(taken, grants, "the token for the other room says the same");
        let salon = other(RoomConfig::default(), "carol");
        let view = salon.view_for(&taken).unwrap();
        assert!(lab.room.move_to(lab.now, "ada", view, "a token".to_owned()));
        lab.pump();

        assert_eq!(lab.client(ada).kinds(), ["RefreshToken", "RoomMoved", "Leave"]);
        let (token, moved) = (&lab.client(ada).inbox[0], &lab.client(ada).inbox[1]);
        assert_eq!(*token, Response::RefreshToken("a token".into()));
        let Response::RoomMoved(moved) = moved else { panic!("{moved:?}") };
        assert_eq!((moved.token.as_str(), moved.room.as_ref().unwrap().name.as_str()), ("a token", "salon"));
        let others: Vec<&str> = moved.other_participants.iter().map(|info| info.identity.as_str()).collect();
        assert_eq!((moved.participant.as_ref().unwrap().identity.as_str(), others), ("ada", vec!["carol"]));
        let leave = lab.client(ada).leave().unwrap();
        assert_eq!((leave.action(), leave.reason()), (Action::Reconnect, DisconnectReason::Migration));
        assert!(leave.can_reconnect && lab.client(ada).closed.is_some());
        assert!(!lab.client(bob).roster.contains_key("ada"), "it is gone for those who stay");
        assert_eq!(lab.forwarder.peers.len(), 2, "and so are its connections");
    }
}

#[test]
fn a_room_that_takes_nobody_says_so_and_nothing_changes() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    let grants = lab.room.grants_of("ada").unwrap();
    let mut salon = other(RoomConfig::default(), "carol");
    let now = std::time::Instant::now();
    let seats = RoomSettings { max_participants: Some(1), ..RoomSettings::default() };
    salon.control(now, &Default::default(), Control::Configure(seats)).unwrap();
    assert_eq!(salon.view_for(&grants), Err(ClosedError::Full));
    assert!(
        salon.view_for(&Grants { kind: Kind::Egress, ..grants.clone() }).is_ok(),
        "a recording needs no seat"
    );
    assert!(salon.view_for(&Grants::of("carol")).is_ok(), "one who is there already needs none");
    salon.drain(now);
    assert_eq!(salon.view_for(&grants), Err(ClosedError::Ending));
    let view = other(RoomConfig::default(), "carol").view_for(&grants).unwrap();
    assert!(!lab.room.move_to(lab.now, "nobody", view, "a token".to_owned()));
    lab.pump();
    assert_eq!((lab.client(ada).closed.clone(), lab.room.grants_of("nobody")), (None, None));
}

#[test]
fn row_45_a_hidden_participant_is_not_shown_to_one_who_comes() {
    let mut salon = other(RoomConfig::default(), "carol");
    let permissions = Permissions { hidden: true, ..Permissions::default() };
    let grants = Grants { permissions, ..Grants::of("ghost") };
    let join = Join { grants, params: dual(), address: String::new() };
    salon.connect(std::time::Instant::now(), ConnectionId(2), join).unwrap();
    let view = salon.view_for(&Grants::of("ada")).unwrap();
    let told: Vec<&str> = view.participants.iter().map(|info| info.identity.as_str()).collect();
    assert_eq!(told, ["carol"]);
}
