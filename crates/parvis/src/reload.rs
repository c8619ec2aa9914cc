// SPDX-License-Identifier: EUPL-1.2
//! SIGHUP: reads the configuration anew. All of it is checked before any of it counts; a bad one changes nothing.

use std::sync::Arc;

use parvis_api::{Api, WebhookRules, Webhooks};
use parvis_audit::{Act, Event, Outcome, Sink, Who};
use parvis_store::Store;
use tokio::net::TcpListener;
use tokio::runtime::Handle;

use crate::cli;
use crate::config::{ConfigError, Loaded, values};
use crate::edge::{PublicPort, Renewal};
use crate::log::{self, LogLevel};
use crate::metrics::MetricsPort;
use crate::notify;
use crate::serve::Settings;
use crate::settings::settle;
use crate::stored;

/// What takes effect without a restart: these keys and all below them. Rooms that are there keep what they began with.
const LIVE: [&str; 15] = [
    "keys",
    "tokens",
    "rooms",
    "meeting",
    "branding",
    "sessions",
    "whip",
    "server_api",
    "agents",
    "webhooks",
    "http",
    "tls",
    "drain",
    "log.level",
    "metrics.listen",
];
/// What is below them and has to wait all the same.
const AT_RESTART: [&str; 6] = [
    "rooms.enabled_codecs",
    "webhooks.queue",
    "http.listen",
    "http.public_port",
    "http.reserved_files",
    "tls.crypto_profile",
];
/// Why keys wait: the first that a key is, or is below.
const WHY: [(&str, &str); 18] = [
    ("rooms.enabled_codecs", "peer connections of all rooms agree on codecs alike"),
    ("webhooks.queue", "the queue was made with it"),
    ("metrics.jitsi_names", "what is counted was named at the start"),
    ("http.listen", "clients and certificates hang on this address"),
    ("http.public_port", "relay and media were announced with it"),
    ("http.reserved_files", "open files were shared out with it"),
    ("tls.crypto_profile", "TLS, DTLS and SRTP were set up by it"),
    ("tls", "whether TLS is spoken is decided when the port is opened"),
    ("media", "sockets and threads were made with it"),
    ("turn", "the relay and the credentials that participants have were made with it"),
    ("log", "the log was begun with it"),
    ("data", "files that are open lie there"),
    ("database.url", "connections to the other database are open"),
    ("database.url_file", "connections to the other database are open"),
    ("database.timeout", "connections were opened with it"),
    ("database.connections", "connections were opened with it"),
    ("database", "the store was opened with it"),
    ("", "it was read at the start"),
];
/// How far the store may grow; all else of the database waits.
const STORE_LIMITS: [&str; 5] = [
    "database.max_rows",
    "database.max_record_bytes",
    "database.max_waiting_events",
    "database.keep_events",
    "audit.max_bytes",
];

/// The parts of a running server that take another configuration.
pub(crate) struct Running {
    pub(crate) api: Api,
    pub(crate) webhooks: Webhooks,
    pub(crate) store: Store,
    /// Where it is written down that the configuration was read anew.
    pub(crate) audit: Option<Arc<dyn Sink>>,
    pub(crate) public: PublicPort,
    pub(crate) metrics: MetricsPort,
    /// What the process's limit of files leaves for connections.
    pub(crate) max_connections: usize,
}

impl Running {
    /// Writes down what came of a new configuration: which keys have others values, and none of these.
    fn note(&self, outcome: Outcome, what: &str) {
        if let Some(audit) = &self.audit {
            let event = Event::new("", Act::ConfigReload, Who::Operator).on("config", "");
            audit.record(Event { outcome, ..event.saying(what) });
        }
    }
}

/// The configuration that a running server was given, by the same arguments each time.
pub(crate) struct Reloading {
    pub(crate) arguments: cli::Settings,
    /// As it was at the start: what waits for a restart is still this.
    pub(crate) started: Loaded,
    /// As it was read last.
    pub(crate) current: Loaded,
    pub(crate) level: LogLevel,
}

/// A configuration that was read, checked to the last, and is not in force yet.
struct Next {
    settings: Settings,
    loaded: Loaded,
    webhooks: WebhookRules,
    certificate: Option<Renewal>,
    /// Where the metrics are to be read, if that is another place than now.
    metrics: Option<TcpListener>,
}

