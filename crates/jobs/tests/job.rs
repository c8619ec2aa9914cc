// SPDX-License-Identifier: EUPL-1.2
//! What happens to a job, from its start to each of its ends.

use std::time::{Duration, Instant};

use parvis_jobs::{
    Action, Confinement, Failure, FailureKind, File, Job, JobConfig, State, StopReason, ToServer, Why,
};
use proptest::prelude::*;

fn ready() -> ToServer {
    let confinement =
        Confinement { seccomp: true, landlock: true, no_new_privileges: true, missing: Vec::new() };
    ToServer::Ready { confinement }
}

fn progress() -> ToServer {
    ToServer::Progress { bytes: 1, duration_micros: 1, tracks: Vec::new(), strays: 0, live: None }
}

fn stopped(reason: StopReason) -> ToServer {
    let files = vec![File { name: "manifest.json".into(), bytes: 1, sha256: String::new() }];
    ToServer::Stopped { reason, files }
}

fn failure(kind: FailureKind) -> ToServer {
    ToServer::Failed(Failure { kind, what: "w".into(), place: "p".into(), remedy: "r".into() })
}

/// A job that records.
fn active(now: Instant) -> Job {
    let (mut job, actions) = Job::new(now, JobConfig::default());
    assert_eq!(actions, [Action::Spawn { restart: 0 }]);
    assert_eq!(job.message(now, &ready()), [Action::SendStart]);
    assert_eq!(job.message(now, &ToServer::Started), [Action::Changed(State::Active)]);
    job
}

#[test]
fn a_recording_that_is_stopped_is_complete() {
    let now = Instant::now();
    let mut job = active(now);
    let actions = job.stop(now, StopReason::Requested);
    assert_eq!(actions, [Action::Changed(State::Ending), Action::SendStop(StopReason::Requested)]);
    assert_eq!(job.stop(now, StopReason::RoomEnded), [], "once is enough");
    assert_eq!(job.message(now, &stopped(StopReason::Requested)), [Action::Changed(State::Complete)]);
    assert_eq!(job.files().len(), 1);
    assert_eq!(job.exited(now, "exit status 0"), []);
    assert_eq!((job.state(), job.deadline()), (State::Complete, None));
}

#[test]
fn a_limit_is_told_as_one() {
    let now = Instant::now();
    let mut job = active(now);
    assert_eq!(job.message(now, &stopped(StopReason::DiskFull)), [Action::Changed(State::LimitReached)]);
    assert_eq!(job.why(), Some(&Why::Stopped(StopReason::DiskFull)));
}

#[test]
fn a_job_stopped_before_it_recorded_is_aborted() {
    let now = Instant::now();
    let (mut job, _) = Job::new(now, JobConfig::default());
    job.stop(now, StopReason::Requested);
    assert_eq!(job.message(now, &stopped(StopReason::Requested)), [Action::Changed(State::Aborted)]);
}

#[test]
fn a_worker_that_died_is_started_anew_so_often_and_no_oftener() {
    let now = Instant::now();
    let config = JobConfig { max_restarts: 2, ..JobConfig::default() };
    let (mut job, _) = Job::new(now, config);
    job.message(now, &ToServer::Started);
    let mut now = now;
    for restart in 1..=2 {
        assert_eq!(job.exited(now, "signal 9"), []);
        assert_eq!(job.state(), State::Active, "those who look at the job see nothing of it");
        now = job.deadline().unwrap();
        assert_eq!(job.tick(now), [Action::Spawn { restart }]);
        assert_eq!(job.message(now, &ready()), [Action::SendStart]);
        assert_eq!(job.message(now, &ToServer::Started), []);
    }
    assert_eq!(job.exited(now, "signal 9"), [Action::Changed(State::Failed)]);
    assert_eq!(job.why(), Some(&Why::Died("signal 9".into())));
}

