// SPDX-License-Identifier: EUPL-1.2
//! A picture for a corner: a PNG (RFC 2083) that an operator names. Its form is checked before a decoder sees it.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use flate2::read::ZlibDecoder;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSrc};
use gstreamer_video::VideoInfo;

use super::layout::{Rect, even, within};
use super::options::Corner;
use super::stamp::{Colour, Stamp};
use super::{ComposeError, PATIENCE, element, launch};

/// The longest file that is taken.
pub const MAX_LOGO_BYTES: u64 = 4 * 1024 * 1024;
/// The longest side that is taken, in samples.
pub const MAX_LOGO_SIDE: u32 = 2048;

/// A PNG whose form is right.
#[derive(Clone, PartialEq, Eq)]
pub struct Logo {
    path: PathBuf,
    png: Vec<u8>,
}

impl std::fmt::Debug for Logo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Logo").field("path", &self.path).field("bytes", &self.png.len()).finish()
    }
}

impl Logo {
    /// Reads a file, of at most [`MAX_LOGO_BYTES`] and [`MAX_LOGO_SIDE`] either way. Nothing is decoded yet.
    pub fn read(path: &Path) -> Result<Logo, ComposeError> {
        let failed = |error| ComposeError::Io { path: path.to_owned(), error };
        let mut png = Vec::new();
        File::open(path)
            .and_then(|file| file.take(MAX_LOGO_BYTES + 1).read_to_end(&mut png))
            .map_err(failed)?;
        let logo = Logo { path: path.to_owned(), png };
        if logo.png.len() as u64 > MAX_LOGO_BYTES {
            return Err(logo.wrong(format!("more than {} MiB, which is the most", MAX_LOGO_BYTES >> 20)));
        }
        check(&logo.png).map_err(|what| logo.wrong(what))?;
        Ok(logo)
    }

    fn wrong(&self, what: String) -> ComposeError {
        ComposeError::Logo { path: self.path.clone(), what }
    }

    /// Decodes it, and lays it into a corner of an area: a fifth of its sides at most, and never larger than it is.
    pub(super) fn stamp(&self, area: Rect, corner: Corner) -> Result<Stamp, ComposeError> {
        let (width, height, samples) = self.decoded()?;
        let most = Rect {
            x: 0,
            y: 0,
            width: even((area.width / 5).min(width.max(2))),
            height: even((area.height / 5).min(height.max(2))),
        };
        let size = within(most, width, height);
        let margin = even(area.height / 40).max(4);
        let right = area.x + area.width.saturating_sub(size.width + margin);
        let low = area.y + area.height.saturating_sub(size.height + margin);
        let (x, y) = match corner {
            Corner::TopLeft => (area.x + margin, area.y + margin),
            Corner::TopRight => (right, area.y + margin),
            Corner::BottomLeft => (area.x + margin, low),
            Corner::BottomRight => (right, low),
        };
        let place = Rect { x: even(x), y: even(y), width: size.width, height: size.height };
        Ok(Stamp::new(place, |x, y| {
            // The mean of all samples that fall onto this one.
            let range = |at: u32, side: u32, whole: u32| {
                let from = at * whole / side;
                from..((at + 1) * whole).div_ceil(side).clamp(from + 1, whole.max(from + 1))
            };
            let (mut sum, mut covers, mut count) = ([0_u32; 3], 0, 0);
            for y in range(y, size.height, height) {
                for x in range(x, size.width, width) {
                    let four = ((y * width + x) * 4) as usize;
                    let Some([red, green, blue, alpha]) =
                        samples.get(four..four + 4).and_then(|four| four.first_chunk())
                    else {
                        continue;
                    };
                    for (sum, value) in sum.iter_mut().zip([red, green, blue]) {
                        *sum += u32::from(*value) * u32::from(*alpha);
                    }
                    covers += u32::from(*alpha);
                    count += 1;
                }
            }
            let [red, green, blue] = sum.map(|sum| sum.checked_div(covers).unwrap_or(0));
            (bt601(red, green, blue), covers.checked_div(count).unwrap_or(0) as u8)
        }))
    }

