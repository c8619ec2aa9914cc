// SPDX-License-Identifier: EUPL-1.2
//! Sums a window of time up, and judges it.

use std::time::{Duration, Instant};

use crate::Scenario;
use crate::client::Client;
use crate::connection::Connection;
use crate::engine::Mark;
use crate::process::{Usage, own_time};
use crate::report::{Bounds, Delay, Own, Packets, Pictures, Server, Window};
use crate::tally::Tally;

/// More of its core than this, and the load's own thread may be what is slow.
const OWN_CPU_SHARE: f64 = 0.9;
/// More than this of what it sends leaves late.
const OWN_LATE_SHARE: f64 = 0.01;
/// More packets gone than this is loss; a 99th percentile above this is delay: a frame at 50 a second.
pub(crate) const BOUNDS: Bounds = Bounds { late_p99_ms: 20.0, lost_share: 0.002 };
/// Packets under way at both ends of a window make its count uncertain by so much.
const UNCERTAIN_SHARE: f64 = 0.02;

pub(crate) fn sum_up(
    scenario: &Scenario,
    video_bitrate: u32,
    mark: &Mark,
    server: Option<Usage>,
    tally: &Tally,
    clients: &[Client],
) -> Window {
    let now = Instant::now();
    let seconds = now.duration_since(mark.at).as_secs_f64();
    let mut packets = Packets {
        published: tally.published,
        expected: (scenario.layers == 1).then_some(tally.expected),
        received: tally.received(),
        audio: tally.audio,
        video: tally.video,
        received_per_second: tally.received() as f64 / seconds,
        bits_per_second: tally.bytes as f64 * 8.0 / seconds,
        by_layer: tally.by_layer,
        padding: tally.padding,
        retransmissions: tally.retransmissions,
        ..Packets::default()
    };
    let mut pictures = Pictures::default();
    let (mut subscriber_tracks, mut moving, mut frozen) = (0, 0, Duration::ZERO);
    for track in clients.iter().flat_map(|client| client.tracks.values()) {
        let of_track = track.window(now);
        subscriber_tracks += usize::from(of_track.received > 0);
        packets.lost += of_track.lost;
        packets.missing += of_track.missing.max(0) as u64;
        packets.out_of_order += of_track.out_of_order;
        pictures.whole_frames += of_track.whole_frames;
        pictures.freezes += of_track.freezes;
        moving += usize::from(of_track.whole_frames > 0);
        frozen += of_track.frozen;
    }
    if moving > 0 {
        pictures.frozen_share = frozen.as_secs_f64() / (seconds * moving as f64);
    }
    let millis = |share: f64| tally.delay.percentile(share).as_secs_f64() * 1e3;
    let delay = Delay {
        samples: tally.delay.count(),
        p50_ms: millis(0.5),
        p90_ms: millis(0.9),
        p99_ms: millis(0.99),
        p999_ms: millis(0.999),
        max_ms: tally.delay.max().as_secs_f64() * 1e3,
    };
    let server = server.zip(mark.server).map(|(after, before)| {
        let cpu = after.cpu.saturating_sub(before.cpu).as_secs_f64();
        Server {
            cpu_seconds: cpu,
            cpu_share: cpu / seconds,
            ns_per_packet: cpu * 1e9 / tally.received().max(1) as f64,
            resident_bytes: after.resident_bytes,
        }
    });
    let mut own = Own {
        cpu_share: own_time().saturating_sub(mark.own).as_secs_f64() / seconds,
        late_share: tally.late as f64 / tally.due.max(1) as f64,
        away_p99_ms: tally.turns.percentile(0.99).as_secs_f64() * 1e3,
        unsent: tally.unsent,
        refused: tally.dropped,
        overflowed: overflowed(clients).zip(mark.overflowed).map(|(now, then)| now.saturating_sub(then)),
        limit: None,
    };
    own.limit = limit(&own);
    let trouble = trouble(&packets, tally.delay.percentile(0.99));
    Window { seconds, video_bitrate, subscriber_tracks, packets, delay, pictures, server, own, trouble }
}

/// Why the figures are the load's own.
fn limit(own: &Own) -> Option<String> {
    if own.cpu_share > OWN_CPU_SHARE {
        return Some(format!(
            "THE LOAD WAS THE LIMIT: its thread took {:.0} % of a core",
            own.cpu_share * 100.0
        ));
    }
    if own.late_share > OWN_LATE_SHARE {
        return Some(format!(
            "THE LOAD WAS THE LIMIT: {:.1} % of its packets left late",
            own.late_share * 100.0
        ));
    }
    if own.unsent > 0 {
        return Some(format!("THE LOAD WAS THE LIMIT: its sockets refused {} packets", own.unsent));
    }
    let lost = own.overflowed.filter(|lost| *lost > 0)?;
    Some(format!("THE LOAD WAS THE LIMIT: it read too slowly, and its sockets lost {lost} datagrams"))
}

/// What all sockets of all clients have lost so far.
pub(crate) fn overflowed(clients: &[Client]) -> Option<u64> {
    let lines = clients.iter().filter_map(|client| client.line.as_ref());
    lines.flat_map(|line| line.sending.iter().chain([&line.receiving])).map(Connection::overflowed).sum()
}

/// Whether packets are late or missing.
fn trouble(packets: &Packets, p99: Duration) -> Option<String> {
    let gone = packets.lost.max(packets.missing);
    let all = packets.received + gone;
    if all == 0 {
        return Some("nothing arrived".to_owned());
    }
    let share = gone as f64 / all as f64;
    if share > BOUNDS.lost_share {
        return Some(format!("{:.2} % of the packets are gone", share * 100.0));
    }
    if let Some(expected) = packets.expected
        && (packets.received as f64) < expected as f64 * (1.0 - UNCERTAIN_SHARE)
    {
        let share = 1.0 - packets.received as f64 / expected as f64;
        return Some(format!("{:.1} % of what was expected did not come", share * 100.0));
    }
    let p99 = p99.as_secs_f64() * 1e3;
    (p99 > BOUNDS.late_p99_ms).then(|| format!("the 99th percentile of the delay is {p99:.1} ms"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_load_accuses_itself_when_it_was_too_slow() {
        let good = Own { cpu_share: 0.5, ..Own::default() };
        assert_eq!(limit(&good), None);
        assert_eq!(limit(&Own { overflowed: Some(0), ..good.clone() }), None);
        for bad in [
            Own { cpu_share: 0.95, ..Own::default() },
            Own { late_share: 0.02, ..Own::default() },
            Own { unsent: 1, ..Own::default() },
            Own { overflowed: Some(1), ..Own::default() },
        ] {
            assert!(limit(&bad).unwrap().contains("THE LOAD WAS THE LIMIT"));
        }
    }

    #[test]
    fn loss_delay_and_silence_are_trouble() {
        let of = |received, lost, missing, expected| Packets {
            received,
            lost,
            missing,
            expected,
            ..Packets::default()
        };
        let soon = Duration::from_millis(1);
        assert_eq!(trouble(&of(1_000, 0, 0, Some(1_010)), soon), None);
        assert!(trouble(&of(0, 0, 0, None), soon).unwrap().contains("nothing"));
        assert!(trouble(&of(1_000, 3, 0, None), soon).unwrap().contains("gone"));
        assert!(trouble(&of(1_000, 0, 3, None), soon).unwrap().contains("gone"));
        assert!(trouble(&of(1_000, 0, 0, Some(1_100)), soon).unwrap().contains("expected"));
        assert!(trouble(&of(1_000, 0, 0, None), Duration::from_millis(21)).unwrap().contains("delay"));
    }
}
