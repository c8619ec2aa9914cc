// SPDX-License-Identifier: EUPL-1.2
//! H.264 for a film, by whichever encoder still works: what they write goes to the multiplexer one after the other, as one
//! track.
//!
//! Each encoder has parameters of its own. Those of the first stand at the front of the film, where players look first. One
//! that goes on says its own in the stream, with each key frame. `avc1`, the film's name for what it has, promises that
//! nobody does that; so it is renamed to `avc3`, which is the same without the promise (ISO/IEC 14496-15, 5.3.3).

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::Duration;

use gstreamer as gst;
use gstreamer_app::AppSrc;

use super::options::{Format, Options};
use super::{ComposeError, PATIENCE};
use crate::hardware::probe::Prober;
use crate::hardware::{
    Choice, ChoiceError, EncodeError, Encoder, Encoders, Settings, Shape, Switch, Unit, VideoCodec, Wanted,
    choose,
};

pub(super) struct Coded {
    encoder: Encoder,
    source: AppSrc,
    segment: gst::FormattedSegment<gst::ClockTime>,
}

/// Decoding may begin before the film does. So all times are moved by this, as GStreamer's own encoders do.
pub(super) const SHIFT: u64 = 1000 * 3600 * 1_000_000_000;

impl Coded {
    /// Opens an encoder, whose pictures go to `source`.
    pub(super) fn new(source: AppSrc, options: &Options) -> Result<Coded, ComposeError> {
        let software = || Encoders::software(VideoCodec::H264);
        let encoders = options.encoders.clone().unwrap_or_else(software);
        let shape = shape(options);
        let encoder = Encoder::start(&encoders, &settings(options), shape, Duration::from(PATIENCE))?;
        let mut segment = gst::FormattedSegment::new();
        segment.set_start(gst::ClockTime::from_nseconds(SHIFT));
        Ok(Coded { encoder, source, segment })
    }

    /// Adds a picture, once the encoder has room for it.
    pub(super) fn picture(&mut self, picture: gst::Buffer) -> Result<(), ComposeError> {
        self.encoder.push(picture)?;
        self.hand_on()
    }

    /// Ends the track, and says which encoders failed on the way.
    pub(super) fn finish(mut self) -> Result<Vec<Switch>, ComposeError> {
        self.encoder.finish()?;
        self.hand_on()?;
        self.source.end_of_stream().map_err(|_| full())?;
        Ok(self.encoder.switches().to_vec())
    }

    fn hand_on(&mut self) -> Result<(), ComposeError> {
        let units: Vec<Unit> = self.encoder.units().collect();
        let Some(caps) = self.encoder.caps() else { return Ok(()) };
        for mut unit in units {
            let moment = |at: i64| Some(gst::ClockTime::from_nseconds(SHIFT.saturating_add_signed(at)));
            let buffer = unit.buffer.make_mut();
            buffer.set_pts(moment(unit.pts));
            buffer.set_dts(moment(unit.dts));
            let sample = gst::Sample::builder().buffer(&unit.buffer).caps(caps).segment(&self.segment);
            self.source.push_sample(&sample.build()).map_err(|_| full())?;
        }
        Ok(())
    }
}

/// The bus says why, to whoever asks it.
fn full() -> ComposeError {
    ComposeError::Pipeline("the film takes nothing any more".to_owned())
}

impl From<EncodeError> for ComposeError {
    fn from(error: EncodeError) -> ComposeError {
        match error {
            EncodeError::None(_) => {
                ComposeError::Missing("there is neither x264enc nor openh264enc".to_owned())
            }
            EncodeError::AllFailed(_) => ComposeError::Pipeline(error.to_string()),
        }
    }
}

/// Tries who can encode a film, each in a process of its own: for one that is confined before it composes. `None` for a film
/// without H.264.
pub fn choose_encoders(
    options: &Options,
    wanted: &Wanted,
    prober: &Prober,
) -> Result<Option<Choice>, ChoiceError> {
    if options.format != Format::Mp4 || !options.has_pictures() {
        return Ok(None);
    }
    choose(VideoCodec::H264, wanted, &settings(options), shape(options), prober).map(Some)
}

