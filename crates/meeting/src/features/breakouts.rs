// SPDX-License-Identifier: EUPL-1.2
//! Small rooms beside the meeting, for a while: moderators assign people, move them, speak to all rooms, and bring everybody
//! back, or a timer does.
//!
//! An assignment lasts until the rooms are closed or a moderator changes it: whoever comes back in between is sent to their room
//! again. Rooms are told apart by texts that never come twice, so that what was said for one that is closed reaches no later one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::broadcasts::Broadcasts;
use super::refusal::{done, moderators_only, over};
use super::{Audience, CommandError, Context, Feature, Notice, Want};
use crate::assembly::{AssemblyLimits, Bound, Member, Role};
use crate::text;

/// The rooms beside the meeting.
#[derive(Debug, Default)]
pub struct Breakouts {
    open: Option<Open>,
    /// How many there have been in all.
    last: u64,
    /// What was said to all of them.
    broadcasts: Broadcasts,
}

#[derive(Debug)]
struct Open {
    rooms: Vec<BreakoutRoom>,
    /// Who belongs where, by the room's id.
    assigned: BTreeMap<String, String>,
    /// Those of them who have left: they are not shown.
    gone: BTreeSet<String>,
    /// By what names they are known: in the meeting itself nobody sees them meanwhile.
    names: BTreeMap<String, String>,
    /// When they are closed: for us, and for people.
    ends: Option<(Instant, u64)>,
}

#[derive(Debug)]
struct BreakoutRoom {
    id: String,
    name: String,
    help: bool,
}

/// What is asked of them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "do", deny_unknown_fields)]
pub enum BreakoutCommand {
    /// Opens rooms and sends people there.
    #[serde(rename = "breakout.open")]
    Open {
        /// They, and who goes there.
        rooms: Vec<NewRoom>,
        /// After how many minutes they are closed; never by themselves where it isn't said.
        minutes: Option<u64>,
    },
    /// Sends somebody to a room, or back.
    #[serde(rename = "breakout.move")]
    Move {
        /// Whom.
        identity: String,
        /// Where to; null is back. It must be said, lest a slip of the pen fetch somebody back.
        #[serde(deserialize_with = "Option::deserialize")]
        room: Option<String>,
    },
    /// Speaks to all, wherever they are.
    #[serde(rename = "breakout.broadcast")]
    Broadcast {
        /// What.
        text: String,
    },
    /// Calls a moderator into one's room.
    #[serde(rename = "breakout.help")]
    Help {},
    /// Closes all rooms and brings everybody back.
    #[serde(rename = "breakout.close")]
    Close {},
}

/// A room to be opened.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewRoom {
    /// What it is called.
    pub name: String,
    /// The identities of those who go there.
    pub members: Vec<String>,
}

/// The rooms as one person may see them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BreakoutsView {
    /// They, as they were ordered when opened.
    pub rooms: Vec<BreakoutView>,
    /// When they are closed, in milliseconds since 1970.
    pub ends_ms: Option<u64>,
    /// Where the receiver belongs.
    pub mine: Option<String>,
}

/// One room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BreakoutView {
    /// Its id.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// The identities of those who belong there.
    pub members: Vec<String>,
    /// Their names, for whoever is elsewhere and does not see them.
    pub names: BTreeMap<String, String>,
    /// Whether they wait for a moderator.
    pub help: bool,
}

impl Open {
    fn room_mut(&mut self, id: &str) -> Option<&mut BreakoutRoom> {
        self.rooms.iter_mut().find(|room| room.id == id)
    }
}

impl Breakouts {
    fn current(&mut self) -> Result<&mut Open, CommandError> {
        self.open.as_mut().ok_or_else(|| CommandError::closed("there are no breakout rooms now"))
    }

