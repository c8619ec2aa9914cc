// SPDX-License-Identifier: EUPL-1.2
//! Workers, rooms and jobs in virtual time.

use std::time::{Duration, Instant};

use livekit_protocol as proto;
use livekit_protocol::server_message::Message as ToWorker;
use livekit_protocol::worker_message::Message as FromWorker;
use livekit_protocol::{JobStatus, JobType};
use parvis_meeting::Kind;

use super::hub::{Hub, Output};
use super::{AgentLimits, DispatchError, WorkerId};
use crate::tenant::{RoomKey, TenantId};

struct Stage {
    hub: Hub,
    now: Instant,
    next: u64,
}

fn room(name: &str) -> RoomKey {
    RoomKey::new(&TenantId::default(), name)
}

fn named(agent_name: &str) -> proto::RoomAgentDispatch {
    proto::RoomAgentDispatch { agent_name: agent_name.into(), metadata: "{}".into(), ..Default::default() }
}

fn person(identity: &str) -> proto::ParticipantInfo {
    proto::ParticipantInfo { identity: identity.into(), ..Default::default() }
}

fn agent(identity: &str) -> proto::ParticipantInfo {
    let kind = proto::participant_info::Kind::Agent.into();
    proto::ParticipantInfo { kind, ..person(identity) }
}

impl Stage {
    fn new() -> Stage {
        Stage::with(AgentLimits::default())
    }

    fn with(limits: AgentLimits) -> Stage {
        Stage { hub: Hub::new(limits), now: Instant::now(), next: 1 }
    }

    fn worker_of(&mut self, tenant: &TenantId, agent_name: &str, job_type: JobType) -> WorkerId {
        let worker = WorkerId(self.next);
        self.next += 1;
        assert!(self.hub.connect(worker, tenant.clone()));
        let request = proto::RegisterWorkerRequest {
            agent_name: agent_name.into(),
            r#type: job_type.into(),
            ..Default::default()
        };
        self.say(worker, FromWorker::Register(request));
        worker
    }

    fn worker(&mut self, agent_name: &str) -> WorkerId {
        let worker = self.worker_of(&TenantId::default(), agent_name, JobType::JtRoom);
        self.outputs();
        worker
    }

    fn say(&mut self, worker: WorkerId, message: FromWorker) {
        self.hub.message(self.now, worker, message);
    }

    fn start(&mut self, name: &str, agents: Vec<proto::RoomAgentDispatch>) {
        let info = proto::Room { name: name.into(), ..Default::default() };
        self.hub.room_started(self.now, &room(name), info, agents);
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.hub.poll_output()).collect()
    }

    /// Who was asked for which job since the last time.
    fn asked(&mut self) -> Vec<(WorkerId, proto::Job)> {
        let asked = |output| match output {
            Output::Send(worker, message) => match *message {
                ToWorker::Availability(request) => request.job.map(|job| (worker, job)),
                _ => None,
            },
            _ => None,
        };
        self.outputs().into_iter().filter_map(asked).collect()
    }

    fn answer(&mut self, worker: WorkerId, job: &proto::Job, available: bool) {
        let answer = proto::AvailabilityResponse {
            job_id: job.id.clone(),
            available,
            participant_identity: format!("agent-of-{}", worker.0),
            ..Default::default()
        };
        self.say(worker, FromWorker::Availability(answer));
    }

    fn load(&mut self, worker: WorkerId, load: f32, status: proto::WorkerStatus) {
        let update = proto::UpdateWorkerStatus { load, status: Some(status.into()), ..Default::default() };
        self.say(worker, FromWorker::UpdateWorker(update));
    }

    fn status(&self, name: &str) -> Vec<JobStatus> {
        let dispatches = self.hub.list_dispatches(&room(name), "");
        let jobs = dispatches.into_iter().flat_map(|dispatch| dispatch.state.unwrap_or_default().jobs);
        jobs.map(|job| job.state.unwrap_or_default().status()).collect()
    }
}

