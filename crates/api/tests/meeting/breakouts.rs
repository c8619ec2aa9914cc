// SPDX-License-Identifier: EUPL-1.2
//! People in breakout rooms, who are people of their meeting.

use livekit_protocol as proto;
use serde_json::json;

use super::common::next;
use super::{
    Person, Response, chaired, guests, heard, hello, knock, publish, publish_of, start, until_signal,
};

#[tokio::test]
async fn people_in_breakout_rooms_keep_their_meeting_and_come_back_to_it() {
    let server = start(guests()).await;
    let (room, mut ada, mut bo) = chaired(&server, json!({ "policy": { "lobby": false } })).await;
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
    let (_, mut ada, mut bo) = chaired(&server, json!({ "policy": { "default_role": "viewer" } })).await;
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

#[tokio::test]
async fn what_is_said_to_all_rooms_is_read_by_whoever_is_on_the_way_to_one() {
    let server = start(guests()).await;
    let (_, mut ada, mut bo) = chaired(&server, json!({})).await;
    let rooms = json!([{ "name": "Roads", "members": [bo.identity] }]);
    ada.done(json!({ "do": "breakout.open", "rooms": rooms })).await;
    let go = bo.until("where to go", |_, message| message["event"]["what"] == "breakout").await;
    let ticket = &go["event"]["ticket"];
    let seated = json!({ "token": ticket["token"], "identity": ticket["identity"], "seat": bo.seat });
    // He has gone from the one, and is not in the other.
    drop(bo);
    ada.done(json!({ "do": "breakout.broadcast", "text": "Two minutes" })).await;
    let breakout = ticket["room"].as_str().unwrap();
    let mut signal =
        server.open(&format!("/rtc?access_token={}", ticket["token"].as_str().unwrap())).await.unwrap();
    let Some(Response::Join(_)) = next(&mut signal).await else { panic!("no join response") };
    let mut socket = hello(&server, breakout, json!({ "token": seated["token"] })).await;
    let told = loop {
        let message = heard(&mut socket).await.expect("the meeting's socket is open");
        if message["event"]["what"] == "broadcast" {
            break message["event"].clone();
        }
    };
    assert_eq!(
        (&told["text"], &told["by"], &told["name"]),
        (&json!("Two minutes"), &json!(ada.identity), &json!("Ada"))
    );
    assert!(told["at_ms"].as_u64().is_some_and(|at_ms| at_ms > 1_700_000_000_000), "{told}");
}
