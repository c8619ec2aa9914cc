// SPDX-License-Identifier: EUPL-1.2
//! Bad input: every call of the server APIs × everything that is wrong with who asks, or with how. The calls come from the
//! table that their routes are made of, so that a new one can't be forgotten. Each has the right status, none has an effect
//! in a room or in the store, and the server goes on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::io::Write;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::{
    Folder, KEY, OTHER_KEY, OTHER_SECRET, SECRET, Server, Socket, everything, failure, grant, heard,
    start_with_store,
};
use flate2::Compression;
use flate2::write::GzEncoder;
use livekit_token::{AccessToken, SIPGrants, VideoGrants};
use parvis_api::{ApiConfig, server_api};
use serde_json::{Value, json};

const ROOM: &str = "atelier";
const BODY_LIMIT: usize = 4_096;

/// A room with Ada in it, records of all kinds, and Eve, who was removed.
struct Victim {
    server: Server,
    _folder: Folder,
    ada: Socket,
    eve: String,
    /// Something that every call could work on.
    body: Value,
}

fn token(key: (&str, &str), identity: &str, video: VideoGrants, lifetime: Duration) -> String {
    let sip = SIPGrants { admin: true, call: true };
    let token = AccessToken::with_api_key(key.0, key.1).with_grants(video).with_sip_grants(sip);
    token.with_identity(identity).with_ttl(lifetime).to_jwt().unwrap()
}

const MINUTES: Duration = Duration::from_secs(600);

impl Victim {
    async fn new() -> Victim {
        let config = ApiConfig { server_api_body_bytes: BODY_LIMIT, ..ApiConfig::default() };
        let (server, folder) = start_with_store(config).await;
        let admin = grant(everything(ROOM));
        let (ada, _) = server.join(ROOM, "ada").await;
        let video = VideoGrants { room_join: true, ..everything(ROOM) };
        let eve = token((KEY, SECRET), "eve", video, MINUTES);
        let socket = server.open(&format!("/rtc?access_token={eve}&protocol=16")).await.unwrap();
        let ask = async |method: &str, body: Value| server.call_json(&admin, method, body).await.unwrap();
        ask("RoomService/RemoveParticipant", json!({ "room": ROOM, "identity": "eve" })).await;
        drop(socket);
        let rule = json!({ "dispatchRuleDirect": { "roomName": ROOM, "pin": "1234" } });
        let trunk = json!({ "name": "in", "numbers": ["+4930"], "address": "sip.example.org" });
        let made = [
            ask("AgentDispatchService/CreateDispatch", json!({ "room": ROOM, "agentName": "scribe" })).await,
            ask(
                "Ingress/CreateIngress",
                json!({ "inputType": "WHIP_INPUT", "roomName": ROOM, "participantIdentity": "camera" }),
            )
            .await,
            ask("SIP/CreateSIPInboundTrunk", json!({ "trunk": trunk })).await,
            ask("SIP/CreateSIPDispatchRule", json!({ "rule": rule })).await,
        ];
        let body = json!({
            "room": ROOM, "roomName": ROOM, "name": ROOM, "destinationRoom": "kitchen",
            "identity": "ada", "destinationIdentity": "ada", "participantIdentity": "ada",
            "metadata": "hacked", "muted": true, "permission": {}, "data": "aGFja2Vk", "method": "m",
            "agentName": "intruder", "dispatchId": made[0]["id"],
            "inputType": "WHIP_INPUT", "ingressId": made[1]["ingressId"],
            "sipTrunkId": made[2]["sipTrunkId"], "sipDispatchRuleId": made[3]["sipDispatchRuleId"],
            "trunk": { "name": "hacked", "numbers": ["+4931"], "address": "sip.example.org" },
            "rule": { "dispatchRuleDirect": { "roomName": ROOM, "pin": "9999" } },
            "update": { "name": "hacked" }, "egressId": "EG_1",
        });
        let mut victim = Victim { server, _folder: folder, ada, eve, body };
        heard(&mut victim.ada).await;
        victim
    }

