// SPDX-License-Identifier: EUPL-1.2
//! Who is let in, who waits, and by what one comes back.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use parvis_api::ApiConfig;
use parvis_signal::{Beside, Grants, Rate};
use serde_json::{Value, json};

use super::common::{Folder, PATIENCE, Server, start_in, start_with_store};
use super::{NowOrNever, Person, ask, closed_with, guests, heard, hello, knock, make, metric, say, start};

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
