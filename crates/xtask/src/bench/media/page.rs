// SPDX-License-Identifier: EUPL-1.2
//! The page that the measurement leaves.

use super::{Extent, Measured};
use crate::bench::figures::{self, Figure};
use crate::sh::process;

/// The whole page. Written by the command: what it says about itself belongs here and not there.
pub(super) fn page(extent: &Extent, measured: &Measured, figures: &[Figure]) -> String {
    let first_line = |program: &str, argument: &str| {
        let told = process(program, [argument]).output().unwrap_or_default();
        told.lines().next().unwrap_or_default().to_owned()
    };
    format!(
        "# What recording costs

Written by `cargo xtask bench media`. {}; {}; parvis {}. Compared with {} and {}.

A real worker is started as the server starts it, confined, and gets real media over its trunk (RTP under SRTP, loopback), in real
time; what it takes is its own processor time and its peak of memory, as Linux counts them. {} rounds; a figure is the median, with
the least and the most.

* **Capture**: one person, VP8 in 720p at 30 pictures a second and 1,500 kbit/s, and Opus, into files sealed by age, for {} s.
* **Composed live**: four people in 360p, of which the left half stands still, into H.264 in 720p at 30 pictures a second and
  2,500 kbit/s, and AAC, as a transport stream. In turn with it a Chromium shows the same four as files on a page, tile for tile,
  on an Xvfb, and FFmpeg records the screen (x11grab; x264 at the same preset and rate). The browser gets away lightly: it has no
  call to hold, and its film no sound. Memory is that of all processes of either, with each shared page counted once (PSS). The worker left
  out {} of {} pictures.
* **Likeness**: the structural similarity of the test card in the first tile to the card that was sent, scaled to the tile.
* **Composed afterwards**: the same four people, by x264 at `veryfast` with the picture’s other settings as for films.
* **Apart**: from a flash to its click, the farthest of {} pairs over {} s, while 5 % of the packets are lost on the way (and come
  again 60 ms later, if they are not lost again) and both clocks run 50 ppm apart from the server’s.
* **Kills**: {} workers are killed at random moments; what was sent and is not in the files that open. The median kill lost {} ms.

{}
![What a live film takes, by a worker and by a browser](media.svg)

What is in the way of figures that were not reached stands in [the list of all measurements](README.md). Not measured by this
command: how many meetings are captured at one time while they are forwarded, and encoders of GPUs, of which none was at hand
([hardware.md](../hardware.md)).
",
        figures::date(),
        figures::machine_line(),
        figures::version(),
        first_line("chromium", "--version"),
        first_line("ffmpeg", "-version"),
        extent.rounds,
        extent.seconds,
        measured.dropped.0,
        measured.dropped.1,
        measured.skews[0].len(),
        extent.clapper_seconds,
        measured.lost.len(),
        Figure::of("", "ms", &measured.lost, None)
            .map_or_else(String::new, |figure| figures::rounded(figure.median)),
        figures::table(figures),
    )
}

#[cfg(test)]
mod tests {
    use super::super::FULL;
    use super::*;

    #[test]
    fn a_page_says_how_often_and_how_long_it_was_measured() {
        let figure = Figure::of("a figure", "ms", &[3.0, 1.0, 2.0], None).unwrap();
        let measured = Measured { lost: vec![1.0, 5.0, 9.0], dropped: (3, 900), ..Measured::default() };
        let page = page(&FULL, &measured, &[figure]);
        for part in [
            "5 rounds; a figure",
            "3 of 900 pictures",
            "3 workers are killed",
            "The median kill lost 5 ms",
            "| a figure | ms | 2 | 1 | 3 | 3 |",
            "(media.svg)",
        ] {
            assert!(page.contains(part), "{part} in {page}");
        }
    }
}
