// SPDX-License-Identifier: EUPL-1.2
//! Pushes a transport stream to one target by RTMP, RTMPS or SRT. One process for each target, so that one which hangs or
//! crashes touches nobody else.
//!
//! The first line of standard input says where to ([`PushOrder`]), the rest is the stream. The process ends when that ends, when
//! the target refuses or goes, and when it takes nothing for as long as the order says; whoever started it decides whether
//! another one tries again. What it says of the end has no key in it.

mod confine;

use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gst::prelude::*;
use gstreamer as gst;
use parvis_jobs::{Confinement, MAX_ORDER_BYTES, PushOrder, PushProtocol, PushTarget};

/// How often it is looked whether the target takes anything.
const LOOK: Duration = Duration::from_millis(250);
/// How long the last of a stream that has ended may take.
const FAREWELL: Duration = Duration::from_secs(5);
/// Transport stream packets in one datagram of SRT (a payload of 1,316 bytes).
const SRT_PACKETS: u32 = 7;

/// Why a stream is not pushed, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The first line.
    #[error("standard input: {0}; its first line is where to push to, in JSON")]
    Order(String),
    /// The URL.
    #[error("{0}")]
    Target(String),
    /// GStreamer lacks something.
    #[error("{0}; install the plugins that docs/streaming.md names")]
    Missing(String),
    /// The target.
    #[error("{place}: {why}")]
    Ended {
        /// Which, without its key.
        place: String,
        /// What happened, without it as well.
        why: String,
    },
}

/// Reads the order. No byte behind it is taken.
pub fn order() -> Result<(PushOrder, PushTarget), PushError> {
    let stdin = io::stdin();
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        match rustix::io::read(stdin.as_fd(), &mut byte) {
            Ok(0) => return Err(PushError::Order("it ended".to_owned())),
            Ok(_) if byte == [b'\n'] => break,
            Ok(_) if line.len() < MAX_ORDER_BYTES => line.extend(byte),
            Ok(_) => return Err(PushError::Order("its first line is too long".to_owned())),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(PushError::Order(error.to_string())),
        }
    }
    // What serde says of it could repeat a part of it.
    let order: PushOrder =
        serde_json::from_slice(&line).map_err(|_| PushError::Order("it can't be read".to_owned()))?;
    let target = PushTarget::parse(&order.url).map_err(PushError::Target)?;
    Ok((order, target))
}

/// Makes GStreamer ready, before the process is confined.
pub fn prepare() -> Result<(), PushError> {
    gst::init().map_err(|error| PushError::Missing(error.to_string()))
}

/// Confines this process, which has one thread still, to pushing: it reads libraries, certificates and how names are resolved,
/// writes nothing, starts nothing, and connects by TCP to this port only.
pub fn confine(target: &PushTarget, memory_bytes: u64) -> Confinement {
    confine::confine(target, memory_bytes)
}

/// Pushes what comes on standard input until that ends.
pub fn push(order: &PushOrder, target: &PushTarget) -> Result<(), PushError> {
    let address = order.address.filter(|_| target.protocol != PushProtocol::Rtmps);
    let ended = |why: &str| PushError::Ended { place: target.place(), why: target.hide(why) };
    let (pipeline, sink) = build(target, &target.location(address), order.pictures)?;
    let (taken, given) = (count(&sink, "sink"), count_source(&pipeline));
    let bus = pipeline.bus().ok_or_else(|| PushError::Missing("a pipeline has no bus".to_owned()))?;
    if pipeline.set_state(gst::State::Playing).is_err() {
        let why = first_error(&bus).unwrap_or_else(|| "it can't be reached".to_owned());
        let _ = pipeline.set_state(gst::State::Null);
        return Err(ended(&why));
    }
    let patience = Duration::from_millis(order.patience_millis);
    let result = watch(&bus, &taken, &given, patience);
    shut(pipeline);
    result.map_err(|why| ended(&why))
}

/// Waits for the end. `Err` says why it is not a good one.
fn watch(bus: &gst::Bus, taken: &AtomicU64, given: &AtomicU64, patience: Duration) -> Result<(), String> {
    let (mut seen, mut since) = ((0, 0), Instant::now());
    loop {
        let wanted = [gst::MessageType::Error, gst::MessageType::Eos];
        if let Some(message) = bus.timed_pop_filtered(gst::ClockTime::from_mseconds(millis(LOOK)), &wanted) {
            return match message.view() {
                gst::MessageView::Error(error) => Err(said(error)),
                _ => Ok(()),
            };
        }
        let now = (taken.load(Ordering::Relaxed), given.load(Ordering::Relaxed));
        // Nothing to give is no fault of the target's.
        if now.0 > seen.0 || now.1 == seen.1 {
            (seen, since) = (now, Instant::now());
        } else if since.elapsed() >= patience {
            return Err(format!(
                "it takes nothing for {} s; see whether it is there, and whether the way to it carries the stream",
                patience.as_secs()
            ));
        }
    }
}

