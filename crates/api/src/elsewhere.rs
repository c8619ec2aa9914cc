// SPDX-License-Identifier: EUPL-1.2
//! What moving a participant to another room and showing it there have in common.

use std::sync::Arc;

use parvis_signal::{ClosedError, ForwardError, Grants};

use crate::rooms::{JoinRefusal, Rooms};
use crate::tenant::RoomKey;

/// Why nobody was moved to another room, or is seen there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ElsewhereError {
    #[error("there is no room {0:?}")]
    NoRoom(String),
    #[error("nobody with the identity {identity:?} is in the room {room:?}")]
    NoParticipant { room: String, identity: String },
    #[error("the participant is in that room already: name another destination")]
    SameRoom,
    #[error("the destination {room:?} can't be made: {refusal}")]
    NoDestination { room: String, refusal: JoinRefusal },
    #[error("the destination {room:?}: {closed}")]
    Closed { room: String, closed: ClosedError },
    #[error("no token for the destination could be made: {0}")]
    NoToken(String),
    #[error("as many participants are forwarded as the server takes: {0}")]
    TooMany(usize),
    #[error(transparent)]
    Refused(#[from] ForwardError),
}

impl ElsewhereError {
    /// There is no such room, or it has just ended.
    pub(crate) fn no_room(key: &RoomKey) -> ElsewhereError {
        ElsewhereError::NoRoom(key.name.clone())
    }

    /// Nobody of that identity is there, or it has just left.
    pub(crate) fn no_participant(key: &RoomKey, identity: &str) -> ElsewhereError {
        ElsewhereError::NoParticipant { room: key.name.clone(), identity: identity.to_owned() }
    }
}

impl Rooms {
    /// What whoever bears `identity` in the room `from` may do, if it can go to the room `to` at all.
    pub(crate) async fn traveller(
        &self,
        from: &RoomKey,
        identity: &str,
        to: &RoomKey,
    ) -> Result<Grants, ElsewhereError> {
        if from == to {
            return Err(ElsewhereError::SameRoom);
        }
        let name = identity.to_owned();
        let grants = self.ask(from, move |room, _| room.grants_of(&name)).await;
        let grants = grants.ok_or_else(|| ElsewhereError::no_room(from))?;
        grants.ok_or_else(|| ElsewhereError::no_participant(from, identity))
    }

    /// Sees to it that there is a room to go to.
    pub(crate) fn destination(self: &Arc<Self>, to: &RoomKey) -> Result<(), ElsewhereError> {
        self.open(to).map_err(|refusal| ElsewhereError::NoDestination { room: to.name.clone(), refusal })
    }
}
