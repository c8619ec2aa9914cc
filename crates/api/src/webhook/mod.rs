// SPDX-License-Identifier: EUPL-1.2
//! Webhooks: what happens here, told to other programs over HTTP, in the words and with the signature that LiveKit's SDKs
//! check.
//!
//! An event goes from [`Webhooks::raise`] into a bounded queue ([`writer`]), from there into the store's outbox, and only
//! from the outbox to its target ([`deliver`]), until the target took it or its time is over. [`client`] makes the
//! connection, to addresses that [`target`] allows; [`filter`] says which events a target wants. So nobody in a call waits for a database or a receiver, and a restart
//! loses nothing that was written.

mod client;
mod deliver;
mod event;
mod filter;
mod target;
mod writer;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use livekit_protocol::{WebhookConfig as Hook, WebhookEvent};
use parvis_store::{NewEvent, Store, StoreError, TenantId};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::metrics::{Sample, Source};
use crate::token::Keys;

use client::Client;
pub(crate) use event::of_occurrence;
use filter::{EVENTS, is_wanted};
use target::{Allowed, Target, further_id, of_request};

/// Targets that requests named which are served at one time; others wait for a place.
const FURTHER_AT_ONCE: usize = 64;
/// Characters of a URL that a request names.
const MAX_URL_CHARS: usize = 2_048;
/// Why what waits for a target is given up.
const NOT_CONFIGURED: &str = "the target is no longer in webhooks.urls";
const NO_KEY: &str = "the API key that signs for it is gone";

/// Where webhooks go, and how hard they are tried.
#[derive(Debug, Clone)]
pub struct WebhookConfig {
    /// The targets: `https://` or `http://`.
    pub urls: Vec<String>,
    /// The name of the API key that signs; the first one if nothing is said.
    pub api_key: Option<String>,
    /// The events that the targets are told of; all if none is named.
    pub include_events: Vec<String>,
    /// The events that they are not told of, where none is included by name.
    pub exclude_events: Vec<String>,
    /// Targets that one request may name beside these, such as that of an egress.
    pub max_per_request: usize,
    /// What inside the own network may be a target: `HOST:PORT`, with a name as in the URL or an address.
    pub allow_internal: Vec<String>,
    /// Events that may wait in memory until they are written. A room's busy minute has some hundred.
    pub queue: usize,
    /// Requests to one target at one time; those of one room go one after the other.
    pub parallel: u32,
    /// How long a target may take to answer.
    pub request_timeout: Duration,
    /// How long after the first failure the next try comes; it doubles each time …
    pub first_retry: Duration,
    /// … up to this.
    pub longest_retry: Duration,
    /// How long an event is tried. After that it is dead and waits for an operator.
    pub deadline: Duration,
}

impl Default for WebhookConfig {
    fn default() -> Self {
        WebhookConfig {
            urls: Vec::new(),
            api_key: None,
            include_events: Vec::new(),
            exclude_events: Vec::new(),
            max_per_request: 4,
            allow_internal: Vec::new(),
            queue: 10_000,
            parallel: 8,
            request_timeout: Duration::from_secs(10),
            first_retry: Duration::from_secs(1),
            longest_retry: Duration::from_secs(300),
            deadline: Duration::from_secs(24 * 3_600),
        }
    }
}

/// Why webhooks can't be sent.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// A target makes no sense.
    #[error("{0}")]
    Url(String),
    /// An exception makes no sense.
    #[error("{0}")]
    Allowed(String),
    /// The key that is to sign is not there.
    #[error("there is no API key \"{0}\" to sign with; name one of `keys`")]
    Key(String),
    /// A filter names what never happens.
    #[error("there is no event \"{name}\"; use some of {}", EVENTS.join(", "))]
    Event {
        /// The filter's key.
        key: &'static str,
        /// What it names.
        name: String,
    },
    /// There is no TLS to be had.
    #[error("TLS can't be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// What waits can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl WebhookError {
    /// The key of the configuration that is to be changed.
    pub fn key(&self) -> &'static str {
        match self {
            WebhookError::Url(_) | WebhookError::Tls(_) => "webhooks.urls",
            WebhookError::Allowed(_) => "webhooks.allow_internal",
            WebhookError::Key(_) => "webhooks.api_key",
            WebhookError::Event { key, .. } => key,
            WebhookError::Store(_) => "database.url",
        }
    }
}

