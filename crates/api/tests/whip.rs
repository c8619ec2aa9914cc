// SPDX-License-Identifier: EUPL-1.2
//! Publishing and watching over HTTP (RFC 9725): statuses, headers, bounds, and that nobody reaches another's session.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::offers::{ANSWER, answer, offer, offers, post, publish};
use common::{Answer, Server, everything, grant, next, start, start_with_store, until};
use futures_util::future::BoxFuture;
use livekit_protocol as proto;
use livekit_protocol::signal_response::Message as Response;
use parvis_api::{
    ApiConfig, IngressKeys, OfferLimits, Stream, StreamKeys, StreamKeysError, TenantId, WebhookConfig,
    Webhooks,
};
use parvis_peer::sdp::CodecKind;
use parvis_peer::{Path, Protocol, TransportReport};
use parvis_rtp::Mid;
use parvis_sfu::{Command, Event, ForwarderId, RoomId, TrackId};
use parvis_signal::Grants;
use parvis_store::{Store, StoreConfig, StoreLimits};

const ANSWER_2: &str = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:next\r\n\
                        a=ice-pwd:nextnextnextnextnextnext\r\n";
const RESTART: &str = "a=ice-ufrag:newu\r\na=ice-pwd:0123456789012345678901\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n\
                       a=candidate:1 1 udp 1 192.0.2.9 4000 typ host\r\n";

fn header(answer: &Answer, name: &str) -> String {
    let line = answer.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
    line.unwrap_or_else(|| panic!("no {name} in {}", answer.head)).to_owned()
}

async fn patch(server: &Server, url: &str, bearer: &str, if_match: &str, body: &str) -> Answer {
    let if_match = if if_match.is_empty() { String::new() } else { format!("\r\nIf-Match: {if_match}") };
    let head = format!(
        "PATCH {url} HTTP/1.1\r\nAuthorization: Bearer {bearer}\r\n\
         Content-Type: application/trickle-ice-sdpfrag{if_match}"
    );
    server.request(&head, body).await
}

async fn delete(server: &Server, url: &str, bearer: &str) -> Answer {
    server.request(&format!("DELETE {url} HTTP/1.1\r\nAuthorization: Bearer {bearer}"), "").await
}

/// OBS sends these headers and no others, makes its session's URL of the path in `Location` and its own server's address, and takes
/// 201 and 200 as the only good answers (`whip-output.cpp` of obs-studio).
#[tokio::test]
async fn obs_publishes_and_ends_in_its_own_words() {
    let server = start(ApiConfig::default()).await;
    let token = server.token("atelier", "studio");
    let headers = format!(
        "Authorization: Bearer {token}\r\nUser-Agent: Mozilla/5.0 (OBS-Studio/32.0.0; Linux x86_64; en-US)"
    );
    for (nth, sdp) in [
        include_str!("../../peer/tests/sdp/obs-whip.sdp"),
        include_str!("../../peer/tests/sdp/obs-whip-simulcast.sdp"),
    ]
    .into_iter()
    .enumerate()
    {
        let head = format!("POST /whip/v1 HTTP/1.1\r\nContent-Type: application/sdp\r\n{headers}");
        let (posted, _) = tokio::join!(server.request(&head, sdp), answer(&server, nth + 1, ANSWER));
        assert_eq!((posted.status, posted.body.as_str()), (201, ANSWER), "{posted:?}");
        assert_eq!(offers(&server)[nth].2, sdp, "the forwarder gets it as it is");
        let path = posted.location.clone();
        assert!(path.starts_with("/whip/v1/PA_") && !path.contains('?'), "{path}");
        let ended = server.request(&format!("DELETE {path} HTTP/1.1\r\n{headers}"), "").await;
        assert_eq!(ended.status, 200, "{ended:?}");
    }
}

