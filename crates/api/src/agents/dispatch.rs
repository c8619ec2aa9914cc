// SPDX-License-Identifier: EUPL-1.2
//! Which agents are to come to which rooms, and what happens there that calls for one.
//!
//! A room that begins without naming agents asks for the nameless one, as workers without a name expect. A dispatch makes one
//! job for the room, one for each participant or one for each publisher, by what the workers of that name registered for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use livekit_protocol as proto;
use livekit_protocol::{JobStatus, JobType};

use super::hub::{Hub, Phase};
use super::unix_nanos;
use crate::tenant::{RoomKey, TenantId};

const JOB_TYPES: [JobType; 3] = [JobType::JtRoom, JobType::JtParticipant, JobType::JtPublisher];

/// One room as agents need to know it.
#[derive(Debug, Default)]
pub(super) struct RoomState {
    info: proto::Room,
    dispatches: BTreeMap<String, Dispatch>,
    /// Those for whom there may be agents.
    people: BTreeMap<String, Person>,
    /// The identities of agents that are there.
    pub(super) agents: BTreeSet<String>,
}

#[derive(Debug)]
struct Person {
    info: proto::ParticipantInfo,
    publishes: bool,
}

#[derive(Debug)]
struct Dispatch {
    record: proto::AgentDispatch,
    created_at: i64,
    /// The job of each type for each subject: a participant's identity, or nothing for the room itself.
    jobs: BTreeMap<(JobType, String), String>,
}

/// Why there is no such dispatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DispatchError {
    #[error("there is no such room")]
    NoRoom,
    #[error("there is no such dispatch")]
    NotFound,
    #[error("the room has as many dispatches as it may: raise agents.max_dispatches_per_room")]
    TooMany,
    #[error("the agent's name, the metadata or the attributes are too long")]
    TooLarge,
}

impl Hub {
    /// A room began.
    pub(crate) fn room_started(
        &mut self,
        now: Instant,
        key: &RoomKey,
        info: proto::Room,
        agents: Vec<proto::RoomAgentDispatch>,
    ) {
        self.rooms.insert(key.clone(), RoomState { info, ..RoomState::default() });
        let agents = if agents.is_empty() { vec![proto::RoomAgentDispatch::default()] } else { agents };
        for agent in agents {
            let request = proto::CreateAgentDispatchRequest {
                agent_name: agent.agent_name,
                room: key.name.clone(),
                metadata: agent.metadata,
                restart_policy: agent.restart_policy,
                deployment: agent.deployment,
                attributes: agent.attributes,
            };
            if let Err(error) = self.create_dispatch(now, key, request) {
                tracing::debug!(%error, "an agent that a room asked for is not dispatched");
            }
        }
    }

    /// A room is over, and with it all that was dispatched to it.
    pub(crate) fn room_ended(&mut self, key: &RoomKey) {
        self.rooms.remove(key);
        let own = self.jobs.iter().filter(|(_, job)| job.room == *key).map(|(id, _)| id.clone());
        let own: Vec<String> = own.collect();
        for job in own {
            self.terminate(&job);
            self.end_job(&job, JobStatus::JsSuccess);
            self.jobs.remove(&job);
        }
    }

    /// Someone is in the room, with media.
    pub(crate) fn joined(&mut self, now: Instant, key: &RoomKey, info: proto::ParticipantInfo) {
        use proto::participant_info::Kind;
        let Some(room) = self.rooms.get_mut(key) else { return };
        match info.kind() {
            Kind::Agent => {
                room.agents.insert(info.identity);
            }
            Kind::Egress => {}
            _ => {
                room.people.insert(info.identity.clone(), Person { info, publishes: false });
            }
        }
        self.review(now, key);
    }

    /// Someone publishes a track.
    pub(crate) fn published(&mut self, now: Instant, key: &RoomKey, identity: &str) {
        let person = self.rooms.get_mut(key).and_then(|room| room.people.get_mut(identity));
        if let Some(person) = person {
            person.publishes = true;
            self.review(now, key);
        }
    }

    /// Someone left.
    pub(crate) fn left(&mut self, now: Instant, key: &RoomKey, identity: &str) {
        let Some(room) = self.rooms.get_mut(key) else { return };
        room.people.remove(identity);
        let was_agent = room.agents.remove(identity);
        // Whoever comes back gets an agent anew.
        let mut over = Vec::new();
        for dispatch in room.dispatches.values_mut() {
            dispatch.jobs.retain(|(_, subject), job| {
                let stays = subject != identity;
                if !stays {
                    over.push(job.clone());
                }
                stays
            });
        }
        for job in over {
            let began = self.jobs.get(&job).is_some_and(|entry| matches!(entry.phase, Phase::Assigned(_)));
            if !began {
                self.terminate(&job);
                self.end_job(&job, JobStatus::JsSuccess);
            }
        }
        if was_agent {
            let of_agent = |state: &proto::JobState| state.participant_identity == identity;
            let own = self
                .jobs
                .iter()
                .filter(|(_, job)| job.room == *key && job.record.state.as_ref().is_some_and(of_agent));
            let own: Vec<String> = own.map(|(id, _)| id.clone()).collect();
            for job in own {
                self.review_orphan(&job);
            }
            self.offer_waiting(now);
        }
    }

