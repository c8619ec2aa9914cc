// SPDX-License-Identifier: EUPL-1.2
//! The names by which a meeting speaks of what it holds. They are never reused within a meeting.

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);
    };
}

id!(
    /// One stay of one person, or program, in the meeting. Who comes back gets a new one.
    ParticipantId
);
id!(
    /// One published track.
    TrackId
);
