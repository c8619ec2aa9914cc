// SPDX-License-Identifier: EUPL-1.2
//! Recordings: which go on, and who does them. [`RecordingEngine`] is what [`parvis_api::Api::record`] takes: it checks what is
//! asked for ([`request`]), lets a recorder into the room ([`begin`]), and gives each recording a task of its own ([`task`]), which starts
//! a media worker ([`worker`]), tells it what it is to know of its room ([`present`], [`chat`]) and writes down what becomes of it ([`book`]); [`counts`] says how often, [`encoders`] who encoded.
//! Of what was captured a film is made, if one was asked for ([`film`]); what is streamed meanwhile is in [`live`].
//! What was recorded lies on the disk ([`kept`]) until its time is over ([`retention`]), and in a storage besides or instead ([`upload`]); [`command`] is `parvis recording`.
//!
//! **The one invariant: a worker costs its call nothing.** It may hang, die, flood or be slow: nothing in a room waits for it,
//! and all that waits for it here is bounded and counted.

mod begin;
mod book;
mod chat;
pub(crate) mod command;
mod counts;
mod encoders;
mod film;
mod kept;
mod live;
mod names;
mod present;
mod request;
mod retention;
/// The stores that the store's own tests use.
#[cfg(test)]
#[path = "../../../store/tests/common/mod.rs"]
mod stores;
mod task;
mod upload;
mod words;
mod worker;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use livekit_protocol::EgressInfo;
use nix::sys::statvfs::statvfs;
use parvis_api::{
    CAPTURE_LAYOUT, EgressEngine, EngineError, FilmState, Recorders, Source, TenantId, Watched,
};
use parvis_jobs::{JobConfig, LiveLayout, Protection, Quota, StopReason};
use parvis_signal::{RecordScope, RecordingNews};
use tokio::sync::{Notify, mpsc};

use counts::Counts;
pub(crate) use encoders::EncoderCounts;
pub(crate) use film::FilmSettings;
pub(crate) use film::wish::{Bounds as FilmBounds, layout_of as film_layout};
use film::{Films, Place, place};
pub(crate) use live::{Lengths, LiveSettings, PushSettings};
use live::{LiveWish, Shelves};
pub(crate) use names::folder;
use names::{is_plain, tenant_of};
pub(crate) use retention::{Keep, Retention};
use task::{Input, Task};
pub(crate) use upload::{Allowed, Remote, RemoteError, Requested, StorageSettings, Uploads};

/// The future that this engine's answers are.
type Answer<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What may wait for one recording's task. Beyond, its worker is told all anew.
const INBOX: usize = 4_096;

/// How recordings are made.
#[derive(Debug, Clone)]
pub(crate) struct RecordingSettings {
    /// Where they lie.
    pub(crate) directory: PathBuf,
    /// The worker's executable.
    pub(crate) worker: PathBuf,
    /// Whether it may run where the kernel can't hold it back.
    pub(crate) unconfined: bool,
    /// Who encodes, as the worker's program takes it: `auto`, or a family.
    pub(crate) encoder: String,
    /// Whether media has an address of IPv4, and packets reach workers by that.
    pub(crate) ipv4: bool,
    /// For whom they are sealed.
    pub(crate) protection: Protection,
    /// A file with keys that open them, for films that are asked for afterwards.
    pub(crate) identity: Option<PathBuf>,
    /// As what a recorder is seen.
    pub(crate) name: String,
    /// How many go on at one time.
    pub(crate) max_jobs: usize,
    /// What bounds each.
    pub(crate) quota: Quota,
    /// The most that each keeps of the chat, in bytes of memory.
    pub(crate) chat_bytes: usize,
    /// How patient each is with its worker.
    pub(crate) job: JobConfig,
    /// How often the record is brought up to date.
    pub(crate) progress: Duration,
    /// How rooms are streamed; `None` where they are not.
    pub(crate) live: Option<LiveSettings>,
    /// Where requests may have it sent.
    pub(crate) requested: Requested,
    /// How films are made.
    pub(crate) film: FilmSettings,
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
    #[error("{0}; name a file of `age-keygen` that the server may read, or leave it out")]
    Identity(String),
    #[error("recording.min_free_bytes: {free} bytes are free at {}, {wanted} are to stay free", path.display())]
    Full { path: PathBuf, free: u64, wanted: u64 },
}

