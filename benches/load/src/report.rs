// SPDX-License-Identifier: EUPL-1.2
//! What a run came to: for machines as JSON, for people as a table.

use serde::Serialize;

use crate::Scenario;

/// What a run came to.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What was asked for.
    pub scenario: Scenario,
    /// How many joined.
    pub clients: usize,
    /// Messages in which all of them together were told something about participants.
    pub told: u64,
    /// How the connections are encrypted, and how many of them.
    pub encryption: std::collections::BTreeMap<String, usize>,
    /// How long joining took.
    pub joining: Joining,
    /// The server's resident memory before anyone joined, in bytes.
    pub idle_resident_bytes: Option<u64>,
    /// Beyond what packets count as late or missing.
    pub bounds: Bounds,
    /// The measurement; with steps, the last one that was good, or else the first.
    pub window: Window,
    /// All steps.
    pub steps: Vec<Window>,
    /// Why the steps ended before the last one that was asked for.
    pub end: Option<String>,
    /// From the beginning until nothing more was under way, to be held against a server's own counters.
    pub totals: Totals,
}

/// Packets of RTP from the beginning to the end.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Totals {
    /// That left publishers.
    pub published: u64,
    /// That came to subscribers: media, padding, retransmissions.
    pub arrived: u64,
}

/// Beyond what packets count as late or missing.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Bounds {
    /// The 99th percentile of the delay, in milliseconds.
    pub late_p99_ms: f64,
    /// The share of packets that never came.
    pub lost_share: f64,
}

/// Seconds from opening the connection for signalling.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Joining {
    /// Until a client can send and receive: median and 95th percentile.
    pub ready_median: f64,
    /// See above.
    pub ready_p95: f64,
    /// Until its first packet of media came: median and 95th percentile, of those who receive.
    pub media_median: f64,
    /// See above.
    pub media_p95: f64,
}

/// One window of time.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Window {
    /// Its length.
    pub seconds: f64,
    /// Bits per second of a picture's highest layer.
    pub video_bitrate: u32,
    /// Streams that subscribers received in it.
    pub subscriber_tracks: usize,
    /// What came.
    pub packets: Packets,
    /// How late.
    pub delay: Delay,
    /// How smoothly.
    pub pictures: Pictures,
    /// What the server used up, if it was watched.
    pub server: Option<Server>,
    /// What the load itself used up.
    pub own: Own,
    /// Whether packets were late or missing, and why that is thought.
    pub trouble: Option<String>,
}

/// Packets, as subscribers saw them.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Packets {
    /// Sent by publishers.
    pub published: u64,
    /// What would have arrived if each had reached everyone; without simulcast.
    pub expected: Option<u64>,
    /// Media that arrived.
    pub received: u64,
    /// Of it, sound.
    pub audio: u64,
    /// Of it, pictures.
    pub video: u64,
    /// A second.
    pub received_per_second: f64,
    /// Bits per second, with RTP headers and without IP's.
    pub bits_per_second: f64,
    /// Pictures by simulcast layer, the lowest first.
    pub by_layer: [u64; 3],
    /// Numbers of a stream that never came.
    pub lost: u64,
    /// Numbers of a publisher that never came, although others of the same layer did.
    pub missing: u64,
    /// Packets that came after a later one.
    pub out_of_order: u64,
    /// Packets of nothing but padding.
    pub padding: u64,
    /// Packets on streams for retransmission, as repairs or as probes.
    pub retransmissions: u64,
}

/// From leaving the publisher to being read by a subscriber, in milliseconds.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Delay {
    /// How many were measured.
    pub samples: u64,
    /// Percentiles.
    pub p50_ms: f64,
    /// See above.
    pub p90_ms: f64,
    /// See above.
    pub p99_ms: f64,
    /// See above.
    pub p999_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

/// Of subscribers who decrypt.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Pictures {
    /// Frames of which every packet came.
    pub whole_frames: u64,
    /// Gaps of more than 200 ms between two of them.
    pub freezes: u64,
    /// The share of time in such gaps.
    pub frozen_share: f64,
}

/// What the server used up.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Server {
    /// Time on the processor in the window.
    pub cpu_seconds: f64,
    /// The same as a share of one core.
    pub cpu_share: f64,
    /// The same for each packet that arrived, in nanoseconds.
    pub ns_per_packet: f64,
    /// Resident memory at the window's end.
    pub resident_bytes: u64,
}

