// SPDX-License-Identifier: EUPL-1.2
//! Bad input on every endpoint that is no call of the server APIs, which `matrix.rs` has: each route of the table that the
//! router is made of × everything that is wrong with who asks, or with how. Each answer has the right status, none repeats the
//! token, none has an effect on the room or on whoever is in it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::io::Write;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use common::offers::{ANSWER, answer, offer, offers, post, publish};
use common::{
    Folder, KEY, OTHER_KEY, OTHER_SECRET, PATIENCE, SECRET, Server, Socket, everything, grant, heard,
    start_with_store,
};
use flate2::Compression;
use flate2::write::GzEncoder;
use livekit_protocol as proto;
use parvis_api::{Access, ApiConfig, ConnectionLimits, Content, OfferLimits, Route, routes};
use parvis_signal::Rate;
use prost::Message as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const ROOM: &str = "atelier";
/// A room that guests may join.
const LINK: &str = "b3Vt5nqXb0-2Vw_1cJ8hkQ";
const OFFER_LIMIT: usize = 4_096;
/// What a guest's request may have.
const JSON_LIMIT: usize = 8 << 10;

/// What is wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    NoToken,
    /// None either: another site's page asks.
    ForeignPage,
    EmptyToken,
    OtherScheme,
    Expired,
    LastsTooLong,
    Signature,
    /// The algorithm `none`, with nothing for a signature.
    Unsigned,
    /// Signed rightly, by another algorithm.
    Algorithm,
    NoGrant,
    /// It may join, and neither publish nor subscribe.
    NoRight,
    OtherRoom,
    OtherTenant,
    Kicked,
    Oversize,
    ContentType,
    DuplicateKey,
    /// Of protobuf, JSON or a description, only the first part.
    Truncated,
    /// Compressed, and saying so.
    Encoded,
    /// Compressed, and not saying so.
    Bomb,
}

use Wrong::{
    Algorithm, Bomb, ContentType, DuplicateKey, EmptyToken, Encoded, Expired, ForeignPage, Kicked,
    LastsTooLong, NoGrant, NoRight, NoToken, OtherRoom, OtherScheme, OtherTenant, Oversize, Signature,
    Truncated, Unsigned,
};

const ALL: [Wrong; 20] = [
    NoToken,
    ForeignPage,
    EmptyToken,
    OtherScheme,
    Expired,
    LastsTooLong,
    Signature,
    Unsigned,
    Algorithm,
    NoGrant,
    NoRight,
    OtherRoom,
    OtherTenant,
    Kicked,
    Oversize,
    ContentType,
    DuplicateKey,
    Truncated,
    Encoded,
    Bomb,
];

/// The statuses that an answer may have; `None` where the question makes no sense, such as the room of a token that is for
/// no room.
fn wanted(route: &Route, wrong: Wrong) -> Option<&'static [u16]> {
    let (access, content) = (route.access, route.content);
    let has_body = matches!(content, Content::Json | Content::Sdp | Content::Fragment);
    match wrong {
        NoToken | ForeignPage | EmptyToken | OtherScheme | Expired | LastsTooLong | Signature | Unsigned
        | Algorithm | NoGrant => match access {
            // No token is looked at.
            Access::Open => Some(&[200, 204]),
            // A link that nobody gave.
            Access::FileLink | Access::LiveKey => Some(&[404]),
            Access::Record | Access::Participant if wrong == NoGrant => Some(&[403]),
            Access::Link => Some(&[200]),
            // Who it is is said on the socket: see meeting.rs.
            Access::Hello => Some(&[101]),
            _ => Some(&[401]),
        },
        NoRight => match access {
            Access::Publish | Access::Watch | Access::Session => Some(&[403]),
            // It is in no room.
            Access::Participant => Some(&[404]),
            Access::Agent => Some(&[401]),
            Access::Record => Some(&[403]),
            _ => None,
        },
        OtherRoom => {
            let of_path = [Access::Watch, Access::Session, Access::Record, Access::Participant];
            of_path.contains(&access).then_some(&[403])
        }
        OtherTenant => match (access, content) {
            // It gets to a room of its own tenant's, by the same name.
            (Access::Join, Content::WebSocket) => Some(&[101]),
            (Access::Join, _) => Some(&[200]),
            (Access::Watch, _) => Some(&[409]),
            (Access::Session, _) => Some(&[403]),
            // It gets to its own room of that name, if there is one, which has no recordings.
            (Access::Record, Content::None) if route.path.ends_with("/recordings") => Some(&[200]),
            (Access::Record, Content::Json) => Some(&[404, 409]),
            (Access::Record | Access::Participant, _) => Some(&[404]),
            _ => None,
        },
        Kicked => match access {
            Access::Session => Some(&[403]),
            Access::Open | Access::Link | Access::Hello | Access::FileLink | Access::LiveKey => None,
            _ => Some(&[401]),
        },
        Oversize => has_body.then_some(&[413]),
        ContentType => has_body.then_some(&[415]),
        DuplicateKey => (content == Content::Json).then_some(&[422]),
        Truncated if route.path.starts_with("/rtc/v1") => Some(&[400]),
        Truncated => has_body.then_some(&[400, 422]),
        Encoded => Some(&[415]),
        Bomb => has_body.then_some(&[400]),
    }
}

