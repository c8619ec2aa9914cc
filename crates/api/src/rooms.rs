// SPDX-License-Identifier: EUPL-1.2
//! Which rooms there are, and how to reach them. Each is a task ([`crate::room_task`]); this is their register.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use livekit_protocol as proto;
use parvis_sfu::{Event, ForwarderId, RoomId};
use parvis_signal::{
    Actor, ConnectError, ConnectionId, Control, ControlError, Frame, Join, Occurrence, Offer, Reply, Room,
    RoomSettings,
};
use parvis_store::Store;
use rustc_hash::FxHashMap;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::AbortHandle;

use crate::agents::{self, Agents, News};
use crate::config::ApiConfig;
use crate::forwarders::Forwarders;
use crate::forwards::Forwards;
use crate::http::Refusal;
use crate::live::{InForce, Live};
use crate::metrics::Metrics;
use crate::room_task::RoomTask;
use crate::rpc::RpcCall;
use crate::socket::Outgoing;
use crate::tenant::{RoomKey, TenantId};
use crate::token::Keys;
use crate::webhook::{self, Webhooks};
use crate::whip::{self, Answered, Arrival, Bearer, LiveIngresses, Resources, Taken};

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

/// What is done to a room in its task.
pub(crate) type Act = Box<dyn FnOnce(&mut Room, Instant) + Send>;

/// Everything that rooms share.
pub(crate) struct Rooms {
    /// As it was at the start; [`Rooms::live`] has what is in force.
    pub(crate) config: ApiConfig,
    pub(crate) live: Arc<Live>,
    pub(crate) forwarders: Arc<dyn Forwarders>,
    pub(crate) metrics: Metrics,
    pub(crate) agents: Arc<Agents>,
    /// Where applications' records are kept.
    pub(crate) store: OnceLock<Store>,
    /// Held while a trunk for calls is compared with the others and written.
    pub(crate) trunk_writes: tokio::sync::Mutex<()>,
    /// Who is told of what happens.
    pub(crate) webhooks: Arc<OnceLock<Webhooks>>,
    /// Clients that came by an offer, by the name of their session.
    pub(crate) resources: Arc<Resources>,
    /// Of those, what comes in by an ingress.
    pub(crate) ingresses: LiveIngresses,
    register: Mutex<Register>,
    next_connection: AtomicU64,
    /// Rung when a room has gone.
    gone: Notify,
    pub(crate) forwards: Forwards,
}

#[derive(Default)]
struct Register {
    draining: bool,
    // Names are chosen by strangers: a hash that they can't foresee.
    by_key: HashMap<RoomKey, RoomId>,
    by_id: FxHashMap<RoomId, Entry>,
}

