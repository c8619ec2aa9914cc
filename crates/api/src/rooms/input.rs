// SPDX-License-Identifier: EUPL-1.2
//! What a room's task hears.

use std::time::Instant;

use parvis_sfu::{Event, ForwarderId};
use parvis_signal::{Actor, ConnectError, ConnectionId, Control, ControlError, Frame, Join, Reply, Room};
use tokio::sync::oneshot;

use super::MeetRefusal;
use crate::rpc::RpcCall;
use crate::socket::Outgoing;
use crate::traces::Trace;
use crate::whip::{self, Arrival};

/// What a room's task hears.
pub(crate) enum Input {
    Connect {
        connection: ConnectionId,
        join: Box<Join>,
        /// Its trace, if it has one.
        trace: Option<Trace>,
        outgoing: Outgoing,
        reply: oneshot::Sender<Result<(), ConnectError>>,
    },
    /// A socket of the meeting's own, and who says to be on it.
    Meet {
        connection: ConnectionId,
        hello: Hello,
        outgoing: Outgoing,
        reply: oneshot::Sender<Result<(), MeetRefusal>>,
    },
    Message(ConnectionId, Frame),
    Disconnected(ConnectionId),
    /// A client that comes by an offer over HTTP …
    Offer(Box<Arrival>),
    /// … starts ICE anew, …
    Restart {
        connection: ConnectionId,
        ufrag: String,
        password: String,
        reply: whip::Reply,
    },
    /// … names candidates, …
    Candidates(ConnectionId, Vec<String>),
    /// … and leaves.
    HangUp(ConnectionId),
    Event(ForwarderId, Event),
    Control {
        actor: Actor,
        control: Box<Control>,
        reply: oneshot::Sender<Result<Reply, ControlError>>,
    },
    /// To look at the room, or to do something to it.
    Act(Act),
    Call(Box<RpcCall>),
    CloseDoors,
    Drain,
    /// The room's media is gone.
    MediaLost,
}

/// Who is on a socket of the meeting's own, as was verified.
#[derive(Debug, Clone)]
pub(crate) enum Hello {
    /// Somebody in the room, by a token.
    Inside { identity: String, not_before: u64 },
    /// Somebody who waits, by the secret of the place.
    Outside { waiting: String },
}

/// What is done to a room in its task.
pub(crate) type Act = Box<dyn FnOnce(&mut Room, Instant) + Send>;
