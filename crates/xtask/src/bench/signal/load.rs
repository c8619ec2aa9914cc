// SPDX-License-Identifier: EUPL-1.2
//! The crowd that is put on the servers, and what one run with it came to.

use std::fmt;

use serde_json::Value;

use crate::bench::rounds::Seen;
use crate::bench::server::{Server, number, text};
use crate::sh::{Error, Result};

/// Who comes, and what is asked about them.
const CROWD: &str = "crowd --rooms 100 --each 10 --in-flight 64 --connections 16 --change-rate 20";
const TIMES: &str = "--idle 20 --changes 200 --call-seconds 4";
const QUICK: &str = "--idle 3 --changes 40 --call-seconds 1";

/// The load generator's arguments.
pub(super) fn arguments(quick: bool) -> String {
    format!("{CROWD} {}", if quick { QUICK } else { TIMES })
}

/// Puts the crowd on a server.
pub(super) fn run(server: &Server, arguments: &str) -> Result<Seen<Run>> {
    match server.load(arguments)? {
        Ok(report) => Run::of(&report).map(Ok),
        Err(why) => Ok(Err(why)),
    }
}

/// What one run came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Run {
    /// How many were there, by the server's own count.
    pub(super) participants: f64,
    /// How their connections were encrypted.
    pub(super) encryption: String,
    /// All of them joining at once, and some of them in place of others.
    pub(super) filling: Joins,
    pub(super) changing: Joins,
    /// Bytes of resident memory that came with each.
    pub(super) bytes_per_participant: f64,
    /// The share of its core that the server takes while nobody does anything.
    pub(super) idle_share: f64,
    /// ListRooms, ListParticipants, UpdateParticipant.
    pub(super) calls: [Calls; 3],
}

/// Joins of one kind.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Joins {
    pub(super) work: Work,
    pub(super) welcomed: Latency,
    pub(super) connected: Latency,
}

/// Calls of one kind.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Calls {
    pub(super) work: Work,
    pub(super) latency: Latency,
    /// Messages to participants that followed, for each.
    pub(super) told: f64,
}

/// How much of something was done, and what it took.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Work {
    pub(super) per_second: f64,
    /// With a second of the server's processor time.
    pub(super) per_cpu_second: f64,
    /// Of the server's core, and of the load's.
    pub(super) share: f64,
    pub(super) own_share: f64,
    /// The load itself was what was slow.
    pub(super) limit: Option<String>,
}

/// In milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Latency {
    pub(super) p50: f64,
    pub(super) p95: f64,
    pub(super) p99: f64,
}

impl Run {
    /// Reads the load generator's report.
    pub(super) fn of(report: &Value) -> Result<Run> {
        let idle = &report["idle"];
        let encryption = report["encryption"].as_object();
        let mut encryption: Vec<&str> =
            encryption.into_iter().flat_map(|all| all.keys().map(String::as_str)).collect();
        encryption.sort_unstable();
        let calls = report["calls"].as_array().map(Vec::as_slice).unwrap_or_default();
        let [rooms, participants, update] = calls else {
            return Err(Error::new("the load's report has no three kinds of calls"));
        };
        Ok(Run {
            participants: number(report, "participants")?,
            encryption: encryption.join(", "),
            filling: Joins::of(&report["filling"])?,
            changing: Joins::of(&report["changing"])?,
            bytes_per_participant: number(idle, "bytes_per_participant")?,
            idle_share: number(idle, "server_share")?,
            calls: [Calls::of(rooms)?, Calls::of(participants)?, Calls::of(update)?],
        })
    }

    /// Whatever the load was too slow for.
    pub(super) fn limits(&self) -> impl Iterator<Item = &str> {
        let calls = self.calls.iter().map(|calls| &calls.work);
        [&self.filling.work, &self.changing.work]
            .into_iter()
            .chain(calls)
            .filter_map(|work| work.limit.as_deref())
    }
}

impl Joins {
    fn of(joins: &Value) -> Result<Joins> {
        Ok(Joins {
            work: Work::of(&joins["work"])?,
            welcomed: Latency::of(&joins["welcomed"])?,
            connected: Latency::of(&joins["connected"])?,
        })
    }
}

impl Calls {
    fn of(calls: &Value) -> Result<Calls> {
        Ok(Calls {
            work: Work::of(&calls["work"])?,
            latency: Latency::of(&calls["latency"])?,
            told: number(calls, "told")?,
        })
    }
}

impl Work {
    fn of(work: &Value) -> Result<Work> {
        Ok(Work {
            per_second: number(work, "per_second")?,
            per_cpu_second: number(&work["server"], "per_cpu_second")?,
            share: number(&work["server"], "share")?,
            own_share: number(work, "own_share")?,
            limit: text(&work["limit"]),
        })
    }
}

impl Latency {
    fn of(latency: &Value) -> Result<Latency> {
        let [p50, p95, p99] = ["p50_ms", "p95_ms", "p99_ms"].map(|name| number(latency, name));
        Ok(Latency { p50: p50?, p95: p95?, p99: p99? })
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.0} joins/s, {:.0} for a second of its time, one among all in {:.1} ms, {:.0} KiB a participant; calls/s",
            self.filling.work.per_second,
            self.filling.work.per_cpu_second,
            self.changing.connected.p50,
            self.bytes_per_participant / 1024.0,
        )?;
        for calls in &self.calls {
            write!(f, " {:.0}", calls.work.per_second)?;
        }
        self.limits().try_for_each(|limit| write!(f, "; {limit}"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_report_becomes_figures_and_one_that_lacks_some_is_an_error() {
        let work = |rate: f64| json!({ "per_second": rate, "own_share": 0.5, "limit": null, "server": { "per_cpu_second": 2.0 * rate, "share": 0.9 } });
        let latency = json!({ "p50_ms": 1.0, "p95_ms": 2.0, "p99_ms": 3.0 });
        let joins = |rate| json!({ "work": work(rate), "welcomed": latency, "connected": latency });
        let calls = |rate| json!({ "work": work(rate), "latency": latency, "told": 10.0 });
        let mut report = json!({
            "participants": 1_000,
            "encryption": { "DTLSv1.3 X": 1_000 },
            "filling": joins(300.0),
            "changing": joins(20.0),
            "idle": { "bytes_per_participant": 2_048.0, "server_share": 0.02 },
            "calls": [calls(1.0), calls(2.0), calls(3.0)],
        });
        let run = Run::of(&report).unwrap();
        assert_eq!((run.filling.work.per_cpu_second, run.changing.work.per_second), (600.0, 20.0));
        assert_eq!((run.calls[2].work.per_second, run.calls[2].told), (3.0, 10.0));
        assert_eq!(run.changing.connected, Latency { p50: 1.0, p95: 2.0, p99: 3.0 });
        assert_eq!((run.encryption.as_str(), run.limits().count()), ("DTLSv1.3 X", 0));
        report["calls"][1]["work"]["limit"] = json!("the load");
        assert_eq!(Run::of(&report).unwrap().limits().collect::<Vec<_>>(), ["the load"]);
        report["filling"]["work"]["server"] = json!(null);
        let error = Run::of(&report).unwrap_err().to_string();
        assert!(error.contains("per_cpu_second"), "{error}");
    }
}
