// SPDX-License-Identifier: EUPL-1.2
//! The door: who knocks comes in, waits outside, or goes away. Whoever waits is told that, and nothing of what is inside (row 43).

use std::time::Instant;

use parvis_meeting::EndReason;
use parvis_meeting::assembly::{Entry, Knock, Refused, Role, TurnedAway, WaitReason, WaitingId};
use serde_json::json;

use super::{CLOSE_REPLACED, FETCHED, Side};
use crate::room::leave::{CLOSE_GOING_AWAY, CLOSE_NORMAL};
use crate::room::{ConnectionId, Room};
use crate::{Beside, Frame, Grants, Output};

/// Somebody at the door.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who, as the caller of this found it: nothing in it is the client's own word but the name.
    pub knock: Knock,
    /// The secret by which the browser is the same person again.
    pub seat: String,
}

/// A secret by which nobody waits here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nobody waits here by this secret: ask to come in anew")]
pub struct NoPlace;

/// Somebody who waits.
#[derive(Debug)]
pub(in crate::room) struct Outside {
    identity: String,
    name: String,
    seat: String,
    reason: WaitReason,
    connection: Option<ConnectionId>,
    /// Since when no socket of it is there.
    pub(super) gone_since: Option<Instant>,
    /// What it was told, or is to be told when its socket is back.
    verdict: Option<Verdict>,
}

#[derive(Debug, Clone, Copy)]
enum Verdict {
    Admitted(Role),
    Refused(TurnedAway),
}

impl Room {
    /// Somebody asks to come in. Whoever has to wait does so by the secret in [`Knock::waiting`], see [`Room::wait`].
    pub fn knock(&mut self, now: Instant, caller: Caller) -> Result<Entry, Refused> {
        if self.draining || self.end.is_some() {
            return Err(Refused::Ended);
        }
        let Caller { knock, seat } = caller;
        let (waiting, identity, name) = (knock.waiting.0.clone(), knock.identity.clone(), knock.name.clone());
        let unix_ms = self.clock(now);
        let entry = self.conducted.assembly.knock(now, unix_ms, knock);
        if let Ok(Entry::Wait { reason }) = &entry {
            let (reason, gone_since) = (*reason, Some(now));
            let outside =
                Outside { identity, name, seat, reason, connection: None, gone_since, verdict: None };
            self.conducted.outside.insert(waiting, outside);
        }
        self.settle(now);
        entry
    }

    /// The socket of somebody who waits is there.
    pub fn wait(&mut self, now: Instant, connection: ConnectionId, waiting: &str) -> Result<(), NoPlace> {
        let title = self.conducted.assembly.facts().title;
        let outside = self.conducted.outside.get_mut(waiting).ok_or(NoPlace)?;
        outside.gone_since = None;
        let former = outside.connection.replace(connection);
        let verdict = outside.verdict;
        let hello = greeting(title.as_deref(), outside.reason);
        if let Some(former) = former {
            self.conducted.by_connection.remove(&former);
            self.close(former, CLOSE_REPLACED, "another socket of yours has this place");
        }
        self.conducted.by_connection.insert(connection, Side::Outside(waiting.to_owned()));
        self.say(connection, hello);
        match verdict {
            Some(verdict) => self.pronounce(waiting, verdict),
            None => self.conducted.assembly.waiting_connected(now, &WaitingId(waiting.to_owned())),
        }
        self.settle(now);
        Ok(())
    }

    /// The token of somebody who was let in, as [`Output::Admit`] asked for it.
    pub fn admitted(&mut self, connection: ConnectionId, token: &str) {
        let Some(Side::Outside(waiting)) = self.conducted.by_connection.get(&connection).cloned() else {
            return;
        };
        let Some(outside) = self.conducted.outside.get(&waiting) else { return };
        let Some(Verdict::Admitted(role)) = outside.verdict else { return };
        let Outside { identity, seat, .. } = outside;
        let room = &self.name;
        let told = json!({ "admitted": {
            "token": token, "identity": identity, "room": room, "seat": seat, "role": role,
        }});
        self.say(connection, told.to_string());
        self.send_away(&waiting, connection, (CLOSE_NORMAL, "come in"));
    }

    /// Somebody who waits was let in.
    pub(super) fn admit_waiting(&mut self, waiting: &str, role: Role) {
        self.decide(waiting, Verdict::Admitted(role));
    }

