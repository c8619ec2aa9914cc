// SPDX-License-Identifier: EUPL-1.2
//! `livekit.Ingress`: streams that come in. WHIP comes in as it is, without transcoding; RTMP and URLs would take a media
//! worker.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use livekit_protocol as proto;
use livekit_protocol::IngressInput;
use parvis_meeting::text;
use parvis_signal::{Control, Reply};
use parvis_store::StoreError;

use super::Call;
use super::error::{Code, TwirpError};
use super::stored::new_id;
use crate::whip;

type Result<T> = std::result::Result<T, TwirpError>;

/// Bytes of randomness in a stream key: 144 bits.
const STREAM_KEY_BYTES: usize = 18;
/// Characters of a name, an identity and a room's name.
const MAX_NAME_CHARS: usize = 256;

pub(super) async fn create_ingress(
    call: Call,
    request: proto::CreateIngressRequest,
) -> Result<proto::IngressInfo> {
    check_input(request.input_type())?;
    #[allow(deprecated)]
    let info = proto::IngressInfo {
        ingress_id: new_id("IN_"),
        name: request.name,
        stream_key: URL_SAFE_NO_PAD.encode(rand::random::<[u8; STREAM_KEY_BYTES]>()),
        url: call.rooms.live().config.whip_url.clone(),
        input_type: request.input_type,
        bypass_transcoding: request.bypass_transcoding,
        enable_transcoding: request.enable_transcoding,
        audio: request.audio,
        video: request.video,
        room_name: request.room_name,
        participant_identity: request.participant_identity,
        participant_name: request.participant_name,
        participant_metadata: request.participant_metadata,
        reusable: true,
        state: Some(proto::IngressState::default()),
        enabled: request.enabled,
    };
    check(&call, &info)?;
    call.store()?.create_ingress(&call.authority.tenant, &info).await?;
    Ok(info)
}

/// Changes an ingress for the next time that it is used.
pub(super) async fn update_ingress(
    call: Call,
    request: proto::UpdateIngressRequest,
) -> Result<proto::IngressInfo> {
    let mut info = find(&call, &request.ingress_id).await?;
    let change = |text: &mut String, new: String| {
        if !new.is_empty() {
            *text = new;
        }
    };
    change(&mut info.name, request.name);
    change(&mut info.room_name, request.room_name);
    change(&mut info.participant_identity, request.participant_identity);
    change(&mut info.participant_name, request.participant_name);
    change(&mut info.participant_metadata, request.participant_metadata);
    #[allow(deprecated)]
    if let Some(bypass) = request.bypass_transcoding {
        info.bypass_transcoding = bypass;
    }
    info.enable_transcoding = request.enable_transcoding.or(info.enable_transcoding);
    info.audio = request.audio.or(info.audio);
    info.video = request.video.or(info.video);
    info.enabled = request.enabled.or(info.enabled);
    check(&call, &info)?;
    call.store()?.update_ingress(&call.authority.tenant, &info).await?;
    Ok(info)
}

pub(super) async fn list_ingress(
    call: Call,
    request: proto::ListIngressRequest,
) -> Result<proto::ListIngressResponse> {
    let room = Some(request.room_name.as_str()).filter(|room| !room.is_empty());
    let mut items = call.store()?.list_ingresses(&call.authority.tenant, room).await?;
    items.retain(|item| request.ingress_id.is_empty() || item.ingress_id == request.ingress_id);
    for item in &mut items {
        let now = call.rooms.ingresses.state(&call.authority.tenant, &item.ingress_id);
        item.state = now.or(item.state.take());
    }
    Ok(proto::ListIngressResponse { items, next_page_token: None })
}

/// Takes an ingress away; what comes in by it at this moment ends.
pub(super) async fn delete_ingress(
    call: Call,
    request: proto::DeleteIngressRequest,
) -> Result<proto::IngressInfo> {
    let info = call.store()?.delete_ingress(&call.authority.tenant, &request.ingress_id).await?;
    let (room, actor) = (call.authority.room(&info.room_name), call.authority.actor());
    let identity = info.participant_identity.clone();
    let streams = call.rooms.control(&room, &actor, Control::GetParticipant(identity.clone())).await;
    if let Ok(Reply::Participant(participant)) = streams
        && participant.kind() == proto::participant_info::Kind::Ingress
    {
        // Its key is gone; another ingress may have the same identity.
        let revoke_token_ts = i64::try_from(whip::COUNTS_FROM).unwrap_or(i64::MAX);
        let remove = proto::RoomParticipantIdentity { identity, revoke_token_ts, ..Default::default() };
        // It may just have gone by itself.
        let _ = call.rooms.control(&room, &actor, Control::RemoveParticipant(remove)).await;
    }
    Ok(info)
}

async fn find(call: &Call, id: &str) -> Result<proto::IngressInfo> {
    let found = call.store()?.ingress(&call.authority.tenant, id).await?;
    found.ok_or_else(|| StoreError::NotFound { what: "ingress", id: id.to_owned() }.into())
}

fn check_input(input: IngressInput) -> Result<()> {
    match input {
        IngressInput::WhipInput => Ok(()),
        IngressInput::RtmpInput => {
            let message = "RTMP has to be decoded, for which this server has no media worker yet: use WHIP";
            Err(TwirpError::new(Code::Unimplemented, message))
        }
        IngressInput::UrlInput => {
            let message = "this server fetches nothing from elsewhere: use WHIP";
            Err(TwirpError::new(Code::Unimplemented, message))
        }
    }
}

/// What holds for every ingress that is kept.
fn check(call: &Call, info: &proto::IngressInfo) -> Result<()> {
    text::check_name("participant_identity", &info.participant_identity, MAX_NAME_CHARS)
        .map_err(TwirpError::invalid)?;
    text::clean("participant_name", &info.participant_name, MAX_NAME_CHARS).map_err(TwirpError::invalid)?;
    text::clean("name", &info.name, MAX_NAME_CHARS).map_err(TwirpError::invalid)?;
    if !info.room_name.is_empty() {
        text::check_name("room_name", &info.room_name, call.rooms.live().keys.room_name_chars())
            .map_err(TwirpError::invalid)?;
    }
    if info.enable_transcoding == Some(true) {
        let message = "WHIP is not transcoded here: leave enable_transcoding out";
        return Err(TwirpError::new(Code::Unimplemented, message));
    }
    let video = info.video.as_ref().is_some_and(|video| video.encoding_options.is_some());
    let audio = info.audio.as_ref().is_some_and(|audio| audio.encoding_options.is_some());
    if video || audio {
        return Err(TwirpError::invalid("encoding options have no meaning without transcoding"));
    }
    Ok(())
}
