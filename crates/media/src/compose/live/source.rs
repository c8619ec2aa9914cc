// SPDX-License-Identifier: EUPL-1.2
//! From a track's frames, as they come, to pictures and samples. Nothing here ever waits: what isn't decoded yet is not there.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSrc};
use parvis_jobs::{Codec, Kind};

use super::tap::{Frame, Tap};
use crate::compose::decode::{Feed, caps, chain, coded};
use crate::compose::{ComposeError, Note, element, first_error, launch};

/// Frames in front of a decoder; what else waits is the tap's, which is bounded.
const WAITING: u64 = 4;
/// How long a decoder that is given frames may give nothing before another one takes its place.
const STUCK: Duration = Duration::from_secs(5);

/// A track of a room.
pub(super) struct Live {
    tap: Arc<Tap>,
    number: u64,
    name: String,
    codec: Codec,
    channels: u8,
    decoder: Option<Decoder>,
    /// Since when the decoder takes nothing and gives nothing.
    stuck: Option<Instant>,
}

struct Decoder {
    pipeline: gst::Pipeline,
    source: AppSrc,
    sink: AppSink,
    private: Vec<u8>,
}

impl Live {
    pub(super) fn new(tap: Arc<Tap>, number: u64, name: String, codec: Codec, channels: u8) -> Live {
        Live { tap, number, name, codec, channels, decoder: None, stuck: None }
    }

    /// Gives the decoder as much as it has room for.
    fn feed(&mut self) -> Result<(), ComposeError> {
        while self.decoder.as_ref().is_none_or(Decoder::has_room) {
            let Some(frame) = self.tap.take_frame(self.number) else { break };
            let decoder = match &mut self.decoder {
                Some(decoder) => decoder,
                None if !frame.key => {
                    self.tap.skip(self.number);
                    break;
                }
                none => none.insert(Decoder::open(self.codec)?),
            };
            decoder.push(frame, self.codec, self.channels);
        }
        Ok(())
    }

    /// Gives the decoder up, and begins anew with the next key frame.
    fn begin_anew(&mut self, what: String, notes: &mut Vec<Note>) {
        (self.decoder, self.stuck) = (None, None);
        self.tap.skip(self.number);
        notes.push(Note { file: self.name.clone(), what });
    }
}

impl Feed for Live {
    fn next_buffer(
        &mut self,
        _until: u64,
        notes: &mut Vec<Note>,
    ) -> Result<Option<gst::Sample>, ComposeError> {
        self.feed()?;
        let Some(decoder) = &mut self.decoder else { return Ok(None) };
        let sample = decoder.sink.try_pull_sample(gst::ClockTime::ZERO);
        if sample.is_some() || decoder.has_room() {
            self.stuck = None;
        }
        if sample.is_none()
            && let Some(what) = first_error(&decoder.pipeline)
        {
            self.begin_anew(what, notes);
        } else if sample.is_none() && self.decoder.as_ref().is_some_and(|decoder| !decoder.has_room()) {
            let since = *self.stuck.get_or_insert_with(Instant::now);
            if since.elapsed() > STUCK {
                self.begin_anew(format!("the decoder gave nothing for {} s", STUCK.as_secs()), notes);
            }
        }
        Ok(sample)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.tap.forget(self.number);
    }
}

impl Decoder {
    fn open(codec: Codec) -> Result<Decoder, ComposeError> {
        // Sound comes in pieces of 20 ms, or shorter ones; more of them are in a picture's time.
        let held = if codec.kind() == Kind::Audio { 32 } else { 3 };
        let pipeline = launch(&chain(codec, held))?;
        let source: AppSrc = element(&pipeline, "in")?;
        let sink: AppSink = element(&pipeline, "out")?;
        let decoder = Decoder { pipeline, source, sink, private: Vec::new() };
        decoder.pipeline.set_state(gst::State::Playing).map_err(|_| {
            let why =
                first_error(&decoder.pipeline).unwrap_or_else(|| "the decoder does not start".to_owned());
            ComposeError::Pipeline(why)
        })?;
        Ok(decoder)
    }

    fn has_room(&self) -> bool {
        self.source.current_level_buffers() < WAITING
    }

    /// One that ended over an error says so on its bus.
    fn push(&mut self, frame: Frame, codec: Codec, channels: u8) {
        if let Some(private) = frame.private.filter(|private| *private != self.private) {
            self.private = private;
            self.source.set_caps(Some(&caps(codec, channels, &self.private)));
        } else if self.source.caps().is_none() {
            self.source.set_caps(Some(&caps(codec, channels, &self.private)));
        }
        let at = gst::ClockTime::from_useconds(frame.at);
        let _ = self.source.push_buffer(coded(frame.data, at, frame.key));
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        let pipeline = self.pipeline.clone();
        // One that hangs hangs alone.
        let away = thread::Builder::new().name("decoder".to_owned()).spawn(move || {
            let _ = pipeline.set_state(gst::State::Null);
        });
        drop(away);
    }
}
