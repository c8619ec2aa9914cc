// SPDX-License-Identifier: EUPL-1.2
//! Tracks: published, described, muted, subscribed, shown, ended.

use std::time::Duration;

use livekit_protocol as proto;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message as Response;
use livekit_protocol::video_layer::Mode;
use livekit_protocol::{TrackSource, VideoQuality};
use parvis_peer::sdp::CodecKind;
use parvis_rtp::Rid;
use parvis_sfu::{Command, Event, Quality, SubscriptionSettings};
use parvis_signal::{Form, Grants, JoinParams};

use crate::lab::*;

fn layer(quality: VideoQuality, width: u32, height: u32) -> proto::VideoLayer {
    proto::VideoLayer {
        quality: quality.into(),
        width,
        height,
        bitrate: width * 1000,
        ssrc: 77,
        ..Default::default()
    }
}

fn camera_with_backup() -> proto::AddTrackRequest {
    proto::AddTrackRequest {
        name: "cam\u{202e}era".into(),
        width: 1280,
        height: 720,
        layers: vec![
            layer(VideoQuality::Low, 320, 180),
            layer(VideoQuality::Medium, 640, 360),
            layer(VideoQuality::High, 1280, 720),
        ],
        simulcast_codecs: vec![
            proto::SimulcastCodec { codec: "vp9".into(), cid: "cam".into(), ..Default::default() },
            proto::SimulcastCodec { codec: "vp8".into(), ..Default::default() },
        ],
        encryption: proto::encryption::Type::Gcm.into(),
        backup_codec_policy: proto::BackupCodecPolicy::Simulcast.into(),
        ..track("cam", TrackSource::Camera)
    }
}

#[test]
fn a_published_track_is_described_in_full_and_announced_when_its_section_is_there() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    let bob = lab.join("bob");
    lab.clear();
    let request = proto::AddTrackRequest {
        layers: camera_with_backup().layers,
        name: "cam\u{202e}era".into(),
        ..track("cam", TrackSource::Camera)
    };
    lab.send(ada, Request::AddTrack(request));
    let sid = lab.published_sid(ada, "cam").unwrap();
    assert!(sid.starts_with("TR_"));
    assert!(lab.client(bob).inbox.is_empty(), "there is nothing to see yet");
    let [Command::Publish { peer, spec, .. }] = &lab.forwarder.commands[..] else { panic!() };
    assert_eq!(*peer, lab.publisher(ada));
    let rids: Vec<Option<Rid>> = spec.layers.iter().map(|layer| layer.rid).collect();
    assert_eq!(rids, [Rid::new("q"), Rid::new("h"), Rid::new("f")]);
    assert_eq!(spec.layers[2].quality, Quality::High);

    lab.offer(ada, &["cam"]);
    let info = &lab.client(bob).roster["ada"].tracks[0];
    assert_eq!(
        (info.sid.as_str(), info.name.as_str(), info.stream.as_str()),
        (sid.as_str(), "camera", "camera")
    );
    assert_eq!((info.mid.as_str(), info.mime_type.as_str(), info.simulcast), ("1", "video/VP8", true));
    assert!(info.version.is_some());
    let codec = &info.codecs[0];
    assert_eq!((codec.cid.as_str(), codec.mid.as_str(), codec.mime_type.as_str()), ("cam", "1", "video/VP8"));
    assert_eq!(codec.video_layer_mode(), Mode::OneSpatialLayerPerStream);
    let layers: Vec<(&str, u32, u32)> =
        codec.layers.iter().map(|l| (l.rid.as_str(), l.width, l.ssrc)).collect();
    assert_eq!(layers, [("q", 320, 0), ("h", 640, 0), ("f", 1280, 0)]);
    assert!(lab.client(bob).roster["ada"].is_publisher);
}

