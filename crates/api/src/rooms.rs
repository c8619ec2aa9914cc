// SPDX-License-Identifier: EUPL-1.2
//! Which rooms there are, and how to reach them. Each is a task ([`crate::room_task`]); this is their register.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use parvis_sfu::{Event, ForwarderId, RoomId};
use parvis_signal::{ConnectError, ConnectionId, Frame, Join, Offer};
use rustc_hash::FxHashMap;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::AbortHandle;

use crate::config::ApiConfig;
use crate::forwarders::Forwarders;
use crate::http::Refusal;
use crate::live::{InForce, Live};
use crate::metrics::Metrics;
use crate::room_task::RoomTask;
use crate::socket::Outgoing;
use crate::token::Keys;
use crate::whip::{Answered, Arrival, Reply, Resources, Taken};

/// Inputs that may wait for a room. Sockets wait for a place, events don't: 4,096 are some seconds of a busy room.
const INBOX: usize = 4_096;
/// How often a join tries anew when the room that it found was just ending.
const JOIN_TRIES: usize = 3;

/// What a room's task hears.
pub(crate) enum Input {
    Connect {
        connection: ConnectionId,
        join: Box<Join>,
        outgoing: Outgoing,
        reply: oneshot::Sender<Result<(), ConnectError>>,
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
        reply: Reply,
    },
    /// … names candidates, …
    Candidates(ConnectionId, Vec<String>),
    /// … and leaves.
    HangUp(ConnectionId),
    Event(ForwarderId, Event),
    CloseDoors,
    Drain,
}

/// Everything that rooms share.
pub(crate) struct Rooms {
    /// As it was at the start; [`Rooms::live`] has what may change.
    pub(crate) config: ApiConfig,
    live: Live,
    pub(crate) forwarders: Arc<dyn Forwarders>,
    pub(crate) metrics: Metrics,
    /// Clients that came by an offer, by the name of their session.
    pub(crate) resources: Arc<Resources>,
    register: Mutex<Register>,
    next_connection: AtomicU64,
    /// Rung when a room has gone.
    gone: Notify,
}

#[derive(Default)]
struct Register {
    draining: bool,
    // Names are chosen by strangers: a hash that they can't foresee.
    by_name: HashMap<String, RoomId>,
    by_id: FxHashMap<RoomId, Entry>,
}

struct Entry {
    name: String,
    inbox: mpsc::Sender<Input>,
    participants: Arc<AtomicUsize>,
    abort: Option<AbortHandle>,
}

