// SPDX-License-Identifier: EUPL-1.2
//! Live streams of a room. The worker composes them; here they are brought to where they are watched: to targets, each by a
//! process of its own ([`target`]) from one transport stream ([`stream`]), and to viewers, from memory ([`shelf`]) by playlists
//! ([`playlist`]); [`shelves`] has all of them. Segments and pictures that are to last come into the recording's folder and the storage
//! ([`lasting`]). [`LiveJob`] is one recording's part of that.
//!
//! **The invariant:** no target and no viewer makes the worker wait, another target, or the call.

mod files;
mod lasting;
pub(crate) mod playlist;
pub(crate) mod shelf;
mod shelves;
mod stream;
pub(crate) mod target;
mod task;
mod wish;

use std::collections::HashMap;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use livekit_protocol::{EgressInfo, SegmentsInfo, StreamInfo, stream_info};
use nix::sys::stat::Mode;
use parvis_jobs::{
    Hls, Images, LIVE_DIRECTORY, Live, LiveLayout, Rendition, STREAM, Segment, SegmentKind, UnixMicros,
};
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, watch};

use super::book;
use super::task::Input;
use super::upload::Destination;
pub(super) use files::read_plain;
use files::{MAX_SEGMENT_BYTES, load, read};
pub(crate) use lasting::Lasts;
pub(crate) use lasting::names::{PLAYLIST, lasts};
use lasting::{Lasting, Looks};
pub(crate) use playlist::Lengths;
use shelf::{MAIN, Shelf};
pub(crate) use shelves::Shelves;
use stream::Fan;
use target::Pushing;
pub(crate) use target::{Push, PushSettings};
pub(crate) use wish::{Outputs, Subject, check, layout, wish};

/// Bytes of a key by which a stream is watched: nobody guesses it.
const KEY_BYTES: usize = 16;
/// How long what stands in a FIFO has to be read after the worker's end.
const DRAIN: Duration = Duration::from_secs(2);

/// How rooms are streamed.
#[derive(Debug, Clone)]
pub(crate) struct LiveSettings {
    /// Streams at one time.
    pub(crate) max_jobs: usize,
    /// Targets of each.
    pub(crate) max_targets: usize,
    /// How targets are pushed to.
    pub(crate) push: PushSettings,
    /// Heights of what viewers may choose from, the greatest first.
    pub(crate) ladder: Vec<u32>,
    /// How long segments and parts are.
    pub(crate) lengths: Lengths,
    /// Segments that viewers may go back.
    pub(crate) listed: usize,
    /// Whether segments and pictures may be kept, in the clear.
    pub(crate) keep: bool,
    /// Requests that may wait for what comes next.
    pub(crate) max_waiting: usize,
    /// For how long a stream can be watched after its end.
    pub(crate) linger: Duration,
}

/// A stream that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LiveWish {
    /// How it is laid out.
    pub(crate) layout: LiveLayout,
    /// Who or what is seen alone.
    pub(crate) subject: Subject,
    /// Width and height of the main rendition.
    pub(crate) size: (u32, u32),
    /// Pictures a second.
    pub(crate) rate: u32,
    /// What its pictures take, in kbit/s.
    pub(crate) kbits: u32,
    /// Where it is pushed to.
    pub(crate) urls: Vec<String>,
    /// Whether it is pushed at all: targets may be added later.
    pub(crate) pushed: bool,
    /// Whether it is handed out to viewers.
    pub(crate) watched: bool,
    /// What of it is kept.
    pub(crate) lasts: Lasts,
}

/// A target, as its stream's job knows it.
struct Target {
    url: String,
    over: watch::Sender<bool>,
    /// How many times it was tried again, as far as it was told.
    retries: u32,
    done: bool,
}

/// One recording's streams.
pub(crate) struct LiveJob {
    wish: LiveWish,
    settings: LiveSettings,
    shelves: Arc<Shelves>,
    egress: String,
    /// `live/` in the recording's folder.
    directory: PathBuf,
    inbox: mpsc::Sender<Input>,
    fan: Arc<Fan>,
    targets: HashMap<u64, Target>,
    next_target: u64,
    shelf: Option<(String, Arc<Shelf>)>,
    /// The reader of the FIFO; it drains it when `draining` turns true.
    reader: Option<(tokio::task::JoinHandle<()>, watch::Sender<bool>)>,
    next_sequence: u64,
    next_image: u64,
    /// Segments of the first rendition that came, and their length.
    segments: (i64, u64),
    lasting: Option<Lasting>,
}

