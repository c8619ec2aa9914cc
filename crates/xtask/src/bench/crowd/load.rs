// SPDX-License-Identifier: EUPL-1.2
//! The crowd that is put on a server, and what one run with it came to.

use std::fmt;

use serde_json::Value;

use crate::bench::rounds::Seen;
use crate::bench::server::{Layout, Server, number, text};
use crate::sh::Result;

pub(super) const SPEAKERS: usize = 10;
pub(super) const LISTENERS: usize = 1_000;
/// Everyone hears every speaker but himself.
pub(super) const STREAMS: usize = SPEAKERS * (SPEAKERS - 1 + LISTENERS);
/// At the server everyone has two, one for each direction; listeners never use that for sending.
pub(super) const CONNECTIONS: usize = 2 * (SPEAKERS + LISTENERS);

/// One speaks at a time, the others are silent as Opus is.
const CROWD: &str = "--speaking 1 --video-bitrate 0 --open-every 50 --join-timeout 180";
const TIMES: &str = "--join-rate 40 --settle 5 --seconds 20";
const QUICK: &str = "--join-rate 80 --settle 2 --seconds 3";

/// The load generator's arguments.
pub(super) fn arguments(quick: bool) -> String {
    let times = if quick { QUICK } else { TIMES };
    format!("--talkers {SPEAKERS} --subscribers {LISTENERS} {CROWD} {times}")
}

/// Puts the crowd on a server and looks at its own figures meanwhile.
pub(super) fn run(server: &Server, arguments: &str, layout: Layout) -> Result<Seen<Run>> {
    let mut most = Inside::default();
    let report = server.load_and_watch(arguments, |line| {
        // Before and after it people come and go.
        if line.contains("measuring") {
            most = most.most(&Inside::of(&server.metrics()?, layout.shards));
        }
        Ok(())
    })?;
    let report = match report {
        Ok(report) => report,
        Err(why) => return Ok(Err(why)),
    };
    // Counters of packets go on; people have left by now.
    most = most.most(&Inside::of(&server.metrics()?, layout.shards));
    let run = Run::of(&report, most)?;
    Ok(run.complete().map(|()| run))
}

/// What the server says of itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Inside {
    /// Participants in all rooms.
    pub(super) participants: f64,
    /// Connections on each shard.
    pub(super) parts: Vec<f64>,
    /// Packets that crossed from one shard to the other.
    pub(super) carried: f64,
}

impl Inside {
    fn of(page: &str, shards: usize) -> Inside {
        Inside {
            participants: figure(page, "parvis_participants"),
            parts: (0..shards)
                .map(|shard| figure(page, &format!("parvis_forwarder_peers{{shard=\"{shard}\"}}")))
                .collect(),
            carried: figure(page, "parvis_forwarder_trunk_packets_out_total"),
        }
    }

    fn most(&self, other: &Inside) -> Inside {
        let parts = other.parts.iter().enumerate();
        Inside {
            participants: self.participants.max(other.participants),
            parts: parts.map(|(at, part)| part.max(*self.parts.get(at).unwrap_or(&0.0))).collect(),
            carried: self.carried.max(other.carried),
        }
    }
}

/// The sum of a figure over its labels.
fn figure(page: &str, name: &str) -> f64 {
    let of = |line: &str| {
        let rest = line.strip_prefix(name).filter(|rest| rest.starts_with([' ', '{']))?;
        rest.rsplit(' ').next()?.trim().parse::<f64>().ok()
    };
    page.lines().filter_map(of).sum()
}

/// What one run came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Run {
    pub(super) inside: Inside,
    /// How many joined, and streams that they received.
    pub(super) clients: f64,
    pub(super) streams: f64,
    /// Messages about others for each.
    pub(super) told: f64,
    /// Seconds from opening the connection until one can send and receive: median, and what 95 of 100 are within.
    pub(super) joined: f64,
    pub(super) joined_p95: f64,
    /// Packets that should have come, and that came; that never came; that came after a later one.
    pub(super) expected: f64,
    pub(super) received: f64,
    pub(super) lost: f64,
    pub(super) out_of_order: f64,
    pub(super) per_second: f64,
    /// All packets that left a speaker, from the beginning on.
    pub(super) published: f64,
    /// Milliseconds.
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) most: f64,
    /// The server's share of its core, the time for a packet in nanoseconds, and its memory in bytes: with all of them, and what
    /// came with each.
    pub(super) busy: f64,
    pub(super) nanos: f64,
    pub(super) resident: f64,
    pub(super) bytes_each: f64,
    /// The load's share of its own core.
    pub(super) own: f64,
    /// How the connections were encrypted.
    pub(super) encryption: String,
    pub(super) trouble: Option<String>,
    /// The load itself was what was slow.
    pub(super) limit: Option<String>,
}

