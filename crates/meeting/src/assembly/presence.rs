// SPDX-License-Identifier: EUPL-1.2
//! Who is inside, as the room says; also of people whose client knows nothing of the meeting's socket.

use std::time::{Duration, Instant};

use super::member::{Inside, Pace, Socket};
use super::{Assembly, At, Bound, Member, Output, Presence, Rights, RightsChange, Role, Source};
use crate::features::{Audience, Notice};
use crate::text;

/// A text that others will read, without what could deceive them, and not longer than that.
pub(super) fn displayed(text: &str, limit_chars: usize) -> String {
    let text = text::clean("text", text, usize::MAX).unwrap_or_default();
    text.chars().take(limit_chars).collect()
}

impl Assembly {
    /// Somebody is in the room; again, perhaps, without having been said to have left. Whoever has no [`Assembly::role`] after
    /// it may not be there, whatever let them pass: they are banned, or there is no place, or the meeting is over.
    pub fn entered(&mut self, now: Instant, unix_ms: u64, presence: Presence) {
        let at = self.at(now, unix_ms);
        if self.ended {
            return;
        }
        let Presence { identity, name, role, seat } = presence;
        let seat = seat.filter(|seat| !seat.is_empty());
        if self.bans.iter().any(|ban| ban.is_of(&identity, seat.as_deref())) {
            self.stats.refused_banned += 1;
            self.push(Output::Remove { identity, banned: true, by: None });
            return;
        }
        let again = self.members.contains_key(&identity);
        if !again && self.members.len() >= self.limits.people {
            self.stats.refused_full += 1;
            self.stats.bounds.hit(Bound::People);
            return;
        }

        let default = self.policy.default_role;
        let standing = self.standings.open(&identity, seat.as_deref());
        let welcome = standing.welcome_until.is_some_and(|until| until > now);
        let came_as = role.or(standing.came_as.filter(|_| welcome || again)).unwrap_or(default);
        standing.came_as = Some(came_as);
        // Until they leave, the door knows them by being inside.
        standing.welcome_until = None;
        let role = standing.role_now(default);
        let by_right = standing.own_role(default).is_moderator();
        standing.conducted |= by_right;
        let rights = Rights::with(role, &self.policy, standing.rights);

        let member = Member {
            identity: identity.clone(),
            name: displayed(&name, self.limits.name_chars),
            role,
            rights,
            joined_ms: self.members.get(&identity).map_or(unix_ms, |member| member.joined_ms),
        };
        let before = self.members.insert(identity.clone(), member.clone());
        self.arrivals += 1;
        let order = self.arrivals;
        let inside = self.inside.entry(identity.clone()).or_insert_with(|| Inside::new(order));
        inside.elsewhere = false;
        inside.kept_until = None;
        inside.sounding.clear();
        if let Some(socket) = &mut inside.socket {
            socket.whole = true;
            self.stale.someone_whole();
        }
        self.forget_some();
        self.push(Output::Role { identity: identity.clone(), role });
        self.push(Output::Rights { identity: identity.clone(), rights });
        self.hush(at, &identity, role);
        if role != Role::Speaker || before.is_some_and(|before| before.role != Role::Speaker) {
            self.stale.members();
        }
        self.with_features(at, |slot, context| slot.feature.entered(context, &member));
        if by_right {
            self.conducts_by_right(at);
        }
        self.watch_conduct(at);
    }

    /// Somebody has another name.
    pub fn renamed(&mut self, identity: &str, name: &str) {
        // Whoever has a name was told of with the time.
        let Some(at) = self.last else { return };
        let name = displayed(name, self.limits.name_chars);
        let Some(member) = self.members.get_mut(identity).filter(|member| member.name != name) else {
            return;
        };
        member.name = name;
        let member = member.clone();
        self.with_features(at, |slot, context| slot.feature.altered(context, &member));
    }

