// SPDX-License-Identifier: EUPL-1.2
//! The page that the measurement leaves.

use super::Measured;
use crate::bench::figures::{self, Figure};

/// The whole page. Written by the command: what it says about itself belongs here and not there.
pub(super) fn page(measured: &Measured, figures: &[Figure]) -> String {
    let extent = &measured.extent;
    let crowds: Vec<String> = extent.subscribers.iter().map(ToString::to_string).collect();
    format!(
        "# What forwarding one packet costs

Written by `cargo xtask bench forward`. {}; {}; parvis {}.

A publisher sends frames of eight packets of some 1,100 bytes, 30 frames a second, to {} subscribers over the loopback
device, with transport feedback, pacing, SRTP (AES-128-GCM) and everything else that a meeting has. The thread of the shard is
measured by its own processor time; the rate that a core would carry is that time’s inverse. In turn with it runs the bare
path: a loop that receives, decrypts, rewrites, encrypts and sends, and does nothing else. Trains are UDP GSO.

{} rounds, in each of which bare and real path take turns for {} s each, the real one after {} s in which the estimates
rise. A figure is the median of the rounds, with the least and the most of them. The share of the bare path is that of one
round’s two turns.

What the kernel does on the loopback device to deliver a datagram counts for its sender, in both. User space is told apart by
the kernel’s ticks: a thread that works for a few percent of the time sees few of them, so that this figure wavers more than
the others.

{}
![Processor time for a packet, and packets a second, of a shard and of the bare path](forward.svg)

What is in the way of figures that were not reached stands in [the list of all measurements](README.md). Under callgrind, where
caches count for nothing, `cargo xtask bench instructions` counts what a forwarded packet costs; the tests hold it
(`benches/forward/instructions.json`).
",
        figures::date(),
        figures::machine_line(),
        figures::version(),
        crowds.join(" or "),
        extent.rounds,
        extent.seconds,
        extent.warm_up,
        figures::table(figures),
    )
}

#[cfg(test)]
mod tests {
    use super::super::FULL;
    use super::*;

    #[test]
    fn a_page_says_how_often_and_how_long_it_was_measured() {
        let figure = Figure::of("a load: its figure", "ns", &[3.0, 1.0, 2.0], None).unwrap();
        let page = page(&Measured { extent: FULL, loads: [].into() }, &[figure]);
        for part in [
            "to 50 or 200 subscribers",
            "5 rounds, in each of which",
            "take turns for 8 s each, the real one after 12 s",
            "| a load: its figure | ns | 2 | 1 | 3 | 3 |",
            "(forward.svg)",
        ] {
            assert!(page.contains(part), "{part} in {page}");
        }
    }
}
