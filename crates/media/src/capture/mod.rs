// SPDX-License-Identifier: EUPL-1.2
//! A capture: what a room's tracks bring is put in order and written, untouched.
//!
//! [`Capture`] has no socket and no clock: messages, datagrams and the time go in, messages come out. What it writes to is one
//! directory. `jitter` puts packets in order, [`crate::codec`] makes frames of them, `clock` gives each its moment,
//! `track` writes them to a `file` that is sealed as it grows, `chat` what people write, `store` counts what is used,
//! `failure` says why nothing can be captured.

mod chat;
pub mod clock;
mod failure;
pub mod file;
pub mod jitter;
mod store;
mod track;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parvis_jobs::{
    Failure, FailureKind, File, Message, Participant, Source, Start, StopReason, ToServer, ToWorker,
    UnixMicros,
};

use crate::age::AgeError;
use crate::compose::live::Tap;
use crate::manifest::{self, FORMAT, FileEntry, MANIFEST, Manifest, Run, VERSION};
use crate::timeline::{Entry, What};
use chat::Chat;
use failure::{failure, recipients, taken, unreadable};
use file::{Finished, GrowingFile, is_full};
use jitter::JitterConfig;
use store::Store;
use track::{Taken, Track};

/// What bounds a capture, beside its quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How patient the jitter buffer is.
    pub jitter: JitterConfig,
    /// For how long, in microseconds, what came may be lost if the worker is killed. With the jitter buffer's wait it must
    /// stay below two seconds; clusters are no longer than this either.
    pub unsafe_micros: u64,
    /// Between two requests for a key frame, in microseconds.
    pub key_frame_micros: u64,
    /// Between two reports of progress, in microseconds.
    pub progress_micros: u64,
    /// Tracks at the same time, whatever the quota says.
    pub tracks: usize,
    /// Tracks in the whole recording: each has an entry in the manifest.
    pub tracks_in_all: usize,
    /// The longest timeline, in bytes. What comes after that is left out and counted.
    pub timeline_bytes: u64,
    /// The most that is kept of the chat, which is held in memory as well. The rest is left out and counted.
    pub chat_bytes: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            jitter: JitterConfig::default(),
            unsafe_micros: 500_000,
            key_frame_micros: 1_000_000,
            progress_micros: 1_000_000,
            tracks: 512,
            tracks_in_all: 10_000,
            timeline_bytes: 256 * 1024 * 1024,
            chat_bytes: 128 * 1024 * 1024,
        }
    }
}

/// How often quota and free space are looked at, and the manifest is written, in microseconds.
const HOUSEKEEPING_MICROS: u64 = 500_000;
/// How often a live film is asked for what it has to tell, in microseconds: a part that is done waits no longer.
const LIVE_MICROS: u64 = 20_000;
/// How long a live film may take to end: it is less than two seconds behind, and its encoders hold next to nothing.
const LIVE_FAREWELL: Duration = Duration::from_secs(5);

/// A capture that runs.
#[derive(Debug)]
pub struct Capture {
    settings: Settings,
    started_at: UnixMicros,
    seconds: u64,
    max_tracks: usize,
    store: Store,
    manifest: Manifest,
    /// Which entries of the manifest belong to open tracks, by the track's id.
    tracks: BTreeMap<String, (usize, Track)>,
    by_ssrc: HashMap<u32, String>,
    /// `None` where nothing is kept.
    timeline: Option<GrowingFile>,
    /// From the first message on.
    chat: Option<Chat>,
    tap: Option<Arc<Tap>>,
    live_due: UnixMicros,
    timeline_len: u64,
    timeline_unsafe_since: Option<UnixMicros>,
    manifest_changed: bool,
    housekeeping: UnixMicros,
    progress: UnixMicros,
    strays: u64,
    out: Vec<ToServer>,
    over: bool,
}

