// SPDX-License-Identifier: EUPL-1.2
//! The participants' plane over real sockets: joining, refusing, bounds, ends.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use common::{FAR, PATIENCE, closed, is_alive, next, send, start, until};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::SinkExt;
use livekit_protocol as proto;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message as Response;
use parvis_api::{ApiConfig, ConnectionLimits};
use parvis_peer::sdp::CodecKind;
use parvis_sfu::{Command, Event, ForwarderId, RoomId};
use parvis_signal::{Rate, RoomConfig};
use prost::Message as _;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

fn wrapped(compression: proto::wrapped_join_request::Compression, join_request: Vec<u8>) -> String {
    let wrapped = proto::WrappedJoinRequest { compression: compression as i32, join_request };
    URL_SAFE.encode(wrapped.encode_to_vec()).replace('=', "%3D")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn both_forms_join_and_meet_in_one_room() {
    use proto::wrapped_join_request::Compression::Gzip;
    let server = start(ApiConfig::default()).await;
    let (mut ada, join) = server.join("atelier", "ada").await;
    assert_eq!(join.room.unwrap().name, "atelier");
    assert_eq!(join.participant.unwrap().identity, "ada");

    let request = proto::JoinRequest {
        client_info: Some(proto::ClientInfo { protocol: 17, ..Default::default() }),
        ..Default::default()
    };
    let token = server.token("atelier", "bob");
    let parameter = wrapped(Gzip, gzip(&request.encode_to_vec()));
    // Some SDKs double the slash.
    let path = format!("//rtc/v1?access_token={token}&join_request={parameter}");
    let mut bob = server.open(&path).await.unwrap();
    let Some(Response::Join(join)) = next(&mut bob).await else { panic!("no join response") };
    let others: Vec<String> = join.other_participants.into_iter().map(|other| other.identity).collect();
    assert_eq!(others, ["ada"]);
    loop {
        let Some(message) = next(&mut ada).await else { panic!("Ada was closed") };
        if let Response::Update(update) = message
            && update.participants.iter().any(|participant| participant.identity == "bob")
        {
            break;
        }
    }
    let created = server.notebook.commands.lock().unwrap();
    let peers = created.iter().filter(|(_, command)| matches!(command, Command::CreatePeer { .. })).count();
    assert_eq!(peers, 3, "two for the older form, one for the newer");
}

#[tokio::test]
async fn without_a_token_that_holds_nobody_gets_in() {
    let server = start(ApiConfig::default()).await;
    let stranger = "eyJhbGciOiJub25lIn0.e30.";
    for path in ["/rtc", "/rtc/v1", "/rtc/validate", "/rtc/v1/validate"] {
        for query in ["", "?access_token=", &format!("?access_token={stranger}")] {
            let answer = server.get(&format!("{path}{query}")).await;
            assert_eq!(answer.status, 401, "{path}{query}: {answer:?}");
            assert!(answer.head.contains("access-control-allow-origin: *"), "{answer:?}");
            assert!(!answer.body.contains(stranger), "no answer repeats a token");
        }
    }
    assert_eq!(server.open(&format!("/rtc?access_token={stranger}")).await.err(), Some(401));
    let token = server.token("atelier", "ada");
    assert_eq!(server.get(&format!("/rtc/validate?access_token={token}")).await.body, "success");
    let bearer = format!("GET /rtc/validate HTTP/1.1\r\nAuthorization: Bearer {token}");
    assert_eq!(server.request(&bearer, "").await.status, 200);
    // A request that is no upgrade gets words, not a room.
    assert_eq!(server.get(&format!("/rtc?access_token={token}")).await.status, 400);
}

#[tokio::test]
async fn other_origins_pages_may_ask_with_any_header() {
    let server = start(ApiConfig::default()).await;
    let preflight = "OPTIONS /rtc/v1/validate HTTP/1.1\r\nOrigin: https://example.org\r\n\
                     Access-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: authorization, x-own";
    let answer = server.request(preflight, "").await;
    assert_eq!(answer.status, 200);
    for line in [
        "access-control-allow-origin: *",
        "access-control-allow-headers: authorization, x-own",
        "access-control-max-age: 86400",
    ] {
        assert!(answer.head.contains(line), "no {line:?} in {}", answer.head);
    }
    // Our own client's way in is for our own origin alone.
    let preflight = preflight.replace("/rtc/v1/validate", "/api/rooms/atelier/join");
    assert!(!server.request(&preflight, "").await.head.contains("access-control-allow"));
}

#[tokio::test]
async fn row_07_a_fault_in_one_room_ends_that_room_and_no_other() {
    let server = start(ApiConfig::default()).await;
    let (mut ada, first) = server.join("atelier", "ada").await;
    let (mut bob, _) = server.join("elsewhere", "bob").await;
    server.notebook.panic_in.store(1, Ordering::Relaxed);
    let add = proto::AddTrackRequest { cid: "mic".to_owned(), ..Default::default() };
    send(&mut ada, Request::AddTrack(add)).await;
    let frame = closed(&mut ada).await.expect("a close frame, so that the client comes back at once");
    assert_eq!(u16::from(frame.code), 1001);
    assert!(is_alive(&mut bob).await, "the other room goes on");
    until("the room is gone from the register", || server.metrics.page().contains("parvis_rooms 1\n")).await;
    assert!(server.metrics.page().contains("parvis_participants 1\n"));
    // Its peers are taken from the forwarder, and whoever comes back finds a new room.
    let count = |which: fn(&Command) -> bool| {
        let commands = server.notebook.commands.lock().unwrap();
        commands.iter().filter(|(room, command)| room.0 == 1 && which(command)).count()
    };
    let created = count(|command| matches!(command, Command::CreatePeer { .. }));
    assert!(created > 0);
    assert_eq!(count(|command| matches!(command, Command::ClosePeer { .. })), created);
    let (mut ada, second) = server.join("atelier", "ada").await;
    assert!(is_alive(&mut ada).await);
    assert_ne!(first.room.unwrap().sid, second.room.unwrap().sid);
}

#[tokio::test]
async fn row_28_a_message_beyond_the_limit_closes_its_socket_only() {
    let room = RoomConfig { message_bytes: 100_000, ..RoomConfig::default() };
    let server = start(ApiConfig { room: Arc::new(room), ..ApiConfig::default() }).await;
    let (mut ada, _) = server.join("atelier", "ada").await;
    let (mut bob, _) = server.join("atelier", "bob").await;
    // The server may close before all is written.
    let _ = ada.send(Message::Binary(vec![0; 100_001].into())).await;
    let frame = closed(&mut ada).await.expect("a close frame");
    assert_eq!(u16::from(frame.code), 1009, "{frame:?}");
    assert!(is_alive(&mut bob).await);
}

#[tokio::test]
async fn row_28_a_join_request_that_swells_is_refused_before_it_does() {
    use proto::wrapped_join_request::Compression::Gzip;
    let server = start(ApiConfig::default()).await;
    let token = server.token("atelier", "ada");
    // 32 MiB of nothing in 32 KiB.
    let bomb = gzip(&vec![0; 32 << 20]);
    assert!(bomb.len() < 48 << 10);
    let path = format!("/rtc/v1?access_token={token}&join_request={}", wrapped(Gzip, bomb));
    assert_eq!(server.open(&path).await.err(), Some(413));
    assert!(is_alive(&mut server.join("atelier", "bob").await.0).await);
}

#[tokio::test]
async fn row_30_a_malformed_message_closes_its_sender_only() {
    let server = start(ApiConfig::default()).await;
    let (mut ada, _) = server.join("atelier", "ada").await;
    let (mut bob, _) = server.join("atelier", "bob").await;
    ada.send(Message::Binary(vec![0xff; 40].into())).await.unwrap();
    assert!(closed(&mut ada).await.is_some());
    assert!(is_alive(&mut bob).await);
}

#[tokio::test]
async fn row_38_who_says_nothing_is_closed_and_disturbs_nobody() {
    let connections = ConnectionLimits {
        request_head: Duration::from_millis(400),
        first_message: Duration::from_millis(400),
        ..ConnectionLimits::default()
    };
    let server = start(ApiConfig { connections, ..ApiConfig::default() }).await;
    // 150 that never send a request, one that begins one, and one that joins and never says a word.
    let mut silent = Vec::new();
    for _ in 0..150 {
        silent.push(TcpStream::connect(server.address).await.unwrap());
    }
    silent[0].try_write(b"GET / HTTP/1.1\r\nX-Slow: ").unwrap();
    let (mut mute, _) = server.join("atelier", "mute").await;
    let (mut ada, _) = server.join("atelier", "ada").await;
    assert!(is_alive(&mut ada).await, "joins work beside them");
    let begun = Instant::now();
    for stream in &mut silent {
        let mut rest = Vec::new();
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.unwrap().unwrap_or_default();
    }
    assert_eq!(closed(&mut mute).await.map(|frame| u16::from(frame.code)), Some(1008));
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(is_alive(&mut ada).await);
}

#[tokio::test]
async fn row_38_connections_are_capped_and_the_idle_make_room_for_the_next() {
    let connections = ConnectionLimits { max: 20, max_per_ip: 200, ..ConnectionLimits::default() };
    let server = start(ApiConfig { connections, ..ApiConfig::default() }).await;
    let (mut ada, _) = server.join("atelier", "ada").await;
    let mut idle = Vec::new();
    for _ in 0..60 {
        idle.push(TcpStream::connect(server.address).await.unwrap());
    }
    let shows = |line: &str| server.metrics.page().lines().any(|found| found == line);
    // One of the 20 places is kept free for whoever comes next.
    until("42 made room", || shows("parvis_http_connections_displaced_total 42")).await;
    until("19 are left", || shows("parvis_http_connections 19")).await;
    assert!(is_alive(&mut ada).await, "who is in stays in");
    let (mut bob, _) = server.join("atelier", "bob").await;
    assert!(is_alive(&mut bob).await && is_alive(&mut ada).await, "and others come in");
    drop(bob);
    drop(idle);
    until("they are gone", || server.metrics.page().contains("parvis_http_connections 1\n")).await;
    assert_eq!(server.get("/livez").await.status, 200);
}

#[tokio::test]
async fn row_41_rooms_are_capped() {
    let server = start(ApiConfig { max_rooms: 3, ..ApiConfig::default() }).await;
    let mut sockets = Vec::new();
    for room in ["one", "two", "three"] {
        sockets.push(server.join(room, "ada").await.0);
    }
    let token = server.token("four", "ada");
    assert_eq!(server.open(&format!("/rtc?access_token={token}&protocol=16")).await.err(), Some(429));
    assert!(is_alive(&mut server.join("three", "bob").await.0).await);
}

#[tokio::test]
async fn row_41_joins_of_one_address_are_throttled() {
    let joins = Rate { burst: 5, per_second: 1 };
    let connections = ConnectionLimits { joins, ..ConnectionLimits::default() };
    let server = start(ApiConfig { connections, ..ApiConfig::default() }).await;
    let token = server.token("atelier", "ada");
    let mut statuses = Vec::new();
    for _ in 0..12 {
        statuses.push(server.get(&format!("/rtc/validate?access_token={token}")).await.status);
    }
    assert_eq!(&statuses[..5], [200; 5]);
    assert!(statuses.iter().filter(|status| **status == 429).count() >= 5, "{statuses:?}");
}

#[tokio::test]
async fn row_41_behind_a_proxy_nobody_chooses_the_address_that_it_is_counted_for() {
    let joins = Rate { burst: 5, per_second: 1 };
    let connections = ConnectionLimits { joins, ..ConnectionLimits::default() };
    let trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    let server = start(ApiConfig { connections, trusted_proxies, ..ApiConfig::default() }).await;
    let token = server.token("atelier", "ada");
    let path = format!("GET /rtc/validate?access_token={token} HTTP/1.1");
    // The client's own line, another each time, and after it the proxy's.
    let mut statuses = Vec::new();
    for forged in 1..=12 {
        let lines = format!("X-Forwarded-For: 203.0.113.{forged}\r\nX-Forwarded-For: 198.51.100.7");
        statuses.push(server.request(&format!("{path}\r\n{lines}"), "").await.status);
    }
    assert_eq!(&statuses[..5], [200; 5]);
    assert!(statuses.iter().filter(|status| **status == 429).count() >= 5, "{statuses:?}");
    let other = format!("{path}\r\nX-Forwarded-For: 198.51.100.8");
    assert_eq!(server.request(&other, "").await.status, 200, "another client of the proxy's");
}

#[tokio::test]
async fn guests_join_by_a_link_beyond_guessing_when_guests_are_welcome() {
    const ROOM: &str = "b3Vt5nqXb0-2Vw_1cJ8hkQ";
    let ask = |room: &str| format!("POST /api/rooms/{room}/join HTTP/1.1\r\nContent-Type: application/json");
    let server = start(ApiConfig { guests: true, ..ApiConfig::default() }).await;
    let code = |answer: &common::Answer| {
        let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        (answer.status, body["code"].as_str().unwrap_or_default().to_owned())
    };
    let answer = server.request(&ask(ROOM), "{\"name\": \" Ada \\u202e\"}").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.head.contains("cache-control: no-store"));
    let ticket: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    let verified = server.keys.verify(ticket["token"].as_str().unwrap()).unwrap();
    assert_eq!((verified.room.as_str(), verified.grants.name.as_str()), (ROOM, "Ada "));
    assert_eq!(ticket["identity"], verified.grants.identity.as_str());
    assert!(verified.grants.identity.starts_with("guest-") && verified.grants.identity.len() == 38);
    assert!(!verified.grants.permissions.can_update_profile && !verified.grants.permissions.recorder);

    let refused = [
        (ROOM, "{\"name\": \"\"}", (400, "bad_name")),
        (ROOM, "{\"name\": \"a\", \"identity\": \"root\"}", (422, "bad_name")),
        (ROOM, "{\"name\": \"a\", \"name\": \"b\"}", (422, "bad_name")),
        ("standup", "{\"name\": \"Ada\"}", (403, "not_allowed")),
    ];
    for (room, body, (status, expected)) in refused {
        assert_eq!(code(&server.request(&ask(room), body).await), (status, expected.to_owned()), "{body}");
    }
    let closed = start(ApiConfig::default()).await;
    let answer = closed.request(&ask(ROOM), "{\"name\": \"Ada\"}").await;
    assert_eq!(code(&answer), (403, "not_allowed".to_owned()));
}

