// SPDX-License-Identifier: EUPL-1.2
//! Rooms that were made ahead, where rooms don't come to be by themselves: they outlive a restart and the loss of their media,
//! and end as rooms do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Folder, Server, everything, grant, start_in};
use parvis_api::ApiConfig;
use parvis_store::TenantId;
use serde_json::{Value, json};

fn config() -> ApiConfig {
    ApiConfig { auto_create: false, ..ApiConfig::default() }
}

async fn ask(server: &Server, method: &str, body: Value) -> Value {
    server.call_json(&grant(everything("atelier")), method, body).await.unwrap()
}

async fn rooms(server: &Server) -> Vec<Value> {
    let listed = ask(server, "RoomService/ListRooms", json!({})).await;
    listed["rooms"].as_array().cloned().unwrap_or_default()
}

async fn status(server: &Server) -> u16 {
    let token = server.token("atelier", "ada");
    server.get(&format!("/rtc/validate?access_token={token}")).await.status
}

#[tokio::test]
async fn a_room_that_was_made_ahead_is_there_after_a_restart_with_what_it_was_made_with() {
    let folder = Folder::new();
    let server = start_in(config(), &folder).await;
    assert_eq!(status(&server).await, 404);
    let wanted =
        json!({ "name": "atelier", "metadata": "first", "maxParticipants": 7, "departureTimeout": 90 });
    ask(&server, "RoomService/CreateRoom", wanted).await;
    ask(&server, "RoomService/UpdateRoomMetadata", json!({ "room": "atelier", "metadata": "second" })).await;
    drop(server);

    let server = start_in(config(), &folder).await;
    let found = rooms(&server).await;
    assert_eq!(found.len(), 1);
    assert_eq!((&found[0]["name"], &found[0]["metadata"]), (&json!("atelier"), &json!("second")));
    assert_eq!((&found[0]["maxParticipants"], &found[0]["departureTimeout"]), (&json!(7), &json!(90)));
    assert_eq!(status(&server).await, 200);
    let (_ada, join) = server.join("atelier", "ada").await;
    assert_eq!(join.room.unwrap().metadata, "second");

    ask(&server, "RoomService/DeleteRoom", json!({ "room": "atelier" })).await;
    let store = folder.store().await;
    for _ in 0..400 {
        if store.room(&TenantId::default(), "atelier").await.unwrap().is_none() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(server);
    let server = start_in(config(), &folder).await;
    assert!(rooms(&server).await.is_empty(), "one that was deleted stays so");
    assert_eq!(status(&server).await, 404);
}

#[tokio::test]
async fn agents_that_were_asked_for_are_asked_for_again() {
    let folder = Folder::new();
    let server = start_in(ApiConfig::default(), &folder).await;
    let scribe = json!({ "room": "atelier", "agentName": "scribe", "metadata": "fr" });
    ask(&server, "AgentDispatchService/CreateDispatch", scribe).await;
    let other = json!({ "room": "atelier", "agentName": "interpreter" });
    let other = ask(&server, "AgentDispatchService/CreateDispatch", other).await;
    let gone = json!({ "room": "atelier", "dispatchId": other["id"] });
    ask(&server, "AgentDispatchService/DeleteDispatch", gone).await;
    drop(server);

    let server = start_in(ApiConfig::default(), &folder).await;
    let listed = ask(&server, "AgentDispatchService/ListDispatch", json!({ "room": "atelier" })).await;
    let mut names: Vec<String> = listed["agentDispatches"]
        .as_array()
        .unwrap()
        .iter()
        .map(|dispatch| {
            format!(
                "{} {}",
                dispatch["agentName"].as_str().unwrap_or_default(),
                dispatch["metadata"].as_str().unwrap_or_default()
            )
        })
        .collect();
    names.sort();
    assert_eq!(names, [" ", "scribe fr"], "the one without a name, and the one that was asked for");
}

#[tokio::test]
async fn a_room_that_ended_by_itself_does_not_come_back() {
    let folder = Folder::new();
    let server = start_in(config(), &folder).await;
    ask(&server, "RoomService/CreateRoom", json!({ "name": "atelier", "emptyTimeout": 1 })).await;
    let store = folder.store().await;
    assert!(store.room(&TenantId::default(), "atelier").await.unwrap().is_some());
    for _ in 0..1_000 {
        if store.room(&TenantId::default(), "atelier").await.unwrap().is_none() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(rooms(&server).await.is_empty());
    drop(server);
    assert!(rooms(&start_in(config(), &folder).await).await.is_empty());
}

#[tokio::test]
async fn a_room_whose_media_was_lost_takes_its_people_back() {
    let folder = Folder::new();
    let server = start_in(config(), &folder).await;
    ask(&server, "RoomService/CreateRoom", json!({ "name": "atelier", "metadata": "mine" })).await;
    server.api.lose_rooms("test", |_| true);
    let (_ada, join) = server.join("atelier", "ada").await;
    assert_eq!(join.room.unwrap().metadata, "mine");
}

#[tokio::test]
async fn what_was_open_when_the_server_was_told_to_stop_comes_back() {
    let folder = Folder::new();
    let server = start_in(config(), &folder).await;
    ask(&server, "RoomService/CreateRoom", json!({ "name": "atelier" })).await;
    server.api.close_doors().await;
    server.api.end_rooms().await;
    server.api.emptied().await;
    let api = Arc::new(server);
    drop(api);
    assert_eq!(rooms(&start_in(config(), &folder).await).await.len(), 1);
}
