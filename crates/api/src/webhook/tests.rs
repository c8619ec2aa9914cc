// SPDX-License-Identifier: EUPL-1.2
//! Webhooks over loopback: what a receiver gets, when it is down, when the server restarts, and where they never go.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use livekit_protocol as proto;
use livekit_token::TokenVerifier;
use parvis_store::StoreConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig};
use sqlx::{Connection, Executor};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::client::Resolve;
use super::*;

mod refused;

const KEY: (&str, &str) = ("main", "0123456789abcdef0123456789abcdef");
const PATIENCE: Duration = Duration::from_secs(20);

/// A folder that is gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("parvis-webhooks-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    async fn store(&self) -> Store {
        Store::open(StoreConfig { timeout: Duration::from_millis(600), ..StoreConfig::new("", &self.0) })
            .await
            .unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What came to a receiver: its headers and its body.
#[derive(Debug, Clone)]
struct Received {
    head: String,
    body: String,
}

impl Received {
    fn header(&self, name: &str) -> &str {
        let line = self.head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}: ")));
        line.unwrap_or_else(|| panic!("no {name} in {}", self.head)).split_once(": ").unwrap().1
    }

    fn event(&self) -> WebhookEvent {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// An HTTP server of the test's own: it writes down what comes and answers with the status that it is told.
#[derive(Clone)]
struct Receiver {
    address: SocketAddr,
    inbox: Arc<Mutex<Vec<Received>>>,
    status: watch::Sender<&'static str>,
    connections: Arc<AtomicUsize>,
}

impl Receiver {
    async fn start(status: &'static str) -> Receiver {
        Receiver::at("127.0.0.1:0".parse().unwrap(), status).await
    }

    async fn at(address: SocketAddr, status: &'static str) -> Receiver {
        let listener = TcpListener::bind(address).await.unwrap();
        let receiver = Receiver {
            address: listener.local_addr().unwrap(),
            inbox: Arc::default(),
            status: watch::Sender::new(status),
            connections: Arc::default(),
        };
        let serving = receiver.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serving.connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        receiver
    }

    async fn serve(self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut bytes = Vec::new();
        let (head, length) = loop {
            if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                return;
            }
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if let Some((head, _)) = text.split_once("\r\n\r\n") {
                let length = head.to_ascii_lowercase();
                let length = length.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
                break (head.to_owned(), length.parse::<usize>().unwrap());
            }
        };
        while bytes.len() < head.len() + 4 + length {
            if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let body = String::from_utf8(bytes[head.len() + 4..].to_vec()).unwrap();
        self.inbox.lock().unwrap().push(Received { head, body });
        let status = *self.status.borrow();
        let _ = stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes()).await;
    }

    fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    fn received(&self) -> Vec<Received> {
        self.inbox.lock().unwrap().clone()
    }

    async fn until(&self, count: usize) -> Vec<Received> {
        until(&format!("{count} events"), || self.received().len() >= count).await;
        self.received()
    }
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn keys() -> Keys {
    Keys::new(vec![(KEY.0.into(), KEY.1.into())], Duration::from_secs(3_600), false).unwrap()
}

fn config(receivers: &[&Receiver]) -> WebhookConfig {
    WebhookConfig {
        urls: receivers.iter().map(|receiver| receiver.url()).collect(),
        allow_internal: receivers.iter().map(|receiver| receiver.address.to_string()).collect(),
        first_retry: Duration::from_millis(20),
        longest_retry: Duration::from_millis(200),
        request_timeout: Duration::from_secs(2),
        ..WebhookConfig::default()
    }
}

fn event(room: &str, name: &str) -> WebhookEvent {
    let room = proto::Room { name: room.to_owned(), sid: format!("RM_{room}"), ..Default::default() };
    WebhookEvent { event: name.to_owned(), room: Some(room), ..Default::default() }
}

fn names(received: &[Received]) -> Vec<String> {
    received.iter().map(|received| received.event().event).collect()
}

#[tokio::test]
async fn row_50_each_event_is_signed_over_its_body_for_five_minutes_and_has_a_time_and_an_id() {
    let folder = Folder::new("signed");
    let receiver = Receiver::start("200 OK").await;
    let webhooks = Webhooks::start(config(&[&receiver]), keys(), folder.store().await).await.unwrap();
    webhooks.raise(&TenantId::default(), event("atelier", "room_started"));
    let received = receiver.until(1).await.remove(0);
    assert!(received.head.starts_with("POST /hook HTTP/1.1\r\n"), "{}", received.head);
    assert_eq!(received.header("content-type"), "application/webhook+json");
    assert_eq!(received.header("host"), receiver.address.to_string());
    let event = received.event();
    assert_eq!(
        (event.event.as_str(), event.room.as_ref().unwrap().name.as_str()),
        ("room_started", "atelier")
    );
    assert!(event.id.starts_with("EV_") && event.id.len() == 35, "{}", event.id);
    assert_eq!(received.header("parvis-event-id"), event.id);
    assert_eq!(received.header("parvis-event-time"), event.created_at.to_string());

    let claims = TokenVerifier::with_api_key(KEY.0, KEY.1).verify(received.header("authorization")).unwrap();
    let hash =
        |body: &str| STANDARD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body.as_bytes()));
    assert_eq!(claims.sha256, hash(&received.body));
    assert_ne!(claims.sha256, hash(&received.body.replace("atelier", "elsewhere")));
    assert!(!claims.video.room_join, "the signature opens no room");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let left = claims.exp as u64 - now;
    assert!((290..=300).contains(&left), "it is of no use after five minutes: {left} s are left");
    let stranger = TokenVerifier::with_api_key(KEY.0, "another secret that is long enough......");
    assert!(stranger.verify(received.header("authorization")).is_err());
}

