// SPDX-License-Identifier: EUPL-1.2
//! From a finished capture to one film: who was there in tiles with names, and all sound mixed.
//!
//! [`layout`] is geometry, `story` says who is to be seen when, `decode` gives pictures and samples of each track, `canvas` is
//! what tiles are painted on, `output` encodes and writes. The loop is here, and it is the only clock: for each picture of the
//! film it asks each track for what belongs to that moment. So nothing depends on how fast anything is, nothing waits for
//! a track that gives nothing, and the same capture gives the same film.
//!
//! GStreamer decodes, scales, writes names and encodes; which elements it needs is said where they are named
//! (docs/decisions/0049-compose.md).

pub mod layout;

mod canvas;
mod decode;
mod output;
mod story;

use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use gstreamer as gst;
use gstreamer::prelude::*;
use parvis_jobs::Kind;

use self::canvas::Canvas;
use self::decode::{Files, Pictures, Sound};
use self::layout::{Arrangement, Cell, MIN_SIDE};
use self::output::{MEDIA, Output};
use self::story::{Story, Tile};
use crate::age::Identity;
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
    /// There is nothing in it.
    #[error("manifest.json: no frame was captured, so there is nothing to compose")]
    Empty,
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

/// What the film shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Everybody in tiles of one size.
    Grid,
    /// Who shares or speaks large, the others under it.
    Speaker,
    /// Sound only.
    Audio,
}

/// How to compose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What is shown.
    pub layout: Layout,
    /// Width in samples, even, 180 to 3840.
    pub width: u32,
    /// Height in samples, even, 180 to 2160.
    pub height: u32,
    /// Pictures a second, 1 to 60.
    pub rate: u32,
    /// The most that pictures take, in kbit/s; they take less where they can.
    pub kbits: u32,
}

impl Default for Options {
    /// A grid at 720p30 with at most 2.5 Mbit/s.
    fn default() -> Options {
        Options { layout: Layout::Grid, width: 1280, height: 720, rate: 30, kbits: 2500 }
    }
}

impl Options {
    fn has_pictures(&self) -> bool {
        self.layout != Layout::Audio
    }

    fn check(&self) -> Result<(), ComposeError> {
        let Options { width, height, rate, kbits, .. } = *self;
        let wrong = |what: String| Err(ComposeError::Options(what));
        if !(MIN_SIDE..=3840).contains(&width)
            || !(MIN_SIDE..=2160).contains(&height)
            || (width | height) % 2 != 0
        {
            return wrong(format!("a size of {width}x{height}: take even numbers from 180x180 to 3840x2160"));
        }
        if !(1..=60).contains(&rate) {
            return wrong(format!("{rate} pictures a second: take 1 to 60"));
        }
        if !(50..=100_000).contains(&kbits) {
            return wrong(format!("{kbits} kbit/s: take 50 to 100000"));
        }
        Ok(())
    }
}

/// A file that could not be used to its end, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The file.
    pub file: String,
    /// What is wrong with it.
    pub what: String,
}

/// A film that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composed {
    /// How long it is, in microseconds.
    pub duration: u64,
    /// Its size.
    pub bytes: u64,
    /// What is missing from it.
    pub notes: Vec<Note>,
}

/// Composes the recording in `directory` into `out`, a file that does not exist yet. It lies beside it as `….part` until it is
/// whole. A part that is damaged is left out from there on, and named in the answer.
pub fn compose(
    directory: &Path,
    out: &Path,
    identities: &[Identity],
    options: &Options,
) -> Result<Composed, ComposeError> {
    options.check()?;
    let failed = |error| ComposeError::Io { path: out.to_owned(), error };
    if out.exists() {
        return Err(failed(io::Error::other("it exists already; take another name or remove it")));
    }
    let manifest = Manifest::read(directory).map_err(RecordingError::from)?;
    let story = Story::new(&manifest, &entries(directory, &manifest, identities)?);
    if story.end() == 0 || manifest.tracks.iter().all(|track| track.parts.is_empty()) {
        return Err(ComposeError::Empty);
    }
    prepare()?;
    let part = part_of(out);
    let unfinished = Unfinished::new(&part).map_err(failed)?;
    let files = Files { directory, identities };
    let mut film = Film::new(files, &manifest, &story, options)?;
    let output = Output::new(&part, options)?;
    film.run(&output)?;
    output.finish()?;
    fs::rename(&part, out).map_err(failed)?;
    drop(unfinished);
    let bytes = fs::metadata(out).map_err(failed)?.len();
    Ok(Composed { duration: story.end(), bytes, notes: film.notes })
}

/// Makes GStreamer ready, which looks at its plugins by a program of its own where it has not done so before. A process that
/// is to be confined does this first; [`compose`] does it otherwise.
pub fn prepare() -> Result<(), ComposeError> {
    gst::init().map_err(|error| ComposeError::Missing(error.to_string()))
}

/// A film while it is written, and its media. They go when this is dropped, if they are still there.
struct Unfinished<'a>(&'a Path);

impl<'a> Unfinished<'a> {
    /// Makes both, for nobody else to read. What a run that was killed left goes.
    fn new(part: &'a Path) -> io::Result<Unfinished<'a>> {
        for path in [part.to_owned(), part.with_extension(MEDIA)] {
            let _ = fs::remove_file(&path);
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        }
        Ok(Unfinished(part))
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.0);
        let _ = fs::remove_file(self.0.with_extension(MEDIA));
    }
}

