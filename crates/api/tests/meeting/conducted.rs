// SPDX-License-Identifier: EUPL-1.2
//! What moderators decide, as the forwarder and the signalling have it.

use std::time::{Duration, Instant};

use livekit_protocol as proto;
use serde_json::json;

use super::common::{self, Server, next, send};
use super::{
    Person, Request, Response, ask, chaired, closed_with, guests, hello, knock, make, publish, start,
};

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
async fn row_45_whom_a_moderator_silences_is_silent_at_the_forwarder() {
    let server = start(guests()).await;
    let (room, mut ada, mut bo) = chaired(&server, json!({})).await;
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
    let (room, mut ada, mut bo) = chaired(&server, json!({})).await;
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
    let (room, mut ada, mut bo) = chaired(&server, json!({ "policy": { "default_role": "viewer" } })).await;
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
