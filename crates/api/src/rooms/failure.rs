// SPDX-License-Identifier: EUPL-1.2
//! Why a room does not let somebody in, or does not do what it is told.

use parvis_signal::{ConnectError, ControlError, NoPlace};

/// Why a client does not get into a room.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JoinRefusal {
    #[error("there is no such room, and rooms don't come to be by themselves here: rooms.auto_create is off")]
    NoRoom,
    #[error("the server is about to stop")]
    Draining,
    #[error("the server has as many rooms as it takes: raise rooms.max")]
    TooManyRooms,
    #[error("no media can be forwarded")]
    NoForwarder,
    #[error("the room ended while it was joined: try again")]
    Ending,
    #[error(
        "this meeting's record can't be read, so that nobody comes in: its operator finds why in the server's log"
    )]
    Unreadable,
    #[error("the server has as many sessions as it takes from {0}: end one first")]
    TooManyOffers(&'static str),
    #[error(transparent)]
    Refused(#[from] ConnectError),
}

/// Why a socket of the meeting's own is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MeetRefusal {
    #[error("this meeting is not open: join its room first")]
    NotThere,
    #[error(transparent)]
    NoPlace(#[from] NoPlace),
    #[error(transparent)]
    Refused(#[from] ConnectError),
}

/// Why a room did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlFailure {
    #[error("there is no room {0:?}")]
    NoRoom(String),
    #[error(transparent)]
    Refused(#[from] ControlError),
}

/// Why a room was not made, or not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CreateFailure {
    #[error(transparent)]
    NotMade(#[from] JoinRefusal),
    #[error(transparent)]
    NotChanged(#[from] ControlFailure),
}
