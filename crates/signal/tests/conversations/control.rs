// SPDX-License-Identifier: EUPL-1.2
//! What an application's server does to a room, as its clients see it.

use std::time::Duration;

use livekit_protocol as proto;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message as Response;
use livekit_protocol::{DisconnectReason, TrackSource};
use parvis_meeting::{Kind, Permissions};
use parvis_sfu::{Command, DataChannel};
use parvis_signal::{Actor, ConnectError, Control, ControlError, Grants, Reply, RoomConfig, RoomSettings};

use crate::lab::*;

const START: u64 = START_UNIX_MS as u64 / 1000;

fn issued(identity: &str, not_before: u64) -> Grants {
    Grants { not_before, ..Grants::of(identity) }
}

fn mute(identity: &str, track_sid: &str, muted: bool) -> Control {
    let (identity, track_sid) = (identity.to_owned(), track_sid.to_owned());
    Control::MuteTrack(proto::MuteRoomTrackRequest { identity, track_sid, muted, ..Default::default() })
}

fn room_of(reply: Result<Reply, ControlError>) -> proto::Room {
    match reply {
        Ok(Reply::Room(room)) => *room,
        other => panic!("no room: {other:?}"),
    }
}

fn info_of(reply: Result<Reply, ControlError>) -> proto::ParticipantInfo {
    match reply {
        Ok(Reply::Participant(info)) => *info,
        other => panic!("no participant: {other:?}"),
    }
}

#[test]
fn row_44_who_was_removed_comes_back_neither_by_its_token_nor_by_a_resume() {
    let mut lab = Lab::new();
    let (ada, bob) = (lab.join("ada"), lab.connect(issued("bob", START - 10), dual()));
    lab.bring_up(bob);
    lab.publish(bob, "cam", TrackSource::Camera);
    let sid = lab.sid(bob);
    lab.drop_socket(bob);
    lab.remove("bob").unwrap();
    assert!(!lab.client(ada).roster.contains_key("bob"));
    assert!(
        lab.forwarder.tracks.is_empty() && lab.forwarder.peers.len() == 2,
        "its media stops in this call"
    );

    for grants in [issued("bob", START - 10), issued("bob", START + 59), Grants::of("bob")] {
        assert_eq!(lab.try_connect(grants.clone(), dual()).unwrap_err(), ConnectError::Revoked);
        let resume = parvis_signal::Resume { participant_sid: sid.clone(), sync_state: None };
        let params = parvis_signal::JoinParams { resume: Some(resume), ..dual() };
        let refused = lab.try_connect(grants, params).unwrap_err();
        assert_eq!((refused.status(), refused), (401, ConnectError::Revoked));
    }
    assert_eq!(lab.room.stats().revoked_refused, 6);
    assert!(!lab.client(ada).roster.contains_key("bob"));
    // Later the old token still opens nothing, and one that was made later does.
    lab.pass(Duration::from_secs(10));
    assert!(lab.try_connect(issued("bob", START + 59), dual()).is_err());
    lab.try_connect(issued("bob", START + 60), dual()).unwrap();
}

#[test]
fn row_44_the_moment_from_which_tokens_count_again_can_be_named() {
    let mut lab = Lab::new();
    lab.connect(issued("bob", START - 50), dual());
    let request = proto::RoomParticipantIdentity {
        identity: "bob".into(),
        revoke_token_ts: START as i64 - 20,
        ..Default::default()
    };
    lab.control(Control::RemoveParticipant(request)).unwrap();
    assert!(lab.try_connect(issued("bob", START - 21), dual()).is_err());
    lab.try_connect(issued("bob", START - 20), dual()).unwrap();
}

#[test]
fn row_34_the_token_of_a_moderator_who_was_removed_does_nothing_any_more() {
    let mut lab = Lab::new();
    lab.connect(issued("mod", START - 10), dual());
    lab.join("ada");
    let actor = Actor { identity: "mod".into(), not_before: START - 10 };
    assert!(lab.control_as(&actor, Control::ListParticipants).is_ok());
    lab.remove("mod").unwrap();
    let remove = Control::RemoveParticipant(proto::RoomParticipantIdentity {
        identity: "ada".into(),
        ..Default::default()
    });
    for control in [Control::ListParticipants, Control::Delete, remove, Control::SetMetadata("x".into())] {
        assert_eq!(lab.control_as(&actor, control), Err(ControlError::Revoked));
    }
    assert!(!lab.ended);
    let room = room_of(lab.control(Control::Describe));
    assert_eq!((room.num_participants, room.metadata.as_str()), (1, ""));
}

