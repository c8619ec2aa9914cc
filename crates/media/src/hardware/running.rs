// SPDX-License-Identifier: EUPL-1.2
//! One encoder at work, in a pipeline of its own. Whatever may call into a driver is done by a thread that can be left behind:
//! a driver that hangs must not hold up whoever waits for it.

use std::cell::Cell;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSrc};
use gstreamer_video::DownstreamForceKeyUnitEvent;
use serde::{Deserialize, Serialize};

use super::apply::{Deviation, Why};
use super::settings::{Settings, Shape, VideoCodec};
use super::table::Candidate;

/// How far an encoder came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// GStreamer has no such element.
    Lookup,
    /// The element could not be made or opened: this is where devices, drivers and their sessions are asked for.
    Open,
    /// It failed with pictures, or gave nothing in time.
    Encode,
    /// What came out is not what went in.
    Check,
    /// The process in which it was tried gave no answer in time, or died.
    Process,
}

/// What an encoder failed at, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// How far it came.
    pub stage: Stage,
    /// In one sentence.
    pub why: String,
}

impl Refusal {
    pub(super) fn new(stage: Stage, why: impl Into<String>) -> Refusal {
        Refusal { stage, why: why.into() }
    }
}

/// Pictures that wait in front of the encoder at most.
const WAITING: u64 = 8;
/// How long an encoder may take to be put away before it is left behind.
const FAREWELL: Duration = Duration::from_secs(2);

pub(super) struct Running {
    pub(super) candidate: &'static Candidate,
    pub(super) deviations: Vec<Deviation>,
    pipeline: gst::Pipeline,
    source: AppSrc,
    sink: AppSink,
    /// Whether it was given a picture.
    begun: Cell<bool>,
}

impl Running {
    /// Opens an encoder. `in_band` has it say its parameters again with each key frame, in what it writes: for a stream that
    /// another encoder began.
    pub(super) fn start(
        candidate: &'static Candidate,
        settings: &Settings,
        shape: Shape,
        in_band: bool,
        patience: Duration,
    ) -> Result<Running, Refusal> {
        let factory = candidate.factory;
        if gst::ElementFactory::find(factory).is_none() {
            return Err(Refusal::new(Stage::Lookup, candidate.needs()));
        }
        let (candidate, settings) = (candidate, settings.clone());
        let opened = in_time(patience, move || Running::open(candidate, &settings, shape, in_band));
        opened.unwrap_or_else(|| {
            let why = format!("it did not open within {} s", patience.as_secs());
            Err(Refusal::new(Stage::Open, why))
        })
    }

    fn open(
        candidate: &'static Candidate,
        settings: &Settings,
        shape: Shape,
        in_band: bool,
    ) -> Result<Running, Refusal> {
        let failed = |why: String| Refusal::new(Stage::Open, why);
        let made = |factory: &str| {
            gst::ElementFactory::make(factory).build().map_err(|error| failed(format!("{factory}: {error}")))
        };
        let encoder = made(candidate.factory)?;
        let mut deviations = candidate.apply(settings, &encoder);
        let pipeline = gst::Pipeline::new();
        let source = AppSrc::builder().caps(&raw(shape)).format(gst::Format::Time).max_buffers(0).build();
        source.set_max_bytes(0);
        let sink = AppSink::builder().sync(false).wait_on_eos(false).build();
        let mut chain = vec![source.clone().upcast(), made("videoconvert")?, encoder.clone()];
        if let Some(caps) = candidate.profile_caps(settings.profile) {
            match encoder.static_pad("src").is_some_and(|pad| pad.query_caps(None).can_intersect(&caps)) {
                true => chain.push(filter(&made("capsfilter")?, &caps)),
                false => deviations.push(Deviation {
                    setting: "profile".to_owned(),
                    property: "the format that it writes".to_owned(),
                    wanted: caps.to_string(),
                    why: Why::UnknownWord,
                }),
            }
        }
        if let Some(parser) = candidate.parser() {
            let parser = made(parser)?;
            if in_band && parser.has_property("config-interval") {
                parser.set_property("config-interval", -1);
            }
            chain.push(parser);
        }
        if let Some(caps) = written(candidate.codec, in_band) {
            chain.push(filter(&made("capsfilter")?, &caps));
        }
        chain.push(sink.clone().upcast());
        let built = pipeline.add_many(&chain).and_then(|()| gst::Element::link_many(&chain));
        built.map_err(|error| failed(error.to_string()))?;
        let running = Running { candidate, deviations, pipeline, source, sink, begun: Cell::new(false) };
        // First by itself, so that the reason is its own.
        if encoder.set_state(gst::State::Ready).is_err() {
            return Err(failed(running.error().unwrap_or_else(|| "it does not open".to_owned())));
        }
        if running.pipeline.set_state(gst::State::Playing).is_err() {
            return Err(failed(running.error().unwrap_or_else(|| "it does not start".to_owned())));
        }
        Ok(running)
    }