#[test]
fn a_room_asks_the_nameless_agent_and_who_takes_the_job_gets_a_token_for_it() {
    let mut stage = Stage::new();
    let (worker, _other) = (stage.worker(""), stage.worker("translator"));
    stage.start("atelier", vec![]);
    let asked = stage.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(asked[0].0, worker);
    assert_eq!(asked[0].1.room.as_ref().unwrap().name, "atelier");
    stage.answer(worker, &asked[0].1, true);
    let outputs = stage.outputs();
    let assigned = outputs.iter().find_map(|output| match output {
        Output::Assign { worker, room, job, grants } => {
            Some((*worker, room.clone(), job.clone(), grants.clone()))
        }
        _ => None,
    });
    let (to, key, job, grants) = assigned.unwrap();
    assert_eq!((to, key, job.id.as_str()), (worker, room("atelier"), asked[0].1.id.as_str()));
    assert_eq!((grants.kind, grants.identity.as_str()), (Kind::Agent, "agent-of-1"));
    assert!(outputs.iter().any(|output| matches!(output, Output::Started(..))));
    assert_eq!(stage.status("atelier"), [JobStatus::JsRunning]);
    let done = proto::UpdateJobStatus {
        job_id: job.id.clone(),
        status: JobStatus::JsSuccess.into(),
        ..Default::default()
    };
    stage.say(worker, FromWorker::UpdateJob(done));
    assert!(matches!(stage.outputs()[..], [Output::Ended(..)]));
    assert_eq!(stage.status("atelier"), [JobStatus::JsSuccess]);
}

#[test]
fn a_room_that_names_its_agents_gets_those_and_not_the_nameless_one() {
    let mut stage = Stage::new();
    let (_nameless, translator) = (stage.worker(""), stage.worker("translator"));
    stage.start("atelier", vec![named("translator"), named("nobody")]);
    let asked = stage.asked();
    assert_eq!(asked.iter().map(|(worker, _)| *worker).collect::<Vec<_>>(), [translator]);
    assert_eq!((asked[0].1.agent_name.as_str(), asked[0].1.metadata.as_str()), ("translator", "{}"));
    // One that comes later finds its work waiting.
    let nobody = stage.worker_of(&TenantId::default(), "nobody", JobType::JtRoom);
    assert_eq!(stage.asked().iter().map(|(worker, _)| *worker).collect::<Vec<_>>(), [nobody]);
}

#[test]
fn the_least_loaded_is_asked_first_and_the_next_when_it_declines_or_is_silent() {
    let mut stage = Stage::new();
    let (busy, free, full) = (stage.worker(""), stage.worker(""), stage.worker(""));
    stage.load(busy, 0.6, proto::WorkerStatus::WsAvailable);
    stage.load(free, 0.1, proto::WorkerStatus::WsAvailable);
    stage.load(full, 0.0, proto::WorkerStatus::WsFull);
    stage.start("atelier", vec![]);
    let asked = stage.asked();
    assert_eq!(asked[0].0, free);
    stage.answer(free, &asked[0].1, false);
    let asked = stage.asked();
    assert_eq!(asked[0].0, busy);
    // Silence counts as a no, at its time and not before.
    let until = stage.hub.poll_timeout().unwrap();
    assert_eq!(until, stage.now + Duration::from_secs(10));
    stage.now = until;
    stage.hub.handle_timeout(stage.now);
    assert_eq!(stage.asked(), [], "the third one is full");
    stage.answer(busy, &asked[0].1, true);
    assert_eq!(stage.outputs(), [], "it is too late");
    stage.load(full, f32::NAN, proto::WorkerStatus::WsAvailable);
    assert_eq!(stage.asked()[0].0, full);
}

#[test]
fn many_rooms_at_once_are_spread_over_workers() {
    let mut stage = Stage::new();
    let workers = [stage.worker(""), stage.worker("")];
    for number in 0..20 {
        stage.start(&format!("room{number}"), vec![]);
    }
    let asked = stage.asked();
    for worker in workers {
        assert_eq!(asked.iter().filter(|(asked, _)| *asked == worker).count(), 10);
    }
}

