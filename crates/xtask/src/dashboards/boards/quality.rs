// SPDX-License-Identifier: EUPL-1.2
//! The dashboard of media quality.

use super::super::{Board, Kind, Panel, Row};

pub(super) const BOARD: Board = Board {
    name: "quality",
    title: "media quality",
    rows: &[
        Row {
            title: "Waiting",
            panels: &[
                Panel {
                    title: "Time to join",
                    about: "From asking for a media connection until media can flow: ICE and DTLS.",
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
                    title: "Time to the first packet",
                    about: "From subscribing to a track that flows until its first packet went out. Pictures wait for a key frame.",
                    kind: Kind::Lines,
                    unit: "s",
                    queries: &[
                        (
                            r#"histogram_quantile(0.5, sum by (le) (rate(parvis_subscription_start_seconds_bucket{instance=~"$instance"}[$__rate_interval])))"#,
                            "half",
                        ),
                        (
                            r#"histogram_quantile(0.95, sum by (le) (rate(parvis_subscription_start_seconds_bucket{instance=~"$instance"}[$__rate_interval])))"#,
                            "19 of 20",
                        ),
                    ],
                },
                Panel {
                    title: "Connections",
                    about: "What happened to media connections. Disconnected and resumed are networks that changed; failed ones are over.",
                    kind: Kind::Lines,
                    unit: "ops",
                    queries: &[(
                        r#"sum by (event) (rate(parvis_participant_connections_total{instance=~"$instance"}[$__rate_interval]))"#,
                        "{{event}}",
                    )],
                },
            ],
        },
        Row {
            title: "Networks",
            panels: &[
                Panel {
                    title: "Packets lost",
                    about: "Mean over all participants, by direction as the server sees it: up is to the server.",
                    kind: Kind::Lines,
                    unit: "percentunit",
                    queries: &[(
                        r#"sum by (direction) (rate(parvis_participant_loss_ratio_sum{instance=~"$instance"}[$__rate_interval])) / sum by (direction) (rate(parvis_participant_loss_ratio_count{instance=~"$instance"}[$__rate_interval]))"#,
                        "{{direction}}",
                    )],
                },
                Panel {
                    title: "Round trip",
                    about: "To participants, at each report on their networks.",
                    kind: Kind::Lines,
                    unit: "s",
                    queries: &[
                        (
                            r#"histogram_quantile(0.5, sum by (le) (rate(parvis_participant_round_trip_seconds_bucket{instance=~"$instance"}[$__rate_interval])))"#,
                            "half",
                        ),
                        (
                            r#"histogram_quantile(0.95, sum by (le) (rate(parvis_participant_round_trip_seconds_bucket{instance=~"$instance"}[$__rate_interval])))"#,
                            "19 of 20",
                        ),
                    ],
                },
                Panel {
                    title: "Estimate",
                    about: "What participants are believed to be able to receive: half of them, and the poorest tenth.",
                    kind: Kind::Lines,
                    unit: "bps",
                    queries: &[
                        (
                            r#"histogram_quantile(0.5, sum by (le) (rate(parvis_participant_estimate_bits_per_second_bucket{instance=~"$instance"}[$__rate_interval])))"#,
                            "half",
                        ),
                        (
                            r#"histogram_quantile(0.1, sum by (le) (rate(parvis_participant_estimate_bits_per_second_bucket{instance=~"$instance"}[$__rate_interval])))"#,
                            "the poorest tenth",
                        ),
                    ],
                },
            ],
        },
        Row {
            title: "Pictures and sound",
            panels: &[
                Panel {
                    title: "Less than asked for",
                    about: "Share of reports in which a participant got smaller pictures than it could show, for lack of bandwidth.",
                    kind: Kind::Lines,
                    unit: "percentunit",
                    queries: &[(
                        r#"sum(rate(parvis_participant_reports_total{instance=~"$instance", limited="yes"}[$__rate_interval])) / sum(rate(parvis_participant_reports_total{instance=~"$instance"}[$__rate_interval]))"#,
                        "limited",
                    )],
                },
                Panel {
                    title: "Pictures paused",
                    about: "Pictures that no line was left for, and those that came back.",
                    kind: Kind::Lines,
                    unit: "ops",
                    queries: &[(
                        r#"sum by (state) (rate(parvis_subscription_pauses_total{instance=~"$instance"}[$__rate_interval]))"#,
                        "{{state}}",
                    )],
                },
                Panel {
                    title: "Key frames",
                    about: "Asked for by receivers, and passed on to senders. Few of the first should become many of the second.",
                    kind: Kind::Lines,
                    unit: "ops",
                    queries: &[
                        (
                            r#"sum(rate(parvis_media_key_frame_requests_received_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "asked for",
                        ),
                        (
                            r#"sum(rate(parvis_media_key_frame_requests_sent_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "passed on",
                        ),
                    ],
                },
                Panel {
                    title: "Repair",
                    about: "Packets sent again, and what was made whole without: from redundant sound and from repair packets.",
                    kind: Kind::Lines,
                    unit: "pps",
                    queries: &[
                        (
                            r#"sum(rate(parvis_media_resent_packets_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "sent again",
                        ),
                        (
                            r#"sum(rate(parvis_media_red_recovered_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "by RED",
                        ),
                        (
                            r#"sum(rate(parvis_media_fec_recovered_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "by FlexFEC",
                        ),
                    ],
                },
                Panel {
                    title: "Asked again",
                    about: "NACKs received from receivers, and sent to senders.",
                    kind: Kind::Lines,
                    unit: "ops",
                    queries: &[
                        (
                            r#"sum(rate(parvis_media_nacks_received_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "received",
                        ),
                        (
                            r#"sum(rate(parvis_media_nacks_sent_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "sent",
                        ),
                    ],
                },
                Panel {
                    title: "Too late",
                    about: "Packets that waited too long to be of use, and pictures' packets that found a full queue.",
                    kind: Kind::Lines,
                    unit: "pps",
                    queries: &[
                        (
                            r#"sum(rate(parvis_media_dropped_too_late_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "too late",
                        ),
                        (
                            r#"sum(rate(parvis_media_dropped_expired_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "expired",
                        ),
                        (
                            r#"sum(rate(parvis_media_dropped_pacer_full_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "queue full",
                        ),
                    ],
                },
            ],
        },
    ],
};
