// SPDX-License-Identifier: EUPL-1.2
//! Clients that come by one offer over HTTP: they publish what it sends, or watch someone.

use std::time::{Duration, Instant};

use livekit_protocol as proto;
use livekit_protocol::TrackSource;
use livekit_protocol::participant_info::{Kind, State};
use parvis_meeting::TrackSource as Source;
use parvis_peer::FailReason;
use parvis_rtp::Rid;
use parvis_sfu::{Command, DataChannel, Event, PeerRole, Quality, RoomId};
use parvis_signal::{
    ConnectError, Control, Grants, OccurrenceKind, OfferError, Purpose, RelayOffer, RoomConfig, Target,
};
use parvis_turn::{Clock, Issuer};

use crate::lab::*;

/// As OBS offers: sound, and a picture in three layers, the highest first.
fn obs() -> String {
    include_str!("../../../peer/tests/sdp/obs-whip-simulcast.sdp").to_owned()
}

fn viewer() -> String {
    offer(&[
        ("audio", "recvonly", "a=rtpmap:111 opus/48000/2\r\n"),
        ("video", "recvonly", "a=rtpmap:96 VP8/90000\r\n"),
    ])
}

fn offer(sections: &[(&str, &str, &str)]) -> String {
    let mids: Vec<String> = (0..sections.len()).map(|mid| mid.to_string()).collect();
    let mut sdp = format!(
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {}\r\na=ice-ufrag:oldu\r\n\
         a=ice-pwd:0123456789012345678901\r\na=setup:actpass\r\na=fingerprint:sha-256 {}\r\n",
        mids.join(" "),
        ["AB"; 32].join(":"),
    );
    for (mid, (kind, direction, lines)) in sections.iter().enumerate() {
        let format = if *kind == "audio" { 111 } else { 96 };
        sdp += &format!(
            "m={kind} 9 UDP/TLS/RTP/SAVPF {format}\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\na={direction}\r\n\
             a=rtcp-mux\r\n{lines}"
        );
    }
    sdp
}

fn up(lab: &mut Lab, peer: parvis_sfu::PeerId) {
    lab.event(Event::PeerConnected { peer, report: Box::new(report()) });
}

#[test]
fn what_an_offer_sends_is_published_with_its_layers_and_answered() {
    let mut lab = Lab::new();
    let bob = lab.join("bob");
    let (connection, sid, peer) = lab.come(Grants::of("studio"), Purpose::Publish, &obs()).unwrap();
    assert_eq!(lab.forwarder.peers[&peer], PeerRole::Single);
    assert_eq!(lab.answers.len(), 1);
    assert_eq!(lab.answers[0].0, connection);
    assert_eq!(lab.answers[0].1.as_ref().unwrap().sdp, "v=0 Answer");

    let info = &lab.client(bob).roster["studio"];
    assert_eq!((info.kind(), info.state(), info.sid.as_str()), (Kind::Ingress, State::Joined, sid.as_str()));
    let sources: Vec<TrackSource> = info.tracks.iter().map(proto::TrackInfo::source).collect();
    assert_eq!(sources, [TrackSource::Microphone, TrackSource::Camera]);
    let video =
        lab.forwarder.tracks.values().find(|(_, spec, _)| spec.cid == "Wk2uJ9cB4eGs6DnF-video").unwrap();
    let layers: Vec<_> = video.1.layers.iter().map(|layer| (layer.rid, layer.quality)).collect();
    let expected = [("2", Quality::Low), ("1", Quality::Medium), ("0", Quality::High)];
    assert_eq!(layers, expected.map(|(rid, quality)| (Rid::new(rid), quality)), "0 is OBS' highest");
    assert_eq!(lab.forwarder.subscriptions.len(), 2, "Bob gets both");

    up(&mut lab, peer);
    assert_eq!(lab.client(bob).roster["studio"].state(), State::Active);
    lab.room.hang_up(lab.now, connection);
    lab.pump();
    assert!(!lab.client(bob).roster.contains_key("studio"));
    assert!(lab.client(connection).closed.is_some());
    assert!(!lab.forwarder.peers.contains_key(&peer));
}

#[test]
fn a_section_without_msid_is_known_by_its_mid() {
    let mut lab = Lab::new();
    let sdp = offer(&[("audio", "sendonly", "a=rtpmap:111 opus/48000/2\r\n")]);
    lab.come(Grants::of("studio"), Purpose::Publish, &sdp).unwrap();
    let cids: Vec<&str> = lab.forwarder.tracks.values().map(|(_, spec, _)| spec.cid.as_str()).collect();
    assert_eq!(cids, ["0"]);
}

