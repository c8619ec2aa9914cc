// SPDX-License-Identifier: EUPL-1.2
//! Signs of a fixed list that pass over the screens of all: nothing of them stays. In an encrypted meeting nobody here knows which of
//! them it was: what passes is sealed, and as short as a sealed sign.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Deserialize;

use super::refusal::done;
use super::{Audience, CommandError, Context, Feature, Notice};
use crate::assembly::{Bound, Member};

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
        emoji: Option<String>,
        /// In an encrypted meeting, one of them that only those with its key can read.
        sealed: Option<String>,
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
        let ReactionCommand::Send { emoji, sealed } = command;
        if !context.policy.reactions {
            return Err(CommandError::not_allowed("reactions are turned off in this meeting"));
        }
        match (&emoji, &sealed) {
            (Some(emoji), None) if !context.e2ee => {
                if !EMOJI.contains(&emoji.as_str()) {
                    return Err(CommandError::bad_value(format!(
                        "emoji: one of {} is needed",
                        EMOJI.join(" ")
                    )));
                }
            }
            // Whoever has a key by the link alone seals as well, in a room that nobody made encrypted.
            (None, Some(sealed)) => check_sealed(sealed, context.limits.sealed_reaction_chars)?,
            _ if context.e2ee => {
                return Err(CommandError::bad_value(
                    "sealed: this meeting is encrypted, send the reaction sealed",
                ));
            }
            _ => return Err(CommandError::bad_value("emoji: the reaction is needed, and nothing else")),
        }
        let (began, count) = self.sent.entry(actor.identity.clone()).or_insert((context.now, 0));
        if context.now.saturating_duration_since(*began) >= context.limits.reactions_span {
            (*began, *count) = (context.now, 0);
        }
        if *count >= context.limits.reactions {
            let many = CommandError::too_many("too many reactions at once, wait a moment");
            return Err(many.at(Bound::Reactions));
        }
        *count += 1;
        let identity = actor.identity.clone();
        context.tell(Audience::Everyone, Notice::Reaction { identity, emoji, sealed });
        done()
    }

    fn view(&self, _: &Member) {}
}

/// Whether a text can be a sealed sign: of the form that clients seal in, and no longer than one.
fn check_sealed(sealed: &str, most: usize) -> Result<(), CommandError> {
    let is_sealed = sealed.strip_prefix("e1.").is_some_and(|body| {
        !body.is_empty()
            && body.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    });
    if !is_sealed {
        return Err(CommandError::bad_value("sealed: it is not of the form of a sealed text"));
    }
    if sealed.len() > most {
        let long = format!("sealed: it has {} characters, at most {most} are allowed", sealed.len());
        return Err(CommandError::bad_value(long).at(Bound::SealedReactionChars));
    }
    Ok(())
}

/// The signs there are. Whatever else comes is no reaction, so that nobody sends words or pictures by this way.
pub const EMOJI: [&str; 8] = ["👍", "👏", "❤️", "😂", "😮", "🎉", "🙏", "👎"];
