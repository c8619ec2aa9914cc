// SPDX-License-Identifier: EUPL-1.2
//! The chart beside the page: bars for each load and figure, and how delay rises with the load.

use std::fmt::Write;

use super::load::Run;
use super::outcome::{self, Measure};
use super::{Measured, RAMP};
use crate::bench::figures::{Figure, rounded};
use crate::bench::rounds::{Round, runs, values};
use crate::bench::server::Which;
use crate::bench::svg::{self, Group, Plot, Series};

/// One plot, and the room around it.
const WIDTH: f64 = 460.0;
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
    let servers = measured.servers();
    let series = servers.iter().map(|which| which.series());
    let mut svg = svg::begin(width, height, &super::title(&servers), LEFT, series);
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
        rise(&mut svg, plot(DRAWN.len()), &servers, seen);
    }
    svg.push_str("</svg>\n");
    svg
}

/// For each load, a bar for each server.
fn bars(svg: &mut String, plot: Plot, (name, unit, read): &Measure, measured: &Measured) {
    let groups = measured.loads.iter().filter(|(load, _)| load.title != RAMP.title).map(|(load, seen)| {
        let figure = |which: Which| (which.series(), Figure::of("", unit, &values(seen, which, *read), None));
        Group { label: load.short, figures: measured.servers().into_iter().map(figure).collect() }
    });
    plot.groups(svg, &format!("{name}, {unit}"), &groups.collect::<Vec<_>>());
}

/// For each round a line: packets a second to the right, the 99th percentile of the delay upwards.
fn rise(svg: &mut String, plot: Plot, servers: &[Which], seen: &[Round<Run>]) {
    plot.axes(svg, "delay p99 by packets a second, ms", &rounded(LATE_MS));
    let rates = servers.iter().flat_map(|which| runs(seen, *which)).flat_map(|run| &run.steps);
    let most = rates.map(|step| step.packets_per_second).fold(1.0, f64::max);
    for part in [0.0, 0.5, 1.0] {
        let thousands = format!("{:.0} thousand", part * most / 1e3);
        plot.below(svg, plot.x + part * plot.width, &thousands);
    }
    for which in servers {
        let Series { colour, dash, .. } = which.series();
        for run in runs(seen, *which) {
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
    use super::super::outcome::tests::{measured, round};
    use super::*;
    use crate::bench::svg::BAR;

    #[test]
    fn bars_are_as_high_as_their_medians_and_each_round_of_the_rise_has_a_line() {
        let svg = chart(&measured(vec![round(1_000.0), round(3_000.0), round(2_000.0)]));
        assert_eq!(svg.matches("<polyline").count(), 9, "three servers, three rounds");
        assert!(svg.contains(">Janus</text>") && !svg.contains("mediasoup"), "{svg}");
        // 2, 20 and 10 µs on an axis that ends a quarter above the largest of all, 30.
        let bar = |micros: f64| {
            let height = HEIGHT * micros / 37.5;
            format!("y=\"{:.1}\" width=\"{BAR}\" height=\"{height:.1}\"", TOP + HEIGHT - height)
        };
        assert!([2.0, 20.0, 10.0].into_iter().all(|micros| svg.contains(&bar(micros))), "{svg}");
        let x = |rate: f64| LEFT + WIDTH + GAP_X + rate / 60_000.0 * WIDTH;
        let y = TOP + 2.0 * (HEIGHT + GAP_Y) + HEIGHT * 0.9;
        assert!(svg.contains(&format!(" {:.1},{y:.1}\"", x(60_000.0))), "2 of 20 ms at the right end: {svg}");
    }
}
