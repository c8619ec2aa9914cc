// SPDX-License-Identifier: EUPL-1.2
//! What the meeting decides, done to sessions and tracks: by what the server forwards, not by what clients are asked to do (row 45).

use std::time::Instant;

use livekit_protocol as proto;
use livekit_protocol::signal_response::Message as Response;
use parvis_meeting::assembly::{Output as Decision, Policy, Rights, Role, Source};
use parvis_meeting::{EndReason, LeaveReason, ParticipantId, Permissions, TrackId};
use serde_json::{Value, json};

use super::presence::within;
use super::{CLOSE_REFUSED, GUEST, Room};
use crate::{Beside, Grants, Instruction, Output};

/// How far into the future a removal reaches, in seconds, where tokens are made by an application: clocks differ by that.
const CLOCK_LEEWAY_SECONDS: u64 = 60;

impl Room {
    /// Does what was decided since the last time. Says whether there was anything.
    pub(in crate::room) fn carry_out_decisions(&mut self) -> bool {
        let now = self.conducted.now;
        let mut any = false;
        for identity in std::mem::take(&mut self.conducted.entered) {
            any = true;
            if let Some(role) = self.conducted.assembly.role(&identity) {
                self.apply_role(&identity, role);
            }
            self.attach_socket(now, &identity);
        }
        while let Some(decision) = self.conducted.assembly.poll_output() {
            any = true;
            self.carry_out(now, decision);
        }
        if any {
            self.settle(now);
        }
        any
    }

    fn carry_out(&mut self, now: Instant, decision: Decision) {
        match decision {
            Decision::Send { identity, message } => self.tell_member(&identity, message),
            Decision::Admitted { waiting, role } => self.admit_waiting(&waiting.0, role),
            Decision::Waits { waiting, reason } => self.waits_for(&waiting.0, reason),
            Decision::Refused { waiting, reason } => self.refuse_waiting(&waiting.0, reason),
            Decision::Rights { identity, rights } => {
                self.apply_rights(&identity, rights);
                self.instruct_breakout(&identity, None);
            }
            Decision::Role { identity, role } => {
                self.apply_role(&identity, role);
                self.instruct_breakout(&identity, None);
            }
            Decision::Mute { identity, source } => {
                self.turn_off(&identity, source);
                self.instruct_breakout(&identity, Some(source));
            }
            Decision::Remove { identity, banned, by } => self.put_out(now, &identity, banned, by.as_deref()),
            Decision::End { by } => {
                tracing::info!(room = %self.sid, by, "the meeting was ended for all");
                self.meeting.end(EndReason::Deleted);
            }
            Decision::Move { identity, breakout } => {
                // What holds for them there is known before they are told where to go.
                self.send_word(&identity, breakout.clone(), None);
                if let Some(grants) = self.grants_to_go(&identity).map(Box::new) {
                    self.outputs.push_back(Output::Breakout { identity, breakout, grants });
                }
            }
            Decision::CloseBreakout { breakout } => {
                self.outputs.push_back(Output::CloseBreakout { breakout });
            }
            Decision::KeepMessage { message, identity, name, text } => {
                self.keep_message(message, identity, name, text);
            }
            Decision::ForgetMessage { message } => self.forget_message(message),
            Decision::Password { password } => {
                let password = password.map(|password| password.reveal().to_owned());
                self.outputs.push_back(Output::Password(password));
            }
            Decision::Conducted(account) => self.outputs.push_back(Output::Account(Box::new(account))),
            Decision::Changed => {
                let record = Box::new(self.conducted.assembly.record());
                self.outputs.push_back(Output::Conducted(record));
            }
        }
    }

    /// Somebody who takes part, by identity.
    fn member(&self, identity: &str) -> Option<ParticipantId> {
        let id = self.meeting.by_identity(identity)?.id;
        self.sessions.get(&id).filter(|session| session.takes_part).map(|session| session.id)
    }

