// SPDX-License-Identifier: EUPL-1.2
//! Participants that go on in another room, by the word of an application's server.

use std::sync::Arc;
use std::time::Duration;

use parvis_signal::{ClosedError, Grants, RoomView};

use crate::elsewhere::ElsewhereError;
use crate::rooms::Rooms;
use crate::tenant::RoomKey;

/// How long the token for the new room lasts: the client connects anew at once, and tries for a while if its network is bad.
const MOVE_TOKEN: Duration = Duration::from_secs(600);

impl Rooms {
    /// Sends whoever bears `identity` in the room `from` to the room `to`, which comes to be if need be. It keeps its
    /// name, attributes and permissions. Nothing changes when it can't go.
    pub(crate) async fn move_participant(
        self: &Arc<Self>,
        from: &RoomKey,
        identity: &str,
        to: &RoomKey,
    ) -> Result<(), ElsewhereError> {
        let grants = self.traveller(from, identity, to).await?;
        let token = self.live().keys.issue_for(&to.tenant, &to.name, &grants, MOVE_TOKEN);
        let token = token.map_err(|error| ElsewhereError::NoToken(error.to_string()))?;
        let view = self.view_of(to, grants).await?;
        let name = identity.to_owned();
        let moved = self.ask(from, move |room, now| room.move_to(now, &name, view, token)).await;
        // It may have left meanwhile.
        if moved.ok_or_else(|| ElsewhereError::no_room(from))? {
            Ok(())
        } else {
            Err(ElsewhereError::no_participant(from, identity))
        }
    }

    async fn view_of(self: &Arc<Self>, to: &RoomKey, grants: Grants) -> Result<RoomView, ElsewhereError> {
        self.destination(to)?;
        let view = self.ask(to, move |room, _| room.view_for(&grants)).await;
        let closed = |closed| ElsewhereError::Closed { room: to.name.clone(), closed };
        view.ok_or_else(|| closed(ClosedError::Ending))?.map_err(closed)
    }
}
