// SPDX-License-Identifier: EUPL-1.2
//! Films of recordings that ended without one, asked for afterwards. The record has ended and stays so; that a film is to be made says
//! its place alone, and why it could not be, a file beside the capture.

use std::fs;
use std::path::Path;

use livekit_protocol::EgressInfo;
use parvis_age::Identity;
use parvis_api::{EngineError, FilmState, TenantId};
use serde::{Deserialize, Serialize};

use super::super::upload;
use super::wish::{Encoding, layout_of, wish};
use super::{Films, Inner, Outcome, Place, RecordingSettings, book, erase, folder};

/// Beside a capture: why no film could be made of it the last time that one was asked for.
const FAILED: &str = ".film.json";
/// What a capture's description is called.
const MANIFEST: &str = "manifest.json";

/// What film was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Later {
    /// As the composer calls it.
    layout: String,
}

#[derive(Serialize, Deserialize)]
struct Why {
    failed: String,
}

/// The one thing that is to be known of a capture: whom it is sealed for.
#[derive(Deserialize)]
struct Sealed {
    recipients: Vec<String>,
}

impl Films {
    /// Has a film made of a recording that has ended; one that has one, or gets one, needs none.
    pub(in crate::recording) fn ask(
        &self,
        tenant: &TenantId,
        egress: &EgressInfo,
        layout: &str,
    ) -> Result<(), EngineError> {
        let unable = EngineError::Unable;
        let (settings, id) = (&self.0.settings, &egress.egress_id);
        if settings.film.max == 0 {
            return Err(unable("this server makes no films (recording.max_films is 0)".to_owned()));
        }
        let layout = layout_of(layout)?.to_owned();
        if matches!(self.state(tenant, egress), FilmState::BeingMade | FilmState::Made) {
            return Ok(());
        }
        let recording = folder(&settings.directory, tenant, id);
        let recording = recording.filter(|recording| recording.join(MANIFEST).is_file()).ok_or_else(|| {
            unable(
                "what was captured is not on this server's disk: nothing was, or it lies in the storage, and is fetched from there \
                 and composed by `parvis recording compose`"
                    .to_owned(),
            )
        })?;
        check_key(settings, id, &recording)?;
        let failed = |error: std::io::Error| EngineError::Failed(format!("no film can be made: {error}"));
        let place = Place::of(&settings.directory, tenant, id).ok_or(EngineError::Unknown)?;
        place.make(None).and_then(|()| place.set_later(&Later { layout })).map_err(failed)?;
        self.push(tenant.clone(), id.clone());
        Ok(())
    }

    /// How the film does of a recording that has ended.
    pub(in crate::recording) fn state(&self, tenant: &TenantId, egress: &EgressInfo) -> FilmState {
        let Some(recording) = folder(&self.0.settings.directory, tenant, &egress.egress_id) else {
            return FilmState::None;
        };
        if self.knows(tenant, &egress.egress_id) {
            return FilmState::BeingMade;
        }
        let is_listed = egress.file_results.iter().any(|file| book::is_film(&file.filename));
        if is_listed || book::has_film(&recording) {
            return FilmState::Made;
        }
        let why = fs::read(recording.join(FAILED)).ok();
        let why = why.and_then(|bytes| serde_json::from_slice::<Why>(&bytes).ok());
        why.map_or(FilmState::None, |why| FilmState::Failed(why.failed))
    }
}

impl Inner {
    /// Makes one that was asked for afterwards.
    pub(super) async fn make_later(&self, tenant: &TenantId, egress_id: &str, place: &Place, later: &Later) {
        let Some(recording) = folder(&self.settings.directory, tenant, egress_id) else { return };
        let wish = wish((&later.layout, false), Encoding::Default, None, self.settings.film.bounds);
        let outcome = match wish {
            Ok(wish) => self.make_of(egress_id, place, &recording, &wish).await,
            Err(error) => Outcome::GivenUp(error.to_string()),
        };
        let noted = match outcome {
            Outcome::Left => return,
            Outcome::Made => {
                let _ = fs::remove_file(recording.join(FAILED));
                self.list(tenant, egress_id, &recording).await
            }
            Outcome::GivenUp(why) => {
                tracing::warn!(recording = egress_id, %tenant, why, "a film that was asked for afterwards is given up");
                let why = serde_json::to_vec(&Why { failed: why }).unwrap_or_default();
                fs::write(recording.join(FAILED), why).map_err(|error| error.to_string())
            }
        };
        if let Err(error) = noted {
            tracing::warn!(recording = egress_id, error, "what became of a film can't be written down");
        }
        erase(place, egress_id);
    }

    /// The film is among the record's files, before the others.
    async fn list(&self, tenant: &TenantId, egress_id: &str, recording: &Path) -> Result<(), String> {
        let told = |error: parvis_api::EgressError| error.to_string();
        let Some(mut egress) = self.recorders.egress(tenant, egress_id).await.map_err(told)? else {
            return Ok(());
        };
        let films = book::films(&egress, recording);
        egress.file_results.retain(|file| !book::is_film(&file.filename));
        egress.file_results.splice(..0, films);
        self.recorders.egress_lies(tenant, egress).await.map_err(told)?;
        upload::send_again(recording).map_err(|error| error.to_string())
    }
}

/// Refuses what this server can't open.
fn check_key(settings: &RecordingSettings, id: &str, recording: &Path) -> Result<(), EngineError> {
    let failed = |what: String| EngineError::Failed(format!("no film can be made: {what}"));
    let manifest =
        fs::read(recording.join(MANIFEST)).map_err(|error| failed(format!("{MANIFEST}: {error}")))?;
    let Sealed { recipients } =
        serde_json::from_slice(&manifest).map_err(|error| failed(format!("{MANIFEST}: {error}")))?;
    if recipients.is_empty() {
        return Ok(());
    }
    let by_hand = format!(
        "`parvis recording compose --config FILE {id} film.mp4 --identity KEY` makes it, where the key is"
    );
    let Some(path) = &settings.identity else {
        return Err(EngineError::Unable(format!(
            "what was captured is sealed, and this server has no key that opens it (recording.identity): {by_hand}"
        )));
    };
    let keys = identities(path).map_err(failed)?;
    match keys.iter().any(|key| recipients.contains(&key.recipient().to_string())) {
        true => Ok(()),
        false => Err(EngineError::Unable(format!(
            "what was captured is sealed for others than whose key this server has (recording.identity): {by_hand}"
        ))),
    }
}

/// The keys in a file of age's.
pub(in crate::recording) fn identities(path: &Path) -> Result<Vec<Identity>, String> {
    let named = |error: &dyn std::fmt::Display| format!("recording.identity: {}: {error}", path.display());
    let text = fs::read_to_string(path).map_err(|error| named(&error))?;
    Identity::read_all(&text).map_err(|error| named(&error))
}