#[test]
fn a_track_with_a_backup_codec_gets_its_second_stream_under_the_same_sid() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    let bob = lab.join("bob");
    lab.send(ada, Request::AddTrack(camera_with_backup()));
    let sid = lab.published_sid(ada, "cam").unwrap();
    lab.offer(ada, &["cam"]);
    let forwarded = *lab.forwarder.tracks.keys().next().unwrap();
    lab.event(Event::TrackStarted { track: forwarded, codec: CodecKind::Vp9 });
    let info = lab.client(bob).roster["ada"].tracks[0].clone();
    assert_eq!(info.encryption(), proto::encryption::Type::Gcm);
    assert_eq!(info.mime_type, "video/VP9");
    assert_eq!(info.codecs[0].video_layer_mode(), Mode::MultipleSpatialLayersPerStream);
    assert_eq!((info.codecs[1].mime_type.as_str(), info.codecs[1].mid.as_str()), ("video/VP8", ""));
    let spec = &lab.forwarder.tracks[&forwarded].1;
    assert!(spec.layers.iter().all(|layer| layer.rid.is_none()), "SVC has no RIDs");

    let backup = proto::SimulcastCodec { codec: "vp8".into(), cid: "cam2".into(), ..Default::default() };
    let request =
        proto::AddTrackRequest { sid: sid.clone(), simulcast_codecs: vec![backup], ..camera_with_backup() };
    lab.send(ada, Request::AddTrack(request.clone()));
    assert_eq!(lab.published_sid(ada, "cam2"), Some(sid.clone()));
    lab.offer(ada, &["cam", "cam2"]);
    let info = lab.client(bob).roster["ada"].tracks[0].clone();
    assert_eq!(
        (info.codecs.len(), info.codecs[1].cid.as_str(), info.codecs[1].mid.as_str()),
        (2, "cam2", "2")
    );
    assert_eq!(lab.forwarder.tracks.len(), 2);
    assert_eq!(lab.forwarder.subscriptions.len(), 1, "who sees the first codec needs no second");

    // It is the publisher's alone.
    let other = proto::SimulcastCodec { codec: "av1".into(), cid: "evil".into(), ..Default::default() };
    lab.send(bob, Request::AddTrack(proto::AddTrackRequest { simulcast_codecs: vec![other], ..request }));
    assert_eq!(lab.client(bob).refusal().unwrap().message, "no such track");
    assert_eq!(lab.forwarder.tracks.len(), 2);
}

#[test]
fn tracks_are_refused_with_a_reason() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    let camera = || track("cam", TrackSource::Camera);
    let codec = |codec: &str| {
        vec![proto::SimulcastCodec { codec: codec.into(), cid: "cam".into(), ..Default::default() }]
    };
    for (request, message) in [
        (proto::AddTrackRequest { cid: String::new(), ..camera() }, "client id"),
        (proto::AddTrackRequest { cid: "a\nb".into(), ..camera() }, "client id"),
        (proto::AddTrackRequest { cid: "x".repeat(257), ..camera() }, "client id"),
        (proto::AddTrackRequest { name: "x".repeat(257), ..camera() }, "name has 257 characters"),
        (proto::AddTrackRequest { r#type: proto::TrackType::Audio.into(), ..camera() }, "does not fit"),
        (proto::AddTrackRequest { r#type: proto::TrackType::Data.into(), ..camera() }, "not a media track"),
        (proto::AddTrackRequest { simulcast_codecs: codec("h265"), ..camera() }, "not enabled"),
        (proto::AddTrackRequest { simulcast_codecs: codec("opus"), ..camera() }, "not enabled"),
    ] {
        lab.clear();
        lab.send(ada, Request::AddTrack(request.clone()));
        let refusal = lab.client(ada).refusal().unwrap_or_else(|| panic!("not refused: {request:?}"));
        assert!(refusal.message.contains(message), "{}", refusal.message);
        assert_eq!(refusal.request, Some(proto::request_response::Request::AddTrack(request)));
    }
    assert!(lab.forwarder.tracks.is_empty());
}

#[test]
fn a_request_that_is_repeated_is_answered_again_and_publishes_once() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    lab.send(ada, Request::AddTrack(track("mic", TrackSource::Microphone)));
    let first = lab.published_sid(ada, "mic");
    lab.clear();
    lab.send(ada, Request::AddTrack(track("mic", TrackSource::Microphone)));
    assert_eq!(lab.published_sid(ada, "mic"), first);
    assert_eq!(lab.forwarder.tracks.len(), 1);
}

#[test]
fn a_track_published_muted_is_announced_muted() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    let bob = lab.join("bob");
    let request = proto::AddTrackRequest { muted: true, ..track("mic", TrackSource::Microphone) };
    lab.send(ada, Request::AddTrack(request));
    let sid = lab.published_sid(ada, "mic").unwrap();
    lab.offer(ada, &["mic"]);
    assert!(lab.client(bob).roster["ada"].tracks[0].muted);
    lab.clear();
    lab.send(ada, Request::Mute(proto::MuteTrackRequest { sid: sid.clone(), muted: false }));
    assert!(!lab.client(bob).roster["ada"].tracks[0].muted);
    assert!(matches!(lab.forwarder.commands[..], [Command::SetMuted { muted: false, .. }]));
    lab.clear();
    lab.send(ada, Request::Mute(proto::MuteTrackRequest { sid, muted: false }));
    assert!(lab.client(bob).inbox.is_empty() && lab.forwarder.commands.is_empty(), "nothing changed");
}

#[test]
fn everyone_receives_what_they_want_and_no_more() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    let bob = lab.join("bob");
    let params = JoinParams { auto_subscribe: false, ..dual() };
    let carol = lab.connect(Grants::of("carol"), params);
    lab.bring_up(carol);
    let cam = lab.publish(ada, "cam", TrackSource::Camera);
    let subscribers = |lab: &Lab| lab.forwarder.subscriptions.values().map(|s| s.0).collect::<Vec<_>>();
    assert_eq!(subscribers(&lab), [lab.primary(bob)]);
    let update = |sid: &str, subscribe| {
        Request::Subscription(proto::UpdateSubscription {
            track_sids: vec![sid.into()],
            subscribe,
            ..Default::default()
        })
    };
    lab.send(carol, update(&cam, true));
    lab.send(bob, update(&cam, false));
    assert_eq!(subscribers(&lab), [lab.primary(carol)]);
    lab.send(bob, update("TR_unknown", true));
    let error = lab
        .client(bob)
        .find(|m| if let Response::SubscriptionResponse(r) = m { Some(r.clone()) } else { None });
    assert_eq!(error.unwrap().err(), proto::SubscriptionError::SeTrackNotfound);
    let tracks = proto::ParticipantTracks { track_sids: vec![cam], ..Default::default() };
    lab.send(
        bob,
        Request::Subscription(proto::UpdateSubscription {
            participant_tracks: vec![tracks],
            subscribe: true,
            ..Default::default()
        }),
    );
    assert_eq!(subscribers(&lab).len(), 2);
}

