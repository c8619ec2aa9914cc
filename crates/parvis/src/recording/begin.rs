// SPDX-License-Identifier: EUPL-1.2
//! How a recording begins: it is checked what is asked for, and whether there is room; its recorder is let in; and what its film
//! needs is made.

use std::sync::Arc;

use livekit_protocol::EgressInfo;
use parvis_age::{Identity, MAX_RECIPIENTS};
use parvis_api::{CAPTURE_LAYOUT, EngineError, RecorderError, TenantId};
use parvis_jobs::{LiveLayout, Protection};
use parvis_signal::{RecordError, Recorder};
use tokio::sync::mpsc;

use super::counts::Counts;
use super::film::Place;
use super::{
    Begun, Handle, INBOX, RecordingSettings, Remote, Shared, check_space, folder, request, retention,
};

impl Shared {
    pub(super) async fn begin(&self, tenant: &TenantId, egress: &EgressInfo) -> Result<Begun, EngineError> {
        let settings = &self.settings;
        let asked = request::asked(egress, settings.film.bounds, settings.live.as_ref())?;
        let request::Asked { scope, film, live, keeps } = asked;
        let storage = request::storage(egress, &settings.requested)?.map(Remote::new).transpose();
        let storage = storage.map_err(|error| EngineError::Unable(error.to_string()))?;
        let film = film.is_some();
        if film {
            check_film(settings)?;
        }
        let id = &egress.egress_id;
        check_space(settings).map_err(|error| {
            Counts::add(&self.counts.refused_space, 1);
            EngineError::Busy(error.to_string())
        })?;
        let (sender, inbox) = mpsc::channel(INBOX);
        let streams = live.as_ref().map(|live| (live.layout != LiveLayout::Audio, Arc::default()));
        let handle =
            Handle { inbox: sender, missed: Arc::default(), ending: Arc::default(), film, live: streams };
        {
            let mut jobs = self.jobs();
            if jobs.len() >= settings.max_jobs {
                Counts::add(&self.counts.refused_jobs, 1);
                let limit = settings.max_jobs;
                return Err(EngineError::Busy(format!("{limit} recordings go on (recording.max_jobs)")));
            }
            let streams = jobs.values().filter(|job| job.live.is_some()).count();
            if let Some(limit) = settings.live.as_ref().filter(|_| live.is_some()).map(|live| live.max_jobs)
                && streams >= limit
            {
                Counts::add(&self.counts.refused_jobs, 1);
                return Err(EngineError::Busy(format!("{limit} streams go on (streaming.max_jobs)")));
            }
            jobs.insert(id.clone(), handle.clone());
        }
        let (film, protection) = match self.prepare(tenant, id, film) {
            Ok(prepared) => prepared,
            Err(error) => {
                self.forget(id);
                return Err(error);
            }
        };
        let recorder = Recorder { identity: id.clone(), name: settings.name.clone(), scope: scope.clone() };
        let announced = self.recorders.announce(tenant, &egress.room_name, recorder).await;
        let kept = match announced.map_err(|error| refused(&error)) {
            Ok(None) => Ok(()),
            Ok(Some(days)) => self.keep(tenant, &egress.room_name, id, days).await,
            Err(refused) => Err(refused),
        };
        if let Err(error) = kept {
            self.forget(id);
            if let Some(Err(error)) = film.map(|film| film.erase()) {
                tracing::warn!(recording = id, %error, "the key of a film can't be erased");
            }
            return Err(error);
        }
        Ok(Begun { handle, inbox, scope, film, live, keeps, protection, storage })
    }

    /// Writes down for how long the room has it kept. Where that can't be done, nothing is recorded.
    async fn keep(&self, tenant: &TenantId, room: &str, id: &str, days: u32) -> Result<(), EngineError> {
        let Some(folder) = folder(&self.settings.directory, tenant, id) else { return Ok(()) };
        let Err(error) = retention::set_days_of_room(&folder, days) else { return Ok(()) };
        self.recorders.dismiss(tenant, room, id).await;
        Err(EngineError::Failed(format!("for how long it is kept can't be written down: {error}")))
    }

    /// Where a film is made, and for whom the capture is sealed: for the film's own key too, which nobody else has.
    pub(super) fn prepare(
        &self,
        tenant: &TenantId,
        egress_id: &str,
        film: bool,
    ) -> Result<(Option<Place>, Protection), EngineError> {
        let mut protection = self.settings.protection.clone();
        let failed = |what: String| EngineError::Failed(format!("no film can be made: {what}"));
        let place = Place::of(&self.settings.directory, tenant, egress_id).filter(|_| film);
        let Some(place) = place else { return Ok((None, protection)) };
        let mut key = None;
        if let Protection::Age { recipients } = &mut protection {
            let identity = Identity::generate().map_err(|error| failed(error.to_string()))?;
            recipients.push(identity.recipient().to_string());
            // Which of them is the film's, their order doesn't tell.
            recipients.sort();
            key = Some(identity);
        }
        place.make(key.as_ref()).map_err(|error| failed(format!("its folder can't be made: {error}")))?;
        Ok((Some(place), protection))
    }
}

fn check_film(settings: &RecordingSettings) -> Result<(), EngineError> {
    let unable = |why: String| Err(EngineError::Unable(why));
    if settings.film.max == 0 {
        return unable(format!(
            "this server makes no films (recording.max_films is 0): ask for the layout {CAPTURE_LAYOUT:?}, which keeps every track as it \
             is sent"
        ));
    }
    match &settings.protection {
        Protection::Age { recipients } if recipients.len() >= MAX_RECIPIENTS => unable(format!(
            "a film takes one of {MAX_RECIPIENTS} recipients, and recording.recipients has all of them: ask for the layout \
             {CAPTURE_LAYOUT:?}"
        )),
        _ => Ok(()),
    }
}

fn refused(error: &RecorderError) -> EngineError {
    match error {
        RecorderError::NoRoom
        | RecorderError::Refused(
            RecordError::NoParticipant(_) | RecordError::NoTrack(_) | RecordError::Gone,
        ) => EngineError::NotThere(error.to_string()),
        RecorderError::Refused(RecordError::Encrypted(_)) => EngineError::Unable(error.to_string()),
        RecorderError::Refused(RecordError::Refused(_)) => EngineError::Failed(error.to_string()),
    }
}
