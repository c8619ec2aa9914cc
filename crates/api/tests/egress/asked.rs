// SPDX-License-Identifier: EUPL-1.2
//! Recordings that somebody asked for, or the room's own rules; and films of them.

use livekit_protocol as proto;
use livekit_protocol::{EgressInfo, EgressStatus as Status};
use parvis_api::{EngineError, TenantId, WebhookConfig, Webhooks};
use serde_json::{Value, json};

use super::common::{everything, grant};
use super::{ask, now, other_token, receiver, studio, token, until};

#[tokio::test]
async fn la_suite_meets_recordings_reach_the_engine_whole_and_are_found_and_stopped() {
    use proto::encoded_file_output::Output::S3;
    use proto::room_composite_egress_request::Options;

    let (server, _folder, notes) = studio().await;
    let s3 = json!({
        "accessKey": "AKIA", "secret": "hush", "region": "eu", "bucket": "meet",
        "endpoint": "https://storage.example.org", "forcePathStyle": true,
    });
    let film = json!({
        "roomName": "atelier", "layout": "speaker-light",
        "fileOutputs": [{ "fileType": "MP4", "filepath": "kept/1.mp4", "s3": s3 }],
        "advanced": {
            "width": 1280, "height": 720, "framerate": 30, "keyFrameInterval": 4,
            "videoCodec": "H264_MAIN", "videoBitrate": 3000, "audioCodec": "AAC", "audioBitrate": 128,
        },
    });
    let sound = json!({
        "roomName": "atelier", "audioOnly": true,
        "fileOutputs": [{ "fileType": "OGG", "filepath": "kept/1.ogg", "s3": s3 }],
    });
    for (request, kind, active) in
        [(film, proto::EncodedFileType::Mp4, true), (sound, proto::EncodedFileType::Ogg, false)]
    {
        let begun = ask(&server, "StartRoomCompositeEgress", request.clone()).await;
        let started = notes.started.lock().unwrap().last().cloned().unwrap();
        let Some(proto::egress_info::Request::RoomComposite(asked)) = started.request else { panic!() };
        assert_eq!(
            (asked.layout.as_str(), asked.audio_only),
            (request["layout"].as_str().unwrap_or(""), !active)
        );
        let [output] = &asked.file_outputs[..] else { panic!("{asked:?}") };
        assert_eq!(
            (output.file_type(), &json!(output.filepath)),
            (kind, &request["fileOutputs"][0]["filepath"])
        );
        let Some(S3(storage)) = &output.output else { panic!("{output:?}") };
        assert_eq!(
            (storage.secret.as_str(), storage.bucket.as_str(), storage.force_path_style),
            ("hush", "meet", true)
        );
        assert_eq!(storage.endpoint, "https://storage.example.org");
        if let Some(Options::Advanced(encoding)) = &asked.options {
            assert_eq!((encoding.width, encoding.video_codec()), (1280, proto::VideoCodec::H264Main));
            assert_eq!((encoding.audio_codec(), encoding.key_frame_interval), (proto::AudioCodec::Aac, 4.0));
        }
        assert_eq!(asked.options.is_some(), active);
        if active {
            server.api.egress_is(&TenantId::default(), now(&begun, Status::EgressActive)).await.unwrap();
        }
        let listed = ask(&server, "ListEgress", json!({ "egressId": begun["egressId"] })).await;
        assert_eq!(listed["items"].as_array().map_or(0, Vec::len), 1);
        let stopped = ask(&server, "StopEgress", json!({ "egressId": begun["egressId"] })).await;
        assert_eq!(
            stopped["status"], "EGRESS_ENDING",
            "its backend takes this and EGRESS_ABORTED for an end"
        );
    }
}