fn build(
    target: &PushTarget,
    location: &str,
    pictures: bool,
) -> Result<(gst::Pipeline, gst::Element), PushError> {
    let make = |factory: &str| {
        gst::ElementFactory::make(factory).build().map_err(|error| PushError::Missing(error.to_string()))
    };
    let failed = |error: gst::glib::BoolError| PushError::Missing(error.to_string());
    let pipeline = gst::Pipeline::new();
    let source = make("fdsrc")?;
    source.set_property("fd", 0);
    source.set_property("do-timestamp", true);
    match target.protocol {
        PushProtocol::Srt => {
            let (packets, sink) = (make("tsparse")?, make("srtsink")?);
            packets.set_property("alignment", SRT_PACKETS);
            sink.set_property("uri", location);
            sink.set_property("auto-reconnect", false);
            sink.set_property("sync", false);
            pipeline.add_many([&source, &packets, &sink]).map_err(failed)?;
            gst::Element::link_many([&source, &packets, &sink]).map_err(failed)?;
            Ok((pipeline, sink))
        }
        PushProtocol::Rtmp | PushProtocol::Rtmps => {
            let (demux, mux, sink) = (make("tsdemux")?, make("flvmux")?, make("rtmp2sink")?);
            mux.set_property("streamable", true);
            // As it comes: what is late waits for nothing.
            mux.set_property("latency", 0u64);
            sink.set_property("location", location);
            sink.set_property("sync", false);
            sink.set_property("async", false);
            let (audio, audio_queue) = (make("aacparse")?, make("queue")?);
            pipeline.add_many([&source, &demux, &audio_queue, &audio, &mux, &sink]).map_err(failed)?;
            source.link(&demux).map_err(failed)?;
            audio_queue.link(&audio).map_err(failed)?;
            audio.link_pads(Some("src"), &mux, Some("audio")).map_err(failed)?;
            // The muxer waits for each of its inputs.
            let video_queue = match pictures {
                true => {
                    let (queue, video) = (make("queue")?, make("h264parse")?);
                    pipeline.add_many([&queue, &video]).map_err(failed)?;
                    queue.link(&video).map_err(failed)?;
                    video.link_pads(Some("src"), &mux, Some("video")).map_err(failed)?;
                    Some(queue)
                }
                false => None,
            };
            mux.link(&sink).map_err(failed)?;
            demux.connect_pad_added(move |_, pad| {
                let is_video = pad.name().starts_with("video");
                let queue = if is_video { video_queue.as_ref() } else { Some(&audio_queue) };
                let Some(to) = queue.and_then(|queue| queue.static_pad("sink")).filter(|to| !to.is_linked())
                else {
                    return;
                };
                // What can't be linked ends the stream with an error of its own.
                let _ = pad.link(&to);
            });
            Ok((pipeline, sink))
        }
    }
}

/// Counts what comes to a pad.
fn count(element: &gst::Element, pad: &str) -> Arc<AtomicU64> {
    let counter = Arc::new(AtomicU64::new(0));
    if let Some(pad) = element.static_pad(pad) {
        let counter = Arc::clone(&counter);
        let all = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
        pad.add_probe(all, move |_, _| {
            counter.fetch_add(1, Ordering::Relaxed);
            gst::PadProbeReturn::Ok
        });
    }
    counter
}

fn count_source(pipeline: &gst::Pipeline) -> Arc<AtomicU64> {
    let source = pipeline.iterate_sources().into_iter().flatten().next();
    source.map_or_else(Arc::default, |source| count(&source, "src"))
}

/// Ends the pipeline; the process goes on to its end even where an element hangs.
fn shut(pipeline: gst::Pipeline) {
    let (done, wait) = std::sync::mpsc::channel();
    let shutting = std::thread::Builder::new().name("farewell".to_owned()).spawn(move || {
        let _ = pipeline.set_state(gst::State::Null);
        let _ = done.send(());
    });
    if shutting.is_ok() {
        let _ = wait.recv_timeout(FAREWELL);
    }
}

fn first_error(bus: &gst::Bus) -> Option<String> {
    let message = bus.pop_filtered(&[gst::MessageType::Error])?;
    match message.view() {
        gst::MessageView::Error(error) => Some(said(error)),
        _ => None,
    }
}

/// What an element says, in one line.
fn said(error: &gst::message::Error) -> String {
    let details = error.debug().map(|debug| debug.to_string()).unwrap_or_default();
    // The first line of the details is a place in GStreamer's source.
    let details: Vec<&str> = details.lines().skip(1).map(str::trim).filter(|line| !line.is_empty()).collect();
    match details.is_empty() {
        true => error.error().to_string().replace('\n', " "),
        false => format!("{} ({})", error.error(), details.join(" ")).replace('\n', " "),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