/// A room with Ada in it, somebody who publishes by an offer, and Eve, who was removed.
struct Scene {
    server: Server,
    _folder: Folder,
    ada: Socket,
    eve: String,
    /// The session that `studio` opened.
    session: String,
}

impl Scene {
    async fn new() -> Scene {
        let many = Rate { burst: 100_000, per_second: 100_000 };
        let config = ApiConfig {
            guests: true,
            connections: ConnectionLimits { joins: many, ..ConnectionLimits::default() },
            offers: OfferLimits { max_bytes: OFFER_LIMIT, ..OfferLimits::default() },
            ..ApiConfig::default()
        };
        let (server, folder) = start_with_store(config).await;
        let (ada, _) = server.join(ROOM, "ada").await;
        let eve = token("eve", &|_| {});
        let socket = server.open(&format!("/rtc?access_token={eve}&protocol=16")).await.unwrap();
        let remove = json!({ "room": ROOM, "identity": "eve" });
        let admin = grant(everything(ROOM));
        server.call_json(&admin, "RoomService/RemoveParticipant", remove).await.unwrap();
        drop(socket);
        let mut scene = Scene { server, _folder: folder, ada, eve, session: String::new() };
        scene.publish_anew().await;
        heard(&mut scene.ada).await;
        scene
    }

    /// Has `studio` open a session, in place of the one before.
    async fn publish_anew(&mut self) {
        let nth = offers(&self.server).len() + 1;
        let (url, _) = publish(&self.server, &token("studio", &|_| {}), nth).await;
        self.session = url.rsplit('/').next().unwrap().to_owned();
    }

    /// All that a request could have changed.
    async fn state(&self) -> Vec<Value> {
        let admin = grant(everything(ROOM));
        let mut state = Vec::new();
        for (method, body) in [
            ("RoomService/ListRooms", json!({})),
            ("RoomService/ListParticipants", json!({ "room": ROOM })),
            ("AgentDispatchService/ListDispatch", json!({ "room": ROOM })),
        ] {
            state.push(self.server.call_json(&admin, method, body).await.unwrap());
        }
        state
    }

    /// A token with which nothing is wrong, for whom a route is meant.
    fn good_token(route: &Route) -> Option<String> {
        match route.access {
            Access::Open | Access::Link | Access::Hello | Access::FileLink | Access::LiveKey => None,
            Access::Record => Some(token("moderator", &records)),
            Access::Agent => Some(token("worker", &|claims| claims["video"] = json!({ "agent": true }))),
            Access::Session => Some(token("studio", &|_| {})),
            Access::Participant => Some(token("ada", &|_| {})),
            Access::Join | Access::Publish | Access::Watch | Access::Grant(_) => {
                Some(token("newcomer", &|_| {}))
            }
        }
    }

