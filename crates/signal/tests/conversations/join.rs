// SPDX-License-Identifier: EUPL-1.2
//! Joins in both forms, ways of leaving, duplicate identities, tokens, timeouts.

use std::time::Duration;

use livekit_protocol as proto;
use livekit_protocol::leave_request::Action;
use livekit_protocol::participant_info::State;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message as Response;
use livekit_protocol::{ConnectionQuality, DisconnectReason};
use parvis_meeting::{Limits, MeetingError, Permissions};
use parvis_peer::FailReason;
use parvis_sfu::{Command, Event, PeerRole, QualityReport, RoomId};
use parvis_signal::{Beside, ConnectError, Control, Grants, JoinParams, Resume, RoomConfig};

use crate::lab::*;

#[test]
fn the_join_response_says_all_that_a_client_needs() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    lab.publish(ada, "cam", proto::TrackSource::Camera);
    let grants = Grants { name: "Bob\u{202e}".into(), metadata: "{}".into(), ..Grants::of("bob") };
    let bob = lab.connect(grants, dual());
    let client = lab.client(bob);
    assert_eq!(client.kinds()[0], "Join", "the join response comes before all else");
    let join = client.find(|m| if let Response::Join(join) = m { Some(join.clone()) } else { None }).unwrap();
    let room = join.room.unwrap();
    assert!(room.sid.starts_with("RM_") && room.name == "atelier");
    assert_eq!((room.num_participants, room.num_publishers, room.creation_time_ms), (2, 1, START_UNIX_MS));
    let own = join.participant.unwrap();
    assert!(own.sid.starts_with("PA_"));
    assert_eq!((own.identity.as_str(), own.name.as_str(), own.metadata.as_str()), ("bob", "Bob", "{}"));
    assert_eq!(own.state(), State::Joined);
    assert_eq!(join.other_participants.len(), 1);
    assert_eq!(join.other_participants[0].identity, "ada");
    assert_eq!(join.other_participants[0].tracks.len(), 1);
    assert_eq!((join.ping_interval, join.ping_timeout), (5, 15));
    let server = join.server_info.unwrap();
    assert_eq!((server.version.as_str(), server.protocol), ("1.13.0", 17));
    assert!(server.debug_info.starts_with("Parvis "));
    assert!(join.subscriber_primary && join.fast_publish);
    assert!(join.enabled_publish_codecs.iter().any(|codec| codec.mime == "video/VP8"));
    assert!(join.ice_servers.is_empty());
    assert_eq!(join.sif_trailer.len(), 16);
    let permission = own.permission.unwrap();
    assert!(permission.can_publish && permission.can_subscribe && !permission.can_update_metadata);
}

#[test]
fn two_peer_connections_come_up_and_the_subscribers_state_is_the_participants() {
    let mut lab = Lab::new();
    let ada = lab.connect(Grants::of("ada"), dual());
    let roles: Vec<PeerRole> = lab.peers(ada).iter().map(|peer| lab.forwarder.peers[peer]).collect();
    assert_eq!(roles, [PeerRole::Publisher, PeerRole::Subscriber]);
    let offer =
        lab.client(ada).find(|m| if let Response::Offer(offer) = m { Some(offer.clone()) } else { None });
    let offer = offer.expect("the subscriber connection is offered at once");
    lab.clear();
    let answer = proto::SessionDescription {
        r#type: "answer".into(),
        sdp: "v=0".into(),
        id: offer.id,
        ..Default::default()
    };
    lab.send(ada, Request::Answer(answer));
    let Some(Command::RemoteDescription { peer, description }) = lab.forwarder.commands.first() else {
        panic!("no description: {:?}", lab.forwarder.commands)
    };
    assert_eq!((*peer, description.id), (lab.primary(ada), offer.id));

    let trickle = |target: proto::SignalTarget, init: &str| {
        Request::Trickle(proto::TrickleRequest {
            candidate_init: init.into(),
            target: target.into(),
            r#final: false,
        })
    };
    let init = r#"{"candidate":"candidate:1 1 udp 1 192.0.2.1 9 typ host","sdpMid":"0"}"#;
    lab.clear();
    lab.send(ada, trickle(proto::SignalTarget::Publisher, init));
    lab.send(ada, trickle(proto::SignalTarget::Subscriber, init));
    for nonsense in ["", "[]", r#"{"candidate":""}"#, r#"{"candidate":"x"}"#, r#"{"candidate":1}"#] {
        lab.send(ada, trickle(proto::SignalTarget::Publisher, nonsense));
    }
    let peers = lab.forwarder.commands.iter().map(|command| match command {
        Command::RemoteCandidate { peer, candidate } if candidate.starts_with("candidate:1 ") => *peer,
        other => panic!("{other:?}"),
    });
    assert_eq!(peers.collect::<Vec<_>>(), lab.peers(ada));

    lab.event(Event::PeerConnected { peer: lab.publisher(ada), report: Box::new(report()) });
    assert_eq!(lab.client(ada).own.as_ref().unwrap().state(), State::Joined);
    lab.bring_up(ada);
    assert_eq!(lab.client(ada).own.as_ref().unwrap().state(), State::Active);
}

