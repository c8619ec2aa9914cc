// SPDX-License-Identifier: EUPL-1.2
//! `parvis audit`: checking, handing out, erasing.

use std::fs::{self, OpenOptions};
use std::io::{BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use parvis_audit::{
    Act, Authority, Checked, Checkpoint, Event, Flaw, Signed, StampedNote, Verifier, Who, notes_in,
    open_note, stamped_in,
};
use parvis_store::{AuditCopy, AuditProblem, Store, StoreConfig, TenantId};

use super::{AuditSettings, StampSettings, export, key, now_ms, utc};
use crate::Problem;
use crate::cli::audit::{Audit, AuditErase, AuditExport, AuditVerify};
use crate::cli::{self, Whose};
use crate::settings::settle;
use crate::stored;

/// What a second place kept is read up to so many bytes: three years of a checkpoint a minute.
const MAX_KEPT_BYTES: u64 = 512 << 20;

/// Does what is said.
pub(crate) async fn run(command: &Audit) -> Result<(), Problem> {
    match command {
        Audit::Verify(arguments) => verify(arguments).await,
        Audit::Export(arguments) => give(arguments).await,
        Audit::Erase(arguments) => erase(arguments).await,
        Audit::Key { whose } => {
            let settings = stored::settled(whose)?;
            fs::create_dir_all(&settings.config.data.directory)?;
            let audit = settings.audit.ok_or(OFF)?;
            println!("{}", key::load(&audit.key_file, &audit.name)?.verifier());
            Ok(())
        }
    }
}

const OFF: &str = "the configuration keeps no audit log: audit.enabled is false";

async fn verify(arguments: &AuditVerify) -> Result<(), Problem> {
    let AuditVerify { dev, config, data, database, checkpoints, key, stamp_ca, export: given, json } =
        arguments;
    let own = match (dev, config) {
        (false, None) => None,
        _ => {
            let named = cli::Settings {
                dev: *dev,
                config: config.clone(),
                data: data.clone(),
                ..cli::Settings::default()
            };
            Some(settle(&named)?.0)
        }
    };
    let audit = own.as_ref().and_then(|own| own.audit.as_ref());
    let mut keys = key.iter().map(|key| key::verifier(key)).collect::<Result<Vec<_>, _>>()?;
    if let Some(AuditSettings { key_file, .. }) = audit.filter(|_| keys.is_empty()) {
        keys.push(key::verifier(&key_file.to_string_lossy())?);
    }
    if keys.is_empty() {
        return Err("name the key that checks signatures with --key: `parvis audit key` prints it".into());
    }
    if let Some(path) = given {
        let file = fs::File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let checked = export::check(BufReader::new(file), &keys);
        let (checkpoint, entries) = checked.map_err(|error| format!("{}: {error}", path.display()))?;
        let Checkpoint { origin, size, time_ms, .. } = checkpoint;
        if *json {
            let said =
                serde_json::json!({ "entries": entries, "log": origin, "size": size, "signed_ms": time_ms });
            println!("{said}");
        } else {
            println!("whole: {entries} entries are in the log {origin} as it was signed with {size} entries");
        }
        return Ok(());
    }
    let mut files = checkpoints.clone();
    // A server that was just begun has signed nothing yet.
    let usual = audit.map(|audit| &audit.checkpoint_file).filter(|file| files.is_empty() && file.exists());
    files.extend(usual.cloned());
    // Before the database is looked at: what is signed meanwhile is none of this check's.
    let mut signed = Vec::new();
    let usual = audit.and_then(|audit| audit.stamps.as_ref());
    let mut stamps = Stamps { authority: authority(stamp_ca.as_deref(), usual)?, ..Stamps::default() };
    for path in &files {
        signed.extend(signed_in(path, &keys, &mut stamps)?);
    }
    let store = match (database, own) {
        (Some(database), _) => StoreConfig::new(&url_of(database), Path::new("")),
        (None, Some(own)) => own.store,
        (None, None) => {
            return Err("name a database with --database, or a configuration with --config".into());
        }
    };
    let copy = AuditCopy::open(&store).await?;
    let found = copy.check(&keys, signed.clone()).await;
    copy.close().await;
    match found {
        Ok(checked) => {
            println!(
                "{}",
                if *json {
                    in_json(&checked, signed.len(), &stamps)
                } else {
                    in_words(&checked, signed.len(), &stamps)
                }
            );
            Ok(())
        }
        Err(AuditProblem::Flaw(flaw)) => {
            if *json {
                println!(
                    "{}",
                    serde_json::json!({ "whole": false, "entry": first_of(&flaw), "problem": flaw.to_string() })
                );
            }
            Err(format!("the audit log is not as it was: {flaw}").into())
        }
        Err(other) => Err(other.into()),
    }
}

/// The checkpoints in a file, each of which must be signed by one of the keys. The last may be torn: then the power went while it was written.
fn signed_in(path: &Path, keys: &[Verifier], stamps: &mut Stamps) -> Result<Vec<Signed>, Problem> {
    let wrong = |problem: String| Problem::from(format!("{}: {problem}", path.display()));
    let length = fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
    if length > MAX_KEPT_BYTES {
        return Err(wrong(format!("it has {length} bytes; give the last {MAX_KEPT_BYTES} of it")));
    }
    let kept = fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let kept = String::from_utf8_lossy(&kept);
    stamps.see(&kept).map_err(|(line, problem)| wrong(format!("line {line}: the time-stamp: {problem}")))?;
    let mut signed = Vec::new();
    for (line, note) in notes_in(&kept) {
        let text = open_note(&note, keys).and_then(|text| Checkpoint::parse(&text));
        let checkpoint = text.map_err(|error| wrong(format!("line {line}: {error}")))?;
        signed.push(Signed { checkpoint, place: format!("{}, line {line}", path.display()) });
    }
    Ok(signed)
}

/// What the time-stamps are worth that stand beside checkpoints.
#[derive(Debug, Default)]
struct Stamps {
    /// Whose they are to be; `None`: nobody said.
    authority: Option<Authority>,
    /// Those that hold.
    held: usize,
    /// Those of which nobody can say, since no authority is trusted.
    unknown: usize,
    /// The time in the latest, in seconds since 1970.
    latest: Option<i64>,
}

impl Stamps {
    /// Checks those in what a second place kept; the first that does not hold is named by its line.
    fn see(&mut self, kept: &str) -> Result<(), (usize, String)> {
        for StampedNote { line, note, stamp } in stamped_in(kept) {
            let Some(authority) = &self.authority else {
                self.unknown += 1;
                continue;
            };
            let token = stamp.ok_or((line, "it is damaged".to_owned()))?;
            let stamp =
                authority.check(&token, note.as_bytes()).map_err(|error| (line, error.to_string()))?;
            self.held += 1;
            self.latest = self.latest.max(Some(stamp.time));
        }
        Ok(())
    }

    fn in_words(&self) -> String {
        let mut text = String::new();
        if let Some(latest) = self.latest {
            let (held, latest) = (self.held, utc(latest.saturating_mul(1_000)));
            text.push_str(&format!("; {held} time-stamps hold, the latest of {latest}"));
        }
        if self.unknown > 0 {
            let unknown = self.unknown;
            text.push_str(&format!(
                "; {unknown} time-stamps were not checked: name their CA with --stamp-ca"
            ));
        }
        text
    }
}

/// Whose time-stamps are trusted: the CA that is named, or the configuration's.
fn authority(ca: Option<&Path>, usual: Option<&StampSettings>) -> Result<Option<Authority>, Problem> {
    let Some(path) = ca else {
        return Ok(usual.map(StampSettings::authority).transpose()?);
    };
    let wrong = |problem: String| Problem::from(format!("{}: {problem}", path.display()));
    let pem = fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let policy = usual.map(|usual| usual.policy.as_str()).unwrap_or_default();
    Ok(Some(Authority::from_pem(&pem, policy).map_err(|error| wrong(error.to_string()))?))
}

/// A path is a file of SQLite.
fn url_of(database: &str) -> String {
    let is_url = ["postgres:", "postgresql:", "sqlite:"].iter().any(|scheme| database.starts_with(scheme));
    if is_url { database.to_owned() } else { format!("sqlite:{database}") }
}

fn in_words(checked: &Checked, elsewhere: usize, stamps: &Stamps) -> String {
    let Checked { first, size, signed, before, unsigned, .. } = checked;
    let mut text = match size.checked_sub(1) {
        None => "whole: the log has no entries".to_owned(),
        Some(last) => format!("whole: entries {first} to {last}; {signed} checkpoints fit"),
    };
    if *first > 0 {
        text.push_str(&format!("; {first} older entries were erased, as an entry says"));
    }
    if *before > 0 {
        text.push_str(&format!("; {before} checkpoints are older than what is there"));
    }
    if *unsigned > 0 {
        text.push_str(&format!("; the last {unsigned} entries are not signed yet"));
    }
    text.push_str(&stamps.in_words());
    if elsewhere == 0 {
        text.push_str(
            "\nno checkpoint from a second place was given: that the end was cut off can't be seen without (--checkpoints)",
        );
    }
    text
}

fn in_json(checked: &Checked, elsewhere: usize, stamps: &Stamps) -> String {
    let Checked { first, size, root, signed, before, unsigned } = checked;
    serde_json::json!({
        "whole": true, "first": first, "size": size, "root": hex::encode(root), "checkpoints": signed,
        "checkpoints_before": before, "checkpoints_elsewhere": elsewhere, "unsigned": unsigned,
        "stamps": stamps.held, "stamps_unchecked": stamps.unknown, "stamped": stamps.latest,
    })
    .to_string()
}

/// The number of the first entry that may be another.
fn first_of(flaw: &Flaw) -> u64 {
    match flaw {
        Flaw::Missing { number, .. }
        | Flaw::Moved { number, .. }
        | Flaw::Changed { number }
        | Flaw::Unreadable { number, .. }
        | Flaw::Extra { number } => *number,
        Flaw::Rewritten { from, .. } | Flaw::Cut { from, .. } => *from,
        Flaw::Unsaid { .. } | Flaw::Beginning { .. } => 0,
    }
}

async fn give(arguments: &AuditExport) -> Result<(), Problem> {
    let AuditExport { tenant, out, names, whose } = arguments;
    let (store, audit) = open(whose).await?;
    let given = write(&store, &audit, (&TenantId::new(tenant.as_str()), *names), out.as_ref()).await;
    store.close().await;
    let entries = given?;
    if let Some(path) = out {
        println!("{entries} entries written to {}", path.display());
    }
    Ok(())
}

/// Writes it down that somebody is given entries, signs the log, and gives them.
async fn write(
    store: &Store,
    audit: &AuditSettings,
    (tenant, names): (&TenantId, bool),
    out: Option<&PathBuf>,
) -> Result<u64, Problem> {
    let signer = key::load(&audit.key_file, &audit.name)?;
    let event = Event::new(tenant.as_str(), Act::LogExport, Who::Operator);
    let why = if names { "with names" } else { "" };
    store.audit_append(&[Event { time_ms: now_ms(), ..event.saying(why) }]).await?;
    let state = store.audit_state().await?;
    let (size, root) = (state.size(), state.frontier.root());
    let checkpoint = Checkpoint { origin: audit.name.clone(), size, root, time_ms: now_ms() };
    let note = signer.sign(&checkpoint.text())?;
    store.audit_put_checkpoint(size, &note).await?;
    match out {
        None => export::write(store, tenant, (size, &note), names, &mut std::io::stdout()).await,
        Some(path) => {
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            let file = file.map_err(|error| format!("{}: cannot be written: {error}", path.display()))?;
            let mut out = BufWriter::new(file);
            let entries = export::write(store, tenant, (size, &note), names, &mut out).await?;
            out.flush()?;
            out.get_ref().sync_all()?;
            Ok(entries)
        }
    }
}

async fn erase(arguments: &AuditErase) -> Result<(), Problem> {
    let AuditErase { person, tenant, whose } = arguments;
    let (store, _) = open(whose).await?;
    let erased = store.audit_erase_person(&TenantId::new(tenant.as_str()), person).await;
    store.close().await;
    println!("{} is erased: nothing says any more who that was", erased?);
    Ok(())
}

/// Opens the database of a configuration that keeps an audit log.
async fn open(whose: &Whose) -> Result<(Store, AuditSettings), Problem> {
    let audit = stored::settled(whose)?.audit.ok_or(OFF)?;
    Ok((stored::open(whose).await?, audit))
}
