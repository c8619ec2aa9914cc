// SPDX-License-Identifier: EUPL-1.2
//! Backups: whole, checked, and from either engine into either.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::Home;
use livekit_protocol as proto;
use parvis_audit::{Act, Event, Who};
use parvis_store::{
    BackupError, EraseReason, Erasure, NewEvent, RoomSettings, SipTrunk, Store, StoreConfig, StoreLimits,
    StoredKey, StoredMeeting, TenantId, verify,
};

fn room(name: &str) -> RoomSettings {
    RoomSettings { name: name.to_owned(), metadata: "lines\nand \"quotes\"".to_owned(), ..Default::default() }
}

async fn open(home: &Home) -> Store {
    let limits = StoreLimits { events: 10_000, ..StoreLimits::default() };
    Store::open(StoreConfig { limits, ..home.config() }).await.unwrap()
}

/// Something in every table.
async fn fill(store: &Store) {
    let tenant = TenantId::default();
    for number in 0..1_201 {
        store.create_room(&tenant, &room(&format!("room {number}"))).await.unwrap();
    }
    let key = StoredKey { tenant: tenant.clone(), name: "main".to_owned(), secret: "a secret".to_owned() };
    store.create_key(&key).await.unwrap();
    let dispatch = proto::AgentDispatch { id: "AD_1".to_owned(), room: "a".to_owned(), ..Default::default() };
    store.create_dispatch(&tenant, &dispatch).await.unwrap();
    let trunk = proto::SipOutboundTrunkInfo { sip_trunk_id: "ST_1".to_owned(), ..Default::default() };
    store.create_sip_trunk(&tenant, &SipTrunk::Outbound(trunk)).await.unwrap();
    let rule = proto::SipDispatchRuleInfo { sip_dispatch_rule_id: "SDR_1".to_owned(), ..Default::default() };
    store.create_sip_dispatch_rule(&tenant, &rule).await.unwrap();
    let egress = proto::EgressInfo { egress_id: "EG_1".to_owned(), ..Default::default() };
    store.create_egress(&tenant, &egress).await.unwrap();
    let erasure = Erasure {
        egress_id: "EG_0".to_owned(),
        room: "a".to_owned(),
        started_ms: 1,
        ended_ms: 2,
        erased_ms: 3,
        why: EraseReason::Retention,
        files: 4,
        bytes: 5,
    };
    store.erase_egress(&tenant, &erasure).await.unwrap();
    let ingress = proto::IngressInfo {
        ingress_id: "IN_1".to_owned(),
        stream_key: "a key".to_owned(),
        ..Default::default()
    };
    store.create_ingress(&tenant, &ingress).await.unwrap();
    let record = serde_json::json!({"host": "hash of a key", "policy": {"lobby": true}});
    store.put_meeting(&tenant, &StoredMeeting { room: "a".to_owned(), record }).await.unwrap();
    let event = NewEvent {
        id: "EV_1".to_owned(),
        tenant,
        room: "a".to_owned(),
        event: "room_started".to_owned(),
        body: "{}".to_owned(),
        created_ms: 1,
        targets: vec!["one".to_owned()],
    };
    store.add_events(&[event]).await.unwrap();
    store.audit_append(&[Event::new("default", Act::Ban, Who::Server).about("bo")]).await.unwrap();
    store.audit_put_checkpoint(1, "a note").await.unwrap();
}

async fn written(store: &Store) -> Vec<u8> {
    let mut bytes = Vec::new();
    store.backup(&mut bytes).await.unwrap();
    bytes
}