#[tokio::test]
async fn a_moderator_asks_for_a_film_of_the_room_and_is_told_how_far_it_is() {
    let (server, _folder, notes) = studio().await;
    let post = async |body: &str| {
        let head = ["Content-Type: application/json".to_owned()];
        server.post("/api/rooms/atelier/recordings", Some(&token()), &head, body.as_bytes()).await
    };
    for (body, layout) in [
        ("{}", "capture"),
        (r#"{"film":null}"#, "capture"),
        (r#"{"film":{}}"#, ""),
        (r#"{"film":{"layout":"speaker"}}"#, "speaker"),
    ] {
        let (status, answer) = post(body).await;
        assert_eq!(status, 201, "{body}: {}", String::from_utf8_lossy(&answer));
        let started = notes.started.lock().unwrap().last().cloned().unwrap();
        let Some(proto::egress_info::Request::RoomComposite(asked)) = started.request else { panic!() };
        assert_eq!((asked.layout.as_str(), asked.file_outputs.len()), (layout, 1), "{body}");
    }
    for body in [
        r#"{"film":{},"participant":"ada"}"#,
        r#"{"film":{},"track":"TR_1"}"#,
        r#"{"participant":"ada","track":"TR_1"}"#,
    ] {
        assert_eq!(post(body).await.0, 400, "{body}");
    }
    assert_eq!(post(r#"{"film":{"size":"large"}}"#).await.0, 422);
    assert_eq!(notes.told().len(), 4, "nothing else began");

    let started = notes.started.lock().unwrap().last().cloned().unwrap();
    let waits = EgressInfo {
        status: Status::EgressEnding.into(),
        details: "its film waits to be made".into(),
        ..started
    };
    let id = waits.egress_id.clone();
    server.api.egress_is(&TenantId::default(), waits).await.unwrap();
    let head = format!("GET /api/rooms/atelier/recordings HTTP/1.1\r\nAuthorization: Bearer {}", token());
    let listed: Value = serde_json::from_str(&server.request(&head, "").await.body).unwrap();
    let recordings = listed["recordings"].as_array().unwrap();
    let own = recordings.iter().find(|recording| recording["id"] == id).unwrap();
    assert_eq!(
        (&own["status"], &own["details"]),
        (&json!("EGRESS_ENDING"), &json!("its film waits to be made"))
    );
}

#[tokio::test]
async fn a_moderator_has_a_film_made_of_a_recording_that_has_ended_and_of_no_other() {
    let (server, _folder, notes) = studio().await;
    let json = ["Content-Type: application/json".to_owned()];
    let begun = server.post("/api/rooms/atelier/recordings", Some(&token()), &json, b"{}").await;
    assert_eq!(begun.0, 201);
    let mut egress = notes.started.lock().unwrap().last().cloned().unwrap();
    let id = egress.egress_id.clone();
    let post = async |path: String, token: String, body: &str| {
        let (status, answer) = server.post(&path, Some(&token), &json, body.as_bytes()).await;
        (status, serde_json::from_slice::<Value>(&answer).unwrap())
    };
    let path = format!("/api/rooms/atelier/recordings/{id}/film");
    let (status, told) = post(path.clone(), token(), "{}").await;
    assert_eq!((status, &told["code"]), (409, &json!("not_now")), "{told}");
    assert!(told["message"].as_str().unwrap().contains("can't be made another film of"), "{told}");
    egress.set_status(Status::EgressComplete);
    server.api.egress_is(&TenantId::default(), egress).await.unwrap();

    let look = async || {
        let head = format!("GET {path} HTTP/1.1\r\nAuthorization: Bearer {}", token());
        let answer = server.request(&head, "").await;
        (answer.status, serde_json::from_str::<Value>(&answer.body).unwrap())
    };
    assert_eq!(look().await, (200, json!({ "state": "none" })));
    let asked = post(path.clone(), token(), r#"{"layout":"speaker"}"#).await;
    assert_eq!(asked, (202, json!({ "state": "being_made" })));
    assert_eq!(look().await, (200, json!({ "state": "being_made" })));
    assert_eq!(notes.told().last().unwrap(), &format!("film default {id} speaker"));
    post(path.clone(), token(), "{}").await;
    assert_eq!(look().await, (200, json!({ "state": "failed", "error": "it said why" })));
    assert_eq!(post(path.clone(), token(), "{}").await, (200, json!({ "state": "made" })));

    let before = notes.told();
    let elsewhere = format!("/api/rooms/cellar/recordings/{id}/film");
    assert_eq!(
        post(elsewhere, grant(everything("cellar")), "{}").await.0,
        404,
        "another room has no such recording"
    );
    assert_eq!(post(path.clone(), other_token(), "{}").await.0, 404, "another organisation neither");
    assert_eq!(post(path.clone(), token(), r#"{"layout":1}"#).await.0, 422);
    assert_eq!(notes.told(), before, "nothing of it was heard");
    *notes.refuses.lock().unwrap() = Some(EngineError::Unable("`parvis recording compose` makes it".into()));
    let (status, told) = post(path, token(), "{}").await;
    assert_eq!((status, &told["code"]), (501, &json!("unable")), "{told}");
}

#[tokio::test]
async fn a_room_may_be_recorded_from_its_beginning() {
    let (server, _folder, notes) = studio().await;
    let egress = json!({ "room": { "fileOutputs": [{ "filepath": "b.mp4" }] } });
    let make = json!({ "name": "workshop", "egress": egress });
    server.call_json(&token(), "RoomService/CreateRoom", make.clone()).await.unwrap();
    server.call_json(&token(), "RoomService/CreateRoom", make).await.unwrap();
    assert_eq!(notes.told(), ["start default workshop"], "once");
    let alone = json!({ "name": "other", "egress": { "tracks": { "filepath": "{track_id}" } } });
    let refused = server.call_json(&token(), "RoomService/CreateRoom", alone).await.unwrap_err();
    assert!(refused.is(501, "unimplemented"), "{refused:?}");
}

#[tokio::test]
async fn a_room_is_recorded_when_its_first_person_comes_and_what_keeps_it_from_that_is_told() {
    let (server, folder, notes) = studio().await;
    let (address, inbox) = receiver().await;
    let config = WebhookConfig {
        allow_internal: vec![address.to_string()],
        urls: vec![format!("http://{address}/hook")],
        ..WebhookConfig::default()
    };
    let webhooks = Webhooks::start(config, server.keys.clone(), folder.store().await).await.unwrap();
    server.api.tell(webhooks);
    for name in ["lecture", "seminar"] {
        let make = json!({ "name": name, "tags": { "parvis.record": "capture" } });
        server.call_json(&token(), "RoomService/CreateRoom", make).await.unwrap();
    }
    assert_eq!(notes.told(), [""; 0], "nobody is there yet");
    let _ada = server.join("lecture", "ada").await;
    until("the recording begins", || notes.told() == ["start default lecture"]).await;
    let _bob = server.join("lecture", "bob").await;
    *notes.refuses.lock().unwrap() = Some(EngineError::Busy("50 recordings go on".into()));
    let _carol = server.join("seminar", "carol").await;
    let failed = || {
        let inbox = inbox.lock().unwrap();
        let of = |(_, event): &(String, Value)| event["event"] == "egress_ended";
        inbox.iter().find(|told| of(told)).map(|(_, event)| event["egressInfo"].clone())
    };
    until("the failure is told", || failed().is_some()).await;
    assert_eq!(notes.told(), ["start default lecture", "start default seminar"], "once each");
    let failed = failed().unwrap();
    assert_eq!((&failed["status"], &failed["roomName"]), (&json!("EGRESS_FAILED"), &json!("seminar")));
    let why = failed["error"].as_str().unwrap();
    assert!(why.contains("by itself") && why.contains("50 recordings go on"), "{why}");
    let listed = ask(&server, "ListEgress", json!({ "roomName": "seminar" })).await;
    assert_eq!(listed["items"][0]["egressId"], failed["egressId"], "and stays to be looked up");

    let slip = json!({ "name": "other", "tags": { "parvis.recording_retention": "a week" } });
    let refused = server.call_json(&token(), "RoomService/CreateRoom", slip).await.unwrap_err();
    assert!(refused.is(400, "invalid_argument") && refused.message.contains("whole days"), "{refused:?}");
}
