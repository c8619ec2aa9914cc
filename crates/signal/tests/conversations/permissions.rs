// SPDX-License-Identifier: EUPL-1.2
//! Who may do what.

use std::time::Duration;

use livekit_protocol as proto;
use livekit_protocol::TrackSource;
use livekit_protocol::request_response::Reason;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message as Response;
use parvis_meeting::{Kind, Permissions};
use parvis_signal::{ConnectionId, ControlError, Grants, JoinParams};

use crate::lab::*;

#[test]
fn row_45_a_source_beyond_the_grant_is_not_published() {
    use parvis_meeting::TrackSource as Source;
    let all = [
        TrackSource::Camera,
        TrackSource::Microphone,
        TrackSource::ScreenShare,
        TrackSource::ScreenShareAudio,
        TrackSource::Unknown,
    ];
    let none = Permissions { can_publish: false, ..Permissions::default() };
    let only_mic = Permissions { can_publish_sources: [Source::Microphone].into(), ..Permissions::default() };
    let sources_without_right = Permissions { can_publish: false, ..only_mic.clone() };
    for (permissions, allowed) in [
        (Permissions::default(), all.to_vec()),
        (none, vec![]),
        (only_mic, vec![TrackSource::Microphone]),
        (sources_without_right, vec![]),
    ] {
        let mut lab = Lab::new();
        let ada = lab.join_as(Grants { permissions: permissions.clone(), ..Grants::of("ada") });
        for source in all {
            lab.clear();
            lab.send(ada, Request::AddTrack(track(source.as_str_name(), source)));
            let published = lab.published_sid(ada, source.as_str_name()).is_some();
            assert_eq!(published, allowed.contains(&source), "{source:?} with {permissions:?}");
            let refused = lab.client(ada).refusal().map(|refusal| refusal.reason());
            assert_eq!(refused, (!published).then_some(Reason::NotAllowed));
        }
        assert_eq!(lab.forwarder.tracks.len(), allowed.len());
    }
}

#[test]
fn row_45_who_may_not_subscribe_receives_nothing_even_on_request() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    let cam = lab.publish(ada, "cam", TrackSource::Camera);
    let permissions = Permissions { can_subscribe: false, ..Permissions::default() };
    let bob = lab.join_as(Grants { permissions, ..Grants::of("bob") });
    let joined = lab
        .client(bob)
        .find(|m| if let Response::Join(join) = m { Some(join.subscriber_primary) } else { None });
    assert_eq!(joined, Some(false), "its publisher connection is the primary one");
    assert_eq!(lab.peers(bob).len(), 1);
    assert_eq!(lab.client(bob).own.as_ref().unwrap().state(), proto::participant_info::State::Active);
    let update = proto::UpdateSubscription { track_sids: vec![cam], subscribe: true, ..Default::default() };
    lab.send(bob, Request::Subscription(update));
    assert!(lab.forwarder.subscriptions.is_empty());
}

#[test]
fn row_31_only_the_own_tracks_are_muted_described_or_extended() {
    let mut lab = Lab::new();
    let (ada, bob) = (lab.join("ada"), lab.join("bob"));
    let mic = lab.publish(ada, "mic", TrackSource::Microphone);
    let cam = lab.publish(ada, "cam", TrackSource::Camera);
    let before = lab.client(bob).roster["ada"].clone();
    lab.clear();
    let features = vec![proto::AudioTrackFeature::TfStereo.into()];
    for request in [
        Request::Mute(proto::MuteTrackRequest { sid: mic.clone(), muted: true }),
        Request::UpdateAudioTrack(proto::UpdateLocalAudioTrack {
            track_sid: mic.clone(),
            features: features.clone(),
        }),
        Request::UpdateVideoTrack(proto::UpdateLocalVideoTrack {
            track_sid: cam.clone(),
            width: 1,
            height: 1,
        }),
    ] {
        lab.send(bob, request);
        assert_eq!(lab.client(bob).refusal().unwrap().reason(), Reason::NotFound);
        lab.clear();
    }
    assert!(lab.forwarder.commands.is_empty());
    assert_eq!(lab.client(bob).roster["ada"], before);

    lab.send(
        ada,
        Request::UpdateAudioTrack(proto::UpdateLocalAudioTrack {
            track_sid: mic,
            features: features.clone(),
        }),
    );
    lab.send(
        ada,
        Request::UpdateVideoTrack(proto::UpdateLocalVideoTrack { track_sid: cam, width: 64, height: 48 }),
    );
    let tracks = &lab.client(bob).roster["ada"].tracks;
    assert_eq!((&tracks[0].audio_features, tracks[1].width), (&features, 64));
}

