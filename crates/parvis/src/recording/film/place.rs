// SPDX-License-Identifier: EUPL-1.2
//! What lies on the disk for a film that is to be made, apart from the recordings: the key that opens the one capture, how that ended,
//! and the film until it is whole. All of it goes with the film.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use livekit_protocol::{EgressInfo, EgressStatus};
use parvis_age::Identity;
use parvis_api::TenantId;
use serde::{Deserialize, Serialize};

use super::super::{folder, tenant_of};
use super::later::Later;

/// Where they lie below the recordings. No organisation's folder has such a name.
const FILMS: &str = ".films";
/// The key, as `age-keygen` writes one.
const KEY: &str = "identity";
/// How the capture ended.
const ENDED: &str = "ended.json";
/// What film was asked for afterwards.
const LATER: &str = "later.json";
/// The folder that the film is written to.
const WORK: &str = "work";

/// A film's own folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place(PathBuf);

/// How a capture ended of which a film is to be made: what its record says once the film is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Captured {
    /// The state in the protocol's words.
    state: String,
    /// Why, where it did not end by itself.
    pub(crate) error: String,
    /// The same in other words.
    pub(crate) details: String,
    /// When, in nanoseconds since 1970.
    pub(crate) ended_at: i64,
}

impl Captured {
    /// As a record says it that has ended.
    pub(crate) fn of(egress: &EgressInfo) -> Captured {
        Captured {
            state: egress.status().as_str_name().to_owned(),
            error: egress.error.clone(),
            details: egress.details.clone(),
            ended_at: egress.ended_at,
        }
    }

    /// The state.
    pub(crate) fn status(&self) -> EgressStatus {
        EgressStatus::from_str_name(&self.state).unwrap_or(EgressStatus::EgressFailed)
    }
}

impl Place {
    /// Where the film of this recording is made. `None` for an id that is none of ours.
    pub(crate) fn of(directory: &Path, tenant: &TenantId, egress_id: &str) -> Option<Place> {
        folder(&directory.join(FILMS), tenant, egress_id).map(Place)
    }

    /// Makes it, for nobody else to look into, and keeps `key` in it, so that the disk has it before anything is sealed for it.
    pub(crate) fn make(&self, key: Option<&Identity>) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        if let Some(key) = key {
            self.write(KEY, format!("{}\n", key.to_secret_text()).as_bytes())?;
        }
        self.sync()
    }

    /// Whether it is there.
    pub(crate) fn exists(&self) -> bool {
        self.0.is_dir()
    }

    /// The file with the key, if the capture is sealed.
    pub(crate) fn key(&self) -> Option<PathBuf> {
        Some(self.0.join(KEY)).filter(|key| key.is_file())
    }

    /// Writes down how the capture ended: from now on its film is to be made.
    pub(crate) fn set_captured(&self, captured: &Captured) -> io::Result<()> {
        self.write(ENDED, &serde_json::to_vec(captured)?)?;
        self.sync()
    }

    /// Writes down what film was asked for of a recording that has ended.
    pub(super) fn set_later(&self, later: &Later) -> io::Result<()> {
        self.write(LATER, &serde_json::to_vec(later)?)?;
        self.sync()
    }

    /// What film was asked for of a recording that has ended, if one was.
    pub(crate) fn later(&self) -> Option<Later> {
        serde_json::from_slice(&fs::read(self.0.join(LATER)).ok()?).ok()
    }

    /// How the capture ended; `None` while it goes on, and if the server was ended before it did.
    pub(crate) fn captured(&self) -> Option<Captured> {
        serde_json::from_slice(&fs::read(self.0.join(ENDED)).ok()?).ok()
    }

    /// The folder for a composer to write to. Of what earlier ones left, the parts of the film stay, and all else is erased.
    pub(crate) fn work(&self) -> io::Result<PathBuf> {
        let work = self.0.join(WORK);
        match DirBuilder::new().mode(0o700).create(&work) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        for entry in fs::read_dir(&work)? {
            let entry = entry?;
            if !entry.file_type()?.is_dir() {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(work)
    }

    /// Erases it with the key and all else in it. Nothing there is no error.
    pub(crate) fn erase(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => match self.0.parent().map(File::open) {
                Some(Ok(above)) => above.sync_all(),
                _ => Ok(()),
            },
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let (path, part) = (self.0.join(name), self.0.join(format!("{name}.part")));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&part, &path)
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }
}

