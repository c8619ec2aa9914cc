// SPDX-License-Identifier: EUPL-1.2
//! What many runs came to: figures with their spread, and the page that they leave.

use std::fmt::Write;

use super::load::{CONNECTIONS, LISTENERS, Run, SPEAKERS, STREAMS};
use super::{LAYOUTS, Measured};
use crate::bench::figures::{self, Figure, Target};
use crate::bench::rounds::spread;
use crate::bench::server::{LOAD_CORE, SERVER_CORE};

type Read = fn(&Run) -> f64;

const MEASURES: [(&str, &str, Read, Option<Target>); 17] = [
    ("joined", "", |run| run.clients, Some(Target::AtLeast((SPEAKERS + LISTENERS) as f64))),
    ("streams heard", "", |run| run.streams, Some(Target::AtLeast(STREAMS as f64))),
    ("packets lost", "", |run| run.lost, Some(Target::AtMost(0.0))),
    (
        "packets that came, of those due in the time",
        "%",
        |run| 100.0 * run.received / run.expected.max(1.0),
        None,
    ),
    ("packets out of order", "", |run| run.out_of_order, None),
    ("packets", "1/s", |run| run.per_second, None),
    ("delay p50", "ms", |run| run.p50, None),
    ("delay p99", "ms", |run| run.p99, None),
    ("delay, the longest", "ms", |run| run.most, None),
    ("joined within, median", "ms", |run| 1e3 * run.joined, None),
    ("joined within, p95", "ms", |run| 1e3 * run.joined_p95, None),
    ("messages about others to each", "", |run| run.told, None),
    ("of the server’s core", "%", |run| 100.0 * run.busy, None),
    ("processor time for a packet", "µs", |run| run.nanos / 1e3, None),
    ("the server’s memory", "MiB", |run| run.resident / f64::from(1 << 20), None),
    ("memory for a participant", "KiB", |run| run.bytes_each / 1024.0, None),
    ("of the load’s core", "%", |run| 100.0 * run.own, None),
];

fn runs(measured: &Measured, layout: usize) -> impl Iterator<Item = &Run> {
    measured.seen.iter().filter_map(move |pair| pair[layout].as_ref().ok())
}

/// All figures of both layouts, what has something to reach first.
pub(super) fn figures(measured: &Measured) -> Vec<Figure> {
    let mut figures = Vec::new();
    for with_target in [true, false] {
        for (what, unit, read, target) in
            MEASURES.iter().filter(|(.., target)| target.is_some() == with_target)
        {
            for (at, (name, _)) in LAYOUTS.iter().enumerate() {
                let values: Vec<f64> = runs(measured, at).map(read).collect();
                figures.extend(Figure::of(format!("{name}: {what}"), unit, &values, *target));
            }
        }
    }
    figures
}

/// The whole page. Written by the command: what it says about itself belongs here and not there.
pub(super) fn page(measured: &Measured, figures: &[Figure]) -> String {
    let targets: Vec<Figure> = figures.iter().filter(|figure| figure.target.is_some()).cloned().collect();
    let mut page = format!(
        "# A thousand people in one room

Written by `cargo xtask bench crowd`. {}; {}; parvis {}.

{SPEAKERS} speakers and {LISTENERS} listeners join one room, one after the other, and stay. One speaks, a packet of sound every
20 ms, and the others are silent as Opus is, a packet every 400 ms; there are no pictures. The server runs on core
{SERVER_CORE} and `parvis-load` on core {LOAD_CORE}, over the loopback device. Each run has a server of its own: in turn one with **one
shard**, and one with **two shards**, over which the room spreads (`media.max_room_peers_per_shard`, 200): each has half of
the {CONNECTIONS} connections (everyone has two, one of which listeners never use), and a trunk carries what is published on the
one to the other, once. Both threads have one core between them here, so that the difference is what spreading costs; what it
brings takes a core for each. {} rounds; a figure is the median, with the least and the most.

`parvis-load {}`

- A run counts only if all {} joined and were there by the server’s own count, on each shard as many connections as it says, and
  if each of the {STREAMS} streams was heard: of every speaker by everyone but himself.
- **Lost** are packets that never came, by the numbers of their stream or of their speaker, in the time that was measured.
- **Packets that came, of those due**: one that leaves in the time and comes after it, or the other way round, makes a difference.
- **Delay** is from just before a packet is encrypted by its speaker until a listener has read it, by one clock, of one listener
  in 50; the load’s own turn is in it.
- **Joined within** is from opening the connection for signalling until media can flow.
- **Messages about others**: in a room of more than `rooms.max_roster` (200) people only those on stage are told of.
- **Processor time** is the server’s, user and system, all threads; what the kernel does to deliver a packet on the loopback
  device is in it. **Memory** is its resident memory at the end; for a participant, what it grew by since before the first came.

{}
",
        figures::date(),
        figures::machine_line(),
        measured.version,
        measured.seen.len(),
        measured.arguments,
        SPEAKERS + LISTENERS,
        figures::table(&targets),
    );
    for at in 0..LAYOUTS.len() {
        page.push_str(&remarks(measured, at));
    }
    let names = LAYOUTS.map(|(name, _)| name);
    let _ = write!(page, "| | unit | {} |\n|---|---|---|---|\n", names.join(" | "));
    for (what, unit, read, _) in &MEASURES {
        let of = |at| spread(&runs(measured, at).map(read).collect::<Vec<f64>>());
        let _ = writeln!(page, "| {what} | {unit} | {} | {} |", of(0), of(1));
    }
    page.push_str(&inside(measured));
    page
}