/// Sends events. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Webhooks {
    shared: Arc<Shared>,
}

/// Where webhooks go, with what they are signed, and what makes the requests: checked, and ready to be put in force.
pub struct WebhookRules {
    config: WebhookConfig,
    targets: Vec<Target>,
    keys: Keys,
    client: Client,
}

/// What the tasks share.
struct Shared {
    rules: RwLock<Arc<WebhookRules>>,
    store: Store,
    /// Targets that a task sends to.
    served: Mutex<BTreeSet<String>>,
    queue: Mutex<Option<mpsc::Sender<NewEvent>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// Rung when something was written.
    written: watch::Sender<u64>,
    stop: watch::Sender<bool>,
    counters: Counters,
}

#[derive(Debug, Default)]
struct Counters {
    raised: AtomicU64,
    dropped: AtomicU64,
    delivered: AtomicU64,
    retried: AtomicU64,
    dead: AtomicU64,
    in_memory: AtomicU64,
    waiting_now: AtomicU64,
    dead_now: AtomicU64,
}

impl WebhookConfig {
    /// Finds what is wrong in it, without a store or a network.
    pub fn check(&self, keys: &Keys) -> Result<(), WebhookError> {
        self.targets()?;
        Allowed::parse(&self.allow_internal).map_err(WebhookError::Allowed)?;
        let filters = [
            ("webhooks.include_events", &self.include_events),
            ("webhooks.exclude_events", &self.exclude_events),
        ];
        for (key, names) in filters {
            if let Some(name) = names.iter().find(|name| !EVENTS.contains(&name.as_str())) {
                return Err(WebhookError::Event { key, name: name.clone() });
            }
        }
        if !self.urls.is_empty() {
            let key = self.api_key.as_deref();
            keys.sign_body(key, b"").map_err(|_| WebhookError::Key(key.unwrap_or_default().to_owned()))?;
        }
        Ok(())
    }

    /// The targets that are told of this event.
    fn targets_of(&self, event: &str) -> impl Iterator<Item = &String> {
        let wanted = is_wanted(&self.include_events, &self.exclude_events, event);
        self.urls.iter().filter(move |_| wanted)
    }

    fn targets(&self) -> Result<Vec<Target>, WebhookError> {
        self.urls.iter().map(|url| Target::parse(url).map_err(WebhookError::Url)).collect()
    }
}

impl WebhookRules {
    /// Checks all of it, and says what is wrong. Certificates that the system trusts are read.
    pub fn new(config: WebhookConfig, keys: Keys) -> Result<WebhookRules, WebhookError> {
        let allowed = Allowed::parse(&config.allow_internal).map_err(WebhookError::Allowed)?;
        let client = Client::new(allowed, config.request_timeout)?;
        WebhookRules::with(client, config, keys)
    }

    fn with(client: Client, config: WebhookConfig, keys: Keys) -> Result<WebhookRules, WebhookError> {
        config.check(&keys)?;
        Ok(WebhookRules { targets: config.targets()?, config, keys, client })
    }

    /// Finds what is wrong with the targets that a request of this tenant's names.
    fn check_request(&self, tenant: &TenantId, hooks: &[Hook]) -> Result<(), String> {
        let limit = self.config.max_per_request;
        if hooks.len() > limit {
            return Err(format!(
                "webhooks: {} are named, this server takes {limit} (webhooks.max_per_request)",
                hooks.len()
            ));
        }
        for Hook { url, signing_key, .. } in hooks {
            if url.chars().count() > MAX_URL_CHARS {
                return Err(format!("webhooks: a URL has more than {MAX_URL_CHARS} characters"));
            }
            Target::parse(url).map_err(|problem| format!("webhooks: {problem}"))?;
            if self.keys.signer(tenant, signing_key).is_none() {
                return Err(format!(
                    "webhooks: signing_key: there is no API key {signing_key:?}; name one of yours"
                ));
            }
        }
        Ok(())
    }

