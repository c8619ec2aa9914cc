// SPDX-License-Identifier: EUPL-1.2
//! What many runs came to: figures with their spread, and what of them has something to reach.

use super::Measured;
use super::load::Run;
use crate::bench::figures::{Figure, Target};
use crate::bench::rounds::{self, BOTH, shares, values};

/// Of LiveKit's in the same round, at least and at most.
const JOINS_SHARE: f64 = 2.0;
const MEMORY_SHARE: f64 = 0.5;

pub(super) type Measure = rounds::Measure<Run>;
type Read = rounds::Read<Run>;

pub(super) const JOINS: Read = |run| Some(run.filling.work.per_cpu_second);
pub(super) const MEMORY: Read = |run| Some(run.bytes_per_participant / 1024.0);

/// Measures that belong together.
pub(super) struct Section {
    pub(super) title: &'static str,
    /// For the page.
    pub(super) what: &'static str,
    pub(super) measures: Vec<Measure>,
}

/// All that is told, in the page's order.
pub(super) fn sections() -> [Section; 6] {
    [
        Section {
            title: "All join",
            what: "1,000 join 100 rooms, 64 at a time, which keeps the server busy: how long each takes then depends on how many are \
                   under way.",
            measures: FILLING.to_vec(),
        },
        Section {
            title: "One joins among 1,000",
            what: "1,000 are there. Twenty times a second one leaves and another joins in his place.",
            measures: CHANGING.to_vec(),
        },
        Section {
            title: "All are there",
            what: "1,000 are connected, publish nothing and receive nothing. Each says every five seconds that he is there.",
            measures: IDLE.to_vec(),
        },
        Section { title: "ListRooms", what: "All of 100 rooms.", measures: calls::<0>().to_vec() },
        Section {
            title: "ListParticipants",
            what: "The ten of one room after the other.",
            measures: calls::<1>().to_vec(),
        },
        Section {
            title: "UpdateParticipant",
            what: "New metadata for one after the other; the ten in his room are told.",
            measures: calls::<2>()
                .into_iter()
                .chain([("messages that followed each", "", (|run| Some(run.calls[2].told)) as Read)])
                .collect(),
        },
    ]
}

const FILLING: [Measure; 9] = [
    ("joins for a second of processor time", "1/s", JOINS),
    ("processor time for a join", "ms", |run| Some(1e3 / run.filling.work.per_cpu_second)),
    ("joins in a second", "1/s", |run| Some(run.filling.work.per_second)),
    ("of the server’s core", "%", |run| Some(100.0 * run.filling.work.share)),
    ("of the load’s core", "%", |run| Some(100.0 * run.filling.work.own_share)),
    ("welcomed, p50", "ms", |run| Some(run.filling.welcomed.p50)),
    ("connected, p50", "ms", |run| Some(run.filling.connected.p50)),
    ("connected, p95", "ms", |run| Some(run.filling.connected.p95)),
    ("connected, p99", "ms", |run| Some(run.filling.connected.p99)),
];

const CHANGING: [Measure; 6] = [
    ("welcomed, p50", "ms", |run| Some(run.changing.welcomed.p50)),
    ("welcomed, p99", "ms", |run| Some(run.changing.welcomed.p99)),
    ("connected, p50", "ms", |run| Some(run.changing.connected.p50)),
    ("connected, p95", "ms", |run| Some(run.changing.connected.p95)),
    ("connected, p99", "ms", |run| Some(run.changing.connected.p99)),
    ("of the server’s core", "%", |run| Some(100.0 * run.changing.work.share)),
];

const IDLE: [Measure; 2] = [
    ("memory for a participant", "KiB", MEMORY),
    ("of the server’s core", "%", |run| Some(100.0 * run.idle_share)),
];

const fn calls<const N: usize>() -> [Measure; 6] {
    [
        ("requests for a second of processor time", "1/s", |run| Some(run.calls[N].work.per_cpu_second)),
        ("requests in a second", "1/s", |run| Some(run.calls[N].work.per_second)),
        ("answered, p50", "ms", |run| Some(run.calls[N].latency.p50)),
        ("answered, p99", "ms", |run| Some(run.calls[N].latency.p99)),
        ("of the server’s core", "%", |run| Some(100.0 * run.calls[N].work.share)),
        ("of the load’s core", "%", |run| Some(100.0 * run.calls[N].work.own_share)),
    ]
}

/// What has something to reach first, then all.
pub(super) fn figures(measured: &Measured) -> Vec<Figure> {
    let of = |name: &str, read, bound| {
        Figure::of(format!("{name}, of LiveKit’s"), "", &shares(&measured.seen, read), Some(bound))
    };
    let mut figures = Vec::new();
    figures.extend(of("joins for a second of processor time", JOINS, Target::AtLeast(JOINS_SHARE)));
    figures.extend(of("memory for an idle participant", MEMORY, Target::AtMost(MEMORY_SHARE)));
    for section in sections() {
        for which in BOTH {
            for (what, unit, read) in &section.measures {
                let name = format!("{}, {}: {what}", section.title, which.name());
                figures.extend(Figure::of(name, unit, &values(&measured.seen, which, *read), None));
            }
        }
    }
    figures
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::bench::rounds::Round;
    use crate::bench::server::Which;

    /// A round in which Parvis makes thrice as many joins as LiveKit, and needs a fifth of its memory.
    pub(crate) fn round(joins: f64) -> Round<Run> {
        let run = |joins, bytes, encryption: &str| {
            let mut run =
                Run { bytes_per_participant: bytes, encryption: encryption.to_owned(), ..Run::default() };
            run.filling.work.per_cpu_second = joins;
            run.calls[1].work.per_cpu_second = 1_000.0 * joins;
            run.calls[2].told = 10.0;
            run
        };
        Round::from([
            (Which::Parvis, Ok(run(3.0 * joins, 2_048.0, "DTLSv1.3"))),
            (Which::LiveKit, Ok(run(joins, 10_240.0, "DTLSv1.2"))),
        ])
    }

    #[test]
    fn what_is_to_be_reached_is_held_against_the_medians() {
        let mut slow = round(100.0);
        let livekit =
            Run { bytes_per_participant: 2_048.0, ..round(200.0)[&Which::LiveKit].clone().unwrap() };
        slow.insert(Which::LiveKit, Ok(livekit));
        let measured = Measured {
            arguments: String::new(),
            seen: vec![round(100.0), slow, round(300.0)],
            versions: [].into(),
        };
        let figures = figures(&measured);
        let told: Vec<(&str, f64, f64, f64, Option<bool>)> = figures
            .iter()
            .filter(|figure| figure.target.is_some())
            .map(|figure| (figure.name.as_str(), figure.median, figure.min, figure.max, figure.met))
            .collect();
        assert_eq!(
            told,
            [
                ("joins for a second of processor time, of LiveKit’s", 3.0, 1.5, 3.0, Some(true)),
                ("memory for an idle participant, of LiveKit’s", 0.2, 0.2, 1.0, Some(true)),
            ]
        );
        let of = |name: &str| figures.iter().find(|figure| figure.name == name).map(|figure| figure.median);
        assert_eq!(of("ListParticipants, LiveKit: requests for a second of processor time"), Some(200_000.0));
        assert_eq!(of("All are there, Parvis: memory for a participant"), Some(2.0));
    }
}
