// SPDX-License-Identifier: EUPL-1.2
//! What goes wrong with databases, and that the error says which.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use common::Home;
use livekit_protocol as proto;
use parvis_store::{RoomSettings, SipTrunk, Store, StoreConfig, StoreError, StoredKey, TenantId};
use sqlx::{Connection, Executor, Row};

fn room(name: &str) -> RoomSettings {
    RoomSettings { name: name.to_owned(), ..Default::default() }
}

async fn intruder(home: &Home) -> sqlx::SqliteConnection {
    sqlx::SqliteConnection::connect(&format!("sqlite://{}", home.file().display())).await.unwrap()
}

#[tokio::test]
async fn row_65_a_locked_database_says_so_shortly_and_recovers_alone() {
    let home = Home::sqlite();
    let timeout = Duration::from_millis(600);
    let store = Store::open(StoreConfig { timeout, ..home.config() }).await.unwrap();
    let tenant = TenantId::default();
    store.create_room(&tenant, &room("atelier")).await.unwrap();
    let mut intruder = intruder(&home).await;
    intruder.execute("BEGIN EXCLUSIVE").await.unwrap();
    // Twenty at one time wait together, not one after the other.
    let begun = Instant::now();
    let tasks: Vec<_> = (0..20)
        .map(|number: i32| {
            let (store, tenant) = (store.clone(), tenant.clone());
            tokio::spawn(async move { store.create_room(&tenant, &room(&number.to_string())).await })
        })
        .collect();
    for task in tasks {
        let error = task.await.unwrap().unwrap_err();
        assert!(error.is_transient(), "{error:?}");
    }
    assert!(begun.elapsed() < timeout * 3, "{:?}", begun.elapsed());
    assert_eq!(store.room(&tenant, "atelier").await.unwrap(), Some(room("atelier")), "reading goes on");
    let stats = store.stats();
    assert_eq!(stats.busy + stats.unavailable, 20);
    assert!(stats.busy >= 1, "at least the first says why: {stats:?}");
    intruder.execute("ROLLBACK").await.unwrap();
    store.create_room(&tenant, &room("afterwards")).await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_no_database_is_said_to_be_corrupt() {
    let home = Home::sqlite();
    std::fs::write(
        home.file(),
        "this is no database at all, whatever it is, and long enough to be one".repeat(100),
    )
    .unwrap();
    let error = Store::open(home.config()).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
    assert!(error.to_string().contains("parvis restore"), "{error}");
    assert_eq!(Store::probe(home.config()).await.unwrap_err(), error);
}

#[tokio::test]
async fn a_record_that_can_t_be_read_spoils_no_other() {
    let home = Home::sqlite();
    let store = home.open().await;
    let tenant = TenantId::default();
    for name in ["a", "b"] {
        store.create_room(&tenant, &room(name)).await.unwrap();
    }
    intruder(&home).await.execute("UPDATE rooms SET record = 'gcm1:AAAA' WHERE id = 'a'").await.unwrap();
    let error = store.room(&tenant, "a").await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Corrupt(text) if text.starts_with("rooms/default/a: ")),
        "{error:?}"
    );
    assert_eq!(store.room(&tenant, "b").await.unwrap(), Some(room("b")));
}

#[tokio::test]
async fn a_newer_database_and_one_with_another_past_are_left_alone() {
    let home = Home::sqlite();
    home.open().await.close().await;
    let mut intruder = intruder(&home).await;
    intruder.execute("INSERT INTO schema_versions VALUES (5, 'x', 0)").await.unwrap();
    let newer = StoreError::Newer { found: 5, known: 4 };
    assert_eq!(Store::open(home.config()).await.unwrap_err(), newer);
    assert_eq!(Store::probe(home.config()).await.unwrap_err(), newer);
    intruder.execute("DELETE FROM schema_versions WHERE version = 5").await.unwrap();
    intruder.execute("UPDATE schema_versions SET hash = 'x'").await.unwrap();
    assert!(matches!(Store::open(home.config()).await.unwrap_err(), StoreError::Corrupt(_)));
}

#[tokio::test]
async fn a_database_of_an_older_server_is_brought_up_to_date_and_keeps_what_it_holds() {
    let home = Home::sqlite();
    let (store, tenant) = (home.open().await, TenantId::default());
    store.create_room(&tenant, &room("a")).await.unwrap();
    store.close().await;
    let mut intruder = intruder(&home).await;
    for drop in [
        "DROP TABLE meetings",
        "DROP TABLE erasures",
        "DROP TABLE audit_entries",
        "DROP TABLE audit_people",
        "DROP TABLE audit_checkpoints",
        "DROP TABLE audit_state",
    ] {
        intruder.execute(drop).await.unwrap();
    }
    intruder.execute("DELETE FROM schema_versions WHERE version >= 2").await.unwrap();
    Store::probe(home.config()).await.unwrap();
    let store = home.open().await;
    assert_eq!(store.room(&tenant, "a").await.unwrap(), Some(room("a")));
    assert!(store.erasures().await.unwrap().is_empty());
    assert!(store.meetings().await.unwrap().is_empty());
    assert_eq!(store.audit_state().await.unwrap().size(), 0);
}

