// SPDX-License-Identifier: EUPL-1.2
//! Why nothing can be captured, or no longer: what, where, and what to do.

use std::path::Path;

use parvis_jobs::{Failure, FailureKind, Protection};

use crate::age::{AgeError, MAX_RECIPIENTS, Recipient};
use crate::manifest::ManifestError;

/// For whom a job's files are sealed; nobody where they are to lie in the clear.
pub(super) fn recipients(protection: &Protection) -> Result<Vec<Recipient>, Failure> {
    let missing = |what: String| Failure {
        kind: FailureKind::KeyMissing,
        what,
        place: "the tenant's recipients".to_owned(),
        remedy: "make a key pair with age-keygen, and put its age1… line into the configuration".to_owned(),
    };
    let Protection::Age { recipients } = protection else { return Ok(Vec::new()) };
    if recipients.is_empty() || recipients.len() > MAX_RECIPIENTS {
        let what =
            format!("{} recipients; recordings are sealed for 1 to {MAX_RECIPIENTS}", recipients.len());
        return Err(missing(what));
    }
    recipients.iter().map(|text| text.parse().map_err(|error: AgeError| missing(error.to_string()))).collect()
}

/// Something could not be written.
pub(super) fn failure(place: &str, error: &AgeError) -> Failure {
    Failure {
        kind: FailureKind::Storage,
        what: error.to_string(),
        place: place.to_owned(),
        remedy:
            "see that the directory exists, that the worker's user may write there, and that the disk is well"
                .to_owned(),
    }
}

/// The directory is another job's.
pub(super) fn taken(directory: &Path, job: &str) -> Failure {
    Failure {
        kind: FailureKind::Protocol,
        what: format!("the recording of another job is there: {job}"),
        place: directory.display().to_string(),
        remedy: "give each job a directory of its own".to_owned(),
    }
}

/// What an earlier run wrote can't be gone on with.
pub(super) fn unreadable(directory: &Path, error: &ManifestError) -> Failure {
    Failure {
        kind: FailureKind::Protocol,
        what: error.to_string(),
        place: directory.display().to_string(),
        remedy: "move the damaged manifest.json away; the files beside it stay as they are".to_owned(),
    }
}
