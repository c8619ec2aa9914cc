// SPDX-License-Identifier: EUPL-1.2
//! What moderators say to all breakout rooms, kept for as long as these are open: whoever is on the way from one room to another just then
//! has no socket, and would never hear it.
//!
//! What was said is told again to whoever connects. Whether it has reached somebody only their client knows, which tells it by its time from
//! what it has shown already: no two have the same.

use std::collections::VecDeque;

use super::refusal::over;
use super::{Audience, CommandError, Context, Notice};
use crate::assembly::{Bound, Member};
use crate::text;

/// The last of what was said, oldest first.
#[derive(Debug, Default)]
pub(super) struct Broadcasts {
    kept: VecDeque<Broadcast>,
    /// When something was last said, in milliseconds since 1970; also in rooms that are closed.
    last_ms: u64,
}

#[derive(Debug, Clone)]
struct Broadcast {
    text: String,
    by: String,
    /// By what name: in another room nobody sees who it is.
    name: String,
    at_ms: u64,
}

impl Broadcast {
    fn notice(&self) -> Notice {
        let Broadcast { text, by, name, at_ms } = self.clone();
        Notice::Broadcast { text, by, name, at_ms }
    }
}

impl Broadcasts {
    /// Says something to all, and keeps it.
    pub(super) fn say(
        &mut self,
        context: &mut Context<'_>,
        actor: &Member,
        text: &str,
    ) -> Result<(), CommandError> {
        let text = text::clean_lines("text", text, context.limits.message_chars)
            .map_err(over(Bound::MessageChars))?;
        if text.is_empty() {
            return Err(CommandError::bad_value("text: it is empty"));
        }
        self.last_ms = context.unix_ms.max(self.last_ms + 1);
        let (by, name) = (actor.identity.clone(), actor.name.clone());
        let said = Broadcast { text, by, name, at_ms: self.last_ms };
        context.tell(Audience::Everyone, said.notice());
        self.kept.push_back(said);
        while self.kept.len() > context.limits.broadcasts {
            self.kept.pop_front();
            context.hit(Bound::Broadcasts);
        }
        Ok(())
    }

    /// Tells somebody again what others said while they were in the meeting; whose place is in one of the rooms hears it all.
    pub(super) fn tell_again(&self, context: &mut Context<'_>, member: &Member, placed: bool) {
        let heard =
            |said: &&Broadcast| said.by != member.identity && (placed || member.joined_ms <= said.at_ms);
        for said in self.kept.iter().filter(heard) {
            context.tell(Audience::These(vec![member.identity.clone()]), said.notice());
        }
    }

    /// The rooms are closed: what was said there is over.
    pub(super) fn forget(&mut self) {
        self.kept.clear();
    }
}
