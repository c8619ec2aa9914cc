// SPDX-License-Identifier: EUPL-1.2
//! From pictures and samples to a file: H.264 and AAC in MP4, with the index at its front, so that it plays while it
//! downloads.

use std::path::Path;
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSrc;

use super::{CHANNELS, ComposeError, Options, PATIENCE, SAMPLE_RATE, element, first_error, has, launch};

/// What the film's media lies in until the index is known, beside the film.
pub(super) const MEDIA: &str = "media";

pub(super) struct Output {
    pipeline: gst::Pipeline,
    pictures: Option<AppSrc>,
    sound: AppSrc,
}

/// Pictures that wait for the encoder at most. Sound waits without a bound of its own where there are pictures: it never comes
/// before its picture by more than one, and the encoder for pictures looks two seconds ahead at most.
const WAITING: u64 = 8;
/// The encoder for sound puts so many samples of silence before the first one, and the file does not tell players. So as many
/// are left out at the beginning, and the rest is in time.
const PRIMING: u64 = 1024;

impl Output {
    /// Begins to write to `path`.
    pub(super) fn new(path: &Path, options: &Options) -> Result<Output, ComposeError> {
        let pipeline = launch(&chain(options))?;
        let file: gst::Element = element(&pipeline, "file")?;
        file.set_property("location", path);
        let mux: gst::Element = element(&pipeline, "mux")?;
        mux.set_property("faststart-file", path.with_extension(MEDIA).display().to_string());
        let pictures = options.has_pictures().then(|| element(&pipeline, "pictures")).transpose()?;
        let sound: AppSrc = element(&pipeline, "sound")?;
        let output = Output { pipeline, pictures, sound };
        if output.pipeline.set_state(gst::State::Playing).is_err() {
            return Err(output.failure());
        }
        Ok(output)
    }

    /// Adds samples, both channels in turns; `from` is the first one's number.
    pub(super) fn sound(&self, from: u64, samples: &[f32]) -> Result<(), ComposeError> {
        let early = PRIMING.saturating_sub(from);
        let samples = samples.get((early * CHANNELS) as usize..).unwrap_or_default();
        if samples.is_empty() {
            return Ok(());
        }
        if self.pictures.is_none() {
            self.wait_for(&self.sound)?;
        }
        let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let (from, count) = ((from + early).saturating_sub(PRIMING), samples.len() as u64 / CHANNELS);
        let buffer = timed(gst::Buffer::from_mut_slice(bytes), from, from + count, SAMPLE_RATE);
        self.sound.push_buffer(buffer).map(drop).map_err(|_| self.failure())
    }

    /// Adds a picture, once the encoder has room for it.
    pub(super) fn picture(&self, number: u64, rate: u64, buffer: gst::Buffer) -> Result<(), ComposeError> {
        let Some(pictures) = &self.pictures else { return Ok(()) };
        self.wait_for(pictures)?;
        let buffer = timed(buffer, number, number + 1, rate);
        pictures.push_buffer(buffer).map(drop).map_err(|_| self.failure())
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

    /// Ends the file. It is whole when this returns.
    pub(super) fn finish(self) -> Result<(), ComposeError> {
        let sources = [self.pictures.as_ref(), Some(&self.sound)];
        for source in sources.into_iter().flatten() {
            source.end_of_stream().map_err(|_| self.failure())?;
        }
        let bus = self.pipeline.bus();
        let ends = [gst::MessageType::Eos, gst::MessageType::Error];
        // Moving the index to the front copies the file: as long as an hour of it takes on a slow disk.
        let last = bus.and_then(|bus| bus.timed_pop_filtered(gst::ClockTime::from_seconds(600), &ends));
        match last {
            Some(message) if message.type_() == gst::MessageType::Eos => Ok(()),
            Some(message) => Err(ComposeError::Pipeline(super::told(&message))),
            None => Err(ComposeError::Pipeline("the file could not be ended within ten minutes".to_owned())),
        }
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

/// `from` and `to` are counted at `rate` a second.
fn timed(mut buffer: gst::Buffer, from: u64, to: u64, rate: u64) -> gst::Buffer {
    let moment = |number: u64| gst::ClockTime::from_nseconds(number * 1_000_000_000 / rate.max(1));
    if let Some(buffer) = buffer.get_mut() {
        buffer.set_pts(moment(from));
        buffer.set_duration(moment(to).saturating_sub(moment(from)));
    }
    buffer
}

fn chain(options: &Options) -> String {
    let Options { width, height, rate, kbits, .. } = options;
    // A key frame each two seconds is what players seek to.
    let h264 = if has("x264enc") {
        format!(
            "x264enc speed-preset=veryfast pass=qual quantizer=22 bitrate={kbits} vbv-buf-capacity=2000 key-int-max={}",
            rate * 2
        )
    } else {
        format!("openh264enc complexity=low bitrate={} gop-size={}", kbits * 1000, rate * 2)
    };
    let pictures = format!(
        "appsrc name=pictures format=time max-buffers=0 max-bytes=0 max-time=0 \
         caps=video/x-raw,format=I420,width={width},height={height},framerate={rate}/1,colorimetry=bt601,\
         interlace-mode=progressive,pixel-aspect-ratio=1/1 ! {h264} ! h264parse ! queue max-size-bytes=0 \
         max-size-buffers=0 max-size-time=0 ! mux."
    );
    let sound = format!(
        "appsrc name=sound format=time max-buffers=0 max-bytes=0 max-time=0 \
         caps=audio/x-raw,format=F32LE,rate={SAMPLE_RATE},channels=2,layout=interleaved ! audioconvert ! \
         avenc_aac bitrate=128000 ! aacparse ! queue max-size-bytes=0 max-size-buffers=0 max-size-time=0 ! mux."
    );
    let pictures = if options.has_pictures() { pictures } else { String::new() };
    format!("mp4mux name=mux faststart=true ! filesink name=file sync=false {pictures} {sound}")
}
