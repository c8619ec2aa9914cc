// SPDX-License-Identifier: EUPL-1.2
//! What was decided for people, and is remembered when they have gone for a while; and who may not come back.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::{RightsChange, Role};

/// What is known of one identity.
#[derive(Debug, Clone, Default)]
pub(super) struct Standing {
    pub(super) seat: Option<String>,
    pub(super) address: Option<String>,
    /// What it was made by somebody, or by its host key. It counts more than what a token says.
    pub(super) role: Option<Role>,
    /// What it was when it came, if nothing was decided.
    pub(super) came_as: Option<Role>,
    /// Whether it conducts only until somebody comes who does so by right.
    pub(super) stand_in: bool,
    /// Whether it ever conducted by right.
    pub(super) conducted: bool,
    /// What was decided about its rights.
    pub(super) rights: RightsChange,
    /// Until when it comes back past the lobby.
    pub(super) welcome_until: Option<Instant>,
    touched: u64,
}

impl Standing {
    /// What it is by right.
    pub(super) fn own_role(&self, default: Role) -> Role {
        self.role.or(self.came_as).unwrap_or(default)
    }

    /// What it is now.
    pub(super) fn role_now(&self, default: Role) -> Role {
        let own = self.own_role(default);
        if self.stand_in { own.max(Role::Moderator) } else { own }
    }

    /// How much is lost by forgetting it: what a stranger can bring about goes before what a moderator decided.
    fn weight(&self) -> u8 {
        if self.role.is_some() || self.rights != RightsChange::default() {
            2
        } else {
            u8::from(self.welcome_until.is_some())
        }
    }
}

/// What is known of people, as many as the bounds allow.
#[derive(Debug, Default)]
pub(super) struct Standings {
    by_identity: BTreeMap<String, Standing>,
    touches: u64,
}

impl Standings {
    pub(super) fn get(&self, identity: &str) -> Option<&Standing> {
        self.by_identity.get(identity)
    }

    pub(super) fn get_mut(&mut self, identity: &str) -> Option<&mut Standing> {
        self.by_identity.get_mut(identity)
    }

    /// What is known of that identity on that seat. Who sits on another seat is another one.
    pub(super) fn at(&self, identity: &str, seat: Option<&str>) -> Option<&Standing> {
        self.by_identity
            .get(identity)
            .filter(|standing| seat.is_none() || standing.seat.is_none() || standing.seat.as_deref() == seat)
    }

    /// The standing of that identity on that seat, a new one where there is none.
    pub(super) fn open(&mut self, identity: &str, seat: Option<&str>) -> &mut Standing {
        self.touches += 1;
        if self.at(identity, seat).is_none() {
            self.by_identity.remove(identity);
        }
        let standing = self.by_identity.entry(identity.to_owned()).or_default();
        standing.touched = self.touches;
        if let Some(seat) = seat {
            standing.seat = Some(seat.to_owned());
        }
        standing
    }

    /// Forgets people who are not `kept` until there are no more than that many, and says how many.
    pub(super) fn forget_beyond(&mut self, limit: usize, kept: impl Fn(&str) -> bool) -> u64 {
        let mut forgotten = 0;
        while self.by_identity.len() > limit {
            let spare = self.by_identity.iter().filter(|(identity, _)| !kept(identity));
            let spare = spare.min_by_key(|(_, standing)| (standing.weight(), standing.touched));
            let Some(identity) = spare.map(|(identity, _)| identity.clone()) else { break };
            self.by_identity.remove(&identity);
            forgotten += 1;
        }
        forgotten
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &Standing)> {
        self.by_identity.iter()
    }
}

/// Somebody who may not come back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ban {
    /// By what moderators know it.
    pub id: String,
    /// Who.
    pub identity: String,
    /// By what name.
    pub name: String,
    /// The hash of the seat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seat: Option<String>,
    /// The hash of the address: who comes from there waits in the lobby.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

impl Ban {
    pub(super) fn is_of(&self, identity: &str, seat: Option<&str>) -> bool {
        self.identity == identity || (seat.is_some() && self.seat.as_deref() == seat)
    }
}
