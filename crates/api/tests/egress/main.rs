// SPDX-License-Identifier: EUPL-1.2
//! Recordings and streams over the server APIs, with an engine that writes down what it is told. What all of these tests share is here.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../common/mod.rs"]
mod common;

mod asked;
mod course;
mod logged;
mod refused;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Folder, OTHER_KEY, OTHER_SECRET, Server, everything, grant, start_with_store};
use futures_util::future::BoxFuture;
use livekit_protocol::{EgressInfo, EgressStatus as Status};
use livekit_token::AccessToken;
use parvis_api::{ApiConfig, EgressEngine, EngineError, FilmState, TenantId};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Writes down what it is told; refuses the next if told so.
#[derive(Default)]
struct Notes {
    told: Mutex<Vec<String>>,
    started: Mutex<Vec<EgressInfo>>,
    refuses: Mutex<Option<EngineError>>,
    resumes: AtomicBool,
}

impl Notes {
    fn note(&self, what: String) -> BoxFuture<'_, Result<(), EngineError>> {
        self.told.lock().unwrap().push(what);
        let refused = self.refuses.lock().unwrap().take();
        Box::pin(async move { refused.map_or(Ok(()), Err) })
    }

    fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }
}

impl EgressEngine for Notes {
    fn start<'a>(
        &'a self,
        tenant: &'a TenantId,
        egress: &'a EgressInfo,
    ) -> BoxFuture<'a, Result<(), EngineError>> {
        self.started.lock().unwrap().push(egress.clone());
        self.note(format!("start {tenant} {}", egress.room_name))
    }

    fn set_layout<'a>(&'a self, _: &'a str, layout: &'a str) -> BoxFuture<'a, Result<(), EngineError>> {
        self.note(format!("layout {layout}"))
    }

    fn set_urls<'a>(
        &'a self,
        _: &'a str,
        add: &'a [String],
        remove: &'a [String],
    ) -> BoxFuture<'a, Result<(), EngineError>> {
        self.note(format!("add {} remove {}", add.join(" "), remove.join(" ")))
    }

    fn stop<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<(), EngineError>> {
        self.note("stop".to_owned())
    }

    fn file(&self, _: &TenantId, egress_id: &str, name: &str) -> Option<PathBuf> {
        Some(Path::new("/nonexistent").join(egress_id).join(name))
    }

    fn elsewhere<'a>(
        &'a self,
        tenant: &'a TenantId,
        egress_id: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Option<String>> {
        let there = name == "film.mp4.age";
        let url =
            there.then(|| format!("https://s3.example.org/{tenant}/{egress_id}/{name}?X-Amz-Expires=60"));
        Box::pin(async move { url })
    }

    fn film<'a>(
        &'a self,
        tenant: &'a TenantId,
        egress: &'a EgressInfo,
        layout: &'a str,
    ) -> BoxFuture<'a, Result<(), EngineError>> {
        self.note(format!("film {tenant} {} {layout}", egress.egress_id))
    }

    fn film_of(&self, _: &TenantId, egress: &EgressInfo) -> FilmState {
        let asked = self
            .told()
            .iter()
            .filter(|told| told.starts_with(&format!("film default {}", egress.egress_id)))
            .count();
        match asked {
            0 => FilmState::None,
            1 => FilmState::BeingMade,
            2 => FilmState::Failed("it said why".to_owned()),
            _ => FilmState::Made,
        }
    }

    fn resume<'a>(&'a self, _: &'a TenantId, egress: &'a EgressInfo) -> BoxFuture<'a, bool> {
        self.told.lock().unwrap().push(format!("resume {}", egress.egress_id));
        Box::pin(async move { self.resumes.load(Ordering::Relaxed) })
    }
}

/// A server with an engine and a room.
async fn studio() -> (Server, Folder, Arc<Notes>) {
    let (server, folder) = start_with_store(ApiConfig::default()).await;
    let notes = Arc::<Notes>::default();
    server.api.record(Arc::clone(&notes) as Arc<dyn EgressEngine>);
    server.call_json(&token(), "RoomService/CreateRoom", json!({ "name": "atelier" })).await.unwrap();
    (server, folder, notes)
}

fn token() -> String {
    grant(everything("atelier"))
}

fn other_token() -> String {
    let token = AccessToken::with_api_key(OTHER_KEY, OTHER_SECRET).with_grants(everything("atelier"));
    token.with_ttl(Duration::from_secs(600)).to_jwt().unwrap()
}

async fn ask(server: &Server, method: &str, body: Value) -> Value {
    server.call_json(&token(), &format!("Egress/{method}"), body).await.unwrap()
}

fn composite() -> Value {
    json!({
        "roomName": "atelier", "layout": "grid",
        "fileOutputs": [{ "filepath": "a.mp4", "s3": { "accessKey": "AKIA", "secret": "hush", "bucket": "b" } }],
    })
}

fn now(info: &Value, status: Status) -> EgressInfo {
    EgressInfo {
        egress_id: info["egressId"].as_str().unwrap().to_owned(),
        status: status.into(),
        ..Default::default()
    }
}

/// Takes webhooks: signature and body of each.
async fn receiver() -> (SocketAddr, Arc<Mutex<Vec<(String, Value)>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let inbox = Arc::<Mutex<Vec<(String, Value)>>>::default();
    let taken = Arc::clone(&inbox);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let taken = Arc::clone(&taken);
            tokio::spawn(async move {
                let mut said = Vec::new();
                let (head, body) = loop {
                    if stream.read_buf(&mut said).await.unwrap_or(0) == 0 {
                        return;
                    }
                    let text = String::from_utf8_lossy(&said).into_owned();
                    let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                    if let Ok(body) = serde_json::from_str::<Value>(body) {
                        break (head.to_owned(), body);
                    }
                };
                let line = head.lines().find_map(|line| line.strip_prefix("authorization: ")).unwrap();
                taken.lock().unwrap().push((line.to_owned(), body));
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
            });
        }
    });
    (address, inbox)
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{what}: not in time");
}
