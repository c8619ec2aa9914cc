// SPDX-License-Identifier: EUPL-1.2
//! Whether the audit log is whole: `parvis audit verify`, by itself.

use super::{Line, TRIALS, first_line};
use crate::cli;
use crate::serve::Settings;

/// Says so.
pub(super) async fn line(arguments: &cli::Settings, settings: &Settings) -> Line {
    let (what, tried) = ("audit log", "ran `parvis audit verify`");
    let Some(audit) = &settings.audit else { return Line::skipped(what, "audit.enabled is false") };
    if !audit.key_file.is_file() {
        return Line::skipped(what, "there is none yet; the first start makes its key");
    }
    let mut words = vec!["audit".to_owned(), "verify".to_owned()];
    match &arguments.config {
        Some(file) => words.extend(["--config".to_owned(), file.to_string_lossy().into_owned()]),
        None => words.push("--dev".to_owned()),
    }
    words.extend(["--data".to_owned(), settings.config.data.directory.to_string_lossy().into_owned()]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let Ok(program) = std::env::current_exe() else { return Line::skipped(what, "this program has no name") };
    match first_line(&program, &words, TRIALS).await {
        Ok(seen) => Line::good(what, tried, seen),
        Err(problem) => Line::bad(
            what,
            tried,
            problem,
            "keep a copy of database and checkpoints before anything else, and see who changed them",
        ),
    }
}
