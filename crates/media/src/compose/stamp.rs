// SPDX-License-Identifier: EUPL-1.2
//! What is laid over a picture, with the picture shining through: letters, marks and logos, on I420.

use gstreamer as gst;
use gstreamer_video::{VideoFrameExt as _, VideoFrameRef, VideoInfo};

use super::ComposeError;
use super::layout::Rect;

/// Luma and both chromas, BT.601 in its narrow range.
pub(super) type Colour = [u8; 3];

/// How much of each sample of an area is covered, row by row: 0 nothing, 255 all.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Mask {
    /// In samples.
    pub(super) width: u32,
    /// In samples.
    pub(super) height: u32,
    /// `width` times `height`.
    pub(super) coverage: Vec<u8>,
}

impl Mask {
    /// One in which `covered` says it of each sample.
    pub(super) fn new(width: u32, height: u32, mut covered: impl FnMut(u32, u32) -> u8) -> Mask {
        let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        Mask { width, height, coverage: places.map(|(x, y)| covered(x, y)).collect() }
    }

    /// Nothing is covered outside.
    pub(super) fn at(&self, x: u32, y: u32) -> u8 {
        let place = (y * self.width + x) as usize;
        if x < self.width { self.coverage.get(place).copied().unwrap_or(0) } else { 0 }
    }

    /// Turned against the clock by an angle in radians around its middle, in an area of this size.
    pub(super) fn turned(&self, angle: f64, width: u32, height: u32) -> Mask {
        let (sine, cosine) = angle.sin_cos();
        let centre = |side: u32| f64::from(side) / 2.0;
        Mask::new(width, height, |x, y| {
            let (x, y) = (f64::from(x) + 0.5 - centre(width), f64::from(y) + 0.5 - centre(height));
            let from_x = x * cosine - y * sine + centre(self.width) - 0.5;
            let from_y = x * sine + y * cosine + centre(self.height) - 0.5;
            self.between(from_x, from_y)
        })
    }

    /// Between samples.
    fn between(&self, x: f64, y: f64) -> u8 {
        if x < 0.0 || y < 0.0 || x >= f64::from(self.width) || y >= f64::from(self.height) {
            return 0;
        }
        let (left, top) = (x as u32, y as u32);
        let (right, low) = (x.fract(), y.fract());
        let row =
            |y: u32| f64::from(self.at(left, y)) * (1.0 - right) + f64::from(self.at(left + 1, y)) * right;
        (row(top) * (1.0 - low) + row(top + 1) * low) as u8
    }
}

/// Something with a place on the picture.
#[derive(Debug, Clone)]
pub(super) struct Stamp {
    place: Rect,
    /// Luma and both chromas, which have a row for each two.
    planes: [Vec<Row>; 3],
}

/// What a row of a plane has, without the ends that cover nothing: most of a text's place is empty.
#[derive(Debug, Clone)]
struct Row {
    /// Where it begins, from the left of the stamp.
    from: usize,
    /// A value, and how much it covers.
    samples: Vec<[u8; 2]>,
}

impl Row {
    fn new(samples: Vec<[u8; 2]>) -> Row {
        let covers = |sample: &[u8; 2]| sample[1] != 0;
        let from = samples.iter().position(covers).unwrap_or(samples.len());
        let to = samples.iter().rposition(covers).map_or(from, |last| last + 1);
        Row { from, samples: samples.get(from..to).unwrap_or_default().to_vec() }
    }
}

