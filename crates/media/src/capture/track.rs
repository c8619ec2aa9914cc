// SPDX-License-Identifier: EUPL-1.2
//! One track: from its packets to its files.

use std::sync::Arc;

use parvis_jobs::{Codec, Source, TrackProgress, UnixMicros};
use parvis_rtp::srtp::{Limits, MasterKey, Profile, SrtpContext};
use parvis_rtp::{Packet, rtx};

use super::Settings;
use super::clock::Clock;
use super::file::GrowingFile;
use super::jitter::Jitter;
use super::store::Store;
use crate::age::AgeError;
use crate::codec::{Frame, Piece, Reassembler};
use crate::compose::live::Tap;
use crate::manifest::{self, FileEntry, MAX_LISTED};
use crate::mkv::{ClusterWriter, TrackHead, Visible, head};

/// Two streams: the track and its retransmissions.
const STREAMS: Limits = Limits { max_streams: 2 };
/// A cluster that has so many bytes is written before its time.
const CLUSTER_BYTES: usize = 1024 * 1024;

/// A packet that waits for its turn.
#[derive(Debug)]
struct Waiting {
    timestamp: u32,
    marker: bool,
    red: bool,
    payload: Vec<u8>,
}

/// A track that is captured.
#[derive(Debug)]
pub(super) struct Track {
    source: Source,
    srtp: SrtpContext,
    jitter: Jitter<Waiting>,
    reassembler: Reassembler,
    clock: Clock,
    part: Option<Part>,
    /// What the manifest says of it.
    entry: manifest::Track,
    uid: u64,
    started_at: UnixMicros,
    muted: bool,
    /// Packets were lost before the next one that has a payload.
    lost_before: bool,
    frames: u64,
    key_asked: Option<UnixMicros>,
    settings: Settings,
    /// Whether frames are written to files.
    keeps: bool,
    /// Where frames go besides, and the number that the track has there.
    tap: Option<(Arc<Tap>, u64)>,
}

/// A file that is open.
#[derive(Debug)]
struct Part {
    file: GrowingFile,
    private: Option<Vec<u8>>,
    cluster: ClusterWriter,
    /// When the first frame came that a killed worker would lose.
    unsafe_since: Option<UnixMicros>,
}

/// What a packet was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// One of the track's.
    Yes,
    /// Its tag doesn't hold, it came before, or it is no RTP.
    No,
}

impl Track {
    /// Ready for packets. Fails, in words, on a source that can't be captured.
    pub(super) fn new(
        source: Source,
        entry: manifest::Track,
        uid: u64,
        started_at: UnixMicros,
        settings: Settings,
    ) -> Result<Track, String> {
        let profile = match source.profile {
            parvis_jobs::Profile::Aead128Gcm => Profile::Aead128Gcm,
            parvis_jobs::Profile::Aead256Gcm => Profile::Aead256Gcm,
        };
        let (key, salt) = source
            .key
            .split(source.profile)
            .ok_or_else(|| "its key has not the length that its profile takes".to_owned())?;
        if source.clock_rate != source.codec.clock_rate() || source.kind != source.codec.kind() {
            return Err(format!(
                "{} is {:?} with a clock of {} Hz, not {:?} with {}",
                source.codec.mime(),
                source.codec.kind(),
                source.codec.clock_rate(),
                source.kind,
                source.clock_rate
            ));
        }
        let key = MasterKey::new(profile, key, salt).map_err(|error| error.to_string())?;
        let srtp = SrtpContext::new(profile, &key, STREAMS).map_err(|error| error.to_string())?;
        Ok(Track {
            srtp,
            jitter: Jitter::new(settings.jitter),
            reassembler: Reassembler::new(source.codec, source.channels, source.payload_type),
            clock: Clock::new(source.clock_rate),
            part: None,
            entry,
            uid,
            started_at,
            muted: source.muted,
            lost_before: false,
            frames: 0,
            key_asked: None,
            source,
            settings,
            keeps: true,
            tap: None,
        })
    }

    /// Says where its frames go: to files or not, and to a live film.
    pub(super) fn lead(&mut self, keeps: bool, tap: Option<&Arc<Tap>>) {
        self.keeps = keeps;
        self.tap = tap.map(|tap| (Arc::clone(tap), tap.began(&self.source)));
    }

    pub(super) fn id(&self) -> &str {
        &self.source.track
    }

    pub(super) fn ssrcs(&self) -> impl Iterator<Item = u32> + use<> {
        [Some(self.source.ssrc), self.source.rtx.map(|(ssrc, _)| ssrc)].into_iter().flatten()
    }

    pub(super) fn entry(&self) -> &manifest::Track {
        &self.entry
    }

    pub(super) fn set_muted(&mut self, muted: bool) {
        self.muted = muted;
    }