    /// Asks for an agent in a room that is there.
    pub(crate) fn create_dispatch(
        &mut self,
        now: Instant,
        key: &RoomKey,
        request: proto::CreateAgentDispatchRequest,
    ) -> Result<proto::AgentDispatch, DispatchError> {
        let attributes = request.attributes.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
        let texts = request.metadata.len() + attributes + request.deployment.len();
        if request.agent_name.len() > self.limits.name_bytes || texts > self.limits.metadata_bytes {
            return Err(DispatchError::TooLarge);
        }
        let room = self.rooms.get_mut(key).ok_or(DispatchError::NoRoom)?;
        if room.dispatches.len() >= self.limits.dispatches_per_room {
            return Err(DispatchError::TooMany);
        }
        let record = proto::AgentDispatch {
            id: super::new_id("AD_"),
            agent_name: request.agent_name,
            room: key.name.clone(),
            metadata: request.metadata,
            restart_policy: request.restart_policy,
            deployment: request.deployment,
            attributes: request.attributes,
            state: None,
        };
        let id = record.id.clone();
        let dispatch = Dispatch { record, created_at: unix_nanos(), jobs: BTreeMap::new() };
        room.dispatches.insert(id.clone(), dispatch);
        self.review(now, key);
        self.dispatch(key, &id).ok_or(DispatchError::NotFound)
    }

    /// Takes a dispatch back; its jobs end.
    pub(crate) fn delete_dispatch(
        &mut self,
        key: &RoomKey,
        id: &str,
    ) -> Result<proto::AgentDispatch, DispatchError> {
        let mut record = self.dispatch(key, id).ok_or(DispatchError::NotFound)?;
        let room = self.rooms.get_mut(key).ok_or(DispatchError::NoRoom)?;
        let jobs = room.dispatches.remove(id).map(|dispatch| dispatch.jobs).unwrap_or_default();
        for job in jobs.into_values() {
            self.terminate(&job);
            self.end_job(&job, JobStatus::JsSuccess);
            self.jobs.remove(&job);
        }
        if let Some(state) = &mut record.state {
            state.deleted_at = unix_nanos();
        }
        Ok(record)
    }

    /// The dispatches to a room: one, or all.
    pub(crate) fn list_dispatches(&self, key: &RoomKey, id: &str) -> Vec<proto::AgentDispatch> {
        let Some(room) = self.rooms.get(key) else { return Vec::new() };
        let wanted = room.dispatches.keys().filter(|known| id.is_empty() || *known == id);
        wanted.filter_map(|id| self.dispatch(key, id)).collect()
    }

    /// Makes the jobs that are called for and not made yet, in all rooms of a tenant.
    pub(super) fn review_rooms_of(&mut self, now: Instant, tenant: &TenantId) {
        let rooms: Vec<RoomKey> = self.rooms.keys().filter(|key| key.tenant == *tenant).cloned().collect();
        for key in rooms {
            self.review(now, &key);
        }
    }

    fn review(&mut self, now: Instant, key: &RoomKey) {
        let Some(room) = self.rooms.get(key) else { return };
        let mut wanted = Vec::new();
        for (id, dispatch) in &room.dispatches {
            for job_type in JOB_TYPES {
                if self.has_workers(&key.tenant, &dispatch.record.agent_name, job_type) {
                    let subjects = room.subjects(job_type).into_iter().map(|subject| (job_type, subject));
                    let missing = subjects.filter(|which| !dispatch.jobs.contains_key(which));
                    wanted.extend(missing.map(|which| (id.clone(), which)));
                }
            }
        }
        for (dispatch, which) in wanted {
            self.make_job(key, &dispatch, which);
        }
        self.offer_waiting(now);
    }

    fn make_job(&mut self, key: &RoomKey, dispatch: &str, which: (JobType, String)) {
        if self.jobs.len() >= self.limits.jobs {
            self.jobs.retain(|_, job| job.phase != Phase::Ended);
            if self.jobs.len() >= self.limits.jobs {
                return tracing::warn!(
                    "there are as many jobs of agents as there may be: raise agents.max_jobs"
                );
            }
        }
        let Some(room) = self.rooms.get_mut(key) else { return };
        let participant = room.people.get(&which.1).map(|person| person.info.clone());
        let info = room.info.clone();
        let Some(dispatch) = room.dispatches.get_mut(dispatch) else { return };
        let record = proto::Job {
            id: super::new_id("AJ_"),
            dispatch_id: dispatch.record.id.clone(),
            r#type: which.0.into(),
            room: Some(info),
            participant,
            metadata: dispatch.record.metadata.clone(),
            agent_name: dispatch.record.agent_name.clone(),
            deployment: dispatch.record.deployment.clone(),
            attributes: dispatch.record.attributes.clone(),
            ..Default::default()
        };
        dispatch.jobs.insert(which, record.id.clone());
        self.add_job(key.clone(), record);
    }

    /// A dispatch with the state of its jobs.
    fn dispatch(&self, key: &RoomKey, id: &str) -> Option<proto::AgentDispatch> {
        let dispatch = self.rooms.get(key)?.dispatches.get(id)?;
        let jobs = dispatch.jobs.values().filter_map(|job| self.jobs.get(job));
        let state = proto::AgentDispatchState {
            jobs: jobs.map(|job| job.record.clone()).collect(),
            created_at: dispatch.created_at,
            deleted_at: 0,
        };
        Some(proto::AgentDispatch { state: Some(state), ..dispatch.record.clone() })
    }
}

impl RoomState {
    /// For whom there is to be a job of this type.
    fn subjects(&self, job_type: JobType) -> Vec<String> {
        match job_type {
            JobType::JtRoom => vec![String::new()],
            JobType::JtParticipant => self.people.keys().cloned().collect(),
            JobType::JtPublisher => {
                let publishers = self.people.iter().filter(|(_, person)| person.publishes);
                publishers.map(|(identity, _)| identity.clone()).collect()
            }
        }
    }
}
