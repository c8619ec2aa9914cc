// SPDX-License-Identifier: EUPL-1.2
//! `cargo xtask sim`: whole conferences from seeds, in virtual time.

use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;

use crate::programs;
use crate::sh::{Error, Result, process, say, target};

const PACKAGE: &str = "parvis-sim";
/// The step of `cargo xtask test`: these seeds, the same each time, and no longer than so many seconds.
const FIXED: (u64, u64) = (48, 120);
/// And so many that nobody has run before.
const NEW: (u64, u64) = (12, 25);

#[derive(Args)]
pub(crate) struct Options {
    /// The seeds from the base on, so many.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: Option<u64>,
    /// This one alone, with what happens in it.
    #[arg(long, conflicts_with_all = ["seeds", "hours", "new"])]
    seed: Option<u64>,
    /// New seeds until so many hours are over.
    #[arg(long, conflicts_with_all = ["seeds", "new"])]
    hours: Option<f64>,
    /// So many new seeds; with --seeds, after those.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    new: Option<u64>,
    /// The first of --seeds.
    #[arg(long, default_value_t = 1)]
    base: u64,
    /// Seeds run at the same time.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    jobs: Option<u64>,
}

/// Runs what was asked for, in a release build.
pub(crate) fn run(options: &Options) -> Result {
    let jobs = options.jobs.unwrap_or_else(cores).to_string();
    let text = |number: u64| number.to_string();
    if (options.seeds, options.seed, options.new, options.hours) == (None, None, None, None) {
        return Err(Error::new("say --seeds N, --new N, --hours H or --seed S"));
    }
    let program = build()?;
    if let Some(seed) = options.seed {
        return start(&program, &["--seed", &text(seed)], |_| ());
    }
    if let Some(hours) = options.hours {
        return start(
            &program,
            &["--hours", &hours.to_string(), "--base", &text(unseen()), "--jobs", &jobs],
            |_| (),
        );
    }
    let mut sets = Vec::new();
    sets.extend(options.seeds.map(|seeds| (seeds, options.base)));
    sets.extend(options.new.map(|seeds| (seeds, unseen())));
    let mut result = Ok(());
    for (seeds, base) in sets {
        result = result.and(start(
            &program,
            &["--seeds", &text(seeds), "--base", &text(base), "--jobs", &jobs],
            |_| (),
        ));
    }
    result
}

/// What `cargo xtask test` runs, in a build that takes less time than the one for release; each line goes to `line`, too.
pub(crate) fn check(mut line: impl FnMut(&str)) -> Result {
    let program = programs::optimised(PACKAGE)?.to_string_lossy().into_owned();
    let jobs = cores().to_string();
    let mut result = Ok(());
    for ((seeds, seconds), base) in [(FIXED, 1), (NEW, unseen())] {
        let [seeds, base, seconds] = [seeds, base, seconds].map(|number| number.to_string());
        let arguments = ["--seeds", &seeds, "--base", &base, "--seconds", &seconds, "--jobs", &jobs];
        result = result.and(start(&program, &arguments, &mut line));
    }
    result
}

/// The release build of the simulation.
pub(crate) fn build() -> Result<String> {
    process("cargo", ["build", "--release", "--package", PACKAGE, "--locked"]).run()?;
    Ok(target().join("release").join(PACKAGE).to_string_lossy().into_owned())
}

fn start(program: &str, arguments: &[&str], line: impl FnMut(&str)) -> Result {
    say(&format!("parvis-sim {}", arguments.join(" ")));
    process(program, arguments).watch(line)
}

/// A seed behind which nobody has been: the time, with room for a thousand seeds in each second.
fn unseen() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |passed| passed.as_secs() * 1000)
}

fn cores() -> u64 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64)
}
