// SPDX-License-Identifier: EUPL-1.2
//! What of a meeting's conduct outlives its room.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Assembly, AssemblyLimits, Ban, Founding, Policy, Role};

/// What must be found again by whoever opens the room once more. A record with a key that we don't know is refused:
/// a rule that is overlooked would be a door that stands open.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Record {
    /// The rules.
    pub policy: Policy,
    /// Who may not come back.
    pub bans: Vec<Ban>,
    /// Who conducts, or did and was told not to any more.
    pub roles: BTreeMap<String, RecordedRole>,
}

/// What somebody was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedRole {
    /// What.
    pub role: Role,
    /// The hash of the seat, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seat: Option<String>,
}

impl Assembly {
    /// What must outlive the room.
    pub fn record(&self) -> Record {
        let decided = self.standings.iter().filter_map(|(identity, standing)| {
            let role = standing.role.filter(|role| role.is_moderator() || standing.conducted)?;
            Some((identity.clone(), RecordedRole { role, seat: standing.seat.clone() }))
        });
        Record { policy: self.policy.clone(), bans: self.bans.clone(), roles: decided.collect() }
    }

    /// The meeting of a room that is opened once more.
    pub fn restore(limits: Arc<AssemblyLimits>, founding: Founding, record: Record) -> Assembly {
        let mut assembly = Assembly::new(limits, founding, record.policy);
        for (identity, recorded) in record.roles {
            let standing = assembly.standings.open(&identity, recorded.seat.as_deref());
            standing.role = Some(recorded.role);
            standing.conducted = true;
            assembly.conducted |= recorded.role.is_moderator();
        }
        // A number that was given once is not given again.
        let numbers = record.bans.iter().filter_map(|ban| ban.id.parse::<u64>().ok());
        assembly.numbers = numbers.max().unwrap_or_default();
        assembly.bans = record.bans;
        assembly
    }
}
