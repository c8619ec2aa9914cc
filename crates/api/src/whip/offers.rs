// SPDX-License-Identifier: EUPL-1.2
//! A room's clients that came by an offer, and the requests that wait for its answers.

use std::collections::BTreeMap;

use livekit_protocol::IngressInfo;
use parvis_signal::{Answer, ConnectionId, Offer, OfferError};
use tokio::sync::oneshot;

use super::register::{BearerHash, Seat};

/// Why an offer has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoAnswer {
    /// The room refuses.
    #[error(transparent)]
    Refused(#[from] OfferError),
    /// The forwarder can't make anything of it.
    #[error("the offer can't be taken: {0}")]
    Unanswerable(String),
    /// The session is over.
    #[error("the session ended: {0}")]
    Ended(String),
    /// Another request for the same session is not answered yet.
    #[error("an earlier request for this session is not answered yet; try again after its answer")]
    Busy,
}

/// Who waits for an answer.
pub(crate) type Reply = oneshot::Sender<Result<Answered, NoAnswer>>;

/// What opened the door to a client.
#[derive(Clone)]
pub(crate) struct Bearer {
    /// Token or stream key, as it is remembered.
    pub(crate) hash: BearerHash,
    /// The ingress whose stream key it was.
    pub(crate) ingress: Option<Box<IngressInfo>>,
}

/// An offer on its way to its room.
pub(crate) struct Arrival {
    pub(crate) connection: ConnectionId,
    pub(crate) offer: Offer,
    pub(crate) bearer: Bearer,
    pub(crate) seat: Seat,
    pub(crate) reply: Reply,
}

/// A room's answer, and the name of the session that it belongs to.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) id: String,
    pub(crate) answer: Answer,
}

/// The clients of one room.
#[derive(Default)]
pub(crate) struct Offers {
    clients: BTreeMap<ConnectionId, Client>,
}

struct Client {
    id: String,
    /// Whether it has the answer to its first offer.
    begun: bool,
    waiting: Option<Reply>,
    /// Its place; free again with its end.
    _seat: Seat,
}

impl Offers {
    /// The room took a client in.
    pub(crate) fn begin(&mut self, connection: ConnectionId, id: String, seat: Seat, reply: Reply) {
        self.clients.insert(connection, Client { id, begun: false, waiting: Some(reply), _seat: seat });
    }

    /// One who restarts waits for an answer. The error is for whoever asked.
    pub(crate) fn wait(&mut self, connection: ConnectionId, reply: Reply) -> Result<(), (Reply, NoAnswer)> {
        match self.clients.get_mut(&connection) {
            Some(client) if client.waiting.is_none() => {
                client.waiting = Some(reply);
                Ok(())
            }
            Some(_) => Err((reply, NoAnswer::Busy)),
            None => Err((reply, NoAnswer::Ended("it is not there any more".to_owned()))),
        }
    }

    /// The room has nothing to start anew.
    pub(crate) fn give_up(&mut self, connection: ConnectionId) {
        let waiting = self.clients.get_mut(&connection).and_then(|client| client.waiting.take());
        if let Some(reply) = waiting {
            let _ = reply.send(Err(NoAnswer::Busy));
        }
    }

    /// The room answered. `false` when a new client is not there to hear it: then it has to go.
    pub(crate) fn answered(&mut self, connection: ConnectionId, answer: Result<Answer, String>) -> bool {
        let Some(client) = self.clients.get_mut(&connection) else { return true };
        let first = !std::mem::replace(&mut client.begun, true);
        let answer = answer.map(|answer| Answered { id: client.id.clone(), answer });
        let heard = client
            .waiting
            .take()
            .is_some_and(|reply| reply.send(answer.map_err(NoAnswer::Unanswerable)).is_ok());
        heard || !first
    }

    /// The room has let a client go. Gives the name of its session.
    pub(crate) fn closed(&mut self, connection: ConnectionId, reason: String) -> Option<String> {
        let client = self.clients.remove(&connection)?;
        if let Some(reply) = client.waiting {
            // Whoever asked may have gone as well.
            let _ = reply.send(Err(NoAnswer::Ended(reason)));
        }
        Some(client.id)
    }

    /// The names of the sessions that are there.
    pub(crate) fn sessions(&self) -> impl Iterator<Item = &str> {
        self.clients.values().map(|client| client.id.as_str())
    }
}
