// SPDX-License-Identifier: EUPL-1.2
//! Commands upon the database, and its figures.

use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parvis_api::{Keys, Sample, Source};
use parvis_audit::{Act, Event, Who};
use parvis_store::{
    HeldEvent, PastEvent, Store, StoreError, StoreStats, StoredKey, Summary, TenantId, verify,
};

use crate::Problem;
use crate::audit::now_ms;
use crate::cli::{self, Restore, Webhooks, Which, Whose};
use crate::serve::{ServeError, Settings};
use crate::settings::settle;

/// How long one step of a command may take: nobody waits in a call for it.
const PATIENCE: Duration = Duration::from_secs(60);
/// Events printed at most.
const MAX_LISTED: u32 = 10_000;
/// Characters of a key's name, and of an organisation's.
const MAX_KEY_NAME_CHARS: usize = 256;
const MAX_TENANT_CHARS: usize = 64;

/// Sees whether the database can be used, and leaves it as it is.
pub(crate) async fn probe(settings: &Settings) -> Result<(), ServeError> {
    Ok(Store::probe(settings.store.clone()).await?)
}

/// Writes everything into one file.
pub(crate) async fn backup(arguments: &cli::Backup) -> Result<(), Problem> {
    let path = &arguments.file;
    let store = open(&arguments.whose).await?;
    let file = create(path, arguments.replace)?;
    let mut out = BufWriter::new(file);
    let written = store.backup(&mut out).await.and_then(|summary| {
        out.flush()?;
        out.get_ref().sync_all()?;
        Ok(summary)
    });
    store.close().await;
    match written {
        Ok(summary) => {
            println!("{}", said("backed up", &summary));
            Ok(())
        }
        Err(error) => {
            // Half a backup is none.
            let _ = fs::remove_file(path);
            Err(error.into())
        }
    }
}

/// Puts a backup in, after reading all of it once.
pub(crate) async fn restore(arguments: &Restore) -> Result<(), Problem> {
    let path = &arguments.file;
    let summary = verify(reader(path)?)?;
    if arguments.verify {
        println!("{}", said("whole", &summary));
        return Ok(());
    }
    let store = open(&arguments.whose).await?;
    let restored = store.restore(reader(path)?, arguments.replace).await;
    store.close().await;
    println!("{}", said("restored", &restored?));
    Ok(())
}

/// Shows what webhooks were not taken, and what becomes of them.
pub(crate) async fn webhooks(command: &Webhooks) -> Result<(), Problem> {
    match command {
        Webhooks::List { waiting, json, whose } => {
            let store = open(whose).await?;
            let events = store.held_events(!waiting, MAX_LISTED).await;
            store.close().await;
            for event in events? {
                println!("{}", if *json { in_json(&event) } else { in_words(&event) });
            }
        }
        Webhooks::Resend(Which { id, whose, .. }) => {
            let store = open(whose).await?;
            let count = store.resend_events(id.as_deref()).await;
            store.close().await;
            println!("{} to be sent anew", count?);
        }
        Webhooks::Drop(Which { id, whose, .. }) => {
            let store = open(whose).await?;
            let count = store.drop_events(id.as_deref()).await;
            store.close().await;
            println!("{} dropped", count?);
        }
    }
    Ok(())
}

/// A secret of 256 bits, as HS256 wants them.
pub(crate) fn fresh_secret() -> String {
    hex::encode(rand::random::<[u8; 32]>())
}

/// Keeps API keys in the database, shows them, and forgets them.
pub(crate) async fn keys(command: &cli::Key) -> Result<(), Problem> {
    match command {
        cli::Key::Create => println!("{}", fresh_secret()),
        cli::Key::Add { name, tenant, whose } => {
            parvis_meeting::text::check_name("name", name, MAX_KEY_NAME_CHARS)?;
            parvis_meeting::text::check_name("tenant", tenant, MAX_TENANT_CHARS)?;
            let config = settled(whose)?.config;
            if config.keys.iter().any(|key| key.name == *name) {
                return Err(
                    format!("the configuration has a key \"{name}\" already; choose another name").into()
                );
            }
            let key = StoredKey {
                tenant: TenantId::new(tenant.as_str()),
                name: name.clone(),
                secret: fresh_secret(),
            };
            let store = open(whose).await?;
            let kept = store.create_key_with(&key, &[key_event(&key.tenant, Act::KeyAdd, name)]).await;
            store.close().await;
            kept?;
            println!("{}", key.secret);
        }
        cli::Key::List { whose } => {
            let store = open(whose).await?;
            let keys = store.keys().await;
            store.close().await;
            for StoredKey { name, tenant, .. } in keys? {
                println!("{name}  {tenant}");
            }
        }
        cli::Key::Remove { name, whose } => {
            let store = open(whose).await?;
            let removed = remove_key(&store, name).await;
            store.close().await;
            removed?;
            println!("{name} removed");
        }
    }
    Ok(())
}