#[tokio::test]
async fn an_offer_is_answered_and_its_session_is_changed_and_ended_by_url() {
    let server = start(ApiConfig::default()).await;
    let (mut bob, _) = server.join("atelier", "bob").await;
    let token = server.token("atelier", "studio");
    let first = offers(&server).len() + 1;
    let (url, posted) = publish(&server, &token, first).await;
    assert_eq!(posted.body, ANSWER);
    assert!(url.starts_with("/whip/v1/PA_"), "{url}");
    for line in
        ["content-type: application/sdp", "etag: \"ours\"", "accept-patch: application/trickle-ice-sdpfrag"]
    {
        assert!(posted.head.contains(line), "no {line:?} in {}", posted.head);
    }

    // Others hear of it once its section is bound.
    let track = server.notebook.commands.lock().unwrap().iter().find_map(|(room, command)| match command {
        Command::Publish { track, spec, .. } if spec.cid == "sound" => Some((*room, *track)),
        _ => None,
    });
    let (room, track): (RoomId, TrackId) = track.expect("the track is announced to the forwarder");
    let mid = Mid::new("0").unwrap();
    let bound = Event::TrackBound { track, mid, codec: CodecKind::Opus, simulcast: false };
    server.api.event(ForwarderId(room.0), room, bound);
    loop {
        let Some(Response::Update(update)) = next(&mut bob).await else { continue };
        let studio = update.participants.iter().find(|participant| participant.identity == "studio");
        if studio.is_some_and(|studio| !studio.tracks.is_empty()) {
            let kind = studio.unwrap().kind();
            assert_eq!(kind, livekit_protocol::participant_info::Kind::Ingress);
            break;
        }
    }

    let candidate = "a=mid:0\r\na=candidate:7 1 udp 1 192.0.2.9 4000 typ host\r\n";
    assert_eq!(patch(&server, &url, &token, "\"ours\"", candidate).await.status, 204);
    until("the candidate", || {
        let commands = server.notebook.commands.lock().unwrap();
        commands.iter().any(|(_, c)| matches!(c, Command::RemoteCandidate { candidate, .. } if candidate.starts_with("candidate:7 ")))
    })
    .await;
    assert_eq!(patch(&server, &url, &token, "", candidate).await.status, 428);
    assert_eq!(patch(&server, &url, &token, "\"former\"", candidate).await.status, 412);
    assert_eq!(patch(&server, &url, &token, "\"ours\"", "nonsense").await.status, 400);
    assert_eq!(
        patch(&server, &url, &token, "*", candidate).await.status,
        400,
        "no credentials to start with"
    );

    let restart = patch(&server, &url, &token, "*", RESTART);
    let (restarted, _) = tokio::join!(restart, answer(&server, first + 1, ANSWER_2));
    assert_eq!(restarted.status, 200, "{restarted:?}");
    assert_eq!(header(&restarted, "etag"), "\"next\"");
    assert!(restarted.body.contains("a=ice-ufrag:next") && !restarted.body.contains("v=0"), "{restarted:?}");
    assert!(offers(&server)[first].2.contains("a=ice-ufrag:newu"));
    assert_eq!(patch(&server, &url, &token, "\"ours\"", candidate).await.status, 412, "that one is over");
    assert_eq!(patch(&server, &url, &token, "\"next\"", candidate).await.status, 204);

    assert_eq!(delete(&server, &url, &token).await.status, 200);
    until("the end of the peer", || {
        let commands = server.notebook.commands.lock().unwrap();
        commands.iter().any(|(_, command)| matches!(command, Command::ClosePeer { .. }))
    })
    .await;
    until("the session to be forgotten", || server.metrics.page().contains("parvis_offered_sessions 0"))
        .await;
    assert_eq!(delete(&server, &url, &token).await.status, 404);
    assert_eq!(patch(&server, &url, &token, "\"next\"", candidate).await.status, 404);
}