/// The places of all films that are to be made, or were when a server died.
pub(crate) fn all(directory: &Path) -> Vec<(TenantId, String, Place)> {
    let films = directory.join(FILMS);
    let names = |path: &Path| -> Vec<String> {
        let entries = fs::read_dir(path).into_iter().flatten().filter_map(Result::ok);
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    };
    let mut found = Vec::new();
    for folder in names(&films) {
        let Some(tenant) = tenant_of(&folder) else { continue };
        for id in names(&films.join(&folder)) {
            if let Some(place) = Place::of(directory, &tenant, &id).filter(Place::exists) {
                found.push((tenant.clone(), id, place));
            }
        }
    }
    found
}

/// Erases what lies there for films that are none of `wanted`: their recordings have ended otherwise, or are gone.
pub(crate) fn tidy(directory: &Path, wanted: impl Fn(&TenantId, &str) -> bool) {
    for (tenant, id, place) in all(directory) {
        if wanted(&tenant, &id) {
            continue;
        }
        match place.erase() {
            Ok(()) => {
                tracing::info!(recording = id, %tenant, "what was left of a film that is not to be made was erased")
            }
            Err(error) => {
                let place = place.0.display();
                tracing::warn!(%place, %error, "what was left of a film can't be erased: there is a key in it, remove it by hand");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_its_owners_and_goes_with_the_film() {
        let directory = std::env::temp_dir().join(format!("parvis-place-{}", std::process::id()));
        let (own, other) = (TenantId::default(), TenantId::new("a/b"));
        let place = Place::of(&directory, &own, "EG_1").unwrap();
        assert_eq!(Place::of(&directory, &own, "../EG_1"), None);
        let key = Identity::generate().unwrap();
        place.make(Some(&key)).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&place.0), 0o700);
        let path = place.key().unwrap();
        assert_eq!(mode(&path), 0o600);
        let read = Identity::read_all(&fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!(read[0].recipient(), key.recipient());

        assert_eq!(place.captured(), None);
        let ended = EgressInfo {
            status: EgressStatus::EgressLimitReached.into(),
            error: "as long as it may".into(),
            ended_at: 7,
            ..EgressInfo::default()
        };
        place.set_captured(&Captured::of(&ended)).unwrap();
        assert_eq!(place.captured().unwrap().status(), EgressStatus::EgressLimitReached);
        let work = place.work().unwrap();
        let parts = work.join("film.mp4.parts");
        fs::create_dir(&parts).unwrap();
        for half in [work.join("film.mp4.part"), parts.join("sound")] {
            fs::write(half, "half a film").unwrap();
        }
        assert_eq!(place.work().unwrap(), work);
        assert!(!work.join("film.mp4.part").exists(), "what an earlier composer left goes");
        assert!(parts.join("sound").exists(), "but what another one goes on with");
        assert_eq!(mode(&work), 0o700);

        Place::of(&directory, &other, "EG_1").unwrap().make(None).unwrap();
        let mut found: Vec<_> = all(&directory).into_iter().map(|(tenant, id, _)| (tenant, id)).collect();
        found.sort();
        assert_eq!(found, [(other.clone(), "EG_1".to_owned()), (own.clone(), "EG_1".to_owned())]);
        tidy(&directory, |tenant, _| *tenant == other);
        assert!(!place.exists() && Place::of(&directory, &other, "EG_1").unwrap().exists());
        place.erase().unwrap();
        fs::remove_dir_all(directory).unwrap();
    }
}
