// SPDX-License-Identifier: EUPL-1.2
//! The protocol from one end to the other: every request there is, and every response. What each of them does in full is
//! shown where it belongs; here one can't be forgotten, and a new one in `livekit-protocol` doesn't compile.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use livekit_protocol as proto;
use livekit_protocol::TrackSource;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message as Response;
use livekit_protocol::simulate_scenario::Scenario;
use parvis_sfu::{Event, QualityReport, RoomId};
use parvis_signal::{ConnectionId, Control, Grants, Join, Room, RoomConfig};

use crate::lab::*;

const REQUESTS: [&str; 22] = [
    "offer",
    "answer",
    "trickle",
    "add_track",
    "mute",
    "subscription",
    "track_setting",
    "leave",
    "update_layers",
    "subscription_permission",
    "sync_state",
    "simulate",
    "ping",
    "update_metadata",
    "ping_req",
    "update_audio_track",
    "update_video_track",
    "publish_data_track_request",
    "unpublish_data_track_request",
    "update_data_subscription",
    "store_data_blob_request",
    "get_data_blob_request",
];

/// All but `trickle`: our candidates are known before anyone comes, so that they stand in the descriptions (RFC 8838
/// section 6 has half trickle), and nothing is left to be sent after them.
const RESPONSES: [&str; 29] = [
    "join",
    "answer",
    "offer",
    "update",
    "track_published",
    "leave",
    "mute",
    "speakers_changed",
    "room_update",
    "connection_quality",
    "stream_state_update",
    "subscribed_quality_update",
    "subscription_permission_update",
    "refresh_token",
    "track_unpublished",
    "pong",
    "reconnect",
    "pong_resp",
    "subscription_response",
    "request_response",
    "track_subscribed",
    "room_moved",
    "media_sections_requirement",
    "subscribed_audio_codec_update",
    "publish_data_track_response",
    "unpublish_data_track_response",
    "data_track_subscriber_handles",
    "store_data_blob_response",
    "get_data_blob_response",
];

fn name_of_request(request: &Request) -> &'static str {
    match request {
        Request::Offer(_) => "offer",
        Request::Answer(_) => "answer",
        Request::Trickle(_) => "trickle",
        Request::AddTrack(_) => "add_track",
        Request::Mute(_) => "mute",
        Request::Subscription(_) => "subscription",
        Request::TrackSetting(_) => "track_setting",
        Request::Leave(_) => "leave",
        Request::UpdateLayers(_) => "update_layers",
        Request::SubscriptionPermission(_) => "subscription_permission",
        Request::SyncState(_) => "sync_state",
        Request::Simulate(_) => "simulate",
        Request::Ping(_) => "ping",
        Request::UpdateMetadata(_) => "update_metadata",
        Request::PingReq(_) => "ping_req",
        Request::UpdateAudioTrack(_) => "update_audio_track",
        Request::UpdateVideoTrack(_) => "update_video_track",
        Request::PublishDataTrackRequest(_) => "publish_data_track_request",
        Request::UnpublishDataTrackRequest(_) => "unpublish_data_track_request",
        Request::UpdateDataSubscription(_) => "update_data_subscription",
        Request::StoreDataBlobRequest(_) => "store_data_blob_request",
        Request::GetDataBlobRequest(_) => "get_data_blob_request",
    }
}

