// SPDX-License-Identifier: EUPL-1.2
//! The chart beside the page: a pair of bars for each load, the real path's and the bare one's.

use super::{Load, Measured, Values};
use crate::bench::figures::Figure;
use crate::bench::svg::{self, Group, Plot, Series};

/// One plot, and the room around it.
const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 140.0;
const GAP: f64 = 80.0;
const LEFT: f64 = 64.0;
const TOP: f64 = 64.0;
const BELOW: f64 = 30.0;

/// The real path and the bare one.
const SERIES: [Series; 2] = [Series::new("a shard", 0), Series::new("the bare path", 1)];

/// Values of one kind.
type Read = fn(&Values) -> &[f64];

/// A plot's heading, and what it has of each of [`SERIES`].
const DRAWN: [(&str, [Read; 2]); 2] = [
    ("processor time for a packet, ns", [|values| &values.nanos, |values| &values.bare_nanos]),
    ("packets a second on one core", [|values| &values.per_second, |values| &values.bare_per_second]),
];

/// The picture as SVG.
pub(super) fn chart(measured: &Measured) -> String {
    let (width, height) = (LEFT + DRAWN.len() as f64 * (WIDTH + GAP), TOP + HEIGHT + BELOW);
    let title = "What forwarding one packet costs";
    let mut svg = svg::begin(width, height, title, LEFT, SERIES);
    let labels: Vec<String> = measured.loads.keys().map(label).collect();
    for (number, (heading, reads)) in DRAWN.iter().enumerate() {
        let x = LEFT + number as f64 * (WIDTH + GAP);
        let groups = labels.iter().zip(measured.loads.values()).map(|(label, values)| {
            let figure = |(series, read): (Series, &Read)| (series, Figure::of("", "", read(values), None));
            Group { label, figures: SERIES.into_iter().zip(reads).map(figure).collect() }
        });
        let plot = Plot { x, y: TOP, width: WIDTH, height: HEIGHT };
        plot.groups(&mut svg, heading, &groups.collect::<Vec<_>>());
    }
    svg.push_str("</svg>\n");
    svg
}

fn label((subscribers, gso): &Load) -> String {
    format!("{subscribers}, {}", if *gso { "trains" } else { "single" })
}

#[cfg(test)]
mod tests {
    use super::super::FULL;
    use super::*;
    use crate::bench::svg::BAR;

    #[test]
    fn bars_are_as_high_as_their_medians() {
        let values = Values {
            nanos: vec![2_000.0, 1_000.0, 3_000.0],
            bare_nanos: vec![1_000.0],
            per_second: vec![500_000.0],
            bare_per_second: vec![1_000_000.0],
            ..Values::default()
        };
        let svg = chart(&Measured { extent: FULL, loads: [((50, true), values)].into() });
        // On axes that end a quarter above the highest: 3,000 ns, 1,000,000 a second.
        for share in [2_000.0 / 3_750.0, 1_000.0 / 3_750.0, 0.4, 0.8] {
            let height = HEIGHT * share;
            let bar = format!("y=\"{:.1}\" width=\"{BAR}\" height=\"{height:.1}\"", TOP + HEIGHT - height);
            assert!(svg.contains(&bar), "{bar} in {svg}");
        }
        assert!(svg.contains(">50, trains<") && svg.contains(">the bare path<"), "{svg}");
    }
}