    /// What the meeting of which this is a breakout room says of somebody, who is here or may come: it holds here as it does there.
    pub fn instruct(&mut self, now: Instant, unix_ms: u64, identity: &str, role: Role, rights: Rights) {
        let at = self.at(now, unix_ms);
        let standing = self.standings.open(identity, None);
        standing.role = Some(role);
        standing.stand_in = false;
        standing.rights = RightsChange::exactly(rights);
        self.put_role(at, identity, role);
        self.refresh_rights(at, identity);
        self.forget_some();
    }

    /// Somebody is no longer in the room, and their socket is nobody's; whoever was only replaced by a newer connection of
    /// theirs has not left. Whose place is in a breakout room stays for as long as their socket does, and a while longer.
    pub fn left(&mut self, now: Instant, unix_ms: u64, identity: &str) {
        let at = self.at(now, unix_ms);
        self.unsay(identity);
        let Some(inside) = self.inside.get_mut(identity) else { return };
        if inside.breakout.is_some() {
            inside.elsewhere = true;
            inside.sounding.clear();
            inside.kept_until = inside.socket.is_none().then_some(now + self.limits.elsewhere_kept);
            return;
        }
        self.go(at, identity, true);
    }

    /// Ends somebody's stay.
    pub(super) fn go(&mut self, at: At, identity: &str, welcome: bool) {
        self.inside.remove(identity);
        let Some(member) = self.members.remove(identity) else { return };
        let until = at.now + self.limits.return_window;
        if let Some(standing) = self.standings.get_mut(identity) {
            standing.stand_in = false;
            standing.welcome_until = welcome.then_some(until);
        }
        if self.spotlight.iter().any(|shown| shown == identity) {
            self.spotlight.retain(|shown| shown != identity);
            self.stale.members();
        }
        if member.role != Role::Speaker {
            self.stale.members();
        }
        self.stale.gone(identity);
        self.with_features(at, |slot, context| slot.feature.left(context, identity));
        self.watch_conduct(at);
    }

    /// Somebody was heard for so long.
    pub fn spoke(&mut self, identity: &str, time: Duration) {
        if self.members.contains_key(identity) {
            for slot in &mut self.features {
                slot.feature.spoke(identity, time);
            }
        }
    }

    /// Something of somebody can be seen or heard from now on, or can't any more (muted, or gone). What may not be is
    /// turned off.
    pub fn publishing(&mut self, identity: &str, source: Source, on: bool) {
        let Some(inside) = self.inside.get_mut(identity) else { return };
        let hushed = source == Source::Microphone && inside.hush_until.take().is_some();
        let allowed = self.members.get(identity).is_some_and(|member| member.rights.may_sound(source));
        if !on {
            inside.sounding.remove(&source);
        } else if hushed || !allowed {
            self.mute(identity, source);
        } else {
            inside.sounding.insert(source);
        }
    }

    /// Somebody inside has connected the meeting's socket, in place of the one of before. What passed without them follows, and
    /// a snapshot. Says no if they aren't inside.
    pub fn attach(&mut self, now: Instant, unix_ms: u64, identity: &str) -> bool {
        let at = self.at(now, unix_ms);
        let Some(inside) = self.inside.get_mut(identity) else { return false };
        inside.kept_until = None;
        inside.socket = Some(Socket { version: 0, whole: true, wholes: Pace::default() });
        self.stale.someone_whole();
        // What was meant for the socket of before is no answer to anything that this one asks.
        self.unsay(identity);
        if let Some(member) = self.members.get(identity).cloned() {
            self.with_features(at, |slot, context| slot.feature.connected(context, &member));
        }
        true
    }

    /// The meeting's socket of somebody has gone.
    pub fn detach(&mut self, identity: &str) {
        self.unsay(identity);
        let Some(inside) = self.inside.get_mut(identity) else { return };
        inside.socket = None;
        if let Some(at) = self.last.filter(|_| inside.elsewhere) {
            inside.kept_until = Some(at.now + self.limits.elsewhere_kept);
        }
    }

    /// Has nothing said of what waits to be said to somebody's socket: it has gone.
    fn unsay(&mut self, identity: &str) {
        self.queue.retain(|queued| !queued.is_told_to(identity));
    }

    pub(super) fn next_gone(&self) -> Option<Instant> {
        self.inside.values().filter_map(|inside| inside.kept_until).min()
    }