/// What a backup holds, without when it was made and of which engine.
fn rows(backup: &[u8]) -> String {
    let text = String::from_utf8(backup.to_vec()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    lines[1..lines.len() - 1].join("\n")
}

async fn moves(from: &Home, to: &Home) {
    let source = open(from).await;
    fill(&source).await;
    let backup = written(&source).await;
    let summary = verify(backup.as_slice()).unwrap();
    let counts: Vec<(&str, u64)> = summary.rows.clone();
    let one_of_each = [
        "api_keys",
        "dispatches",
        "sip_trunks",
        "sip_rules",
        "sip_rule_entries",
        "egresses",
        "erasures",
        "ingresses",
        "meetings",
        "outbox",
        "events",
        "audit_entries",
        "audit_people",
        "audit_checkpoints",
        "audit_state",
    ];
    let expected: Vec<(&str, u64)> =
        [("rooms", 1_201)].into_iter().chain(one_of_each.map(|table| (table, 1))).collect();
    assert_eq!(counts, expected, "every table is in it, and every page of rows");

    let target = open(to).await;
    assert_eq!(target.restore(backup.as_slice(), false).await.unwrap(), summary);
    assert_eq!(rows(&written(&target).await), rows(&backup), "what comes out again is what went in");
    let tenant = TenantId::default();
    assert_eq!(
        target.keys().await.unwrap(),
        source.keys().await.unwrap(),
        "secrets open with the other's key"
    );
    assert_eq!(target.ingress_by_stream_key("a key").await.unwrap().unwrap().1.ingress_id, "IN_1");
    // Nothing is overwritten unless it is said.
    target.delete_room(&tenant, "room 7").await.unwrap();
    let refused = target.restore(backup.as_slice(), false).await.unwrap_err();
    assert!(matches!(refused, BackupError::NotEmpty(1_215)), "{refused}");
    assert!(refused.to_string().contains("--replace"), "{refused}");
    assert_eq!(target.room(&tenant, "room 7").await.unwrap(), None);
    target.restore(backup.as_slice(), true).await.unwrap();
    assert_eq!(target.room(&tenant, "room 7").await.unwrap(), Some(room("room 7")));
}

#[tokio::test]
async fn from_sqlite_to_sqlite() {
    moves(&Home::sqlite(), &Home::sqlite()).await;
}

#[tokio::test]
async fn from_sqlite_to_postgres() {
    if let Some(postgres) = Home::postgres() {
        moves(&Home::sqlite(), &postgres).await;
    }
}

#[tokio::test]
async fn from_postgres_to_sqlite() {
    if let Some(postgres) = Home::postgres() {
        moves(&postgres, &Home::sqlite()).await;
    }
}

#[tokio::test]
async fn a_backup_is_of_one_moment_however_much_is_written_meanwhile() {
    let homes = [Some(Home::sqlite()), Home::postgres()];
    for home in homes.into_iter().flatten() {
        let store = open(&home).await;
        let tenant = TenantId::default();
        // Two events are always written together, and each into two tables.
        let writer = tokio::spawn({
            let (store, tenant) = (store.clone(), tenant.clone());
            async move {
                for number in 0..300 {
                    let events = ["a", "b"].map(|half| NewEvent {
                        id: format!("{number}{half}"),
                        tenant: tenant.clone(),
                        room: "a".to_owned(),
                        event: "x".to_owned(),
                        body: "{}".to_owned(),
                        created_ms: 1,
                        targets: vec!["one".to_owned()],
                    });
                    store.add_events(&events).await.unwrap();
                }
            }
        });
        let mut seen = Vec::new();
        while !writer.is_finished() {
            let backup = written(&store).await;
            let summary = verify(backup.as_slice()).unwrap();
            let count = |name: &str| {
                summary.rows.iter().find(|(table, _)| *table == name).map_or(0, |(_, rows)| *rows)
            };
            let outbox = count("outbox");
            assert_eq!(outbox % 2, 0, "half of a transaction is in the backup");
            assert_eq!(outbox, count("events"), "one table is of another moment than the other");
            seen.push(outbox);
        }
        writer.await.unwrap();
        seen.dedup();
        assert!(seen.len() > 1, "it was written to meanwhile: {seen:?}");
    }
}

#[tokio::test]
async fn a_backup_that_was_touched_is_refused_at_its_line_and_changes_nothing() {
    let home = Home::sqlite();
    let store = open(&home).await;
    let tenant = TenantId::default();
    for name in ["a", "b", "c"] {
        store.create_room(&tenant, &room(name)).await.unwrap();
    }
    let backup = String::from_utf8(written(&store).await).unwrap();
    let lines: Vec<&str> = backup.lines().collect();
    assert_eq!(lines.len(), 5);
    let without = |line: usize| {
        let kept = lines.iter().enumerate().filter(|(at, _)| *at != line).map(|(_, line)| *line);
        kept.map(|line| format!("{line}\n")).collect::<String>()
    };
    let touched = [
        (String::new(), 1, "it ends before its end"),
        ("{}\n".to_owned(), 1, "it does not begin as a backup"),
        ("PGDMP and more\n".to_owned(), 1, "it does not begin as a backup"),
        (without(0), 1, "it does not begin as a backup"),
        (without(2), 4, "2 rows came, 3 were written"),
        (without(4), 5, "it ends before its end"),
        (backup[..backup.len() - 20].to_owned(), 5, "the line has no end"),
        (backup.replace("\"id\":\"b\"", "\"id\":\"x\""), 5, "the hash is another"),
        (backup.replacen("\"table\":\"rooms\"", "\"table\":\"halls\"", 1), 2, "there is no table \"halls\""),
        (backup.replace("\"id\":\"a\"", "\"id\":1"), 2, "rooms has no id that fits"),
        (format!("{backup}{{}}\n"), 6, "something comes after the end"),
    ];
    for (text, line, expected) in touched {
        for result in [verify(text.as_bytes()), store.restore(text.as_bytes(), true).await] {
            match result.unwrap_err() {
                BackupError::Broken { line: at, problem } => {
                    assert!(
                        problem.starts_with(expected) && at == line,
                        "{at}: {problem}, not {line}: {expected}"
                    );
                }
                other => panic!("{other}, not {expected}"),
            }
        }
        assert_eq!(store.list_rooms(&tenant).await.unwrap().len(), 3, "nothing changed by {expected}");
    }
    let newer = backup.replacen("\"schema\":4", "\"schema\":5", 1);
    assert!(matches!(verify(newer.as_bytes()), Err(BackupError::Newer { found: 5, known: 4 })));
    assert!(matches!(store.restore(newer.as_bytes(), true).await, Err(BackupError::Newer { .. })));
    assert_eq!(store.list_rooms(&tenant).await.unwrap().len(), 3);
}
