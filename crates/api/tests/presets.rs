// SPDX-License-Identifier: EUPL-1.2
//! Rooms by the name of their configuration, as an application's server asks for them and as tokens do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::{KEY, SECRET, Server, everything, grant, start};
use livekit_protocol as proto;
use livekit_protocol::signal_response::Message as Response;
use parvis_api::{ApiConfig, RoomPresets};
use serde_json::{Value, json};

fn webinar() -> proto::RoomConfiguration {
    proto::RoomConfiguration {
        departure_timeout: 40,
        max_participants: 3,
        metadata: "a webinar".into(),
        agents: vec![proto::RoomAgentDispatch { agent_name: "scribe".into(), ..Default::default() }],
        ..Default::default()
    }
}

async fn server(auto_create: bool) -> Server {
    let presets = RoomPresets::new([("webinar".to_owned(), webinar())].into());
    start(ApiConfig { presets, auto_create, ..ApiConfig::default() }).await
}

/// A token that names a preset, which the SDK's own code can't make.
fn token(room: &str, preset: &str, said: &Value) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({
        "iss": KEY, "sub": "ada", "exp": now + 600, "nbf": now, "video": { "roomJoin": true, "room": room },
        "roomPreset": preset, "roomConfig": said,
    });
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(json!({ "alg": "HS256" }).to_string()),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
}

async fn joined(server: &Server, token: &str) -> proto::Room {
    let mut socket = server.open(&format!("/rtc?access_token={token}&protocol=16")).await.unwrap();
    match common::next(&mut socket).await {
        Some(Response::Join(join)) => join.room.unwrap(),
        other => panic!("no join response: {other:?}"),
    }
}

#[tokio::test]
async fn a_room_is_made_as_its_preset_says_and_the_request_goes_before_it() {
    let server = server(true).await;
    let admin = grant(everything("atelier"));
    let create = async |body: Value| server.call_json(&admin, "RoomService/CreateRoom", body).await;
    let room =
        create(json!({ "name": "atelier", "roomPreset": "webinar", "maxParticipants": 5 })).await.unwrap();
    assert_eq!(room["departureTimeout"], 40, "{room}");
    assert_eq!((&room["maxParticipants"], &room["metadata"]), (&json!(5), &json!("a webinar")));
    let list = async || {
        let body = json!({ "room": "atelier" });
        server.call_json(&admin, "AgentDispatchService/ListDispatch", body).await.unwrap()
    };
    assert_eq!(list().await["agentDispatches"][0]["agentName"], "scribe", "{}", list().await);

    let unknown = create(json!({ "name": "atelier 2", "room_preset": "Webinar" })).await.unwrap_err();
    assert!(unknown.is(400, "invalid_argument") && unknown.message.contains("rooms.presets"), "{unknown:?}");
    let rooms = server.call_json(&admin, "RoomService/ListRooms", json!({})).await.unwrap();
    assert_eq!(rooms["rooms"].as_array().unwrap().len(), 1, "none was made: {rooms}");
}

#[tokio::test]
async fn a_token_opens_a_room_as_the_preset_that_it_names_and_one_that_is_not_there_opens_none() {
    let server = server(true).await;
    let room = joined(&server, &token("atelier", "webinar", &json!({ "metadata": "the token's" }))).await;
    assert_eq!((room.departure_timeout, room.max_participants), (40, 3));
    assert_eq!(room.metadata, "the token's");
    for path in ["/rtc?protocol=16&access_token=", "/rtc/validate?access_token="] {
        let path = format!("{path}{}", token("elsewhere", "Webinar", &Value::Null));
        let answer = server.get(&path).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(answer.body.contains("no room preset") && answer.body.contains("Webinar"), "{answer:?}");
    }
    let rooms = server.call_json(&grant(everything("atelier")), "RoomService/ListRooms", json!({})).await;
    assert_eq!(rooms.unwrap()["rooms"].as_array().unwrap().len(), 1);
}
