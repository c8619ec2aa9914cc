// SPDX-License-Identifier: EUPL-1.2
//! The picture that all tiles are painted on, in I420. What does not change stays as it is.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use gstreamer as gst;
use gstreamer_video::{
    VideoConverter, VideoConverterConfig, VideoFormat, VideoFrameExt as _, VideoFrameRef, VideoInfo,
    VideoMatrixMode, VideoResamplerMethod,
};

use super::ComposeError;
use super::decode::Picture;
use super::layout::{Cell, Rect, even, within};
use super::overlay::INK;
use super::stamp::{Colour, Stamp};
use super::story::Tile;
use super::text::{Align, Scribe, Style};

/// Between the tiles.
const BACKGROUND: Colour = [24, 130, 126];
/// Under pictures that don't fill their place, and instead of one that isn't there.
pub(super) const PLACEHOLDER: Colour = [60, 134, 122];
/// Under names.
const STRIP: Colour = [46, 130, 126];
/// Around whoever speaks.
const SPEAKING: Colour = [150, 60, 70];
/// How wide that frame is.
const FRAME: u32 = 4;

pub(super) struct Canvas {
    info: VideoInfo,
    buffer: gst::Buffer,
    converters: HashMap<(VideoFormat, u32, u32, Rect), VideoConverter>,
    labels: HashMap<(String, bool, Rect), Stamp>,
    scribes: HashMap<(u32, u32), Scribe>,
}

/// Names and sizes that are kept at most; beyond, all are drawn anew when they are needed.
const MAX_KEPT: usize = 500;
/// Those who write, each in a size of its own and with threads of its own.
const MAX_SCRIBES: usize = 8;

impl Canvas {
    pub(super) fn new(width: u32, height: u32) -> Result<Canvas, ComposeError> {
        let info = VideoInfo::builder(VideoFormat::I420, width, height).build()?;
        let buffer = gst::Buffer::with_size(info.size())?;
        let (converters, labels, scribes) = Default::default();
        let mut canvas = Canvas { info, buffer, converters, labels, scribes };
        canvas.clear()?;
        Ok(canvas)
    }

    /// The form of it and of its copies.
    pub(super) fn info(&self) -> &VideoInfo {
        &self.info
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

    /// Writes whose tile it is on its strip, and marks who can't be heard.
    pub(super) fn label(&mut self, cell: &Cell, tile: &Tile) -> Result<(), ComposeError> {
        let Rect { x, y, width, height } = cell.label;
        self.fill(cell.label, STRIP)?;
        let mark = if tile.muted && width > 2 * height { height } else { 0 };
        if mark > 0 {
            let place = Rect { x: x + width - mark, y, width: mark, height };
            Stamp::muted(place).blend(self.buffer.make_mut(), &self.info)?;
        }
        let key = (tile.name.clone(), mark > 0, cell.label);
        if !self.labels.contains_key(&key) {
            let left = even(height / 3).min(width / 2);
            let place = (even((width - left).saturating_sub(mark)).max(2), height);
            let mask = self.scribe(place)?.write(&tile.name)?;
            if self.labels.len() >= MAX_KEPT {
                self.labels.clear();
            }
            self.labels.insert(key.clone(), Stamp::of(&mask, (x + even(left), y), INK, 255));
        }
        match self.labels.get(&key) {
            Some(label) => label.blend(self.buffer.make_mut(), &self.info),
            None => Ok(()),
        }
    }

    fn scribe(&mut self, place: (u32, u32)) -> Result<&mut Scribe, ComposeError> {
        if self.scribes.len() >= MAX_SCRIBES && !self.scribes.contains_key(&place) {
            self.scribes.clear();
        }
        match self.scribes.entry(place) {
            Entry::Occupied(scribe) => Ok(scribe.into_mut()),
            Entry::Vacant(nobody) => {
                let (letters, align) = (place.1 * 6 / 10, Align::Left);
                Ok(nobody.insert(Scribe::new(Style { place, letters, align, lines: false })?))
            }
        }
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
pub(super) fn converter(
    from: &VideoInfo,
    canvas: &VideoInfo,
    place: Rect,
) -> Result<VideoConverter, ComposeError> {
    let from = VideoInfo::builder(from.format(), from.width(), from.height()).build()?;
    let side = |samples: u32| i32::try_from(samples).unwrap_or(i32::MAX);
    let mut config = VideoConverterConfig::new();
    config.set_dest_x(side(place.x));
    config.set_dest_y(side(place.y));
    config.set_dest_width(Some(side(place.width)));
    config.set_dest_height(Some(side(place.height)));
    config.set_fill_border(false);
    config.set_matrix_mode(VideoMatrixMode::None);
    // Two samples make one, more where a picture shrinks: browsers do no more, and twice as many are twice the work.
    config.set_resampler_method(VideoResamplerMethod::Linear);
    config.set_threads(1);
    Ok(VideoConverter::new(&from, canvas, Some(config))?)
}
