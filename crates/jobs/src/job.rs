// SPDX-License-Identifier: EUPL-1.2
//! What state a job is in, and what is to be done about it.
//!
//! The server feeds what happened ([`Job::ready`], [`Job::exited`], …) and does the [`Action`]s that come back, in their
//! order. [`Job::deadline`] says when [`Job::tick`] is due: a worker that never becomes ready, hangs, or doesn't end is ended.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::wire::{Failure, FailureKind, File, StopReason, ToServer};

/// The states of a job, named as LiveKit's egress names them (`EGRESS_STARTING`, …).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// A worker is being started.
    Starting,
    /// It records.
    Active,
    /// It was asked to stop, and writes what it holds.
    Ending,
    /// All is written.
    Complete,
    /// It could not go on; files that were written are whole.
    Failed,
    /// It was stopped before anything was recorded.
    Aborted,
    /// A limit ended it; what was written until then is whole.
    LimitReached,
}

impl State {
    /// Whether nothing changes any more.
    pub fn is_final(self) -> bool {
        matches!(self, State::Complete | State::Failed | State::Aborted | State::LimitReached)
    }

    /// LiveKit's name.
    pub fn livekit_name(self) -> &'static str {
        match self {
            State::Starting => "EGRESS_STARTING",
            State::Active => "EGRESS_ACTIVE",
            State::Ending => "EGRESS_ENDING",
            State::Complete => "EGRESS_COMPLETE",
            State::Failed => "EGRESS_FAILED",
            State::Aborted => "EGRESS_ABORTED",
            State::LimitReached => "EGRESS_LIMIT_REACHED",
        }
    }

    /// Whether a job may go from this state to `next`.
    pub fn leads_to(self, next: State) -> bool {
        match self {
            // From Active back to Starting there is no way: a restart is no matter of those who look at the job.
            State::Starting => !matches!(next, State::Starting | State::Complete),
            State::Active => !matches!(next, State::Starting | State::Active | State::Aborted),
            State::Ending => next.is_final(),
            _ => false,
        }
    }
}

/// How patient a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobConfig {
    /// From start to `Started`.
    pub start_timeout: Duration,
    /// Between two messages of a worker that runs: one comes each second.
    pub silence_timeout: Duration,
    /// From `Stop` to `Stopped`.
    pub stop_timeout: Duration,
    /// How often a worker that died is started anew, in the whole job.
    pub max_restarts: u32,
    /// Before the first restart; doubled for each one after it.
    pub restart_delay: Duration,
}

impl Default for JobConfig {
    fn default() -> JobConfig {
        JobConfig {
            start_timeout: Duration::from_secs(10),
            silence_timeout: Duration::from_secs(10),
            stop_timeout: Duration::from_secs(30),
            max_restarts: 3,
            restart_delay: Duration::from_millis(250),
        }
    }
}

/// What the server is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Start a worker; `restart` goes into its `Start`, with all sources and participants of the moment after it.
    Spawn {
        /// How many workers the job had before.
        restart: u32,
    },
    /// Send `Start` and what is there now.
    SendStart,
    /// Send `Stop`.
    SendStop(StopReason),
    /// End the worker by force.
    Kill,
    /// The job has another state: tell those who want to know.
    Changed(State),
}

