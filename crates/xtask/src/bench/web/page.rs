// SPDX-License-Identifier: EUPL-1.2
//! The page of the measurement. Written by the command: what it says about itself belongs here and not there.

use std::fmt::Write;

use super::{Audit, Churn, Minute, Read, Seen};
use crate::bench::figures::{self, Figure, rounded};
use crate::bench::rounds::spread;

/// The whole page.
pub(super) fn page(seen: &Seen, figures: &[Figure]) -> String {
    let versions: Vec<String> =
        seen.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    let mut page = format!(
        "# What the web client weighs, and how quick it is

Written by `cargo xtask bench web`. {}; {}; {}.

Everything is measured in Chromium against a server of a release build, all on this machine, over the loopback device. Cameras and
microphones are Chromium’s made-up ones; each visit is that of a browser that has nothing of the client yet.

{}
",
        figures::date(),
        figures::machine_line(),
        versions.join(", "),
        figures::table(figures),
    );
    weight(&mut page, seen);
    lighthouse(&mut page, &seen.lighthouse);
    page.push_str(
        "
## From the link to the page

The processor is held to a quarter of its speed and the network to 1.6 Mbit/s (0.75 up). The time runs from the beginning of the
navigation until the field for the name and the button are there, painted, and the page is free to answer; then a name is typed,
which has to be in the field. The second row adds 150 ms to each answer, as a far server does; nothing is to be reached there.

## From the button to the first picture

Somebody is in a room with a camera. Another opens the link, sees herself, types a name and presses the button; the time runs in
her page from the press until the first picture of the other is shown. The door, the meeting’s socket, signalling, ICE, DTLS, the
first key picture and its decoding are in it, and her own camera is sent meanwhile.
",
    );
    steady(&mut page, &seen.steady);
    churn(&mut page, &seen.churn);
    page
}

fn weight(page: &mut String, seen: &Seen) {
    page.push_str(
        "
## Weight

Bytes as the server sends them to whoever takes gzip (browsers take brotli, which is less). A thousand are a kB. Until the page before
the call can be used: the scripts that it names, what these import, and the language’s texts. All that a first call needs is what a
browser asked for until the first picture of somebody else was there: the page, scripts, styles and texts.

| file | kB | before the page can be used |
|---|---|---|
",
    );
    for part in &seen.weight.parts {
        let first = if part.first { "yes" } else { "" };
        let _ = writeln!(page, "| `{}` | {} | {first} |", part.path, rounded(part.bytes / 1_000.0));
    }
    let of = |read: fn(&super::Language) -> f64| {
        let values: Vec<f64> =
            seen.weight.languages.iter().map(|language| read(language) / 1_000.0).collect();
        spread(&values)
    };
    let _ = writeln!(
        page,
        "\nOver all languages, median with the least and the most: {} kB, and {} kB.",
        of(|language| language.first),
        of(|language| language.call)
    );
}

fn lighthouse(page: &mut String, audits: &[Audit]) {
    let of = |read: fn(&Audit) -> f64| spread(&audits.iter().map(read).collect::<Vec<_>>());
    let mut wrong: Vec<&str> = audits.iter().flat_map(|audit| &audit.wrong).map(String::as_str).collect();
    wrong.sort_unstable();
    wrong.dedup();
    let _ = write!(
        page,
        "
## Lighthouse

On the page before the call, as Lighthouse comes: a middling phone on a slow line (simulated: 150 ms, 1.6 Mbit/s, a quarter of this
processor). First paint {} ms, largest paint {} ms, blocked for {} ms, layout shift {}. {}
",
        of(|audit| audit.first_paint_ms),
        of(|audit| audit.largest_paint_ms),
        of(|audit| audit.blocked_ms),
        of(|audit| audit.shift),
        if wrong.is_empty() {
            "It found nothing wrong.".to_owned()
        } else {
            format!("What it finds wrong: {}.", wrong.join(", "))
        }
    );
}