    /// Takes a datagram, which is decrypted in place.
    pub(super) fn datagram(&mut self, now: UnixMicros, datagram: &mut [u8]) -> Taken {
        let Ok(len) = self.srtp.unprotect_rtp(datagram) else { return Taken::No };
        let Some(Ok(packet)) = datagram.get(..len).map(Packet::parse) else { return Taken::No };
        let (sequence, payload, payload_type) = if packet.ssrc == self.source.ssrc {
            (packet.sequence, packet.payload, packet.payload_type)
        } else {
            let expected = self.source.rtx.map(|(_, payload_type)| payload_type);
            match rtx::split(packet.payload).filter(|_| expected == Some(packet.payload_type)) {
                Some((sequence, payload)) => (sequence, payload, self.source.payload_type),
                // Padding on the stream of retransmissions.
                None => return Taken::Yes,
            }
        };
        let red = Some(payload_type) == self.source.red_payload_type;
        if payload_type != self.source.payload_type && !red {
            return Taken::No;
        }
        self.entry.packets += 1;
        self.clock.arrived(packet.timestamp, now);
        let waiting =
            Waiting { timestamp: packet.timestamp, marker: packet.marker, red, payload: payload.to_vec() };
        self.jitter.push(now, sequence, waiting);
        Taken::Yes
    }

    /// A sender report.
    pub(super) fn report(&mut self, now: UnixMicros, timestamp: u32, at: UnixMicros) {
        let first = !self.clock.is_reported();
        let moved = self.clock.report(timestamp, at);
        // Noise of a millisecond is not worth a line.
        if (first || moved.abs() >= 1000) && self.entry.syncs.len() < MAX_LISTED {
            self.entry.syncs.push(manifest::Sync { at: self.since(now), moved });
        }
    }

    /// Writes what is due. Returns whether the manifest changed in what it lists of files.
    pub(super) fn advance(&mut self, now: UnixMicros, store: &mut Store) -> Result<bool, AgeError> {
        let mut changed = false;
        while let Some(ordered) = self.jitter.pop(now) {
            changed |= self.packet(now, ordered.packet, ordered.lost, store)?;
        }
        Ok(changed)
    }

    /// Makes all of it safe that came too long ago.
    pub(super) fn secure(&mut self, now: UnixMicros) -> Result<(), AgeError> {
        let Some(part) = &mut self.part else { return Ok(()) };
        if part.unsafe_since.is_some_and(|since| since.0 + self.settings.unsafe_micros <= now.0) {
            part.flush()?;
            part.file.sync()?;
            part.unsafe_since = None;
        }
        Ok(())
    }

    /// When [`Track::advance`] or [`Track::secure`] may have something to do.
    pub(super) fn deadline(&self) -> Option<UnixMicros> {
        let unsafe_since = self.part.as_ref().and_then(|part| part.unsafe_since);
        let secure = unsafe_since.map(|since| UnixMicros(since.0 + self.settings.unsafe_micros));
        [secure, self.jitter.deadline()].into_iter().flatten().min()
    }

    /// Packets to ask for again.
    pub(super) fn nacks(&mut self, now: UnixMicros) -> Vec<u16> {
        self.jitter.nacks(now)
    }

    /// Whether a key frame is to be asked for now.
    pub(super) fn wants_key_frame(&mut self, now: UnixMicros) -> bool {
        let is_cut = || self.tap.as_ref().is_some_and(|(tap, number)| tap.wants_key_frame(*number));
        let waits = (self.reassembler.waits_for_key() || is_cut()) && !self.muted;
        let due = self.key_asked.is_none_or(|asked| asked.0 + self.settings.key_frame_micros <= now.0);
        if waits && due {
            self.key_asked = Some(now);
        } else if !waits {
            self.key_asked = None;
        }
        waits && due
    }

    /// Bytes of the open file.
    pub(super) fn open_bytes(&self) -> u64 {
        self.part.as_ref().map_or(0, |part| part.file.bytes_on_disk())
    }

    pub(super) fn progress(&self) -> TrackProgress {
        TrackProgress {
            track: self.source.track.clone(),
            packets: self.entry.packets,
            lost: self.entry.lost,
            frames: self.frames,
            dropped_frames: self.reassembler.dropped(),
        }
    }

    /// Writes all that came, and finishes the file. Whatever happens, the entry says what is there.
    pub(super) fn end(&mut self, now: UnixMicros, store: &mut Store) -> Result<(), AgeError> {
        let mut result = Ok(());
        while let Some(ordered) = self.jitter.drain() {
            if let Err(error) = self.packet(now, ordered.packet, ordered.lost, store) {
                result = Err(error);
                break;
            }
        }
        let closed = self.close(store);
        if let Some((tap, number)) = self.tap.take() {
            tap.ended(number, now);
        }
        self.entry.to = Some(self.since(now));
        self.entry.dropped_frames = self.reassembler.dropped();
        result.and(closed)
    }

