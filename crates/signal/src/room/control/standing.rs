// SPDX-License-Identifier: EUPL-1.2
//! What a moderator decided about identities, for as long as the room lives: whose tokens are revoked (rows 34, 44), and
//! what someone may do whatever an older token says (row 45).

use std::collections::BTreeMap;

use parvis_meeting::Permissions;

/// Decisions by identity, bounded in number.
#[derive(Debug)]
pub(crate) struct Standings {
    limit: usize,
    by_identity: BTreeMap<String, Standing>,
    /// Tokens from before this are revoked, whoever bears them: what is left of revocations that found no place.
    floor: u64,
}

#[derive(Debug, Default)]
struct Standing {
    /// Tokens from before this open nothing.
    revoked_before: u64,
    /// Tokens from up to this moment do not moderate, whatever they say.
    plain_at: Option<u64>,
    /// What tokens from up to this moment allow, in place of what they say.
    permissions: Option<(u64, Permissions)>,
}

impl Standings {
    pub(crate) fn new(limit: usize) -> Standings {
        Standings { limit, by_identity: BTreeMap::new(), floor: 0 }
    }

    /// Revokes the tokens of an identity that count from before `before`, in seconds of Unix time.
    pub(crate) fn revoke(&mut self, identity: &str, before: u64) {
        let standing = self.entry(identity);
        standing.revoked_before = standing.revoked_before.max(before);
        standing.permissions = None;
        self.make_room(identity);
    }

    /// Whether a token of this identity that counts from `not_before` on is revoked.
    pub(crate) fn is_revoked(&self, identity: &str, not_before: u64) -> bool {
        let revoked_before = self.by_identity.get(identity).map_or(0, |standing| standing.revoked_before);
        not_before < revoked_before.max(self.floor)
    }

    /// Keeps what an identity may do from `at` on, in seconds of Unix time.
    pub(crate) fn permit(&mut self, identity: &str, at: u64, permissions: Permissions) {
        self.entry(identity).permissions = Some((at, permissions));
        self.make_room(identity);
    }

    /// What a token that counts from `not_before` on allows here, if that was decided since.
    pub(crate) fn permissions(&self, identity: &str, not_before: u64) -> Option<&Permissions> {
        let (at, permissions) = self.by_identity.get(identity)?.permissions.as_ref()?;
        (not_before <= *at).then_some(permissions)
    }

    /// Whoever bears this identity moderates no more, whatever tokens from up to that moment say; or does again.
    pub(crate) fn plain(&mut self, identity: &str, at: Option<u64>) {
        if at.is_some() || self.by_identity.contains_key(identity) {
            self.entry(identity).plain_at = at;
            self.make_room(identity);
        }
    }

    /// Whether a token that counts from `not_before` on is from before its bearer ceased to moderate.
    pub(crate) fn is_plain(&self, identity: &str, not_before: u64) -> bool {
        let plain_at = self.by_identity.get(identity).and_then(|standing| standing.plain_at);
        plain_at.is_some_and(|at| not_before <= at)
    }

    fn entry(&mut self, identity: &str) -> &mut Standing {
        self.by_identity.entry(identity.to_owned()).or_default()
    }

    /// Gives up one entry other than the newest when there are too many: first one that revokes least. What it revoked is
    /// then revoked for everyone, since the other way would let someone back in.
    fn make_room(&mut self, newest: &str) {
        if self.by_identity.len() <= self.limit.max(1) {
            return;
        }
        let others = self.by_identity.iter().filter(|(identity, _)| *identity != newest);
        let least = others.min_by_key(|(_, standing)| standing.revoked_before);
        if let Some(identity) = least.map(|(identity, _)| identity.clone())
            && let Some(standing) = self.by_identity.remove(&identity)
        {
            let plain_before = standing.plain_at.map_or(0, |at| at + 1);
            self.floor = self.floor.max(standing.revoked_before).max(plain_before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_44_a_revocation_is_never_forgotten_for_want_of_memory() {
        let mut standings = Standings::new(100);
        for who in 0..10_000_u64 {
            standings.revoke(&format!("p{who}"), 1_000 + who);
        }
        assert!(standings.by_identity.len() <= 100);
        for who in 0..10_000_u64 {
            assert!(standings.is_revoked(&format!("p{who}"), 999 + who), "p{who}");
        }
        assert!(!standings.is_revoked("new", 11_000), "a token from after all of them still works");
    }

    #[test]
    fn row_45_an_older_token_does_not_moderate_what_its_bearer_may_no_longer() {
        let mut standings = Standings::new(2);
        standings.plain("ada", Some(100));
        assert!(standings.is_plain("ada", 100) && standings.is_plain("ada", 0));
        assert!(!standings.is_plain("ada", 101) && !standings.is_plain("bo", 0));
        standings.plain("ada", None);
        assert!(!standings.is_plain("ada", 0), "whoever moderates again does so with any token");
        standings.plain("ada", Some(100));
        for other in ["bo", "cem", "dora"] {
            standings.revoke(other, 50);
        }
        assert!(standings.is_plain("ada", 100) || standings.is_revoked("ada", 100), "nor is it forgotten");
    }

    #[test]
    fn a_newer_token_is_not_revoked_and_says_itself_what_it_allows() {
        let mut standings = Standings::new(10);
        let deaf = Permissions { can_subscribe: false, ..Permissions::default() };
        standings.permit("ada", 100, deaf.clone());
        assert_eq!(standings.permissions("ada", 100), Some(&deaf));
        assert_eq!(standings.permissions("ada", 101), None);
        assert_eq!(standings.permissions("bob", 0), None);
        standings.revoke("ada", 200);
        assert!(standings.is_revoked("ada", 199) && standings.is_revoked("ada", 0));
        assert!(!standings.is_revoked("ada", 200) && !standings.is_revoked("bob", 0));
        standings.revoke("ada", 150);
        assert!(standings.is_revoked("ada", 199), "a later word never makes an earlier one weaker");
    }
}
