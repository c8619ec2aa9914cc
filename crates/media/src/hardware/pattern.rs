// SPDX-License-Identifier: EUPL-1.2
//! Pictures that say their own number and have known colours, so that a decoder can tell what became of them.
//!
//! From the top: sixteen fields, white for a 1 and black for a 0, the lowest bit first; four colours; a slope that moves,
//! to give the encoder something to do.

use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSrc};
use gstreamer_video::{VideoFormat, VideoFrameExt as _, VideoFrameRef, VideoInfo};

use super::encoder::Unit;
use super::settings::{Shape, VideoCodec};
use super::table::Candidate;

/// Luma and both chromas.
pub type Colour = [u8; 3];

/// The colours, from left to right.
pub const COLOURS: [Colour; 4] = [[82, 90, 240], [145, 54, 34], [41, 240, 110], [180, 128, 128]];
/// Bits of the number.
const BITS: usize = 16;
const WHITE: u8 = 235;
const BLACK: u8 = 16;

/// What a decoder saw of a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The number that it says, below 65,536.
    pub number: u64,
    /// In the middle of each of the [`COLOURS`].
    pub colours: [Colour; 4],
}

impl Seen {
    /// How far the colour is off that is off most.
    pub fn worst(&self) -> u8 {
        let pairs = self.colours.as_flattened().iter().zip(COLOURS.as_flattened());
        pairs.map(|(seen, drawn)| seen.abs_diff(*drawn)).max().unwrap_or(u8::MAX)
    }
}

/// The picture of a number, in I420. It costs little, so that what is measured is the encoder.
pub fn picture(shape: Shape, number: u64) -> Result<gst::Buffer, gst::glib::BoolError> {
    let info = VideoInfo::builder(VideoFormat::I420, shape.width, shape.height).build()?;
    let mut buffer = gst::Buffer::with_size(info.size())?;
    let mut frame = VideoFrameRef::from_buffer_ref_writable(buffer.make_mut(), &info)?;
    let bits: Vec<u8> = (0..BITS).map(|bit| if number >> bit & 1 == 1 { WHITE } else { BLACK }).collect();
    let slope: Vec<u8> = (0..shape.width as usize + 256).map(|at| (at % 256) as u8 / 2 + 64).collect();
    let strides: Vec<usize> =
        frame.plane_stride().iter().map(|stride| usize::try_from(*stride).unwrap_or(1).max(1)).collect();
    for (plane, stride) in strides.into_iter().enumerate() {
        let scale = if plane == 0 { 1 } else { 2 };
        let (width, height) = (shape.width as usize / scale, shape.height as usize / scale);
        let colours: Vec<u8> = COLOURS.iter().filter_map(|colour| colour.get(plane)).copied().collect();
        let rows = frame.plane_data_mut(u32::try_from(plane).unwrap_or(0))?.chunks_mut(stride);
        for (y, row) in rows.take(height).enumerate() {
            let row = row.get_mut(..width).unwrap_or_default();
            match y * 4 / height.max(1) {
                0 if plane == 0 => fields(row, &bits),
                1 | 2 => fields(row, &colours),
                3 if plane == 0 => {
                    let from = (y * 3 + number as usize * 5) % 256;
                    let moved = slope.iter().skip(from);
                    row.iter_mut().zip(moved).for_each(|(sample, value)| *sample = *value);
                }
                _ => row.fill(128),
            }
        }
    }
    drop(frame);
    Ok(buffer)
}

/// Parts a row into fields of these values, from left to right.
fn fields(row: &mut [u8], values: &[u8]) {
    let width = row.len();
    for (place, value) in values.iter().enumerate() {
        let end = |place: usize| place * width / values.len();
        row.get_mut(end(place)..end(place + 1)).unwrap_or_default().fill(*value);
    }
}

/// What is seen of a decoded picture.
fn seen(sample: &gst::Sample) -> Option<Seen> {
    let info = VideoInfo::from_caps(sample.caps()?).ok()?;
    let frame = VideoFrameRef::from_buffer_ref_readable(sample.buffer()?, &info).ok()?;
    let (width, height) = (info.width() as usize, info.height() as usize);
    let at = |plane: u32, x: usize, y: usize| {
        let stride = usize::try_from(*frame.plane_stride().get(plane as usize)?).ok()?;
        let scale = if plane == 0 { 1 } else { 2 };
        frame.plane_data(plane).ok()?.get(y / scale * stride + x / scale).copied()
    };
    let mut number = 0;
    for bit in 0..BITS {
        let x = (2 * bit + 1) * width / (2 * BITS);
        number |= u64::from(at(0, x, height / 8)? > 125) << bit;
    }
    let mut colours = [[0; 3]; 4];
    for (place, colour) in colours.iter_mut().enumerate() {
        let x = (2 * place + 1) * width / (2 * COLOURS.len());
        *colour = [at(0, x, height / 2)?, at(1, x, height / 2)?, at(2, x, height / 2)?];
    }
    Some(Seen { number, colours })
}

