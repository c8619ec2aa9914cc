// SPDX-License-Identifier: EUPL-1.2
//! Whole descriptions of participants, and of ourselves.

use livekit_protocol as proto;
use livekit_protocol::participant_info::State as ProtoState;
use parvis_meeting::{Participant, State};

use super::{SERVER_PROTOCOL, SERVER_VERSION, kind, permission};
use crate::RoomConfig;

/// What others see of a participant. `state` is `None` when it has left.
pub(crate) fn participant_info(
    participant: &Participant,
    state: Option<State>,
    sid: &str,
    client: &proto::ClientInfo,
    joined_at_ms: i64,
    tracks: Vec<proto::TrackInfo>,
) -> proto::ParticipantInfo {
    proto::ParticipantInfo {
        sid: sid.to_owned(),
        identity: participant.identity.clone(),
        name: participant.profile.name.clone(),
        metadata: participant.profile.metadata.clone(),
        attributes: participant.profile.attributes.clone().into_iter().collect(),
        state: match state {
            Some(State::Joining) => ProtoState::Joining,
            Some(State::Joined) => ProtoState::Joined,
            Some(State::Active) => ProtoState::Active,
            None => ProtoState::Disconnected,
        }
        .into(),
        version: participant.version,
        joined_at: joined_at_ms / 1000,
        joined_at_ms,
        permission: Some(permission(&participant.permissions, participant.kind)),
        is_publisher: !tracks.is_empty(),
        kind: kind(participant.kind).into(),
        client_protocol: client.client_protocol,
        capabilities: client.capabilities.clone(),
        tracks,
        ..Default::default()
    }
}

pub(crate) fn server_info(config: &RoomConfig) -> proto::ServerInfo {
    proto::ServerInfo {
        version: SERVER_VERSION.to_owned(),
        protocol: SERVER_PROTOCOL,
        node_id: config.node_id.clone(),
        debug_info: config.server_name.clone(),
        ..Default::default()
    }
}

pub(crate) fn timed_version(unix_ms: i64, ticks: u32) -> proto::TimedVersion {
    proto::TimedVersion { unix_micro: unix_ms.saturating_mul(1000), ticks: ticks as i32 }
}
