// SPDX-License-Identifier: EUPL-1.2
//! What stands between a capture and the thread that composes: the capture puts in and never waits.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use parvis_jobs::{LiveLayout, LiveProgress, Source, ToServer, UnixMicros};

use crate::manifest;
use crate::timeline::Entry;

/// The most of one track that waits for its decoder, in bytes: two key frames of 4K. With 25 tiles that is 100 MiB, and far
/// less in any room but one that nothing is taken from.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// The most frames: five seconds of sound, and more of pictures.
const MAX_FRAMES: usize = 250;
/// The most that is told and not yet taken; a second of it is a few lines.
const MAX_NEWS: usize = 20_000;

/// A frame, as a capture's file would have it.
#[derive(Debug)]
pub(super) struct Frame {
    /// In microseconds since the recording's start.
    pub(super) at: u64,
    pub(super) key: bool,
    /// What decoders must know from here on, where the codec has that.
    pub(super) private: Option<Vec<u8>>,
    pub(super) data: Vec<u8>,
}

/// What happened in the room.
#[derive(Debug)]
pub(super) enum News {
    Said(Entry),
    /// A track, with the number by which its frames are asked for.
    Began {
        number: u64,
        track: Box<manifest::Track>,
        channels: u8,
        muted: bool,
    },
    Ended {
        number: u64,
        at: u64,
    },
    Layout(LiveLayout, Option<String>),
}

/// Shared by a capture and the thread that composes it.
#[derive(Debug)]
pub struct Tap {
    started_at: UnixMicros,
    inner: Mutex<Inner>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    news: VecDeque<News>,
    waiting: BTreeMap<u64, Waiting>,
    next: u64,
    out: Vec<ToServer>,
    progress: LiveProgress,
    /// When the film is to end.
    end: Option<u64>,
    /// Nothing is taken any more.
    over: bool,
}

/// The frames of a track.
#[derive(Debug, Default)]
struct Waiting {
    frames: VecDeque<Frame>,
    bytes: usize,
    /// Until a key frame comes.
    skips: bool,
}