#[tokio::test]
async fn row_31_nobody_reaches_the_session_of_another() {
    let server = start(ApiConfig::default()).await;
    let token = server.token("atelier", "studio");
    let (url, _) = publish(&server, &token, 1).await;
    let neighbour = server.token("atelier", "neighbour");
    let elsewhere = server.token("elsewhere", "studio");
    for (bearer, status) in [("", 401), ("a.b.c", 401), ("key", 401), (&neighbour, 403), (&elsewhere, 403)] {
        assert_eq!(delete(&server, &url, bearer).await.status, status, "{bearer}");
        assert_eq!(patch(&server, &url, bearer, "\"ours\"", "").await.status, status, "{bearer}");
        assert_eq!(patch(&server, &url, bearer, "*", RESTART).await.status, status, "{bearer}");
    }
    assert_eq!(offers(&server).len(), 1, "nothing had an effect");
    // A fresh token of the same identity is as good as the first.
    let fresh = server.keys.issue("atelier", &Grants::of("studio"), Duration::from_secs(60)).unwrap();
    assert_ne!(fresh, token);
    assert_eq!(delete(&server, &url, &fresh).await.status, 200);
}

#[tokio::test]
async fn what_is_no_offer_of_one_who_may_is_refused_in_words() {
    let offers_limits = OfferLimits { max_bytes: 4_096, ..OfferLimits::default() };
    let server = start(ApiConfig { offers: offers_limits, ..ApiConfig::default() }).await;
    let token = server.token("atelier", "studio");
    let mut quiet = Grants::of("quiet");
    quiet.permissions.can_publish = false;
    quiet.permissions.can_subscribe = false;
    let quiet = server.keys.issue("atelier", &quiet, Duration::from_secs(60)).unwrap();
    let empty = server.token("empty", "studio");
    let sdp = offer("sendonly");
    let large = "x".repeat(5_000);
    for (path, bearer, body, status, words) in [
        ("/whip/v1", "", sdp.as_str(), 401, "token"),
        ("/whip/v1", "eyJhbGciOiJub25lIn0.e30.", sdp.as_str(), 401, "HS256"),
        ("/whip/v1", "an-unknown-stream-key", sdp.as_str(), 401, "not valid"),
        ("/whip/v1", &quiet, sdp.as_str(), 403, "publish"),
        ("/whip/v1", &token, "", 400, "offer"),
        ("/whip", &token, "v=0 but no more", 400, "offer"),
        ("/whip/v1", &token, &large, 413, ""),
        ("/whip/v1", &token, &offer("recvonly"), 422, "sends no audio or video"),
        ("/whep/atelier", &quiet, &offer("recvonly"), 403, "subscribe"),
        ("/whep/elsewhere", &token, &offer("recvonly"), 403, "another room"),
        ("/whep/atelier", &token, &offer("recvonly"), 409, "nobody"),
        ("/whep/atelier", &token, &sdp, 422, "receives no audio or video"),
        ("/whep/empty", &empty, &offer("recvonly"), 409, "nobody"),
    ] {
        let refused = post(&server, path, bearer, body).await;
        assert_eq!(refused.status, status, "{path} {refused:?}");
        assert!(refused.body.contains(words), "{words:?} is not in {refused:?}");
        assert!(refused.head.contains("access-control-allow-origin: *"), "{refused:?}");
        assert!(bearer.is_empty() || !refused.body.contains(bearer), "no answer repeats a token");
    }
    let plain =
        format!("POST /whip/v1 HTTP/1.1\r\nAuthorization: Bearer {token}\r\nContent-Type: text/plain");
    let refused = server.request(&plain, &sdp).await;
    assert_eq!((refused.status, header(&refused, "accept-post")), (415, "application/sdp".to_owned()));
    assert!(offers(&server).is_empty(), "no forwarder heard of any");
    assert!(server.metrics.page().contains("parvis_rooms 1"), "to look into a room does not make it");

    assert_eq!(server.get("/whip/v1").await.status, 204);
    assert_eq!(server.request("PUT /whip/v1 HTTP/1.1", "").await.status, 405);
    let preflight = "OPTIONS /whip/v1 HTTP/1.1\r\nOrigin: https://example.org\r\n\
                     Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization";
    let preflight = server.request(preflight, "").await;
    assert_eq!((preflight.status, header(&preflight, "accept-post")), (200, "application/sdp".to_owned()));
}

