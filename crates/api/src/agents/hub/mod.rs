// SPDX-License-Identifier: EUPL-1.2
//! Workers and the jobs that they are offered, in memory and without I/O: messages in, [`Output`]s out, time as an argument.
//! [`jobs`] is a job's way from one phase to the next.

mod jobs;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Instant;

use livekit_protocol as proto;
use livekit_protocol::server_message::Message as ToWorker;
use livekit_protocol::worker_message::Message as FromWorker;
use livekit_protocol::{JobStatus, JobType};
use parvis_meeting::{Kind, Permissions, text};
use parvis_signal::{Grants, permissions_of};

use super::dispatch::RoomState;
use super::{AgentLimits, WorkerId, unix_nanos};
use crate::tenant::{RoomKey, TenantId};

/// See the module's page.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(super) limits: AgentLimits,
    pub(super) workers: BTreeMap<WorkerId, Worker>,
    pub(super) rooms: HashMap<RoomKey, RoomState>,
    pub(super) jobs: BTreeMap<String, Job>,
    pub(super) outputs: VecDeque<Output>,
}

/// What to do, in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Output {
    /// Tell a worker.
    Send(WorkerId, Box<ToWorker>),
    /// Give a job to a worker, with a token by which its agent joins.
    Assign { worker: WorkerId, room: RoomKey, job: Box<proto::Job>, grants: Box<Grants> },
    /// End a worker's connection.
    Close(WorkerId, &'static str),
    /// A job began.
    Started(TenantId, Box<proto::Job>),
    /// A job ended.
    Ended(TenantId, Box<proto::Job>),
}

/// One worker's connection.
#[derive(Debug)]
pub(super) struct Worker {
    tenant: TenantId,
    registration: Option<Registration>,
    /// Jobs that wait for its answer.
    offers: usize,
    /// Jobs that it has.
    jobs: BTreeSet<String>,
}

#[derive(Debug)]
struct Registration {
    id: String,
    agent_name: String,
    job_type: JobType,
    permissions: Permissions,
    /// From 0 to 1, as the worker says.
    load: f32,
    available: bool,
}

/// One piece of work.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) room: RoomKey,
    pub(super) record: proto::Job,
    pub(super) phase: Phase,
    /// Workers that did not want it, or did not answer.
    declined: BTreeSet<WorkerId>,
    attempts: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// For a worker that could do it.
    Waiting,
    /// A worker was asked.
    Offered {
        worker: WorkerId,
        until: Instant,
    },
    /// A worker has it; `None` when that one's connection is gone.
    Assigned(Option<WorkerId>),
    Ended,
}

impl Hub {
    pub(crate) fn new(limits: AgentLimits) -> Hub {
        Hub {
            limits,
            workers: BTreeMap::new(),
            rooms: HashMap::new(),
            jobs: BTreeMap::new(),
            outputs: VecDeque::new(),
        }
    }

    /// A worker connected. Says whether there is a place for it.
    pub(crate) fn connect(&mut self, worker: WorkerId, tenant: TenantId) -> bool {
        let own = self.workers.values().filter(|worker| worker.tenant == tenant).count();
        if own >= self.limits.workers {
            return false;
        }
        self.workers.insert(worker, Worker { tenant, registration: None, offers: 0, jobs: BTreeSet::new() });
        true
    }

    /// A worker's connection is gone: what it was asked goes to others, and what it had too, if its agent is not there.
    pub(crate) fn gone(&mut self, now: Instant, id: WorkerId) {
        let Some(worker) = self.workers.remove(&id) else { return };
        let offered = |job: &Job| matches!(job.phase, Phase::Offered { worker, .. } if worker == id);
        let asked: Vec<String> =
            self.jobs.iter().filter(|(_, job)| offered(job)).map(|(job, _)| job.clone()).collect();
        for job in asked {
            self.wait(&job);
        }
        for job in worker.jobs {
            if let Some(entry) = self.jobs.get_mut(&job) {
                entry.phase = Phase::Assigned(None);
            }
            self.review_orphan(&job);
        }
        self.offer_waiting(now);
    }

    /// A worker says something.
    pub(crate) fn message(&mut self, now: Instant, id: WorkerId, message: FromWorker) {
        let Some(worker) = self.workers.get(&id) else { return };
        if worker.registration.is_none() != matches!(message, FromWorker::Register(_)) {
            return self.outputs.push_back(Output::Close(id, "a worker registers once, before all else"));
        }
        match message {
            FromWorker::Register(request) => self.register(now, id, request),
            FromWorker::Availability(answer) => self.answered(now, id, answer),
            FromWorker::UpdateWorker(update) => self.update_worker(now, id, &update),
            FromWorker::UpdateJob(update) => self.update_job(id, update),
            FromWorker::Ping(ping) => {
                let timestamp = unix_nanos() / 1_000_000;
                let pong = proto::WorkerPong { last_timestamp: ping.timestamp, timestamp };
                self.send(id, ToWorker::Pong(pong));
            }
            FromWorker::MigrateJob(request) => self.migrate(now, id, &request.job_ids),
            // For a developer's console; what it would show is seen in a real room.
            FromWorker::SimulateJob(_) => {}
        }
    }

