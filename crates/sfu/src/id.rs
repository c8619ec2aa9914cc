// SPDX-License-Identifier: EUPL-1.2
//! The names by which the control side speaks of what a forwarder holds. It chooses them, and never reuses one.

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);
    };
}

id!(
    /// A room's media: nothing leaves it.
    RoomId
);
id!(
    /// One forwarder among those that may share a room: a shard of this process.
    ForwarderId
);
id!(
    /// One peer connection. A participant has one (`/rtc/v1`) or two (`/rtc`).
    PeerId
);
id!(
    /// One published track.
    TrackId
);
id!(
    /// One track on its way to one peer.
    SubscriptionId
);

impl ForwarderId {
    /// The name by which both ends of a bridge know each other: no shard has it. A room's bridges are numbered below 2^31.
    pub fn of_bridge(room: RoomId, number: u64) -> ForwarderId {
        ForwarderId(BRIDGE | (room.0 << 31) | number)
    }

    /// Whether it is the name of a bridge.
    pub fn is_bridge(self) -> bool {
        self.0 & BRIDGE != 0
    }
}

/// The highest bit is no shard's.
const BRIDGE: u64 = 1 << 63;
