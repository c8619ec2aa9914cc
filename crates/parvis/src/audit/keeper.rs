// SPDX-License-Identifier: EUPL-1.2
//! Signs what the log is, at a steady pace, and brings that to the second places; erases entries that have been kept as long as they are to be;
//! and checks the whole log at the start and once a day, so that an operator hears of a break before an auditor does.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use parvis_audit::{Authority, Checkpoint, Signer, Sink as _};
use parvis_store::{AuditProblem, Store, StoreError};
use tokio::sync::Mutex;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::place::{Kept, Place};
use super::stamp::StampSettings;
use super::{AuditSettings, Log, now_ms};

/// How often it is seen whether something is old.
const PRUNE_EVERY: Duration = Duration::from_secs(3_600);
/// How often the whole log is checked.
const CHECK_EVERY: Duration = Duration::from_secs(86_400);
/// How long to wait before an authority that gave no stamp is asked again, where stamps are not wanted more often.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// See the module's page.
pub(super) struct Keeper {
    store: Store,
    log: Log,
    signer: Signer,
    places: Vec<Place>,
    keep: Duration,
    interval: Duration,
    last: Mutex<Last>,
    stamps: Option<(StampSettings, Authority)>,
    stamp: Mutex<Last>,
    state: State,
}

/// The last checkpoint, or the last time-stamp, and where it is still to go.
#[derive(Debug, Default)]
struct Last {
    kept: Option<Kept>,
    owed: Vec<bool>,
}

/// What figures are made of.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) bytes: AtomicU64,
    /// When the last checkpoint was signed, in milliseconds since 1970.
    pub(super) signed_ms: AtomicI64,
    /// Since when entries are there that no checkpoint covers; 0: all are covered.
    pub(super) unsigned_ms: AtomicI64,
    /// Failures of each place.
    pub(super) failures: Vec<AtomicU64>,
    /// Time-stamps that the authority did not give, or that do not hold.
    pub(super) unstamped: AtomicU64,
    /// Checkpoints that could not be made or kept.
    pub(super) failed: AtomicU64,
    pub(super) broken: AtomicBool,
    pub(super) checked_ms: AtomicI64,
    pub(super) pruned: AtomicU64,
}

impl Keeper {
    pub(super) fn new(
        store: Store,
        log: Log,
        signer: Signer,
        places: Vec<Place>,
        authority: Option<Authority>,
        settings: &AuditSettings,
    ) -> Keeper {
        let state =
            State { failures: places.iter().map(|_| AtomicU64::new(0)).collect(), ..State::default() };
        let nothing = || Mutex::new(Last { owed: vec![false; places.len()], ..Last::default() });
        let (last, stamp) = (nothing(), nothing());
        let stamps = settings.stamps.clone().zip(authority);
        let AuditSettings { keep, interval, .. } = *settings;
        Keeper { store, log, signer, places, keep, interval, last, stamps, stamp, state }
    }

    /// Works until it is ended.
    pub(super) async fn run(self: std::sync::Arc<Self>) {
        let mut signing = interval(self.interval);
        signing.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first check waits a moment: at a start others have more to do.
        let (mut prune_at, mut check_at) = (Instant::now(), Instant::now() + self.interval);
        loop {
            signing.tick().await;
            if let Some(event) = self.log.counts().take_refusals() {
                self.log.record(event);
            }
            self.log.flush().await;
            self.checkpoint().await;
            let now = Instant::now();
            if now >= check_at {
                self.check().await;
                check_at = now + CHECK_EVERY;
            }
            if now >= prune_at {
                self.prune().await;
                prune_at = now + PRUNE_EVERY;
            }
        }
    }

    /// Signs the log as it is now, if it is another one than at the last time, and brings that to each place that has it not yet.
    pub(super) async fn checkpoint(&self) {
        let mut last = self.last.lock().await;
        if let Err(error) = self.sign(&mut last).await {
            self.state.failed.fetch_add(1, Ordering::Relaxed);
            tracing::error!(%error, "the audit log is not signed; it is tried again");
        }
        self.bring(&mut last).await;
    }

    /// Brings something to each place that has it not yet.
    async fn bring(&self, last: &mut Last) {
        let Last { kept: Some(kept), owed } = last else { return };
        for ((place, owed), failures) in self.places.iter().zip(owed).zip(&self.state.failures) {
            if !*owed {
                continue;
            }
            match place.put(kept).await {
                Ok(()) => *owed = false,
                Err(error) => {
                    failures.fetch_add(1, Ordering::Relaxed);
                    let place = place.word();
                    tracing::error!(
                        place,
                        error,
                        "a checkpoint of the audit log is not there; it is tried again"
                    );
                }
            }
        }
    }