fn name_of_response(response: &Response) -> &'static str {
    match response {
        Response::Join(_) => "join",
        Response::Answer(_) => "answer",
        Response::Offer(_) => "offer",
        Response::Trickle(_) => "trickle",
        Response::Update(_) => "update",
        Response::TrackPublished(_) => "track_published",
        Response::Leave(_) => "leave",
        Response::Mute(_) => "mute",
        Response::SpeakersChanged(_) => "speakers_changed",
        Response::RoomUpdate(_) => "room_update",
        Response::ConnectionQuality(_) => "connection_quality",
        Response::StreamStateUpdate(_) => "stream_state_update",
        Response::SubscribedQualityUpdate(_) => "subscribed_quality_update",
        Response::SubscriptionPermissionUpdate(_) => "subscription_permission_update",
        Response::RefreshToken(_) => "refresh_token",
        Response::TrackUnpublished(_) => "track_unpublished",
        Response::Pong(_) => "pong",
        Response::Reconnect(_) => "reconnect",
        Response::PongResp(_) => "pong_resp",
        Response::SubscriptionResponse(_) => "subscription_response",
        Response::RequestResponse(_) => "request_response",
        Response::TrackSubscribed(_) => "track_subscribed",
        Response::RoomMoved(_) => "room_moved",
        Response::MediaSectionsRequirement(_) => "media_sections_requirement",
        Response::SubscribedAudioCodecUpdate(_) => "subscribed_audio_codec_update",
        Response::PublishDataTrackResponse(_) => "publish_data_track_response",
        Response::UnpublishDataTrackResponse(_) => "unpublish_data_track_response",
        Response::DataTrackSubscriberHandles(_) => "data_track_subscriber_handles",
        Response::StoreDataBlobResponse(_) => "store_data_blob_response",
        Response::GetDataBlobResponse(_) => "get_data_blob_response",
    }
}

/// A meeting in which everything is said once, as bytes or as JSON.
struct Story {
    lab: Lab,
    json: bool,
    said: BTreeSet<&'static str>,
}

impl Story {
    /// Says it. Gives what its sender was told upon it.
    fn say(&mut self, of: ConnectionId, request: Request) -> BTreeSet<&'static str> {
        self.said.insert(name_of_request(&request));
        let before = self.lab.client(of).inbox.len();
        if self.json {
            let request = proto::SignalRequest { message: Some(request) };
            let text = serde_json::to_string(&request).unwrap();
            self.lab.room.text(self.lab.now, of, &text);
            self.lab.pump();
        } else {
            self.lab.send(of, request);
        }
        self.lab.client(of).inbox[before..].iter().map(name_of_response).collect()
    }

    /// What all of them were told.
    fn heard(&self) -> BTreeSet<&'static str> {
        self.lab.clients.values().flat_map(|client| client.inbox.iter().map(name_of_response)).collect()
    }
}

/// Sound that is published in two codecs.
fn doubled_sound(cid: &str) -> proto::AddTrackRequest {
    let codec = |codec: &str| proto::SimulcastCodec {
        codec: codec.into(),
        cid: format!("{cid}-{codec}"),
        ..Default::default()
    };
    proto::AddTrackRequest {
        simulcast_codecs: vec![codec("opus"), codec("red")],
        ..track(cid, TrackSource::Microphone)
    }
}

