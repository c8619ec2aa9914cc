// SPDX-License-Identifier: EUPL-1.2
//! The log of a server that runs, with a database and second places of the test's own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parvis_audit::{Act, Checkpoint, Entry, Event, Sink, Who, notes_in, open_note};
use parvis_store::{Store, StoreConfig, StoreLimits, TenantId};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig};
use sqlx::Connection as _;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, UdpSocket};
use tokio_rustls::TlsAcceptor;

use super::{Audit, AuditSettings, Log, SyslogTarget, export, key};

pub(super) struct Home(pub(super) PathBuf);

impl Home {
    pub(super) fn new() -> Home {
        let path = std::env::temp_dir().join(format!("parvis-audit-{:016x}", rand::random::<u64>()));
        std::fs::create_dir(&path).unwrap();
        Home(path)
    }

    pub(super) async fn store(&self, limits: StoreLimits) -> Store {
        let timeout = Duration::from_secs(2);
        Store::open(StoreConfig { limits, timeout, ..StoreConfig::new("", &self.0) }).await.unwrap()
    }

    pub(super) fn settings(&self) -> AuditSettings {
        AuditSettings {
            name: "meet.example.eu/audit".to_owned(),
            key_file: self.0.join("audit.key"),
            refuse: false,
            queue: 100,
            keep: Duration::from_secs(180 * 86_400),
            interval: Duration::from_secs(1),
            checkpoint_file: self.0.join("audit.checkpoints"),
            syslog: None,
            storage: false,
            stamps: None,
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn call(number: usize) -> Event {
    Event::new("default", Act::Call, Who::Key("main".to_owned())).on("call", &number.to_string())
}

async fn entries(store: &Store, tenant: &str) -> Vec<Entry> {
    let size = store.audit_state().await.unwrap().size();
    let mut entries = Vec::new();
    let keep = |entry: &Entry, _: &str, _: &[parvis_audit::Hash]| {
        entries.push(entry.clone());
        Ok(())
    };
    store.audit_export(&TenantId::new(tenant), size, keep).await.unwrap();
    entries
}

/// The checkpoints in a file, as far as this key signed them.
fn kept(path: &Path, key_file: &Path) -> Vec<Checkpoint> {
    let keys = [key::verifier(&key_file.to_string_lossy()).unwrap()];
    let text = std::fs::read_to_string(path).unwrap();
    let read = |(_, note): (usize, String)| Checkpoint::parse(&open_note(&note, &keys).unwrap()).unwrap();
    notes_in(&text).into_iter().map(read).collect()
}

#[tokio::test]
async fn a_server_s_log_is_written_signed_and_closed() {
    let home = Home::new();
    let store = home.store(StoreLimits::default()).await;
    let (settings, file) = (home.settings(), home.0.join("audit.checkpoints"));
    let key_file = settings.key_file.clone();
    let audit = Audit::start(settings.clone(), &store, None).unwrap();
    let sink = audit.sink();
    (0..20).for_each(|number| sink.record(call(number)));
    audit.close(Duration::from_secs(5)).await;
    let calls = entries(&store, "default").await;
    assert_eq!(calls.len(), 20);
    assert!(calls.iter().enumerate().all(|(at, entry)| entry.on == format!("call:{at}") && entry.time > 0));
    let own: Vec<String> = entries(&store, "").await.into_iter().map(|entry| entry.act).collect();
    assert_eq!(own, ["server.start", "server.stop"]);
    let last = kept(&file, &key_file).pop().unwrap();
    let state = store.audit_state().await.unwrap();
    assert_eq!((last.size, last.root), (22, state.frontier.root()));
    assert_eq!(last.origin, "meet.example.eu/audit");
    // The next start goes on with the same key, and another name wants another.
    Audit::start(settings.clone(), &store, None).unwrap().close(Duration::from_secs(5)).await;
    assert_eq!(kept(&file, &key_file).pop().unwrap().size, 24);
    let renamed = AuditSettings { name: "other.example.eu/audit".to_owned(), ..settings };
    let refused = Audit::start(renamed, &store, None).err().unwrap().to_string();
    assert!(refused.contains("is the key of \"meet.example.eu/audit\""), "{refused}");
}

#[tokio::test]
async fn nobody_waits_for_the_log_and_what_is_lost_is_said_in_it() {
    let home = Home::new();
    let store = home.store(StoreLimits::default()).await;
    let mut intruder =
        sqlx::SqliteConnection::connect(&format!("sqlite://{}/parvis.db", home.0.display())).await.unwrap();
    sqlx::Executor::execute(&mut intruder, "BEGIN EXCLUSIVE").await.unwrap();
    let (patient, strict) = (Log::start(store.clone(), 10, false), Log::start(store.clone(), 10, true));
    let begun = std::time::Instant::now();
    (0..1_000).for_each(|number| patient.record(call(number)));
    (0..1_000).for_each(|number| strict.record(call(number)));
    assert!(begun.elapsed() < Duration::from_millis(200), "recording waits: {:?}", begun.elapsed());
    assert!(patient.may_act(), "calls go on without a log");
    assert!(!strict.may_act(), "what can't be in the log is not done");
    sqlx::Executor::execute(&mut intruder, "ROLLBACK").await.unwrap();
    tokio::time::timeout(Duration::from_secs(20), async {
        patient.flush().await;
        strict.flush().await;
        while !strict.may_act() || entries(&store, "").await.len() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    let lost: u64 = entries(&store, "").await.iter().map(|entry| entry.count.unwrap()).sum();
    let written = entries(&store, "default").await.len() as u64;
    assert_eq!(lost + written, 2_000, "each is there, or counted as lost");
    assert!(lost > 1_000 && written >= 20, "{lost} lost, {written} written");
}

#[tokio::test]
async fn a_full_log_refuses_or_not_as_it_is_told() {
    let home = Home::new();
    let limits = StoreLimits { audit_bytes: 2_000, ..StoreLimits::default() };
    let store = home.store(limits).await;
    let log = Log::start(store.clone(), 100, true);
    for number in 0..20 {
        log.record(call(number));
        log.flush().await;
    }
    assert!(!log.may_act());
    let before = entries(&store, "default").await.len();
    assert!((1..20).contains(&before), "{before}");
    // As soon as it has a place again, it says what is not in it.
    store.set_limits(StoreLimits::default());
    tokio::time::timeout(Duration::from_secs(10), async {
        while !log.may_act() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    let said = entries(&store, "").await.pop().unwrap();
    assert_eq!((said.act.as_str(), said.count), ("log.lost", Some(20 - before as u64)));
}

#[tokio::test]
async fn strangers_do_not_fill_the_log_with_refusals() {
    let home = Home::new();
    let store = home.store(StoreLimits::default()).await;
    let log = Log::start(store.clone(), 100_000, false);
    for _ in 0..5_000 {
        log.record(Event::new("", Act::SignIn, Who::Nobody).refused("unauthorized"));
    }
    log.flush().await;
    assert_eq!(entries(&store, "").await.len(), 100);
    assert_eq!(log.counts().take_refusals().unwrap().count, Some(4_900));
    assert_eq!(log.counts().take_refusals(), None);
}

#[tokio::test]
async fn checkpoints_reach_system_logs_by_udp_tcp_and_tls() {
    let note = "meet.example.eu/audit\n1\nAAAA\n\n\u{2014} meet.example.eu/audit AAAA\n";
    let read = |message: &str| notes_in(message).pop().map(|(_, note)| note);

    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let target = SyslogTarget::parse(&format!("udp://{}", udp.local_addr().unwrap())).unwrap();
    target.send(note).await.unwrap();
    let mut message = [0; 2_000];
    let length = udp.recv(&mut message).await.unwrap();
    let message = String::from_utf8(message[..length].to_vec()).unwrap();
    assert!(message.starts_with("<109>1 "), "{message}");
    assert_eq!(read(&message).as_deref(), Some(note));

    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = SyslogTarget::parse(&format!("tcp://{}", tcp.local_addr().unwrap())).unwrap();
    let sending = tokio::spawn(async move { target.send(note).await });
    let (mut stream, _) = tcp.accept().await.unwrap();
    let mut framed = String::new();
    stream.read_to_string(&mut framed).await.unwrap();
    sending.await.unwrap().unwrap();
    let (length, message) = framed.split_once(' ').unwrap();
    assert_eq!(length.parse::<usize>().unwrap(), message.len(), "octets are counted (RFC 6587)");
    assert_eq!(read(message).as_deref(), Some(note));

    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let chain = vec![CertificateDer::from(made.cert.der().to_vec())];
    let private = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let server = builder.with_no_client_auth().with_single_cert(chain.clone(), private).unwrap();
    let tls = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target =
        SyslogTarget::parse(&format!("tls://localhost:{}", tls.local_addr().unwrap().port())).unwrap();
    let accepting = tokio::spawn(async move {
        let acceptor = TlsAcceptor::from(Arc::new(server));
        let mut texts = Vec::new();
        for _ in 0..2 {
            let (stream, _) = tls.accept().await.unwrap();
            let mut text = String::new();
            if let Ok(mut stream) = acceptor.accept(stream).await {
                stream.read_to_string(&mut text).await.unwrap();
            }
            texts.push(text);
        }
        texts
    });
    let mut roots = RootCertStore::empty();
    target.send_trusting(note, roots.clone()).await.unwrap_err();
    roots.add(chain[0].clone()).unwrap();
    target.send_trusting(note, roots).await.unwrap();
    let texts = accepting.await.unwrap();
    assert_eq!(texts[0], "", "nothing is said to a server that nobody vouches for");
    assert_eq!(read(&texts[1]).as_deref(), Some(note));
}

#[tokio::test]
async fn a_place_that_is_away_gets_the_checkpoint_later() {
    let home = Home::new();
    let store = home.store(StoreLimits::default()).await;
    let settings = AuditSettings { checkpoint_file: home.0.join("elsewhere/checkpoints"), ..home.settings() };
    let audit = Audit::start(settings.clone(), &store, None).unwrap();
    let failures = || {
        let figures = audit.figures()();
        figures.into_iter().find(|sample| sample.name == "parvis_audit_place_failures_total").unwrap().value
    };
    tokio::time::timeout(Duration::from_secs(10), async {
        while failures() == 0.0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    std::fs::create_dir(home.0.join("elsewhere")).unwrap();
    audit.close(Duration::from_secs(5)).await;
    assert_eq!(kept(&settings.checkpoint_file, &settings.key_file).pop().unwrap().size, 2);
}

#[tokio::test]
async fn a_log_that_was_changed_is_found_broken_by_the_server_itself() {
    let home = Home::new();
    let store = home.store(StoreLimits::default()).await;
    store.audit_append(&[call(0), call(1)]).await.unwrap();
    let audit = Audit::start(home.settings(), &store, None).unwrap();
    let broken = |audit: &Audit| {
        let figures = audit.figures()();
        figures.into_iter().find(|sample| sample.name == "parvis_audit_broken").unwrap().value
    };
    audit.keeper.check().await;
    assert_eq!(broken(&audit), 0.0);
    let mut intruder =
        sqlx::SqliteConnection::connect(&format!("sqlite://{}/parvis.db", home.0.display())).await.unwrap();
    let change = "UPDATE audit_entries SET entry = replace(entry, 'main', 'mine') WHERE seq = 1";
    sqlx::Executor::execute(&mut intruder, change).await.unwrap();
    audit.keeper.check().await;
    assert_eq!(broken(&audit), 1.0);
    audit.close(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_clock_that_is_set_back_leaves_the_log_in_its_order() {
    let home = Home::new();
    let store = home.store(StoreLimits::default()).await;
    let audit = Audit::start(home.settings(), &store, None).unwrap();
    let (sink, now) = (audit.sink(), super::now_ms());
    for (number, time_ms) in [now, now - 3_600_000, now - 3_599_000].into_iter().enumerate() {
        sink.record(Event { time_ms, ..call(number) });
        audit.keeper.log().flush().await;
        audit.keeper.checkpoint().await;
    }
    audit.close(Duration::from_secs(5)).await;
    let calls: Vec<(String, i64)> =
        entries(&store, "default").await.into_iter().map(|entry| (entry.on, entry.time)).collect();
    let expected = [("call:0", now), ("call:1", now - 3_600_000), ("call:2", now - 3_599_000)];
    assert_eq!(calls, expected.map(|(on, time)| (on.to_owned(), time)));
    let sizes: Vec<u64> = kept(&home.0.join("audit.checkpoints"), &home.0.join("audit.key"))
        .iter()
        .map(|one| one.size)
        .collect();
    assert!(sizes.len() >= 4 && sizes.is_sorted() && sizes.last() == Some(&5), "{sizes:?}");
    let keys = [key::verifier(&home.0.join("audit.key").to_string_lossy()).unwrap()];
    let checked = store.audit_check(&keys, Vec::new()).await.unwrap();
    assert_eq!((checked.first, checked.size, checked.unsigned), (0, 5, 0));
}

#[tokio::test]
async fn an_export_is_checked_by_who_has_the_key_and_nothing_else() {
    let home = Home::new();
    let store = home.store(StoreLimits::default()).await;
    let signer = key::load(&home.0.join("audit.key"), "meet.example.eu/audit").unwrap();
    let events = [
        call(0),
        Event::new("other", Act::Call, Who::Key("theirs".to_owned())),
        Event::new("default", Act::Ban, Who::Person { identity: "ada".into(), name: "Ada".into() })
            .about("bo"),
    ];
    store.audit_append(&events).await.unwrap();
    let root = store.audit_state().await.unwrap().frontier.root();
    let checkpoint = Checkpoint { origin: "meet.example.eu/audit".into(), size: 3, root, time_ms: 7 };
    let note = signer.sign(&checkpoint.text()).unwrap();
    let keys = [signer.verifier().clone()];
    let mut plain = Vec::new();
    let tenant = TenantId::default();
    assert_eq!(export::write(&store, &tenant, (3, &note), false, &mut plain).await.unwrap(), 2);
    assert_eq!(export::check(plain.as_slice(), &keys).unwrap(), (checkpoint.clone(), 2));
    let text = String::from_utf8(plain).unwrap();
    assert!(!text.contains("Ada") && !text.contains("theirs"), "{text}");
    let mut named = Vec::new();
    export::write(&store, &tenant, (3, &note), true, &mut named).await.unwrap();
    assert_eq!(export::check(named.as_slice(), &keys).unwrap(), (checkpoint, 2));
    assert!(String::from_utf8(named).unwrap().contains("\"name\":\"Ada\""));
    // What was changed, left out or cut off is refused in words.
    let stranger = key::load(&home.0.join("other.key"), "meet.example.eu/audit").unwrap();
    assert!(export::check(text.as_bytes(), &[stranger.verifier().clone()]).is_err());
    let lines: Vec<&str> = text.lines().collect();
    for (broken, expected) in [
        (text.replace("call:0", "call:9"), "entry 0: it is not the one that was signed"),
        (
            text.replace("\"tenant\":\"default\",\"checkpoint", "\"tenant\":\"other\",\"checkpoint"),
            "entry 0: it belongs to another",
        ),
        (
            format!("{}\n", [lines[0], lines[1], lines[3]].join("\n")),
            "it has 1 entries and says that there are 2",
        ),
        (format!("{}\n", [lines[0], lines[1], lines[1], lines[3]].join("\n")), "entry 0: it is there twice"),
        (format!("{}\n", [lines[0], lines[1]].join("\n")), "its end is missing"),
        (text[..text.len() - 1].to_owned(), "has no end"),
        (String::new(), "does not begin"),
    ] {
        let problem = export::check(broken.as_bytes(), &keys).unwrap_err().to_string();
        assert!(problem.contains(expected), "{problem}: not {expected}");
    }
}
