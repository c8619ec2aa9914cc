// SPDX-License-Identifier: EUPL-1.2
//! What is written down of a recording: its state in LiveKit's words, and its files.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use livekit_protocol::{EgressInfo, EgressStatus, FileInfo};
use parvis_jobs::{State, StopReason, Why};

/// Files of one recording that are named in its record; the manifest has all of them.
const MAX_FILES: usize = 200;

/// Brings a record up to date.
pub(super) fn update(egress: &mut EgressInfo, state: State, why: Option<&Why>, folder: &Path) {
    egress.set_status(status_of(state));
    egress.file_results = files(folder, egress.started_at, state.is_final());
    if let Some(why) = why {
        egress.error = error_of(why);
        egress.details = details_of(why).to_owned();
    }
    egress.manifest_location = manifest(folder).unwrap_or_default();
    if state.is_final() {
        egress.ended_at = unix_nanos();
    }
}

/// What a person who looks at the record is told of the end; nothing where it was asked for.
pub(super) fn error_of(why: &Why) -> String {
    match why {
        Why::Stopped(StopReason::DurationReached) => {
            "it lasted as long as it may (recording.max_duration)".to_owned()
        }
        Why::Stopped(StopReason::QuotaReached) => {
            "it has as many bytes as it may (recording.max_bytes)".to_owned()
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

/// What lies in a recording's folder, by name.
fn files(folder: &Path, started_at: i64, ended: bool) -> Vec<FileInfo> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let now = unix_nanos();
    let mut files: Vec<FileInfo> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let metadata = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
            let name = entry.file_name().into_string().ok().filter(|name| super::is_plain(name))?;
            Some(FileInfo {
                location: location(folder, &name),
                filename: name,
                started_at,
                ended_at: if ended { now } else { 0 },
                duration: now.saturating_sub(started_at),
                size: i64::try_from(metadata.len()).unwrap_or(i64::MAX),
            })
        })
        .collect();
    files.sort_by(|one, other| one.filename.cmp(&other.filename));
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
