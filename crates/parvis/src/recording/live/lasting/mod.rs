// SPDX-License-Identifier: EUPL-1.2
//! Segments and pictures of a stream that last ([`names`] says which): each is moved from the worker's directory into the recording's
//! folder as it comes, playlists beside it, and sent to the storage where there is one. They lie there as they are: players have no key.
//!
//! **The invariant:** a playlist names only what is there, whole.

pub(crate) mod names;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use livekit_protocol::{EgressInfo, ImagesInfo, SegmentsInfo};
use parvis_jobs::{AUDIO_RENDITION, Rendition, Segment, SegmentKind, UnixMicros};

use super::super::is_plain;
use super::super::upload::{Destination, Flow, FlowCounts};
use super::playlist::{self, Lengths, Look, Piece, Track};
use super::shelf::AUDIO_KBITS;
use super::{MAX_SEGMENT_BYTES, read_plain};
use names::{Pictures, Segments, stem};

/// Files of one stream: a day of segments of four seconds in four renditions. Each is a line of a playlist, which is written anew with
/// every one.
const MAX_FILES: u64 = 100_000;
/// How long the last of them have to come to the storage, before the rest goes there with the recording.
const FAREWELL: Duration = Duration::from_secs(5);

/// What is to last of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Lasts {
    pub(crate) segments: Option<Segments>,
    pub(crate) pictures: Option<Pictures>,
}

impl Lasts {
    /// Whether nothing is.
    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_none() && self.pictures.is_none()
    }
}

/// How a stream looks whose segments these are.
pub(super) struct Looks {
    pub(super) renditions: Vec<Rendition>,
    pub(super) rate: u32,
    pub(super) lengths: Lengths,
    /// Segments in the playlist of the newest.
    pub(super) listed: usize,
}

/// One rendition.
#[derive(Debug, Default)]
struct Kept {
    track: Track,
    init: String,
    codec: String,
}

/// See the module's page.
pub(super) struct Lasting {
    lasts: Lasts,
    looks: Looks,
    /// The recording's folder, …
    folder: PathBuf,
    /// … and its name.
    own: String,
    kept: BTreeMap<String, Kept>,
    /// The playlists that name all renditions, as they were written last.
    main: BTreeMap<String, String>,
    files: u64,
    bytes: u64,
    images: u64,
    to: Option<Destination>,
    flow: Option<Flow>,
    ended: bool,
}

impl Lasting {
    pub(super) fn new(
        (lasts, looks): (Lasts, Looks),
        folder: &Path,
        to: Option<(Destination, Arc<FlowCounts>)>,
    ) -> Lasting {
        let (to, flow) = match to {
            Some((to, counts)) => (Some(to.clone()), Some(Flow::start(to, counts))),
            None => (None, None),
        };
        let own = folder.file_name().map(|own| own.to_string_lossy().into_owned()).unwrap_or_default();
        Lasting {
            lasts,
            looks,
            folder: folder.to_owned(),
            own,
            kept: BTreeMap::new(),
            main: BTreeMap::new(),
            files: 0,
            bytes: 0,
            images: 0,
            to,
            flow,
            ended: false,
        }
    }

    /// Whether there are as many files, or bytes, as may be; `most` bytes of 0 are no bound.
    pub(super) fn is_full(&self, most: u64) -> bool {
        self.files >= MAX_FILES || (most > 0 && self.bytes >= most)
    }