#[tokio::test]
async fn an_answer_that_never_comes_or_is_a_refusal_leaves_nothing_behind() {
    let server = start(ApiConfig::default()).await;
    let token = server.token("atelier", "studio");
    let sdp = offer("sendonly");
    let refuse = async {
        until("an offer", || !offers(&server).is_empty()).await;
        let (room, peer, _) = offers(&server)[0].clone();
        let event = Event::DescriptionRefused { peer, reason: "line 3: no".to_owned() };
        server.api.event(ForwarderId(room.0), room, event);
    };
    let (refused, ()) = tokio::join!(post(&server, "/whip/v1", &token, &sdp), refuse);
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("line 3: no"), "{refused:?}");
    until("no session", || server.metrics.page().contains("parvis_offered_sessions 0")).await;

    // The client gives up before the answer is there: the participant goes.
    let gone =
        tokio::time::timeout(Duration::from_millis(300), post(&server, "/whip/v1", &token, &sdp)).await;
    assert!(gone.is_err());
    until("the end of the connection", || server.metrics.page().contains("parvis_http_connections 0")).await;
    answer(&server, 2, ANSWER).await;
    until("no session", || server.metrics.page().contains("parvis_offered_sessions 0")).await;
}

#[tokio::test]
async fn sessions_of_one_address_are_bounded_and_one_identity_has_one() {
    let offers_limits = OfferLimits { max_per_ip: 2, ..OfferLimits::default() };
    let server = start(ApiConfig { offers: offers_limits, ..ApiConfig::default() }).await;
    let (_, _) = publish(&server, &server.token("atelier", "one"), 1).await;
    let (url, _) = publish(&server, &server.token("atelier", "two"), 2).await;
    let third = post(&server, "/whip/v1", &server.token("atelier", "three"), &offer("sendonly")).await;
    assert_eq!((third.status, header(&third, "retry-after")), (429, "5".to_owned()), "{third:?}");
    let two = server.token("atelier", "two");
    assert_eq!(delete(&server, &url, &two).await.status, 200);
    until("a place", || server.metrics.page().contains("parvis_offered_sessions 1")).await;
    let (former, _) = publish(&server, &two, 3).await;
    let _ = former;
}

/// One ingress.
struct OneKey;

impl StreamKeys for OneKey {
    fn find<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Stream>, StreamKeysError>> {
        Box::pin(async move {
            match key {
                "the-key" => Ok(Some(Stream {
                    tenant: TenantId::default(),
                    room: "atelier".to_owned(),
                    grants: Grants::of("camera-3"),
                    ingress: None,
                })),
                "broken" => Err(StreamKeysError("the store is locked".to_owned())),
                _ => Ok(None),
            }
        })
    }
}

#[tokio::test]
async fn an_encoder_publishes_by_its_stream_key() {
    let mut server = start(ApiConfig::default()).await;
    let keyed = server.api.clone().with_stream_keys(Arc::new(OneKey));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    server.address = listener.local_addr().unwrap();
    tokio::spawn(async move { keyed.serve(listener).await });
    let (mut bob, _) = server.join("atelier", "bob").await;
    let (url, _) = publish(&server, "the-key", offers(&server).len() + 1).await;
    loop {
        let Some(Response::Update(update)) = next(&mut bob).await else { continue };
        if update.participants.iter().any(|participant| participant.identity == "camera-3") {
            break;
        }
    }
    assert_eq!(post(&server, "/whip/v1", "another-key", &offer("sendonly")).await.status, 401);
    assert_eq!(post(&server, "/whip/v1", "broken", &offer("sendonly")).await.status, 503);
    assert_eq!(delete(&server, &url, "another-key").await.status, 401);
    assert_eq!(delete(&server, &url, "the-key").await.status, 200);
}

