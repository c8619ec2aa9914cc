// SPDX-License-Identifier: EUPL-1.2
//! Meetings over real sockets: a room is made, people knock, wait, come in, are conducted, and put out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::{Duration, Instant};

use common::{Folder, PATIENCE, Server, Socket, next, send, start, start_in, start_with_store};
use futures_util::{SinkExt, StreamExt};
use livekit_protocol as proto;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message as Response;
use parvis_api::{ApiConfig, Metrics};
use parvis_signal::{Beside, Grants, Rate};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Error, Message};

fn guests() -> ApiConfig {
    ApiConfig { guests: true, ..ApiConfig::default() }
}

/// Asks for JSON with JSON. Gives status and body.
async fn ask(server: &Server, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let head = format!("{method} {path} HTTP/1.1\r\nContent-Type: application/json");
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = server.request(&head, &body).await;
    (answer.status, serde_json::from_str(&answer.body).unwrap_or(Value::Null))
}

async fn make(server: &Server, wish: Value) -> (String, String) {
    let (status, made) = ask(server, "POST", "/api/rooms", &wish).await;
    assert_eq!(status, 200, "{made}");
    (made["room"].as_str().unwrap().to_owned(), made["host_key"].as_str().unwrap().to_owned())
}

async fn knock(server: &Server, room: &str, body: Value) -> (u16, Value) {
    ask(server, "POST", &format!("/api/rooms/{room}/join"), &body).await
}

/// Somebody who is in the room: by the signalling, and by the meeting's own socket.
struct Person {
    identity: String,
    seat: String,
    token: String,
    signal: Socket,
    meeting: Socket,
    state: Value,
    asked: u64,
}

impl Person {
    /// Comes in by an answer of the door's.
    async fn enter(server: &Server, room: &str, ticket: &Value) -> Person {
        let text =
            |key: &str| ticket[key].as_str().unwrap_or_else(|| panic!("no {key} in {ticket}")).to_owned();
        let token = text("token");
        let mut signal = server.open(&format!("/rtc?access_token={token}")).await.unwrap();
        let Some(Response::Join(_)) = next(&mut signal).await else { panic!("no join response") };
        let meeting = hello(server, room, json!({ "token": token })).await;
        let mut person = Person {
            identity: text("identity"),
            seat: text("seat"),
            token,
            signal,
            meeting,
            state: Value::Null,
            asked: 0,
        };
        person.until("a snapshot", |state, _| !state.is_null()).await;
        person
    }

    /// The next message of the meeting's socket, taken into the state.
    async fn hear(&mut self) -> Value {
        let message = heard(&mut self.meeting).await.expect("the meeting's socket is open");
        if let Some(state) = message["snapshot"]["state"].as_object() {
            self.state = Value::Object(state.clone());
        }
        for (key, value) in message["patch"]["state"].as_object().into_iter().flatten() {
            self.state[key] = value.clone();
        }
        message
    }

    /// Hears until that is so.
    async fn until(&mut self, what: &str, so: impl Fn(&Value, &Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let message = tokio::time::timeout(PATIENCE, self.hear()).await;
            let message =
                message.unwrap_or_else(|_| panic!("{what} did not come; the state is {}", self.state));
            if so(&self.state, &message) {
                return message;
            }
            assert!(Instant::now() < deadline, "{what} did not come; the state is {}", self.state);
        }
    }

    /// Asks for something, and gives the answer.
    async fn command(&mut self, mut command: Value) -> Value {
        self.asked += 1;
        let id = self.asked;
        command["id"] = id.into();
        say(&mut self.meeting, &command).await;
        let message = self.until("an answer", |_, message| message["answer"]["id"] == id).await;
        message["answer"].clone()
    }

    async fn done(&mut self, command: Value) -> Value {
        let answer = self.command(command.clone()).await;
        assert!(answer["error"].is_null(), "{command}: {answer}");
        answer["ok"].clone()
    }
}

async fn say(socket: &mut Socket, message: &Value) {
    socket.send(Message::Text(message.to_string().into())).await.unwrap();
}

