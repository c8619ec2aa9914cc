// SPDX-License-Identifier: EUPL-1.2
//! What publishers are told of what is wanted, and which codec each subscriber gets.

use std::time::Duration;

use livekit_protocol as proto;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message as Response;
use livekit_protocol::{BackupCodecPolicy, TrackSource};
use parvis_peer::sdp::CodecKind;
use parvis_sfu::{Event, SubscriptionId, TrackId};
use parvis_signal::ConnectionId;

use crate::lab::*;

fn simulcast() -> proto::AddTrackRequest {
    proto::AddTrackRequest { layers: layers(), ..track("cam", TrackSource::Camera) }
}

fn with_backup(policy: BackupCodecPolicy) -> proto::AddTrackRequest {
    let codec = |codec: &str, cid: &str| proto::SimulcastCodec {
        codec: codec.into(),
        cid: cid.into(),
        ..Default::default()
    };
    proto::AddTrackRequest {
        simulcast_codecs: vec![codec("vp9", "cam"), codec("vp8", "")],
        backup_codec_policy: policy.into(),
        ..simulcast()
    }
}

/// Publishes and has the section come up.
fn publish(lab: &mut Lab, who: ConnectionId, request: proto::AddTrackRequest) -> String {
    lab.send(who, Request::AddTrack(request));
    lab.offer(who, &["cam"]);
    lab.published_sid(who, "cam").unwrap()
}

/// What a publisher was told since the last look: of each message, each codec with its highest layer.
fn told(lab: &mut Lab, who: ConnectionId) -> Vec<Vec<(String, Option<i32>)>> {
    let messages: Vec<proto::SubscribedQualityUpdate> = lab
        .client(who)
        .inbox
        .iter()
        .filter_map(|message| match message {
            Response::SubscribedQualityUpdate(update) => Some(update.clone()),
            _ => None,
        })
        .collect();
    lab.clear();
    messages
        .iter()
        .map(|update| {
            #[allow(deprecated)]
            let old_form = &update.subscribed_qualities;
            assert_eq!(
                *old_form, update.subscribed_codecs[0].qualities,
                "older clients read the first codec"
            );
            let highest = |codec: &proto::SubscribedCodec| {
                let named: Vec<i32> = codec.qualities.iter().map(|each| each.quality).collect();
                assert_eq!(named, [0, 1, 2], "every layer is named");
                let on = codec.qualities.iter().filter(|each| each.enabled).count() as i32;
                assert!(codec.qualities.iter().all(|each| each.enabled == (each.quality < on)));
                (on > 0).then(|| on - 1)
            };
            update.subscribed_codecs.iter().map(|codec| (codec.codec.clone(), highest(codec))).collect()
        })
        .collect()
}

fn show(lab: &mut Lab, who: ConnectionId, sid: &str, size: (u32, u32), disabled: bool) {
    let setting = proto::UpdateTrackSettings {
        track_sids: vec![sid.into()],
        width: size.0,
        height: size.1,
        disabled,
        ..Default::default()
    };
    lab.send(who, Request::TrackSetting(setting));
}

fn vp8(highest: Option<i32>) -> Vec<(String, Option<i32>)> {
    vec![("vp8".into(), highest)]
}

#[test]
fn a_publisher_is_told_at_once_of_more_and_later_of_less() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    let bob = lab.join("bob");
    lab.clear();
    let cam = publish(&mut lab, ada, simulcast());
    assert_eq!(told(&mut lab, ada), [vp8(Some(2))], "a first message");
    show(&mut lab, bob, &cam, (300, 170), false);
    lab.pass(Duration::from_millis(4900));
    assert!(told(&mut lab, ada).is_empty());
    lab.pass(Duration::from_millis(200));
    assert_eq!(told(&mut lab, ada), [vp8(Some(0))]);
    show(&mut lab, bob, &cam, (1280, 720), false);
    assert_eq!(told(&mut lab, ada), [vp8(Some(2))]);
    show(&mut lab, bob, &cam, (1280, 720), true);
    lab.pass(Duration::from_secs(6));
    assert_eq!(told(&mut lab, ada), [vp8(None)], "a hidden track rests");
    show(&mut lab, bob, &cam, (640, 360), false);
    assert_eq!(told(&mut lab, ada), [vp8(Some(1))]);
}

