// SPDX-License-Identifier: EUPL-1.2
//! The audit log in databases: what is written is found whole, whatever is done to it is named, and people can be erased.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::io::{BufRead, BufReader};
use std::net::IpAddr;
use std::process::{Command, Stdio};

use common::Home;
use parvis_audit::{
    Act, Checked, Checkpoint, Entry, Event, Flaw, Signed, Signer, Verifier, Who, open_note, verify_inclusion,
};
use parvis_store::{
    AuditCopy, AuditProblem, Store, StoreConfig, StoreError, StoreLimits, StoredKey, TenantId,
};
use sqlx::{Connection, Executor};

const ORIGIN: &str = "meet.example.eu/audit";
/// What the child of the test with the killed writer is told by.
const CHILD: &str = "PARVIS_AUDIT_CHILD";

fn signer() -> Signer {
    Signer::from_seed(ORIGIN, &[9; 32]).unwrap()
}

fn keys() -> Vec<Verifier> {
    vec![signer().verifier().clone()]
}

fn call(number: u64) -> Event {
    let event = Event::new("default", Act::Call, Who::Key("main".to_owned()));
    Event { time_ms: 1_800_000_000_000, ..event.on("call", &format!("number {number}")) }
}

async fn fill(store: &Store, count: u64) {
    for number in 0..count {
        store.audit_append(&[call(number)]).await.unwrap();
    }
}

/// Signs the log as it is now, and keeps that in the database and for the second place.
async fn sign(store: &Store) -> Signed {
    let state = store.audit_state().await.unwrap();
    let (size, root) = (state.size(), state.frontier.root());
    let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size, root, time_ms: 1 };
    let note = signer().sign(&checkpoint.text()).unwrap();
    store.audit_put_checkpoint(size, &note).await.unwrap();
    assert_eq!(open_note(&note, &keys()).unwrap(), checkpoint.text());
    Signed { checkpoint, place: format!("elsewhere, {size}") }
}

