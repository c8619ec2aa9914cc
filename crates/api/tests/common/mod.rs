// SPDX-License-Identifier: EUPL-1.2
//! A participants' plane on loopback over a forwarder that writes down what it is told.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod offers;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use livekit_protocol as proto;
use livekit_protocol::signal_response::Message as Response;
use livekit_token::{AccessToken, SIPGrants, VideoGrants};
use parvis_api::{Api, ApiConfig, Forwarders, Keys, Metrics, TenantId};
use parvis_sfu::{Command, ForwarderId, RoomId};
use parvis_signal::Grants;
use parvis_store::{Store, StoreConfig};
use prost::Message as _;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

pub const KEY: &str = "main";
pub const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// A key of another tenant's.
pub const OTHER_KEY: &str = "other";
pub const OTHER_SECRET: &str = "fedcba9876543210fedcba9876543210";

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What is told to the second part of a room is written down under the room's number and this.
pub const FAR: u64 = 1_000_000;

/// Writes commands down; refuses the first few if told so.
#[derive(Default)]
pub struct Notebook {
    pub commands: Mutex<Vec<(RoomId, Command)>>,
    pub refuse: AtomicUsize,
    /// The room whose next command makes its task panic; 0 is none.
    pub panic_in: AtomicU64,
    pub ended: AtomicUsize,
    next: AtomicU64,
}

impl Forwarders for Notebook {
    fn new_room(&self) -> Option<RoomId> {
        Some(RoomId(self.next.fetch_add(1, Ordering::Relaxed) + 1))
    }

    fn room_ended(&self, _: RoomId) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    /// A forwarder for each room: what it is told is written down under the room's name.
    fn home(&self, room: RoomId) -> ForwarderId {
        ForwarderId(room.0)
    }

    fn open_part(&self, room: RoomId) -> Option<ForwarderId> {
        Some(ForwarderId(room.0 + FAR))
    }

    fn command(&self, to: ForwarderId, command: Command) -> Result<(), Box<Command>> {
        let room = RoomId(to.0);
        let fault = self.panic_in.compare_exchange(room.0, 0, Ordering::Relaxed, Ordering::Relaxed);
        assert!(room.0 == 0 || fault.is_err(), "a fault in this room");
        let take = |left: usize| left.checked_sub(1);
        if self.refuse.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
            return Err(Box::new(command));
        }
        self.commands.lock().unwrap().push((room, command));
        Ok(())
    }

    fn is_healthy(&self) -> bool {
        true
    }
}

pub struct Server {
    pub api: Api,
    pub address: SocketAddr,
    pub notebook: Arc<Notebook>,
    pub metrics: Metrics,
    pub keys: Keys,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.api.stop();
    }
}

