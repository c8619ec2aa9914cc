// SPDX-License-Identifier: EUPL-1.2
//! From pictures and samples to a file: MP4 with the index at its front, so that it plays while it downloads, WebM with cues
//! to seek by, or Ogg.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSrc;

use super::coded::{Coded, allow_parameters_in_stream};
use super::options::{Format, Options};
use super::{CHANNELS, ComposeError, PATIENCE, SAMPLE_RATE, element, first_error, launch};
use crate::hardware::Switch;

/// Where the media of a film lies until its index is known, if it has one at its front.
pub(super) fn media_of(part: &Path, format: Format) -> Option<PathBuf> {
    (format == Format::Mp4).then(|| part.with_extension("media"))
}

pub(super) struct Output {
    pipeline: gst::Pipeline,
    pictures: Pictures,
    sound: AppSrc,
    path: PathBuf,
    /// Samples that are left out at the beginning.
    priming: u64,
}

/// Where pictures go.
enum Pictures {
    /// There are none.
    None,
    /// To an encoder in this pipeline.
    Raw(AppSrc),
    /// To one that may be replaced.
    Coded(Box<Coded>),
}

/// Pictures that wait for the encoder at most. Sound waits without a bound of its own where there are pictures: it never comes
/// before its picture by more than one, and the encoder for pictures looks two seconds ahead at most.
const WAITING: u64 = 8;
/// AAC's encoder puts so many samples of silence before the first one, and the file does not tell players. So as many are left
/// out at the beginning, and the rest is in time. Opus tells.
pub(super) const AAC_PRIMING: u64 = 1024;

impl Output {
    /// Begins to write to `path`.
    pub(super) fn new(path: &Path, options: &Options) -> Result<Output, ComposeError> {
        let pipeline = launch(&chain(options))?;
        let file: gst::Element = element(&pipeline, "file")?;
        file.set_property("location", path);
        if let Some(media) = media_of(path, options.format) {
            let mux: gst::Element = element(&pipeline, "mux")?;
            mux.set_property("faststart-file", media.display().to_string());
        }
        let pictures = match options.format {
            _ if !options.has_pictures() => Pictures::None,
            Format::Mp4 => Pictures::Coded(Box::new(Coded::new(element(&pipeline, "pictures")?, options)?)),
            Format::Webm | Format::WebmVp9 | Format::Ogg => Pictures::Raw(element(&pipeline, "pictures")?),
        };
        let sound: AppSrc = element(&pipeline, "sound")?;
        let priming = if options.format == Format::Mp4 { AAC_PRIMING } else { 0 };
        let output = Output { pipeline, pictures, sound, path: path.to_owned(), priming };
        if output.pipeline.set_state(gst::State::Playing).is_err() {
            return Err(output.failure());
        }
        Ok(output)
    }

    /// Adds samples, both channels in turns; `from` is the first one's number.
    pub(super) fn sound(&self, from: u64, samples: &[f32]) -> Result<(), ComposeError> {
        let early = self.priming.saturating_sub(from);
        let samples = samples.get((early * CHANNELS) as usize..).unwrap_or_default();
        if samples.is_empty() {
            return Ok(());
        }
        if matches!(self.pictures, Pictures::None) {
            self.wait_for(&self.sound)?;
        }
        let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let (from, count) = ((from + early).saturating_sub(self.priming), samples.len() as u64 / CHANNELS);
        let buffer = timed(gst::Buffer::from_mut_slice(bytes), from, from + count, SAMPLE_RATE);
        self.sound.push_buffer(buffer).map(drop).map_err(|_| self.failure())
    }

    /// Adds a picture, once the encoder has room for it.
    pub(super) fn picture(
        &mut self,
        number: u64,
        rate: u64,
        buffer: gst::Buffer,
    ) -> Result<(), ComposeError> {
        match &mut self.pictures {
            Pictures::None => Ok(()),
            Pictures::Raw(pictures) => {
                let pictures = pictures.clone();
                self.wait_for(&pictures)?;
                let buffer = timed(buffer, number, number + 1, rate);
                pictures.push_buffer(buffer).map(drop).map_err(|_| self.failure())
            }
            Pictures::Coded(coded) => {
                coded.picture(buffer)?;
                first_error(&self.pipeline).map_or(Ok(()), |why| Err(ComposeError::Pipeline(why)))
            }
        }
    }

    /// Until the encoder behind a source has room.
    fn wait_for(&self, source: &AppSrc) -> Result<(), ComposeError> {
        let since = Instant::now();
        while source.current_level_buffers() >= WAITING {
            let error = self.pipeline.bus().and_then(|bus| {
                bus.timed_pop_filtered(gst::ClockTime::from_mseconds(2), &[gst::MessageType::Error])
            });
            if let Some(error) = error {
                return Err(ComposeError::Pipeline(super::told(&error)));
            }
            if since.elapsed() > Duration::from(PATIENCE) {
                return Err(ComposeError::Pipeline("the encoder took nothing any more".to_owned()));
            }
        }
        Ok(())
    }

