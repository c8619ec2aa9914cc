// SPDX-License-Identifier: EUPL-1.2
//! Our wall clock in reports. It begins at an arbitrary moment with the room: receivers only compare its readings.

use std::time::{Duration, Instant};

/// Where the clock begins, in seconds: 2036 would be 2^32; half way there, nothing wraps for decades.
const ORIGIN_SECONDS: u64 = 1 << 31;

/// The clock at `now`: 32.32 fixed point seconds.
pub(crate) fn at(epoch: Instant, now: Instant) -> u64 {
    (ORIGIN_SECONDS << 32).wrapping_add(fixed(now.saturating_duration_since(epoch)))
}

/// A duration in 32.32 fixed point seconds.
pub(crate) fn fixed(duration: Duration) -> u64 {
    (duration.as_secs() << 32) + ((u64::from(duration.subsec_nanos()) << 32) / 1_000_000_000)
}

/// A duration in 1/65,536 s, as reports have it.
pub(crate) fn short(duration: Duration) -> u32 {
    u32::try_from(fixed(duration) >> 16).unwrap_or(u32::MAX)
}
