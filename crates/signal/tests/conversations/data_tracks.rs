// SPDX-License-Identifier: EUPL-1.2
//! Data tracks: what is published, who is told, who receives.

use std::time::Duration;

use livekit_protocol as proto;
use livekit_protocol::request_response::Reason;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message as Response;
use parvis_meeting::Permissions;
use parvis_signal::{ConnectionId, Grants, JoinParams, Rate, RoomConfig};

use crate::lab::*;

fn publish(lab: &mut Lab, connection: ConnectionId, handle: u32, name: &str) {
    let request =
        proto::PublishDataTrackRequest { pub_handle: handle, name: name.into(), ..Default::default() };
    lab.send(connection, Request::PublishDataTrackRequest(request));
}

/// The sid of the last data track that a client was told it publishes.
fn published(lab: &Lab, connection: ConnectionId) -> Option<proto::DataTrackInfo> {
    lab.client(connection).inbox.iter().rev().find_map(|message| match message {
        Response::PublishDataTrackResponse(response) => response.info.clone(),
        _ => None,
    })
}

fn publish_one(lab: &mut Lab, connection: ConnectionId, handle: u32, name: &str) -> String {
    publish(lab, connection, handle, name);
    published(lab, connection).expect("it is published").sid
}

fn subscribe(lab: &mut Lab, connection: ConnectionId, sid: &str, subscribe: bool) {
    subscribe_at(lab, connection, sid, subscribe, None);
}

fn subscribe_at(
    lab: &mut Lab,
    connection: ConnectionId,
    sid: &str,
    subscribe: bool,
    target_fps: Option<u32>,
) {
    let update = proto::update_data_subscription::Update {
        track_sid: sid.into(),
        subscribe,
        options: target_fps.map(|fps| proto::DataTrackSubscriptionOptions { target_fps: Some(fps) }),
    };
    lab.send(
        connection,
        Request::UpdateDataSubscription(proto::UpdateDataSubscription { updates: vec![update] }),
    );
}

/// The handle by which a client knows a track, by what it was told last.
fn handle(lab: &Lab, connection: ConnectionId, sid: &str) -> Option<u16> {
    let handles = lab.client(connection).inbox.iter().rev().find_map(|message| match message {
        Response::DataTrackSubscriberHandles(handles) => Some(handles.clone()),
        _ => None,
    })?;
    let found = handles.sub_handles.iter().find(|(_, track)| track.track_sid == sid)?;
    u16::try_from(*found.0).ok()
}

/// A frame in one packet.
fn packet(handle: u16, frame: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x18, 0];
    packet.extend(handle.to_be_bytes());
    packet.extend(frame.to_be_bytes());
    packet.extend(frame.to_be_bytes());
    packet.extend(u32::from(frame).to_be_bytes());
    packet.extend(payload);
    packet
}

#[test]
fn frames_reach_subscribers_under_their_own_handles_in_both_forms() {
    for params in [dual(), single()] {
        let mut lab = Lab::new();
        let ada = lab.join_by("ada", params.clone());
        let (bob, carol) = (lab.join_by("bob", params.clone()), lab.join_by("carol", dual()));
        let other = publish_one(&mut lab, bob, 9, "other");
        let sid = publish_one(&mut lab, ada, 700, "temperature");
        assert!(sid.starts_with("DTR_"));
        let told = &lab.client(bob).roster["ada"].data_tracks;
        assert_eq!(
            (told.len(), told[0].sid.as_str(), told[0].name.as_str()),
            (1, sid.as_str(), "temperature")
        );

        subscribe(&mut lab, carol, &other, true);
        subscribe(&mut lab, bob, &sid, true);
        subscribe(&mut lab, carol, &sid, true);
        let (of_bob, of_carol) = (handle(&lab, bob, &sid).unwrap(), handle(&lab, carol, &sid).unwrap());
        assert_ne!(of_carol, handle(&lab, carol, &other).unwrap(), "each track has a handle of its own");
        lab.track_packet(ada, &packet(700, 1, b"21.5"));
        assert_eq!(lab.track_packets(bob), [packet(of_bob, 1, b"21.5")]);
        assert_eq!(lab.track_packets(carol), [packet(of_carol, 1, b"21.5")]);
        assert!(lab.track_packets(ada).is_empty(), "nobody hears itself");

        subscribe(&mut lab, bob, &sid, false);
        lab.clear();
        lab.track_packet(ada, &packet(700, 2, b"21.6"));
        assert_eq!((lab.track_packets(bob).len(), lab.track_packets(carol).len()), (0, 1));
        assert_eq!(lab.room.stats().track_packets, 2);
    }
}