    /// Gives somebody what the token says, as far as the meeting allows it now; what it publishes beyond that ends here.
    fn apply_rights(&mut self, identity: &str, rights: Rights) {
        let Some(session) = self.member(identity).and_then(|id| self.sessions.get(&id)) else { return };
        let (id, permissions) = (session.id, within(&session.granted, rights));
        // It is there, as was just seen.
        let _ = self.meeting.set_permissions(id, permissions);
    }

    /// The application says anew what somebody may do: that is the most that the meeting can give.
    pub(in crate::room) fn grant(&mut self, id: ParticipantId, granted: Permissions) -> Permissions {
        let Some(session) = self.sessions.get_mut(&id) else { return granted };
        session.granted = granted.clone();
        match self.meeting.participant(id).filter(|_| session.takes_part) {
            Some(participant) => within(&granted, self.conducted.assembly.rights(&participant.identity)),
            None => granted,
        }
    }

    /// Has others see somebody, or count only; and lets the next token say whether it moderates.
    fn apply_role(&mut self, identity: &str, role: Role) {
        let Some(id) = self.member(identity) else { return };
        if self.meeting.set_hidden(id, role == Role::Viewer) && role == Role::Viewer {
            self.vanish(id);
        }
        let admin = role.is_moderator();
        let at = self.unix_seconds(self.conducted.now);
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if std::mem::replace(&mut session.beside.room_admin, admin) == admin {
            return;
        }
        self.standings.plain(identity, (!admin).then_some(at));
        self.refresh_token(id);
    }

    /// Others were told of somebody who is only counted from now on: to them it has left.
    fn vanish(&mut self, id: ParticipantId) {
        let Some(mut info) = self.info(id).filter(|_| self.roster.forget(id)) else { return };
        info.set_state(proto::participant_info::State::Disconnected);
        info.tracks.clear();
        self.news.gone(info);
    }

    /// Has a fresh token made for somebody whose rights are others now.
    fn refresh_token(&mut self, id: ParticipantId) {
        let connection = self.sessions.get(&id).and_then(|session| session.socket).map(|socket| socket.id);
        let (Some(connection), Some(participant)) = (connection, self.meeting.participant(id)) else {
            return;
        };
        let grants = Box::new(self.grants(participant));
        self.outputs.push_back(Output::RefreshToken { connection, grants });
    }

    /// Has done in somebody's breakout room, if they are in one, what the meeting says of them.
    fn instruct_breakout(&mut self, identity: &str, off: Option<Source>) {
        let breakout = self.conducted.assembly.breakout_of(identity).map(str::to_owned);
        self.send_word(identity, breakout, off);
    }

    fn send_word(&mut self, identity: &str, breakout: Option<String>, off: Option<Source>) {
        let assembly = &self.conducted.assembly;
        let (Some(breakout), Some(role)) = (breakout, assembly.role(identity)) else { return };
        let word = Instruction { role, rights: assembly.rights(identity), off };
        self.outputs.push_back(Output::Instruct { identity: identity.to_owned(), breakout, word });
    }

    /// The meeting of which this is a breakout room says what somebody is and may do, who is here or may come.
    pub fn instruct(&mut self, now: Instant, identity: &str, word: Instruction) {
        let unix_ms = self.clock(now);
        self.conducted.assembly.instruct(now, unix_ms, identity, word.role, word.rights);
        if let Some(source) = word.off {
            self.turn_off(identity, source);
        }
        self.settle(now);
    }

    /// Turns off what somebody sends of a source, and has its client stop the device.
    fn turn_off(&mut self, identity: &str, source: Source) {
        let Some(id) = self.member(identity) else { return };
        let own = self.meeting.participant(id).into_iter().flat_map(|participant| participant.tracks());
        let tracks = own.filter_map(|track| self.meeting.track(track));
        let same = tracks.filter(|track| Source::of(track.source) == Some(source) && !track.muted);
        let same: Vec<TrackId> = same.map(|track| track.id).collect();
        for track in same {
            self.silence(id, track);
        }
    }

