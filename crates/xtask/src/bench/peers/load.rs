// SPDX-License-Identifier: EUPL-1.2
//! What is put on the servers, and what one run of it came to.

use std::fmt;

use serde_json::Value;

use crate::bench::rounds::Seen;
use crate::bench::server::{Server, number, text};
use crate::sh::Result;

/// What is put on a server.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) title: &'static str,
    /// For the chart.
    pub(super) short: &'static str,
    /// For the page.
    pub(super) what: &'static str,
    /// The load generator's arguments.
    pub(super) arguments: &'static str,
    /// And how long.
    times: &'static str,
    /// The same for who only tries.
    quick: &'static str,
}

const TIMES: &str = "--settle 4 --seconds 6";
const QUICK: &str = "--settle 2 --seconds 1";

/// All that each of them can carry, so that all are under the same load.
pub(super) const LOADS: [Load; 4] = [
    Load {
        title: "one speaker to 200",
        short: "1 → 200",
        what: "One publishes pictures of 500 kbit/s and sound to 200 who listen.",
        arguments: "--publishers 1 --subscribers 200 --video-bitrate 500000 --open-every 10",
        times: TIMES,
        quick: QUICK,
    },
    Load {
        title: "20 with cameras",
        short: "20 ↔ 20",
        what: "20 in one room, each with a camera in three simulcast layers of 500, 166 and 55 kbit/s and a microphone; \
               two speak. Everyone takes the highest layer of everyone.",
        arguments: "--talkers 20 --layers 3 --video-bitrate 500000 --speaking 2 --open-every 5",
        times: TIMES,
        quick: QUICK,
    },
    Load {
        title: "100 with microphones",
        short: "100 ↔ 100",
        what: "100 in one room, each with a microphone and no camera; one speaks, the others send a packet of silence \
               each 400 ms. That is 9,900 streams.",
        arguments: "--talkers 100 --video-bitrate 0 --speaking 1 --open-every 10 --join-timeout 90",
        times: "--join-rate 5 --settle 5 --seconds 6",
        quick: "--join-rate 10 --settle 3 --seconds 2",
    },
    Load {
        title: "10 rooms of six",
        short: "10 rooms of 6",
        what: "Six in each of ten rooms, each with a camera of 300 kbit/s and a microphone; two in each room speak.",
        arguments: "--rooms 10 --talkers 6 --video-bitrate 300000 --speaking 2 --open-every 2",
        times: TIMES,
        quick: QUICK,
    },
];

/// Rises until one can't.
pub(super) const RAMP: Load = Load {
    title: "rising",
    short: "rising",
    what: "One publishes pictures and sound to 20 in each of ten rooms. The pictures begin with 250 kbit/s and get 1.3 \
           times as many bits in each step of two seconds, after a second to come to rest, up to 25 Mbit/s.",
    arguments: "--rooms 10 --publishers 1 --subscribers 20 --video-bitrate 250000 --ramp-to 25000000 --open-every 5",
    times: "--ramp-factor 1.3 --settle 3 --seconds 2",
    quick: "--ramp-factor 4 --settle 2 --seconds 1",
};

impl Load {
    /// The command that a page names.
    pub(super) fn command(&self) -> String {
        format!("parvis-load {} {}", self.arguments, self.times)
    }

    /// Puts it on a server.
    pub(super) fn run(&self, server: &Server, quick: bool) -> Result<Seen<Run>> {
        let times = if quick { self.quick } else { self.times };
        match server.load(&format!("{} {times}", self.arguments))? {
            Ok(report) => Run::of(&report).map(Ok),
            Err(why) => Ok(Err(why)),
        }
    }
}

/// What one run came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Run {
    /// Bytes of resident memory that came with the crowd, for each who joined, and for each stream that one received.
    pub(super) bytes_per_participant: f64,
    pub(super) bytes_per_track: f64,
    /// Seconds from opening the connection until one can send and receive: median, and what 95 of 100 are within.
    pub(super) joined: f64,
    pub(super) joined_p95: f64,
    /// The measurement; of a rising load, the last step that was good.
    pub(super) window: Step,
    /// Of a rising load.
    pub(super) steps: Vec<Step>,
    pub(super) end: Option<String>,
}

/// What one window of time came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Step {
    pub(super) packets_per_second: f64,
    pub(super) bits_per_second: f64,
    /// The server's processor time for each packet that arrived, in nanoseconds.
    pub(super) nanos: f64,
    /// The share of its core that the server took.
    pub(super) busy: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    /// The share of what should have come that did not.
    pub(super) lost: f64,
    /// The share of what the publishers sent that had not come, be it lost or late.
    pub(super) overdue: f64,
    pub(super) freezes: f64,
    /// Packets were late or missing, and why that is thought.
    pub(super) trouble: Option<String>,
    /// The load itself was what was slow.
    pub(super) limit: Option<String>,
}