impl Capture {
    /// Begins, or goes on after a restart. `directory` exists, and is the job's own. Without [`Start::capture`] nothing is
    /// written to it.
    pub fn start(
        start: &Start,
        directory: &Path,
        software: &str,
        settings: Settings,
        now: UnixMicros,
    ) -> Result<Capture, Failure> {
        let recipients = if start.capture { recipients(&start.protection)? } else { Vec::new() };
        let texts = recipients.iter().map(ToString::to_string).collect();
        let storage = |error: AgeError| failure(&directory.display().to_string(), &error);
        let store = Store::open(directory, recipients, start.quota).map_err(|error| storage(error.into()))?;
        let mut manifest = match Manifest::read(directory) {
            _ if !start.capture => first_manifest(start, texts),
            Ok(manifest) if manifest.job == start.job => manifest,
            Ok(other) => return Err(taken(directory, &other.job)),
            Err(manifest::ManifestError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => {
                first_manifest(start, texts)
            }
            Err(error) => return Err(unreadable(directory, &error)),
        };
        let started_at = manifest.started_at;
        let from = now.0.saturating_sub(started_at.0);
        manifest.runs.push(Run { from, software: software.to_owned() });
        (manifest.ended, manifest.reason) = (None, None);
        let (mut timeline, mut timeline_len) = (None, 0);
        if start.capture {
            let mut file = store.create("timeline", ".jsonl").map_err(storage)?;
            let name = file.name().to_owned();
            manifest.timelines.push(FileEntry { name, bytes: None, sha256: None });
            let first = line(&Entry { at: from as i64, what: What::Room { room: start.room.clone() } });
            file.write(&first).map_err(storage)?;
            file.sync().map_err(storage)?;
            manifest.write(directory, true).map_err(|error| storage(error.into()))?;
            (timeline, timeline_len) = (Some(file), first.len() as u64);
        }
        let quota_tracks = start.quota.tracks as usize;
        Ok(Capture {
            settings,
            started_at,
            seconds: start.quota.seconds,
            max_tracks: if quota_tracks == 0 { settings.tracks } else { quota_tracks.min(settings.tracks) },
            store,
            manifest,
            tracks: BTreeMap::new(),
            by_ssrc: HashMap::new(),
            timeline,
            chat: None,
            tap: None,
            live_due: now,
            timeline_len,
            timeline_unsafe_since: None,
            manifest_changed: false,
            housekeeping: UnixMicros(now.0 + HOUSEKEEPING_MICROS),
            progress: now,
            strays: 0,
            out: vec![ToServer::Started],
            over: false,
        })
    }

    /// When the recording began, by the server's clock.
    pub fn started_at(&self) -> UnixMicros {
        self.started_at
    }

    /// Hands over what comes from now on to a live film as well.
    pub fn tap(&mut self, tap: Arc<Tap>) {
        self.tap = Some(tap);
    }

    /// Has the server be told this after what it is told already.
    pub fn tell(&mut self, message: ToServer) {
        self.out.push(message);
    }

    /// Whether it ended. Nothing is taken any more; the last messages wait in [`Capture::outgoing`].
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// What the server is to be told.
    pub fn outgoing(&mut self) -> impl Iterator<Item = ToServer> + '_ {
        self.out.drain(..)
    }

    /// When [`Capture::tick`] is due.
    pub fn deadline(&self) -> UnixMicros {
        let tracks = self.tracks.values().filter_map(|(_, track)| track.deadline());
        let live = self.tap.is_some().then_some(self.live_due);
        tracks.chain([self.housekeeping, self.progress]).chain(live).min().unwrap_or(self.housekeeping)
    }

