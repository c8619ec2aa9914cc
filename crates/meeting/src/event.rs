// SPDX-License-Identifier: EUPL-1.2
//! What a meeting tells its owner.

use crate::{LeaveReason, Participant, ParticipantId, TrackId};

/// One thing that happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// Someone was admitted.
    Joined(ParticipantId),
    /// What others see of a participant changed: state, profile, permissions or tracks.
    Updated(ParticipantId),
    /// Someone left; its tracks and subscriptions are gone already.
    Left {
        /// As it was at the end.
        participant: Box<Participant>,
        /// Why.
        reason: LeaveReason,
    },
    /// A track is gone; its subscriptions are gone already.
    Unpublished {
        /// Which.
        track: TrackId,
        /// Whose it was.
        publisher: ParticipantId,
    },
    /// A track is to be forwarded to a participant from now on.
    Subscribed {
        /// To whom.
        subscriber: ParticipantId,
        /// What.
        track: TrackId,
    },
    /// A track is not to be forwarded to a participant any more.
    Unsubscribed {
        /// To whom.
        subscriber: ParticipantId,
        /// What.
        track: TrackId,
    },
    /// A publisher lets a participant have a track that it wanted and could not have, or keeps one from it that it wants.
    SubscriptionAllowed {
        /// Whom.
        subscriber: ParticipantId,
        /// What.
        track: TrackId,
        /// Whether it may.
        allowed: bool,
    },
    /// How many are in the meeting, or whether it is recorded, changed.
    RoomChanged,
    /// The meeting is over. Those who are still in it are to be told.
    Ended(EndReason),
}

/// Why a meeting ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// Nobody was in it for the configured time.
    Empty,
    /// It lasted as long as it may.
    TooLong,
    /// Someone with the right to do so ended it.
    Deleted,
    /// The server stops.
    Shutdown,
}
