// SPDX-License-Identifier: EUPL-1.2
//! `manifest.json`, which describes a recording; version 1. docs/recording-format.md says the same in words.
//!
//! It is in the clear: whoever checks, copies or deletes recordings has no key. What people are called and what they wrote
//! stands in the timelines, which are sealed.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use parvis_jobs::{Codec, Kind, Origin, StopReason, UnixMicros};
use serde::{Deserialize, Serialize};

/// The name of the file.
pub const MANIFEST: &str = "manifest.json";
/// What `format` says.
pub const FORMAT: &str = "parvis-recording";
/// The version that this build writes, and the newest that it reads.
pub const VERSION: u32 = 1;
/// The longest manifest that is read. Some 300 bytes a part and 40 a loss.
pub const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// Losses, corrections and sizes that are listed for one track or part. Those beyond are counted only.
pub const MAX_LISTED: usize = 2000;

/// Why a manifest can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It can't be opened or read.
    #[error("manifest.json: {0}")]
    Io(#[from] io::Error),
    /// No JSON, or none of this form.
    #[error("manifest.json: {0}")]
    Json(#[from] serde_json::Error),
    /// Too long.
    #[error("manifest.json: more than {MAX_BYTES} bytes: not one of ours")]
    TooLong,
    /// Another format, or a newer version.
    #[error(
        "manifest.json: format {format:?} version {version}; this build reads {FORMAT:?} up to version {VERSION}: take a newer one"
    )]
    Version {
        /// What it says it is.
        format: String,
        /// Its version.
        version: u32,
    },
    /// A file name that leads out of the directory, or is none.
    #[error("manifest.json: {0:?} is no name of a file of a recording")]
    Name(String),
}

/// A recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// The job's id.
    pub job: String,
    /// The room's id.
    pub room_id: String,
    /// The tenant; may be empty.
    pub tenant: String,
    /// The zero of all times in here and of all files' timestamps, in microseconds since 1970.
    pub started_at: UnixMicros,
    /// When it ended, in microseconds since the start; `null` while it runs, and for ever if the last worker was killed.
    pub ended: Option<u64>,
    /// Why it ended.
    pub reason: Option<StopReason>,
    /// Whom the files are sealed for; empty when they are in the clear.
    pub recipients: Vec<String>,
    /// Each worker that wrote: more than one after a restart.
    pub runs: Vec<Run>,
    /// Lines that the timelines lack, because they were as long as they may be.
    pub lines_left_out: u64,
    /// What happened in the room, in a file for each run.
    pub timelines: Vec<FileEntry>,
    /// What people wrote to all, where that is kept: one file, or more where workers were killed.
    #[serde(default)]
    pub chats: Vec<FileEntry>,
    /// The tracks.
    pub tracks: Vec<Track>,
}

/// One worker's time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// When it began, in microseconds since the start.
    pub from: u64,
    /// What wrote: `parvis-media 0.1.0`.
    pub software: String,
}

/// A file of the recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its name.
    pub name: String,
    /// Its size on disk once it is finished; `null` for one that was being written when its worker was killed: what it
    /// holds lies in it and its tail.
    pub bytes: Option<u64>,
    /// SHA-256 of it as it lies on disk, in hex, once it is finished.
    pub sha256: Option<String>,
}

/// A track.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    /// Its id.
    pub track: String,
    /// The participant's id; the timelines say who that is.
    pub participant: String,
    /// Sound or pictures.
    pub kind: Kind,
    /// Camera, microphone or screen.
    pub origin: Origin,
    /// The codec.
    pub codec: Codec,
    /// When it came, in microseconds since the start.
    pub from: u64,
    /// When it went.
    pub to: Option<u64>,
    /// Its files, in order.
    pub parts: Vec<Part>,
    /// Packets that came.
    pub packets: u64,
    /// Packets that never came, after all repair.
    pub lost: u64,
    /// Frames that were left out, because they, or what they stand on, were not whole.
    pub dropped_frames: u64,
    /// Where packets never came; the first [`MAX_LISTED`] places.
    pub losses: Vec<Loss>,
    /// How sender reports moved the track on the clock; the first [`MAX_LISTED`].
    pub syncs: Vec<Sync>,
}

