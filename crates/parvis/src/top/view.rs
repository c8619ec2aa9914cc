// SPDX-License-Identifier: EUPL-1.2
//! What `parvis top` shows of two pages: figures of now, and what happened between.

use std::fmt::Write;
use std::time::Duration;

use super::page::Page;

/// The picture, of lines of at most 80 characters.
pub(super) fn picture(before: &Page, now: &Page, between: Duration) -> String {
    let seconds = between.as_secs_f64().max(0.001);
    let rate = |name: &str| (now.sum(name) - before.sum(name)).max(0.0) / seconds;
    let mean = |name: &str| {
        let grown = |of: &str| now.sum(&format!("{name}_{of}")) - before.sum(&format!("{name}_{of}"));
        let count = grown("count");
        (count > 0.0).then(|| grown("sum") / count)
    };
    let mut out = String::new();
    let mut line = |text: String| {
        // Writing to memory does not fail.
        let _ = writeln!(out, "{text}");
    };
    line(format!(
        "people {:>6}   rooms {:>6}   recordings {:>4}   films {:>3}   streams {:>3}",
        now.sum("parvis_participants"),
        now.sum("parvis_rooms"),
        now.sum("parvis_recordings"),
        now.sum("parvis_recording_films"),
        now.sum("parvis_live_streams"),
    ));
    line(format!(
        "cpu {:>7.2} cores   memory {:>10}   files {:>7} of {}",
        rate("process_cpu_seconds_total"),
        bytes(now.sum("process_resident_memory_bytes")),
        now.sum("process_open_fds"),
        now.sum("process_max_fds"),
    ));
    line(format!(
        "joins {:>6.1}/s refused {:>6.1}/s   connect {:>8}   first packet {:>8}",
        (now.sum_where("parvis_joins_total", "outcome", "ok")
            - before.sum_where("parvis_joins_total", "outcome", "ok"))
        .max(0.0)
            / seconds,
        rate("parvis_joins_total")
            - (now.sum_where("parvis_joins_total", "outcome", "ok")
                - before.sum_where("parvis_joins_total", "outcome", "ok"))
                / seconds,
        time(mean("parvis_participant_connect_seconds")),
        time(mean("parvis_subscription_start_seconds")),
    ));
    line(format!(
        "lost {:>7}   round trip {:>8}   estimate {:>12}   limited {:>4.0} %",
        mean("parvis_participant_loss_ratio")
            .map_or_else(|| "–".to_owned(), |loss| format!("{:.1} %", loss * 100.0)),
        time(mean("parvis_participant_round_trip_seconds")),
        mean("parvis_participant_estimate_bits_per_second").map_or_else(|| "–".to_owned(), bits),
        100.0
            * (now.sum_where("parvis_participant_reports_total", "limited", "yes")
                - before.sum_where("parvis_participant_reports_total", "limited", "yes"))
            / (rate("parvis_participant_reports_total") * seconds).max(1.0),
    ));
    line(String::new());
    line("shard   peers  rooms   packets in/s  packets out/s      sent  dropped/s".to_owned());
    for shard in now.values("parvis_forwarder_peers", "shard") {
        let of = |name: &str| now.sum_where(name, "shard", &shard);
        let rate = |name: &str| (of(name) - before.sum_where(name, "shard", &shard)).max(0.0) / seconds;
        let dropped: f64 = [
            "parvis_shard_udp_dropped_full_total",
            "parvis_media_dropped_pacer_full_total",
            "parvis_media_dropped_ingress_limit_total",
            "parvis_media_dropped_malformed_total",
        ]
        .into_iter()
        .map(rate)
        .sum();
        line(format!(
            "{shard:>5} {:>7} {:>6} {:>14.0} {:>14.0} {:>9} {:>10.1}",
            of("parvis_forwarder_peers"),
            of("parvis_forwarder_rooms"),
            rate("parvis_shard_udp_packets_in_total"),
            rate("parvis_shard_udp_packets_out_total"),
            bits(rate("parvis_shard_udp_bytes_out_total") * 8.0),
            dropped,
        ));
    }
    out
}

fn time(seconds: Option<f64>) -> String {
    match seconds {
        None => "–".to_owned(),
        Some(seconds) if seconds < 1.0 => format!("{:.0} ms", seconds * 1_000.0),
        Some(seconds) => format!("{seconds:.1} s"),
    }
}

fn bits(rate: f64) -> String {
    scaled(rate, 1_000.0, ["bit/s", "kbit/s", "Mbit/s", "Gbit/s"])
}

fn bytes(amount: f64) -> String {
    scaled(amount, 1_024.0, ["B", "KiB", "MiB", "GiB"])
}

fn scaled(amount: f64, step: f64, units: [&str; 4]) -> String {
    let (mut amount, mut unit) = (amount, units[0]);
    for next in &units[1..] {
        if amount < step {
            break;
        }
        (amount, unit) = (amount / step, next);
    }
    format!("{amount:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_between_two_pages_is_shown_for_a_second() {
        let page = |sent: u64, joins: u64, refused: u64, sum: f64, count: u64| {
            Page::read(&format!(
                "parvis_participants 12\nparvis_rooms 3\nparvis_forwarder_peers{{shard=\"0\"}} 24\n\
                 parvis_forwarder_rooms{{shard=\"0\"}} 3\nparvis_shard_udp_packets_out_total{{shard=\"0\"}} {sent}\n\
                 parvis_joins_total{{outcome=\"ok\"}} {joins}\nparvis_joins_total{{outcome=\"token\"}} {refused}\n\
                 parvis_participant_round_trip_seconds_sum {sum}\nparvis_participant_round_trip_seconds_count {count}\n\
                 process_resident_memory_bytes 104857600\n"
            ))
        };
        let picture =
            picture(&page(1_000, 5, 0, 1.0, 10), &page(5_000, 9, 2, 1.5, 20), Duration::from_secs(2));
        let line = |start: &str| {
            let found = picture.lines().find(|line| line.trim_start().starts_with(start));
            found.unwrap_or_else(|| panic!("no line {start:?} in\n{picture}"))
        };
        assert!(line("people").contains("people     12   rooms      3"), "{picture}");
        assert!(line("cpu").contains("100.0 MiB"), "{picture}");
        assert!(line("joins").contains("2.0/s refused    1.0/s"), "{picture}");
        assert!(line("lost").contains("50 ms"), "{picture}");
        assert!(line("0 ").contains(" 2000 "), "{picture}");
        assert!(picture.lines().all(|line| line.chars().count() <= 80), "{picture}");
    }

    #[test]
    fn figures_have_units_that_people_read() {
        assert_eq!(bits(0.0), "0.0 bit/s");
        assert_eq!(bits(2_500_000.0), "2.5 Mbit/s");
        assert_eq!(bytes(3.5 * 1_073_741_824.0), "3.5 GiB");
        assert_eq!(
            (time(None), time(Some(0.045)), time(Some(2.0))),
            ("–".into(), "45 ms".into(), "2.0 s".into())
        );
    }
}