#[test]
fn an_offer_that_cannot_be_taken_changes_nothing_for_anyone() {
    let mut lab = Lab::new();
    let bob = lab.join("bob");
    let (former, ..) = lab.come(Grants::of("studio"), Purpose::Publish, &obs()).unwrap();
    lab.clear();
    let refusal = |lab: &mut Lab, grants: Grants, sdp: &str| {
        let error = lab.come(grants, Purpose::Publish, sdp).unwrap_err();
        (error.status(), error)
    };
    let studio = || Grants::of("studio");
    assert_eq!(refusal(&mut lab, studio(), "hello").0, 400);
    assert_eq!(refusal(&mut lab, studio(), &viewer()), (422, OfferError::NothingSent));
    let unknown = offer(&[("video", "sendonly", "a=rtpmap:96 THEORA/90000\r\n")]);
    assert_eq!(refusal(&mut lab, studio(), &unknown), (422, OfferError::NothingSent));
    let mut quiet = studio();
    quiet.permissions.can_publish = false;
    assert_eq!(refusal(&mut lab, quiet, &obs()).0, 403);
    let mut screens = studio();
    screens.permissions.can_publish_sources.insert(Source::ScreenShare);
    assert_eq!(refusal(&mut lab, screens, &obs()).0, 403);
    let large = "v=0\r\n".repeat(300_000);
    assert_eq!(refusal(&mut lab, studio(), &large).0, 400);
    assert!(lab.forwarder.commands.is_empty(), "{:?}", lab.forwarder.commands);
    assert!(lab.client(bob).inbox.is_empty());
    assert!(lab.client(former).closed.is_none(), "whoever bears the identity stays");

    lab.room.close_doors();
    assert_eq!(refusal(&mut lab, studio(), &obs()).0, 503);
}

#[test]
fn only_what_the_token_allows_is_published() {
    let mut lab = Lab::new();
    let mut grants = Grants::of("studio");
    grants.permissions.can_publish_sources.insert(Source::Microphone);
    lab.come(grants, Purpose::Publish, &obs()).unwrap();
    let cids: Vec<&str> = lab.forwarder.tracks.values().map(|(_, spec, _)| spec.cid.as_str()).collect();
    assert_eq!(cids, ["Wk2uJ9cB4eGs6DnF-audio"]);
}

#[test]
fn an_offer_that_the_forwarder_refuses_ends_what_it_began() {
    let mut lab = Lab::new();
    let bob = lab.join("bob");
    let sdp = obs() + "a=note:refuse me\r\n";
    let (connection, ..) = lab.come(Grants::of("studio"), Purpose::Publish, &sdp).unwrap();
    assert_eq!(lab.answers, [(connection, Err("line 1: not SDP".to_owned()))]);
    assert!(lab.client(connection).closed.is_some());
    assert!(!lab.client(bob).roster.contains_key("studio"));
}

#[test]
fn a_restart_offers_the_same_again_under_new_credentials() {
    let mut lab = Lab::new();
    let (connection, _, peer) = lab.come(Grants::of("studio"), Purpose::Publish, &obs()).unwrap();
    up(&mut lab, peer);
    lab.clear();
    assert!(lab.room.restart_by_offer(lab.now, connection, "newu", "secretsecretsecretsecret"));
    lab.pump();
    let [Command::RemoteDescription { description, .. }] = &lab.forwarder.commands[..] else { panic!() };
    // Where it was reached before counts for nothing any more.
    let lines = obs().replace("oBsU", "newu").replace("q3Rk0sVw8yZ2bN5cM7fH1j", "secretsecretsecretsecret");
    let lines = lines.split_inclusive('\n').filter(|line| !line.contains("candidate"));
    let expected: String = lines.collect();
    assert_eq!(description.sdp, expected);
    assert_eq!(lab.answers.len(), 2);

    let candidates = vec!["candidate:1 1 udp 1 192.0.2.1 9 typ host".to_owned(), "nonsense".to_owned()];
    lab.clear();
    lab.room.candidates(lab.now, connection, candidates.clone());
    lab.pump();
    let expected = Command::RemoteCandidate { peer, candidate: candidates[0].clone() };
    assert_eq!(lab.forwarder.commands, [expected]);

    // Row 29: who asks too much goes.
    for _ in 0..200 {
        lab.room.restart_by_offer(lab.now, connection, "newu", "secretsecretsecretsecret");
        lab.pump();
    }
    assert!(lab.client(connection).closed.is_some());
    assert!(!lab.room.restart_by_offer(lab.now, connection, "newu", "secretsecretsecretsecret"));
}

