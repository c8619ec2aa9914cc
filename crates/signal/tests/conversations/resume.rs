// SPDX-License-Identifier: EUPL-1.2
//! Sockets that drop, and clients that come back.

use std::time::Duration;

use livekit_protocol as proto;
use livekit_protocol::leave_request::Action;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message as Response;
use livekit_protocol::{DisconnectReason, TrackSource};
use parvis_sfu::{Command, DataChannel, Event};
use parvis_signal::{ConnectionId, Grants, JoinParams, Resume, RoomConfig};

use crate::lab::*;

fn last_seq(lab: &Lab, connection: ConnectionId) -> Option<u32> {
    lab.client(connection)
        .find(|m| if let Response::Reconnect(r) = m { Some(r.last_message_seq) } else { None })
}

#[test]
fn a_dropped_socket_resumes_with_everything_as_it_was() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    let bob = lab.join("bob");
    let cam = lab.publish(ada, "cam", TrackSource::Camera);
    let sid = lab.sid(ada);
    lab.data(ada, DataChannel::Reliable, &message("one", 41));
    lab.pass(Duration::from_secs(2));
    let (tracks, subscriptions) = (lab.forwarder.tracks.clone(), lab.forwarder.subscriptions.len());
    lab.clear();
    lab.drop_socket(ada);
    lab.pass(Duration::from_secs(5));
    assert!(lab.client(bob).kinds().is_empty(), "nobody notices");

    let carol = lab.join("carol");
    lab.clear();
    let again = lab.resume("ada", &sid);
    let kinds = lab.client(again).kinds();
    assert_eq!(kinds[0], "Reconnect", "{kinds:?}");
    assert_eq!(last_seq(&lab, again), Some(41));
    assert!(kinds.contains(&"RoomUpdate".to_owned()) && kinds.contains(&"Offer".to_owned()), "{kinds:?}");
    assert_eq!(lab.client(again).roster.keys().collect::<Vec<_>>(), ["bob", "carol"]);
    assert_eq!(lab.client(again).own.as_ref().unwrap().tracks[0].sid, cam);
    let restarted =
        lab.forwarder.commands.iter().any(|c| *c == Command::RestartIce { peer: lab.primary(again) });
    assert!(restarted, "the subscriber connection looks for a path anew");
    assert_eq!(
        lab.forwarder.tracks.keys().collect::<Vec<_>>(),
        tracks.keys().collect::<Vec<_>>(),
        "no re-publish"
    );
    assert_eq!(lab.forwarder.subscriptions.len(), subscriptions + 1, "carol's is the only new one");
    assert_eq!(lab.client(carol).roster["ada"].sid, sid);
    lab.pass(Duration::from_secs(30));
    assert_eq!(lab.client(again).closed, None, "it waits no longer");
    assert_eq!(lab.room.stats().resumes, 1);
}

#[test]
fn a_session_ends_when_its_client_does_not_come_back() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    let bob = lab.join("bob");
    let sid = lab.sid(ada);
    lab.drop_socket(ada);
    lab.pass(Duration::from_secs(19));
    assert!(lab.client(bob).roster.contains_key("ada"));
    lab.pass(Duration::from_secs(1));
    assert!(!lab.client(bob).roster.contains_key("ada"));
    assert_eq!(lab.forwarder.peers.len(), 2);

    let late = lab.resume("ada", &sid);
    let leave = lab.client(late).leave().unwrap();
    assert_eq!((leave.action(), leave.reason()), (Action::Reconnect, DisconnectReason::StateMismatch));
    assert!(leave.can_reconnect && lab.client(late).closed.is_some());
    assert_eq!(lab.client(late).kinds(), ["Leave"]);
    let anew = lab.join("ada");
    assert_ne!(lab.sid(anew), sid);
}

#[test]
fn a_client_that_comes_back_before_its_old_socket_is_known_to_be_gone_takes_over() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    let sid = lab.sid(ada);
    let again = lab.resume("ada", &sid);
    assert_eq!(lab.client(ada).closed.as_ref().unwrap().0, 1001);
    assert_eq!(lab.client(ada).leave(), None, "a leave would end the session in the client");
    lab.drop_socket(ada);
    lab.pass(Duration::from_secs(40));
    lab.send(again, Request::Ping(1));
    assert!(matches!(lab.client(again).inbox.last(), Some(Response::Pong(_))));
}

#[test]
fn row_31_a_sid_without_the_identity_is_no_right_to_resume() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    let sid = lab.sid(ada);
    let mallory = lab.resume("mallory", &sid);
    assert_eq!(lab.client(mallory).leave().unwrap().reason(), DisconnectReason::StateMismatch);
    assert_eq!(lab.client(ada).closed, None);
    lab.send(mallory, Request::Leave(proto::LeaveRequest::default()));
    assert_eq!(lab.room.sessions(), 1, "what it says after that is nobody's");
}

#[test]
fn who_left_meanwhile_is_told_as_gone() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    let bob = lab.join("bob");
    let carol = lab.join("carol");
    let sid = lab.sid(ada);
    lab.drop_socket(ada);
    lab.send(bob, Request::Leave(proto::LeaveRequest::default()));
    lab.send(carol, Request::Leave(proto::LeaveRequest::default()));
    let carol = lab.join("carol");
    let roster = lab.client(ada).roster.clone();
    let again = lab.resume("ada", &sid);
    let mut kept = roster;
    for update in lab
        .client(again)
        .inbox
        .iter()
        .filter_map(|m| if let Response::Update(u) = m { Some(u) } else { None })
    {
        for info in update.participants.iter().filter(|info| info.identity != "ada") {
            match info.state() {
                proto::participant_info::State::Disconnected => kept.remove(&info.identity),
                _ => kept.insert(info.identity.clone(), info.clone()),
            };
        }
    }
    assert_eq!(kept.len(), 1);
    assert_eq!(kept["carol"].sid, lab.sid(carol));
}