async fn checked(store: &Store, signed: &[Signed]) -> Checked {
    store.audit_check(&keys(), signed.to_vec()).await.unwrap()
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

both! {
    async fn what_is_written_is_found_whole(home: &Home) {
        let store = home.open().await;
        assert_eq!(checked(&store, &[]).await.size, 0, "nothing yet");
        fill(&store, 5).await;
        let first = sign(&store).await;
        fill(&store, 3).await;
        store.close().await;
        let store = home.open().await;
        let second = sign(&store).await;
        fill(&store, 1).await;
        let found = checked(&store, &[first.clone(), second]).await;
        assert_eq!((found.first, found.size, found.signed, found.unsigned), (0, 9, 4, 1));
        // The same of a database that is opened to be read alone.
        store.close().await;
        let copy = AuditCopy::open(&home.config()).await.unwrap();
        assert_eq!(copy.check(&keys(), vec![first]).await.unwrap().root, found.root);
        let stranger = Signer::from_seed(ORIGIN, &[8; 32]).unwrap().verifier().clone();
        let problem = copy.check(&[stranger], Vec::new()).await.unwrap_err();
        assert!(matches!(problem, AuditProblem::Checkpoint { size: 5, .. }), "{problem}");
        copy.close().await;
    }

    async fn people_stand_there_as_pseudonyms_and_can_be_erased(home: &Home) {
        let (store, tenant) = (home.open().await, TenantId::default());
        let ada = Who::Person { identity: "ada@example.eu".to_owned(), name: "Ada".to_owned() };
        let address: IpAddr = "192.0.2.7".parse().unwrap();
        let kick = Event::new("default", Act::Ban, ada.clone()).about("bo").from(address);
        store.audit_append(std::slice::from_ref(&kick)).await.unwrap();
        store.audit_append(&[kick, Event::new("other", Act::SignIn, ada)]).await.unwrap();
        let signed = sign(&store).await;
        let own = entries(&store, "default").await;
        let text = format!("{own:?}");
        assert!(!text.contains("ada") && !text.contains("Ada") && !text.contains("bo\"") && !text.contains("192."), "{text}");
        assert_eq!(own[0].who, own[1].who, "the same person");
        assert_eq!(own[0].about, own[1].about);
        assert_ne!(own[0].who, own[0].about);
        assert_ne!(entries(&store, "other").await[0].who, own[0].who, "another tenant's is another");
        let person = store.audit_person(&tenant, &own[0].who).await.unwrap().unwrap();
        assert_eq!((person.identity.as_str(), person.name.as_str()), ("ada@example.eu", "Ada"));
        let read = store.audit_address(&tenant, &own[0].who, &own[0].from).await.unwrap();
        assert_eq!(read.as_deref(), Some("192.0.2.7"));

        assert_eq!(store.audit_erase_person(&tenant, "ada@example.eu").await.unwrap(), own[0].who);
        assert_eq!(store.audit_person(&tenant, &own[0].who).await.unwrap(), None);
        assert_eq!(store.audit_address(&tenant, &own[0].who, &own[0].from).await.unwrap(), None);
        let again = store.audit_erase_person(&tenant, "ada@example.eu").await.unwrap_err();
        assert!(matches!(again, StoreError::NotFound { .. }), "{again}");
        assert_eq!(checked(&store, &[signed]).await.size, 4, "the log is whole all the same, and says it");
        let last = entries(&store, "default").await.pop().unwrap();
        assert_eq!((last.act.as_str(), last.who.as_str()), ("person.erase", "operator"));
        assert_eq!(last.on, format!("person:{}", own[0].who));
        // Bo is erased by the pseudonym.
        assert_eq!(store.audit_erase_person(&tenant, &own[0].about).await.unwrap(), own[0].about);
        // Whoever comes back is somebody else.
        store.audit_append(&[Event::new("default", Act::SignIn, Who::person("ada@example.eu"))]).await.unwrap();
        assert_ne!(entries(&store, "default").await.pop().unwrap().who, own[0].who);
    }

    async fn an_act_and_its_entry_are_both_there_or_neither(home: &Home) {
        let (store, tenant) = (home.open().await, TenantId::default());
        let key = StoredKey { tenant: tenant.clone(), name: "second".to_owned(), secret: "s".repeat(32) };
        let event = |act| [Event::new("default", act, Who::Operator).on("key", "second")];
        store.create_key_with(&key, &event(Act::KeyAdd)).await.unwrap();
        store.create_key_with(&key, &event(Act::KeyAdd)).await.unwrap_err();
        assert_eq!(store.delete_key_with(&tenant, "second", &event(Act::KeyRemove)).await.unwrap(), key);
        store.delete_key_with(&tenant, "second", &event(Act::KeyRemove)).await.unwrap_err();
        let acts: Vec<String> = entries(&store, "default").await.into_iter().map(|entry| entry.act).collect();
        assert_eq!(acts, ["key.add", "key.remove"]);
        // Without a place in the log there is no act.
        store.set_limits(StoreLimits { audit_bytes: 1, ..store.limits() });
        let mut other = event(Act::KeyAdd);
        other[0].who = Who::person("ada");
        let refused = store.create_key_with(&key, &other).await.unwrap_err();
        assert!(matches!(refused, StoreError::AuditFull { limit: 1 }), "{refused}");
        assert!(refused.to_string().contains("audit.max_bytes"), "{refused}");
        assert!(store.keys().await.unwrap().is_empty());
        // Where no log is kept there is nothing to wait for.
        store.set_limits(StoreLimits { audit_bytes: 0, ..store.limits() });
        store.create_key_with(&key, &other).await.unwrap();
        assert_eq!(checked(&store, &[]).await.size, 2);
    }

    async fn a_full_log_takes_no_more_but_what_the_operator_does(home: &Home) {
        let limits = StoreLimits { audit_bytes: 3_000, ..StoreLimits::default() };
        let store = Store::open(StoreConfig { limits, ..home.config() }).await.unwrap();
        let mut written = 0;
        let full = loop {
            match store.audit_append(&[call(written)]).await {
                Ok(size) => written = size,
                Err(error) => break error,
            }
            assert!(written < 100, "it has no bound");
        };
        assert!(matches!(full, StoreError::AuditFull { limit: 3_000 }), "{full}");
        let lost = Event::new("", Act::LogLost, Who::Server);
        assert!(store.audit_append(&[lost]).await.is_err(), "that something was lost would fill it in time");
        store.audit_append(&[Event::new("", Act::ServerStop, Who::Server)]).await.unwrap();
        assert!(written > 3, "{written}");
        assert_eq!(checked(&store, &[]).await.size, written + 1);
    }

    async fn what_is_old_is_erased_and_what_is_left_still_verifies(home: &Home) {
        let store = home.open().await;
        store.audit_append(&[Event::new("default", Act::SignIn, Who::person("ada"))]).await.unwrap();
        fill(&store, 6).await;
        let (first, early) = (sign(&store).await, now_ms() + 1);
        fill(&store, 4).await;
        assert_eq!(store.audit_prune(1).await.unwrap(), 0, "nothing is as old as that");
        let bytes = store.audit_state().await.unwrap().bytes;
        while now_ms() <= early {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        assert_eq!(store.audit_prune(early).await.unwrap(), 7);
        assert_eq!(store.audit_prune(early).await.unwrap(), 0);
        let last = sign(&store).await;
        let state = store.audit_state().await.unwrap();
        assert_eq!((state.beginning.frontier.size(), state.size()), (7, 12));
        assert!(state.bytes < bytes, "it has more place now");
        let found = checked(&store, &[first.clone(), last.clone()]).await;
        assert_eq!((found.first, found.size, found.signed, found.unsigned), (7, 12, 4, 0));
        let pruned = entries(&store, "").await.pop().unwrap();
        assert_eq!((pruned.act.as_str(), pruned.on.as_str(), pruned.count), ("log.prune", "log:0-6", Some(7)));
        // Proofs of what is left lead to the root that was signed.
        let mut shown = 0;
        let show = |entry: &Entry, text: &str, path: &[parvis_audit::Hash]| {
            verify_inclusion(&Entry::leaf(text), entry.n, 12, path, &last.checkpoint.root).unwrap();
            shown += 1;
            Ok(())
        };
        store.audit_export(&TenantId::default(), 12, show).await.unwrap();
        assert_eq!(shown, 4);
    }

    async fn two_who_write_at_once_make_one_log(home: &Home) {
        let (one, other) = (home.open().await, home.open().await);
        let patient = |store: Store| async move {
            for number in 0..40 {
                while let Err(error) = store.audit_append(&[call(number), call(number)]).await {
                    assert!(error.is_transient(), "{error}");
                }
            }
        };
        tokio::join!(patient(one.clone()), patient(other.clone()), patient(one.clone()));
        assert_eq!(checked(&other, &[]).await.size, 240);
    }
}

fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

/// A log of 10 entries with two checkpoints elsewhere, changed by whoever can write the database, and what is found then.
async fn after(changes: &[&'static str]) -> Result<Checked, AuditProblem> {
    let home = Home::sqlite();
    let store = home.open().await;
    fill(&store, 4).await;
    let first = sign(&store).await;
    fill(&store, 4).await;
    let signed = vec![first, sign(&store).await];
    fill(&store, 2).await;
    store.close().await;
    let url = format!("sqlite://{}", home.file().display());
    let mut intruder = sqlx::SqliteConnection::connect(&url).await.unwrap();
    for change in changes {
        intruder.execute(*change).await.unwrap();
    }
    intruder.close().await.unwrap();
    let copy = AuditCopy::open(&home.config()).await.unwrap();
    copy.check(&keys(), signed).await
}

fn flaw(found: Result<Checked, AuditProblem>) -> Flaw {
    match found.unwrap_err() {
        AuditProblem::Flaw(flaw) => flaw,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_row_that_is_changed_is_named() {
    assert_eq!(after(&[]).await.unwrap().size, 10);
    let changed = "UPDATE audit_entries SET entry = replace(entry, 'number 1', 'number 9') WHERE seq = 5";
    assert_eq!(flaw(after(&[changed]).await), Flaw::Changed { number: 5 });
}

#[tokio::test]
async fn a_row_that_is_removed_is_named() {
    let remove = "DELETE FROM audit_entries WHERE seq = 5";
    assert_eq!(flaw(after(&[remove]).await), Flaw::Missing { number: 5, next: Some(6) });
    // Also with the rest moved up to hide it.
    let up = "UPDATE audit_entries SET seq = seq - 1 WHERE seq > 5";
    assert_eq!(flaw(after(&[remove, up]).await), Flaw::Moved { number: 5, says: 6 });
}

#[tokio::test]
async fn rows_in_each_other_s_place_are_named() {
    let swap = [
        "UPDATE audit_entries SET seq = -1 WHERE seq = 2",
        "UPDATE audit_entries SET seq = 2 WHERE seq = 6",
        "UPDATE audit_entries SET seq = 6 WHERE seq = -1",
    ];
    assert_eq!(flaw(after(&swap).await), Flaw::Moved { number: 2, says: 6 });
}

#[tokio::test]
async fn a_tail_that_is_cut_off_is_named_by_what_was_signed_elsewhere() {
    let cut = [
        "DELETE FROM audit_entries WHERE seq >= 6",
        "DELETE FROM audit_checkpoints WHERE size > 6",
        "UPDATE audit_state SET size = 6",
    ];
    let found = Flaw::Cut { from: 6, to: 7, place: "elsewhere, 8".to_owned() };
    assert_eq!(flaw(after(&cut).await), found);
    assert_eq!(flaw(after(&[cut[0], cut[1], "DELETE FROM audit_state"]).await), found);
}

#[tokio::test]
async fn a_beginning_that_is_gone_without_a_word_is_named() {
    let gone = flaw(after(&["DELETE FROM audit_entries WHERE seq < 4"]).await);
    assert_eq!(gone, Flaw::Missing { number: 0, next: Some(4) });
}

#[tokio::test]
async fn a_database_without_a_log_says_so() {
    let home = Home::sqlite();
    let absent = AuditCopy::open(&home.config()).await.unwrap_err();
    assert!(matches!(absent, StoreError::File { .. }), "{absent}");
    assert!(!home.file().exists(), "looking makes nothing");
    home.open().await.close().await;
    let url = format!("sqlite://{}", home.file().display());
    let mut intruder = sqlx::SqliteConnection::connect(&url).await.unwrap();
    intruder.execute("DROP TABLE audit_state").await.unwrap();
    let copy = AuditCopy::open(&home.config()).await.unwrap();
    assert!(matches!(copy.check(&keys(), Vec::new()).await.unwrap_err(), AuditProblem::None));
}

/// Writes until it is killed, and says after each entry how many there are. Only the test below runs it.
#[tokio::test]
#[ignore = "it is the child of another test"]
async fn child_that_writes_until_it_is_killed() {
    let Ok(folder) = std::env::var(CHILD) else { return };
    let store = Store::open(StoreConfig::new("", folder.as_ref())).await.unwrap();
    for number in 0.. {
        let size = store.audit_append(&[call(number), call(number), call(number)]).await.unwrap();
        #[allow(clippy::print_stdout)]
        {
            println!("written {size}");
        }
    }
}

#[tokio::test]
async fn a_writer_that_is_killed_leaves_a_whole_log() {
    let home = Home::sqlite();
    home.open().await.close().await;
    let mut before = 0;
    for round in 1..=10 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture", "child_that_writes_until_it_is_killed"])
            .env(CHILD, &home.folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(|line| line.unwrap());
        let said = lines.filter_map(|line| line.rsplit_once("written ")?.1.parse::<u64>().ok());
        // Each time after another number of entries, so that it is at another point of its work.
        let last = said.take(round * 3).last().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let copy = AuditCopy::open(&home.config()).await.unwrap();
        let found = copy.check(&keys(), Vec::new()).await.unwrap();
        copy.close().await;
        assert!(found.size >= last && found.size > before, "{} of {last}", found.size);
        assert!(found.size.is_multiple_of(3), "what was written together is there together: {}", found.size);
        before = found.size;
    }
    let store = home.open().await;
    fill(&store, 1).await;
    assert_eq!(checked(&store, &[]).await.size, before + 1);
}
