// SPDX-License-Identifier: EUPL-1.2
//! Recordings and streams, as applications know them: what was asked for is checked ([`request`]), written down, and handed to
//! whoever does it, an [`EgressEngine`]; what that says of it later is written down too, and told by webhooks. Without an
//! engine nothing begins.
//!
//! **The one invariant: a record only moves forward.** It starts, goes on, ends, and stays as it ended, whatever comes later
//! and from whom. What others see of it holds no secret ([`redact`]).

mod link;
mod recorders;
mod redact;
mod request;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use livekit_protocol as proto;
use livekit_protocol::{EgressInfo, EgressStatus as Status, WebhookEvent};
use parvis_audit::{Act, Event, Who};
use parvis_signal::RecordingNews;
use parvis_store::{Store, StoreError};

use crate::rooms::Rooms;
use crate::tenant::{RoomKey, TenantId};
use crate::traces::kind_of;

pub(crate) use link::{BadLink, LINK_AGE, LinkKey, Linked};
pub use recorders::{RecorderError, Recorders};
pub(crate) use redact::redacted;
pub(crate) use request::Wanted;

/// The layout of a room composite that means that each track is kept as it is sent.
pub const CAPTURE_LAYOUT: &str = "capture";

/// Whoever records and streams. [`crate::Api::record`] takes it. What it is told comes in the order of the calls, for each
/// egress; what becomes of them it says by [`crate::Api::egress_is`] at any time, but not from within these calls, which the record
/// waits for.
pub trait EgressEngine: Send + Sync + 'static {
    /// Begins an egress that was just written down as starting. `egress.request` has all that was asked for, secrets included.
    fn start<'a>(
        &'a self,
        tenant: &'a TenantId,
        egress: &'a EgressInfo,
    ) -> BoxFuture<'a, Result<(), EngineError>>;

    /// Changes the layout of one that composes a room.
    fn set_layout<'a>(
        &'a self,
        egress_id: &'a str,
        layout: &'a str,
    ) -> BoxFuture<'a, Result<(), EngineError>>;

    /// Streams to these URLs too, and to those no more.
    fn set_urls<'a>(
        &'a self,
        egress_id: &'a str,
        add: &'a [String],
        remove: &'a [String],
    ) -> BoxFuture<'a, Result<(), EngineError>>;

    /// Ends one: it says when it has.
    fn stop<'a>(&'a self, egress_id: &'a str) -> BoxFuture<'a, Result<(), EngineError>>;

    /// What an egress's worker is to know of its room. It is told in the room's own task and must not wait.
    fn news(&self, egress_id: &str, news: RecordingNews) {
        let _ = (egress_id, news);
    }

    /// Where a file lies that an egress wrote, by its name in the record; `None` when there is no such file.
    fn file(&self, tenant: &TenantId, egress_id: &str, name: &str) -> Option<PathBuf> {
        let _ = (tenant, egress_id, name);
        None
    }

    /// What a request for a file of a live stream is answered with, by the stream's key, the file's name and the query. It may wait
    /// for what comes next.
    fn watch<'a>(&'a self, key: &'a str, name: &'a str, query: &'a str) -> BoxFuture<'a, Watched> {
        let _ = (key, name, query);
        Box::pin(async { Watched::Gone })
    }

    /// Where such a file can be fetched for a short time by whoever has the address, if it does not lie where [`Self::file`] says;
    /// `None` when it lies nowhere else either.
    fn elsewhere<'a>(
        &'a self,
        tenant: &'a TenantId,
        egress_id: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Option<String>> {
        let _ = (tenant, egress_id, name);
        Box::pin(std::future::ready(None))
    }

    /// Has a film made, in this layout, of what one kept that has ended. It need not be there before this returns, and to ask for one
    /// that is being made, or is there, is no error.
    fn film<'a>(
        &'a self,
        tenant: &'a TenantId,
        egress: &'a EgressInfo,
        layout: &'a str,
    ) -> BoxFuture<'a, Result<(), EngineError>> {
        let _ = (tenant, egress, layout);
        let why = "no films are made here of what was recorded".to_owned();
        Box::pin(std::future::ready(Err(EngineError::Unable(why))))
    }

    /// How the film does of one that has ended.
    fn film_of(&self, tenant: &TenantId, egress: &EgressInfo) -> FilmState {
        let _ = (tenant, egress);
        FilmState::None
    }

    /// Whether it goes on with one that had begun before the server was started anew.
    fn resume<'a>(&'a self, tenant: &'a TenantId, egress: &'a EgressInfo) -> BoxFuture<'a, bool>;
}