#[tokio::test]
async fn each_rooms_events_come_in_order_to_every_target() {
    let folder = Folder::new("order");
    let receivers = [Receiver::start("200 OK").await, Receiver::start("204 No Content").await];
    let config = config(&[&receivers[0], &receivers[1]]);
    let webhooks = Webhooks::start(config, keys(), folder.store().await).await.unwrap();
    for number in 0..30 {
        for room in ["a", "b", "c"] {
            webhooks.raise(&TenantId::default(), event(room, &format!("{room} {number}")));
        }
    }
    for receiver in &receivers {
        let names = names(&receiver.until(90).await);
        for room in ["a", "b", "c"] {
            let own: Vec<&String> = names.iter().filter(|name| name.starts_with(room)).collect();
            let expected: Vec<String> = (0..30).map(|number| format!("{room} {number}")).collect();
            assert_eq!(own, expected.iter().collect::<Vec<_>>());
        }
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(receivers[0].received().len(), 90, "none comes twice");
}

#[tokio::test]
async fn a_receiver_that_is_down_gets_everything_in_order_when_it_is_back() {
    let folder = Folder::new("down");
    let receiver = Receiver::start("503 Service Unavailable").await;
    let store = folder.store().await;
    let webhooks = Webhooks::start(config(&[&receiver]), keys(), store.clone()).await.unwrap();
    for name in ["room_started", "participant_joined", "participant_left"] {
        webhooks.raise(&TenantId::default(), event("atelier", name));
    }
    let tries = receiver.until(3).await;
    assert!(
        names(&tries).iter().all(|name| name == "room_started"),
        "those behind it wait: {:?}",
        names(&tries)
    );
    let ids: BTreeSet<String> = tries.iter().map(|received| received.event().id).collect();
    assert_eq!(ids.len(), 1, "the id stays the same");
    receiver.status.send_replace("200 OK");
    until("all came", || names(&receiver.received()).contains(&"participant_left".to_owned())).await;
    let taken: Vec<String> =
        names(&receiver.received()).into_iter().skip_while(|name| name == "room_started").collect();
    assert_eq!(taken, ["participant_joined", "participant_left"]);
    let page = figures(&webhooks);
    assert!(page("parvis_webhooks_retried_total") >= 3.0);
    until("they are counted", || page("parvis_webhooks_delivered_total") == 3.0).await;
    for _ in 0..400 {
        if store.outbox_counts().await.unwrap() == (0, 0) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("something is left in the outbox");
}

fn figures(webhooks: &Webhooks) -> impl Fn(&str) -> f64 {
    let source = webhooks.figures();
    move |name: &str| source().iter().find(|sample| sample.name == name).unwrap().value
}

#[tokio::test]
async fn what_was_raised_before_a_restart_is_sent_after_it() {
    let folder = Folder::new("restart");
    // A port where nobody listens yet.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let config = WebhookConfig {
        urls: vec![format!("http://{free}/hook")],
        allow_internal: vec![free.to_string()],
        first_retry: Duration::from_millis(50),
        ..WebhookConfig::default()
    };
    let store = folder.store().await;
    let webhooks = Webhooks::start(config.clone(), keys(), store.clone()).await.unwrap();
    for name in ["room_started", "room_finished"] {
        webhooks.raise(&TenantId::default(), event("atelier", name));
    }
    assert!(webhooks.close(PATIENCE).await, "all is written before the end");
    store.close().await;
    webhooks.raise(&TenantId::default(), event("atelier", "too late"));

    let receiver = Receiver::at(free, "200 OK").await;
    let _again = Webhooks::start(config, keys(), folder.store().await).await.unwrap();
    assert_eq!(names(&receiver.until(2).await), ["room_started", "room_finished"]);
}

#[tokio::test]
async fn what_nobody_took_in_time_is_dead_until_it_is_resent_and_holds_nothing_up() {
    let folder = Folder::new("dead");
    let receiver = Receiver::start("500 Internal Server Error").await;
    let store = folder.store().await;
    let config = WebhookConfig { deadline: Duration::from_millis(300), ..config(&[&receiver]) };
    let webhooks = Webhooks::start(config, keys(), store.clone()).await.unwrap();
    webhooks.raise(&TenantId::default(), event("atelier", "room_started"));
    let counted = figures(&webhooks);
    until("it is dead", || counted("parvis_webhooks_dead_total") == 1.0).await;
    let dead = store.held_events(true, 10).await.unwrap();
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].problem, "it answers 500 Internal Server Error");
    assert!(dead[0].attempts >= 2, "{dead:?}");
    receiver.status.send_replace("200 OK");
    webhooks.raise(&TenantId::default(), event("atelier", "room_finished"));
    until("the next one comes", || names(&receiver.received()).contains(&"room_finished".to_owned())).await;
    let before = receiver.received().len();
    assert_eq!(store.resend_events(Some(&dead[0].id)).await.unwrap(), 1);
    let received = receiver.until(before + 1).await;
    assert_eq!(received.last().unwrap().event().id, dead[0].id);
    assert!(matches!(store.drop_events(Some("EV_none")).await, Err(StoreError::NotFound { .. })));
}