#[tokio::test]
async fn an_ingress_is_published_to_by_its_key_in_the_rooms_of_its_tenant_until_it_is_gone() {
    let (mut server, folder) = start_with_store(ApiConfig::default()).await;
    let store = Store::open(StoreConfig::new("", &folder.0)).await.unwrap();
    let keyed = server.api.clone().with_stream_keys(Arc::new(IngressKeys::new(store.clone())));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    server.address = listener.local_addr().unwrap();
    tokio::spawn(async move { keyed.serve(listener).await });
    let admin = grant(everything("atelier"));
    let request = proto::CreateIngressRequest {
        input_type: proto::IngressInput::WhipInput.into(),
        room_name: "atelier".into(),
        participant_identity: "camera-3".into(),
        participant_name: "Camera 3".into(),
        ..Default::default()
    };
    let ingress: proto::IngressInfo = server.call(&admin, "Ingress/CreateIngress", &request).await.unwrap();
    let (mut bob, _) = server.join("atelier", "bob").await;
    publish(&server, &ingress.stream_key, offers(&server).len() + 1).await;
    loop {
        let Some(Response::Update(update)) = next(&mut bob).await else { continue };
        if let Some(camera) = update.participants.iter().find(|info| info.identity == "camera-3") {
            assert_eq!(camera.name, "Camera 3");
            assert_eq!(camera.kind(), proto::participant_info::Kind::Ingress);
            break;
        }
    }
    assert!(server.metrics.page().contains("parvis_rooms 1"), "they are in one room");
    // Another tenant's room of the same name is another room.
    let foreign =
        proto::IngressInfo { ingress_id: "IN_2".into(), stream_key: "another-key".into(), ..ingress.clone() };
    store.create_ingress(&TenantId::new("other"), &foreign).await.unwrap();
    publish(&server, "another-key", offers(&server).len() + 1).await;
    assert!(server.metrics.page().contains("parvis_rooms 2"), "{}", server.metrics.page());
    // One that is switched off, and one that is gone, open nothing.
    let off = proto::IngressInfo { enabled: Some(false), ..foreign };
    store.update_ingress(&TenantId::new("other"), &off).await.unwrap();
    assert_eq!(post(&server, "/whip/v1", "another-key", &offer("sendonly")).await.status, 401);
    let delete = proto::DeleteIngressRequest { ingress_id: ingress.ingress_id };
    let _: proto::IngressInfo = server.call(&admin, "Ingress/DeleteIngress", &delete).await.unwrap();
    assert_eq!(post(&server, "/whip/v1", &ingress.stream_key, &offer("sendonly")).await.status, 401);
}

fn report() -> TransportReport {
    let address = "127.0.0.1:7882".parse().unwrap();
    TransportReport {
        path: Path { protocol: Protocol::Udp, local: address, remote: address },
        dtls_version: "DTLSv1.3".into(),
        cipher: "TLS_AES_128_GCM_SHA256".into(),
        group: 0x11ec,
        srtp_profile: "AEAD_AES_128_GCM".into(),
    }
}

