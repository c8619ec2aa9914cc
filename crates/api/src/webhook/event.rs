// SPDX-License-Identifier: EUPL-1.2
//! Events in the protocol's words: `WebhookEvent` in proto3 JSON.

use std::time::{SystemTime, UNIX_EPOCH};

use livekit_protocol::WebhookEvent;
use parvis_signal::{Occurrence, OccurrenceKind as Kind};
use parvis_store::{NewEvent, TenantId};

/// What a room's occurrence is called.
pub(crate) fn of_occurrence(occurrence: Occurrence) -> WebhookEvent {
    let Occurrence { room, kind } = occurrence;
    let mut event = WebhookEvent { room: Some(room), ..WebhookEvent::default() };
    let (name, participant, track) = match kind {
        Kind::RoomStarted => ("room_started", None, None),
        Kind::RoomFinished { reason } => {
            event.set_room_end_reason(reason);
            ("room_finished", None, None)
        }
        Kind::ParticipantJoined { participant } => ("participant_joined", Some(participant), None),
        Kind::ParticipantLeft { participant } => ("participant_left", Some(participant), None),
        Kind::ParticipantConnectionAborted { participant } => {
            ("participant_connection_aborted", Some(participant), None)
        }
        Kind::TrackPublished { participant, track } => ("track_published", Some(participant), Some(track)),
        Kind::TrackUnpublished { participant, track } => {
            ("track_unpublished", Some(participant), Some(track))
        }
    };
    WebhookEvent { event: name.to_owned(), participant, track, ..event }
}

/// An event as it is written down: with an id that stays the same however often it is sent, and its time. `None` if it
/// can't be put into JSON.
pub(super) fn written(tenant: &TenantId, mut event: WebhookEvent, targets: Vec<String>) -> Option<NewEvent> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    if event.id.is_empty() {
        event.id = format!("EV_{:032x}", rand::random::<u128>());
    }
    if event.created_at == 0 {
        event.created_at = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    }
    let body = serde_json::to_string(&event).ok()?;
    Some(NewEvent {
        room: room_name(&event).to_owned(),
        id: event.id,
        tenant: tenant.clone(),
        event: event.event,
        body,
        created_ms: i64::try_from(now.as_millis()).unwrap_or(i64::MAX),
        targets,
    })
}

fn room_name(event: &WebhookEvent) -> &str {
    let WebhookEvent { room, egress_info, ingress_info, job, .. } = event;
    room.as_ref()
        .map(|room| room.name.as_str())
        .or(egress_info.as_ref().map(|egress| egress.room_name.as_str()))
        .or(ingress_info.as_ref().map(|ingress| ingress.room_name.as_str()))
        .or(job.as_ref().and_then(|job| job.room.as_ref()).map(|room| room.name.as_str()))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use livekit_protocol as proto;
    use parvis_signal::{Occurrence, OccurrenceKind as Kind};

    use super::*;

    #[test]
    fn an_event_stands_in_the_order_of_the_room_that_it_names() {
        let room = proto::Room { name: "atelier".to_owned(), ..Default::default() };
        let egress = proto::EgressInfo { room_name: "atelier".to_owned(), ..Default::default() };
        let ingress = proto::IngressInfo { room_name: "atelier".to_owned(), ..Default::default() };
        let job = proto::Job { room: Some(room.clone()), ..Default::default() };
        for event in [
            WebhookEvent { event: "room_started".to_owned(), room: Some(room), ..Default::default() },
            WebhookEvent {
                event: "egress_updated".to_owned(),
                egress_info: Some(egress),
                ..Default::default()
            },
            WebhookEvent {
                event: "ingress_ended".to_owned(),
                ingress_info: Some(ingress),
                ..Default::default()
            },
            WebhookEvent { event: "agent_job_started".to_owned(), job: Some(job), ..Default::default() },
        ] {
            let written = written(&TenantId::default(), event.clone(), Vec::new()).unwrap();
            assert_eq!((written.room.as_str(), &written.event), ("atelier", &event.event));
            let read: WebhookEvent = serde_json::from_str(&written.body).unwrap();
            assert_eq!(
                WebhookEvent { id: String::new(), created_at: 0, ..read },
                event,
                "all of it is in the body"
            );
        }
    }

    #[test]
    fn what_happens_in_rooms_has_the_protocols_names() {
        let (participant, track) = (proto::ParticipantInfo::default(), proto::TrackInfo::default());
        let kinds = [
            (Kind::RoomStarted, "room_started"),
            (Kind::RoomFinished { reason: proto::RoomEndReason::RoomEndApiDelete }, "room_finished"),
            (Kind::ParticipantJoined { participant: participant.clone() }, "participant_joined"),
            (Kind::ParticipantLeft { participant: participant.clone() }, "participant_left"),
            (
                Kind::ParticipantConnectionAborted { participant: participant.clone() },
                "participant_connection_aborted",
            ),
            (
                Kind::TrackPublished { participant: participant.clone(), track: track.clone() },
                "track_published",
            ),
            (Kind::TrackUnpublished { participant, track }, "track_unpublished"),
        ];
        for (kind, name) in kinds {
            let event = of_occurrence(Occurrence { room: proto::Room::default(), kind });
            assert_eq!(event.event, name);
            assert_eq!(event.participant.is_some(), !name.starts_with("room_"));
            assert_eq!(event.track.is_some(), name.starts_with("track_"));
            let ended = event.room_end_reason() == proto::RoomEndReason::RoomEndApiDelete;
            assert_eq!(ended, name == "room_finished");
        }
    }
}