/// What the load itself used up.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Own {
    /// Time of its media thread on the processor, as a share of one core.
    pub cpu_share: f64,
    /// Frames and sounds that left more than 10 ms too late, as a share of all.
    pub late_share: f64,
    /// How long its thread was away from its sockets, at the 99th percentile: so much of the delay may be its own.
    pub away_p99_ms: f64,
    /// Packets that its own sockets had no room for.
    pub unsent: u64,
    /// Datagrams that its own end refused.
    pub refused: u64,
    /// Datagrams, or trains of them, that came to its own sockets and found no room, as it read too slowly: what is missing may
    /// be among them. `None` where the system doesn't tell.
    pub overflowed: Option<u64>,
    /// Why the figures are the load's rather than the server's; `None` when they are the server's.
    pub limit: Option<String>,
}

impl Report {
    /// As a table for people.
    pub fn table(&self) -> String {
        let window = &self.window;
        let mut rows: Vec<(String, String)> = Vec::new();
        let mut row = |name: &str, value: String| rows.push((name.to_owned(), value));
        let encryption: Vec<String> =
            self.encryption.iter().map(|(name, count)| format!("{count} × {name}")).collect();
        row(
            "clients",
            format!("{} in {} rooms; {}", self.clients, self.scenario.rooms, encryption.join(", ")),
        );
        let joining = self.joining;
        row("joined, s", format!("median {:.3}, p95 {:.3}", joining.ready_median, joining.ready_p95));
        row("first media, s", format!("median {:.3}, p95 {:.3}", joining.media_median, joining.media_p95));
        row(
            "told",
            format!("{:.1} messages about others each", self.told as f64 / self.clients.max(1) as f64),
        );
        row("streams received", window.subscriber_tracks.to_string());
        let packets = window.packets;
        row(
            "packets",
            format!(
                "{} received in {:.1} s ({} sound, {} pictures {:?}), {:.0} a second, {:.1} Mbit/s",
                packets.received,
                window.seconds,
                packets.audio,
                packets.video,
                packets.by_layer,
                packets.received_per_second,
                packets.bits_per_second / 1e6
            ),
        );
        let expected = packets.expected.map_or("-".to_owned(), |expected| expected.to_string());
        row("expected", format!("{expected}; {} were published", packets.published));
        row(
            "lost",
            format!("{} by the stream's numbers, {} by the publisher's", packets.lost, packets.missing),
        );
        row("out of order", packets.out_of_order.to_string());
        row(
            "besides",
            format!("{} padding, {} for repair or probing", packets.padding, packets.retransmissions),
        );
        let delay = window.delay;
        row(
            "delay, ms",
            format!(
                "p50 {:.3}, p90 {:.3}, p99 {:.3}, p99.9 {:.3}, most {:.3} ({} read)",
                delay.p50_ms, delay.p90_ms, delay.p99_ms, delay.p999_ms, delay.max_ms, delay.samples
            ),
        );
        let pictures = window.pictures;
        row(
            "pictures",
            format!(
                "{} whole frames, {} freezes, {:.2} % frozen",
                pictures.whole_frames,
                pictures.freezes,
                pictures.frozen_share * 100.0
            ),
        );
        if let Some(server) = window.server {
            row(
                "server",
                format!(
                    "{:.2} s of processor ({:.0} % of a core), {:.0} ns a packet, {:.1} MiB resident",
                    server.cpu_seconds,
                    server.cpu_share * 100.0,
                    server.ns_per_packet,
                    server.resident_bytes as f64 / f64::from(1 << 20)
                ),
            );
        }
        let own = &window.own;
        row(
            "the load itself",
            format!(
                "{:.0} % of a core, {:.2} % late, away {:.2} ms at p99, {} lost at its sockets; {}",
                own.cpu_share * 100.0,
                own.late_share * 100.0,
                own.away_p99_ms,
                own.overflowed.map_or("nobody knows how many".to_owned(), |lost| lost.to_string()),
                own.limit.as_deref().unwrap_or("not the limit")
            ),
        );
        row("in all", format!("{} published, {} arrived", self.totals.published, self.totals.arrived));
        if let Some(trouble) = &window.trouble {
            row("trouble", trouble.clone());
        }
        for step in &self.steps {
            row(
                &format!("{} kbit/s", step.video_bitrate / 1_000),
                format!(
                    "{:.0} packets a second, p99 {:.3} ms, server at {:.0} %, load at {:.0} %: {}",
                    step.packets.received_per_second,
                    step.delay.p99_ms,
                    step.server.map_or(0.0, |server| server.cpu_share * 100.0),
                    step.own.cpu_share * 100.0,
                    step.trouble.as_deref().or(step.own.limit.as_deref()).unwrap_or("all well"),
                ),
            );
        }
        if let Some(end) = &self.end {
            row("end", end.clone());
        }
        let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
        rows.iter().map(|(name, value)| format!("{name:<width$}  {value}\n")).collect()
    }
}