/// How a film does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilmState {
    /// There is none, and none is being made.
    None,
    /// It waits for others, or is being made.
    BeingMade,
    /// It is among the files.
    Made,
    /// It could not be made, and why.
    Failed(String),
}

/// What becomes of a request for a file of a live stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Watched {
    /// It is there.
    Found {
        /// Its media type.
        content_type: &'static str,
        /// Whether it never changes.
        lasting: bool,
        /// All of it.
        body: Bytes,
    },
    /// It is not there yet, or too many wait for it: ask again.
    Later,
    /// It is not there, or no more.
    Gone,
    /// The query says nothing that can be.
    Nonsense,
}

/// Why an engine does not do what it is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// It has as much to do as it takes.
    #[error("as much is recorded and streamed as this server takes: {0}")]
    Busy(String),
    /// It can't do this at all.
    #[error("{0}")]
    Unable(String),
    /// What is to be recorded is not there.
    #[error("{0}")]
    NotThere(String),
    /// It knows nothing of this egress: it has ended, or was never begun.
    #[error("nothing is known of it where it would be done")]
    Unknown,
    /// It failed.
    #[error("it failed: {0}")]
    Failed(String),
}

/// Why an egress is not begun or not changed.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// What is asked for makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// It would take a browser.
    #[error(
        "web pages are not recorded here: that takes a browser for each recording, and this server runs none"
    )]
    NeedsBrowser,
    /// Nobody but its people can know what is said there.
    #[error(
        "this room is encrypted from end to end, so that nothing in it can be recorded or streamed: e2ee_room"
    )]
    Encrypted,
    /// Nobody is there who could do it.
    #[error("this server has no media worker yet: recordings and streams can't be started")]
    NoEngine,
    /// No records are kept.
    #[error("this server keeps no records: it runs without a database")]
    NoStore,
    /// There is no such room.
    #[error("there is no room {0:?}")]
    NoRoom(String),
    /// It is not as far, or has ended.
    #[error("egress {id:?} is {status} and can't be {what}")]
    State {
        /// Which.
        id: String,
        /// How it is, in the protocol's words.
        status: &'static str,
        /// What was to be done with it.
        what: &'static str,
    },
    /// It would go back.
    #[error("egress {id:?} is {status} and can't be {to} after that")]
    Backwards {
        /// Which.
        id: String,
        /// How it is.
        status: &'static str,
        /// How it is said to be.
        to: &'static str,
    },
    /// Whoever does it refuses.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What an egress becomes by a change.
type Changed = Result<EgressInfo, EgressError>;

