// SPDX-License-Identifier: EUPL-1.2
//! What is handed out of one live stream: its newest segments in memory, shared by all who watch, so that the disk is read once
//! for each of them and not once for each viewer.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use parvis_api::Watched;
use parvis_jobs::{AUDIO_RENDITION, Rendition, Segment, SegmentKind};
use tokio::sync::watch;

use super::playlist::{self, Lengths, Look, Part, Piece, Track};

/// Kbit/s of the sound.
pub(super) const AUDIO_KBITS: u32 = 128;
/// Segments that are there for a while after they are listed no more: for whoever is asking for them just then.
const KEPT_BEYOND: usize = 3;
/// How far ahead of the newest segment a playlist may be asked for (section 6.2.5.2).
const MAX_AHEAD: u64 = 2;
/// How long somebody waits for what comes next, in segments; it is there earlier, or the worker has stopped.
const PATIENCE_SEGMENTS: u32 = 3;

const PLAYLIST: &str = "application/vnd.apple.mpegurl";
const MEDIA: &str = "video/mp4";
/// The playlist that names all others.
pub(crate) const MAIN: &str = "index.m3u8";

/// What viewers of all streams come to, and what bounds it.
#[derive(Debug, Default)]
pub(crate) struct Audience {
    /// Whoever waits for what comes next: at any moment, about as many as watch.
    pub(super) waiting: AtomicUsize,
    pub(super) bytes: AtomicU64,
    pub(super) requests: AtomicU64,
    pub(super) refused: AtomicU64,
}

/// One rendition's files.
#[derive(Debug, Default)]
struct Shelved {
    track: Track,
    inits: HashMap<String, Bytes>,
    init: String,
    codec: String,
    /// Whole segments that are listed no more, by name.
    beyond: std::collections::VecDeque<(String, Bytes)>,
}

#[derive(Debug, Default)]
struct State {
    shelved: HashMap<String, Shelved>,
    ended: bool,
    /// Playlists as they are now.
    made: HashMap<String, Bytes>,
}

/// See the module's page.
pub(crate) struct Shelf {
    renditions: Vec<Rendition>,
    rate: u32,
    lengths: Lengths,
    /// Segments that are listed.
    listed: usize,
    state: Mutex<State>,
    changed: watch::Sender<u64>,
    audience: Arc<Audience>,
    max_waiting: usize,
}

/// Counts somebody who waits, until it is dropped.
struct Waiting<'a>(&'a Audience);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shelf {
    pub(super) fn new(
        renditions: Vec<Rendition>,
        rate: u32,
        lengths: Lengths,
        listed: usize,
        (audience, max_waiting): (Arc<Audience>, usize),
    ) -> Shelf {
        let (state, changed) = (Mutex::default(), watch::Sender::new(0));
        Shelf { renditions, rate, lengths, listed, state, changed, audience, max_waiting }
    }

    /// Puts a file there that the worker told of. What fits nowhere is passed over: `false`.
    pub(super) fn put(&self, told: &Segment, bytes: Bytes) -> bool {
        let known =
            told.rendition == AUDIO_RENDITION || self.renditions.iter().any(|of| of.name == told.rendition);
        let mut state = self.state();
        if !known || state.ended {
            return false;
        }
        let shelved = state.shelved.entry(told.rendition.clone()).or_default();
        let fits = match told.kind {
            SegmentKind::Init => {
                shelved.init.clone_from(&told.name);
                shelved.codec = told.codec.clone().unwrap_or_default();
                shelved.inits.insert(told.name.clone(), bytes);
                true
            }
            SegmentKind::Part => shelved.part(told, bytes),
            SegmentKind::Segment => shelved.whole(told, bytes, self.listed),
        };
        if fits {
            self.make(&mut state);
        }
        drop(state);
        self.changed.send_modify(|version| *version += 1);
        fits
    }

    /// Nothing more comes.
    pub(super) fn end(&self) {
        let mut state = self.state();
        state.ended = true;
        for shelved in state.shelved.values_mut() {
            // Of a segment that never became whole nothing is listed.
            shelved.track.pieces.retain(|piece| piece.whole.is_some());
        }
        self.make(&mut state);
        drop(state);
        self.changed.send_modify(|version| *version += 1);
    }

    /// What a request for a file of this stream is answered with.
    pub(super) async fn answer(&self, name: &str, query: &str) -> Watched {
        self.audience.requests.fetch_add(1, Ordering::Relaxed);
        let answer = self.find(name, query).await;
        if let Watched::Found { body, .. } = &answer {
            self.audience.bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
        }
        answer
    }

