// SPDX-License-Identifier: EUPL-1.2
//! Recordings and streams that go on: how long each took to begin, and the trace of each that has one.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use livekit_protocol::EgressStatus as Status;
use livekit_protocol::egress_info::Request;

use super::Trace;
use crate::exemplars::Timed;

/// Jobs that are followed at one time: more than a server runs (`recording.max_jobs`).
const MAX_FOLLOWED: usize = 1_024;

/// What an engine tells of a job besides its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobStep {
    /// A worker is there that does it. Only the first counts.
    Worker,
    /// Something of it was written, or sent. Only the first time counts.
    FirstBytes,
    /// It is about to end, for this reason.
    Reason(&'static str),
}

/// See the module's page.
#[derive(Default)]
pub(crate) struct Jobs {
    // Ids are ours.
    jobs: Mutex<HashMap<String, Job>>,
}

struct Job {
    trace: Option<Trace>,
    asked: Instant,
    worker: Option<Instant>,
    first_bytes: bool,
    active: bool,
    reason: Option<&'static str>,
}

impl Jobs {
    /// One was asked for at that moment.
    pub(crate) fn begin(&self, id: &str, asked: Instant, trace: Option<Trace>) {
        let mut jobs = self.jobs();
        if jobs.len() < MAX_FOLLOWED {
            let job = Job { trace, asked, worker: None, first_bytes: false, active: false, reason: None };
            jobs.insert(id.to_owned(), job);
        }
    }

    /// It was refused.
    pub(crate) fn refused(&self, id: &str) {
        if let Some(trace) = self.jobs().remove(id).and_then(|job| job.trace) {
            trace.end(Instant::now(), "refused", false);
        }
    }

    /// An engine tells of one.
    pub(crate) fn reached(&self, id: &str, step: JobStep) {
        let now = Instant::now();
        let mut jobs = self.jobs();
        let Some(job) = jobs.get_mut(id) else { return };
        match step {
            JobStep::Worker if job.worker.is_none() => {
                job.worker = Some(now);
                job.step("worker", job.asked, now);
            }
            JobStep::FirstBytes if !job.first_bytes => {
                job.first_bytes = true;
                job.step("first bytes", job.worker.unwrap_or(job.asked), now);
            }
            JobStep::Reason(reason) => job.reason = Some(reason),
            JobStep::Worker | JobStep::FirstBytes => {}
        }
    }

    /// Its record says that it is so now. The first time that it goes on, `starts` hears how long it took.
    pub(crate) fn is(&self, id: &str, status: Status, starts: &Timed) {
        let now = Instant::now();
        let mut jobs = self.jobs();
        let Some(job) = jobs.get_mut(id) else { return };
        match status {
            Status::EgressStarting | Status::EgressEnding => {}
            Status::EgressActive if job.active => {}
            Status::EgressActive => {
                job.active = true;
                job.step("start", job.asked, now);
                let trace = job.trace.as_ref().map(Trace::id);
                starts.observe(now.saturating_duration_since(job.asked), trace);
            }
            Status::EgressComplete
            | Status::EgressFailed
            | Status::EgressAborted
            | Status::EgressLimitReached => {
                if let Some(trace) = &job.trace {
                    let outcome = job.reason.unwrap_or(status.as_str_name());
                    trace.end(now, outcome, status == Status::EgressComplete);
                }
                jobs.remove(id);
            }
        }
    }

    fn jobs(&self) -> MutexGuard<'_, HashMap<String, Job>> {
        // Nothing panics while it is held.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Job {
    fn step(&self, name: &'static str, from: Instant, to: Instant) {
        if let Some(trace) = &self.trace {
            trace.step(name, from, to);
        }
    }
}

/// What kind of job was asked for, in a word.
pub(crate) fn kind_of(request: &Request) -> &'static str {
    match request {
        Request::RoomComposite(_) => "room",
        Request::Participant(_) => "participant",
        Request::TrackComposite(_) | Request::Track(_) => "tracks",
        _ => "other",
    }
}
