// SPDX-License-Identifier: EUPL-1.2
//! Recordings: which go on, and who does them. [`RecordingEngine`] is what [`parvis_api::Api::record`] takes: it checks what is
//! asked for ([`request`]), lets a recorder into the room, and gives each recording a task of its own ([`task`]), which starts
//! a media worker ([`worker`]), tells it what it is to know of its room ([`present`]) and writes down what becomes of it ([`book`]); [`counts`] says how often.
//! What was recorded lies on the disk ([`kept`]) until its time is over ([`retention`]); [`command`] is `parvis recording`.
//!
//! **The one invariant: a worker costs its call nothing.** It may hang, die, flood or be slow: nothing in a room waits for it,
//! and all that waits for it here is bounded and counted.

mod book;
pub(crate) mod command;
mod counts;
mod kept;
mod present;
mod request;
mod retention;
mod task;
mod words;
mod worker;

use std::collections::{HashMap, HashSet};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use livekit_protocol::EgressInfo;
use nix::sys::statvfs::statvfs;
use parvis_api::{CAPTURE_LAYOUT, EgressEngine, EngineError, RecorderError, Recorders, Source, TenantId};
use parvis_jobs::{JobConfig, Protection, Quota, StopReason};
use parvis_signal::{RecordError, Recorder, RecordingNews};
use tokio::sync::{Notify, mpsc};

use counts::Counts;
pub(crate) use retention::Retention;
use task::{Input, Task};

/// The future that this engine's answers are.
type Answer<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What may wait for one recording's task. Beyond, its worker is told all anew.
const INBOX: usize = 4_096;
/// Characters of a tenant's name that is a folder's name as it is.
const MAX_FOLDER_CHARS: usize = 64;

/// How recordings are made.
#[derive(Debug, Clone)]
pub(crate) struct RecordingSettings {
    /// Where they lie.
    pub(crate) directory: PathBuf,
    /// The worker's executable.
    pub(crate) worker: PathBuf,
    /// Whether it may run where the kernel can't hold it back.
    pub(crate) unconfined: bool,
    /// Whether media has an address of IPv4, and packets reach workers by that.
    pub(crate) ipv4: bool,
    /// For whom they are sealed.
    pub(crate) protection: Protection,
    /// As what a recorder is seen.
    pub(crate) name: String,
    /// How many go on at one time.
    pub(crate) max_jobs: usize,
    /// What bounds each.
    pub(crate) quota: Quota,
    /// How patient each is with its worker.
    pub(crate) job: JobConfig,
    /// How often the record is brought up to date.
    pub(crate) progress: Duration,
}

/// Why recordings can't be made as they are configured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordingError {
    #[error("recording.directory: {} can't be written to: {source}; make it, or name another one", path.display())]
    Directory { path: PathBuf, source: std::io::Error },
    #[error(
        "recording.worker: {} is no file that can be run: {source}; install the media worker there, or name it", path.display()
    )]
    Worker { path: PathBuf, source: std::io::Error },
    #[error("recording.min_free_bytes: {free} bytes are free at {}, {wanted} are to stay free", path.display())]
    Full { path: PathBuf, free: u64, wanted: u64 },
}

/// What all recordings share.
pub(crate) struct Shared {
    pub(crate) settings: RecordingSettings,
    pub(crate) recorders: Recorders,
    pub(crate) counts: Counts,
    jobs: Mutex<HashMap<String, Handle>>,
    /// Rung when one has ended.
    gone: Notify,
}

/// One recording, as others reach it.
#[derive(Clone)]
struct Handle {
    inbox: mpsc::Sender<Input>,
    /// Something it was to hear found no place.
    missed: Arc<AtomicBool>,
    /// It is to end, and why: heard even when the inbox is full.
    ending: Arc<Mutex<Option<StopReason>>>,
}

impl Handle {
    /// Has it end, for the first of all reasons.
    fn end(&self, reason: StopReason) {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
        // One whose inbox is full looks there soon.
        let _ = self.inbox.try_send(Input::Wake);
    }
}

/// See the module's page.
#[derive(Clone)]
pub(crate) struct RecordingEngine(Arc<Shared>);

impl RecordingEngine {
    /// Ready to record in these rooms.
    pub(crate) fn new(settings: RecordingSettings, recorders: Recorders) -> RecordingEngine {
        RecordingEngine(Arc::new(Shared {
            settings,
            recorders,
            counts: Counts::default(),
            jobs: Mutex::default(),
            gone: Notify::new(),
        }))
    }

