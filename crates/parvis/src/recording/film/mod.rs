// SPDX-License-Identifier: EUPL-1.2
//! Films of what was captured. One that is asked for ([`wish`]) waits behind the others once its capture has ended, is then made by a
//! process of its own ([`composer`]), and is laid beside the capture. What it takes lies in a [`place`] of its own meanwhile, with the
//! key that opens this one capture: it was made when the capture began, and goes with the place.
//!
//! The record of the recording is `EGRESS_ENDING` as long as its film is not made. That, and the place, is all that a server that
//! starts anew goes by: a film whose server died is gone on with from the parts that were whole.
//!
//! **The one invariant: calls go first.** Films are made one after the other, at the lowest priority, on as many processors as calls
//! leave, and nothing waits for them.

mod composer;
mod counts;
mod later;
pub(super) mod place;
#[cfg(test)]
pub(super) mod tests;
pub(crate) mod wish;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use livekit_protocol::{EgressInfo, EgressStatus};
use parvis_api::{Recorders, Sample, TenantId};
use tokio::sync::{Semaphore, mpsc, watch};

pub(super) use self::composer::PASSED_ON;
use self::composer::{Failed, Order, compose};
use self::counts::Counts;
pub(super) use self::later::identities;
pub(super) use self::place::{Captured, Place};
use self::wish::Wish;
use super::{EncoderCounts, RecordingSettings, book, folder, request};

/// How long a composer that died is waited for before the next, doubled each time.
const RESTART_DELAY: Duration = Duration::from_secs(1);
/// How often it is tried to write down that a film is made, and how long between.
const TRIES: u32 = 5;
const BETWEEN_TRIES: Duration = Duration::from_secs(2);
/// What is said of a film that waits, and of one that is being made.
pub(super) const WAITS: &str = "its film waits to be made";
const BEING_MADE: &str = "its film is being made";

/// What the name of a film's captions ends with.
const CAPTIONS: &str = "vtt";

/// How films are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FilmSettings {
    /// How many at one time. None: there are no films.
    pub(crate) max: usize,
    /// How long a composer may get nowhere.
    pub(crate) patience: Duration,
    /// How often one that died is started anew.
    pub(crate) max_restarts: u32,
    /// How long a segment is of which a longer film is made; none at all: films are made in one go.
    pub(crate) segment: Duration,
    /// How many segments of a film are made at one time.
    pub(crate) parallel: usize,
    /// What bounds each.
    pub(crate) bounds: wish::Bounds,
}

type Id = (TenantId, String);

/// See the module's page.
#[derive(Clone)]
pub(super) struct Films(Arc<Inner>);

struct Inner {
    settings: RecordingSettings,
    recorders: Recorders,
    counts: Counts,
    encoders: Arc<EncoderCounts>,
    /// In the order in which they are made. No longer than the store's table of recordings.
    queue: mpsc::UnboundedSender<Id>,
    /// Those that wait or are being made.
    known: Mutex<HashSet<Id>>,
    closing: watch::Sender<bool>,
    /// A place for each that is made at the same time.
    rooms: Arc<Semaphore>,
}

/// What came of one.
enum Outcome {
    Made,
    /// It can't be made, and why.
    GivenUp(String),
    /// Nobody wants it any more, or it is for the next start.
    Left,
}

impl Films {
    /// Ready to make films. Call it in a runtime.
    pub(super) fn new(
        settings: RecordingSettings,
        recorders: Recorders,
        encoders: Arc<EncoderCounts>,
    ) -> Films {
        let (queue, mut waiting) = mpsc::unbounded_channel::<Id>();
        let rooms = Arc::new(Semaphore::new(settings.film.max));
        let films = Films(Arc::new(Inner {
            settings,
            recorders,
            counts: Counts::default(),
            encoders,
            queue,
            known: Mutex::default(),
            closing: watch::Sender::new(false),
            rooms: Arc::clone(&rooms),
        }));
        let weak = Arc::downgrade(&films.0);
        tokio::spawn(async move {
            // The first takes his place before the next asks for one.
            while let Some(id) = waiting.recv().await {
                let Ok(place) = Arc::clone(&rooms).acquire_owned().await else { return };
                let Some(films) = weak.upgrade() else { return };
                tokio::spawn(async move {
                    films.make(id).await;
                    drop(place);
                });
            }
        });
        films
    }

    /// Has the film made of a capture that has ended, which its place says.
    pub(super) fn push(&self, tenant: TenantId, egress_id: String) {
        let id = (tenant, egress_id);
        if self.0.known().insert(id.clone()) {
            self.0.counts.waiting.fetch_add(1, Ordering::Relaxed);
            // Whoever takes them out lives as long as this.
            let _ = self.0.queue.send(id);
        }
    }