#[test]
fn one_peer_connection_is_answered_with_the_subscriptions_that_are_there() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    let cam = lab.publish(ada, "cam", proto::TrackSource::Camera);
    let params = JoinParams { add_tracks: vec![track("mic", proto::TrackSource::Microphone)], ..single() };
    let bob = lab.connect(Grants::of("bob"), params);
    let kinds = lab.client(bob).kinds();
    let place =
        |kind: &str| kinds.iter().position(|k| k == kind).unwrap_or_else(|| panic!("no {kind} in {kinds:?}"));
    assert!(place("Join") == 0 && place("TrackPublished") < place("Answer"), "{kinds:?}");
    assert!(!kinds.contains(&"Offer".to_owned()));
    let join = lab.client(bob).find(|m| if let Response::Join(join) = m { Some(join.clone()) } else { None });
    assert!(!join.unwrap().subscriber_primary);
    let answer =
        lab.client(bob).find(|m| if let Response::Answer(answer) = m { Some(answer.clone()) } else { None });
    let answer = answer.unwrap();
    assert_eq!((answer.r#type.as_str(), answer.id), ("answer", 1));
    assert_eq!(answer.mid_to_track_id.into_iter().collect::<Vec<_>>(), [("s0".to_owned(), cam)]);
    assert_eq!(lab.peers(bob).len(), 1);
    assert_eq!(lab.forwarder.peers[&lab.primary(bob)], PeerRole::Single);

    lab.event(Event::MediaSectionsRequired { peer: lab.primary(bob), audios: 2, videos: 4 });
    let required = lab.client(bob).find(|m| match m {
        Response::MediaSectionsRequirement(r) => Some((r.num_audios, r.num_videos)),
        _ => None,
    });
    assert_eq!(required, Some((2, 4)));
    lab.bring_up(bob);
    assert_eq!(lab.client(ada).roster["bob"].state(), State::Active);
}

#[test]
fn others_see_a_participant_from_joined_over_active_to_disconnected_with_growing_versions() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    lab.clear();
    let bob = lab.join("bob");
    lab.send(bob, Request::Leave(proto::LeaveRequest::default()));
    let updates: Vec<(State, u32, DisconnectReason)> = lab
        .client(ada)
        .inbox
        .iter()
        .filter_map(
            |m| if let Response::Update(update) = m { Some(update.participants.clone()) } else { None },
        )
        .flatten()
        .map(|info| (info.state(), info.version, info.disconnect_reason()))
        .collect();
    let states: Vec<State> = updates.iter().map(|(state, ..)| *state).collect();
    assert_eq!(states, [State::Joined, State::Active, State::Disconnected]);
    assert!(updates.is_sorted_by(|a, b| a.1 < b.1), "{updates:?}");
    assert_eq!(updates[2].2, DisconnectReason::ClientInitiated);
    assert_eq!(lab.client(bob).closed, Some((1000, String::new())));
    assert_eq!(lab.client(bob).leave(), None, "who leaves need not be told so");
    assert_eq!(lab.forwarder.peers.len(), 2, "only ada's are left");
}

