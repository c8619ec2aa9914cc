// SPDX-License-Identifier: EUPL-1.2
//! What a crowd came to: for machines as JSON, for people as a table.

use std::collections::BTreeMap;

use serde::Serialize;

use super::CrowdScenario;
use super::work::Work;
use crate::histogram::Histogram;

/// What a crowd came to.
#[derive(Debug, Clone, Serialize)]
pub struct CrowdReport {
    /// What was asked for.
    pub scenario: CrowdScenario,
    /// How many there were, by the server's own count.
    pub participants: usize,
    /// How connections are encrypted, and how many of them.
    pub encryption: BTreeMap<String, usize>,
    /// All of them joining, as fast as the server lets them.
    pub filling: Joins,
    /// All of them there.
    pub idle: Idle,
    /// Some leaving and others joining in their place, at a rate that leaves everyone time.
    pub changing: Joins,
    /// RoomService, a call after the other.
    pub calls: Vec<Calls>,
}

/// Joins: from before the connection for signalling is opened until media could flow, with the server's welcome, ICE and
/// DTLS.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Joins {
    /// How many, how fast, at what cost.
    pub work: Work,
    /// Until the server's JoinResponse.
    pub welcomed: Latency,
    /// Until the peer connection was up.
    pub connected: Latency,
}

/// All are there, and nobody does anything.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Idle {
    /// How long.
    pub seconds: f64,
    /// The server's resident memory before anyone joined, and at the end of this time.
    pub resident_before_bytes: Option<u64>,
    /// See above.
    pub resident_bytes: Option<u64>,
    /// What it grew by for each.
    pub bytes_per_participant: Option<f64>,
    /// The share of a core that the server takes.
    pub server_share: Option<f64>,
}

/// One of RoomService's calls.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Calls {
    /// Its name.
    pub method: &'static str,
    /// How many, how fast, at what cost.
    pub work: Work,
    /// From sending a call until its answer was read.
    pub latency: Latency,
    /// Messages to participants that followed, for each call.
    pub told: f64,
}

/// In milliseconds.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Latency {
    /// Percentiles.
    pub p50_ms: f64,
    /// See above.
    pub p95_ms: f64,
    /// See above.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

impl Latency {
    pub(super) fn of(histogram: &Histogram) -> Latency {
        let millis = |share: f64| histogram.percentile(share).as_secs_f64() * 1e3;
        Latency {
            p50_ms: millis(0.5),
            p95_ms: millis(0.95),
            p99_ms: millis(0.99),
            max_ms: histogram.max().as_secs_f64() * 1e3,
        }
    }

    fn text(self) -> String {
        format!(
            "p50 {:.2}, p95 {:.2}, p99 {:.2}, most {:.2} ms",
            self.p50_ms, self.p95_ms, self.p99_ms, self.max_ms
        )
    }
}

impl Work {
    fn text(&self) -> String {
        let server = self.server.map_or(String::new(), |server| {
            format!(
                ", {:.0} for a second of the server's processor time ({:.0} % of a core)",
                server.per_cpu_second,
                server.share * 100.0
            )
        });
        let limit =
            self.limit.as_ref().map_or(String::new(), |limit| format!("; limited by itself: {limit}"));
        format!(
            "{} in {:.2} s, {:.0} a second{server}; the load {:.0} %{limit}",
            self.count,
            self.seconds,
            self.per_second,
            self.own_share * 100.0
        )
    }
}

impl CrowdReport {
    /// As a table for people.
    pub fn table(&self) -> String {
        let mut rows: Vec<(String, String)> = Vec::new();
        let mut row = |name: &str, value: String| rows.push((name.to_owned(), value));
        let encryption: Vec<String> =
            self.encryption.iter().map(|(name, count)| format!("{count} × {name}")).collect();
        row(
            "participants",
            format!("{} in {} rooms; {}", self.participants, self.scenario.rooms, encryption.join(", ")),
        );
        for (name, joins) in [("all join", &self.filling), ("some change", &self.changing)] {
            row(name, joins.work.text());
            row("  welcomed", joins.welcomed.text());
            row("  connected", joins.connected.text());
        }
        if let (Some(bytes), Some(share)) = (self.idle.bytes_per_participant, self.idle.server_share) {
            let kib = bytes / 1024.0;
            row("idle", format!("{kib:.1} KiB a participant, {:.2} % of a core", share * 100.0));
        }
        for calls in &self.calls {
            row(calls.method, calls.work.text());
            row("  answered", format!("{}; {:.1} messages followed", calls.latency.text(), calls.told));
        }
        let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
        rows.iter().map(|(name, value)| format!("{name:<width$}  {value}\n")).collect()
    }
}
