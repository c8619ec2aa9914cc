// SPDX-License-Identifier: EUPL-1.2
//! What happened in a room, in numbers. Each is a metric.

/// Counters since the room began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RoomStats {
    /// Clients that joined anew.
    pub joins: u64,
    /// Clients that were refused.
    pub joins_refused: u64,
    /// Tokens refused because their participant was removed.
    pub revoked_refused: u64,
    /// Clients that took up their session again.
    pub resumes: u64,
    /// Clients that wanted to, and had to start over.
    pub resumes_refused: u64,
    /// Sessions whose client did not come back in time.
    pub sessions_lost: u64,
    /// Requests handled.
    pub requests: u64,
    /// Requests of a kind that we don't know: a newer protocol's.
    pub requests_unknown: u64,
    /// Requests that were refused with an answer.
    pub requests_refused: u64,
    /// Sockets closed because what came was no message, or too large.
    pub malformed: u64,
    /// Sessions ended because they asked too much too fast.
    pub floods: u64,
    /// Data messages passed on, counted once each.
    pub data_messages: u64,
    /// Data messages dropped: malformed, forbidden, too large, too fast, or seen before.
    pub data_dropped: u64,
    /// Captions, or parts of them, that no recording could keep: too many, too long, broken off, or not to be read.
    pub captions_dropped: u64,
    /// Packets of data tracks passed on, counted once each.
    pub track_packets: u64,
    /// How often a sender of reliable messages was made to wait for a slow reader.
    pub senders_held: u64,
    /// Sessions ended because they did not read their reliable messages.
    pub slow_readers: u64,
    /// Connections that failed in the network or in their handshake.
    pub media_failures: u64,
}
