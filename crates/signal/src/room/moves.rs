// SPDX-License-Identifier: EUPL-1.2
//! Participants that go on in another room. The client is told where, with a token and what that room is; then it is asked to
//! connect anew. Its connections belong to the forwarder's part of this room, so that they end here, and it publishes
//! its tracks again there, as after any fresh start.

use std::time::Instant;

use livekit_protocol as proto;
use livekit_protocol::signal_response::Message as Response;
use parvis_meeting::{LeaveReason, ParticipantId};

use super::Room;
use crate::{Beside, Grants};

/// What one who is to come is told of a room.
#[derive(Debug, Clone, PartialEq)]
pub struct RoomView {
    /// The room.
    pub room: proto::Room,
    /// Those in it of whom one who joins is told.
    pub participants: Vec<proto::ParticipantInfo>,
}

/// Why a room takes nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClosedError {
    /// It has as many participants as it takes.
    #[error("the room is full")]
    Full,
    /// It is over, or the server is about to stop.
    #[error("the room takes nobody any more")]
    Ending,
}

impl Room {
    /// What one would be told who joined now with these grants, if there is a place.
    pub fn view_for(&self, grants: &Grants) -> Result<RoomView, ClosedError> {
        if self.draining || self.meeting.ended() {
            return Err(ClosedError::Ending);
        }
        let there = self.meeting.by_identity(&grants.identity).is_some();
        if !there && self.meeting.full_for(grants.kind).is_some() {
            return Err(ClosedError::Full);
        }
        let mut participants = self.roster_infos();
        participants.retain(|info| info.identity != grants.identity);
        Ok(RoomView { room: self.room_info(), participants })
    }

    /// What whoever bears this identity is and may do, as a token would say.
    pub fn grants_of(&self, identity: &str) -> Option<Grants> {
        let grants = self.meeting.by_identity(identity).map(|participant| self.grants(participant))?;
        // Who moderates one room does not moderate the next.
        Some(Grants { beside: Beside::default(), ..grants })
    }

    pub(super) fn grants(&self, participant: &parvis_meeting::Participant) -> Grants {
        Grants {
            identity: participant.identity.clone(),
            name: participant.profile.name.clone(),
            metadata: participant.profile.metadata.clone(),
            attributes: participant.profile.attributes.clone(),
            kind: participant.kind,
            permissions: self.granted_to(participant),
            not_before: 0,
            room: None,
            beside: self
                .sessions
                .get(&participant.id)
                .map(|session| session.beside.clone())
                .unwrap_or_default(),
        }
    }

    /// What somebody's token says, whatever the meeting makes of it: it says the same in the next one.
    fn granted_to(&self, participant: &parvis_meeting::Participant) -> parvis_meeting::Permissions {
        let session = self.sessions.get(&participant.id).filter(|session| session.takes_part);
        session.map_or_else(|| participant.permissions.clone(), |session| session.granted.clone())
    }

    /// Sends whoever bears this identity to another room, of which `view` was taken and which `token` opens. Says
    /// whether someone did.
    pub fn move_to(&mut self, now: Instant, identity: &str, view: RoomView, token: String) -> bool {
        let id = self.meeting.by_identity(identity).map(|participant| participant.id);
        if let Some(id) = id {
            self.tell_moved(id, view, token);
            self.meeting.leave(now, id, LeaveReason::Moved);
        }
        self.settle(now);
        id.is_some()
    }

    fn tell_moved(&mut self, id: ParticipantId, view: RoomView, token: String) {
        // Some SDKs take the token for their next connection from this message only.
        self.send(id, Response::RefreshToken(token.clone()));
        let moved = proto::RoomMovedResponse {
            room: Some(view.room),
            token,
            participant: self.info(id),
            other_participants: view.participants,
        };
        self.send(id, Response::RoomMoved(moved));
    }
}
