// SPDX-License-Identifier: EUPL-1.2
//! All parts become the film. Nothing is encoded: pictures and sound go into the file as they were written.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSrc;

use super::ledger::{Entry, of_folder};
use super::units::{Reader, Unit};
use super::{Plan, SOUND, segment, still};
use crate::age::Identity;
use crate::compose::beside::Beside;
use crate::compose::coded::{SHIFT, allow_parameters_in_stream};
use crate::compose::decode::Files;
use crate::compose::live::avc::Parameters;
use crate::compose::options::{Format, Options, Thumbnails};
use crate::compose::output::{media_of, muxer, wait_for_end};
use crate::compose::story::Story;
use crate::compose::thumbnails::numbered;
use crate::compose::work::Work;
use crate::compose::{
    ComposeError, Composed, Note, PATIENCE, composed, element, entries, first_error, launch, prepare,
};
use crate::hardware::Switch;
use crate::manifest::Manifest;
use crate::recording::RecordingError;

/// What waits for the multiplexer of either kind at most, in units.
const WAITING: u64 = 300;
/// Decoding times are moved apart by so much where a segment begins with earlier ones than the last one ended with.
const STEP: i64 = 1_000_000;

/// Makes the film `out` of the parts in `folder`, and what the options ask for beside it.
pub fn join(
    directory: &Path,
    out: &Path,
    folder: &Path,
    identities: &[Identity],
    options: &Options,
    plan: &Plan,
) -> Result<Composed, ComposeError> {
    let manifest = Manifest::read(directory).map_err(RecordingError::from)?;
    let story = Story::new(&manifest, &entries(directory, &manifest, identities)?);
    let beside = Beside::new(out, options, &manifest, &story)?;
    let (_, parts) = of_folder(folder)?;
    let bytes: u64 = parts.values().map(|part| part.bytes).sum();
    if bytes > options.max_bytes {
        return Err(ComposeError::TooLarge { bytes: options.max_bytes, micros: story.end() });
    }
    prepare()?;
    let mut work = Work::default();
    let part = work.begin(out)?;
    media_of(&part, options.format).map_or(Ok(()), |media| work.scratch(&media))?;
    let switches: Vec<Switch> = parts.values().flat_map(|part| part.switches.clone()).collect();
    let film = Film::open(folder, plan, switches.iter().any(|switch| switch.pictures > 0))?;
    mux(&part, film, Reader::open(&folder.join(SOUND))?, options.format)?;
    if let Some(which) = options.thumbnails {
        thumbnails(which, (folder, plan, &parts), out, &mut work)?;
    }
    let mut notes: Vec<Note> = parts.values().flat_map(|part| part.notes.clone()).collect();
    beside.write(Files { directory, identities }, &story, options, &mut work, &mut notes)?;
    composed(work, out, story.end(), notes, switches)
}

/// The pictures of all segments, one after the other.
struct Film {
    /// Those that are still to be read.
    left: std::vec::IntoIter<PathBuf>,
    open: Option<(Reader, Option<Parameters>)>,
    /// The form of all of them.
    caps: gst::Caps,
    /// Segments have parameters of their own, which stand in the stream then.
    in_band: bool,
    last_dts: Option<i64>,
}

impl Film {
    /// `switched`: within a segment, too, the parameters change.
    fn open(folder: &Path, plan: &Plan, switched: bool) -> Result<Film, ComposeError> {
        let paths: Vec<PathBuf> = (0..plan.segments()).map(|number| folder.join(segment(number))).collect();
        let (mut first, mut in_band) = (None, switched);
        for path in &paths {
            let reader = Reader::open(path)?;
            let caps = reader.caps().ok_or_else(|| empty(path))?;
            let known = first.get_or_insert_with(|| caps.clone());
            in_band |= record(known) != record(caps);
        }
        let caps = first.ok_or_else(|| empty(folder))?;
        Ok(Film { left: paths.into_iter(), open: None, caps, in_band, last_dts: None })
    }

    fn next(&mut self) -> Result<Option<Unit>, ComposeError> {
        loop {
            let Some((reader, parameters)) = &mut self.open else {
                let Some(path) = self.left.next() else { return Ok(None) };
                let reader = Reader::open(&path)?;
                let record = reader.caps().and_then(record).filter(|_| self.in_band);
                let parameters = record.and_then(|record| Parameters::read(&record));
                self.open = Some((reader, parameters));
                continue;
            };
            let Some(mut unit) = reader.next()? else {
                self.open = None;
                continue;
            };
            if let Some(parameters) = parameters.as_ref().filter(|_| unit.key) {
                unit.data = parameters.with_sets(&unit.data);
            }
            if let Some(last) = self.last_dts {
                unit.dts = unit.dts.max(last + STEP).min(unit.pts.max(last + 1));
            }
            self.last_dts = Some(unit.dts);
            return Ok(Some(unit));
        }
    }
}

fn empty(path: &Path) -> ComposeError {
    ComposeError::Part { path: path.to_owned(), what: "there is no picture in it".to_owned() }
}

/// H.264's parameters, where they stand apart from the pictures.
fn record(caps: &gst::Caps) -> Option<Vec<u8>> {
    let record = caps.structure(0)?.get::<gst::Buffer>("codec_data").ok()?;
    Some(record.map_readable().ok()?.to_vec())
}

