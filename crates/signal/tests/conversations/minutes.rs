// SPDX-License-Identifier: EUPL-1.2
//! What recorders have of words: chat where the room allows it, captions of those whose sound they have, and nothing else.

use std::time::{Duration, Instant};

use livekit_protocol as proto;
use livekit_protocol::TrackSource;
use livekit_protocol::data_packet::Value;
use parvis_meeting::Kind;
use parvis_sfu::{DataChannel, OUTLET_KEY_BYTES, OutletKey, OutletSpec};
use parvis_signal::{
    Actor, Conduct, ConnectionId, Control, Grants, Output, RecordScope, RecordedCaption, Recorder,
    RecordingNews, RoomConfig, RoomSettings,
};
use serde_json::json;

use crate::lab::*;

fn recorded(lab: &mut Lab, identity: &str, scope: RecordScope) {
    let recorder = Recorder { identity: identity.to_owned(), name: "Recording".to_owned(), scope };
    lab.room.announce_recorder(lab.now, recorder).unwrap();
    let outlet = OutletSpec {
        to: ([127, 0, 0, 1], 9).into(),
        key: OutletKey([identity.len() as u8; OUTLET_KEY_BYTES]),
    };
    lab.room.open_outlet(lab.now, identity, outlet).unwrap();
    lab.pump();
    lab.recorded.clear();
}

fn agree(lab: &mut Lab, identity: &str) {
    let actor = Actor { identity: identity.to_owned(), not_before: 1_800_000_000 };
    lab.control_as(&actor, Control::Consent(Some(true))).unwrap();
}

/// What recorders hear of a command on the meeting's own socket of somebody.
fn asks(lab: &mut Lab, identity: &str, command: &serde_json::Value) -> Vec<(String, RecordingNews)> {
    let socket = ConnectionId(10_000);
    lab.room.take_part(lab.now, socket, identity, u64::MAX).unwrap();
    lab.room.text(lab.now, socket, &command.to_string());
    lab.room.disconnected(lab.now, socket);
    let mut heard = Vec::new();
    while let Some(output) = lab.room.poll_output() {
        if let Output::Recording { identity, news } = output {
            heard.push((identity, *news));
        }
    }
    heard
}

fn say(text: &str) -> serde_json::Value {
    json!({ "id": 1, "do": "chat.send", "text": text })
}

fn texts(heard: &[(String, RecordingNews)]) -> Vec<(&str, &str, u64)> {
    let text = |(recorder, news): &'_ (String, RecordingNews)| match news {
        RecordingNews::Chat(_) => Some(recorder.len()),
        _ => None,
    };
    assert_eq!(heard.iter().filter_map(text).count(), heard.len(), "{heard:?}");
    heard
        .iter()
        .filter_map(|(recorder, news)| match news {
            RecordingNews::Chat(message) => Some((recorder.as_str(), message.text.as_str(), message.message)),
            _ => None,
        })
        .collect()
}

fn with_chat() -> RoomConfig {
    RoomConfig { recording_chat: true, ..RoomConfig::default() }
}

#[test]
fn what_is_written_to_all_is_recorded_until_it_is_taken_back_and_never_what_is_private() {
    let mut lab = Lab::with(with_chat());
    let ada = lab.join("ada");
    lab.join("bob");
    assert_eq!(asks(&mut lab, "ada", &say("before anybody records")), []);
    recorded(&mut lab, "EG_room", RecordScope::Room);
    recorded(&mut lab, "EG_one", RecordScope::Participant("ada".to_owned()));
    let heard = asks(&mut lab, "ada", &say("Good morning"));
    assert_eq!(texts(&heard), [("EG_room", "Good morning", 2)], "the one of a person keeps none");
    let RecordingNews::Chat(message) = &heard[0].1 else { panic!("{heard:?}") };
    assert_eq!((message.identity.as_str(), &message.participant_sid), ("ada", &lab.sid(ada)));
    let private = json!({ "id": 2, "do": "chat.send", "text": "between us", "to": "bob" });
    assert_eq!(asks(&mut lab, "ada", &private), []);
    let retract = json!({ "id": 3, "do": "chat.retract", "message": 2 });
    let heard = asks(&mut lab, "ada", &retract);
    assert_eq!(heard, [("EG_room".to_owned(), RecordingNews::ChatRetracted { message: 2 })]);
}

