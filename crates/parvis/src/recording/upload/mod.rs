// SPDX-License-Identifier: EUPL-1.2
//! Recordings in a storage that speaks S3 ([`remote`], over [`http`]). What has ended, its film included, is sent there file by file; how
//! far that is lies beside the files ([`state`]), so that it goes on after a restart of either side. Then the record says where they lie.
//!
//! **The one invariant: nothing is lost to a storage.** A recording is written to the disk first, and its files go from there, if they are
//! to go, only when all of them lie in the storage, whole, and the record says so. A storage that is down is tried again and again,
//! and neither calls nor recordings wait for it. Segments of streams go there as they come ([`flow`]), by the same rule.

mod flow;
mod http;
mod remote;
mod requested;
mod state;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream;
use livekit_protocol::EgressInfo;
use parvis_api::{EgressError, Recorders, Sample, Source};
use parvis_store::{Store, StoreError, TenantId};

use self::state::State;
use super::film::Place;
use super::kept::folders;
use super::live::PLAYLIST;
use super::{book, folder, is_plain};

pub(crate) use self::flow::{Destination, Flow, FlowCounts};
pub(crate) use self::remote::{Remote, RemoteError, StorageSettings};
pub(crate) use self::requested::{Allowed, Requested};

/// How often it is looked for what has ended, …
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// … and at least, while the storage does not take it.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_secs(600);

/// In a recording's folder: something has come to what was sent already.
const SEND_AGAIN: &str = ".send_again";

/// Has what has come to a recording that was sent already sent too.
pub(super) fn send_again(folder: &Path) -> io::Result<()> {
    match folder.join(state::FILE).exists() {
        true => fs::write(folder.join(SEND_AGAIN), []),
        false => Ok(()),
    }
}

/// Why a recording does not lie in the storage yet.
#[derive(Debug, thiserror::Error)]
enum UploadError {
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error("{}: {source}", path.display())]
    Files { path: PathBuf, source: io::Error },
    #[error("that it lies there can't be written down: {0}")]
    Record(#[from] EgressError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the storage that was asked for: {0}")]
    Requested(String),
}

#[derive(Debug, Default)]
struct Counts {
    recordings: AtomicU64,
    files: AtomicU64,
    bytes: AtomicU64,
    failed: AtomicU64,
    waiting: AtomicU64,
}

type Id = (TenantId, String);

/// See the module's page.
#[derive(Clone)]
pub(crate) struct Uploads {
    /// Where all goes that names no other storage; `None`: nowhere.
    remote: Option<Remote>,
    requested: Requested,
    directory: PathBuf,
    store: Store,
    recorders: Recorders,
    counts: Arc<Counts>,
    /// Those that need not be looked at again.
    done: Arc<Mutex<HashSet<Id>>>,
    /// When those are tried again whose own storage did not take them, and how long it is waited then: others don't wait for them.
    later: Arc<Mutex<HashMap<Id, (Instant, Duration)>>>,
}

/// Where one recording goes.
enum Way {
    To(Remote),
    /// It needs to go nowhere, or lies where it is no more this server's.
    Nowhere,
}

impl Uploads {
    /// Has what ends in this directory sent there.
    pub(crate) fn new(
        remote: Option<Remote>,
        requested: Requested,
        directory: PathBuf,
        store: Store,
        recorders: Recorders,
    ) -> Uploads {
        let counts = Arc::default();
        let (done, later) = (Arc::default(), Arc::default());
        Uploads { remote, requested, directory, store, recorders, counts, done, later }
    }

