// SPDX-License-Identifier: EUPL-1.2
//! The task that has the agents: it gives the hub time and inputs, and does what it says.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use livekit_protocol as proto;
use livekit_protocol::server_message::Message as ToWorker;
use parvis_signal::Frame;
use prost::Message as _;
use tokio::sync::{mpsc, oneshot};

use super::dispatch::DispatchError;
use super::hub::{Hub, Output};
use super::{Agents, News, WorkerId};
use crate::limit::Throttle;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::socket::Outgoing;
use crate::tenant::{RoomKey, TenantId};
use crate::webhook::Webhooks;

/// Inputs that may wait: some seconds of a busy server.
const INBOX: usize = 4_096;
/// WebSocket close codes (RFC 6455 section 7.4.1).
const POLICY: u16 = 1008;
const MALFORMED: u16 = 1007;
const TRY_AGAIN_LATER: u16 = 1013;

/// What the task hears.
pub(super) enum Input {
    Connect(WorkerId, TenantId, Outgoing),
    Message(WorkerId, Frame),
    Gone(WorkerId),
    News(RoomKey, News),
    Create(
        RoomKey,
        Box<proto::CreateAgentDispatchRequest>,
        oneshot::Sender<Result<proto::AgentDispatch, DispatchError>>,
    ),
    Delete(RoomKey, String, oneshot::Sender<Result<proto::AgentDispatch, DispatchError>>),
    List(RoomKey, String, oneshot::Sender<Vec<proto::AgentDispatch>>),
}

struct Task {
    hub: Hub,
    live: Arc<Live>,
    metrics: Metrics,
    webhooks: Arc<OnceLock<Webhooks>>,
    sockets: BTreeMap<WorkerId, Connection>,
}

struct Connection {
    outgoing: Outgoing,
    /// Whether the worker speaks JSON; it is answered alike.
    json: bool,
}

/// Starts the task. It ends when nobody has the way to it any more.
pub(crate) fn spawn(live: Arc<Live>, metrics: Metrics, webhooks: Arc<OnceLock<Webhooks>>) -> Agents {
    let (inbox, inputs) = mpsc::channel(INBOX);
    let (hub, messages) = (Hub::new(live.get().config.agents.clone()), Throttle::default());
    let task = Task { hub, live, metrics: metrics.clone(), webhooks, sockets: BTreeMap::new() };
    tokio::spawn(task.run(inputs));
    Agents { inbox, next_worker: AtomicU64::new(1), messages, metrics }
}

impl Task {
    async fn run(mut self, mut inputs: mpsc::Receiver<Input>) {
        loop {
            let far = Instant::now() + Duration::from_secs(3_600);
            let deadline = tokio::time::Instant::from_std(self.hub.poll_timeout().unwrap_or(far));
            tokio::select! {
                input = inputs.recv() => match input {
                    Some(input) => {
                        self.hub.limits.clone_from(&self.live.get().config.agents);
                        self.handle(input);
                    }
                    None => return,
                },
                () = tokio::time::sleep_until(deadline) => self.hub.handle_timeout(Instant::now()),
            }
            self.carry_out();
            self.metrics.agent_workers.set(i64::try_from(self.hub.workers()).unwrap_or(i64::MAX));
        }
    }

    fn handle(&mut self, input: Input) {
        let now = Instant::now();
        // Whoever asked may have gone; what was done stays done.
        match input {
            Input::Connect(worker, tenant, outgoing) => {
                if self.hub.connect(worker, tenant) {
                    self.sockets.insert(worker, Connection { outgoing, json: false });
                } else {
                    self.count("workers_refused");
                    let reason = "as many workers as there may be are connected: raise agents.max_workers";
                    outgoing.close(TRY_AGAIN_LATER, reason.to_owned());
                }
            }
            Input::Message(worker, frame) => self.message(now, worker, &frame),
            Input::Gone(worker) => {
                self.sockets.remove(&worker);
                self.hub.gone(now, worker);
            }
            Input::News(key, news) => self.news(now, &key, news),
            Input::Create(key, request, reply) => {
                let _ = reply.send(self.hub.create_dispatch(now, &key, *request));
            }
            Input::Delete(key, id, reply) => {
                let _ = reply.send(self.hub.delete_dispatch(&key, &id));
            }
            Input::List(key, id, reply) => {
                let _ = reply.send(self.hub.list_dispatches(&key, &id));
            }
        }
    }

    fn news(&mut self, now: Instant, key: &RoomKey, news: News) {
        match news {
            News::Started(room, agents) => self.hub.room_started(now, key, *room, agents),
            News::Joined(info) => self.hub.joined(now, key, *info),
            News::Published(identity) => self.hub.published(now, key, &identity),
            News::Left(identity) => self.hub.left(now, key, &identity),
            News::Ended => self.hub.room_ended(key),
        }
    }

    fn message(&mut self, now: Instant, worker: WorkerId, frame: &Frame) {
        let message = match frame {
            Frame::Binary(bytes) => proto::WorkerMessage::decode(bytes.clone()).ok(),
            Frame::Text(text) => serde_json::from_str::<proto::WorkerMessage>(text).ok(),
        };
        if let Some(connection) = self.sockets.get_mut(&worker) {
            connection.json = matches!(frame, Frame::Text(_));
        }
        match message.map(|message| message.message) {
            Some(Some(message)) => self.hub.message(now, worker, message),
            // Of a kind that we don't know: a newer protocol's.
            Some(None) => {}
            None => self.close(worker, MALFORMED, "not a WorkerMessage"),
        }
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.hub.poll_output() {
            match output {
                Output::Send(worker, message) => self.send(worker, *message),
                Output::Assign { worker, room, job, grants } => {
                    let lifetime = self.hub.limits.token;
                    match self.live.get().keys.issue_for(&room.tenant, &room.name, &grants, lifetime) {
                        Ok(token) => {
                            let assignment = proto::JobAssignment { job: Some(*job), url: None, token };
                            self.send(worker, ToWorker::Assignment(assignment));
                        }
                        Err(error) => tracing::warn!(%error, "no token for an agent"),
                    }
                }
                Output::Close(worker, reason) => self.close(worker, POLICY, reason),
                Output::Started(tenant, job) => self.tell(&tenant, "agent_job_started", *job),
                Output::Ended(tenant, job) => self.tell(&tenant, "agent_job_ended", *job),
            }
        }
    }

    fn send(&mut self, worker: WorkerId, message: ToWorker) {
        let Some(connection) = self.sockets.get(&worker) else { return };
        let message = proto::ServerMessage { message: Some(message) };
        let frame = match serde_json::to_string(&message) {
            Ok(text) if connection.json => Frame::Text(text),
            _ => Frame::Binary(message.encode_to_vec().into()),
        };
        if !connection.outgoing.send(frame) {
            self.close(worker, POLICY, "too slow to read");
        }
    }

    fn close(&mut self, worker: WorkerId, code: u16, reason: &str) {
        if let Some(connection) = self.sockets.remove(&worker) {
            connection.outgoing.close(code, reason.to_owned());
            self.count("workers_closed");
        }
        self.hub.gone(Instant::now(), worker);
    }

    /// Counts what happened to a job, and tells those outside.
    fn tell(&self, tenant: &TenantId, event: &str, job: proto::Job) {
        self.count(event);
        if let Some(webhooks) = self.webhooks.get() {
            let event = event.to_owned();
            webhooks.raise(tenant, proto::WebhookEvent { event, job: Some(job), ..Default::default() });
        }
    }

    fn count(&self, what: &str) {
        self.metrics.agents.with_label_values(&[what]).inc();
    }
}
