// SPDX-License-Identifier: EUPL-1.2
//! Bringing clients into rooms.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parvis_signal::{ConnectionId, Join, Offer};
use tokio::sync::{mpsc, oneshot};

use super::{Hello, Input, JoinRefusal, MeetRefusal, Opening, Rooms};
use crate::http::Refusal;
use crate::socket::Outgoing;
use crate::tenant::RoomKey;
use crate::traces::Trace;
use crate::whip::{Answered, Arrival, Bearer, Seat, Taken};

/// How often a join tries anew when the room that it found was just ending.
pub(crate) const JOIN_TRIES: usize = 3;

/// A connection that a room knows of. Dropping it tells the room that it is gone.
pub(crate) struct Attached {
    id: ConnectionId,
    inbox: mpsc::Sender<Input>,
}

impl Rooms {
    /// Brings a client into a room, which comes to be if need be, unless `opening` is `None`.
    pub(crate) async fn join(
        self: &Arc<Self>,
        key: &RoomKey,
        opening: Option<&Opening>,
        join: Join,
        trace: Option<&Trace>,
        mut outgoing: impl FnMut() -> Outgoing,
    ) -> Result<Attached, JoinRefusal> {
        let enter = |connection, inbox, reply| {
            let join = Box::new(join.clone());
            // Made before it is known to have worked: should we be dropped while we wait, the room hears of it.
            let attached = Attached { id: connection, inbox };
            let trace = trace.cloned();
            Ok((Input::Connect { connection, join, trace, outgoing: outgoing(), reply }, attached))
        };
        let (attached, answer) = self.enter(key, opening, enter).await?;
        answer?;
        Ok(attached)
    }

    /// Brings a client that comes by an offer into a room as [`Rooms::join`] does, and waits for its answer.
    pub(crate) async fn offer(
        self: &Arc<Self>,
        key: &RoomKey,
        opening: Option<&Opening>,
        offer: Offer,
        bearer: Bearer,
        address: IpAddr,
    ) -> Result<Answered, Refusal> {
        // Taken before there is a room for it: for whom there is no place, none comes to be.
        let mut seat = Some(self.seat(address)?);
        let enter = |connection, _, reply| {
            let seat = seat.take().map_or_else(|| self.seat(address), Ok)?;
            let arrival = Arrival { connection, offer: offer.clone(), bearer: bearer.clone(), seat, reply };
            Ok((Input::Offer(Box::new(arrival)), ()))
        };
        let ((), answer) = self.enter(key, opening, enter).await?;
        answer.map_err(Refusal::from)
    }

    /// Has a room take what `input` makes, and waits for the reply; tries anew where the room that was found was just ending.
    /// What `input` gives beside it is dropped with the try that it was made for.
    async fn enter<Reply, Kept>(
        self: &Arc<Self>,
        key: &RoomKey,
        opening: Option<&Opening>,
        mut input: impl FnMut(
            ConnectionId,
            mpsc::Sender<Input>,
            oneshot::Sender<Reply>,
        ) -> Result<(Input, Kept), JoinRefusal>,
    ) -> Result<(Kept, Reply), JoinRefusal> {
        for _ in 0..JOIN_TRIES {
            let inbox = self.room_for(key, opening)?;
            let id = ConnectionId(self.next_connection.fetch_add(1, Ordering::Relaxed));
            let (reply, answer) = oneshot::channel();
            let (input, kept) = input(id, inbox.clone(), reply)?;
            if inbox.send(input).await.is_err() {
                continue;
            }
            if let Ok(answer) = answer.await {
                return Ok((kept, answer));
            }
        }
        Err(JoinRefusal::Ending)
    }

    /// Brings a socket of the meeting's own to its room, which is there.
    pub(crate) async fn meet(
        self: &Arc<Self>,
        key: &RoomKey,
        hello: Hello,
        outgoing: Outgoing,
    ) -> Result<Attached, MeetRefusal> {
        let inbox = self.inbox(key).ok_or(MeetRefusal::NotThere)?;
        let id = ConnectionId(self.next_connection.fetch_add(1, Ordering::Relaxed));
        let attached = Attached { id, inbox };
        let (reply, answer) = oneshot::channel();
        let input = Input::Meet { connection: id, hello, outgoing, reply };
        if !attached.send(input).await {
            return Err(MeetRefusal::NotThere);
        }
        answer.await.map_err(|_| MeetRefusal::NotThere)??;
        Ok(attached)
    }

    fn seat(&self, address: IpAddr) -> Result<Seat, JoinRefusal> {
        self.resources.seat(&self.live().config.offers, address).map_err(|taken| {
            JoinRefusal::TooManyOffers(match taken {
                Taken::All => "everyone",
                Taken::OfAddress => "one address",
            })
        })
    }
}

impl Attached {
    pub(crate) fn id(&self) -> ConnectionId {
        self.id
    }

    /// Hands something to the room; `false` when it is gone.
    pub(crate) async fn send(&self, input: Input) -> bool {
        self.inbox.send(input).await.is_ok()
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let disconnected = Input::Disconnected(self.id);
        let Err(mpsc::error::TrySendError::Full(disconnected)) = self.inbox.try_send(disconnected) else {
            return;
        };
        // The room must hear of it, or the session would never end. Without a runtime the room is gone too.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let inbox = self.inbox.clone();
            runtime.spawn(async move { inbox.send(disconnected).await });
        }
    }
}
