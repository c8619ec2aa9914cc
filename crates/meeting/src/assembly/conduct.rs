// SPDX-License-Identifier: EUPL-1.2
//! What those who conduct a meeting do. Nobody acts against whoever is more than they are, and nobody makes anybody more than that.

use serde::Deserialize;

use super::lobby::{Admittance, Place};
use super::{
    Assembly, At, Ban, Bound, Member, Output, PolicyChange, Queued, Rights, RightsChange, Role, Source,
    TurnedAway, state,
};
use crate::features::{Audience, CommandError, Notice};

/// A command that is no feature's.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "do", deny_unknown_fields)]
pub(super) enum ConductCommand {
    #[serde(rename = "role.set")]
    SetRole { identity: String, role: Role },
    #[serde(rename = "rights.set")]
    SetRights { identity: String, rights: RightsChange },
    #[serde(rename = "mute")]
    Mute { identity: Option<String>, everyone: Option<bool>, source: Source },
    #[serde(rename = "unmute.ask")]
    AskToUnmute { identity: String, source: Source },
    #[serde(rename = "spotlight.set")]
    Spotlight { identities: Vec<String> },
    #[serde(rename = "remove")]
    Remove { identity: String, ban: bool },
    #[serde(rename = "unban")]
    Unban { ban: String },
    #[serde(rename = "lobby.admit")]
    Admit { waiting: Option<String>, everyone: Option<bool> },
    #[serde(rename = "lobby.refuse")]
    Refuse { waiting: Option<String>, everyone: Option<bool> },
    #[serde(rename = "policy.set")]
    SetPolicy { policy: PolicyChange },
    #[serde(rename = "end")]
    End {},
}

/// One, or all there are.
enum Whom {
    One(String),
    Everyone,
}

fn whom(what: &str, one: Option<String>, everyone: Option<bool>) -> Result<Whom, CommandError> {
    match (one, everyone) {
        (Some(one), None | Some(false)) => Ok(Whom::One(one)),
        (None, Some(true)) => Ok(Whom::Everyone),
        _ => Err(CommandError::bad_value(format!("either {what} or everyone: true is needed"))),
    }
}

impl Assembly {
    pub(super) fn conduct(
        &mut self,
        at: At,
        actor: &Member,
        command: ConductCommand,
    ) -> Result<(), CommandError> {
        if !actor.is_moderator() {
            return Err(CommandError::not_allowed("only moderators conduct the meeting"));
        }
        match command {
            ConductCommand::SetRole { identity, role } => self.set_role(at, actor, &identity, role),
            ConductCommand::SetRights { identity, rights } => self.set_rights(at, actor, &identity, rights),
            ConductCommand::Mute { identity, everyone, source } => {
                match whom("identity", identity, everyone)? {
                    Whom::One(identity) => self.mute_one(at, actor, &identity, source),
                    Whom::Everyone => {
                        self.mute_everyone(at, actor, source);
                        Ok(())
                    }
                }
            }
            ConductCommand::AskToUnmute { identity, source } => {
                self.ask_to_unmute(at, actor, &identity, source)
            }
            ConductCommand::Spotlight { identities } => self.set_spotlight(identities),
            ConductCommand::Remove { identity, ban } => self.remove(at, actor, &identity, ban),
            ConductCommand::Unban { ban } => self.unban(&ban),
            ConductCommand::Admit { waiting, everyone } => {
                self.admit(at, whom("waiting", waiting, everyone)?)
            }
            ConductCommand::Refuse { waiting, everyone } => match whom("waiting", waiting, everyone)? {
                Whom::One(id) => match self.refuse_where(TurnedAway::Refused, |place| place.id == id) {
                    true => Ok(()),
                    false => Err(nobody_waits()),
                },
                Whom::Everyone => {
                    while self.refuse_where(TurnedAway::Refused, |_| true) {}
                    Ok(())
                }
            },
            ConductCommand::SetPolicy { policy } => self.set_policy(at, actor, policy),
            ConductCommand::End {} => {
                self.end(at, actor);
                Ok(())
            }
        }
    }

    /// Somebody inside against whom, or for whom, the actor may do something.
    fn target(&self, actor: &Member, identity: &str) -> Result<Member, CommandError> {
        let target = self.members.get(identity).ok_or_else(nobody_inside)?;
        if target.role > actor.role {
            return Err(CommandError::not_allowed(format!(
                "a {} can't do that to an {}",
                actor.role.name(),
                target.role.name()
            )));
        }
        Ok(target.clone())
    }