    /// The server said something. `Hello` and `Start` are over by now; they are refused as out of turn.
    pub fn message(&mut self, now: UnixMicros, message: ToWorker) {
        if self.over {
            return;
        }
        let done = match message {
            ToWorker::Hello(_) | ToWorker::Start(_) => {
                let failure = Failure {
                    kind: FailureKind::Protocol,
                    what: "a message that may come once came again".to_owned(),
                    place: "control".to_owned(),
                    remedy: "report this: the server is at fault".to_owned(),
                };
                self.fail(now, failure);
                Ok(())
            }
            ToWorker::Source(source) => self.add(now, *source),
            ToWorker::SourceEnded { track, at } => {
                let ended = self.remove(now, &track);
                let told = self.note(now, at, What::Unpublished { track });
                ended.and(told)
            }
            ToWorker::Joined { participant: Participant { id, identity, name }, at } => {
                self.note(now, at, What::Joined { participant: id, identity, name })
            }
            ToWorker::Left { participant, at } => self.note(now, at, What::Left { participant }),
            ToWorker::Renamed { participant, name, at } => {
                self.note(now, at, What::Renamed { participant, name })
            }
            ToWorker::Consent { participant, given, at } => {
                self.note(now, at, What::Consent { participant, given })
            }
            ToWorker::Muted { track, muted, at } => {
                if let Some((_, known)) = self.tracks.get_mut(&track) {
                    known.set_muted(muted);
                }
                self.note(now, at, What::Muted { track, muted })
            }
            ToWorker::Speakers { participants, at } => self.note(now, at, What::Speakers { participants }),
            ToWorker::LayerChanged { track, width, height, at } => {
                self.note(now, at, What::Layer { track, width, height })
            }
            ToWorker::Chat { messages } => {
                messages.into_iter().try_for_each(|message| self.wrote(now, message))
            }
            ToWorker::ChatRetracted { message, at } => {
                let at = at.since(self.started_at);
                self.chat.as_mut().map_or(Ok(()), |chat| chat.retract(now, at, message))
            }
            ToWorker::Caption { participant, track, text, from, at } => {
                let until = at.since(self.started_at);
                self.note(now, from, What::Caption { participant, track, until, text })
            }
            ToWorker::SenderReport { track, rtp_timestamp, at } => {
                if let Some((_, known)) = self.tracks.get_mut(&track) {
                    known.report(now, rtp_timestamp, at);
                }
                Ok(())
            }
            ToWorker::Layout { layout, subject } => {
                if let Some(tap) = &self.tap {
                    tap.layout(layout, subject);
                }
                Ok(())
            }
            ToWorker::Stop { reason } => {
                self.stop(now, reason);
                Ok(())
            }
        };
        self.check(now, done);
    }

    /// A datagram came from the trunk. It is decrypted in place.
    pub fn datagram(&mut self, now: UnixMicros, datagram: &mut [u8]) {
        if self.over {
            return;
        }
        // The SSRC stands in the clear (RFC 3711 section 3.1).
        let ssrc =
            datagram.get(8..12).and_then(|ssrc| ssrc.first_chunk()).map(|ssrc| u32::from_be_bytes(*ssrc));
        let known = ssrc.and_then(|ssrc| self.by_ssrc.get(&ssrc)).and_then(|id| self.tracks.get_mut(id));
        let Some((place, track)) = known else {
            self.strays += 1;
            return;
        };
        if track.datagram(now, datagram) == Taken::No {
            self.strays += 1;
            return;
        }
        let done = match track.advance(now, &mut self.store) {
            Ok(changed) => {
                self.manifest_changed |= changed;
                if track.wants_key_frame(now) {
                    self.out.push(ToServer::KeyFrameWanted { track: track.id().to_owned() });
                }
                Ok(())
            }
            Err(error) => {
                // The manifest knows of the file, whatever is in it.
                if let Some(entry) = self.manifest.tracks.get_mut(*place) {
                    entry.clone_from(track.entry());
                }
                Err(error)
            }
        };
        self.check(now, done);
    }

    /// Time went by.
    pub fn tick(&mut self, now: UnixMicros) {
        if self.over {
            return;
        }
        let done = self.advance(now);
        self.check(now, done);
        if !self.over && self.housekeeping <= now {
            self.housekeeping = UnixMicros(now.0 + HOUSEKEEPING_MICROS);
            self.keep_house(now);
        }
        if !self.over && self.live_due <= now {
            self.live_due = UnixMicros(now.0 + LIVE_MICROS);
            self.hear_live();
        }
        if !self.over && self.progress <= now {
            self.progress = UnixMicros(now.0 + self.settings.progress_micros);
            self.out.push(ToServer::Progress {
                bytes: self.used(),
                duration_micros: self.since(now),
                tracks: self.tracks.values().map(|(_, track)| track.progress()).collect(),
                strays: self.strays,
                live: self.tap.as_ref().and_then(|tap| tap.progress()),
            });
        }
    }