#[test]
fn what_a_client_shows_of_a_track_reaches_the_forwarder_and_is_remembered() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    let bob = lab.join("bob");
    let cam = lab.publish(ada, "cam", TrackSource::Camera);
    lab.clear();
    let setting = proto::UpdateTrackSettings {
        track_sids: vec![cam.clone()],
        width: 640,
        height: 360,
        ..Default::default()
    };
    lab.send(bob, Request::TrackSetting(setting));
    let wanted = SubscriptionSettings { size: Some((640, 360)), ..SubscriptionSettings::default() };
    let configured = |lab: &Lab| {
        let commands = lab.forwarder.commands.iter();
        commands
            .filter_map(|c| {
                if let Command::ConfigureSubscription { settings, .. } = c { Some(*settings) } else { None }
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(configured(&lab), [wanted]);
    let update = |subscribe| {
        Request::Subscription(proto::UpdateSubscription {
            track_sids: vec![cam.clone()],
            subscribe,
            ..Default::default()
        })
    };
    lab.send(bob, update(false));
    lab.clear();
    lab.send(bob, update(true));
    assert_eq!(configured(&lab), [wanted], "it shows it as before");
}

#[test]
fn streams_bear_the_names_that_each_client_can_read() {
    let label = |params: JoinParams| {
        let mut lab = Lab::new();
        let ada = lab.join("ada");
        let cam = lab.publish(ada, "cam", TrackSource::Camera);
        lab.publish(ada, "mic", TrackSource::Microphone);
        lab.publish(ada, "screen", TrackSource::ScreenShare);
        lab.connect(Grants::of("bob"), params);
        let own = lab.sid(ada);
        let streams =
            lab.forwarder.subscriptions.values().map(|s| s.2.replace(&own, "PA")).collect::<Vec<_>>();
        let labels = lab.forwarder.subscriptions.values().map(|s| s.3.clone()).collect::<Vec<_>>();
        assert_eq!(labels[0], cam);
        (streams, labels)
    };
    let (streams, _) = label(dual());
    assert_eq!(streams, ["PA|camera", "PA|camera", "PA|screen_share"], "camera and microphone play in step");
    for query in ["protocol=9&sdk=js", "protocol=16&sdk=js&browser=Firefox"] {
        let (streams, labels) = label(JoinParams::parse(Form::Dual, query).unwrap());
        let by_track: Vec<String> = labels.iter().map(|label| format!("PA|{label}")).collect();
        assert_eq!(streams, by_track, "{query}");
    }
}

#[test]
fn a_track_that_an_offer_no_longer_sends_is_unpublished() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    let bob = lab.join("bob");
    let cam = lab.publish(ada, "cam", TrackSource::Camera);
    let forwarded = *lab.forwarder.tracks.keys().next().unwrap();
    lab.event(Event::TrackEnded { track: forwarded });
    assert!(lab.client(bob).roster["ada"].tracks.is_empty());
    assert!(lab.forwarder.tracks.is_empty() && lab.forwarder.subscriptions.is_empty());
    let told = lab
        .client(ada)
        .find(|m| if let Response::TrackUnpublished(t) = m { Some(t.track_sid.clone()) } else { None });
    assert_eq!(told, Some(cam));
    lab.publish(ada, "cam", TrackSource::Camera);
    assert_eq!(lab.client(bob).roster["ada"].tracks.len(), 1, "the same camera again is a new track");
}

#[test]
fn publishers_hear_of_their_first_viewer_and_viewers_of_pauses() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    let bob = lab.join("bob");
    let cam = lab.publish(ada, "cam", TrackSource::Camera);
    let subscription = *lab.forwarder.subscriptions.keys().next().unwrap();
    lab.clear();
    lab.event(Event::SubscriptionStarted { subscription });
    lab.event(Event::SubscriptionStarted { subscription });
    let told = proto::TrackSubscribed { track_sid: cam.clone() };
    assert_eq!(lab.client(ada).inbox, [Response::TrackSubscribed(told)]);
    lab.event(Event::StreamState { subscription, paused: true });
    let Some(Response::StreamStateUpdate(update)) = lab.client(bob).inbox.last() else { panic!() };
    let state = &update.stream_states[0];
    assert_eq!((state.track_sid.as_str(), state.state()), (cam.as_str(), proto::StreamState::Paused));
    assert_eq!(state.participant_sid, lab.sid(ada));
}