#[test]
fn a_second_join_with_an_identity_ends_the_first_and_tells_it_why() {
    let mut lab = Lab::new();
    let carol = lab.join("carol");
    let first = lab.join("ada");
    lab.publish(first, "cam", proto::TrackSource::Camera);
    let old_sid = lab.sid(first);
    lab.clear();
    let second = lab.join("ada");
    let leave = lab.client(first).leave().unwrap();
    assert_eq!((leave.reason(), leave.action()), (DisconnectReason::DuplicateIdentity, Action::Disconnect));
    assert_eq!(lab.client(first).closed.as_ref().unwrap().0, 1001);
    assert_ne!(lab.sid(second), old_sid);
    assert_eq!(lab.client(carol).roster["ada"].sid, lab.sid(second));
    assert!(lab.client(carol).roster["ada"].tracks.is_empty());
    assert!(lab.forwarder.tracks.is_empty() && lab.forwarder.subscriptions.is_empty());
    assert_eq!(lab.forwarder.peers.len(), 4);
}

#[test]
fn both_forms_of_ping_are_answered_with_the_servers_time() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    lab.pass(Duration::from_secs(3));
    lab.clear();
    lab.send(ada, Request::Ping(42));
    lab.send(ada, Request::PingReq(proto::Ping { timestamp: 43, rtt: 5 }));
    let now = START_UNIX_MS + 3000;
    let pong = proto::Pong { last_ping_timestamp: 43, timestamp: now };
    assert_eq!(lab.client(ada).inbox, [Response::Pong(now), Response::PongResp(pong)]);
}

#[test]
fn a_client_that_speaks_json_is_answered_in_json() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    let before = lab.client(ada).text;
    lab.room.text(lab.now, ada, r#"{"pingReq":{"timestamp":"7"}}"#);
    lab.pump();
    assert_eq!((before, lab.client(ada).text), (0, 1));
    let Some(Response::PongResp(pong)) = lab.client(ada).inbox.last() else { panic!() };
    assert_eq!(pong.last_ping_timestamp, 7);
}

#[test]
fn a_client_gets_a_fresh_token_every_five_minutes() {
    let mut lab = Lab::new();
    let beside = Beside { room_admin: true, ..Beside::default() };
    let grants = Grants { name: "Ada".into(), beside, ..Grants::of("ada") };
    let ada = lab.join_as(grants.clone());
    for _ in 0..11 {
        lab.pass(Duration::from_secs(29));
        lab.send(ada, Request::Ping(1));
    }
    assert_eq!(lab.refreshes.len(), 1);
    assert_eq!(lab.refreshes[0], (ada, grants), "with what it may do elsewhere");
    lab.room.refreshed(ada, "fresh.token".into());
    lab.pump();
    assert_eq!(lab.client(ada).inbox.last(), Some(&Response::RefreshToken("fresh.token".into())));
}

#[test]
fn a_resume_takes_over_what_a_newer_token_allows_and_nothing_of_an_older_one() {
    let token = |not_before, room_admin, sip_admin| {
        let beside = Beside { room_admin, sip_admin, ..Beside::default() };
        Grants { not_before, beside, ..Grants::of("ada") }
    };
    for (again, room_admin, sip_admin) in [(20, false, true), (10, false, true), (9, true, false)] {
        let mut lab = Lab::new();
        let ada = lab.join_as(token(10, true, false));
        let sid = lab.sid(ada);
        let resume = Resume { participant_sid: sid, sync_state: None };
        let params = JoinParams { resume: Some(resume), ..dual() };
        let ada = lab.connect(token(again, false, true), params);
        for _ in 0..11 {
            lab.pass(Duration::from_secs(29));
            lab.send(ada, Request::Ping(1));
        }
        let told: Vec<_> = lab.refreshes.iter().map(|(_, grants)| grants.beside.clone()).collect();
        assert_eq!(told, [token(0, room_admin, sip_admin).beside], "a token from {again} on");
    }
}

#[test]
fn a_client_whose_media_never_comes_up_is_told_and_removed() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    let bob = lab.connect(Grants::of("bob"), dual());
    for _ in 0..4 {
        lab.pass(Duration::from_secs(20));
        lab.send(ada, Request::Ping(1));
        if lab.client(bob).closed.is_none() {
            lab.send(bob, Request::Ping(1));
        }
    }
    assert_eq!(lab.client(bob).leave().unwrap().reason(), DisconnectReason::JoinFailure);
    assert!(!lab.client(ada).roster.contains_key("bob"));
}

