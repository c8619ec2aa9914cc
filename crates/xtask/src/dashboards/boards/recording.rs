// SPDX-License-Identifier: EUPL-1.2
//! The dashboard of recording and streaming.

use super::super::{Board, Kind, Panel, Row};

pub(super) const BOARD: Board = Board {
    name: "recording",
    title: "recording and streaming",
    rows: &[
        Row {
            title: "Recordings",
            panels: &[
                Panel {
                    title: "Going on",
                    about: "Recordings, films that are being made and that wait, and streams that can be watched.",
                    kind: Kind::Lines,
                    unit: "short",
                    queries: &[
                        (r#"sum(parvis_recordings{instance=~"$instance"})"#, "recordings"),
                        (r#"sum(parvis_recording_films{instance=~"$instance"})"#, "films"),
                        (r#"sum(parvis_recording_films_waiting{instance=~"$instance"})"#, "films waiting"),
                        (r#"sum(parvis_live_streams{instance=~"$instance"})"#, "streams"),
                    ],
                },
                Panel {
                    title: "Ended",
                    about: "How recordings ended. Anything but complete is worth a look.",
                    kind: Kind::Lines,
                    unit: "short",
                    queries: &[(
                        r#"sum by (status) (increase(parvis_recordings_ended_total{instance=~"$instance"}[$__rate_interval]))"#,
                        "{{status}}",
                    )],
                },
                Panel {
                    title: "Time to begin",
                    about: "From asking for a recording or a stream until its worker is at it. Long, if workers wait for the processor.",
                    kind: Kind::Lines,
                    unit: "s",
                    queries: &[
                        (
                            r#"histogram_quantile(0.5, sum by (le) (rate(parvis_recording_start_seconds_bucket{instance=~"$instance"}[$__rate_interval])))"#,
                            "half",
                        ),
                        (
                            r#"histogram_quantile(0.95, sum by (le) (rate(parvis_recording_start_seconds_bucket{instance=~"$instance"}[$__rate_interval])))"#,
                            "19 of 20",
                        ),
                    ],
                },
                Panel {
                    title: "Refused",
                    about: "Recordings refused by a limit.",
                    kind: Kind::Lines,
                    unit: "short",
                    queries: &[(
                        r#"sum by (limit) (increase(parvis_recordings_refused_total{instance=~"$instance"}[$__rate_interval]))"#,
                        "{{limit}}",
                    )],
                },
            ],
        },
        Row {
            title: "Workers",
            panels: &[
                Panel {
                    title: "Workers",
                    about: "Processes started, killed because they hung, and died. Died ones are started again and go on.",
                    kind: Kind::Lines,
                    unit: "short",
                    queries: &[
                        (
                            r#"sum(increase(parvis_recording_workers_started_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "started",
                        ),
                        (
                            r#"sum(increase(parvis_recording_workers_killed_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "killed",
                        ),
                        (
                            r#"sum(increase(parvis_recording_workers_died_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "died",
                        ),
                    ],
                },
                Panel {
                    title: "Gaps",
                    about: "Packets that never reached a recording, and repairs that workers asked for.",
                    kind: Kind::Lines,
                    unit: "pps",
                    queries: &[
                        (
                            r#"sum(rate(parvis_recording_packets_lost_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "lost",
                        ),
                        (
                            r#"sum(rate(parvis_recording_repairs_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "asked for",
                        ),
                    ],
                },
                Panel {
                    title: "Encoders",
                    about: "Films and streams by the encoders that were taken, and encoders that failed in the middle.",
                    kind: Kind::Lines,
                    unit: "short",
                    queries: &[
                        (
                            r#"sum by (family) (increase(parvis_media_encoder_chosen_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "{{family}}",
                        ),
                        (
                            r#"sum by (family) (increase(parvis_media_encoder_failed_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "{{family}} failed",
                        ),
                    ],
                },
            ],
        },
        Row {
            title: "What people watch, and what is kept",
            panels: &[
                Panel {
                    title: "Viewers' requests",
                    about: "Requests of those who watch streams, and requests that were refused.",
                    kind: Kind::Lines,
                    unit: "ops",
                    queries: &[
                        (
                            r#"sum(rate(parvis_live_requests_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "answered",
                        ),
                        (
                            r#"sum(rate(parvis_live_refused_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "refused",
                        ),
                    ],
                },
                Panel {
                    title: "Streams pushed",
                    about: "Targets that fell over for good, and tries that are repeated.",
                    kind: Kind::Lines,
                    unit: "short",
                    queries: &[
                        (
                            r#"sum(increase(parvis_stream_retries_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "repeated",
                        ),
                        (
                            r#"sum(increase(parvis_stream_targets_failed_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "failed",
                        ),
                    ],
                },
                Panel {
                    title: "Erased, and overdue",
                    about: "Recordings erased at the end of their time, and those that should be and are not.",
                    kind: Kind::Lines,
                    unit: "short",
                    queries: &[
                        (
                            r#"sum(increase(parvis_recordings_erased_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "erased",
                        ),
                        (r#"sum(parvis_recordings_overdue{instance=~"$instance"})"#, "overdue"),
                    ],
                },
            ],
        },
    ],
};