/// What all recordings share.
pub(crate) struct Shared {
    pub(crate) settings: RecordingSettings,
    pub(crate) recorders: Recorders,
    pub(crate) counts: Counts,
    pub(crate) encoders: Arc<EncoderCounts>,
    films: Films,
    pub(crate) shelves: Arc<Shelves>,
    jobs: Mutex<HashMap<String, Handle>>,
    /// Rung when one has ended.
    gone: Notify,
    /// Where files lie besides, or instead.
    remote: OnceLock<Remote>,
}

/// One recording, as others reach it.
#[derive(Clone)]
struct Handle {
    inbox: mpsc::Sender<Input>,
    /// Something it was to hear found no place.
    missed: Arc<AtomicBool>,
    /// It is to end, and why: heard even when the inbox is full.
    ending: Arc<Mutex<Option<StopReason>>>,
    /// A film is made of it.
    film: bool,
    /// It is streamed: whether it shows pictures, and how many targets it has.
    live: Option<(bool, Arc<AtomicUsize>)>,
}

/// A recording that is about to begin.
struct Begun {
    handle: Handle,
    inbox: mpsc::Receiver<Input>,
    scope: RecordScope,
    film: Option<Place>,
    live: Option<LiveWish>,
    keeps: bool,
    protection: Protection,
    /// The storage that was asked for.
    storage: Option<Remote>,
}

impl Handle {
    /// Has it end, for the first of all reasons.
    fn end(&self, reason: StopReason) {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
        // One whose inbox is full looks there soon.
        let _ = self.inbox.try_send(Input::Wake);
    }

    /// Tells it what is asked for while it goes on.
    fn say(&self, input: Input) -> Result<(), EngineError> {
        self.inbox.try_send(input).map_err(|_| EngineError::Busy("too much waits for this one".to_owned()))
    }

    /// Changes the layout of a stream.
    fn lay_out(&self, pictures: bool, layout: &str) -> Result<(), EngineError> {
        let layout = match layout == CAPTURE_LAYOUT {
            true => return Err(EngineError::Unable(request::NO_STREAMS.to_owned())),
            false => live::layout(film::wish::layout_of(layout)?),
        };
        if (layout != LiveLayout::Audio) != pictures {
            let why = "a stream has pictures from its beginning to its end, or none: begin another one";
            return Err(EngineError::Unable(why.to_owned()));
        }
        self.say(Input::Layout(layout))
    }
}

/// See the module's page.
#[derive(Clone)]
pub(crate) struct RecordingEngine(Arc<Shared>);

impl RecordingEngine {
    /// Ready to record in these rooms. Call it in a runtime.
    pub(crate) fn new(settings: RecordingSettings, recorders: Recorders) -> RecordingEngine {
        let encoders = Arc::<EncoderCounts>::default();
        let films = Films::new(settings.clone(), recorders.clone(), Arc::clone(&encoders));
        RecordingEngine(Arc::new(Shared {
            settings,
            films,
            recorders,
            counts: Counts::default(),
            encoders,
            shelves: Arc::default(),
            jobs: Mutex::default(),
            gone: Notify::new(),
            remote: OnceLock::new(),
        }))
    }

    /// Has files that don't lie here fetched there.
    pub(crate) fn set_storage(&self, remote: Remote) {
        let _ = self.0.remote.set(remote);
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
        self.0.films.close().await;
    }

    /// Erases what lies there for films that nobody waits for any more. Call it once, when what had begun before the start was
    /// taken up.
    pub(crate) fn tidy(&self) {
        self.0.films.resume_later();
        place::tidy(&self.0.settings.directory, |tenant, id| {
            self.0.films.knows(tenant, id) || self.0.jobs().contains_key(id)
        });
    }

    /// The ids of those that go on.
    fn running(&self) -> HashSet<String> {
        self.0.jobs().keys().cloned().collect()
    }

