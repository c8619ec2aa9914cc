// SPDX-License-Identifier: EUPL-1.2
//! The chart of the measurement: live composing, by a worker and by a browser.

use super::{Composer, Measured};
use crate::bench::figures::Figure;
use crate::bench::svg::{self, Group, Plot, Series};

const PARVIS: Series = Series::new("Parvis", 0);
const BROWSER: Series = Series::new("a browser", 1);
const WIDTH: f64 = 620.0;
const HEIGHT: f64 = 230.0;

/// Processor time on the left, memory on the right.
pub(super) fn chart(measured: &Measured) -> String {
    let title = "Cores and memory that a live film of four people takes";
    let mut svg = svg::begin(WIDTH, HEIGHT, title, 60.0, [PARVIS, BROWSER]);
    let of = |values: fn(&super::Live) -> &Vec<f64>, unit| {
        let figure = |composer| Figure::of("", unit, measured.live.get(&composer).map(values)?, None);
        vec![(PARVIS, figure(Composer::Parvis)), (BROWSER, figure(Composer::Browser))]
    };
    for (x, name, figures) in
        [(60.0, "cores", of(|live| &live.cores, "cores")), (370.0, "MiB", of(|live| &live.mib, "MiB"))]
    {
        let plot = Plot { x, y: 60.0, width: 200.0, height: 130.0 };
        plot.groups(&mut svg, name, &[Group { label: "4 × 360p to 720p", figures }]);
    }
    svg + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::super::Live;
    use super::*;

    #[test]
    fn both_have_a_bar_in_each_plot() {
        let live = |cores| Live { cores: vec![cores], mib: vec![cores * 100.0], ssim: vec![1.0] };
        let live = [(Composer::Parvis, live(0.5)), (Composer::Browser, live(1.0))].into();
        let drawn = chart(&Measured { live, ..Measured::default() });
        assert_eq!(drawn.matches(&format!("width=\"{}\"", svg::BAR)).count(), 4, "{drawn}");
        for number in [">0.5<", ">1<", ">50<", ">100<"] {
            assert!(drawn.contains(number), "{number} in {drawn}");
        }
    }
}