#[tokio::test]
async fn a_store_that_is_locked_holds_nobody_up_and_loses_nothing() {
    let folder = Folder::new("locked");
    let receiver = Receiver::start("200 OK").await;
    let webhooks = Webhooks::start(config(&[&receiver]), keys(), folder.store().await).await.unwrap();
    let file = format!("sqlite://{}", folder.0.join("parvis.db").display());
    let mut intruder = sqlx::SqliteConnection::connect(&file).await.unwrap();
    intruder.execute("BEGIN EXCLUSIVE").await.unwrap();
    let begun = Instant::now();
    for number in 0..100 {
        webhooks.raise(&TenantId::default(), event("atelier", &number.to_string()));
    }
    assert!(begun.elapsed() < Duration::from_millis(200), "raising waits for nothing: {:?}", begun.elapsed());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(receiver.received().is_empty(), "nothing is sent that was not written");
    intruder.execute("ROLLBACK").await.unwrap();
    let expected: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    assert_eq!(names(&receiver.until(100).await), expected);
}

#[tokio::test]
async fn a_queue_that_is_full_drops_and_counts() {
    let folder = Folder::new("full");
    let receiver = Receiver::start("200 OK").await;
    let config = WebhookConfig { queue: 3, ..config(&[&receiver]) };
    let webhooks = Webhooks::start(config, keys(), folder.store().await).await.unwrap();
    // Nothing runs between these: the test has one thread.
    for number in 0..10 {
        webhooks.raise(&TenantId::default(), event("atelier", &number.to_string()));
    }
    assert_eq!(figures(&webhooks)("parvis_webhooks_dropped_total"), 7.0);
    assert_eq!(names(&receiver.until(3).await), ["0", "1", "2"]);
}

