// SPDX-License-Identifier: EUPL-1.2
//! How well a film shows what stands still: the test card in the first tile, against the card itself, by structural similarity.

use std::path::Path;
use std::process::Command;

use parvis_media::compose::layout::{Arrangement, Cell, Rect, cells};

use crate::Fallible;
use crate::input;

/// Where so many people are seen in a film of ours without anything above the tiles.
pub(crate) fn tiles(people: u32, (width, height): (u32, u32)) -> Fallible<Vec<Cell>> {
    let whole = Rect { x: 0, y: 0, width, height };
    Ok(cells(Arrangement::Grid, whole, usize::try_from(people)?))
}

/// The similarity, 1 for the same. The card's upper half is looked at, as names stand on the lower one.
pub(crate) fn ssim(film: &Path, tile: Rect, (width, height): (u32, u32)) -> Fallible<f64> {
    let part = |x: u32, y: u32| format!("crop={}:{}:{x}:{y}", tile.width / 2 - 8, tile.height / 2);
    let source = input::call(width, height);
    let filter = format!(
        "[0:v]{}[seen];[1:v]scale={}:{}:flags=bicubic,{}[sent];[seen][sent]ssim",
        part(tile.x, tile.y),
        tile.width,
        tile.height,
        part(0, 0)
    );
    let mut command = Command::new("ffmpeg");
    // Both begin somewhere, and what stands still is the same all the time.
    command.args(["-v", "info", "-i"]).arg(film).args(["-f", "lavfi", "-t", "10", "-i", &source]);
    let output = command.args(["-lavfi", &filter, "-f", "null", "-"]).output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    let all = told.rsplit_once("All:").and_then(|(_, rest)| rest.split_whitespace().next()?.parse().ok());
    all.ok_or_else(|| format!("ffmpeg can't compare {}: {told}", film.display()).into())
}
