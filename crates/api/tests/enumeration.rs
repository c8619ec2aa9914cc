// SPDX-License-Identifier: EUPL-1.2
//! Nobody without the right to a room learns from an answer whether it is there, and who is not let in learns nothing of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::{KEY, SECRET, everything, grant, start_with_store};
use livekit_token::{AccessToken, VideoGrants};
use parvis_api::{Access, ApiConfig, Content, Route, routes};
use serde_json::json;

const THERE: &str = "atelier";
const NOWHERE: &str = "nowhere";

/// What strangers bear: nothing, a token without a grant, one that moderates another room, and one that nobody signed.
fn strangers() -> [(&'static str, Option<String>); 4] {
    let moderates =
        |room: &str| VideoGrants { room_admin: true, room: room.to_owned(), ..VideoGrants::default() };
    let signed = |secret, grants| {
        let token = AccessToken::with_api_key(KEY, secret).with_grants(grants);
        Some(token.with_ttl(Duration::from_secs(600)).to_jwt().unwrap())
    };
    [
        ("no token", None),
        ("no grant", signed(SECRET, VideoGrants { room_join: false, ..VideoGrants::default() })),
        ("another room", signed(SECRET, moderates("elsewhere"))),
        ("a forged signature", signed("not the secret of that key ......", moderates(THERE))),
    ]
}

/// Whether it names a room, and not everyone may ask.
fn is_about_a_room(route: &Route) -> bool {
    let named = route.content == Content::Call || route.path.contains("{room}");
    named && !matches!(route.access, Access::Open | Access::Link | Access::Hello)
}

/// The head and the body of a request about `room`.
fn about(route: &Route, room: &str, token: Option<&String>) -> (String, String) {
    let path = route.path.replace("{room}", room).replace("{recording}", "EG_none");
    let (kind, body) = match route.content {
        Content::Sdp => ("application/sdp", "v=0\r\n".to_owned()),
        Content::Call => {
            let named = json!({ "room": room, "roomName": room, "identity": "ada" });
            ("application/json", named.to_string())
        }
        _ => ("application/json", "{}".to_owned()),
    };
    let bearer = token.map_or_else(String::new, |token| format!("\r\nAuthorization: Bearer {token}"));
    (format!("{} {path} HTTP/1.1\r\nContent-Type: {kind}{bearer}", route.method), body)
}

#[tokio::test]
async fn row_42_strangers_hear_the_same_of_a_room_that_is_there_and_of_one_that_is_not() {
    let (server, _folder) = start_with_store(ApiConfig { guests: true, ..ApiConfig::default() }).await;
    let (_ada, _) = server.join(THERE, "ada").await;
    let about_rooms: Vec<Route> = routes().into_iter().filter(is_about_a_room).collect();
    assert!(about_rooms.len() > 30, "{about_rooms:?}");
    for route in &about_rooms {
        for (stranger, token) in strangers() {
            let mut heard = Vec::new();
            for room in [THERE, NOWHERE] {
                let (head, body) = about(route, room, token.as_ref());
                let answer = server.request(&head, &body).await;
                // The date alone may differ.
                let lines = answer.head.lines().filter(|line| !line.starts_with("date:"));
                let head: Vec<String> = lines.map(|line| line.replace(room, "ROOM")).collect();
                heard.push((answer.status, head, answer.body.replace(room, "ROOM")));
            }
            let [there, nowhere] = &heard[..] else { panic!() };
            assert_eq!(there, nowhere, "{stranger} asks {} {}", route.method, route.path);
            assert!(
                [401, 403].contains(&there.0),
                "{stranger} asks {} {}: {there:?}",
                route.method,
                route.path
            );
        }
    }
    // Names that guests may not use: the one of a room that is there too.
    let mut heard = Vec::new();
    for room in [THERE, NOWHERE] {
        let head = format!("POST /api/rooms/{room}/join HTTP/1.1\r\nContent-Type: application/json");
        let answer = server.request(&head, &json!({ "name": "Eve" }).to_string()).await;
        heard.push((answer.status, answer.body.replace(room, "ROOM")));
    }
    assert_eq!(heard[0], heard[1]);
    assert_ne!(heard[0].0, 200);
}

/// A lobby is another thing, and comes with what a chair needs. This is about a room that is full, one's token for another one, and
/// somebody who was removed.
#[tokio::test]
async fn row_43_whoever_is_not_let_in_hears_nothing_of_the_room() {
    let (server, _folder) = start_with_store(ApiConfig { guests: true, ..ApiConfig::default() }).await;
    let admin = grant(everything(THERE));
    let made = json!({ "name": THERE, "metadata": "agenda", "maxParticipants": 2 });
    server.call_json(&admin, "RoomService/CreateRoom", made).await.unwrap();
    let (_ada, _) = server.join(THERE, "ada").await;
    let (_eve, _) = server.join(THERE, "eve").await;
    let known = json!({ "room": THERE, "identity": "ada", "name": "Countess", "metadata": "engine" });
    server.call_json(&admin, "RoomService/UpdateParticipant", known).await.unwrap();
    let removed = server.token(THERE, "eve");
    let words = ["ada", "Countess", "engine", "agenda"];
    let knock = async |who: &str, token: &str| {
        let mut told = Vec::new();
        let upgrade = "Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
        for path in ["/rtc/validate", "/rtc", "/rtc/v1"] {
            let line = format!("GET {path}?access_token={token}&protocol=16 HTTP/1.1");
            let answer = server.request(&format!("{line}\r\n{upgrade}"), "").await;
            assert_ne!(answer.status, 101, "{who} is let in");
            told.push(format!("{} {}", answer.head, answer.body));
        }
        let head = "Content-Type: application/sdp\r\nAuthorization: Bearer";
        let watch =
            server.request(&format!("POST /whep/{THERE} HTTP/1.1\r\n{head} {token}"), "v=0\r\n").await;
        assert!(watch.status >= 400, "{who}: {watch:?}");
        told.push(watch.body);
        for word in words {
            assert!(!told.iter().any(|told| told.contains(word)), "{who} hears {word}: {told:?}");
        }
        told.concat()
    };
    let full = knock("one too many", &server.token(THERE, "bob")).await;
    assert!(full.contains("full"), "{full}");
    server
        .call_json(&admin, "RoomService/RemoveParticipant", json!({ "room": THERE, "identity": "eve" }))
        .await
        .unwrap();
    let revoked = knock("one who was removed", &removed).await;
    assert!(revoked.contains("revoked"), "{revoked}");
}
