// SPDX-License-Identifier: EUPL-1.2
//! How a WebSocket ends: each side says so and hears the other say so, and nobody waits for long.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::{Duration, Instant};

use common::{closed, start, until};
use futures_util::SinkExt;
use parvis_api::ApiConfig;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

#[tokio::test]
async fn a_client_that_closes_is_answered() {
    let server = start(ApiConfig::default()).await;
    let (mut socket, _) = server.join("atelier", "ada").await;
    let farewell = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    socket.send(Message::Close(Some(farewell))).await.unwrap();
    let answer = closed(&mut socket).await.expect("a Close frame before the connection ends");
    assert_eq!(answer.code, CloseCode::Normal);
    until("the socket's end", || server.metrics.page().contains("parvis_websockets 0")).await;
}

#[tokio::test]
async fn a_client_that_does_not_hear_that_it_is_closed_is_not_waited_for() {
    let server = start(ApiConfig::default()).await;
    let (silent, _) = server.join("atelier", "ada").await;
    // The newer connection of the same person takes the place of the first, which never reads.
    let (_newer, _) = server.join("atelier", "ada").await;
    let began = Instant::now();
    until("one socket", || server.metrics.page().contains("parvis_websockets 1\n")).await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    drop(silent);
}