#[test]
fn row_45_a_publishers_rules_hold_for_tracks_that_are_there_and_for_those_that_come() {
    let mut lab = Lab::new();
    let (ada, bob, carol) = (lab.join("ada"), lab.join("bob"), lab.join("carol"));
    let cam = lab.publish(ada, "cam", TrackSource::Camera);
    let receivers = |lab: &Lab| lab.forwarder.subscriptions.values().map(|s| s.0).collect::<Vec<_>>();
    assert_eq!(receivers(&lab).len(), 2);
    lab.clear();
    let rule =
        proto::TrackPermission { participant_identity: "bob".into(), all_tracks: true, ..Default::default() };
    let permission = proto::SubscriptionPermission { all_participants: false, track_permissions: vec![rule] };
    lab.send(ada, Request::SubscriptionPermission(permission));
    assert_eq!(receivers(&lab), [lab.primary(bob)]);
    let told = proto::SubscriptionPermissionUpdate {
        participant_sid: lab.sid(ada),
        track_sid: cam.clone(),
        allowed: false,
    };
    assert_eq!(lab.client(carol).inbox, [Response::SubscriptionPermissionUpdate(told)]);
    assert!(lab.client(bob).inbox.is_empty());

    lab.publish(ada, "screen", TrackSource::ScreenShare);
    let update = proto::UpdateSubscription { track_sids: vec![cam], subscribe: true, ..Default::default() };
    lab.send(carol, Request::Subscription(update));
    assert_eq!(receivers(&lab), [lab.primary(bob), lab.primary(bob)]);
    let open = proto::SubscriptionPermission { all_participants: true, ..Default::default() };
    lab.send(ada, Request::SubscriptionPermission(open));
    assert_eq!(receivers(&lab).len(), 4);

    let theirs = proto::SubscriptionPermission::default();
    lab.send(bob, Request::SubscriptionPermission(theirs));
    assert_eq!(receivers(&lab).len(), 4, "rules are for the own tracks");
}

/// Which tracks a client was told that it may have, or may not.
fn allowed(lab: &Lab, connection: ConnectionId) -> Vec<(String, bool)> {
    let update = |message: &Response| match message {
        Response::SubscriptionPermissionUpdate(update) => Some((update.track_sid.clone(), update.allowed)),
        _ => None,
    };
    lab.client(connection).inbox.iter().filter_map(update).collect()
}

#[test]
fn whoever_comes_later_is_told_of_tracks_that_are_kept_from_it_and_when_they_no_longer_are() {
    for params in [dual(), single()] {
        let mut lab = Lab::new();
        let ada = lab.join("ada");
        let nobody = proto::SubscriptionPermission::default();
        lab.send(ada, Request::SubscriptionPermission(nobody));
        let cam = lab.publish(ada, "cam", TrackSource::Camera);

        let bob = lab.connect(Grants::of("bob"), params.clone());
        lab.bring_up(bob);
        assert_eq!(allowed(&lab, bob), [(cam.clone(), false)]);
        // A client looks the track up: it has to know of it before.
        let inbox = &lab.client(bob).inbox;
        let place = |wanted: fn(&Response) -> bool| inbox.iter().position(wanted).unwrap();
        let told = place(|message| matches!(message, Response::SubscriptionPermissionUpdate(_)));
        assert!(place(|message| matches!(message, Response::Join(_))) < told);

        lab.clear();
        let screen = lab.publish(ada, "screen", TrackSource::ScreenShare);
        assert_eq!(allowed(&lab, bob), [(screen.clone(), false)]);
        let inbox = &lab.client(bob).inbox;
        let knows = |message: &Response| match message {
            Response::Update(update) => update.participants.iter().any(|p| p.tracks.len() == 2),
            _ => false,
        };
        let known = inbox.iter().position(knows).unwrap();
        let told = inbox.iter().position(|m| matches!(m, Response::SubscriptionPermissionUpdate(_))).unwrap();
        assert!(known < told, "{inbox:?}");

        lab.clear();
        let open = proto::SubscriptionPermission { all_participants: true, ..Default::default() };
        lab.send(ada, Request::SubscriptionPermission(open));
        let mut told = allowed(&lab, bob);
        told.sort();
        let mut expected = [(cam, true), (screen, true)];
        expected.sort();
        assert_eq!(told, expected);
    }
}