impl Rooms {
    /// Begins an egress. What is given has its secrets left out.
    pub(crate) async fn start_egress(
        &self,
        tenant: &TenantId,
        request: proto::egress_info::Request,
    ) -> Changed {
        let asked = Instant::now();
        let wanted = Wanted::of(&request)?;
        if self.meetings.is_e2ee(&RoomKey::new(tenant, wanted.room)) {
            return Err(EgressError::Encrypted);
        }
        if let Some(webhooks) = self.webhooks.get() {
            webhooks.check_request(tenant, wanted.webhooks).map_err(EgressError::Invalid)?;
        }
        let room = self.room_of(tenant, wanted.room).await?;
        let (engine, store) = (self.engine()?, self.egress_store()?);
        let now = unix_nanos();
        let egress = EgressInfo {
            egress_id: new_id(),
            room_id: room.sid,
            room_name: room.name,
            source_type: wanted.source.into(),
            status: Status::EgressStarting.into(),
            started_at: now,
            updated_at: now,
            stream_results: wanted.streams(now),
            file_results: wanted.files(),
            segment_results: wanted.segments(),
            image_results: wanted.images(),
            request: Some(request.clone()),
            ..EgressInfo::default()
        };
        let _alone = self.egress_writes.lock().await;
        store.create_egress(tenant, &egress).await?;
        let trace = self.trace(asked, "job", &[("parvis.kind", kind_of(&request))]);
        self.jobs.begin(&egress.egress_id, asked, trace);
        if let Err(error) = engine.start(tenant, &egress).await {
            self.jobs.refused(&egress.egress_id);
            // Nothing began, so nothing of it is told and nothing stays.
            store.delete_egress(tenant, &egress.egress_id).await?;
            return Err(error.into());
        }
        self.tell_of_egress(tenant, "egress_started", &egress);
        Ok(redacted(egress))
    }

    /// Changes the layout of one that composes a room.
    pub(crate) async fn set_egress_layout(&self, tenant: &TenantId, id: &str, layout: &str) -> Changed {
        request::check_layout(layout)?;
        let _alone = self.egress_writes.lock().await;
        let mut egress = self.running(tenant, id, "changed").await?;
        let known = request::layout_of(&mut egress).ok_or_else(|| {
            EgressError::Invalid(format!("egress {id:?} composes no room, so that it has no layout"))
        })?;
        layout.clone_into(known);
        self.engine()?.set_layout(id, layout).await?;
        self.written(tenant, egress).await
    }

    /// Streams to other places.
    pub(crate) async fn set_egress_urls(
        &self,
        tenant: &TenantId,
        id: &str,
        add: &[String],
        remove: &[String],
    ) -> Changed {
        let _alone = self.egress_writes.lock().await;
        let mut egress = self.running(tenant, id, "changed").await?;
        request::change_streams(&mut egress, add, remove, unix_nanos())?;
        self.engine()?.set_urls(id, add, remove).await?;
        self.written(tenant, egress).await
    }

    /// Has a film made of one that has ended, and says how that does.
    pub(crate) async fn film_egress(
        &self,
        tenant: &TenantId,
        egress: &EgressInfo,
        layout: &str,
    ) -> Result<FilmState, EgressError> {
        request::check_layout(layout)?;
        let (id, status) = (egress.egress_id.clone(), egress.status());
        if !has_ended(status) {
            return Err(EgressError::State {
                id,
                status: status.as_str_name(),
                what: "made another film of",
            });
        }
        let engine = self.engine()?;
        engine.film(tenant, egress, layout).await?;
        Ok(engine.film_of(tenant, egress))
    }

    /// Ends one. One that is ending already does so; one of which nobody knows has been aborted.
    pub(crate) async fn stop_egress(&self, tenant: &TenantId, id: &str) -> Changed {
        let _alone = self.egress_writes.lock().await;
        let mut egress = self.running(tenant, id, "stopped").await?;
        if egress.status() == Status::EgressEnding {
            return Ok(redacted(egress));
        }
        match self.engine()?.stop(id).await {
            Ok(()) => egress.set_status(Status::EgressEnding),
            Err(EngineError::Unknown) => {
                end(&mut egress, Status::EgressAborted, "it was stopped before it began")
            }
            Err(error) => return Err(error.into()),
        }
        self.written(tenant, egress).await
    }

