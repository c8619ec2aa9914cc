// SPDX-License-Identifier: EUPL-1.2
//! The dashboard of shards and packets.

use super::super::{Board, Kind, Panel, Row};

pub(super) const BOARD: Board = Board {
    name: "forwarding",
    title: "shards and packets",
    rows: &[
        Row {
            title: "Load",
            panels: &[
                Panel {
                    title: "Busy",
                    about: "Share of the time in which a shard's thread did not wait. Above nine tenths it is full; turns of more than 20 ms are felt.",
                    kind: Kind::Lines,
                    unit: "percentunit",
                    queries: &[
                        (
                            r#"sum by (shard) (rate(parvis_shard_busy_seconds_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "{{shard}}",
                        ),
                        (
                            r#"sum by (shard) (rate(parvis_shard_late_turns_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "late turns a second, {{shard}}",
                        ),
                    ],
                },
                Panel {
                    title: "Packets",
                    about: "Forwarded by each shard: sent, and received.",
                    kind: Kind::Lines,
                    unit: "pps",
                    queries: &[
                        (
                            r#"sum by (shard) (rate(parvis_media_sent_packets_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "sent, {{shard}}",
                        ),
                        (
                            r#"sum by (shard) (rate(parvis_media_received_packets_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "received, {{shard}}",
                        ),
                    ],
                },
                Panel {
                    title: "Bytes",
                    about: "Datagrams of each shard, with headers of RTP and SRTP.",
                    kind: Kind::Lines,
                    unit: "Bps",
                    queries: &[
                        (
                            r#"sum by (shard) (rate(parvis_shard_udp_bytes_out_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "out, {{shard}}",
                        ),
                        (
                            r#"sum by (shard) (rate(parvis_shard_udp_bytes_in_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "in, {{shard}}",
                        ),
                    ],
                },
                Panel {
                    title: "Peers and rooms",
                    about: "Peer connections and rooms on each shard.",
                    kind: Kind::Lines,
                    unit: "short",
                    queries: &[
                        (
                            r#"sum by (shard) (parvis_forwarder_peers{instance=~"$instance"})"#,
                            "peers, {{shard}}",
                        ),
                        (
                            r#"sum by (shard) (parvis_forwarder_rooms{instance=~"$instance"})"#,
                            "rooms, {{shard}}",
                        ),
                    ],
                },
            ],
        },
        Row {
            title: "How well it goes",
            panels: &[
                Panel {
                    title: "Datagrams for a call",
                    about: "Datagrams for each system call: more is cheaper. It falls when the load is small.",
                    kind: Kind::Lines,
                    unit: "short",
                    queries: &[
                        (
                            r#"sum by (shard) (rate(parvis_shard_udp_packets_out_total{instance=~"$instance"}[$__rate_interval])) / sum by (shard) (rate(parvis_shard_udp_send_calls_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "sent, {{shard}}",
                        ),
                        (
                            r#"sum by (shard) (rate(parvis_shard_udp_packets_in_total{instance=~"$instance"}[$__rate_interval])) / sum by (shard) (rate(parvis_shard_udp_receive_calls_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "received, {{shard}}",
                        ),
                    ],
                },
                Panel {
                    title: "In trains",
                    about: "Share of datagrams that left in a train of two or more (UDP GSO).",
                    kind: Kind::Lines,
                    unit: "percentunit",
                    queries: &[(
                        r#"sum by (shard) (rate(parvis_shard_udp_packets_out_gso_total{instance=~"$instance"}[$__rate_interval])) / sum by (shard) (rate(parvis_shard_udp_packets_out_total{instance=~"$instance"}[$__rate_interval]))"#,
                        "{{shard}}",
                    )],
                },
                Panel {
                    title: "Turns",
                    about: "Turns of each shard's loop. One that stands still is the shard that has failed.",
                    kind: Kind::Lines,
                    unit: "ops",
                    queries: &[(
                        r#"sum by (shard) (rate(parvis_shard_turns_total{instance=~"$instance"}[$__rate_interval]))"#,
                        "{{shard}}",
                    )],
                },
            ],
        },
        Row {
            title: "What is thrown away",
            panels: &[
                Panel {
                    title: "By sockets",
                    about: "Datagrams that the kernel did not take, or refused.",
                    kind: Kind::Lines,
                    unit: "pps",
                    queries: &[
                        (
                            r#"sum(rate(parvis_shard_udp_dropped_full_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "buffer full",
                        ),
                        (
                            r#"sum(rate(parvis_shard_udp_send_errors_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "refused",
                        ),
                        (
                            r#"sum(rate(parvis_shard_udp_truncated_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "too long",
                        ),
                    ],
                },
                Panel {
                    title: "By forwarders",
                    about: "Datagrams of nobody that is known, and checks that were not read because too many had failed.",
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
                        (
                            r#"sum(rate(parvis_forwarder_unsendable_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "nowhere to go",
                        ),
                    ],
                },
                Panel {
                    title: "By rooms",
                    about: "Packets beyond a limit, malformed, or of a codec that nobody agreed on.",
                    kind: Kind::Lines,
                    unit: "pps",
                    queries: &[
                        (
                            r#"sum(rate(parvis_media_dropped_ingress_limit_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "limit",
                        ),
                        (
                            r#"sum(rate(parvis_media_dropped_malformed_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "malformed",
                        ),
                        (
                            r#"sum(rate(parvis_media_dropped_unknown_stream_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "unknown stream",
                        ),
                    ],
                },
            ],
        },
        Row {
            title: "Between shards, and TCP",
            panels: &[
                Panel {
                    title: "Trunks",
                    about: "Packets of rooms that stand on several shards. Overflow is loss for the part that did not get them.",
                    kind: Kind::Lines,
                    unit: "pps",
                    queries: &[
                        (
                            r#"sum(rate(parvis_forwarder_trunk_packets_out_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "out",
                        ),
                        (
                            r#"sum(rate(parvis_forwarder_trunk_packets_in_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "in",
                        ),
                        (
                            r#"sum(rate(parvis_forwarder_trunk_overflow_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "overflow",
                        ),
                    ],
                },
                Panel {
                    title: "Media over TCP",
                    about: "Connections that carry media where UDP is blocked.",
                    kind: Kind::Lines,
                    unit: "short",
                    queries: &[(
                        r#"sum(parvis_shard_tcp_connections{instance=~"$instance"})"#,
                        "connections",
                    )],
                },
                Panel {
                    title: "Segmentation refused",
                    about: "Trains that the system refused and that left one by one: an interface without it costs twice.",
                    kind: Kind::Lines,
                    unit: "ops",
                    queries: &[(
                        r#"sum(rate(parvis_shard_gso_fallbacks_total{instance=~"$instance"}[$__rate_interval]))"#,
                        "trains",
                    )],
                },
            ],
        },
    ],
};
