// SPDX-License-Identifier: EUPL-1.2
//! The dashboard of overview.

use super::super::{Board, Kind, Panel, Row};

pub(super) const BOARD: Board = Board {
    name: "overview",
    title: "overview",
    rows: &[
        Row {
            title: "Now",
            panels: &[
                Panel {
                    title: "Servers up",
                    about: "Servers of which the metrics can be read. Less than you run: see the runbook of ParvisDown.",
                    kind: Kind::Figure,
                    unit: "short",
                    queries: &[(r#"sum(up{job="parvis", instance=~"$instance"})"#, "up")],
                },
                Panel {
                    title: "People",
                    about: "Participants in all rooms, viewers among them.",
                    kind: Kind::Figure,
                    unit: "short",
                    queries: &[(r#"sum(parvis_participants{instance=~"$instance"})"#, "people")],
                },
                Panel {
                    title: "Rooms",
                    about: "Rooms that are open now, on all shards.",
                    kind: Kind::Figure,
                    unit: "short",
                    queries: &[(r#"sum(parvis_rooms{instance=~"$instance"})"#, "rooms")],
                },
                Panel {
                    title: "Recordings",
                    about: "Recordings that are going on, films and streams of them included.",
                    kind: Kind::Figure,
                    unit: "short",
                    queries: &[(r#"sum(parvis_recordings{instance=~"$instance"})"#, "recordings")],
                },
                Panel {
                    title: "Sent",
                    about: "Media sent to participants, without the headers of IP and UDP.",
                    kind: Kind::Figure,
                    unit: "bps",
                    queries: &[(
                        r#"sum(rate(parvis_media_sent_bytes_total{instance=~"$instance"}[$__rate_interval])) * 8"#,
                        "sent",
                    )],
                },
                Panel {
                    title: "Disk left",
                    about: "The smallest share of a disk that is left where a server writes. Below a tenth, ParvisDiskFull wakes somebody.",
                    kind: Kind::Figure,
                    unit: "percentunit",
                    queries: &[(
                        r#"min(parvis_disk_free_bytes{instance=~"$instance"} / parvis_disk_size_bytes{instance=~"$instance"})"#,
                        "left",
                    )],
                },
            ],
        },
        Row {
            title: "What people feel",
            panels: &[
                Panel {
                    title: "Joins",
                    about: "Joins a second, by what came of them. Refusals that rise with joins are one organisation's keys or a limit.",
                    kind: Kind::Lines,
                    unit: "ops",
                    queries: &[(
                        r#"sum by (outcome) (rate(parvis_joins_total{instance=~"$instance"}[$__rate_interval]))"#,
                        "{{outcome}}",
                    )],
                },
                Panel {
                    title: "Time to join",
                    about: "From asking for a media connection until media can flow. Half of the people, and all but one in twenty.",
                    kind: Kind::Lines,
                    unit: "s",
                    queries: &[
                        (
                            r#"histogram_quantile(0.5, sum by (le) (rate(parvis_participant_connect_seconds_bucket{instance=~"$instance"}[$__rate_interval])))"#,
                            "half",
                        ),
                        (
                            r#"histogram_quantile(0.95, sum by (le) (rate(parvis_participant_connect_seconds_bucket{instance=~"$instance"}[$__rate_interval])))"#,
                            "19 of 20",
                        ),
                    ],
                },
                Panel {
                    title: "Packets lost",
                    about: "Mean over all participants of what did not arrive. One bad network moves it little; above 5 % it is the server's line.",
                    kind: Kind::Lines,
                    unit: "percentunit",
                    queries: &[(
                        r#"sum by (direction) (rate(parvis_participant_loss_ratio_sum{instance=~"$instance"}[$__rate_interval])) / sum by (direction) (rate(parvis_participant_loss_ratio_count{instance=~"$instance"}[$__rate_interval]))"#,
                        "{{direction}}",
                    )],
                },
            ],
        },
        Row {
            title: "The machine",
            panels: &[
                Panel {
                    title: "Processor",
                    about: "Seconds of processor time a second: 1 is one core. Media workers are processes of their own and not in it.",
                    kind: Kind::Lines,
                    unit: "short",
                    queries: &[(
                        r#"sum by (instance) (rate(process_cpu_seconds_total{instance=~"$instance"}[$__rate_interval]))"#,
                        "{{instance}}",
                    )],
                },
                Panel {
                    title: "Memory",
                    about: "Resident memory of the server.",
                    kind: Kind::Lines,
                    unit: "bytes",
                    queries: &[(r#"process_resident_memory_bytes{instance=~"$instance"}"#, "{{instance}}")],
                },
                Panel {
                    title: "File descriptors",
                    about: "Open ones, against the most that the system allows.",
                    kind: Kind::Lines,
                    unit: "short",
                    queries: &[
                        (r#"process_open_fds{instance=~"$instance"}"#, "open"),
                        (r#"process_max_fds{instance=~"$instance"}"#, "allowed"),
                    ],
                },
            ],
        },
    ],
};
