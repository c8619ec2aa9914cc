// SPDX-License-Identifier: EUPL-1.2
//! `cargo xtask run`: from a checkout to a meeting link.

use std::os::unix::process::CommandExt;
use std::process::Command;

use clap::Args;

use crate::sh::{Error, Result, process, root, say, target};
use crate::{setup, web};

#[derive(Args)]
pub(crate) struct Options {
    /// Passed on to `parvis serve --dev`, after `--`.
    #[arg(last = true)]
    server: Vec<String>,
}

/// Builds the web client, the server and what records, then becomes the server.
pub(crate) fn run(options: &Options) -> Result {
    setup::build_tools()?;
    web::build()?;
    process("cargo", ["build", "--release", "--package", "parvis", "--package", "parvis-media"]).run()?;
    say("starting the server; open the link that it prints, Ctrl+C ends it");
    let error = Command::new(target().join("release/parvis"))
        .args(["serve", "--dev"])
        .args(&options.server)
        .current_dir(root())
        .exec();
    Err(Error::new(format!("the server can't be started: {error}")))
}
