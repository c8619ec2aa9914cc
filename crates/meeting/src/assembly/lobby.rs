// SPDX-License-Identifier: EUPL-1.2
//! The door, and those who wait before it. Nothing that happens inside is told to them but that they may come in, or may not.

use std::time::Instant;

use serde::Deserialize;
use serde_json::json;

use super::member::Pace;
use super::parse::{self, Parsed};
use super::{
    Assembly, AssemblyLimits, At, Bound, Entry, Knock, Output, Password, Refused, Role, Source, TurnedAway,
    WaitReason, WaitingId, presence, state,
};
use crate::features::{Audience, CommandError, Notice, over};
use crate::text;

/// Those who wait, longest first.
#[derive(Debug, Default)]
pub(super) struct Lobby {
    places: Vec<Place>,
}

/// One place in the lobby.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) waiting: WaitingId,
    /// By what moderators know it.
    pub(super) id: String,
    pub(super) identity: String,
    pub(super) name: String,
    pub(super) since_ms: u64,
    pub(super) reason: WaitReason,
    /// What they have said of themselves.
    pub(super) note: String,
    notes: Pace,
    seat: String,
    address: Option<String>,
    vouched: Option<Role>,
    /// Whether anybody is known to wait there: a knock alone is not shown to moderators.
    seen: bool,
    /// Until when it is kept without a socket.
    until: Option<Instant>,
}

impl Place {
    /// Whether it is of the same browser, whatever name it says now.
    fn is_of(&self, knock: &Knock) -> bool {
        self.identity == knock.identity && self.seat == knock.seat
    }

    /// Whether moderators see it.
    pub(super) fn is_seen(&self) -> bool {
        self.seen
    }
}

impl Lobby {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.places.iter().filter_map(|place| place.until).min()
    }

    /// Those whom moderators see.
    pub(super) fn seen(&self) -> impl Iterator<Item = &Place> {
        self.places.iter().filter(|place| place.is_seen())
    }

    fn find(&mut self, waiting: &WaitingId) -> Option<&mut Place> {
        self.places.iter_mut().find(|place| place.waiting == *waiting)
    }

    fn take_where(&mut self, wanted: impl Fn(&Place) -> bool) -> Option<Place> {
        let place = self.places.iter().position(wanted)?;
        Some(self.places.remove(place))
    }

    /// Which bound is in the way of one more place, of that address.
    fn full_for(&self, address: Option<&str>, limits: &AssemblyLimits) -> Option<Bound> {
        let same =
            self.places.iter().filter(|place| address.is_some() && place.address.as_deref() == address);
        if self.places.len() >= limits.waiting {
            return Some(Bound::Waiting);
        }
        (same.count() >= limits.waiting_per_address).then_some(Bound::WaitingPerAddress)
    }
}

impl Assembly {
    /// Somebody wants to come in. Whoever is let in is told so by the caller, and is inside from [`Assembly::entered`].
    pub fn knock(&mut self, now: Instant, unix_ms: u64, knock: Knock) -> Result<Entry, Refused> {
        let at = self.at(now, unix_ms);
        self.stats.knocks += 1;
        let entry = self.judge(at, &knock).inspect_err(|refused| {
            self.count_refused(*refused);
            if *refused == Refused::Full {
                self.stats.bounds.hit(Bound::People);
            }
        })?;
        match entry {
            Entry::In { .. } => self.let_in(at, &knock),
            Entry::Wait { reason } => self.let_wait(at, knock, reason)?,
        }
        Ok(entry)
    }

    /// Whether somebody may enter by a token that was made some time ago, past a door that may have been closed since.
    /// `vouched` is what an application says that made the token; nothing for one of the door's.
    pub fn may_enter(&self, now: Instant, identity: &str, vouched: Option<Role>) -> bool {
        let at = At { now, unix_ms: 0 };
        let knock = Knock {
            waiting: WaitingId(String::new()),
            identity: identity.to_owned(),
            name: String::new(),
            seat: String::new(),
            address: None,
            host: false,
            password: Password::None,
            vouched,
        };
        matches!(self.judge(at, &knock), Ok(Entry::In { .. }))
    }

    fn judge(&self, at: At, knock: &Knock) -> Result<Entry, Refused> {
        if self.ended {
            return Err(Refused::Ended);
        }
        if knock.host {
            return Ok(Entry::In { role: Role::Owner });
        }
        let seat = knock.seat();
        if self.bans.iter().any(|ban| ban.is_of(&knock.identity, seat)) {
            return Err(Refused::Banned);
        }
        let standing = self.standings.at(&knock.identity, seat);
        let welcome =
            standing.and_then(|standing| standing.welcome_until).is_some_and(|until| until > at.now);
        let is_inside = standing.is_some() && self.members.contains_key(&knock.identity);
        let back = welcome || is_inside;
        let came_as = standing.and_then(|standing| standing.came_as).filter(|_| back);
        let decided = standing.and_then(|standing| standing.role).or(knock.vouched).or(came_as);
        let role = decided.unwrap_or(self.policy.default_role);
        // Whoever conducts is past all but a full house, and so is who was inside a moment ago.
        let free = role.is_moderator() || back;
        if !free {
            if self.policy.locked {
                return Err(Refused::Locked);
            }
            if self.policy.password && knock.vouched.is_none() {
                match knock.password {
                    Password::None => return Err(Refused::PasswordNeeded),
                    Password::Wrong => return Err(Refused::PasswordWrong),
                    Password::Right => {}
                }
            }
        }
        if self.is_full() && !is_inside {
            return Err(Refused::Full);
        }
        if free {
            return Ok(Entry::In { role });
        }
        match self.wait_reason(knock.address.as_deref(), knock.vouched) {
            Some(reason) => Ok(Entry::Wait { reason }),
            None => Ok(Entry::In { role }),
        }
    }

