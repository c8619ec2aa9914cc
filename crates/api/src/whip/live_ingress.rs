// SPDX-License-Identifier: EUPL-1.2
//! Ingresses by which something comes in at this moment: what applications are told of them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use livekit_protocol::ingress_state::Status;
use livekit_protocol::{IngressInfo, IngressState, WebhookEvent};
use parvis_signal::{Occurrence, OccurrenceKind};

use crate::tenant::TenantId;

/// What comes in by stream keys. Each has a place of [`super::Resources`], which bounds them.
#[derive(Debug, Default)]
pub(crate) struct LiveIngresses {
    by_session: Mutex<HashMap<String, Streaming>>,
}

#[derive(Debug)]
struct Streaming {
    tenant: TenantId,
    info: IngressInfo,
}

impl LiveIngresses {
    /// A session begins by this ingress; nothing has come in yet.
    pub(crate) fn expect(&self, session: &str, tenant: &TenantId, ingress: &IngressInfo) {
        // Whoever is told of an ingress need not be able to publish by it.
        let info = IngressInfo { stream_key: String::new(), state: None, ..ingress.clone() };
        self.table().insert(session.to_owned(), Streaming { tenant: tenant.clone(), info });
    }

    /// A session is over. One whose participant was there is told of with that participant's leaving.
    pub(crate) fn forget(&self, session: &str) {
        let mut table = self.table();
        if table.get(session).is_some_and(|streaming| streaming.info.state.is_none()) {
            table.remove(session);
        }
    }

    /// The event that something which happened in a room is for an ingress: its beginning, or its end.
    pub(crate) fn event(&self, occurrence: &Occurrence) -> Option<WebhookEvent> {
        let room = &occurrence.room.sid;
        let (name, info) = match &occurrence.kind {
            OccurrenceKind::ParticipantJoined { participant } => {
                let mut table = self.table();
                let streaming = table.get_mut(&participant.sid)?;
                streaming.info.state = Some(IngressState {
                    status: Status::EndpointPublishing.into(),
                    room_id: room.clone(),
                    resource_id: participant.sid.clone(),
                    started_at: unix_nanos(),
                    updated_at: unix_nanos(),
                    ..Default::default()
                });
                ("ingress_started", streaming.info.clone())
            }
            OccurrenceKind::ParticipantLeft { participant } => {
                let mut info = self.table().remove(&participant.sid)?.info;
                if let Some(state) = &mut info.state {
                    state.set_status(Status::EndpointInactive);
                    state.ended_at = unix_nanos();
                    state.updated_at = state.ended_at;
                }
                ("ingress_ended", info)
            }
            _ => return None,
        };
        Some(WebhookEvent { event: name.to_owned(), ingress_info: Some(info), ..Default::default() })
    }

    /// How an ingress is now, if something comes in by it: as its newest session is.
    pub(crate) fn state(&self, tenant: &TenantId, ingress_id: &str) -> Option<IngressState> {
        let table = self.table();
        let own = table.values().filter(|own| own.tenant == *tenant && own.info.ingress_id == ingress_id);
        own.filter_map(|streaming| streaming.info.state.clone()).max_by_key(|state| state.started_at)
    }

    fn table(&self) -> MutexGuard<'_, HashMap<String, Streaming>> {
        // Nothing in these short sections panics half way.
        self.by_session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unix_nanos() -> i64 {
    let passed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(passed.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use livekit_protocol as proto;

    use super::*;

    fn occurrence(sid: &str, kind: fn(proto::ParticipantInfo) -> OccurrenceKind) -> Occurrence {
        let room = proto::Room { sid: "RM_1".into(), ..Default::default() };
        let participant = proto::ParticipantInfo { sid: sid.into(), ..Default::default() };
        Occurrence { room, kind: kind(participant) }
    }

    fn joined(participant: proto::ParticipantInfo) -> OccurrenceKind {
        OccurrenceKind::ParticipantJoined { participant }
    }

    fn left(participant: proto::ParticipantInfo) -> OccurrenceKind {
        OccurrenceKind::ParticipantLeft { participant }
    }

    #[test]
    fn an_ingress_begins_and_ends_with_its_participant_and_nothing_is_left_of_one_that_never_came() {
        let (ingresses, tenant) = (LiveIngresses::default(), TenantId::default());
        let info = IngressInfo {
            ingress_id: "IN_1".into(),
            stream_key: "secret".into(),
            room_name: "atelier".into(),
            ..Default::default()
        };
        ingresses.expect("PA_1", &tenant, &info);
        assert_eq!(ingresses.state(&tenant, "IN_1"), None);
        assert_eq!(ingresses.event(&occurrence("PA_other", joined)), None, "somebody else's");
        let began = ingresses.event(&occurrence("PA_1", joined)).unwrap();
        let told = began.ingress_info.unwrap();
        assert_eq!((began.event.as_str(), told.stream_key.as_str()), ("ingress_started", ""));
        let state = told.state.unwrap();
        assert_eq!((state.status(), state.room_id.as_str()), (Status::EndpointPublishing, "RM_1"));
        assert_eq!(ingresses.state(&tenant, "IN_1"), Some(state.clone()));
        assert_eq!(ingresses.state(&TenantId::new("other"), "IN_1"), None);

        ingresses.forget("PA_1");
        let ended = ingresses.event(&occurrence("PA_1", left)).unwrap();
        let after = ended.ingress_info.unwrap().state.unwrap();
        assert_eq!((ended.event.as_str(), after.status()), ("ingress_ended", Status::EndpointInactive));
        assert!(after.started_at == state.started_at && after.ended_at >= after.started_at);
        assert_eq!(ingresses.event(&occurrence("PA_1", left)), None, "once");

        ingresses.expect("PA_2", &tenant, &info);
        ingresses.forget("PA_2");
        assert!(ingresses.table().is_empty());
    }
}