    /// Takes up the film of a recording that a server of before left, if one was asked for and anything was captured.
    pub(super) fn resume(&self, tenant: &TenantId, egress: &EgressInfo) -> bool {
        let settings = &self.0.settings;
        let id = &egress.egress_id;
        let place = Place::of(&settings.directory, tenant, id).filter(Place::exists);
        let (Some(place), Some(recording)) = (place, folder(&settings.directory, tenant, id)) else {
            return false;
        };
        if settings.film.max == 0 || !book::is_captured(&recording) {
            return false;
        }
        if place.captured().is_none() {
            // The capture went on. What its worker wrote can be read as far as it goes.
            let mut ended = egress.clone();
            ended.set_status(EgressStatus::EgressFailed);
            "the server ended while it went on".clone_into(&mut ended.error);
            ended.ended_at = book::unix_nanos();
            if let Err(error) = place.set_captured(&Captured::of(&ended)) {
                tracing::warn!(recording = id, %error, "no film is made of it: nothing can be written where it would be");
                return false;
            }
        }
        self.push(tenant.clone(), id.clone());
        true
    }

    /// Takes up what was asked for afterwards, and a server of before left.
    pub(super) fn resume_later(&self) {
        for (tenant, id, place) in place::all(&self.0.settings.directory) {
            if place.later().is_some() && self.0.settings.film.max > 0 {
                self.push(tenant, id);
            }
        }
    }

    /// Whether a film waits or is being made.
    pub(super) fn knows(&self, tenant: &TenantId, egress_id: &str) -> bool {
        self.0.known().contains(&(tenant.clone(), egress_id.to_owned()))
    }

    /// Begins no more, and ends those that are being made: the next start makes them.
    pub(super) async fn close(&self) {
        self.0.closing.send_replace(true);
        let all = u32::try_from(self.0.settings.film.max).unwrap_or(u32::MAX);
        // All places free: nothing runs any more.
        let _ = self.0.rooms.acquire_many(all).await;
        self.0.rooms.close();
    }

    /// For the metrics page.
    pub(super) fn samples(&self) -> Vec<Sample> {
        self.0.counts.samples()
    }
}

