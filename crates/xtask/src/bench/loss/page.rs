// SPDX-License-Identifier: EUPL-1.2
//! The page that the measurement leaves.

use std::fmt::Write;

use super::super::figures::{self, Figure};
use super::point::{Halving, Quality};
use super::{HALVES_AT, HALVING_KBPS, Measured, Pair, RATE_KBPS, RECOVERS_AT, ROUND_TRIP_MS};

/// The whole page. Written by the command: what it says about itself belongs here and not there.
pub(super) fn page(measured: &Measured, figures: &[Figure]) -> String {
    let date = figures::date();
    let versions: Vec<String> =
        measured.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    let targets: Vec<Figure> = figures.iter().filter(|figure| figure.target.is_some()).cloned().collect();
    let Measured { settle, measure, .. } = measured;
    let mut page = format!(
        "# Quality under loss

Written by `cargo xtask bench loss`. {date}; {}; {}.

A publisher in Chromium sends 1280 × 720 VP8 in three simulcast layers of 30 frames a second each (180 lines at 160 kbit/s,
360 at 450, 720 at 1,700), and Opus, from beside the server. The receiver is the published Python SDK, on libwebrtc, behind a link: a router of ours between two network namespaces
gives it loss, delay and rate, the same in both directions, for signalling, media and feedback alike, with a queue of
300 ms. A fresh receiver joins for each point; {settle} s after its first picture, {measure} s are measured by its own
statistics. Both servers run all the time, each with its own publisher, of which only the measured one sends; which of
them comes first changes from point to point. LiveKit runs with its own defaults.

“Worse” means: 1.5 frames a second fewer, two points in a hundred more time frozen or more sound made up, or fewer lines
of picture where the other's larger one moves as well. These are single runs, and two runs of one server differ by as much. A point with † was limited by the
machine: less than 5 % of the processors idle, fewer than 28.5 pictures a second drawn by the publisher, or one packet
in twenty delivered a millisecond late; such points tell little about either server.

{}
![Frames per second, time frozen and sound made up, by loss](loss.svg)

",
        figures::machine_line(),
        versions.join(", "),
        figures::table(&targets),
    );
    for rate in RATE_KBPS {
        for round_trip in ROUND_TRIP_MS {
            let of = |pair: &&Pair| pair.link.rate_kbps == rate && pair.link.round_trip_ms == round_trip;
            let pairs: Vec<&Pair> = measured.pairs.iter().filter(of).collect();
            if !pairs.is_empty() {
                section(&mut page, &format!("{rate} kbit/s, round trip {round_trip} ms"), &pairs);
            }
        }
    }
    if let Some(halving) = &measured.halving {
        halves(&mut page, halving);
    }
    page
}

fn section(page: &mut String, title: &str, pairs: &[&Pair]) {
    let _ = write!(
        page,
        "## {title}\n\n\
         | loss | | frames/s | lines | frozen | freezes | sound made up | joined in | video | worse in |\n\
         |---|---|---|---|---|---|---|---|---|---|\n"
    );
    for pair in pairs {
        let worse = pair.parvis.worse_than(&pair.livekit).join(", ");
        row(page, &format!("{:.0} %", 100.0 * pair.link.loss), "Parvis", &pair.parvis, &worse);
        row(page, "", "LiveKit", &pair.livekit, &pair.livekit.worse_than(&pair.parvis).join(", "));
    }
    page.push('\n');
}

fn row(page: &mut String, loss: &str, server: &str, quality: &Quality, worse: &str) {
    let join = quality.join_ms.map_or_else(|| "never".to_owned(), |ms| format!("{ms:.0} ms"));
    let _ = writeln!(
        page,
        "| {loss} | {server}{} | {:.1} | {:.0} | {:.1} % | {} | {:.1} % | {join} | {:.0} kbit/s | {worse} |",
        if quality.limited { " †" } else { "" },
        quality.fps,
        quality.height,
        100.0 * quality.frozen,
        quality.freezes,
        100.0 * quality.concealed,
        quality.kbps,
    );
}

fn halves(page: &mut String, halving: &[Halving; 2]) {
    let _ = write!(
        page,
        "## A link that halves and comes back\n\n{HALVING_KBPS} kbit/s, round trip 50 ms, no loss; {HALVES_AT} s after the first picture \
         half of that, at {RECOVERS_AT} s all of it again. “Smooth” is the first second of 24 frames or more after which \
         nothing freezes any more; “sharp” is the picture's height of before.\n\n\
         | | lines before, halved, after | smooth after halving | frozen | sharp after return |\n|---|---|---|---|---|\n"
    );
    let seconds =
        |value: Option<f64>| value.map_or_else(|| "not seen".to_owned(), |value| format!("{value:.1} s"));
    for (server, of) in ["Parvis", "LiveKit"].iter().zip(halving) {
        let [before, halved, after] = of.height;
        let _ = writeln!(
            page,
            "| {server} | {before}, {halved}, {after} | {} | {:.1} s | {} |",
            seconds(of.smooth_after),
            of.frozen_s,
            seconds(of.sharp_after)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::point::Link;
    use super::*;

    #[test]
    fn the_page_names_each_point_and_in_what_it_is_worse() {
        let link = Link { loss: 0.1, round_trip_ms: 20, rate_kbps: 250 };
        let good = Quality { fps: 30.0, height: 180.0, join_ms: Some(412.0), ..Quality::default() };
        let bad = Quality { fps: 20.0, frozen: 0.25, limited: true, join_ms: None, ..good.clone() };
        let pairs = vec![Pair { link, parvis: bad, livekit: good }];
        let halving = Some([Halving { smooth_after: Some(1.5), ..Halving::default() }, Halving::default()]);
        let measured = Measured { pairs, halving, versions: [].into(), settle: 4.0, measure: 10.0 };
        let page = page(&measured, &[]);
        for part in [
            "## 250 kbit/s, round trip 20 ms",
            "| 10 % | Parvis † | 20.0 | 180 | 25.0 % | 0 | 0.0 % | never | 0 kbit/s | frames, freezes |",
            "|  | LiveKit | 30.0 | 180 | 0.0 % | 0 | 0.0 % | 412 ms | 0 kbit/s |  |",
            "| Parvis | 0, 0, 0 | 1.5 s | 0.0 s | not seen |",
        ] {
            assert!(page.contains(part), "{part}\n{page}");
        }
    }
}
