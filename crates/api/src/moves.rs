// SPDX-License-Identifier: EUPL-1.2
//! Participants that go on in another room, by the word of an application's server.

use std::sync::Arc;
use std::time::Duration;

use parvis_signal::{ClosedError, Grants, RoomView};

use crate::rooms::{JoinRefusal, Rooms};
use crate::tenant::RoomKey;

/// How long the token for the new room lasts: the client connects anew at once, and tries for a while if its network is bad.
const MOVE_TOKEN: Duration = Duration::from_secs(600);

/// Why nobody was moved.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MoveError {
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
}

impl Rooms {
    /// Sends whoever bears `identity` in the room `from` to the room `to`, which comes to be if need be. It keeps its
    /// name, attributes and permissions. Nothing changes when it can't go.
    pub(crate) async fn move_participant(
        self: &Arc<Self>,
        from: &RoomKey,
        identity: &str,
        to: &RoomKey,
    ) -> Result<(), MoveError> {
        if from == to {
            return Err(MoveError::SameRoom);
        }
        let no_room = || MoveError::NoRoom(from.name.clone());
        let no_participant =
            || MoveError::NoParticipant { room: from.name.clone(), identity: identity.to_owned() };
        let name = identity.to_owned();
        let grants = self.ask(from, move |room, _| room.grants_of(&name)).await.ok_or_else(no_room)?;
        let grants = grants.ok_or_else(no_participant)?;
        let token = self.live().keys.issue_for(&to.tenant, &to.name, &grants, MOVE_TOKEN);
        let token = token.map_err(|error| MoveError::NoToken(error.to_string()))?;
        let view = self.view_of(to, grants).await?;
        let name = identity.to_owned();
        let moved = self.ask(from, move |room, now| room.move_to(now, &name, view, token)).await;
        // It may have left meanwhile.
        if moved.ok_or_else(no_room)? { Ok(()) } else { Err(no_participant()) }
    }

    async fn view_of(self: &Arc<Self>, to: &RoomKey, grants: Grants) -> Result<RoomView, MoveError> {
        self.open(to).map_err(|refusal| MoveError::NoDestination { room: to.name.clone(), refusal })?;
        let view = self.ask(to, move |room, _| room.view_for(&grants)).await;
        let view =
            view.ok_or_else(|| MoveError::Closed { room: to.name.clone(), closed: ClosedError::Ending })?;
        view.map_err(|closed| MoveError::Closed { room: to.name.clone(), closed })
    }
}
