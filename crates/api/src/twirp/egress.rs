// SPDX-License-Identifier: EUPL-1.2
//! `livekit.Egress`: recordings and streams. What becomes of a request is in [`crate::egress`].

use livekit_protocol as proto;
use livekit_protocol::EgressInfo;
use livekit_protocol::egress_info::Request;

use super::Call;
use super::error::{Code, TwirpError};
use crate::egress::{EgressError, EngineError, redacted};

type Result<T> = std::result::Result<T, TwirpError>;

pub(super) async fn start_egress(call: Call, request: proto::StartEgressRequest) -> Result<EgressInfo> {
    start(call, Request::Egress(request)).await
}

pub(super) async fn start_room_composite(
    call: Call,
    request: proto::RoomCompositeEgressRequest,
) -> Result<EgressInfo> {
    start(call, Request::RoomComposite(request)).await
}

pub(super) async fn start_web(call: Call, request: proto::WebEgressRequest) -> Result<EgressInfo> {
    start(call, Request::Web(request)).await
}

pub(super) async fn start_participant(
    call: Call,
    request: proto::ParticipantEgressRequest,
) -> Result<EgressInfo> {
    start(call, Request::Participant(request)).await
}

pub(super) async fn start_track_composite(
    call: Call,
    request: proto::TrackCompositeEgressRequest,
) -> Result<EgressInfo> {
    start(call, Request::TrackComposite(request)).await
}

pub(super) async fn start_track(call: Call, request: proto::TrackEgressRequest) -> Result<EgressInfo> {
    start(call, Request::Track(request)).await
}

async fn start(call: Call, request: Request) -> Result<EgressInfo> {
    Ok(call.rooms.start_egress(&call.authority.tenant, request).await?)
}

pub(super) async fn update_layout(call: Call, request: proto::UpdateLayoutRequest) -> Result<EgressInfo> {
    let tenant = &call.authority.tenant;
    Ok(call.rooms.set_egress_layout(tenant, &request.egress_id, &request.layout).await?)
}

pub(super) async fn update_stream(call: Call, request: proto::UpdateStreamRequest) -> Result<EgressInfo> {
    let proto::UpdateStreamRequest { egress_id, add_output_urls, remove_output_urls } = request;
    let tenant = &call.authority.tenant;
    Ok(call.rooms.set_egress_urls(tenant, &egress_id, &add_output_urls, &remove_output_urls).await?)
}

pub(super) async fn stop_egress(call: Call, request: proto::StopEgressRequest) -> Result<EgressInfo> {
    Ok(call.rooms.stop_egress(&call.authority.tenant, &request.egress_id).await?)
}

/// The records of a tenant: of one room or all, one or all, all or only those that have not ended.
pub(super) async fn list_egress(
    call: Call,
    request: proto::ListEgressRequest,
) -> Result<proto::ListEgressResponse> {
    let (store, tenant) = (call.store()?, &call.authority.tenant);
    let room = Some(request.room_name.as_str()).filter(|room| !room.is_empty());
    let mut items = store.list_egresses(tenant, room, request.active).await?;
    items.retain(|item| request.egress_id.is_empty() || item.egress_id == request.egress_id);
    let items = items.into_iter().map(redacted).collect();
    Ok(proto::ListEgressResponse { items, next_page_token: None })
}

impl From<EgressError> for TwirpError {
    fn from(error: EgressError) -> Self {
        let code = match error {
            EgressError::Store(error) => return error.into(),
            EgressError::Invalid(_) => Code::InvalidArgument,
            EgressError::NoRoom(_) | EgressError::Engine(EngineError::NotThere(_)) => Code::NotFound,
            EgressError::NeedsBrowser | EgressError::Engine(EngineError::Unable(_)) => Code::Unimplemented,
            EgressError::Engine(EngineError::Busy(_)) => Code::ResourceExhausted,
            EgressError::Engine(EngineError::Failed(_)) => Code::Internal,
            EgressError::NoEngine
            | EgressError::NoStore
            | EgressError::Encrypted
            | EgressError::State { .. }
            | EgressError::Backwards { .. }
            | EgressError::Engine(EngineError::Unknown) => Code::FailedPrecondition,
        };
        TwirpError::new(code, error)
    }
}
