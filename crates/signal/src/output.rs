// SPDX-License-Identifier: EUPL-1.2
//! What a room asks its owner to do.

use bytes::Bytes;
use livekit_protocol as proto;
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
    /// Close the socket after what was sent, or forget the client that has none. The room has forgotten it already.
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
    /// Answer the offer that a client without a socket sent last.
    Answered {
        /// Whose.
        connection: ConnectionId,
        /// The answer, or what was wrong with the offer.
        answer: Result<Answer, String>,
    },
    /// The meeting is over and everyone has left: forget the room.
    Ended,
}

/// What a client that came by an offer over HTTP is answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The session description.
    pub sdp: String,
    /// STUN and TURN servers that it may use.
    pub ice_servers: Vec<proto::IceServer>,
}

/// One WebSocket message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Protobuf.
    Binary(Bytes),
    /// Its JSON form, for a client that speaks JSON.
    Text(String),
}