#[test]
fn it_ends_with_its_connection_and_takes_nothing_while_it_lasts() {
    let mut lab = Lab::with(RoomConfig { replay_messages: 4, ..RoomConfig::default() });
    let bob = lab.join("bob");
    let (connection, _, peer) = lab.come(Grants::of("studio"), Purpose::Publish, &obs()).unwrap();
    up(&mut lab, peer);
    for sequence in 1..20 {
        lab.data(bob, DataChannel::Reliable, &message("hello", sequence));
    }
    assert!(lab.client(connection).closed.is_none(), "messages do not pile up for one who can't read them");
    lab.pass(Duration::from_secs(3600));
    assert!(lab.client(connection).closed.is_none(), "it needs no socket to stay");
    assert!(lab.client(connection).inbox.is_empty());
    lab.event(Event::PeerFailed { peer, reason: FailReason::Timeout });
    assert!(lab.client(connection).closed.is_some());
    assert_eq!(lab.room.stats().media_failures, 1);
}

#[test]
fn one_whose_media_never_comes_is_gone_after_a_while() {
    let mut lab = Lab::new();
    let (connection, ..) = lab.come(Grants::of("studio"), Purpose::Publish, &obs()).unwrap();
    lab.pass(Duration::from_secs(61));
    assert!(lab.client(connection).closed.is_some());
}

#[test]
fn a_newer_offer_of_the_same_identity_takes_its_place() {
    let mut lab = Lab::new();
    let bob = lab.join("bob");
    let (former, ..) = lab.come(Grants::of("studio"), Purpose::Publish, &obs()).unwrap();
    let (_, sid, _) = lab.come(Grants::of("studio"), Purpose::Publish, &obs()).unwrap();
    assert!(lab.client(former).closed.is_some());
    assert_eq!(lab.client(bob).roster["studio"].sid, sid);
    assert_eq!(lab.forwarder.tracks.len(), 2);
}

/// Sound and picture of one who joined by signalling.
fn on_stage(lab: &mut Lab, identity: &str) -> [parvis_sfu::TrackId; 2] {
    let connection = lab.join(identity);
    let before: Vec<_> = lab.forwarder.tracks.keys().copied().collect();
    lab.publish(connection, &format!("{identity}-mic"), TrackSource::Microphone);
    lab.publish(connection, &format!("{identity}-cam"), TrackSource::Camera);
    let new: Vec<_> = lab.forwarder.tracks.keys().filter(|track| !before.contains(track)).copied().collect();
    new.try_into().unwrap()
}

/// What a watcher is sent, sound first.
fn shown(lab: &Lab, peer: parvis_sfu::PeerId) -> Vec<parvis_sfu::TrackId> {
    let mut shown: Vec<_> = lab
        .forwarder
        .subscriptions
        .values()
        .filter(|(to, ..)| *to == peer)
        .map(|(_, track, ..)| (!lab.forwarder.tracks[track].1.layers.is_empty(), *track))
        .collect();
    shown.sort_unstable();
    shown.into_iter().map(|(_, track)| track).collect()
}

fn speak(lab: &mut Lab, speakers: &[parvis_sfu::TrackId]) {
    let speakers = speakers.iter().map(|track| (*track, 0.5)).collect();
    lab.event(Event::Speakers { room: RoomId(5), speakers });
}

#[test]
fn a_watcher_gets_the_one_whom_it_names_and_nobody_else() {
    let mut lab = Lab::new();
    let ada = on_stage(&mut lab, "ada");
    let bob = on_stage(&mut lab, "bob");
    let target = Purpose::Watch(Target::Participant("bob".to_owned()));
    let (connection, _, peer) = lab.come(Grants::of("wall"), target, &viewer()).unwrap();
    assert_eq!(shown(&lab, peer), bob);
    let subscribed = lab.forwarder.commands.iter().rposition(|c| matches!(c, Command::Subscribe { .. }));
    let offered = lab.forwarder.commands.iter().rposition(|c| matches!(c, Command::RemoteDescription { .. }));
    assert!(subscribed < offered, "the answer has the tracks in it");
    up(&mut lab, peer);
    speak(&mut lab, &[ada[0]]);
    assert_eq!(shown(&lab, peer), bob);
    let bobs = lab.connection_of("bob");
    lab.drop_socket(bobs);
    lab.pass(Duration::from_secs(21));
    assert!(lab.client(connection).closed.is_some(), "there is nothing left to watch");
}

#[test]
fn a_watcher_of_the_speaker_follows_who_speaks_without_a_new_offer() {
    let mut lab = Lab::new();
    let ada = on_stage(&mut lab, "ada");
    let bob = on_stage(&mut lab, "bob");
    speak(&mut lab, &[bob[0]]);
    let (connection, _, peer) =
        lab.come(Grants::of("wall"), Purpose::Watch(Target::Speaker), &viewer()).unwrap();
    up(&mut lab, peer);
    assert_eq!(shown(&lab, peer), bob);
    lab.clear();
    speak(&mut lab, &[ada[0], bob[0]]);
    assert_eq!(shown(&lab, peer), bob, "whoever still speaks is not cut off");
    speak(&mut lab, &[ada[0]]);
    assert_eq!(shown(&lab, peer), ada);
    speak(&mut lab, &[]);
    assert_eq!(shown(&lab, peer), ada, "silence changes nothing");
    let told = |lab: &Lab| {
        lab.forwarder.commands.iter().filter(|c| matches!(c, Command::Unsubscribe { .. })).count()
    };
    assert_eq!(told(&lab), 0);

    // The one who is seen leaves: the other one is seen.
    let adas = lab.connection_of("ada");
    lab.send(adas, livekit_protocol::signal_request::Message::Leave(proto::LeaveRequest::default()));
    assert_eq!(shown(&lab, peer), bob);
    assert!(lab.client(connection).closed.is_none());
}

