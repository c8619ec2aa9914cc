// SPDX-License-Identifier: EUPL-1.2
//! What a shard counts. One thread writes, any thread reads.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! stats {
    ($($(#[doc = $doc:literal])+ $name:ident),* $(,)?) => {
        /// A shard's counters. Each only grows, but for those that end in `_now`.
        #[derive(Debug, Default)]
        pub struct ShardStats {
            $($(#[doc = $doc])+ pub $name: AtomicU64,)*
        }

        /// A shard's counters at one moment.
        #[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
        pub struct StatsSnapshot {
            $($(#[doc = $doc])+ pub $name: u64,)*
        }

        impl ShardStats {
            /// Reads all counters, one after the other.
            pub fn snapshot(&self) -> StatsSnapshot {
                StatsSnapshot { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }

        impl StatsSnapshot {
            /// Name, meaning and value of each, in the order of their declaration.
            pub fn fields(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
                [$((stringify!($name), concat!($($doc),+), self.$name),)*].into_iter()
            }
        }
    };
}

stats! {
    /// Datagrams that came by UDP.
    udp_packets_in,
    /// Bytes of the datagrams that came by UDP.
    udp_bytes_in,
    /// Datagrams that left by UDP.
    udp_packets_out,
    /// Bytes of the datagrams that left by UDP.
    udp_bytes_out,
    /// Datagrams that left in a train of two or more.
    udp_packets_out_gso,
    /// Datagrams that came in a train of two or more.
    udp_packets_in_gro,
    /// Calls of `sendmmsg`.
    udp_send_calls,
    /// Calls of `recvmmsg`.
    udp_receive_calls,
    /// Datagrams dropped because the socket was full.
    udp_dropped_full,
    /// Datagrams that the system refused for another reason.
    udp_send_errors,
    /// Trains that the system refused and that went out as single datagrams.
    gso_fallbacks,
    /// Datagrams cut short by the receive buffer, and dropped.
    udp_truncated,
    /// TCP connections open now.
    tcp_connections_now,
    /// TCP connections accepted.
    tcp_accepted,
    /// TCP connections refused by a limit.
    tcp_refused,
    /// TCP connections that were never answered and made room for others.
    tcp_displaced,
    /// TCP connections closed for silence, or for a first answer that never came.
    tcp_timed_out,
    /// TCP connections closed for a frame beyond the limit.
    tcp_malformed,
    /// Frames that came by TCP.
    tcp_frames_in,
    /// Frames that left by TCP.
    tcp_frames_out,
    /// Frames dropped because the reader is too slow.
    tcp_dropped_full,
    /// Times that accepting paused for want of file descriptors.
    tcp_accept_pauses,
    /// Datagrams to an address that no socket is bound to.
    unroutable,
    /// Commands taken.
    commands,
    /// Events told.
    events,
    /// Events that the control side can do without, dropped because its queue was nearly full.
    events_dropped,
    /// Rooms given up because an event that they needed found no place.
    rooms_lost,
    /// Batches handed to other shards.
    trunk_batches_out,
    /// Batches of other shards.
    trunk_batches_in,
    /// Times that another shard's ring was full.
    trunk_full,
    /// Panics of the engine.
    panics,
    /// Turns of the loop.
    turns,
    /// Time in which the loop did not wait, in microseconds.
    busy_us,
    /// Turns that took longer than 20 ms: whatever came meanwhile waited.
    late_turns,
}

/// Adds to a counter that only this thread writes.
pub(crate) fn add(counter: &AtomicU64, amount: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
}
