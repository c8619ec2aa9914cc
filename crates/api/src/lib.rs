// SPDX-License-Identifier: EUPL-1.2
//! HTTP and WebSocket: the participants' plane, the server APIs, and the metrics page.
//!
//! [`Api`] gives each room a task around its state machine ([`parvis_signal::Room`]), brings clients' sockets to it, and
//! carries commands to the [`Forwarders`] and their events back.
//!
//! **The one invariant: nobody gets to a room but by a token that held.** What a client says of itself is read after that,
//! and never decides who it is. Every wait has a deadline, every queue and count a limit with a metric.
//!
//! ```
//! use std::time::Duration;
//! use parvis_api::Keys;
//! use parvis_signal::Grants;
//!
//! let keys = Keys::new(vec![("key".into(), "a secret of at least 32 bytes ......".into())], Duration::from_secs(60), false)?;
//! let token = keys.issue("atelier", &Grants::of("ada"), Duration::from_secs(60)).unwrap();
//! let verified = keys.verify(&token).unwrap();
//! assert_eq!((verified.room.as_str(), verified.grants.identity.as_str()), ("atelier", "ada"));
//! # Ok::<(), parvis_api::KeyError>(())
//! ```

mod accept;
mod account;
mod agents;
mod authority;
mod branding;
mod conduct;
mod config;
mod egress;
mod elsewhere;
mod exemplars;
mod felt;
mod forwarders;
mod forwards;
mod front;
mod http;
mod jitsi_names;
mod limit;
mod live;
mod metrics;
mod moves;
mod openapi;
mod openmetrics;
mod picture;
mod presets;
mod room_task;
mod rooms;
mod rpc;
mod socket;
mod tenant;
mod token;
mod traces;
mod twirp;
mod webhook;
mod whip;

use std::sync::Arc;
use std::time::Duration;

use livekit_protocol::EgressInfo;
use parvis_audit::Sink;
use parvis_sfu::{Event, ForwarderId, RoomId};
use parvis_store::{Store, StoreError};
use tokio::net::TcpListener;
use tokio::sync::watch;

pub use agents::AgentLimits;
pub use branding::{Branding, Colour, ColourError, Links, Logo, LogoError};
pub use config::{ApiConfig, ConnectionLimits, OfferLimits};
pub use egress::{
    CAPTURE_LAYOUT, EgressEngine, EgressError, EngineError, FilmState, RecorderError, Recorders, Watched,
};
pub use forwarders::Forwarders;
pub use front::{Arrival, ByteStream, Front, Place, Relays, Visitor};
pub use http::{Access, Content, Route, routes};
pub use metrics::{Metrics, Sample, Source};
pub use openapi::openapi;
pub use parvis_store::TenantId;
pub use parvis_web::{MAX_FRAME_ANCESTORS, is_frame_ancestor};
pub use presets::RoomPresets;
pub use token::{DEV_KEY, KeyError, Keys, MIN_SECRET_BYTES, TokenError, Verified};
pub use traces::{JobStep, TraceConfig, TraceError, Tracer};
pub use twirp::server_api;
pub use webhook::{InternalPlaces, WebhookConfig, WebhookError, WebhookRules, Webhooks};
pub use whip::{IngressKeys, Stream, StreamKeys, StreamKeysError};

use accept::Doors;
use http::Shared;
use limit::{Bounds, Connections, Throttle};
use rooms::Rooms;

/// The participants' plane.
#[derive(Clone)]
pub struct Api {
    rooms: Arc<Rooms>,
    joins: Arc<Throttle>,
    connections: Arc<Connections>,
    stream_keys: Option<Arc<dyn StreamKeys>>,
    stop: watch::Sender<bool>,
}

impl Api {
    /// Ready to serve; no room is open yet. It must be called on a Tokio runtime.
    pub fn new(config: ApiConfig, keys: Keys, forwarders: Arc<dyn Forwarders>, metrics: Metrics) -> Api {
        let connections = Connections::new(Bounds::of(&config), metrics.clone());
        let rooms = Rooms::new(config, keys, forwarders, metrics);
        Api { rooms, joins: Arc::default(), connections, stream_keys: None, stop: watch::Sender::new(false) }
    }

    /// Lets encoders publish by the stream keys that are kept here. Without it a token is the only way.
    #[must_use]
    pub fn with_stream_keys(mut self, stream_keys: Arc<dyn StreamKeys>) -> Api {
        self.stream_keys = Some(stream_keys);
        self
    }

    /// Keeps applications' records in a store from now on. The first call counts; before it such calls are refused.
    pub fn keep(&self, store: Store) {
        if self.rooms.store.set(store.clone()).is_ok() {
            tokio::spawn(Rooms::keep_meetings(Arc::downgrade(&self.rooms), store));
        }
    }