/// What a film asks of its encoder. A key frame each two seconds is what players seek to.
pub(super) fn settings(options: &Options) -> Settings {
    let cores = std::thread::available_parallelism().map_or(1, usize::from).div_ceil(options.beside.max(1));
    // Each thread holds a picture back; more than these would not be busy.
    let threads = u32::try_from(cores * 3 / 2).unwrap_or(MAX_THREADS).clamp(1, MAX_THREADS);
    Settings { kbits: options.kbits, gop: options.rate * 2, threads, ..Settings::default() }
}

const MAX_THREADS: u32 = 16;

pub(super) fn shape(options: &Options) -> Shape {
    Shape { width: options.width, height: options.height, rate: options.rate }
}

/// Allows for parameters within the stream of a film, which is an MP4 file with its index at its front.
pub(super) fn allow_parameters_in_stream(film: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(film)?;
    let end = file.metadata()?.len();
    let mut found = Vec::new();
    find(&mut file, 0..end, &[b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"], &mut found)?;
    for at in found {
        file.seek(SeekFrom::Start(at + 4))?;
        file.write_all(b"avc3")?;
    }
    Ok(())
}

/// Where the boxes of this path begin.
fn find(
    file: &mut File,
    within: std::ops::Range<u64>,
    path: &[&[u8; 4]],
    found: &mut Vec<u64>,
) -> io::Result<()> {
    let Some((name, inner)) = path.split_first() else { return Ok(()) };
    let mut at = within.start;
    while at + 8 <= within.end {
        let mut head = [0; 16];
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut head[..8])?;
        let [a, b, c, d, kind @ ..] = *head.first_chunk::<8>().unwrap_or(&[0; 8]);
        let (size, begin) = match u32::from_be_bytes([a, b, c, d]) {
            0 => (within.end - at, 8),
            1 => {
                file.read_exact(&mut head[8..])?;
                (u64::from_be_bytes(*head.last_chunk().unwrap_or(&[0; 8])), 16)
            }
            size => (u64::from(size), 8),
        };
        if size < begin || size > within.end - at {
            return Err(io::Error::other(format!("byte {at}: a box of {size} bytes")));
        }
        if kind == **name {
            match inner {
                [] => found.push(at),
                // A version and a number of entries stand before these.
                _ if kind == *b"stsd" => find(file, at + begin + 8..at + size, inner, found)?,
                _ => find(file, at + begin..at + size, inner, found)?,
            }
        }
        at += size;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(kind: &[u8; 4], inner: &[u8]) -> Vec<u8> {
        let size = u32::try_from(8 + inner.len()).unwrap();
        [&size.to_be_bytes()[..], kind, inner].concat()
    }

    fn film(entry: &[u8; 4]) -> Vec<u8> {
        let stsd = boxed(b"stsd", &[&[0, 0, 0, 0, 0, 0, 0, 1][..], &boxed(entry, b"avc1")].concat());
        let stbl = boxed(b"stbl", &[boxed(b"stts", b"avc1"), stsd].concat());
        let of = |inner: &[u8]| boxed(b"trak", &boxed(b"mdia", &boxed(b"minf", inner)));
        let moov =
            boxed(b"moov", &[boxed(b"mvhd", b"avc1avc1"), of(&boxed(b"stbl", b"")), of(&stbl)].concat());
        // The media's size in 64 bits.
        let mdat = [&[0, 0, 0, 1][..], b"mdat", &24_u64.to_be_bytes(), b"avc1avc1"].concat();
        [boxed(b"ftyp", b"avc1avc1"), moov, mdat].concat()
    }

    #[test]
    fn only_the_sample_entry_is_renamed() {
        let path = std::env::temp_dir().join(format!("parvis-avc3-{}", std::process::id()));
        std::fs::write(&path, film(b"avc1")).unwrap();
        allow_parameters_in_stream(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), film(b"avc3"));
        // Neither a box without an end nor one without a size leads anywhere.
        for damaged in [&[0, 0, 0, 99, b'm', b'o', b'o', b'v'][..], &[0, 0, 0, 7, b'm', b'o', b'o', b'v']] {
            std::fs::write(&path, damaged).unwrap();
            let error = allow_parameters_in_stream(&path).unwrap_err().to_string();
            assert!(error.starts_with("byte 0: a box of "), "{error}");
        }
        std::fs::remove_file(&path).unwrap();
    }
}