fn steady(page: &mut String, minutes: &[Minute]) {
    let of = |read: fn(&Minute) -> f64| spread(&minutes.iter().map(read).collect::<Vec<_>>());
    let _ = write!(
        page,
        "
## 25 tiles with 49 in the room

One page of 1920 × 1080 shows 25 people, all with a picture: its own camera, and 24 of 320 × 180 at 15 a second, sent by as many
connections of a page in another browser. 24 more are in the room by `parvis-load crowd --room`, without a picture, on the next page of
the grid. All share this machine’s cores, encoders included. Measured {} times for {} s, in which nobody comes, goes or presses anything.

Long tasks are those of the browser’s Long Tasks API above 100 ms; ours are scripts of our origin that ran for more than 100 ms in a row, by its
Long Animation Frames API. In each minute {} tasks of anybody’s; scripts of ours ran for {} ms within long frames. {}
",
        minutes.len(),
        of(|minute| minute.seconds),
        of(|minute| minute.above),
        of(|minute| minute.ours_busy_ms),
        culprits(minutes),
    );
}

/// Which scripts took long.
fn culprits(minutes: &[Minute]) -> String {
    let all: Vec<String> = minutes
        .iter()
        .flat_map(|minute| &minute.which)
        .map(|(name, count)| format!("`{name}` ({count})"))
        .collect();
    if all.is_empty() { String::new() } else { format!("Above 100 ms: {}.", all.join(", ")) }
}

fn churn(page: &mut String, churn: &Churn) {
    let minutes = churn.samples.last().map_or(0.0, |sample| sample.seconds / 60.0);
    let _ = write!(
        page,
        "
## People come and go

The same room, with the list of people open. In {} minutes {} of those without a picture left and others came, one each second, and {} of
those with one. Every few seconds garbage is collected and the browser is asked what the page still holds (`Performance.getMetrics`). The
line of least squares leaves out the first tenth of the time.

| | at first | at last | by the line, in a minute | over all |
|---|---|---|---|---|
",
        rounded(minutes),
        churn.listed,
        churn.pictured,
    );
    let rows: [(&str, Read); 3] = [
        ("DOM nodes", |sample| sample.nodes),
        ("event listeners", |sample| sample.listeners),
        ("heap, MiB", |sample| sample.heap_mib),
    ];
    for (name, read) in rows {
        let end =
            |sample: Option<&super::Sample>| sample.map_or_else(String::new, |sample| rounded(read(sample)));
        let (slope, all) = match churn.trend(read) {
            Some(trend) => (rounded(trend.per_minute), format!("{} %", rounded(trend.percent))),
            None => ("–".to_owned(), "–".to_owned()),
        };
        let (first, last) = (end(churn.samples.first()), end(churn.samples.last()));
        let _ = writeln!(page, "| {name} | {first} | {last} | {slope} | {all} |");
    }
    page.push_str("\n![DOM nodes and heap over the time](web.svg)\n");
}

#[cfg(test)]
mod tests {
    use super::super::tests::seen;
    use super::*;

    #[test]
    fn the_page_tells_what_was_measured_and_what_was_missed() {
        let seen = seen(0.5);
        let text = page(&seen, &seen.figures());
        for part in [
            "chromium Chromium 1",
            "| `/assets/index-a.js` | 42 | yes |",
            "| `/assets/session-b.js` | 140 |  |",
            "54.5 (50–59) kB, and 250 (240–261) kB",
            "What it finds wrong: meta-description.",
            "| from the link to a page that can be used | ms | 800 | 700 | 900 | 3 | ≤ 1000 | yes |",
            "| 25 tiles: tasks of ours above 100 ms, in all |  | 2 | 2 | 2 | 1 | ≤ 0 | NO |",
            "Above 100 ms: `session-x.js onframe` (1)",
            "In 10 minutes 600 of those without a picture left and others came, one each second, and 60 of",
            "| DOM nodes | 100 | 2000 | 0 | 0 % |",
            "| heap, MiB | 20 | 25 | 0.5 | 22 % |",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }
}
