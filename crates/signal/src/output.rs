// SPDX-License-Identifier: EUPL-1.2
//! What a room asks its owner to do.

use std::sync::Arc;

use bytes::Bytes;
use parvis_sfu::Command;

use crate::{ConnectionId, Grants};

/// One thing to do, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Send this on the socket.
    Send {
        /// Which.
        connection: ConnectionId,
        /// What.
        frame: Frame,
    },
    /// Close the socket after what was sent. The room has forgotten it already.
    Close {
        /// Which.
        connection: ConnectionId,
        /// The WebSocket close code.
        code: u16,
        /// Why, in at most 123 bytes.
        reason: String,
    },
    /// Give this to the room's forwarder.
    Forward(Command),
    /// Make a fresh token of these grants and hand it to [`crate::Room::refreshed`].
    RefreshToken {
        /// Whose.
        connection: ConnectionId,
        /// What it says now; permissions and names may have changed since the join.
        grants: Box<Grants>,
    },
    /// Let the relay take this participant's credentials. It comes before the message that has them.
    RelayAllowed {
        /// The participant's sid.
        sid: Arc<str>,
    },
    /// Let the relay take them no more, and end what it does for this participant: it has left.
    RelayRevoked {
        /// The participant's sid.
        sid: Arc<str>,
    },
    /// The meeting is over and everyone has left: forget the room.
    Ended,
}

/// One WebSocket message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Protobuf.
    Binary(Bytes),
    /// Its JSON form, for a client that speaks JSON.
    Text(String),
}
