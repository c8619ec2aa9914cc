// SPDX-License-Identifier: EUPL-1.2
//! What makes recordings: the worker's program, and its encoders.

use super::{Line, PATIENCE, TRIALS, first_line};
use crate::serve::Settings;

/// All of it.
pub(super) async fn lines(settings: &Settings) -> Vec<Line> {
    let Some(recording) = &settings.recording else {
        return vec![Line::skipped("recorder", "recording.enabled is false")];
    };
    let tried = format!("started {}", recording.worker.display());
    let recorder = match first_line(&recording.worker, &["--version"], PATIENCE).await {
        Ok(version) => Line::good("recorder", tried, version),
        Err(problem) => {
            let remedy = "install parvis-media beside parvis, or name it as recording.worker";
            return vec![Line::bad("recorder", tried, problem, remedy)];
        }
    };
    let (what, tried) = ("encoders", "tried each encoder with a few pictures");
    let probe = ["probe", "--encoder", &recording.encoder];
    let encoders = match first_line(&recording.worker, &probe, TRIALS).await {
        Ok(seen) => Line::good(what, tried, seen),
        Err(problem) => {
            let remedy = "install gstreamer1.0-plugins-ugly (x264); `parvis media probe` says more";
            Line::bad(what, tried, problem, remedy)
        }
    };
    vec![recorder, encoders]
}