#[tokio::test]
async fn row_49_nothing_inside_is_reached_without_permission() {
    let folder = Folder::new("inside");
    let receiver = Receiver::start("200 OK").await;
    let port = receiver.address.port();
    let names =
        ["127.0.0.1", "[::ffff:127.0.0.1]", "localhost", "0", "0x7f.1", "2130706433", "[64:ff9b::7f00:1]"];
    let config = WebhookConfig {
        urls: names.iter().map(|name| format!("http://{name}:{port}/")).collect(),
        deadline: Duration::ZERO,
        ..WebhookConfig::default()
    };
    let store = folder.store().await;
    let webhooks = Webhooks::start(config, keys(), store.clone()).await.unwrap();
    webhooks.raise(&TenantId::default(), event("atelier", "room_started"));
    let counted = figures(&webhooks);
    until("all are given up", || counted("parvis_webhooks_dead_total") == names.len() as f64).await;
    assert_eq!(receiver.connections.load(Ordering::Relaxed), 0, "nobody connected");
    let dead = store.held_events(true, 10).await.unwrap();
    let problem = &dead.iter().find(|event| event.target.contains("//127.0.0.1:")).unwrap().problem;
    let expected = format!(
        "127.0.0.1 is at 127.0.0.1:{port}, inside a network; if that is meant, add \"127.0.0.1:{port}\" to webhooks.allow_internal"
    );
    assert_eq!(*problem, expected);
}

#[tokio::test]
async fn row_49_a_redirect_is_not_followed() {
    let folder = Folder::new("redirect");
    let inside = Receiver::start("200 OK").await;
    let location: &'static str =
        Box::leak(format!("302 Found\r\nLocation: {}", inside.url()).into_boxed_str());
    let receiver = Receiver::start(location).await;
    let store = folder.store().await;
    let config = WebhookConfig { deadline: Duration::ZERO, ..config(&[&receiver]) };
    let webhooks = Webhooks::start(config, keys(), store.clone()).await.unwrap();
    webhooks.raise(&TenantId::default(), event("atelier", "room_started"));
    let counted = figures(&webhooks);
    until("it is given up", || counted("parvis_webhooks_dead_total") == 1.0).await;
    assert_eq!(receiver.received().len(), 1);
    assert_eq!(inside.connections.load(Ordering::Relaxed), 0);
    assert!(
        store.held_events(true, 1).await.unwrap()[0]
            .problem
            .contains("redirect (302 Found), which is not followed")
    );
}

/// A name whose addresses change with each look-up.
struct Rebinding {
    answers: Mutex<Vec<SocketAddr>>,
    lookups: Arc<AtomicUsize>,
}

impl Resolve for Rebinding {
    fn resolve<'a>(
        &'a self,
        _: &'a str,
        _: u16,
    ) -> std::pin::Pin<Box<dyn Future<Output = std::io::Result<Vec<SocketAddr>>> + Send + 'a>> {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        let answer = self.answers.lock().unwrap().pop();
        Box::pin(async move { Ok(answer.into_iter().collect()) })
    }
}