fn part_of(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

/// All lines of the timelines. What a newer version wrote and this one doesn't know is passed over.
fn entries(
    directory: &Path,
    manifest: &Manifest,
    identities: &[Identity],
) -> Result<Vec<Entry>, ComposeError> {
    let mut entries = Vec::new();
    for file in &manifest.timelines {
        let Some(plain) = recording::open_if_begun(directory, file, identities)? else { continue };
        let failed = |error| RecordingError::Io { name: file.name.clone(), error };
        for line in BufReader::new(plain).lines() {
            let line = line.map_err(failed)?;
            if let Ok(entry) = serde_json::from_str(&line) {
                entries.push(entry);
            } else if serde_json::from_str::<serde::de::IgnoredAny>(&line).is_err() {
                // The last line of a killed worker.
                if file.sha256.is_none() {
                    break;
                }
                return Err(failed(io::Error::other("a line that is no JSON")).into());
            }
        }
    }
    entries.sort_by_key(|entry: &Entry| entry.at);
    Ok(entries)
}

/// A film while it is made.
struct Film<'a> {
    story: &'a Story,
    options: &'a Options,
    arrangement: Arrangement,
    canvas: Canvas,
    /// At the place of their track in the manifest.
    pictures: Vec<Option<Pictures<'a>>>,
    sounds: Vec<Sound<'a>>,
    tiles: Vec<Tile>,
    cells: Vec<Cell>,
    notes: Vec<Note>,
}

impl<'a> Film<'a> {
    fn new(
        files: Files<'a>,
        manifest: &'a Manifest,
        story: &'a Story,
        options: &'a Options,
    ) -> Result<Film<'a>, ComposeError> {
        let of = |kind: Kind| manifest.tracks.iter().map(move |track| (track.kind == kind).then_some(track));
        let pictures = of(Kind::Video)
            .map(|track| track.filter(|_| options.has_pictures()).map(|track| Pictures::new(files, track)));
        Ok(Film {
            story,
            options,
            arrangement: match options.layout {
                Layout::Speaker => Arrangement::Speaker,
                Layout::Grid | Layout::Audio => Arrangement::Grid,
            },
            canvas: Canvas::new(options.width, options.height)?,
            pictures: pictures.collect(),
            sounds: of(Kind::Audio).flatten().map(|track| Sound::new(files, track)).collect(),
            tiles: Vec::new(),
            cells: Vec::new(),
            notes: Vec::new(),
        })
    }

    fn run(&mut self, output: &Output) -> Result<(), ComposeError> {
        let rate = u64::from(self.options.rate);
        let moment = |number: u64| number * 1_000_000 / rate;
        let mut change = Some(0);
        for number in 0.. {
            let now = moment(number);
            if now >= self.story.end() {
                break;
            }
            self.mix(number * SAMPLE_RATE / rate, (number + 1) * SAMPLE_RATE / rate, output)?;
            if !self.options.has_pictures() {
                continue;
            }
            let moved = change.is_some_and(|change| change <= now) && self.rearrange(now);
            change = self.story.next_change(now);
            self.paint(now, moment(1) / 2, moved)?;
            output.picture(number, rate, self.canvas.copy()?)?;
        }
        Ok(())
    }

    fn mix(&mut self, from: u64, to: u64, output: &Output) -> Result<(), ComposeError> {
        let mut mixed = vec![0.0; ((to - from) * CHANNELS) as usize];
        for sound in &mut self.sounds {
            sound.add_to(&mut mixed, from, &mut self.notes)?;
        }
        mixed.iter_mut().for_each(|sample| *sample = sample.clamp(-1.0, 1.0));
        output.sound(from, &mixed)
    }

    /// Whether there is another picture now.
    fn rearrange(&mut self, now: u64) -> bool {
        let tiles = self.story.tiles(self.arrangement, now);
        if tiles == self.tiles {
            return false;
        }
        self.cells = layout::cells(self.arrangement, self.options.width, self.options.height, tiles.len());
        self.tiles = tiles;
        true
    }

    /// Brings the canvas up to the moment: a frame that is due within `near` is shown now.
    fn paint(&mut self, now: u64, near: u64, all: bool) -> Result<(), ComposeError> {
        let mut changed = vec![false; self.pictures.len()];
        for (pictures, changed) in self.pictures.iter_mut().zip(&mut changed) {
            if let Some(pictures) = pictures {
                *changed = pictures.advance(now + near, &mut self.notes)?;
            }
        }
        if all {
            self.canvas.clear()?;
        }
        for (tile, cell) in self.tiles.iter().zip(&self.cells) {
            let changed =
                tile.picture.and_then(|(track, _)| changed.get(track)).is_some_and(|changed| *changed);
            if all || changed {
                let shown = tile.picture.and_then(|(track, since)| {
                    let shown = self.pictures.get(track)?.as_ref()?.shown();
                    shown.filter(|picture| picture.at >= since)
                });
                self.canvas.picture(cell, shown)?;
            }
            if all {
                self.canvas.label(cell, &tile.name)?;
                if tile.speaks {
                    self.canvas.frame(cell)?;
                }
            }
        }
        Ok(())
    }
}

fn has(factory: &str) -> bool {
    gst::ElementFactory::find(factory).is_some()
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
