// SPDX-License-Identifier: EUPL-1.2
//! What a peer counts.

use crate::DropReason;

/// Counters of one peer, from its beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PeerStats {
    pub(super) drops: [u64; DropReason::ALL.len()],
    /// Authentic STUN requests.
    pub stun_requests: u64,
    /// Of these, those that were answered by a role conflict (RFC 8445 section 7.3.1.1).
    pub role_conflicts: u64,
    /// Paths that made room for newer ones: [`crate::PeerLimits::paths`] was hit.
    pub paths_evicted: u64,
    /// Candidates that were refused: malformed, or [`crate::PeerLimits::remote_candidates`] was hit.
    pub candidates_refused: u64,
    /// Packets of ours that SRTP refused to protect.
    pub protect_failures: u64,
}

impl PeerStats {
    /// How many datagrams were dropped for `reason`.
    pub fn drops(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize]
    }

    pub(super) fn count_drop(&mut self, reason: DropReason) {
        self.drops[reason as usize] += 1;
    }
}