#[tokio::test]
async fn applications_are_told_when_something_comes_in_by_an_ingress_and_when_that_ends() {
    let mut server = start(ApiConfig::default()).await;
    let folder = common::Folder::new();
    let limits = StoreLimits { events: 100, ..StoreLimits::default() };
    let store = Store::open(StoreConfig { limits, ..StoreConfig::new("", &folder.0) }).await.unwrap();
    let webhooks = Webhooks::start(WebhookConfig::default(), server.keys.clone(), store.clone()).await;
    server.api.tell(webhooks.unwrap());
    server.api.keep(store.clone());
    let keyed = server.api.clone().with_stream_keys(Arc::new(IngressKeys::new(store.clone())));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    server.address = listener.local_addr().unwrap();
    tokio::spawn(async move { keyed.serve(listener).await });
    let admin = grant(everything("atelier"));
    let request = proto::CreateIngressRequest {
        input_type: proto::IngressInput::WhipInput.into(),
        room_name: "atelier".into(),
        participant_identity: "camera-3".into(),
        ..Default::default()
    };
    let ingress: proto::IngressInfo = server.call(&admin, "Ingress/CreateIngress", &request).await.unwrap();
    let state = async || {
        let list = proto::ListIngressRequest::default();
        let list: proto::ListIngressResponse =
            server.call(&admin, "Ingress/ListIngress", &list).await.unwrap();
        list.items[0].state.clone().unwrap()
    };
    let told = async |count: usize| {
        let end = tokio::time::Instant::now() + Duration::from_secs(20);
        loop {
            let events = store.list_events(&TenantId::default(), Some("atelier"), 0, 100).await.unwrap();
            let events: Vec<_> = events.into_iter().map(|past| past.event).collect();
            let ours = events.into_iter().filter(|event| event.ingress_info.is_some());
            let ours: Vec<proto::WebhookEvent> = ours.collect();
            if ours.len() >= count || tokio::time::Instant::now() > end {
                return ours;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };

    // A participant with a token is no ingress, and one whose media never comes up was none.
    let (_, _) = publish(&server, &server.token("atelier", "studio"), offers(&server).len() + 1).await;
    let (url, _) = publish(&server, &ingress.stream_key, offers(&server).len() + 1).await;
    assert_eq!(delete(&server, &url, &ingress.stream_key).await.status, 200);
    assert_eq!(state().await.status(), proto::ingress_state::Status::EndpointInactive);

    let (url, _) = publish(&server, &ingress.stream_key, offers(&server).len() + 1).await;
    let (room, peer, _) = offers(&server).last().unwrap().clone();
    server.api.event(ForwarderId(room.0), room, Event::PeerConnected { peer, report: Box::new(report()) });
    let began = told(1).await;
    assert_eq!(began.len(), 1, "{began:?}");
    let info = began[0].ingress_info.as_ref().unwrap();
    assert_eq!((began[0].event.as_str(), &info.ingress_id), ("ingress_started", &ingress.ingress_id));
    assert_eq!(info.stream_key, "", "whoever is told can't publish by that");
    let now = state().await;
    assert_eq!(now.status(), proto::ingress_state::Status::EndpointPublishing);
    assert_eq!(url, format!("/whip/v1/{}", now.resource_id));

    assert_eq!(delete(&server, &url, &ingress.stream_key).await.status, 200);
    let ended = told(2).await;
    assert_eq!(ended.len(), 2, "{ended:?}");
    let after = ended[1].ingress_info.as_ref().unwrap().state.as_ref().unwrap();
    assert_eq!((ended[1].event.as_str(), &after.room_id), ("ingress_ended", &now.room_id));
    assert!(after.started_at == now.started_at && after.ended_at > after.started_at);
    assert_eq!(state().await.status(), proto::ingress_state::Status::EndpointInactive);
}

#[tokio::test]
async fn keys_and_rules_that_are_read_anew_hold_for_every_plane() {
    let (server, _folder) = start_with_store(ApiConfig::default()).await;
    let admin = grant(everything("atelier"));
    let list = proto::ListRoomsRequest::default();
    let rooms = || server.call::<proto::ListRoomsResponse>(&admin, "RoomService/ListRooms", &list);
    assert!(rooms().await.is_ok());
    let token = server.token("atelier", "studio");
    let (mut bob, _) = server.join("atelier", "bob").await;

    let next_key = vec![("next".to_owned(), "next-next-next-next-next-next-next".to_owned())];
    let keys = parvis_api::Keys::new(next_key, Duration::from_secs(3_600), false).unwrap();
    let config = ApiConfig { auto_create: false, ..ApiConfig::default() };
    server.api.reload(&config, keys.clone());

    let refused = rooms().await.unwrap_err();
    assert!(refused.is(401, "unauthenticated"), "{refused:?}");
    assert_eq!(post(&server, "/whip/v1", &token, &offer("sendonly")).await.status, 401);
    assert_eq!(server.open(&format!("/rtc?access_token={token}&protocol=16")).await.err(), Some(401));
    assert_eq!(server.open(&format!("/agent?access_token={token}")).await.err(), Some(401));
    assert!(common::is_alive(&mut bob).await, "who is in stays in");

    let issue = |room: &str| keys.issue(room, &Grants::of("studio"), Duration::from_secs(600)).unwrap();
    let nowhere = post(&server, "/whip/v1", &issue("elsewhere"), &offer("sendonly")).await;
    assert_eq!(nowhere.status, 404, "rooms don't come to be by themselves any more: {nowhere:?}");
    publish(&server, &issue("atelier"), offers(&server).len() + 1).await;
}
