// SPDX-License-Identifier: EUPL-1.2
//! What tokens say of the rooms that they open.

use std::time::Duration;

use livekit_protocol as proto;
use livekit_protocol::signal_response::Message as Response;
use parvis_meeting::Kind;
use parvis_rtp::PlayoutDelay;
use parvis_sfu::{Command, PeerRole};
use parvis_signal::{ConnectionId, Control, Grants, RECORD_TAG, RETENTION_TAG, RoomConfig, RoomSettings};

use crate::lab::*;

fn wanted() -> proto::RoomConfiguration {
    proto::RoomConfiguration {
        empty_timeout: 40,
        departure_timeout: 30,
        max_participants: 2,
        metadata: "about the room".into(),
        min_playout_delay: 200,
        max_playout_delay: 1000,
        sync_streams: true,
        egress: Some(proto::RoomEgress::default()),
        ..Default::default()
    }
}

fn grants(identity: &str, room: proto::RoomConfiguration) -> Grants {
    Grants { room: Some(Box::new(room)), ..Grants::of(identity) }
}

fn room_of(lab: &Lab, connection: ConnectionId) -> proto::Room {
    let join = lab.client(connection).find(|message| match message {
        Response::Join(join) => join.room.clone(),
        _ => None,
    });
    join.expect("it joined")
}

#[test]
fn the_token_that_opens_a_room_says_how_it_is_in_both_forms() {
    for params in [dual(), single()] {
        let mut lab = Lab::new();
        let ada = lab.connect(grants("ada", wanted()), params.clone());
        let room = room_of(&lab, ada);
        assert_eq!((room.empty_timeout, room.departure_timeout, room.max_participants), (40, 30, 2));
        assert_eq!(room.metadata, "about the room");
        assert_eq!(lab.egress.len(), 1);
        lab.connect(Grants::of("bob"), params.clone());
        assert!(lab.try_connect(Grants::of("carol"), params).is_err(), "two places");
        // Whoever receives is asked to show pictures so late.
        let delay = PlayoutDelay { min: 20, max: 100 };
        let receivers: Vec<_> =
            lab.forwarder.peers.iter().filter(|(_, role)| **role != PeerRole::Publisher).collect();
        assert_eq!(receivers.len(), 2);
        for (peer, _) in receivers {
            assert!(lab.forwarder.commands.contains(&Command::SetPlayoutDelay { peer: *peer, delay }));
        }
    }
}

#[test]
fn a_token_changes_nothing_of_a_room_that_is_there() {
    let mut lab = Lab::new();
    lab.join("ada");
    let bob = lab.connect(grants("bob", wanted()), dual());
    assert_eq!(room_of(&lab, bob).metadata, "");
    assert!(lab.egress.is_empty());

    let mut lab = Lab::new();
    let settings = RoomSettings { metadata: Some("by the server".into()), ..RoomSettings::default() };
    lab.control(Control::Configure(settings)).unwrap();
    let ada = lab.connect(grants("ada", wanted()), dual());
    assert_eq!(room_of(&lab, ada).metadata, "by the server");
}

/// In which layouts the room is recorded, of those asked for since the last time.
fn layouts(lab: &mut Lab) -> Vec<String> {
    lab.egress.drain(..).map(|egress| egress.room.map_or(String::new(), |room| room.layout)).collect()
}

fn tagged(tag: &str, value: &str) -> proto::RoomConfiguration {
    proto::RoomConfiguration { tags: [(tag.to_owned(), value.to_owned())].into(), ..Default::default() }
}