    /// Ends the stay of those whom neither the room nor their socket has seen for too long.
    pub(super) fn end_kept(&mut self, at: At) {
        let due =
            self.inside.iter().filter(|(_, inside)| inside.kept_until.is_some_and(|until| until <= at.now));
        let due: Vec<String> = due.map(|(identity, _)| identity.clone()).collect();
        for identity in due {
            self.go(at, &identity, true);
        }
    }

    /// Whoever comes as one of many comes muted, where the policy says so.
    fn hush(&mut self, at: At, identity: &str, role: Role) {
        let above = self.policy.mute_above.and_then(|above| usize::try_from(above).ok());
        let speaking = self.members.values().filter(|member| member.role != Role::Viewer).count();
        if role != Role::Speaker || above.is_none_or(|above| speaking <= above) {
            return;
        }
        if let Some(inside) = self.inside.get_mut(identity) {
            inside.hush_until = Some(at.now + self.limits.hush);
            self.mute(identity, Source::Microphone);
        }
    }

    pub(super) fn next_unhush(&self) -> Option<Instant> {
        self.inside.values().filter_map(|inside| inside.hush_until).min()
    }

    pub(super) fn unhush(&mut self, at: At) {
        for inside in self.inside.values_mut() {
            inside.hush_until = inside.hush_until.filter(|until| *until > at.now);
        }
    }

    /// Makes somebody inside something else, with what follows for their rights.
    pub(super) fn put_role(&mut self, at: At, identity: &str, role: Role) {
        let Some(member) = self.members.get_mut(identity).filter(|member| member.role != role) else {
            return;
        };
        member.role = role;
        if role == Role::Viewer {
            self.spotlight.retain(|shown| shown != identity);
        }
        // What they see is another state altogether: what moderators see, or see no more.
        if let Some(socket) = self.inside.get_mut(identity).and_then(|inside| inside.socket.as_mut()) {
            socket.whole = true;
            self.stale.someone_whole();
        }
        self.stale.members();
        self.push(Output::Role { identity: identity.to_owned(), role });
        if !self.refresh_rights(at, identity) {
            self.altered(at, identity);
        }
    }

    /// Works out anew what somebody may do. Says whether that is something else now.
    pub(super) fn refresh_rights(&mut self, at: At, identity: &str) -> bool {
        let Some(member) = self.members.get_mut(identity) else { return false };
        let decided = self.standings.get(identity).map(|standing| standing.rights).unwrap_or_default();
        let rights = Rights::with(member.role, &self.policy, decided);
        if std::mem::replace(&mut member.rights, rights) == rights {
            return false;
        }
        if let Some(inside) = self.inside.get_mut(identity) {
            // The right to turn it on may go while it is on: that alone silences nobody.
            inside.sounding.retain(|source| match source {
                Source::Microphone => rights.microphone,
                Source::Camera => rights.camera,
                Source::Screen => rights.screen,
            });
        }
        self.stale.you(identity);
        self.push(Output::Rights { identity: identity.to_owned(), rights });
        self.altered(at, identity);
        true
    }

    fn altered(&mut self, at: At, identity: &str) {
        let Some(member) = self.members.get(identity).cloned() else { return };
        self.with_features(at, |slot, context| slot.feature.altered(context, &member));
    }

    /// Asks somebody to turn the microphone on, and gives the right to. A viewer is called on stage by that.
    pub(super) fn let_speak(&mut self, at: At, identity: &str, by: &str) {
        let Some(member) = self.members.get(identity) else { return };
        let on_stage = member.role == Role::Viewer;
        let Some(standing) = self.standings.get_mut(identity) else { return };
        standing.rights.unmute = Some(true);
        if on_stage {
            standing.role = Some(Role::Speaker);
            self.put_role(at, identity, Role::Speaker);
        }
        self.refresh_rights(at, identity);
        let asked = Notice::UnmuteAsked { source: Source::Microphone.name().to_owned(), by: by.to_owned() };
        self.tell(at, &Audience::These(vec![identity.to_owned()]), &asked);
    }
}
