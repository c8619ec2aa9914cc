// SPDX-License-Identifier: EUPL-1.2
//! `livekit.AgentDispatchService`: which agents come to a room.

use livekit_protocol as proto;
use parvis_meeting::text;
use parvis_signal::{Control, RoomSettings};

use super::Call;
use super::error::{Code, TwirpError};
use crate::agents::DispatchError;
use crate::rooms::{ControlFailure, Opening};

type Result<T> = std::result::Result<T, TwirpError>;

/// Asks for an agent. Where rooms come to be by themselves, this one does too; it waits for the agent and for people.
pub(super) async fn create_dispatch(
    call: Call,
    request: proto::CreateAgentDispatchRequest,
) -> Result<proto::AgentDispatch> {
    let (room, actor) = (call.authority.room(&request.room), call.authority.actor());
    let known = call.rooms.control(&room, &actor, Control::Describe).await;
    match known {
        Err(ControlFailure::NoRoom(_)) if call.rooms.live().config.auto_create => {
            text::check_name("room", &request.room, call.rooms.live().keys.room_name_chars())
                .map_err(TwirpError::invalid)?;
            let opening = Opening { agents: Vec::new() };
            call.rooms.create(&room, &actor, RoomSettings::default(), opening).await?;
            call.rooms.keep_ahead(&room, proto::RoomConfiguration::default()).await;
        }
        known => drop(known?),
    }
    let dispatch = call.rooms.agents.create_dispatch(room.clone(), request).await?;
    call.rooms.keep_agent(&room, &dispatch).await;
    Ok(dispatch)
}

/// Takes a dispatch back.
pub(super) async fn delete_dispatch(
    call: Call,
    request: proto::DeleteAgentDispatchRequest,
) -> Result<proto::AgentDispatch> {
    let room = checked(&call, &request.room).await?;
    let dispatch = call.rooms.agents.delete_dispatch(room.clone(), request.dispatch_id).await?;
    call.rooms.drop_agent(&room, &dispatch).await;
    Ok(dispatch)
}

/// The dispatches to a room, with their jobs.
pub(super) async fn list_dispatch(
    call: Call,
    request: proto::ListAgentDispatchRequest,
) -> Result<proto::ListAgentDispatchResponse> {
    let room = checked(&call, &request.room).await?;
    let agent_dispatches = call.rooms.agents.list_dispatches(room, request.dispatch_id).await;
    Ok(proto::ListAgentDispatchResponse { agent_dispatches })
}

/// A room that is there and in which the token was not revoked.
async fn checked(call: &Call, room: &str) -> Result<crate::tenant::RoomKey> {
    let room = call.authority.room(room);
    call.rooms.control(&room, &call.authority.actor(), Control::Describe).await?;
    Ok(room)
}

impl From<DispatchError> for TwirpError {
    fn from(error: DispatchError) -> Self {
        let code = match error {
            DispatchError::NoRoom | DispatchError::NotFound => Code::NotFound,
            DispatchError::TooMany => Code::ResourceExhausted,
            DispatchError::TooLarge => Code::InvalidArgument,
        };
        TwirpError::new(code, error)
    }
}