    /// What the targets that a request named are called, of those that want this event.
    fn further(&self, tenant: &TenantId, event: &str, hooks: &[Hook]) -> Vec<String> {
        let mut ids: Vec<String> = Vec::new();
        for Hook { url, signing_key, filter_params } in hooks {
            let wanted = filter_params
                .as_ref()
                .is_none_or(|lists| is_wanted(&lists.include_events, &lists.exclude_events, event));
            let id = self.keys.signer(tenant, signing_key).map(|signer| further_id(url, signer));
            ids.extend(id.filter(|id| wanted && !ids.contains(id)));
        }
        ids
    }

    /// A target that a request named, as it is in the outbox; `None` when its key is gone, or it makes no sense. Only those of
    /// the default tenant, whose the server is, may be inside its network.
    fn further_target(&self, id: &str) -> Option<Target> {
        let (url, signer) = of_request(id)?;
        let trusted = *self.keys.tenant_of(signer)? == TenantId::default();
        Target::further(url, signer, trusted).ok()
    }
}

impl Webhooks {
    /// Begins to send: what waits in the outbox first. Without targets, and with a store that keeps no events, it does
    /// nothing.
    pub async fn start(config: WebhookConfig, keys: Keys, store: Store) -> Result<Webhooks, WebhookError> {
        Webhooks::start_with(WebhookRules::new(config, keys)?, store).await
    }

    async fn start_with(rules: WebhookRules, store: Store) -> Result<Webhooks, WebhookError> {
        for former in store.event_targets().await? {
            if of_request(&former).is_none() && !rules.config.urls.contains(&former) {
                give_target_up(&store, &former, NOT_CONFIGURED).await?;
            }
        }
        let (queue, events) = mpsc::channel(rules.config.queue.max(1));
        let shared = Arc::new(Shared {
            rules: RwLock::new(Arc::new(rules)),
            store,
            served: Mutex::default(),
            queue: Mutex::new(Some(queue)),
            writer: Mutex::default(),
            written: watch::Sender::new(0),
            stop: watch::Sender::new(false),
            counters: Counters::default(),
        });
        shared.serve_targets();
        shared.serve_further().await?;
        let writer = tokio::spawn(writer::write(Arc::clone(&shared), events));
        *shared.writer.lock().unwrap_or_else(PoisonError::into_inner) = Some(writer);
        Ok(Webhooks { shared })
    }

    /// Puts other rules in force: what is written from now on goes to the targets that they name. What still waits for a
    /// target that is gone is given up. [`WebhookConfig::queue`] stays as it was at the start. It must be called on a Tokio
    /// runtime.
    pub fn reload(&self, rules: WebhookRules) {
        *self.shared.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
        self.shared.serve_targets();
        // Those who serve targets that are gone look up.
        self.shared.written.send_modify(|count| *count += 1);
    }

    /// Tells of an event, without waiting. It gets an id and a time if it has none. When too many wait for a store that
    /// can't be written to, it is dropped and counted.
    pub fn raise(&self, tenant: &TenantId, event: WebhookEvent) {
        self.raise_to(tenant, event, &[]);
    }

    /// Finds what is wrong with the targets that a request of this tenant's names.
    pub(crate) fn check_request(&self, tenant: &TenantId, hooks: &[Hook]) -> Result<(), String> {
        self.shared.rules().check_request(tenant, hooks)
    }

    /// Tells of an event as [`Webhooks::raise`] does, and whom a request named too.
    pub(crate) fn raise_to(&self, tenant: &TenantId, event: WebhookEvent, hooks: &[Hook]) {
        let queue = self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(queue) = queue.as_ref() else { return };
        let rules = self.shared.rules();
        let further = rules.further(tenant, &event.event, hooks);
        let nobody = further.is_empty() && rules.config.targets_of(&event.event).next().is_none();
        if nobody && self.shared.store.limits().events == 0 {
            return;
        }
        let counters = &self.shared.counters;
        counters.raised.fetch_add(1, Ordering::Relaxed);
        let sent = event::written(tenant, event, further).map(|event| queue.try_send(event).is_ok());
        if sent != Some(true) && counters.dropped.fetch_add(1, Ordering::Relaxed).is_power_of_two() {
            tracing::error!("a webhook was dropped: the store takes none, and webhooks.queue is full");
        }
    }