    /// Ends all recordings, and waits until what they hold is written, at most so long.
    pub(crate) async fn close(&self, limit: Duration) {
        let handles: Vec<Handle> = self.0.jobs().values().cloned().collect();
        for handle in handles {
            handle.end(StopReason::Shutdown);
        }
        let emptied = async {
            loop {
                let gone = self.0.gone.notified();
                tokio::pin!(gone);
                gone.as_mut().enable();
                if self.0.jobs().is_empty() {
                    return;
                }
                gone.await;
            }
        };
        if tokio::time::timeout(limit, emptied).await.is_err() {
            tracing::warn!("recordings did not end in time");
        }
    }

    /// The ids of those that go on.
    fn running(&self) -> HashSet<String> {
        self.0.jobs().keys().cloned().collect()
    }

    /// The counters for the metrics page.
    pub(crate) fn figures(&self) -> Source {
        let shared = Arc::clone(&self.0);
        Arc::new(move || shared.counts.samples(shared.jobs().len()))
    }
}

impl Shared {
    fn jobs(&self) -> MutexGuard<'_, HashMap<String, Handle>> {
        // Nothing in these short sections panics half way.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an ended recording out.
    pub(crate) fn forget(&self, id: &str) {
        self.jobs().remove(id);
        self.gone.notify_waiters();
    }

    async fn begin(
        &self,
        tenant: &TenantId,
        egress: &EgressInfo,
    ) -> Result<(Handle, mpsc::Receiver<Input>), EngineError> {
        let scope = request::scope_of(egress)?;
        let settings = &self.settings;
        let id = &egress.egress_id;
        check_space(settings).map_err(|error| {
            Counts::add(&self.counts.refused_space, 1);
            EngineError::Busy(error.to_string())
        })?;
        let (inbox, receiver) = mpsc::channel(INBOX);
        let handle = Handle { inbox, missed: Arc::default(), ending: Arc::default() };
        {
            let mut jobs = self.jobs();
            if jobs.len() >= settings.max_jobs {
                Counts::add(&self.counts.refused_jobs, 1);
                let limit = settings.max_jobs;
                return Err(EngineError::Busy(format!("{limit} recordings go on (recording.max_jobs)")));
            }
            jobs.insert(id.clone(), handle.clone());
        }
        let recorder = Recorder { identity: id.clone(), name: settings.name.clone(), scope };
        if let Err(error) = self.recorders.announce(tenant, &egress.room_name, recorder).await {
            self.forget(id);
            return Err(refused(&error));
        }
        Ok((handle, receiver))
    }
}

impl EgressEngine for RecordingEngine {
    fn start<'a>(
        &'a self,
        tenant: &'a TenantId,
        egress: &'a EgressInfo,
    ) -> Answer<'a, Result<(), EngineError>> {
        Box::pin(async move {
            let (handle, receiver) = self.0.begin(tenant, egress).await?;
            Counts::add(&self.0.counts.started, 1);
            let task = Task::new(Arc::clone(&self.0), tenant.clone(), egress.clone(), handle, receiver);
            tokio::spawn(task.run());
            Ok(())
        })
    }

    fn set_layout<'a>(&'a self, _: &'a str, layout: &'a str) -> Answer<'a, Result<(), EngineError>> {
        Box::pin(async move {
            if layout == CAPTURE_LAYOUT {
                return Ok(());
            }
            Err(EngineError::Unable(request::no_layout(layout)))
        })
    }

    fn set_urls<'a>(
        &'a self,
        _: &'a str,
        _: &'a [String],
        _: &'a [String],
    ) -> Answer<'a, Result<(), EngineError>> {
        Box::pin(async { Err(EngineError::Unable(request::NO_STREAMS.to_owned())) })
    }

    fn stop<'a>(&'a self, egress_id: &'a str) -> Answer<'a, Result<(), EngineError>> {
        Box::pin(async move {
            let handle = self.0.jobs().get(egress_id).cloned().ok_or(EngineError::Unknown)?;
            // It must not wait: the task may wait for the record, which whoever stops it holds.
            handle.end(StopReason::Requested);
            Ok(())
        })
    }

    fn resume<'a>(&'a self, _: &'a TenantId, _: &'a EgressInfo) -> Answer<'a, bool> {
        // The room that it recorded ended with the server.
        Box::pin(async { false })
    }

    fn news(&self, egress_id: &str, news: RecordingNews) {
        let Some(handle) = self.0.jobs().get(egress_id).cloned() else { return };
        if let RecordingNews::Gone(reason) = &news {
            return handle.end(task::stop_reason(*reason));
        }
        if handle.inbox.try_send(Input::News(Box::new(news))).is_err() {
            handle.missed.store(true, Ordering::Release);
            Counts::add(&self.0.counts.news_lost, 1);
        }
    }

    fn file(&self, tenant: &TenantId, egress_id: &str, name: &str) -> Option<PathBuf> {
        let folder = folder(&self.0.settings.directory, tenant, egress_id)?;
        is_plain(name).then(|| folder.join(name))
    }
}