    /// For what somebody who may come in has to wait all the same.
    fn wait_reason(&self, address: Option<&str>, vouched: Option<Role>) -> Option<WaitReason> {
        let banned = address.is_some() && self.bans.iter().any(|ban| ban.address.as_deref() == address);
        if banned && vouched.is_none() {
            return Some(WaitReason::BannedAddress);
        }
        if self.policy.opens_with_host && !self.is_conducted() {
            return Some(WaitReason::Host);
        }
        (self.policy.lobby && vouched.is_none()).then_some(WaitReason::Lobby)
    }

    fn is_full(&self) -> bool {
        self.members.len() >= self.limits.people
    }

    fn count_refused(&mut self, refused: Refused) {
        match refused {
            Refused::PasswordNeeded | Refused::PasswordWrong => self.stats.refused_password += 1,
            Refused::Locked => self.stats.refused_locked += 1,
            Refused::Banned => self.stats.refused_banned += 1,
            Refused::Full => self.stats.refused_full += 1,
            Refused::Ended => {}
        }
    }

    fn let_in(&mut self, at: At, knock: &Knock) {
        let standing = self.standings.open(&knock.identity, knock.seat());
        standing.address.clone_from(&knock.address);
        standing.welcome_until = Some(at.now + self.limits.return_window);
        if knock.host {
            standing.role = Some(Role::Owner);
            standing.conducted = true;
            // Whose room it is can't be shut out of it.
            self.bans.retain(|ban| !ban.is_of(&knock.identity, knock.seat()));
            self.stale.members();
            self.push(Output::Changed);
        }
        if let Some(place) = self.lobby.take_where(|place| place.is_of(knock)) {
            self.turn_away(place, TurnedAway::Replaced);
        }
        self.forget_some();
    }

    fn let_wait(&mut self, at: At, knock: Knock, reason: WaitReason) -> Result<(), Refused> {
        let same = self.lobby.places.iter().position(|place| place.is_of(&knock));
        let full = self.lobby.full_for(knock.address.as_deref(), &self.limits);
        if let Some(bound) = full.filter(|_| same.is_none()) {
            self.count_refused(Refused::Full);
            self.stats.bounds.hit(bound);
            return Err(Refused::Full);
        }
        self.stats.told_to_wait += 1;
        // A page that was loaded anew waits on in its old place.
        let mut before = same.map(|same| self.lobby.places.remove(same));
        let (id, since_ms, seen) = match &before {
            Some(place) => (place.id.clone(), place.since_ms, place.seen),
            None => (self.next_number(), at.unix_ms, false),
        };
        let kept =
            before.as_mut().map(|place| (std::mem::take(&mut place.note), std::mem::take(&mut place.notes)));
        let (note, notes) = kept.unwrap_or_default();
        let place = Place {
            waiting: knock.waiting,
            id,
            identity: knock.identity,
            name: presence::displayed(&knock.name, self.limits.name_chars),
            since_ms,
            reason,
            note,
            notes,
            seat: knock.seat,
            address: knock.address,
            vouched: knock.vouched,
            seen,
            until: Some(at.now + self.limits.waiting_kept),
        };
        self.lobby.places.insert(same.unwrap_or(self.lobby.places.len()), place);
        if let Some(before) = before {
            self.turn_away(before, TurnedAway::Replaced);
        }
        Ok(())
    }

    /// Somebody outside is connected.
    pub fn waiting_connected(&mut self, now: Instant, waiting: &WaitingId) {
        let at = self.at_now(now);
        let Some(place) = self.lobby.find(waiting) else { return };
        place.until = None;
        if !std::mem::replace(&mut place.seen, true) {
            let notice = Notice::Knock { id: place.id.clone(), name: place.name.clone() };
            self.tell(at, &Audience::Moderators, &notice);
            self.stale.lobby();
        }
    }

