// SPDX-License-Identifier: EUPL-1.2
//! What people write to all or to one of them. Texts are plain: what a reader could be deceived by is taken out, and whatever
//! looks like a link or like HTML is characters.
//!
//! A private message is for its author and the one it is written to; moderators are no exception. Whether somebody is shown
//! what was written before is decided when they first come in, by the policy of that moment, and stays so: who
//! reloads the page keeps what was seen, and a history that is closed later doesn't vanish from the screens of those who had it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::refusal::{done, over};
use super::{Audience, CommandError, Context, Feature, Want};
use crate::assembly::{Bound, Member, Role};
use crate::text;

/// The messages of a meeting, as many of the newest as the bounds keep.
#[derive(Debug, Default)]
pub struct Chat {
    pub(super) messages: VecDeque<Message>,
    /// What they take, all together.
    pub(super) bytes: usize,
    /// The number of the newest message.
    last: u64,
    /// New or changed since the last patch.
    fresh: BTreeSet<u64>,
    /// Those who wrote or got private messages, and how many of these are kept.
    pub(super) confidants: BTreeMap<String, usize>,
    /// The first message to all that each person is shown.
    pub(super) since: BTreeMap<String, u64>,
}

/// What is asked of the chat.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "do", deny_unknown_fields)]
pub enum ChatCommand {
    /// Writes to all or to one.
    #[serde(rename = "chat.send")]
    Send {
        /// What.
        text: String,
        /// To whom alone.
        to: Option<String>,
        /// The message that it answers.
        reply_to: Option<u64>,
    },
    /// Takes a message back: its words are forgotten, its place stays.
    #[serde(rename = "chat.retract")]
    Retract {
        /// Which.
        message: u64,
    },
}

/// Messages as one person may read them, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Messages {
    /// They.
    pub messages: Vec<Message>,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// Its number: later ones have greater ones.
    pub id: u64,
    /// Who wrote it.
    pub from: String,
    /// Their name when they did.
    pub name: String,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// What; empty once retracted.
    pub text: String,
    /// For whom alone it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// What it answers; that message may be forgotten already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<u64>,
    /// Who took it back, if somebody did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retracted: Option<RetractedBy>,
}

/// Who took a message back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RetractedBy {
    /// Whoever had written it.
    Author,
    /// A moderator.
    Moderator,
}

impl Message {
    fn audience(&self) -> Audience {
        match &self.to {
            None => Audience::Everyone,
            Some(to) => Audience::These(vec![self.from.clone(), to.clone()]),
        }
    }

    fn is_between(&self, one: &str, other: &str) -> bool {
        self.to
            .as_deref()
            .is_some_and(|to| (self.from == one && to == other) || (self.from == other && to == one))
    }

    /// Both who know of it, if no others do.
    fn confidants(&self) -> impl Iterator<Item = &str> {
        self.to.iter().flat_map(|to| [to.as_str(), self.from.as_str()])
    }

    /// What it takes to keep it: its texts, and its numbers.
    pub(super) fn bytes(&self) -> usize {
        let to = self.to.as_ref().map_or(0, String::len);
        size_of::<Message>() + self.from.len() + self.name.len() + self.text.len() + to
    }
}

impl Chat {
    /// Whether `reader` may read the message.
    fn shows(&self, reader: &str, message: &Message) -> bool {
        match &message.to {
            Some(to) => message.from == reader || to == reader,
            None => self.since.get(reader).is_some_and(|since| *since <= message.id),
        }
    }

    /// A message that `reader` may read. One that isn't for them is not there.
    fn find(&self, reader: &str, id: u64) -> Result<usize, CommandError> {
        let place = self.messages.binary_search_by_key(&id, |message| message.id).ok();
        place
            .filter(|place| self.messages.get(*place).is_some_and(|message| self.shows(reader, message)))
            .ok_or_else(|| CommandError::not_found(format!("there is no message {id} for you")))
    }

    fn send(
        &mut self,
        context: &mut Context<'_>,
        actor: &Member,
        (text, to, reply_to): (&str, Option<String>, Option<u64>),
    ) -> Result<u64, CommandError> {
        if !actor.rights.chat {
            return Err(CommandError::not_allowed("you may not write in the chat of this meeting"));
        }
        if let Some(to) = &to {
            if !context.policy.private_chat {
                return Err(CommandError::not_allowed("private messages are turned off in this meeting"));
            }
            if *to == actor.identity {
                return Err(CommandError::bad_value("to: a private message goes to somebody else"));
            }
            if !context.members.contains_key(to) {
                return Err(CommandError::not_found("to: nobody of that identity is in the meeting"));
            }
        }
        let text = text::clean_lines("text", text, context.limits.message_chars)
            .map_err(over(Bound::MessageChars))?;
        if text.is_empty() {
            return Err(CommandError::bad_value("text: the message is empty"));
        }
        if let Some(reply_to) = reply_to {
            let place = self.find(&actor.identity, reply_to)?;
            self.check_reply(place, actor, to.as_deref())?;
        }
        let id = self.last + 1;
        let message = Message {
            id,
            from: actor.identity.clone(),
            name: actor.name.clone(),
            at_ms: context.unix_ms,
            text,
            to,
            reply_to,
            retracted: None,
        };
        self.last = id;
        self.bytes += message.bytes();
        for confidant in message.confidants() {
            *self.confidants.entry(confidant.to_owned()).or_default() += 1;
        }
        self.fresh.insert(id);
        context.changed(message.audience());
        if message.to.is_none() {
            context.want(Want::KeepMessage {
                message: id,
                identity: message.from.clone(),
                name: message.name.clone(),
                text: message.text.clone(),
            });
        }
        self.messages.push_back(message);
        self.forget(context);
        Ok(id)
    }