/// The next JSON message; `None` when the server closes.
async fn heard(socket: &mut Socket) -> Option<Value> {
    loop {
        match tokio::time::timeout(PATIENCE, socket.next()).await.expect("something comes in time")? {
            Ok(Message::Text(text)) => return Some(serde_json::from_str(&text).unwrap()),
            Ok(Message::Close(_)) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

/// The code with which the server closes, whatever it says before.
async fn closed_with(socket: &mut Socket) -> (u16, Vec<String>) {
    let mut said = Vec::new();
    loop {
        match tokio::time::timeout(PATIENCE, socket.next()).await.expect("it closes in time") {
            Some(Ok(Message::Close(Some(frame)))) => return (frame.code.into(), said),
            Some(Ok(Message::Text(text))) => said.push(text.to_string()),
            Some(Ok(_)) => {}
            other => panic!("no close frame, but {other:?}, after {said:?}"),
        }
    }
}

async fn hello(server: &Server, room: &str, who: Value) -> Socket {
    let mut socket = server.open(&format!("/api/rooms/{room}/meeting")).await.unwrap();
    say(&mut socket, &json!({ "hello": who })).await;
    socket
}

/// Publishes a microphone's track, and gives its sid.
async fn publish(person: &mut Person) -> Result<String, String> {
    publish_of(person, proto::TrackSource::Microphone).await
}

async fn publish_of(person: &mut Person, source: proto::TrackSource) -> Result<String, String> {
    let kind = match source {
        proto::TrackSource::Microphone => proto::TrackType::Audio,
        _ => proto::TrackType::Video,
    };
    let request = proto::AddTrackRequest {
        cid: source.as_str_name().to_owned(),
        r#type: kind.into(),
        source: source.into(),
        ..Default::default()
    };
    send(&mut person.signal, Request::AddTrack(request)).await;
    loop {
        match next(&mut person.signal).await.expect("the signalling is open") {
            Response::TrackPublished(published) => return Ok(published.track.unwrap().sid),
            Response::RequestResponse(refused) => return Err(refused.message),
            _ => {}
        }
    }
}

fn metric(metrics: &Metrics, line: &str) -> u64 {
    let page = metrics.page();
    let found = page.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok());
    found.unwrap_or_default()
}

#[tokio::test]
async fn row_43_whoever_waits_hears_nothing_of_the_room_and_is_let_in_by_a_moderator() {
    let server = start(guests()).await;
    let wish = json!({ "title": "Council, budget", "policy": { "lobby": true } });
    let (room, host_key) = make(&server, wish).await;
    let (status, outside) = ask(&server, "GET", &format!("/api/rooms/{room}"), &Value::Null).await;
    assert_eq!(status, 200);
    assert_eq!(
        outside,
        json!({ "title": null, "e2ee": false, "password": false, "lobby": true, "locked": false, "people": null, "recording": false })
    );

    let (status, ticket) = knock(&server, &room, json!({ "name": "Ada", "host_key": host_key })).await;
    assert_eq!((status, &ticket["role"]), (200, &json!("owner")));
    let mut ada = Person::enter(&server, &room, &ticket).await;
    assert_eq!(ada.state["you"]["role"], "owner");

    let (status, place) = knock(&server, &room, json!({ "name": "Bo" })).await;
    assert_eq!((status, &place["reason"]), (202, &json!("lobby")));
    assert!(place.get("token").is_none() && place.get("identity").is_none(), "{place}");
    let mut bo = hello(&server, &room, json!({ "waiting": place["waiting"] })).await;
    assert_eq!(heard(&mut bo).await, Some(json!({ "waiting": { "title": null, "reason": "lobby" } })));
    ada.until("Bo in the lobby", |state, _| state["lobby"]["waiting"][0]["name"] == "Bo").await;
    // All that happens inside is not for him.
    ada.done(json!({ "do": "chat.send", "text": "What the council earns is a secret." })).await;
    ada.done(json!({ "do": "hand.raise" })).await;
    assert!(bo.next().now_or_never_text().is_none());

    let waiting = ada.state["lobby"]["waiting"][0]["id"].clone();
    ada.done(json!({ "do": "lobby.admit", "waiting": waiting })).await;
    let admitted = heard(&mut bo).await.expect("he is let in");
    assert_eq!(admitted["admitted"]["role"], "speaker");
    assert_eq!(admitted["admitted"]["seat"], place["seat"]);
    assert_eq!(heard(&mut bo).await, None, "and that is all that is said there");
    let mut bo = Person::enter(&server, &room, &admitted["admitted"]).await;
    bo.done(json!({ "do": "chat.send", "text": "Good morning" })).await;
    ada.until("his message", |_, message| {
        message["patch"]["state"]["chat"]["messages"][0]["text"] == "Good morning"
    })
    .await;
    assert!(metric(&server.metrics, "parvis_meeting_total{what=\"told_to_wait\"}") >= 1);
}

/// Whether a text is there already, without waiting.
trait NowOrNever {
    fn now_or_never_text(self) -> Option<String>;
}

impl<F: Future<Output = Option<Result<Message, Error>>>> NowOrNever for F {
    fn now_or_never_text(self) -> Option<String> {
        use futures_util::FutureExt;
        match self.now_or_never() {
            Some(Some(Ok(Message::Text(text)))) => Some(text.to_string()),
            _ => None,
        }
    }
}

#[tokio::test]
async fn row_44_whoever_is_removed_and_banned_is_out_and_comes_back_by_no_way_but_the_lobby() {
    let server = start(guests()).await;
    let (room, host_key) = make(&server, json!({})).await;
    let (_, ticket) = knock(&server, &room, json!({ "name": "Ada", "host_key": host_key })).await;
    let mut ada = Person::enter(&server, &room, &ticket).await;
    let (status, ticket) = knock(&server, &room, json!({ "name": "Bo" })).await;
    assert_eq!((status, &ticket["role"]), (200, &json!("speaker")));
    let mut bo = Person::enter(&server, &room, &ticket).await;

    let began = Instant::now();
    ada.done(json!({ "do": "remove", "identity": bo.identity, "ban": true })).await;
    let (code, said) = closed_with(&mut bo.meeting).await;
    assert_eq!(code, 4003);
    assert!(
        said.iter().any(|said| said.contains("\"removed\"") && said.contains("\"banned\":true")),
        "{said:?}"
    );
    loop {
        match next(&mut bo.signal).await {
            Some(Response::Leave(leave)) => {
                assert_eq!(leave.reason(), proto::DisconnectReason::ParticipantRemoved);
                assert_eq!(leave.action(), proto::leave_request::Action::Disconnect);
            }
            Some(_) => {}
            None => break,
        }
    }
    assert!(began.elapsed() < Duration::from_secs(1), "out within a second: {:?}", began.elapsed());

    // The token is dead, for both sockets.
    assert!(server.open(&format!("/rtc?access_token={}", bo.token)).await.is_err());
    let mut again = hello(&server, &room, json!({ "token": bo.token })).await;
    assert_eq!(closed_with(&mut again).await.0, 4003);
    // Nor is there another one for the seat. Whoever comes without it comes from the same address.
    let (status, refused) = knock(&server, &room, json!({ "name": "Bo", "seat": bo.seat })).await;
    assert_eq!((status, &refused["code"]), (403, &json!("banned")));
    let (status, place) = knock(&server, &room, json!({ "name": "Bob" })).await;
    assert_eq!((status, &place["reason"]), (202, &json!("banned_address")));
    // Until that is taken back.
    if ada.state["members"]["banned"][0].is_null() {
        ada.until("the ban", |state, _| !state["members"]["banned"][0].is_null()).await;
    }
    let ban = ada.state["members"]["banned"][0]["id"].clone();
    ada.done(json!({ "do": "unban", "ban": ban })).await;
    let (status, ticket) = knock(&server, &room, json!({ "name": "Bo", "seat": bo.seat })).await;
    assert_eq!(status, 200);
    // And what is given then opens, in the second of the removal as well.
    let back = Person::enter(&server, &room, &ticket).await;
    assert_eq!(back.identity, bo.identity);
}

#[tokio::test]
async fn row_43_a_token_of_the_doors_does_not_open_one_that_was_closed_since() {
    let server = start(guests()).await;
    let room = "b3Vt5nqXb0-2Vw_1cJ8hkQ";
    let (_, early) = knock(&server, room, json!({ "name": "Bo" })).await;
    let beside = Beside { room_admin: true, ..Beside::default() };
    let grants = Grants { name: "Ada".to_owned(), beside, ..Grants::of("ada") };
    let token = server.keys.issue(room, &grants, Duration::from_secs(60)).unwrap();
    let mut ada =
        Person::enter(&server, room, &json!({ "token": token, "identity": "ada", "seat": "" })).await;
    assert_eq!(ada.state["you"]["role"], "moderator", "an application's moderator conducts");
    ada.done(json!({ "do": "policy.set", "policy": { "lobby": true } })).await;

    let token = early["token"].as_str().unwrap();
    assert_eq!(server.open(&format!("/rtc?access_token={token}")).await.err(), Some(401));
    let (status, refused) =
        ask(&server, "GET", &format!("/rtc/validate?access_token={token}"), &Value::Null).await;
    assert_eq!((status, &refused["code"]), (401, &json!("door")));
    let (status, _) = knock(&server, room, json!({ "name": "Bo", "seat": early["seat"] })).await;
    assert_eq!(status, 202, "the same person waits like all others");
    // An application's token is a sign-in.
    let cem = server.token(room, "cem");
    assert!(server.open(&format!("/rtc?access_token={cem}")).await.is_ok());
    // But for whom a moderator banned.
    ada.done(json!({ "do": "remove", "identity": "cem", "ban": true })).await;
    let later = server.token(room, "cem");
    let (status, _) = ask(&server, "GET", &format!("/rtc/validate?access_token={later}"), &Value::Null).await;
    assert_eq!(status, 401);
}

#[tokio::test]
async fn row_42_a_meeting_is_found_again_after_a_restart_with_its_rules_its_password_and_its_bans() {
    let tries = Rate { burst: 1_000, per_second: 1_000 };
    let config = || ApiConfig { password_tries: tries, ..guests() };
    let (server, folder): (Server, Folder) = start_with_store(config()).await;
    let wish = json!({ "title": "Council", "policy": { "password": "Grünkohl", "title_outside": true } });
    let (room, host_key) = make(&server, wish).await;
    let (status, refused) = knock(&server, &room, json!({ "name": "Bo" })).await;
    assert_eq!((status, &refused["code"]), (403, &json!("password_needed")));
    let (status, refused) = knock(&server, &room, json!({ "name": "Bo", "password": "Rosenkohl" })).await;
    assert_eq!((status, &refused["code"]), (403, &json!("password_wrong")));
    let (status, ticket) = knock(&server, &room, json!({ "name": "Bo", "password": "Grünkohl" })).await;
    assert_eq!(status, 200, "{ticket}");
    let bo = Person::enter(&server, &room, &ticket).await;
    let (_, ticket) = knock(&server, &room, json!({ "name": "Ada", "host_key": host_key })).await;
    let mut ada = Person::enter(&server, &room, &ticket).await;
    ada.done(json!({ "do": "remove", "identity": bo.identity, "ban": true })).await;
    ada.done(json!({ "do": "policy.set", "policy": { "locked": true } })).await;
    server.api.meetings_written(PATIENCE).await;
    drop((ada, server));

    let server = start_in(config(), &folder).await;
    server.api.recover_meetings().await.unwrap();
    let (_, outside) = ask(&server, "GET", &format!("/api/rooms/{room}"), &Value::Null).await;
    assert_eq!(
        (&outside["title"], &outside["password"], &outside["locked"]),
        (&json!("Council"), &json!(true), &json!(true))
    );
    let (status, refused) =
        knock(&server, &room, json!({ "name": "Bo", "seat": bo.seat, "password": "Grünkohl" })).await;
    assert_eq!((status, &refused["code"]), (403, &json!("banned")));
    let (status, refused) = knock(&server, &room, json!({ "name": "Cem", "password": "Grünkohl" })).await;
    assert_eq!((status, &refused["code"]), (403, &json!("locked")));
    let wrong = json!({ "name": "Cem", "host_key": "b3Vt5nqXb0-2Vw_1cJ8hkQ" });
    assert_eq!(knock(&server, &room, wrong).await.0, 403, "another key is no key");
    let (status, ticket) = knock(&server, &room, json!({ "name": "Ada", "host_key": host_key })).await;
    assert_eq!((status, &ticket["role"]), (200, &json!("owner")));
    // A new password holds from the moment in which it is hashed, and the old one no more from at once.
    let mut ada = Person::enter(&server, &room, &ticket).await;
    ada.done(json!({ "do": "policy.set", "policy": { "locked": false, "password": "Wirsing" } })).await;
    let (_, refused) = knock(&server, &room, json!({ "name": "Cem", "password": "Grünkohl" })).await;
    assert_eq!(refused["code"], "password_wrong");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (status, place) = knock(&server, &room, json!({ "name": "Cem", "password": "Wirsing" })).await;
        if status != 403 {
            // Somebody from this address is banned.
            assert_eq!((status, &place["reason"]), (202, &json!("banned_address")));
            break;
        }
        assert!(Instant::now() < deadline, "the new password never holds");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn row_45_whom_a_moderator_silences_is_silent_at_the_forwarder() {
    let server = start(guests()).await;
    let (room, host_key) = make(&server, json!({})).await;
    let (_, ticket) = knock(&server, &room, json!({ "name": "Ada", "host_key": host_key })).await;
    let mut ada = Person::enter(&server, &room, &ticket).await;
    let (_, ticket) = knock(&server, &room, json!({ "name": "Bo" })).await;
    let mut bo = Person::enter(&server, &room, &ticket).await;
    publish(&mut bo).await.unwrap();

    ada.done(json!({ "do": "mute", "identity": bo.identity, "source": "microphone" })).await;
    bo.until("that he is muted", |_, message| message["event"]["what"] == "muted").await;
    let muted = |server: &Server| {
        let commands = server.notebook.commands.lock().unwrap();
        commands
            .iter()
            .rev()
            .find_map(|(_, command)| match command {
                parvis_sfu::Command::SetMuted { muted, .. } => Some(*muted),
                _ => None,
            })
            .unwrap_or_default()
    };
    common::until("the forwarder holds his sound back", || muted(&server)).await;

    let rights = json!({ "microphone": false });
    ada.done(json!({ "do": "rights.set", "identity": bo.identity, "rights": rights })).await;
    bo.until("his rights", |state, _| state["you"]["rights"]["microphone"] == false).await;
    loop {
        if let Response::TrackUnpublished(_) = next(&mut bo.signal).await.expect("he is still there") {
            break;
        }
    }
    let refused = publish(&mut bo).await.unwrap_err();
    assert!(refused.contains("icrophone") || refused.contains("publish"), "{refused}");
    // Nor does he get it back by coming anew.
    let (_, ticket) = knock(&server, &room, json!({ "name": "Bo", "seat": bo.seat })).await;
    assert_eq!(ticket["identity"], bo.identity.as_str());
    let mut bo = Person::enter(&server, &room, &ticket).await;
    assert_eq!(bo.state["you"]["rights"]["microphone"], false);
    publish(&mut bo).await.unwrap_err();

    // Whoever may not unmute begins muted, whatever the client says.
    ada.done(json!({ "do": "rights.set", "identity": bo.identity, "rights": { "microphone": true, "unmute": false } }))
        .await;
    bo.until("his rights", |state, _| state["you"]["rights"]["microphone"] == true).await;
    let sid = publish(&mut bo).await.unwrap();
    let begun = {
        let commands = server.notebook.commands.lock().unwrap();
        commands.iter().rev().find_map(|(_, command)| match command {
            parvis_sfu::Command::Publish { spec, .. } => Some(spec.muted),
            _ => None,
        })
    };
    assert_eq!(begun, Some(true), "it begins muted at the forwarder");
    let unmute = proto::MuteTrackRequest { sid, muted: false };
    send(&mut bo.signal, Request::Mute(unmute)).await;
    loop {
        match next(&mut bo.signal).await.expect("he is still there") {
            Response::RequestResponse(refused) => {
                assert!(refused.message.contains("moderator"), "{}", refused.message);
                break;
            }
            Response::Mute(mute) => assert!(mute.muted),
            _ => {}
        }
    }
    assert!(muted(&server), "the last word to the forwarder is that it is muted");
}

#[tokio::test]
async fn row_45_whoever_is_no_moderator_any_more_moderates_by_no_older_token() {
    let server = start(guests()).await;
    let (room, host_key) = make(&server, json!({})).await;
    let (_, ticket) = knock(&server, &room, json!({ "name": "Ada", "host_key": host_key })).await;
    let mut ada = Person::enter(&server, &room, &ticket).await;
    let (_, ticket) = knock(&server, &room, json!({ "name": "Bo" })).await;
    let mut bo = Person::enter(&server, &room, &ticket).await;
    ada.done(json!({ "do": "role.set", "identity": bo.identity, "role": "moderator" })).await;
    let token = loop {
        if let Response::RefreshToken(token) = next(&mut bo.signal).await.expect("he is there") {
            break token;
        }
    };
    let list = json!({ "room": room });
    let listed = server.call_json(&token, "RoomService/ListParticipants", list.clone()).await;
    assert_eq!(
        listed.unwrap()["participants"].as_array().map(Vec::len),
        Some(2),
        "a moderator's token moderates"
    );
    let against = json!({ "room": room, "identity": ada.identity });
    let refused = server.call_json(&token, "RoomService/RemoveParticipant", against).await.unwrap_err();
    assert!(refused.is(403, "permission_denied"), "not against the owner: {refused:?}");
    ada.done(json!({ "do": "role.set", "identity": bo.identity, "role": "speaker" })).await;
    bo.until("his role", |state, _| state["you"]["role"] == "speaker").await;
    let refused = server.call_json(&token, "RoomService/ListParticipants", list).await.unwrap_err();
    assert!(refused.is(403, "permission_denied"), "{refused:?}");
}

#[tokio::test]
async fn a_webinars_viewers_see_are_counted_and_not_listed_until_they_are_called() {
    let server = start(guests()).await;
    let (room, host_key) = make(&server, json!({ "policy": { "default_role": "viewer" } })).await;
    let (_, ticket) = knock(&server, &room, json!({ "name": "Ada", "host_key": host_key })).await;
    let mut ada = Person::enter(&server, &room, &ticket).await;
    let (_, ticket) = knock(&server, &room, json!({ "name": "Bo" })).await;
    let mut bo = Person::enter(&server, &room, &ticket).await;
    assert_eq!(bo.state["you"]["role"], "viewer");
    ada.until("one viewer", |state, _| state["members"]["viewers"] == 1).await;
    publish(&mut bo).await.unwrap_err();
    // Others are told of nobody.
    let listed = server.join(&room, "cem").await.1.other_participants;
    let listed: Vec<String> = listed.into_iter().map(|other| other.identity).collect();
    assert_eq!(listed, [ada.identity.clone()]);

    ada.done(json!({ "do": "role.set", "identity": bo.identity, "role": "speaker" })).await;
    let seen = |update: &proto::ParticipantUpdate, state: proto::participant_info::State| {
        update.participants.iter().any(|other| other.identity == bo.identity && other.state() == state)
    };
    loop {
        if let Response::Update(update) = next(&mut ada.signal).await.expect("she is there")
            && seen(&update, proto::participant_info::State::Joined)
        {
            break;
        }
    }
    ada.done(json!({ "do": "role.set", "identity": bo.identity, "role": "viewer" })).await;
    loop {
        if let Response::Update(update) = next(&mut ada.signal).await.expect("she is there")
            && seen(&update, proto::participant_info::State::Disconnected)
        {
            break;
        }
    }
    bo.until("his role", |state, _| state["you"]["role"] == "viewer").await;
    publish(&mut bo).await.unwrap_err();
}

#[tokio::test]
async fn an_encrypted_room_takes_nothing_in_clear_and_is_not_recorded() {
    let server = start(guests()).await;
    let (room, host_key) = make(&server, json!({ "e2ee": true })).await;
    let (_, ticket) = knock(&server, &room, json!({ "name": "Ada", "host_key": host_key })).await;
    let mut ada = Person::enter(&server, &room, &ticket).await;
    assert_eq!(ada.state["room"]["e2ee"], true);
    let refused = publish(&mut ada).await.unwrap_err();
    assert!(refused.contains("end to end"), "{refused}");
    let path = format!("/api/rooms/{room}/recordings?access_token={}", ada.token);
    let (status, refused) = ask(&server, "POST", &path, &json!({})).await;
    assert_eq!((status, &refused["code"]), (403, &json!("e2ee_room")));
}

#[tokio::test]
async fn people_in_breakout_rooms_keep_their_meeting_and_come_back_to_it() {
    let server = start(guests()).await;
    let (room, host_key) = make(&server, json!({ "policy": { "lobby": false } })).await;
    let (_, ticket) = knock(&server, &room, json!({ "name": "Ada", "host_key": host_key })).await;
    let mut ada = Person::enter(&server, &room, &ticket).await;
    let (_, ticket) = knock(&server, &room, json!({ "name": "Bo" })).await;
    let mut bo = Person::enter(&server, &room, &ticket).await;
    let rooms = json!([{ "name": "Roads", "members": [bo.identity] }]);
    ada.done(json!({ "do": "breakout.open", "rooms": rooms })).await;
    let go = bo.until("where to go", |_, message| message["event"]["what"] == "breakout").await;
    assert_eq!(go["event"]["name"], "Roads");
    let ticket = &go["event"]["ticket"];
    let breakout = ticket["room"].as_str().unwrap().to_owned();
    assert_ne!(breakout, room);
    let (status, refused) = knock(&server, &breakout, json!({ "name": "Cem" })).await;
    assert_eq!((status, &refused["code"]), (403, &json!("locked")), "it is no door for others");
    let seated = json!({ "token": ticket["token"], "identity": ticket["identity"], "seat": bo.seat });
    drop(bo);
    let mut bo = Person::enter(&server, &breakout, &seated).await;
    assert_eq!(bo.state["breakouts"]["rooms"][0]["name"], "Roads", "he is still one of the meeting");
    bo.done(json!({ "do": "breakout.help" })).await;
    ada.until("his call", |_, message| message["event"]["what"] == "help").await;
    ada.until("where he is", |state, _| {
        state["breakouts"]["rooms"][0]["names"] == json!({ bo.identity.as_str(): "Bo" })
    })
    .await;
    ada.done(json!({ "do": "breakout.close" })).await;
    let back = bo.until("the way back", |_, message| message["event"]["what"] == "breakout").await;
    assert_eq!(back["event"]["ticket"]["room"], room.as_str());
}

#[tokio::test]
async fn row_45_a_moderators_word_reaches_people_in_breakout_rooms() {
    let server = start(guests()).await;
    let (room, host_key) = make(&server, json!({ "policy": { "default_role": "viewer" } })).await;
    let (_, ticket) = knock(&server, &room, json!({ "name": "Ada", "host_key": host_key })).await;
    let mut ada = Person::enter(&server, &room, &ticket).await;
    let (_, ticket) = knock(&server, &room, json!({ "name": "Bo" })).await;
    let mut bo = Person::enter(&server, &room, &ticket).await;
    ada.done(json!({ "do": "role.set", "identity": bo.identity, "role": "speaker" })).await;
    // What was decided before holds there as well, and who was made a speaker is one.
    ada.done(json!({ "do": "rights.set", "identity": bo.identity, "rights": { "camera": false } })).await;
    let rooms = json!([{ "name": "Roads", "members": [bo.identity] }]);
    ada.done(json!({ "do": "breakout.open", "rooms": rooms })).await;
    let go = bo.until("where to go", |_, message| message["event"]["what"] == "breakout").await;
    let ticket = &go["event"]["ticket"];
    let breakout = ticket["room"].as_str().unwrap().to_owned();
    let seated = json!({ "token": ticket["token"], "identity": ticket["identity"], "seat": bo.seat });
    drop(bo);
    let mut bo = Person::enter(&server, &breakout, &seated).await;
    assert!(publish_of(&mut bo, proto::TrackSource::Camera).await.is_err(), "no camera, as in the meeting");
    let sid = publish(&mut bo).await.expect("a microphone is his");

    ada.done(json!({ "do": "mute", "identity": bo.identity, "source": "microphone" })).await;
    let muted = until_signal(&mut bo, |message| match message {
        Response::Mute(mute) => Some(mute.clone()),
        _ => None,
    })
    .await;
    assert_eq!((muted.sid.as_str(), muted.muted), (sid.as_str(), true));
    bo.until("who did it", |_, message| message["event"]["what"] == "muted").await;

    let sources = |message: &Response| match message {
        Response::Update(update) => {
            let own =
                update.participants.iter().find(|participant| participant.identity == seated["identity"]);
            own?.permission.clone().map(|permission| permission.can_publish_sources)
        }
        _ => None,
    };
    ada.done(json!({ "do": "rights.set", "identity": bo.identity, "rights": { "camera": true } })).await;
    let camera = proto::TrackSource::Camera as i32;
    until_signal(&mut bo, |message| {
        sources(message).filter(|sources| sources.is_empty() || sources.contains(&camera))
    })
    .await;
    ada.done(json!({ "do": "rights.set", "identity": bo.identity, "rights": { "microphone": false } })).await;
    let microphone = proto::TrackSource::Microphone as i32;
    until_signal(&mut bo, |message| {
        sources(message).filter(|sources| sources.contains(&camera) && !sources.contains(&microphone))
    })
    .await;
    ada.done(json!({ "do": "unmute.ask", "identity": bo.identity, "source": "camera" })).await;
    bo.until("what he is asked", |_, message| message["event"]["what"] == "unmute_asked").await;
}

/// The next message of the signalling of which `wanted` makes something.
async fn until_signal<T>(person: &mut Person, wanted: impl Fn(&Response) -> Option<T>) -> T {
    loop {
        let message =
            tokio::time::timeout(PATIENCE, next(&mut person.signal)).await.expect("it comes in time");
        if let Some(found) = wanted(&message.expect("the signalling is open")) {
            return found;
        }
    }
}

#[tokio::test]
async fn whoever_waits_says_a_note_to_those_who_let_people_in_and_nothing_else() {
    let server = start(guests()).await;
    let (room, host_key) = make(&server, json!({ "policy": { "lobby": true } })).await;
    let (_, ticket) = knock(&server, &room, json!({ "name": "Ada", "host_key": host_key })).await;
    let mut ada = Person::enter(&server, &room, &ticket).await;
    let (_, place) = knock(&server, &room, json!({ "name": "Bo" })).await;
    let mut bo = hello(&server, &room, json!({ "waiting": place["waiting"] })).await;
    heard(&mut bo).await.expect("he waits");
    say(&mut bo, &json!({ "id": 1, "do": "note", "text": "<b>I am</b>\u{202E} the minister's driver\n" }))
        .await;
    assert_eq!(heard(&mut bo).await, Some(json!({ "answer": { "id": 1, "ok": {} } })));
    ada.until("his note", |state, _| {
        state["lobby"]["waiting"][0]["note"] == "<b>I am</b> the minister's driver"
    })
    .await;
    say(&mut bo, &json!({ "id": 2, "do": "note", "text": "a".repeat(201) })).await;
    let refused = heard(&mut bo).await.unwrap();
    assert_eq!(refused["answer"]["error"]["code"], "bad_value", "{refused}");
    for id in 3..13 {
        say(&mut bo, &json!({ "id": id, "do": "note", "text": "again" })).await;
    }
    let mut codes = Vec::new();
    for _ in 3..13 {
        codes.push(heard(&mut bo).await.unwrap()["answer"]["error"]["code"].clone());
    }
    assert!(codes[0].is_null() && codes.contains(&json!("too_many")), "{codes:?}");
    assert_eq!(metric(&server.metrics, "parvis_meeting_bounds_total{bound=\"note_chars\"}"), 1);
    let many = codes.iter().filter(|code| **code == "too_many").count() as u64;
    assert_eq!(metric(&server.metrics, "parvis_meeting_bounds_total{bound=\"notes\"}"), many);
    assert_eq!(metric(&server.metrics, "parvis_meeting_bounds_total{bound=\"hands\"}"), 0);
    assert!(
        server.metrics.page().contains("parvis_meeting_bounds_total{bound=\"hands\"} 0"),
        "from the first"
    );
    say(&mut bo, &json!({ "do": "chat.send", "text": "let me in" })).await;
    assert_eq!(closed_with(&mut bo).await.0, 1008);
}

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

#[tokio::test]
async fn passwords_are_not_found_by_trying() {
    let tries = Rate { burst: 3, per_second: 1 };
    let server = start(ApiConfig { password_tries: tries, ..guests() }).await;
    let (room, _) = make(&server, json!({ "policy": { "password": "Grünkohl" } })).await;
    let mut codes = Vec::new();
    for number in 0..6 {
        let (_, refused) =
            knock(&server, &room, json!({ "name": "Bo", "password": format!("{number}") })).await;
        codes.push(refused["code"].as_str().unwrap_or_default().to_owned());
    }
    assert_eq!(codes[..2], ["password_wrong", "password_wrong"]);
    assert!(codes.iter().any(|code| code == "too_many"), "{codes:?}");
}

/// A log that keeps what it is told.
#[derive(Default)]
struct Told {
    events: std::sync::Mutex<Vec<parvis_audit::Event>>,
    closed: std::sync::atomic::AtomicBool,
}

impl parvis_audit::Sink for Told {
    fn record(&self, event: parvis_audit::Event) {
        self.events.lock().unwrap().push(event);
    }

    fn may_act(&self) -> bool {
        !self.closed.load(std::sync::atomic::Ordering::Relaxed)
    }
}

#[tokio::test]
async fn what_is_done_with_a_meeting_is_told_to_the_audit_log_and_refused_where_that_takes_nothing() {
    let server = start(guests()).await;
    let told = std::sync::Arc::<Told>::default();
    server.api.log(std::sync::Arc::clone(&told) as std::sync::Arc<dyn parvis_audit::Sink>);
    let wish = json!({ "policy": { "lobby": true, "password": "open sesame" } });
    let (room, host_key) = make(&server, wish).await;
    let (_, ticket) = knock(&server, &room, json!({ "name": "Ada", "host_key": host_key })).await;
    let mut ada = Person::enter(&server, &room, &ticket).await;
    let (status, _) = knock(&server, &room, json!({ "name": "Cem", "password": "wrong" })).await;
    assert_eq!(status, 403);
    let mut waiting = Vec::new();
    for name in ["Bo", "Dora"] {
        let (_, place) = knock(&server, &room, json!({ "name": name, "password": "open sesame" })).await;
        waiting.push(hello(&server, &room, json!({ "waiting": place["waiting"] })).await);
    }
    ada.until("both", |state, _| state["lobby"]["waiting"][1]["name"] == "Dora").await;
    let place = |ada: &Person, at: usize| ada.state["lobby"]["waiting"][at]["id"].clone();
    let (bo, dora) = (place(&ada, 0), place(&ada, 1));
    ada.done(json!({ "do": "lobby.admit", "waiting": bo })).await;
    ada.done(json!({ "do": "lobby.refuse", "waiting": dora })).await;
    heard(&mut waiting[0]).await;
    let admitted = heard(&mut waiting[0]).await.unwrap();
    let mut bo = Person::enter(&server, &room, &admitted["admitted"]).await;
    let refused = bo.command(json!({ "do": "remove", "identity": ada.identity, "ban": true })).await;
    assert_eq!(refused["error"]["code"], "not_allowed");
    ada.done(json!({ "do": "role.set", "identity": bo.identity, "role": "moderator" })).await;
    ada.done(json!({ "do": "policy.set", "policy": { "locked": true } })).await;
    ada.done(json!({ "do": "remove", "identity": bo.identity, "ban": true })).await;
    let nobody = server.call_json("x.y.z", "RoomService/DeleteRoom", json!({ "room": room })).await;
    assert!(nobody.is_err());

    let events = told.events.lock().unwrap().clone();
    let guest = |identity: &str| parvis_audit::Who::person(identity);
    let conducted: Vec<(&str, bool, bool, Option<&str>)> = events
        .iter()
        .filter(|event| event.on == Some(parvis_audit::Subject::new("room", &room)))
        .map(|event| {
            let of_ada =
                matches!(&event.who, parvis_audit::Who::Person { identity, .. } if *identity == ada.identity);
            let done = event.outcome == parvis_audit::Outcome::Done;
            (event.act.as_str(), of_ada, done, event.about.as_deref())
        })
        .collect();
    let (by_ada, of_bo) = (true, Some(bo.identity.as_str()));
    let dora = conducted[7].3;
    assert_eq!(
        conducted,
        [
            ("room.make", false, true, None),
            ("token", by_ada, true, None),
            ("sign_in", by_ada, true, None),
            ("token", false, false, None),
            ("token", false, true, None),
            ("token", false, true, None),
            ("lobby.admit", by_ada, true, of_bo),
            ("lobby.refuse", by_ada, true, dora),
            ("sign_in", false, true, None),
            ("ban", false, false, Some(ada.identity.as_str())),
            ("rights", by_ada, true, of_bo),
            ("room.policy", by_ada, true, None),
            ("ban", by_ada, true, of_bo),
        ]
    );
    assert!(dora.is_some() && dora != of_bo);
    let named = events.iter().find(|event| event.who == guest(&ada.identity));
    assert!(named.is_some(), "commands say the identity alone");
    assert_eq!(events[3].why, "password_wrong");
    assert_eq!(events[3].from.map(|address| address.to_string()).as_deref(), Some("127.0.0.1"));
    let last = events.last().unwrap();
    assert_eq!(
        (last.act.as_str(), &last.who, last.why.as_str()),
        ("call", &parvis_audit::Who::Nobody, "unauthorized")
    );
    // No secret is told.
    let all = format!("{events:?}");
    assert!(!all.contains("sesame") && !all.contains(&host_key) && !all.contains(&ada.token), "{all}");

    // A log that takes nothing: who is in stays, and nobody new comes.
    told.closed.store(true, std::sync::atomic::Ordering::Relaxed);
    let (status, refusal) = knock(&server, &room, json!({ "name": "Bo", "password": "open sesame" })).await;
    assert_eq!((status, refusal["code"].as_str()), (503, Some("unavailable")));
    ada.done(json!({ "do": "policy.set", "policy": { "locked": false } })).await;
    told.closed.store(false, std::sync::atomic::Ordering::Relaxed);
    let (status, _) = knock(&server, &room, json!({ "name": "Bo", "password": "open sesame" })).await;
    assert_eq!(status, 202);
}
