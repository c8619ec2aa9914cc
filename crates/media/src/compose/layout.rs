// SPDX-License-Identifier: EUPL-1.2
//! Where tiles lie: geometry alone. All of it is in samples, and even, because chroma has half the resolution.

/// A rectangle on the canvas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rect {
    /// From the left.
    pub x: u32,
    /// From the top.
    pub y: u32,
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
}

/// A place for one person or share: the picture, and under it the name; on it where one picture is all there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// Where the picture lies.
    pub picture: Rect,
    /// Where the name lies; as wide as the picture, but for [`Arrangement::Single`].
    pub label: Rect,
}

/// How tiles are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrangement {
    /// All of one size.
    Grid,
    /// The first one large, the others in a row under it.
    Speaker,
    /// The first one large, the others in a column beside it; on a canvas that is higher than wide in a row under it.
    Screen,
    /// One that fills the canvas.
    Single,
}

/// The most tiles that have a place.
pub const MAX_TILES: usize = 25;
/// The most that stand beside the large one.
pub const MAX_BESIDE: usize = 6;

/// The smallest canvas, either way: all tiles have room on it.
pub const MIN_SIDE: u32 = 180;

/// Between tiles, and around them.
const GAP: u32 = 8;

/// Cells for `count` tiles in this part of a canvas, in order: left to right, top to bottom. Beyond [`MAX_TILES`], or one and
/// [`MAX_BESIDE`], there is no place.
pub fn cells(arrangement: Arrangement, area: Rect, count: usize) -> Vec<Cell> {
    let beside = (count.max(1) - 1).min(MAX_BESIDE);
    match arrangement {
        Arrangement::Grid => grid(area, count.min(MAX_TILES)),
        Arrangement::Single => single(area, count.min(1)),
        _ if count < 2 => grid(area, count),
        Arrangement::Screen if area.width >= area.height => {
            let width = even(area.width / 5);
            let large = grid(Rect { width: area.width - width, ..area }, 1);
            let column = Rect { x: area.x + even(area.width - width), width, ..area };
            large.into_iter().chain(column_of(column, beside)).collect()
        }
        Arrangement::Speaker | Arrangement::Screen => {
            let height = even(area.height / 4);
            let large = grid(Rect { height: area.height - height, ..area }, 1);
            let row = Rect { y: area.y + even(area.height - height), height, ..area };
            large.into_iter().chain(line_of(row, beside)).collect()
        }
    }
}

/// All of the area, with the name in its lower left corner.
fn single(area: Rect, count: usize) -> Vec<Cell> {
    let height = label_height(area.height / 2);
    let label = Rect { y: area.y + area.height - height, width: even(area.width / 2), height, ..area };
    std::iter::repeat_n(Cell { picture: area, label }, count).collect()
}

/// As many columns as make the tiles largest; the last row is centred.
fn grid(area: Rect, count: usize) -> Vec<Cell> {
    let count = u32::try_from(count).unwrap_or(0);
    let size = |columns: u32| fit(area, columns, count.div_ceil(columns));
    let Some(columns) = (1..=count).max_by_key(|columns| (size(*columns).0, u32::MAX - columns)) else {
        return Vec::new();
    };
    let (width, height) = size(columns);
    let rows = count.div_ceil(columns);
    let top = area.y + middle(area.height, span(rows, height));
    let place = |number: u32| {
        let (row, column) = (number / columns, number % columns);
        let in_row = columns.min(count - row * columns);
        let left = area.x + middle(area.width, span(in_row, width));
        cell(left + column * (width + GAP), top + row * (height + GAP), width, height)
    };
    (0..count).map(place).collect()
}

fn line_of(area: Rect, count: usize) -> Vec<Cell> {
    let count = u32::try_from(count).unwrap_or(0);
    let (width, height) = fit(area, count.max(1), 1);
    let left = area.x + middle(area.width, span(count, width));
    let top = area.y + middle(area.height, height);
    (0..count).map(|number| cell(left + number * (width + GAP), top, width, height)).collect()
}