impl Track {
    /// One of `participant`'s that comes at `from`, in microseconds since the start, and of which nothing is written yet.
    pub fn begun(
        track: String,
        participant: String,
        (kind, origin): (Kind, Origin),
        codec: Codec,
        from: u64,
    ) -> Track {
        Track {
            track,
            participant,
            kind,
            origin,
            codec,
            from,
            to: None,
            parts: Vec::new(),
            packets: 0,
            lost: 0,
            dropped_frames: 0,
            losses: Vec::new(),
            syncs: Vec::new(),
        }
    }
}

/// A file of a track. A new one begins when the decoder must be set up anew, when timestamps leap, and after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The file.
    #[serde(flatten)]
    pub file: FileEntry,
    /// The first frame's time, in microseconds since the start; as the file has it, in whole milliseconds.
    pub first: u64,
    /// The last frame's; of an unfinished file, as far as it was told.
    pub last: u64,
    /// Frames in it.
    pub frames: u64,
    /// Picture sizes, each from its time on; the first [`MAX_LISTED`].
    pub sizes: Vec<Size>,
}

/// Packets that never came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// When, in microseconds since the start.
    pub at: u64,
    /// How many in a row.
    pub packets: u64,
}

/// A correction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sync {
    /// When, in microseconds since the start.
    pub at: u64,
    /// By how many microseconds frames are later than was thought before.
    pub moved: i64,
}

/// A picture size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// From when on, in microseconds since the start.
    pub at: u64,
    /// Width in samples.
    pub width: u32,
    /// Height in samples.
    pub height: u32,
}

impl Manifest {
    /// Reads one from bytes. Names of files are checked: each is a plain name in the recording's own directory.
    pub fn from_json(bytes: &[u8]) -> Result<Manifest, ManifestError> {
        #[derive(Deserialize)]
        struct Front {
            format: String,
            version: u32,
        }
        if bytes.len() as u64 > MAX_BYTES {
            return Err(ManifestError::TooLong);
        }
        let Front { format, version } = serde_json::from_slice(bytes)?;
        if format != FORMAT || version == 0 || version > VERSION {
            return Err(ManifestError::Version { format, version });
        }
        let manifest: Manifest = serde_json::from_slice(bytes)?;
        let wrong = manifest.files().find(|file| !is_file_name(&file.name)).map(|file| file.name.clone());
        wrong.map_or(Ok(manifest), |name| Err(ManifestError::Name(name)))
    }

    /// Reads the one of `directory`.
    pub fn read(directory: &Path) -> Result<Manifest, ManifestError> {
        let mut bytes = Vec::new();
        fs::File::open(directory.join(MANIFEST))?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
        Manifest::from_json(&bytes)
    }

    /// Writes it in the place of the one before, which stays whole until this one is. `lasting` waits until the disk has
    /// it. Returns its bytes.
    pub fn write(&self, directory: &Path, lasting: bool) -> io::Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        let new = directory.join("manifest.json.new");
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&bytes)?;
        if lasting {
            file.sync_all()?;
        }
        fs::rename(&new, directory.join(MANIFEST))?;
        if lasting {
            fs::File::open(directory)?.sync_all()?;
        }
        Ok(bytes)
    }

    /// Every file but the manifest.
    pub fn files(&self) -> impl Iterator<Item = &FileEntry> {
        let parts = self.tracks.iter().flat_map(|track| track.parts.iter().map(|part| &part.file));
        self.timelines.iter().chain(&self.chats).chain(parts)
    }
}

/// A plain name: letters, digits, `_`, `-` and `.`, not at the beginning.
pub fn is_file_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    !name.is_empty() && name.len() <= 200 && !name.starts_with('.') && name.bytes().all(fits)
}
