// SPDX-License-Identifier: EUPL-1.2
//! `cargo xtask deb`: the Debian package, and what shows that it installs, serves, and goes.
//!
//! [`tree`] lays out what it installs, [`units`] holds the service manager's units against their bounds, [`here`] installs it in a copy of this
//! system, and [`trial`] in Debian systems made for that. `dpkg-deb` packs the tree; nothing of debhelper is needed, since there is one package and we know what is in it. Built
//! twice from one commit it is the same, bit by bit: times are those of the commit, or `SOURCE_DATE_EPOCH`.

mod here;
mod tree;
mod trial;
mod units;

use std::path::{Path, PathBuf};

use clap::Args;

use crate::sh::{Error, Result, process, say, target};
use crate::{setup, web};

/// What packs it, finds what it depends on, and looks at units.
const TOOLS: &[&str] = &["dpkg-dev", "binutils", "systemd", "xz-utils"];
const VERSION: &str = env!("CARGO_PKG_VERSION");

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
    let package = pack(&programs, &out, "-Zxz")?;
    if options.twice {
        let again = pack(&programs, &out.join("again"), "-Zxz")?;
        if std::fs::read(&package)? != std::fs::read(&again)? {
            return Err(Error::new(format!("{} and {} differ", package.display(), again.display())));
        }
        say("built twice, and the same bit by bit");
    }
    say(&format!("built {}", package.display()));
    if options.test {
        trial::run(&package, &pack_newer(&out, "-Zxz")?, options.suite.as_deref())?;
    }
    Ok(())
}

/// What the package installs, laid out below `folder` and not packed: the image takes it.
pub(crate) fn lay_out(debug: bool, folder: &Path) -> Result {
    setup::debian(TOOLS)?;
    tree::lay_out(&build(debug)?, folder, VERSION)?;
    std::fs::remove_dir_all(folder.join("DEBIAN"))?;
    Ok(())
}

/// Holds the units against their bounds.
pub(crate) fn check_units() -> Result {
    setup::debian(TOOLS)?;
    units::check()
}

/// Packs what tests have built, and installs, upgrades, downgrades, removes and purges that in a copy of this system.
pub(crate) fn check_package() -> Result {
    setup::debian(TOOLS)?;
    let out = target().join("deb/checked");
    // Nobody keeps it, so nobody waits for it to become small.
    let package = pack(&build(true)?, &out, "-Znone")?;
    here::run(&package, &pack_newer(&out, "-Znone")?)
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

/// Lays it out and packs it below `out`, and gives the file.
fn pack(programs: &Path, out: &Path, compression: &str) -> Result<PathBuf> {
    let folder = out.join("tree");
    let architecture = tree::lay_out(programs, &folder, VERSION)?;
    pack_tree(&folder, &out.join(format!("parvis_{VERSION}_{architecture}.deb")), compression)
}

/// Packs what was laid out below `out` once more, as the version after it.
fn pack_newer(out: &Path, compression: &str) -> Result<PathBuf> {
    let folder = out.join("tree");
    tree::set_version(&folder, &format!("{VERSION}+1"))?;
    pack_tree(&folder, &out.join("newer.deb"), compression)
}

fn pack_tree(folder: &Path, file: &Path, compression: &str) -> Result<PathBuf> {
    let arguments = ["--root-owner-group", "--threads-max=1", compression, "--build"];
    let places = [folder.to_string_lossy().into_owned(), file.to_string_lossy().into_owned()];
    let arguments = arguments.map(str::to_owned).into_iter().chain(places);
    process("dpkg-deb", arguments).with("SOURCE_DATE_EPOCH", epoch()?).run_quietly()?;
    Ok(file.to_owned())
}

/// The time that all files bear, in seconds since 1970.
pub(crate) fn epoch() -> Result<String> {
    if let Ok(epoch) = std::env::var("SOURCE_DATE_EPOCH") {
        return Ok(epoch);
    }
    let commit = process("git", ["log", "-1", "--format=%ct"]).output();
    commit.ok_or_else(|| Error::new("git does not say when the last commit was made; set SOURCE_DATE_EPOCH"))
}
