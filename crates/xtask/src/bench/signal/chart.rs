// SPDX-License-Identifier: EUPL-1.2
//! The chart beside the page: pairs of bars.

use super::Measured;
use super::load::Run;
use super::outcome::{JOINS, MEMORY};
use crate::bench::figures::Figure;
use crate::bench::rounds::{BOTH, Read, values};
use crate::bench::server::Which;
use crate::bench::svg::{self, Group, Plot};

/// One plot, and the room around it.
const WIDTH: f64 = 330.0;
const HEIGHT: f64 = 130.0;
const GAP_X: f64 = 80.0;
const GAP_Y: f64 = 56.0;
const LEFT: f64 = 64.0;
const TOP: f64 = 64.0;

/// A plot's heading, and for each pair of bars its name and where it is read.
type Drawn = (&'static str, &'static [(&'static str, Read<Run>)]);

const DRAWN: [Drawn; 4] = [
    ("joins for a second of processor time", &[("1,000 in 100 rooms", JOINS)]),
    ("memory for an idle participant, KiB", &[("1,000 in 100 rooms", MEMORY)]),
    (
        "one joins among 1,000: connected after, ms",
        &[
            ("p50", |run| Some(run.changing.connected.p50)),
            ("p95", |run| Some(run.changing.connected.p95)),
            ("p99", |run| Some(run.changing.connected.p99)),
        ],
    ),
    (
        "requests for a second of processor time",
        &[
            ("ListRooms", |run| Some(run.calls[0].work.per_cpu_second)),
            ("ListParticipants", |run| Some(run.calls[1].work.per_cpu_second)),
            ("UpdateParticipant", |run| Some(run.calls[2].work.per_cpu_second)),
        ],
    ),
];

/// The picture as SVG.
pub(super) fn chart(measured: &Measured) -> String {
    let size = |count: usize, length: f64, gap: f64| count as f64 * (length + gap);
    let (width, height) = (LEFT + size(2, WIDTH, GAP_X), TOP + size(DRAWN.len().div_ceil(2), HEIGHT, GAP_Y));
    let title = "What signalling costs: Parvis and LiveKit";
    let mut svg = svg::begin(width, height, title, LEFT, BOTH.map(Which::series));
    for (number, (heading, pairs)) in DRAWN.iter().enumerate() {
        let plot = Plot {
            x: LEFT + size(number % 2, WIDTH, GAP_X),
            y: TOP + size(number / 2, HEIGHT, GAP_Y),
            width: WIDTH,
            height: HEIGHT,
        };
        let groups = pairs.iter().map(|(label, read)| {
            let figure = |which: Which| {
                (which.series(), Figure::of("", "", &values(&measured.seen, which, *read), None))
            };
            Group { label, figures: BOTH.map(figure).to_vec() }
        });
        plot.groups(&mut svg, heading, &groups.collect::<Vec<_>>());
    }
    svg.push_str("</svg>\n");
    svg
}

#[cfg(test)]
mod tests {
    use super::super::outcome::tests::round;
    use super::*;
    use crate::bench::svg::BAR;

    #[test]
    fn bars_are_as_high_as_their_medians() {
        let measured = Measured {
            arguments: String::new(),
            seen: vec![round(100.0), round(300.0), round(200.0)],
            versions: [].into(),
        };
        let svg = chart(&measured);
        // 600 and 200 joins on an axis that ends a quarter above the most of all, 900.
        for joins in [600.0, 200.0] {
            let height = HEIGHT * joins / 1_125.0;
            let bar = format!("y=\"{:.1}\" width=\"{BAR}\" height=\"{height:.1}\"", TOP + HEIGHT - height);
            assert!(svg.contains(&bar), "{bar}\n{svg}");
        }
        assert_eq!(svg.matches("<rect x=").count(), 2 * (1 + 1 + 3 + 3));
    }
}