/// Decodes what an encoder wrote, in the order in which it is shown. `patience` is how long a decoder may give nothing.
pub fn decode(
    codec: VideoCodec,
    caps: &gst::Caps,
    units: &[Unit],
    patience: Duration,
) -> Result<Vec<Seen>, String> {
    let decoder = decoder(codec).ok_or_else(|| format!("there is no decoder for {}", codec.name()))?;
    let parser = Candidate::of(codec).next().and_then(Candidate::parser).map(|parser| format!("{parser} ! "));
    let description = format!(
        "appsrc name=in format=time max-bytes=0 ! {}{decoder} ! videoconvert ! video/x-raw,format=I420 ! \
         appsink name=out sync=false wait-on-eos=false",
        parser.unwrap_or_default()
    );
    let pipeline = gst::parse::launch(&description).map_err(|error| error.to_string())?;
    let pipeline = pipeline.downcast::<gst::Pipeline>().map_err(|_| "one element".to_owned())?;
    let found = |name: &str| pipeline.by_name(name).ok_or_else(|| format!("no {name}"));
    let source: AppSrc = found("in")?.downcast().map_err(|_| "no appsrc".to_owned())?;
    let sink: AppSink = found("out")?.downcast().map_err(|_| "no appsink".to_owned())?;
    source.set_caps(Some(&in_band(caps)));
    let started = pipeline.set_state(gst::State::Playing);
    let all = started.map_err(|_| format!("{decoder} does not start")).and_then(|_| {
        for unit in units {
            let mut buffer = unit.buffer.copy();
            if let Some(buffer) = buffer.get_mut() {
                buffer.set_pts(gst::ClockTime::from_nseconds(u64::try_from(unit.pts).unwrap_or(0)));
                buffer.set_dts(None);
            }
            source.push_buffer(buffer).map_err(|_| format!("{decoder} takes nothing any more"))?;
        }
        let _ = source.end_of_stream();
        let wait = gst::ClockTime::from_mseconds(patience.as_millis().try_into().unwrap_or(u64::MAX));
        let mut all = Vec::new();
        let since = Instant::now();
        while let Some(sample) = sink.try_pull_sample(wait) {
            all.push(seen(&sample).ok_or("a picture can't be read")?);
            if since.elapsed() > patience * 4 {
                return Err(format!("{decoder} takes too long"));
            }
        }
        match sink.is_eos() {
            true => Ok(all),
            false => Err(format!("{decoder} gives nothing")),
        }
    });
    let error = pipeline.bus().and_then(|bus| bus.pop_filtered(&[gst::MessageType::Error]));
    let _ = pipeline.set_state(gst::State::Null);
    match error.as_ref().map(|message| message.view()) {
        Some(gst::MessageView::Error(error)) => Err(format!("{decoder}: {}", error.error())),
        _ => all,
    }
}

fn decoder(codec: VideoCodec) -> Option<&'static str> {
    let decoders: &[&str] = match codec {
        VideoCodec::H264 => &["avdec_h264", "openh264dec"],
        VideoCodec::H265 => &["avdec_h265", "libde265dec"],
        VideoCodec::Av1 => &["dav1ddec", "av1dec"],
        VideoCodec::Vp8 => &["vp8dec"],
        VideoCodec::Vp9 => &["vp9dec"],
    };
    decoders.iter().find(|decoder| gst::ElementFactory::find(decoder).is_some()).copied()
}

/// The same form, where parameters may also stand in the stream: those of an encoder that went on.
pub(super) fn in_band(caps: &gst::Caps) -> gst::Caps {
    let mut caps = caps.clone();
    for structure in caps.make_mut().iter_mut() {
        let other = match structure.get::<&str>("stream-format") {
            Ok("avc") => "avc3",
            Ok("hvc1") => "hev1",
            _ => continue,
        };
        structure.set("stream-format", other);
    }
    caps
}