impl Inner {
    fn known(&self) -> MutexGuard<'_, HashSet<Id>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn make(&self, id: Id) {
        let (tenant, egress_id) = &id;
        self.counts.waiting.fetch_sub(1, Ordering::Relaxed);
        if !*self.closing.borrow() {
            self.counts.running.fetch_add(1, Ordering::Relaxed);
            self.make_one(tenant, egress_id).await;
            self.counts.running.fetch_sub(1, Ordering::Relaxed);
        }
        self.known().remove(&id);
    }

    async fn make_one(&self, tenant: &TenantId, egress_id: &str) {
        let directory = &self.settings.directory;
        let place = Place::of(directory, tenant, egress_id);
        let (Some(place), Some(recording)) = (place, folder(directory, tenant, egress_id)) else { return };
        if let Some(later) = place.later() {
            return self.make_later(tenant, egress_id, &place, &later).await;
        }
        let mut egress = match self.recorders.egress(tenant, egress_id).await {
            Ok(egress) => egress.filter(|egress| !book::has_ended(egress)),
            Err(error) => {
                tracing::warn!(recording = egress_id, %error, "a film waits for the next start: its record can't be read");
                return;
            }
        };
        let Some(egress) = egress.as_mut() else {
            // Its recording was erased, or given up otherwise.
            return erase(&place, egress_id);
        };
        let Some(captured) = place.captured() else {
            if place.exists() {
                tracing::warn!(
                    recording = egress_id,
                    "a film waits for the next start: how its capture ended can't be read"
                );
            }
            return;
        };
        egress.set_status(EgressStatus::EgressEnding);
        BEING_MADE.clone_into(&mut egress.details);
        if let Err(error) = self.recorders.egress_is(tenant, egress.clone()).await {
            tracing::warn!(recording = egress_id, %error, "how a film does can't be written down");
        }
        let since = Instant::now();
        tracing::info!(recording = egress_id, %tenant, "a film is begun");
        let why = match self.film(egress, &place, &recording).await {
            Outcome::Left => return,
            Outcome::Made => None,
            Outcome::GivenUp(why) => Some(why),
        };
        let seconds = since.elapsed().as_secs_f64();
        match &why {
            None => tracing::info!(recording = egress_id, %tenant, seconds, "a film is made"),
            Some(why) => tracing::warn!(recording = egress_id, %tenant, seconds, why, "a film is given up"),
        }
        book::film(egress, &captured, why, &recording);
        self.end(tenant, egress.clone(), &place).await;
    }

    /// Makes the film that was asked for with the recording.
    async fn film(&self, egress: &EgressInfo, place: &Place, recording: &Path) -> Outcome {
        let settings = &self.settings;
        let wish = match request::asked(egress, settings.film.bounds, settings.live.as_ref())
            .map(|asked| asked.film)
        {
            Ok(Some(wish)) => wish,
            Ok(None) => return self.give_up(&Failed::Said("it was not asked for".to_owned()), 0),
            // The bounds are others now.
            Err(error) => return self.give_up(&Failed::Said(error.to_string()), 0),
        };
        self.make_of(&egress.egress_id, place, recording, &wish).await
    }

    /// Makes the film that is wished for of what lies in the folder of a recording, with another composer where one died.
    async fn make_of(&self, egress_id: &str, place: &Place, recording: &Path, wish: &Wish) -> Outcome {
        let settings = &self.settings;
        if book::has_film(recording) {
            // It was there when the server died.
            return Outcome::Made;
        }
        let order = Order { settings, encoders: &self.encoders, place, recording, wish };
        let mut restarts = 0;
        let failed = loop {
            let since = Instant::now();
            let made = compose(&order, self.closing()).await;
            self.counts.took(since.elapsed());
            match made {
                Ok(film) => match lay(&film, recording) {
                    Ok(()) => {
                        self.counts.made.fetch_add(1, Ordering::Relaxed);
                        return Outcome::Made;
                    }
                    Err(error) if place.exists() => {
                        break Failed::System(format!("it can't be kept: {error}"));
                    }
                    Err(_) => break Failed::Erased,
                },
                Err(failed) if failed.may_pass() && restarts < settings.film.max_restarts => {
                    tracing::warn!(
                        recording = egress_id,
                        ?failed,
                        "a composer is ended, and another goes on"
                    );
                    self.counts.restarts.fetch_add(1, Ordering::Relaxed);
                    tokio::select! {
                        () = tokio::time::sleep(RESTART_DELAY * (1 << restarts.min(8))) => {}
                        () = self.closing() => break Failed::Closing,
                    }
                    restarts += 1;
                }
                Err(failed) => break failed,
            }
        };
        if failed == Failed::Erased {
            // Something may have been written since.
            erase(place, egress_id);
        }
        self.give_up(&failed, restarts)
    }

    fn give_up(&self, failed: &Failed, restarts: u32) -> Outcome {
        let why = match failed {
            Failed::Closing => return Outcome::Left,
            Failed::Erased => {
                self.counts.failed(failed);
                return Outcome::Left;
            }
            Failed::Said(why) | Failed::System(why) => why.clone(),
            Failed::Died(how) => format!("the composer died: {how}"),
            Failed::Hung(how) => format!("the composer hung: {how}"),
            Failed::Space => {
                "the disk is full, or has no more than is to stay free (recording.min_free_bytes)".to_owned()
            }
        };
        self.counts.failed(failed);
        Outcome::GivenUp(if restarts > 0 {
            format!("{why}; {restarts} others before it fared no better")
        } else {
            why
        })
    }

    /// Writes down how it ended, and then erases the key. Whoever is killed in between does it again.
    async fn end(&self, tenant: &TenantId, egress: EgressInfo, place: &Place) {
        let id = egress.egress_id.clone();
        for attempt in 1..=TRIES {
            match self.recorders.egress_is(tenant, egress.clone()).await {
                Ok(()) => break,
                Err(error) if attempt < TRIES && !is_over(&error) => {
                    tracing::warn!(recording = id, %error, "that a film is made can't be written down; it is tried again");
                    tokio::time::sleep(BETWEEN_TRIES).await;
                }
                // It was erased or ended meanwhile.
                Err(error) if is_over(&error) => break,
                Err(error) => {
                    tracing::error!(recording = id, %error, "that a film is made is written down at the next start");
                    return;
                }
            }
        }
        erase(place, &id);
    }

    async fn closing(&self) {
        let mut closing = self.closing.subscribe();
        let _ = closing.wait_for(|closing| *closing).await;
    }
}

/// Whether there is no record any more that goes on.
fn is_over(error: &parvis_api::EgressError) -> bool {
    use parvis_api::EgressError::{Backwards, Store};
    matches!(error, Backwards { .. } | Store(parvis_store::StoreError::NotFound { .. }))
}

fn erase(place: &Place, egress_id: &str) {
    if let Err(error) = place.erase() {
        tracing::warn!(recording = egress_id, %error, "the key of a film can't be erased; it is tried again at the next start");
    }
}

/// Where the captions of a film lie, sealed if it is.
fn captions_of(film: &Path) -> Option<PathBuf> {
    let name = film.file_name()?.to_str()?;
    let (name, sealed) = name.strip_suffix(".age").map_or((name, ""), |name| (name, ".age"));
    let name = format!("{}{sealed}", Path::new(name).with_extension(CAPTIONS).display());
    Some(film.with_file_name(name))
}

/// Lays a film that is whole beside its capture, and its captions before it, if there are any: where the film is, all is.
fn lay(film: &Path, recording: &Path) -> std::io::Result<()> {
    let captions = captions_of(film).filter(|captions| captions.is_file());
    for file in captions.as_deref().into_iter().chain([film]) {
        let name: PathBuf = file.file_name().map(PathBuf::from).unwrap_or_default();
        // The disk has what it says before it has its name.
        std::fs::File::open(file)?.sync_all()?;
        std::fs::rename(file, recording.join(name))?;
    }
    std::fs::File::open(recording)?.sync_all()
}