    /// Takes a file of the worker's `directory`. What fits nowhere stays there, and goes with the directory.
    pub(super) async fn segment(&mut self, directory: &Path, told: &Segment) -> io::Result<()> {
        let Some(segments) = &self.lasts.segments else { return Ok(()) };
        let known = told.rendition == AUDIO_RENDITION
            || self.looks.renditions.iter().any(|of| of.name == told.rendition);
        if !known || self.ended || self.files >= MAX_FILES {
            return Ok(());
        }
        let name = match told.kind {
            SegmentKind::Part => return Ok(()),
            SegmentKind::Init => segments.init(&told.rendition, told.sequence),
            SegmentKind::Segment => segments.segment(&told.rendition, told.sequence, told.at),
        };
        let newest = self.kept.get(&told.rendition).and_then(|kept| kept.track.newest());
        if told.kind == SegmentKind::Segment && newest.is_some_and(|(newest, _)| newest >= told.sequence) {
            return Ok(());
        }
        let bytes = take(&directory.join(plain(&told.name)?), &self.folder.join(&name)).await?;
        (self.files, self.bytes) = (self.files + 1, self.bytes + bytes);
        let kept = self.kept.entry(told.rendition.clone()).or_default();
        if told.kind == SegmentKind::Init {
            kept.init.clone_from(&name);
            kept.codec = told.codec.clone().unwrap_or_default();
            self.send(vec![name], Vec::new());
            return Ok(());
        }
        kept.track.pieces.push_back(Piece {
            sequence: told.sequence,
            parts: Vec::new(),
            // Its bytes are not kept in memory.
            whole: Some((name.clone(), Bytes::new(), told.duration_micros)),
            discontinuity: told.discontinuity,
            at: told.at,
            init: kept.init.clone(),
        });
        let playlists = self.playlists(Some(&told.rendition));
        self.write(vec![name], playlists).await
    }

    /// Takes a picture of the worker's `directory`.
    pub(super) async fn picture(
        &mut self,
        directory: &Path,
        name: &str,
        (number, at): (u64, UnixMicros),
    ) -> io::Result<()> {
        let Some(pictures) = &self.lasts.pictures else { return Ok(()) };
        if self.ended || self.files >= MAX_FILES {
            return Ok(());
        }
        let own = pictures.name(number, at);
        let (overwrites, to) = (pictures.overwrites(), self.folder.join(&own));
        let bytes = take(&directory.join(plain(name)?), &to).await?;
        self.images += 1;
        if !overwrites {
            (self.files, self.bytes) = (self.files + 1, self.bytes + bytes);
            self.send(vec![own], Vec::new());
        } else if self.flow.is_some() {
            let now = read_plain(to).await?;
            self.send(Vec::new(), vec![(own, now)]);
        }
        Ok(())
    }