#[test]
fn a_failed_connection_makes_its_client_start_over() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    let bob = lab.join("bob");
    lab.event(Event::PeerFailed { peer: lab.primary(ada), reason: FailReason::Timeout });
    let leave = lab.client(ada).leave().unwrap();
    assert_eq!((leave.action(), leave.can_reconnect), (Action::Reconnect, true));
    assert!(!lab.client(bob).roster.contains_key("ada"));
    assert_eq!(lab.client(bob).leave(), None);
}

#[test]
fn who_closes_its_connection_and_then_says_that_it_leaves_left_on_purpose() {
    for (says, expected) in
        [(true, DisconnectReason::ClientInitiated), (false, DisconnectReason::MediaFailure)]
    {
        let mut lab = Lab::new();
        let ada = lab.join("ada");
        let bob = lab.join("bob");
        lab.event(Event::PeerFailed { peer: lab.primary(ada), reason: FailReason::Closed });
        lab.pass(Duration::from_millis(999));
        assert!(lab.client(bob).roster.contains_key("ada"), "its socket may be read later");
        if says {
            lab.send(ada, Request::Leave(proto::LeaveRequest::default()));
        }
        lab.pass(Duration::from_millis(1));
        let mut inbox = lab.client(bob).inbox.iter();
        let gone = inbox.find_map(|message| match message {
            Response::Update(update) => {
                update.participants.iter().find(|info| info.state() == State::Disconnected).cloned()
            }
            _ => None,
        });
        assert_eq!(gone.map(|info| info.disconnect_reason()), Some(expected));
    }
}

#[test]
fn a_publisher_connection_that_was_never_used_is_replaced_in_silence() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    let unused = lab.publisher(ada);
    lab.clear();
    // The forwarder forgets a peer when it says that it failed.
    lab.forwarder.peers.remove(&unused);
    lab.event(Event::PeerFailed { peer: unused, reason: FailReason::Timeout });
    assert_eq!(lab.client(ada).leave(), None);
    assert!(matches!(
        lab.forwarder.commands[..],
        [Command::CreatePeer { role: PeerRole::Publisher, room: RoomId(5), .. }]
    ));
}

#[test]
fn an_offer_that_is_refused_disturbs_nobody_else() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    let bob = lab.join("bob");
    lab.clear();
    lab.send(
        bob,
        Request::Offer(proto::SessionDescription { sdp: "refuse me".into(), ..Default::default() }),
    );
    assert!(lab.client(bob).refusal().unwrap().message.contains("line 1"));
    // Its subscriber connection is up, its publisher connection never was.
    assert_eq!(lab.client(bob).leave().unwrap().reason(), DisconnectReason::JoinFailure);
    assert_eq!(lab.client(ada).leave(), None);
    assert!(lab.client(ada).roster.is_empty());
}

#[test]
fn the_room_ends_when_everyone_has_left_and_the_time_has_passed() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    lab.send(ada, Request::Leave(proto::LeaveRequest::default()));
    lab.pass(Duration::from_secs(19));
    assert!(!lab.ended);
    lab.pass(Duration::from_secs(1));
    assert!(lab.ended && lab.room.ended());
    assert_eq!(lab.room.poll_timeout(), None);
    let error = lab.try_connect(Grants::of("bob"), dual()).unwrap_err();
    assert_eq!((error.status(), error), (404, ConnectError::Refused(MeetingError::Ended)));

    let mut lab = Lab::new();
    lab.pass(Duration::from_secs(299));
    assert!(!lab.ended, "nobody came yet");
    lab.pass(Duration::from_secs(1));
    assert!(lab.ended);
}

#[test]
fn a_room_that_is_deleted_tells_everyone() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    lab.control(Control::Delete).unwrap();
    let leave = lab.client(ada).leave().unwrap();
    assert_eq!((leave.reason(), leave.action()), (DisconnectReason::RoomDeleted, Action::Disconnect));
    assert!(lab.ended && lab.forwarder.peers.is_empty());
}

