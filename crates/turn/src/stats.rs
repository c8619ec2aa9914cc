// SPDX-License-Identifier: EUPL-1.2
//! What a server counts.

macro_rules! stats {
    ($($(#[doc = $doc:literal])+ $name:ident),* $(,)?) => {
        /// A server's counters. Each only grows, but for those that end in `_now`.
        #[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
        pub struct TurnStats {
            $($(#[doc = $doc])+ pub $name: u64,)*
        }

        impl TurnStats {
            /// Name, meaning and value of each, in the order of their declaration.
            pub fn fields(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
                [$((stringify!($name), concat!($($doc),+), self.$name),)*].into_iter()
            }
        }
    };
}

stats! {
    /// Allocations that there are.
    allocations_now,
    /// Participants that may make some.
    users_now,
    /// Allocations made.
    allocations,
    /// Allocations refused by a quota (486).
    quota_reached,
    /// Allocations for which no socket was to be had (508).
    no_capacity,
    /// Requests without credentials that hold (401).
    unauthenticated,
    /// Requests with a nonce that is too old (438).
    stale_nonces,
    /// Peers refused because they are none of our media addresses (403).
    forbidden_peers,
    /// Other requests refused.
    refused,
    /// Allocations ended because their participant left.
    revoked,
    /// Datagrams that are neither STUN nor a channel's.
    malformed,
    /// Answers not sent to an address from which too little came.
    unanswered,
    /// Packets relayed to media.
    packets_to_media,
    /// Bytes of the packets relayed to the media.
    bytes_to_media,
    /// Packets relayed to clients.
    packets_to_clients,
    /// Bytes of the packets relayed to clients.
    bytes_to_clients,
    /// Packets without an allocation, permission or channel.
    unpermitted,
    /// Packets beyond what may be relayed for one participant or in all.
    over_bitrate,
}