#[test]
fn whoever_wants_nothing_by_itself_is_told_when_it_asks_for_a_track_that_is_kept_from_it() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    let bob = lab.connect(Grants::of("bob"), JoinParams { auto_subscribe: false, ..dual() });
    lab.bring_up(bob);
    lab.send(ada, Request::SubscriptionPermission(proto::SubscriptionPermission::default()));
    let ask = |track: &str, subscribe: bool| {
        let track_sids = vec![track.to_owned()];
        Request::Subscription(proto::UpdateSubscription { track_sids, subscribe, ..Default::default() })
    };
    let cam = lab.publish(ada, "cam", TrackSource::Camera);
    assert_eq!(allowed(&lab, bob), []);
    lab.send(bob, ask(&cam, true));
    assert_eq!(allowed(&lab, bob), [(cam.clone(), false)]);
    lab.clear();
    lab.send(bob, ask(&cam, false));
    lab.send(bob, ask(&cam, true));
    assert_eq!(allowed(&lab, bob), [], "it knows");
}

#[test]
fn a_profile_is_changed_by_those_who_may_and_within_the_limits() {
    let mut lab = Lab::new();
    let permissions = Permissions { can_update_profile: true, ..Permissions::default() };
    let ada = lab.join_as(Grants { permissions, ..Grants::of("ada") });
    let bob = lab.join("bob");
    let update = |name: &str, metadata: &str, attributes: &[(&str, &str)]| {
        Request::UpdateMetadata(proto::UpdateParticipantMetadata {
            name: name.into(),
            metadata: metadata.into(),
            attributes: attributes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            request_id: 7,
        })
    };
    let answer = |lab: &Lab, of| lab.client(of).refusal().map(|r| (r.request_id, r.reason()));
    lab.clear();
    lab.send(ada, update("Ada\u{2066}", "m", &[("a", "1"), ("b", "2")]));
    assert_eq!(answer(&lab, ada), Some((7, Reason::Ok)));
    lab.send(ada, update("", "", &[("a", "")]));
    let info = lab.client(bob).roster["ada"].clone();
    assert_eq!((info.name.as_str(), info.metadata.as_str()), ("Ada", "m"));
    assert_eq!(info.attributes.into_iter().collect::<Vec<_>>(), [("b".to_owned(), "2".to_owned())]);

    lab.clear();
    lab.send(bob, update("Ada", "", &[]));
    assert_eq!(answer(&lab, bob), Some((7, Reason::NotAllowed)));
    for (name, metadata, value) in [
        ("x".repeat(257), String::new(), String::new()),
        (String::new(), "x".repeat(65_537), String::new()),
        (String::new(), String::new(), "x".repeat(65_536)),
    ] {
        lab.clear();
        lab.send(ada, update(&name, &metadata, &[("k", &value)]));
        assert_eq!(answer(&lab, ada), Some((7, Reason::LimitExceeded)), "row 41");
        assert!(lab.client(bob).inbox.is_empty());
    }
}