impl Stamp {
    /// One in which `at` gives the colour of each sample and how much it covers; a place is even.
    pub(super) fn new(place: Rect, at: impl Fn(u32, u32) -> (Colour, u8)) -> Stamp {
        let luma = |x, y| {
            let ([luma, ..], covers) = at(x, y);
            [luma, covers]
        };
        let chroma = |x: u32, y: u32, of: fn(Colour) -> u8| {
            let (x, y) = (2 * x, 2 * y);
            let four = [at(x, y), at(x + 1, y), at(x, y + 1), at(x + 1, y + 1)];
            let all: u32 = four.iter().map(|(_, covers)| u32::from(*covers)).sum();
            let sum: u32 =
                four.iter().map(|(colour, covers)| u32::from(of(*colour)) * u32::from(*covers)).sum();
            [sum.checked_div(all).map_or(128, |mean| mean as u8), (all / 4) as u8]
        };
        let rows = |scale: u32, at: &dyn Fn(u32, u32) -> [u8; 2]| {
            let row = |y| Row::new((0..place.width / scale).map(|x| at(x, y)).collect());
            (0..place.height / scale).map(row).collect::<Vec<_>>()
        };
        let blue = rows(2, &|x, y| chroma(x, y, |[_, blue, _]| blue));
        let red = rows(2, &|x, y| chroma(x, y, |[.., red]| red));
        Stamp { place, planes: [rows(1, &luma), blue, red] }
    }

    /// A mask in one colour, its upper left corner at `(x, y)`, even both; `opacity` of 255 covers what the mask covers.
    pub(super) fn of(mask: &Mask, (x, y): (u32, u32), colour: Colour, opacity: u8) -> Stamp {
        let place = Rect { x, y, width: mask.width, height: mask.height };
        Stamp::new(place, |x, y| (colour, share(mask.at(x, y), opacity)))
    }

    /// An even area of one colour.
    pub(super) fn area(place: Rect, colour: Colour, opacity: u8) -> Stamp {
        Stamp::new(place, |_, _| (colour, opacity))
    }

    /// Who can't be heard: a crossed microphone on a disc, in a square.
    pub(super) fn muted(place: Rect) -> Stamp {
        const FINE: u32 = 4;
        const DISC: Colour = [82, 98, 218];
        const WHITE: Colour = [225, 128, 128];
        let side = f64::from(place.width * FINE);
        Stamp::new(place, |x, y| {
            let (mut disc, mut white) = (0, 0);
            for fine in 0..FINE * FINE {
                let at = |sample: u32, fine: u32| (f64::from(sample * FINE + fine) + 0.5) / side - 0.5;
                match muted(at(x, fine % FINE), at(y, fine / FINE)) {
                    Some(true) => white += 1,
                    Some(false) => disc += 1,
                    None => {}
                }
            }
            let covered: u32 = disc + white;
            let mean = |one: u8, other: u8| {
                let sum = u32::from(one) * disc + u32::from(other) * white;
                sum.checked_div(covered).map_or(0, |mean| mean as u8)
            };
            let [luma, blue, red] = [0, 1, 2].map(|plane: usize| {
                mean(DISC.get(plane).copied().unwrap_or(0), WHITE.get(plane).copied().unwrap_or(0))
            });
            ([luma, blue, red], (covered * 255 / (FINE * FINE)) as u8)
        })
    }

    /// Lays it over a picture of this form. What lies outside is left out.
    pub(super) fn blend(&self, buffer: &mut gst::BufferRef, info: &VideoInfo) -> Result<(), ComposeError> {
        let mut frame = VideoFrameRef::from_buffer_ref_writable(buffer, info)?;
        let strides: Vec<usize> =
            frame.plane_stride().iter().map(|stride| usize::try_from(*stride).unwrap_or(1).max(1)).collect();
        for (plane, (stride, stamped)) in (0_u32..).zip(strides.into_iter().zip(&self.planes)) {
            let scale = if plane == 0 { 1 } else { 2 };
            let [left, top, width] =
                [self.place.x, self.place.y, info.width()].map(|side| (side / scale) as usize);
            let rows = frame.plane_data_mut(plane)?.chunks_mut(stride).skip(top);
            for (row, above) in rows.zip(stamped) {
                let end = width.min(row.len());
                let below = row.get_mut((left + above.from).min(end)..end).unwrap_or_default();
                for (below, [value, covers]) in below.iter_mut().zip(&above.samples) {
                    *below = mix(*below, *value, *covers);
                }
            }
        }
        Ok(())
    }
}