#[tokio::test]
async fn with_doors_closed_nobody_new_comes_in_and_who_is_in_goes_on() {
    let server = start(ApiConfig { guests: true, ..ApiConfig::default() }).await;
    let (mut ada, _) = server.join("atelier", "ada").await;
    assert_eq!(server.get("/readyz").await.status, 200);
    server.api.close_doors().await;
    assert_eq!((server.get("/readyz").await.status, server.get("/livez").await.status), (503, 200));
    for room in ["atelier", "another"] {
        let token = server.token(room, "bob");
        assert_eq!(server.open(&format!("/rtc?access_token={token}&protocol=16")).await.err(), Some(503));
        assert_eq!(server.get(&format!("/rtc/validate?access_token={token}")).await.status, 503);
    }
    assert!(is_alive(&mut ada).await);
    server.api.end_rooms().await;
    let mut told = false;
    while let Some(message) = next(&mut ada).await {
        told |= matches!(message, Response::Leave(_));
    }
    assert!(told, "Ada hears why");
    tokio::time::timeout(PATIENCE, server.api.emptied()).await.unwrap();
}

#[tokio::test]
async fn a_room_whose_media_is_lost_lets_go_and_the_next_one_is_new() {
    let server = start(ApiConfig::default()).await;
    let (mut ada, first) = server.join("atelier", "ada").await;
    let (mut bob, _) = server.join("elsewhere", "bob").await;
    server.api.lose_rooms("panic", |room| room.0 == 1);
    let mut told = None;
    while let Some(message) = next(&mut ada).await {
        if let Response::Leave(leave) = message {
            told = Some((leave.action(), leave.reason()));
        }
    }
    assert_eq!(told.map(|told| told.0), Some(proto::leave_request::Action::Reconnect), "{told:?}");
    assert!(is_alive(&mut bob).await, "the other room goes on");
    let (_ada, second) = server.join("atelier", "ada").await;
    assert_ne!(first.room.unwrap().sid, second.room.unwrap().sid);
    let count = |which: fn(&Command) -> bool| {
        let commands = server.notebook.commands.lock().unwrap();
        commands.iter().filter(|(room, command)| room.0 == 1 && which(command)).count()
    };
    let is_create = |command: &Command| matches!(command, Command::CreatePeer { .. });
    let is_close = |command: &Command| matches!(command, Command::ClosePeer { .. });
    until("its peers are closed", || count(is_close) == count(is_create)).await;
    assert!(count(is_create) > 0);
    assert_eq!(server.notebook.ended.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_forwarder_that_cannot_keep_up_is_waited_for_and_the_order_holds() {
    let server = start(ApiConfig::default()).await;
    server.notebook.refuse.store(25, Ordering::Relaxed);
    let (mut ada, _) = server.join("atelier", "ada").await;
    let add = proto::AddTrackRequest { cid: "mic".to_owned(), ..Default::default() };
    send(&mut ada, Request::AddTrack(add)).await;
    assert!(is_alive(&mut ada).await);
    let commands = server.notebook.commands.lock().unwrap();
    let kinds: Vec<&str> = commands
        .iter()
        .map(|(_, command)| match command {
            Command::CreatePeer { .. } => "create",
            Command::Publish { .. } => "publish",
            _ => "other",
        })
        .collect();
    assert_eq!(kinds, ["create", "create", "publish"]);
}

#[tokio::test]
async fn the_web_client_is_served_with_its_headers_and_from_the_cache_by_its_tag() {
    let server = start(ApiConfig::default()).await;
    let page = server.get("/r/b3Vt5nqXb0-2Vw_1cJ8hkQ").await;
    assert_eq!(page.status, 200);
    for line in [
        "content-security-policy: default-src 'none'",
        "x-content-type-options: nosniff",
        "vary: accept-encoding",
    ] {
        assert!(page.head.contains(line), "no {line:?} in {}", page.head);
    }
    let tag = page.head.lines().find_map(|line| line.strip_prefix("etag: w/")).unwrap();
    let again = server.request(&format!("GET / HTTP/1.1\r\nIf-None-Match: W/{tag}"), "").await;
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    assert_eq!(server.get("/no/such/file").await.status, 404);
    assert_eq!(server.request("POST / HTTP/1.1", "").await.status, 405);
}

#[tokio::test]
async fn a_room_beyond_its_bound_goes_on_on_another_forwarder_and_trunks_join_its_parts() {
    let spread = parvis_sfu::SpreadConfig { peers_per_part: 2 };
    let server = start(ApiConfig { spread, ..ApiConfig::default() }).await;
    // Two peer connections each.
    let (mut ada, _) = server.join("atelier", "ada").await;
    let (mut bo, _) = server.join("atelier", "bo").await;
    let add = proto::AddTrackRequest { cid: "mic".to_owned(), ..Default::default() };
    send(&mut ada, Request::AddTrack(add)).await;
    assert!(is_alive(&mut ada).await && is_alive(&mut bo).await);
    let (home, far) = (RoomId(1), RoomId(1 + FAR));
    let told = |to: RoomId, which: &dyn Fn(&Command) -> bool| {
        let commands = server.notebook.commands.lock().unwrap();
        commands.iter().filter(|(room, command)| *room == to && which(command)).count()
    };
    let create = |command: &Command| matches!(command, Command::CreatePeer { room, .. } if *room == home);
    assert_eq!((told(home, &create), told(far, &create)), (2, 2), "one room, in two places");
    let track = {
        let commands = server.notebook.commands.lock().unwrap();
        let track = |(_, command): &(RoomId, Command)| match command {
            Command::Publish { track, .. } => Some(*track),
            _ => None,
        };
        commands.iter().find_map(track).unwrap()
    };
    let bound = Event::TrackBound {
        track,
        mid: parvis_rtp::Mid::new("0").unwrap(),
        codec: CodecKind::Opus,
        simulcast: false,
    };
    server.api.event(ForwarderId(home.0), home, bound);
    until("a trunk", || told(far, &|command| matches!(command, Command::Import { .. })) == 1).await;
    assert_eq!(told(home, &|command| *command == Command::Export { track, to: ForwarderId(far.0) }), 1);
    until("the subscription", || told(far, &|command| matches!(command, Command::Subscribe { .. })) == 1)
        .await;
    drop(ada);
    send(&mut bo, Request::Leave(proto::LeaveRequest::default())).await;
    until("the trunk's end", || told(far, &|command| *command == Command::Unimport { track }) == 1).await;
    until("its peers' end", || told(far, &|command| matches!(command, Command::ClosePeer { .. })) == 2).await;
}

#[tokio::test]
async fn tokens_of_a_key_that_is_gone_open_nothing_and_whoever_is_in_stays() {
    let server = start(ApiConfig::default()).await;
    let (mut ada, _) = server.join("atelier", "ada").await;
    let old = server.token("atelier", "bob");
    let path = |token: &str| format!("/rtc/validate?access_token={token}");
    assert_eq!(server.get(&path(&old)).await.status, 200);
    let other = vec![("next".to_owned(), "next-next-next-next-next-next-next".to_owned())];
    let other = parvis_api::Keys::new(other, Duration::from_secs(3_600), false).unwrap();
    let fresh = other.issue("atelier", &parvis_signal::Grants::of("bob"), Duration::from_secs(60)).unwrap();
    assert_eq!(server.get(&path(&fresh)).await.status, 401);

    let config = ApiConfig { auto_create: false, ..ApiConfig::default() };
    server.api.reload(&config, other.clone());
    assert_eq!(server.get(&path(&old)).await.status, 401);
    assert_eq!(server.open(&format!("/rtc?access_token={old}&protocol=16")).await.err(), Some(401));
    assert_eq!(server.get(&path(&fresh)).await.status, 200);
    assert!(is_alive(&mut ada).await);

    // Rooms no longer come to be by themselves; the one that is there can be joined.
    let elsewhere =
        other.issue("elsewhere", &parvis_signal::Grants::of("bob"), Duration::from_secs(60)).unwrap();
    let refused = server.get(&path(&elsewhere)).await;
    assert_eq!(refused.status, 404);
    assert!(refused.body.contains("rooms.auto_create"), "{refused:?}");
    assert_eq!(server.open(&format!("/rtc?access_token={elsewhere}&protocol=16")).await.err(), Some(404));
    assert!(server.open(&format!("/rtc?access_token={fresh}&protocol=16")).await.is_ok());
}