    fn open(
        &mut self,
        context: &mut Context<'_>,
        rooms: &[NewRoom],
        minutes: Option<u64>,
    ) -> Result<(), CommandError> {
        if self.open.is_some() {
            return Err(CommandError::bad_value("breakout rooms are open already, close them first"));
        }
        let ends = minutes.map(|minutes| end(context, minutes)).transpose()?;
        let most = context.limits.breakouts;
        if !(1..=most).contains(&rooms.len()) {
            let wrong =
                CommandError::bad_value(format!("rooms: 1 to {most} are needed, {} came", rooms.len()));
            return Err(if rooms.len() > most { wrong.at(Bound::Breakouts) } else { wrong });
        }
        let mut opened = Open {
            rooms: Vec::new(),
            assigned: BTreeMap::new(),
            gone: BTreeSet::new(),
            names: BTreeMap::new(),
            ends,
        };
        for (place, room) in rooms.iter().enumerate() {
            let name = room_name(context.limits, place, &room.name)?;
            let id = format!("b{}", self.last + 1 + place as u64);
            for identity in &room.members {
                let name = assignable(context, identity)?;
                opened.names.insert(identity.clone(), name);
                if opened.assigned.insert(identity.clone(), id.clone()).is_some() {
                    return Err(CommandError::bad_value(format!(
                        "rooms[{place}]: {identity:?} is assigned twice"
                    )));
                }
            }
            opened.rooms.push(BreakoutRoom { id, name, help: false });
        }
        if opened.assigned.len() > context.limits.breakout_people {
            return Err(too_many_people());
        }
        self.last += rooms.len() as u64;
        for (identity, room) in &opened.assigned {
            context.want(Want::Move { identity: identity.clone(), breakout: Some(room.clone()) });
        }
        self.open = Some(opened);
        Ok(())
    }

    fn place(
        &mut self,
        context: &mut Context<'_>,
        identity: String,
        room: Option<String>,
    ) -> Result<(), CommandError> {
        let by_moderator = context.members.get(&identity).is_some_and(Member::is_moderator);
        let open = self.current()?;
        match &room {
            Some(id) => {
                let name = assignable(context, &identity)?;
                if !open.assigned.contains_key(&identity)
                    && open.assigned.len() >= context.limits.breakout_people
                {
                    return Err(too_many_people());
                }
                let Some(room) = open.room_mut(id) else {
                    return Err(CommandError::not_found("room: there is no such breakout room (any more)"));
                };
                // The help has come.
                room.help &= !by_moderator;
                open.names.insert(identity.clone(), name);
                if open.assigned.insert(identity.clone(), id.clone()).as_ref() == Some(id) {
                    return Ok(());
                }
            }
            None => {
                open.gone.remove(&identity);
                open.names.remove(&identity);
                if open.assigned.remove(&identity).is_none() {
                    return Err(CommandError::not_found(
                        "identity: nobody of that identity is in a breakout room",
                    ));
                }
            }
        }
        context.want(Want::Move { identity, breakout: room });
        Ok(())
    }

    fn help(&mut self, context: &mut Context<'_>, actor: &Member) -> Result<(), CommandError> {
        let open = self.current()?;
        let mine = open.assigned.get(&actor.identity).cloned();
        let Some(room) = mine.as_deref().and_then(|id| open.room_mut(id)) else {
            return Err(CommandError::not_allowed(
                "you are in no breakout room; those who conduct the meeting are here",
            ));
        };
        // Who asks again while the others are on their way disturbs nobody.
        if !room.help {
            room.help = true;
            let (room, identity) = (room.id.clone(), actor.identity.clone());
            context.tell(Audience::Moderators, Notice::Help { room, identity });
            context.changed(Audience::Everyone);
        }
        Ok(())
    }

    fn close(&mut self, context: &mut Context<'_>) {
        let Some(open) = self.open.take() else { return };
        for identity in open.assigned.into_keys() {
            context.want(Want::Move { identity, breakout: None });
        }
        for room in open.rooms {
            context.want(Want::CloseBreakout { breakout: room.id });
        }
        self.broadcasts.forget();
        context.changed(Audience::Everyone);
    }
}

impl Feature for Breakouts {
    type Command = BreakoutCommand;
    type View = Option<BreakoutsView>;
    const KEY: &'static str = "breakouts";

    fn entered(&mut self, context: &mut Context<'_>, member: &Member) {
        let Some(open) = &mut self.open else { return };
        let Some(mine) = open.assigned.get(&member.identity).cloned() else { return };
        open.names.insert(member.identity.clone(), member.name.clone());
        if open.gone.remove(&member.identity) {
            context.changed(Audience::Everyone);
        }
        if member.role == Role::Viewer {
            return self.altered(context, member);
        }
        context.want(Want::Move { identity: member.identity.clone(), breakout: Some(mine) });
    }

    fn connected(&mut self, context: &mut Context<'_>, member: &Member) {
        let placed = self.open.as_ref().is_some_and(|open| open.assigned.contains_key(&member.identity));
        self.broadcasts.tell_again(context, member, placed);
    }

    fn left(&mut self, context: &mut Context<'_>, identity: &str) {
        let Some(open) = &mut self.open else { return };
        if open.assigned.contains_key(identity) {
            open.gone.insert(identity.to_owned());
            context.changed(Audience::Everyone);
        }
    }

