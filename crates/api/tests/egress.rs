// SPDX-License-Identifier: EUPL-1.2
//! Recordings and streams over the server APIs, with an engine that writes down what it is told.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{
    Folder, KEY, OTHER_KEY, OTHER_SECRET, SECRET, Server, everything, grant, start_in, start_with_store,
};
use futures_util::future::BoxFuture;
use livekit_protocol as proto;
use livekit_protocol::{EgressInfo, EgressStatus as Status, FileInfo};
use livekit_token::{AccessToken, TokenVerifier};
use parvis_api::{ApiConfig, EgressEngine, EngineError, FilmState, TenantId, WebhookConfig, Webhooks};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Writes down what it is told; refuses the next if told so.
#[derive(Default)]
struct Notes {
    told: Mutex<Vec<String>>,
    started: Mutex<Vec<EgressInfo>>,
    refuses: Mutex<Option<EngineError>>,
    resumes: AtomicBool,
}

impl Notes {
    fn note(&self, what: String) -> BoxFuture<'_, Result<(), EngineError>> {
        self.told.lock().unwrap().push(what);
        let refused = self.refuses.lock().unwrap().take();
        Box::pin(async move { refused.map_or(Ok(()), Err) })
    }

    fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }
}

impl EgressEngine for Notes {
    fn start<'a>(
        &'a self,
        tenant: &'a TenantId,
        egress: &'a EgressInfo,
    ) -> BoxFuture<'a, Result<(), EngineError>> {
        self.started.lock().unwrap().push(egress.clone());
        self.note(format!("start {tenant} {}", egress.room_name))
    }

    fn set_layout<'a>(&'a self, _: &'a str, layout: &'a str) -> BoxFuture<'a, Result<(), EngineError>> {
        self.note(format!("layout {layout}"))
    }

    fn set_urls<'a>(
        &'a self,
        _: &'a str,
        add: &'a [String],
        remove: &'a [String],
    ) -> BoxFuture<'a, Result<(), EngineError>> {
        self.note(format!("add {} remove {}", add.join(" "), remove.join(" ")))
    }

    fn stop<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<(), EngineError>> {
        self.note("stop".to_owned())
    }

    fn file(&self, _: &TenantId, egress_id: &str, name: &str) -> Option<PathBuf> {
        Some(Path::new("/nonexistent").join(egress_id).join(name))
    }

    fn elsewhere<'a>(
        &'a self,
        tenant: &'a TenantId,
        egress_id: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Option<String>> {
        let there = name == "film.mp4.age";
        let url =
            there.then(|| format!("https://s3.example.org/{tenant}/{egress_id}/{name}?X-Amz-Expires=60"));
        Box::pin(async move { url })
    }

    fn film<'a>(
        &'a self,
        tenant: &'a TenantId,
        egress: &'a EgressInfo,
        layout: &'a str,
    ) -> BoxFuture<'a, Result<(), EngineError>> {
        self.note(format!("film {tenant} {} {layout}", egress.egress_id))
    }

    fn film_of(&self, _: &TenantId, egress: &EgressInfo) -> FilmState {
        let asked = self
            .told()
            .iter()
            .filter(|told| told.starts_with(&format!("film default {}", egress.egress_id)))
            .count();
        match asked {
            0 => FilmState::None,
            1 => FilmState::BeingMade,
            2 => FilmState::Failed("it said why".to_owned()),
            _ => FilmState::Made,
        }
    }

    fn resume<'a>(&'a self, _: &'a TenantId, egress: &'a EgressInfo) -> BoxFuture<'a, bool> {
        self.told.lock().unwrap().push(format!("resume {}", egress.egress_id));
        Box::pin(async move { self.resumes.load(Ordering::Relaxed) })
    }
}

/// A server with an engine and a room.
async fn studio() -> (Server, Folder, Arc<Notes>) {
    let (server, folder) = start_with_store(ApiConfig::default()).await;
    let notes = Arc::<Notes>::default();
    server.api.record(Arc::clone(&notes) as Arc<dyn EgressEngine>);
    server.call_json(&token(), "RoomService/CreateRoom", json!({ "name": "atelier" })).await.unwrap();
    (server, folder, notes)
}

fn token() -> String {
    grant(everything("atelier"))
}

fn other_token() -> String {
    let token = AccessToken::with_api_key(OTHER_KEY, OTHER_SECRET).with_grants(everything("atelier"));
    token.with_ttl(Duration::from_secs(600)).to_jwt().unwrap()
}