    /// Writes down how an egress is, as whoever does it says.
    pub(crate) async fn egress_is(&self, tenant: &TenantId, now: EgressInfo) -> Result<(), EgressError> {
        let _alone = self.egress_writes.lock().await;
        let id = now.egress_id.clone();
        let before = self.egress(tenant, &id).await?;
        if has_ended(before.status()) || step(now.status()) < step(before.status()) {
            let (status, to) = (before.status().as_str_name(), now.status().as_str_name());
            return Err(EgressError::Backwards { id, status, to });
        }
        let ended_at = if has_ended(now.status()) && now.ended_at == 0 { unix_nanos() } else { now.ended_at };
        // What was asked for, and where, is not for whoever does it to change.
        let egress = EgressInfo {
            egress_id: before.egress_id,
            room_id: before.room_id,
            room_name: before.room_name,
            source_type: before.source_type,
            request: before.request,
            started_at: if now.started_at == 0 { before.started_at } else { now.started_at },
            ended_at,
            ..now
        };
        self.written(tenant, egress).await.map(drop)
    }

    /// Writes down where the files of one lie that has ended, as whoever brought them there says, and tells of it. Nothing else of
    /// it changes, nor for how long it is kept.
    pub(crate) async fn egress_lies(&self, tenant: &TenantId, now: EgressInfo) -> Result<(), EgressError> {
        let _alone = self.egress_writes.lock().await;
        let mut egress = self.egress(tenant, &now.egress_id).await?;
        egress.file_results = now.file_results;
        egress.manifest_location = now.manifest_location;
        egress.updated_at = unix_nanos();
        // Nothing more is sent there.
        let egress = redact::without_keys(egress);
        self.egress_store()?.relocate_egress(tenant, &egress).await?;
        self.tell_of_egress(tenant, "egress_updated", &egress);
        Ok(())
    }

    /// Takes up what had begun before the server was started anew. What nobody goes on with has failed.
    pub(crate) async fn recover_egress(&self) -> Result<(), StoreError> {
        let Some(store) = self.store.get() else { return Ok(()) };
        for (tenant, mut egress) in store.active_egresses().await? {
            let goes_on = match self.egress_engine.get() {
                Some(engine) => engine.resume(&tenant, &egress).await,
                None => false,
            };
            if goes_on {
                continue;
            }
            let _alone = self.egress_writes.lock().await;
            end(&mut egress, Status::EgressFailed, "the server ended while it went on");
            if let Err(error) = self.written(&tenant, egress).await {
                tracing::warn!(%error, "an egress of before the start can't be ended");
            }
        }
        Ok(())
    }

    /// Begins what a room is to be recorded by from its beginning.
    pub(crate) async fn start_egress_of(
        &self,
        key: &RoomKey,
        egress: proto::RoomEgress,
    ) -> Result<(), EgressError> {
        if egress.participant.is_some() || egress.tracks.is_some() {
            let why = "single participants and tracks are not recorded by themselves here: ask for the room";
            return Err(EngineError::Unable(why.to_owned()).into());
        }
        let Some(room) = egress.room else { return Ok(()) };
        let request = proto::RoomCompositeEgressRequest { room_name: key.name.clone(), ..room };
        let begun =
            self.start_egress(&key.tenant, proto::egress_info::Request::RoomComposite(request)).await?;
        let event = Event::new(key.tenant.as_str(), Act::RecordingStart, Who::Server);
        self.note(event.on("recording", &begun.egress_id).saying(&format!("of {}", key.name)));
        Ok(())
    }

    /// Begins what a room is to be recorded by that nobody asks for at that moment. Nobody gets the error: it is written down as an
    /// egress that failed, and told as such.
    pub(crate) async fn record_by_itself(&self, key: &RoomKey, egress: proto::RoomEgress) {
        let layout = egress.room.as_ref().map(|room| room.layout.clone()).unwrap_or_default();
        let Err(error) = self.start_egress_of(key, egress.clone()).await else { return };
        tracing::warn!(room = key.name, tenant = %key.tenant, layout, %error, "a room that is to be recorded is not");
        let (Ok(store), Some(room)) = (self.egress_store(), egress.room) else { return };
        let now = unix_nanos();
        let request = proto::RoomCompositeEgressRequest { room_name: key.name.clone(), ..room };
        let mut failed = EgressInfo {
            egress_id: new_id(),
            room_name: key.name.clone(),
            source_type: proto::EgressSourceType::Web.into(),
            started_at: now,
            updated_at: now,
            request: Some(proto::egress_info::Request::RoomComposite(request)),
            ..EgressInfo::default()
        };
        if let Ok(room) = self.room_of(&key.tenant, &key.name).await {
            failed.room_id = room.sid;
        }
        end(&mut failed, Status::EgressFailed, &format!("the room was to be recorded by itself: {error}"));
        if let Err(error) = store.create_egress(&key.tenant, &failed).await {
            tracing::warn!(%error, "that a room is not recorded can't be written down");
        }
        self.tell_of_egress(&key.tenant, "egress_ended", &failed);
    }

