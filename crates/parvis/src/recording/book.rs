// SPDX-License-Identifier: EUPL-1.2
//! What is written down of a recording: its state in LiveKit's words, and its files.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use livekit_protocol::{EgressInfo, EgressStatus, FileInfo};
use parvis_jobs::{State, StopReason, Why};

use super::film::{Captured, wish};
use super::live;

/// Files of one recording that are named in its record; the manifest has all of them.
const MAX_FILES: usize = 200;

/// Brings a record up to date.
pub(super) fn update(egress: &mut EgressInfo, state: State, why: Option<&Why>, folder: &Path) {
    egress.set_status(status_of(state));
    let now = unix_nanos();
    egress.file_results = files(folder, egress.started_at, state.is_final().then_some(now));
    if let Some(why) = why {
        egress.error = error_of(why);
        egress.details = details_of(why).to_owned();
    }
    egress.manifest_location = manifest(folder).unwrap_or_default();
    if state.is_final() {
        egress.ended_at = now;
    }
}

/// Brings a record up to date whose film was made, or could not be (`why`): it ends as its capture did. One that was to have a film
/// and has none has failed, whatever the capture did.
pub(super) fn film(egress: &mut EgressInfo, captured: &Captured, why: Option<String>, folder: &Path) {
    egress.file_results = files(folder, egress.started_at, Some(captured.ended_at));
    egress.manifest_location = manifest(folder).unwrap_or_default();
    egress.set_status(captured.status());
    egress.error.clone_from(&captured.error);
    egress.details.clone_from(&captured.details);
    egress.ended_at = unix_nanos();
    if let Some(why) = why {
        let film = format!(
            "its film could not be made: {why}; what was captured is there, and `parvis recording compose` makes a film of it"
        );
        egress.set_status(EgressStatus::EgressFailed);
        egress.error = if captured.error.is_empty() { film } else { format!("{}; {film}", captured.error) };
    }
}

/// Whether a record is written for good.
pub(super) fn has_ended(egress: &EgressInfo) -> bool {
    use EgressStatus::{EgressActive, EgressEnding, EgressStarting};
    !matches!(egress.status(), EgressStarting | EgressActive | EgressEnding)
}

/// The films that lie beside a capture.
pub(super) fn films(egress: &EgressInfo, folder: &Path) -> Vec<FileInfo> {
    let mut films = files(folder, egress.started_at, Some(egress.ended_at));
    films.retain(|file| is_film(&file.filename));
    films
}

/// Whether a film lies beside a capture.
pub(super) fn has_film(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|entry| entry.file_name().into_string().ok()).any(|name| is_film(&name))
}

/// Whether anything was captured.
pub(super) fn is_captured(folder: &Path) -> bool {
    manifest(folder).is_some()
}

pub(super) fn is_film(name: &str) -> bool {
    let name = name.strip_suffix(".age").unwrap_or(name);
    wish::SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}

fn is_captions(name: &str) -> bool {
    name.strip_suffix(".age").unwrap_or(name).ends_with(".vtt")
}

/// What a person who looks at the record is told of the end; nothing where it was asked for.
pub(super) fn error_of(why: &Why) -> String {
    match why {
        Why::Stopped(StopReason::DurationReached) => {
            "it lasted as long as it may (recording.max_duration)".to_owned()
        }
        Why::Stopped(StopReason::QuotaReached) => {
            "it has as many bytes, or segments, as it may (recording.max_bytes)".to_owned()
        }
        Why::Stopped(StopReason::DiskFull) => {
            "the disk is full, or has no more than is to stay free (recording.min_free_bytes)".to_owned()
        }
        Why::Stopped(StopReason::ConsentWithdrawn) => "somebody did not agree to it".to_owned(),
        Why::Stopped(_) => String::new(),
        Why::Failed(failure) => failure.to_string(),
        Why::Died(how) => format!("the media worker died: {how}"),
    }
}

/// The end in a word, for whoever looks at how jobs end: nothing of what a worker said.
pub(super) fn word_of(why: &Why) -> &'static str {
    match why {
        Why::Stopped(StopReason::Requested) => "requested",
        Why::Stopped(StopReason::RoomEnded) => "room ended",
        Why::Stopped(StopReason::Shutdown | StopReason::ServerGone) => "server stopped",
        Why::Stopped(StopReason::ConsentWithdrawn) => "consent withdrawn",
        Why::Stopped(StopReason::DurationReached) => "duration reached",
        Why::Stopped(StopReason::QuotaReached) => "quota reached",
        Why::Stopped(StopReason::DiskFull) => "disk full",
        Why::Failed(_) => "worker failed",
        Why::Died(_) => "worker died",
    }
}

fn details_of(why: &Why) -> &'static str {
    match why {
        Why::Stopped(StopReason::Requested) => "it was asked to end",
        Why::Stopped(StopReason::RoomEnded) => "what it recorded is over",
        Why::Stopped(StopReason::Shutdown | StopReason::ServerGone) => "the server stopped",
        Why::Stopped(_) => "a limit was reached",
        Why::Failed(_) | Why::Died(_) => "",
    }
}

fn status_of(state: State) -> EgressStatus {
    match state {
        State::Starting => EgressStatus::EgressStarting,
        State::Active => EgressStatus::EgressActive,
        State::Ending => EgressStatus::EgressEnding,
        State::Complete => EgressStatus::EgressComplete,
        State::Failed => EgressStatus::EgressFailed,
        State::Aborted => EgressStatus::EgressAborted,
        State::LimitReached => EgressStatus::EgressLimitReached,
    }
}

/// What lies in a recording's folder: the film, if there is one, and its captions, then the rest by name. Times are of what was recorded.
fn files(folder: &Path, started_at: i64, ended_at: Option<i64>) -> Vec<FileInfo> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let last = ended_at.unwrap_or_else(unix_nanos);
    let mut files: Vec<FileInfo> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let metadata = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
            let name = entry.file_name().into_string().ok().filter(|name| super::is_plain(name))?;
            // Segments and pictures of a stream are told of as such.
            if live::lasts(&name) {
                return None;
            }
            Some(FileInfo {
                location: location(folder, &name),
                filename: name,
                started_at,
                ended_at: ended_at.unwrap_or_default(),
                duration: last.saturating_sub(started_at),
                size: i64::try_from(metadata.len()).unwrap_or(i64::MAX),
            })
        })
        .collect();
    files.sort_by_cached_key(|file| {
        (!is_film(&file.filename), !is_captions(&file.filename), file.filename.clone())
    });
    files.truncate(MAX_FILES);
    files
}

/// Where a file lies below the recordings of its organisation. Where those lie is nobody's business outside.
fn location(folder: &Path, name: &str) -> String {
    let own = folder.file_name().map(|own| own.to_string_lossy()).unwrap_or_default();
    format!("{own}/{name}")
}

fn manifest(folder: &Path) -> Option<String> {
    ["manifest.json", "manifest.json.age"]
        .into_iter()
        .find(|name| folder.join(name).is_file())
        .map(|name| location(folder, name))
}

pub(super) fn unix_nanos() -> i64 {
    let passed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(passed.as_nanos()).unwrap_or(i64::MAX)
}