    /// Somebody who waits was refused.
    pub(super) fn refuse_waiting(&mut self, waiting: &str, reason: TurnedAway) {
        self.decide(waiting, Verdict::Refused(reason));
    }

    /// Somebody who waits does so for something else now.
    pub(super) fn waits_for(&mut self, waiting: &str, reason: WaitReason) {
        let title = self.conducted.assembly.facts().title;
        let Some(outside) = self.conducted.outside.get_mut(waiting) else { return };
        outside.reason = reason;
        if let Some(connection) = outside.connection {
            self.say(connection, greeting(title.as_deref(), reason));
        }
    }

    fn decide(&mut self, waiting: &str, verdict: Verdict) {
        let Some(outside) = self.conducted.outside.get_mut(waiting) else { return };
        if matches!(verdict, Verdict::Refused(TurnedAway::Replaced | TurnedAway::Expired))
            && outside.connection.is_none()
        {
            self.conducted.outside.remove(waiting);
            return;
        }
        outside.verdict = Some(verdict);
        self.pronounce(waiting, verdict);
    }

    /// Tells somebody who waits, if there is a socket; else it is told when it is back.
    fn pronounce(&mut self, waiting: &str, verdict: Verdict) {
        let Some(outside) = self.conducted.outside.get(waiting) else { return };
        let Some(connection) = outside.connection else { return };
        match verdict {
            Verdict::Admitted(role) => {
                let grants = Box::new(Grants {
                    name: outside.name.clone(),
                    beside: Beside { room_admin: role >= Role::Moderator, ..Beside::default() },
                    ..Grants::of(&outside.identity)
                });
                self.outputs.push_back(Output::Admit { connection, grants });
            }
            Verdict::Refused(TurnedAway::Replaced) => {
                self.send_away(waiting, connection, (CLOSE_REPLACED, "another socket of yours waits now"));
            }
            Verdict::Refused(reason) => {
                self.say(connection, json!({ "refused": { "code": reason } }).to_string());
                self.send_away(waiting, connection, (CLOSE_NORMAL, "not let in"));
            }
        }
    }

    /// The place of somebody who waited is free.
    fn send_away(&mut self, waiting: &str, connection: ConnectionId, (code, why): (u16, &str)) {
        self.conducted.outside.remove(waiting);
        self.conducted.by_connection.remove(&connection);
        self.close(connection, code, why);
    }

    /// The socket of somebody who waits has gone.
    pub(super) fn outside_gone(&mut self, now: Instant, connection: ConnectionId, waiting: &str) {
        let outside = self.conducted.outside.get_mut(waiting);
        let Some(outside) = outside.filter(|outside| outside.connection == Some(connection)) else { return };
        outside.connection = None;
        outside.gone_since = Some(now);
        if outside.verdict.is_none() {
            self.conducted.assembly.waiting_disconnected(now, &WaitingId(waiting.to_owned()));
        }
    }

    /// Forgets those who never came back to the door.
    pub(super) fn forget_waiting(&mut self, now: Instant) {
        self.conducted
            .outside
            .retain(|_, outside| outside.gone_since.is_none_or(|gone| now < gone + FETCHED));
    }

    /// The room is over: nobody waits for it any more. Where it goes on after the server has come back, whoever waits does so anew.
    pub(super) fn close_door(&mut self) {
        let goes_on = self.end == Some(EndReason::Shutdown);
        let waiting: Vec<(String, Option<ConnectionId>)> = self
            .conducted
            .outside
            .iter()
            .map(|(waiting, outside)| (waiting.clone(), outside.connection))
            .collect();
        for (waiting, connection) in waiting {
            match connection.filter(|_| goes_on) {
                Some(connection) => self.send_away(&waiting, connection, (CLOSE_GOING_AWAY, "connect anew")),
                None => self.refuse_waiting(&waiting, TurnedAway::Ended),
            }
        }
    }

    pub(super) fn say(&mut self, connection: ConnectionId, text: String) {
        self.outputs.push_back(Output::Send { connection, frame: Frame::Text(text) });
    }
}

/// What somebody who waits is told.
fn greeting(title: Option<&str>, reason: WaitReason) -> String {
    json!({ "waiting": { "title": title, "reason": reason } }).to_string()
}
