// SPDX-License-Identifier: EUPL-1.2
//! What is no hello, and what is no room.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use parvis_api::ApiConfig;
use parvis_signal::Rate;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::{NowOrNever, Person, ask, closed_with, guests, heard, hello, knock, make, start};

#[tokio::test]
async fn what_is_no_hello_is_refused_with_its_reason_and_disturbs_nobody() {
    let connections = parvis_api::ConnectionLimits {
        first_message: Duration::from_millis(300),
        joins: Rate { burst: 1_000, per_second: 1_000 },
        ..parvis_api::ConnectionLimits::default()
    };
    let server = start(ApiConfig { connections, ..guests() }).await;
    let (room, host_key) = make(&server, json!({})).await;
    let (_, ticket) = knock(&server, &room, json!({ "name": "Ada", "host_key": host_key })).await;
    let mut ada = Person::enter(&server, &room, &ticket).await;
    let path = format!("/api/rooms/{room}/meeting");
    for (text, code) in [
        ("", 1008),
        ("{}", 1008),
        ("{\"hello\": {}}", 1008),
        ("{\"hello\": {\"token\": \"a\", \"waiting\": \"b\"}}", 1008),
        ("{\"hello\": {\"waiting\": \"b3Vt5nqXb0-2Vw_1cJ8hkQ\"}}", 4003),
        ("{\"hello\": {\"token\": \"eyJhbGciOiJub25lIn0.e30.\"}}", 4003),
    ] {
        let mut socket = server.open(&path).await.unwrap();
        socket.send(Message::Text(text.into())).await.unwrap();
        let (found, said) = closed_with(&mut socket).await;
        assert_eq!((found, said), (code, vec![]), "{text}");
    }
    let mut silent = server.open(&path).await.unwrap();
    assert_eq!(closed_with(&mut silent).await.0, 1008);
    let other = server.token("elsewhere", "bo");
    assert_eq!(closed_with(&mut hello(&server, &room, json!({ "token": other })).await).await.0, 4003);
    let nowhere = server.token("nowhere", "bo");
    let mut nobody = hello(&server, "nowhere", json!({ "token": nowhere })).await;
    assert_eq!(closed_with(&mut nobody).await.0, 1013, "a room that is not open yet");
    // Who has a token and is not in the room is told nothing.
    let mut absent = hello(&server, &room, json!({ "token": server.token(&room, "dora") })).await;
    ada.done(json!({ "do": "chat.send", "text": "Who is there?" })).await;
    assert!(absent.next().now_or_never_text().is_none());
    // The newest socket of a person is the one.
    let mut second = hello(&server, &room, json!({ "token": ada.token })).await;
    assert!(heard(&mut second).await.unwrap().get("snapshot").is_some());
    assert_eq!(closed_with(&mut ada.meeting).await.0, 4001);
    for wrong in ["[]", "{\"do\": \"dance\"}", "{\"do\": \"end\", \"do\": \"end\"}"] {
        second.send(Message::Text(wrong.into())).await.unwrap();
        let answer = heard(&mut second).await.unwrap();
        assert!(answer["answer"]["error"]["message"].is_string(), "{wrong}: {answer}");
    }
    let huge = json!({ "do": "chat.send", "text": "a".repeat(70_000) });
    let _ = second.send(Message::Text(huge.to_string().into())).await;
    assert_eq!(closed_with(&mut second).await.0, 1009);
}

#[tokio::test]
async fn rooms_are_made_where_guests_are_and_by_rules_that_can_be() {
    let server = start(ApiConfig::default()).await;
    assert_eq!(ask(&server, "POST", "/api/rooms", &json!({})).await.0, 403, "no guests");
    let server = start(ApiConfig { auto_create: false, ..guests() }).await;
    assert_eq!(ask(&server, "POST", "/api/rooms", &json!({})).await.0, 403, "rooms are the applications'");
    let server = start(ApiConfig { max_meetings: 2, ..guests() }).await;
    for wrong in [
        json!({ "policy": { "curfew": true } }),
        json!({ "policy": { "default_role": "owner" } }),
        json!({ "policy": { "password": "" } }),
        json!({ "title": "a".repeat(10_000) }),
        json!({ "titel": "Council" }),
    ] {
        let (status, refused) = ask(&server, "POST", "/api/rooms", &wrong).await;
        assert!([400, 413, 422].contains(&status), "{wrong}: {status} {refused}");
        assert!(refused["message"].as_str().is_some_and(|why| !why.is_empty()), "{refused}");
    }
    let (first, _) = make(&server, json!({})).await;
    let (second, _) = make(&server, json!({})).await;
    assert!(first.len() == 22 && first != second);
    let (status, refused) = ask(&server, "POST", "/api/rooms", &json!({})).await;
    assert_eq!((status, &refused["code"]), (429, &json!("too_many_rooms")));
}