    /// Ends the capture in order; a live film first, which takes as long as it is behind the room.
    pub fn stop(&mut self, now: UnixMicros, reason: StopReason) {
        if self.over {
            return;
        }
        if let Err(error) = self.finish(now, reason) {
            // What can't be finished lies there with its tail, and the manifest says so.
            let what = failure("at the end", &error);
            if !reason.is_limit() && !is_full_error(&error) {
                self.out.push(ToServer::Failed(what));
                return;
            }
        }
        let reason = self.manifest.reason.unwrap_or(reason);
        self.out.push(ToServer::Stopped { reason, files: self.files() });
    }

    fn hear_live(&mut self) {
        let tap = self.tap.as_ref();
        self.out.extend(tap.map(|tap| tap.outgoing()).unwrap_or_default());
    }

    fn advance(&mut self, now: UnixMicros) -> Result<(), AgeError> {
        for (_, track) in self.tracks.values_mut() {
            self.manifest_changed |= track.advance(now, &mut self.store)?;
            track.secure(now)?;
            let sequences = track.nacks(now);
            if !sequences.is_empty() {
                self.out.push(ToServer::Nack { track: track.id().to_owned(), sequences });
            }
        }
        if self.timeline_unsafe_since.is_some_and(|since| since.0 + self.settings.unsafe_micros <= now.0) {
            self.timeline.as_mut().map_or(Ok(()), GrowingFile::sync)?;
            self.timeline_unsafe_since = None;
        }
        self.chat.as_mut().map_or(Ok(()), |chat| chat.secure(now, self.settings.unsafe_micros))
    }

    /// Limits, and the manifest.
    fn keep_house(&mut self, now: UnixMicros) {
        if self.seconds > 0 && self.since(now) >= self.seconds.saturating_mul(1_000_000) {
            return self.stop(now, StopReason::DurationReached);
        }
        if self.store.quota_reached(self.open_bytes()) {
            return self.stop(now, StopReason::QuotaReached);
        }
        if self.store.is_nearly_full() {
            return self.stop(now, StopReason::DiskFull);
        }
        if self.manifest_changed {
            let written = self.write_manifest(false);
            self.check(now, written);
        }
    }

    fn add(&mut self, now: UnixMicros, source: Source) -> Result<(), AgeError> {
        let id = source.track.clone();
        // The same id again is a track that was replaced.
        self.remove(now, &id)?;
        let ssrcs = [Some(source.ssrc), source.rtx.map(|(ssrc, _)| ssrc)];
        let at = source.at;
        let published = What::Published {
            track: id.clone(),
            name: source.name.clone(),
            participant: source.participant.clone(),
        };
        let place = self.manifest.tracks.iter().position(|entry| entry.track == id);
        let refused = if !manifest::is_file_name(&id) || id.len() > 100 {
            Some("its id is no name for a file: letters, digits, _ and - are".to_owned())
        } else if self.tracks.len() >= self.max_tracks {
            Some(format!("{} tracks are captured already; raise the limit of tracks", self.max_tracks))
        } else if place.is_none() && self.manifest.tracks.len() >= self.settings.tracks_in_all {
            Some(format!("the recording has {} tracks already", self.settings.tracks_in_all))
        } else {
            let taken = ssrcs.iter().flatten().find(|ssrc| self.by_ssrc.contains_key(ssrc));
            taken.map(|ssrc| format!("its SSRC {ssrc:#010x} is that of another track"))
        };
        let entry = place.and_then(|place| self.manifest.tracks.get(place)).cloned();
        let entry = entry.unwrap_or_else(|| {
            let from = at.0.saturating_sub(self.started_at.0);
            let what = (source.kind, source.origin);
            manifest::Track::begun(id.clone(), source.participant.clone(), what, source.codec, from)
        });
        let place = place.unwrap_or(self.manifest.tracks.len());
        let track = match refused {
            Some(why) => Err(why),
            None => Track::new(source, entry.clone(), place as u64 + 1, self.started_at, self.settings),
        };
        let mut track = match track {
            Ok(track) => track,
            Err(why) => {
                self.out.push(ToServer::SourceRefused { track: id, why });
                return Ok(());
            }
        };
        if place == self.manifest.tracks.len() {
            self.manifest.tracks.push(entry);
        }
        track.lead(self.timeline.is_some(), self.tap.as_ref());
        self.by_ssrc.extend(track.ssrcs().map(|ssrc| (ssrc, id.clone())));
        self.tracks.insert(id, (place, track));
        self.manifest_changed = true;
        self.note(now, at, published)
    }