impl Run {
    fn of(report: &Value, inside: Inside) -> Result<Run> {
        let window = &report["window"];
        let (packets, delay, server) = (&window["packets"], &window["delay"], &window["server"]);
        let clients = number(report, "clients")?;
        let resident = number(server, "resident_bytes")?;
        let encryption = report["encryption"].as_object().into_iter().flatten();
        Ok(Run {
            inside,
            clients,
            streams: number(window, "subscriber_tracks")?,
            told: number(report, "told")? / clients.max(1.0),
            joined: number(&report["joining"], "ready_median")?,
            joined_p95: number(&report["joining"], "ready_p95")?,
            expected: number(packets, "expected")?,
            received: number(packets, "received")?,
            lost: number(packets, "lost")?.max(number(packets, "missing")?),
            out_of_order: number(packets, "out_of_order")?,
            per_second: number(packets, "received_per_second")?,
            published: number(&report["totals"], "published")?,
            p50: number(delay, "p50_ms")?,
            p99: number(delay, "p99_ms")?,
            most: number(delay, "max_ms")?,
            busy: number(server, "cpu_share")?,
            nanos: number(server, "ns_per_packet")?,
            resident,
            bytes_each: (resident - number(report, "idle_resident_bytes")?) / clients.max(1.0),
            own: number(&window["own"], "cpu_share")?,
            encryption: encryption
                .map(|(name, count)| format!("{count} × {name}"))
                .collect::<Vec<_>>()
                .join(", "),
            trouble: text(&window["trouble"]),
            limit: text(&window["own"]["limit"]),
        })
    }

    /// Whether all were there, by both counts, and everyone heard everyone.
    fn complete(&self) -> std::result::Result<(), String> {
        let (all, inside) = ((SPEAKERS + LISTENERS) as f64, &self.inside);
        let connections = inside.parts.iter().sum::<f64>();
        for (what, is, should) in [
            ("participants were there", inside.participants, all),
            ("joined", self.clients, all),
            ("connections were there", connections, CONNECTIONS as f64),
            ("streams were heard", self.streams, STREAMS as f64),
        ] {
            if is != should {
                return Err(format!("{is} {what} in place of {should}"));
            }
        }
        if inside.parts.contains(&0.0) {
            return Err(format!("a shard had no part of the room: {:?}", inside.parts));
        }
        Ok(())
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} joined, half of them within {:.3} s; {:.0} packets/s, {} lost, p50 {:.2} ms, p99 {:.2} ms; server {:.0} % and \
             {:.0} KiB each, load {:.0} %; parts {:?}",
            self.clients,
            self.joined,
            self.per_second,
            self.lost,
            self.p50,
            self.p99,
            100.0 * self.busy,
            self.bytes_each / 1024.0,
            100.0 * self.own,
            self.inside.parts,
        )?;
        [&self.trouble, &self.limit].into_iter().flatten().try_for_each(|what| write!(f, "; {what}"))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// A run in which all went well.
    pub(crate) fn good(p99: f64) -> Run {
        let page = "parvis_participants 1010\n# x\nparvis_forwarder_peers{shard=\"0\"} 1000\n\
                    parvis_forwarder_peers{shard=\"1\"} 1020\nparvis_forwarder_trunk_packets_out_total{shard=\"0\"} 40\n\
                    parvis_forwarder_trunk_packets_out_total{shard=\"1\"} 50\n";
        Run::of(&report(10_090, p99), Inside::of(page, 2)).unwrap()
    }

    fn report(streams: u64, p99: f64) -> Value {
        json!({
            "clients": 1_010, "told": 20_200, "idle_resident_bytes": 1_000_000,
            "joining": { "ready_median": 0.1, "ready_p95": 0.2 },
            "encryption": { "X": 1_020 },
            "totals": { "published": 90 },
            "window": {
                "subscriber_tracks": streams,
                "packets": { "expected": 1_000, "received": 998, "lost": 1, "missing": 2, "out_of_order": 0,
                             "received_per_second": 50.0 },
                "delay": { "p50_ms": 0.5, "p99_ms": p99, "max_ms": 9.0 },
                "server": { "cpu_share": 0.4, "ns_per_packet": 3_000.0, "resident_bytes": 102_000_000 },
                "own": { "cpu_share": 0.5, "limit": null },
                "trouble": null,
            },
        })
    }

    #[test]
    fn a_run_counts_if_all_were_there_and_heard_everyone() {
        let run = good(2.0);
        assert_eq!(run.complete(), Ok(()));
        assert_eq!((run.told, run.bytes_each, run.lost), (20.0, 100_000.0, 2.0));
        assert_eq!((run.inside.parts.as_slice(), run.inside.carried), ([1_000.0, 1_020.0].as_slice(), 90.0));
        let deaf = Run::of(&report(10_089, 2.0), run.inside.clone()).unwrap();
        assert_eq!(deaf.complete(), Err("10089 streams were heard in place of 10090".to_owned()));
        let mut alone = run;
        alone.inside.parts = vec![2_020.0, 0.0];
        assert!(alone.complete().unwrap_err().contains("no part"));
    }

    #[test]
    fn the_most_of_each_figure_is_kept() {
        let of = |participants, part, carried| Inside { participants, parts: vec![part], carried };
        assert_eq!(of(3.0, 1.0, 5.0).most(&of(1.0, 2.0, 7.0)), of(3.0, 2.0, 7.0));
        assert_eq!(Inside::default().most(&of(1.0, 2.0, 7.0)), of(1.0, 2.0, 7.0));
    }
}
