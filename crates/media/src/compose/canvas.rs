// SPDX-License-Identifier: EUPL-1.2
//! The picture that all tiles are painted on, in I420. What does not change stays as it is.

use std::collections::HashMap;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSink;
use gstreamer_video::{
    VideoConverter, VideoConverterConfig, VideoFormat, VideoFrameExt as _, VideoFrameRef, VideoInfo,
    VideoMatrixMode,
};

use super::decode::Picture;
use super::layout::{Cell, Rect, within};
use super::{ComposeError, PATIENCE, element, launch};

/// Luma and both chromas.
type Colour = [u8; 3];

/// Between the tiles.
const BACKGROUND: Colour = [24, 130, 126];
/// Under pictures that don't fill their place, and instead of one that isn't there.
pub(super) const PLACEHOLDER: Colour = [60, 134, 122];
/// Around whoever speaks.
const SPEAKING: Colour = [150, 60, 70];
/// How wide that frame is.
const FRAME: u32 = 4;

pub(super) struct Canvas {
    info: VideoInfo,
    buffer: gst::Buffer,
    converters: HashMap<(VideoFormat, u32, u32, Rect), VideoConverter>,
    labels: HashMap<(String, u32, u32), Picture>,
}

/// Names and sizes that are kept at most; beyond, all are drawn anew when they are needed.
const MAX_KEPT: usize = 500;

impl Canvas {
    pub(super) fn new(width: u32, height: u32) -> Result<Canvas, ComposeError> {
        let info = VideoInfo::builder(VideoFormat::I420, width, height).build()?;
        let buffer = gst::Buffer::with_size(info.size())?;
        let mut canvas = Canvas { info, buffer, converters: HashMap::new(), labels: HashMap::new() };
        canvas.clear()?;
        Ok(canvas)
    }

    /// A copy of all of it.
    pub(super) fn copy(&self) -> Result<gst::Buffer, ComposeError> {
        Ok(self.buffer.copy_deep()?)
    }

    /// Nothing but the background.
    pub(super) fn clear(&mut self) -> Result<(), ComposeError> {
        let all = Rect { x: 0, y: 0, width: self.info.width(), height: self.info.height() };
        self.fill(all, BACKGROUND)
    }

    /// Paints a tile's picture, or what stands for one.
    pub(super) fn picture(&mut self, cell: &Cell, picture: Option<&Picture>) -> Result<(), ComposeError> {
        let Some(picture) = picture else { return self.fill(cell.picture, PLACEHOLDER) };
        let place = within(cell.picture, picture.info.width(), picture.info.height());
        if place != cell.picture {
            self.fill(cell.picture, PLACEHOLDER)?;
        }
        self.paint(picture, place)
    }

    /// Writes a name under a tile's picture.
    pub(super) fn label(&mut self, cell: &Cell, name: &str) -> Result<(), ComposeError> {
        let key = (name.to_owned(), cell.label.width, cell.label.height);
        if self.labels.len() >= MAX_KEPT {
            self.labels.clear();
        }
        let label = match self.labels.get(&key) {
            Some(label) => label.clone(),
            None => {
                let label = written(name, cell.label)?;
                self.labels.insert(key, label.clone());
                label
            }
        };
        self.paint(&label, cell.label)
    }

    /// Draws the frame of whoever speaks, around the tile.
    pub(super) fn frame(&mut self, cell: &Cell) -> Result<(), ComposeError> {
        let (x, y) = (cell.picture.x.saturating_sub(FRAME), cell.picture.y.saturating_sub(FRAME));
        let (width, height) =
            (cell.picture.width + 2 * FRAME, cell.picture.height + cell.label.height + 2 * FRAME);
        let sides = [
            Rect { x, y, width, height: FRAME },
            Rect { x, y: y + height - FRAME, width, height: FRAME },
            Rect { x, y, width: FRAME, height },
            Rect { x: x + width - FRAME, y, width: FRAME, height },
        ];
        sides.into_iter().try_for_each(|side| self.fill(side, SPEAKING))
    }

    fn paint(&mut self, picture: &Picture, place: Rect) -> Result<(), ComposeError> {
        let (format, width, height) = (picture.info.format(), picture.info.width(), picture.info.height());
        if self.converters.len() >= MAX_KEPT {
            self.converters.clear();
        }
        let key = (format, width, height, place);
        if !self.converters.contains_key(&key) {
            self.converters.insert(key, converter(&picture.info, &self.info, place)?);
        }
        let Some(converter) = self.converters.get(&key) else { return Ok(()) };
        let from = VideoFrameRef::from_buffer_ref_readable(&picture.buffer, &picture.info)?;
        let mut to = VideoFrameRef::from_buffer_ref_writable(self.buffer.make_mut(), &self.info)?;
        converter.frame_ref(&from, &mut to);
        Ok(())
    }

