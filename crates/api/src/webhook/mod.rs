// SPDX-License-Identifier: EUPL-1.2
//! Webhooks: what happens here, told to other programs over HTTP, in the words and with the signature that LiveKit's SDKs
//! check.
//!
//! An event goes from [`Webhooks::raise`] into a bounded queue ([`writer`]), from there into the store's outbox, and only
//! from the outbox to its target ([`deliver`]), until the target took it or its time is over. [`client`] makes the
//! connection, to addresses that [`target`] allows; [`filter`] says which events a target wants, [`config`] what the operator may
//! choose. So nobody in a call waits for a database or a receiver, and a restart loses nothing that was written.

mod client;
mod config;
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

pub(crate) use client::Client;
pub use config::{WebhookConfig, WebhookError};
pub(crate) use event::of_occurrence;
use filter::is_wanted;
pub use target::InternalPlaces;
pub(crate) use target::Target;
use target::{further_id, of_request};

/// Targets that requests named which are served at one time; others wait for a place.
const FURTHER_AT_ONCE: usize = 64;
/// Characters of a URL that a request names.
const MAX_URL_CHARS: usize = 2_048;
/// Why what waits for a target is given up.
const NOT_CONFIGURED: &str = "the target is no longer in webhooks.urls";
const NO_KEY: &str = "the API key that signs for it is gone";

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

impl WebhookRules {
    /// Checks all of it, and says what is wrong. Certificates that the system trusts are read.
    pub fn new(config: WebhookConfig, keys: Keys) -> Result<WebhookRules, WebhookError> {
        let allowed = InternalPlaces::parse(&config.allow_internal).map_err(WebhookError::InternalPlaces)?;
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