    fn set_role(&mut self, at: At, actor: &Member, identity: &str, role: Role) -> Result<(), CommandError> {
        let target = self.target(actor, identity)?;
        if role > actor.role {
            return Err(CommandError::not_allowed("nobody makes somebody more than they are themselves"));
        }
        let stands_in = self.standings.get(&actor.identity).is_some_and(|standing| standing.stand_in);
        if stands_in && role.is_moderator() {
            return Err(CommandError::not_allowed(
                "you stand in for whoever conducts this meeting; only they make others moderators",
            ));
        }
        let owners = self.members.values().filter(|member| member.role == Role::Owner).count();
        if target.role == Role::Owner && role != Role::Owner && owners == 1 {
            return Err(CommandError::not_allowed(
                "this is the only owner here; make somebody else an owner first",
            ));
        }
        let Some(standing) = self.standings.get_mut(identity) else { return Ok(()) };
        let recorded = standing.conducted || role.is_moderator();
        standing.role = Some(role);
        standing.stand_in = false;
        standing.conducted |= role.is_moderator();
        self.put_role(at, identity, role);
        if recorded {
            self.push(Output::Changed);
        }
        if role.is_moderator() {
            self.conducts_by_right(at);
        }
        self.watch_conduct(at);
        Ok(())
    }

    fn set_rights(
        &mut self,
        at: At,
        actor: &Member,
        identity: &str,
        rights: RightsChange,
    ) -> Result<(), CommandError> {
        let target = self.target(actor, identity)?;
        if rights == RightsChange::default() {
            return Err(CommandError::bad_value("rights: at least one is needed, true or false"));
        }
        let most = Rights::most(target.role, &self.policy);
        for (name, given, can) in [
            ("camera", rights.camera, most.camera),
            ("microphone", rights.microphone, most.microphone),
            ("screen", rights.screen, most.screen),
            ("chat", rights.chat, most.chat),
            ("files", rights.files, most.files),
            ("unmute", rights.unmute, most.unmute),
        ] {
            if given == Some(true) && !can {
                let help = if target.role == Role::Viewer && !matches!(name, "chat" | "files") {
                    "a viewer can't have it; make them a speaker first"
                } else {
                    "it is turned off for all in this meeting; change the policy first"
                };
                return Err(CommandError::not_allowed(format!("rights.{name}: {help}")));
            }
        }
        if let Some(standing) = self.standings.get_mut(identity) {
            standing.rights = standing.rights.and(rights);
        }
        self.refresh_rights(at, identity);
        Ok(())
    }

    fn mute_one(
        &mut self,
        at: At,
        actor: &Member,
        identity: &str,
        source: Source,
    ) -> Result<(), CommandError> {
        let target = self.target(actor, identity)?;
        self.silence(at, actor, &target.identity, source);
        Ok(())
    }

    /// All who don't conduct: those who do are muted one by one.
    fn mute_everyone(&mut self, at: At, actor: &Member, source: Source) {
        let speakers = self.members.values().filter(|member| member.role == Role::Speaker);
        let speakers: Vec<String> = speakers.map(|member| member.identity.clone()).collect();
        for identity in speakers {
            self.silence(at, actor, &identity, source);
        }
    }

    fn silence(&mut self, at: At, actor: &Member, identity: &str, source: Source) {
        if let Some(inside) = self.inside.get_mut(identity) {
            inside.sounding.remove(&source);
        }
        self.mute(identity, source);
        // What they were given the right to by being asked is over.
        if source == Source::Microphone
            && let Some(standing) = self.standings.get_mut(identity)
        {
            standing.rights.unmute = standing.rights.unmute.filter(|may| !may);
            self.refresh_rights(at, identity);
        }
        if identity != actor.identity {
            let muted = Notice::Muted { source: source.name().to_owned(), by: actor.identity.clone() };
            self.tell_one(at, identity, &muted);
        }
    }

    fn ask_to_unmute(
        &mut self,
        at: At,
        actor: &Member,
        identity: &str,
        source: Source,
    ) -> Result<(), CommandError> {
        // To be asked harms nobody: also an owner is.
        let target = self.members.get(identity).ok_or_else(nobody_inside)?;
        if target.role == Role::Viewer {
            return Err(CommandError::not_allowed(
                "a viewer has nothing to turn on; make them a speaker first",
            ));
        }
        match source {
            Source::Microphone if target.rights.microphone => {
                self.let_speak(at, identity, &actor.identity);
                Ok(())
            }
            Source::Camera | Source::Screen if target.rights.may_sound(source) => {
                let asked =
                    Notice::UnmuteAsked { source: source.name().to_owned(), by: actor.identity.clone() };
                self.tell_one(at, identity, &asked);
                Ok(())
            }
            _ => Err(CommandError::not_allowed(format!(
                "they have no right to a {}; give it by rights.set first",
                source.name()
            ))),
        }
    }

    fn set_spotlight(&mut self, identities: Vec<String>) -> Result<(), CommandError> {
        let limit = self.limits.spotlight;
        if identities.len() > limit {
            return Err(CommandError::bad_value(format!(
                "identities: at most {limit} can be in the spotlight"
            ))
            .at(Bound::Spotlight));
        }
        let mut spotlight = Vec::new();
        for identity in identities {
            match self.members.get(&identity) {
                None => {
                    return Err(CommandError::not_found("identities: one of them is not in the meeting"));
                }
                Some(member) if member.role == Role::Viewer => {
                    return Err(CommandError::not_allowed(
                        "identities: a viewer is not seen; make them a speaker first",
                    ));
                }
                Some(_) if spotlight.contains(&identity) => {}
                Some(_) => spotlight.push(identity),
            }
        }
        self.spotlight = spotlight;
        self.stale.members();
        Ok(())
    }