    async fn find(&self, name: &str, query: &str) -> Watched {
        let Some(rendition) = name.strip_suffix(".m3u8") else { return self.file(name).await };
        if name == MAIN {
            return self.playlist(name);
        }
        let number = |wanted: &str| {
            let value =
                query.split('&').filter_map(|pair| pair.split_once('=')).find(|(name, _)| *name == wanted);
            value.map(|(_, value)| value.parse::<u64>())
        };
        let (sequence, part) = match (number("_HLS_msn"), number("_HLS_part")) {
            (None, None) => return self.playlist(name),
            (Some(Ok(sequence)), None) => (sequence, None),
            (Some(Ok(sequence)), Some(Ok(part))) => (sequence, Some(part)),
            _ => return Watched::Nonsense,
        };
        let newest = self.state().shelved.get(rendition).and_then(|shelved| shelved.track.newest());
        let Some((newest, _)) = newest else { return self.playlist(name) };
        if sequence > newest.saturating_add(MAX_AHEAD) {
            return if self.state().ended { self.playlist(name) } else { Watched::Nonsense };
        }
        let there = |state: &State| {
            state.ended
                || state.shelved.get(rendition).is_some_and(|shelved| shelved.track.has(sequence, part))
        };
        match self.until(there).await {
            true => self.playlist(name),
            false => Watched::Later,
        }
    }

    fn playlist(&self, name: &str) -> Watched {
        let state = self.state();
        match state.made.get(name) {
            Some(body) => Watched::Found { content_type: PLAYLIST, lasting: false, body: body.clone() },
            None if state.ended => Watched::Gone,
            None if name == MAIN => Watched::Later,
            None => Watched::Gone,
        }
    }

    /// A segment, a part or an initialization section; the part that is said to come next is waited for.
    async fn file(&self, name: &str) -> Watched {
        let found = |state: &State| {
            // Names begin with their rendition's.
            let rendition = name.rsplit_once('-').map_or("", |(rendition, _)| rendition);
            state.shelved.get(rendition).and_then(|shelved| shelved.find(name))
        };
        let hinted = |state: &State| {
            let mut hints = state
                .shelved
                .iter()
                .filter_map(|(rendition, shelved)| playlist::hint(rendition, &shelved.track, self.lengths));
            !state.ended && hints.any(|hint| hint == name)
        };
        let (mut body, waits) = {
            let state = self.state();
            (found(&state), hinted(&state))
        };
        if body.is_none() && waits {
            self.until(|state| found(state).is_some() || !hinted(state)).await;
            body = found(&self.state());
        }
        body.map_or(Watched::Gone, |body| Watched::Found { content_type: MEDIA, lasting: true, body })
    }