pub async fn start(config: ApiConfig) -> Server {
    let table =
        [(KEY, SECRET), (OTHER_KEY, OTHER_SECRET)].map(|(key, secret)| (key.to_owned(), secret.to_owned()));
    let keys = Keys::new(table.to_vec(), Duration::from_secs(3_600), false).unwrap();
    let keys = keys.assign(OTHER_KEY, &TenantId::new("other"));
    let notebook = Arc::<Notebook>::default();
    let metrics = Metrics::new(Vec::new()).unwrap();
    let api = Api::new(config, keys.clone(), Arc::clone(&notebook) as Arc<dyn Forwarders>, metrics.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = api.clone();
    tokio::spawn(async move { serving.serve(listener).await });
    Server { api, address, notebook, metrics, keys }
}

/// A server that keeps records, in a folder that goes with it.
pub async fn start_with_store(config: ApiConfig) -> (Server, Folder) {
    let folder = Folder::new();
    (start_in(config, &folder).await, folder)
}

/// A server that keeps records in a folder, and takes up what is there.
pub async fn start_in(config: ApiConfig, folder: &Folder) -> Server {
    let server = start(config).await;
    server.api.keep(folder.store().await);
    server.api.recover().await.unwrap();
    server
}

/// A folder of a test's own.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Folder {
        let folder = std::env::temp_dir().join(format!("parvis-api-{:016x}", rand::random::<u64>()));
        std::fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    pub async fn store(&self) -> Store {
        Store::open(StoreConfig::new("", &self.0)).await.unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A token of an application's server, made by the SDK's own code.
pub fn grant(video: VideoGrants) -> String {
    let sip = SIPGrants { admin: true, call: true };
    let token = AccessToken::with_api_key(KEY, SECRET).with_grants(video).with_sip_grants(sip);
    token.with_ttl(Duration::from_secs(600)).to_jwt().unwrap()
}

/// All grants, for the room of this name.
pub fn everything(room: &str) -> VideoGrants {
    VideoGrants {
        room_create: true,
        room_list: true,
        room_record: true,
        room_admin: true,
        ingress_admin: true,
        room: room.to_owned(),
        destination_room: "kitchen".to_owned(),
        ..VideoGrants::default()
    }
}

/// A failed call: status and Twirp's code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub status: u16,
    pub code: String,
    pub message: String,
}

impl Failure {
    pub fn is(&self, status: u16, code: &str) -> bool {
        self.status == status && self.code == code
    }
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// In small letters.
    pub head: String,
    /// Where the answer's `Location` points.
    pub location: String,
    pub body: String,
}

pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

impl Server {
    pub fn token(&self, room: &str, identity: &str) -> String {
        self.keys.issue(room, &Grants::of(identity), Duration::from_secs(600)).unwrap()
    }

    /// One request on a connection of its own.
    pub async fn request(&self, head: &str, body: &str) -> Answer {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let length = body.len();
        let text = format!(
            "{head}\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
        let location = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("location").then(|| value.to_owned())
        });
        let location = location.unwrap_or_default();
        Answer { status, head: head.to_ascii_lowercase(), location, body: body.to_owned() }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.request(&format!("GET {path} HTTP/1.1"), "").await
    }

    /// Posts bytes; `head` are more lines of the head.
    pub async fn post(
        &self,
        path: &str,
        token: Option<&str>,
        head: &[String],
        body: &[u8],
    ) -> (u16, Vec<u8>) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut lines = vec![
            format!("POST {path} HTTP/1.1"),
            "Host: localhost".to_owned(),
            "Connection: close".to_owned(),
            format!("Content-Length: {}", body.len()),
        ];
        lines.extend(token.map(|token| format!("Authorization: Bearer {token}")));
        lines.extend(head.iter().cloned());
        let mut bytes = format!("{}\r\n\r\n", lines.join("\r\n")).into_bytes();
        bytes.extend_from_slice(body);
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        let mut answer = Vec::new();
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("an HTTP answer");
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
        (status, answer[end + 4..].to_vec())
    }

    /// One call of the server APIs, in protobuf.
    pub async fn call<A: prost::Message + Default>(
        &self,
        token: &str,
        method: &str,
        request: &impl prost::Message,
    ) -> Result<A, Failure> {
        let head = ["Content-Type: application/protobuf".to_owned()];
        let path = format!("/twirp/livekit.{method}");
        let (status, body) = self.post(&path, Some(token), &head, &request.encode_to_vec()).await;
        if status == 200 { Ok(A::decode(body.as_slice()).unwrap()) } else { Err(failure(status, &body)) }
    }

    /// The same in JSON.
    pub async fn call_json(&self, token: &str, method: &str, request: Value) -> Result<Value, Failure> {
        let head = ["Content-Type: application/json".to_owned()];
        let path = format!("/twirp/livekit.{method}");
        let (status, body) = self.post(&path, Some(token), &head, request.to_string().as_bytes()).await;
        if status == 200 { Ok(serde_json::from_slice(&body).unwrap()) } else { Err(failure(status, &body)) }
    }

    /// Opens a WebSocket, or says with which status it was refused.
    pub async fn open(&self, path: &str) -> Result<Socket, u16> {
        let url = format!("ws://{}{path}", self.address).into_client_request().unwrap();
        match tokio::time::timeout(PATIENCE, tokio_tungstenite::connect_async(url)).await.unwrap() {
            Ok((socket, response)) => {
                assert!(response.headers().get("sec-websocket-extensions").is_none());
                Ok(socket)
            }
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(other) => panic!("{other}"),
        }
    }

    /// Joins by the older form and reads the join response.
    pub async fn join(&self, room: &str, identity: &str) -> (Socket, proto::JoinResponse) {
        let token = self.token(room, identity);
        let mut socket = self.open(&format!("/rtc?access_token={token}&protocol=16")).await.unwrap();
        match next(&mut socket).await {
            Some(Response::Join(join)) => (socket, join),
            other => panic!("no join response: {other:?}"),
        }
    }
}

pub fn failure(status: u16, body: &[u8]) -> Failure {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    Failure { status, code: text("code"), message: text("msg") }
}

/// The next signalling message, skipping WebSocket's own; `None` at the end.
pub async fn next(socket: &mut Socket) -> Option<Response> {
    loop {
        match tokio::time::timeout(PATIENCE, socket.next()).await.expect("a message in time") {
            Some(Ok(Message::Binary(bytes))) => {
                return proto::SignalResponse::decode(bytes).unwrap().message;
            }
            Some(Ok(Message::Close(_))) | Some(Err(_)) | None => return None,
            Some(Ok(_)) => {}
        }
    }
}

/// Reads to the end and says how the server closed.
pub async fn closed(socket: &mut Socket) -> Option<CloseFrame> {
    loop {
        match tokio::time::timeout(PATIENCE, socket.next()).await.expect("the end in time") {
            Some(Ok(Message::Close(frame))) => return frame,
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return None,
        }
    }
}

/// What a client was told since the last time, other than what comes by itself.
pub async fn heard(socket: &mut Socket) -> Vec<Response> {
    send(socket, proto::signal_request::Message::Ping(1)).await;
    let mut heard = Vec::new();
    loop {
        match next(socket).await.expect("it is still there") {
            Response::Pong(_) => return heard,
            Response::RoomUpdate(_) | Response::ConnectionQuality(_) | Response::Offer(_) => {}
            other => heard.push(other),
        }
    }
}

pub async fn send(socket: &mut Socket, message: proto::signal_request::Message) {
    let request = proto::SignalRequest { message: Some(message) };
    socket.send(Message::Binary(request.encode_to_vec().into())).await.unwrap();
}

/// Asks and waits for the answer: the room lives, and so does this socket.
pub async fn is_alive(socket: &mut Socket) -> bool {
    send(socket, proto::signal_request::Message::Ping(7)).await;
    loop {
        match next(socket).await {
            Some(Response::Pong(_)) => return true,
            Some(_) => {}
            None => return false,
        }
    }
}

/// Waits until a condition holds.
pub async fn until(what: &str, holds: impl Fn() -> bool) {
    let end = tokio::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(tokio::time::Instant::now() < end, "{what}: not in {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