#[test]
fn a_room_is_recorded_by_itself_once_and_not_for_programs_alone() {
    let config = || RoomConfig { record: "capture".to_owned(), ..RoomConfig::default() };
    let mut lab = Lab::with(config());
    lab.connect(Grants { kind: Kind::Agent, ..Grants::of("scribe") }, dual());
    assert_eq!(layouts(&mut lab), [""; 0], "nobody is there yet");
    let ada = lab.join("ada");
    assert_eq!(layouts(&mut lab), ["capture"]);
    lab.join("bob");
    lab.room.hang_up(lab.now, ada);
    lab.join("ada");
    assert_eq!(layouts(&mut lab), [""; 0], "whoever stopped it meant it");

    // Whoever makes the room says otherwise.
    for (wanted, expected) in [
        (tagged(RECORD_TAG, "grid"), vec!["grid"]),
        (tagged(RECORD_TAG, "none"), vec![]),
        (tagged("kind", "seminar"), vec!["capture"]),
    ] {
        let mut lab = Lab::with(config());
        lab.connect(grants("ada", wanted), dual());
        assert_eq!(layouts(&mut lab), expected);
    }
    let mut lab = Lab::new();
    lab.control(Control::Configure(RoomSettings::of(&tagged(RECORD_TAG, "speaker")))).unwrap();
    assert_eq!(layouts(&mut lab), [""; 0]);
    lab.join("ada");
    assert_eq!(layouts(&mut lab), ["speaker"]);
    // A recording that is asked for in full takes the place of the configuration's.
    let mut lab = Lab::with(config());
    let room = proto::RoomCompositeEgressRequest { layout: "single".into(), ..Default::default() };
    let egress = proto::RoomEgress { room: Some(room), ..Default::default() };
    let wanted = proto::RoomConfiguration { egress: Some(egress), ..Default::default() };
    lab.connect(grants("ada", wanted), dual());
    assert_eq!(layouts(&mut lab), ["single"]);
}

#[test]
fn recordings_of_a_room_are_kept_for_the_shortest_time_that_was_said() {
    let mut lab = Lab::new();
    assert_eq!(lab.room.recording_retention(), None);
    for (days, expected) in
        [("30", Some(30)), ("7", Some(7)), ("90", Some(7)), ("0", Some(7)), ("a week", Some(7))]
    {
        lab.control(Control::Configure(RoomSettings::of(&tagged(RETENTION_TAG, days)))).unwrap();
        assert_eq!(lab.room.recording_retention(), expected, "after {days:?}");
    }
}

/// With what bounds the connections that receive are made.
fn delays(lab: &Lab) -> Vec<PlayoutDelay> {
    let delay = |command: &Command| match command {
        Command::SetPlayoutDelay { delay, .. } => Some(*delay),
        _ => None,
    };
    lab.forwarder.commands.iter().filter_map(delay).collect()
}

#[test]
fn pictures_are_as_late_as_the_server_is_configured_unless_the_room_says_otherwise() {
    let millis = Duration::from_millis;
    let config = || RoomConfig { playout_delay: (millis(100), millis(500)), ..RoomConfig::default() };
    let mut lab = Lab::with(config());
    lab.connect(Grants::of("ada"), dual());
    assert_eq!(delays(&lab), [PlayoutDelay { min: 10, max: 50 }], "one for the connection that receives");

    let mut lab = Lab::with(config());
    let settings =
        RoomSettings::of(&proto::RoomConfiguration { max_playout_delay: 2_000, ..Default::default() });
    lab.control(Control::Configure(settings)).unwrap();
    lab.control(Control::Configure(RoomSettings::default())).unwrap();
    lab.connect(Grants::of("ada"), dual());
    assert_eq!(delays(&lab), [PlayoutDelay { min: 0, max: 200 }], "what is not said again stays");

    let mut lab = Lab::new();
    lab.connect(Grants::of("ada"), dual());
    assert_eq!(delays(&lab), [], "nobody is asked for anything");
}

#[test]
fn row_41_what_a_token_says_beyond_the_servers_limits_is_left_out_and_keeps_nobody_away() {
    let mut lab = Lab::new();
    let huge = proto::RoomConfiguration {
        metadata: "x".repeat(70_000),
        empty_timeout: u32::MAX,
        max_participants: u32::MAX,
        ..Default::default()
    };
    let ada = lab.connect(grants("ada", huge), dual());
    let room = room_of(&lab, ada);
    assert_eq!(room.metadata, "");
    assert!(room.max_participants <= 500);
    assert!(u64::from(room.empty_timeout) <= RoomConfig::default().longest_timeout.as_secs());
    assert!(RoomConfig::default().longest_timeout > Duration::ZERO);
}