    fn remove(&mut self, now: UnixMicros, id: &str) -> Result<(), AgeError> {
        let Some((place, mut track)) = self.tracks.remove(id) else { return Ok(()) };
        for ssrc in track.ssrcs() {
            self.by_ssrc.remove(&ssrc);
        }
        let ended = track.end(now, &mut self.store);
        if ended.is_err() {
            // A second time, now that there may be room; if not, it lies there with its tail.
            self.store.release_reserve();
            if track.close(&mut self.store).is_err() {
                self.store.settle(track.open_bytes());
            }
        }
        if let Some(entry) = self.manifest.tracks.get_mut(place) {
            entry.clone_from(track.entry());
        }
        self.manifest_changed = true;
        ended
    }

    fn note(&mut self, now: UnixMicros, at: UnixMicros, what: What) -> Result<(), AgeError> {
        let entry = Entry { at: at.since(self.started_at), what };
        let bytes = line(&entry);
        if let Some(tap) = &self.tap {
            tap.said(entry);
        }
        let Some(timeline) = &mut self.timeline else { return Ok(()) };
        if self.timeline_len + bytes.len() as u64 > self.settings.timeline_bytes {
            self.manifest.lines_left_out += 1;
            self.manifest_changed = true;
            return Ok(());
        }
        self.timeline_len += bytes.len() as u64;
        self.timeline_unsafe_since.get_or_insert(now);
        timeline.write(&bytes)
    }

    /// Somebody wrote to all.
    fn wrote(&mut self, now: UnixMicros, message: Message) -> Result<(), AgeError> {
        if self.timeline.is_none() {
            return Ok(());
        }
        if self.chat.is_none() {
            let chat = Chat::begin(&self.store)?;
            self.manifest.chats.push(FileEntry { name: chat.name().to_owned(), bytes: None, sha256: None });
            (self.chat, self.manifest_changed) = (Some(chat), true);
        }
        let most = self.settings.chat_bytes;
        let added =
            self.chat.as_mut().map(|chat| chat.add(now, self.started_at, message, most)).transpose()?;
        if added == Some(false) {
            self.manifest.lines_left_out += 1;
            self.manifest_changed = true;
        }
        Ok(())
    }

    /// Finishes what was written. It takes the place of all that workers before this one kept, who could not finish theirs.
    fn finish_chat(&mut self) -> Result<(), AgeError> {
        if self.timeline.is_none() {
            return Ok(());
        }
        let finished = self.chat.as_mut().map(|chat| chat.finish(&self.store)).transpose()?;
        let stays = finished.map(|Finished { name, bytes, sha256 }| FileEntry {
            name,
            bytes: Some(bytes),
            sha256: Some(sha256),
        });
        let mut removed = Ok(());
        let former = std::mem::take(&mut self.manifest.chats).into_iter();
        for former in former.filter(|former| stays.as_ref().is_none_or(|stays| stays.name != former.name)) {
            if let Err(error) = self.store.remove(&former.name) {
                self.manifest.chats.push(former);
                removed = Err(error.into());
            }
        }
        self.manifest.chats.extend(stays);
        removed
    }

    /// Ends the capture over a fault.
    fn check(&mut self, now: UnixMicros, done: Result<(), AgeError>) {
        let Err(error) = done else { return };
        if is_full_error(&error) {
            return self.stop(now, StopReason::DiskFull);
        }
        let failure = failure(&self.store.directory().display().to_string(), &error);
        self.fail(now, failure);
    }

    fn fail(&mut self, now: UnixMicros, failure: Failure) {
        if self.over {
            return;
        }
        // What can be finished is; what can't lies there with its tail.
        let _ = self.finish(now, StopReason::ServerGone);
        self.out.push(ToServer::Failed(failure));
    }