#[test]
fn a_client_that_missed_more_than_is_kept_has_to_start_over() {
    let mut lab = Lab::with(RoomConfig { missed_departures: 2, ..RoomConfig::default() });
    let ada = lab.join("ada");
    let sid = lab.sid(ada);
    lab.drop_socket(ada);
    for i in 0..3 {
        let other = lab.join(&format!("other{i}"));
        lab.send(other, Request::Leave(proto::LeaveRequest::default()));
    }
    let again = lab.resume("ada", &sid);
    assert_eq!(lab.client(again).leave().unwrap().action(), Action::Reconnect);
    lab.join("ada");
    assert_eq!(lab.room.sessions(), 1);
}

#[test]
fn messages_that_came_while_the_network_was_away_arrive_once_and_in_order() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    let bob = lab.join("bob");
    let bob_sid = lab.sid(bob);
    let peer = lab.primary(bob);
    lab.data(ada, DataChannel::Reliable, &message("1", 1));
    lab.data(ada, DataChannel::Reliable, &message("2", 2));
    lab.drop_socket(bob);
    lab.event(Event::PeerDisconnected { peer });
    lab.data(ada, DataChannel::Reliable, &message("3", 3));
    lab.data(ada, DataChannel::Lossy, &message("lost", 0));
    let texts =
        |lab: &Lab, of| lab.received(of).iter().map(|(_, packet)| text_of(packet)).collect::<Vec<_>>();
    assert_eq!(texts(&lab, bob), ["1", "2"], "nothing is sent into the void");

    lab.clear();
    let again = lab.resume("bob", &bob_sid);
    lab.event(Event::PeerResumed { peer });
    assert_eq!(texts(&lab, again), ["3"]);
    let state = proto::DataChannelReceiveState { publisher_sid: lab.sid(ada), last_seq: 1 };
    lab.clear();
    lab.send(
        again,
        Request::SyncState(proto::SyncState {
            datachannel_receive_states: vec![state],
            ..Default::default()
        }),
    );
    assert_eq!(texts(&lab, again), ["2", "3"], "it says that it has the first only");
    lab.clear();
    lab.send(again, Request::SyncState(proto::SyncState::default()));
    assert_eq!(texts(&lab, again), [""; 0], "a client that does not count gets nothing twice");
}

#[test]
fn messages_that_the_sender_repeats_after_its_resume_are_passed_on_once() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    let bob = lab.join("bob");
    for sequence in [1, 2, 1, 2, 3] {
        lab.data(ada, DataChannel::Reliable, &message(&sequence.to_string(), sequence));
    }
    let texts: Vec<String> = lab.received(bob).iter().map(|(_, packet)| text_of(packet)).collect();
    assert_eq!(texts, ["1", "2", "3"]);
}

#[test]
fn wishes_are_synchronised_on_resume() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    let bob = lab.join("bob");
    let cam = lab.publish(ada, "cam", TrackSource::Camera);
    let screen = lab.publish(ada, "screen", TrackSource::ScreenShare);
    let sid = lab.sid(bob);
    lab.drop_socket(bob);
    let again = lab.resume("bob", &sid);
    lab.clear();
    let unwanted =
        proto::UpdateSubscription { track_sids: vec![cam], subscribe: false, ..Default::default() };
    let state = proto::SyncState {
        subscription: Some(unwanted),
        track_sids_disabled: vec![screen],
        ..Default::default()
    };
    lab.send(again, Request::SyncState(state));
    assert_eq!(lab.forwarder.subscriptions.len(), 1);
    assert!(lab.forwarder.commands.iter().any(|command| match command {
        Command::ConfigureSubscription { settings, .. } => !settings.enabled,
        _ => false,
    }));
}

#[test]
fn one_peer_connection_resumes_with_the_offer_and_the_state_in_its_url() {
    let mut lab = Lab::new();
    let ada = lab.connect(Grants::of("ada"), single());
    lab.bring_up(ada);
    let sid = lab.sid(ada);
    lab.drop_socket(ada);
    let peer = lab.primary(ada);
    lab.event(Event::MediaSectionsRequired { peer, audios: 1, videos: 1 });
    let offer =
        proto::SessionDescription { r#type: "offer".into(), sdp: "v=0".into(), id: 9, ..Default::default() };
    let resume = Resume { participant_sid: sid.clone(), sync_state: Some(proto::SyncState::default()) };
    let params = JoinParams { resume: Some(resume), publisher_offer: Some(offer), ..single() };
    let again = lab.connect(Grants::of("ada"), params);
    let kinds = lab.client(again).kinds();
    assert_eq!(kinds[0], "Reconnect");
    assert!(
        kinds.contains(&"Answer".to_owned()) && kinds.contains(&"MediaSectionsRequirement".to_owned()),
        "{kinds:?}"
    );

    let other_form = lab.resume("ada", &sid);
    assert_eq!(
        lab.client(other_form).leave().unwrap().action(),
        Action::Reconnect,
        "a session keeps its form"
    );
}

#[test]
fn a_socket_that_says_nothing_is_taken_for_gone() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    let sid = lab.sid(ada);
    lab.pass(Duration::from_secs(59));
    assert_eq!(lab.client(ada).closed, None);
    lab.pass(Duration::from_secs(1));
    assert!(lab.client(ada).closed.is_some());
    let again = lab.resume("ada", &sid);
    assert!(last_seq(&lab, again).is_some(), "its session waits");
}
