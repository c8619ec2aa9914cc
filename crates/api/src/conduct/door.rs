// SPDX-License-Identifier: EUPL-1.2
//! Brings people to a room's door: who they are there, what they have shown, and what became of it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::hmac;
use axum::http::StatusCode;
use parvis_meeting::assembly::{Entry, Facts, Knock, Password, Refused, Role, WaitReason, WaitingId};
use parvis_signal::Caller;

use super::secrets::{hex, is_secret};
use super::{HostKey, Known, Meeting, Meetings, new_secret};
use crate::http::Refusal;
use crate::limit::shared_by;
use crate::rooms::{JOIN_TRIES, JoinRefusal, Opening, Rooms};
use crate::tenant::RoomKey;

/// Who somebody is in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seated {
    /// The secret of the browser in this room.
    pub(crate) seat: String,
    /// Who that is, to others.
    pub(crate) identity: String,
}

/// Somebody who comes by a room's link.
pub(crate) struct Comer {
    pub(crate) name: String,
    pub(crate) seated: Seated,
    pub(crate) address: IpAddr,
    pub(crate) host_key: Option<String>,
    pub(crate) password: Option<String>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AtDoor {
    In { role: Role },
    Wait { waiting: String, reason: WaitReason },
    Refused(Refused),
}

/// Who it is that shows this seat in a room, or shows none. The same seat is the same person, in this room alone; from the identity nobody
/// gets back to the seat.
pub(crate) fn seat_of(key: &RoomKey, shown: Option<String>) -> Seated {
    let seat = shown.filter(|seat| is_secret(seat)).unwrap_or_else(new_secret);
    let mut hash = Context::new(&SHA256);
    for part in ["parvis seat", key.tenant.as_str(), &key.name, &seat] {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let hash = hex(hash.finish().as_ref());
    let identity = format!("guest-{}", hash.get(..32).unwrap_or(&hash));
    Seated { seat, identity }
}

impl Meetings {
    /// What stands for an address in a room: the same each time, and of no use elsewhere.
    fn address(&self, key: &RoomKey, meeting: Option<&Meeting>, address: IpAddr) -> String {
        let salt = meeting.map_or(self.pepper.as_slice(), |meeting| meeting.salt.as_bytes());
        let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, salt));
        mac.update(key.name.as_bytes());
        mac.update(shared_by(address).to_string().as_bytes());
        let tag = hex(mac.sign().as_ref());
        tag.get(..32).unwrap_or(&tag).to_owned()
    }
}

impl Rooms {
    /// Somebody is at a room's door. The room comes to be if it has a door at all; else it does when they connect.
    pub(crate) async fn knock(self: &Arc<Self>, key: &RoomKey, comer: Comer) -> Result<AtDoor, Refusal> {
        let Comer { name, seated, address, host_key, password } = comer;
        let Seated { seat, identity } = seated;
        let live = self.live();
        let meeting = match self.meetings.get(key) {
            Some(Known::Broken) => return Err(JoinRefusal::Unreadable.into()),
            Some(Known::Meeting(meeting)) => Some(meeting),
            None => None,
        };
        if self.meetings.is_breakout(key) {
            return Ok(AtDoor::Refused(Refused::Locked));
        }
        let policy = &live.config.room.policy;
        if meeting.is_none() && !policy.is_guarded() && self.inbox(key).is_none() {
            return Ok(AtDoor::In { role: policy.default_role.min(Role::Speaker) });
        }
        let host = match (&meeting, &host_key) {
            (Some(meeting), Some(host_key)) => HostKey::fits(&meeting.host, host_key),
            _ => false,
        };
        let password = if host { Password::None } else { self.password(key, address, password).await? };
        let hashed = self.meetings.address(key, meeting.as_deref(), address);
        for _ in 0..JOIN_TRIES {
            let opening = Opening::default();
            let opening = live.config.auto_create.then_some(&opening);
            self.room_for(key, opening)?;
            let waiting = new_secret();
            let knock = Knock {
                waiting: WaitingId(waiting.clone()),
                identity: identity.clone(),
                name: name.clone(),
                seat: identity.clone(),
                address: Some(hashed.clone()),
                host,
                password,
                vouched: None,
            };
            let caller = Caller { knock, seat: seat.clone() };
            match self.ask(key, move |room, now| room.knock(now, caller)).await {
                Some(Ok(Entry::In { role })) => return Ok(AtDoor::In { role }),
                Some(Ok(Entry::Wait { reason })) => return Ok(AtDoor::Wait { waiting, reason }),
                // It was just ending: the next one of this name is another meeting.
                None | Some(Err(Refused::Ended)) => {}
                Some(Err(refused)) => return Ok(AtDoor::Refused(refused)),
            }
            tokio::task::yield_now().await;
        }
        Ok(AtDoor::Refused(Refused::Ended))
    }

