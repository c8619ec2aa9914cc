// SPDX-License-Identifier: EUPL-1.2
//! One recording: ties its state ([`parvis_jobs::Job`]) to its worker, its room and its record.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use livekit_protocol::{DisconnectReason, EgressInfo, EgressStatus};
use parvis_api::{JobStep, TenantId};
use parvis_jobs::{
    Action, Hello, Job, LiveLayout, Protection, Start, State, StopReason, ToServer, ToWorker, Why,
};
use parvis_sfu::{OutletKey, OutletSpec};
use parvis_signal::{RecordScope, RecordingNews};
use tokio::sync::mpsc;

use super::chat::ChatLog;
use super::film::{self, Captured, Place};
use super::live::{LiveJob, Push};
use super::present::{Clock, Present};
use super::upload::Destination;
use super::worker::{Launch, Worker};
use super::{Begun, Counts, Handle, Shared, book, folder};

/// What a server says of itself to its worker.
const SOFTWARE: &str = concat!("parvis ", env!("CARGO_PKG_VERSION"));
/// Repairs that a worker may ask for in a second.
const REPAIRS_PER_SECOND: u32 = 200;
/// Packets named in one of them.
const MAX_LOST: usize = 256;
/// How long a recording of tracks goes on when none of them comes any more: one may come again in another codec.
const TRACKS_GONE: Duration = Duration::from_secs(5);
/// How long a worker that said its last word has to end by itself.
const LEAVING: Duration = Duration::from_secs(5);

/// What a recording's task hears.
pub(super) enum Input {
    /// Its room has something to tell.
    News(Box<RecordingNews>),
    /// A worker said something.
    Worker { generation: u32, message: Box<ToServer> },
    /// A worker's stream is over, or can't be read.
    Broken { generation: u32, how: String },
    /// The layout of what is streamed is another one.
    Layout(LiveLayout),
    /// It is to be streamed to other places.
    Urls { add: Vec<String>, remove: Vec<String> },
    /// A target of its stream does something.
    Target { id: u64, push: Push },
    /// A worker's process is over.
    Exited { generation: u32, how: String },
    /// Something is to be looked at.
    Wake,
}

/// See the module's page.
pub(super) struct Task {
    shared: Arc<Shared>,
    tenant: TenantId,
    pub(super) egress: EgressInfo,
    pub(super) handle: Handle,
    inbox: mpsc::Receiver<Input>,
    folder: PathBuf,
    clock: Clock,
    worker: Option<Worker>,
    generation: u32,
    present: Option<Present>,
    chat: ChatLog,
    /// The present worker knows what to do: it was told `Start`, and all of the chat.
    briefed: bool,
    /// Since when none of the tracks to be recorded has come.
    tracks_gone: Option<Instant>,
    /// Why a worker that is being ended is.
    fault: Option<String>,
    next_progress: Instant,
    /// When the last second of repairs began, and how many it has had.
    repairs: (Instant, u32),
    /// Lost packets and strays of the present worker that are counted already.
    counted: (u64, u64),
    scope: RecordScope,
    /// Where a film is made of it afterwards, if one was asked for.
    film: Option<Place>,
    /// What is streamed of it.
    pub(super) live: Option<LiveJob>,
    /// Whether its tracks are kept.
    pub(super) keeps: bool,
    /// For whom its files are sealed.
    protection: Protection,
    /// Its capture is over, and its film follows.
    captured: bool,
}