#[test]
fn subscribers_are_told_of_a_track_before_its_handle() {
    let mut lab = Lab::new();
    let bob = lab.join_by("bob", JoinParams { auto_data_tracks: true, ..dual() });
    let ada = lab.join("ada");
    lab.clear();
    let sid = publish_one(&mut lab, ada, 1, "pose");
    let kinds = lab.client(bob).kinds();
    let place = |kind: &str| kinds.iter().position(|each| each == kind);
    assert!(place("Update") < place("DataTrackSubscriberHandles"), "{kinds:?}");
    assert!(handle(&lab, bob, &sid).is_some());
    let late = lab.join_by("late", JoinParams { auto_data_tracks: true, ..single() });
    lab.track_packet(ada, &packet(1, 1, b"x"));
    assert_eq!((lab.track_packets(bob).len(), lab.track_packets(late).len()), (1, 1));
}

#[test]
fn an_ended_track_is_ended_for_everyone() {
    let mut lab = Lab::new();
    let (ada, bob) = (lab.join("ada"), lab.join("bob"));
    let sid = publish_one(&mut lab, ada, 5, "pose");
    subscribe(&mut lab, bob, &sid, true);
    lab.clear();
    lab.send(ada, Request::UnpublishDataTrackRequest(proto::UnpublishDataTrackRequest { pub_handle: 5 }));
    let ended = lab.client(ada).find(|message| match message {
        Response::UnpublishDataTrackResponse(response) => response.info.clone(),
        _ => None,
    });
    assert_eq!(ended.map(|info| info.sid), Some(sid.clone()));
    assert!(lab.client(bob).roster["ada"].data_tracks.is_empty());
    lab.track_packet(ada, &packet(5, 1, b"x"));
    assert!(lab.track_packets(bob).is_empty());
    subscribe(&mut lab, bob, &sid, true);
    let refused = lab.client(bob).find(|message| match message {
        Response::SubscriptionResponse(response) => Some(response.track_sid.clone()),
        _ => None,
    });
    assert_eq!(refused, Some(sid));
    lab.send(ada, Request::UnpublishDataTrackRequest(proto::UnpublishDataTrackRequest { pub_handle: 5 }));
    assert_eq!(lab.client(ada).refusal().unwrap().reason(), Reason::InvalidHandle);
    // The handle and the name are free again.
    publish_one(&mut lab, ada, 5, "pose");
}

#[test]
fn a_publisher_that_leaves_takes_its_tracks_along() {
    let mut lab = Lab::new();
    let (ada, bob) = (lab.join("ada"), lab.join("bob"));
    let sid = publish_one(&mut lab, ada, 5, "pose");
    subscribe(&mut lab, bob, &sid, true);
    lab.send(ada, Request::Leave(proto::LeaveRequest::default()));
    assert!(!lab.client(bob).roster.contains_key("ada"));
    let ada = lab.join("ada");
    assert!(lab.client(bob).roster["ada"].data_tracks.is_empty());
    let again = publish_one(&mut lab, ada, 5, "pose");
    assert_ne!(again, sid);
    lab.track_packet(ada, &packet(5, 1, b"x"));
    assert!(lab.track_packets(bob).is_empty(), "a new track is a new subscription");
}