#[test]
fn where_chat_is_not_to_be_kept_none_is() {
    let tagged = |word: &str| proto::RoomConfiguration {
        tags: [("parvis.recording_chat".to_owned(), word.to_owned())].into(),
        ..Default::default()
    };
    for (config, word, kept) in [
        (RoomConfig::default(), "keep", false),
        (with_chat(), "keep", true),
        (with_chat(), "none", false),
        (with_chat(), "kept", false),
    ] {
        let mut lab = Lab::with(config);
        lab.control(Control::Configure(RoomSettings::of(&tagged(word)))).unwrap();
        lab.join("ada");
        recorded(&mut lab, "EG_1", RecordScope::Room);
        assert_eq!(asks(&mut lab, "ada", &say("Hello")).len(), usize::from(kept), "{word}");
    }
    // A room that is sealed from end to end takes no recorder at all.
    let mut lab = Lab::with(with_chat());
    let founding = parvis_meeting::assembly::Founding { e2ee: true, ..Default::default() };
    let conduct = Conduct { limits: Default::default(), founding, policy: Default::default(), record: None };
    lab.room.conduct(lab.now, conduct);
    lab.join("ada");
    let (identity, name) = ("EG_1".to_owned(), "Recording".to_owned());
    let recorder = Recorder { identity, name, scope: RecordScope::Room };
    assert!(lab.room.announce_recorder(lab.now, recorder).is_err());
    assert_eq!(asks(&mut lab, "ada", &say("c2VhbGVk")), []);
}

#[test]
fn row_52_nobodys_words_are_kept_who_has_not_agreed() {
    let mut lab = Lab::with(RoomConfig { recording_consent: true, ..with_chat() });
    let ada = lab.join("ada");
    let agent = lab.join_as(Grants { kind: Kind::Agent, ..Grants::of("scribe") });
    let track = lab.publish(ada, "microphone", TrackSource::Microphone);
    recorded(&mut lab, "EG_1", RecordScope::Room);
    assert_eq!(asks(&mut lab, "ada", &say("not for the record")), []);
    lab.data(agent, DataChannel::Reliable, &caption(1, "ada", &track, "nor this", true));
    assert_eq!(lab.recorded, []);
    agree(&mut lab, "ada");
    lab.recorded.clear();
    assert_eq!(asks(&mut lab, "ada", &say("for the record")).len(), 1);
    lab.data(agent, DataChannel::Reliable, &caption(2, "ada", &track, "and this", true));
    assert_eq!(captions(&lab).len(), 1);
}

/// One of the older packets, of one segment.
fn caption(sequence: u32, identity: &str, track: &str, text: &str, last: bool) -> proto::DataPacket {
    let segment = proto::TranscriptionSegment {
        id: "SG_1".to_owned(),
        text: text.to_owned(),
        r#final: last,
        ..Default::default()
    };
    let whole = proto::Transcription {
        transcribed_participant_identity: identity.to_owned(),
        track_id: track.to_owned(),
        segments: vec![segment],
    };
    proto::DataPacket { sequence, value: Some(Value::Transcription(whole)), ..Default::default() }
}

fn captions(lab: &Lab) -> Vec<(&str, &RecordedCaption)> {
    let caption = |(recorder, news): &'_ (String, RecordingNews)| match news {
        RecordingNews::Caption(_) => Some(recorder.len()),
        _ => None,
    };
    assert!(lab.recorded.iter().all(|news| caption(news).is_some()), "{:?}", lab.recorded);
    lab.recorded
        .iter()
        .filter_map(|(recorder, news)| match news {
            RecordingNews::Caption(caption) => Some((recorder.as_str(), &**caption)),
            _ => None,
        })
        .collect()
}