async fn ask(server: &Server, method: &str, body: Value) -> Value {
    server.call_json(&token(), &format!("Egress/{method}"), body).await.unwrap()
}

fn composite() -> Value {
    json!({
        "roomName": "atelier", "layout": "grid",
        "fileOutputs": [{ "filepath": "a.mp4", "s3": { "accessKey": "AKIA", "secret": "hush", "bucket": "b" } }],
    })
}

fn now(info: &Value, status: Status) -> EgressInfo {
    EgressInfo {
        egress_id: info["egressId"].as_str().unwrap().to_owned(),
        status: status.into(),
        ..Default::default()
    }
}

/// Takes webhooks: signature and body of each.
async fn receiver() -> (SocketAddr, Arc<Mutex<Vec<(String, Value)>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let inbox = Arc::<Mutex<Vec<(String, Value)>>>::default();
    let taken = Arc::clone(&inbox);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let taken = Arc::clone(&taken);
            tokio::spawn(async move {
                let mut said = Vec::new();
                let (head, body) = loop {
                    if stream.read_buf(&mut said).await.unwrap_or(0) == 0 {
                        return;
                    }
                    let text = String::from_utf8_lossy(&said).into_owned();
                    let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                    if let Ok(body) = serde_json::from_str::<Value>(body) {
                        break (head.to_owned(), body);
                    }
                };
                let line = head.lines().find_map(|line| line.strip_prefix("authorization: ")).unwrap();
                taken.lock().unwrap().push((line.to_owned(), body));
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
            });
        }
    });
    (address, inbox)
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{what}: not in time");
}

#[tokio::test]
async fn an_egress_goes_its_way_and_every_step_is_kept_and_told() {
    let (server, folder, notes) = studio().await;
    let (address, inbox) = receiver().await;
    let config = WebhookConfig { allow_internal: vec![address.to_string()], ..WebhookConfig::default() };
    server.api.tell(Webhooks::start(config, server.keys.clone(), folder.store().await).await.unwrap());
    let mut request = composite();
    request["webhooks"] = json!([
        { "url": format!("http://{address}/all"), "signingKey": KEY },
        { "url": format!("http://{address}/end"), "filterParams": { "includeEvents": ["egress_ended"] } },
    ]);
    let begun = ask(&server, "StartRoomCompositeEgress", request).await;
    assert!(begun["egressId"].as_str().unwrap().starts_with("EG_"));
    assert_eq!((&begun["roomName"], begun.get("status")), (&json!("atelier"), None), "0 is EGRESS_STARTING");
    assert_eq!(begun["fileResults"][0]["filename"], "a.mp4");
    // The engine has the secrets, nobody else sees them.
    let started = notes.started.lock().unwrap()[0].clone();
    assert!(format!("{started:?}").contains("hush") && !started.room_id.is_empty());
    assert!(!begun.to_string().contains("hush") && begun.to_string().contains("{secret}"), "{begun}");

    let listed = ask(&server, "ListEgress", json!({ "roomName": "atelier", "active": true })).await;
    assert_eq!(listed["items"][0]["egressId"], begun["egressId"]);
    assert!(!listed.to_string().contains("hush"), "{listed}");
    let changed =
        ask(&server, "UpdateLayout", json!({ "egressId": begun["egressId"], "layout": "speaker" })).await;
    assert_eq!(changed["roomComposite"]["layout"], "speaker");
    server.api.egress_is(&TenantId::default(), now(&begun, Status::EgressActive)).await.unwrap();
    let stopped = ask(&server, "StopEgress", json!({ "egressId": begun["egressId"] })).await;
    assert_eq!(stopped["status"], "EGRESS_ENDING");
    // Whoever asks twice is told the same, and the engine is asked once.
    let again = ask(&server, "StopEgress", json!({ "egressId": begun["egressId"] })).await;
    assert_eq!(again["status"], "EGRESS_ENDING");
    let file = FileInfo { filename: "a.mp4".into(), size: 1_000, ..Default::default() };
    let done = EgressInfo { file_results: vec![file], ..now(&begun, Status::EgressComplete) };
    server.api.egress_is(&TenantId::default(), done).await.unwrap();
    assert_eq!(notes.told(), ["start default atelier", "layout speaker", "stop"]);

    let listed = ask(&server, "ListEgress", json!({ "egressId": begun["egressId"] })).await;
    let kept = &listed["items"][0];
    assert_eq!(
        (&kept["status"], &kept["fileResults"][0]["size"]),
        (&json!("EGRESS_COMPLETE"), &json!("1000"))
    );
    assert!(kept["endedAt"].as_str().unwrap() >= kept["startedAt"].as_str().unwrap());
    assert_eq!(kept["roomComposite"]["layout"], "speaker", "what was asked for stays");
    let active = ask(&server, "ListEgress", json!({ "active": true })).await;
    assert_eq!(active["items"].as_array().map_or(0, Vec::len), 0);

    until("six events", || inbox.lock().unwrap().len() >= 6).await;
    let inbox = inbox.lock().unwrap().clone();
    let ended = |(_, event): &&(String, Value)| event["event"] == "egress_ended";
    assert_eq!(inbox.iter().filter(ended).count(), 2, "both are told of the end");
    let mut rest: Vec<&Value> =
        inbox.iter().map(|(_, event)| &event["event"]).filter(|name| *name != "egress_ended").collect();
    rest.dedup();
    assert_eq!(rest, ["egress_started", "egress_updated"], "one is told of the rest, in its order");
    for (signature, event) in &inbox {
        TokenVerifier::with_api_key(KEY, SECRET).verify(signature).unwrap();
        assert!(!event.to_string().contains("hush"), "{event}");
    }
}

