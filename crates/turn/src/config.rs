// SPDX-License-Identifier: EUPL-1.2
//! Every bound of a TURN server.

use std::time::Duration;

/// What participants may take. Each bound counts in [`crate::TurnStats`] when it is hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TurnConfig {
    /// Allocations in all. Each is a socket of the process and about 600 bytes.
    pub max_allocations: usize,
    /// Allocations of one participant. A browser makes one for each of its interfaces, address families, transports and
    /// peer connections: two interfaces over UDP, TCP and TLS with two connections are 12.
    pub max_allocations_per_user: usize,
    /// Allocations from one address (one /64 with IPv6). An office shares one: 20 people of 12 each.
    pub max_allocations_per_address: usize,
    /// The longest lifetime of an allocation between two refreshes (RFC 8656 section 3.2 has 10 minutes as the default).
    pub max_lifetime: Duration,
    /// What is relayed for one participant, both directions together, in bits per second: what may be sent to one
    /// receiver, and three tracks of 3 Mbit/s from it.
    pub max_bitrate_per_user: u64,
    /// What is relayed in all, in bits per second.
    pub max_bitrate: u64,
}

impl Default for TurnConfig {
    fn default() -> Self {
        TurnConfig {
            max_allocations: 1_000,
            max_allocations_per_user: 12,
            max_allocations_per_address: 240,
            max_lifetime: Duration::from_secs(600),
            max_bitrate_per_user: 60_000_000,
            max_bitrate: 1_000_000_000,
        }
    }
}
