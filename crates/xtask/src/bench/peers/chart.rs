// SPDX-License-Identifier: EUPL-1.2
//! The chart beside the page: a pair of bars for each load and figure, and how delay rises with the load.

use std::fmt::Write;

use super::load::Run;
use super::outcome::{self, Measure};
use super::{Measured, RAMP};
use crate::bench::figures::{Figure, rounded};
use crate::bench::rounds::{BOTH, Seen, runs, values};
use crate::bench::svg::{self, COLOURS, Pair, Plot, SERVERS};

/// One plot, and the room around it.
const WIDTH: f64 = 330.0;
const HEIGHT: f64 = 130.0;
const GAP_X: f64 = 80.0;
const GAP_Y: f64 = 56.0;
const LEFT: f64 = 64.0;
const TOP: f64 = 64.0;
/// Of the measures, those that are drawn.
const DRAWN: [&str; 5] = [
    "processor time for a packet",
    "memory for a stream received",
    "memory for a participant",
    "delay p99",
    "joined, median",
];
/// The top of the delay's axis: where trouble begins.
const LATE_MS: f64 = 20.0;

/// The picture as SVG.
pub(super) fn chart(measured: &Measured) -> String {
    let size = |count: usize, length: f64, gap: f64| count as f64 * (length + gap);
    let (width, height) = (LEFT + size(2, WIDTH, GAP_X), TOP + size(DRAWN.len() / 2 + 1, HEIGHT, GAP_Y));
    let mut svg = svg::begin(width, height, "What forwarding costs: Parvis and LiveKit", LEFT, SERVERS);
    let plot = |number: usize| Plot {
        x: LEFT + size(number % 2, WIDTH, GAP_X),
        y: TOP + size(number / 2, HEIGHT, GAP_Y),
        width: WIDTH,
        height: HEIGHT,
    };
    let drawn = outcome::MEASURES.iter().filter(|(name, ..)| DRAWN.contains(name));
    for (number, measure) in drawn.enumerate() {
        bars(&mut svg, plot(number), measure, measured);
    }
    if let Some((_, seen)) = measured.loads.iter().find(|(load, _)| load.title == RAMP.title) {
        rise(&mut svg, plot(DRAWN.len()), seen);
    }
    svg.push_str("</svg>\n");
    svg
}

/// For each load, a bar for each server.
fn bars(svg: &mut String, plot: Plot, (name, unit, read): &Measure, measured: &Measured) {
    let pairs = measured.loads.iter().filter(|(load, _)| load.title != RAMP.title).map(|(load, seen)| Pair {
        label: load.short,
        figures: BOTH.map(|which| Figure::of("", unit, &values(seen, which, *read), None)),
    });
    plot.pairs(svg, &format!("{name}, {unit}"), &pairs.collect::<Vec<_>>());
}

/// For each round a line: packets a second to the right, the 99th percentile of the delay upwards.
fn rise(svg: &mut String, plot: Plot, seen: &[[Seen<Run>; 2]]) {
    plot.axes(svg, "delay p99 by packets a second, ms", &rounded(LATE_MS));
    let rates = BOTH.into_iter().flat_map(|which| runs(seen, which)).flat_map(|run| &run.steps);
    let most = rates.map(|step| step.packets_per_second).fold(1.0, f64::max);
    for part in [0.0, 0.5, 1.0] {
        let thousands = format!("{:.0} thousand", part * most / 1e3);
        plot.below(svg, plot.x + part * plot.width, &thousands);
    }
    for (place, which) in BOTH.into_iter().enumerate() {
        let (colour, dash) = COLOURS[place];
        for run in runs(seen, which) {
            let points: Vec<String> = run
                .steps
                .iter()
                .map(|step| {
                    let x = plot.x + step.packets_per_second / most * plot.width;
                    format!("{x:.1},{:.1}", plot.at(step.p99_ms / LATE_MS))
                })
                .collect();
            let _ = writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" stroke-dasharray=\"{dash}\"/>",
                points.join(" ")
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::LOADS;
    use super::super::outcome::tests::round;
    use super::*;
    use crate::bench::svg::BAR;

    #[test]
    fn bars_are_as_high_as_their_medians_and_each_round_of_the_rise_has_a_line() {
        let seen = vec![round(1_000.0), round(3_000.0), round(2_000.0)];
        let loads = vec![(&LOADS[0], seen.clone()), (&RAMP, seen)];
        let svg = chart(&Measured { rounds: 3, loads, versions: [].into() });
        assert_eq!(svg.matches("<polyline").count(), 6);
        // 2 and 20 µs on an axis that ends a quarter above the largest of all, 30.
        let bar = |micros: f64| {
            let height = HEIGHT * micros / 37.5;
            format!("y=\"{:.1}\" width=\"{BAR}\" height=\"{height:.1}\"", TOP + HEIGHT - height)
        };
        assert!(svg.contains(&bar(2.0)) && svg.contains(&bar(20.0)), "{svg}");
        let x = |rate: f64| LEFT + WIDTH + GAP_X + rate / 60_000.0 * WIDTH;
        let y = TOP + 2.0 * (HEIGHT + GAP_Y) + HEIGHT * 0.9;
        assert!(svg.contains(&format!(" {:.1},{y:.1}\"", x(60_000.0))), "2 of 20 ms at the right end: {svg}");
    }
}
