// SPDX-License-Identifier: EUPL-1.2
//! Who wishes to speak, in the order in which they asked.
//!
//! Who is gone for a moment (a page that is loaded anew, a network that changes) keeps the place for as long as the
//! bounds say, and is not shown meanwhile. A viewer's hand is seen by moderators and by the viewer: viewers are counted, not listed.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::refusal::{done, moderators_only};
use super::{Audience, CommandError, Context, Feature, Notice, Want};
use crate::assembly::{Bound, Member, Role};

/// The queue of raised hands.
#[derive(Debug, Default)]
pub struct Hands {
    queue: Vec<Hand>,
}

#[derive(Debug)]
struct Hand {
    identity: String,
    name: String,
    since_ms: u64,
    of_viewer: bool,
    /// Until when the place of one who is not here is kept.
    kept_until: Option<Instant>,
}

/// What is asked of the queue.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "do", deny_unknown_fields)]
pub enum HandCommand {
    /// Asks to speak.
    #[serde(rename = "hand.raise")]
    Raise {
        /// Oneself, if it is said at all.
        identity: Option<String>,
    },
    /// Takes a hand down.
    #[serde(rename = "hand.lower")]
    Lower {
        /// Whose; one's own where it isn't said.
        identity: Option<String>,
    },
    /// Gives somebody the floor.
    #[serde(rename = "hand.call")]
    Call {
        /// To whom.
        identity: String,
    },
}

/// The queue as one person may see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Queue {
    /// Oldest first.
    pub queue: Vec<Raised>,
}

/// One raised hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Raised {
    /// Whose.
    pub identity: String,
    /// Their name: those who moderate see hands of viewers, whom no list names.
    pub name: String,
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
}

impl Hand {
    /// Whose view of the queue has another look by this hand.
    fn audiences(&self) -> Vec<Audience> {
        if !self.of_viewer {
            return vec![Audience::Everyone];
        }
        vec![Audience::Moderators, Audience::These(vec![self.identity.clone()])]
    }
}

impl Hands {
    fn place(&self, identity: &str) -> Option<usize> {
        self.queue.iter().position(|hand| hand.identity == identity)
    }

    fn raise(&mut self, context: &mut Context<'_>, actor: &Member) -> Result<(), CommandError> {
        if self.place(&actor.identity).is_some() {
            return Ok(());
        }
        if self.queue.len() >= context.limits.hands {
            let full = CommandError::too_many("too many hands are raised already, try again in a while");
            return Err(full.at(Bound::Hands));
        }
        let hand = Hand {
            identity: actor.identity.clone(),
            name: actor.name.clone(),
            since_ms: context.unix_ms,
            of_viewer: actor.role == Role::Viewer,
            kept_until: None,
        };
        hand.audiences().into_iter().for_each(|audience| context.changed(audience));
        self.queue.push(hand);
        Ok(())
    }

    /// Takes a hand down, and says whether it was up.
    fn lower(&mut self, context: &mut Context<'_>, identity: &str) -> bool {
        let Some(place) = self.place(identity) else { return false };
        let hand = self.queue.remove(place);
        hand.audiences().into_iter().for_each(|audience| context.changed(audience));
        true
    }
}

impl Feature for Hands {
    type Command = HandCommand;
    type View = Queue;
    const KEY: &'static str = "hands";

    fn entered(&mut self, context: &mut Context<'_>, member: &Member) {
        if let Some(hand) = self.queue.iter_mut().find(|hand| hand.identity == member.identity) {
            hand.kept_until = None;
            self.altered(context, member);
        }
    }

    fn altered(&mut self, context: &mut Context<'_>, member: &Member) {
        let Some(hand) = self.queue.iter_mut().find(|hand| hand.identity == member.identity) else { return };
        let mut audiences = hand.audiences();
        hand.name.clone_from(&member.name);
        hand.of_viewer = member.role == Role::Viewer;
        audiences.extend(hand.audiences());
        audiences.into_iter().for_each(|audience| context.changed(audience));
    }

    fn left(&mut self, context: &mut Context<'_>, identity: &str) {
        let until = context.now + context.limits.hand_kept;
        let Some(hand) = self.queue.iter_mut().find(|hand| hand.identity == identity) else { return };
        hand.kept_until = Some(until);
        hand.audiences().into_iter().for_each(|audience| context.changed(audience));
    }

    fn command(
        &mut self,
        context: &mut Context<'_>,
        actor: &Member,
        command: HandCommand,
    ) -> Result<serde_json::Value, CommandError> {
        match command {
            HandCommand::Raise { identity } => {
                if identity.is_some_and(|identity| identity != actor.identity) {
                    return Err(CommandError::not_allowed("nobody raises the hand of somebody else"));
                }
                self.raise(context, actor)?;
            }
            HandCommand::Lower { identity } => {
                match identity.filter(|identity| *identity != actor.identity) {
                    None => {
                        self.lower(context, &actor.identity);
                    }
                    Some(other) => {
                        moderators_only(actor, "lower the hand of somebody else")?;
                        if !self.lower(context, &other) {
                            return Err(CommandError::not_found("that hand is not raised (any more)"));
                        }
                    }
                }
            }
            HandCommand::Call { identity } => {
                moderators_only(actor, "give the floor")?;
                if !context.members.contains_key(&identity) {
                    return Err(CommandError::not_found("nobody of that identity is in the meeting"));
                }
                self.lower(context, &identity);
                let by = actor.identity.clone();
                context.tell(Audience::These(vec![identity.clone()]), Notice::Called { by: by.clone() });
                context.want(Want::LetSpeak { identity, by });
            }
        }
        done()
    }

    fn view(&self, viewer: &Member) -> Queue {
        let seen = |hand: &&Hand| {
            let listed = !hand.of_viewer || viewer.is_moderator() || hand.identity == viewer.identity;
            hand.kept_until.is_none() && listed
        };
        let raised = |hand: &Hand| Raised {
            identity: hand.identity.clone(),
            name: hand.name.clone(),
            since_ms: hand.since_ms,
        };
        Queue { queue: self.queue.iter().filter(seen).map(raised).collect() }
    }

    fn view_class(&self, viewer: &Member) -> Option<u64> {
        let is_set_apart = |hand: &Hand| hand.of_viewer && hand.identity == viewer.identity;
        match viewer.is_moderator() {
            true => Some(1),
            false => (!self.queue.iter().any(is_set_apart)).then_some(0),
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.queue.iter().filter_map(|hand| hand.kept_until).min()
    }

    fn handle_timeout(&mut self, context: &mut Context<'_>) {
        // They were not in anybody's view: nothing changes.
        self.queue.retain(|hand| hand.kept_until.is_none_or(|until| until > context.now));
    }
}