impl LiveJob {
    pub(crate) fn new(
        wish: LiveWish,
        (settings, shelves): (LiveSettings, Arc<Shelves>),
        (egress, folder): (&str, &Path),
        inbox: mpsc::Sender<Input>,
        storage: Option<Destination>,
    ) -> LiveJob {
        let mut job = LiveJob {
            egress: egress.to_owned(),
            directory: folder.join(LIVE_DIRECTORY),
            inbox,
            fan: Arc::default(),
            targets: HashMap::new(),
            next_target: 0,
            shelf: None,
            reader: None,
            next_sequence: 0,
            next_image: 0,
            segments: (0, 0),
            lasting: None,
            wish,
            settings,
            shelves,
        };
        if job.wish.watched {
            let bounds = (Arc::clone(&job.shelves.audience), job.settings.max_waiting);
            let (lengths, listed) = (job.settings.lengths, job.settings.listed);
            let shelf = Arc::new(Shelf::new(job.renditions(), job.wish.rate, lengths, listed, bounds));
            let key = hex::encode(rand::random::<[u8; KEY_BYTES]>());
            job.shelves.shelves().insert(key.clone(), Arc::clone(&shelf));
            job.shelf = Some((key, shelf));
        }
        if !job.wish.lasts.is_empty() {
            let looks = Looks {
                renditions: job.renditions(),
                rate: job.wish.rate,
                lengths: job.lengths(),
                listed: job.settings.listed,
            };
            let storage = storage.map(|storage| (storage, Arc::clone(&job.shelves.sent)));
            job.lasting = Some(Lasting::new((job.wish.lasts.clone(), looks), folder, storage));
        }
        job
    }

    /// How long segments and parts are. What lasts has no parts: who watches it does not wait for the next one.
    fn lengths(&self) -> Lengths {
        let Lengths { segment, part } = self.settings.lengths;
        match &self.wish.lasts.segments {
            Some(segments) => Lengths { segment: segments.millis.unwrap_or(segment), part: 0 },
            None => Lengths { segment, part },
        }
    }

