// SPDX-License-Identifier: EUPL-1.2
//! From a finished capture, or from a room that is there, to a film: who is there in tiles with names, and all sound mixed.
//!
//! [`layout`] is geometry, `story` says who is to be seen when, `decode` gives pictures and samples of each track (`stretch` keeps them in time), `canvas` is
//! what tiles are painted on with what `text` writes, `overlay` is what lies over them (`logo`, and `stamp`s of all kinds), and
//! `output` encodes and writes. `film` is the loop, and it is the only clock: for each picture of the film it asks each track for
//! what belongs to that moment. So nothing depends on how fast anything is, nothing waits for a track that gives nothing,
//! and the same capture gives the same film. `speakers`, `chapters`, `captions` and `thumbnails` are what is made beside it; `work` keeps
//! all of it out of sight until it is whole.
//!
//! GStreamer decodes, scales, writes letters and encodes; which elements it needs is said where they are named
//! (docs/decisions/0049-compose.md).

pub mod layout;
pub mod live;
pub mod parts;

mod beside;
mod canvas;
mod captions;
mod chapters;
mod coded;
mod decode;
mod film;
mod logo;
mod options;
mod output;
mod overlay;
mod speakers;
mod stage;
mod stamp;
mod story;
mod stretch;
mod text;
mod thumbnails;
mod work;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use gstreamer as gst;
use gstreamer::prelude::*;
use serde::{Deserialize, Serialize};

use self::beside::Beside;
pub use self::coded::choose_encoders;
use self::decode::Files;
use self::film::{Mix, Reel};
pub use self::logo::{Logo, MAX_LOGO_BYTES, MAX_LOGO_SIDE};
pub use self::options::{
    Corner, Format, Layout, Looks, MAX_NOTICE_BYTES, MAX_SPEAKERS, MAX_THUMBNAILS, MAX_TITLE_BYTES,
    MAX_WATERMARK_BYTES, Notice, Options, Place, Speakers, SpeakersFormat, Subject, Thumbnails, Watermark,
};
use self::output::Output;
use self::story::Story;
use self::thumbnails::Shots;
use self::work::Work;
use crate::age::Identity;
use crate::hardware::Switch;
use crate::manifest::Manifest;
use crate::recording::{self, RecordingError};
use crate::timeline::Entry;

/// Samples a second and channel.
const SAMPLE_RATE: u64 = 48_000;
/// Channels of the film.
const CHANNELS: u64 = 2;
/// How long an element may give or take nothing before it counts as stuck.
const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(30);

/// Why a recording can't be composed.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// It can't be opened.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// Options that don't go together.
    #[error("{0}")]
    Options(String),
    /// A logo that can't be used.
    #[error("{path}: {what}")]
    Logo {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// It would be larger than it may be.
    #[error(
        "more than {} MiB are written, which is the most, and the film is at {} s: allow more, or take fewer kbit/s",
        bytes >> 20,
        micros / 1_000_000
    )]
    TooLarge {
        /// What was allowed.
        bytes: u64,
        /// Where the film was, in microseconds.
        micros: u64,
    },
    /// There is nothing in it.
    #[error("manifest.json: no frame was captured, so there is nothing to compose")]
    Empty,
    /// A part of a film that can't be used.
    #[error("{path}: {what}")]
    Part {
        /// Its file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A file that can't be written.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: io::Error,
    },
    /// GStreamer lacks something.
    #[error(
        "GStreamer: {0}; Debian has it in gstreamer1.0-plugins-base, -good, -bad, -ugly, gstreamer1.0-libav and gstreamer1.0-x"
    )]
    Missing(String),
    /// GStreamer failed on the way.
    #[error("GStreamer: {0}")]
    Pipeline(String),
    /// A call into GStreamer failed that only fails without memory.
    #[error("GStreamer: {0}")]
    Call(#[from] gst::glib::BoolError),
}

/// A file that could not be used to its end, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The file.
    pub file: String,
    /// What is wrong with it.
    pub what: String,
}

/// A film that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Composed {
    /// How long it is, in microseconds.
    pub duration: u64,
    /// Its size.
    pub bytes: u64,
    /// What is missing from it.
    pub notes: Vec<Note>,
    /// Encoders that failed. Others went on; nothing is missing for it.
    pub switches: Vec<Switch>,
    /// What was written beside it.
    pub beside: Vec<PathBuf>,
}

