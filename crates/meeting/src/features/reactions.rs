// SPDX-License-Identifier: EUPL-1.2
//! Signs of a fixed list that pass over the screens of all: nothing of them stays.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Deserialize;

use super::refusal::done;
use super::{Audience, CommandError, Context, Feature, Notice};
use crate::assembly::Member;

/// How quickly people react.
#[derive(Debug, Default)]
pub struct Reactions {
    /// Of each who is here: when the current span began, and how many there were in it.
    pub(super) sent: BTreeMap<String, (Instant, usize)>,
}

/// What can be sent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "do", deny_unknown_fields)]
pub enum ReactionCommand {
    /// Reacts.
    #[serde(rename = "reaction.send")]
    Send {
        /// One of [`EMOJI`].
        emoji: String,
    },
}

impl Feature for Reactions {
    type Command = ReactionCommand;
    type View = ();
    const KEY: &'static str = "reactions";

    fn left(&mut self, _: &mut Context<'_>, identity: &str) {
        self.sent.remove(identity);
    }

    fn command(
        &mut self,
        context: &mut Context<'_>,
        actor: &Member,
        command: ReactionCommand,
    ) -> Result<serde_json::Value, CommandError> {
        let ReactionCommand::Send { emoji } = command;
        if !context.policy.reactions {
            return Err(CommandError::not_allowed("reactions are turned off in this meeting"));
        }
        if !EMOJI.contains(&emoji.as_str()) {
            return Err(CommandError::bad_value(format!("emoji: one of {} is needed", EMOJI.join(" "))));
        }
        let (began, count) = self.sent.entry(actor.identity.clone()).or_insert((context.now, 0));
        if context.now.saturating_duration_since(*began) >= context.limits.reactions_span {
            (*began, *count) = (context.now, 0);
        }
        if *count >= context.limits.reactions {
            return Err(CommandError::too_many("too many reactions at once, wait a moment"));
        }
        *count += 1;
        context.tell(Audience::Everyone, Notice::Reaction { identity: actor.identity.clone(), emoji });
        done()
    }

    fn view(&self, _: &Member) {}
}

/// The signs there are. Whatever else comes is no reaction, so that nobody sends words or pictures by this way.
pub const EMOJI: [&str; 8] = ["👍", "👏", "❤️", "😂", "😮", "🎉", "🙏", "👎"];
