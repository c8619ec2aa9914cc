// SPDX-License-Identifier: EUPL-1.2
//! What a room asks its owner to do.

use std::sync::Arc;

use bytes::Bytes;
use livekit_protocol as proto;
use livekit_protocol::RoomEgress;
use parvis_meeting::assembly::{Rights, Role, Source};
use parvis_sfu::Command;

use crate::{ConnectionId, ForwardId, ForwardedView, Grants, RecordingNews, RpcError};

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
    /// Something happened that the outer world may be told of. Nothing in the room waits for that.
    Happened(Box<Occurrence>),
    /// A call of [`crate::Room::perform_rpc`] is over.
    RpcReply {
        /// Which.
        reply_id: u64,
        /// What the method gave, or why it gave nothing.
        result: Result<String, RpcError>,
    },
    /// What another room's [`crate::Room::take_guest`] is to be given; `None` when its [`crate::Room::drop_guest`] is to be
    /// called.
    Forwarded {
        /// Whose.
        forward: ForwardId,
        /// What it publishes now. Where each stream is published is still to be filled in.
        view: Option<Box<ForwardedView>>,
    },
    /// A guest is gone without a word of its own room: that room's [`crate::Room::stop_forward`] is to be called.
    GuestGone {
        /// Which.
        forward: ForwardId,
    },
    /// What a recorder's worker is to know.
    Recording {
        /// The recorder's identity.
        identity: String,
        /// What happened.
        news: Box<RecordingNews>,
    },
    /// The room is to be recorded or streamed by itself: whoever made it, the token that opened it or the configuration says so.
    StartEgress(Box<RoomEgress>),
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
    /// Make a token of these grants for somebody who waited and was let in, and hand it to [`crate::Room::admitted`].
    Admit {
        /// The socket on which it waits.
        connection: ConnectionId,
        /// What the token says.
        grants: Box<Grants>,
    },
    /// How the meeting stands is to be kept: it is conducted so when it is opened again.
    Conducted(Box<parvis_meeting::assembly::Record>),
    /// Somebody conducted the meeting, or was not let to: for those who keep account of that.
    Account(Box<parvis_meeting::assembly::Conducted>),
    /// The meeting has another password, or none. It is hashed and compared outside.
    Password(Option<String>),
    /// Somebody's place is in that breakout room of this meeting, or back in the meeting: [`crate::Room::go_to`] tells where.
    Breakout {
        /// Who.
        identity: String,
        /// Which.
        breakout: Option<String>,
        /// What the token for it says.
        grants: Box<Grants>,
    },
    /// What the meeting says of somebody whose place is in that breakout room: there it is done by [`crate::Room::instruct`].
    Instruct {
        /// Who.
        identity: String,
        /// Which.
        breakout: String,
        /// What.
        word: Instruction,
    },
    /// A breakout room is over.
    CloseBreakout {
        /// Which.
        breakout: String,
    },
    /// Somebody was removed from the meeting: also from its breakout rooms.
    PutOut {
        /// Who.
        identity: String,
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

/// What a meeting says of somebody in one of its breakout rooms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// What they are.
    pub role: Role,
    /// What they may do.
    pub rights: Rights,
    /// What is turned off now.
    pub off: Option<Source>,
}

/// Something that happened in a room, in the protocol's own words.
#[derive(Debug, Clone, PartialEq)]
pub struct Occurrence {
    /// The room, as it was then.
    pub room: proto::Room,
    /// What it was.
    pub kind: OccurrenceKind,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq)]
pub enum OccurrenceKind {
    /// The room came to be.
    RoomStarted,
    /// The room is over; nothing follows.
    RoomFinished {
        /// Why.
        reason: proto::RoomEndReason,
    },
    /// Someone's media connection came up for the first time.
    ParticipantJoined {
        /// Who.
        participant: proto::ParticipantInfo,
    },
    /// Someone who had joined is gone, and not back in time.
    ParticipantLeft {
        /// Who, with the reason.
        participant: proto::ParticipantInfo,
    },
    /// Someone is gone whose media connection never came up.
    ParticipantConnectionAborted {
        /// Who, with the reason.
        participant: proto::ParticipantInfo,
    },
    /// Others can receive a track.
    TrackPublished {
        /// Whose it is.
        participant: proto::ParticipantInfo,
        /// What it is.
        track: proto::TrackInfo,
    },
    /// A track is gone.
    TrackUnpublished {
        /// Whose it was.
        participant: proto::ParticipantInfo,
        /// What it was.
        track: proto::TrackInfo,
    },
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
