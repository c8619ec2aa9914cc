// SPDX-License-Identifier: EUPL-1.2
//! A job's way: it waits, is offered to a worker, is that worker's, and ends or waits again.

use std::collections::BTreeSet;
use std::time::Instant;

use livekit_protocol as proto;
use livekit_protocol::server_message::Message as ToWorker;
use livekit_protocol::{JobStatus, JobType};

use super::{Hub, Job, Output, Phase, Worker};
use crate::agents::{WorkerId, unix_nanos};
use crate::tenant::{RoomKey, TenantId};

/// How often a job is given to another worker after one was lost with it.
const MAX_ATTEMPTS: u32 = 3;

impl Hub {
    /// The job waits for a worker.
    pub(super) fn wait(&mut self, job: &str) {
        let Some(entry) = self.jobs.get_mut(job) else { return };
        match std::mem::replace(&mut entry.phase, Phase::Waiting) {
            Phase::Offered { worker, .. } => {
                if let Some(worker) = self.workers.get_mut(&worker) {
                    worker.offers = worker.offers.saturating_sub(1);
                }
            }
            Phase::Assigned(Some(worker)) => {
                if let Some(worker) = self.workers.get_mut(&worker) {
                    worker.jobs.remove(job);
                }
            }
            Phase::Assigned(None) | Phase::Waiting => {}
            Phase::Ended => entry.phase = Phase::Ended,
        }
    }

    /// The worker that was asked is not asked again.
    pub(super) fn decline(&mut self, job: &str) {
        if let Some(entry) = self.jobs.get_mut(job)
            && let Phase::Offered { worker, .. } = entry.phase
        {
            entry.declined.insert(worker);
        }
        self.wait(job);
    }

    /// A job whose worker is gone: it goes on as long as its agent is in the room, and to another worker after that.
    pub(in crate::agents) fn review_orphan(&mut self, job: &str) {
        let Some(entry) = self.jobs.get(job).filter(|entry| entry.phase == Phase::Assigned(None)) else {
            return;
        };
        let identity = entry.record.state.as_ref().map(|state| state.participant_identity.as_str());
        let room = self.rooms.get(&entry.room);
        if room.is_some_and(|room| identity.is_some_and(|identity| room.agents.contains(identity))) {
            return;
        }
        if entry.attempts >= MAX_ATTEMPTS {
            if let Some(state) = self.jobs.get_mut(job).and_then(|entry| entry.record.state.as_mut()) {
                state.error = "its worker was lost, again and again".to_owned();
            }
            return self.end_job(job, JobStatus::JsFailed);
        }
        self.wait(job);
    }

    /// Tells the worker that has a job, or was asked for it, that it is over.
    pub(in crate::agents) fn terminate(&mut self, job: &str) {
        let worker = match self.jobs.get(job).map(|entry| entry.phase) {
            Some(Phase::Offered { worker, .. } | Phase::Assigned(Some(worker))) => worker,
            _ => return,
        };
        self.send(worker, ToWorker::Termination(proto::JobTermination { job_id: job.to_owned() }));
    }

    pub(in crate::agents) fn end_job(&mut self, job: &str, status: JobStatus) {
        if self.jobs.get(job).is_none_or(|entry| entry.phase == Phase::Ended) {
            return;
        }
        self.wait(job);
        let Some(entry) = self.jobs.get_mut(job) else { return };
        entry.phase = Phase::Ended;
        let now = unix_nanos();
        let began = entry.record.state.is_some();
        let state = entry.record.state.get_or_insert_default();
        state.status = status.into();
        state.ended_at = now;
        state.updated_at = now;
        if began {
            let record = Box::new(entry.record.clone());
            self.outputs.push_back(Output::Ended(entry.room.tenant.clone(), record));
        }
    }

    /// Whether anyone would do such jobs.
    pub(in crate::agents) fn has_workers(
        &self,
        tenant: &TenantId,
        agent_name: &str,
        job_type: JobType,
    ) -> bool {
        self.workers.values().any(|worker| worker.does(tenant, agent_name, job_type))
    }

    pub(in crate::agents) fn add_job(&mut self, room: RoomKey, record: proto::Job) {
        let entry = Job { room, phase: Phase::Waiting, declined: BTreeSet::new(), attempts: 0, record };
        self.jobs.insert(entry.record.id.clone(), entry);
    }

    /// Asks the best worker for each job that waits.
    pub(in crate::agents) fn offer_waiting(&mut self, now: Instant) {
        let waiting = self.jobs.iter().filter(|(_, job)| job.phase == Phase::Waiting);
        let waiting: Vec<String> = waiting.map(|(job, _)| job.clone()).collect();
        for job in waiting {
            let Some(id) = self.jobs.get(&job).and_then(|entry| self.best_worker(entry)) else { continue };
            let Some(worker) = self.workers.get_mut(&id) else { continue };
            worker.offers += 1;
            let Some(entry) = self.jobs.get_mut(&job) else { continue };
            entry.phase = Phase::Offered { worker: id, until: now + self.limits.answer };
            let resuming = entry.attempts > 0;
            let request = proto::AvailabilityRequest { job: Some(entry.record.clone()), resuming };
            self.send(id, ToWorker::Availability(request));
        }
    }

    /// The least loaded of those that do such jobs, may be asked, and did not decline.
    fn best_worker(&self, job: &Job) -> Option<WorkerId> {
        let (tenant, record) = (&job.room.tenant, &job.record);
        let able = self.workers.iter().filter(|(id, worker)| {
            worker.does(tenant, &record.agent_name, record.r#type())
                && worker.registration.as_ref().is_some_and(|registration| registration.available)
                && !job.declined.contains(id)
        });
        let burden = |worker: &Worker| {
            let load = worker.registration.as_ref().map_or(1.0, |registration| registration.load);
            // A worker tells its load every few seconds: what it was asked meanwhile counts for a tenth each.
            load + worker.offers as f32 / 10.0
        };
        able.min_by(|(_, a), (_, b)| burden(a).total_cmp(&burden(b)).then(a.jobs.len().cmp(&b.jobs.len())))
            .map(|(id, _)| *id)
    }
}

impl Worker {
    fn does(&self, tenant: &TenantId, agent_name: &str, job_type: JobType) -> bool {
        self.tenant == *tenant
            && self.registration.as_ref().is_some_and(|registration| {
                registration.agent_name == agent_name && registration.job_type == job_type
            })
    }
}
