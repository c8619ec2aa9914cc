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
pub(super) fn written(tenant: &TenantId, mut event: WebhookEvent) -> Option<NewEvent> {
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
