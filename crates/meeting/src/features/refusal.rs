// SPDX-License-Identifier: EUPL-1.2
//! How the features say no: each code once, with the sentence of whoever refuses.

use super::CommandError;
use crate::MeetingError;
use crate::assembly::{Bound, Member};

impl CommandError {
    /// Whoever asks may not do that.
    pub(crate) fn not_allowed(message: impl Into<String>) -> Self {
        CommandError { code: "not_allowed", message: message.into(), bound: None }
    }

    /// What the command names is not there, or not for whoever asks.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        CommandError { code: "not_found", message: message.into(), bound: None }
    }

    /// A value of the command is not one that can be taken.
    pub(crate) fn bad_value(message: impl Into<String>) -> Self {
        CommandError { code: "bad_value", message: message.into(), bound: None }
    }

    /// A bound is reached.
    pub(crate) fn too_many(message: impl Into<String>) -> Self {
        CommandError { code: "too_many", message: message.into(), bound: None }
    }

    /// It is over already, or not yet begun.
    pub(crate) fn closed(message: impl Into<String>) -> Self {
        CommandError { code: "closed", message: message.into(), bound: None }
    }
}

impl CommandError {
    /// The same, which counts as that bound's.
    pub(crate) fn at(self, bound: Bound) -> Self {
        CommandError { bound: Some(bound), ..self }
    }
}

/// What becomes of a text that is longer than that bound.
pub(crate) fn over(bound: Bound) -> impl Fn(MeetingError) -> CommandError {
    move |error| CommandError::from(error).at(bound)
}

impl From<MeetingError> for CommandError {
    fn from(error: MeetingError) -> Self {
        CommandError::bad_value(error.to_string())
    }
}

/// Refuses what only moderators may do to all others.
pub(super) fn moderators_only(actor: &Member, what: &str) -> Result<(), CommandError> {
    if actor.is_moderator() {
        return Ok(());
    }
    Err(CommandError::not_allowed(format!("only moderators may {what}")))
}

/// The answer of a command that has nothing more to say than that it was done.
pub(super) fn done() -> Result<serde_json::Value, CommandError> {
    Ok(serde_json::json!({}))
}