    /// What a password is worth. Tries cost, by address: nobody finds one out by trying.
    async fn password(
        &self,
        key: &RoomKey,
        address: IpAddr,
        password: Option<String>,
    ) -> Result<Password, Refusal> {
        let Some(password) = password else { return Ok(Password::None) };
        let live = self.live();
        if !self.meetings.tries.admit(live.config.password_tries, address, Instant::now()) {
            let message = "too many passwords were tried from this address; wait a moment";
            return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too_many", message));
        }
        let Some(hash) = self.meetings.password(key) else { return Ok(Password::Wrong) };
        if password.len() > live.config.room.assembly.password_bytes {
            return Ok(Password::Wrong);
        }
        let right = self.meetings.compare(hash, password).await.ok_or(JoinRefusal::Draining)?;
        Ok(if right { Password::Right } else { Password::Wrong })
    }

    /// What may be known of a room from outside, and whether it is being recorded.
    pub(crate) async fn facts(&self, key: &RoomKey) -> Result<(Facts, bool), JoinRefusal> {
        if matches!(self.meetings.get(key), Some(Known::Broken)) {
            return Err(JoinRefusal::Unreadable);
        }
        let open = self.ask(key, |room, _| (room.facts(), room.meeting().recording())).await;
        Ok(open.unwrap_or_else(|| (self.meetings.facts(key, &self.live().config), false)))
    }
}

#[cfg(test)]
mod tests {
    use parvis_store::TenantId;

    use super::*;

    #[test]
    fn a_seat_is_the_same_person_in_one_room_and_nobody_known_in_another() {
        let (one, other) = (RoomKey::new(&TenantId::default(), "a"), RoomKey::new(&TenantId::default(), "b"));
        let seated = seat_of(&one, None);
        assert_eq!(seat_of(&one, Some(seated.seat.clone())), seated);
        assert_ne!(seat_of(&other, Some(seated.seat.clone())).identity, seated.identity);
        assert_ne!(seat_of(&one, None).identity, seated.identity);
        assert!(seated.identity.starts_with("guest-") && !seated.identity.contains(&seated.seat));
        let own = "a".repeat(1_000);
        assert_ne!(seat_of(&one, Some(own.clone())).seat, own, "a seat is of our making");
    }

    #[test]
    fn an_address_stands_for_itself_in_one_room_alone_and_cannot_be_read() {
        let meetings = Meetings::default();
        let (one, other) = (RoomKey::new(&TenantId::default(), "a"), RoomKey::new(&TenantId::default(), "b"));
        let address: IpAddr = "192.0.2.7".parse().unwrap();
        let hashed = meetings.address(&one, None, address);
        assert_eq!(hashed, meetings.address(&one, None, address));
        assert_ne!(hashed, meetings.address(&other, None, address));
        assert_ne!(hashed, Meetings::default().address(&one, None, address), "nor after a restart");
        assert!(!hashed.contains("192"));
        let neighbours =
            ["2001:db8::1", "2001:db8::2"].map(|ip| meetings.address(&one, None, ip.parse().unwrap()));
        assert_eq!(neighbours[0], neighbours[1], "a household has one /64");
    }
}