/// Why a client does not get into a room.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JoinRefusal {
    #[error("the server is about to stop")]
    Draining,
    #[error("the server has as many rooms as it takes: raise rooms.max")]
    TooManyRooms,
    #[error("there is no such room, and rooms don't come to be by themselves here: rooms.auto_create is off")]
    NoRoom,
    #[error("no media can be forwarded")]
    NoForwarder,
    #[error("the room ended while it was joined: try again")]
    Ending,
    #[error("the server has as many sessions as it takes from {0}: end one first")]
    TooManyOffers(&'static str),
    #[error(transparent)]
    Refused(#[from] ConnectError),
}

/// A connection that a room knows of. Dropping it tells the room that it is gone.
pub(crate) struct Attached {
    id: ConnectionId,
    inbox: mpsc::Sender<Input>,
}

impl Rooms {
    pub(crate) fn new(
        config: ApiConfig,
        keys: Keys,
        forwarders: Arc<dyn Forwarders>,
        metrics: Metrics,
    ) -> Arc<Rooms> {
        let resources = Resources::new(config.offers.clone(), metrics.clone());
        let live = Live::new(InForce::of(&config, keys));
        Arc::new(Rooms {
            config,
            live,
            forwarders,
            metrics,
            resources,
            register: Mutex::default(),
            next_connection: AtomicU64::new(1),
            gone: Notify::new(),
        })
    }

    /// What is in force now of all that may change.
    pub(crate) fn live(&self) -> Arc<InForce> {
        self.live.get()
    }

    /// Puts something else in force; rooms that are there keep what they began with.
    pub(crate) fn reload(&self, config: &ApiConfig, keys: Keys) {
        self.live.set(InForce::of(config, keys));
    }

    /// Brings a client into the room of this name, which comes to be if need be.
    pub(crate) async fn join(
        self: &Arc<Self>,
        name: &str,
        join: Join,
        mut outgoing: impl FnMut() -> Outgoing,
    ) -> Result<Attached, JoinRefusal> {
        for _ in 0..JOIN_TRIES {
            let inbox = self.room(name)?;
            let id = ConnectionId(self.next_connection.fetch_add(1, Ordering::Relaxed));
            let (reply, answer) = oneshot::channel();
            let input =
                Input::Connect { connection: id, join: Box::new(join.clone()), outgoing: outgoing(), reply };
            // Made before it is known to have worked: should we be dropped while we wait, the room hears of it.
            let attached = Attached { id, inbox };
            if !attached.send(input).await {
                continue;
            }
            match answer.await {
                Ok(Ok(())) => return Ok(attached),
                Ok(Err(refused)) => return Err(refused.into()),
                Err(_) => {}
            }
        }
        Err(JoinRefusal::Ending)
    }

    /// Brings a client that comes by an offer into the room of this name, and waits for its answer.
    pub(crate) async fn offer(
        self: &Arc<Self>,
        name: &str,
        offer: Offer,
        bearer: [u8; 32],
        address: IpAddr,
    ) -> Result<Answered, Refusal> {
        for _ in 0..JOIN_TRIES {
            let seat = self.resources.seat(address).map_err(|taken| {
                let of = match taken {
                    Taken::All => "everyone",
                    Taken::OfAddress => "one address",
                };
                JoinRefusal::TooManyOffers(of)
            })?;
            let inbox = self.room(name)?;
            let connection = ConnectionId(self.next_connection.fetch_add(1, Ordering::Relaxed));
            let (reply, answer) = oneshot::channel();
            let arrival = Arrival { connection, offer: offer.clone(), bearer, seat, reply };
            if inbox.send(Input::Offer(Box::new(arrival))).await.is_err() {
                continue;
            }
            if let Ok(answered) = answer.await {
                return answered.map_err(Refusal::from);
            }
        }
        Err(JoinRefusal::Ending.into())
    }

    /// The inbox of a room.
    fn room(self: &Arc<Self>, name: &str) -> Result<mpsc::Sender<Input>, JoinRefusal> {
        let mut register = self.register();
        if let Some(entry) = register.by_name.get(name).and_then(|id| register.by_id.get(id)) {
            return Ok(entry.inbox.clone());
        }
        if register.draining {
            return Err(JoinRefusal::Draining);
        }
        let live = self.live();
        if !live.auto_create {
            return Err(JoinRefusal::NoRoom);
        }
        if register.by_id.len() >= live.max_rooms {
            return Err(JoinRefusal::TooManyRooms);
        }
        let id = self.forwarders.new_room().ok_or(JoinRefusal::NoForwarder)?;
        let (inbox, receiver) = mpsc::channel(INBOX);
        let participants = Arc::<AtomicUsize>::default();
        let entry = Entry {
            name: name.to_owned(),
            inbox: inbox.clone(),
            participants: Arc::clone(&participants),
            abort: None,
        };
        register.by_name.insert(name.to_owned(), id);
        register.by_id.insert(id, entry);
        self.metrics.rooms.inc();
        let task = RoomTask::new(Arc::clone(self), id, name, participants, receiver);
        let abort = tokio::spawn(task.run()).abort_handle();
        if let Some(entry) = register.by_id.get_mut(&id) {
            entry.abort = Some(abort);
        }
        Ok(inbox)
    }

    /// Where a room that is there hears.
    pub(crate) fn inbox(&self, id: RoomId) -> Option<mpsc::Sender<Input>> {
        self.register().by_id.get(&id).map(|entry| entry.inbox.clone())
    }

    /// Takes a room out of the register: its task is about to end, or has.
    pub(crate) fn forget(&self, id: RoomId) {
        let mut register = self.register();
        if let Some(entry) = register.by_id.remove(&id) {
            if register.by_name.get(&entry.name) == Some(&id) {
                register.by_name.remove(&entry.name);
            }
            drop(register);
            self.metrics.rooms.dec();
            self.forwarders.room_ended(id);
            self.gone.notify_waiters();
        }
    }

    /// Hands an event to its room, without waiting. A room that is too busy to take it can't go on rightly.
    pub(crate) fn event(&self, from: ForwarderId, id: RoomId, event: Event) {
        let inbox = self.register().by_id.get(&id).map(|entry| entry.inbox.clone());
        match inbox.map(|inbox| inbox.try_send(Input::Event(from, event))) {
            Some(Ok(())) => {}
            Some(Err(mpsc::error::TrySendError::Full(_))) => {
                self.metrics.events_dropped.inc();
                self.lose("overload", |other| other == id);
            }
            // It ended meanwhile.
            Some(Err(mpsc::error::TrySendError::Closed(_))) | None => self.metrics.events_dropped.inc(),
        }
    }

    /// Ends rooms whose media is gone. Their sockets close, and clients come back into new rooms by themselves.
    pub(crate) fn lose(&self, cause: &str, which: impl Fn(RoomId) -> bool) {
        let lost: Vec<(RoomId, Option<AbortHandle>)> = {
            let register = self.register();
            let lost = register.by_id.iter().filter(|(id, _)| which(**id));
            lost.map(|(id, entry)| (*id, entry.abort.clone())).collect()
        };
        for (id, abort) in lost {
            self.metrics.rooms_lost.with_label_values(&[cause]).inc();
            self.forget(id);
            if let Some(abort) = abort {
                abort.abort();
            }
        }
    }

    /// Lets nobody in any more, but those who take up a session.
    pub(crate) async fn close_doors(&self) {
        self.register().draining = true;
        self.tell_all(|| Input::CloseDoors).await;
    }

    /// Ends all rooms, with a word to their clients.
    pub(crate) async fn drain(&self) {
        self.tell_all(|| Input::Drain).await;
    }

    /// Waits until no room is left.
    pub(crate) async fn emptied(&self) {
        loop {
            let gone = self.gone.notified();
            tokio::pin!(gone);
            gone.as_mut().enable();
            if self.register().by_id.is_empty() {
                return;
            }
            // Rung by whoever takes out the last one; the time is for the case that nobody does.
            let _ = tokio::time::timeout(Duration::from_secs(1), gone).await;
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.register().draining
    }

    /// How many are in a room, if there is one of this name.
    pub(crate) fn participants(&self, name: &str) -> Option<usize> {
        let register = self.register();
        let entry = register.by_name.get(name).and_then(|id| register.by_id.get(id))?;
        Some(entry.participants.load(Ordering::Relaxed))
    }

    async fn tell_all(&self, input: impl Fn() -> Input) {
        let inboxes: Vec<_> = self.register().by_id.values().map(|entry| entry.inbox.clone()).collect();
        for inbox in inboxes {
            // It fails when the room has just ended, which is as good.
            let _ = inbox.send(input()).await;
        }
    }

    fn register(&self) -> std::sync::MutexGuard<'_, Register> {
        // Nothing in these short sections panics half way.
        self.register.lock().unwrap_or_else(PoisonError::into_inner)
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
