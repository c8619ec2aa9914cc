// SPDX-License-Identifier: EUPL-1.2
//! What lies on the disk of recordings, and how it is erased: first the files, then the record, so that whatever happens in
//! between is made good by doing it again.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use livekit_protocol::{EgressInfo, EgressStatus};
use parvis_audit::{Act, Event, Who};
use parvis_store::{EraseReason, Erasure, Store, StoreError, TenantId};

use super::film::Place;
use super::upload::{self, Remote, RemoteError};
use super::{book, folder, tenant_of};

/// What the ids of recordings begin with. Other folders are none of ours.
pub(super) const ID_PREFIX: &str = "EG_";

/// Why a recording is not erased. Its record stays, and what is left of its files.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EraseError {
    #[error("there is no recording {0}: `parvis recording list` prints which there are")]
    Unknown(String),
    #[error("{0} goes on: stop it first; if the server died meanwhile, its next start ends it")]
    GoesOn(String),
    #[error("{}: can't be erased: {source}", path.display())]
    Files { path: PathBuf, source: io::Error },
    #[error(
        "{}: there is no such directory, so that nobody knows whether the files are gone; is its disk mounted? If they are gone \
         for good, make the directory", .0.display()
    )]
    NotThere(PathBuf),
    #[error("{}: is no directory of ours; erase what is there, or what it leads to, by hand", .0.display())]
    Elsewhere(PathBuf),
    #[error("{id}: {source}")]
    Storage { id: String, source: RemoteError },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A recording's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Folder {
    pub(crate) tenant: TenantId,
    pub(crate) id: String,
    /// When anything in it was written last, in milliseconds since 1970.
    pub(crate) written_ms: i64,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

/// All folders of recordings, and what could not be looked into.
pub(crate) fn folders(directory: &Path) -> (Vec<Folder>, Vec<EraseError>) {
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    for (tenant, path) in subfolders(directory, &mut problems) {
        let Some(tenant) = tenant_of(&tenant) else { continue };
        for (id, path) in subfolders(&path, &mut problems) {
            if !id.starts_with(ID_PREFIX) || folder(directory, &tenant, &id).as_ref() != Some(&path) {
                continue;
            }
            match weigh(&path) {
                Ok((written_ms, files, bytes)) => {
                    found.push(Folder { tenant: tenant.clone(), id, written_ms, files, bytes });
                }
                Err(source) => problems.push(EraseError::Files { path, source }),
            }
        }
    }
    (found, problems)
}

/// Erases a recording that has ended: its files, in the storage and here, then its record, in place of which is written down that it was. Without a
/// record, the files alone. `now_ms` is milliseconds since 1970.
pub(crate) async fn erase(
    store: &Store,
    (directory, remote): (&Path, Option<&Remote>),
    (tenant, id): (&TenantId, &str),
    why: EraseReason,
    now_ms: i64,
) -> Result<Erasure, EraseError> {
    let record = store.egress(tenant, id).await?;
    let unknown = || EraseError::Unknown(id.to_owned());
    let folder = folder(directory, tenant, id).ok_or_else(unknown)?;
    let film = Place::of(directory, tenant, id).filter(Place::exists);
    if let Some(record) = record.as_ref().filter(|record| !book::has_ended(record)) {
        // Only its film is missing.
        if film.as_ref().is_none_or(|film| film.captured().is_none()) {
            return Err(EraseError::GoesOn(id.to_owned()));
        }
        let mut ended = record.clone();
        ended.set_status(EgressStatus::EgressFailed);
        "it was erased before its film was made".clone_into(&mut ended.error);
        store.update_egress(tenant, &ended).await?;
    }
    if let Some(film) = film {
        // The key first. Whoever makes the film sees it, and ends.
        film.erase().map_err(|source| EraseError::Files { path: directory.to_owned(), source })?;
    }
    let known = record.as_ref().is_some_and(|record| !record.file_results.is_empty());
    if record.is_none() && !folder.exists() {
        return Err(unknown());
    }
    let there = upload::erase(remote, (tenant, id), &folder).await;
    there.map_err(|source| EraseError::Storage { id: id.to_owned(), source })?;
    let removed = tokio::task::spawn_blocking(move || remove(&folder, known)).await;
    let (written_ms, files, bytes) = removed.map_err(|panic| EraseError::Files {
        path: directory.to_owned(),
        source: io::Error::other(panic),
    })??;
    let record = record.unwrap_or_default();
    let ended_ms = if record.ended_at == 0 { written_ms } else { millis(record.ended_at) };
    let erasure = Erasure {
        egress_id: id.to_owned(),
        started_ms: millis(record.started_at),
        ended_ms,
        erased_ms: now_ms,
        why,
        // Some of them may be gone since an earlier try.
        files: files.max(record.file_results.len() as u64),
        bytes: bytes.max(bytes_of(&record)),
        room: record.room_name,
    };
    let who = match why {
        EraseReason::Retention => Who::Server,
        EraseReason::Asked => Who::Operator,
    };
    let event = Event { time_ms: now_ms, ..Event::new(tenant.as_str(), Act::RecordingErase, who) };
    let event = event.on("recording", id).saying(why.as_str());
    store.erase_egress_with(tenant, &erasure, &[event]).await?;
    Ok(erasure)
}

