// SPDX-License-Identifier: EUPL-1.2
//! Where webhooks go and how hard they are tried, as the configuration says it, and what may be wrong with that.

use std::time::Duration;

use parvis_store::StoreError;

use super::filter::{EVENTS, is_wanted};
use super::target::{InternalPlaces, Target};
use crate::token::Keys;

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
    /// How often an event is tried that its target refuses for what it is; at least once.
    pub refused_tries: u32,
}

impl WebhookConfig {
    /// Finds what is wrong in it, without a store or a network.
    pub fn check(&self, keys: &Keys) -> Result<(), WebhookError> {
        self.targets()?;
        InternalPlaces::parse(&self.allow_internal).map_err(WebhookError::InternalPlaces)?;
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
    pub(super) fn targets_of(&self, event: &str) -> impl Iterator<Item = &String> {
        let wanted = is_wanted(&self.include_events, &self.exclude_events, event);
        self.urls.iter().filter(move |_| wanted)
    }

    pub(super) fn targets(&self) -> Result<Vec<Target>, WebhookError> {
        self.urls.iter().map(|url| Target::parse(url).map_err(WebhookError::Url)).collect()
    }
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
            refused_tries: 3,
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
    InternalPlaces(String),
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
            WebhookError::InternalPlaces(_) => "webhooks.allow_internal",
            WebhookError::Key(_) => "webhooks.api_key",
            WebhookError::Event { key, .. } => key,
            WebhookError::Store(_) => "database.url",
        }
    }
}