    /// Writes acts that matter down there from now on. The first call counts.
    pub fn log(&self, log: Arc<dyn Sink>) {
        let _ = self.rooms.log.set(log);
    }

    /// Takes up the meetings that people made a room for, with the rules of each. Call it after [`Api::keep`], before anybody is served:
    /// after an error nobody is to be let in, for nobody would know who may.
    pub async fn recover_meetings(&self) -> Result<(), StoreError> {
        self.rooms.recover_meetings().await
    }

    /// Waits until what was decided in meetings is in the store, or for so long.
    pub async fn meetings_written(&self, patience: Duration) {
        if self.rooms.store.get().is_some() {
            self.rooms.meetings.written(patience).await;
        }
    }

    /// Traces joins and jobs from now on. The first call counts.
    pub fn trace(&self, tracer: Tracer) {
        let _ = self.rooms.tracer.set(tracer);
    }

    /// Tells of what happens in rooms from now on. The first call counts.
    pub fn tell(&self, webhooks: Webhooks) {
        let _ = self.rooms.webhooks.set(webhooks);
    }

    /// Has recordings and streams done by this engine from now on. The first call counts; before it they are refused.
    pub fn record(&self, engine: Arc<dyn EgressEngine>) {
        let _ = self.rooms.egress_engine.set(engine);
    }

    /// How an engine brings its recorders into rooms.
    pub fn recorders(&self) -> Recorders {
        Recorders::new(&self.rooms)
    }

    /// Writes down how an egress is now, as its engine says: all of it but what was asked for. One that has ended stays as it
    /// ended.
    pub async fn egress_is(&self, tenant: &TenantId, now: EgressInfo) -> Result<(), EgressError> {
        self.rooms.egress_is(tenant, now).await
    }

    /// Takes up what had begun before the server was started anew: rooms that were made ahead come to be, and what was recorded
    /// goes on or has failed. Call it once, after [`Api::keep`], [`Api::tell`] and [`Api::record`].
    pub async fn recover(&self) -> Result<(), StoreError> {
        self.rooms.recover_rooms().await?;
        self.rooms.recover_egress().await
    }

    /// Serves participants until [`Api::stop`].
    pub async fn serve(&self, listener: TcpListener) {
        let metrics = self.rooms.metrics.clone();
        let shared = Shared {
            rooms: Arc::clone(&self.rooms),
            joins: Arc::clone(&self.joins),
            stream_keys: self.stream_keys.clone(),
        };
        let doors = Doors {
            router: http::router(shared),
            front: self.rooms.config.front.clone(),
            live: Arc::clone(&self.rooms.live),
            connections: Arc::clone(&self.connections),
        };
        accept::serve(listener, doors, metrics, self.stop.subscribe()).await;
    }

    /// Serves the metrics page until [`Api::stop`]. Its listener must not be reachable for strangers.
    pub async fn serve_metrics(&self, listener: TcpListener) {
        /// More than any monitoring opens.
        const CONNECTIONS: usize = 32;
        let metrics = self.rooms.metrics.clone();
        let uncounted = match Metrics::new(Vec::new()) {
            Ok(metrics) => metrics,
            Err(_) => metrics.clone(),
        };
        let bounds = Bounds { max: CONNECTIONS, max_per_ip: CONNECTIONS, exempt: Vec::new() };
        let connections = Connections::new(bounds, uncounted);
        let live = Arc::clone(&self.rooms.live);
        let doors = Doors { router: metrics.router(), front: None, live, connections };
        accept::serve(listener, doors, metrics, self.stop.subscribe()).await;
    }

    /// Takes other keys and other rules. Tokens of a key that is gone open nothing from now on. Rooms and connections that
    /// are there keep what they began with. [`ApiConfig::spread`], `front`, `relays` and the relay of [`ApiConfig::room`]
    /// stay as they were at the start.
    pub fn reload(&self, config: &ApiConfig, keys: Keys) {
        self.connections.set_bounds(Bounds::of(config));
        self.rooms.reload(config, keys);
    }

    /// Hands a forwarder's event to its room. It never waits.
    pub fn event(&self, from: ForwarderId, room: RoomId, event: Event) {
        self.rooms.event(from, room, event);
    }

    /// Gives up rooms whose media is gone; clients come back into new ones by themselves.
    pub fn lose_rooms(&self, cause: &str, which: impl Fn(RoomId) -> bool) {
        self.rooms.lose(cause, which);
    }

    /// Lets nobody new in; who is in goes on. Readiness says so.
    pub async fn close_doors(&self) {
        self.rooms.close_doors().await;
    }

    /// Ends all rooms, with a word to their clients.
    pub async fn end_rooms(&self) {
        self.rooms.drain().await;
    }

    /// Waits until no room is left.
    pub async fn emptied(&self) {
        self.rooms.emptied().await;
    }

    /// Stops listening.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }
}
