// SPDX-License-Identifier: EUPL-1.2
//! `cargo xtask deb`: the Debian package, and what shows that it installs, serves, and goes.
//!
//! [`tree`] lays out what it installs, [`units`] holds the service manager's units against their bounds, and [`trial`] installs it in Debian
//! systems made for that. `dpkg-deb` packs the tree; nothing of debhelper is needed, since there is one package and we know what is in it. Built
//! twice from one commit it is the same, bit by bit: times are those of the commit, or `SOURCE_DATE_EPOCH`.

mod tree;
mod trial;
mod units;

use std::path::{Path, PathBuf};

use clap::Args;

use crate::sh::{Error, Result, process, say, target};
use crate::{setup, web};

/// What packs it, finds what it depends on, and looks at units.
const TOOLS: &[&str] = &["dpkg-dev", "binutils", "systemd", "xz-utils"];

#[derive(Args)]
pub(crate) struct Options {
    /// Pack what `cargo build` made for tests, instead of a release: quick, and of no use to anybody else.
    #[arg(long)]
    debug: bool,
    /// Pack the programs that lie there, and build none.
    #[arg(long, value_name = "DIR", conflicts_with = "debug")]
    programs: Option<PathBuf>,
    /// Build the package twice and compare.
    #[arg(long)]
    twice: bool,
    /// Install, upgrade, downgrade, remove and purge it in Debian systems made for that, and have one boot with it.
    #[arg(long)]
    test: bool,
    /// With --test, in this release alone.
    #[arg(long, value_name = "RELEASE")]
    suite: Option<String>,
    /// Hold the units against their bounds, and build nothing.
    #[arg(long)]
    units: bool,
}

/// Does it.
pub(crate) fn run(options: &Options) -> Result {
    setup::debian(TOOLS)?;
    units::check()?;
    if options.units {
        return Ok(());
    }
    let programs = match &options.programs {
        Some(folder) => folder.canonicalize()?,
        None => build(options.debug)?,
    };
    let out = target().join("deb");
    let version = env!("CARGO_PKG_VERSION");
    let package = pack(&programs, &out, version)?;
    if options.twice {
        let again = pack(&programs, &out.join("again"), version)?;
        if std::fs::read(&package)? != std::fs::read(&again)? {
            return Err(Error::new(format!("{} and {} differ", package.display(), again.display())));
        }
        say("built twice, and the same bit by bit");
    }
    say(&format!("built {}", package.display()));
    if options.test {
        let newer = pack(&programs, &out.join("newer"), &format!("{version}+1"))?;
        trial::run(&package, &newer, options.suite.as_deref())?;
    }
    Ok(())
}

/// What the package installs, laid out below `folder` and not packed: the image takes it.
pub(crate) fn lay_out(debug: bool, folder: &Path) -> Result {
    setup::debian(TOOLS)?;
    tree::lay_out(&build(debug)?, folder, env!("CARGO_PKG_VERSION"))?;
    std::fs::remove_dir_all(folder.join("DEBIAN"))?;
    Ok(())
}

/// Holds the units against their bounds.
pub(crate) fn check_units() -> Result {
    setup::debian(TOOLS)?;
    units::check()
}

/// The folder with both programs.
fn build(debug: bool) -> Result<PathBuf> {
    setup::build_tools()?;
    if debug {
        crate::programs::server()?;
        return Ok(target().join("debug"));
    }
    web::build()?;
    let packages = ["--package", "parvis", "--package", "parvis-media"];
    process("cargo", ["build", "--release", "--locked"].into_iter().chain(packages)).run()?;
    Ok(target().join("release"))
}

/// Packs it below `out`, and gives the file.
fn pack(programs: &Path, out: &Path, version: &str) -> Result<PathBuf> {
    let epoch = epoch()?;
    let folder = out.join("tree");
    let architecture = tree::lay_out(programs, &folder, version)?;
    let file = out.join(format!("parvis_{version}_{architecture}.deb"));
    let arguments = ["--root-owner-group", "--threads-max=1", "-Zxz", "--build"];
    let places = [folder.to_string_lossy().into_owned(), file.to_string_lossy().into_owned()];
    let arguments = arguments.map(str::to_owned).into_iter().chain(places);
    process("dpkg-deb", arguments).with("SOURCE_DATE_EPOCH", epoch).run_quietly()?;
    Ok(file)
}

/// The time that all files bear, in seconds since 1970.
pub(crate) fn epoch() -> Result<String> {
    if let Ok(epoch) = std::env::var("SOURCE_DATE_EPOCH") {
        return Ok(epoch);
    }
    let commit = process("git", ["log", "-1", "--format=%ct"]).output();
    commit.ok_or_else(|| Error::new("git does not say when the last commit was made; set SOURCE_DATE_EPOCH"))
}