    async fn sign(&self, last: &mut Last) -> Result<(), String> {
        let state = self.store.audit_state().await.map_err(|error| error.to_string())?;
        self.state.bytes.store(state.bytes, Ordering::Relaxed);
        let signed = last.kept.as_ref().map(|kept| kept.size);
        if signed == Some(state.size()) || state.size() == 0 {
            return Ok(());
        }
        let time_ms = now_ms();
        let before_ms = self.state.signed_ms.load(Ordering::Relaxed);
        if time_ms < before_ms {
            let seconds = (before_ms - time_ms) / 1_000;
            tracing::warn!(
                seconds,
                "the clock was set back since the last checkpoint; the audit log goes on in its order"
            );
        }
        // Until it is signed, entries are there that it does not cover.
        let _ = self.state.unsigned_ms.compare_exchange(0, time_ms, Ordering::Relaxed, Ordering::Relaxed);
        let origin = self.signer.verifier().name().to_owned();
        let checkpoint = Checkpoint { origin, size: state.size(), root: state.frontier.root(), time_ms };
        let note = self.signer.sign(&checkpoint.text()).map_err(|error| error.to_string())?;
        let kept = self.store.audit_put_checkpoint(state.size(), &note).await;
        kept.map_err(|error| error.to_string())?;
        self.state.signed_ms.store(time_ms, Ordering::Relaxed);
        self.state.unsigned_ms.store(0, Ordering::Relaxed);
        last.kept = Some(Kept { size: state.size(), note, stamp: None });
        last.owed.fill(true);
        Ok(())
    }

    /// Has the newest checkpoint stamped by the authority, at its pace, until it is ended.
    pub(super) async fn stamp(self: std::sync::Arc<Self>) {
        let Some((settings, authority)) = &self.stamps else { return };
        let mut wait = Duration::ZERO;
        loop {
            tokio::time::sleep(wait).await;
            let newest = self.last.lock().await.kept.clone();
            let mut last = self.stamp.lock().await;
            wait = self.interval.min(settings.interval);
            // What a place did not take is brought at the pace of checkpoints.
            self.bring(&mut last).await;
            let Some(newest) =
                newest.filter(|newest| last.kept.as_ref().is_none_or(|stamped| stamped.note != newest.note))
            else {
                continue;
            };
            match settings.ask(authority, &newest.note).await {
                Ok((token, stamp)) => {
                    tracing::debug!(size = newest.size, time = stamp.time, "a checkpoint is stamped");
                    last.kept = Some(Kept { stamp: Some(token), ..newest });
                    last.owed.fill(true);
                    self.bring(&mut last).await;
                    wait = settings.interval;
                }
                Err(error) => {
                    self.state.unstamped.fetch_add(1, Ordering::Relaxed);
                    tracing::error!(
                        error,
                        "a checkpoint of the audit log has no time-stamp; it is tried again"
                    );
                    wait = settings.interval.min(ASK_AGAIN);
                }
            }
        }
    }

    async fn prune(&self) {
        let keep = i64::try_from(self.keep.as_millis()).unwrap_or(i64::MAX);
        loop {
            match self.store.audit_prune(now_ms().saturating_sub(keep)).await {
                Ok(0) => return,
                Ok(gone) => {
                    self.state.pruned.fetch_add(gone, Ordering::Relaxed);
                    tracing::info!(
                        gone,
                        "entries of the audit log were kept as long as they are to be and are erased"
                    );
                }
                Err(error) => {
                    return tracing::error!(%error, "old entries of the audit log stay; it is tried again in an hour");
                }
            }
        }
    }

    /// Checks the whole log against its own checkpoints. Only what the log is, and no failure to read it, says that it is broken.
    pub(super) async fn check(&self) {
        let keys = [self.signer.verifier().clone()];
        match self.store.audit_check(&keys, Vec::new()).await {
            Ok(checked) => {
                self.state.broken.store(false, Ordering::Relaxed);
                self.state.checked_ms.store(now_ms(), Ordering::Relaxed);
                tracing::info!(first = checked.first, size = checked.size, "the audit log is whole");
            }
            Err(AuditProblem::Store(error)) if !matches!(error, StoreError::Corrupt(_)) => {
                tracing::warn!(%error, "the audit log can't be checked now");
            }
            Err(problem) => {
                self.state.broken.store(true, Ordering::Relaxed);
                self.state.checked_ms.store(now_ms(), Ordering::Relaxed);
                tracing::error!(%problem, "the audit log is broken: see docs/audit.md");
            }
        }
    }

    pub(super) fn log(&self) -> &Log {
        &self.log
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    /// How often the authority gave no stamp that holds; `None` where none is asked.
    pub(super) fn unstamped(&self) -> Option<u64> {
        self.stamps.as_ref().map(|_| self.state.unstamped.load(Ordering::Relaxed))
    }

    /// The most that the log may take.
    pub(super) fn max_bytes(&self) -> u64 {
        self.store.limits().audit_bytes
    }

    /// The words of the places, in the order of their failures.
    pub(super) fn places(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.places.iter().map(Place::word)
    }
}