    /// Finishes the open file. It may be tried again after an error.
    pub(super) fn close(&mut self, store: &mut Store) -> Result<(), AgeError> {
        let Some(part) = &mut self.part else { return Ok(()) };
        part.flush()?;
        let finished = part.file.finish()?;
        store.settle(finished.bytes);
        if let Some(entry) = self.entry.parts.last_mut() {
            entry.file.bytes = Some(finished.bytes);
            entry.file.sha256 = Some(finished.sha256);
        }
        self.part = None;
        Ok(())
    }

    fn packet(
        &mut self,
        now: UnixMicros,
        packet: Waiting,
        lost: u64,
        store: &mut Store,
    ) -> Result<bool, AgeError> {
        if lost > 0 {
            self.lost_before = true;
            self.entry.lost += lost;
            if self.entry.losses.len() < MAX_LISTED {
                self.entry.losses.push(manifest::Loss { at: self.since(now), packets: lost });
            }
        }
        if packet.payload.is_empty() {
            return Ok(false);
        }
        let piece = Piece {
            timestamp: packet.timestamp,
            marker: packet.marker,
            payload: &packet.payload,
            after_loss: std::mem::take(&mut self.lost_before),
        };
        let mut frames = Vec::new();
        self.reassembler.push(piece, packet.red, &mut frames);
        let mut changed = false;
        for frame in frames {
            changed |= self.frame(now, frame, store)?;
        }
        Ok(changed)
    }

    fn frame(&mut self, now: UnixMicros, frame: Frame, store: &mut Store) -> Result<bool, AgeError> {
        let moment = self.clock.moment(frame.timestamp, now);
        let at = self.since(moment.at) / 1000 * 1000;
        if let Some((tap, number)) = &self.tap {
            tap.frame(*number, at, frame.key, frame.private.as_deref(), &frame.data);
        }
        if !self.keeps {
            self.frames += 1;
            return Ok(false);
        }
        let other = |part: &Part| frame.private.is_some() && frame.private != part.private;
        let mut changed = false;
        if moment.leapt || self.part.as_ref().is_some_and(other) {
            self.close(store)?;
            changed = true;
        }
        if self.part.is_none() {
            if !frame.key {
                // Timestamps leapt between two key frames: the new file begins with the next one.
                self.reassembler.wait_for_key();
                return Ok(changed);
            }
            self.open(at, &frame, store)?;
            changed = true;
        }
        let (Some(part), Some(entry)) = (&mut self.part, self.entry.parts.last_mut()) else {
            return Ok(changed);
        };
        if let Some(Visible { width, height }) = frame.visible
            && entry.sizes.last().is_none_or(|size| (size.width, size.height) != (width, height))
            && entry.sizes.len() < MAX_LISTED
        {
            entry.sizes.push(manifest::Size { at, width, height });
        }
        let video = self.source.codec != Codec::Opus;
        let full = part.cluster.span().is_some_and(|span| span * 1000 >= self.settings.unsafe_micros);
        if (video && frame.key) || full || part.cluster.len() >= CLUSTER_BYTES {
            part.flush()?;
        }
        if !part.cluster.push(at / 1000, frame.key, &frame.data) {
            part.flush()?;
            // An empty cluster takes whatever comes.
            let _ = part.cluster.push(at / 1000, frame.key, &frame.data);
        }
        part.unsafe_since.get_or_insert(now);
        entry.last = at;
        entry.frames += 1;
        self.frames += 1;
        Ok(changed)
    }

    fn open(&mut self, at: u64, frame: &Frame, store: &Store) -> Result<(), AgeError> {
        let track = TrackHead {
            codec: self.source.codec,
            private: frame.private.clone().unwrap_or_default(),
            visible: frame.visible,
            channels: self.source.channels.clamp(1, 2),
            uid: self.uid,
            zero: self.started_at,
        };
        let mut file = store.create(&self.source.track, ".mkv")?;
        let file_entry = FileEntry { name: file.name().to_owned(), bytes: None, sha256: None };
        let first = manifest::Part { file: file_entry, first: at, last: at, frames: 0, sizes: Vec::new() };
        self.entry.parts.push(first);
        // Written with the entry in place: should the disk be full now, the file that is there is known.
        let written = file.write(&head(&track));
        self.part = Some(Part {
            file,
            private: frame.private.clone(),
            cluster: ClusterWriter::default(),
            unsafe_since: None,
        });
        written
    }

    fn since(&self, moment: UnixMicros) -> u64 {
        moment.0.saturating_sub(self.started_at.0)
    }
}

impl Part {
    /// Writes the open cluster.
    fn flush(&mut self) -> Result<(), AgeError> {
        let mut bytes = Vec::new();
        self.cluster.take(&mut bytes);
        if bytes.is_empty() { Ok(()) } else { self.file.write(&bytes) }
    }
}
