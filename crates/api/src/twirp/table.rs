// SPDX-License-Identifier: EUPL-1.2
//! Every call, the grant that it needs, and what it does.

use livekit_protocol as proto;

use super::{Method, elsewhere, room_service as room};
use crate::authority::Need;

const ROOM: &str = "RoomService";

/// Path and grant of every call of the server APIs: `("/twirp/livekit.RoomService/CreateRoom", "roomCreate")`.
pub fn server_api() -> Vec<(String, &'static str)> {
    table().into_iter().map(|method| (method.path(), method.grant)).collect()
}

/// The table. Routes, tests and documentation are made from it.
pub(super) fn table() -> Vec<Method> {
    let mut table = rooms();
    table.extend(participants());
    table
}

#[rustfmt::skip]
fn rooms() -> Vec<Method> {
    vec![
        Method::new((ROOM, "CreateRoom"), "roomCreate", |_| Need::RoomCreate, room::create_room),
        Method::new((ROOM, "ListRooms"), "roomList", |_| Need::RoomList, room::list_rooms),
        Method::new((ROOM, "DeleteRoom"), "roomCreate", |_| Need::RoomCreate, room::delete_room),
        Method::new((ROOM, "UpdateRoomMetadata"), "roomAdmin", |q: &proto::UpdateRoomMetadataRequest| admin(&q.room), room::update_room_metadata),
        Method::new((ROOM, "SendData"), "roomAdmin", |q: &proto::SendDataRequest| admin(&q.room), room::send_data),
    ]
}

#[rustfmt::skip]
fn participants() -> Vec<Method> {
    vec![
        Method::new((ROOM, "ListParticipants"), "roomAdmin", |q: &proto::ListParticipantsRequest| admin(&q.room), room::list_participants),
        Method::new((ROOM, "GetParticipant"), "roomAdmin", |q: &proto::RoomParticipantIdentity| admin(&q.room), room::get_participant),
        Method::new((ROOM, "RemoveParticipant"), "roomAdmin", |q: &proto::RoomParticipantIdentity| admin(&q.room), room::remove_participant),
        Method::new((ROOM, "MutePublishedTrack"), "roomAdmin", |q: &proto::MuteRoomTrackRequest| admin(&q.room), room::mute_published_track),
        Method::new((ROOM, "UpdateParticipant"), "roomAdmin", |q: &proto::UpdateParticipantRequest| admin(&q.room), room::update_participant),
        Method::new((ROOM, "UpdateSubscriptions"), "roomAdmin", |q: &proto::UpdateSubscriptionsRequest| admin(&q.room), room::update_subscriptions),
        Method::new((ROOM, "ForwardParticipant"), "roomAdmin, destinationRoom", |q: &proto::ForwardParticipantRequest| admin_to(&q.room, &q.destination_room), elsewhere::forward_participant),
        Method::new((ROOM, "MoveParticipant"), "roomAdmin, destinationRoom", |q: &proto::MoveParticipantRequest| admin_to(&q.room, &q.destination_room), elsewhere::move_participant),
        Method::new((ROOM, "PerformRpc"), "roomAdmin", |q: &proto::PerformRpcRequest| admin(&q.room), elsewhere::perform_rpc),
    ]
}

fn admin(room: &str) -> Need {
    Need::RoomAdmin(room.to_owned())
}

fn admin_to(room: &str, to: &str) -> Need {
    Need::RoomAdminTo(room.to_owned(), to.to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_path_is_there_once_and_names_a_grant() {
        let api = server_api();
        let paths: BTreeSet<&str> = api.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths.len(), api.len());
        assert!(api.iter().all(|(_, grant)| !grant.is_empty()));
        let rooms = paths.iter().filter(|path| path.starts_with("/twirp/livekit.RoomService/")).count();
        assert_eq!(rooms, 14, "the protocol's room service has 14 calls");
    }
}