    /// Looks at once, and then again and again, less often while the storage does not do it.
    pub(crate) async fn run(self) {
        let mut wait = LOOK_EVERY;
        loop {
            wait = match self.pass().await {
                0 => LOOK_EVERY,
                _ => (wait * 2).min(LOOK_AT_LEAST_EVERY),
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Sends all that has ended and does not lie there yet. Gives how many still don't.
    async fn pass(&self) -> usize {
        let mut waiting = self.waiting().await;
        self.counts.waiting.store(waiting.len() as u64, Ordering::Relaxed);
        let now = Instant::now();
        {
            let mut later = self.later();
            let there: HashSet<&Id> = waiting.iter().map(|(id, _)| id).collect();
            later.retain(|id, _| there.contains(id));
            waiting.retain(|(id, _)| later.get(id).is_none_or(|(at, _)| *at <= now));
        }
        let parallel = self.requested.parallel.max(1);
        let sent = stream::iter(waiting).map(|(id, egress)| self.send(id, egress));
        sent.buffer_unordered(parallel).filter(|sent| std::future::ready(!sent)).count().await
    }

    /// What has ended, film and all, and is not known to lie there.
    async fn waiting(&self) -> Vec<(Id, EgressInfo)> {
        let directory = self.directory.clone();
        let found = tokio::task::spawn_blocking(move || folders(&directory).0).await.unwrap_or_default();
        let mut waiting = Vec::new();
        for found in found {
            let id = (found.tenant, found.id);
            let has_film = Place::of(&self.directory, &id.0, &id.1).is_some_and(|place| place.exists());
            let again =
                folder(&self.directory, &id.0, &id.1).is_some_and(|here| here.join(SEND_AGAIN).exists());
            if has_film || self.done().contains(&id) && !again {
                continue;
            }
            match self.store.egress(&id.0, &id.1).await {
                Ok(Some(egress)) if book::has_ended(&egress) => waiting.push((id, egress)),
                Ok(_) => {}
                Err(error) => tracing::warn!(recording = id.1, %error, "it is not sent to the storage"),
            }
        }
        waiting
    }

    /// Which way a recording goes.
    fn way(&self, egress: &EgressInfo, here: &Path) -> Result<Way, UploadError> {
        let failed = |source| UploadError::Files { path: here.to_owned(), source };
        if State::read(here).map_err(failed)?.is_some_and(|state| state.requested && state.done) {
            // Nobody has its key any more: what came to it since stays here.
            return match fs::remove_file(here.join(SEND_AGAIN)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
                _ => Ok(Way::Nowhere),
            };
        }
        match self.requested.of(egress).map_err(UploadError::Requested)? {
            Some(settings) => Ok(Way::To(Remote::new(settings)?)),
            None => Ok(self.remote.clone().map_or(Way::Nowhere, Way::To)),
        }
    }

    /// Sends one recording; whether nothing is left to be done, or others need not wait for it.
    async fn send(&self, id: Id, egress: EgressInfo) -> bool {
        let Some(here) = folder(&self.directory, &id.0, &id.1) else { return true };
        let remote = match self.way(&egress, &here) {
            Ok(Way::To(remote)) => remote,
            Ok(Way::Nowhere) => {
                self.counts.waiting.fetch_sub(1, Ordering::Relaxed);
                self.done().insert(id);
                return true;
            }
            Err(error) => return self.failed(id, &error, true),
        };
        let sent = self.send_files(&remote, &id, egress, &here).await;
        if !here.exists() {
            // It was erased meanwhile, and something of it may have been sent since.
            if let Err(error) = remote.erase(&id.0, &id.1, &remote.nothing_yet()).await {
                tracing::error!(recording = id.1, %error, "a recording was erased while it was sent; look whether some of it lies in the storage");
            }
            return true;
        }
        match sent {
            Ok(()) => {
                self.counts.waiting.fetch_sub(1, Ordering::Relaxed);
                self.done().insert(id);
                true
            }
            Err(error) => self.failed(id, &error, remote.settings().requested),
        }
    }

    /// It is tried again: in its own time where a request chose the storage, whose faults are nobody else's.
    fn failed(&self, id: Id, error: &UploadError, own: bool) -> bool {
        self.counts.failed.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(recording = id.1, tenant = %id.0, %error, "a recording is not in the storage yet; it stays here and is tried again");
        if own {
            let mut later = self.later();
            let wait = later.get(&id).map_or(LOOK_EVERY, |(_, wait)| (*wait * 2).min(LOOK_AT_LEAST_EVERY));
            later.insert(id, (Instant::now() + wait, wait));
        }
        own
    }

    async fn send_files(
        &self,
        remote: &Remote,
        id: &Id,
        mut egress: EgressInfo,
        here: &Path,
    ) -> Result<(), UploadError> {
        let failed = |source| UploadError::Files { path: here.to_owned(), source };
        let (tenant, egress_id) = (&id.0, id.1.as_str());
        let known = State::read(here).map_err(failed)?.filter(|state| state.place == remote.place());
        let mut state = known.unwrap_or_default();
        let again = here.join(SEND_AGAIN);
        if !state.done || again.exists() {
            (state.place, state.requested) = (remote.place(), remote.settings().requested);
            state.write(here).map_err(failed)?;
            for name in names(here).map_err(failed)? {
                if state.files.get(&name).is_some_and(|upload| upload.done) {
                    continue;
                }
                let sent = remote.send((tenant, egress_id), (here, &name), &mut state).await;
                if sent.is_err() {
                    state.write(here).map_err(failed)?;
                }
                sent?;
                let bytes = state.files.get(&name).map_or(0, |upload| upload.bytes);
                self.counts.files.fetch_add(1, Ordering::Relaxed);
                self.counts.bytes.fetch_add(bytes, Ordering::Relaxed);
            }
            for file in &mut egress.file_results {
                if state.files.contains_key(&file.filename) {
                    file.location = remote.url(tenant, egress_id, &file.filename);
                }
            }
            if let Some((_, name)) = egress.manifest_location.rsplit_once('/') {
                egress.manifest_location = remote.url(tenant, egress_id, name);
            }
            // The record forgets a request's keys now, which it takes to send what is not known to lie there.
            state.write(here).map_err(failed)?;
            self.recorders.egress_lies(tenant, egress).await?;
            state.done = true;
            state.write(here).map_err(failed)?;
            match fs::remove_file(&again) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
                _ => {}
            }
            self.counts.recordings.fetch_add(1, Ordering::Relaxed);
            tracing::info!(recording = egress_id, %tenant, files = state.files.len(), "a recording lies in the storage");
        }
        if !remote.settings().keep_local {
            for name in state.files.keys().filter(|name| is_plain(name)) {
                match fs::remove_file(here.join(name)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn done(&self) -> MutexGuard<'_, HashSet<Id>> {
        // Nothing in these short sections panics half way.
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn later(&self) -> MutexGuard<'_, HashMap<Id, (Instant, Duration)>> {
        // As above.
        self.later.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The counters for the metrics page.
    pub(crate) fn figures(&self) -> Source {
        let counts = Arc::clone(&self.counts);
        Arc::new(move || {
            let sample = |name: &str, help, counter, value: &AtomicU64| Sample {
                name: name.to_owned(),
                help,
                counter,
                labels: Vec::new(),
                value: value.load(Ordering::Relaxed) as f64,
            };
            vec![
                sample(
                    "parvis_recordings_uploaded_total",
                    "Recordings that were sent to the storage, all of their files.",
                    true,
                    &counts.recordings,
                ),
                sample(
                    "parvis_recording_upload_files_total",
                    "Files of recordings that were sent to the storage.",
                    true,
                    &counts.files,
                ),
                sample(
                    "parvis_recording_upload_bytes_total",
                    "Bytes of the files that were sent to the storage.",
                    true,
                    &counts.bytes,
                ),
                sample(
                    "parvis_recording_uploads_failed_total",
                    "Tries to send a recording to the storage that failed.",
                    true,
                    &counts.failed,
                ),
                sample(
                    "parvis_recordings_to_upload",
                    "Recordings that have ended and are not in the storage yet.",
                    false,
                    &counts.waiting,
                ),
            ]
        })
    }
}

/// Erases what lies in the storage of the recording in this folder. What went to one that a request named is no more ours to erase.
pub(super) async fn erase(
    remote: Option<&Remote>,
    (tenant, id): (&TenantId, &str),
    folder: &Path,
) -> Result<(), RemoteError> {
    let unread = |source| RemoteError::File { path: folder.to_owned(), source };
    let Some(state) = State::read(folder).map_err(unread)?.filter(|state| !state.requested) else {
        return Ok(());
    };
    match remote {
        Some(remote) => remote.erase(tenant, id, &state).await,
        None => Err(RemoteError::Elsewhere(state.place)),
    }
}

/// Where a file of the recording in this folder can be fetched for a minute; `None` if it does not lie in the storage.
pub(super) async fn signed(
    remote: &Remote,
    (tenant, id): (&TenantId, &str),
    (folder, name): (&Path, &str),
) -> Option<String> {
    let state =
        State::read(folder).ok()?.filter(|state| state.place == remote.place() && !state.requested)?;
    state.files.get(name).filter(|upload| upload.done)?;
    let signed = remote.signed(tenant, id, name).await;
    signed.inspect_err(|error| tracing::warn!(recording = id, %error, "no link to the storage")).ok()
}

/// The files of a recording, by name.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().into_string().unwrap_or_default();
        if is_plain(&name) && entry.file_type()?.is_file() {
            names.push(name);
        }
    }
    // What names others comes after them.
    names.sort_by_cached_key(|name| (name.ends_with(PLAYLIST), name.clone()));
    Ok(names)
}
