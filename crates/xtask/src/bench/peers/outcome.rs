// SPDX-License-Identifier: EUPL-1.2
//! What many runs came to: figures with their spread, and what of them has something to reach.

use super::load::Run;
use super::{Measured, RAMP};
use crate::bench::figures::{Figure, Target};
use crate::bench::rounds::{self, shares, values};
use crate::bench::server::Which;

/// Of LiveKit's in the same round, at most.
const CPU_SHARE: f64 = 0.2;
const MEMORY_SHARE: f64 = 1.0 / 3.0;
const DELAY_SHARE: f64 = 0.5;
/// Milliseconds at half load, at the 99th percentile, at most.
const DELAY_MS: f64 = 2.0;
/// Packets a second on one core, at least.
const PER_SECOND: f64 = 400_000.0;

/// One thing to read from a run.
type Read = rounds::Read<Run>;
/// Its name, its unit and where it is read.
pub(super) type Measure = rounds::Measure<Run>;

const NANOS: Read = |run| Some(run.window.nanos);
const TRACK: Read = |run| Some(run.bytes_per_track / 1024.0);

/// What every load tells.
pub(super) const MEASURES: [Measure; 11] = [
    ("processor time for a packet", "µs", |run| Some(run.window.nanos / 1e3)),
    ("of its core", "%", |run| Some(100.0 * run.window.busy)),
    ("packets that arrived", "1/s", |run| Some(run.window.packets_per_second)),
    ("delay p50", "ms", |run| Some(run.window.p50_ms)),
    ("delay p99", "ms", |run| Some(run.window.p99_ms)),
    ("lost", "%", |run| Some(100.0 * run.window.lost)),
    ("lost or late", "%", |run| Some(100.0 * run.window.overdue)),
    ("freezes", "", |run| Some(run.window.freezes)),
    ("memory for a participant", "KiB", |run| Some(run.bytes_per_participant / 1024.0)),
    ("memory for a stream received", "KiB", TRACK),
    ("joined, median", "ms", |run| Some(1e3 * run.joined)),
];

/// What a rising load tells.
pub(super) const RISING: [Measure; 6] = [
    ("most packets without trouble", "1/s", |run| Some(run.window.packets_per_second)),
    ("processor time for a packet there", "µs", |run| Some(run.window.nanos / 1e3)),
    ("of its core there", "%", |run| Some(100.0 * run.window.busy)),
    ("packets at half load", "1/s", |run| Some(run.half()?.packets_per_second)),
    ("delay p50 at half load", "ms", |run| Some(run.half()?.p50_ms)),
    ("delay p99 at half load", "ms", HALF_P99),
];
const HALF_P99: Read = |run| Some(run.half()?.p99_ms);

/// What has something to reach first, then all.
pub(super) fn figures(measured: &Measured) -> Vec<Figure> {
    let mut figures = Vec::new();
    let at_most = |most| Some(Target::AtMost(most));
    for (load, seen) in &measured.loads {
        let mut share = |what: &str, read, most| {
            let name = format!("{}: {what}, of LiveKit’s", load.title);
            figures.extend(Figure::of(name, "", &shares(seen, read), at_most(most)));
        };
        if load.title == RAMP.title {
            share("delay p99 at half load", HALF_P99, DELAY_SHARE);
            let ours = |what: &str, unit, read, bound| {
                let name = format!("{}: {what}", load.title);
                Figure::of(name, unit, &values(seen, Which::Parvis, read), Some(bound))
            };
            figures.extend(ours("delay p99 at half load", "ms", HALF_P99, Target::AtMost(DELAY_MS)));
            let (what, unit, read) = RISING[0];
            figures.extend(ours(what, unit, read, Target::AtLeast(PER_SECOND)));
        } else {
            share("processor time for a packet", NANOS, CPU_SHARE);
            share("memory for a stream received", TRACK, MEMORY_SHARE);
        }
    }
    for (load, seen) in &measured.loads {
        for which in measured.servers() {
            for (what, unit, read) in measures(load.title) {
                let name = format!("{}, {}: {what}", load.title, which.name());
                figures.extend(Figure::of(name, unit, &values(seen, which, *read), None));
            }
        }
    }
    figures
}

/// What a load tells.
pub(super) fn measures(title: &str) -> &'static [Measure] {
    if title == RAMP.title { &RISING } else { &MEASURES }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::LOADS;
    use super::super::load::Step;
    use super::*;
    use crate::bench::rounds::Round;
    use crate::bench::server::Program;

    /// A round in which Parvis needs a tenth of LiveKit's time and a fifth of its memory, and Janus half of both.
    pub(crate) fn round(nanos: f64) -> Round<Run> {
        let step =
            |packets_per_second, nanos, p99_ms| Step { packets_per_second, nanos, p99_ms, ..Step::default() };
        let run = |factor: f64, bytes| Run {
            bytes_per_track: bytes,
            window: step(60_000.0, nanos * factor, 2.0),
            steps: vec![step(31_000.0, nanos * factor, factor), step(60_000.0, nanos * factor, 2.0)],
            ..Run::default()
        };
        Round::from([
            (Which::Parvis, Ok(run(1.0, 1024.0))),
            (Which::LiveKit, Ok(run(10.0, 5120.0))),
            (Which::Janus, Ok(run(5.0, 2560.0))),
        ])
    }

    /// All that three rounds came to, and no mediasoup.
    pub(crate) fn measured(seen: Vec<Round<Run>>) -> Measured {
        let program = |which| Program { which, path: "server".into(), version: "1".to_owned() };
        Measured {
            rounds: seen.len(),
            programs: [Which::Parvis, Which::LiveKit, Which::Janus].map(program).to_vec(),
            absent: vec![(Which::Mediasoup, "its worker can’t be built".to_owned())],
            loads: vec![(&LOADS[0], seen.clone()), (&RAMP, seen)],
        }
    }

    #[test]
    fn what_is_to_be_reached_is_held_against_the_medians() {
        let mut failed = round(9.0);
        failed.insert(Which::LiveKit, Err("lost".to_owned()));
        let figures = figures(&measured(vec![round(100.0), failed, round(200.0)]));
        let targets: Vec<(&str, f64, Option<bool>)> = figures
            .iter()
            .filter(|figure| figure.target.is_some())
            .map(|figure| (figure.name.as_str(), figure.median, figure.met))
            .collect();
        assert_eq!(
            targets,
            [
                ("one speaker to 200: processor time for a packet, of LiveKit’s", 0.1, Some(true)),
                ("one speaker to 200: memory for a stream received, of LiveKit’s", 0.2, Some(true)),
                ("rising: delay p99 at half load, of LiveKit’s", 0.1, Some(true)),
                ("rising: delay p99 at half load", 1.0, Some(true)),
                ("rising: most packets without trouble", 60_000.0, Some(false)),
            ]
        );
        let of = |name: &str| figures.iter().find(|figure| figure.name == name).map(|figure| figure.median);
        assert_eq!(of("one speaker to 200, Janus: processor time for a packet"), Some(0.5));
        assert!(!figures.iter().any(|figure| figure.name.contains("mediasoup")));
    }
}