/// What must be known beside the figures: what failed, what was in trouble, whose fault it was.
fn remarks(measured: &Measured, at: usize) -> String {
    let (name, all) = (LAYOUTS[at].0, measured.seen.len());
    let failures: Vec<&String> = measured.seen.iter().filter_map(|pair| pair[at].as_ref().err()).collect();
    let mut told = String::new();
    let mut tell = |whys: Vec<&String>, what: &str| {
        if let Some(first) = whys.first() {
            let _ = write!(told, "With {name}, {} of {all} rounds {what}; in one, {first}.\n\n", whys.len());
        }
    };
    tell(failures, "did not count");
    tell(runs(measured, at).filter_map(|run| run.trouble.as_ref()).collect(), "were in trouble");
    let limits = runs(measured, at).filter_map(|run| run.limit.as_ref()).collect();
    tell(limits, "had the load for their limit, so that the server’s own figures are better than these");
    told
}

/// How the room was spread, and what crossed.
fn inside(measured: &Measured) -> String {
    let Some(run) = runs(measured, 1).next() else { return String::new() };
    let parts: Vec<String> = run.inside.parts.iter().map(|part| format!("{part:.0}")).collect();
    format!(
        "\nIn the first round with two shards these had {} connections, and {:.0} packets crossed of the {:.0} that the speakers sent \
         from the beginning to the end. Encryption: {}.\n",
        parts.join(" and "),
        run.inside.carried,
        run.published,
        run.encryption,
    )
}

#[cfg(test)]
mod tests {
    use super::super::load::tests::good;
    use super::*;

    #[test]
    fn the_page_has_spread_and_failures_and_says_when_the_load_was_the_limit() {
        let mut limited = good(4.0);
        limited.limit = Some("its thread took all".to_owned());
        let seen = vec![
            [Ok(good(1.0)), Ok(good(3.0))],
            [Ok(limited), Err("980 joined in place of 1010".to_owned())],
            [Ok(good(2.0)), Ok(good(5.0))],
        ];
        let measured = Measured { arguments: "--talkers 10".to_owned(), seen, version: "1".to_owned() };
        let figures = figures(&measured);
        assert_eq!(figures[0].name, "one shard: joined");
        assert_eq!((figures[0].met, figures[4].met), (Some(true), Some(false)), "two packets are lost");
        let page = page(&measured, &figures);
        for part in [
            "| delay p99 | ms | 2 (1–4) | 4 (3–5) |",
            "| one shard: packets lost |  | 2 | 2 | 2 | 3 | ≤ 0 | NO |",
            "With one shard, 1 of 3 rounds had the load for their limit",
            "With two shards, 1 of 3 rounds did not count; in one, 980 joined in place of 1010.",
            "these had 1000 and 1020 connections, and 90 packets crossed of the 90",
            "`parvis-load --talkers 10`",
        ] {
            assert!(page.contains(part), "{part}\n{page}");
        }
    }
}
