// SPDX-License-Identifier: EUPL-1.2
//! What a worker is asked to compose while the room is still there, and what it tells of it.
//!
//! All files lie in `live/` of the job's directory. The server makes that directory, and the FIFO [`STREAM`] where one is
//! asked for, before it says `Start`: a worker makes no directories.

use serde::{Deserialize, Serialize};

use crate::names::UnixMicros;

/// The directory of live files, in the job's.
pub const LIVE_DIRECTORY: &str = "live";
/// The FIFO for the transport stream, in [`LIVE_DIRECTORY`].
pub const STREAM: &str = "stream.ts";
/// The rendition that is sound alone.
pub const AUDIO_RENDITION: &str = "audio";

/// A film to compose live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Live {
    /// Who is seen and where.
    pub layout: LiveLayout,
    /// Whose identity is seen alone; [`LiveLayout::Single`] only. Without it, whoever spoke last.
    #[serde(default)]
    pub subject: Option<String>,
    /// Which track is seen alone, whosever it is; [`LiveLayout::Single`] only, and then no subject.
    #[serde(default)]
    pub subject_track: Option<String>,
    /// Width of the canvas and of the main rendition, in samples; even.
    pub width: u32,
    /// Height of both; even.
    pub height: u32,
    /// Pictures a second, of all renditions.
    pub rate: u32,
    /// Thousands of bits a second for the pictures of the main rendition, which is what goes into the stream.
    pub kbits: u32,
    /// A line above the tiles.
    #[serde(default)]
    pub title: Option<String>,
    /// Whether the time of day, in UTC, stands beside it.
    #[serde(default)]
    pub clock: bool,
    /// Faint letters over the picture.
    #[serde(default)]
    pub watermark: Option<String>,
    /// What a web server hands out.
    #[serde(default)]
    pub hls: Option<Hls>,
    /// Whether the main rendition and the sound are written as an MPEG transport stream into the FIFO `live/stream.ts`.
    #[serde(default)]
    pub stream: bool,
    /// Single pictures.
    #[serde(default)]
    pub images: Option<Images>,
    /// The media sequence number of the first segment: after a restart, one more than the last that was told of.
    #[serde(default)]
    pub first_sequence: u64,
    /// The number of the first image: after a restart, one more than the last that was told of.
    #[serde(default)]
    pub first_image: u64,
}

/// How a live film is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LiveLayout {
    /// All of one size.
    Grid,
    /// Whoever speaks large.
    Speaker,
    /// A share large, where there is one; else as [`LiveLayout::Speaker`].
    Screen,
    /// One alone.
    Single,
    /// No pictures at all. This can't be changed to another, nor another to this.
    Audio,
}

/// Segments in fragmented MP4 (CMAF) for HTTP Live Streaming (RFC 8216).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hls {
    /// Pictures in these sizes. The sound is a rendition of its own, [`AUDIO_RENDITION`].
    pub renditions: Vec<Rendition>,
    /// How long a segment is, in milliseconds; rounded to whole pictures. Each begins with a key frame, in all renditions at
    /// the same picture.
    pub segment_millis: u32,
    /// How long a part of a segment is; 0 for no parts.
    pub part_millis: u32,
    /// How many segments are kept; the worker removes older ones. 0 for all of them.
    pub keep_segments: u32,
}

/// Pictures in one size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rendition {
    /// Its name, which file names begin with: letters, digits and `-`, and not [`AUDIO_RENDITION`].
    pub name: String,
    /// Width in samples; even.
    pub width: u32,
    /// Height in samples; even.
    pub height: u32,
    /// Thousands of bits a second.
    pub kbits: u32,
}

/// Pictures in JPEG, `live/image-{number}.jpg`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Images {
    /// The time from one to the next, in milliseconds.
    pub every_millis: u32,
    /// Width in samples; even.
    pub width: u32,
    /// Height in samples; even.
    pub height: u32,
}

/// A file in `live/` that is whole. In each rendition these come in order: a new `Init` before the first `Part` or `Segment`
/// that needs it, and a segment's parts before the segment, which is the same bytes in one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Whose: the name of a [`Rendition`], or [`AUDIO_RENDITION`].
    pub rendition: String,
    /// What it is.
    pub kind: SegmentKind,
    /// Its name in `live/`.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// The media sequence number, the same for the same time in all renditions. Of an `Init`, that of the first segment that
    /// needs it.
    pub sequence: u64,
    /// Which part of the segment, from 0; 0 for what is no part.
    pub part: u32,
    /// How long it lasts; 0 for an `Init`.
    pub duration_micros: u64,
    /// Whether it begins with a key frame, and so can be begun with. Always so for sound.
    pub independent: bool,
    /// Whether this segment, or the one that this part is of, begins anew after an encoder or the worker was replaced
    /// (`EXT-X-DISCONTINUITY`). The same in all renditions.
    pub discontinuity: bool,
    /// The moment that it shows first, by the server's clock; `None` for an `Init`.
    pub at: Option<UnixMicros>,
    /// The codec, for a playlist (RFC 6381): `avc1.64001f`, `mp4a.40.2`. `Init` only.
    pub codec: Option<String>,
}

/// What a file of a rendition is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SegmentKind {
    /// The initialization section: `ftyp` and `moov` (`EXT-X-MAP`).
    Init,
    /// A part of a segment (`EXT-X-PART`).
    Part,
    /// A segment.
    Segment,
}

/// How a live film goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveProgress {
    /// Pictures that were composed.
    pub pictures: u64,
    /// Pictures that were not, because the machine was too slow: the one before was shown for longer.
    pub dropped_pictures: u64,
    /// Frames of tracks that were not decoded, because they came faster than they were taken.
    pub dropped_frames: u64,
    /// Pictures and sounds that whoever reads the FIFO did not take in time.
    pub dropped_stream: u64,
    /// How far composing is behind the moment that it should be at.
    pub behind_micros: u64,
    /// Encoders that failed and were replaced.
    pub switches: u32,
    /// Decoders that failed and began anew.
    #[serde(default)]
    pub decoder_failures: u32,
}