#[test]
fn participants_are_listed_with_hidden_ones_and_found_by_identity() {
    let mut lab = Lab::new();
    lab.join("ada");
    let permissions = Permissions { hidden: true, ..Permissions::default() };
    lab.join_as(Grants { permissions, ..Grants::of("ghost") });
    let Ok(Reply::Participants(infos)) = lab.control(Control::ListParticipants) else { panic!("no list") };
    assert_eq!(infos.iter().map(|info| info.identity.as_str()).collect::<Vec<_>>(), ["ada", "ghost"]);
    assert_eq!(info_of(lab.control(Control::GetParticipant("ghost".into()))).identity, "ghost");
    let nobody = lab.control(Control::GetParticipant("bob".into()));
    assert_eq!(nobody, Err(ControlError::NoParticipant("bob".into())));
}

#[test]
fn a_track_is_muted_from_afar_and_unmuted_only_where_that_is_allowed() {
    for allowed in [false, true] {
        let mut lab = Lab::with(RoomConfig { remote_unmute: allowed, ..RoomConfig::default() });
        let (ada, bob) = (lab.join("ada"), lab.join("bob"));
        let mic = lab.publish(ada, "mic", TrackSource::Microphone);
        lab.clear();
        let Ok(Reply::Track(track)) = lab.control(mute("ada", &mic, true)) else { panic!("no track") };
        assert!(track.muted && track.sid == mic);
        let told =
            lab.client(ada).find(|m| if let Response::Mute(mute) = m { Some(mute.clone()) } else { None });
        assert_eq!(told, Some(proto::MuteTrackRequest { sid: mic.clone(), muted: true }));
        assert!(lab.client(bob).roster["ada"].tracks[0].muted);
        let stopped = |c: &Command| matches!(c, Command::SetMuted { muted: true, .. });
        assert!(lab.forwarder.commands.iter().any(stopped), "the forwarder passes nothing on");

        let unmuted = lab.control(mute("ada", &mic, false));
        if allowed {
            assert!(!lab.client(bob).roster["ada"].tracks[0].muted);
        } else {
            assert_eq!(unmuted, Err(ControlError::MayNotUnmute));
            assert!(lab.client(bob).roster["ada"].tracks[0].muted);
        }
        let foreign = lab.control(mute("bob", &mic, true));
        assert_eq!(foreign, Err(ControlError::NoTrack(mic)), "the track is not bob's");
    }
}

#[test]
fn name_metadata_and_attributes_are_changed_together_or_not_at_all() {
    let mut lab = Lab::new();
    let grants = Grants { attributes: [("role".into(), "guest".into())].into(), ..Grants::of("ada") };
    lab.join_as(grants);
    let bob = lab.join("bob");
    let request = proto::UpdateParticipantRequest {
        identity: "ada".into(),
        name: "Ada L.".into(),
        metadata: "{}".into(),
        attributes: [("role".to_owned(), String::new()), ("hand".to_owned(), "up".to_owned())].into(),
        ..Default::default()
    };
    let info = info_of(lab.control(Control::UpdateParticipant(Box::new(request.clone()))));
    let seen = &lab.client(bob).roster["ada"];
    for info in [&info, seen] {
        assert_eq!((info.name.as_str(), info.metadata.as_str()), ("Ada L.", "{}"));
        assert_eq!(info.attributes, [("hand".to_owned(), "up".to_owned())].into());
    }
    let too_large = proto::UpdateParticipantRequest {
        metadata: "x".repeat(64 * 1024 + 1),
        name: "Eve".into(),
        permission: Some(proto::ParticipantPermission::default()),
        ..request
    };
    let refused = lab.control(Control::UpdateParticipant(Box::new(too_large)));
    assert!(matches!(refused, Err(ControlError::Refused(_))), "{refused:?}");
    let seen = &lab.client(bob).roster["ada"];
    assert!(seen.name == "Ada L." && seen.permission.as_ref().unwrap().can_publish);
}

#[test]
fn row_45_an_older_token_does_not_bring_permissions_back() {
    let mut lab = Lab::new();
    let ada = lab.connect(issued("ada", START - 10), dual());
    let mute = Permissions { can_publish: false, ..Permissions::default() };
    lab.permit("ada", &mute);
    lab.send(ada, Request::Leave(proto::LeaveRequest::default()));
    let can_publish =
        |lab: &Lab, who| lab.client(who).own.as_ref().unwrap().permission.clone().unwrap().can_publish;
    let again = lab.connect(issued("ada", START - 10), dual());
    assert!(!can_publish(&lab, again), "the token that she came with first");
    let newer = lab.connect(issued("ada", START + 1), dual());
    assert!(can_publish(&lab, newer), "one that was made after the change");
}