#[test]
fn the_widest_wish_counts_and_goes_with_who_had_it() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    let bob = lab.join("bob");
    let carol = lab.join("carol");
    let cam = publish(&mut lab, ada, simulcast());
    show(&mut lab, bob, &cam, (300, 170), false);
    show(&mut lab, carol, &cam, (600, 300), false);
    lab.pass(Duration::from_secs(6));
    assert_eq!(told(&mut lab, ada).last(), Some(&vp8(Some(1))));
    lab.send(carol, Request::Leave(proto::LeaveRequest::default()));
    lab.pass(Duration::from_secs(6));
    assert_eq!(told(&mut lab, ada), [vp8(Some(0))]);
    let update = proto::UpdateSubscription { track_sids: vec![cam], subscribe: false, ..Default::default() };
    lab.send(bob, Request::Subscription(update));
    lab.pass(Duration::from_secs(6));
    assert_eq!(told(&mut lab, ada), [vp8(None)]);
    lab.join("dora");
    assert_eq!(told(&mut lab, ada), [vp8(Some(2))], "who comes gets all until it says what it shows");
}

#[test]
fn nobody_is_told_who_has_no_choice_and_who_comes_back_is_told_again() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    lab.clear();
    publish(&mut lab, ada, track("cam", TrackSource::Camera));
    lab.pass(Duration::from_secs(6));
    assert!(told(&mut lab, ada).is_empty(), "one layer, one codec");
    let request = proto::AddTrackRequest { cid: "two".into(), ..simulcast() };
    lab.send(ada, Request::AddTrack(request));
    lab.offer(ada, &["cam", "two"]);
    assert_eq!(told(&mut lab, ada), [vp8(Some(2))]);
    let sid = lab.sid(ada);
    lab.drop_socket(ada);
    lab.pass(Duration::from_secs(6));
    let again = lab.resume("ada", &sid);
    assert_eq!(told(&mut lab, again), [vp8(None)]);
}

fn both(vp9: Option<i32>, vp8: Option<i32>) -> Vec<(String, Option<i32>)> {
    vec![("vp9".into(), vp9), ("vp8".into(), vp8)]
}

/// Ada publishes VP9 with a backup; Bob and Carol receive; Carol can't take VP9. Gives the subscriptions.
fn refused(policy: BackupCodecPolicy) -> (Lab, ConnectionId, SubscriptionId, SubscriptionId, String) {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    let bob = lab.join("bob");
    let carol = lab.join("carol");
    let cam = publish(&mut lab, ada, with_backup(policy));
    let first = *lab.forwarder.tracks.keys().next().unwrap();
    lab.event(Event::TrackStarted { track: first, codec: CodecKind::Vp9 });
    let of = |lab: &Lab, who| {
        let peer = lab.primary(who);
        *lab.forwarder.subscriptions.iter().find(|(_, value)| value.0 == peer).unwrap().0
    };
    let (bobs, carols) = (of(&lab, bob), of(&lab, carol));
    let first_word = told(&mut lab, ada);
    assert!(first_word.iter().all(|word| word[1].1.is_none()), "no backup as long as nobody needs it");
    lab.event(Event::CodecUnsupported { subscription: carols, codec: CodecKind::Vp9 });
    assert_eq!(told(&mut lab, ada), [both(Some(2), Some(2))]);
    (lab, ada, bobs, carols, cam)
}

/// Ada sends the backup that she was asked for.
fn send_backup(lab: &mut Lab, ada: ConnectionId, sid: &str, policy: BackupCodecPolicy) -> TrackId {
    let backup = proto::SimulcastCodec { codec: "vp8".into(), cid: "cam2".into(), ..Default::default() };
    let request =
        proto::AddTrackRequest { sid: sid.into(), simulcast_codecs: vec![backup], ..with_backup(policy) };
    lab.send(ada, Request::AddTrack(request));
    lab.offer(ada, &["cam", "cam2"]);
    *lab.forwarder.tracks.keys().next_back().unwrap()
}