    fn remove(&mut self, at: At, actor: &Member, identity: &str, ban: bool) -> Result<(), CommandError> {
        let target = self.target(actor, identity)?;
        if target.identity == actor.identity {
            return Err(CommandError::bad_value("identity: that is yourself; leave the meeting instead"));
        }
        if ban && self.bans.len() >= self.limits.bans {
            return Err(CommandError::too_many(
                "too many people are banned already; lift a ban first, or remove without one",
            )
            .at(Bound::Bans));
        }
        let mut changed = ban;
        if let Some(standing) = self.standings.get_mut(identity) {
            // Whoever is put out is nobody in particular when they knock again.
            changed |= standing.role.take().is_some_and(Role::is_moderator) || standing.conducted;
            standing.came_as = None;
            standing.conducted = false;
        }
        if ban {
            let standing = self.standings.get(identity).cloned().unwrap_or_default();
            let id = self.next_number();
            let Member { identity, name, .. } = target;
            self.bans.push(Ban { id, identity, name, seat: standing.seat, address: standing.address });
            self.stale.members();
        }
        self.stats.removed += 1;
        if self.is_connected(identity) {
            let message = state::event(&Notice::Removed { banned: ban });
            self.queue.push_back(Queued::LastWord { identity: identity.to_owned(), message });
        }
        let by = Some(actor.identity.clone());
        self.push(Output::Remove { identity: identity.to_owned(), banned: ban, by });
        if changed {
            self.push(Output::Changed);
        }
        self.go(at, identity, false);
        Ok(())
    }

    fn unban(&mut self, id: &str) -> Result<(), CommandError> {
        let Some(place) = self.bans.iter().position(|ban| ban.id == id) else {
            return Err(CommandError::not_found("ban: there is no such ban (any more)"));
        };
        self.bans.remove(place);
        self.stale.members();
        self.push(Output::Changed);
        Ok(())
    }

    fn admit(&mut self, at: At, whom: Whom) -> Result<(), CommandError> {
        let full = || {
            CommandError::too_many("no place is left in the meeting; who waits waits on").at(Bound::People)
        };
        match whom {
            Whom::One(id) => match self.admit_where(at, |place: &Place| place.id == id) {
                Admittance::In => Ok(()),
                Admittance::Nobody => Err(nobody_waits()),
                Admittance::Full => Err(full()),
            },
            Whom::Everyone => loop {
                match self.admit_where(at, Place::is_seen) {
                    Admittance::In => {}
                    Admittance::Nobody => return Ok(()),
                    Admittance::Full => return Err(full()),
                }
            },
        }
    }

    fn set_policy(&mut self, at: At, actor: &Member, change: PolicyChange) -> Result<(), CommandError> {
        if change.successor.is_some_and(|successor| successor != self.policy.successor)
            && actor.role != Role::Owner
        {
            return Err(CommandError::not_allowed("policy.successor: only an owner says who follows"));
        }
        let policy = self.policy.with(&change, &self.limits)?;
        let (before, password) = (std::mem::replace(&mut self.policy, policy), change.password);
        if before == self.policy && password.is_none() {
            return Ok(());
        }
        if let Some(password) = password {
            self.push(Output::Password { password });
        }
        if before.self_unmute && !self.policy.self_unmute {
            self.keep_speaking();
        }
        self.push(Output::Changed);
        self.stale.room();
        let everyone: Vec<String> = self.members.keys().cloned().collect();
        for identity in everyone {
            self.refresh_rights(at, &identity);
        }
        self.reconsider_waiting(at);
        self.watch_conduct(at);
        Ok(())
    }

    /// Nobody unmutes by themselves from now on; whoever speaks just now speaks on until muted.
    fn keep_speaking(&mut self) {
        for (identity, inside) in &self.inside {
            if let Some(standing) = self.standings.get_mut(identity) {
                let kept = standing.rights.unmute.filter(|may| !may);
                let speaks = inside.sounding.contains(&Source::Microphone).then_some(true);
                standing.rights.unmute = kept.or(speaks);
            }
        }
    }

    fn end(&mut self, at: At, actor: &Member) {
        self.ended = true;
        self.tell(at, &Audience::Everyone, &Notice::Ended { by: actor.identity.clone() });
        while self.refuse_where(TurnedAway::Ended, |_| true) {}
        self.push(Output::End { by: actor.identity.clone() });
    }
}

fn nobody_inside() -> CommandError {
    CommandError::not_found("identity: nobody of that identity is in the meeting")
}

fn nobody_waits() -> CommandError {
    CommandError::not_found("waiting: nobody waits there (any more)")
}