/// What the mark has at a place, both from -0.5 to 0.5: white, disc, or nothing.
fn muted(x: f64, y: f64) -> Option<bool> {
    if x.hypot(y) > 0.47 {
        return None;
    }
    let across = (x - y).abs();
    let head = x.abs() < 0.10 && (-0.26..0.06).contains(&y);
    let ring = (0.15..0.21).contains(&x.hypot(y - 0.02)) && y > 0.02;
    let foot = x.abs() < 0.03 && (0.20..0.32).contains(&y);
    let stroke = across < 0.05 && x.abs() < 0.30;
    let beside = across < 0.13 && x.abs() < 0.32;
    Some(stroke || !beside && (head || ring || foot))
}

/// So much of so much.
fn share(one: u8, other: u8) -> u8 {
    (u32::from(one) * u32::from(other) / 255) as u8
}

fn mix(below: u8, above: u8, covers: u8) -> u8 {
    if covers == 0 {
        return below;
    }
    let covers = u32::from(covers);
    ((u32::from(below) * (255 - covers) + u32::from(above) * covers + 127) / 255) as u8
}

#[cfg(test)]
mod tests {
    use gstreamer_video::VideoFormat;

    use super::*;

    fn blended(stamp: &Stamp) -> Vec<u8> {
        gst::init().unwrap();
        let info = VideoInfo::builder(VideoFormat::I420, 8, 4).build().unwrap();
        let mut buffer = gst::Buffer::from_mut_slice(vec![100; info.size()]);
        stamp.blend(buffer.get_mut().unwrap(), &info).unwrap();
        buffer.map_readable().unwrap().to_vec()
    }

    #[test]
    fn a_stamp_covers_its_place_by_its_share_and_nothing_beside_it() {
        let area = Rect { x: 2, y: 2, width: 4, height: 2 };
        let bytes = blended(&Stamp::area(area, [200, 0, 50], 255));
        assert_eq!(bytes[16..24], [100, 100, 200, 200, 200, 200, 100, 100]);
        assert_eq!(bytes[..16], [100; 16]);
        assert_eq!(
            (&bytes[32..40], &bytes[40..48]),
            (&[100, 100, 100, 100, 100, 0, 0, 100][..], &[100, 100, 100, 100, 100, 50, 50, 100][..])
        );
        let half = blended(&Stamp::area(area, [200, 0, 50], 128));
        assert_eq!((half[18], half[37], half[45]), (150, 50, 75));
    }

    #[test]
    fn what_lies_outside_is_left_out() {
        let beyond = Rect { x: 6, y: 2, width: 40, height: 40 };
        let bytes = blended(&Stamp::area(beyond, [200, 0, 50], 255));
        assert_eq!(bytes[24..32], [100, 100, 100, 100, 100, 100, 200, 200]);
        assert_eq!(bytes.iter().filter(|byte| **byte != 100).count(), 4 + 1 + 1);
    }

    #[test]
    fn a_mask_turns_against_the_clock() {
        let left = Mask::new(20, 20, |x, y| if x < 4 && (8..12).contains(&y) { 255 } else { 0 });
        let low = left.turned(std::f64::consts::FRAC_PI_2, 20, 20);
        assert!(low.at(10, 18) > 200 && low.at(10, 2) == 0 && low.at(2, 10) == 0);
    }

    #[test]
    fn the_muted_mark_is_a_disc_with_white_on_it() {
        let mark = Stamp::muted(Rect { x: 0, y: 0, width: 40, height: 40 });
        let at = |x: usize, y: usize| mark.planes[0][y].samples[x - mark.planes[0][y].from];
        assert!(mark.planes[0][0].samples.is_empty(), "its corners are clear");
        assert_eq!((at(20, 3), at(20, 20)[0]), ([82, 255], 225));
    }
}