impl Reloading {
    /// Reads it anew and puts it in force. The log and the service manager hear what came of it.
    pub(crate) fn reload(&mut self, running: &mut Running) {
        notify::reloading();
        let next = match self.read(running) {
            Ok(next) => next,
            Err(error) => {
                tracing::error!(%error, "the configuration stays as it was");
                running.note(Outcome::Failed, "it stays as it was");
                return notify::reloaded(&format!("the configuration stays as it was: {error}"));
            }
        };
        let changed = self.differences(&self.current, &next.loaded, true).join(", ");
        let waiting = self.differences(&self.started, &next.loaded, false);
        let waits = waiting.join(", ");
        running.note(Outcome::Done, &changed);
        for note in next.loaded.notes.iter().filter(|note| !self.current.notes.contains(note)) {
            log::note(note);
        }
        let Next { settings, loaded, webhooks, certificate, metrics } = next;
        running.webhooks.reload(webhooks);
        running.store.set_limits(settings.store.limits);
        let source_changed = self.current.config.tls.source_differs(&loaded.config.tls);
        running.public.reload(&settings.config, certificate, source_changed);
        running.api.reload(&settings.api_config(running.max_connections), settings.keys);
        if let Some(listener) = metrics {
            running.metrics.move_to(&running.api, listener);
        }
        let level = &loaded.config.log.level;
        if *level != self.current.config.log.level && !self.level.set(level) {
            tracing::warn!("log.level has no effect: RUST_LOG goes before it");
        }
        self.current = loaded;
        if waits.is_empty() {
            tracing::info!(changed, "the configuration was read anew");
            notify::reloaded("the configuration was read anew");
        } else {
            tracing::warn!(changed, waits, "the configuration was read anew; what waits needs a restart");
            for key in &waiting {
                tracing::warn!(key, why = why(key), "waits for a restart");
            }
            notify::reloaded(&format!("the configuration was read anew; these need a restart: {waits}"));
        }
    }

    /// Reads all of it, and what it names. Nothing changes by that.
    fn read(&self, running: &Running) -> Result<Next, ConfigError> {
        let (mut settings, loaded) = settle(&self.arguments)?;
        let wrong = |key: &str, problem: String| loaded.wrong(key, problem, "the configuration");
        // This thread is set apart for it, and the store answers within its time.
        let keys = Handle::current().block_on(stored::all_keys(settings.keys, &running.store));
        settings.keys =
            keys.map_err(|error| wrong("database", format!("keys can't be read: {error}; try again")))?;
        let webhooks = WebhookRules::new(settings.config.webhook_config(), settings.keys.clone())
            .map_err(|error| wrong(error.key(), error.to_string()))?;
        let certificate = running
            .public
            .renewal(&settings.config, &settings.base)
            .map_err(|(key, problem)| wrong(&key, problem))?;
        let listen = settings.config.metrics.listen;
        let moves = listen != self.current.config.metrics.listen;
        let metrics = moves.then(|| MetricsPort::open(listen)).transpose().map_err(|error| {
            let problem = format!("cannot listen on {listen}: {error}; is another server running there?");
            wrong("metrics.listen", problem)
        })?;
        Ok(Next { settings, loaded, webhooks, certificate, metrics })
    }

    /// The keys whose values are different and that take effect at once, or that don't. Secrets are compared, and never said.
    fn differences(&self, before: &Loaded, after: &Loaded, live: bool) -> Vec<String> {
        // Whether TLS is spoken at all is decided at the start.
        let same_tls = self.started.config.tls.is_spoken() == after.config.tls.is_spoken();
        let is_live = |key: &str| {
            let listed = |keys: &[&str]| keys.iter().any(|known| is_below(key, known));
            (listed(&LIVE) || listed(&STORE_LIMITS))
                && !listed(&AT_RESTART)
                && (same_tls || !is_below(key, "tls"))
        };
        let (before, after) = (values(before), values(after));
        let changed = after.into_iter().filter(|(key, value)| before.get(key) != Some(value));
        changed.map(|(key, _)| key).filter(|key| is_live(key) == live).collect()
    }
}

/// Why a key waits for a restart.
fn why(key: &str) -> &'static str {
    WHY.iter().find(|(known, _)| known.is_empty() || is_below(key, known)).map_or("", |(_, why)| why)
}

fn is_below(key: &str, known: &str) -> bool {
    key.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_named_and_what_needs_a_restart_apart() {
        let before = Loaded::default();
        let reloading = Reloading {
            arguments: cli::Settings::default(),
            started: before.clone(),
            current: before.clone(),
            level: LogLevel::fixed(),
        };
        let differences = |after: &Loaded, live| reloading.differences(&before, after, live);
        let mut after = before.clone();
        after.config.rooms.guests = true;
        after.config.rooms.enabled_codecs = vec!["audio/opus".to_owned()];
        after.config.log.json = true;
        after.config.webhooks.urls = vec!["https://example.org/".to_owned()];
        assert_eq!(differences(&after, true), ["rooms.guests", "webhooks.urls"]);
        assert_eq!(differences(&after, false), ["log.json", "rooms.enabled_codecs"]);
        assert!(reloading.differences(&after, &after, true).is_empty());
        // TLS can't begin on a port that was opened without it.
        let mut after = before.clone();
        after.config.tls.certificate = "chain.pem".into();
        assert!(differences(&after, true).is_empty());
        assert_eq!(differences(&after, false), ["tls.certificate"]);
    }

    #[test]
    fn every_key_of_which_it_is_said_that_it_takes_effect_at_once_is_there() {
        let known = values(&Loaded::default());
        let explained = WHY.iter().map(|(key, _)| key).filter(|key| !["", "database.url_file"].contains(key));
        for key in LIVE.iter().chain(&AT_RESTART).chain(&STORE_LIMITS).chain(explained) {
            assert!(*key == "keys" || known.keys().any(|known| is_below(known, key)), "{key}");
        }
    }
}