    pub(super) fn has_room(&self) -> bool {
        self.source.current_level_buffers() < WAITING
    }

    pub(super) fn push(&self, picture: gst::Buffer) -> Result<(), String> {
        // The first one is a key frame anyway, and GStreamer 1.22 takes no request any more when there was one for it.
        if self.begun.replace(true) && picture.flags().contains(super::KEY) {
            // Said with its time: the event overtakes pictures that wait.
            let asked = DownstreamForceKeyUnitEvent::builder().running_time_if_some(picture.pts()).build();
            self.source.send_event(asked);
        }
        self.source.push_buffer(picture).map(drop).map_err(|_| self.gone())
    }

    pub(super) fn end(&self) -> Result<(), String> {
        self.source.end_of_stream().map(drop).map_err(|_| self.gone())
    }

    /// What has come out, waiting that long for it.
    pub(super) fn pull(&self, wait: gst::ClockTime) -> Option<gst::Sample> {
        self.sink.try_pull_sample(wait)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.sink.is_eos()
    }

    /// The first error that it told, if it told one.
    pub(super) fn error(&self) -> Option<String> {
        let message = self.pipeline.bus()?.pop_filtered(&[gst::MessageType::Error])?;
        let source = message.src().map(|source| source.name().to_string()).unwrap_or_default();
        let gst::MessageView::Error(error) = message.view() else { return Some(source) };
        // The element's own words stand behind the place in its source.
        let detail = error.debug().unwrap_or_default();
        let detail = detail.lines().skip(1).collect::<Vec<_>>().join(" ");
        let text = format!("{source}: {} {detail}", error.error());
        Some(text.trim_end().chars().take(MAX_ERROR_CHARS).collect())
    }

    fn gone(&self) -> String {
        self.error().unwrap_or_else(|| "it takes nothing any more".to_owned())
    }
}

/// Drivers write whole pages at times.
const MAX_ERROR_CHARS: usize = 300;

impl Drop for Running {
    fn drop(&mut self) {
        let pipeline = self.pipeline.clone();
        // One that hangs is left behind with its thread: there is no way to end it but the end of the process.
        let _ = in_time(FAREWELL, move || pipeline.set_state(gst::State::Null).is_ok());
    }
}

/// Does something that may never return; `None` if it took too long.
fn in_time<T: Send + 'static>(patience: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let begun = thread::Builder::new().name("encoder".to_owned()).spawn(move || drop(sender.send(work())));
    begun.ok().and_then(|_| receiver.recv_timeout(patience).ok())
}

/// Pictures as they come.
pub(super) fn raw(shape: Shape) -> gst::Caps {
    let Shape { width, height, rate } = shape;
    let side = |samples: u32| i32::try_from(samples).unwrap_or(i32::MAX);
    gst::Caps::builder("video/x-raw")
        .field("format", "I420")
        .field("width", side(width))
        .field("height", side(height))
        .field("framerate", gst::Fraction::new(side(rate), 1))
        .field("colorimetry", "bt601")
        .field("interlace-mode", "progressive")
        .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
        .build()
}

/// The form in which it is written; `None` where there is only one.
fn written(codec: VideoCodec, in_band: bool) -> Option<gst::Caps> {
    let caps = match codec {
        VideoCodec::H264 => gst::Caps::builder("video/x-h264")
            .field("stream-format", if in_band { "avc3" } else { "avc" })
            .field("alignment", "au"),
        VideoCodec::H265 => gst::Caps::builder("video/x-h265")
            .field("stream-format", if in_band { "hev1" } else { "hvc1" })
            .field("alignment", "au"),
        VideoCodec::Av1 => {
            gst::Caps::builder("video/x-av1").field("stream-format", "obu-stream").field("alignment", "tu")
        }
        VideoCodec::Vp8 | VideoCodec::Vp9 => return None,
    };
    Some(caps.build())
}

fn filter(element: &gst::Element, caps: &gst::Caps) -> gst::Element {
    element.set_property("caps", caps);
    element.clone()
}