    fn altered(&mut self, context: &mut Context<'_>, member: &Member) {
        let Some(open) = &mut self.open else { return };
        if !open.assigned.contains_key(&member.identity) {
            return;
        }
        if member.role == Role::Viewer {
            open.assigned.remove(&member.identity);
            open.names.remove(&member.identity);
            context.want(Want::Move { identity: member.identity.clone(), breakout: None });
            context.changed(Audience::Everyone);
        } else if open.names.get(&member.identity) != Some(&member.name) {
            open.names.insert(member.identity.clone(), member.name.clone());
            context.changed(Audience::Everyone);
        }
    }

    fn command(
        &mut self,
        context: &mut Context<'_>,
        actor: &Member,
        command: BreakoutCommand,
    ) -> Result<serde_json::Value, CommandError> {
        match command {
            BreakoutCommand::Open { rooms, minutes } => {
                moderators_only(actor, "open breakout rooms")?;
                self.open(context, &rooms, minutes)?;
                context.changed(Audience::Everyone);
            }
            BreakoutCommand::Move { identity, room } => {
                moderators_only(actor, "send people to breakout rooms")?;
                self.place(context, identity, room)?;
                context.changed(Audience::Everyone);
            }
            BreakoutCommand::Broadcast { text } => {
                moderators_only(actor, "speak to all breakout rooms")?;
                self.current()?;
                self.broadcasts.say(context, actor, &text)?;
            }
            BreakoutCommand::Help {} => self.help(context, actor)?,
            BreakoutCommand::Close {} => {
                moderators_only(actor, "close the breakout rooms")?;
                self.current()?;
                self.close(context);
            }
        }
        done()
    }

    fn view(&self, viewer: &Member) -> Option<BreakoutsView> {
        let open = self.open.as_ref()?;
        let view = |room: &BreakoutRoom| {
            let there = open.assigned.iter().filter(|(who, id)| **id == room.id && !open.gone.contains(*who));
            let members: Vec<String> = there.map(|(identity, _)| identity.clone()).collect();
            let named = members.iter().filter_map(|who| Some((who.clone(), open.names.get(who)?.clone())));
            let names = named.collect();
            BreakoutView { id: room.id.clone(), name: room.name.clone(), members, names, help: room.help }
        };
        Some(BreakoutsView {
            rooms: open.rooms.iter().map(view).collect(),
            ends_ms: open.ends.map(|(_, ends_ms)| ends_ms),
            mine: open.assigned.get(&viewer.identity).cloned(),
        })
    }

    fn view_class(&self, viewer: &Member) -> Option<u64> {
        let Some(open) = &self.open else { return Some(0) };
        let Some(mine) = open.assigned.get(&viewer.identity) else { return Some(0) };
        open.rooms.iter().zip(1..).find(|(room, _)| room.id == *mine).map(|(_, class)| class)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.open.as_ref()?.ends.map(|(at, _)| at)
    }

    fn handle_timeout(&mut self, context: &mut Context<'_>) {
        if self.poll_timeout().is_some_and(|at| at <= context.now) {
            self.close(context);
        }
    }
}

fn end(context: &Context<'_>, minutes: u64) -> Result<(Instant, u64), CommandError> {
    let most = context.limits.breakout_minutes;
    if !(1..=most).contains(&minutes) {
        let wrong = CommandError::bad_value(format!("minutes: 1 to {most} are possible, {minutes} came"));
        return Err(if minutes > most { wrong.at(Bound::BreakoutMinutes) } else { wrong });
    }
    let time = Duration::from_secs(60 * minutes);
    Ok((context.now + time, context.unix_ms.saturating_add(60_000 * minutes)))
}

fn room_name(limits: &AssemblyLimits, place: usize, name: &str) -> Result<String, CommandError> {
    let name = text::clean("a breakout room's name", name, limits.breakout_name_chars)
        .map_err(over(Bound::BreakoutNameChars))?
        .trim()
        .to_owned();
    if name.is_empty() {
        return Err(CommandError::bad_value(format!("rooms[{place}].name: it is empty")));
    }
    Ok(name)
}

/// Viewers stay: they are counted and not listed, and in a small room they would be neither.
fn assignable(context: &Context<'_>, identity: &str) -> Result<String, CommandError> {
    match context.members.get(identity) {
        None => {
            Err(CommandError::not_found(format!("nobody of the identity {identity:?} is in the meeting")))
        }
        Some(member) if member.role == Role::Viewer => Err(CommandError::bad_value(format!(
            "{:?} is a viewer; make a speaker of them first, or leave them in the meeting",
            member.name
        ))),
        Some(member) => Ok(member.name.clone()),
    }
}

fn too_many_people() -> CommandError {
    CommandError::too_many("too many people are in breakout rooms, leave some in the meeting")
        .at(Bound::BreakoutPeople)
}