#[test]
fn nobody_watches_what_is_hidden_forbidden_or_not_there() {
    let mut lab = Lab::new();
    let anyone = || Purpose::Watch(Target::Speaker);
    assert_eq!(lab.come(Grants::of("wall"), anyone(), &viewer()).unwrap_err(), OfferError::NothingToWatch);
    let mut hidden = Grants::of("ghost");
    hidden.permissions.hidden = true;
    let ghost = lab.join_as(hidden);
    lab.publish(ghost, "ghost-cam", TrackSource::Camera);
    assert_eq!(lab.come(Grants::of("wall"), anyone(), &viewer()).unwrap_err(), OfferError::NothingToWatch);
    on_stage(&mut lab, "ada");
    let mut deaf = Grants::of("wall");
    deaf.permissions.can_subscribe = false;
    assert_eq!(lab.come(deaf, anyone(), &viewer()).unwrap_err().status(), 403);
    assert_eq!(lab.come(Grants::of("wall"), anyone(), &obs()).unwrap_err(), OfferError::NothingReceived);
    let nobody = Purpose::Watch(Target::Participant("nobody".to_owned()));
    assert_eq!(lab.come(Grants::of("wall"), nobody, &viewer()).unwrap_err().status(), 409);
    assert_eq!(lab.room.sessions(), 2);

    // A watcher has no right to speak.
    lab.come(Grants::of("wall"), anyone(), &viewer()).unwrap();
    let wall = lab.room.meeting().by_identity("wall").unwrap();
    assert!(!wall.permissions.can_publish && !wall.permissions.can_publish_data);
}

#[test]
fn it_gets_the_relay_for_as_long_as_it_lasts_and_the_outer_world_hears_of_it() {
    let issuer = Issuer::new([7; 32], Clock::new(Instant::now(), 1_800_000_000));
    let urls = vec!["turn:meet.example:3478?transport=udp".to_owned()];
    let relay =
        RelayOffer { urls: urls.clone(), issuer, credential_age: Duration::from_secs(3_600), force: false };
    let mut lab = Lab::with(RoomConfig { relay: Some(relay), ..RoomConfig::default() });
    let (connection, sid, peer) = lab.come(Grants::of("studio"), Purpose::Publish, &obs()).unwrap();
    let servers = &lab.answers[0].1.as_ref().unwrap().ice_servers;
    assert_eq!(servers[0].urls, urls);
    assert!(servers[0].username.ends_with(&sid), "{servers:?}");
    assert_eq!(lab.relayed, [(sid.clone(), true)]);
    up(&mut lab, peer);
    lab.room.hang_up(lab.now, connection);
    lab.pump();
    assert_eq!(lab.relayed, [(sid.clone(), true), (sid.clone(), false)]);
    let told: Vec<&str> = lab
        .told
        .iter()
        .filter_map(|occurrence| match &occurrence.kind {
            OccurrenceKind::RoomStarted => Some("started"),
            OccurrenceKind::ParticipantJoined { participant } if participant.sid == sid => Some("joined"),
            OccurrenceKind::ParticipantLeft { participant } if participant.sid == sid => Some("left"),
            OccurrenceKind::ParticipantConnectionAborted { .. } => Some("aborted"),
            _ => None,
        })
        .collect();
    assert_eq!(told, ["started", "joined", "left"]);
}

#[test]
fn row_44_who_was_removed_does_not_come_back_by_an_offer() {
    let mut lab = Lab::new();
    let _bob = lab.join("bob");
    let (connection, _, _) = lab.come(Grants::of("studio"), Purpose::Publish, &obs()).unwrap();
    let remove = proto::RoomParticipantIdentity { identity: "studio".into(), ..Default::default() };
    lab.control(Control::RemoveParticipant(remove)).unwrap();
    assert!(lab.client(connection).closed.is_some());
    let error = lab.come(Grants::of("studio"), Purpose::Publish, &obs()).unwrap_err();
    assert_eq!(error, OfferError::Refused(ConnectError::Revoked));
    assert_eq!(lab.room.stats().revoked_refused, 1);
}