impl Run {
    /// Reads the load generator's report.
    pub(super) fn of(report: &Value) -> Result<Run> {
        let window = &report["window"];
        let rise = number(&window["server"], "resident_bytes")? - number(report, "idle_resident_bytes")?;
        let steps = report["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(Run {
            bytes_per_participant: rise / number(report, "clients")?.max(1.0),
            bytes_per_track: rise / number(window, "subscriber_tracks")?.max(1.0),
            joined: number(&report["joining"], "ready_median")?,
            joined_p95: number(&report["joining"], "ready_p95")?,
            window: Step::of(window)?,
            steps: steps.iter().map(Step::of).collect::<Result<_>>()?,
            end: text(&report["end"]),
        })
    }

    /// Of a rising load, the good step whose rate is nearest to half of the best one's.
    pub(super) fn half(&self) -> Option<&Step> {
        let half = self.window.packets_per_second / 2.0;
        let distance = |step: &&Step| (step.packets_per_second - half).abs();
        let good = self.steps.iter().filter(|step| step.trouble.is_none() && step.limit.is_none());
        good.min_by(|a, b| distance(a).total_cmp(&distance(b)))
    }

    /// Whether the load was what ended the rise, or what made its figures.
    pub(super) fn limited(&self) -> bool {
        self.window.limit.is_some() || self.steps.last().is_some_and(|step| step.limit.is_some())
    }
}

impl Step {
    fn of(window: &Value) -> Result<Step> {
        let packets = &window["packets"];
        let received = number(packets, "received")?;
        let gone = number(packets, "lost")?.max(number(packets, "missing")?);
        Ok(Step {
            packets_per_second: number(packets, "received_per_second")?,
            bits_per_second: number(packets, "bits_per_second")?,
            nanos: number(&window["server"], "ns_per_packet")?,
            busy: number(&window["server"], "cpu_share")?,
            p50_ms: number(&window["delay"], "p50_ms")?,
            p99_ms: number(&window["delay"], "p99_ms")?,
            lost: gone / (received + gone).max(1.0),
            // With simulcast nobody knows what will be sent on.
            overdue: packets["expected"]
                .as_f64()
                .map_or(0.0, |expected| (1.0 - received / expected.max(1.0)).max(0.0)),
            freezes: number(&window["pictures"], "freezes")?,
            trouble: text(&window["trouble"]),
            limit: text(&window["own"]["limit"]),
        })
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Run { window, .. } = self;
        write!(
            f,
            "{:.0} packets/s, {:.0} ns each, p50 {:.2} ms, p99 {:.2} ms, {:.0} KiB a participant, {:.0} KiB a stream, \
             joined in {:.3} s",
            window.packets_per_second,
            window.nanos,
            window.p50_ms,
            window.p99_ms,
            self.bytes_per_participant / 1024.0,
            self.bytes_per_track / 1024.0,
            self.joined,
        )?;
        for what in [&window.trouble, &window.limit, &self.end].into_iter().flatten() {
            write!(f, "; {what}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn window(rate: f64, trouble: Option<&str>) -> Value {
        json!({
            "packets": { "received": 900, "received_per_second": rate, "bits_per_second": 8e6, "lost": 100, "missing": 7, "expected": 1_800 },
            "server": { "ns_per_packet": 2_000.0, "cpu_share": 0.4, "resident_bytes": 3_000_000 },
            "delay": { "p50_ms": 0.5, "p99_ms": 1.5 },
            "pictures": { "freezes": 2 },
            "own": { "limit": null },
            "subscriber_tracks": 400,
            "trouble": trouble,
        })
    }

    #[test]
    fn a_report_becomes_memory_for_each_and_the_step_at_half_of_the_best() {
        let steps = [(100.0, None), (190.0, None), (400.0, None), (390.0, Some("late"))];
        let report = json!({
            "clients": 200,
            "idle_resident_bytes": 1_000_000,
            "joining": { "ready_median": 0.1, "ready_p95": 0.2 },
            "window": window(400.0, None),
            "steps": steps.map(|(rate, trouble)| window(rate, trouble)),
            "end": "late",
        });
        let run = Run::of(&report).unwrap();
        assert_eq!((run.bytes_per_participant, run.bytes_per_track), (10_000.0, 5_000.0));
        assert_eq!((run.window.lost, run.window.nanos), (0.1, 2_000.0), "the larger count of losses");
        assert_eq!(run.window.overdue, 0.5);
        assert_eq!(run.half().map(|step| step.packets_per_second), Some(190.0));
        assert_eq!((run.end.as_deref(), run.limited()), (Some("late"), false));
        let error = Run::of(&json!({ "window": {} })).unwrap_err().to_string();
        assert!(error.contains("resident_bytes"), "{error}");
    }
}
