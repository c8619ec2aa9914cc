// SPDX-License-Identifier: EUPL-1.2
//! Entries of one organisation for others, and how they check them: JSON, one object a line. The first has the checkpoint, then each entry
//! comes with the way from it to the checkpoint's root, the last says how many there are. That none was left out it does not show: the
//! numbers between belong to other organisations.

use std::collections::BTreeSet;
use std::io::{BufRead, Write};

use parvis_audit::{Checkpoint, Entry, Hash, Verifier, from_hex, open_note, verify_inclusion};
use parvis_store::{Store, StoreError, TenantId};
use serde::{Deserialize, Serialize};

use crate::Problem;

const FORMAT: &str = "parvis-audit-export";
const VERSION: u64 = 1;
/// The longest line that is read: an entry, and 64 hashes.
const MAX_LINE_BYTES: u64 = 64 << 10;

#[derive(Serialize, Deserialize)]
struct Head {
    format: String,
    version: u64,
    tenant: String,
    checkpoint: String,
}

#[derive(Serialize, Deserialize)]
struct Line {
    entry: String,
    proof: Vec<String>,
}

/// Who stands behind a pseudonym, where that is asked for and still known. No proof covers it.
#[derive(Serialize, Deserialize)]
struct Person {
    person: String,
    identity: String,
    name: String,
}

#[derive(Serialize, Deserialize)]
struct End {
    entries: u64,
}

/// Writes a tenant's entries as they are proved by this checkpoint; gives how many there are.
pub(super) async fn write(
    store: &Store,
    tenant: &TenantId,
    (size, note): (u64, &str),
    names: bool,
    out: &mut (impl Write + Send),
) -> Result<u64, Problem> {
    let head = Head {
        format: FORMAT.to_owned(),
        version: VERSION,
        tenant: tenant.as_str().to_owned(),
        checkpoint: note.to_owned(),
    };
    line(out, &head)?;
    let mut people = BTreeSet::new();
    let each = |entry: &Entry, text: &str, path: &[Hash]| {
        let of_people =
            [&entry.who, &entry.about, &entry.from].into_iter().filter(|word| word.starts_with("p:"));
        people.extend(of_people.cloned());
        let proof = path.iter().map(hex::encode).collect();
        let written = line(out, &Line { entry: text.to_owned(), proof });
        written.map_err(|error| StoreError::Refused(format!("the export can't be written: {error}")))
    };
    let entries = store.audit_export(tenant, size, each).await?;
    for pseudonym in people.iter().filter(|_| names) {
        if let Some(person) = store.audit_person(tenant, pseudonym).await? {
            let (identity, name) = (person.identity, person.name);
            line(out, &Person { person: person.pseudonym, identity, name })?;
        }
    }
    line(out, &End { entries })?;
    out.flush()?;
    Ok(entries)
}

/// Reads an export to its end and checks each entry; gives the checkpoint and how many there are.
pub(super) fn check(mut export: impl BufRead, keys: &[Verifier]) -> Result<(Checkpoint, u64), Problem> {
    let mut number = 0;
    let mut next = || -> Result<Option<String>, Problem> {
        let mut text = String::new();
        number += 1;
        std::io::Read::take(&mut export, MAX_LINE_BYTES).read_line(&mut text)?;
        match text.strip_suffix('\n') {
            Some(line) => Ok(Some(line.to_owned())),
            None if text.is_empty() => Ok(None),
            None => Err(format!("line {number} of the export has no end: it is cut off").into()),
        }
    };
    let head: Head = match next()?.map(|line| serde_json::from_str(&line)) {
        Some(Ok(head)) => head,
        _ => return Err("it does not begin as an export of an audit log".into()),
    };
    if head.format != FORMAT || head.version != VERSION {
        return Err(format!("it is no export of version {VERSION}").into());
    }
    let checkpoint = Checkpoint::parse(&open_note(&head.checkpoint, keys)?)?;
    let (mut entries, mut last) = (0, None);
    while let Some(text) = next()? {
        if let Ok(End { entries: said }) = serde_json::from_str(&text) {
            if said != entries {
                return Err(format!("it has {entries} entries and says that there are {said}").into());
            }
            return Ok((checkpoint, entries));
        }
        if serde_json::from_str::<Person>(&text).is_ok() {
            continue;
        }
        let Ok(Line { entry: text, proof }) = serde_json::from_str(&text) else {
            return Err(format!("after {entries} entries comes a line that is none").into());
        };
        let entry = Entry::parse(&text)?;
        let wrong = |what: &str| Problem::from(format!("entry {}: {what}", entry.n));
        if entry.tenant != head.tenant {
            return Err(wrong("it belongs to another organisation"));
        }
        if last.is_some_and(|last| entry.n <= last) {
            return Err(wrong("it is there twice, or not in its place"));
        }
        let path = proof.iter().map(|hash| from_hex(hash)).collect::<Result<Vec<_>, _>>()?;
        let leaf = Entry::leaf(&text);
        verify_inclusion(&leaf, entry.n, checkpoint.size, &path, &checkpoint.root)
            .map_err(|_| wrong("it is not the one that was signed: it or its proof was changed"))?;
        last = Some(entry.n);
        entries += 1;
    }
    Err("its end is missing: it is cut off".into())
}

fn line(out: &mut impl Write, line: &impl Serialize) -> Result<(), std::io::Error> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    out.write_all(&text)
}