    /// Ends the file. It is whole when this returns. Says which encoders failed on the way.
    pub(super) fn finish(mut self) -> Result<Vec<Switch>, ComposeError> {
        let ended = |source: &AppSrc| source.end_of_stream().map(drop);
        let switches = match std::mem::replace(&mut self.pictures, Pictures::None) {
            Pictures::None => Vec::new(),
            Pictures::Raw(pictures) => ended(&pictures).map(|()| Vec::new()).map_err(|_| self.failure())?,
            Pictures::Coded(coded) => coded.finish()?,
        };
        ended(&self.sound).map_err(|_| self.failure())?;
        wait_for_end(&self.pipeline)?;
        if switches.iter().any(|switch| switch.pictures > 0) {
            let failed = |error| ComposeError::Io { path: self.path.clone(), error };
            allow_parameters_in_stream(&self.path).map_err(failed)?;
        }
        Ok(switches)
    }

    fn failure(&self) -> ComposeError {
        let why = first_error(&self.pipeline).unwrap_or_else(|| "the encoders don't run".to_owned());
        ComposeError::Pipeline(why)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// Waits until the file is whole that a pipeline writes, of which all has been given to it.
pub(super) fn wait_for_end(pipeline: &gst::Pipeline) -> Result<(), ComposeError> {
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    // Moving the index to the front copies the file: as long as an hour of it takes on a slow disk.
    let limit = gst::ClockTime::from_seconds(600);
    match pipeline.bus().and_then(|bus| bus.timed_pop_filtered(limit, &ends)) {
        Some(message) if message.type_() == gst::MessageType::Eos => Ok(()),
        Some(message) => Err(ComposeError::Pipeline(super::told(&message))),
        None => {
            let why = "the file could not be ended within ten minutes".to_owned();
            Err(ComposeError::Pipeline(why))
        }
    }
}

/// `from` and `to` are counted at `rate` a second.
pub(super) fn timed(mut buffer: gst::Buffer, from: u64, to: u64, rate: u64) -> gst::Buffer {
    let moment = |number: u64| gst::ClockTime::from_nseconds(number * 1_000_000_000 / rate.max(1));
    if let Some(buffer) = buffer.get_mut() {
        buffer.set_pts(moment(from));
        buffer.set_duration(moment(to).saturating_sub(moment(from)));
    }
    buffer
}

fn chain(options: &Options) -> String {
    let video = match options.format {
        Format::Mp4 => "handle-segment-change=true".to_owned(),
        Format::Webm | Format::WebmVp9 | Format::Ogg => pictures_to_vpx(options),
    };
    let pictures = format!(
        "appsrc name=pictures format=time max-buffers=0 max-bytes=0 max-time=0 {video} ! queue max-size-bytes=0 \
         max-size-buffers=0 max-size-time=0 ! mux.video_0"
    );
    let sound = format!(
        "appsrc name=sound format=time max-buffers=0 max-bytes=0 max-time=0 {} ! queue max-size-bytes=0 max-size-buffers=0 \
         max-size-time=0 ! mux.",
        sound_to_coded(options.format)
    );
    let pictures = if options.has_pictures() { pictures } else { String::new() };
    format!("{} ! filesink name=file sync=false {pictures} {sound}", muxer(options.format))
}

/// What makes one file of pictures and sound.
pub(super) fn muxer(format: Format) -> &'static str {
    match format {
        Format::Mp4 => "mp4mux name=mux faststart=true",
        Format::Webm | Format::WebmVp9 => "webmmux name=mux",
        Format::Ogg => "oggmux name=mux",
    }
}

/// The rest of a source of pictures, and the encoder of WebM.
pub(super) fn pictures_to_vpx(options: &Options) -> String {
    let Options { width, height, rate, kbits, .. } = options;
    let encoder = if options.format == Format::WebmVp9 { "vp9enc row-mt=true" } else { "vp8enc" };
    // A key frame each two seconds is what players seek to.
    let keys = rate * 2;
    format!(
        "caps=video/x-raw,format=I420,width={width},height={height},framerate={rate}/1,colorimetry=bt601,\
         interlace-mode=progressive,pixel-aspect-ratio=1/1 ! {encoder} deadline=1 cpu-used=5 threads=2 end-usage=cq cq-level=24 \
         min-quantizer=4 target-bitrate={} keyframe-max-dist={keys}",
        kbits * 1000
    )
}

/// The rest of a source of sound, and its encoder.
pub(super) fn sound_to_coded(format: Format) -> String {
    let encoder = match format {
        Format::Mp4 => "avenc_aac bitrate=128000 ! aacparse",
        // A frame is at most as large as at the constant rate, so that no player's buffer runs over.
        Format::Webm | Format::WebmVp9 | Format::Ogg => "opusenc bitrate=96000 bitrate-type=constrained-vbr",
    };
    format!(
        "caps=audio/x-raw,format=F32LE,rate={SAMPLE_RATE},channels=2,layout=interleaved ! audioconvert ! {encoder}"
    )
}
