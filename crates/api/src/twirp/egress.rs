// SPDX-License-Identifier: EUPL-1.2
//! `livekit.Egress`: recordings and streams. Records are listed; nothing can be started, since what would decode and write
//! runs in a media worker, which this server does not have yet.

use livekit_protocol as proto;

use super::Call;
use super::error::{Code, TwirpError};

type Result<T> = std::result::Result<T, TwirpError>;

pub(super) async fn start_egress(_: Call, request: proto::StartEgressRequest) -> Result<proto::EgressInfo> {
    match request.source {
        Some(proto::start_egress_request::Source::Web(_)) => Err(needs_browser()),
        _ => Err(no_worker()),
    }
}

pub(super) async fn start_room_composite(
    _: Call,
    request: proto::RoomCompositeEgressRequest,
) -> Result<proto::EgressInfo> {
    if request.custom_base_url.is_empty() { Err(no_worker()) } else { Err(needs_browser()) }
}

pub(super) async fn start_web(_: Call, _: proto::WebEgressRequest) -> Result<proto::EgressInfo> {
    Err(needs_browser())
}

pub(super) async fn start_participant(
    _: Call,
    _: proto::ParticipantEgressRequest,
) -> Result<proto::EgressInfo> {
    Err(no_worker())
}

pub(super) async fn start_track_composite(
    _: Call,
    _: proto::TrackCompositeEgressRequest,
) -> Result<proto::EgressInfo> {
    Err(no_worker())
}

pub(super) async fn start_track(_: Call, _: proto::TrackEgressRequest) -> Result<proto::EgressInfo> {
    Err(no_worker())
}

pub(super) async fn update_layout(
    call: Call,
    request: proto::UpdateLayoutRequest,
) -> Result<proto::EgressInfo> {
    running(&call, &request.egress_id).await
}

pub(super) async fn update_stream(
    call: Call,
    request: proto::UpdateStreamRequest,
) -> Result<proto::EgressInfo> {
    running(&call, &request.egress_id).await
}

pub(super) async fn stop_egress(call: Call, request: proto::StopEgressRequest) -> Result<proto::EgressInfo> {
    running(&call, &request.egress_id).await
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
    Ok(proto::ListEgressResponse { items, next_page_token: None })
}

/// One that can be changed. Without a worker none runs: what there is has ended.
async fn running(call: &Call, id: &str) -> Result<proto::EgressInfo> {
    let egress = call.store()?.egress(&call.authority.tenant, id).await?;
    let egress =
        egress.ok_or_else(|| TwirpError::new(Code::NotFound, format!("there is no egress {id:?}")))?;
    let message = format!("egress {id:?} is {} and can't be changed", egress.status().as_str_name());
    Err(TwirpError::new(Code::FailedPrecondition, message))
}

fn no_worker() -> TwirpError {
    let message = "this server has no media worker yet: recordings and streams can't be started";
    TwirpError::new(Code::FailedPrecondition, message)
}

fn needs_browser() -> TwirpError {
    let message =
        "web pages are not recorded here: that takes a browser for each recording, and this server runs none";
    TwirpError::new(Code::Unimplemented, message)
}
