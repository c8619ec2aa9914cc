// SPDX-License-Identifier: EUPL-1.2
//! What clients ask. Who asks is the session; ids in a request only name targets (row 31).

use std::time::Instant;

use livekit_protocol as proto;
use livekit_protocol::request_response::{Reason, Request as Echo};
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message as Response;
use parvis_meeting::{LeaveReason, MeetingError, ParticipantId, ProfileUpdate};
use parvis_sfu::{Command, Description, DescriptionKind, PeerId};
use serde::Deserialize;

use super::Room;

/// Longest ICE candidate that we look at, in bytes; honest ones have below 300.
const MAX_CANDIDATE_BYTES: usize = 1024;

impl Room {
    #[allow(deprecated)]
    pub(super) fn request(&mut self, now: Instant, id: ParticipantId, request: Request) {
        if !self.charge(now, id, cost(&request)) {
            return;
        }
        self.stats.requests += 1;
        match request {
            Request::Offer(description) => self.offer(now, id, description),
            Request::Answer(description) => self.answer(now, id, description),
            Request::Trickle(trickle) => self.trickle(id, &trickle),
            Request::AddTrack(request) => self.add_track(id, request),
            Request::Mute(request) => self.mute(id, request),
            Request::Subscription(update) => self.update_subscription(id, update),
            Request::TrackSetting(settings) => self.update_settings(id, &settings),
            Request::Leave(_) => self.meeting.leave(now, id, LeaveReason::Client),
            Request::SubscriptionPermission(permission) => self.subscription_permission(id, permission),
            Request::SyncState(state) => self.sync(id, state),
            Request::Ping(_) => {
                let pong = self.unix_ms(now);
                self.send(id, Response::Pong(pong));
            }
            Request::PingReq(ping) => {
                let timestamp = self.unix_ms(now);
                let pong = proto::Pong { last_ping_timestamp: ping.timestamp, timestamp };
                self.send(id, Response::PongResp(pong));
            }
            Request::UpdateMetadata(update) => self.update_metadata(id, update),
            Request::UpdateAudioTrack(update) => self.update_audio_track(id, update),
            Request::UpdateVideoTrack(update) => self.update_video_track(id, update),
            Request::PublishDataTrackRequest(request) => self.publish_data_track(id, request),
            Request::UnpublishDataTrackRequest(request) => self.unpublish_data_track(id, request),
            Request::UpdateDataSubscription(update) => self.update_data_subscription(id, update),
            Request::StoreDataBlobRequest(request) => self.store_blob(id, request),
            Request::GetDataBlobRequest(request) => self.fetch_blob(id, request),
            Request::UpdateLayers(update) => self.update_layers(id, &update),
            Request::Simulate(scenario) => self.simulate(now, id, scenario),
        }
    }