#[test]
fn a_worker_that_goes_before_its_answer_or_before_its_agent_came_loses_the_job_to_another() {
    let mut stage = Stage::new();
    let first = stage.worker("");
    stage.start("atelier", vec![]);
    let job = stage.asked().remove(0).1;
    let second = stage.worker("");
    stage.hub.gone(stage.now, first);
    let asked = stage.asked();
    assert_eq!((asked[0].0, &asked[0].1.id), (second, &job.id));
    stage.answer(second, &job, true);
    stage.outputs();
    let third = stage.worker("");
    stage.hub.gone(stage.now, second);
    assert_eq!(stage.asked()[0].0, third, "its agent had not come");
}

#[test]
fn a_lost_worker_keeps_its_job_as_long_as_its_agent_is_in_the_room() {
    let mut stage = Stage::new();
    let first = stage.worker("");
    stage.start("atelier", vec![]);
    let job = stage.asked().remove(0).1;
    stage.answer(first, &job, true);
    stage.hub.joined(stage.now, &room("atelier"), agent("agent-of-1"));
    let second = stage.worker("");
    stage.hub.gone(stage.now, first);
    assert_eq!(stage.asked(), []);
    stage.hub.left(stage.now, &room("atelier"), "agent-of-1");
    let resumed = stage.outputs().into_iter().find_map(|output| match output {
        Output::Send(worker, message) => match *message {
            ToWorker::Availability(request) => Some((worker, request.resuming)),
            _ => None,
        },
        _ => None,
    });
    assert_eq!(resumed, Some((second, true)));
}

#[test]
fn a_job_that_is_lost_again_and_again_ends() {
    let mut stage = Stage::new();
    stage.start("atelier", vec![]);
    for _ in 0..3 {
        let worker = stage.worker_of(&TenantId::default(), "", JobType::JtRoom);
        let job = stage.asked().remove(0).1;
        stage.answer(worker, &job, true);
        stage.hub.gone(stage.now, worker);
    }
    assert_eq!(stage.status("atelier"), [JobStatus::JsFailed]);
    stage.worker("");
    assert_eq!(stage.asked(), []);
}

