// SPDX-License-Identifier: EUPL-1.2
//! The dashboard of security.

use super::super::{Board, Kind, Panel, Row};

pub(super) const BOARD: Board = Board {
    name: "security",
    title: "security",
    rows: &[
        Row {
            title: "The audit log",
            panels: &[
                Panel {
                    title: "Entries",
                    about: "Entries written, and events that could not be: any of these is an alert.",
                    kind: Kind::Lines,
                    unit: "ops",
                    queries: &[
                        (
                            r#"sum(rate(parvis_audit_entries_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "written",
                        ),
                        (
                            r#"sum(rate(parvis_audit_lost_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "lost",
                        ),
                    ],
                },
                Panel {
                    title: "Signed",
                    about: "How long entries wait for a signed checkpoint. Much more than the configured interval means that signing fails.",
                    kind: Kind::Lines,
                    unit: "s",
                    queries: &[(r#"max(parvis_audit_unsigned_seconds{instance=~"$instance"})"#, "unsigned")],
                },
                Panel {
                    title: "Whole",
                    about: "1 when the last check found the log changed; and how full it is of what it may take.",
                    kind: Kind::Lines,
                    unit: "percentunit",
                    queries: &[
                        (r#"max(parvis_audit_broken{instance=~"$instance"})"#, "broken"),
                        (
                            r#"max(parvis_audit_bytes{instance=~"$instance"} / parvis_audit_max_bytes{instance=~"$instance"})"#,
                            "full",
                        ),
                    ],
                },
            ],
        },
        Row {
            title: "At the door",
            panels: &[
                Panel {
                    title: "Joins refused",
                    about: "By reason. A rise of one reason at one time is somebody who tries.",
                    kind: Kind::Lines,
                    unit: "ops",
                    queries: &[(
                        r#"sum by (outcome) (rate(parvis_joins_total{instance=~"$instance", outcome!="ok"}[$__rate_interval]))"#,
                        "{{outcome}}",
                    )],
                },
                Panel {
                    title: "Connections turned away",
                    about: "By the limit that was hit: for one address, or for all together.",
                    kind: Kind::Lines,
                    unit: "ops",
                    queries: &[(
                        r#"sum by (limit) (rate(parvis_http_connections_refused_total{instance=~"$instance"}[$__rate_interval]))"#,
                        "{{limit}}",
                    )],
                },
                Panel {
                    title: "WebSockets that we closed",
                    about: "By cause. Floods and malformed messages are not people.",
                    kind: Kind::Lines,
                    unit: "ops",
                    queries: &[(
                        r#"sum by (cause) (rate(parvis_websockets_closed_total{instance=~"$instance"}[$__rate_interval]))"#,
                        "{{cause}}",
                    )],
                },
            ],
        },
        Row {
            title: "On the public port",
            panels: &[
                Panel {
                    title: "TLS",
                    about: "Handshakes that came to their end, and that failed.",
                    kind: Kind::Lines,
                    unit: "ops",
                    queries: &[
                        (
                            r#"sum(rate(parvis_edge_tls_handshakes_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "made",
                        ),
                        (
                            r#"sum(rate(parvis_edge_tls_failed_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "failed",
                        ),
                    ],
                },
                Panel {
                    title: "Neither this nor that",
                    about: "Connections that said nothing in time, or spoke no protocol of ours: scanners, mostly.",
                    kind: Kind::Lines,
                    unit: "ops",
                    queries: &[
                        (
                            r#"sum(rate(parvis_edge_silent_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "silent",
                        ),
                        (
                            r#"sum(rate(parvis_edge_unknown_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "unknown",
                        ),
                    ],
                },
                Panel {
                    title: "Proxies",
                    about: "Connections of trusted proxies whose header is none, or for an address that has enough.",
                    kind: Kind::Lines,
                    unit: "ops",
                    queries: &[
                        (
                            r#"sum(rate(parvis_edge_proxy_malformed_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "malformed",
                        ),
                        (
                            r#"sum(rate(parvis_edge_proxy_refused_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "refused",
                        ),
                    ],
                },
            ],
        },
        Row {
            title: "On the media ports",
            panels: &[
                Panel {
                    title: "Strangers",
                    about: "Datagrams from nobody that is known, and checks not read because too many had failed.",
                    kind: Kind::Lines,
                    unit: "pps",
                    queries: &[
                        (
                            r#"sum(rate(parvis_forwarder_strangers_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "strangers",
                        ),
                        (
                            r#"sum(rate(parvis_forwarder_throttled_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "throttled",
                        ),
                    ],
                },
                Panel {
                    title: "Beyond limits",
                    about: "Packets, tracks and requests beyond what one participant may send.",
                    kind: Kind::Lines,
                    unit: "pps",
                    queries: &[
                        (
                            r#"sum(rate(parvis_media_dropped_ingress_limit_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "packets",
                        ),
                        (
                            r#"sum(rate(parvis_media_refused_limit_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "tracks",
                        ),
                        (
                            r#"sum(rate(parvis_media_key_frame_requests_over_budget_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "key frames",
                        ),
                    ],
                },
                Panel {
                    title: "Malformed",
                    about: "Packets that no receiver should see.",
                    kind: Kind::Lines,
                    unit: "pps",
                    queries: &[
                        (
                            r#"sum(rate(parvis_media_dropped_malformed_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "malformed",
                        ),
                        (
                            r#"sum(rate(parvis_media_nack_overflow_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "NACKs beyond the limit",
                        ),
                    ],
                },
            ],
        },
        Row {
            title: "In meetings",
            panels: &[
                Panel {
                    title: "Signalling",
                    about: "Requests refused, unknown or malformed, and senders that flooded.",
                    kind: Kind::Lines,
                    unit: "ops",
                    queries: &[(
                        r#"sum by (what) (rate(parvis_signal_total{instance=~"$instance", what=~"floods|malformed|requests_refused|requests_unknown|revoked_refused|joins_refused"}[$__rate_interval]))"#,
                        "{{what}}",
                    )],
                },
                Panel {
                    title: "Meetings",
                    about: "Commands refused or malformed, wrong passwords, bans.",
                    kind: Kind::Lines,
                    unit: "ops",
                    queries: &[(
                        r#"sum by (what) (rate(parvis_meeting_total{instance=~"$instance", what=~"commands_malformed|commands_refused|refused_.*|removed"}[$__rate_interval]))"#,
                        "{{what}}",
                    )],
                },
            ],
        },
    ],
};
