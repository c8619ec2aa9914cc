// SPDX-License-Identifier: EUPL-1.2
//! What the store keeps, one file for each family of tables. Each is methods of [`crate::Store`]: create, update, list,
//! delete; what is deleted is given back.

mod audit;
mod dispatch;
mod egress;
mod erasures;
mod events;
mod ingress;
mod keys;
mod meetings;
mod outbox;
mod rooms;
mod sip;

pub use audit::{AuditCopy, AuditPerson, AuditProblem, AuditState};
pub use erasures::{EraseReason, Erasure};
pub use events::PastEvent;
pub use keys::StoredKey;
pub use meetings::{MeetingRow, StoredMeeting};
pub use outbox::{DueEvent, HeldEvent, NewEvent};
pub use rooms::RoomSettings;
pub use sip::SipTrunk;

use crate::records::Table;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Int,
    /// A record that may be sealed: its table says so.
    Record,
}

/// A table with all its columns, in an order in which rows may refer to rows of tables before it.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [(&'static str, Kind)],
    /// What tells its rows apart; the order in which they are read.
    pub(crate) key: &'static str,
    /// How its records are read, if it has some.
    pub(crate) records: Option<&'static Table>,
}

use Kind::{Int, Record, Text};

/// Every table, for backups. A test holds this against the database itself.
pub(crate) const SHAPES: &[Shape] = &[
    Shape {
        name: "rooms",
        columns: &[
            ("tenant", Text),
            ("id", Text),
            ("record", Record),
            ("created_ms", Int),
            ("updated_ms", Int),
        ],
        key: "tenant, id",
        records: Some(&rooms::ROOMS),
    },
    Shape {
        name: "api_keys",
        columns: &[
            ("id", Text),
            ("tenant", Text),
            ("record", Record),
            ("created_ms", Int),
            ("updated_ms", Int),
        ],
        key: "id",
        records: Some(&keys::KEYS),
    },
    Shape {
        name: "dispatches",
        columns: &[
            ("tenant", Text),
            ("id", Text),
            ("room", Text),
            ("record", Record),
            ("created_ms", Int),
            ("updated_ms", Int),
        ],
        key: "tenant, id",
        records: Some(&dispatch::DISPATCHES),
    },
    Shape {
        name: "sip_trunks",
        columns: &[
            ("tenant", Text),
            ("id", Text),
            ("direction", Text),
            ("record", Record),
            ("created_ms", Int),
            ("updated_ms", Int),
        ],
        key: "tenant, id",
        records: Some(&sip::TRUNKS),
    },
    Shape {
        name: "sip_rules",
        columns: &[
            ("tenant", Text),
            ("id", Text),
            ("record", Record),
            ("created_ms", Int),
            ("updated_ms", Int),
        ],
        key: "tenant, id",
        records: Some(&sip::RULES),
    },
    Shape {
        name: "sip_rule_entries",
        columns: &[("tenant", Text), ("trunk", Text), ("number", Text), ("pin", Text), ("rule", Text)],
        key: "tenant, trunk, number, pin",
        records: None,
    },
    Shape {
        name: "egresses",
        columns: &[
            ("tenant", Text),
            ("id", Text),
            ("room", Text),
            ("state", Text),
            ("record", Record),
            ("created_ms", Int),
            ("updated_ms", Int),
        ],
        key: "tenant, id",
        records: Some(&egress::EGRESSES),
    },
    Shape {
        name: "erasures",
        columns: &[
            ("tenant", Text),
            ("id", Text),
            ("room", Text),
            ("record", Record),
            ("created_ms", Int),
            ("updated_ms", Int),
        ],
        key: "tenant, id",
        records: Some(&erasures::ERASURES),
    },
    Shape {
        name: "ingresses",
        columns: &[
            ("tenant", Text),
            ("id", Text),
            ("room", Text),
            ("key_hash", Text),
            ("record", Record),
            ("created_ms", Int),
            ("updated_ms", Int),
        ],
        key: "tenant, id",
        records: Some(&ingress::INGRESSES),
    },
    Shape {
        name: "meetings",
        columns: &[
            ("tenant", Text),
            ("id", Text),
            ("record", Record),
            ("created_ms", Int),
            ("updated_ms", Int),
        ],
        key: "tenant, id",
        records: Some(&meetings::MEETINGS),
    },
    Shape {
        name: "outbox",
        columns: &[
            ("event_id", Text),
            ("target", Text),
            ("tenant", Text),
            ("lane", Text),
            ("event", Text),
            ("body", Text),
            ("seq", Int),
            ("created_ms", Int),
            ("attempts", Int),
            ("next_ms", Int),
            ("dead_ms", Int),
            ("problem", Text),
        ],
        key: "event_id, target",
        records: None,
    },
    Shape {
        name: "events",
        columns: &[
            ("id", Text),
            ("tenant", Text),
            ("room", Text),
            ("event", Text),
            ("body", Text),
            ("seq", Int),
            ("created_ms", Int),
        ],
        key: "id",
        records: None,
    },
    Shape {
        name: "audit_entries",
        columns: &[("seq", Int), ("tenant", Text), ("entry", Text), ("chain", Text)],
        key: "seq",
        records: None,
    },
    Shape {
        name: "audit_people",
        columns: &[
            ("tenant", Text),
            ("id", Text),
            ("lookup", Text),
            ("record", Record),
            ("created_ms", Int),
            ("updated_ms", Int),
        ],
        key: "tenant, id",
        records: Some(&audit::PEOPLE),
    },
    Shape {
        name: "audit_checkpoints",
        columns: &[("size", Int), ("note", Text), ("created_ms", Int)],
        key: "size",
        records: None,
    },
    Shape {
        name: "audit_state",
        columns: &[
            ("tenant", Text),
            ("id", Text),
            ("record", Record),
            ("size", Int),
            ("bytes", Int),
            ("frontier", Text),
            ("chain", Text),
            ("pruned", Int),
            ("pruned_frontier", Text),
            ("pruned_chain", Text),
            ("created_ms", Int),
            ("updated_ms", Int),
        ],
        key: "tenant, id",
        records: Some(&audit::STATE),
    },
];