/// Composes the recording in `directory` into `out`, a file that does not exist yet, and writes beside it what else the options
/// ask for. All of it is called `….part` until it is whole. A part of the recording that is damaged is left out from there
/// on, and named in the answer.
pub fn compose(
    directory: &Path,
    out: &Path,
    identities: &[Identity],
    options: &Options,
) -> Result<Composed, ComposeError> {
    options.check()?;
    work::refuse(out)?;
    let manifest = Manifest::read(directory).map_err(RecordingError::from)?;
    let story = Story::new(&manifest, &entries(directory, &manifest, identities)?);
    if story.end() == 0 || manifest.tracks.iter().all(|track| track.parts.is_empty()) {
        return Err(ComposeError::Empty);
    }
    story.check(options.subject.as_ref())?;
    let beside = Beside::new(out, options, &manifest, &story)?;
    options.thumbnails.map_or(Ok(()), |which| thumbnails::check(which, story.end(), out))?;
    prepare()?;
    let files = Files { directory, identities };
    let mut reel = Reel::new(files, &manifest, &story, options, 0)?;
    let mut mix = Mix::new(files, &manifest);
    let mut work = Work::default();
    let part = work.begin(out)?;
    output::media_of(&part, options.format).map_or(Ok(()), |media| work.scratch(&media))?;
    let shots = options.thumbnails.map(|which| Shots::new(which, out, options)).transpose()?;
    let mut output = Output::new(&part, options)?;
    film::run(&mut reel, &mut mix, &mut output, shots, &mut work)?;
    let switches = output.finish()?;
    let mut notes = [mix.notes, reel.notes].concat();
    beside.write(files, &story, options, &mut work, &mut notes)?;
    composed(work, out, story.end(), notes, switches)
}

/// What was made, once all of it has its name.
fn composed(
    work: Work,
    out: &Path,
    duration: u64,
    mut notes: Vec<Note>,
    switches: Vec<Switch>,
) -> Result<Composed, ComposeError> {
    once(&mut notes);
    let mut made = work.finish()?;
    let beside = made.split_off(1);
    let bytes = fs::metadata(out).map_err(|error| ComposeError::Io { path: out.to_owned(), error })?.len();
    Ok(Composed { duration, bytes, notes, switches, beside })
}

/// Leaves out what was noted before: files are read more than once.
fn once(notes: &mut Vec<Note>) {
    let mut told = BTreeSet::new();
    notes.retain(|Note { file, what }| told.insert((file.clone(), what.clone())));
}

/// Makes GStreamer ready, which looks at its plugins by a program of its own where it has not done so before. A process that
/// is to be confined does this first; [`compose`] does it otherwise.
pub fn prepare() -> Result<(), ComposeError> {
    gst::init().map_err(|error| ComposeError::Missing(error.to_string()))
}

/// The captions of the recording in `directory`, as WebVTT; `None` where there are none.
pub fn captions(
    directory: &Path,
    manifest: &Manifest,
    identities: &[Identity],
) -> Result<Option<String>, RecordingError> {
    Ok(captions::webvtt(&Story::new(manifest, &entries(directory, manifest, identities)?)))
}

/// All lines of the timelines.
fn entries(
    directory: &Path,
    manifest: &Manifest,
    identities: &[Identity],
) -> Result<Vec<Entry>, RecordingError> {
    recording::entries(directory, &manifest.timelines, identities)
}

fn launch(description: &str) -> Result<gst::Pipeline, ComposeError> {
    let made = gst::parse::launch(description).map_err(|error| ComposeError::Missing(error.to_string()))?;
    made.downcast().map_err(|_| ComposeError::Missing("one element where several were named".to_owned()))
}

fn element<T: IsA<gst::Element>>(pipeline: &gst::Pipeline, name: &str) -> Result<T, ComposeError> {
    let found = pipeline.by_name(name).and_then(|element| element.downcast().ok());
    found.ok_or_else(|| ComposeError::Missing(format!("{name} is not what it should be")))
}

/// The first error that a pipeline told, if it told one.
fn first_error(pipeline: &gst::Pipeline) -> Option<String> {
    pipeline.bus()?.pop_filtered(&[gst::MessageType::Error]).map(|message| told(&message))
}

fn told(message: &gst::Message) -> String {
    let source = message.src().map(|source| source.name().to_string()).unwrap_or_default();
    match message.view() {
        gst::MessageView::Error(error) => format!("{source}: {}", error.error()),
        _ => source,
    }
}