#[test]
fn speakers_are_told_as_changes() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    let bob = lab.join("bob");
    lab.publish(ada, "mic", TrackSource::Microphone);
    lab.publish(ada, "mic2", TrackSource::ScreenShareAudio);
    let tracks: Vec<_> = lab.forwarder.tracks.keys().copied().collect();
    let room = parvis_sfu::RoomId(5);
    lab.clear();
    lab.event(Event::Speakers { room, speakers: vec![(tracks[0], 0.5), (tracks[1], 0.2)] });
    lab.event(Event::Speakers { room, speakers: vec![(tracks[0], 0.5)] });
    lab.event(Event::Speakers { room, speakers: vec![] });
    let heard: Vec<(f32, bool)> = lab
        .client(bob)
        .inbox
        .iter()
        .filter_map(|m| if let Response::SpeakersChanged(s) = m { Some(s.speakers.clone()) } else { None })
        .flatten()
        .map(|speaker| (speaker.level, speaker.active))
        .collect();
    assert_eq!(heard, [(0.5, true), (0.0, false)]);
}

#[test]
fn a_track_that_an_offer_left_out_is_asked_for_once() {
    let asked =
        |lab: &Lab, who| lab.client(who).kinds().iter().filter(|k| *k == "MediaSectionsRequirement").count();
    for (params, expected) in [(single(), 1), (dual(), 0)] {
        let mut lab = Lab::new();
        let ada = lab.join_by("ada", params);
        lab.pass(Duration::from_secs(1));
        lab.clear();
        lab.send(ada, Request::AddTrack(track("cam", TrackSource::Camera)));
        lab.pass(Duration::from_secs(1));
        assert_eq!(asked(&lab, ada), 0, "its offer may take its time");
        lab.offer(ada, &["other"]);
        lab.pass(Duration::from_millis(499));
        assert_eq!(asked(&lab, ada), 0);
        lab.pass(Duration::from_millis(1));
        assert_eq!(asked(&lab, ada), expected);
        for cids in [["other"], ["cam"]] {
            lab.offer(ada, &cids);
            lab.pass(Duration::from_secs(1));
        }
        assert_eq!(asked(&lab, ada), expected, "never twice, and never once it is there");
        lab.send(ada, Request::AddTrack(track("mic", TrackSource::Microphone)));
        lab.offer(ada, &["cam"]);
        lab.offer(ada, &["cam", "mic"]);
        lab.pass(Duration::from_secs(1));
        assert_eq!(asked(&lab, ada), expected, "the next offer has it");
    }
}