    /// Nothing more comes: playlists say so. Gives what comes to the storage at once a little time.
    pub(super) async fn end(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.ended, true) {
            return Ok(());
        }
        let playlists = self.playlists(None);
        let written = self.write(Vec::new(), playlists).await;
        if let Some(flow) = self.flow.take() {
            flow.end(FAREWELL).await;
        }
        written
    }

    /// What the record says of them.
    pub(super) fn note(&self, egress: &mut EgressInfo) {
        let (started_at, ended_at) = (egress.started_at, egress.ended_at);
        if let Some(segments) = &self.lasts.segments {
            let sound = self.kept.get(AUDIO_RENDITION).map(|kept| &kept.track.pieces);
            let micros: u64 =
                sound.into_iter().flatten().filter_map(|piece| Some(piece.whole.as_ref()?.2)).sum();
            let count = self.kept.values().map(|kept| kept.track.pieces.len()).sum::<usize>();
            let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
            let place = |name: &String| match self.main.contains_key(name) {
                true => self.location(name),
                false => String::new(),
            };
            let live = segments.live_playlist.clone().unwrap_or_default();
            egress.segment_results = vec![SegmentsInfo {
                playlist_location: place(&segments.playlist),
                live_playlist_location: place(&live),
                playlist_name: segments.playlist.clone(),
                live_playlist_name: live,
                duration: number(micros.saturating_mul(1_000)),
                size: number(self.bytes),
                segment_count: i64::try_from(count).unwrap_or(i64::MAX),
                started_at,
                ended_at,
            }];
        }
        if let Some(pictures) = &self.lasts.pictures {
            egress.image_results = vec![ImagesInfo {
                filename_prefix: pictures.prefix.clone(),
                image_count: i64::try_from(self.images).unwrap_or(i64::MAX),
                started_at,
                ended_at,
            }];
        }
    }

    /// Where a file lies, as the record says it.
    fn location(&self, name: &str) -> String {
        match &self.to {
            Some(to) => to.url(name),
            None => format!("{}/{name}", self.own),
        }
    }

    /// The playlists that change when this rendition does, or all.
    fn playlists(&mut self, rendition: Option<&str>) -> Vec<(String, String)> {
        let Some(segments) = &self.lasts.segments else { return Vec::new() };
        let all =
            [(Some(&segments.playlist), None), (segments.live_playlist.as_ref(), Some(self.looks.listed))];
        let all: Vec<_> =
            all.into_iter().filter_map(|(main, newest)| Some((main?.clone(), newest))).collect();
        let mut playlists = Vec::new();
        for (main, newest) in &all {
            let changed = self.kept.iter().filter(|(name, kept)| {
                rendition.is_none_or(|rendition| rendition == name.as_str()) && !kept.track.pieces.is_empty()
            });
            playlists.extend(changed.map(|(name, kept)| {
                let text = playlist::lasting(&kept.track, self.looks.lengths, *newest, self.ended);
                (format!("{}{name}{}", stem(main), names::PLAYLIST), text)
            }));
        }
        for (main, _) in all {
            if let Some(text) =
                self.multivariant(&stem(&main)).filter(|text| self.main.get(&main) != Some(text))
            {
                self.main.insert(main.clone(), text.clone());
                playlists.push((main, text));
            }
        }
        playlists
    }

    /// The playlist of all renditions, once each of them has a segment.
    fn multivariant(&self, stem: &str) -> Option<String> {
        let codec = |name: &str| {
            let kept = self.kept.get(name).filter(|kept| !kept.track.pieces.is_empty())?;
            Some(kept.codec.clone())
        };
        let look = |of: &Rendition| {
            let Rendition { name, width, height, kbits } = of.clone();
            Some(Look { codec: codec(&name)?, name, width, height, rate: self.looks.rate, kbits })
        };
        let looks: Option<Vec<Look>> = self.looks.renditions.iter().map(look).collect();
        Some(playlist::multivariant(&looks?, &codec(AUDIO_RENDITION)?, AUDIO_KBITS, stem))
    }

    /// Writes playlists down, each whole or not at all, and sends them behind these files.
    async fn write(&mut self, files: Vec<String>, playlists: Vec<(String, String)>) -> io::Result<()> {
        let folder = self.folder.clone();
        let written = playlists.clone();
        let write = move || {
            for (name, text) in written {
                let draft = folder.join(format!(".{name}.part"));
                std::fs::write(&draft, text)?;
                std::fs::rename(draft, folder.join(name))?;
            }
            Ok(())
        };
        let done =
            tokio::task::spawn_blocking(write).await.unwrap_or_else(|error| Err(io::Error::other(error)));
        self.send(files, playlists.into_iter().map(|(name, text)| (name, Bytes::from(text))).collect());
        done
    }

    fn send(&self, files: Vec<String>, changing: Vec<(String, Bytes)>) {
        if let Some(flow) = &self.flow {
            flow.add(files, changing);
        }
    }
}

/// The name of a file of a worker's, which may say what it wants.
fn plain(name: &str) -> io::Result<&str> {
    if is_plain(name) { Ok(name) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

/// Moves a file, and gives its size. What is no file, or too large for one of these, is not moved.
async fn take(from: &Path, to: &Path) -> io::Result<u64> {
    let found = tokio::fs::symlink_metadata(from).await?;
    if !found.is_file() || found.len() > MAX_SEGMENT_BYTES {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    tokio::fs::rename(from, to).await?;
    Ok(found.len())
}
