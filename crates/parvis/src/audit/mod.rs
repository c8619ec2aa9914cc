// SPDX-License-Identifier: EUPL-1.2
//! The audit log of a server that runs: [`log`] takes events without waiting and has them written, [`keeper`] signs, prunes and checks,
//! [`place`] is where signed checkpoints go besides, [`stamp`] who says when that was, [`key`] what they are signed with. [`command`] is `parvis audit`, [`export`] what is given
//! to others.

pub(crate) mod command;
mod export;
mod figures;
mod keeper;
mod key;
mod log;
mod place;
mod stamp;
#[cfg(test)]
mod stamp_tests;
mod syslog;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parvis_api::Source;
use parvis_audit::{Act, Event, Sink, Who};
use parvis_store::Store;
use time::OffsetDateTime;
use tokio::task::JoinHandle;

pub(crate) use key::KeyError;
pub(crate) use log::Log;
pub(crate) use stamp::{StampPlace, StampSettings};
pub(crate) use syslog::SyslogTarget;

use keeper::Keeper;
use place::Place;

use crate::recording::Remote;

/// How the log is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuditSettings {
    pub(crate) name: String,
    pub(crate) key_file: PathBuf,
    /// Whether acts are refused while the log takes none.
    pub(crate) refuse: bool,
    pub(crate) queue: usize,
    pub(crate) keep: Duration,
    pub(crate) interval: Duration,
    pub(crate) checkpoint_file: PathBuf,
    pub(crate) syslog: Option<SyslogTarget>,
    pub(crate) storage: bool,
    /// Who says when a checkpoint was there.
    pub(crate) stamps: Option<StampSettings>,
}

/// The log of a server that runs.
pub(crate) struct Audit {
    log: Log,
    keeper: Arc<Keeper>,
    tasks: [JoinHandle<()>; 2],
}

impl Audit {
    /// Begins to write, to sign and to prune. That the server starts is the first entry.
    pub(crate) fn start(
        settings: AuditSettings,
        store: &Store,
        remote: Option<&Remote>,
    ) -> Result<Audit, KeyError> {
        let signer = key::load(&settings.key_file, &settings.name)?;
        let mut places = vec![Place::File(settings.checkpoint_file.clone())];
        places.extend(settings.syslog.clone().map(Place::Syslog));
        places.extend(remote.filter(|_| settings.storage).cloned().map(Place::Storage));
        let log = Log::start(store.clone(), settings.queue, settings.refuse);
        let authority = settings.stamps.as_ref().map(StampSettings::authority).transpose()?;
        let keeper = Keeper::new(store.clone(), log.clone(), signer, places, authority, &settings);
        let keeper = Arc::new(keeper);
        log.record(Event::new("", Act::ServerStart, Who::Server).on("version", env!("CARGO_PKG_VERSION")));
        let tasks = [tokio::spawn(Arc::clone(&keeper).run()), tokio::spawn(Arc::clone(&keeper).stamp())];
        Ok(Audit { log, keeper, tasks })
    }

    /// What takes events.
    pub(crate) fn sink(&self) -> Arc<dyn Sink> {
        Arc::new(self.log.clone())
    }

    /// The figures for the metrics page.
    pub(crate) fn figures(&self) -> Source {
        figures::figures(Arc::clone(&self.keeper))
    }

    /// Writes what is left, that the server stops as the last, and signs it.
    pub(crate) async fn close(self, patience: Duration) {
        self.tasks.iter().for_each(JoinHandle::abort);
        self.log.record(Event::new("", Act::ServerStop, Who::Server));
        let last = async {
            self.log.flush().await;
            self.keeper.checkpoint().await;
        };
        if tokio::time::timeout(patience, last).await.is_err() {
            tracing::error!("the audit log's last entries could not be written and signed in time");
        }
    }
}

/// What a wall clock shows, in milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

/// A time as people and programs read it (RFC 3339).
fn utc(ms: i64) -> String {
    let (seconds, millis) = (ms.div_euclid(1_000), ms.rem_euclid(1_000));
    let when = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (date, time) = (when.date(), when.time());
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{millis:03}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}
