// SPDX-License-Identifier: EUPL-1.2
//! The film's sound as AAC.

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSrc};

use crate::compose::output::{AAC_PRIMING, timed};
use crate::compose::{CHANNELS, ComposeError, SAMPLE_RATE, element, first_error, launch};

/// Samples of each channel in a frame of AAC-LC (ISO/IEC 14496-3).
pub(super) const FRAME_SAMPLES: u64 = 1024;
/// In bits a second.
pub(super) const BITRATE: u32 = 128_000;
/// Pieces that may wait for the encoder: some ten seconds. More mean that it hangs.
const WAITING: u64 = 300;

/// An encoder, whose frames follow one another without a gap: the first one is that of the film's beginning.
pub(super) struct Aac {
    pipeline: gst::Pipeline,
    source: AppSrc,
    sink: AppSink,
    config: Option<Vec<u8>>,
}

impl Aac {
    pub(super) fn new() -> Result<Aac, ComposeError> {
        let pipeline = launch(&format!(
            "appsrc name=in format=time max-buffers=0 max-bytes=0 max-time=0 \
             caps=audio/x-raw,format=F32LE,rate={SAMPLE_RATE},channels=2,layout=interleaved ! audioconvert ! \
             avenc_aac bitrate={BITRATE} ! aacparse ! audio/mpeg,mpegversion=4,stream-format=raw ! \
             appsink name=out sync=false wait-on-eos=false"
        ))?;
        let source: AppSrc = element(&pipeline, "in")?;
        let sink: AppSink = element(&pipeline, "out")?;
        let aac = Aac { pipeline, source, sink, config: None };
        aac.pipeline.set_state(gst::State::Playing).map_err(|_| aac.failure())?;
        Ok(aac)
    }

    /// Adds both channels in turns; `from` is the first sample's place in the film.
    pub(super) fn push(&mut self, from: u64, samples: &[f32]) -> Result<(), ComposeError> {
        // The encoder begins with so much silence of its own.
        let early = AAC_PRIMING.saturating_sub(from);
        let samples = samples.get((early * CHANNELS) as usize..).unwrap_or_default();
        if samples.is_empty() {
            return Ok(());
        }
        if self.source.current_level_buffers() > WAITING {
            return Err(ComposeError::Pipeline("the encoder for sound takes nothing any more".to_owned()));
        }
        let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let (from, count) = (from + early - AAC_PRIMING, samples.len() as u64 / CHANNELS);
        let buffer = timed(gst::Buffer::from_mut_slice(bytes), from, from + count, SAMPLE_RATE);
        self.source.push_buffer(buffer).map(drop).map_err(|_| self.failure())
    }

    /// The frames that are done.
    pub(super) fn frames(&mut self) -> Result<Vec<Vec<u8>>, ComposeError> {
        self.pull(gst::ClockTime::ZERO)
    }

    /// All frames that are left.
    pub(super) fn finish(&mut self) -> Result<Vec<Vec<u8>>, ComposeError> {
        self.source.end_of_stream().map_err(|_| self.failure())?;
        self.pull(gst::ClockTime::from_seconds(2))
    }

    /// The `AudioSpecificConfig`, once there is a frame.
    pub(super) fn config(&self) -> Option<&[u8]> {
        self.config.as_deref()
    }

    fn pull(&mut self, wait: gst::ClockTime) -> Result<Vec<Vec<u8>>, ComposeError> {
        let mut frames = Vec::new();
        while let Some(sample) = self.sink.try_pull_sample(wait) {
            if self.config.is_none() {
                self.config = sample.caps().and_then(codec_data);
            }
            let bytes = sample.buffer().and_then(|buffer| Some(buffer.map_readable().ok()?.to_vec()));
            frames.extend(bytes);
        }
        first_error(&self.pipeline).map_or(Ok(frames), |why| Err(ComposeError::Pipeline(why)))
    }

    fn failure(&self) -> ComposeError {
        let why =
            first_error(&self.pipeline).unwrap_or_else(|| "the encoder for sound does not run".to_owned());
        ComposeError::Pipeline(why)
    }
}

impl Drop for Aac {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// What a decoder must know before the first frame.
pub(super) fn codec_data(caps: &gst::CapsRef) -> Option<Vec<u8>> {
    let buffer = caps.structure(0)?.get::<gst::Buffer>("codec_data").ok()?;
    Some(buffer.map_readable().ok()?.to_vec())
}