    /// Finishes every file that can be, and the manifest.
    fn finish(&mut self, now: UnixMicros, reason: StopReason) -> Result<(), AgeError> {
        self.over = true;
        if let Some(tap) = &self.tap {
            tap.finish(now, LIVE_FAREWELL);
            self.hear_live();
        }
        let mut result = Ok(());
        if reason == StopReason::DiskFull {
            self.store.release_reserve();
        }
        while let Some(id) = self.tracks.keys().next().cloned() {
            let removed = self.remove(now, &id);
            result = result.and(removed);
        }
        self.store.release_reserve();
        let timeline = self.timeline.as_mut().map(GrowingFile::finish).transpose();
        match timeline {
            Ok(None) => {}
            Ok(Some(finished)) => {
                if let Some(entry) = self.manifest.timelines.last_mut() {
                    (entry.bytes, entry.sha256) = (Some(finished.bytes), Some(finished.sha256));
                }
            }
            Err(error) => result = result.and(Err(error)),
        }
        let chat = self.finish_chat();
        result = result.and(chat);
        self.manifest.ended = Some(self.since(now));
        let full = result.as_ref().is_err_and(is_full_error);
        self.manifest.reason = Some(if full { StopReason::DiskFull } else { reason });
        if self.timeline.is_none() {
            return result;
        }
        // Now the disk has time to keep all of it: the manifest last, which says that the rest is there.
        let kept =
            self.manifest.files().filter(|file| file.sha256.is_some()).try_for_each(|file| {
                std::fs::File::open(self.store.directory().join(&file.name))?.sync_all()
            });
        let written = self.write_manifest(true);
        result.and(kept.map_err(AgeError::from)).and(written)
    }

    fn write_manifest(&mut self, lasting: bool) -> Result<(), AgeError> {
        for (place, track) in self.tracks.values() {
            if let Some(entry) = self.manifest.tracks.get_mut(*place) {
                entry.clone_from(track.entry());
            }
        }
        self.manifest_changed = false;
        if self.timeline.is_none() {
            return Ok(());
        }
        self.manifest.write(self.store.directory(), lasting)?;
        Ok(())
    }

    /// All finished files, and the manifest as it lies there.
    fn files(&self) -> Vec<File> {
        if self.timeline.is_none() {
            return Vec::new();
        }
        let finished = |file: &FileEntry| {
            Some(File { name: file.name.clone(), bytes: file.bytes?, sha256: file.sha256.clone()? })
        };
        let manifest = std::fs::read(self.store.directory().join(MANIFEST)).ok().map(|bytes| File {
            name: MANIFEST.to_owned(),
            bytes: bytes.len() as u64,
            sha256: crate::sha256(&bytes),
        });
        manifest.into_iter().chain(self.manifest.files().filter_map(finished)).collect()
    }

    fn open_bytes(&self) -> u64 {
        let tracks: u64 = self.tracks.values().map(|(_, track)| track.open_bytes()).sum();
        let chat = self.chat.as_ref().map_or(0, Chat::bytes_on_disk);
        tracks + chat + self.timeline.as_ref().map_or(0, GrowingFile::bytes_on_disk)
    }

    fn used(&self) -> u64 {
        self.store.used(self.open_bytes())
    }

    fn since(&self, now: UnixMicros) -> u64 {
        now.0.saturating_sub(self.started_at.0)
    }
}

fn first_manifest(start: &Start, recipients: Vec<String>) -> Manifest {
    Manifest {
        format: FORMAT.to_owned(),
        version: VERSION,
        job: start.job.clone(),
        room_id: start.room_id.clone(),
        tenant: start.tenant.clone(),
        started_at: start.started_at,
        ended: None,
        reason: None,
        recipients,
        runs: Vec::new(),
        lines_left_out: 0,
        timelines: Vec::new(),
        chats: Vec::new(),
        tracks: Vec::new(),
    }
}

fn line(entry: &Entry) -> Vec<u8> {
    // Numbers and text: it can't fail.
    let mut line = serde_json::to_vec(entry).unwrap_or_default();
    line.push(b'\n');
    line
}

fn is_full_error(error: &AgeError) -> bool {
    matches!(error, AgeError::Io(error) if is_full(error))
}
