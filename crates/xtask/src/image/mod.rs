// SPDX-License-Identifier: EUPL-1.2
//! `cargo xtask image`: the system image, and its trial in a virtual machine.
//!
//! [`tools`] makes a tree of Debian 13 with mkosi, QEMU, firmware and a software TPM, which Debian 12 has too old; [`build`] lays the
//! package out beside `appliance/` and runs mkosi in it, [`keys`] are what it is signed with, [`updates`] what the next one is fetched
//! as; [`trial`] boots it in a [`machine`], has a published SDK call through it, and does to it what may happen to one.

mod build;
mod keys;
mod machine;
#[cfg(test)]
mod tests;
mod tools;
mod trial;
mod updates;

use std::path::PathBuf;

use clap::Args;

use self::build::Wanted;
use crate::sh::{Result, say, target};

/// The version of what is built here.
const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(Args)]
pub(crate) struct Options {
    /// Build the image twice, unsigned, and compare.
    #[arg(long)]
    twice: bool,
    /// Boot it in a virtual machine, call through it, do to it what may happen, and write down what was seen.
    #[arg(long)]
    test: bool,
    /// Of the trial only this step; it may be given several times. Nothing is written down then.
    #[arg(long, value_name = "STEP", requires = "test")]
    step: Vec<trial::Step>,
    /// Take what `cargo build` made for tests, instead of a release.
    #[arg(long)]
    debug: bool,
    /// Take the images that were built before.
    #[arg(long, conflicts_with = "twice")]
    built: bool,
}

/// Builds it, and does what else is asked for.
pub(crate) fn run(options: &Options) -> Result {
    let tools = tools::Tools::ready()?;
    if options.twice {
        let wanted = |name| Wanted { name, signed: false, ..Wanted::first(options.debug) };
        let one = build::image(&tools, &wanted("one"))?;
        build::compare(&one, &build::image(&tools, &wanted("again"))?)?;
        say("built twice, and the same bit by bit");
    }
    let wanted = Wanted::first(options.debug);
    let image = built(&tools, &wanted, options.built)?;
    say(&format!("built {}", image.display()));
    let update = updates::lay_out(&tools, &image, VERSION)?;
    say(&format!("as an update: {}", update.display()));
    if options.test {
        trial::run(&tools, &image, options)?;
    }
    Ok(())
}

/// Builds it, or takes what is there.
fn built(tools: &tools::Tools, wanted: &Wanted, before: bool) -> Result<PathBuf> {
    let there = folder().join(wanted.name).join(format!("parvis_{}.raw", wanted.version));
    if before && there.exists() { Ok(there) } else { build::image(tools, wanted) }
}

/// Where all of it happens.
fn folder() -> PathBuf {
    target().join("image")
}