fn description(sdp: &str) -> proto::SessionDescription {
    proto::SessionDescription { r#type: "offer".into(), sdp: sdp.into(), id: 1, ..Default::default() }
}

#[test]
fn every_request_is_taken_and_every_response_is_heard_in_bytes_and_in_json() {
    for json in [false, true] {
        let lab = Lab::with(RoomConfig { simulate: true, ..RoomConfig::default() });
        let mut story = Story { lab, json, said: BTreeSet::new() };
        tell(&mut story);
        assert_eq!(story.said, BTreeSet::from(REQUESTS), "json: {json}");
        assert_eq!(story.heard(), BTreeSet::from(RESPONSES), "json: {json}");
        assert_eq!(story.lab.room.stats().requests_unknown, 0);
    }
}

fn tell(story: &mut Story) {
    let ada = story.lab.join("ada");
    let bob = story.lab.join_by("bob", single());

    // What is published and received.
    story.say(
        ada,
        Request::AddTrack(proto::AddTrackRequest { layers: layers(), ..track("cam", TrackSource::Camera) }),
    );
    story.say(ada, Request::AddTrack(doubled_sound("mic")));
    story.say(ada, Request::Offer(description("v=0 cam mic")));
    let [cam, mic] = ["cam", "mic"].map(|cid| story.lab.published_sid(ada, cid).unwrap());
    story.say(ada, Request::Answer(description("v=0")));
    let candidate_init = r#"{"candidate":"candidate:1 1 udp 1 192.0.2.1 4000 typ host"}"#.to_owned();
    story.say(ada, Request::Trickle(proto::TrickleRequest { candidate_init, ..Default::default() }));
    let peer = story.lab.primary(bob);
    story.lab.event(Event::MediaSectionsRequired { peer, audios: 1, videos: 1 });
    let (subscription, _) = story.lab.forwarder.subscriptions.iter().next().unwrap();
    let subscription = *subscription;
    story.lab.event(Event::SubscriptionStarted { subscription });
    story.lab.event(Event::StreamState { subscription, paused: true });
    story.say(ada, Request::Mute(proto::MuteTrackRequest { sid: mic.clone(), muted: true }));
    story.say(ada, Request::Mute(proto::MuteTrackRequest { sid: mic.clone(), muted: false }));
    let track_sid = cam.clone();
    story.say(
        ada,
        Request::UpdateVideoTrack(proto::UpdateLocalVideoTrack { track_sid, width: 640, height: 360 }),
    );
    let track_sid = cam.clone();
    story.say(ada, Request::UpdateLayers(proto::UpdateVideoLayers { track_sid, layers: layers() }));
    let features = vec![proto::AudioTrackFeature::TfStereo.into()];
    let track_sid = mic.clone();
    story.say(ada, Request::UpdateAudioTrack(proto::UpdateLocalAudioTrack { track_sid, features }));
    let track_sids = vec![cam.clone()];
    story.say(
        bob,
        Request::TrackSetting(proto::UpdateTrackSettings {
            track_sids,
            disabled: true,
            ..Default::default()
        }),
    );
    story.lab.pass(Duration::from_secs(10));
    let unknown = vec!["TR_unknown".to_owned()];
    story.say(
        bob,
        Request::Subscription(proto::UpdateSubscription {
            track_sids: unknown,
            subscribe: true,
            ..Default::default()
        }),
    );
    for all_participants in [false, true] {
        let permission = proto::SubscriptionPermission { all_participants, ..Default::default() };
        story.say(ada, Request::SubscriptionPermission(permission));
    }

    // What is said besides.
    assert_eq!(story.say(ada, Request::Ping(7)), BTreeSet::from(["pong"]));
    assert_eq!(story.say(ada, Request::PingReq(proto::Ping::default())), BTreeSet::from(["pong_resp"]));
    story.say(
        ada,
        Request::UpdateMetadata(proto::UpdateParticipantMetadata {
            name: "Ada".into(),
            request_id: 3,
            ..Default::default()
        }),
    );
    let publish = proto::PublishDataTrackRequest { pub_handle: 1, name: "pose".into(), ..Default::default() };
    story.say(ada, Request::PublishDataTrackRequest(publish));
    let track_sid = story.lab.client(bob).roster["ada"].data_tracks[0].sid.clone();
    let update = proto::update_data_subscription::Update { track_sid, subscribe: true, options: None };
    story.say(bob, Request::UpdateDataSubscription(proto::UpdateDataSubscription { updates: vec![update] }));
    story.say(ada, Request::UnpublishDataTrackRequest(proto::UnpublishDataTrackRequest { pub_handle: 1 }));
    let key = Some(proto::DataBlobKey { key: Some(proto::data_blob_key::Key::Generic("pose".into())) });
    let blob = Some(proto::DataBlob { key: key.clone(), contents: b"a hand".to_vec() });
    story.say(ada, Request::StoreDataBlobRequest(proto::StoreDataBlobRequest { request_id: 4, blob }));
    let participant_identity = "ada".to_owned();
    story.say(
        bob,
        Request::GetDataBlobRequest(proto::GetDataBlobRequest { request_id: 5, participant_identity, key }),
    );
    story.say(ada, Request::Simulate(proto::SimulateScenario { scenario: Some(Scenario::SpeakerUpdate(1)) }));

    // What the server says by itself, and what it is told to.
    story
        .lab
        .event(Event::Quality { peer, report: QualityReport { uplink_loss: 0.2, ..Default::default() } });
    story.lab.pass(Duration::from_secs(2));
    let (identity, track_sid) = ("ada".to_owned(), mic);
    let mute = proto::MuteRoomTrackRequest { identity, track_sid, muted: true, ..Default::default() };
    story.lab.control(Control::MuteTrack(mute)).unwrap();
    story.lab.room.refreshed(ada, "a token".to_owned());
    story.lab.pump();

    // Who comes back, who goes elsewhere, who leaves.
    let track = *story.lab.forwarder.tracks.keys().next().unwrap();
    story.lab.event(Event::TrackEnded { track });
    let sid = story.lab.sid(ada);
    story.lab.drop_socket(ada);
    let ada = story.lab.resume("ada", &sid);
    story.say(ada, Request::SyncState(proto::SyncState::default()));
    let now = Instant::now();
    let mut salon =
        Room::new(Arc::new(RoomConfig::default()), RoomId(6), "salon", [3; 32], now, START_UNIX_MS);
    let join = Join { grants: Grants::of("carol"), params: dual(), address: String::new() };
    salon.connect(now, ConnectionId(1), join).unwrap();
    let view = salon.view_for(&Grants::of("bob")).unwrap();
    assert!(story.lab.room.move_to(story.lab.now, "bob", view, "another token".to_owned()));
    story.lab.pump();
    story.say(ada, Request::Leave(proto::LeaveRequest::default()));
    assert_eq!(story.lab.room.sessions(), 0);
}

#[test]
fn older_clients_say_by_their_layers_how_large_a_picture_has_become() {
    let mut lab = Lab::new();
    let (ada, bob) = (lab.join("ada"), lab.join("bob"));
    let cam = lab.publish(ada, "cam", TrackSource::Camera);
    let size = |lab: &Lab| {
        let track = &lab.client(bob).roster["ada"].tracks[0];
        (track.width, track.height)
    };
    let say = |lab: &mut Lab, of: ConnectionId, layers: Vec<proto::VideoLayer>| {
        lab.send(of, Request::UpdateLayers(proto::UpdateVideoLayers { track_sid: cam.clone(), layers }));
    };
    // The largest is the picture's, wherever it stands.
    say(&mut lab, ada, layers().into_iter().rev().collect());
    assert_eq!(size(&lab), (1280, 720));
    say(&mut lab, ada, layers()[..1].to_vec());
    assert_eq!(size(&lab), (320, 180));
    // No size says nothing.
    say(&mut lab, ada, vec![]);
    say(&mut lab, ada, vec![proto::VideoLayer::default()]);
    assert_eq!(size(&lab), (320, 180));
    assert_eq!(lab.client(ada).refusal(), None);
    say(&mut lab, bob, layers());
    assert_eq!(lab.client(bob).refusal().unwrap().message, "no such track");
    assert_eq!(size(&lab), (320, 180), "it is ada's alone");
}

#[test]
fn who_publishes_sound_in_two_codecs_is_told_which_of_them_somebody_takes() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    lab.send(ada, Request::AddTrack(doubled_sound("mic")));
    let mic = lab.published_sid(ada, "mic").unwrap();
    lab.offer(ada, &["mic"]);
    let told = |lab: &Lab| {
        let of = |message: &Response| match message {
            Response::SubscribedAudioCodecUpdate(update) => Some(update.clone()),
            _ => None,
        };
        let updates: Vec<_> = lab.client(ada).inbox.iter().filter_map(of).collect();
        assert!(updates.iter().all(|update| update.track_sid == mic));
        updates.last().map(|update| {
            let codecs = update.subscribed_audio_codecs.iter();
            codecs.map(|codec| (codec.codec.clone(), codec.enabled)).collect::<Vec<_>>()
        })
    };
    assert_eq!(told(&lab), None, "nobody is there to take it");
    let bob = lab.join("bob");
    assert_eq!(told(&lab), Some(vec![("opus".to_owned(), true), ("red".to_owned(), false)]));
    let carol = lab.join("carol");
    for (who, taken) in [(bob, true), (carol, false)] {
        let track_sids = vec![mic.clone()];
        lab.send(
            who,
            Request::Subscription(proto::UpdateSubscription {
                track_sids,
                subscribe: false,
                ..Default::default()
            }),
        );
        assert_eq!(told(&lab), Some(vec![("opus".to_owned(), taken), ("red".to_owned(), false)]));
    }

    // Of sound in one codec there is nothing to say.
    let mut lab = Lab::new();
    let (ada, _bob) = (lab.join("ada"), lab.join("bob"));
    lab.publish(ada, "mic", TrackSource::Microphone);
    assert!(!lab.client(ada).kinds().contains(&"SubscribedAudioCodecUpdate".to_owned()));
}