    /// Turns a track off, and tells its client so.
    pub(in crate::room) fn silence(&mut self, id: ParticipantId, track: TrackId) {
        if self.meeting.set_muted(id, track, true) == Ok(true) {
            self.forward_muted(track, true);
            self.tell_publishing(track);
        }
        if let Some(sid) = self.publications.get(&track).map(|publication| publication.info.sid.clone()) {
            self.send(id, Response::Mute(proto::MuteTrackRequest { sid, muted: true }));
        }
    }

    /// Puts somebody out: its tokens are dead before it hears of it (row 44).
    fn put_out(&mut self, now: Instant, identity: &str, banned: bool, by: Option<&str>) {
        let leeway = if identity.starts_with(GUEST) { 1 } else { CLOCK_LEEWAY_SECONDS };
        self.standings.revoke(identity, self.unix_seconds(now) + leeway);
        tracing::info!(room = %self.sid, identity, banned, by, "removed from the meeting");
        if let Some(id) = self.meeting.by_identity(identity).map(|participant| participant.id) {
            self.meeting.leave(now, id, LeaveReason::Removed);
        }
        self.end_socket(identity, CLOSE_REFUSED, "you were removed from this meeting");
        self.outputs.push_back(Output::PutOut { identity: identity.to_owned() });
    }

    /// The meeting is over: says so to whoever still hears it.
    pub(in crate::room) fn end_meeting(&mut self) {
        while let Some(decision) = self.conducted.assembly.poll_output() {
            if let Decision::Send { identity, message } = decision {
                self.tell_member(&identity, message);
            }
        }
        self.end_sockets();
        self.close_door();
    }

    /// What somebody's token for another room of the same meeting says: also of somebody who is in one already.
    fn grants_to_go(&self, identity: &str) -> Option<Grants> {
        let member = self.conducted.assembly.members().find(|member| member.identity == identity)?;
        let own = || Grants { name: member.name.clone(), ..Grants::of(identity) };
        let grants = self.grants_of(identity).unwrap_or_else(own);
        Some(Grants { beside: Beside { room_admin: member.is_moderator(), ..Beside::default() }, ..grants })
    }

    /// The token for a breakout room, or back from it, is made: tells where to go.
    pub fn go_to(&mut self, now: Instant, identity: &str, breakout: Option<&str>, ticket: &Value) {
        let name = breakout.map(|id| self.breakout_name(identity, id)).unwrap_or_default();
        let event = json!({ "event": { "what": "breakout", "ticket": ticket, "name": name } });
        self.tell_member(identity, event.to_string());
        self.settle(now);
    }

    fn breakout_name(&self, identity: &str, id: &str) -> String {
        let shown = self.conducted.assembly.shown(identity, "breakouts").unwrap_or_default();
        let rooms = shown["rooms"].as_array().map(Vec::as_slice).unwrap_or_default();
        let room = rooms.iter().find(|room| room["id"] == id);
        room.and_then(|room| room["name"].as_str()).unwrap_or_default().to_owned()
    }

    /// Somebody was removed from the meeting of which this is a breakout room.
    pub fn expel(&mut self, now: Instant, identity: &str) {
        self.put_out(now, identity, true, None);
        self.settle(now);
    }

    /// By which rules it is conducted.
    pub fn policy(&self) -> &Policy {
        self.conducted.assembly.policy()
    }

    /// Whoever moderates may not act upon whoever outranks it: what the meeting's own commands refuse is not to be had by
    /// another way.
    pub(in crate::room) fn outranks(&self, actor: &str, target: &str) -> bool {
        let roles = &self.conducted.assembly;
        match (roles.role(actor), roles.role(target)) {
            (Some(actor), Some(target)) => target > actor,
            _ => false,
        }
    }
}
