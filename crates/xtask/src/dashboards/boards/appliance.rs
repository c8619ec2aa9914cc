// SPDX-License-Identifier: EUPL-1.2
//! The dashboard of the machine.

use super::super::{Board, Kind, Panel, Row};

pub(super) const BOARD: Board = Board {
    name: "appliance",
    title: "the machine",
    rows: &[
        Row {
            title: "Room and time",
            panels: &[
                Panel {
                    title: "Disk left",
                    about: "Share that is left where the server writes.",
                    kind: Kind::Lines,
                    unit: "percentunit",
                    queries: &[(
                        r#"parvis_disk_free_bytes{instance=~"$instance"} / parvis_disk_size_bytes{instance=~"$instance"}"#,
                        "{{directory}}, {{instance}}",
                    )],
                },
                Panel {
                    title: "Certificate",
                    about: "Time until the certificate on the public port ends. It is renewed a month before.",
                    kind: Kind::Lines,
                    unit: "s",
                    queries: &[(
                        r#"parvis_edge_certificate_not_after_timestamp_seconds{instance=~"$instance"} - time()"#,
                        "{{instance}}",
                    )],
                },
                Panel {
                    title: "Running since",
                    about: "How long the server has been running. A fall to zero is a restart.",
                    kind: Kind::Lines,
                    unit: "s",
                    queries: &[(
                        r#"time() - process_start_time_seconds{instance=~"$instance"}"#,
                        "{{instance}}",
                    )],
                },
            ],
        },
        Row {
            title: "The server's process",
            panels: &[
                Panel {
                    title: "Processor",
                    about: "Seconds of processor time a second: 1 is one core.",
                    kind: Kind::Lines,
                    unit: "short",
                    queries: &[(
                        r#"sum by (instance) (rate(process_cpu_seconds_total{instance=~"$instance"}[$__rate_interval]))"#,
                        "{{instance}}",
                    )],
                },
                Panel {
                    title: "Memory",
                    about: "Resident memory, and the address space.",
                    kind: Kind::Lines,
                    unit: "bytes",
                    queries: &[(
                        r#"process_resident_memory_bytes{instance=~"$instance"}"#,
                        "resident, {{instance}}",
                    )],
                },
                Panel {
                    title: "Threads",
                    about: "Threads of the server: one for each shard, and those of the control side.",
                    kind: Kind::Lines,
                    unit: "short",
                    queries: &[(r#"process_threads{instance=~"$instance"}"#, "{{instance}}")],
                },
            ],
        },
        Row {
            title: "The database",
            panels: &[
                Panel {
                    title: "Operations",
                    about: "Reads and writes of the database.",
                    kind: Kind::Lines,
                    unit: "ops",
                    queries: &[(
                        r#"sum(rate(parvis_store_operations_total{instance=~"$instance"}[$__rate_interval]))"#,
                        "operations",
                    )],
                },
                Panel {
                    title: "Time for one",
                    about: "Mean time of an operation, and the longest since the start.",
                    kind: Kind::Lines,
                    unit: "s",
                    queries: &[
                        (
                            r#"sum(rate(parvis_store_seconds_total{instance=~"$instance"}[$__rate_interval])) / sum(rate(parvis_store_operations_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "mean",
                        ),
                        (r#"max(parvis_store_longest_seconds{instance=~"$instance"})"#, "longest"),
                    ],
                },
                Panel {
                    title: "Failures",
                    about: "Operations that failed, by kind.",
                    kind: Kind::Lines,
                    unit: "short",
                    queries: &[(
                        r#"sum by (kind) (increase(parvis_store_errors_total{instance=~"$instance"}[$__rate_interval]))"#,
                        "{{kind}}",
                    )],
                },
            ],
        },
    ],
};
