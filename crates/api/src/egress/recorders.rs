// SPDX-License-Identifier: EUPL-1.2
//! How an engine brings its recorders into rooms, and says what becomes of what it does.

use std::sync::{Arc, Weak};

use livekit_protocol::EgressInfo;
use parvis_sfu::OutletSpec;
use parvis_signal::{RecordError, Recorder};

use super::EgressError;
use crate::rooms::Rooms;
use crate::tenant::{RoomKey, TenantId};
use crate::traces::JobStep;

/// The rooms, as whoever records in them sees them. It doesn't keep them alive.
#[derive(Clone)]
pub struct Recorders {
    rooms: Weak<Rooms>,
}

/// Why a recorder can't do something in a room.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecorderError {
    /// The room is over.
    #[error("the room is over")]
    NoRoom,
    /// The room refuses.
    #[error(transparent)]
    Refused(#[from] RecordError),
}

impl Recorders {
    pub(crate) fn new(rooms: &Arc<Rooms>) -> Recorders {
        Recorders { rooms: Arc::downgrade(rooms) }
    }

    /// Lets a recorder into a room: from the answer on everybody has been told. Nothing is recorded before
    /// [`Recorders::open`]. Gives for how many days recordings of this room are kept at most, if whoever made it said so.
    pub async fn announce(
        &self,
        tenant: &TenantId,
        room: &str,
        recorder: Recorder,
    ) -> Result<Option<u32>, RecorderError> {
        let (rooms, key) = self.room(tenant, room)?;
        let announce = move |room: &mut parvis_signal::Room, now| {
            room.announce_recorder(now, recorder).map(|()| room.recording_retention())
        };
        Ok(rooms.ask(&key, announce).await.ok_or(RecorderError::NoRoom)??)
    }

    /// Lets packets go to a recorder's worker. What it is to know of the room comes by [`super::EgressEngine::news`].
    pub async fn open(
        &self,
        tenant: &TenantId,
        room: &str,
        identity: &str,
        outlet: OutletSpec,
    ) -> Result<(), RecorderError> {
        let (rooms, key) = self.room(tenant, room)?;
        let identity = identity.to_owned();
        let answer = rooms.ask(&key, move |room, now| room.open_outlet(now, &identity, outlet)).await;
        Ok(answer.ok_or(RecorderError::NoRoom)??)
    }

    /// Asks on a worker's behalf for packets of a track that it lacks, or for a key frame where none are named.
    pub async fn repair(&self, tenant: &TenantId, room: &str, identity: &str, track: &str, lost: Vec<u16>) {
        let Ok((rooms, key)) = self.room(tenant, room) else { return };
        let (identity, track) = (identity.to_owned(), track.to_owned());
        // A room that is gone has nothing to give.
        let _ = rooms.ask(&key, move |room, _| room.repair_recording(&identity, &track, lost)).await;
    }

    /// Has a recorder leave. One that has gone is no error.
    pub async fn dismiss(&self, tenant: &TenantId, room: &str, identity: &str) {
        let Ok((rooms, key)) = self.room(tenant, room) else { return };
        let identity = identity.to_owned();
        let _ = rooms.ask(&key, move |room, now| room.dismiss_recorder(now, &identity)).await;
    }

    /// What is written down of an egress, with the secrets of what was asked for; `None` when nothing is.
    pub async fn egress(&self, tenant: &TenantId, id: &str) -> Result<Option<EgressInfo>, EgressError> {
        let rooms = self.rooms.upgrade().ok_or(EgressError::NoStore)?;
        Ok(rooms.egress_store()?.egress(tenant, id).await?)
    }

    /// Takes note, for its trace, of how far an egress is.
    pub fn reached(&self, id: &str, step: JobStep) {
        if let Some(rooms) = self.rooms.upgrade() {
            rooms.jobs.reached(id, step);
        }
    }

    /// As [`crate::Api::egress_is`].
    pub async fn egress_is(&self, tenant: &TenantId, now: EgressInfo) -> Result<(), EgressError> {
        match self.rooms.upgrade() {
            Some(rooms) => rooms.egress_is(tenant, now).await,
            None => Err(EgressError::NoStore),
        }
    }

    /// Says where the files of one lie that has ended. Nothing else of its record changes.
    pub async fn egress_lies(&self, tenant: &TenantId, now: EgressInfo) -> Result<(), EgressError> {
        match self.rooms.upgrade() {
            Some(rooms) => rooms.egress_lies(tenant, now).await,
            None => Err(EgressError::NoStore),
        }
    }

    fn room(&self, tenant: &TenantId, room: &str) -> Result<(Arc<Rooms>, RoomKey), RecorderError> {
        let rooms = self.rooms.upgrade().ok_or(RecorderError::NoRoom)?;
        Ok((rooms, RoomKey::new(tenant, room)))
    }
}