/// Writes pictures and sound into one file, whichever comes first first.
fn mux(part: &Path, mut film: Film, mut sound: Reader, format: Format) -> Result<(), ComposeError> {
    const SOURCE: &str = "format=time max-buffers=0 max-bytes=0 max-time=0 handle-segment-change=true ! queue max-size-bytes=0 \
                          max-size-buffers=0 max-size-time=0";
    let pipeline = launch(&format!(
        "{} ! filesink name=file sync=false appsrc name=pictures {SOURCE} ! mux.video_0 appsrc name=sound {SOURCE} ! mux.audio_0",
        muxer(format)
    ))?;
    element::<gst::Element>(&pipeline, "file")?.set_property("location", part);
    if let Some(media) = media_of(part, format) {
        let mux: gst::Element = element(&pipeline, "mux")?;
        mux.set_property("faststart-file", media.display().to_string());
    }
    let ends = Ends(pipeline);
    // As encoders do it: pictures may be decoded before the film begins, and times are moved for it.
    let shift = if format == Format::Mp4 { SHIFT } else { 0 };
    let pictures = Source::new(&ends.0, "pictures", Some(&film.caps), shift)?;
    let heard = Source::new(&ends.0, "sound", sound.caps(), 0)?;
    if ends.0.set_state(gst::State::Playing).is_err() {
        return Err(failure(&ends.0));
    }
    let (mut picture, mut frame) = (film.next()?, sound.next()?);
    loop {
        let before = match (&picture, &frame) {
            (Some(picture), Some(frame)) => picture.dts <= frame.pts,
            (picture, _) => picture.is_some(),
        };
        match (before, &mut picture, &mut frame) {
            (true, Some(unit), _) => {
                pictures.push(&ends.0, std::mem::take(&mut unit.data), unit, format == Format::Mp4)?;
                picture = film.next()?;
            }
            (false, _, Some(unit)) => {
                heard.push(&ends.0, std::mem::take(&mut unit.data), unit, false)?;
                frame = sound.next()?;
            }
            _ => break,
        }
    }
    for source in [&pictures.source, &heard.source] {
        source.end_of_stream().map_err(|_| failure(&ends.0))?;
    }
    wait_for_end(&ends.0)?;
    if film.in_band && format == Format::Mp4 {
        let failed = |error| ComposeError::Io { path: part.to_owned(), error };
        allow_parameters_in_stream(part).map_err(failed)?;
    }
    Ok(())
}

/// A pipeline, which is put away in the end.
struct Ends(gst::Pipeline);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.set_state(gst::State::Null);
    }
}

struct Source {
    source: AppSrc,
    caps: Option<gst::Caps>,
    segment: gst::FormattedSegment<gst::ClockTime>,
    shift: u64,
}

impl Source {
    fn new(
        pipeline: &gst::Pipeline,
        name: &str,
        caps: Option<&gst::Caps>,
        shift: u64,
    ) -> Result<Source, ComposeError> {
        let mut segment = gst::FormattedSegment::new();
        segment.set_start(gst::ClockTime::from_nseconds(shift));
        Ok(Source { source: element(pipeline, name)?, caps: caps.cloned(), segment, shift })
    }

    /// Adds a unit, once there is room for it.
    fn push(
        &self,
        pipeline: &gst::Pipeline,
        data: Vec<u8>,
        unit: &Unit,
        reordered: bool,
    ) -> Result<(), ComposeError> {
        let since = Instant::now();
        while self.source.current_level_buffers() >= WAITING {
            if let Some(why) = first_error(pipeline) {
                return Err(ComposeError::Pipeline(why));
            }
            if since.elapsed() > Duration::from(PATIENCE) {
                return Err(ComposeError::Pipeline("the film takes nothing any more".to_owned()));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let moment = |at: i64| Some(gst::ClockTime::from_nseconds(self.shift.saturating_add_signed(at)));
        let mut buffer = gst::Buffer::from_mut_slice(data);
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(moment(unit.pts));
            if reordered {
                buffer.set_dts(moment(unit.dts));
            }
            buffer.set_duration(gst::ClockTime::from_nseconds(unit.duration));
            if !unit.key {
                buffer.set_flags(gst::BufferFlags::DELTA_UNIT);
            }
        }
        let sample = gst::Sample::builder().buffer(&buffer).segment(&self.segment);
        let sample = sample.caps_if_some(self.caps.as_ref()).build();
        self.source.push_sample(&sample).map(drop).map_err(|_| failure(pipeline))
    }
}

fn failure(pipeline: &gst::Pipeline) -> ComposeError {
    let why = first_error(pipeline).unwrap_or_else(|| "the film can't be written".to_owned());
    ComposeError::Pipeline(why)
}

/// Lays the pictures that came with segments beside the film.
fn thumbnails(
    which: Thumbnails,
    (folder, plan, parts): (&Path, &Plan, &BTreeMap<String, Entry>),
    out: &Path,
    work: &mut Work,
) -> Result<(), ComposeError> {
    let of = |number: u64| parts.get(&segment(number)).map_or(&[][..], |part| &part.beside);
    let mut lay = |from: &Path, to: &Path| {
        let part = work.begin(to)?;
        fs::copy(from, &part).map(drop).map_err(|error| ComposeError::Io { path: from.to_owned(), error })
    };
    match which {
        Thumbnails::First => {
            // The first that shows somebody.
            let Some(number) = (0..plan.segments()).find(|number| !of(*number).is_empty()) else {
                return Ok(());
            };
            lay(&still(which, folder, number).with_extension("jpg"), &out.with_extension("jpg"))
        }
        Thumbnails::Every(_) => {
            let all: usize = (0..plan.segments()).map(|number| of(number).len()).sum();
            let from = still(which, folder, 0);
            (1..=all as u64).try_for_each(|number| lay(&numbered(&from, number), &numbered(out, number)))
        }
    }
}