impl Task {
    pub(super) fn new(shared: Arc<Shared>, tenant: TenantId, egress: EgressInfo, begun: Begun) -> Task {
        let Begun { handle, inbox, scope, film, live, keeps, protection, storage } = begun;
        let now = Instant::now();
        let directory = &shared.settings.directory;
        // Ids are ours and always words.
        let folder = folder(directory, &tenant, &egress.egress_id).unwrap_or_else(|| directory.clone());
        let settings = shared.settings.live.clone().map(|settings| (settings, Arc::clone(&shared.shelves)));
        let live = live.zip(settings).map(|(wish, settings)| {
            let storage = storage.as_ref().or(shared.remote.get()).map(|remote| Destination {
                remote: remote.clone(),
                tenant: tenant.clone(),
                egress: egress.egress_id.clone(),
                folder: folder.clone(),
            });
            LiveJob::new(wish, settings, (&egress.egress_id, &folder), handle.inbox.clone(), storage)
        });
        Task {
            next_progress: now + shared.settings.progress,
            chat: ChatLog::new(shared.settings.chat_bytes),
            shared,
            tenant,
            egress,
            handle,
            inbox,
            folder,
            clock: Clock::start(),
            worker: None,
            generation: 0,
            present: None,
            briefed: false,
            tracks_gone: None,
            fault: None,
            repairs: (now, 0),
            counted: (0, 0),
            scope,
            film,
            live,
            keeps,
            protection,
            captured: false,
        }
    }

    /// Runs until the recording has ended.
    pub(super) async fn run(mut self) {
        let (mut job, actions) = Job::new(Instant::now(), self.shared.settings.job);
        self.carry_out(&mut job, actions).await;
        while !job.state().is_final() {
            let wake = [job.deadline(), self.tracks_gone.map(|since| since + TRACKS_GONE)];
            let wake = wake.into_iter().flatten().chain([self.next_progress]).min();
            let wake = wake.unwrap_or(self.next_progress);
            let input = tokio::select! {
                input = self.inbox.recv() => input,
                () = tokio::time::sleep_until(wake.into()) => None,
            };
            let now = Instant::now();
            let actions = match input {
                Some(input) => self.handle(&mut job, now, input).await,
                None => job.tick(now),
            };
            self.carry_out(&mut job, actions).await;
            let actions = self.look_around(&mut job, now).await;
            self.carry_out(&mut job, actions).await;
        }
        self.end(&job).await;
    }

    async fn handle(&mut self, job: &mut Job, now: Instant, input: Input) -> Vec<Action> {
        match input {
            Input::News(news) => {
                self.news(now, *news);
                Vec::new()
            }
            Input::Worker { generation, message } if self.is_present(generation) => {
                self.said(job, now, *message).await
            }
            Input::Broken { generation, how } if self.is_present(generation) => {
                // Its exit follows, by itself or by force.
                self.fault.get_or_insert(how);
                if let Some(worker) = &self.worker {
                    worker.kill();
                }
                Vec::new()
            }
            Input::Exited { generation, how } if self.is_present(generation) => {
                self.worker = None;
                self.present = None;
                Counts::add(&self.shared.counts.workers_died, 1);
                let how = self.fault.take().map_or_else(|| how.clone(), |fault| format!("{fault}; {how}"));
                tracing::warn!(recording = self.egress.egress_id, how, "a media worker died");
                job.exited(now, &how)
            }
            // Of a worker that is gone.
            Input::Worker { .. } | Input::Broken { .. } | Input::Exited { .. } => Vec::new(),
            Input::Layout(layout) => {
                self.lay_out(layout);
                Vec::new()
            }
            Input::Urls { add, remove } => {
                self.stream_to(add, &remove).await;
                Vec::new()
            }
            Input::Target { id, push } => self.target(job, now, id, push).await,
            Input::Wake => Vec::new(),
        }
    }

