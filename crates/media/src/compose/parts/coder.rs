// SPDX-License-Identifier: EUPL-1.2
//! Encoders whose output comes back to us, instead of going into a file.

use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSrc};

use super::units::{Unit, Writer};
use crate::compose::options::{Format, Options};
use crate::compose::output::{pictures_to_vpx, sound_to_coded, timed};
use crate::compose::{ComposeError, PATIENCE, coded, element, first_error, launch};
use crate::hardware::{Encoder, Encoders, Switch, VideoCodec};

/// What waits for an encoder at most, in buffers.
const WAITING: u64 = 8;
/// How long the loop sleeps while it waits.
const NAP: gst::ClockTime = gst::ClockTime::from_mseconds(2);

/// Nanoseconds of so many pictures.
pub(super) fn nanos(pictures: u64, rate: u32) -> i64 {
    let nanos = u128::from(pictures) * 1_000_000_000 / u128::from(rate.max(1));
    i64::try_from(nanos).unwrap_or(i64::MAX)
}

/// Encodes the pictures of one segment. None looks back to the segment before.
pub(super) enum PictureCoder {
    /// For MP4: one that may be replaced.
    H264(Box<Encoder>),
    /// For WebM.
    Vpx(Chain),
}

impl PictureCoder {
    pub(super) fn new(options: &Options) -> Result<PictureCoder, ComposeError> {
        if options.format != Format::Mp4 {
            return Chain::new(&pictures_to_vpx(options)).map(PictureCoder::Vpx);
        }
        let software = || Encoders::software(VideoCodec::H264);
        let encoders = options.encoders.clone().unwrap_or_else(software);
        let (settings, shape) = (coded::settings(options), coded::shape(options));
        let encoder = Encoder::start(&encoders, &settings, shape, Duration::from(PATIENCE))?;
        Ok(PictureCoder::H264(Box::new(encoder)))
    }

    /// Adds a picture of the segment that begins with picture `first` of the film, and writes what is done.
    pub(super) fn picture(
        &mut self,
        picture: gst::Buffer,
        (first, number, rate): (u64, u64, u32),
        to: &mut Writer,
    ) -> Result<(), ComposeError> {
        match self {
            PictureCoder::H264(encoder) => {
                encoder.push(picture)?;
                hand_on(encoder, (first, rate), to)
            }
            PictureCoder::Vpx(chain) => {
                chain.push(timed(picture, number - first, number - first + 1, u64::from(rate)))?;
                chain.hand_on(nanos(first, rate), to)
            }
        }
    }

    /// Ends the segment, and says which encoders failed in it.
    pub(super) fn finish(
        self,
        (first, rate): (u64, u32),
        to: &mut Writer,
    ) -> Result<Vec<Switch>, ComposeError> {
        match self {
            PictureCoder::H264(mut encoder) => {
                encoder.finish()?;
                hand_on(&mut encoder, (first, rate), to)?;
                Ok(encoder.switches().to_vec())
            }
            PictureCoder::Vpx(chain) => chain.finish(nanos(first, rate), to).map(|()| Vec::new()),
        }
    }
}

fn hand_on(encoder: &mut Encoder, (first, rate): (u64, u32), to: &mut Writer) -> Result<(), ComposeError> {
    let done: Vec<_> = encoder.units().collect();
    let Some(caps) = encoder.caps() else { return Ok(()) };
    for unit in done {
        let number = first + unit.number;
        let (begin, end) = (nanos(number, rate), nanos(number + 1, rate));
        let data = bytes_of(&unit.buffer)?;
        let dts = unit.dts + nanos(first, rate);
        to.add(caps, &Unit { key: unit.key, pts: begin, dts, duration: end.abs_diff(begin), data })?;
    }
    Ok(())
}

/// One encoder of GStreamer's. Whatever fails in it ends the part.
pub(super) struct Chain {
    pipeline: gst::Pipeline,
    source: AppSrc,
    sink: AppSink,
}

impl Chain {
    /// For the sound of a film.
    pub(super) fn of_sound(format: Format) -> Result<Chain, ComposeError> {
        Chain::new(&sound_to_coded(format))
    }

    fn new(encoder: &str) -> Result<Chain, ComposeError> {
        let pipeline = launch(&format!(
            "appsrc name=in format=time max-buffers=0 max-bytes=0 max-time=0 {encoder} ! appsink name=out sync=false \
             wait-on-eos=false"
        ))?;
        let (source, sink) = (element(&pipeline, "in")?, element(&pipeline, "out")?);
        let chain = Chain { pipeline, source, sink };
        chain.pipeline.set_state(gst::State::Playing).map_err(|_| chain.failure())?;
        Ok(chain)
    }

    /// Adds a buffer, once there is room for it.
    pub(super) fn push(&self, buffer: gst::Buffer) -> Result<(), ComposeError> {
        let since = Instant::now();
        while self.source.current_level_buffers() >= WAITING {
            let error =
                self.pipeline.bus().and_then(|bus| bus.timed_pop_filtered(NAP, &[gst::MessageType::Error]));
            if let Some(error) = error {
                return Err(ComposeError::Pipeline(crate::compose::told(&error)));
            }
            if since.elapsed() > Duration::from(PATIENCE) {
                return Err(ComposeError::Pipeline("the encoder took nothing any more".to_owned()));
            }
        }
        self.source.push_buffer(buffer).map(drop).map_err(|_| self.failure())
    }

    /// Writes what is done, whose times are later by `shift` nanoseconds in the film.
    pub(super) fn hand_on(&self, shift: i64, to: &mut Writer) -> Result<(), ComposeError> {
        while let Some(sample) = self.sink.try_pull_sample(gst::ClockTime::ZERO) {
            write(&sample, shift, to)?;
        }
        Ok(())
    }

    /// Ends it.
    pub(super) fn finish(self, shift: i64, to: &mut Writer) -> Result<(), ComposeError> {
        self.source.end_of_stream().map_err(|_| self.failure())?;
        while let Some(sample) = self.sink.try_pull_sample(PATIENCE) {
            write(&sample, shift, to)?;
        }
        match first_error(&self.pipeline) {
            Some(why) => Err(ComposeError::Pipeline(why)),
            None if self.sink.is_eos() => Ok(()),
            None => Err(ComposeError::Pipeline("the encoder did not come to an end".to_owned())),
        }
    }

    fn failure(&self) -> ComposeError {
        let why = first_error(&self.pipeline).unwrap_or_else(|| "the encoder doesn't run".to_owned());
        ComposeError::Pipeline(why)
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

fn write(sample: &gst::Sample, shift: i64, to: &mut Writer) -> Result<(), ComposeError> {
    let nothing = || ComposeError::Pipeline("an encoder gave something without a time or a form".to_owned());
    let (buffer, caps) = (sample.buffer().ok_or_else(nothing)?, sample.caps().ok_or_else(nothing)?);
    let signed = |time: gst::ClockTime| i64::try_from(time.nseconds()).unwrap_or(i64::MAX);
    let pts = buffer.pts().map(signed).ok_or_else(nothing)?.saturating_add(shift);
    let dts = buffer.dts().map_or(pts, |dts| signed(dts).saturating_add(shift));
    let unit = Unit {
        key: !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
        pts,
        dts,
        duration: buffer.duration().map_or(0, gst::ClockTime::nseconds),
        data: bytes_of(buffer)?,
    };
    to.add(caps, &unit)
}

fn bytes_of(buffer: &gst::BufferRef) -> Result<Vec<u8>, ComposeError> {
    Ok(buffer.map_readable()?.to_vec())
}