    /// What a request with this mistake bears.
    fn bearer(&self, route: &Route, wrong: Wrong) -> Option<String> {
        let who = match route.access {
            Access::Session => "studio",
            Access::Participant => "ada",
            _ => "newcomer",
        };
        let now = unix_now();
        let of_moderator = |change: &dyn Fn(&mut Value)| {
            token("moderator", &|claims| {
                records(claims);
                change(claims);
            })
        };
        let record = route.access == Access::Record;
        Some(match wrong {
            NoToken | ForeignPage => return None,
            EmptyToken => String::new(),
            OtherScheme => return None,
            Expired => token(who, &|claims| {
                claims["nbf"] = json!(now - 240);
                claims["exp"] = json!(now - 120);
            }),
            LastsTooLong => token(who, &|claims| claims["exp"] = json!(now + 7 * 86_400)),
            Signature => {
                signed("HS256", hmac::HMAC_SHA256, "not the secret of that key ......", &claims(who))
            }
            Unsigned => {
                let signed = signed("none", hmac::HMAC_SHA256, SECRET, &claims(who));
                format!("{}.", signed.rsplit_once('.').unwrap().0)
            }
            Algorithm => signed("HS512", hmac::HMAC_SHA512, SECRET, &claims(who)),
            NoGrant => token(who, &|claims| claims["video"] = json!({})),
            NoRight => token("nobody", &|claims| {
                claims["video"]["canPublish"] = json!(false);
                claims["video"]["canSubscribe"] = json!(false);
            }),
            OtherRoom if record => of_moderator(&|claims| claims["video"]["room"] = json!("elsewhere")),
            OtherRoom => token(who, &|claims| claims["video"]["room"] = json!("elsewhere")),
            OtherTenant => {
                let mut claims = claims(who);
                if record {
                    records(&mut claims);
                }
                claims["iss"] = json!(OTHER_KEY);
                signed("HS256", hmac::HMAC_SHA256, OTHER_SECRET, &claims)
            }
            // As a moderator she was, she can do nothing more to the room.
            Kicked if record => token("eve", &|claims| {
                records(claims);
                claims["nbf"] = json!(now - 1);
            }),
            Kicked => self.eve.clone(),
            Oversize | ContentType | DuplicateKey | Truncated | Encoded | Bomb => {
                return Scene::good_token(route);
            }
        })
    }

    /// Asks for a route as it is meant, but for one mistake. Gives the status and all that was answered.
    async fn ask(&self, route: &Route, wrong: Option<Wrong>) -> (u16, String) {
        let bearer = match wrong {
            Some(wrong) => self.bearer(route, wrong),
            None => Scene::good_token(route),
        };
        let room = if matches!(route.access, Access::Link | Access::Hello) { LINK } else { ROOM };
        let path = route.path.replace("{room}", room).replace("{session}", &self.session);
        let path = path.replace("{recording}", "EG_none").replace("{link}", "bm9uZQ.bm9uZQ");
        let path = match route.path.as_str() {
            path if path.starts_with("/rtc/v1") => {
                format!("{path}?join_request={}", join_request(wrong == Some(Truncated)))
            }
            path if path.starts_with("/rtc") => format!("{path}?protocol=16"),
            _ => path,
        };
        let mut lines = vec![format!("{} {path} HTTP/1.1", route.method), "Host: localhost".to_owned()];
        lines.extend(bearer.as_ref().map(|bearer| format!("Authorization: Bearer {bearer}")));
        if wrong == Some(OtherScheme) {
            lines.push("Authorization: Basic YTpi".to_owned());
        }
        if wrong == Some(ForeignPage) {
            // A page of somebody else's, opened by a person whose browser sends along all that it has of this server.
            lines.push("Origin: https://elsewhere.example".to_owned());
            lines.push(format!("Cookie: access_token={}", token("moderator", &records)));
        }
        if wrong == Some(Encoded) {
            lines.push("Content-Encoding: gzip".to_owned());
        }
        lines.extend(head(route.content, wrong));
        let body = body(route, wrong);
        lines.push(format!("Content-Length: {}", body.len()));
        let (status, answer) = self.exchange(&lines, &body).await;
        // Who asks is known by what the request says, never by what a browser adds to it (rows 36, 37).
        assert!(!answer.to_ascii_lowercase().contains("\r\nset-cookie:"), "{} sets a cookie", route.path);
        let token = bearer.filter(|bearer| !bearer.is_empty());
        assert!(
            token.is_none_or(|token| !answer.contains(&token)),
            "{} {} repeats the token",
            route.method,
            route.path
        );
        (status, answer)
    }

    async fn exchange(&self, lines: &[String], body: &[u8]) -> (u16, String) {
        let mut bytes = format!("{}\r\n\r\n", lines.join("\r\n")).into_bytes();
        bytes.extend_from_slice(body);
        let mut stream = TcpStream::connect(self.server.address).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        let mut answer = Vec::new();
        let read = async { while !is_whole(&answer) && stream.read_buf(&mut answer).await.unwrap() > 0 {} };
        tokio::time::timeout(PATIENCE, read).await.expect("an answer in time");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, answer)
    }
}

/// Whether an answer is there to its end. What became a WebSocket has none.
fn is_whole(answer: &[u8]) -> bool {
    let answer = String::from_utf8_lossy(answer);
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { return false };
    let head = head.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    head.starts_with("http/1.1 101 ") || length.is_some_and(|length| body.len() >= length)
}

