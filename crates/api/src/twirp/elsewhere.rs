// SPDX-License-Identifier: EUPL-1.2
//! Calls that reach over into another room, and into a participant's own program.

use std::time::Duration;

use livekit_protocol as proto;
use parvis_meeting::text;
use parvis_signal::ForwardError;

use super::Call;
use super::error::{Code, TwirpError};
use crate::elsewhere::ElsewhereError;
use crate::rpc::PerformRpcError;

type Result<T> = std::result::Result<T, TwirpError>;

/// How long a method may take when nobody says.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// What is left of a request's time when a method is given up, so that there is an answer that says so.
const MARGIN: Duration = Duration::from_secs(1);

pub(super) async fn forward_participant(
    call: Call,
    request: proto::ForwardParticipantRequest,
) -> Result<proto::ForwardParticipantResponse> {
    let chars = call.rooms.live().keys.room_name_chars();
    text::check_name("destination_room", &request.destination_room, chars).map_err(TwirpError::invalid)?;
    let from = call.authority.room(&request.room);
    let to = call.authority.room(&request.destination_room);
    call.rooms.forward_participant(&from, &request.identity, &to).await?;
    Ok(proto::ForwardParticipantResponse {})
}

pub(super) async fn move_participant(
    call: Call,
    request: proto::MoveParticipantRequest,
) -> Result<proto::MoveParticipantResponse> {
    let chars = call.rooms.live().keys.room_name_chars();
    text::check_name("destination_room", &request.destination_room, chars).map_err(TwirpError::invalid)?;
    let from = call.authority.room(&request.room);
    let to = call.authority.room(&request.destination_room);
    call.rooms.move_participant(&from, &request.identity, &to).await?;
    Ok(proto::MoveParticipantResponse {})
}

pub(super) async fn perform_rpc(
    call: Call,
    request: proto::PerformRpcRequest,
) -> Result<proto::PerformRpcResponse> {
    let room = call.authority.room(&request.room);
    let wanted = match request.response_timeout_ms {
        0 => DEFAULT_TIMEOUT,
        milliseconds => Duration::from_millis(milliseconds.into()),
    };
    let timeout = wanted.min(call.rooms.live().config.connections.request.saturating_sub(MARGIN));
    let (to, method) = (&request.destination_identity, &request.method);
    let payload = call.rooms.perform_rpc(&room, to, method, request.payload, timeout).await?;
    Ok(proto::PerformRpcResponse { payload })
}

impl From<ElsewhereError> for TwirpError {
    fn from(error: ElsewhereError) -> Self {
        let code = match &error {
            ElsewhereError::NoRoom(_) | ElsewhereError::NoParticipant { .. } => Code::NotFound,
            ElsewhereError::SameRoom | ElsewhereError::NoToken(_) => Code::InvalidArgument,
            ElsewhereError::TooMany(_) => Code::ResourceExhausted,
            ElsewhereError::Refused(ForwardError::Taken) => Code::AlreadyExists,
            ElsewhereError::NoDestination { .. }
            | ElsewhereError::Closed { .. }
            | ElsewhereError::Refused(_) => Code::FailedPrecondition,
        };
        TwirpError::new(code, error)
    }
}

impl From<PerformRpcError> for TwirpError {
    fn from(error: PerformRpcError) -> Self {
        let code = match &error {
            PerformRpcError::NoRoom(_) => Code::NotFound,
            PerformRpcError::Failed(failed) => match failed.code {
                1401 => Code::NotFound,
                1402 => Code::InvalidArgument,
                1501 | 1502 => Code::DeadlineExceeded,
                1503 => Code::Unavailable,
                // The method's own word.
                _ => Code::FailedPrecondition,
            },
        };
        TwirpError::new(code, error)
    }
}
