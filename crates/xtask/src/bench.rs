// SPDX-License-Identifier: EUPL-1.2
//! `cargo xtask bench NAME`: measurements, printed as a table and, when asked, as JSON.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::sh::{Result, process, root, target};
use crate::{e2e, setup};

#[derive(Args)]
pub(crate) struct Options {
    /// What to measure.
    name: Name,
    /// Writes the figures to this file as well.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Fewer runs: under a minute.
    #[arg(long)]
    quick: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Name {
    /// From joining to the first decoded remote video frame, for both signalling forms.
    Join,
}

/// Runs one benchmark against a release build.
pub(crate) fn run(options: &Options) -> Result {
    let Name::Join = options.name;
    setup::build_tools()?;
    setup::browsers()?;
    setup::npm(e2e::FOLDER)?;
    process("cargo", ["build", "--release", "--package", "parvis"]).run()?;
    let mut arguments = vec!["bench/join.mjs".to_owned()];
    if options.quick {
        arguments.push("--quick".to_owned());
    }
    if let Some(file) = &options.json {
        let file = std::env::current_dir()?.join(file);
        arguments.extend(["--json".to_owned(), file.to_string_lossy().into_owned()]);
    }
    process("node", arguments)
        .within(root().join(e2e::FOLDER))
        .with("PARVIS_SERVER", target().join("release/parvis"))
        .watch(|_| ())
}
