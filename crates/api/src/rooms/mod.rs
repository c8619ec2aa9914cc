// SPDX-License-Identifier: EUPL-1.2
//! Which rooms there are, and how to reach them. Each is a task ([`crate::room_task`]); this is their register. [`enter`] brings
//! clients in, [`ahead`] keeps those that were made ahead, [`orders`] is what applications' servers have rooms do, [`input`] what a room's task hears, [`failure`] why something
//! is not done.

mod ahead;
mod enter;
mod failure;
mod input;
mod orders;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use livekit_protocol as proto;
use parvis_audit::Sink;
use parvis_sfu::{Event, ForwarderId, RoomId};
use parvis_signal::{Actor, Control, Occurrence, RoomSettings};
use parvis_store::Store;
use rustc_hash::FxHashMap;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::AbortHandle;

use crate::agents::{self, Agents, News};
use crate::conduct::{Known, Meetings};
use crate::config::ApiConfig;
use crate::egress::{EgressEngine, LinkKey};
use crate::forwarders::Forwarders;
use crate::forwards::Forwards;
use crate::live::{InForce, Live};
use crate::metrics::Metrics;
use crate::room_task::RoomTask;
use crate::tenant::{RoomKey, TenantId};
use crate::token::Keys;
use crate::traces::{Jobs, Trace, Tracer};
use crate::webhook::{self, Webhooks};
use crate::whip::{LiveIngresses, Resources};

use ahead::Ahead;
pub(crate) use enter::{Attached, JOIN_TRIES};
pub(crate) use failure::{ControlFailure, CreateFailure, JoinRefusal, MeetRefusal};
pub(crate) use input::{Act, Hello, Input};

/// Inputs that may wait for a room. Sockets wait for a place, events don't: 4,096 are some seconds of a busy room.
const INBOX: usize = 4_096;

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
    /// Where acts that matter are written down.
    pub(crate) log: OnceLock<Arc<dyn Sink>>,
    /// Held while a trunk for calls is compared with the others and written.
    pub(crate) trunk_writes: tokio::sync::Mutex<()>,
    /// Who records and streams.
    pub(crate) egress_engine: OnceLock<Arc<dyn EgressEngine>>,
    /// Signs links to recordings' files.
    pub(crate) link_key: LinkKey,
    /// Held while the record of an egress is changed.
    pub(crate) egress_writes: tokio::sync::Mutex<()>,
    /// Who traces joins and jobs.
    pub(crate) tracer: OnceLock<Tracer>,
    /// Jobs that go on, as far as they are timed and traced.
    pub(crate) jobs: Jobs,
    /// Who is told of what happens.
    pub(crate) webhooks: Arc<OnceLock<Webhooks>>,
    /// Clients that came by an offer, by the name of their session.
    pub(crate) resources: Arc<Resources>,
    /// Of those, what comes in by an ingress.
    pub(crate) ingresses: LiveIngresses,
    ahead: Ahead,
    /// Meetings that people made a room for.
    pub(crate) meetings: Meetings,
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

/// What a room begins with.
#[derive(Debug, Clone, Default)]
pub(crate) struct Opening {
    /// Programs that are asked for.
    pub(crate) agents: Vec<proto::RoomAgentDispatch>,
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
            log: OnceLock::new(),
            trunk_writes: tokio::sync::Mutex::default(),
            config,
            live,
            forwarders,
            metrics,
            webhooks,
            resources,
            ingresses: LiveIngresses::default(),
            ahead: Ahead::default(),
            meetings: Meetings::default(),
            egress_engine: OnceLock::new(),
            tracer: OnceLock::new(),
            jobs: Jobs::default(),
            link_key: LinkKey::new(&rand::random()),
            egress_writes: tokio::sync::Mutex::default(),
            register: Mutex::default(),
            next_connection: AtomicU64::new(1),
            gone: Notify::new(),
            forwards: Forwards::default(),
        })
    }

    /// Begins a trace, where there are any and the lot falls upon it.
    pub(crate) fn trace(
        &self,
        now: Instant,
        name: &'static str,
        words: &[(&'static str, &'static str)],
    ) -> Option<Trace> {
        self.tracer.get()?.begin(now, name, words)
    }

    /// What is in force now of all that may change.
    pub(crate) fn live(&self) -> Arc<InForce> {
        self.live.get()
    }

    /// Puts something else in force; rooms that are there keep what they began with.
    pub(crate) fn reload(&self, config: &ApiConfig, keys: Keys) {
        self.live.set(InForce::after(&self.config, config, keys));
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
        let opening = Opening::default();
        let opening = self.live().config.auto_create.then_some(&opening);
        self.room_for(key, opening).map(drop)
    }

    /// The inbox of a room, which comes to be if need be, unless `opening` is `None`. One that was made ahead may always.
    pub(crate) fn room_for(
        self: &Arc<Self>,
        key: &RoomKey,
        opening: Option<&Opening>,
    ) -> Result<mpsc::Sender<Input>, JoinRefusal> {
        match opening {
            Some(opening) => self.room(key, opening),
            None if self.is_ahead(key) || self.meetings.get(key).is_some() => {
                self.room(key, &Opening::default())
            }
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
        if matches!(self.meetings.get(key), Some(Known::Broken)) {
            return Err(JoinRefusal::Unreadable);
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
        let ahead = self.ahead.get(key);
        if let Some(wanted) = &ahead {
            // It is the first thing that the room hears; nobody waits for what it says.
            let control = Box::new(Control::Configure(RoomSettings::of(wanted)));
            let (reply, _) = oneshot::channel();
            let _ = inbox.try_send(Input::Control { actor: Actor::default(), control, reply });
        }
        let agents = ahead.map_or_else(|| opening.agents.clone(), |wanted| wanted.agents);
        self.agents.tell(key, News::Started(Box::new(task.describe()), agents));
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