impl Tap {
    /// For a recording that began then.
    pub(super) fn new(started_at: UnixMicros) -> Tap {
        Tap { started_at, inner: Mutex::default(), ended: Condvar::new() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn news(&self, news: News) {
        let mut inner = self.inner();
        if !inner.over && inner.news.len() < MAX_NEWS {
            inner.news.push_back(news);
        }
    }

    fn since(&self, at: UnixMicros) -> u64 {
        at.0.saturating_sub(self.started_at.0)
    }

    /// A line of the timeline.
    pub(crate) fn said(&self, entry: Entry) {
        self.news(News::Said(entry));
    }

    /// A track came. Answers with the number that its frames are handed over with.
    pub(crate) fn began(&self, source: &Source) -> u64 {
        let (at, what) = (self.since(source.at), (source.kind, source.origin));
        let (track, participant) = (source.track.clone(), source.participant.clone());
        let track = Box::new(manifest::Track::begun(track, participant, what, source.codec, at));
        let mut inner = self.inner();
        let number = inner.next;
        inner.next += 1;
        if !inner.over {
            inner.waiting.insert(number, Waiting { skips: true, ..Waiting::default() });
            let (channels, muted) = (source.channels.clamp(1, 2), source.muted);
            inner.news.push_back(News::Began { number, track, channels, muted });
        }
        number
    }

    /// A track went.
    pub(crate) fn ended(&self, number: u64, at: UnixMicros) {
        self.news(News::Ended { number, at: self.since(at) });
    }

    /// A whole frame, `at` in microseconds since the recording's start.
    pub(crate) fn frame(&self, number: u64, at: u64, key: bool, private: Option<&[u8]>, data: &[u8]) {
        let mut inner = self.inner();
        let Some(waiting) = inner.waiting.get_mut(&number) else { return };
        let mut dropped = 0;
        if waiting.frames.len() >= MAX_FRAMES || waiting.bytes + data.len() > MAX_BYTES {
            dropped = waiting.skip();
        }
        if waiting.skips && !key {
            dropped += 1;
        } else {
            waiting.skips = false;
            waiting.bytes += data.len();
            let private = private.map(<[u8]>::to_vec);
            waiting.frames.push_back(Frame { at, key, private, data: data.to_vec() });
        }
        inner.progress.dropped_frames += dropped;
    }

    /// Whether a track is of no use until its next key frame.
    pub(crate) fn wants_key_frame(&self, number: u64) -> bool {
        self.inner().waiting.get(&number).is_some_and(|waiting| waiting.skips)
    }

    /// The film is to be laid out otherwise.
    pub(crate) fn layout(&self, layout: LiveLayout, subject: Option<String>) {
        self.news(News::Layout(layout, subject));
    }

    /// What the server is to be told.
    pub(crate) fn outgoing(&self) -> Vec<ToServer> {
        std::mem::take(&mut self.inner().out)
    }

    /// How it goes; `None` once it is over.
    pub(crate) fn progress(&self) -> Option<LiveProgress> {
        let inner = self.inner();
        (!inner.over).then_some(inner.progress)
    }

    /// Ends the film at a moment, and waits until it is whole, but no longer than so.
    pub(crate) fn finish(&self, at: UnixMicros, patience: Duration) {
        let (end, until) = (self.since(at), Instant::now() + patience);
        let mut inner = self.inner();
        inner.end.get_or_insert(end);
        while !inner.over {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.ended.wait_timeout(inner, left);
            inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    pub(super) fn started_at(&self) -> UnixMicros {
        self.started_at
    }

    pub(super) fn take_news(&self) -> VecDeque<News> {
        std::mem::take(&mut self.inner().news)
    }

    pub(super) fn take_frame(&self, number: u64) -> Option<Frame> {
        let mut inner = self.inner();
        let waiting = inner.waiting.get_mut(&number)?;
        let frame = waiting.frames.pop_front()?;
        waiting.bytes -= frame.data.len();
        Some(frame)
    }

    /// Leaves out what waits of a track, up to its next key frame.
    pub(super) fn skip(&self, number: u64) {
        let mut inner = self.inner();
        let dropped = inner.waiting.get_mut(&number).map_or(0, Waiting::skip);
        inner.progress.dropped_frames += dropped;
    }

    /// Nothing of a track is taken any more.
    pub(super) fn forget(&self, number: u64) {
        self.inner().waiting.remove(&number);
    }

    pub(super) fn tell(&self, message: ToServer) {
        self.inner().out.push(message);
    }

    pub(super) fn count(&self, count: impl FnOnce(&mut LiveProgress)) {
        count(&mut self.inner().progress);
    }

    /// When the film is to end, where that is known.
    pub(super) fn end(&self) -> Option<u64> {
        self.inner().end
    }

    /// Takes nothing any more.
    pub(super) fn close(&self) {
        let mut inner = self.inner();
        inner.over = true;
        inner.news.clear();
        inner.waiting.clear();
        self.ended.notify_all();
    }
}

impl Waiting {
    /// Says how many frames that were.
    fn skip(&mut self) -> u64 {
        let dropped = self.frames.len() as u64;
        *self = Waiting { skips: true, ..Waiting::default() };
        dropped
    }
}

#[cfg(test)]
mod tests {
    use parvis_jobs::{Codec, Kind, Origin, Profile, SrtpKey};

    use super::*;

    fn tap() -> (Tap, u64) {
        let tap = Tap::new(UnixMicros(1_000));
        let source = Source {
            track: "TR_1".to_owned(),
            name: String::new(),
            participant: "PA_1".to_owned(),
            kind: Kind::Video,
            origin: Origin::Camera,
            codec: Codec::Vp8,
            clock_rate: 90_000,
            channels: 1,
            payload_type: 96,
            red_payload_type: None,
            ssrc: 1,
            rtx: None,
            profile: Profile::Aead128Gcm,
            key: SrtpKey::new(Vec::new()),
            muted: false,
            at: UnixMicros(3_000),
        };
        let number = tap.began(&source);
        (tap, number)
    }

    #[test]
    fn a_track_that_nobody_takes_is_cut_off_up_to_its_next_key_frame() {
        let (tap, number) = tap();
        assert!(tap.wants_key_frame(number), "the first frame is a key frame");
        tap.frame(number, 0, false, None, &[0; 10]);
        assert_eq!(tap.progress().unwrap().dropped_frames, 1);
        for at in 0..MAX_FRAMES as u64 {
            tap.frame(number, at, at == 0, None, &[1; 1000]);
        }
        assert!(!tap.wants_key_frame(number));
        tap.frame(number, 999, false, None, &[2; 1000]);
        assert!(tap.wants_key_frame(number));
        assert_eq!(tap.progress().unwrap().dropped_frames, 2 + MAX_FRAMES as u64);
        tap.frame(number, 1000, true, Some(&[7]), &[3]);
        let frame = tap.take_frame(number).unwrap();
        assert_eq!((frame.at, frame.key, frame.private, frame.data), (1000, true, Some(vec![7]), vec![3]));
        assert!(tap.take_frame(number).is_none());
    }

    #[test]
    fn bytes_are_bounded_too() {
        let (tap, number) = tap();
        for at in 0..9 {
            tap.frame(number, at, true, None, &vec![0; 1024 * 1024]);
        }
        assert_eq!(tap.progress().unwrap().dropped_frames, 8);
        assert_eq!(tap.take_frame(number).unwrap().at, 8);
    }

    #[test]
    fn once_it_is_over_nothing_is_kept_and_nobody_waits() {
        let (tap, number) = tap();
        tap.close();
        tap.frame(number, 0, true, None, &[0; 10]);
        tap.layout(LiveLayout::Grid, None);
        assert!(tap.take_frame(number).is_none() && tap.take_news().is_empty() && tap.progress().is_none());
        let since = Instant::now();
        tap.finish(UnixMicros(5_000), Duration::from_secs(60));
        assert!(since.elapsed() < Duration::from_secs(30));
        assert_eq!(tap.end(), Some(4_000));
    }
}