/// Whether recordings can be made here, for `parvis check` and the start.
pub(crate) fn check(settings: &RecordingSettings) -> Result<(), RecordingError> {
    let directory = &settings.directory;
    let failed = |source| RecordingError::Directory { path: directory.clone(), source };
    std::fs::create_dir_all(directory).map_err(failed)?;
    let probe = directory.join(format!(".parvis-{:016x}", rand::random::<u64>()));
    std::fs::write(&probe, []).and_then(|()| std::fs::remove_file(&probe)).map_err(failed)?;
    worker::check(&settings.worker)
        .map_err(|source| RecordingError::Worker { path: settings.worker.clone(), source })?;
    check_space(settings)
}

fn check_space(settings: &RecordingSettings) -> Result<(), RecordingError> {
    let path = settings.directory.clone();
    let stat = match statvfs(&path) {
        Ok(stat) => stat,
        Err(errno) => return Err(RecordingError::Directory { path, source: errno.into() }),
    };
    let free = stat.blocks_available().saturating_mul(stat.fragment_size());
    let wanted = settings.quota.keep_free_bytes;
    if free <= wanted {
        return Err(RecordingError::Full { path, free, wanted });
    }
    Ok(())
}

/// Where a recording lies. `None` for an id that is none of ours.
pub(crate) fn folder(directory: &Path, tenant: &TenantId, egress_id: &str) -> Option<PathBuf> {
    let is_word = |text: &str| {
        !text.is_empty()
            && text.len() <= MAX_FOLDER_CHARS
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    };
    // Whatever else an organisation calls itself: no name of a folder has an equals sign that is none of these.
    let tenant = match tenant.as_str() {
        word if is_word(word) => word.to_owned(),
        other => format!("={}", hex::encode(other)),
    };
    is_word(egress_id).then(|| directory.join(tenant).join(egress_id))
}

/// Whose recordings lie in a folder of this name: the other way round than [`folder`].
fn tenant_of(name: &str) -> Option<TenantId> {
    match name.strip_prefix('=') {
        Some(digits) => String::from_utf8(hex::decode(digits).ok()?).ok().map(TenantId::new),
        None => Some(TenantId::new(name)),
    }
}

/// Whether a name is one file's, in no other folder and not hidden.
fn is_plain(name: &str) -> bool {
    let mut components = Path::new(name).components();
    let single = matches!((components.next(), components.next()), (Some(Component::Normal(_)), None));
    single
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

fn refused(error: &RecorderError) -> EngineError {
    match error {
        RecorderError::NoRoom
        | RecorderError::Refused(
            RecordError::NoParticipant(_) | RecordError::NoTrack(_) | RecordError::Gone,
        ) => EngineError::NotThere(error.to_string()),
        RecorderError::Refused(RecordError::Encrypted(_)) => EngineError::Unable(error.to_string()),
        RecorderError::Refused(RecordError::Refused(_)) => EngineError::Failed(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_51_no_name_leads_out_of_a_recordings_folder() {
        for name in ["a.mkv.age", "manifest.json", "t-1_2.mkv"] {
            assert!(is_plain(name), "{name}");
        }
        for name in [
            "",
            ".",
            "..",
            "../a",
            "a/b",
            "/etc/passwd",
            ".hidden",
            "a\\b",
            "a\0b",
            "a b",
            "a\u{2215}b",
            "a/",
            "./a",
        ] {
            assert!(!is_plain(name), "{name:?}");
        }
        let base = Path::new("/kept");
        let of = |tenant: &str, id: &str| folder(base, &TenantId::new(tenant), id);
        assert_eq!(of("default", "EG_1"), Some(PathBuf::from("/kept/default/EG_1")));
        assert_eq!(of("..", "EG_1"), Some(PathBuf::from("/kept/=2e2e/EG_1")));
        assert_eq!(of("a/b", "EG_1"), Some(PathBuf::from("/kept/=612f62/EG_1")));
        for id in ["", "..", "EG_1/../EG_2", "EG.1"] {
            assert_eq!(of("default", id), None, "{id:?}");
        }
        for tenant in ["default", "..", "a/b", "ü"] {
            let folder = of(tenant, "EG_1").unwrap();
            let name = folder.parent().unwrap().file_name().unwrap().to_str().unwrap();
            assert_eq!(tenant_of(name), Some(TenantId::new(tenant)));
        }
    }
}
