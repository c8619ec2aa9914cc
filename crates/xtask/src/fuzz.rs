// SPDX-License-Identifier: EUPL-1.2
//! `cargo xtask fuzz`: libFuzzer targets for every parser of bytes from outside.

use std::path::Path;

use clap::Args;

use crate::setup;
use crate::sh::{Error, Result, process, root, say};

const VERSION: &str = "0.13.2";
const FOLDER: &str = "tests/fuzz";

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

/// Builds all targets, runs those that were asked for, and stops at the first finding.
pub(crate) fn run(options: &Options) -> Result {
    setup::build_tools()?;
    setup::cargo_tool("cargo-fuzz", VERSION)?;
    let targets = targets(options)?;
    // Stable Rust has no sanitizers; our own code has next to no `unsafe` for them to watch.
    let common = ["--fuzz-dir", FOLDER, "--sanitizer", "none"];
    process("cargo", ["fuzz", "build"].iter().chain(&common)).run()?;
    for target in &targets {
        // New inputs go to a folder that git ignores; the seeds in the tree are only read.
        let found = format!("{FOLDER}/target/found/{target}");
        std::fs::create_dir_all(root().join(&found))?;
        let seeds = format!("{FOLDER}/corpus/{target}");
        let mut arguments: Vec<String> =
            ["fuzz", "run"].iter().chain(&common).map(ToString::to_string).collect();
        arguments.extend([target.clone(), found]);
        if root().join(&seeds).is_dir() {
            arguments.push(seeds);
        }
        arguments.push("--".to_owned());
        arguments.push(format!("-max_total_time={}", options.seconds));
        arguments.push(format!("-rss_limit_mb={MEMORY_MIB}"));
        arguments.push(format!("-timeout={INPUT_SECONDS}"));
        arguments.push("-verbosity=0".to_owned());
        process("cargo", arguments).run()?;
    }
    say(&format!("{} fuzz targets ran {} s each without a finding", targets.len(), options.seconds));
    Ok(())
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
