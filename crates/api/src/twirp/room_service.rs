// SPDX-License-Identifier: EUPL-1.2
//! `livekit.RoomService`: rooms and who is in them.

use livekit_protocol as proto;
use parvis_meeting::text;
use parvis_signal::{
    Control, RECORD_NOTHING, RECORD_TAG, RETENTION_TAG, Reply, RoomSettings, retention_days,
};

use super::Call;
use super::error::{Code, TwirpError};
use crate::presets;
use crate::rooms::{ControlFailure, Opening};

type Result<T> = std::result::Result<T, TwirpError>;

/// Makes a room ahead, or changes the settings of one that is there.
pub(super) async fn create_room(call: Call, request: proto::CreateRoomRequest) -> Result<proto::Room> {
    text::check_name("name", &request.name, call.rooms.live().keys.room_name_chars())
        .map_err(TwirpError::invalid)?;
    if request.egress.is_some() && call.rooms.egress_engine.get().is_none() {
        let message = "rooms can't be recorded from their beginning yet: this server has no media worker";
        return Err(TwirpError::new(Code::Unimplemented, message));
    }
    let room = call.authority.room(&request.name);
    let (presets, preset) = (call.rooms.live().config.presets.clone(), request.room_preset.clone());
    let mut wanted = presets.resolve(&preset, presets::asked(request)).map_err(TwirpError::invalid)?;
    check_recording(&wanted, call.rooms.egress_engine.get().is_some())?;
    let settings = RoomSettings::of(&wanted);
    let egress = wanted.egress.take().filter(|_| call.rooms.id_of(&room).is_none());
    let opening = Opening { agents: wanted.agents.clone() };
    let made = call.rooms.create(&room, &call.authority.actor(), settings, opening).await?;
    call.rooms.keep_ahead(&room, wanted).await;
    if let Some(egress) = egress {
        call.rooms.start_egress_of(&room, egress).await?;
    }
    Ok(made)
}

/// Finds what is wrong with what is wanted of a room's recordings, where `recorded` says whether there are any.
fn check_recording(wanted: &proto::RoomConfiguration, recorded: bool) -> Result<()> {
    if let Some(days) = wanted.tags.get(RETENTION_TAG).filter(|days| retention_days(days).is_none()) {
        let text =
            format!("the tag {RETENTION_TAG} is {days:?}: give whole days from 1 to 36500, or leave it out");
        return Err(TwirpError::invalid(text));
    }
    if let Some(layout) = wanted.tags.get(RECORD_TAG).filter(|layout| *layout != RECORD_NOTHING && !recorded)
    {
        let text = format!(
            "the tag {RECORD_TAG} asks for {layout:?}, and this server records nothing: leave it out"
        );
        return Err(TwirpError::new(Code::Unimplemented, text));
    }
    Ok(())
}

pub(super) async fn list_rooms(
    call: Call,
    request: proto::ListRoomsRequest,
) -> Result<proto::ListRoomsResponse> {
    let rooms = call.rooms.list(&call.authority.tenant, &request.names).await;
    Ok(proto::ListRoomsResponse { rooms })
}

/// Ends a room, and answers when it is gone.
pub(super) async fn delete_room(
    call: Call,
    request: proto::DeleteRoomRequest,
) -> Result<proto::DeleteRoomResponse> {
    call.rooms.delete(&call.authority.room(&request.room), &call.authority.actor()).await?;
    Ok(proto::DeleteRoomResponse {})
}

pub(super) async fn update_room_metadata(
    call: Call,
    request: proto::UpdateRoomMetadataRequest,
) -> Result<proto::Room> {
    let metadata = request.metadata.clone();
    match control(&call, &request.room, Control::SetMetadata(request.metadata)).await? {
        Reply::Room(room) => {
            call.rooms.keep_metadata(&call.authority.room(&request.room), metadata).await;
            Ok(*room)
        }
        _ => Err(unexpected()),
    }
}

pub(super) async fn send_data(
    call: Call,
    request: proto::SendDataRequest,
) -> Result<proto::SendDataResponse> {
    let room = request.room.clone();
    control(&call, &room, Control::SendData(request)).await?;
    Ok(proto::SendDataResponse {})
}

/// In a room that is not there nobody is.
pub(super) async fn list_participants(
    call: Call,
    request: proto::ListParticipantsRequest,
) -> Result<proto::ListParticipantsResponse> {
    let room = call.authority.room(&request.room);
    match call.rooms.control(&room, &call.authority.actor(), Control::ListParticipants).await {
        Ok(Reply::Participants(participants)) => Ok(proto::ListParticipantsResponse { participants }),
        Ok(_) => Err(unexpected()),
        Err(ControlFailure::NoRoom(_)) => Ok(proto::ListParticipantsResponse::default()),
        Err(failure) => Err(failure.into()),
    }
}

pub(super) async fn get_participant(
    call: Call,
    request: proto::RoomParticipantIdentity,
) -> Result<proto::ParticipantInfo> {
    participant(control(&call, &request.room, Control::GetParticipant(request.identity)).await?)
}

pub(super) async fn remove_participant(
    call: Call,
    request: proto::RoomParticipantIdentity,
) -> Result<proto::RemoveParticipantResponse> {
    let room = request.room.clone();
    control(&call, &room, Control::RemoveParticipant(request)).await?;
    Ok(proto::RemoveParticipantResponse {})
}

pub(super) async fn mute_published_track(
    call: Call,
    request: proto::MuteRoomTrackRequest,
) -> Result<proto::MuteRoomTrackResponse> {
    let room = request.room.clone();
    match control(&call, &room, Control::MuteTrack(request)).await? {
        Reply::Track(track) => Ok(proto::MuteRoomTrackResponse { track: Some(*track) }),
        _ => Err(unexpected()),
    }
}

pub(super) async fn update_participant(
    call: Call,
    request: proto::UpdateParticipantRequest,
) -> Result<proto::ParticipantInfo> {
    let room = request.room.clone();
    participant(control(&call, &room, Control::UpdateParticipant(Box::new(request))).await?)
}

pub(super) async fn update_subscriptions(
    call: Call,
    request: proto::UpdateSubscriptionsRequest,
) -> Result<proto::UpdateSubscriptionsResponse> {
    let room = request.room.clone();
    control(&call, &room, Control::UpdateSubscriptions(request)).await?;
    Ok(proto::UpdateSubscriptionsResponse {})
}

async fn control(call: &Call, room: &str, control: Control) -> Result<Reply> {
    let room = call.authority.room(room);
    Ok(call.rooms.control(&room, &call.authority.actor(), control).await?)
}

fn participant(reply: Reply) -> Result<proto::ParticipantInfo> {
    match reply {
        Reply::Participant(info) => Ok(*info),
        _ => Err(unexpected()),
    }
}

/// A room answered another question than the one that was asked.
fn unexpected() -> TwirpError {
    TwirpError::new(Code::Internal, "the room gave an answer that does not fit")
}
