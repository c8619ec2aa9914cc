// SPDX-License-Identifier: EUPL-1.2
//! Those who see and hear and are counted, not listed: a moderator looks for one of them by name, a page at a time. What is
//! done then is done by the commands for everybody: `hand.call` calls on stage, `remove` removes.

use serde::Deserialize;
use serde_json::json;

use super::refusal::{moderators_only, over};
use super::{CommandError, Context, Feature};
use crate::assembly::{Bound, Member, Role};
use crate::text;

/// The search among viewers. It keeps nothing.
#[derive(Debug, Default)]
pub struct Viewers;

/// What is asked of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "do", deny_unknown_fields)]
pub enum ViewerCommand {
    /// Those whose name has that in it.
    #[serde(rename = "viewers.find")]
    Find {
        /// Part of a name, in whatever case; all of them where it isn't said.
        text: Option<String>,
        /// How many of them to leave out, from the first: those of the pages before.
        skip: Option<usize>,
    },
}

impl Feature for Viewers {
    type Command = ViewerCommand;
    type View = ();
    const KEY: &'static str = "viewers";

    fn command(
        &mut self,
        context: &mut Context<'_>,
        actor: &Member,
        command: ViewerCommand,
    ) -> Result<serde_json::Value, CommandError> {
        let ViewerCommand::Find { text, skip } = command;
        moderators_only(actor, "look for viewers")?;
        let limits = context.limits;
        let wanted = text::clean("text", text.as_deref().unwrap_or_default(), limits.name_chars)
            .map_err(over(Bound::SearchChars))?;
        let wanted = wanted.trim().to_lowercase();
        let viewers = context.members.values().filter(|member| member.role == Role::Viewer);
        let named = viewers.map(|member| (member.name.to_lowercase(), member));
        let mut found: Vec<(String, &Member)> = named.filter(|(name, _)| name.contains(&wanted)).collect();
        found.sort_by(|(one, a), (other, b)| (one, &a.identity).cmp(&(other, &b.identity)));
        let skip = skip.unwrap_or_default();
        let page = found.iter().skip(skip).take(limits.viewers_page);
        let people: Vec<_> =
            page.map(|(_, member)| json!({ "identity": member.identity, "name": member.name })).collect();
        let next = skip.saturating_add(people.len());
        let next = (!people.is_empty() && next < found.len()).then_some(next);
        Ok(json!({ "people": people, "total": found.len(), "next": next }))
    }

    fn view(&self, _: &Member) {}
}
