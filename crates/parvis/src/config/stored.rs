// SPDX-License-Identifier: EUPL-1.2
//! The database, and the webhooks whose outbox lies in it.

use std::fs;
use std::path::{Path, PathBuf};

use parvis_api::WebhookConfig;
use parvis_store::{StoreConfig, StoreLimits};
use serde::{Deserialize, Serialize};

use super::apply::Problem;
use super::value::{Bounded, Bytes, Count, Time};
use super::{Config, bytes, count};

/// The file that a URL is read from has at most so many bytes.
const MAX_URL_BYTES: usize = 4_096;

/// What outlives the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Database {
    pub(crate) url: String,
    /// A file that holds the URL and nothing else, when it has a password in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) url_file: Option<PathBuf>,
    pub(crate) timeout: Time,
    pub(crate) connections: Bounded<1, 1_000>,
    pub(crate) max_rows: Count,
    pub(crate) max_record_bytes: Bytes,
    pub(crate) max_waiting_events: Count,
    pub(crate) keep_events: Bounded<0, 1_000_000>,
}

/// Whom the server tells what happens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Webhooks {
    pub(crate) urls: Vec<String>,
    pub(crate) api_key: String,
    pub(crate) include_events: Vec<String>,
    pub(crate) exclude_events: Vec<String>,
    pub(crate) max_per_request: Bounded<0, 1_000>,
    pub(crate) allow_internal: Vec<String>,
    pub(crate) request_timeout: Time,
    pub(crate) first_retry: Time,
    pub(crate) longest_retry: Time,
    pub(crate) deadline: Time,
    pub(crate) refused_tries: Bounded<1, 100>,
    pub(crate) parallel: Bounded<1, 1_000>,
    pub(crate) queue: Count,
}

impl Default for Database {
    fn default() -> Self {
        let StoreConfig { timeout, connections, limits, .. } = StoreConfig::new("", Path::new(""));
        Database {
            url: String::new(),
            url_file: None,
            timeout: Time(timeout),
            connections: Bounded::of(connections.into()),
            max_rows: count(limits.rows),
            max_record_bytes: bytes(limits.record_bytes),
            max_waiting_events: count(limits.outbox_rows),
            keep_events: Bounded::of(i64::try_from(limits.events).unwrap_or(i64::MAX)),
        }
    }
}

impl Default for Webhooks {
    fn default() -> Self {
        let webhooks = WebhookConfig::default();
        Webhooks {
            urls: webhooks.urls,
            api_key: webhooks.api_key.unwrap_or_default(),
            include_events: webhooks.include_events,
            exclude_events: webhooks.exclude_events,
            max_per_request: Bounded::of(i64::try_from(webhooks.max_per_request).unwrap_or(i64::MAX)),
            allow_internal: webhooks.allow_internal,
            request_timeout: Time(webhooks.request_timeout),
            first_retry: Time(webhooks.first_retry),
            longest_retry: Time(webhooks.longest_retry),
            deadline: Time(webhooks.deadline),
            refused_tries: Bounded::of(webhooks.refused_tries.into()),
            parallel: Bounded::of(webhooks.parallel.into()),
            queue: count(webhooks.queue),
        }
    }
}

impl Config {
    /// Where the store is. A relative `url_file` starts at `base`.
    pub(crate) fn store_config(&self, base: &Path) -> Result<StoreConfig, Problem> {
        let database = &self.database;
        let url = match &database.url_file {
            None => database.url.clone(),
            Some(_) if !database.url.is_empty() => {
                return Err((
                    "database.url".to_owned(),
                    "url and url_file are both there; take one out".to_owned(),
                ));
            }
            Some(file) => read_url(&base.join(file))?,
        };
        let limits = StoreLimits {
            rows: database.max_rows.size(),
            record_bytes: database.max_record_bytes.size(),
            outbox_rows: database.max_waiting_events.size(),
            events: database.keep_events.size(),
            audit_bytes: self.audit.bytes(),
        };
        Ok(StoreConfig {
            timeout: database.timeout.0,
            connections: database.connections.to_u32(),
            limits,
            ..StoreConfig::new(&url, &self.data.directory)
        })
    }

    /// Where webhooks go.
    pub(crate) fn webhook_config(&self) -> WebhookConfig {
        let webhooks = &self.webhooks;
        WebhookConfig {
            urls: webhooks.urls.clone(),
            api_key: Some(webhooks.api_key.clone()).filter(|key| !key.is_empty()),
            include_events: webhooks.include_events.clone(),
            exclude_events: webhooks.exclude_events.clone(),
            max_per_request: webhooks.max_per_request.size(),
            allow_internal: webhooks.allow_internal.clone(),
            queue: webhooks.queue.size(),
            parallel: webhooks.parallel.to_u32(),
            request_timeout: webhooks.request_timeout.0,
            first_retry: webhooks.first_retry.0,
            longest_retry: webhooks.longest_retry.0,
            deadline: webhooks.deadline.0,
            refused_tries: webhooks.refused_tries.to_u32(),
        }
    }
}

fn read_url(path: &Path) -> Result<String, Problem> {
    let problem = |text: String| ("database.url_file".to_owned(), format!("{}: {text}", path.display()));
    let url = fs::read_to_string(path)
        .map_err(|error| problem(format!("{error}; name a file that holds the URL")))?;
    if url.len() > MAX_URL_BYTES {
        return Err(problem(format!("it has more than {MAX_URL_BYTES} bytes; is it the right file?")));
    }
    Ok(url.trim().to_owned())
}