fn column_of(area: Rect, count: usize) -> Vec<Cell> {
    let count = u32::try_from(count).unwrap_or(0);
    let (width, height) = fit(area, 1, count.max(1));
    let left = area.x + middle(area.width, width);
    let top = area.y + middle(area.height, span(count, height));
    (0..count).map(|number| cell(left, top + number * (height + GAP), width, height)).collect()
}

/// So many sides with gaps between them.
fn span(count: u32, side: u32) -> u32 {
    count * side + count.saturating_sub(1) * GAP
}

/// Where something of a size begins in the middle of a place.
fn middle(place: u32, size: u32) -> u32 {
    place.saturating_sub(size) / 2
}

/// The largest size of 16:9 pictures with their labels in so many columns and rows.
fn fit(area: Rect, columns: u32, rows: u32) -> (u32, u32) {
    let wide = area.width.saturating_sub((columns + 1) * GAP) / columns;
    let high = area.height.saturating_sub((rows + 1) * GAP) / rows;
    let mut width = even(wide);
    while width > 2 && picture_height(width) + label_height(picture_height(width)) > high {
        width -= 2;
    }
    (width, picture_height(width) + label_height(picture_height(width)))
}

fn cell(x: u32, y: u32, width: u32, height: u32) -> Cell {
    let (x, y, picture) = (even(x), even(y), picture_height(width));
    Cell {
        picture: Rect { x, y, width, height: picture },
        label: Rect { x, y: y + picture, width, height: height - picture },
    }
}

fn picture_height(width: u32) -> u32 {
    even(width * 9 / 16).max(2)
}

fn label_height(picture: u32) -> u32 {
    even(picture / 10).clamp(14, 40)
}

pub(super) fn even(samples: u32) -> u32 {
    samples & !1
}