#[test]
fn a_server_that_stops_tells_everyone_to_come_again_and_lets_nobody_in() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    lab.room.close_doors();
    assert_eq!(lab.try_connect(Grants::of("bob"), dual()).unwrap_err().status(), 503);
    assert_eq!(lab.client(ada).leave(), None);
    lab.room.drain(lab.now);
    lab.pump();
    let leave = lab.client(ada).leave().unwrap();
    assert_eq!((leave.reason(), leave.action()), (DisconnectReason::ServerShutdown, Action::Reconnect));
    assert!(lab.ended && lab.forwarder.peers.is_empty());
}

#[test]
fn row_41_a_full_meeting_lets_nobody_in_but_one_who_is_in_may_come_again() {
    let limits = Limits { participants: 2, ..Limits::default() };
    let mut lab = Lab::with(RoomConfig { meeting: limits.into(), ..RoomConfig::default() });
    lab.join("ada");
    lab.join("bob");
    let error = lab.try_connect(Grants::of("carol"), dual()).unwrap_err();
    assert_eq!((error.status(), &error), (429, &ConnectError::Refused(MeetingError::Full { limit: 2 })));
    lab.join("bob");
    assert_eq!(lab.room.sessions(), 2);
    assert_eq!(lab.room.stats().joins_refused, 1);
}

#[test]
fn row_41_metadata_beyond_its_limit_is_refused_at_the_door() {
    let mut lab = Lab::new();
    let huge = Grants { metadata: "x".repeat(64 * 1024 + 1), ..Grants::of("ada") };
    let error = lab.try_connect(huge, dual()).unwrap_err();
    assert_eq!(error.status(), 400);
    assert!(error.to_string().contains("at most 65536 are allowed"), "{error}");
    assert_eq!(lab.try_connect(Grants::of("a\nb"), dual()).unwrap_err().status(), 400);
    assert!(lab.forwarder.peers.is_empty());
}

#[test]
fn what_a_client_says_of_itself_counts_only_if_it_may_change_it() {
    let says = || JoinParams {
        metadata: Some("mine".into()),
        attributes: [("a".into(), "1".into())].into(),
        ..dual()
    };
    let mut lab = Lab::new();
    let ada = lab.connect(Grants { metadata: "token's".into(), ..Grants::of("ada") }, says());
    assert_eq!(lab.client(ada).own.as_ref().unwrap().metadata, "token's");
    assert!(lab.client(ada).own.as_ref().unwrap().attributes.is_empty());
    let permissions = Permissions { can_update_profile: true, ..Permissions::default() };
    let bob = lab.connect(Grants { permissions, metadata: "token's".into(), ..Grants::of("bob") }, says());
    assert_eq!(lab.client(bob).own.as_ref().unwrap().metadata, "mine");
    assert_eq!(lab.client(bob).own.as_ref().unwrap().attributes["a"], "1");
}

#[test]
fn everyone_is_told_how_connections_do() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    let bob = lab.join("bob");
    let peer = lab.primary(ada);
    let qualities = |lab: &Lab, of| {
        let updates = lab.client(of).inbox.iter().filter_map(|m| match m {
            Response::ConnectionQuality(update) => Some(update.updates.clone()),
            _ => None,
        });
        updates.flatten().map(|info| (info.participant_sid.clone(), info.quality())).collect::<Vec<_>>()
    };
    lab.pass(Duration::from_secs(2));
    lab.clear();
    lab.event(Event::Quality {
        peer,
        report: QualityReport { uplink_loss: 0.2, ..QualityReport::default() },
    });
    lab.pass(Duration::from_secs(2));
    let sid = lab.sid(ada);
    assert_eq!(qualities(&lab, bob), [(sid.clone(), ConnectionQuality::Poor)]);
    lab.clear();
    lab.event(Event::Quality {
        peer,
        report: QualityReport { uplink_loss: 0.2, ..QualityReport::default() },
    });
    lab.pass(Duration::from_secs(2));
    assert_eq!(qualities(&lab, bob), [], "nothing changed");
    lab.event(Event::PeerDisconnected { peer });
    lab.pass(Duration::from_secs(2));
    assert_eq!(qualities(&lab, bob), [(sid.clone(), ConnectionQuality::Lost)]);
    lab.event(Event::PeerResumed { peer });
    lab.event(Event::Quality { peer, report: QualityReport::default() });
    let carol = lab.join("carol");
    lab.pass(Duration::from_secs(2));
    assert_eq!(qualities(&lab, carol), [(sid, ConnectionQuality::Excellent)]);
}