#[test]
fn row_45_a_hidden_participant_sees_and_is_not_seen() {
    let mut lab = Lab::new();
    let bob = lab.join("bob");
    let cam = lab.publish(bob, "cam", TrackSource::Camera);
    let permissions = Permissions { hidden: true, ..Permissions::default() };
    let ghost = lab.join_as(Grants { permissions, ..Grants::of("ghost") });
    assert!(lab.client(ghost).roster.contains_key("bob"));
    assert_eq!(lab.client(ghost).own.as_ref().unwrap().state(), proto::participant_info::State::Active);
    assert_eq!(lab.forwarder.subscriptions.values().map(|s| s.0).collect::<Vec<_>>(), [lab.primary(ghost)]);
    let secret = lab.publish(ghost, "mic", TrackSource::Microphone);
    assert_eq!(lab.forwarder.subscriptions.len(), 1, "nobody receives it");
    let update =
        proto::UpdateSubscription { track_sids: vec![secret, cam], subscribe: true, ..Default::default() };
    lab.send(bob, Request::Subscription(update));
    assert_eq!(lab.forwarder.subscriptions.len(), 1);
    let carol = lab.join("carol");
    lab.drop_socket(ghost);
    lab.pass(Duration::from_secs(21));
    assert_eq!(lab.room.sessions(), 2);
    for client in [bob, carol] {
        assert!(!lab.client(client).roster.contains_key("ghost"));
        let names_it = |m: &Response| {
            matches!(m, Response::Update(_) | Response::Join(_)) && format!("{m:?}").contains("ghost")
        };
        assert!(!lab.client(client).inbox.iter().any(names_it));
    }
}

#[test]
fn a_recording_alone_keeps_no_room_open() {
    let mut lab = Lab::new();
    let permissions = Permissions { recorder: true, hidden: true, ..Permissions::default() };
    let recorder = lab.join_as(Grants { permissions, kind: Kind::Egress, ..Grants::of("recorder") });
    let ada = lab.join("ada");
    let join = lab.client(ada).find(|m| if let Response::Join(join) = m { join.room.clone() } else { None });
    assert!(join.unwrap().active_recording, "people are told that they are recorded");
    lab.send(ada, Request::Leave(proto::LeaveRequest::default()));
    lab.pass(Duration::from_secs(20));
    assert_eq!(lab.client(recorder).leave().unwrap().reason(), proto::DisconnectReason::RoomClosed);
    assert!(lab.ended);
}

#[test]
fn someone_who_is_removed_is_told_and_gone_at_once() {
    let mut lab = Lab::new();
    let (ada, bob) = (lab.join("ada"), lab.join("bob"));
    lab.publish(bob, "cam", TrackSource::Camera);
    lab.remove("bob").unwrap();
    assert_eq!(lab.client(bob).leave().unwrap().reason(), proto::DisconnectReason::ParticipantRemoved);
    assert!(lab.forwarder.tracks.is_empty() && lab.forwarder.peers.len() == 2);
    assert!(!lab.client(ada).roster.contains_key("bob"));
    assert_eq!(lab.remove("bob"), Err(ControlError::NoParticipant("bob".to_owned())));
}

#[test]
fn row_45_a_change_of_permissions_takes_effect_at_once() {
    let mut lab = Lab::new();
    let deaf = Permissions { can_subscribe: false, ..Permissions::default() };
    let (ada, bob) =
        (lab.join("ada"), lab.join_as(Grants { permissions: deaf.clone(), ..Grants::of("bob") }));
    lab.publish(ada, "cam", TrackSource::Camera);
    lab.publish(ada, "mic", TrackSource::Microphone);
    assert!(lab.forwarder.subscriptions.is_empty());
    lab.clear();
    lab.permit("bob", &Permissions::default());
    assert_eq!(lab.forwarder.subscriptions.len(), 2);
    let offered = lab.client(bob).kinds().contains(&"Offer".to_owned());
    assert!(offered, "it gets the connection to receive on");
    lab.permit("bob", &deaf);
    let mute = Permissions { can_publish: false, can_publish_data: false, ..Permissions::default() };
    lab.permit("ada", &mute);
    assert!(lab.forwarder.subscriptions.is_empty() && lab.forwarder.tracks.is_empty());
    let unpublished =
        lab.client(ada).inbox.iter().filter(|m| matches!(m, Response::TrackUnpublished(_))).count();
    assert_eq!(unpublished, 2);
    let seen = lab.client(bob).roster["ada"].clone();
    assert!(seen.tracks.is_empty() && !seen.permission.unwrap().can_publish);
    lab.data(ada, parvis_sfu::DataChannel::Reliable, &message("hello", 1));
    assert!(lab.received(bob).is_empty());
}
