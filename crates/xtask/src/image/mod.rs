// SPDX-License-Identifier: EUPL-1.2
//! `cargo xtask image`: the system image, and its trial in a virtual machine.
//!
//! [`tools`] makes a tree of Debian 13 with mkosi, QEMU, firmware and a software TPM, which Debian 12 has too old; [`build`] lays the
//! package out beside `appliance/` and runs mkosi in it; [`trial`] boots the image and has a published SDK call through it.

mod build;
mod tools;
mod trial;

use std::path::PathBuf;

use clap::Args;

use crate::sh::{Result, say, target};

#[derive(Args)]
pub(crate) struct Options {
    /// Build the image twice and compare.
    #[arg(long)]
    twice: bool,
    /// Boot it in a virtual machine, call through it, and write down how long it took.
    #[arg(long)]
    test: bool,
    /// Take what `cargo build` made for tests, instead of a release.
    #[arg(long)]
    debug: bool,
}

/// Builds it, and does what else is asked for.
pub(crate) fn run(options: &Options) -> Result {
    let tools = tools::Tools::ready()?;
    let image = build::image(&tools, options.debug, "out")?;
    say(&format!("built {}", image.display()));
    if options.twice {
        build::compare(&image, &build::image(&tools, options.debug, "again")?)?;
        say("built twice, and the same bit by bit");
    }
    if options.test {
        trial::run(&tools, &image)?;
    }
    Ok(())
}

/// Where all of it happens.
fn folder() -> PathBuf {
    target().join("image")
}