    /// Width, height, and red, green, blue and alpha of each sample.
    fn decoded(&self) -> Result<(u32, u32, Vec<u8>), ComposeError> {
        let pipeline = launch(
            "appsrc name=in caps=image/png ! pngdec ! videoconvert ! video/x-raw,format=RGBA ! appsink name=out sync=false",
        )?;
        let source: AppSrc = element(&pipeline, "in")?;
        let sink: AppSink = element(&pipeline, "out")?;
        let started = pipeline.set_state(gst::State::Playing);
        let pushed = source.push_buffer(gst::Buffer::from_mut_slice(self.png.clone()));
        let _ = source.end_of_stream();
        // The decoder says that it failed, or that there is a picture; not both.
        let said = [gst::MessageType::Error, gst::MessageType::AsyncDone];
        let said = pipeline.bus().and_then(|bus| bus.timed_pop_filtered(PATIENCE, &said));
        let is_there = said.as_ref().is_some_and(|said| said.type_() == gst::MessageType::AsyncDone);
        let sample =
            started.ok().and(pushed.ok()).filter(|_| is_there).and_then(|_| sink.try_pull_sample(PATIENCE));
        let why = said.filter(|_| !is_there).map(|error| super::told(&error));
        let _ = pipeline.set_state(gst::State::Null);
        let decoded = sample.as_ref().and_then(|sample| {
            let info = VideoInfo::from_caps(sample.caps()?).ok()?;
            let bytes = sample.buffer()?.map_readable().ok()?;
            // Four bytes a sample: rows have no gaps.
            Some((info.width(), info.height(), bytes.to_vec()))
        });
        decoded.ok_or_else(|| {
            let why = why.unwrap_or_else(|| "no picture came out".to_owned());
            self.wrong(format!("a damaged PNG, which can't be decoded: {why}"))
        })
    }
}

/// BT.601 in its narrow range.
fn bt601(red: u32, green: u32, blue: u32) -> Colour {
    let [red, green, blue] = [red, green, blue].map(f64::from);
    [
        (16.0 + (65.481 * red + 128.553 * green + 24.966 * blue) / 255.0).round() as u8,
        (128.0 + (-37.797 * red - 74.203 * green + 112.0 * blue) / 255.0).round() as u8,
        (128.0 + (112.0 * red - 93.786 * green - 18.214 * blue) / 255.0).round() as u8,
    ]
}

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Goes through the chunks: whole, with the right sums, a head first, of a size that is taken, as much data as it needs, and
/// an end. Decoders show what they have of a damaged one, and say nothing.
fn check(png: &[u8]) -> Result<(), String> {
    let Some(mut rest) = png.strip_prefix(SIGNATURE) else {
        return Err("no PNG: take a file that begins as one".to_owned());
    };
    let mut place = SIGNATURE.len();
    let (mut samples, mut data) = (None, Vec::new());
    loop {
        let damaged = |what: &str| format!("a damaged PNG: {what} at byte {place}");
        let Some((length, more)) = rest.split_first_chunk::<4>() else { return Err(damaged("it ends")) };
        let length = u32::from_be_bytes(*length) as usize;
        let Some((chunk, more)) = length.checked_add(4).and_then(|length| more.split_at_checked(length))
        else {
            return Err(damaged("it ends within a chunk"));
        };
        let Some((sum, more)) = more.split_first_chunk::<4>() else {
            return Err(damaged("it ends within a chunk"));
        };
        if crc32(chunk) != u32::from_be_bytes(*sum) {
            return Err(damaged("a chunk with a wrong sum"));
        }
        let (name, content) = chunk.split_at_checked(4).unwrap_or_default();
        match (samples, name) {
            (None, b"IHDR") => samples = Some(head(content)?),
            (None, _) => return Err(damaged("something else than its head")),
            (Some(_), b"IDAT") => data.extend_from_slice(content),
            (Some(samples), b"IEND") => {
                let is_whole = unpacked(&data, samples).is_some_and(|bytes| bytes == samples);
                return if is_whole {
                    Ok(())
                } else {
                    Err("a damaged PNG: its data is not whole".to_owned())
                };
            }
            _ => {}
        }
        (place, rest) = (place + length + 12, more);
    }
}

/// How many bytes there are once they are unpacked; no more than one too many is unpacked. `None` where they can't be.
fn unpacked(data: &[u8], most: u64) -> Option<u64> {
    io::copy(&mut ZlibDecoder::new(data).take(most + 1), &mut io::sink()).ok()
}