/// With the arguments that its backend sends: a film with a layout and encodings of its own, and sound alone, both to a storage.
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

#[tokio::test]
async fn a_record_never_goes_back_and_belongs_to_one_tenant() {
    let (server, _folder, _notes) = studio().await;
    let own = TenantId::default();
    let begun = ask(&server, "StartRoomCompositeEgress", composite()).await;
    server.api.egress_is(&own, now(&begun, Status::EgressEnding)).await.unwrap();
    let foul = server.api.egress_is(&own, now(&begun, Status::EgressActive)).await.unwrap_err().to_string();
    assert!(foul.contains("EGRESS_ENDING and can't be EGRESS_ACTIVE"), "{foul}");
    let elsewhere =
        EgressInfo { room_name: "cellar".into(), request: None, ..now(&begun, Status::EgressFailed) };
    server.api.egress_is(&own, elsewhere).await.unwrap();
    for late in [Status::EgressActive, Status::EgressComplete, Status::EgressFailed] {
        server.api.egress_is(&own, now(&begun, late)).await.unwrap_err();
    }
    let kept = ask(&server, "ListEgress", json!({ "roomName": "atelier" })).await["items"][0].clone();
    assert_eq!((&kept["status"], &kept["roomName"]), (&json!("EGRESS_FAILED"), &json!("atelier")));
    assert!(kept["roomComposite"].is_object(), "{kept}");

    let begun = ask(&server, "StartRoomCompositeEgress", composite()).await;
    server.api.egress_is(&TenantId::new("other"), now(&begun, Status::EgressFailed)).await.unwrap_err();
    for method in ["StopEgress", "UpdateLayout", "UpdateStream"] {
        let body = json!({ "egressId": begun["egressId"] });
        let refused = server.call_json(&other_token(), &format!("Egress/{method}"), body).await.unwrap_err();
        assert!(refused.is(404, "not_found"), "{method}: {refused:?}");
    }
}