    /// The counters for the metrics page.
    pub(crate) fn figures(&self) -> Source {
        let shared = Arc::clone(&self.0);
        Arc::new(move || {
            let mut samples = shared.counts.samples(shared.jobs().len());
            samples.extend(shared.films.samples());
            samples.extend(shared.shelves.samples());
            samples.extend(shared.encoders.samples());
            samples
        })
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
}

impl EgressEngine for RecordingEngine {
    fn start<'a>(
        &'a self,
        tenant: &'a TenantId,
        egress: &'a EgressInfo,
    ) -> Answer<'a, Result<(), EngineError>> {
        Box::pin(async move {
            let begun = self.0.begin(tenant, egress).await?;
            Counts::add(&self.0.counts.started, 1);
            let task = Task::new(Arc::clone(&self.0), tenant.clone(), egress.clone(), begun);
            tokio::spawn(task.run());
            Ok(())
        })
    }

    fn set_layout<'a>(&'a self, egress_id: &'a str, layout: &'a str) -> Answer<'a, Result<(), EngineError>> {
        Box::pin(async move {
            let handle = self.0.jobs().get(egress_id).cloned().ok_or(EngineError::Unknown)?;
            let film = handle.film;
            if let Some((pictures, _)) = handle.live {
                return handle.lay_out(pictures, layout);
            }
            match (film, layout == CAPTURE_LAYOUT) {
                (false, true) => Ok(()),
                // The whole film has the last one: it is made of the record.
                (true, false) => film::wish::layout_of(layout).map(drop),
                (false, false) => Err(EngineError::Unable(format!(
                    "this recording keeps every track as it is sent, and has no layout but {CAPTURE_LAYOUT:?}: begin another one for a film"
                ))),
                (true, true) => Err(EngineError::Unable(format!(
                    "a film is made of this recording: ask for one of its layouts, or begin another one with {CAPTURE_LAYOUT:?}"
                ))),
            }
        })
    }

    fn set_urls<'a>(
        &'a self,
        egress_id: &'a str,
        add: &'a [String],
        remove: &'a [String],
    ) -> Answer<'a, Result<(), EngineError>> {
        Box::pin(async move {
            let handle = self.0.jobs().get(egress_id).cloned().ok_or(EngineError::Unknown)?;
            let (Some((_, active)), Some(settings)) = (&handle.live, &self.0.settings.live) else {
                return Err(EngineError::Unable(request::NO_STREAMS.to_owned()));
            };
            let stay = active.load(Ordering::Acquire).saturating_sub(remove.len());
            live::check(add, stay, settings)?;
            handle.say(Input::Urls { add: add.to_vec(), remove: remove.to_vec() })
        })
    }

    fn watch<'a>(&'a self, key: &'a str, name: &'a str, query: &'a str) -> Answer<'a, Watched> {
        Box::pin(self.0.shelves.answer(key, name, query))
    }

    fn stop<'a>(&'a self, egress_id: &'a str) -> Answer<'a, Result<(), EngineError>> {
        Box::pin(async move {
            let handle = self.0.jobs().get(egress_id).cloned().ok_or(EngineError::Unknown)?;
            // It must not wait: the task may wait for the record, which whoever stops it holds.
            handle.end(StopReason::Requested);
            Ok(())
        })
    }

    fn resume<'a>(&'a self, tenant: &'a TenantId, egress: &'a EgressInfo) -> Answer<'a, bool> {
        // The room that it recorded ended with the server; a film of it is made all the same.
        Box::pin(async move { self.0.films.resume(tenant, egress) })
    }

    fn film<'a>(
        &'a self,
        tenant: &'a TenantId,
        egress: &'a EgressInfo,
        layout: &'a str,
    ) -> Answer<'a, Result<(), EngineError>> {
        Box::pin(async move { self.0.films.ask(tenant, egress, layout) })
    }

    fn film_of(&self, tenant: &TenantId, egress: &EgressInfo) -> FilmState {
        self.0.films.state(tenant, egress)
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

    fn elsewhere<'a>(
        &'a self,
        tenant: &'a TenantId,
        egress_id: &'a str,
        name: &'a str,
    ) -> Answer<'a, Option<String>> {
        Box::pin(async move {
            let folder = folder(&self.0.settings.directory, tenant, egress_id)?;
            let remote = self.0.remote.get().filter(|_| is_plain(name))?;
            upload::signed(remote, (tenant, egress_id), (&folder, name)).await
        })
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
    settings
        .identity
        .as_deref()
        .map_or(Ok(()), |path| film::identities(path).map(drop))
        .map_err(RecordingError::Identity)?;
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

/// Erases what lies there for films, where no more recordings are made.
pub(crate) fn tidy(directory: &Path) {
    place::tidy(directory, |_, _| false);
}
