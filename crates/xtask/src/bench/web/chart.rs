// SPDX-License-Identifier: EUPL-1.2
//! The chart of the measurement: what a page holds while people come and go.

use std::fmt::Write;

use super::{Churn, Read};
use crate::bench::figures::rounded;
use crate::bench::svg::{self, Plot, Series};

const NODES: Series = Series::new("DOM nodes", 0);
const HEAP: Series = Series::new("heap", 1);
const WIDTH: f64 = 620.0;
const HEIGHT: f64 = 230.0;
/// An axis ends so much above its highest point.
const HEADROOM: f64 = 1.25;

/// DOM nodes on the left, heap on the right, over the minutes.
pub(super) fn chart(churn: &Churn) -> String {
    let title = "DOM nodes and heap of a page while people come and go";
    let mut svg = svg::begin(WIDTH, HEIGHT, title, 60.0, [NODES, HEAP]);
    let plots: [(f64, &str, Series, Read); 2] = [
        (60.0, "DOM nodes", NODES, |sample| sample.nodes),
        (370.0, "heap, MiB", HEAP, |sample| sample.heap_mib),
    ];
    for (x, name, series, read) in plots {
        let plot = Plot { x, y: 60.0, width: 200.0, height: 130.0 };
        line(&mut svg, plot, name, series, churn, read);
    }
    svg + "</svg>\n"
}

fn line(svg: &mut String, plot: Plot, name: &str, series: Series, churn: &Churn, read: Read) {
    let top = churn.samples.iter().map(read).fold(f64::MIN_POSITIVE, f64::max) * HEADROOM;
    let end = churn.samples.last().map_or(0.0, |sample| sample.seconds).max(1.0);
    plot.axes(svg, name, &rounded(top));
    for share in [0.0, 0.5, 1.0] {
        let minutes = format!("{} min", rounded(share * end / 60.0));
        plot.below(svg, plot.x + share * plot.width, &minutes);
    }
    let points: Vec<String> = churn
        .samples
        .iter()
        .map(|sample| {
            let x = plot.x + plot.width * sample.seconds / end;
            format!("{x:.1},{:.1}", plot.at(read(sample) / top))
        })
        .collect();
    let _ = writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\" stroke-dasharray=\"{}\"/>",
        points.join(" "),
        series.colour,
        series.dash
    );
}

#[cfg(test)]
mod tests {
    use super::super::tests::seen;
    use super::*;

    #[test]
    fn both_lines_go_from_one_side_to_the_other() {
        let drawn = chart(&seen(0.5).churn);
        let lines: Vec<&str> = drawn.lines().filter(|line| line.starts_with("<polyline")).collect();
        assert_eq!(lines.len(), 2, "{drawn}");
        for (line, first, last) in [(lines[0], "60.0,", " 260.0,"), (lines[1], "370.0,", " 570.0,")] {
            assert!(line.contains(&format!("points=\"{first}")) && line.contains(last), "{line}");
        }
        // Twenty-five at the end, the axis a quarter higher.
        assert!(drawn.contains(">31.3<") || drawn.contains(">31.2<"), "{drawn}");
        assert!(drawn.contains(">10 min<"), "{drawn}");
    }

    #[test]
    fn nothing_measured_is_an_empty_plot() {
        assert!(chart(&Churn::default()).ends_with("</svg>\n"));
    }
}