#[tokio::test]
async fn looking_makes_nothing() {
    let home = Home::sqlite();
    Store::probe(home.config()).await.unwrap();
    assert!(!home.file().exists());
    home.open().await.close().await;
    Store::probe(home.config()).await.unwrap();
}

#[tokio::test]
async fn an_address_that_makes_no_sense_is_refused_in_words() {
    let home = Home::sqlite();
    let open = async |url: &str| Store::open(StoreConfig::new(url, &home.folder)).await.unwrap_err();
    let error = open("mysql://root@localhost/parvis").await.to_string();
    assert!(error.starts_with("database.url: \"mysql\" is no database that is known here; use "), "{error}");
    assert!(matches!(open("postgres://localhost:port/x").await, StoreError::Url(_)));
    let error = open("sqlite:/nonexistent/folder/parvis.db").await.to_string();
    assert!(error.starts_with("/nonexistent/folder/parvis.db: "), "{error}");
    let begun = Instant::now();
    let error = open("postgres://postgres@localhost/x?host=/nonexistent").await;
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(10));
}

/// Everything that is in the files of a database.
fn bytes_on_disk(home: &Home) -> Vec<u8> {
    let files = std::fs::read_dir(&home.folder).unwrap().flatten().map(|entry| entry.path());
    files
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("parvis.db")))
        .flat_map(|path| std::fs::read(path).unwrap())
        .collect()
}

#[tokio::test]
async fn secrets_are_not_readable_on_the_disk() {
    let home = Home::sqlite();
    let store = home.open().await;
    let tenant = TenantId::default();
    let key =
        StoredKey { tenant: tenant.clone(), name: "main".to_owned(), secret: "SECRET-OF-A-KEY".to_owned() };
    store.create_key(&key).await.unwrap();
    let ingress = proto::IngressInfo {
        ingress_id: "IN_visible".to_owned(),
        stream_key: "SECRET-STREAM-KEY".to_owned(),
        ..Default::default()
    };
    store.create_ingress(&tenant, &ingress).await.unwrap();
    let trunk = proto::SipInboundTrunkInfo {
        sip_trunk_id: "ST_1".to_owned(),
        auth_password: "SECRET-PASSWORD".to_owned(),
        ..Default::default()
    };
    store.create_sip_trunk(&tenant, &SipTrunk::Inbound(trunk)).await.unwrap();
    let egress = proto::EgressInfo {
        egress_id: "EG_1".to_owned(),
        details: "SECRET-CREDENTIAL".to_owned(),
        ..Default::default()
    };
    store.create_egress(&tenant, &egress).await.unwrap();
    let disk = bytes_on_disk(&home);
    let holds = |text: &str| disk.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("IN_visible"), "what is written is on the disk");
    assert!(!holds("SECRET"), "a secret is readable on the disk");
    for file in ["parvis.db", "parvis.db-wal", "store.key"] {
        let mode = std::fs::metadata(home.folder.join(file)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{file} has mode {mode:o}");
    }
    // Without its key, nothing opens; and a key that is none is an error with its name.
    store.close().await;
    std::fs::remove_file(home.folder.join("store.key")).unwrap();
    let error = home.open().await.keys().await.unwrap_err();
    assert!(error.to_string().contains("another store.key"), "{error}");
    std::fs::write(home.folder.join("store.key"), "short").unwrap();
    assert!(Store::open(home.config()).await.unwrap_err().to_string().contains("store.key: is no key of 64"));
}

#[tokio::test]
async fn sqlite_runs_with_a_log_that_readers_and_a_crash_survive() {
    let home = Home::sqlite();
    let store = home.open().await;
    let mut other = intruder(&home).await;
    let mode: String = other.fetch_one("PRAGMA journal_mode").await.unwrap().get(0);
    assert_eq!(mode, "wal");
    store.create_room(&TenantId::default(), &room("atelier")).await.unwrap();
    // A reader in another process sees what was written, and holds nobody up.
    other.execute("BEGIN").await.unwrap();
    let count: i64 = other.fetch_one("SELECT count(*) FROM rooms").await.unwrap().get(0);
    assert_eq!(count, 1);
    store.create_room(&TenantId::default(), &room("studio")).await.unwrap();
    // Foreign keys hold for those who are within.
    let orphan = "INSERT INTO sip_rule_entries VALUES ('default', 'a', 'b', 'c', 'nobody')";
    other.execute("ROLLBACK").await.unwrap();
    assert!(other.execute(orphan).await.is_err());
}