    /// Writes a change down and tells of it.
    async fn written(&self, tenant: &TenantId, mut egress: EgressInfo) -> Changed {
        egress.updated_at = unix_nanos();
        // Before it is written: a store that fails now and then would leave a job that never ends.
        self.jobs.is(&egress.egress_id, egress.status(), &self.metrics.felt.recorded);
        self.egress_store()?.update_egress(tenant, &egress).await?;
        let name = if has_ended(egress.status()) { "egress_ended" } else { "egress_updated" };
        self.tell_of_egress(tenant, name, &egress);
        Ok(redacted(egress))
    }

    fn tell_of_egress(&self, tenant: &TenantId, name: &str, egress: &EgressInfo) {
        let Some(webhooks) = self.webhooks.get() else { return };
        let hooks = egress.request.as_ref().and_then(|request| Wanted::of(request).ok());
        let event = WebhookEvent {
            event: name.to_owned(),
            egress_info: Some(redacted(egress.clone())),
            ..WebhookEvent::default()
        };
        webhooks.raise_to(tenant, event, hooks.map_or(&[][..], |wanted| wanted.webhooks));
    }

    /// One that has not ended.
    async fn running(&self, tenant: &TenantId, id: &str, what: &'static str) -> Changed {
        let egress = self.egress(tenant, id).await?;
        let status = egress.status();
        if has_ended(status) {
            return Err(EgressError::State { id: id.to_owned(), status: status.as_str_name(), what });
        }
        Ok(egress)
    }

    pub(crate) async fn egress(&self, tenant: &TenantId, id: &str) -> Changed {
        let found = self.egress_store()?.egress(tenant, id).await?;
        Ok(found.ok_or_else(|| StoreError::NotFound { what: "egress", id: id.to_owned() })?)
    }

    async fn room_of(&self, tenant: &TenantId, name: &str) -> Result<proto::Room, EgressError> {
        let found = self.list(tenant, &[name.to_owned()]).await.into_iter().next();
        found.filter(|_| !name.is_empty()).ok_or_else(|| EgressError::NoRoom(name.to_owned()))
    }

    pub(crate) fn engine(&self) -> Result<&Arc<dyn EgressEngine>, EgressError> {
        self.egress_engine.get().ok_or(EgressError::NoEngine)
    }

    pub(crate) fn egress_store(&self) -> Result<&Store, EgressError> {
        self.store.get().ok_or(EgressError::NoStore)
    }
}

fn new_id() -> String {
    format!("EG_{:016x}", rand::random::<u64>())
}

fn end(egress: &mut EgressInfo, status: Status, why: &str) {
    egress.set_status(status);
    why.clone_into(&mut egress.error);
    egress.ended_at = unix_nanos();
}

pub(crate) fn has_ended(status: Status) -> bool {
    step(status) == step(Status::EgressComplete)
}

/// How far on its way an egress is.
fn step(status: Status) -> u8 {
    match status {
        Status::EgressStarting => 0,
        Status::EgressActive => 1,
        Status::EgressEnding => 2,
        Status::EgressComplete
        | Status::EgressFailed
        | Status::EgressAborted
        | Status::EgressLimitReached => 3,
    }
}

fn unix_nanos() -> i64 {
    let passed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(passed.as_nanos()).unwrap_or(i64::MAX)
}