    /// Makes what a worker needs before it is started. Call it each time.
    pub(crate) fn prepare(&mut self) -> io::Result<()> {
        if let Err(error) = DirBuilder::new().mode(0o700).create(&self.directory)
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(error);
        }
        if !self.wish.pushed || self.reader.is_some() {
            return Ok(());
        }
        let fifo = self.directory.join(STREAM);
        nix::unistd::mkfifo(&fifo, Mode::S_IRUSR | Mode::S_IWUSR)?;
        // Held for writing as well, it doesn't end when a worker does.
        let receiver = pipe::OpenOptions::new().read_write(true).open_receiver(&fifo)?;
        let (draining, drains) = watch::channel(false);
        self.reader = Some((tokio::spawn(read(receiver, Arc::clone(&self.fan), drains)), draining));
        for url in self.wish.urls.clone() {
            self.add(url);
        }
        Ok(())
    }

    /// What the worker is asked for.
    pub(crate) fn order(&self) -> Live {
        let LiveWish { layout, size: (width, height), rate, kbits, pushed, watched, .. } = self.wish;
        let (lengths, lasts) = (self.lengths(), &self.wish.lasts);
        let (subject, subject_track) = match &self.wish.subject {
            Subject::Anybody => (None, None),
            Subject::Participant(identity) => (Some(identity.clone()), None),
            Subject::Track(track) => (None, Some(track.clone())),
        };
        Live {
            layout,
            subject,
            subject_track,
            width,
            height,
            rate,
            kbits,
            title: None,
            clock: false,
            watermark: None,
            hls: (watched || lasts.segments.is_some()).then(|| Hls {
                renditions: self.renditions(),
                segment_millis: lengths.segment,
                part_millis: lengths.part,
                // Those that last are moved elsewhere.
                keep_segments: if lasts.segments.is_some() { 0 } else { 4 },
            }),
            stream: pushed,
            images: lasts.pictures.as_ref().map(|pictures| {
                let (width, height) = pictures.size.unwrap_or((width, height));
                Images { every_millis: pictures.every_millis, width, height }
            }),
            first_sequence: self.next_sequence,
            first_image: self.next_image,
        }
    }

    /// What viewers may choose from: the main size, and what of the ladder is smaller.
    fn renditions(&self) -> Vec<Rendition> {
        let LiveWish { layout, size: (width, height), kbits, .. } = self.wish;
        if layout == LiveLayout::Audio {
            return Vec::new();
        }
        let side = width.min(height);
        let smaller = self.settings.ladder.iter().copied().filter(|of| *of < side);
        let scaled = |of: u32| {
            let scale = |length: u32| (length * of / side.max(1)) & !1;
            let part =
                u64::from(of) * u64::from(of) * u64::from(kbits) / (u64::from(side) * u64::from(side)).max(1);
            // Small pictures take more of each sample.
            let kbits = u32::try_from(part * 3 / 2).unwrap_or(kbits).min(kbits);
            Rendition { name: of.to_string(), width: scale(width), height: scale(height), kbits }
        };
        std::iter::once(Rendition { name: side.to_string(), width, height, kbits })
            .chain(smaller.map(scaled))
            .collect()
    }

    /// Changes the layout of what worker comes next.
    pub(crate) fn set_layout(&mut self, layout: LiveLayout) {
        self.wish.layout = layout;
    }

    /// A worker told of a file. One that can't be read is passed over.
    pub(crate) async fn segment(&mut self, told: &Segment) {
        self.next_sequence =
            self.next_sequence.max(told.sequence + u64::from(told.kind == SegmentKind::Segment));
        if let Some(lasting) = &mut self.lasting
            && let Err(error) = lasting.segment(&self.directory, told).await
        {
            tracing::warn!(recording = self.egress, name = told.name, %error, "a segment of a stream can't be kept");
        }
        let Some((_, shelf)) = &self.shelf else { return };
        match load(&self.directory, told).await {
            Ok(bytes) => {
                if !shelf.put(told, bytes) {
                    tracing::debug!(
                        recording = self.egress,
                        name = told.name,
                        "a file of a stream fits nowhere"
                    );
                }
            }
            Err(error) => {
                tracing::warn!(recording = self.egress, name = told.name, %error, "a file of a stream can't be read");
            }
        }
        if told.kind == SegmentKind::Segment && told.rendition == parvis_jobs::AUDIO_RENDITION {
            self.segments = (self.segments.0 + 1, self.segments.1 + told.duration_micros);
        }
    }

    /// A worker told of a picture.
    pub(crate) async fn picture(&mut self, name: &str, number: u64, at: UnixMicros) {
        self.next_image = self.next_image.max(number.saturating_add(1));
        if let Some(lasting) = &mut self.lasting
            && let Err(error) = lasting.picture(&self.directory, name, (number, at)).await
        {
            tracing::warn!(recording = self.egress, name, %error, "a picture of a stream can't be kept");
        }
    }

    /// Whether as much is kept of it as may be.
    pub(crate) fn is_full(&self, most: u64) -> bool {
        self.lasting.as_ref().is_some_and(|lasting| lasting.is_full(most))
    }

    /// Nothing more comes of what lasts, and its playlists say so.
    pub(crate) async fn close(&mut self) {
        if let Some(lasting) = &mut self.lasting
            && let Err(error) = lasting.end().await
        {
            tracing::warn!(recording = self.egress, %error, "the end of a stream can't be written down");
        }
    }

    /// Streams to these too, and to those no more, and writes it down.
    pub(crate) fn change(&mut self, egress: &mut EgressInfo, add: Vec<String>, remove: &[String]) {
        let now = book::unix_nanos();
        for target in self.targets.values().filter(|target| !target.done && remove.contains(&target.url)) {
            let _ = target.over.send(true);
        }
        let active = stream_info::Status::Active;
        for info in &mut egress.stream_results {
            if info.status() == active && remove.contains(&info.url) {
                finish(info, stream_info::Status::Finished, now);
            }
        }
        for url in add {
            egress.stream_results.push(StreamInfo {
                url: url.clone(),
                started_at: now,
                ..StreamInfo::default()
            });
            self.add(url);
        }
    }

    /// How many targets are pushed to.
    pub(crate) fn active(&self) -> usize {
        self.targets.values().filter(|target| !target.done && !*target.over.borrow()).count()
    }

    fn add(&mut self, url: String) {
        let id = self.next_target;
        self.next_target += 1;
        let (over, is_over) = watch::channel(false);
        let pushing = Pushing {
            id,
            url: url.clone(),
            pictures: self.wish.layout != LiveLayout::Audio,
            settings: self.settings.push.clone(),
            fan: Arc::clone(&self.fan),
            over: is_over,
            inbox: self.inbox.clone(),
            egress: self.egress.clone(),
        };
        tokio::spawn(pushing.run());
        self.targets.insert(id, Target { url, over, retries: 0, done: false });
    }

    /// A target says how it does. Writes it down; gives why the whole has failed when it has nothing left to do.
    pub(crate) fn target(&mut self, egress: &mut EgressInfo, id: u64, push: Push) -> Option<String> {
        let target = self.targets.get_mut(&id)?;
        let active = stream_info::Status::Active;
        let mut info = egress
            .stream_results
            .iter_mut()
            .rev()
            .find(|info| info.url == target.url && info.status() == active);
        let now = book::unix_nanos();
        match push {
            Push::Again { why, retries } => {
                target.retries += 1;
                self.shelves.retried.fetch_add(1, Ordering::Relaxed);
                if let Some(info) = &mut info {
                    (info.error, info.last_retry_at, info.retries) = (why, now, retries.max(target.retries));
                }
            }
            Push::Resumed => {
                if let Some(info) = &mut info {
                    info.error.clear();
                }
            }
            Push::Finished => {
                target.done = true;
                if let Some(info) = info {
                    finish(info, stream_info::Status::Finished, now);
                }
            }
            Push::Failed(why) => {
                target.done = true;
                self.shelves.failed.fetch_add(1, Ordering::Relaxed);
                if let Some(info) = info {
                    info.error.clone_from(&why);
                    finish(info, stream_info::Status::Failed, now);
                }
                let others = self.wish.watched || !self.wish.lasts.is_empty();
                if !others && self.targets.values().all(|target| target.done) {
                    return Some(why);
                }
            }
        }
        None
    }

    /// What the record says of where it is watched.
    pub(crate) fn note(&self, egress: &mut EgressInfo) {
        if let Some(lasting) = &self.lasting {
            lasting.note(egress);
        }
        let Some((key, _)) = &self.shelf else { return };
        let location = format!("/live/{key}/{MAIN}");
        let (count, micros) = self.segments;
        let known = egress.segment_results.first().cloned().unwrap_or_default();
        egress.segment_results = vec![SegmentsInfo {
            playlist_name: MAIN.to_owned(),
            playlist_location: location.clone(),
            live_playlist_location: location,
            segment_count: count,
            duration: i64::try_from(micros.saturating_mul(1_000)).unwrap_or(i64::MAX),
            started_at: egress.started_at,
            ended_at: egress.ended_at,
            ..known
        }];
    }

    /// The worker has ended for good: what it wrote last still goes out, then all ends.
    pub(crate) async fn end(mut self, egress: &mut EgressInfo) {
        self.close().await;
        if let Some((reader, draining)) = self.reader.take() {
            let _ = draining.send(true);
            let mut reader = reader;
            if tokio::time::timeout(DRAIN, &mut reader).await.is_err() {
                reader.abort();
            }
        }
        self.shelves.dropped.fetch_add(self.fan.dropped.load(Ordering::Relaxed), Ordering::Relaxed);
        self.fan.end();
        let now = book::unix_nanos();
        for info in &mut egress.stream_results {
            if info.status() == stream_info::Status::Active {
                finish(info, stream_info::Status::Finished, now);
            }
        }
        for target in self.targets.values() {
            let _ = target.over.send(true);
        }
        self.shut();
        if let Err(error) = std::fs::remove_dir_all(&self.directory)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(recording = self.egress, %error, "the files of a stream can't be erased");
        }
    }

    /// Ends what is watched: it stays for a while.
    fn shut(&mut self) {
        let Some((key, shelf)) = self.shelf.take() else { return };
        shelf.end();
        let (shelves, linger) = (Arc::clone(&self.shelves), self.settings.linger);
        tokio::spawn(async move {
            tokio::time::sleep(linger).await;
            shelves.shelves().remove(&key);
        });
    }
}

fn finish(info: &mut StreamInfo, status: stream_info::Status, now: i64) {
    info.set_status(status);
    info.ended_at = now;
    info.duration = now.saturating_sub(info.started_at);
}
