// SPDX-License-Identifier: EUPL-1.2
//! Whether the audit log is whole: `parvis audit verify`, by itself. And the entry there that says what a check came to.

use parvis_audit::{Act, Event, Outcome, Who};
use parvis_store::Store;
use tokio::time::timeout;

use super::{Line, PATIENCE, TRIALS, first_line};
use crate::audit::now_ms;
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

/// Writes into the log that this was checked, and how many checks failed; a line where that can't be.
pub(super) async fn write(settings: &Settings, failed: usize) -> Option<Line> {
    let audit = settings.audit.as_ref()?;
    if !audit.key_file.is_file() {
        // No server has begun a log yet, and a check makes no database.
        return None;
    }
    let outcome = if failed == 0 { Outcome::Done } else { Outcome::Failed };
    let count = (failed > 0).then(|| u64::try_from(failed).unwrap_or(u64::MAX));
    let event = Event { time_ms: now_ms(), outcome, count, ..Event::new("", Act::Check, Who::Operator) };
    let written = async {
        let store = Store::open(settings.store.clone()).await?;
        let written = store.audit_append(&[event]).await;
        store.close().await;
        written
    };
    let problem = match timeout(PATIENCE, written).await {
        Ok(Ok(_)) => return None,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the database does not answer".to_owned(),
    };
    // Somebody who only looks need not be who may write there.
    Some(Line::skipped("result", format!("not written into the audit log: {problem}")))
}
