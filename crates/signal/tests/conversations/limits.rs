// SPDX-License-Identifier: EUPL-1.2
//! What a client can't do to others, however hard it tries.

use std::time::Duration;

use livekit_protocol as proto;
use livekit_protocol::TrackSource;
use livekit_protocol::request_response::Reason;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message as Response;
use parvis_meeting::Limits;
use parvis_signal::RoomConfig;
use proptest::prelude::*;

use crate::lab::*;

#[test]
fn row_28_a_message_beyond_the_limit_closes_its_socket_alone() {
    let mut lab = Lab::new();
    let (ada, bob) = (lab.join("ada"), lab.join("bob"));
    let bytes = vec![0; 2 * 1024 * 1024 + 1];
    lab.room.message(lab.now, ada, &bytes);
    lab.pump();
    assert_eq!(lab.client(ada).closed.as_ref().unwrap().0, 1009);
    assert_eq!(lab.client(bob).closed, None);
    assert!(lab.client(bob).roster.contains_key("ada"), "it may come back");
}

#[test]
fn row_30_a_malformed_message_closes_its_socket_alone_and_the_session_may_be_resumed() {
    let mut lab = Lab::new();
    let (ada, bob) = (lab.join("ada"), lab.join("bob"));
    let sid = lab.sid(ada);
    lab.clear();
    lab.room.message(lab.now, ada, &[0x0a, 0xff, 0xff]);
    lab.pump();
    let (code, reason) = lab.client(ada).closed.clone().unwrap();
    assert!(code == 1007 && reason.starts_with("not a SignalRequest") && reason.len() <= 123, "{reason}");
    assert!(lab.client(bob).inbox.is_empty());
    let again = lab.resume("ada", &sid);
    assert_eq!(lab.client(again).kinds()[0], "Reconnect");
    lab.room.text(lab.now, again, "{not json");
    lab.pump();
    assert_eq!(lab.client(again).closed.as_ref().unwrap().0, 1007);
    assert_eq!(lab.room.stats().malformed, 2);
}

#[test]
fn row_29_a_flood_ends_its_sender_and_nobody_else() {
    let mut lab = Lab::new();
    let (ada, bob) = (lab.join("ada"), lab.join("bob"));
    for _ in 0..1000 {
        lab.send(ada, Request::Ping(1));
    }
    assert_eq!(lab.client(ada).closed, None, "a burst is fine");
    for _ in 0..100 {
        lab.send(ada, Request::Ping(1));
    }
    assert_eq!(lab.client(ada).closed.as_ref().unwrap().0, 1008);
    assert!(!lab.client(bob).roster.contains_key("ada"));
    assert_eq!(lab.room.stats().floods, 1);
    lab.send(bob, Request::Ping(1));
    assert!(matches!(lab.client(bob).inbox.last(), Some(Response::Pong(_))));
}

#[test]
fn row_29_what_costs_others_more_is_cut_off_sooner() {
    let mut lab = Lab::new();
    let (ada, bob) = (lab.join("ada"), lab.join("bob"));
    let mic = lab.publish(ada, "mic", TrackSource::Microphone);
    lab.clear();
    let mut muted = false;
    for _ in 0..1000 {
        muted = !muted;
        lab.send(ada, Request::Mute(proto::MuteTrackRequest { sid: mic.clone(), muted }));
    }
    assert!(lab.client(ada).closed.is_some());
    let updates = lab.client(bob).inbox.len();
    assert!((250..400).contains(&updates), "{updates}");

    let mut lab = Lab::new();
    let ada = lab.join("ada");
    let track_sids = (0..20_000).map(|i| format!("TR_{i}")).collect();
    lab.send(
        ada,
        Request::Subscription(proto::UpdateSubscription {
            track_sids,
            subscribe: true,
            ..Default::default()
        }),
    );
    assert!(lab.client(ada).closed.is_some(), "a list is as many requests");
}

#[test]
fn a_steady_client_is_never_cut_off() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    for _ in 0..6000 {
        lab.send(ada, Request::Ping(1));
        lab.pass(Duration::from_millis(10));
    }
    assert_eq!(lab.client(ada).closed, None);
}

#[test]
fn row_41_one_participant_publishes_a_bounded_number_of_tracks() {
    let limits = Limits { tracks_per_participant: 3, ..Limits::default() };
    let mut lab = Lab::with(RoomConfig { meeting: limits.into(), ..RoomConfig::default() });
    let ada = lab.join("ada");
    for i in 0..5 {
        lab.send(ada, Request::AddTrack(track(&format!("mic{i}"), TrackSource::Microphone)));
    }
    assert_eq!(lab.forwarder.tracks.len(), 3);
    assert_eq!(lab.client(ada).refusal().unwrap().reason(), Reason::LimitExceeded);
}

#[test]
fn a_description_beyond_the_limit_ends_its_session() {
    let mut lab = Lab::new();
    let (ada, bob) = (lab.join("ada"), lab.join("bob"));
    let sdp = "x".repeat(1024 * 1024 + 1);
    lab.send(ada, Request::Offer(proto::SessionDescription { sdp, ..Default::default() }));
    assert_eq!(lab.client(ada).closed.as_ref().unwrap().0, 1008);
    assert_eq!(lab.client(bob).closed, None);
}

#[test]
fn what_a_newer_client_asks_is_ignored_and_what_it_says_besides_too() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    lab.clear();
    lab.room.message(lab.now, ada, &[0xa2, 0x06, 0x02, 1, 2]);
    lab.pump();
    assert!(lab.client(ada).inbox.is_empty() && lab.client(ada).closed.is_none());
    assert_eq!(lab.room.stats().requests_unknown, 1);
    // A ping, a field of it that is not known, and one beside it.
    let ping = [0x82, 0x01, 0x05, 0x08, 0x01, 0xa2, 0x06, 0x00, 0xa2, 0x06, 0x01, 7];
    lab.room.message(lab.now, ada, &ping);
    lab.pump();
    assert!(matches!(lab.client(ada).inbox[..], [Response::PongResp(pong)] if pong.last_ping_timestamp == 1));
}

#[test]
fn messages_of_a_socket_that_has_no_session_are_nobodys() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    lab.drop_socket(ada);
    lab.clear();
    lab.send(ada, Request::Ping(1));
    lab.drop_socket(ada);
    assert!(lab.client(ada).inbox.is_empty());
    assert_eq!(lab.room.sessions(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn row_30_no_bytes_disturb_another_client(
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..30),
        text in ".{0,200}",
    ) {
        let mut lab = Lab::new();
        let ada = lab.join("ada");
        let bob = lab.join("bob");
        let peer = lab.publisher(ada);
        for bytes in messages {
            lab.room.message(lab.now, ada, &bytes);
            let copy = bytes.clone();
            let payload = bytes.into();
            lab.event(parvis_sfu::Event::Data { peer, channel: parvis_sfu::DataChannel::Reliable, payload });
            let payload = bytes::Bytes::from(copy);
            lab.event(parvis_sfu::Event::Data { peer, channel: parvis_sfu::DataChannel::DataTrack, payload });
        }
        lab.room.text(lab.now, ada, &text);
        lab.pump();
        lab.clear();
        lab.send(bob, Request::Ping(1));
        prop_assert!(matches!(lab.client(bob).inbox[..], [Response::Pong(_)]));
        prop_assert!(lab.client(bob).closed.is_none());
    }
}
