// SPDX-License-Identifier: EUPL-1.2
//! The page that the measurement leaves.

use super::meetings::{self, Step};
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

* **Meetings at once**: `parvis`, as it comes but for recording every room, and `parvis-load` as {} people in each room, all on this
  machine’s cores: no core is kept for either, so that the load generator takes away what the server and its workers could have had.
  Each person publishes VP8 at {} kbit/s and Opus, of whom one speaks, and receives all others. A number of meetings counts if no packet is
  missing at any person and in any capture, no frame is left out, and every file verifies with the key; the step at which that fails is
  the last. A step is measured for {} s.

{}
{}
![What a live film takes, by a worker and by a browser](media.svg)

What is in the way of figures that were not reached stands in [the list of all measurements](README.md). Not measured by this
command: encoders of GPUs, of which none was at hand ([hardware.md](../hardware.md)).
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
        meetings::PEOPLE,
        meetings::VIDEO_KBITS,
        extent.meeting_seconds,
        steps(&measured.meetings),
        figures::table(figures),
    )
}

/// What each number of meetings took: in every round a line.
fn steps(rounds: &[Vec<Step>]) -> String {
    let mut table = "| round | meetings | server, cores | all workers, cores | load generator, cores | p99, ms | |\n| --- | --- | --- | --- | --- | --- | --- |\n".to_owned();
    for (round, steps) in rounds.iter().enumerate() {
        for step in steps {
            let cores = [step.server, step.workers, step.load].map(|cores| format!("{cores:.2}")).join(" | ");
            let outcome = step.complete().err().unwrap_or_else(|| "all whole".to_owned());
            table += &format!(
                "| {} | {} | {cores} | {:.1} | {outcome} |\n",
                round + 1,
                step.meetings,
                step.p99_ms
            );
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::super::FULL;
    use super::*;

    #[test]
    fn a_page_says_how_often_and_how_long_it_was_measured() {
        let figure = Figure::of("a figure", "ms", &[3.0, 1.0, 2.0], None).unwrap();
        let good = meetings::tests::good;
        let round = vec![good(10), Step { lost: 7, ..good(20) }];
        let measured = Measured {
            lost: vec![1.0, 5.0, 9.0],
            dropped: (3, 900),
            meetings: vec![round],
            ..Measured::default()
        };
        let page = page(&FULL, &measured, &[figure]);
        for part in [
            "5 rounds; a figure",
            "3 of 900 pictures",
            "3 workers are killed",
            "The median kill lost 5 ms",
            "| a figure | ms | 2 | 1 | 3 | 3 |",
            "(media.svg)",
            "| 1 | 10 | 0.50 | 0.25 | 1.00 | 3.0 | all whole |",
            "| 1 | 20 | 0.50 | 0.25 | 1.00 | 3.0 | 7 packets did not reach captures |",
        ] {
            assert!(page.contains(part), "{part} in {page}");
        }
    }
}