fn head(content: Content, wrong: Option<Wrong>) -> Vec<String> {
    let kind = match content {
        Content::Json => "application/json",
        Content::Sdp => "application/sdp",
        Content::Fragment => "application/trickle-ice-sdpfrag",
        Content::None | Content::Call => "",
        Content::WebSocket => {
            let lines = [
                "Connection: Upgrade",
                "Upgrade: websocket",
                "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            ];
            return lines.map(str::to_owned).to_vec();
        }
    };
    let mut lines = vec!["Connection: close".to_owned()];
    if wrong == Some(ContentType) {
        lines.push("Content-Type: text/html".to_owned());
    } else if !kind.is_empty() {
        lines.push(format!("Content-Type: {kind}"));
    }
    if content == Content::Fragment {
        // A restart by what is cut off; otherwise an ICE session that does not run.
        let session = if wrong == Some(Truncated) { "*" } else { "\"another\"" };
        lines.push(format!("If-Match: {session}"));
    }
    lines
}

fn body(route: &Route, wrong: Option<Wrong>) -> Vec<u8> {
    let content = route.content;
    let good = match content {
        Content::Json if route.path.ends_with("/film") => "{\"layout\": \"grid\"}".to_owned(),
        Content::Json if route.access == Access::Record => "{\"participant\": \"nobody\"}".to_owned(),
        Content::Json if route.access == Access::Participant => "{\"recording\": true}".to_owned(),
        Content::Json if route.path == "/api/rooms" => "{\"title\": \"Council\"}".to_owned(),
        Content::Json => "{\"name\": \"Grace\"}".to_owned(),
        Content::Sdp if route.access == Access::Watch => offer("recvonly"),
        Content::Sdp => offer("sendonly"),
        Content::Fragment => "a=ice-ufrag:newu\r\na=ice-pwd:0123456789012345678901\r\n".to_owned(),
        Content::None | Content::WebSocket | Content::Call => String::new(),
    };
    match wrong {
        Some(Oversize) => match content {
            Content::Json => format!("{{\"name\": \"{}\"}}", "x".repeat(JSON_LIMIT)),
            _ => format!("{good}{}", "a=x:y\r\n".repeat(OFFER_LIMIT / 7)),
        }
        .into_bytes(),
        Some(DuplicateKey) if route.path.ends_with("/film") => {
            b"{\"layout\": \"grid\", \"l\\u0061yout\": \"speaker\"}".to_vec()
        }
        Some(DuplicateKey) if route.access == Access::Record => {
            b"{\"track\": \"TR_1\", \"tr\\u0061ck\": \"TR_2\"}".to_vec()
        }
        Some(DuplicateKey) if route.access == Access::Participant => {
            b"{\"recording\": true, \"r\\u0065cording\": false}".to_vec()
        }
        Some(DuplicateKey) if route.path == "/api/rooms" => {
            b"{\"title\": \"Council\", \"t\\u0069tle\": \"Senate\"}".to_vec()
        }
        Some(DuplicateKey) => b"{\"name\": \"Grace\", \"n\\u0061me\": \"Eve\"}".to_vec(),
        Some(Truncated) if content == Content::Json => good.as_bytes()[..good.len() - 2].to_vec(),
        Some(Truncated) if content == Content::Fragment => b"a=ice-ufrag:newu\r\n".to_vec(),
        Some(Truncated) => good.as_bytes()[..good.len() / 2].to_vec(),
        Some(Encoded | Bomb) if !good.is_empty() => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(&vec![b' '; 2 << 20]).unwrap();
            encoder.finish().unwrap()
        }
        _ => good.into_bytes(),
    }
}

/// What `/rtc/v1` takes: a protobuf message in another, whole or cut off.
fn join_request(cut: bool) -> String {
    let client_info = Some(proto::ClientInfo { protocol: 17, ..Default::default() });
    let join_request = proto::JoinRequest { client_info, ..Default::default() }.encode_to_vec();
    let mut bytes = proto::WrappedJoinRequest { join_request, ..Default::default() }.encode_to_vec();
    if cut {
        bytes.pop();
    }
    URL_SAFE.encode(bytes).replace('=', "%3D")
}

fn unix_now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

fn claims(identity: &str) -> Value {
    let now = unix_now();
    json!({
        "iss": KEY, "sub": identity, "exp": now + 600, "nbf": now,
        "video": { "roomJoin": true, "room": ROOM },
    })
}