    pub(super) fn offer(&mut self, now: Instant, id: ParticipantId, description: proto::SessionDescription) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let link = &mut session.links.publisher;
        link.offered = true;
        link.offer_pending = true;
        let peer = link.peer;
        self.describe(now, id, peer, DescriptionKind::Offer, description);
    }

    fn answer(&mut self, now: Instant, id: ParticipantId, description: proto::SessionDescription) {
        let subscriber = self.sessions.get(&id).and_then(|session| session.links.subscriber.as_ref());
        let Some(peer) = subscriber.map(|link| link.peer) else { return };
        self.describe(now, id, peer, DescriptionKind::Answer, description);
    }

    fn describe(
        &mut self,
        now: Instant,
        id: ParticipantId,
        peer: PeerId,
        kind: DescriptionKind,
        description: proto::SessionDescription,
    ) {
        if description.sdp.len() > self.config.sdp_bytes {
            self.meeting.leave(now, id, LeaveReason::Violation);
            return;
        }
        let description = Description { kind, sdp: description.sdp, id: description.id };
        self.command(Command::RemoteDescription { peer, description });
    }

    /// A candidate of the client's, as JSON. One that isn't such is nobody's loss: we never dial.
    fn trickle(&mut self, id: ParticipantId, trickle: &proto::TrickleRequest) {
        #[derive(Deserialize)]
        struct CandidateInit {
            candidate: Option<String>,
        }
        let Some(session) = self.sessions.get(&id) else { return };
        let peer = match (trickle.target(), &session.links.subscriber) {
            (proto::SignalTarget::Subscriber, Some(subscriber)) => subscriber.peer,
            _ => session.links.publisher.peer,
        };
        let init: Option<CandidateInit> = serde_json::from_str(&trickle.candidate_init).ok();
        let candidate = init.and_then(|init| init.candidate).unwrap_or_default();
        if is_candidate(&candidate) {
            self.command(Command::RemoteCandidate { peer, candidate });
        }
    }

    fn update_metadata(&mut self, id: ParticipantId, update: proto::UpdateParticipantMetadata) {
        let request_id = update.request_id;
        // Clients that change one send the other as it is, or empty: an empty one is not a change.
        let result = self.meeting.update_profile(
            id,
            ProfileUpdate {
                name: Some(update.name.clone()).filter(|name| !name.is_empty()),
                metadata: Some(update.metadata.clone()).filter(|metadata| !metadata.is_empty()),
                attributes: update.attributes.clone().into_iter().collect(),
            },
        );
        match result {
            Ok(()) => self.accept(id, request_id),
            Err(error) => {
                self.refuse(
                    id,
                    request_id,
                    reason(&error),
                    &error.to_string(),
                    Some(Echo::UpdateMetadata(update)),
                );
            }
        }
    }

    /// Answers a request that bears a number, for clients that take such an answer for more than an error.
    fn accept(&mut self, id: ParticipantId, request_id: u32) {
        let understood = self.sessions.get(&id).is_some_and(|session| session.client.protocol > 14);
        if request_id != 0 && understood {
            let response =
                proto::RequestResponse { request_id, reason: Reason::Ok.into(), ..Default::default() };
            self.send(id, Response::RequestResponse(response));
        }
    }

    pub(super) fn refuse(
        &mut self,
        id: ParticipantId,
        request_id: u32,
        reason: Reason,
        message: &str,
        request: Option<Echo>,
    ) {
        self.stats.requests_refused += 1;
        let message = message.to_owned();
        let response = proto::RequestResponse { request_id, reason: reason.into(), message, request };
        self.send(id, Response::RequestResponse(response));
    }
}

/// Whether this may be a candidate at all.
pub(super) fn is_candidate(candidate: &str) -> bool {
    candidate.starts_with("candidate:")
        && candidate.len() <= MAX_CANDIDATE_BYTES
        && !candidate.contains(char::is_control)
}

pub(super) fn reason(error: &MeetingError) -> Reason {
    match error {
        MeetingError::TooLarge { .. } | MeetingError::TooManyTracks { .. } | MeetingError::Full { .. } => {
            Reason::LimitExceeded
        }
        MeetingError::MayNotPublish(_) | MeetingError::MayNotUpdateProfile | MeetingError::Ended => {
            Reason::NotAllowed
        }
        MeetingError::NoParticipant | MeetingError::NoTrack => Reason::NotFound,
        MeetingError::DeceptiveText { .. } | MeetingError::Empty { .. } => Reason::InvalidRequest,
    }
}

/// What a request costs (row 29): by the work that it makes for us and for others, and by what it lists.
fn cost(request: &Request) -> u32 {
    let listed = |count: usize| u32::try_from(count / 10).unwrap_or(u32::MAX);
    match request {
        Request::Offer(_) | Request::Answer(_) => 10,
        Request::AddTrack(_) | Request::UpdateMetadata(_) | Request::UpdateAudioTrack(_) => 10,
        Request::UpdateVideoTrack(_) | Request::SubscriptionPermission(_) => 10,
        Request::SyncState(_) | Request::Simulate(_) => 20,
        Request::PublishDataTrackRequest(_) | Request::UnpublishDataTrackRequest(_) => 10,
        Request::StoreDataBlobRequest(_) | Request::GetDataBlobRequest(_) => 5,
        Request::UpdateDataSubscription(update) => 1 + listed(update.updates.len()),
        Request::Mute(_) => 3,
        Request::Subscription(update) => {
            let tracks =
                update.participant_tracks.iter().map(|tracks| tracks.track_sids.len()).sum::<usize>();
            1 + listed(update.track_sids.len() + update.participant_tracks.len() + tracks)
        }
        Request::TrackSetting(settings) => 1 + listed(settings.track_sids.len()),
        _ => 1,
    }
}
