// SPDX-License-Identifier: EUPL-1.2
//! Who conducts when nobody is there any more who does. Never whoever happened to come first: the policy says who, and
//! it lasts until somebody comes who conducts by right.

use std::time::Instant;

use super::{Assembly, At, Role, Successor};

impl Assembly {
    /// Whether somebody is inside who conducts.
    pub(super) fn is_conducted(&self) -> bool {
        self.members.values().any(|member| member.is_moderator())
    }

    /// To be called whenever somebody came or went, or is something else than before.
    pub(super) fn watch_conduct(&mut self, at: At) {
        let waits = self.conducted
            && !self.members.is_empty()
            && self.policy.successor != Successor::Nobody
            && !self.is_conducted();
        self.leaderless_since = waits.then(|| self.leaderless_since.unwrap_or(at.now));
    }

    /// Somebody conducts by right from now on: whoever stood in is what they were, and who waits for that comes in.
    pub(super) fn conducts_by_right(&mut self, at: At) {
        self.conducted = true;
        let stands_in = |identity: &&String| self.standings.get(identity).is_some_and(|s| s.stand_in);
        let stand_ins: Vec<String> = self.members.keys().filter(stands_in).cloned().collect();
        for identity in stand_ins {
            if let Some(standing) = self.standings.get_mut(&identity) {
                standing.stand_in = false;
                let role = standing.own_role(self.policy.default_role);
                self.put_role(at, &identity, role);
            }
        }
        self.reconsider_waiting(at);
    }

    pub(super) fn succession_due(&self) -> Option<Instant> {
        self.leaderless_since.map(|since| since + self.limits.succession_after)
    }

    pub(super) fn hand_over(&mut self, at: At) {
        self.leaderless_since = None;
        let may_follow = |identity: &str| match self.policy.successor {
            Successor::Nobody => false,
            Successor::Moderators => self.standings.get(identity).is_some_and(|standing| standing.conducted),
            Successor::Longest => true,
        };
        let present = self.members.values().filter(|member| member.role == Role::Speaker);
        let heir = present
            .filter(|member| may_follow(&member.identity))
            .min_by_key(|member| self.inside.get(&member.identity).map(|inside| inside.order));
        let Some(heir) = heir.map(|member| member.identity.clone()) else { return };
        if let Some(standing) = self.standings.get_mut(&heir) {
            standing.stand_in = true;
            self.stats.handed_over += 1;
            self.put_role(at, &heir, Role::Moderator);
            self.reconsider_waiting(at);
        }
    }
}
