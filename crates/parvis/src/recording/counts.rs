// SPDX-License-Identifier: EUPL-1.2
//! What recordings count, and how the metrics page shows it.

use std::sync::atomic::{AtomicU64, Ordering};

use parvis_api::Sample;

/// What recordings count.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(super) started: AtomicU64,
    pub(super) complete: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) aborted: AtomicU64,
    pub(super) limited: AtomicU64,
    pub(super) refused_jobs: AtomicU64,
    pub(super) refused_space: AtomicU64,
    pub(super) workers: AtomicU64,
    pub(super) workers_killed: AtomicU64,
    pub(super) workers_died: AtomicU64,
    pub(super) news_lost: AtomicU64,
    pub(super) messages_lost: AtomicU64,
    pub(super) repairs: AtomicU64,
    pub(super) repairs_throttled: AtomicU64,
    pub(super) packets_lost: AtomicU64,
    pub(super) strays: AtomicU64,
    pub(super) sources_refused: AtomicU64,
    pub(super) chat_left_out: AtomicU64,
}

impl Counts {
    pub(super) fn add(counter: &AtomicU64, more: u64) {
        counter.fetch_add(more, Ordering::Relaxed);
    }

    /// For the metrics page; `going_on` recordings are there now.
    pub(super) fn samples(&self, going_on: usize) -> Vec<Sample> {
        let counts = self;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        let plain = |name: &str, help, counter: &AtomicU64| Sample {
            name: name.to_owned(),
            help,
            counter: true,
            labels: Vec::new(),
            value: read(counter),
        };
        let labelled = |name: &str, help, (label, value): (&'static str, &str), counter: &AtomicU64| Sample {
            labels: vec![(label, value.to_owned())],
            ..plain(name, help, counter)
        };
        let ended = |status: &str, counter| {
            labelled("parvis_recordings_ended_total", "Recordings that ended.", ("status", status), counter)
        };
        let refused = |limit: &str, counter| {
            labelled(
                "parvis_recordings_refused_total",
                "Recordings refused by a limit.",
                ("limit", limit),
                counter,
            )
        };
        vec![
            Sample {
                name: "parvis_recordings".to_owned(),
                help: "Recordings that go on.",
                counter: false,
                labels: Vec::new(),
                value: going_on as f64,
            },
            plain("parvis_recordings_started_total", "Recordings begun.", &counts.started),
            ended("complete", &counts.complete),
            ended("failed", &counts.failed),
            ended("aborted", &counts.aborted),
            ended("limit_reached", &counts.limited),
            refused("max_jobs", &counts.refused_jobs),
            refused("min_free_bytes", &counts.refused_space),
            plain("parvis_recording_workers_started_total", "Media workers started.", &counts.workers),
            plain(
                "parvis_recording_workers_killed_total",
                "Media workers ended by force.",
                &counts.workers_killed,
            ),
            plain(
                "parvis_recording_workers_died_total",
                "Media workers that ended without saying that they are done.",
                &counts.workers_died,
            ),
            plain(
                "parvis_recording_news_lost_total",
                "News of rooms that found no place on the way to a recording.",
                &counts.news_lost,
            ),
            plain(
                "parvis_recording_messages_lost_total",
                "Messages that found no place on the way to a worker.",
                &counts.messages_lost,
            ),
            plain("parvis_recording_repairs_total", "Repairs that workers asked for.", &counts.repairs),
            plain(
                "parvis_recording_repairs_throttled_total",
                "Repairs that a worker asked for too often.",
                &counts.repairs_throttled,
            ),
            plain(
                "parvis_recording_packets_lost_total",
                "Packets that no repair brought back.",
                &counts.packets_lost,
            ),
            plain(
                "parvis_recording_sources_refused_total",
                "Tracks that workers could not keep.",
                &counts.sources_refused,
            ),
            plain(
                "parvis_recording_chat_left_out_total",
                "Messages that recordings could not keep (recording.max_chat_bytes).",
                &counts.chat_left_out,
            ),
            plain(
                "parvis_recording_strays_total",
                "Packets that workers could do nothing with.",
                &counts.strays,
            ),
        ]
    }
}