struct Entry {
    key: RoomKey,
    inbox: mpsc::Sender<Input>,
    participants: Arc<AtomicUsize>,
    abort: Option<AbortHandle>,
}

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
    #[error("the server has as many sessions as it takes from {0}: end one first")]
    TooManyOffers(&'static str),
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

/// What a room begins with.
#[derive(Debug, Clone, Default)]
pub(crate) struct Opening {
    /// Programs that are asked for.
    pub(crate) agents: Vec<proto::RoomAgentDispatch>,
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
        let webhooks = Arc::<OnceLock<Webhooks>>::default();
        let resources = Resources::new(metrics.clone());
        let live = Arc::new(Live::new(InForce { keys, config: config.clone() }));
        let agents = agents::spawn(Arc::clone(&live), metrics.clone(), Arc::clone(&webhooks));
        Arc::new(Rooms {
            agents: Arc::new(agents),
            store: OnceLock::new(),
            trunk_writes: tokio::sync::Mutex::default(),
            config,
            live,
            forwarders,
            metrics,
            webhooks,
            resources,
            ingresses: LiveIngresses::default(),
            register: Mutex::default(),
            next_connection: AtomicU64::new(1),
            gone: Notify::new(),
            forwards: Forwards::default(),
        })
    }

    /// What is in force now of all that may change.
    pub(crate) fn live(&self) -> Arc<InForce> {
        self.live.get()
    }

    /// Puts something else in force; rooms that are there keep what they began with.
    pub(crate) fn reload(&self, config: &ApiConfig, keys: Keys) {
        self.live.set(InForce::after(&self.config, config, keys));
    }

    /// Brings a client into a room, which comes to be if need be, unless `opening` is `None`.
    pub(crate) async fn join(
        self: &Arc<Self>,
        key: &RoomKey,
        opening: Option<&Opening>,
        join: Join,
        mut outgoing: impl FnMut() -> Outgoing,
    ) -> Result<Attached, JoinRefusal> {
        for _ in 0..JOIN_TRIES {
            let inbox = self.room_for(key, opening)?;
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

    /// Brings a client that comes by an offer into a room as [`Rooms::join`] does, and waits for its answer.
    pub(crate) async fn offer(
        self: &Arc<Self>,
        key: &RoomKey,
        opening: Option<&Opening>,
        offer: Offer,
        bearer: Bearer,
        address: IpAddr,
    ) -> Result<Answered, Refusal> {
        for _ in 0..JOIN_TRIES {
            let seat = self.resources.seat(&self.live().config.offers, address).map_err(|taken| {
                let of = match taken {
                    Taken::All => "everyone",
                    Taken::OfAddress => "one address",
                };
                JoinRefusal::TooManyOffers(of)
            })?;
            let inbox = self.room_for(key, opening)?;
            let connection = ConnectionId(self.next_connection.fetch_add(1, Ordering::Relaxed));
            let (reply, answer) = oneshot::channel();
            let arrival = Arrival { connection, offer: offer.clone(), bearer: bearer.clone(), seat, reply };
            if inbox.send(Input::Offer(Box::new(arrival))).await.is_err() {
                continue;
            }
            if let Ok(answered) = answer.await {
                return answered.map_err(Refusal::from);
            }
        }
        Err(JoinRefusal::Ending.into())
    }

    /// Makes a room, or changes the settings of one that is there.
    pub(crate) async fn create(
        self: &Arc<Self>,
        key: &RoomKey,
        actor: &Actor,
        settings: RoomSettings,
        opening: Opening,
    ) -> Result<proto::Room, CreateFailure> {
        for _ in 0..JOIN_TRIES {
            self.room(key, &opening)?;
            match self.control(key, actor, Control::Configure(settings.clone())).await {
                Ok(Reply::Room(room)) => return Ok(*room),
                Ok(_) | Err(ControlFailure::NoRoom(_) | ControlFailure::Refused(ControlError::Ended)) => {}
                Err(failure) => return Err(failure.into()),
            }
        }
        Err(JoinRefusal::Ending.into())
    }

    /// Ends a room, and waits until it is gone.
    pub(crate) async fn delete(&self, key: &RoomKey, actor: &Actor) -> Result<(), ControlFailure> {
        let inbox = self.inbox(key).ok_or_else(|| ControlFailure::NoRoom(key.name.clone()))?;
        self.control(key, actor, Control::Delete).await?;
        inbox.closed().await;
        Ok(())
    }

    /// A tenant's rooms: those of these names, or all.
    pub(crate) async fn list(&self, tenant: &TenantId, names: &[String]) -> Vec<proto::Room> {
        let inboxes: Vec<mpsc::Sender<Input>> = {
            let register = self.register();
            let own = register.by_id.values().filter(|entry| entry.key.tenant == *tenant);
            let wanted = own.filter(|entry| names.is_empty() || names.contains(&entry.key.name));
            wanted.map(|entry| entry.inbox.clone()).collect()
        };
        // All are asked before the first one's answer is waited for.
        let mut answers = Vec::with_capacity(inboxes.len());
        for inbox in inboxes {
            answers.push(ask(&inbox, &Actor::default(), Control::Describe).await);
        }
        let mut rooms = Vec::with_capacity(answers.len());
        for answer in answers.into_iter().flatten() {
            if let Ok(Ok(Reply::Room(room))) = answer.await {
                rooms.push(*room);
            }
        }
        rooms.sort_by(|a, b| (a.creation_time_ms, &a.name).cmp(&(b.creation_time_ms, &b.name)));
        rooms
    }

    /// Has a room do something.
    pub(crate) async fn control(
        &self,
        key: &RoomKey,
        actor: &Actor,
        control: Control,
    ) -> Result<Reply, ControlFailure> {
        let no_room = || ControlFailure::NoRoom(key.name.clone());
        let inbox = self.inbox(key).ok_or_else(no_room)?;
        let answer = ask(&inbox, actor, control).await.ok_or_else(no_room)?;
        Ok(answer.await.map_err(|_| no_room())??)
    }

    /// The inbox of a room that is there.
    pub(crate) fn inbox(&self, key: &RoomKey) -> Option<mpsc::Sender<Input>> {
        let register = self.register();
        Some(register.by_id.get(register.by_key.get(key)?)?.inbox.clone())
    }

    /// The room's name among all that ever were.
    pub(crate) fn id_of(&self, key: &RoomKey) -> Option<RoomId> {
        self.register().by_key.get(key).copied()
    }

    /// The inbox of a room by that name.
    pub(crate) fn inbox_of(&self, id: RoomId) -> Option<mpsc::Sender<Input>> {
        self.register().by_id.get(&id).map(|entry| entry.inbox.clone())
    }

    /// Sees to it that there is this room: one that has to come to be may, where rooms come to be by themselves.
    pub(crate) fn open(self: &Arc<Self>, key: &RoomKey) -> Result<(), JoinRefusal> {
        if self.live().config.auto_create {
            return self.room(key, &Opening::default()).map(drop);
        }
        self.inbox(key).map(drop).ok_or(JoinRefusal::NoRoom)
    }

    /// Has something done in a room's task, and gives what came of it. `None` when it isn't there, or ends meanwhile.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        key: &RoomKey,
        act: impl FnOnce(&mut Room, Instant) -> T + Send + 'static,
    ) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        let act: Act = Box::new(move |room, now| {
            // Whoever asked may have gone.
            let _ = reply.send(act(room, now));
        });
        self.inbox(key)?.send(Input::Act(act)).await.ok()?;
        answer.await.ok()
    }

    /// The inbox of a room, which comes to be if need be, unless `opening` is `None`.
    fn room_for(
        self: &Arc<Self>,
        key: &RoomKey,
        opening: Option<&Opening>,
    ) -> Result<mpsc::Sender<Input>, JoinRefusal> {
        match opening {
            Some(opening) => self.room(key, opening),
            None => self.inbox(key).ok_or(JoinRefusal::NoRoom),
        }
    }

    /// The inbox of a room, which comes to be if need be.
    fn room(self: &Arc<Self>, key: &RoomKey, opening: &Opening) -> Result<mpsc::Sender<Input>, JoinRefusal> {
        let mut register = self.register();
        if let Some(entry) = register.by_key.get(key).and_then(|id| register.by_id.get(id)) {
            return Ok(entry.inbox.clone());
        }
        if register.draining {
            return Err(JoinRefusal::Draining);
        }
        if register.by_id.len() >= self.live().config.max_rooms {
            return Err(JoinRefusal::TooManyRooms);
        }
        let id = self.forwarders.new_room().ok_or(JoinRefusal::NoForwarder)?;
        let (inbox, receiver) = mpsc::channel(INBOX);
        let participants = Arc::<AtomicUsize>::default();
        let entry = Entry {
            key: key.clone(),
            inbox: inbox.clone(),
            participants: Arc::clone(&participants),
            abort: None,
        };
        register.by_key.insert(key.clone(), id);
        register.by_id.insert(id, entry);
        self.metrics.rooms.inc();
        let task = RoomTask::new(Arc::clone(self), id, key.clone(), participants, receiver);
        self.agents.tell(key, News::Started(Box::new(task.describe()), opening.agents.clone()));
        let abort = tokio::spawn(task.run()).abort_handle();
        if let Some(entry) = register.by_id.get_mut(&id) {
            entry.abort = Some(abort);
        }
        Ok(inbox)
    }

    /// Takes a room out of the register: its task is about to end, or has.
    pub(crate) fn forget(&self, id: RoomId) {
        let mut register = self.register();
        if let Some(entry) = register.by_id.remove(&id) {
            if register.by_key.get(&entry.key) == Some(&id) {
                register.by_key.remove(&entry.key);
            }
            drop(register);
            self.metrics.rooms.dec();
            self.agents.tell(&entry.key, News::Ended);
            self.forwarders.room_ended(id);
            self.gone.notify_waiters();
        }
    }

    /// Tells those outside what happened in a room, without waiting.
    pub(crate) fn happened(&self, key: &RoomKey, occurrence: Occurrence) {
        if let Some(news) = News::of(&occurrence.kind) {
            self.agents.tell(key, news);
        }
        let of_ingress = self.ingresses.event(&occurrence);
        self.raise(&key.tenant, webhook::of_occurrence(occurrence));
        if let Some(event) = of_ingress {
            self.raise(&key.tenant, event);
        }
    }

    /// Tells those outside of an event, without waiting.
    pub(crate) fn raise(&self, tenant: &TenantId, event: proto::WebhookEvent) {
        if let Some(webhooks) = self.webhooks.get() {
            webhooks.raise(tenant, event);
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

    /// Ends rooms whose media is gone. Their clients are told to start over, and come back into new rooms by themselves.
    pub(crate) fn lose(&self, cause: &str, which: impl Fn(RoomId) -> bool) {
        let lost: Vec<(RoomId, mpsc::Sender<Input>, Option<AbortHandle>)> = {
            let register = self.register();
            let lost = register.by_id.iter().filter(|(id, _)| which(**id));
            lost.map(|(id, entry)| (*id, entry.inbox.clone(), entry.abort.clone())).collect()
        };
        for (id, inbox, abort) in lost {
            self.metrics.rooms_lost.with_label_values(&[cause]).inc();
            // Who comes back makes a new room, even while this one still says farewell.
            self.forget(id);
            let told = inbox.try_send(Input::MediaLost).is_ok();
            // One that is too busy to be told ends as it stands: its sockets close.
            if let Some(abort) = abort.filter(|_| !told) {
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

    /// How many are in a room, if it is there.
    pub(crate) fn participants(&self, key: &RoomKey) -> Option<usize> {
        let register = self.register();
        let entry = register.by_key.get(key).and_then(|id| register.by_id.get(id))?;
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

/// Puts a question to a room. `None`: it is gone.
async fn ask(
    inbox: &mpsc::Sender<Input>,
    actor: &Actor,
    control: Control,
) -> Option<oneshot::Receiver<Result<Reply, ControlError>>> {
    let (reply, answer) = oneshot::channel();
    inbox.send(Input::Control { actor: actor.clone(), control: Box::new(control), reply }).await.ok()?;
    Some(answer)
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