#[test]
fn subscriptions_are_changed_from_afar_within_what_is_allowed() {
    let mut lab = Lab::new();
    let (ada, _bob) = (lab.join("ada"), lab.join("bob"));
    let deaf = Permissions { can_subscribe: false, ..Permissions::default() };
    lab.join_as(Grants { permissions: deaf, ..Grants::of("deaf") });
    let cam = lab.publish(ada, "cam", TrackSource::Camera);
    let mut update = |identity: &str, sid: &str, subscribe| {
        let request = proto::UpdateSubscriptionsRequest {
            identity: identity.into(),
            track_sids: vec![sid.into(), "TR_nothing".into()],
            subscribe,
            ..Default::default()
        };
        assert_eq!(lab.control(Control::UpdateSubscriptions(request)), Ok(Reply::Done));
        lab.forwarder.subscriptions.len()
    };
    assert_eq!(update("bob", &cam, false), 0);
    assert_eq!(update("bob", &cam, true), 1);
    assert_eq!(update("deaf", &cam, true), 1, "row 45: not even the server's word lets it receive");
}

#[test]
fn a_message_from_the_server_reaches_those_it_is_for_once() {
    let mut lab = Lab::new();
    let (ada, bob) = (lab.join("ada"), lab.join("bob"));
    let request = proto::SendDataRequest {
        data: b"closing soon".to_vec(),
        topic: Some("notices".into()),
        nonce: vec![7; 16],
        ..Default::default()
    };
    for _ in 0..2 {
        lab.control(Control::SendData(request.clone())).unwrap();
    }
    for client in [ada, bob] {
        let received = lab.received(client);
        assert_eq!(received.len(), 1, "the repetition is not sent");
        assert_eq!(
            (received[0].0, text_of(&received[0].1).as_str()),
            (DataChannel::Reliable, "closing soon")
        );
        let Some(proto::data_packet::Value::User(user)) = &received[0].1.value else {
            panic!("no user packet")
        };
        assert_eq!(
            (user.topic.as_deref(), received[0].1.participant_identity.as_str()),
            (Some("notices"), "")
        );
    }
    lab.clear();
    let lossy = proto::SendDataRequest {
        kind: proto::data_packet::Kind::Lossy.into(),
        destination_identities: vec!["bob".into()],
        nonce: vec![],
        ..request.clone()
    };
    lab.control(Control::SendData(lossy)).unwrap();
    assert_eq!((lab.received(ada).len(), lab.received(bob)[0].0), (0, DataChannel::Lossy));
    let refused =
        lab.control(Control::SendData(proto::SendDataRequest { nonce: vec![1], ..request.clone() }));
    assert_eq!(refused, Err(ControlError::Nonce(1)));
    let large = proto::SendDataRequest { data: vec![0; 256 * 1024 + 1], nonce: vec![], ..request };
    let refused = lab.control(Control::SendData(large));
    assert_eq!(refused, Err(ControlError::TooLarge { actual: 256 * 1024 + 1, limit: 256 * 1024 }));
}

#[test]
fn a_rooms_metadata_reaches_everyone_at_once() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    lab.clear();
    assert_eq!(room_of(lab.control(Control::SetMetadata("agenda".into()))).metadata, "agenda");
    let told = lab
        .client(ada)
        .find(|m| if let Response::RoomUpdate(update) = m { update.room.clone() } else { None });
    assert_eq!(told.unwrap().metadata, "agenda");
    let refused = lab.control(Control::SetMetadata("x".repeat(64 * 1024 + 1)));
    assert!(matches!(refused, Err(ControlError::Refused(_))));
    assert_eq!(room_of(lab.control(Control::Describe)).metadata, "agenda");
}

#[test]
fn a_rooms_own_settings_hold_within_the_servers_bounds() {
    let mut lab = Lab::new();
    let settings = RoomSettings {
        empty_timeout: Some(Duration::from_secs(u64::from(u32::MAX))),
        departure_timeout: Some(Duration::from_secs(3)),
        max_participants: Some(1),
        ..RoomSettings::default()
    };
    let room = room_of(lab.control(Control::Configure(settings)));
    assert_eq!((room.empty_timeout, room.departure_timeout, room.max_participants), (86_400, 3, 1));
    let ada = lab.join("ada");
    assert_eq!(lab.try_connect(Grants::of("bob"), dual()).unwrap_err().status(), 429);
    // Programs that serve the meeting take no place of a person's.
    lab.connect(Grants { kind: Kind::Agent, ..Grants::of("helper") }, dual());
    lab.send(ada, Request::Leave(proto::LeaveRequest::default()));
    lab.pass(Duration::from_secs(3));
    assert!(lab.ended);
    assert_eq!(lab.control(Control::Describe), Err(ControlError::Ended));
}

#[test]
fn a_deleted_room_tells_its_clients_and_takes_no_more_orders() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    lab.control(Control::Delete).unwrap();
    assert_eq!(lab.client(ada).leave().unwrap().reason(), DisconnectReason::RoomDeleted);
    assert_eq!(lab.remove("ada"), Err(ControlError::Ended));
}
