// SPDX-License-Identifier: EUPL-1.2
//! The figures that dashboards made for Jitsi's bridge ask for, under the names that they ask for (doc/statistics.md of
//! jitsi-videobridge): for operators who come from there. What has no counterpart here is left out rather than invented.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::metrics::Sample;

/// Totals that rates are made of.
const TOTALS: [&str; 4] = [
    "parvis_media_received_bytes_total",
    "parvis_media_sent_bytes_total",
    "parvis_media_received_packets_total",
    "parvis_media_sent_packets_total",
];

/// Remembers the last look: the bridge tells rates, not totals.
#[derive(Debug, Default)]
pub(crate) struct JitsiNames(Mutex<Option<(Instant, [f64; 4])>>);

impl JitsiNames {
    /// Their figures, of ours. Rates are over the time since the last look, and zero at the first.
    pub(crate) fn samples(&self, now: Instant, rooms: i64, people: i64, ours: &[Sample]) -> Vec<Sample> {
        let total =
            |name: &str| ours.iter().filter(|sample| sample.name == name).map(|sample| sample.value).sum();
        let totals: [f64; 4] = TOTALS.map(total);
        let before = self.0.lock().unwrap_or_else(PoisonError::into_inner).replace((now, totals));
        let rates = before.map_or([0.0; 4], |(then, before)| {
            let seconds = now.saturating_duration_since(then).as_secs_f64().max(0.001);
            std::array::from_fn(|at| (totals[at] - before[at]).max(0.0) / seconds)
        });
        let gauge = |name: &str, help, value: f64| Sample {
            name: format!("jitsi_jvb_{name}"),
            help,
            counter: false,
            labels: Vec::new(),
            value,
        };
        let kilobits = |bytes: f64| bytes * 8.0 / 1_000.0;
        let (rooms, people) = (rooms as f64, people as f64);
        vec![
            gauge("conferences", "As parvis_rooms.", rooms),
            gauge("participants", "As parvis_participants.", people),
            gauge("local_endpoints", "As parvis_participants.", people),
            gauge("current_endpoints", "As parvis_participants.", people),
            gauge("bit_rate_download", "Media received, in kbit/s.", kilobits(rates[0])),
            gauge("bit_rate_upload", "Media sent, in kbit/s.", kilobits(rates[1])),
            gauge("packet_rate_download", "Packets of media received, a second.", rates[2]),
            gauge("packet_rate_upload", "Packets of media sent, a second.", rates[3]),
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn rates_are_over_the_time_between_two_looks() {
        let names = JitsiNames::default();
        let total = |shard: &str, value| Sample {
            name: TOTALS[1].to_owned(),
            help: "",
            counter: true,
            labels: vec![("shard", shard.to_owned())],
            value,
        };
        let value = |samples: &[Sample], name: &str| {
            samples.iter().find(|sample| sample.name == name).map(|sample| sample.value).unwrap()
        };
        let start = Instant::now();
        let first = names.samples(start, 2, 9, &[total("0", 1_000.0), total("1", 1_000.0)]);
        assert!(value(&first, "jitsi_jvb_bit_rate_upload").abs() < f64::EPSILON);
        let later = start + Duration::from_secs(2);
        let second = names.samples(later, 2, 9, &[total("0", 26_000.0), total("1", 1_000.0)]);
        assert!(
            (value(&second, "jitsi_jvb_bit_rate_upload") - 100.0).abs() < 1e-6,
            "25 kB in 2 s are 100 kbit/s"
        );
        assert!((value(&second, "jitsi_jvb_conferences") - 2.0).abs() < f64::EPSILON);
        assert!((value(&second, "jitsi_jvb_participants") - 9.0).abs() < f64::EPSILON);
    }
}