    /// All that a call could have changed.
    async fn state(&self) -> Vec<Value> {
        let admin = grant(everything(ROOM));
        let mut state = Vec::new();
        for (method, body) in [
            ("RoomService/ListRooms", json!({})),
            ("RoomService/ListParticipants", json!({ "room": ROOM })),
            ("AgentDispatchService/ListDispatch", json!({ "room": ROOM })),
            ("Ingress/ListIngress", json!({})),
            ("SIP/ListSIPTrunk", json!({})),
            ("SIP/ListSIPDispatchRule", json!({})),
            ("Egress/ListEgress", json!({})),
        ] {
            state.push(self.server.call_json(&admin, method, body).await.unwrap());
        }
        state
    }

    /// Makes one bad request to every call whose grant is as told, and holds the answers against what they must be.
    async fn each(
        &mut self,
        what: &str,
        bearer: Option<&str>,
        head: &[&str],
        body: &[u8],
        wanted: (u16, &str),
        which: impl Fn(&str) -> bool,
    ) {
        let before = self.state().await;
        let head: Vec<String> = head.iter().map(|line| (*line).to_owned()).collect();
        let mut tried = 0;
        for (path, _) in server_api().into_iter().filter(|(_, grant)| which(grant)) {
            let (status, answer) = self.server.post(&path, bearer, &head, body).await;
            let failure = failure(status, &answer);
            assert!(failure.is(wanted.0, wanted.1), "{what}: {path}: {failure:?}");
            let said = String::from_utf8_lossy(&answer).into_owned();
            assert!(
                bearer.is_none_or(|bearer| bearer.is_empty() || !said.contains(bearer)),
                "{path} repeats the token"
            );
            tried += 1;
        }
        assert!(tried > 0, "{what}: nothing was tried");
        assert_eq!(self.state().await, before, "{what} had an effect");
        assert_eq!(heard(&mut self.ada).await, [], "{what} reached Ada");
    }
}

const JSON: &str = "Content-Type: application/json";
const PROTOBUF: &str = "Content-Type: application/protobuf";
const REFUSED: (u16, &str) = (401, "unauthenticated");
const MALFORMED: (u16, &str) = (400, "malformed");

fn any(_: &str) -> bool {
    true
}

/// A token with all grants whose header and signature are made as told.
fn forged(header: &Value, algorithm: hmac::Algorithm, secret: &str) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({
        "iss": KEY, "exp": now + 600, "nbf": now, "sip": { "admin": true, "call": true },
        "video": {
            "roomCreate": true, "roomList": true, "roomRecord": true, "roomAdmin": true, "ingressAdmin": true,
            "room": ROOM, "destinationRoom": "kitchen",
        },
    });
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    let tag = hmac::sign(&hmac::Key::new(algorithm, secret.as_bytes()), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
}

#[tokio::test]
async fn with_all_grants_every_call_gets_as_far_as_its_own_code() {
    // What the tests below refuse would otherwise have been done: the body is one that calls can read.
    let victim = Victim::new().await;
    let admin = grant(everything(ROOM));
    let body = victim.body.to_string();
    for (path, _) in server_api() {
        let head = [JSON.to_owned()];
        let (status, answer) = victim.server.post(&path, Some(&admin), &head, body.as_bytes()).await;
        let failure = failure(status, &answer);
        assert!(status != 401 && failure.code != "malformed", "{path}: {failure:?}");
    }
    assert_ne!(victim.server.metrics.page().find("parvis_rooms"), None);
}

#[tokio::test]
async fn row_54_without_a_token_nothing_is_done() {
    let mut victim = Victim::new().await;
    let body = victim.body.to_string();
    victim.each("no token", None, &[JSON], body.as_bytes(), REFUSED, any).await;
    victim.each("an empty token", Some(""), &[JSON], body.as_bytes(), REFUSED, any).await;
    let basic = ["Authorization: Basic YTpi", JSON];
    victim.each("another scheme", None, &basic, body.as_bytes(), REFUSED, any).await;
}