#[test]
fn what_cannot_be_published_is_refused_with_its_reason() {
    let limits = RoomConfig { data_tracks_per_participant: 2, ..RoomConfig::default() };
    let mut lab = Lab::with(limits);
    let ada = lab.join("ada");
    publish_one(&mut lab, ada, 1, "one");
    let long = "x".repeat(257);
    for (handle, name, reason) in [
        (0, "two", Reason::InvalidHandle),
        (65_536, "two", Reason::InvalidHandle),
        (2, "", Reason::InvalidName),
        (2, long.as_str(), Reason::InvalidName),
        (2, "line\nbreak", Reason::InvalidName),
        (1, "two", Reason::DuplicateHandle),
        (2, "one", Reason::DuplicateName),
    ] {
        lab.clear();
        publish(&mut lab, ada, handle, name);
        let refusal = lab.client(ada).refusal().unwrap();
        assert_eq!(refusal.reason(), reason, "{handle} {name:?}: {}", refusal.message);
        assert!(matches!(
            refusal.request,
            Some(proto::request_response::Request::PublishDataTrack(request)) if request.pub_handle == handle
        ));
    }
    let sid = publish_one(&mut lab, ada, 2, "two");
    lab.clear();
    assert_eq!(publish_one(&mut lab, ada, 2, "two"), sid, "asked again, answered again");
    lab.clear();
    publish(&mut lab, ada, 3, "three");
    assert_eq!(lab.client(ada).refusal().unwrap().reason(), Reason::LimitExceeded);
}

#[test]
fn row_45_who_may_not_send_data_publishes_none_and_a_withdrawn_right_ends_at_once() {
    let mut lab = Lab::new();
    let mute = Permissions { can_publish_data: false, ..Permissions::default() };
    let mallory = lab.join_as(Grants { permissions: mute.clone(), ..Grants::of("mallory") });
    publish(&mut lab, mallory, 1, "noise");
    assert_eq!(lab.client(mallory).refusal().unwrap().reason(), Reason::NotAllowed);

    let (ada, bob) = (lab.join("ada"), lab.join("bob"));
    let sid = publish_one(&mut lab, ada, 1, "pose");
    subscribe(&mut lab, bob, &sid, true);
    lab.permit("ada", &mute);
    lab.track_packet(ada, &packet(1, 1, b"x"));
    assert!(lab.track_packets(bob).is_empty() && lab.client(bob).roster["ada"].data_tracks.is_empty());
    assert!(lab.client(ada).kinds().contains(&"UnpublishDataTrackResponse".to_owned()));
}

#[test]
fn row_45_who_may_not_receive_gets_no_packet_whatever_it_asks_for() {
    let mut lab = Lab::new();
    let deaf = Permissions { can_subscribe: false, ..Permissions::default() };
    let (ada, bob) = (lab.join("ada"), lab.join("bob"));
    let mallory = lab.join_by("mallory", single());
    let sid = publish_one(&mut lab, ada, 1, "pose");
    subscribe(&mut lab, bob, &sid, true);
    subscribe(&mut lab, mallory, &sid, true);
    lab.permit("mallory", &deaf);
    subscribe(&mut lab, mallory, &sid, true);
    lab.track_packet(ada, &packet(1, 1, b"x"));
    assert_eq!((lab.track_packets(bob).len(), lab.track_packets(mallory).len()), (1, 0));

    let hidden = Permissions { hidden: true, ..Permissions::default() };
    let ghost = lab.join_as(Grants { permissions: hidden, ..Grants::of("ghost") });
    let secret = publish_one(&mut lab, ghost, 1, "secret");
    subscribe(&mut lab, bob, &secret, true);
    assert!(handle(&lab, bob, &secret).is_none(), "a hidden publisher stays hidden");
    // Another's handle is not one's own (row 31).
    lab.clear();
    lab.track_packet(mallory, &packet(1, 2, b"forged"));
    assert!(lab.track_packets(bob).is_empty());
}

