// SPDX-License-Identifier: EUPL-1.2
//! `cargo xtask sim`: whole conferences from seeds, in virtual time.

use clap::Args;

use crate::sh::{Result, process, target};

#[derive(Args)]
#[group(multiple = false, required = true)]
pub(crate) struct What {
    /// So many seeds, from the base on.
    #[arg(long)]
    seeds: Option<u64>,
    /// This one alone, with what happens in it.
    #[arg(long)]
    seed: Option<u64>,
    /// New seeds until so many hours are over.
    #[arg(long)]
    hours: Option<f64>,
}

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    what: What,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    base: u64,
}

/// Runs what was asked for, in a release build.
pub(crate) fn run(options: &Options) -> Result {
    let what = &options.what;
    let number = |name: &str, value: Option<String>| value.map(|value| [format!("--{name}"), value]);
    let all = [
        number("seeds", what.seeds.map(|seeds| seeds.to_string())),
        number("seed", what.seed.map(|seed| seed.to_string())),
        number("hours", what.hours.map(|hours| hours.to_string())),
        number("base", Some(options.base.to_string())),
    ];
    start(&all.into_iter().flatten().flatten().collect::<Vec<_>>())
}

fn start(arguments: &[String]) -> Result {
    process("cargo", ["build", "--release", "--package", "parvis-sim", "--locked"]).run()?;
    let program = target().join("release/parvis-sim");
    process(&program.to_string_lossy(), arguments).run()
}