    /// Writes what was raised and ends. What is in the outbox is sent after the next start. Returns whether all was written
    /// in time.
    pub async fn close(&self, patience: Duration) -> bool {
        drop(self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let writer = self.shared.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let written = match writer {
            Some(writer) => tokio::time::timeout(patience, writer).await.is_ok(),
            None => true,
        };
        self.shared.stop.send_replace(true);
        written
    }

    /// Its figures for the metrics page.
    pub fn figures(&self) -> Source {
        let shared = Arc::clone(&self.shared);
        Arc::new(move || {
            let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
            let Counters { raised, dropped, delivered, retried, dead, in_memory, waiting_now, dead_now } =
                &shared.counters;
            let sample = |name: &str, help, counter, value| Sample {
                name: name.to_owned(),
                help,
                counter,
                labels: Vec::new(),
                value,
            };
            vec![
                sample("parvis_webhooks_raised_total", "Events that happened.", true, read(raised)),
                sample("parvis_webhooks_dropped_total", "Events that no queue took.", true, read(dropped)),
                sample(
                    "parvis_webhooks_delivered_total",
                    "Events that a target took.",
                    true,
                    read(delivered),
                ),
                sample(
                    "parvis_webhooks_retried_total",
                    "Tries that failed and are repeated.",
                    true,
                    read(retried),
                ),
                sample("parvis_webhooks_dead_total", "Events given up.", true, read(dead)),
                sample(
                    "parvis_webhooks_unwritten",
                    "Events that wait for the store.",
                    false,
                    read(in_memory),
                ),
                sample("parvis_webhooks_waiting", "Events that wait for a target.", false, read(waiting_now)),
                sample("parvis_webhooks_dead", "Dead events in the outbox.", false, read(dead_now)),
            ]
        })
    }
}

impl Shared {
    /// What is in force now.
    fn rules(&self) -> Arc<WebhookRules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Gives each target that has none a task.
    fn serve_targets(self: &Arc<Self>) {
        for target in &self.rules().targets {
            self.serve(target.clone());
        }
    }

    /// Gives a target a task, if it has none.
    fn serve(self: &Arc<Self>, target: Target) {
        if self.served().insert(target.id.clone()) {
            tokio::spawn(deliver::serve(Arc::clone(self), target));
        }
    }

    /// Gives targets that requests named a task each where something waits for them, up to a number.
    async fn serve_further(self: &Arc<Self>) -> Result<(), StoreError> {
        for id in self.store.event_targets().await?.iter().filter(|id| of_request(id).is_some()) {
            let Some(target) = self.rules().further_target(id) else {
                give_target_up(&self.store, id, NO_KEY).await?;
                continue;
            };
            if self.served().iter().filter(|id| of_request(id).is_some()).count() >= FURTHER_AT_ONCE {
                break;
            }
            self.serve(target);
        }
        Ok(())
    }

    /// Whether the task of a target that a request named may end: nothing waits for it. Others that wait get its place.
    async fn is_done(self: &Arc<Self>, target: &Target) -> bool {
        if self.waits_for(target).await {
            return false;
        }
        self.served().remove(&target.id);
        // What was written a moment ago is this task's, unless another has begun.
        if self.waits_for(target).await {
            return !self.served().insert(target.id.clone());
        }
        if let Err(error) = self.serve_further().await {
            tracing::warn!(%error, "webhooks that requests named wait for the next one");
        }
        true
    }

    async fn waits_for(&self, target: &Target) -> bool {
        self.store.first_events(&target.id, 1).await.map_or(true, |events| !events.is_empty())
    }

    fn served(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the task of this target may end: it is gone from the rules. If so it counts as ended.
    fn may_end(&self, target: &Target) -> bool {
        let mut served = self.served();
        let gone = !self.rules().targets.contains(target);
        gone && served.remove(&target.id)
    }
}

async fn give_target_up(store: &Store, target: &str, why: &str) -> Result<(), StoreError> {
    let count = store.give_target_up(target, why).await?;
    tracing::warn!(target, count, why, "webhooks wait for a target that is gone: see `parvis webhooks list`");
    Ok(())
}

#[cfg(test)]
mod tests;
