// SPDX-License-Identifier: EUPL-1.2
//! What makes recordings: the worker's program, and its encoders.

use std::path::Path;

use super::{Line, PATIENCE, TRIALS, first_line};
use crate::serve::Settings;

/// All of it.
pub(super) async fn lines(settings: &Settings) -> Vec<Line> {
    match &settings.recording {
        Some(recording) => of(&recording.worker, &recording.encoder).await,
        None => vec![Line::skipped("recorder", "recording.enabled is false")],
    }
}

async fn of(worker: &Path, encoder: &str) -> Vec<Line> {
    let tried = format!("started {}", worker.display());
    let recorder = match first_line(worker, &["--version"], PATIENCE).await {
        Ok(version) => Line::good("recorder", tried, version),
        Err(problem) => {
            let remedy = "install parvis-media beside parvis, or name it as recording.worker";
            return vec![Line::bad("recorder", tried, problem, remedy)];
        }
    };
    let (what, tried) = ("encoders", "tried each encoder with a few pictures");
    let encoders = match first_line(worker, &["probe", "--encoder", encoder], TRIALS).await {
        Ok(seen) => Line::good(what, tried, seen),
        Err(problem) => {
            let remedy = "install gstreamer1.0-plugins-ugly (x264); `parvis media probe` says more";
            Line::bad(what, tried, problem, remedy)
        }
    };
    vec![recorder, encoders]
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[tokio::test]
    async fn a_worker_that_is_not_there_and_one_whose_trial_fails_are_told_apart() {
        let lines = of(Path::new("/bin/true"), "auto").await;
        assert_eq!(lines.iter().map(|line| line.state).collect::<Vec<_>>(), [State::Good, State::Good]);
        assert!(lines[0].seen.starts_with("true "), "its version: {}", lines[0].seen);
        // It has a version, and no trial.
        let lines = of(Path::new("/bin/cat"), "auto").await;
        assert_eq!(lines.iter().map(|line| line.state).collect::<Vec<_>>(), [State::Good, State::Bad]);
        let said = lines[1].seen.split_once(", and said: ").unwrap().1;
        assert!(
            !said.is_empty() && lines[1].remedy.as_ref().unwrap().contains("parvis media probe"),
            "{said}"
        );
        let lines = of(Path::new("/nowhere"), "auto").await;
        assert_eq!((lines.len(), lines[0].state), (1, State::Bad));
        assert!(lines[0].remedy.as_ref().unwrap().contains("recording.worker"));
    }
}