    /// What answers a private message is as private: else it would tell all that there is one.
    fn check_reply(&self, place: usize, actor: &Member, to: Option<&str>) -> Result<(), CommandError> {
        let Some(answered) = self.messages.get(place) else { return Ok(()) };
        if answered.retracted.is_some() {
            return Err(CommandError::closed("reply_to: that message was taken back"));
        }
        if answered.to.is_some() && !to.is_some_and(|to| answered.is_between(&actor.identity, to)) {
            return Err(CommandError::bad_value(
                "reply_to: that message is private; answer it privately, to the one who shares it with you",
            ));
        }
        Ok(())
    }

    fn retract(&mut self, context: &mut Context<'_>, actor: &Member, id: u64) -> Result<(), CommandError> {
        let place = self.find(&actor.identity, id)?;
        let Some(message) = self.messages.get_mut(place) else { return Ok(()) };
        let by = if message.from == actor.identity {
            RetractedBy::Author
        } else if message.to.is_none() && actor.is_moderator() {
            RetractedBy::Moderator
        } else {
            return Err(CommandError::not_allowed("only its author or a moderator may take a message back"));
        };
        let of_an_owner = context.members.get(&message.from).is_some_and(|author| author.role == Role::Owner);
        if by == RetractedBy::Moderator && of_an_owner && actor.role != Role::Owner {
            return Err(CommandError::not_allowed(
                "a message of the meeting's owner is taken back by an owner only",
            ));
        }
        if message.retracted.is_some() {
            return Ok(());
        }
        self.bytes = self.bytes.saturating_sub(message.text.len());
        message.text = String::new();
        message.retracted = Some(by);
        self.fresh.insert(id);
        context.changed(message.audience());
        if message.to.is_none() {
            context.want(Want::ForgetMessage { message: id });
        }
        Ok(())
    }

    /// Lets go of the oldest messages until the bounds hold. Private ones have a bound of their own: what two people
    /// write to each other doesn't push out what all have read.
    fn forget(&mut self, context: &mut Context<'_>) {
        let private = |message: &Message| message.to.is_some();
        if self.messages.iter().filter(|message| private(message)).count() > context.limits.private_messages {
            let oldest = self.messages.iter().position(private);
            if let Some(message) = oldest.and_then(|place| self.messages.remove(place)) {
                context.hit(Bound::PrivateMessages);
                self.forgotten(&message);
            }
        }
        loop {
            let bound = if self.messages.len() > context.limits.messages {
                Bound::Messages
            } else if self.bytes > context.limits.messages_bytes {
                Bound::MessagesBytes
            } else {
                return;
            };
            let Some(message) = self.messages.pop_front() else { return };
            context.hit(bound);
            self.forgotten(&message);
        }
    }

    fn forgotten(&mut self, message: &Message) {
        self.bytes = self.bytes.saturating_sub(message.bytes());
        self.fresh.remove(&message.id);
        for confidant in message.confidants() {
            if let Some(count) = self.confidants.get_mut(confidant) {
                *count -= 1;
            }
        }
        self.confidants.retain(|_, count| *count > 0);
    }

    fn messages_for(&self, viewer: &Member, wanted: impl Fn(&Message) -> bool) -> Messages {
        let shown = |message: &&Message| wanted(message) && self.shows(&viewer.identity, message);
        Messages { messages: self.messages.iter().filter(shown).cloned().collect() }
    }
}

impl Feature for Chat {
    type Command = ChatCommand;
    type View = Messages;
    const KEY: &'static str = "chat";

    fn entered(&mut self, context: &mut Context<'_>, member: &Member) {
        let first = if context.policy.chat_history { 0 } else { self.last + 1 };
        self.since.entry(member.identity.clone()).or_insert(first);
        // Who has gone is remembered for as long as there is place, those longest whose view began last.
        while self.since.len() > context.limits.people_remembered.max(context.members.len()) {
            let gone = self.since.iter().filter(|(identity, _)| {
                **identity != member.identity && !context.members.contains_key(*identity)
            });
            let Some(gone) = gone.min_by_key(|(_, since)| **since).map(|(identity, _)| identity.clone())
            else {
                return;
            };
            self.since.remove(&gone);
        }
    }

    fn command(
        &mut self,
        context: &mut Context<'_>,
        actor: &Member,
        command: ChatCommand,
    ) -> Result<serde_json::Value, CommandError> {
        match command {
            ChatCommand::Send { text, to, reply_to } => {
                self.send(context, actor, (&text, to, reply_to)).map(|id| json!({ "id": id }))
            }
            ChatCommand::Retract { message } => {
                self.retract(context, actor, message)?;
                done()
            }
        }
    }

    fn view(&self, viewer: &Member) -> Messages {
        self.messages_for(viewer, |_| true)
    }

    fn patch(&self, viewer: &Member) -> Messages {
        self.messages_for(viewer, |message| self.fresh.contains(&message.id))
    }

    fn view_class(&self, viewer: &Member) -> Option<u64> {
        let since = self.since.get(&viewer.identity).copied().unwrap_or(u64::MAX);
        let first = self.messages.front().map_or(0, |message| message.id);
        (!self.confidants.contains_key(&viewer.identity)).then_some(since.max(first))
    }

    fn patched(&mut self) {
        self.fresh.clear();
    }
}