    /// Waits until something is so: `false` when it did not come to that, or too many wait.
    async fn until(&self, so: impl Fn(&State) -> bool) -> bool {
        let mut changed = self.changed.subscribe();
        if so(&self.state()) {
            return true;
        }
        if self.audience.waiting.fetch_add(1, Ordering::Relaxed) >= self.max_waiting {
            self.audience.waiting.fetch_sub(1, Ordering::Relaxed);
            self.audience.refused.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        let _waiting = Waiting(&self.audience);
        let patience = Duration::from_millis(u64::from(self.lengths.segment)) * PATIENCE_SEGMENTS;
        let waited = tokio::time::timeout(patience, async {
            while changed.changed().await.is_ok() {
                if so(&self.state()) {
                    return true;
                }
            }
            false
        });
        waited.await.unwrap_or(false)
    }

    /// Makes all playlists anew.
    fn make(&self, state: &mut State) {
        let mut made = HashMap::new();
        for (name, shelved) in &state.shelved {
            if shelved.track.pieces.is_empty() {
                continue;
            }
            let mut others: Vec<_> = state.shelved.iter().filter(|(other, _)| *other != name).collect();
            others.sort_by_key(|(other, _)| other.as_str());
            let others: Vec<_> = others
                .into_iter()
                .filter_map(|(other, shelved)| {
                    shelved.track.newest().map(|(sequence, parts)| (other.as_str(), sequence, parts))
                })
                .collect();
            let text = playlist::media(name, &shelved.track, &others, self.lengths, state.ended);
            made.insert(format!("{name}.m3u8"), Bytes::from(text));
        }
        // All that it names must be there: a player that finds one missing gives up.
        let complete = self.renditions.iter().map(|of| of.name.as_str()).chain([AUDIO_RENDITION]);
        if complete.into_iter().all(|name| made.contains_key(&format!("{name}.m3u8"))) {
            let codec = |name: &str| state.shelved.get(name).map(|of| of.codec.clone()).unwrap_or_default();
            let looks: Vec<Look> = self
                .renditions
                .iter()
                .map(|of| Look {
                    name: of.name.clone(),
                    width: of.width,
                    height: of.height,
                    rate: self.rate,
                    kbits: of.kbits,
                    codec: codec(&of.name),
                })
                .collect();
            let text = playlist::multivariant(&looks, &codec(AUDIO_RENDITION), AUDIO_KBITS, "");
            made.insert(MAIN.to_owned(), Bytes::from(text));
        }
        state.made = made;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelved {
    fn part(&mut self, told: &Segment, bytes: Bytes) -> bool {
        let newest = self.track.pieces.back();
        if newest.is_none_or(|piece| piece.sequence < told.sequence) {
            self.track.pieces.push_back(self.begin(told));
        }
        let Some(piece) = self.track.pieces.back_mut() else { return false };
        let next = u32::try_from(piece.parts.len()).is_ok_and(|parts| parts == told.part);
        if piece.sequence != told.sequence || piece.whole.is_some() || !next {
            return false;
        }
        piece.parts.push(Part {
            name: told.name.clone(),
            bytes,
            micros: told.duration_micros,
            independent: told.independent,
        });
        true
    }

    fn whole(&mut self, told: &Segment, bytes: Bytes, listed: usize) -> bool {
        if self.track.pieces.back().is_none_or(|piece| piece.sequence < told.sequence) {
            let piece = self.begin(told);
            self.track.pieces.push_back(piece);
        }
        let Some(piece) = self.track.pieces.back_mut() else { return false };
        if piece.sequence != told.sequence || piece.whole.is_some() {
            return false;
        }
        // The same bytes in one: kept once.
        let lengths: usize = piece.parts.iter().map(|part| part.bytes.len()).sum();
        let mut from = 0;
        for part in piece.parts.iter_mut().filter(|_| lengths == bytes.len()) {
            let to = from + part.bytes.len();
            part.bytes = bytes.slice(from..to);
            from = to;
        }
        piece.at = told.at.or(piece.at);
        piece.whole = Some((told.name.clone(), bytes, told.duration_micros));
        while self.track.pieces.len() > listed {
            let Some(gone) = self.track.pieces.pop_front() else { break };
            self.track.gone_discontinuities += u64::from(gone.discontinuity);
            self.beyond.extend(gone.whole.map(|(name, bytes, _)| (name, bytes)));
        }
        while self.beyond.len() > KEPT_BEYOND {
            self.beyond.pop_front();
        }
        let used: Vec<&String> =
            self.track.pieces.iter().map(|piece| &piece.init).chain([&self.init]).collect();
        self.inits.retain(|name, _| used.contains(&name));
        true
    }

    fn begin(&self, told: &Segment) -> Piece {
        Piece {
            sequence: told.sequence,
            parts: Vec::new(),
            whole: None,
            discontinuity: told.discontinuity,
            at: told.at,
            init: self.init.clone(),
        }
    }

    fn find(&self, name: &str) -> Option<Bytes> {
        let beyond = || self.beyond.iter().find(|(own, _)| own == name).map(|(_, bytes)| bytes.clone());
        let pieces = || {
            self.track.pieces.iter().find_map(|piece| {
                let whole = piece.whole.as_ref().filter(|(own, _, _)| own == name).map(|(_, bytes, _)| bytes);
                let part = || piece.parts.iter().find(|part| part.name == name).map(|part| &part.bytes);
                whole.or_else(part).cloned()
            })
        };
        self.inits.get(name).cloned().or_else(pieces).or_else(beyond)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(rendition: &str, kind: SegmentKind, sequence: u64, part: u32) -> Segment {
        let name = match kind {
            SegmentKind::Init => format!("{rendition}-{sequence}.init.mp4"),
            SegmentKind::Part => format!("{rendition}-{sequence}.{part}.m4s"),
            SegmentKind::Segment => format!("{rendition}-{sequence}.m4s"),
        };
        Segment {
            rendition: rendition.into(),
            kind,
            name,
            bytes: 1,
            sequence,
            part,
            duration_micros: if kind == SegmentKind::Part { 500_000 } else { 1_000_000 },
            independent: part == 0,
            discontinuity: false,
            at: None,
            codec: (kind == SegmentKind::Init).then(|| "avc1.64001f".into()),
        }
    }

    fn shelf(max_waiting: usize) -> Shelf {
        let rendition = Rendition { name: "360".into(), width: 640, height: 360, kbits: 800 };
        let lengths = Lengths { segment: 1_000, part: 500 };
        Shelf::new(vec![rendition], 30, lengths, 3, (Arc::default(), max_waiting))
    }

    fn fill(shelf: &Shelf, sequence: u64) {
        for rendition in ["360", AUDIO_RENDITION] {
            if sequence == 0 {
                assert!(shelf.put(&told(rendition, SegmentKind::Init, 0, 0), Bytes::from_static(b"init")));
            }
            assert!(shelf.put(&told(rendition, SegmentKind::Part, sequence, 0), Bytes::from_static(b"ab")));
            assert!(shelf.put(&told(rendition, SegmentKind::Part, sequence, 1), Bytes::from_static(b"cd")));
            assert!(
                shelf.put(&told(rendition, SegmentKind::Segment, sequence, 0), Bytes::from_static(b"abcd"))
            );
        }
    }

    fn body(answer: Watched) -> String {
        match answer {
            Watched::Found { body, .. } => String::from_utf8(body.to_vec()).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn what_is_told_is_handed_out_and_what_is_old_is_given_up() {
        let shelf = shelf(10);
        assert_eq!(shelf.answer(MAIN, "").await, Watched::Later, "it has not begun");
        (0..10).for_each(|sequence| fill(&shelf, sequence));
        assert!(body(shelf.answer(MAIN, "").await).contains("avc1.64001f,avc1.64001f"));
        let list = body(shelf.answer("360.m3u8", "").await);
        assert!(list.contains("#EXT-X-MEDIA-SEQUENCE:7\n") && list.contains("360-9.m4s"), "{list}");
        for (name, expected) in [
            ("360-9.m4s", "abcd"),
            ("360-9.1.m4s", "cd"),
            ("audio-0.init.mp4", "init"),
            ("360-4.m4s", "abcd"),
        ] {
            assert_eq!(body(shelf.answer(name, "").await), expected, "{name}");
        }
        for name in ["360-3.m4s", "360-4.0.m4s", "nothing", "../360-9.m4s", "720.m3u8", "", "360-12.0.m4s"] {
            assert_eq!(shelf.answer(name, "").await, Watched::Gone, "{name}");
        }
        let foreign = told("999", SegmentKind::Segment, 10, 0);
        assert!(!shelf.put(&foreign, Bytes::new()), "a rendition that nobody asked for");
        assert!(!shelf.put(&told("360", SegmentKind::Part, 10, 5), Bytes::new()), "a part out of turn");
        shelf.end();
        assert!(body(shelf.answer("360.m3u8", "_HLS_msn=11").await).ends_with("#EXT-X-ENDLIST\n"));
        assert!(!shelf.put(&told("360", SegmentKind::Init, 11, 0), Bytes::new()));
    }

    #[tokio::test]
    async fn a_request_waits_for_what_comes_next_and_the_waiting_are_bounded() {
        let shelf = Arc::new(shelf(2));
        fill(&shelf, 0);
        let asks = |name: &'static str, query: &'static str| {
            let shelf = Arc::clone(&shelf);
            tokio::spawn(async move { shelf.answer(name, query).await })
        };
        let list = asks("360.m3u8", "_HLS_msn=1&_HLS_part=0");
        let hinted = asks("360-1.0.m4s", "");
        while shelf.audience.waiting.load(Ordering::Relaxed) < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(shelf.answer("360.m3u8", "_HLS_msn=1").await, Watched::Later, "a third finds no place");
        assert_eq!(shelf.audience.refused.load(Ordering::Relaxed), 1, "and is told so at once");
        assert!(!list.is_finished() && !hinted.is_finished());
        assert!(shelf.put(&told("360", SegmentKind::Part, 1, 0), Bytes::from_static(b"ef")));
        assert!(body(list.await.unwrap()).contains("360-1.0.m4s\",INDEPENDENT=YES"));
        assert_eq!(body(hinted.await.unwrap()), "ef");
        assert_eq!(shelf.audience.waiting.load(Ordering::Relaxed), 0);
        for nonsense in ["_HLS_msn=99", "_HLS_msn=x", "_HLS_part=1", "_HLS_msn=-1"] {
            assert_eq!(shelf.answer("360.m3u8", nonsense).await, Watched::Nonsense, "{nonsense}");
        }
        let lengths = Lengths { segment: 50, part: 25 };
        let shelf = Shelf { lengths, ..Arc::into_inner(shelf).unwrap() };
        assert_eq!(shelf.answer("360.m3u8", "_HLS_msn=2").await, Watched::Later, "nothing comes any more");
    }
}
