// SPDX-License-Identifier: EUPL-1.2
//! Agents: programs that take part in meetings. Workers connect to `/agent`, say what they do, and are offered jobs, one by
//! one: the least loaded first, another when one declines, does not answer or goes away. Whoever takes a job gets a token by
//! which its agent joins the room as a participant of the kind AGENT.
//!
//! [`hub`] has workers and jobs, [`dispatch`] what rooms ask for; both are without I/O. [`task`] owns them, and gives them
//! time and sockets; [`socket`] is a worker's connection.

mod dispatch;
mod hub;
mod socket;
mod task;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use livekit_protocol as proto;
use parvis_signal::{OccurrenceKind, Rate};
use tokio::sync::{mpsc, oneshot};

pub(crate) use dispatch::DispatchError;
pub(crate) use socket::connect;
pub(crate) use task::spawn;

use crate::limit::Throttle;
use crate::metrics::Metrics;
use crate::tenant::RoomKey;
use task::Input;

/// The version of the workers' protocol.
const AGENT_PROTOCOL: i32 = 1;

/// Bounds of agents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentLimits {
    /// Workers of one tenant that are connected at once.
    pub workers: usize,
    /// Dispatches to one room.
    pub dispatches_per_room: usize,
    /// Jobs in all rooms.
    pub jobs: usize,
    /// Bytes of an agent's name, and of an identity that a worker chooses.
    pub name_bytes: usize,
    /// Bytes of a dispatch's metadata and attributes together.
    pub metadata_bytes: usize,
    /// Bytes of a worker's message.
    pub message_bytes: usize,
    /// Messages of the workers at one address.
    pub messages: Rate,
    /// How long a worker may take to say whether it wants a job.
    pub answer: Duration,
    /// How long an agent's token opens the door.
    pub token: Duration,
}

impl Default for AgentLimits {
    fn default() -> Self {
        AgentLimits {
            workers: 100,
            dispatches_per_room: 32,
            jobs: 10_000,
            name_bytes: 256,
            metadata_bytes: 64 * 1024,
            message_bytes: 256 * 1024,
            messages: Rate { burst: 2_000, per_second: 500 },
            answer: Duration::from_secs(10),
            token: Duration::from_secs(3_600),
        }
    }
}

/// One worker's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct WorkerId(pub(crate) u64);

/// The way to the task that has the agents.
pub(crate) struct Agents {
    inbox: mpsc::Sender<Input>,
    next_worker: AtomicU64,
    messages: Throttle,
    metrics: Metrics,
}

/// What rooms tell.
#[derive(Debug)]
pub(crate) enum News {
    /// The room began, and asks for these agents.
    Started(Box<proto::Room>, Vec<proto::RoomAgentDispatch>),
    /// Someone is there, with media.
    Joined(Box<proto::ParticipantInfo>),
    /// Someone publishes a track.
    Published(String),
    /// Someone left.
    Left(String),
    /// The room is over.
    Ended,
}

impl News {
    /// What agents need to know of what happened in a room. Its beginning and its end are told elsewhere.
    pub(crate) fn of(kind: &OccurrenceKind) -> Option<News> {
        match kind {
            OccurrenceKind::ParticipantJoined { participant } => {
                Some(News::Joined(Box::new(participant.clone())))
            }
            OccurrenceKind::TrackPublished { participant, .. } => {
                Some(News::Published(participant.identity.clone()))
            }
            OccurrenceKind::ParticipantLeft { participant }
            | OccurrenceKind::ParticipantConnectionAborted { participant } => {
                Some(News::Left(participant.identity.clone()))
            }
            OccurrenceKind::RoomStarted
            | OccurrenceKind::RoomFinished { .. }
            | OccurrenceKind::TrackUnpublished { .. } => None,
        }
    }
}

impl Agents {
    fn next_worker(&self) -> WorkerId {
        WorkerId(self.next_worker.fetch_add(1, Ordering::Relaxed))
    }

    /// Tells what happened in a room. It never waits: a room that can't be heard goes on without agents.
    pub(crate) fn tell(&self, key: &RoomKey, news: News) {
        if self.inbox.try_send(Input::News(key.clone(), news)).is_err() {
            self.metrics.agents.with_label_values(&["news_dropped"]).inc();
        }
    }

    /// Asks for an agent.
    pub(crate) async fn create_dispatch(
        &self,
        key: RoomKey,
        request: proto::CreateAgentDispatchRequest,
    ) -> Result<proto::AgentDispatch, DispatchError> {
        self.ask(|reply| Input::Create(key, Box::new(request), reply))
            .await
            .unwrap_or(Err(DispatchError::NoRoom))
    }

    /// Takes a dispatch back.
    pub(crate) async fn delete_dispatch(
        &self,
        key: RoomKey,
        id: String,
    ) -> Result<proto::AgentDispatch, DispatchError> {
        self.ask(|reply| Input::Delete(key, id, reply)).await.unwrap_or(Err(DispatchError::NoRoom))
    }

    /// The dispatches to a room: the one of this id, or all.
    pub(crate) async fn list_dispatches(&self, key: RoomKey, id: String) -> Vec<proto::AgentDispatch> {
        self.ask(|reply| Input::List(key, id, reply)).await.unwrap_or_default()
    }

    async fn ask<T>(&self, input: impl FnOnce(oneshot::Sender<T>) -> Input) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.inbox.send(input(reply)).await.ok()?;
        answer.await.ok()
    }
}

/// What a worker is told of the server.
fn server_info() -> proto::ServerInfo {
    proto::ServerInfo {
        version: parvis_signal::SERVER_VERSION.to_owned(),
        protocol: parvis_signal::SERVER_PROTOCOL,
        agent_protocol: AGENT_PROTOCOL,
        ..Default::default()
    }
}

fn new_id(prefix: &str) -> String {
    format!("{prefix}{:016x}", rand::random::<u64>())
}

fn unix_nanos() -> i64 {
    let passed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(passed.as_nanos()).unwrap_or(i64::MAX)
}