#[tokio::test]
async fn row_49_a_name_that_turns_inward_between_two_requests_reaches_nothing() {
    let folder = Folder::new("rebinding");
    let receiver = Receiver::start("200 OK").await;
    // Same port, another address inside: what the name turns to.
    let secret = Receiver::at(SocketAddr::from(([127, 0, 0, 2], receiver.address.port())), "200 OK").await;
    let lookups = Arc::<AtomicUsize>::default();
    let answers = Mutex::new(vec![secret.address, receiver.address]);
    let resolver = Box::new(Rebinding { answers, lookups: Arc::clone(&lookups) });
    let allowed = InternalPlaces::parse(&[receiver.address.to_string()]).unwrap();
    let client = Client::with(resolver, allowed, Duration::from_secs(2), RootCertStore::empty()).unwrap();
    let config = WebhookConfig {
        urls: vec![format!("http://rebind.example:{}/", receiver.address.port())],
        deadline: Duration::ZERO,
        ..WebhookConfig::default()
    };
    let webhooks =
        Webhooks::start_with(WebhookRules::with(client, config, keys()).unwrap(), folder.store().await)
            .await
            .unwrap();
    webhooks.raise(&TenantId::default(), event("atelier", "room_started"));
    assert_eq!(names(&receiver.until(1).await), ["room_started"]);
    webhooks.raise(&TenantId::default(), event("atelier", "room_finished"));
    let counted = figures(&webhooks);
    until("it is given up", || counted("parvis_webhooks_dead_total") == 1.0).await;
    assert_eq!(secret.connections.load(Ordering::Relaxed), 0, "nobody connected");
    assert_eq!(
        lookups.load(Ordering::Relaxed),
        2,
        "one look-up for each connection: what was checked is what is reached"
    );
}

/// The same receiver behind TLS, with a certificate of its own for `receiver.example`.
async fn over_tls(receiver: &Receiver) -> (SocketAddr, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["receiver.example".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let receiver = receiver.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(stream).await {
                receiver.clone().serve(stream).await;
            }
        }
    });
    (address, certificate)
}

#[tokio::test]
async fn over_tls_only_a_target_with_a_certificate_that_holds_gets_events() {
    let folder = Folder::new("tls");
    let receiver = Receiver::start("200 OK").await;
    let (address, certificate) = over_tls(&receiver).await;
    let store = folder.store().await;
    // Trusted by its own name, by another name, and not at all.
    let mut trusted = RootCertStore::empty();
    trusted.add(certificate).unwrap();
    let mut dead = 0;
    for (host, roots, taken) in [
        ("receiver.example", RootCertStore::empty(), false),
        ("another.example", trusted.clone(), false),
        ("receiver.example", trusted, true),
    ] {
        let lookups = Arc::default();
        let resolver = Box::new(Rebinding { answers: Mutex::new(vec![address]), lookups });
        let allowed = InternalPlaces::parse(&[address.to_string()]).unwrap();
        let client = Client::with(resolver, allowed, Duration::from_secs(2), roots).unwrap();
        let url = format!("https://{host}:{}/", address.port());
        let config = WebhookConfig { urls: vec![url], deadline: Duration::ZERO, ..WebhookConfig::default() };
        let webhooks =
            Webhooks::start_with(WebhookRules::with(client, config, keys()).unwrap(), store.clone())
                .await
                .unwrap();
        webhooks.raise(&TenantId::default(), event("atelier", host));
        if taken {
            assert_eq!(names(&receiver.until(1).await), [host]);
            continue;
        }
        let counted = figures(&webhooks);
        until("it is given up", || counted("parvis_webhooks_dead_total") == 1.0).await;
        dead += 1;
        let given_up = store.held_events(true, 10).await.unwrap();
        assert_eq!(given_up.len(), dead);
        let problem = &given_up[dead - 1].problem;
        assert!(problem.starts_with(&format!("no TLS with {host}: invalid peer certificate")), "{problem}");
        assert!(receiver.received().is_empty());
        webhooks.close(PATIENCE).await;
    }
}

#[tokio::test]
async fn a_target_that_is_gone_from_the_configuration_gets_nothing_more() {
    let folder = Folder::new("gone");
    let receiver = Receiver::start("500 Internal Server Error").await;
    let store = folder.store().await;
    let webhooks = Webhooks::start(config(&[&receiver]), keys(), store.clone()).await.unwrap();
    webhooks.raise(&TenantId::default(), event("atelier", "room_started"));
    receiver.until(1).await;
    webhooks.close(PATIENCE).await;
    let other = Receiver::start("200 OK").await;
    let _webhooks = Webhooks::start(config(&[&other]), keys(), store.clone()).await.unwrap();
    let dead = store.held_events(true, 10).await.unwrap();
    assert_eq!((dead.len(), dead[0].problem.as_str()), (1, "the target is no longer in webhooks.urls"));
}

