// SPDX-License-Identifier: EUPL-1.2
//! The media side, as rooms see it.

use parvis_sfu::{Command, ForwarderId, RoomId};

/// Where media is forwarded: shards on threads, or a simulation. Answers come back through
/// [`crate::Api::event`] and [`crate::Api::lose_rooms`].
pub trait Forwarders: Send + Sync + 'static {
    /// Names a new room's media, never used before. `None` when there is nobody to forward it.
    fn new_room(&self) -> Option<RoomId>;
    /// The forwarder on which a room of [`Forwarders::new_room`] begins.
    fn home(&self, room: RoomId) -> ForwarderId;
    /// Gives a part of a room to one more forwarder. `None` when it is on all of them.
    fn open_part(&self, room: RoomId) -> Option<ForwarderId>;
    /// Says that a room of [`Forwarders::new_room`] is over, with all its parts.
    fn room_ended(&self, room: RoomId);
    /// Hands a command over, or gives it back when the forwarder can't keep up.
    fn command(&self, to: ForwarderId, command: Command) -> Result<(), Box<Command>>;
    /// Whether media can be forwarded at all.
    fn is_healthy(&self) -> bool;
}
