// SPDX-License-Identifier: EUPL-1.2
//! What the audit log is told: who came in or was refused, what was done with meetings, what applications called. Nothing waits for it, and
//! nothing that is secret goes into it: no token, no password, no text that somebody wrote.

use std::net::IpAddr;

use axum::http::StatusCode;
use parvis_audit::{Act, Event, Who};
use parvis_meeting::assembly::Conducted;

use crate::authority::Authority;
use crate::conduct::AtDoor;
use crate::http::Refusal;
use crate::rooms::Rooms;
use crate::tenant::RoomKey;

impl Rooms {
    /// Writes down that something happened.
    pub(crate) fn note(&self, event: Event) {
        if let Some(log) = self.log.get() {
            log.record(event);
        }
    }

    /// Acts that have to be in the log are refused while it takes none, where the operator wants it so.
    pub(crate) fn refuse_when_unlogged(&self) -> Result<(), Refusal> {
        if self.may_act() {
            return Ok(());
        }
        let message = "the audit log takes no entries, and this server does nothing that would not stand in it; try again later";
        Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message))
    }

    pub(crate) fn may_act(&self) -> bool {
        self.log.get().is_none_or(|log| log.may_act())
    }

    /// What became of a guest at a room's door.
    pub(crate) fn note_door(
        &self,
        key: &RoomKey,
        (identity, name): (&str, &str),
        address: IpAddr,
        door: &AtDoor,
    ) {
        let who = Who::Person { identity: identity.to_owned(), name: name.to_owned() };
        let event = of(key, Act::Token, who).from(address);
        self.note(match door {
            AtDoor::In { role } => event.saying(role.name()),
            AtDoor::Wait { .. } => event.saying("waits"),
            AtDoor::Refused(refused) => event.refused(Refusal::from(*refused).code),
        });
    }

    /// What somebody did who conducts a meeting.
    pub(crate) fn note_conducted(&self, key: &RoomKey, account: Conducted) {
        let Conducted { by, word, whom, ban, refused } = account;
        let act = match word {
            "role.set" | "rights.set" => Act::Rights,
            "lobby.admit" => Act::LobbyAdmit,
            "lobby.refuse" => Act::LobbyRefuse,
            "remove" if ban => Act::Ban,
            "remove" => Act::Remove,
            "unban" => Act::Unban,
            "end" => Act::RoomEnd,
            _ => Act::Policy,
        };
        let event = Event { about: whom, ..of(key, act, Who::person(&by)) };
        self.note(match refused {
            None => event,
            Some(code) => event.refused(code),
        });
    }

    /// What an application's server called, and what came of it. Calls that only look, or carry what people
    /// say, are told when they are refused alone: applications make them each second.
    pub(crate) fn note_call(
        &self,
        authority: &Authority,
        (service, method): (&str, &str),
        address: Option<IpAddr>,
        refused: Option<&'static str>,
    ) {
        let looks = ["List", "Get", "SendData", "PerformRpc"].iter().any(|verb| method.starts_with(verb));
        if looks && refused.is_none() {
            return;
        }
        let act = match (service, method) {
            ("Egress", "StopEgress") => Act::RecordingStop,
            ("Egress", method) if method.starts_with("Start") => Act::RecordingStart,
            ("RoomService", "RemoveParticipant") => Act::Remove,
            ("RoomService", "UpdateParticipant") => Act::Rights,
            ("RoomService", "DeleteRoom") => Act::RoomEnd,
            _ => Act::Call,
        };
        let event = Event { from: address, ..Event::new(authority.tenant.as_str(), act, authority.who()) };
        let event = match authority.video.room.as_str() {
            "" => event.on("call", &format!("{service}/{method}")),
            room => event.on("room", room).saying(&format!("{service}/{method}")),
        };
        self.note(match refused {
            None => event,
            Some(code) => event.refused(&format!("{service}/{method}: {code}")),
        });
    }
}

impl Authority {
    /// Who asks, in the words of the audit log: the person whom the token names, or the application whose key signed it.
    pub(crate) fn who(&self) -> Who {
        if self.identity.is_empty() { Who::Key(self.key.clone()) } else { Who::person(&self.identity) }
    }
}

/// Something that was done with a room.
pub(crate) fn of(key: &RoomKey, act: Act, who: Who) -> Event {
    Event::new(key.tenant.as_str(), act, who).on("room", &key.name)
}