#[tokio::test]
async fn targets_keys_and_times_change_while_it_runs_and_nothing_goes_to_a_target_that_is_gone() {
    let folder = Folder::new("anew");
    let store = folder.store().await;
    let webhooks = Webhooks::start(WebhookConfig::default(), keys(), store.clone()).await.unwrap();
    webhooks.raise(&TenantId::default(), event("atelier", "told to nobody"));
    let first = Receiver::start("500 Internal Server Error").await;
    webhooks.reload(WebhookRules::new(config(&[&first]), keys()).unwrap());
    webhooks.raise(&TenantId::default(), event("atelier", "room_started"));
    first.until(1).await;

    let other_key = ("next", "next-next-next-next-next-next-next");
    let other_keys =
        Keys::new(vec![(other_key.0.into(), other_key.1.into())], Duration::from_secs(60), false);
    let second = Receiver::start("200 OK").await;
    webhooks.reload(WebhookRules::new(config(&[&second]), other_keys.unwrap()).unwrap());
    webhooks.raise(&TenantId::default(), event("atelier", "room_finished"));
    let received = second.until(1).await.remove(0);
    assert_eq!(received.event().event, "room_finished");
    let verifier = TokenVerifier::with_api_key(other_key.0, other_key.1);
    assert!(verifier.verify(received.header("authorization")).is_ok(), "the new key signs");
    let end = Instant::now() + PATIENCE;
    let dead = loop {
        let dead = store.held_events(true, 10).await.unwrap();
        if !dead.is_empty() || Instant::now() > end {
            break dead;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!((dead.len(), dead[0].event.as_str()), (1, "room_started"));
    let tries = first.received().len();

    // It is named again: what comes from now on goes to both.
    first.status.send_replace("200 OK");
    webhooks.reload(WebhookRules::new(config(&[&first, &second]), keys()).unwrap());
    webhooks.raise(&TenantId::default(), event("atelier", "room_started again"));
    assert_eq!(names(&second.until(2).await)[1], "room_started again");
    assert_eq!(names(&first.until(tries + 1).await)[tries..], ["room_started again"]);
    assert!(names(&first.received()).iter().all(|name| name != "room_finished" && name != "told to nobody"));
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused_with_a_remedy() {
    let check = |config: WebhookConfig| {
        let error = config.check(&keys()).unwrap_err();
        format!("{}: {error}", error.key())
    };
    let urls = vec!["file:///etc/passwd".to_owned()];
    assert!(
        check(WebhookConfig { urls, ..Default::default() })
            .starts_with("webhooks.urls: \"file:///etc/passwd\" ")
    );
    let allow_internal = vec!["backend".to_owned()];
    assert!(
        check(WebhookConfig { allow_internal, ..Default::default() })
            .starts_with("webhooks.allow_internal: \"backend\" ")
    );
    let urls = vec!["https://example.org/".to_owned()];
    let config = WebhookConfig { urls, api_key: Some("other".to_owned()), ..Default::default() };
    assert!(check(config).starts_with("webhooks.api_key: there is no API key \"other\""));
}

fn two_tenants() -> Keys {
    let table = [KEY, ("other", "fedcba9876543210fedcba9876543210")];
    let table = table.map(|(name, secret)| (name.to_owned(), secret.to_owned())).to_vec();
    Keys::new(table, Duration::from_secs(3_600), false).unwrap().assign("other", &TenantId::new("other"))
}

fn hook(receiver: &Receiver) -> Hook {
    Hook { url: receiver.url(), ..Hook::default() }
}

#[tokio::test]
async fn whom_a_request_named_is_told_too_and_after_a_restart_as_well() {
    let folder = Folder::new("named");
    let (configured, named) = (Receiver::start("200 OK").await, Receiver::start("503 Busy").await);
    let config = WebhookConfig { urls: vec![configured.url()], ..config(&[&configured, &named]) };
    let store = folder.store().await;
    let webhooks = Webhooks::start(config.clone(), two_tenants(), store.clone()).await.unwrap();
    let lists = proto::FilterParams { exclude_events: vec!["egress_updated".into()], ..Default::default() };
    let hooks = [hook(&named), Hook { filter_params: Some(lists), ..hook(&named) }];
    for name in ["egress_started", "egress_updated"] {
        webhooks.raise_to(&TenantId::default(), event("atelier", name), &hooks[1..]);
    }
    webhooks.raise_to(&TenantId::default(), event("atelier", "egress_ended"), &hooks);
    assert_eq!(names(&configured.until(3).await), ["egress_started", "egress_updated", "egress_ended"]);
    named.until(1).await;
    assert!(webhooks.close(PATIENCE).await);
    store.close().await;

    named.status.send_replace("200 OK");
    let before = named.received().len();
    let _again = Webhooks::start(config, two_tenants(), folder.store().await).await.unwrap();
    let received = named.until(before + 2).await;
    assert_eq!(
        names(&received[before..]),
        ["egress_started", "egress_ended"],
        "each once, in order, by its filter"
    );
    let signature = received[before].header("authorization");
    TokenVerifier::with_api_key(KEY.0, KEY.1).verify(signature).unwrap();
}

#[tokio::test]
async fn row_49_what_other_organisations_name_is_never_inside() {
    let folder = Folder::new("foreign");
    let receiver = Receiver::start("200 OK").await;
    let config = WebhookConfig { urls: Vec::new(), ..config(&[&receiver]) };
    let store = folder.store().await;
    let webhooks = Webhooks::start(config, two_tenants(), store.clone()).await.unwrap();
    let other = TenantId::new("other");
    webhooks.raise_to(&other, event("atelier", "egress_started"), &[hook(&receiver)]);
    let end = Instant::now() + PATIENCE;
    let held = loop {
        let held = store.held_events(false, 10).await.unwrap();
        if held.iter().any(|event| event.attempts > 0) {
            break held;
        }
        assert!(Instant::now() < end, "it was never tried");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(
        held[0].problem.contains("inside a network, where only targets of this server's own keys"),
        "{held:?}"
    );
    assert_eq!(held[0].target, format!("{} other", receiver.url()));
    assert_eq!(receiver.connections.load(Ordering::Relaxed), 0);
    // The same place is the own organisation's to name.
    webhooks.raise_to(&TenantId::default(), event("atelier", "egress_started"), &[hook(&receiver)]);
    receiver.until(1).await;
    // A key of others signs for nobody else.
    let foreign = Hook { signing_key: "other".into(), ..hook(&receiver) };
    assert!(
        webhooks
            .check_request(&TenantId::default(), std::slice::from_ref(&foreign))
            .unwrap_err()
            .contains("no API key")
    );
    webhooks.check_request(&other, &[foreign]).unwrap();
}

#[tokio::test]
async fn targets_are_told_of_the_events_that_the_configuration_lets_through() {
    let folder = Folder::new("filter");
    let receiver = Receiver::start("200 OK").await;
    let include_events = vec!["room_finished".to_owned(), "room_started".to_owned()];
    let config = WebhookConfig { include_events, ..config(&[&receiver]) };
    let wrong = WebhookConfig { exclude_events: vec!["room_begun".to_owned()], ..config.clone() };
    let error = wrong.check(&keys()).unwrap_err();
    assert_eq!(error.key(), "webhooks.exclude_events");
    assert!(
        error.to_string().starts_with("there is no event \"room_begun\"; use some of room_started, "),
        "{error}"
    );
    let webhooks = Webhooks::start(config, keys(), folder.store().await).await.unwrap();
    for name in ["room_started", "participant_joined", "participant_left", "room_finished"] {
        webhooks.raise(&TenantId::default(), event("atelier", name));
    }
    assert_eq!(names(&receiver.until(2).await), ["room_started", "room_finished"]);
}
