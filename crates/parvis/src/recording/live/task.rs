// SPDX-License-Identifier: EUPL-1.2
//! What a recording's task does for its stream.

use std::sync::atomic::Ordering;
use std::time::Instant;

use livekit_protocol::stream_info;
use parvis_jobs::{Action, Failure, FailureKind, Job, LiveLayout, State, ToServer, ToWorker};

use super::super::book;
use super::super::task::Task;
use super::{Push, finish};

impl Task {
    /// The layout is another one from now on, and in workers that come.
    pub(in super::super) fn lay_out(&mut self, layout: LiveLayout) {
        if let Some(live) = &mut self.live {
            live.set_layout(layout);
            self.tell(&ToWorker::Layout { layout, subject: None });
        }
    }

    /// Streams to these too, and to those no more.
    pub(in super::super) async fn stream_to(&mut self, add: Vec<String>, remove: &[String]) {
        let Some(live) = &mut self.live else { return };
        live.change(&mut self.egress, add, remove);
        self.changed_live().await;
    }

    /// A target does something. Where nothing is left to be done, the whole has failed.
    pub(in super::super) async fn target(
        &mut self,
        job: &mut Job,
        now: Instant,
        id: u64,
        push: Push,
    ) -> Vec<Action> {
        let Some(live) = &mut self.live else { return Vec::new() };
        let failed = live.target(&mut self.egress, id, push).filter(|_| !self.keeps);
        if job.state() == State::Active || job.state() == State::Starting {
            self.changed_live().await;
        }
        let Some(what) = failed else { return Vec::new() };
        let failure = Failure {
            kind: FailureKind::Protocol,
            what,
            place: "every target of the stream has failed".to_owned(),
            remedy: "see that they are there and take the stream, and begin it again".to_owned(),
        };
        let mut actions = job.message(now, &ToServer::Failed(failure));
        // It knows nothing of that, and would go on.
        actions.push(Action::Kill);
        actions
    }

    /// The worker composes no more. Where tracks are kept they still are; else the whole has failed.
    pub(in super::super) async fn live_failed(
        &mut self,
        job: &mut Job,
        now: Instant,
        failure: Failure,
    ) -> Vec<Action> {
        tracing::warn!(recording = self.egress.egress_id, %failure, "a stream can't be composed");
        if !self.keeps {
            let mut actions = job.message(now, &ToServer::Failed(failure));
            actions.push(Action::Kill);
            return actions;
        }
        if let Some(mut live) = self.live.take() {
            let moment = book::unix_nanos();
            for info in &mut self.egress.stream_results {
                if info.status() == stream_info::Status::Active {
                    info.error = failure.to_string();
                    finish(info, stream_info::Status::Failed, moment);
                }
            }
            live.close().await;
            live.note(&mut self.egress);
            live.end(&mut self.egress).await;
            self.changed_live().await;
        }
        Vec::new()
    }

    /// What was kept of the stream is all there is.
    pub(in super::super) async fn close_live(&mut self) {
        if let Some(live) = &mut self.live {
            live.close().await;
        }
    }

    /// Brings the record up to date with what is streamed.
    pub(in super::super) fn note_live(&mut self, state: State) {
        let Some(live) = &self.live else { return };
        live.note(&mut self.egress);
        if let Some((_, active)) = &self.handle.live {
            active.store(live.active(), Ordering::Release);
        }
        if !state.is_final() {
            return;
        }
        for info in &mut self.egress.stream_results {
            if info.status() == stream_info::Status::Active {
                // What was being tried again when the end came had not come through.
                let status = match info.error.is_empty() {
                    true => stream_info::Status::Finished,
                    false => stream_info::Status::Failed,
                };
                finish(info, status, self.egress.ended_at);
            }
        }
    }

    async fn changed_live(&mut self) {
        let state = match self.egress.status() {
            livekit_protocol::EgressStatus::EgressStarting => State::Starting,
            livekit_protocol::EgressStatus::EgressEnding => State::Ending,
            _ => State::Active,
        };
        self.changed(state, None).await;
    }
}