/// Where a picture of this size lies within a place, whole, and but for a few samples undistorted.
pub fn within(place: Rect, width: u32, height: u32) -> Rect {
    let (width, height) = (u64::from(width.max(1)), u64::from(height.max(1)));
    let (wide, high) = (u64::from(place.width), u64::from(place.height));
    let (fit_wide, fit_high) = if wide * height > high * width {
        (high * width / height, high)
    } else {
        (wide, wide * height / width)
    };
    let narrow = |samples: u64| even(u32::try_from(samples).unwrap_or(0)).max(2);
    // A few samples less would be a line at the edge and no margin.
    let snap = |side: u32, place: u32| if side + 4 >= place { place } else { side };
    let (fit_wide, fit_high) = (snap(narrow(fit_wide), place.width), snap(narrow(fit_high), place.height));
    Rect {
        x: place.x + even((place.width - fit_wide) / 2),
        y: place.y + even((place.height - fit_high) / 2),
        width: fit_wide,
        height: fit_high,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: [(u32, u32); 8] = [
        (1280, 720),
        (1920, 1080),
        (640, 360),
        (720, 1280),
        (320, 180),
        (180, 180),
        (3840, 180),
        (180, 2160),
    ];

    const TILED: [Arrangement; 3] = [Arrangement::Grid, Arrangement::Speaker, Arrangement::Screen];

    fn canvas(width: u32, height: u32) -> Rect {
        Rect { x: 0, y: 0, width, height }
    }

    /// With and without a strip above.
    fn all() -> impl Iterator<Item = (u32, u32, Vec<Cell>, usize)> {
        SIZES.into_iter().flat_map(|(width, height)| [(width, height, 0), (width, height, 16)]).flat_map(
            |(width, height, y)| {
                let area = Rect { x: 0, y, width, height: height - y };
                TILED.into_iter().flat_map(move |arrangement| {
                    (0..=40).map(move |count| (width, height, cells(arrangement, area, count), count))
                })
            },
        )
    }

    fn rects(cells: &[Cell]) -> Vec<Rect> {
        cells.iter().flat_map(|cell| [cell.picture, cell.label]).collect()
    }

    #[test]
    fn tiles_lie_on_the_canvas_and_are_even() {
        for (width, height, cells, count) in all() {
            for rect in rects(&cells) {
                let Rect { x, y, width: wide, height: high } = rect;
                assert!(x + wide <= width && y + high <= height, "{count} on {width}x{height}: {rect:?}");
                assert!([x, y, wide, high].iter().all(|side| side % 2 == 0), "{rect:?}");
                assert!(wide >= 2 && high >= 2, "{rect:?}");
            }
        }
    }

    #[test]
    fn tiles_never_overlap() {
        for (.., cells, count) in all() {
            let rects = rects(&cells);
            for (place, one) in rects.iter().enumerate() {
                for other in rects.iter().skip(place + 1) {
                    let apart = one.x + one.width <= other.x
                        || other.x + other.width <= one.x
                        || one.y + one.height <= other.y
                        || other.y + other.height <= one.y;
                    assert!(apart, "{count}: {one:?} {other:?}");
                }
            }
        }
    }

    #[test]
    fn a_grid_has_a_place_for_each_and_uses_the_canvas() {
        for (count, columns) in [(1, 1), (2, 2), (3, 2), (4, 2), (5, 3), (9, 3), (10, 4), (16, 4), (25, 5)] {
            let cells = cells(Arrangement::Grid, canvas(1280, 720), count);
            assert_eq!(cells.len(), count);
            let first = cells[0].picture.y;
            assert_eq!(cells.iter().filter(|cell| cell.picture.y == first).count(), columns, "{count}");
        }
        assert_eq!(cells(Arrangement::Grid, canvas(1280, 720), 40).len(), MAX_TILES);
        let one = cells(Arrangement::Grid, canvas(1280, 720), 1)[0].picture;
        assert!(one.width * one.height > 1280 * 720 * 3 / 4, "{one:?}");
    }

    #[test]
    fn the_speaker_is_larger_than_all_others() {
        let cells = cells(Arrangement::Speaker, canvas(1280, 720), 20);
        assert_eq!(cells.len(), 1 + MAX_BESIDE);
        assert!(cells[1..].iter().all(|cell| cell.picture.width * 3 < cells[0].picture.width));
    }

    #[test]
    fn a_share_has_four_fifths_and_the_others_a_column_on_its_right() {
        let wide = cells(Arrangement::Screen, canvas(1280, 720), 20);
        assert_eq!(wide.len(), 1 + MAX_BESIDE);
        let share = wide[0].picture;
        assert!(share.width > 1280 * 3 / 4, "{share:?}");
        assert!(wide[1..].iter().all(|cell| cell.picture.x > share.x + share.width), "{wide:?}");
        assert!(wide[1..].windows(2).all(|two| two[1].picture.y > two[0].label.y), "{wide:?}");
        let high = canvas(720, 1280);
        assert_eq!(cells(Arrangement::Screen, high, 5), cells(Arrangement::Speaker, high, 5));
    }

    #[test]
    fn a_single_picture_fills_all_of_it() {
        let area = Rect { x: 0, y: 16, width: 320, height: 164 };
        let cells = cells(Arrangement::Single, area, 3);
        assert_eq!((cells.len(), cells[0].picture), (1, area));
        assert_eq!(cells[0].label.y + cells[0].label.height, 180);
    }

    #[test]
    fn pictures_keep_their_shape() {
        let place = Rect { x: 10, y: 20, width: 160, height: 90 };
        assert_eq!(within(place, 1280, 720), place);
        assert_eq!(within(place, 1280, 736), place);
        assert_eq!(within(place, 720, 720), Rect { x: 44, y: 20, width: 90, height: 90 });
        assert_eq!(within(place, 1600, 450), Rect { x: 10, y: 42, width: 160, height: 44 });
        assert_eq!(within(place, 1, 100_000).width, 2);
        assert_eq!(within(place, 0, 0).height, 90);
    }
}