async fn remove_key(store: &Store, name: &str) -> Result<(), StoreError> {
    let key = store.keys().await?.into_iter().find(|key| key.name == name);
    let key = key.ok_or_else(|| StoreError::NotFound { what: "API key", id: name.to_owned() })?;
    let event = key_event(&key.tenant, Act::KeyRemove, name);
    store.delete_key_with(&key.tenant, name, &[event]).await.map(drop)
}

/// What the audit log says of a key.
fn key_event(tenant: &TenantId, act: Act, name: &str) -> Event {
    let event = Event::new(tenant.as_str(), act, Who::Operator).on("key", name);
    Event { time_ms: now_ms(), ..event }
}

/// The keys of a configuration, and those in the database.
pub(crate) async fn all_keys(keys: Keys, store: &Store) -> Result<Keys, StoreError> {
    Ok(keys.with_stored(store.keys().await?))
}

/// Shows what happened.
pub(crate) async fn events(arguments: &cli::Events) -> Result<(), Problem> {
    let cli::Events { room, tenant, after, limit, json, whose } = arguments;
    let store = open(whose).await?;
    let events = store.list_events(&TenantId::new(tenant.as_str()), room.as_deref(), *after, *limit).await;
    store.close().await;
    for PastEvent { seq, event } in events? {
        if *json {
            println!("{}", serde_json::json!({ "number": seq, "event": event }));
            continue;
        }
        let room = event.room.as_ref().map_or("", |room| room.name.as_str());
        let who = event.participant.as_ref().map_or("", |participant| participant.identity.as_str());
        println!("{seq}  {}  {}  {room}  {who}", event.created_at, event.event);
    }
    Ok(())
}

/// The store's counters for the metrics page.
pub(crate) fn figures(store: Store) -> Source {
    Arc::new(move || {
        let StoreStats { operations, time, longest, busy, unavailable, full, failed } = store.stats();
        let figure = |name: &str, help, counter, value| Sample {
            name: name.to_owned(),
            help,
            counter,
            labels: Vec::new(),
            value,
        };
        let error = |kind: &str, value: u64| Sample {
            labels: vec![("kind", kind.to_owned())],
            ..figure(
                "parvis_store_errors_total",
                "Operations of the database that failed.",
                true,
                value as f64,
            )
        };
        vec![
            figure("parvis_store_operations_total", "Operations of the database.", true, operations as f64),
            figure("parvis_store_seconds_total", "Time that they took together.", true, time.as_secs_f64()),
            figure(
                "parvis_store_longest_seconds",
                "Time that the longest took.",
                false,
                longest.as_secs_f64(),
            ),
            error("busy", busy),
            error("unavailable", unavailable),
            error("full", full),
            error("failed", failed),
        ]
    })
}

/// Opens the database of a configuration, with patience.
pub(crate) async fn open(whose: &Whose) -> Result<Store, Problem> {
    let settings = settled(whose)?;
    fs::create_dir_all(&settings.config.data.directory)?;
    let mut store = settings.store;
    store.timeout = store.timeout.max(PATIENCE);
    Ok(Store::open(store).await.map_err(ServeError::from)?)
}

pub(crate) fn settled(whose: &Whose) -> Result<Settings, Problem> {
    let Whose { dev, config, data } = whose.clone();
    Ok(settle(&cli::Settings { dev, config, data, ..cli::Settings::default() })?.0)
}

/// A file that only its owner reads.
fn create(path: &Path, replace: bool) -> Result<File, Problem> {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    if replace {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    options.open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            format!("{}: there is such a file already; name another, or say --replace", path.display()).into()
        }
        _ => format!("{}: cannot be written: {error}", path.display()).into(),
    })
}

fn reader(path: &Path) -> Result<BufReader<File>, Problem> {
    let file = File::open(path).map_err(|error| format!("{}: cannot be read: {error}", path.display()))?;
    Ok(BufReader::new(file))
}

/// `restored 12 rows of schema 1: rooms 10, ingresses 2`
fn said(what: &str, summary: &Summary) -> String {
    let all: u64 = summary.rows.iter().map(|(_, rows)| rows).sum();
    let tables: Vec<String> = summary.rows.iter().map(|(table, rows)| format!("{table} {rows}")).collect();
    let colon = if tables.is_empty() { "" } else { ": " };
    format!("{what}: {all} rows of schema {}{colon}{}", summary.schema, tables.join(", "))
}

fn in_words(event: &HeldEvent) -> String {
    let HeldEvent { id, target, event, attempts, dead_ms, problem, .. } = event;
    let state = if dead_ms.is_some() { "given up" } else { "waits" };
    format!("{id}  {event}  {state} after {attempts} tries  {target}  {problem}")
}

fn in_json(event: &HeldEvent) -> String {
    let HeldEvent { id, target, tenant, event, created_ms, attempts, dead_ms, problem } = event;
    serde_json::json!({
        "id": id, "event": event, "target": target, "tenant": tenant.as_str(), "created_ms": created_ms,
        "attempts": attempts, "dead_ms": dead_ms, "problem": problem,
    })
    .to_string()
}