    /// A worker said something.
    async fn said(&mut self, job: &mut Job, now: Instant, message: ToServer) -> Vec<Action> {
        match &message {
            ToServer::Ready { .. } => self.reached(JobStep::Worker),
            ToServer::Progress { bytes, .. } if *bytes > 0 => self.reached(JobStep::FirstBytes),
            ToServer::Segment(_) => self.reached(JobStep::FirstBytes),
            _ => {}
        }
        match &message {
            ToServer::Hello(hello) => {
                match hello.agree() {
                    Ok(_) => self.tell(&ToWorker::Hello(Hello::ours(SOFTWARE))),
                    Err(error) => {
                        self.fault = Some(error.to_string());
                        if let Some(worker) = &self.worker {
                            worker.kill();
                        }
                    }
                }
                return Vec::new();
            }
            ToServer::Ready { confinement } if !confinement.missing.is_empty() => {
                let missing = confinement.missing.join("; ");
                tracing::warn!(
                    recording = self.egress.egress_id,
                    missing,
                    "a media worker is not held as it should be"
                );
            }
            ToServer::SourceRefused { track, why } => {
                Counts::add(&self.shared.counts.sources_refused, 1);
                tracing::warn!(recording = self.egress.egress_id, track, why, "a track is not recorded");
            }
            ToServer::KeyFrameWanted { track } => self.repair(now, track, Vec::new()).await,
            ToServer::Nack { track, sequences } => {
                let lost = sequences.iter().copied().take(MAX_LOST).collect();
                self.repair(now, track, lost).await;
            }
            ToServer::Progress { tracks, strays, .. } => {
                let lost: u64 = tracks.iter().map(|track| track.lost).sum();
                Counts::add(&self.shared.counts.packets_lost, lost.saturating_sub(self.counted.0));
                Counts::add(&self.shared.counts.strays, strays.saturating_sub(self.counted.1));
                self.counted = (lost.max(self.counted.0), (*strays).max(self.counted.1));
            }
            ToServer::Segment(told) => {
                if let Some(live) = &mut self.live {
                    live.segment(told).await;
                }
            }
            ToServer::Image { name, number, at } => {
                if let Some(live) = &mut self.live {
                    live.picture(name, *number, *at).await;
                }
            }
            ToServer::Encoder(note) => self.shared.encoders.note(note),
            ToServer::LiveFailed(failure) => return self.live_failed(job, now, failure.clone()).await,
            _ => {}
        }
        let starts = matches!(message, ToServer::Started);
        let mut actions = job.message(now, &message);
        let most = self.shared.settings.quota.bytes;
        if self.live.as_ref().is_some_and(|live| live.is_full(most)) {
            actions.extend(job.stop(now, StopReason::QuotaReached));
        }
        if starts && !job.state().is_final() && self.open_outlet().await.is_err() {
            // Whoever sent the recorder out of the room wanted no recording.
            let mut all = actions;
            all.extend(job.stop(now, StopReason::RoomEnded));
            return all;
        }
        actions
    }

    async fn carry_out(&mut self, job: &mut Job, actions: Vec<Action>) {
        let mut waiting = std::collections::VecDeque::from(actions);
        while let Some(action) = waiting.pop_front() {
            match action {
                Action::Spawn { restart } => {
                    if let Err(error) = self.spawn(restart) {
                        let how =
                            format!("{} can't be started: {error}", self.shared.settings.worker.display());
                        tracing::error!(recording = self.egress.egress_id, how, "no media worker");
                        waiting.extend(job.exited(Instant::now(), &how));
                    }
                }
                Action::SendStart => {
                    self.tell(&self.start(job.restarts()));
                    self.briefed = true;
                    // Right after it: one that is told to stop at once keeps it all the same.
                    for message in self.chat.all() {
                        self.tell(&message);
                    }
                }
                Action::SendStop(reason) => self.tell(&ToWorker::Stop { reason }),
                Action::Kill => {
                    Counts::add(&self.shared.counts.workers_killed, 1);
                    if let Some(worker) = &self.worker {
                        worker.kill();
                    }
                }
                Action::Changed(state) => self.changed(state, job.why()).await,
            }
        }
    }

    /// Does what comes with time, or was missed.
    async fn look_around(&mut self, job: &mut Job, now: Instant) -> Vec<Action> {
        if self.handle.missed.swap(false, Ordering::AcqRel) {
            // What it missed can't be made good but by telling it everything anew.
            self.fault = Some("it could not be told what happens in its room".to_owned());
            if let Some(worker) = &self.worker {
                worker.kill();
            }
        }
        let ending = self.handle.ending.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(reason) = ending {
            return job.stop(now, reason);
        }
        if self.tracks_gone.is_some_and(|since| now.duration_since(since) >= TRACKS_GONE) {
            self.tracks_gone = None;
            return job.stop(now, StopReason::RoomEnded);
        }
        if now >= self.next_progress {
            self.next_progress = now + self.shared.settings.progress;
            if job.state() == State::Active {
                self.changed(State::Active, None).await;
            }
        }
        Vec::new()
    }