#[tokio::test]
async fn row_54_a_grant_opens_its_own_calls_only() {
    let mut victim = Victim::new().await;
    let body = victim.body.to_string();
    let join = VideoGrants { room_join: true, room: ROOM.into(), ..VideoGrants::default() };
    let guest = AccessToken::with_api_key(KEY, SECRET).with_identity("guest").with_ttl(MINUTES);
    let guest = guest.with_grants(join).to_jwt().unwrap();
    victim.each("a participant's token", Some(&guest), &[JSON], body.as_bytes(), REFUSED, any).await;
    let none = AccessToken::with_api_key(KEY, SECRET).with_ttl(MINUTES).to_jwt().unwrap();
    victim.each("a token without grants", Some(&none), &[JSON], body.as_bytes(), REFUSED, any).await;
    let moderator = VideoGrants { room_admin: true, room: ROOM.into(), ..VideoGrants::default() };
    let moderator = AccessToken::with_api_key(KEY, SECRET).with_ttl(MINUTES).with_grants(moderator);
    let moderator = moderator.to_jwt().unwrap();
    let beyond = |grant: &str| grant != "roomAdmin";
    victim.each("a moderator's token", Some(&moderator), &[JSON], body.as_bytes(), REFUSED, beyond).await;
}

#[tokio::test]
async fn row_34_expired_foreign_and_revoked_tokens_do_nothing() {
    let mut victim = Victim::new().await;
    let body = victim.body.to_string();
    let admin = |grant: &str| grant.starts_with("roomAdmin");
    let header = json!({ "alg": "HS256", "typ": "JWT" });
    let foreign = forged(&header, hmac::HMAC_SHA256, "not the secret of that key ......");
    victim.each("a wrong signature", Some(&foreign), &[JSON], body.as_bytes(), REFUSED, any).await;
    let forever = token((KEY, SECRET), "", everything(ROOM), Duration::from_secs(7 * 86_400));
    victim.each("a token that lasts too long", Some(&forever), &[JSON], body.as_bytes(), REFUSED, any).await;
    let past = expired();
    victim.each("an expired token", Some(&past), &[JSON], body.as_bytes(), REFUSED, any).await;
    for other in ["elsewhere", "atelier ", "Atelier", "atelie", "*", ""] {
        let other = grant(VideoGrants { room: other.into(), ..everything(ROOM) });
        victim.each("another room's token", Some(&other), &[JSON], body.as_bytes(), REFUSED, admin).await;
    }
    let eve = victim.eve.clone();
    victim.each("a revoked token", Some(&eve), &[JSON], body.as_bytes(), REFUSED, any).await;
}

/// Signed rightly, with all grants, two minutes ago for one minute.
fn expired() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({
        "iss": KEY, "exp": now - 120, "nbf": now - 180, "sip": { "admin": true, "call": true },
        "video": {
            "roomCreate": true, "roomList": true, "roomRecord": true, "roomAdmin": true, "ingressAdmin": true,
            "room": ROOM, "destinationRoom": "kitchen",
        },
    });
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(json!({ "alg": "HS256" }).to_string()),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
}

#[tokio::test]
async fn row_33_a_token_that_chooses_its_algorithm_does_nothing() {
    let mut victim = Victim::new().await;
    let body = victim.body.to_string();
    for algorithm in ["none", "None", "HS384", "RS256", ""] {
        let confused = forged(&json!({ "alg": algorithm }), hmac::HMAC_SHA256, SECRET);
        victim.each(algorithm, Some(&confused), &[JSON], body.as_bytes(), REFUSED, any).await;
        let unsigned = confused.rsplit_once('.').map(|(signed, _)| format!("{signed}.")).unwrap();
        victim.each(algorithm, Some(&unsigned), &[JSON], body.as_bytes(), REFUSED, any).await;
    }
    let longer = forged(&json!({ "alg": "HS512" }), hmac::HMAC_SHA512, SECRET);
    victim.each("HS512", Some(&longer), &[JSON], body.as_bytes(), REFUSED, any).await;
}