#[test]
fn jobs_for_participants_and_publishers_follow_who_comes_and_who_publishes() {
    let mut stage = Stage::new();
    let tenant = TenantId::default();
    let greeter = stage.worker_of(&tenant, "", JobType::JtParticipant);
    let listener = stage.worker_of(&tenant, "", JobType::JtPublisher);
    stage.outputs();
    stage.start("atelier", vec![]);
    let key = room("atelier");
    assert_eq!(stage.asked(), []);
    stage.hub.joined(stage.now, &key, person("ada"));
    stage.hub.joined(stage.now, &key, agent("helper"));
    let asked = stage.asked();
    assert_eq!(asked.len(), 1, "agents get no agents");
    assert_eq!((asked[0].0, asked[0].1.participant.as_ref().unwrap().identity.as_str()), (greeter, "ada"));
    stage.hub.published(stage.now, &key, "ada");
    stage.hub.published(stage.now, &key, "ada");
    let asked = stage.asked();
    assert_eq!(asked.len(), 1, "one for each publisher, not for each track");
    assert_eq!((asked[0].0, asked[0].1.r#type()), (listener, JobType::JtPublisher));
    // Whoever leaves and comes back gets a job anew.
    stage.hub.left(stage.now, &key, "ada");
    stage.outputs();
    stage.hub.joined(stage.now, &key, person("ada"));
    assert_eq!(stage.asked().len(), 1);
}

#[test]
fn a_dispatch_is_made_listed_and_taken_back_with_its_jobs() {
    let mut stage = Stage::new();
    let worker = stage.worker("scribe");
    let key = room("atelier");
    let request = proto::CreateAgentDispatchRequest { agent_name: "scribe".into(), ..Default::default() };
    assert_eq!(stage.hub.create_dispatch(stage.now, &key, request.clone()), Err(DispatchError::NoRoom));
    stage.start("atelier", vec![]);
    let dispatch = stage.hub.create_dispatch(stage.now, &key, request.clone()).unwrap();
    let asked = stage.asked();
    assert_eq!((asked[0].0, &asked[0].1.dispatch_id), (worker, &dispatch.id));
    stage.answer(worker, &asked[0].1, true);
    stage.outputs();
    assert_eq!(stage.hub.list_dispatches(&key, &dispatch.id)[0].state.as_ref().unwrap().jobs.len(), 1);
    stage.hub.delete_dispatch(&key, &dispatch.id).unwrap();
    let terminated = stage.outputs().into_iter().any(|output| match output {
        Output::Send(to, message) => to == worker && matches!(*message, ToWorker::Termination(_)),
        _ => false,
    });
    assert!(terminated);
    assert_eq!(stage.hub.delete_dispatch(&key, &dispatch.id), Err(DispatchError::NotFound));
    assert!(stage.hub.list_dispatches(&key, &dispatch.id).is_empty());
    let huge = proto::CreateAgentDispatchRequest { metadata: "x".repeat(70_000), ..request };
    assert_eq!(stage.hub.create_dispatch(stage.now, &key, huge), Err(DispatchError::TooLarge));
}

#[test]
fn row_54_a_worker_hears_nothing_of_another_tenants_rooms() {
    let mut stage = Stage::new();
    stage.worker_of(&TenantId::new("other"), "", JobType::JtRoom);
    stage.outputs();
    stage.start("atelier", vec![]);
    assert_eq!(stage.outputs(), []);
}

#[test]
fn row_41_workers_dispatches_and_jobs_are_bounded() {
    let limits = AgentLimits { workers: 2, dispatches_per_room: 3, jobs: 4, ..AgentLimits::default() };
    let mut stage = Stage::with(limits);
    stage.worker("");
    stage.worker("");
    assert!(!stage.hub.connect(WorkerId(99), TenantId::default()));
    stage.start("atelier", vec![named("a"), named("b"), named("c"), named("d")]);
    assert_eq!(stage.hub.list_dispatches(&room("atelier"), "").len(), 3);
    for number in 0..10 {
        stage.start(&format!("room{number}"), vec![]);
    }
    assert_eq!(stage.hub.jobs.len(), 4);
    // Rooms that end make place again.
    for number in 0..10 {
        stage.hub.room_ended(&room(&format!("room{number}")));
    }
    assert!(stage.hub.jobs.is_empty());
}

#[test]
fn who_speaks_before_registering_or_registers_twice_is_closed() {
    let mut stage = Stage::new();
    stage.hub.connect(WorkerId(50), TenantId::default());
    stage.say(WorkerId(50), FromWorker::Ping(proto::WorkerPing::default()));
    assert!(matches!(stage.outputs()[..], [Output::Close(WorkerId(50), _)]));
    let worker = stage.worker("");
    stage.say(worker, FromWorker::Register(proto::RegisterWorkerRequest::default()));
    assert!(matches!(stage.outputs()[..], [Output::Close(closed, _)] if closed == worker));
}

#[test]
fn no_worker_touches_a_job_that_it_does_not_have() {
    let mut stage = Stage::new();
    let (first, thief) = (stage.worker(""), stage.worker("thief"));
    stage.start("atelier", vec![]);
    let job = stage.asked().remove(0).1;
    stage.answer(thief, &job, true);
    assert_eq!(stage.outputs(), []);
    stage.answer(first, &job, true);
    stage.outputs();
    let failed = proto::UpdateJobStatus {
        job_id: job.id.clone(),
        status: JobStatus::JsFailed.into(),
        ..Default::default()
    };
    stage.say(thief, FromWorker::UpdateJob(failed));
    stage.say(thief, FromWorker::MigrateJob(proto::MigrateJobRequest { job_ids: vec![job.id] }));
    assert_eq!(stage.outputs(), []);
    assert_eq!(stage.status("atelier"), [JobStatus::JsRunning]);
}