#[test]
fn a_worker_that_hangs_is_killed_and_started_anew() {
    let start = Instant::now();
    let mut job = active(start);
    let later = start + Duration::from_secs(9);
    job.message(later, &progress());
    assert_eq!(job.tick(start + Duration::from_secs(10)), [], "it spoke a second ago");
    let silent = job.deadline().unwrap();
    assert_eq!(silent, later + Duration::from_secs(10));
    assert_eq!(job.tick(silent), [Action::Kill]);
    assert_eq!(job.exited(silent, "signal 9"), []);
    assert_eq!(job.tick(job.deadline().unwrap()), [Action::Spawn { restart: 1 }]);
}

#[test]
fn a_worker_that_does_not_stop_is_killed_and_the_job_says_so() {
    let now = Instant::now();
    let mut job = active(now);
    job.stop(now, StopReason::Requested);
    assert_eq!(job.tick(job.deadline().unwrap()), [Action::Kill]);
    assert_eq!(job.exited(now, "signal 9"), [Action::Changed(State::Failed)]);
    assert_eq!(job.why(), Some(&Why::Died("it did not stop in time".into())));
}

#[test]
fn a_missing_key_is_no_reason_to_try_again_but_a_fault_of_storage_is() {
    let now = Instant::now();
    let mut job = active(now);
    assert_eq!(job.message(now, &failure(FailureKind::KeyMissing)), [Action::Changed(State::Failed)]);
    let mut job = active(now);
    assert_eq!(job.message(now, &failure(FailureKind::Storage)), [Action::Kill]);
    assert_eq!(job.exited(now, "signal 9"), []);
    assert_eq!(job.tick(job.deadline().unwrap()), [Action::Spawn { restart: 1 }]);
}

#[test]
fn a_stop_between_two_workers_ends_the_job_with_what_there_is() {
    let now = Instant::now();
    let mut job = active(now);
    job.exited(now, "signal 11");
    let actions = job.stop(now, StopReason::RoomEnded);
    assert_eq!(actions, [Action::Changed(State::Ending), Action::Changed(State::Complete)]);
    assert_eq!(job.deadline(), None, "and no worker is started for it");
}

#[derive(Debug, Clone)]
enum Input {
    Message(ToServer),
    Stop,
    Exit,
    Tick,
}

fn inputs() -> impl Strategy<Value = Vec<Input>> {
    let input = prop_oneof![
        1 => Just(Input::Message(ready())),
        3 => Just(Input::Message(ToServer::Started)),
        1 => Just(Input::Message(progress())),
        1 => Just(Input::Message(stopped(StopReason::Requested))),
        1 => Just(Input::Message(stopped(StopReason::QuotaReached))),
        1 => Just(Input::Message(failure(FailureKind::Protocol))),
        1 => Just(Input::Message(failure(FailureKind::Storage))),
        1 => Just(Input::Stop),
        3 => Just(Input::Exit),
        5 => Just(Input::Tick),
    ];
    prop::collection::vec(input, 0..40)
}

proptest! {
    #[test]
    fn whatever_comes_states_follow_the_table_and_an_ended_job_stays_as_it_is(inputs in inputs()) {
        let mut now = Instant::now();
        let (mut job, _) = Job::new(now, JobConfig::default());
        let mut spawned = 1_u32;
        for input in inputs {
            let before = job.state();
            let actions = match input {
                Input::Message(message) => job.message(now, &message),
                Input::Stop => job.stop(now, StopReason::Requested),
                Input::Exit => job.exited(now, "exit"),
                Input::Tick => {
                    now = job.deadline().unwrap_or(now);
                    job.tick(now)
                }
            };
            let mut state = before;
            for action in &actions {
                match action {
                    Action::Changed(next) => {
                        prop_assert!(state.leads_to(*next), "{:?} to {:?}", state, next);
                        state = *next;
                    }
                    Action::Spawn { .. } => spawned += 1,
                    _ => {}
                }
            }
            prop_assert_eq!(state, job.state(), "each change is told");
            prop_assert_eq!(job.state().is_final(), job.why().is_some());
            if before.is_final() {
                prop_assert_eq!(job.state(), before);
                prop_assert_eq!(actions, vec![]);
            }
        }
        prop_assert!(spawned <= 1 + JobConfig::default().max_restarts);
    }
}