#[test]
fn row_29_more_packets_than_allowed_are_dropped_and_malformed_ones_too() {
    let track_packets = Rate { burst: 10, per_second: 1 };
    let mut lab = Lab::with(RoomConfig { track_packets, ..RoomConfig::default() });
    let (ada, bob) = (lab.join("ada"), lab.join("bob"));
    let sid = publish_one(&mut lab, ada, 1, "pose");
    subscribe(&mut lab, bob, &sid, true);
    for malformed in [&packet(1, 1, b"")[..11], &[0xff; 40], b""] {
        lab.track_packet(ada, malformed);
    }
    assert!(lab.track_packets(bob).is_empty());
    for frame in 0..100 {
        lab.track_packet(ada, &packet(1, frame, b"x"));
    }
    assert_eq!(lab.track_packets(bob).len(), 7, "the malformed ones count too");
    assert_eq!(lab.client(ada).closed, None);
    assert_eq!(lab.room.stats().data_dropped, 3 + 93);
}

#[test]
fn a_subscriber_that_wants_fewer_frames_gets_whole_ones() {
    let mut lab = Lab::new();
    let (ada, bob) = (lab.join("ada"), lab.join("bob"));
    let sid = publish_one(&mut lab, ada, 1, "pose");
    subscribe_at(&mut lab, bob, &sid, true, Some(10));
    // 50 frames a second, in two packets each, for a second.
    for frame in 0..50 {
        let mut first = packet(1, frame, b"a");
        first[0] = 0x10;
        let mut last = packet(1, frame, b"b");
        last[0] = 0x08;
        lab.track_packet(ada, &first);
        lab.track_packet(ada, &last);
        lab.pass(Duration::from_millis(20));
    }
    let received = lab.track_packets(bob);
    assert_eq!(received.len(), 20, "ten frames of two packets");
    for pair in received.chunks(2) {
        assert_eq!((pair[0][0], pair[1][0]), (0x10, 0x08));
        assert_eq!(pair[0][6..8], pair[1][6..8], "of one frame");
    }
}

#[test]
fn a_client_that_resumes_has_its_subscriptions_and_is_told_of_its_handles() {
    let mut lab = Lab::new();
    let (ada, bob) = (lab.join("ada"), lab.join("bob"));
    let sid = publish_one(&mut lab, ada, 1, "pose");
    subscribe(&mut lab, bob, &sid, true);
    let before = handle(&lab, bob, &sid);
    let bob_sid = lab.sid(bob);
    lab.drop_socket(bob);
    let other = publish_one(&mut lab, ada, 2, "speed");
    let again = lab.resume("bob", &bob_sid);
    assert_eq!(handle(&lab, again, &sid), before);
    let update = |track_sid: &str| proto::update_data_subscription::Update {
        track_sid: track_sid.into(),
        subscribe: true,
        options: None,
    };
    let state = proto::SyncState {
        data_subscription: Some(proto::UpdateDataSubscription {
            updates: vec![update(&sid), update(&other)],
        }),
        ..Default::default()
    };
    lab.send(again, Request::SyncState(state));
    assert_eq!(handle(&lab, again, &sid), before);
    assert!(handle(&lab, again, &other).is_some());
}

#[test]
fn row_41_the_subscriptions_of_one_client_are_bounded() {
    let mut lab = Lab::with(RoomConfig { data_subscriptions_per_participant: 3, ..RoomConfig::default() });
    let (ada, bob) = (lab.join("ada"), lab.join("bob"));
    let sids: Vec<String> = (1..=5).map(|n| publish_one(&mut lab, ada, n, &format!("t{n}"))).collect();
    for sid in &sids {
        subscribe(&mut lab, bob, sid, true);
    }
    assert_eq!(sids.iter().filter(|sid| handle(&lab, bob, sid).is_some()).count(), 3);
    subscribe(&mut lab, bob, &sids[0], false);
    subscribe(&mut lab, bob, &sids[4], true);
    assert!(handle(&lab, bob, &sids[4]).is_some());
}
