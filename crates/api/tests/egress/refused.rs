// SPDX-License-Identifier: EUPL-1.2
//! What makes no sense, and what the engine does not take.

use parvis_api::EngineError;
use serde_json::{Value, json};

use super::{ask, composite, studio, token};

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_nothing_of_it_begins() {
    let (server, _folder, notes) = studio().await;
    let file = json!([{ "filepath": "a.mp4" }]);
    let streams = |urls: &[&str]| json!([{ "protocol": "RTMP", "urls": urls }]);
    let room = |more: Value| {
        let mut request = json!({ "roomName": "atelier" });
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        ("StartRoomCompositeEgress", request)
    };
    let (room_name, track) = ("atelier", "StartTrackEgress");
    for ((method, request), status, expected) in [
        (room(json!({})), 400, "no output"),
        (
            room(json!({ "fileOutputs": [{ "filepath": "a" }, { "filepath": "b" }] })),
            400,
            "at most one may be",
        ),
        (room(json!({ "fileOutputs": [{ "filepath": "../../etc/passwd" }] })), 400, "take .. out"),
        (room(json!({ "fileOutputs": [{ "filepath": "a\u{0}b" }] })), 400, "control character"),
        (room(json!({ "fileOutputs": file, "audioOnly": true, "videoOnly": true })), 400, "leave nothing"),
        (room(json!({ "streamOutputs": streams(&[]) })), 400, "at least one URL"),
        (room(json!({ "streamOutputs": streams(&["http://a/b"]) })), 400, "begin it with rtmp://"),
        (room(json!({ "streamOutputs": streams(&["rtmp://a/b", "rtmp://a/b"]) })), 400, "there twice"),
        (room(json!({ "fileOutputs": file, "customBaseUrl": "https://example.org" })), 501, "browser"),
        (("StartRoomCompositeEgress", json!({ "fileOutputs": file })), 400, "name the room"),
        (
            ("StartRoomCompositeEgress", json!({ "roomName": "elsewhere", "fileOutputs": file })),
            404,
            "elsewhere",
        ),
        (("StartWebEgress", json!({ "url": "https://example.org", "fileOutputs": file })), 501, "browser"),
        (
            ("StartParticipantEgress", json!({ "roomName": room_name, "fileOutputs": file })),
            400,
            "identity is missing",
        ),
        (
            ("StartTrackCompositeEgress", json!({ "roomName": room_name, "fileOutputs": file })),
            400,
            "no track",
        ),
        ((track, json!({ "roomName": room_name, "trackId": "TR_1" })), 400, "no output"),
        (
            (track, json!({ "roomName": room_name, "trackId": "TR_1", "websocketUrl": "https://a/b" })),
            400,
            "ws://",
        ),
        (("StartEgress", json!({ "roomName": room_name, "outputs": [{ "file": {} }] })), 400, "no source"),
        (("StartEgress", json!({ "roomName": room_name, "web": { "url": "https://a" } })), 501, "browser"),
        (
            ("StartEgress", json!({ "roomName": room_name, "media": {}, "outputs": [{}] })),
            400,
            "says nothing",
        ),
    ] {
        let refused =
            server.call_json(&token(), &format!("Egress/{method}"), request.clone()).await.unwrap_err();
        assert_eq!(refused.status, status, "{method} {request}: {refused:?}");
        assert!(refused.message.contains(expected), "{method} {request}: {refused:?}");
    }
    assert!(notes.told().is_empty());
    assert_eq!(ask(&server, "ListEgress", json!({})).await["items"].as_array().map_or(0, Vec::len), 0);
    // One in each of the other ways does begin.
    for (method, request) in [
        (
            "StartEgress",
            json!({ "roomName": room_name, "template": { "layout": "grid" }, "outputs": [{ "file": {} }] }),
        ),
        ("StartParticipantEgress", json!({ "roomName": room_name, "identity": "ada", "fileOutputs": file })),
        (
            "StartTrackCompositeEgress",
            json!({ "roomName": room_name, "audioTrackId": "TR_1", "fileOutputs": file }),
        ),
        (track, json!({ "roomName": room_name, "trackId": "TR_1", "file": { "filepath": "a.ogg" } })),
    ] {
        ask(&server, method, request).await;
    }
    assert_eq!(notes.told().len(), 4);
}

#[tokio::test]
async fn an_engine_that_refuses_leaves_nothing_behind() {
    let (server, _folder, notes) = studio().await;
    for (error, status, code) in [
        (EngineError::Busy("3 of 3".into()), 429, "resource_exhausted"),
        (EngineError::Unable("no encoder for it".into()), 501, "unimplemented"),
        (EngineError::Failed("the disk is full".into()), 500, "internal"),
    ] {
        *notes.refuses.lock().unwrap() = Some(error);
        let refused =
            server.call_json(&token(), "Egress/StartRoomCompositeEgress", composite()).await.unwrap_err();
        assert!(refused.is(status, code), "{refused:?}");
    }
    assert_eq!(ask(&server, "ListEgress", json!({})).await["items"].as_array().map_or(0, Vec::len), 0);
    // One that is stopped before it began anywhere has been aborted.
    let begun = ask(&server, "StartRoomCompositeEgress", composite()).await;
    *notes.refuses.lock().unwrap() = Some(EngineError::Unknown);
    let stopped = ask(&server, "StopEgress", json!({ "egressId": begun["egressId"] })).await;
    assert_eq!(stopped["status"], "EGRESS_ABORTED");
    let body = json!({ "egressId": begun["egressId"] });
    let refused = server.call_json(&token(), "Egress/StopEgress", body).await.unwrap_err();
    assert!(
        refused.is(412, "failed_precondition") && refused.message.contains("EGRESS_ABORTED"),
        "{refused:?}"
    );
}