/// Of a head (RFC 2083 section 4.1.1): how many bytes its rows have, each with its filter.
fn head(head: &[u8]) -> Result<u64, String> {
    let damaged = || "a damaged PNG: its head is none".to_owned();
    let head: &[u8; 13] = head.try_into().map_err(|_| damaged())?;
    let [w0, w1, w2, w3, h0, h1, h2, h3, depth, colour, 0, 0, interlaced] = *head else {
        return Err(damaged());
    };
    let (width, height) = (u32::from_be_bytes([w0, w1, w2, w3]), u32::from_be_bytes([h0, h1, h2, h3]));
    let channels: u64 = match (colour, depth) {
        (0, 1 | 2 | 4 | 8 | 16) | (3, 1 | 2 | 4 | 8) => 1,
        (2, 8 | 16) => 3,
        (4, 8 | 16) => 2,
        (6, 8 | 16) => 4,
        _ => return Err(damaged()),
    };
    if width == 0 || height == 0 {
        return Err(damaged());
    }
    if width.max(height) > MAX_LOGO_SIDE {
        return Err(format!(
            "{width}x{height} samples: {MAX_LOGO_SIDE}x{MAX_LOGO_SIDE} are the most; make it smaller"
        ));
    }
    // Where each pass begins, and how far its samples are apart (section 2.6).
    let passes: &[[u32; 4]] = match interlaced {
        0 => &[[0, 0, 1, 1]],
        1 => &[
            [0, 0, 8, 8],
            [4, 0, 8, 8],
            [0, 4, 4, 8],
            [2, 0, 4, 4],
            [0, 2, 2, 4],
            [1, 0, 2, 2],
            [0, 1, 1, 2],
        ],
        _ => return Err(damaged()),
    };
    let bytes = passes.iter().map(|[x, y, across, down]| {
        let columns = u64::from(width.saturating_sub(*x).div_ceil(*across));
        let rows = u64::from(height.saturating_sub(*y).div_ceil(*down));
        if columns == 0 { 0 } else { rows * (1 + (columns * channels * u64::from(depth)).div_ceil(8)) }
    });
    Ok(bytes.sum())
}

/// RFC 2083 section 15.
fn crc32(bytes: &[u8]) -> u32 {
    let shift = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| shift(crc)))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::write::ZlibEncoder;

    use super::*;

    fn chunk(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
        let named = [&name[..], content].concat();
        [&(content.len() as u32).to_be_bytes()[..], &named, &crc32(&named).to_be_bytes()].concat()
    }

    fn png(width: u32, height: u32) -> Vec<u8> {
        let rows = u64::from(height.min(5000)) * (1 + u64::from(width.min(5000)) * 4);
        with_rows(width, height, rows, 0)
    }

    fn with_rows(width: u32, height: u32, rows: u64, interlaced: u8) -> Vec<u8> {
        let head = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 6, 0, 0, interlaced]].concat();
        let mut data = ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        data.write_all(&vec![0; rows as usize]).unwrap();
        let data = data.finish().unwrap();
        [SIGNATURE, &chunk(b"IHDR", &head), &chunk(b"IDAT", &data), &chunk(b"IEND", &[])].concat()
    }

    #[test]
    fn a_sum_is_the_one_that_everybody_computes() {
        // The end of every PNG.
        assert_eq!(crc32(b"IEND"), 0xae42_6082);
    }

    #[test]
    fn what_is_no_png_or_too_large_or_damaged_is_told() {
        assert_eq!(check(&png(640, 480)), Ok(()));
        assert_eq!(check(&png(2048, 2048)), Ok(()));
        assert_eq!(
            check(&png(2049, 2)).unwrap_err(),
            "2049x2 samples: 2048x2048 are the most; make it smaller"
        );
        assert!(check(&png(u32::MAX, u32::MAX)).unwrap_err().contains("are the most"));
        assert_eq!(check(&png(0, 5)).unwrap_err(), "a damaged PNG: its head is none");
        assert!(check(b"GIF89a").unwrap_err().starts_with("no PNG"));
        let whole = png(64, 48);
        for length in SIGNATURE.len()..whole.len() {
            assert!(check(&whole[..length]).unwrap_err().starts_with("a damaged PNG: it ends"), "{length}");
        }
        for place in SIGNATURE.len()..whole.len() {
            let mut hit = whole.clone();
            hit[place] ^= 1;
            assert!(check(&hit).is_err(), "{place}");
        }
        let short = with_rows(64, 48, 48 * 257 - 1, 0);
        assert_eq!(check(&short).unwrap_err(), "a damaged PNG: its data is not whole");
        // What unpacks to more than a million times its size is left after the first byte that is too many.
        assert_eq!(
            check(&with_rows(2, 2, 100_000_000, 0)).unwrap_err(),
            "a damaged PNG: its data is not whole"
        );
        // Interlaced, two by two: a row of one sample in the first pass, one in the sixth, and one of two in the last.
        assert_eq!(check(&with_rows(2, 2, 5 + 5 + 9, 1)), Ok(()));
        let bare = [SIGNATURE, &chunk(b"IEND", &[])].concat();
        assert_eq!(check(&bare).unwrap_err(), "a damaged PNG: something else than its head at byte 8");
    }

    #[test]
    fn colours_are_those_of_the_narrow_range() {
        assert_eq!(bt601(255, 0, 0), [81, 90, 240]);
        assert_eq!((bt601(0, 0, 0), bt601(255, 255, 255)), ([16, 128, 128], [235, 128, 128]));
    }
}