    /// When [`Hub::handle_timeout`] wants to be called.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let until = |job: &Job| if let Phase::Offered { until, .. } = job.phase { Some(until) } else { None };
        self.jobs.values().filter_map(until).min()
    }

    /// Whoever did not answer in time is taken for one who does not want.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let late = |job: &Job| matches!(job.phase, Phase::Offered { until, .. } if until <= now);
        let late: Vec<String> =
            self.jobs.iter().filter(|(_, job)| late(job)).map(|(job, _)| job.clone()).collect();
        for job in late {
            self.decline(&job);
        }
        self.offer_waiting(now);
    }

    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Workers that are registered.
    pub(crate) fn workers(&self) -> usize {
        self.workers.values().filter(|worker| worker.registration.is_some()).count()
    }

    fn send(&mut self, worker: WorkerId, message: ToWorker) {
        self.outputs.push_back(Output::Send(worker, Box::new(message)));
    }

    fn register(&mut self, now: Instant, id: WorkerId, request: proto::RegisterWorkerRequest) {
        if request.agent_name.len() > self.limits.name_bytes {
            return self.outputs.push_back(Output::Close(id, "the agent's name is too long"));
        }
        let worker_id = super::new_id("AW_");
        let registration = Registration {
            id: worker_id.clone(),
            job_type: request.r#type(),
            permissions: request.allowed_permissions.as_ref().map_or_else(agent_permissions, permissions_of),
            agent_name: request.agent_name,
            load: 0.0,
            available: true,
        };
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let tenant = worker.tenant.clone();
        worker.registration = Some(registration);
        let server_info = Some(super::server_info());
        let response = proto::RegisterWorkerResponse { worker_id, server_info, endpoint_settings: None };
        self.send(id, ToWorker::Register(response));
        self.review_rooms_of(now, &tenant);
    }

    fn update_worker(&mut self, now: Instant, id: WorkerId, update: &proto::UpdateWorkerStatus) {
        let Some(registration) = self.workers.get_mut(&id).and_then(|worker| worker.registration.as_mut())
        else {
            return;
        };
        registration.load = if update.load.is_finite() { update.load.clamp(0.0, 1.0) } else { 1.0 };
        let full = update.status.is_some() && update.status() == proto::WorkerStatus::WsFull;
        registration.available = !full && !update.draining;
        if registration.available {
            self.offer_waiting(now);
        }
    }

    /// A worker wants the job that it was asked for, or doesn't. An answer to anything else is too late.
    fn answered(&mut self, now: Instant, id: WorkerId, answer: proto::AvailabilityResponse) {
        let job = answer.job_id.clone();
        let asked = |entry: &&Job| matches!(entry.phase, Phase::Offered { worker, .. } if worker == id);
        if self.jobs.get(&job).filter(asked).is_none() {
            return;
        }
        let give_up = answer.terminate && !answer.available;
        if answer.available && self.assign(id, &job, answer) {
            return;
        }
        self.decline(&job);
        if give_up {
            return self.end_job(&job, JobStatus::JsFailed);
        }
        self.offer_waiting(now);
    }

    /// Gives the job to the worker that wants it. `false`: the agent can't join as the worker says.
    fn assign(&mut self, id: WorkerId, job: &str, answer: proto::AvailabilityResponse) -> bool {
        let identity = match answer.participant_identity {
            identity if identity.is_empty() => format!("agent-{job}"),
            identity => identity,
        };
        if text::check_name("identity", &identity, self.limits.name_bytes).is_err() {
            return false;
        }
        let Some(worker) = self.workers.get_mut(&id) else { return false };
        let Some(registration) = &worker.registration else { return false };
        let Some(entry) = self.jobs.get_mut(job) else { return false };
        worker.offers = worker.offers.saturating_sub(1);
        worker.jobs.insert(job.to_owned());
        entry.phase = Phase::Assigned(Some(id));
        entry.attempts += 1;
        let now = unix_nanos();
        entry.record.state = Some(proto::JobState {
            status: JobStatus::JsRunning.into(),
            started_at: now,
            updated_at: now,
            participant_identity: identity.clone(),
            worker_id: registration.id.clone(),
            ..Default::default()
        });
        let grants = Grants {
            name: answer.participant_name,
            metadata: answer.participant_metadata,
            attributes: answer.participant_attributes.into_iter().collect(),
            kind: Kind::Agent,
            permissions: registration.permissions.clone(),
            ..Grants::of(&identity)
        };
        let (room, record) = (entry.room.clone(), Box::new(entry.record.clone()));
        self.outputs.push_back(Output::Started(room.tenant.clone(), record.clone()));
        self.outputs.push_back(Output::Assign { worker: id, room, job: record, grants: Box::new(grants) });
        true
    }

    fn update_job(&mut self, id: WorkerId, update: proto::UpdateJobStatus) {
        let has = |entry: &&mut Job| entry.phase == Phase::Assigned(Some(id));
        let Some(entry) = self.jobs.get_mut(&update.job_id).filter(has) else { return };
        let status = update.status();
        if let Some(state) = &mut entry.record.state {
            state.updated_at = unix_nanos();
            state.error.clone_from(&update.error);
            state.error.truncate(floor_char_boundary(&state.error, self.limits.name_bytes));
            if status != JobStatus::JsPending {
                state.status = status.into();
            }
        }
        if matches!(status, JobStatus::JsSuccess | JobStatus::JsFailed) {
            self.end_job(&update.job_id, status);
        }
    }

    /// A worker gives jobs up that others are to go on with.
    fn migrate(&mut self, now: Instant, id: WorkerId, jobs: &[String]) {
        for job in jobs {
            let has = |entry: &&mut Job| entry.phase == Phase::Assigned(Some(id));
            let Some(entry) = self.jobs.get_mut(job).filter(has) else { continue };
            entry.declined.insert(id);
            self.terminate(job);
            self.wait(job);
        }
        self.offer_waiting(now);
    }
}

/// What an agent may do when its worker doesn't say: all that a person may, and describe itself.
fn agent_permissions() -> Permissions {
    Permissions { can_update_profile: true, ..Permissions::default() }
}

fn floor_char_boundary(text: &str, limit: usize) -> usize {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    end
}