#[test]
fn captions_go_to_those_who_have_the_sound_with_who_spoke_and_since_when() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    let agent = lab.join_as(Grants { kind: Kind::Agent, ..Grants::of("scribe") });
    let track = lab.publish(ada, "microphone", TrackSource::Microphone);
    lab.data(agent, DataChannel::Reliable, &caption(1, "ada", &track, "before anybody records", true));
    recorded(&mut lab, "EG_room", RecordScope::Room);
    recorded(&mut lab, "EG_ada", RecordScope::Participant("ada".to_owned()));
    recorded(&mut lab, "EG_scribe", RecordScope::Participant("scribe".to_owned()));
    recorded(&mut lab, "EG_track", RecordScope::Tracks([track.clone()].into()));
    let from: Instant = lab.now;
    lab.data(agent, DataChannel::Reliable, &caption(2, "ada", &track, "Good", false));
    lab.now += Duration::from_secs(2);
    lab.data(agent, DataChannel::Reliable, &caption(3, "ada", &track, "Good\u{202E} morning\n", true));
    let heard = captions(&lab);
    assert_eq!(heard.iter().map(|(recorder, _)| *recorder).collect::<Vec<_>>().len(), 3, "{heard:?}");
    assert!(heard.iter().all(|(recorder, _)| ["EG_room", "EG_ada", "EG_track"].contains(recorder)));
    let expected = RecordedCaption {
        participant_sid: lab.sid(ada),
        track_sid: Some(track),
        text: "Good morning".to_owned(),
        from,
    };
    assert!(heard.iter().all(|(_, caption)| **caption == expected), "{heard:?}");
}

#[test]
fn captions_that_can_not_be_kept_are_counted() {
    let mut lab = Lab::new();
    lab.join("ada");
    let agent = lab.join_as(Grants { kind: Kind::Agent, ..Grants::of("scribe") });
    let many = |sequence: u32| {
        let mut packet = caption(sequence, "ada", "", "Good morning", true);
        let Some(Value::Transcription(whole)) = &mut packet.value else { panic!("no caption") };
        whole.segments = vec![whole.segments[0].clone(); 65];
        packet
    };
    lab.data(agent, DataChannel::Reliable, &many(1));
    assert_eq!(lab.room.stats().captions_dropped, 0, "where nobody records, nothing is lost");
    recorded(&mut lab, "EG_room", RecordScope::Room);
    lab.data(agent, DataChannel::Reliable, &many(2));
    assert_eq!(lab.room.stats().captions_dropped, 1);
    lab.data(agent, DataChannel::Reliable, &caption(3, "ada", "", "Good morning", true));
    assert_eq!(lab.room.stats().captions_dropped, 1, "what is kept is not counted");
}

#[test]
fn row_31_what_others_said_only_agents_write_down_and_what_is_for_some_is_not_for_the_record() {
    let mut lab = Lab::new();
    let (ada, mallory) = (lab.join("ada"), lab.join("mallory"));
    let agent = lab.join_as(Grants { kind: Kind::Agent, ..Grants::of("scribe") });
    let track = lab.publish(ada, "microphone", TrackSource::Microphone);
    recorded(&mut lab, "EG_1", RecordScope::Room);
    for packet in [caption(1, "ada", &track, "I resign", true), caption(2, "ada", "", "I resign", true)] {
        lab.data(mallory, DataChannel::Reliable, &packet);
    }
    lab.data(agent, DataChannel::Reliable, &caption(1, "ada", "TR_none", "of no track", true));
    let private = proto::DataPacket {
        destination_identities: vec!["mallory".to_owned()],
        ..caption(2, "ada", &track, "for one", true)
    };
    lab.data(agent, DataChannel::Reliable, &private);
    assert_eq!(lab.recorded, []);
    lab.data(ada, DataChannel::Reliable, &caption(1, "ada", &track, "I stay", true));
    let heard = captions(&lab);
    assert_eq!((heard.len(), heard[0].1.text.as_str()), (1, "I stay"), "her own client may");
}
