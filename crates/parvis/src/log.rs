// SPDX-License-Identifier: EUPL-1.2
//! The log on the standard error, and how much of it is written.

use std::io::IsTerminal;

use parvis_config::{Note, Weight};
use tracing_subscriber::EnvFilter;

/// Changes how much is written.
type Change = Box<dyn Fn(EnvFilter) -> bool + Send>;

/// How much of the log is written; it may change while the server runs.
pub(crate) struct LogLevel {
    /// Nothing where `RUST_LOG` says it: that goes before the configuration.
    change: Option<Change>,
}

/// Begins to write the log.
pub(crate) fn to_stderr(level: &str, json: bool) -> LogLevel {
    let from_environment = EnvFilter::try_from_default_env().ok();
    let said = from_environment.is_some();
    let filter = from_environment.or_else(|| EnvFilter::try_new(level).ok()).unwrap_or_default();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let change: Change = if json {
        let builder = builder.json().with_filter_reloading();
        let handle = builder.reload_handle();
        builder.init();
        Box::new(move |filter| handle.reload(filter).is_ok())
    } else {
        let builder = builder.with_ansi(std::io::stderr().is_terminal()).with_filter_reloading();
        let handle = builder.reload_handle();
        builder.init();
        Box::new(move |filter| handle.reload(filter).is_ok())
    };
    LogLevel { change: (!said).then_some(change) }
}

/// Writes what became of a key that was said, as loud as it matters.
pub(crate) fn note(note: &Note) {
    match note.weight {
        Weight::Note => tracing::info!("{note}"),
        Weight::Warning => tracing::warn!("{note}"),
    }
}

impl LogLevel {
    /// One that stays.
    #[cfg(test)]
    pub(crate) fn fixed() -> LogLevel {
        LogLevel { change: None }
    }

    /// Writes as much as this level says from now on; `false` where the environment says otherwise. A level that is none
    /// changes nothing: [`crate::config`] refuses it before.
    pub(crate) fn set(&self, level: &str) -> bool {
        let (Some(change), Ok(filter)) = (&self.change, EnvFilter::try_new(level)) else { return false };
        change(filter)
    }
}
