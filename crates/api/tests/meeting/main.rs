// SPDX-License-Identifier: EUPL-1.2
//! Meetings over real sockets: a room is made, people knock, wait, come in, are conducted, and put out. What all of these tests share is
//! here: people, and how they are spoken to.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../common/mod.rs"]
mod common;

mod account;
mod breakouts;
mod conducted;
mod door;
mod hello;

use std::time::Instant;

use common::{PATIENCE, Server, Socket, next, send, start};
use futures_util::{SinkExt, StreamExt};
use livekit_protocol as proto;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message as Response;
use parvis_api::{ApiConfig, Metrics};
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

/// A meeting made by this wish, with Ada who conducts it and Bo who came by the link.
async fn chaired(server: &Server, wish: Value) -> (String, Person, Person) {
    let (room, host_key) = make(server, wish).await;
    let (_, ticket) = knock(server, &room, json!({ "name": "Ada", "host_key": host_key })).await;
    let ada = Person::enter(server, &room, &ticket).await;
    let (_, ticket) = knock(server, &room, json!({ "name": "Bo" })).await;
    let bo = Person::enter(server, &room, &ticket).await;
    (room, ada, bo)
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
