// SPDX-License-Identifier: EUPL-1.2
//! What all charts have in common: a white picture, the two servers' colours, and axes.

use std::fmt::Write;

/// A server's name, its colour, and its dashes: lines stay apart without colour as well.
pub(super) const SERVERS: [(&str, &str, &str); 2] =
    [("Parvis", "#0b5fa5", ""), ("LiveKit", "#c4501b", "5 3")];

/// The beginning of a picture, and which line is whose.
pub(super) fn begin(width: f64, height: f64, title: &str, left: f64) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\" role=\"img\">\n\
         <title>{title}</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (number, (name, colour, dash)) in SERVERS.iter().enumerate() {
        let x = left + number as f64 * 110.0;
        let _ = writeln!(
            svg,
            "<path d=\"M{x} 20h30\" stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dash}\"/><text x=\"{}\" y=\"24\">{name}</text>",
            x + 36.0
        );
    }
    svg
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
}
