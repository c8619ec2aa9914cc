// SPDX-License-Identifier: EUPL-1.2
//! The chart beside the page: a small picture for each link and each figure, loss to the right.

use std::fmt::Write;

use super::super::rounds::BOTH;
use super::super::server::Which;
use super::super::svg::{self, Plot, Series};
use super::point::Quality;
use super::{LOSS, Pair, RATE_KBPS, ROUND_TRIP_MS};

/// One small picture's plot, and the room around it.
const WIDTH: f64 = 190.0;
const HEIGHT: f64 = 110.0;
const GAP_X: f64 = 40.0;
const GAP_Y: f64 = 46.0;
const LEFT: f64 = 50.0;
const TOP: f64 = 70.0;

/// A figure, its unit, the top of its axis, and where to read it.
type Measure = (&'static str, f64, fn(&Quality) -> f64);
const MEASURES: [Measure; 4] = [
    ("frames per second", 30.0, |quality| quality.fps),
    ("time frozen, %", 50.0, |quality| 100.0 * quality.frozen),
    ("sound made up, %", 30.0, |quality| 100.0 * quality.concealed),
    ("lines of picture", 720.0, |quality| quality.height),
];

/// The picture as SVG.
pub(super) fn chart(pairs: &[Pair]) -> String {
    let links: Vec<(u32, u32)> =
        RATE_KBPS.iter().flat_map(|rate| ROUND_TRIP_MS.map(|round_trip| (*rate, round_trip))).collect();
    let width = LEFT + MEASURES.len() as f64 * (WIDTH + GAP_X);
    let height = TOP + links.len() as f64 * (HEIGHT + GAP_Y);
    let title = "Quality under loss: Parvis and LiveKit on each link";
    let mut svg = svg::begin(width, height, title, LEFT, BOTH.map(Which::series));
    for (row, (rate, round_trip)) in links.iter().enumerate() {
        let of = |pair: &&Pair| pair.link.rate_kbps == *rate && pair.link.round_trip_ms == *round_trip;
        let points: Vec<&Pair> = pairs.iter().filter(of).collect();
        let y = TOP + row as f64 * (HEIGHT + GAP_Y);
        let _ = writeln!(
            svg,
            "<text x=\"{LEFT}\" y=\"{}\" font-weight=\"bold\">{rate} kbit/s, round trip {round_trip} ms</text>",
            y - 20.0
        );
        for (column, measure) in MEASURES.iter().enumerate() {
            plot(&mut svg, LEFT + column as f64 * (WIDTH + GAP_X), y, measure, &points);
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn plot(svg: &mut String, x: f64, y: f64, (name, top, of): &Measure, points: &[&Pair]) {
    let worst = LOSS[LOSS.len() - 1];
    let frame = Plot { x, y, width: WIDTH, height: HEIGHT };
    let place = |loss: f64, value: f64| (x + loss / worst * WIDTH, frame.at(value / top));
    frame.axes(svg, name, &top.to_string());
    for loss in LOSS {
        let (at, _) = place(loss, 0.0);
        // Zero and one in a hundred stand too close for two numbers.
        if loss != 0.01 {
            frame.below(svg, at, &format!("{:.0} %", 100.0 * loss));
        }
    }
    for (server, Series { colour, dash, .. }) in BOTH.map(Which::series).into_iter().enumerate() {
        let quality = |pair: &Pair| if server == 0 { of(&pair.parvis) } else { of(&pair.livekit) };
        let path: Vec<String> = points
            .iter()
            .map(|pair| {
                let (x, y) = place(pair.link.loss, quality(pair));
                format!("{x:.1},{y:.1}")
            })
            .collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dash}\"/>",
            path.join(" ")
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::point::Link;
    use super::*;

    #[test]
    fn each_link_has_a_line_for_each_server_and_figure() {
        let pair = |loss| Pair {
            link: Link { loss, round_trip_ms: 20, rate_kbps: 1_000 },
            parvis: Quality { fps: 30.0, ..Quality::default() },
            livekit: Quality { fps: 15.0, ..Quality::default() },
        };
        let svg = chart(&[pair(0.0), pair(0.3)]);
        assert_eq!(svg.matches("<polyline").count(), 6 * MEASURES.len() * 2);
        // The third link, the first figure: Parvis at the top of its axis, LiveKit in its middle.
        let top = TOP + 2.0 * (HEIGHT + GAP_Y);
        let line = |at: f64| format!("points=\"{LEFT:.1},{at:.1} {:.1},{at:.1}\"", LEFT + WIDTH);
        assert!(svg.contains(&line(top)) && svg.contains(&line(top + HEIGHT / 2.0)), "{svg}");
    }
}
