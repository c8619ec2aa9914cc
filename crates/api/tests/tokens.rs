// SPDX-License-Identifier: EUPL-1.2
//! Which tokens open the door, and which don't.

#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::{start, start_with_store};
use parvis_api::{ApiConfig, DEV_KEY, KeyError, Keys, TokenError};
use parvis_meeting::{Kind, Permissions, TrackSource};
use parvis_signal::{Beside, Grants};
use serde_json::{Value, json};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const HOUR: u64 = 3_600;

fn keys() -> Keys {
    let keys = [("main", SECRET), ("other", "another secret, just as long as it must be")];
    let keys = keys.map(|(key, secret)| (key.to_owned(), secret.to_owned()));
    Keys::new(keys.to_vec(), Duration::from_secs(6 * HOUR), false).unwrap()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Claims that hold.
fn claims() -> Value {
    json!({
        "iss": "main", "sub": "ada", "exp": now() + HOUR, "nbf": now(),
        "video": { "roomJoin": true, "room": "atelier" },
    })
}

fn with(changes: &[(&str, Value)]) -> Value {
    let mut claims = claims();
    for (pointer, value) in changes {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = claims.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        match value {
            Value::Null => drop(parent.remove(name)),
            value => drop(parent.insert(name.to_owned(), value.clone())),
        }
    }
    claims
}

fn signed_with(algorithm: hmac::Algorithm, header: &str, claims: &str, secret: &str) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let tag = hmac::sign(&hmac::Key::new(algorithm, secret.as_bytes()), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
}

fn signed(header: Value, claims: &Value, secret: &str) -> String {
    signed_with(hmac::HMAC_SHA256, &header.to_string(), &claims.to_string(), secret)
}

fn token(claims: &Value) -> String {
    signed(json!({ "alg": "HS256", "typ": "JWT" }), claims, SECRET)
}

#[test]
fn a_token_that_holds_says_who_comes_where_and_what_it_may_do() {
    let claims = with(&[
        ("/name", json!("Ada")),
        ("/metadata", json!("{}")),
        ("/attributes", json!({ "role": "host" })),
        ("/kind", json!("agent")),
        ("/video/canPublishSources", json!(["camera", "screen_share"])),
        ("/video/canSubscribe", json!(false)),
        ("/video/hidden", json!(true)),
        ("/video/canSubscribeMetrics", json!(true)),
        ("/video/roomAdmin", json!(true)),
        ("/video/roomRecord", json!(true)),
        ("/video/destinationRoom", json!("salon")),
        ("/sip", json!({ "admin": true, "call": true })),
    ]);
    let verified = keys().verify(&token(&claims)).unwrap();
    assert_eq!(verified.room, "atelier");
    let expected = Grants {
        identity: "ada".to_owned(),
        name: "Ada".to_owned(),
        metadata: "{}".to_owned(),
        attributes: [("role".to_owned(), "host".to_owned())].into(),
        kind: Kind::Agent,
        permissions: Permissions {
            can_publish_sources: [TrackSource::Camera, TrackSource::ScreenShare].into(),
            can_subscribe: false,
            hidden: true,
            can_subscribe_metrics: true,
            ..Permissions::default()
        },
        not_before: 0,
        room: None,
        beside: Beside {
            room_admin: true,
            room_record: true,
            sip_admin: true,
            sip_call: true,
            destination_room: "salon".to_owned(),
            ..Beside::default()
        },
    };
    assert!(verified.grants.not_before + 5 > now(), "when the token was made");
    let timeless = |grants: Grants| Grants { not_before: 0, ..grants };
    assert_eq!(timeless(verified.grants), expected);
    // What we issue ourselves says the same again.
    let issued = keys().issue("atelier", &expected, Duration::from_secs(HOUR)).unwrap();
    assert_eq!(timeless(keys().verify(&issued).unwrap().grants), expected);
}

#[test]
fn each_key_of_the_table_may_sign_and_no_other() {
    let other = with(&[("/iss", json!("other"))]);
    let header = json!({ "alg": "HS256" });
    let secret = "another secret, just as long as it must be";
    assert!(keys().verify(&signed(header.clone(), &other, secret)).is_ok());
    for (claims, secret) in [
        (&other, SECRET),
        (&with(&[("/iss", json!("stranger"))]), SECRET),
        (&with(&[("/iss", json!(""))]), SECRET),
        (&with(&[("/iss", Value::Null)]), SECRET),
    ] {
        assert!(keys().verify(&signed(header.clone(), claims, secret)).is_err(), "{claims}");
    }
}

#[test]
fn row_33_another_algorithm_or_none_is_refused() {
    let unsigned = |alg: &str| {
        let header = json!({ "alg": alg, "typ": "JWT" }).to_string();
        format!("{}.{}.", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims().to_string()))
    };
    for alg in ["none", "None", "NONE", "HS384", "RS256", "ES256", ""] {
        assert_eq!(keys().verify(&unsigned(alg)), Err(TokenError::Algorithm), "{alg}");
        // Signed with our own secret by HMAC all the same: the confusion of symmetric and public keys.
        let confused = signed(json!({ "alg": alg }), &claims(), SECRET);
        assert_eq!(keys().verify(&confused), Err(TokenError::Algorithm), "{alg}");
    }
    let longer = signed_with(hmac::HMAC_SHA512, r#"{"alg":"HS512"}"#, &claims().to_string(), SECRET);
    assert_eq!(keys().verify(&longer), Err(TokenError::Algorithm));
    // The header says HS256 and the signature is none.
    let stripped = token(&claims()).rsplit_once('.').map(|(signed, _)| format!("{signed}.")).unwrap();
    assert_eq!(keys().verify(&stripped), Err(TokenError::Refused));
}

#[test]
fn row_33_a_token_names_no_key_of_its_own() {
    let tricks = [
        json!({ "alg": "HS256", "kid": "../../../../dev/null" }),
        json!({ "alg": "HS256", "kid": "main' UNION SELECT 'x" }),
        json!({ "alg": "HS256", "jku": "https://203.0.113.5/keys" }),
        json!({ "alg": "HS256", "x5u": "https://203.0.113.5/cert" }),
        json!({ "alg": "HS256", "jwk": { "kty": "oct", "k": URL_SAFE_NO_PAD.encode("attacker") } }),
    ];
    for header in tricks {
        for secret in ["attacker", "", "\0"] {
            assert!(keys().verify(&signed(header.clone(), &claims(), secret)).is_err(), "{header}");
        }
        // They are not looked at: a signature of ours holds beside them.
        assert!(keys().verify(&signed(header.clone(), &claims(), SECRET)).is_ok(), "{header}");
    }
    let critical = json!({ "alg": "HS256", "crit": ["exp"] });
    assert_eq!(keys().verify(&signed(critical, &claims(), SECRET)), Err(TokenError::Algorithm));
}

#[test]
fn row_34_a_token_has_its_time() {
    let table = [
        ("expired", with(&[("/exp", json!(now() - 120))])),
        ("without an end", with(&[("/exp", Value::Null)])),
        ("with an end that is no time", with(&[("/exp", json!("never"))])),
        ("not valid yet", with(&[("/nbf", json!(now() + 300))])),
        // Clocks may differ by a minute, as for LiveKit's server, and by no more.
        ("expired for longer than a minute", with(&[("/exp", json!(now() - 65))])),
        ("not valid for longer than a minute", with(&[("/nbf", json!(now() + 65))])),
    ];
    for (what, claims) in table {
        assert!(keys().verify(&token(&claims)).is_err(), "{what}");
    }
    for other_clock in [with(&[("/exp", json!(now() - 50))]), with(&[("/nbf", json!(now() + 50))])] {
        assert!(keys().verify(&token(&other_clock)).is_ok(), "{other_clock}");
    }
    let long = with(&[("/exp", json!(now() + 6 * HOUR + 120))]);
    assert_eq!(keys().verify(&token(&long)), Err(TokenError::LastsTooLong(6 * HOUR)));
    let longest = with(&[("/exp", json!(now() + 6 * HOUR))]);
    assert!(keys().verify(&token(&longest)).is_ok());
}

#[tokio::test]
async fn a_minute_for_other_clocks_holds_for_joins_and_for_calls() {
    let server = start(ApiConfig::default()).await;
    let ask = async |time: &str, seconds: u64| {
        let claims = with(&[(time, json!(seconds)), ("/video/roomList", json!(true))]);
        let token = token(&claims);
        let joins = server.get(&format!("/rtc/validate?access_token={token}")).await;
        (joins, server.call_json(&token, "RoomService/ListRooms", json!({})).await)
    };
    for (time, seconds) in [("/exp", now() - 30), ("/nbf", now() + 30)] {
        let (joins, call) = ask(time, seconds).await;
        assert_eq!((joins.status, joins.body.as_str()), (200, "success"), "{time}");
        assert!(call.is_ok(), "{time}: {call:?}");
    }
    for (time, seconds) in [("/exp", now() - 90), ("/nbf", now() + 90)] {
        let (joins, call) = ask(time, seconds).await;
        let (call, why) = (call.unwrap_err(), "expired or not valid yet");
        assert!(joins.status == 401 && joins.body.contains(why), "{time}: {joins:?}");
        assert!(call.is(401, "unauthenticated") && call.message.contains(why), "{time}: {call:?}");
    }
}

#[tokio::test]
async fn a_token_that_we_issue_allows_the_calls_of_telephony_that_it_says_and_no_others() {
    let (server, _folder) = start_with_store(ApiConfig::default()).await;
    for (sip_admin, sip_call) in [(true, false), (false, true), (false, false)] {
        let beside = Beside { sip_admin, sip_call, ..Beside::default() };
        let grants = Grants { beside, ..Grants::of("ada") };
        let issued = server.keys.issue("atelier", &grants, Duration::from_secs(HOUR)).unwrap();
        let listed = server.call_json(&issued, "SIP/ListSIPDispatchRule", json!({})).await;
        assert_eq!(listed.is_ok(), sip_admin, "{listed:?}");
        let call = json!({ "sipTrunkId": "ST_1", "sipCallTo": "+4930", "roomName": "atelier" });
        let call = server.call_json(&issued, "SIP/CreateSIPParticipant", call).await.unwrap_err();
        let expected = if sip_call { (501, "unimplemented") } else { (401, "unauthenticated") };
        assert!(call.is(expected.0, expected.1), "{call:?}");
    }
}

#[test]
fn row_34_a_token_opens_the_one_room_that_it_names() {
    let star = with(&[("/video/room", json!("*"))]);
    assert_eq!(keys().verify(&token(&star)).unwrap().room, "*", "a star is a name and nothing else");
    let table = [
        with(&[("/video/room", json!(""))]),
        with(&[("/video/room", Value::Null)]),
        with(&[("/video/roomJoin", Value::Null)]),
        with(&[("/video/roomJoin", json!(false)), ("/video/roomAdmin", json!(true))]),
        with(&[("/sub", json!(""))]),
        with(&[("/sub", Value::Null)]),
        with(&[("/sub", json!("a\u{202e}da"))]),
        with(&[("/kind", json!("admin"))]),
    ];
    for claims in table {
        let refused = keys().verify(&token(&claims));
        assert!(matches!(refused, Err(TokenError::NoJoin(_))), "{claims}: {refused:?}");
    }
}

#[test]
fn row_32_a_claim_that_is_there_twice_is_refused() {
    let claims = claims().to_string().replacen('{', r#"{"sub":"bob","#, 1);
    let twice = signed_with(hmac::HMAC_SHA256, r#"{"alg":"HS256"}"#, &claims, SECRET);
    assert_eq!(keys().verify(&twice), Err(TokenError::Malformed("its claims")));
    let header = signed_with(hmac::HMAC_SHA256, r#"{"alg":"none","alg":"HS256"}"#, &claims, SECRET);
    assert_eq!(keys().verify(&header), Err(TokenError::Malformed("its header")));
}

#[test]
fn a_list_of_unknown_sources_allows_none_where_an_empty_one_would_allow_all() {
    let claims = with(&[("/video/canPublishSources", json!(["hologram"]))]);
    let permissions = keys().verify(&token(&claims)).unwrap().grants.permissions;
    assert!(!permissions.can_publish && !permissions.may_publish(TrackSource::Camera));
}

#[test]
fn what_is_no_token_is_refused_without_harm() {
    let long = "a".repeat(70_000);
    for text in ["", ".", "..", "a.b.c", "e30.e30.e30", "\u{1f600}.x.y", long.as_str()] {
        assert!(keys().verify(text).is_err(), "{text:.20}");
    }
}

#[test]
fn row_35_weak_and_well_known_keys_are_refused_outside_of_development() {
    let new = |key: &str, secret: &str, dev| {
        Keys::new(vec![(key.to_owned(), secret.to_owned())], Duration::from_secs(HOUR), dev).map(drop)
    };
    assert_eq!(new(DEV_KEY.0, DEV_KEY.1, false), Err(KeyError::Development));
    assert_eq!(new("renamed", DEV_KEY.1, false), Err(KeyError::Development));
    assert_eq!(new(DEV_KEY.0, SECRET, false), Err(KeyError::Development));
    assert_eq!(new("main", &SECRET[1..], false), Err(KeyError::Weak { key: "main".to_owned(), bytes: 31 }));
    assert_eq!(new("main", SECRET, false), Ok(()));
    assert_eq!(new(DEV_KEY.0, DEV_KEY.1, true), Ok(()));
    assert_eq!(Keys::new(Vec::new(), Duration::from_secs(1), true).map(drop), Err(KeyError::None));
}