/// Removes a folder with all that is in it, and waits until the disk has it so. Gives what there was: when anything was written
/// last, files, and bytes. With `known` files, the folder above must be there: an empty place is no proof that they are gone.
fn remove(folder: &Path, known: bool) -> Result<(i64, u64, u64), EraseError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| EraseError::Files { path, source }
    };
    let above = folder.parent().unwrap_or(folder);
    match fs::symlink_metadata(folder) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Err(EraseError::Elsewhere(folder.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if known && !above.is_dir() {
                return Err(EraseError::NotThere(above.to_owned()));
            }
            return Ok((0, 0, 0));
        }
        Err(error) => return Err(failed(folder)(error)),
    }
    let weight = weigh(folder).map_err(failed(folder))?;
    fs::remove_dir_all(folder).map_err(failed(folder))?;
    File::open(above).and_then(|above| above.sync_all()).map_err(failed(above))?;
    Ok(weight)
}

/// When a folder or a file in it was written last, in milliseconds since 1970; how many files there are, and their bytes.
fn weigh(folder: &Path) -> io::Result<(i64, u64, u64)> {
    let written = |metadata: &fs::Metadata| {
        let since = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    };
    let (mut last, mut files, mut bytes) = (written(&fs::symlink_metadata(folder)?), 0, 0);
    for entry in fs::read_dir(folder)? {
        let metadata = entry?.metadata()?;
        last = last.max(written(&metadata));
        if metadata.is_file() {
            files += 1;
            bytes += metadata.len();
        }
    }
    Ok((last, files, bytes))
}

/// The folders in one, by name; nothing where there is none. Links are none.
fn subfolders(path: &Path, problems: &mut Vec<EraseError>) -> Vec<(String, PathBuf)> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(source) => {
            problems.push(EraseError::Files { path: path.to_owned(), source });
            return Vec::new();
        }
    };
    let is_folder = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    let found = entries.filter_map(Result::ok).filter(is_folder);
    let mut found: Vec<_> =
        found.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path()))).collect();
    found.sort();
    found
}

/// What the files and segments of a record take, in bytes.
pub(super) fn bytes_of(egress: &EgressInfo) -> u64 {
    let sizes = egress.file_results.iter().map(|file| file.size);
    let sizes = sizes.chain(egress.segment_results.iter().map(|segments| segments.size));
    sizes.map(|size| u64::try_from(size).unwrap_or_default()).sum()
}

/// Nanoseconds since 1970 as milliseconds.
pub(super) fn millis(nanos: i64) -> i64 {
    nanos / 1_000_000
}
