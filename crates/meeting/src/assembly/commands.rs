// SPDX-License-Identifier: EUPL-1.2
//! Commands of those inside: read, held to a rate, handed to whoever knows them, answered. Their actor is the session's
//! identity and nothing that stands in them.

use std::time::Instant;

use serde::Deserialize;
use serde_json::{Value, json};

use super::conduct::ConductCommand;
use super::parse::{self, Parsed};
use super::{Assembly, At, Bound, Conducted, Member, Output, Queued, state};
use crate::features::CommandError;

impl Assembly {
    /// One command of somebody inside, as it came from their socket. The answer follows, whatever it was.
    pub fn message(&mut self, now: Instant, unix_ms: u64, identity: &str, text: &str) {
        let at = self.at(now, unix_ms);
        if !self.is_connected(identity) {
            return;
        }
        self.stats.commands += 1;
        let (id, result) = match self.read(at, identity, text) {
            Ok(Parsed { id, word, command }) => (id, self.perform(at, identity, &word, command)),
            Err((id, error)) => (id, Err(error)),
        };
        if let Err(error) = &result {
            debug_assert!(error.code != "too_many" || error.bound.is_some(), "uncounted: {error}");
            if let Some(bound) = error.bound {
                self.stats.bounds.hit(bound);
            }
        }
        let message = state::answer(id, &result);
        self.queue.push_back(Queued::Told { identity: identity.to_owned(), message });
    }

    fn read(&mut self, at: At, identity: &str, text: &str) -> Result<Parsed, (Option<u64>, CommandError)> {
        let limit = self.limits.command_bytes;
        if text.len() > limit {
            self.stats.commands_malformed += 1;
            let message = format!("the command has {} bytes, at most {limit} are allowed", text.len());
            return Err((None, CommandError::bad_value(message).at(Bound::CommandBytes)));
        }
        let within =
            self.inside.get_mut(identity).is_some_and(|inside| inside.take_command(at.now, &self.limits));
        if !within {
            self.stats.commands_too_many += 1;
            // It is not done, and read only if that costs next to nothing: its sender would like to know which one it was.
            let id = if text.len() > SHORT_BYTES { None } else { parse::id_of(text) };
            let many = CommandError::too_many("too many commands at once, wait a second");
            return Err((id, many.at(Bound::Commands)));
        }
        parse::parse(text).inspect_err(|_| self.stats.commands_malformed += 1)
    }

    fn perform(&mut self, at: At, identity: &str, word: &str, command: Value) -> Result<Value, CommandError> {
        let Some(actor) = self.members.get(identity).cloned() else {
            return Err(CommandError::closed("you are no longer in the meeting"));
        };
        let result = if self.ended {
            Err(CommandError::closed("the meeting is over"))
        } else if word == "resync" {
            self.resync(at, &actor, command)
        } else {
            let feature = word.split_once('.').map_or("", |(feature, _)| feature);
            match self.features.iter().position(|slot| slot.word == feature) {
                Some(place) => self.perform_by(at, place, &actor, command),
                None => parse::known::<ConductCommand>(command).and_then(|command| {
                    let account = self.account(&actor, &command);
                    let result = self.conduct(at, &actor, command);
                    if let Some(account) = account {
                        let refused = result.as_ref().err().map(|error| error.code);
                        self.push(Output::Conducted(Conducted { refused, ..account }));
                    }
                    result.map(|()| json!({}))
                }),
            }
        };
        result.inspect_err(|_| self.stats.commands_refused += 1)
    }

    /// What those who keep account are told of a command, before it is done; `None` for one that changes neither rights nor rules.
    fn account(&self, actor: &Member, command: &ConductCommand) -> Option<Conducted> {
        let waits = |id: &Option<String>| {
            let id = id.as_ref()?;
            self.lobby.seen().find(|place| place.id == *id).map(|place| place.identity.clone())
        };
        let mut ban = false;
        let (word, whom) = match command {
            ConductCommand::SetRole { identity, .. } => ("role.set", Some(identity.clone())),
            ConductCommand::SetRights { identity, .. } => ("rights.set", Some(identity.clone())),
            ConductCommand::Remove { identity, ban: for_good } => {
                ban = *for_good;
                ("remove", Some(identity.clone()))
            }
            ConductCommand::Unban { .. } => ("unban", None),
            ConductCommand::Admit { waiting, .. } => ("lobby.admit", waits(waiting)),
            ConductCommand::Refuse { waiting, .. } => ("lobby.refuse", waits(waiting)),
            ConductCommand::SetPolicy { .. } => ("policy.set", None),
            ConductCommand::End {} => ("end", None),
            ConductCommand::Mute { .. }
            | ConductCommand::AskToUnmute { .. }
            | ConductCommand::Spotlight { .. } => return None,
        };
        Some(Conducted { by: actor.identity.clone(), word, whom, ban, refused: None })
    }

    fn perform_by(
        &mut self,
        at: At,
        place: usize,
        actor: &Member,
        command: Value,
    ) -> Result<Value, CommandError> {
        let Some(word) = self.features.get(place).map(|slot| slot.word) else { return Ok(Value::Null) };
        let (mut command, mut result) = (Some(command), Ok(Value::Null));
        self.with_features(at, |slot, context| {
            if slot.word == word
                && let Some(command) = command.take()
            {
                result = slot.feature.command(context, actor, command);
            }
        });
        result
    }

    /// Sends the whole state once more. It may be large, so that few are to be had at once.
    fn resync(&mut self, at: At, actor: &Member, command: Value) -> Result<Value, CommandError> {
        let OwnCommand::Resync {} = parse::known(command)?;
        let Some(socket) = self.inside.get_mut(&actor.identity).and_then(|inside| inside.socket.as_mut())
        else {
            return Ok(json!({}));
        };
        if !socket.wholes.take(at.now, 1, 3) {
            let many = CommandError::too_many("the whole state can be had once a second, wait a moment");
            return Err(many.at(Bound::Resyncs));
        }
        socket.whole = true;
        self.stale.someone_whole();
        Ok(json!({}))
    }
}

/// What everybody asks for themselves.
#[derive(Deserialize)]
#[serde(tag = "do", deny_unknown_fields)]
enum OwnCommand {
    #[serde(rename = "resync")]
    Resync {},
}

/// Most commands are shorter by far.
const SHORT_BYTES: usize = 512;