#[test]
fn who_cannot_take_the_first_codec_is_switched_to_the_backup_when_it_comes() {
    let policy = BackupCodecPolicy::Simulcast;
    let (mut lab, ada, bobs, carols, cam) = refused(policy);
    let first = lab.forwarder.subscriptions[&bobs].1;
    let backup = send_backup(&mut lab, ada, &cam, policy);
    assert_eq!(lab.forwarder.subscriptions[&carols].1, first, "nothing came yet");
    lab.event(Event::TrackStarted { track: backup, codec: CodecKind::Vp8 });
    assert_eq!(lab.forwarder.subscriptions[&carols].1, backup);
    assert_eq!(lab.forwarder.subscriptions[&bobs].1, first, "who can take the first codec keeps it");
    // When nobody needs the backup any more, it rests.
    told(&mut lab, ada);
    let carol = lab.connection_of("carol");
    lab.send(carol, Request::Leave(proto::LeaveRequest::default()));
    lab.pass(Duration::from_secs(6));
    assert_eq!(told(&mut lab, ada), [both(Some(2), None)]);
}

#[test]
fn by_policy_all_follow_and_the_first_codec_rests() {
    for policy in [BackupCodecPolicy::PreferRegression, BackupCodecPolicy::Regression] {
        let (mut lab, ada, bobs, carols, cam) = refused(policy);
        let backup = send_backup(&mut lab, ada, &cam, policy);
        lab.event(Event::TrackStarted { track: backup, codec: CodecKind::Vp8 });
        assert_eq!(lab.forwarder.subscriptions[&carols].1, backup);
        assert_eq!(lab.forwarder.subscriptions[&bobs].1, backup);
        lab.pass(Duration::from_secs(6));
        assert_eq!(told(&mut lab, ada), [both(None, Some(2))], "{policy:?}");
        lab.join("dora");
        assert!(lab.forwarder.subscriptions.values().all(|value| value.1 == backup));

        // Bob turns out to be unable to take the backup.
        lab.event(Event::CodecUnsupported { subscription: bobs, codec: CodecKind::Vp8 });
        lab.pass(Duration::from_secs(6));
        let first = *lab.forwarder.tracks.keys().next().unwrap();
        let preferred = policy == BackupCodecPolicy::PreferRegression;
        assert_eq!(lab.forwarder.subscriptions[&bobs].1 == first, preferred, "{policy:?}");
        assert_eq!(lab.forwarder.subscriptions[&carols].1, backup);
    }
}

#[test]
fn a_backup_that_ends_leaves_its_subscribers_on_the_first_codec() {
    let policy = BackupCodecPolicy::Simulcast;
    let (mut lab, ada, _, carols, cam) = refused(policy);
    let backup = send_backup(&mut lab, ada, &cam, policy);
    lab.event(Event::TrackStarted { track: backup, codec: CodecKind::Vp8 });
    lab.event(Event::TrackEnded { track: backup });
    assert_eq!(lab.forwarder.tracks.len(), 1);
    assert_ne!(lab.forwarder.subscriptions[&carols].1, backup);
    // The client may send it again under another id.
    let again = send_backup(&mut lab, ada, &cam, policy);
    lab.event(Event::TrackStarted { track: again, codec: CodecKind::Vp8 });
    assert_eq!(lab.forwarder.subscriptions[&carols].1, again);
}

#[test]
fn a_refusal_without_a_backup_disturbs_nobody() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    lab.join("bob");
    publish(&mut lab, ada, simulcast());
    let subscription = *lab.forwarder.subscriptions.keys().next().unwrap();
    lab.clear();
    for _ in 0..3 {
        lab.event(Event::CodecUnsupported { subscription, codec: CodecKind::Vp8 });
    }
    lab.event(Event::CodecUnsupported { subscription: SubscriptionId(999), codec: CodecKind::Vp8 });
    assert!(lab.forwarder.commands.is_empty());
    lab.pass(Duration::from_secs(6));
    assert_eq!(told(&mut lab, ada), [vp8(None)], "what nobody can see need not be sent");
}
