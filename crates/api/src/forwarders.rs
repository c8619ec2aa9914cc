// SPDX-License-Identifier: EUPL-1.2
//! The media side, as rooms see it.

use parvis_sfu::{Command, RoomId};

/// Where media is forwarded: shards on threads, or a simulation. Answers come back through
/// [`crate::Api::event`] and [`crate::Api::lose_rooms`].
pub trait Forwarders: Send + Sync + 'static {
    /// Names a new room's media, never used before. `None` when there is nobody to forward it.
    fn new_room(&self) -> Option<RoomId>;
    /// Says that a room of [`Forwarders::new_room`] is over.
    fn room_ended(&self, room: RoomId);
    /// Hands a command over, or gives it back when the forwarder can't keep up.
    fn command(&self, room: RoomId, command: Command) -> Result<(), Box<Command>>;
    /// Whether media can be forwarded at all.
    fn is_healthy(&self) -> bool;
}