    fn fill(&mut self, rect: Rect, colour: Colour) -> Result<(), ComposeError> {
        let mut frame = VideoFrameRef::from_buffer_ref_writable(self.buffer.make_mut(), &self.info)?;
        let strides: Vec<usize> =
            frame.plane_stride().iter().map(|stride| usize::try_from(*stride).unwrap_or(1)).collect();
        for (plane, (value, stride)) in (0_u32..).zip(colour.into_iter().zip(strides)) {
            let scale = if plane == 0 { 1 } else { 2 };
            let [x, y, width, height] =
                [rect.x, rect.y, rect.width, rect.height].map(|side| (side / scale) as usize);
            let rows = frame.plane_data_mut(plane)?.chunks_mut(stride.max(1)).skip(y).take(height);
            for row in rows {
                let end = (x + width).min(row.len());
                row.get_mut(x..end).unwrap_or_default().fill(value);
            }
        }
        Ok(())
    }
}

/// Scales into a place on the canvas. Colours stay the numbers that they are: what browsers send is BT.601, and so is the
/// canvas.
fn converter(from: &VideoInfo, canvas: &VideoInfo, place: Rect) -> Result<VideoConverter, ComposeError> {
    let from = VideoInfo::builder(from.format(), from.width(), from.height()).build()?;
    let side = |samples: u32| i32::try_from(samples).unwrap_or(i32::MAX);
    let mut config = VideoConverterConfig::new();
    config.set_dest_x(side(place.x));
    config.set_dest_y(side(place.y));
    config.set_dest_width(Some(side(place.width)));
    config.set_dest_height(Some(side(place.height)));
    config.set_fill_border(false);
    config.set_matrix_mode(VideoMatrixMode::None);
    config.set_threads(1);
    Ok(VideoConverter::new(&from, canvas, Some(config))?)
}

/// A name on a dark strip, by Pango, which knows all scripts that the machine has fonts for.
fn written(name: &str, place: Rect) -> Result<Picture, ComposeError> {
    let text = launch(&format!(
        "videotestsrc num-buffers=1 pattern=solid-color foreground-color=0xff202428 ! \
         video/x-raw,format=I420,width={},height={} ! \
         textoverlay name=text halignment=left valignment=center xpad={} ypad=0 wrap-mode=none auto-resize=false \
         draw-shadow=false ! video/x-raw,format=I420 ! appsink name=out sync=false",
        place.width,
        place.height,
        place.height / 3
    ))?;
    let overlay: gst::Element = element(&text, "text")?;
    let letters = place.height * 6 / 10;
    overlay.set_property("font-desc", format!("Sans {letters}px"));
    overlay.set_property("text", gst::glib::markup_escape_text(&shortened(name, place.width, letters)));
    let sink: AppSink = element(&text, "out")?;
    let started = text.set_state(gst::State::Playing);
    let sample = started.ok().and_then(|_| sink.try_pull_sample(PATIENCE));
    let _ = text.set_state(gst::State::Null);
    let drawn = sample.and_then(|sample| {
        let info = VideoInfo::from_caps(sample.caps()?).ok()?;
        Some(Picture { at: 0, info, buffer: sample.buffer_owned()? })
    });
    drawn.ok_or_else(|| ComposeError::Pipeline("a name could not be drawn: is a font installed?".to_owned()))
}

/// As much of a name as has room in one line. Letters are taken for half as wide as they are high, and a little more.
fn shortened(name: &str, width: u32, letters: u32) -> String {
    let most = (width.saturating_sub(letters) * 10 / (letters.max(1) * 6)).max(1) as usize;
    let plain = name.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
    if name.chars().count() <= most {
        return plain.collect();
    }
    plain.take(most - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_their_line() {
        assert_eq!(shortened("Ada", 200, 10), "Ada");
        assert_eq!(shortened("Ada\nLovelace", 200, 10), "Ada Lovelace");
        let long = shortened(&"é".repeat(100), 200, 10);
        assert_eq!((long.chars().count(), long.chars().last()), (31, Some('…')));
        assert_eq!(shortened("Ada", 1, 10), "…");
    }
}