#[tokio::test]
async fn row_54_another_tenants_key_sees_and_changes_nothing() {
    let mut victim = Victim::new().await;
    let before = victim.state().await;
    let other = token((OTHER_KEY, OTHER_SECRET), "", everything(ROOM), MINUTES);
    let body = victim.body.to_string();
    let ids = ["dispatchId", "ingressId", "sipTrunkId", "sipDispatchRuleId"];
    for (path, _) in server_api() {
        let (status, answer) =
            victim.server.post(&path, Some(&other), &[JSON.to_owned()], body.as_bytes()).await;
        // Whatever it answers is of the other tenant's own: nothing of this one is in it.
        let said = String::from_utf8_lossy(&answer).into_owned();
        if status == 200 {
            assert!(!said.contains("\"ada\"") || path.contains("Ingress/"), "{path}: {said}");
            for id in ids {
                let id = victim.body[id].as_str().unwrap();
                assert!(!said.contains(id), "{path} tells of {id}: {said}");
            }
        }
        assert_ne!(status, 500, "{path}: {said}");
    }
    assert_eq!(victim.state().await, before);
    assert_eq!(heard(&mut victim.ada).await, []);
}

#[tokio::test]
async fn row_28_bodies_that_are_too_large_or_compressed_are_not_read() {
    let mut victim = Victim::new().await;
    let admin = grant(everything(ROOM));
    let mut large = victim.body.clone();
    large["metadata"] = json!("x".repeat(2 * BODY_LIMIT));
    let large = large.to_string();
    let limit = (413, "malformed");
    victim.each("a body beyond the limit", Some(&admin), &[JSON], large.as_bytes(), limit, any).await;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&vec![b' '; 2 << 20]).unwrap();
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < BODY_LIMIT);
    let encoded = ["Content-Encoding: gzip", JSON];
    victim.each("a gzip bomb", Some(&admin), &encoded, &bomb, (415, "malformed"), any).await;
    victim.each("a gzip bomb that says it is JSON", Some(&admin), &[JSON], &bomb, MALFORMED, any).await;
    victim
        .each("a gzip bomb that says it is protobuf", Some(&admin), &[PROTOBUF], &bomb, MALFORMED, any)
        .await;
}

#[tokio::test]
async fn row_32_bodies_with_a_key_twice_or_cut_off_do_nothing() {
    let mut victim = Victim::new().await;
    let admin = grant(everything(ROOM));
    let twice = victim.body.to_string().replacen('{', "{\"room\":\"elsewhere\",", 1);
    victim.each("a key twice", Some(&admin), &[JSON], twice.as_bytes(), MALFORMED, any).await;
    let cut = &victim.body.to_string()[1..];
    victim.each("half of JSON", Some(&admin), &[JSON], cut.as_bytes(), MALFORMED, any).await;
    let truncated = [0x0a, 0x20, b'a', b't'];
    victim.each("truncated protobuf", Some(&admin), &[PROTOBUF], &truncated, MALFORMED, any).await;
    let body = victim.body.to_string();
    let route = (404, "bad_route");
    victim.each("text", Some(&admin), &["Content-Type: text/plain"], body.as_bytes(), route, any).await;
    victim.each("no content type", Some(&admin), &[], body.as_bytes(), route, any).await;
    for (path, _) in server_api() {
        let head = format!("GET {path} HTTP/1.1\r\nAuthorization: Bearer {admin}");
        assert_eq!(victim.server.request(&head, "").await.status, 404, "GET {path}");
    }
}

#[tokio::test]
async fn row_33_and_34_the_workers_socket_takes_no_token_but_an_agents() {
    let victim = Victim::new().await;
    let join = VideoGrants { room_join: true, ..everything(ROOM) };
    let agent = VideoGrants { agent: true, ..VideoGrants::default() };
    for refused in [
        "/agent".to_owned(),
        format!("/agent?access_token={}", token((KEY, SECRET), "eve", join, MINUTES)),
        format!("/agent?access_token={}", expired()),
        format!(
            "/agent?access_token={}",
            token((KEY, "another secret that is long enough"), "", agent.clone(), MINUTES)
        ),
    ] {
        assert_eq!(victim.server.open(&refused).await.err(), Some(401), "{refused}");
    }
    let fine = format!("/agent?access_token={}", token((KEY, SECRET), "", agent, MINUTES));
    victim.server.open(&fine).await.unwrap();
}
