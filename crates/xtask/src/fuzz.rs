// SPDX-License-Identifier: EUPL-1.2
//! `cargo xtask fuzz`: libFuzzer targets for every parser of bytes from outside.

use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Args;

use crate::setup;
use crate::sh::{Error, Result, process, root, say};

const VERSION: &str = "0.13.2";
const FOLDER: &str = "tests/fuzz";
/// What is built is kept out of the workspace's own folder: it has other flags.
const BUILT: &str = "tests/fuzz/target";

/// A parser of ours needs no more memory than this for any one input.
const MEMORY_MIB: u32 = 1024;
/// Nor more time than this, in seconds, even unoptimised on a busy machine.
const INPUT_SECONDS: u32 = 10;

#[derive(Args)]
pub(crate) struct Options {
    /// Which target; all of them when left out.
    target: Option<String>,
    /// How long each target runs.
    #[arg(long, default_value_t = 60)]
    pub(crate) seconds: u64,
}

impl Options {
    /// Every target for so many seconds.
    pub(crate) fn all(seconds: u64) -> Options {
        Options { target: None, seconds }
    }
}

/// Builds all targets, runs those that were asked for, as many at once as there are cores, and tells of each finding.
pub(crate) fn run(options: &Options) -> Result {
    setup::build_tools()?;
    setup::cargo_tool("cargo-fuzz", VERSION)?;
    let targets = targets(options)?;
    process("cargo", build()).run()?;
    let next = AtomicUsize::new(0);
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let runs: Vec<Result> = std::thread::scope(|scope| {
        let work = || {
            let mut results = Vec::new();
            while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
                results.push(run_one(target, options.seconds));
            }
            results
        };
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
    });
    let ran = runs.len();
    let findings: Vec<String> = runs.into_iter().filter_map(|run| Some(run.err()?.to_string())).collect();
    if ran < targets.len() {
        return Err(Error::new(format!("only {ran} of {} fuzz targets ran to their end", targets.len())));
    }
    if !findings.is_empty() {
        return Err(Error::new(findings.join("\n")));
    }
    say(&format!("{ran} fuzz targets ran {} s each without a finding", options.seconds));
    Ok(())
}

/// Builds all targets in time that nobody else wants, says nothing, and leaves what it could not do to [`run`].
pub(crate) fn build_idly() {
    if setup::cargo_tool("cargo-fuzz", VERSION).is_ok() {
        let idly = ["--idle", "0", "cargo"].map(str::to_owned).into_iter().chain(build());
        let _ = process("chrt", idly).output();
    }
}

/// What cargo is told to build all targets.
fn build() -> Vec<String> {
    // Stable Rust has no sanitizers; our own code has next to no `unsafe` for them to watch.
    let build =
        ["fuzz", "build", "--fuzz-dir", FOLDER, "--sanitizer", "none", "--target-dir", BUILT, "--target"];
    build.into_iter().map(str::to_owned).chain([triple()]).collect()
}

/// Runs a target that is built, and tells what it found.
fn run_one(target: &str, seconds: u64) -> Result {
    // New inputs go to folders that git ignores; the seeds in the tree are only read.
    let found = format!("{BUILT}/found/{target}");
    let artifacts = format!("{FOLDER}/artifacts/{target}/");
    for folder in [&found, &artifacts] {
        std::fs::create_dir_all(root().join(folder))?;
    }
    let mut arguments = vec![
        format!("-artifact_prefix={artifacts}"),
        format!("-max_total_time={seconds}"),
        format!("-rss_limit_mb={MEMORY_MIB}"),
        format!("-timeout={INPUT_SECONDS}"),
        "-verbosity=0".to_owned(),
        found,
    ];
    let seeds = format!("{FOLDER}/corpus/{target}");
    if root().join(&seeds).is_dir() {
        arguments.push(seeds);
    }
    let program = root().join(format!("{BUILT}/{}/release/{target}", triple()));
    let run = process(&program.to_string_lossy(), arguments).run_quietly();
    run.map_err(|error| {
        let again = format!(
            "cargo fuzz run --fuzz-dir {FOLDER} --sanitizer none {target} {artifacts}<the file named above>"
        );
        Error::new(format!("{target}: {error}; again with `{again}`"))
    })
}

/// The system that this one is, as rustc calls it.
fn triple() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

/// The names of the targets to run.
pub(crate) fn targets(options: &Options) -> Result<Vec<String>> {
    if !Path::new(&root().join(FOLDER)).is_dir() {
        return Err(Error::new(format!("{FOLDER} is missing")));
    }
    let listed = process("cargo", ["fuzz", "list", "--fuzz-dir", FOLDER]).output().unwrap_or_default();
    let all: Vec<String> = listed.lines().map(str::to_owned).collect();
    match &options.target {
        Some(one) if all.contains(one) => Ok(vec![one.clone()]),
        Some(one) => Err(Error::new(format!("no fuzz target {one}; there are {}", all.join(", ")))),
        None if all.is_empty() => Err(Error::new("cargo fuzz lists no target")),
        None => Ok(all),
    }
}
