// SPDX-License-Identifier: EUPL-1.2
//! The dashboard of rooms and meetings.

use super::super::{Board, Kind, Panel, Row};

pub(super) const BOARD: Board = Board {
    name: "rooms",
    title: "rooms and meetings",
    rows: &[
        Row {
            title: "Rooms",
            panels: &[
                Panel {
                    title: "Rooms and people",
                    about: "Open rooms and the people in them.",
                    kind: Kind::Lines,
                    unit: "short",
                    queries: &[
                        (r#"sum(parvis_rooms{instance=~"$instance"})"#, "rooms"),
                        (r#"sum(parvis_participants{instance=~"$instance"})"#, "people"),
                    ],
                },
                Panel {
                    title: "Rooms that a fault ended",
                    about: "By cause. Any line above zero is worth a look: see the runbook of ParvisRoomsLost.",
                    kind: Kind::Lines,
                    unit: "short",
                    queries: &[(
                        r#"sum by (cause) (increase(parvis_rooms_lost_total{instance=~"$instance"}[$__rate_interval]))"#,
                        "{{cause}}",
                    )],
                },
                Panel {
                    title: "WebSockets",
                    about: "For signalling, meetings and agents; and participants that came by WHIP or WHEP.",
                    kind: Kind::Lines,
                    unit: "short",
                    queries: &[
                        (r#"sum(parvis_websockets{instance=~"$instance"})"#, "WebSockets"),
                        (r#"sum(parvis_offered_sessions{instance=~"$instance"})"#, "WHIP and WHEP"),
                    ],
                },
            ],
        },
        Row {
            title: "What happens in them",
            panels: &[
                Panel {
                    title: "Signalling",
                    about: "What rooms count: joins, resumes, requests, refusals. Floods and slow readers are people whose clients or lines misbehave.",
                    kind: Kind::Lines,
                    unit: "ops",
                    queries: &[(
                        r#"sum by (what) (rate(parvis_signal_total{instance=~"$instance"}[$__rate_interval]))"#,
                        "{{what}}",
                    )],
                },
                Panel {
                    title: "Meetings",
                    about: "What the meeting itself counts: knocks, waiting, commands, refusals.",
                    kind: Kind::Lines,
                    unit: "ops",
                    queries: &[(
                        r#"sum by (what) (rate(parvis_meeting_total{instance=~"$instance"}[$__rate_interval]))"#,
                        "{{what}}",
                    )],
                },
                Panel {
                    title: "HTTP answers",
                    about: "Answers by status. 5xx are faults of the server; 429 is a limit.",
                    kind: Kind::Lines,
                    unit: "ops",
                    queries: &[(
                        r#"sum by (status) (rate(parvis_http_requests_total{instance=~"$instance"}[$__rate_interval]))"#,
                        "{{status}}",
                    )],
                },
            ],
        },
        Row {
            title: "Who is told",
            panels: &[
                Panel {
                    title: "Webhooks",
                    about: "Deliveries a second. Repeated ones mean a target that is slow or away.",
                    kind: Kind::Lines,
                    unit: "ops",
                    queries: &[
                        (
                            r#"sum(rate(parvis_webhooks_delivered_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "taken",
                        ),
                        (
                            r#"sum(rate(parvis_webhooks_retried_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "repeated",
                        ),
                        (
                            r#"sum(rate(parvis_webhooks_dead_total{instance=~"$instance"}[$__rate_interval]))"#,
                            "given up",
                        ),
                    ],
                },
                Panel {
                    title: "Webhooks that wait",
                    about: "Events that no target has taken yet, and dead ones that somebody should look at.",
                    kind: Kind::Lines,
                    unit: "short",
                    queries: &[
                        (r#"sum(parvis_webhooks_waiting{instance=~"$instance"})"#, "waiting"),
                        (r#"sum(parvis_webhooks_dead{instance=~"$instance"})"#, "dead"),
                    ],
                },
                Panel {
                    title: "Agents",
                    about: "Workers of agents that are registered.",
                    kind: Kind::Lines,
                    unit: "short",
                    queries: &[(r#"sum(parvis_agent_workers{instance=~"$instance"})"#, "workers")],
                },
            ],
        },
    ],
};
