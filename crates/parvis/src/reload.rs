// SPDX-License-Identifier: EUPL-1.2
//! SIGHUP: reads the configuration anew. All of it is checked before any of it counts; a bad one changes nothing.

use parvis_api::Api;

use crate::cli;
use crate::config::{Loaded, values};
use crate::notify;
use crate::settings::settle;

/// What takes effect without a restart: these keys and all below them. Rooms that are there keep what they began with.
const LIVE: [&str; 4] = ["keys", "tokens", "rooms", "sessions"];
/// What is below them and has to wait all the same: the media threads have it.
const AT_RESTART: [&str; 1] = ["rooms.enabled_codecs"];

/// The configuration that a running server was given, by the same arguments each time.
pub(crate) struct Reloading {
    pub(crate) arguments: cli::Settings,
    /// As it was at the start: what waits for a restart is still this.
    pub(crate) started: Loaded,
    /// As it was read last.
    pub(crate) current: Loaded,
}

impl Reloading {
    /// Reads it anew and puts it in force. The log and the service manager hear what came of it.
    pub(crate) fn reload(&mut self, api: &Api, max_connections: usize) {
        notify::reloading();
        let (settings, after) = match settle(&self.arguments) {
            Ok(read) => read,
            Err(error) => {
                tracing::error!(%error, "the configuration stays as it was");
                return notify::reloaded(&format!("the configuration stays as it was: {error}"));
            }
        };
        // Webhooks are signed with the key that they were started with.
        if let Err(error) = self.started.config.webhook_config().check(&settings.keys) {
            tracing::error!(%error, "the configuration stays as it was");
            return notify::reloaded(&format!("the configuration stays as it was: {error}"));
        }
        let changed = differences(&self.current, &after, true).join(", ");
        let waits = differences(&self.started, &after, false).join(", ");
        api.reload(&settings.config.api_config(max_connections), settings.keys);
        self.current = after;
        if waits.is_empty() {
            tracing::info!(changed, "the configuration was read anew");
            notify::reloaded("the configuration was read anew");
        } else {
            tracing::warn!(changed, waits, "the configuration was read anew; what waits needs a restart");
            notify::reloaded(&format!("the configuration was read anew; these need a restart: {waits}"));
        }
    }
}

/// The keys whose values are different and that take effect at once, or that don't. Secrets are compared, and never said.
fn differences(before: &Loaded, after: &Loaded, live: bool) -> Vec<String> {
    let (before, after) = (values(before), values(after));
    let changed = after.into_iter().filter(|(key, value)| before.get(key) != Some(value));
    changed.map(|(key, _)| key).filter(|key| is_live(key) == live).collect()
}

fn is_live(key: &str) -> bool {
    let below =
        |known: &&str| key.strip_prefix(*known).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    LIVE.iter().any(below) && !AT_RESTART.iter().any(below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_named_and_what_needs_a_restart_apart() {
        let before = Loaded::default();
        let mut after = before.clone();
        after.config.rooms.guests = true;
        after.config.rooms.enabled_codecs = vec!["audio/opus".to_owned()];
        after.config.log.json = true;
        assert_eq!(differences(&before, &after, true), ["rooms.guests"]);
        assert_eq!(differences(&before, &after, false), ["log.json", "rooms.enabled_codecs"]);
        assert!(differences(&after, &after, true).is_empty());
    }
}