    /// Somebody outside says something. Gives the answer; `None` for what nobody says who waits.
    pub fn waiting_said(&mut self, now: Instant, waiting: &WaitingId, text: &str) -> Option<String> {
        self.at_now(now);
        if text.len() > self.limits.command_bytes {
            self.stats.bounds.hit(Bound::CommandBytes);
            return None;
        }
        let Parsed { id, command, .. } = parse::parse(text).ok()?;
        let OutsideCommand::Note { text } = parse::known(command).ok()?;
        let result = self.take_note(now, waiting, &text);
        if let Some(bound) = result.as_ref().err().and_then(|error| error.bound) {
            self.stats.bounds.hit(bound);
        }
        Some(state::answer(id, &result.map(|()| json!({}))))
    }

    /// What somebody outside says of themselves, for those who let people in.
    fn take_note(&mut self, now: Instant, waiting: &WaitingId, text: &str) -> Result<(), CommandError> {
        let note = text::clean("text", text, self.limits.note_chars).map_err(over(Bound::NoteChars))?;
        let Some(place) = self.lobby.find(waiting) else {
            return Err(CommandError::closed("you don't wait here any more"));
        };
        if !place.notes.take(now, 1, NOTES_AT_ONCE) {
            return Err(CommandError::too_many("too many notes at once, wait a moment").at(Bound::Notes));
        }
        note.trim().clone_into(&mut place.note);
        self.stale.lobby();
        Ok(())
    }

    /// Somebody outside has gone; for a while, perhaps.
    pub fn waiting_disconnected(&mut self, now: Instant, waiting: &WaitingId) {
        self.at_now(now);
        let until = now + self.limits.waiting_kept;
        if let Some(place) = self.lobby.find(waiting) {
            place.until = Some(until);
        }
    }

    pub(super) fn expire_waiting(&mut self, at: At) {
        let due = |place: &Place| place.until.is_some_and(|until| until <= at.now);
        while let Some(place) = self.lobby.take_where(due) {
            self.stats.waiting_expired += 1;
            self.turn_away(place, TurnedAway::Expired);
        }
    }

    /// Lets those in, or on to what else they wait for, who wait for something that holds no longer.
    pub(super) fn reconsider_waiting(&mut self, at: At) {
        if self.policy.locked {
            return;
        }
        let mut admitted = Vec::new();
        for place in 0..self.lobby.places.len() {
            let Some(waits) = self.lobby.places.get(place) else { break };
            let (before, waiting) = (waits.reason, waits.waiting.clone());
            match self.wait_reason(waits.address.as_deref(), waits.vouched) {
                None => admitted.push(waiting),
                Some(reason) if reason != before => {
                    if let Some(waits) = self.lobby.places.get_mut(place) {
                        waits.reason = reason;
                    }
                    self.push(Output::Waits { waiting, reason });
                }
                Some(_) => {}
            }
        }
        for waiting in admitted {
            self.admit_where(at, |place| place.waiting == waiting);
        }
    }

    /// Lets one in of those who wait. Says whether there was one, and a place inside.
    pub(super) fn admit_where(&mut self, at: At, wanted: impl Fn(&Place) -> bool) -> Admittance {
        if self.is_full() {
            return Admittance::Full;
        }
        let Some(place) = self.lobby.take_where(wanted) else { return Admittance::Nobody };
        let default = self.policy.default_role;
        let seat = Some(place.seat.as_str()).filter(|seat| !seat.is_empty());
        let standing = self.standings.open(&place.identity, seat);
        standing.address = place.address;
        standing.welcome_until = Some(at.now + self.limits.return_window);
        if standing.role.is_none() && standing.came_as.is_none() {
            standing.came_as = Some(place.vouched.unwrap_or(default));
        }
        let role = standing.own_role(default);
        self.forget_some();
        self.stale.lobby();
        self.push(Output::Admitted { waiting: place.waiting, role });
        Admittance::In
    }

    /// Sends one away of those who wait. Says whether there was one.
    pub(super) fn refuse_where(&mut self, why: TurnedAway, wanted: impl Fn(&Place) -> bool) -> bool {
        let Some(place) = self.lobby.take_where(wanted) else { return false };
        self.turn_away(place, why);
        true
    }

    fn turn_away(&mut self, place: Place, reason: TurnedAway) {
        self.stale.lobby();
        self.push(Output::Refused { waiting: place.waiting, reason });
    }

    /// What was decided for those who went longest ago is forgotten, where there is no place for more.
    pub(super) fn forget_some(&mut self) {
        let inside = &self.inside;
        let limit = self.limits.people_remembered;
        let forgotten = self.standings.forget_beyond(limit, |identity| inside.contains_key(identity));
        self.stats.forgotten += forgotten;
        self.stats.bounds.add(Bound::PeopleRemembered, forgotten);
    }

    pub(super) fn mute(&mut self, identity: &str, source: Source) {
        self.push(Output::Mute { identity: identity.to_owned(), source });
    }
}

/// The only thing that those say who wait.
#[derive(Deserialize)]
#[serde(tag = "do", deny_unknown_fields)]
enum OutsideCommand {
    #[serde(rename = "note")]
    Note { text: String },
}

/// Somebody who corrects a slip at once is not held up.
const NOTES_AT_ONCE: u32 = 3;

/// What became of letting somebody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admittance {
    In,
    Nobody,
    Full,
}
