// SPDX-License-Identifier: EUPL-1.2
//! Calls that reach over into another room, and into a participant's own program.

use livekit_protocol as proto;

use super::Call;
use super::error::{Code, TwirpError};

type Result<T> = std::result::Result<T, TwirpError>;

pub(super) async fn forward_participant(
    _: Call,
    _: proto::ForwardParticipantRequest,
) -> Result<proto::ForwardParticipantResponse> {
    Err(TwirpError::new(Code::Unimplemented, "participants can't be forwarded to other rooms yet"))
}

pub(super) async fn move_participant(
    _: Call,
    _: proto::MoveParticipantRequest,
) -> Result<proto::MoveParticipantResponse> {
    Err(TwirpError::new(Code::Unimplemented, "participants can't be moved to other rooms yet"))
}

pub(super) async fn perform_rpc(_: Call, _: proto::PerformRpcRequest) -> Result<proto::PerformRpcResponse> {
    Err(TwirpError::new(Code::Unimplemented, "the server can't call participants' methods yet"))
}
