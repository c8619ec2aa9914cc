// SPDX-License-Identifier: EUPL-1.2
//! What is done to participants.

use std::time::Instant;

use bytes::Bytes;
use livekit_protocol as proto;
use livekit_protocol::data_packet::Value;
use livekit_protocol::signal_response::Message as Response;
use parvis_meeting::{LeaveReason, ProfileUpdate};
use prost::Message as _;

use super::{ControlError, Reply, Room};
use crate::mailbox::Letter;
use crate::wire;

/// How far into the future a removal reaches, in seconds, when nobody says: clocks of those who make tokens differ by that.
const CLOCK_LEEWAY_SECONDS: u64 = 60;
/// A nonce is a UUID (RFC 9562).
const NONCE_BYTES: usize = 16;
/// Nonces remembered of the last messages: a repetition follows within seconds.
const MAX_NONCES: usize = 1024;

impl Room {
    pub(super) fn remove_participant(
        &mut self,
        now: Instant,
        request: &proto::RoomParticipantIdentity,
    ) -> Result<Reply, ControlError> {
        let id = self.find(&request.identity)?;
        let said = u64::try_from(request.revoke_token_ts).ok().filter(|before| *before > 0);
        let before = said.unwrap_or_else(|| self.unix_seconds(now) + CLOCK_LEEWAY_SECONDS);
        self.standings.revoke(&request.identity, before);
        self.meeting.leave(now, id, LeaveReason::Removed);
        Ok(Reply::Done)
    }

    pub(super) fn mute_track(&mut self, request: proto::MuteRoomTrackRequest) -> Result<Reply, ControlError> {
        let no_track = || ControlError::NoTrack(request.track_sid.clone());
        let id = self.find(&request.identity)?;
        let track = self.own_track(id, &request.track_sid).ok_or_else(no_track)?;
        if !request.muted && !self.config.remote_unmute {
            return Err(ControlError::MayNotUnmute);
        }
        if self.meeting.set_muted(id, track, request.muted)? {
            self.forward_muted(track, request.muted);
            self.tell_publishing(track);
            // Its client stops the device, and shows that it did.
            let mute = proto::MuteTrackRequest { sid: request.track_sid.clone(), muted: request.muted };
            self.send(id, Response::Mute(mute));
        }
        self.track_info(track).map(|info| Reply::Track(Box::new(info))).ok_or_else(no_track)
    }

    pub(super) fn update_participant(
        &mut self,
        now: Instant,
        request: proto::UpdateParticipantRequest,
    ) -> Result<Reply, ControlError> {
        let identity = request.identity;
        let id = self.find(&identity)?;
        // In this request an empty text stands for one that is not said.
        let update = ProfileUpdate {
            name: Some(request.name).filter(|name| !name.is_empty()),
            metadata: Some(request.metadata).filter(|metadata| !metadata.is_empty()),
            attributes: request.attributes.into_iter().collect(),
        };
        self.meeting.set_profile(id, update)?;
        if let Some(permission) = &request.permission {
            let permissions = wire::permissions(permission);
            let at = self.unix_seconds(now);
            self.standings.permit(&identity, at, permissions.clone());
            let permissions = self.grant(id, permissions);
            self.meeting.set_permissions(id, permissions)?;
        }
        self.describe_participant(id, &identity)
    }

    /// Tracks that are not there are no error: they may have ended while the request was on its way.
    pub(super) fn update_subscriptions(
        &mut self,
        request: proto::UpdateSubscriptionsRequest,
    ) -> Result<Reply, ControlError> {
        let id = self.find(&request.identity)?;
        let listed = request.participant_tracks.into_iter().flat_map(|tracks| tracks.track_sids);
        for sid in request.track_sids.into_iter().chain(listed) {
            if let Some(track) = self.by_track_sid.get(&sid).copied() {
                let _ = self.meeting.want(id, track, request.subscribe);
            }
        }
        Ok(Reply::Done)
    }

    /// Sends a message to those who are named, or to all. It comes from nobody in the room.
    #[allow(deprecated)]
    pub(super) fn send_data(
        &mut self,
        now: Instant,
        request: proto::SendDataRequest,
    ) -> Result<Reply, ControlError> {
        let (actual, limit) = (request.data.len(), self.config.data_bytes);
        if actual > limit {
            return Err(ControlError::TooLarge { actual, limit });
        }
        if self.is_repeated(&request.nonce)? {
            return Ok(Reply::Done);
        }
        let reliable = request.kind() == proto::data_packet::Kind::Reliable;
        let packet = proto::DataPacket {
            kind: request.kind,
            destination_identities: request.destination_identities.clone(),
            value: Some(Value::User(proto::UserPacket {
                payload: request.data,
                destination_identities: request.destination_identities,
                destination_sids: request.destination_sids,
                topic: request.topic,
                nonce: request.nonce,
                ..Default::default()
            })),
            ..Default::default()
        };
        let receivers = self.receivers(None, &packet);
        let payload = Bytes::from(packet.encode_to_vec());
        self.stats.data_messages += 1;
        for receiver in receivers {
            if reliable {
                let letter =
                    Letter { publisher_sid: "".into(), sequence: 0, payload: payload.clone(), at: now };
                self.post(now, receiver, letter);
            } else {
                self.send_lossy(receiver, &payload);
            }
        }
        Ok(Reply::Done)
    }

    /// Whether a message with this nonce was sent already: an SDK that heard no answer asks again.
    fn is_repeated(&mut self, nonce: &[u8]) -> Result<bool, ControlError> {
        if nonce.is_empty() {
            return Ok(false);
        }
        let nonce: [u8; NONCE_BYTES] = nonce.try_into().map_err(|_| ControlError::Nonce(nonce.len()))?;
        if self.nonces.contains(&nonce) {
            return Ok(true);
        }
        if self.nonces.len() >= MAX_NONCES {
            self.nonces.pop_front();
        }
        self.nonces.push_back(nonce);
        Ok(false)
    }
}