#[tokio::test]
async fn streams_come_and_go_and_are_told_by_their_place() {
    let (server, _folder, notes) = studio().await;
    let request = json!({
        "roomName": "atelier", "streamOutputs": [{ "urls": ["rtmp://live.example/app/abcdefghijklmnop"] }],
    });
    let begun = ask(&server, "StartRoomCompositeEgress", request).await;
    assert_eq!(begun["streamResults"][0]["url"], "rtmp://live.example/app/{abc...nop}");
    let id = &begun["egressId"];
    let change = |add: &[&str], remove: &[&str]| json!({ "egressId": id, "addOutputUrls": add, "removeOutputUrls": remove });
    let body = change(&["srt://other.example:9000"], &["rtmp://live.example/app/abcdefghijklmnop"]);
    let changed = ask(&server, "UpdateStream", body).await;
    let states: Vec<(&Value, Option<&Value>)> = changed["streamResults"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stream| (&stream["url"], stream.get("status")))
        .collect();
    let expected = [
        (&json!("rtmp://live.example/app/{abc...nop}"), Some(&json!("FINISHED"))),
        (&json!("srt://other.example:9000"), None),
    ];
    assert_eq!(states, expected);
    assert_eq!(
        notes.told()[1],
        "add srt://other.example:9000 remove rtmp://live.example/app/abcdefghijklmnop"
    );
    for (body, expected) in [
        (change(&["srt://other.example:9000"], &[]), "already"),
        (change(&[], &["rtmp://live.example/app/abcdefghijklmnop"]), "does not stream"),
        (change(&["ftp://a/b"], &[]), "begin it with"),
    ] {
        let refused = server.call_json(&token(), "Egress/UpdateStream", body).await.unwrap_err();
        assert!(refused.is(400, "invalid_argument") && refused.message.contains(expected), "{refused:?}");
    }
    let file = ask(&server, "StartRoomCompositeEgress", composite()).await;
    let body = json!({ "egressId": file["egressId"], "addOutputUrls": ["rtmp://a/b"] });
    let refused = server.call_json(&token(), "Egress/UpdateStream", body).await.unwrap_err();
    assert!(
        refused.is(400, "invalid_argument") && refused.message.contains("streams nowhere"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn what_the_server_left_goes_on_or_has_failed() {
    let (server, folder, _notes) = studio().await;
    let begun = ask(&server, "StartRoomCompositeEgress", composite()).await;
    drop(server);

    let server = start_in(ApiConfig::default(), &folder).await;
    let kept = ask(&server, "ListEgress", json!({})).await["items"][0].clone();
    assert_eq!((&kept["status"], &kept["egressId"]), (&json!("EGRESS_FAILED"), &begun["egressId"]));
    assert!(kept["error"].as_str().unwrap().contains("the server ended"), "{kept}");

    let notes = Arc::<Notes>::default();
    server.api.record(Arc::clone(&notes) as Arc<dyn EgressEngine>);
    let begun = ask(&server, "StartRoomCompositeEgress", composite()).await;
    notes.resumes.store(true, Ordering::Relaxed);
    server.api.recover().await.unwrap();
    assert_eq!(notes.told()[1], format!("resume {}", begun["egressId"].as_str().unwrap()));
    let active = ask(&server, "ListEgress", json!({ "active": true })).await;
    assert_eq!(active["items"][0]["egressId"], begun["egressId"]);
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
async fn a_link_leads_to_the_storage_when_a_file_lies_only_there() {
    let (server, _folder, _) = studio().await;
    let begun = ask(&server, "StartRoomCompositeEgress", composite()).await;
    let id = begun["egressId"].as_str().unwrap();
    let file = |name: &str| FileInfo { filename: name.to_owned(), ..FileInfo::default() };
    let lies = EgressInfo {
        file_results: vec![file("film.mp4.age"), file("lost.mkv.age")],
        ..now(&begun, Status::EgressComplete)
    };
    server.api.egress_is(&TenantId::default(), lies).await.unwrap();
    let path = format!("/api/rooms/atelier/recordings/{id}/links");
    let (_, body) = server.post(&path, Some(&token()), &[], b"").await;
    let links: Value = serde_json::from_slice(&body).unwrap();
    let link = |at: usize| links["links"][at]["url"].as_str().unwrap().to_owned();
    let film = server.get(&link(0)).await;
    assert_eq!(film.status, 302, "{film:?}");
    let url = format!("https://s3.example.org/default/{id}/film.mp4.age?X-Amz-Expires=60");
    assert_eq!(film.location, url);
    assert!(film.head.contains("cache-control: no-store"), "{}", film.head);
    assert_eq!(server.get(&link(1)).await.status, 404, "it lies nowhere");
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

#[tokio::test]
async fn row_49_webhooks_of_a_request_are_bounded_and_signed_with_ones_own_key() {
    let (server, folder, notes) = studio().await;
    let webhooks = Webhooks::start(WebhookConfig::default(), server.keys.clone(), folder.store().await).await;
    server.api.tell(webhooks.unwrap());
    let url = "https://example.org/hook";
    for (hooks, expected) in [
        (
            json!([{ "url": url }, { "url": url }, { "url": url }, { "url": url }, { "url": url }]),
            "this server takes 4",
        ),
        (json!([{ "url": "file:///etc/passwd" }]), "is no URL"),
        (json!([{ "url": url, "signingKey": OTHER_KEY }]), "there is no API key"),
        (json!([{ "url": format!("{url}/{}", "x".repeat(2_048)) }]), "2048 characters"),
    ] {
        let mut request = composite();
        request["webhooks"] = hooks;
        let refused =
            server.call_json(&token(), "Egress/StartRoomCompositeEgress", request).await.unwrap_err();
        assert!(refused.is(400, "invalid_argument") && refused.message.contains(expected), "{refused:?}");
    }
    assert!(notes.told().is_empty());
}