    fn spawn(&mut self, restart: u32) -> std::io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        if let Some(live) = &mut self.live {
            live.prepare()?;
        }
        self.generation += 1;
        (self.fault, self.counted, self.briefed) = (None, (0, 0), false);
        let settings = &self.shared.settings;
        let inbox = self.handle.inbox.clone();
        let launch = Launch {
            executable: &settings.worker,
            directory: &self.folder,
            unconfined: settings.unconfined,
            live: self.live.as_ref().map(|_| settings.encoder.as_str()),
            encoders: &self.shared.encoders,
            ipv4: settings.ipv4,
        };
        let worker = Worker::start(&launch, self.generation, inbox)?;
        tracing::info!(recording = self.egress.egress_id, restart, "a media worker starts");
        Counts::add(&self.shared.counts.workers, 1);
        self.worker = Some(worker);
        Ok(())
    }

    fn start(&self, restart: u32) -> ToWorker {
        let settings = &self.shared.settings;
        let started = u64::try_from(self.egress.started_at / 1_000).unwrap_or_default();
        ToWorker::Start(Box::new(Start {
            job: self.egress.egress_id.clone(),
            directory: self.folder.to_string_lossy().into_owned(),
            protection: self.protection.clone(),
            quota: settings.quota,
            room: self.egress.room_name.clone(),
            room_id: self.egress.room_id.clone(),
            tenant: self.tenant.as_str().to_owned(),
            started_at: parvis_jobs::UnixMicros(started),
            restart,
            capture: self.keeps,
            live: self.live.as_ref().map(LiveJob::order),
        }))
    }

    /// Lets packets come to the worker that has just started, under a key that no other had.
    async fn open_outlet(&mut self) -> Result<(), parvis_api::RecorderError> {
        let Some(worker) = &self.worker else { return Ok(()) };
        let mut key = [0; parvis_sfu::OUTLET_KEY_BYTES];
        rand::fill(&mut key);
        let key = OutletKey(key);
        self.present = Some(Present::new(self.clock, key.clone()));
        let outlet = OutletSpec { to: worker.media, key };
        let (room, id) = (&self.egress.room_name, &self.egress.egress_id);
        self.shared.recorders.open(&self.tenant, room, id, outlet).await
    }

    fn news(&mut self, now: Instant, news: RecordingNews) {
        let left = match (&self.scope, &news) {
            (RecordScope::Participant(identity), RecordingNews::Left(info)) => info.identity == *identity,
            _ => false,
        };
        let (left_out, written) = (self.chat.left_out, self.chat.hear(now, &self.clock, &news));
        Counts::add(&self.shared.counts.chat_left_out, self.chat.left_out - left_out);
        if let Some(written) = written.filter(|_| self.briefed) {
            return self.tell(&written);
        }
        let Some(present) = &mut self.present else { return };
        let had = present.sources();
        let messages = present.news(now, news);
        let has = present.sources();
        match self.scope {
            _ if left => self.tracks_gone = Some(now),
            _ if has > 0 => self.tracks_gone = None,
            RecordScope::Tracks(_) if had > 0 => self.tracks_gone = Some(now),
            _ => {}
        }
        for message in messages {
            self.tell(&message);
        }
    }

    pub(super) fn tell(&self, message: &ToWorker) {
        let Some(worker) = &self.worker else { return };
        if !worker.tell(message) {
            Counts::add(&self.shared.counts.messages_lost, 1);
            tracing::warn!(recording = self.egress.egress_id, "a media worker takes no messages");
            worker.kill();
        }
    }

    async fn repair(&mut self, now: Instant, track: &str, lost: Vec<u16>) {
        if now.duration_since(self.repairs.0) >= Duration::from_secs(1) {
            self.repairs = (now, 0);
        }
        self.repairs.1 += 1;
        if self.repairs.1 > REPAIRS_PER_SECOND {
            return Counts::add(&self.shared.counts.repairs_throttled, 1);
        }
        Counts::add(&self.shared.counts.repairs, 1);
        let (room, id) = (&self.egress.room_name, &self.egress.egress_id);
        self.shared.recorders.repair(&self.tenant, room, id, track, lost).await;
    }

    fn reached(&self, step: JobStep) {
        self.shared.recorders.reached(&self.egress.egress_id, step);
    }

    /// Writes down how it is now.
    pub(super) async fn changed(&mut self, state: State, why: Option<&Why>) {
        if state.is_final() {
            self.close_live().await;
        }
        book::update(&mut self.egress, state, why, &self.folder);
        if let Some(why) = why {
            self.reached(JobStep::Reason(book::word_of(why)));
        }
        self.note_live(state);
        if state.is_final() && state != State::Aborted && book::is_captured(&self.folder) {
            self.film_follows();
        }
        if let Err(error) = self.shared.recorders.egress_is(&self.tenant, self.egress.clone()).await {
            tracing::warn!(recording = self.egress.egress_id, %error, "how a recording does can't be written down");
        }
    }

    /// The capture is over: if a film was asked for, the recording goes on until that is made.
    fn film_follows(&mut self) {
        let Some(place) = &self.film else { return };
        let captured = Captured::of(&self.egress);
        if let Err(error) = place.set_captured(&captured) {
            let why = format!("nothing can be written where it would be: {error}");
            return book::film(&mut self.egress, &captured, Some(why), &self.folder);
        }
        self.captured = true;
        self.egress.set_status(EgressStatus::EgressEnding);
        self.egress.ended_at = 0;
        film::WAITS.clone_into(&mut self.egress.details);
    }

    fn is_present(&self, generation: u32) -> bool {
        self.worker.as_ref().is_some_and(|worker| worker.generation == generation)
    }

    /// It has ended: its recorder leaves, its worker too.
    async fn end(mut self, job: &Job) {
        let counts = &self.shared.counts;
        let counter = match job.state() {
            State::Complete => &counts.complete,
            State::Aborted => &counts.aborted,
            State::LimitReached => &counts.limited,
            _ => &counts.failed,
        };
        Counts::add(counter, 1);
        let why = job.why().map(book::error_of).unwrap_or_default();
        let state = job.state().livekit_name();
        tracing::info!(recording = self.egress.egress_id, state, why, "a recording has ended");
        let (room, id) = (&self.egress.room_name, &self.egress.egress_id);
        self.shared.recorders.dismiss(&self.tenant, room, id).await;
        if let Some(worker) = self.worker.take() {
            let generation = worker.generation;
            let ended = async {
                while let Some(input) = self.inbox.recv().await {
                    if matches!(&input, Input::Exited { generation: of, .. } if *of == generation) {
                        break;
                    }
                }
            };
            if tokio::time::timeout(LEAVING, ended).await.is_err() {
                Counts::add(&self.shared.counts.workers_killed, 1);
            }
            drop(worker);
        }
        if let Some(live) = self.live.take() {
            live.end(&mut self.egress).await;
            // Where nothing was kept, nothing is left.
            let _ = std::fs::remove_dir(&self.folder);
        }
        match self.film.take() {
            Some(_) if self.captured => self.shared.films.push(self.tenant, self.egress.egress_id.clone()),
            Some(place) => {
                if let Err(error) = place.erase() {
                    tracing::warn!(recording = self.egress.egress_id, %error, "the key of a film can't be erased");
                }
            }
            None => {}
        }
        self.shared.forget(&self.egress.egress_id);
    }
}

pub(super) fn stop_reason(reason: DisconnectReason) -> StopReason {
    match reason {
        DisconnectReason::ParticipantRemoved | DisconnectReason::ClientInitiated => StopReason::Requested,
        DisconnectReason::ServerShutdown => StopReason::Shutdown,
        _ => StopReason::RoomEnded,
    }
}