/// Why a job came to its end, in words for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// The worker stopped in order.
    Stopped(StopReason),
    /// The worker said that it can't go on.
    Failed(Failure),
    /// The worker died or was ended too often; what the last one was ended for.
    Died(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Worker {
    /// None; one is started at that moment, if any.
    None { spawn_at: Option<Instant> },
    /// It has until then to become ready and to start.
    Starting { by: Instant },
    /// It has until then to say something.
    Running { by: Instant },
    /// It has until then to say `Stopped`.
    Stopping { by: Instant },
    /// Its last word was said, or it is being killed: only its exit is awaited.
    Leaving,
}

/// A job.
#[derive(Debug)]
pub struct Job {
    config: JobConfig,
    state: State,
    worker: Worker,
    restarts: u32,
    /// Whether any worker ever said `Started`.
    recorded: bool,
    stop: Option<StopReason>,
    /// What it is killed for, until its exit.
    fault: Option<String>,
    why: Option<Why>,
    files: Vec<File>,
}

impl Job {
    /// A new job. Its first action is to start a worker.
    pub fn new(now: Instant, config: JobConfig) -> (Job, Vec<Action>) {
        let by = now + config.start_timeout;
        let job = Job {
            config,
            state: State::Starting,
            worker: Worker::Starting { by },
            restarts: 0,
            recorded: false,
            stop: None,
            fault: None,
            why: None,
            files: Vec::new(),
        };
        (job, vec![Action::Spawn { restart: 0 }])
    }

    /// Its state.
    pub fn state(&self) -> State {
        self.state
    }

    /// Why it ended; `None` before.
    pub fn why(&self) -> Option<&Why> {
        self.why.as_ref()
    }

    /// What was written, as the last worker told; empty when it didn't come to that. The manifest has all of them.
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// How often a worker was started anew.
    pub fn restarts(&self) -> u32 {
        self.restarts
    }

    /// When [`Job::tick`] is due; `None` when nothing is waited for.
    pub fn deadline(&self) -> Option<Instant> {
        match self.worker {
            Worker::None { spawn_at } => spawn_at,
            Worker::Starting { by } | Worker::Running { by } | Worker::Stopping { by } => Some(by),
            Worker::Leaving => None,
        }
    }

    /// A message came from the worker. `Hello` is the connection's matter, and none of this.
    pub fn message(&mut self, now: Instant, message: &ToServer) -> Vec<Action> {
        if self.state.is_final() {
            return Vec::new();
        }
        match message {
            ToServer::Ready { .. } => match self.worker {
                Worker::Starting { .. } => vec![Action::SendStart],
                _ => Vec::new(),
            },
            ToServer::Started => self.started(now),
            ToServer::Stopped { reason, files } => {
                self.files.clone_from(files);
                self.worker = Worker::Leaving;
                let next = match reason {
                    _ if !self.recorded => State::Aborted,
                    limit if limit.is_limit() => State::LimitReached,
                    _ => State::Complete,
                };
                self.finish(next, Why::Stopped(*reason))
            }
            ToServer::Failed(failure) => self.failed(failure),
            _ => {
                if let Worker::Running { by } = &mut self.worker {
                    *by = now + self.config.silence_timeout;
                }
                Vec::new()
            }
        }
    }

    /// Somebody, or something, ends the job.
    pub fn stop(&mut self, now: Instant, reason: StopReason) -> Vec<Action> {
        if self.state.is_final() || self.stop.is_some() {
            return Vec::new();
        }
        self.stop = Some(reason);
        match self.worker {
            // Nothing runs: what earlier workers wrote is all there is.
            Worker::None { .. } => {
                self.worker = Worker::None { spawn_at: None };
                let next = if self.recorded { State::Complete } else { State::Aborted };
                let mut actions = self.change(State::Ending);
                actions.extend(self.finish(next, Why::Stopped(reason)));
                actions
            }
            Worker::Leaving => self.change(State::Ending),
            Worker::Starting { .. } | Worker::Running { .. } | Worker::Stopping { .. } => {
                self.worker = Worker::Stopping { by: now + self.config.stop_timeout };
                let mut actions = self.change(State::Ending);
                actions.push(Action::SendStop(reason));
                actions
            }
        }
    }

    /// The worker's process ended, or could not be started; `how` says how.
    pub fn exited(&mut self, now: Instant, how: &str) -> Vec<Action> {
        if self.state.is_final() {
            self.worker = Worker::None { spawn_at: None };
            return Vec::new();
        }
        let how = self.fault.take().unwrap_or_else(|| how.to_owned());
        self.worker = Worker::None { spawn_at: None };
        if let Some(reason) = self.stop {
            // It died while it stopped: what it wrote is whole but for its last moments.
            return match self.recorded {
                true => self.finish(State::Failed, Why::Died(how)),
                false => self.finish(State::Aborted, Why::Stopped(reason)),
            };
        }
        if self.restarts >= self.config.max_restarts {
            return self.finish(State::Failed, Why::Died(how));
        }
        let delay = self.config.restart_delay.saturating_mul(1 << self.restarts.min(8));
        self.worker = Worker::None { spawn_at: Some(now + delay) };
        Vec::new()
    }

    /// Time went by.
    pub fn tick(&mut self, now: Instant) -> Vec<Action> {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return Vec::new();
        }
        match self.worker {
            Worker::None { .. } => {
                self.restarts += 1;
                self.worker = Worker::Starting { by: now + self.config.start_timeout };
                vec![Action::Spawn { restart: self.restarts }]
            }
            Worker::Starting { .. } => self.kill("it did not start in time"),
            Worker::Running { .. } => self.kill("it said nothing for too long"),
            Worker::Stopping { .. } => self.kill("it did not stop in time"),
            Worker::Leaving => Vec::new(),
        }
    }

    fn started(&mut self, now: Instant) -> Vec<Action> {
        match self.worker {
            Worker::Starting { .. } => {
                self.worker = Worker::Running { by: now + self.config.silence_timeout };
                self.recorded = true;
                self.change(State::Active)
            }
            // `Stop` crossed it on the way.
            Worker::Stopping { .. } => {
                self.recorded = true;
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn failed(&mut self, failure: &Failure) -> Vec<Action> {
        if failure.kind.may_pass() && self.stop.is_none() && self.restarts < self.config.max_restarts {
            self.fault = Some(failure.to_string());
            self.worker = Worker::Leaving;
            // It ends by itself; if not, by force.
            return vec![Action::Kill];
        }
        self.worker = Worker::Leaving;
        self.finish(State::Failed, Why::Failed(failure.clone()))
    }

    fn kill(&mut self, fault: &str) -> Vec<Action> {
        self.fault = Some(fault.to_owned());
        self.worker = Worker::Leaving;
        vec![Action::Kill]
    }

    fn finish(&mut self, next: State, why: Why) -> Vec<Action> {
        self.why = Some(why);
        self.change(next)
    }

    /// A restart leaves the state as it is.
    fn change(&mut self, next: State) -> Vec<Action> {
        if !self.state.leads_to(next) {
            // From Starting the worker's own `Stopped` may come without `Ending` between: that is in the table.
            debug_assert!(self.state == next || next == State::Active, "{:?} to {next:?}", self.state);
            return Vec::new();
        }
        self.state = next;
        vec![Action::Changed(next)]
    }
}

impl From<FailureKind> for &'static str {
    fn from(kind: FailureKind) -> &'static str {
        match kind {
            FailureKind::KeyMissing => "key missing",
            FailureKind::Storage => "storage",
            FailureKind::Protocol => "protocol",
            FailureKind::Confinement => "confinement",
            FailureKind::Version => "version",
            FailureKind::Compose => "compose",
        }
    }
}
