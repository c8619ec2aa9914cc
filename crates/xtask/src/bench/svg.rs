// SPDX-License-Identifier: EUPL-1.2
//! What all charts have in common: a white picture, colours for what is compared, and axes.

use std::fmt::Write;

use super::figures::{Figure, rounded};

/// One of those that are compared: its name, its colour, and its dashes, so that lines stay apart without colour as well.
#[derive(Debug, Clone, Copy)]
pub(super) struct Series {
    pub(super) name: &'static str,
    pub(super) colour: &'static str,
    pub(super) dash: &'static str,
}

impl Series {
    /// One that has this of the [`STYLES`], in whatever place of a chart it is.
    pub(super) const fn new(name: &'static str, style: usize) -> Series {
        let (colour, dash) = STYLES[style];
        Series { name, colour, dash }
    }
}

/// Colours and dashes.
const STYLES: [(&str, &str); 4] =
    [("#0b5fa5", ""), ("#c4501b", "5 3"), ("#3b7a2a", "2 3"), ("#7a4fa3", "8 3 2 3")];

/// A bar's width.
pub(super) const BAR: f64 = 24.0;
/// An axis ends so much above its highest bar.
const HEADROOM: f64 = 1.25;

/// The beginning of a picture, and which line is whose.
pub(super) fn begin(
    width: f64,
    height: f64,
    title: &str,
    left: f64,
    series: impl IntoIterator<Item = Series>,
) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\" role=\"img\">\n\
         <title>{title}</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (number, Series { name, colour, dash }) in series.into_iter().enumerate() {
        let x = left + number as f64 * 110.0;
        let _ = writeln!(
            svg,
            "<path d=\"M{x} 20h30\" stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dash}\"/><text x=\"{}\" y=\"24\">{name}</text>",
            x + 36.0
        );
    }
    svg
}

/// The figures of one kind of all that are compared, where they have them.
pub(super) struct Group<'a> {
    pub(super) label: &'a str,
    pub(super) figures: Vec<(Series, Option<Figure>)>,
}

/// A plot's place: its upper left corner and its size.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plot {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Plot {
    /// A heading, both axes, and the numbers at the upright one's ends.
    pub(super) fn axes(&self, svg: &mut String, name: &str, top: &str) {
        let Plot { x, y, width, height } = *self;
        let _ = writeln!(
            svg,
            "<text x=\"{x}\" y=\"{}\" fill=\"#444\">{name}</text><path d=\"M{x} {y}v{height}h{width}\" fill=\"none\" stroke=\"#999\"/>",
            y - 6.0
        );
        for (value, at) in [(top, y + 4.0), ("0", y + height)] {
            let _ = writeln!(
                svg,
                "<text x=\"{}\" y=\"{at}\" text-anchor=\"end\" fill=\"#444\">{value}</text>",
                x - 4.0
            );
        }
    }

    /// Text below the lower axis, in the middle of `at`.
    pub(super) fn below(&self, svg: &mut String, at: f64, text: &str) {
        let y = self.y + self.height + 13.0;
        let _ =
            writeln!(svg, "<text x=\"{at:.1}\" y=\"{y}\" text-anchor=\"middle\" fill=\"#444\">{text}</text>");
    }

    /// How high a share of the upright axis is.
    pub(super) fn at(&self, share: f64) -> f64 {
        self.y + self.height * (1.0 - share.clamp(0.0, 1.0))
    }

    /// For each group, a bar for each of its figures as high as the median, and a line from the least to the most.
    pub(super) fn groups(&self, svg: &mut String, name: &str, groups: &[Group<'_>]) {
        let all =
            groups.iter().flat_map(|group| group.figures.iter().filter_map(|(_, figure)| figure.as_ref()));
        // A number stands above the highest.
        let top = all.map(|figure| figure.max).fold(f64::MIN_POSITIVE, f64::max) * HEADROOM;
        self.axes(svg, name, &rounded(top));
        let slot = self.width / groups.len().max(1) as f64;
        for (number, group) in groups.iter().enumerate() {
            let middle = self.x + (number as f64 + 0.5) * slot;
            self.below(svg, middle, group.label);
            let bars = group.figures.len() as f64;
            // Numbers above many bars are smaller, or they would run into each other.
            let size = if bars > 2.0 { 9 } else { 11 };
            for (place, (series, figure)) in group.figures.iter().enumerate() {
                let Some(figure) = figure else { continue };
                let x = middle + (place as f64 - bars / 2.0) * (BAR + 2.0);
                let [median, least, most] =
                    [figure.median, figure.min, figure.max].map(|value| self.at(value / top));
                let centre = x + BAR / 2.0;
                let _ = writeln!(
                    svg,
                    "<rect x=\"{x:.1}\" y=\"{median:.1}\" width=\"{BAR}\" height=\"{:.1}\" fill=\"{}\"/>\
                     <path d=\"M{centre:.1} {least:.1}V{most:.1}\" stroke=\"#222\"/>\
                     <text x=\"{centre:.1}\" y=\"{:.1}\" text-anchor=\"middle\" font-size=\"{size}\">{}</text>",
                    self.y + self.height - median,
                    series.colour,
                    most - 3.0,
                    rounded(figure.median)
                );
            }
        }
    }
}