/// Makes claims those of someone who may record the room.
fn records(claims: &mut Value) {
    claims["video"]["roomAdmin"] = json!(true);
}

/// A token for the room whose claims were changed.
fn token(identity: &str, change: &dyn Fn(&mut Value)) -> String {
    let mut claims = claims(identity);
    change(&mut claims);
    signed("HS256", hmac::HMAC_SHA256, SECRET, &claims)
}

fn signed(name: &str, algorithm: hmac::Algorithm, secret: &str, claims: &Value) -> String {
    let header = json!({ "alg": name, "typ": "JWT" });
    let [header, claims] = [&header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let signed = format!("{header}.{claims}");
    let tag = hmac::sign(&hmac::Key::new(algorithm, secret.as_bytes()), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
}

fn own_routes() -> Vec<Route> {
    routes().into_iter().filter(|route| route.content != Content::Call).collect()
}

#[tokio::test]
async fn row_34_row_36_row_37_every_bad_request_has_its_status_and_no_effect_on_any_route() {
    let mut scene = Scene::new().await;
    for wrong in ALL {
        let before = scene.state().await;
        let mut tried = 0;
        for route in own_routes() {
            let Some(wanted) = wanted(&route, wrong) else { continue };
            let (status, answer) = scene.ask(&route, Some(wrong)).await;
            let what = format!("{} {}, {wrong:?}", route.method, route.path);
            assert!(wanted.contains(&status), "{what}: {status} is not among {wanted:?}: {answer}");
            tried += 1;
        }
        assert!(tried > 0, "{wrong:?}: nothing was tried");
        assert_eq!(scene.state().await, before, "{wrong:?} had an effect");
        assert_eq!(heard(&mut scene.ada).await, [], "{wrong:?} reached Ada");
    }
}

#[tokio::test]
async fn without_a_mistake_every_route_does_what_it_is_for() {
    // What the test above refuses would otherwise have been done.
    let mut scene = Scene::new().await;
    for route in own_routes() {
        let what = format!("{} {}", route.method, route.path);
        let wanted: &[u16] = match (route.access, route.content) {
            (Access::Open, _) => &[200, 204],
            (Access::Link | Access::Participant, _) | (Access::Join, Content::None) => &[200],
            (Access::Join | Access::Agent | Access::Hello, _) => &[101],
            // Nobody's media is there to be watched.
            (Access::Watch, _) => &[409],
            // It names another ICE session than the one that runs.
            (Access::Session, Content::Fragment) => &[412],
            (Access::Session, _) => &[200],
            (Access::Record, _) if route.path.ends_with("/film") => &[404],
            // Nothing was recorded here, and there is nobody who could.
            (Access::Record, Content::Json) => &[409],
            (Access::Record, _) if route.method == "GET" => &[200],
            (Access::Record | Access::FileLink | Access::LiveKey, _) => &[404],
            (Access::Publish, _) => {
                let (server, token) = (&scene.server, Scene::good_token(&route).unwrap());
                let (nth, sdp) = (offers(server).len() + 1, offer("sendonly"));
                let answered = answer(server, nth, ANSWER);
                let (posted, _) = tokio::join!(post(server, &route.path, &token, &sdp), answered);
                assert_eq!(posted.status, 201, "{what}: {posted:?}");
                continue;
            }
            (Access::Grant(_), _) => unreachable!("those are calls"),
        };
        if route.access == Access::Session {
            scene.publish_anew().await;
        }
        let (status, answer) = scene.ask(&route, None).await;
        assert!(wanted.contains(&status), "{what}: {status} is not among {wanted:?}: {answer}");
    }
}

#[tokio::test]
async fn a_path_or_a_method_that_is_in_no_table_is_not_there() {
    let scene = Scene::new().await;
    let admin = grant(everything(ROOM));
    for (method, path, wanted) in [
        ("GET", "/rtc/v2", 404),
        ("GET", "/api/rooms", 405),
        ("GET", "/api/recordings", 404),
        ("DELETE", "/api/rooms/x/recordings", 405),
        ("POST", "/livez", 405),
        ("POST", "/rtc", 405),
        ("DELETE", "/whip/v1", 405),
        ("GET", "/api/rooms/x/join", 405),
        ("POST", "/nowhere", 405),
    ] {
        let lines = [
            format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0"),
            format!("Authorization: Bearer {admin}"),
        ];
        let (status, answer) = scene.exchange(&lines, b"").await;
        assert_eq!(status, wanted, "{method} {path}: {answer}");
    }
}
