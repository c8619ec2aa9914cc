// SPDX-License-Identifier: EUPL-1.2
//! The package in a copy of this very system: installed, upgraded, downgraded, removed and purged within seconds, with nothing fetched.
//!
//! What depends on a service manager that runs is not seen here, and no other release: [`super::trial`] shows that. What the package depends
//! on is what its programs are linked with, and so is here wherever they were built.

use std::path::Path;

use crate::setup;
use crate::sh::{Error, Result, process, root, target};

/// What makes the copy and its loopback.
const TOOLS: &[&str] = &["util-linux", "iproute2", "mount"];

/// Tries it. The copy is of memory alone and lies over this system's files, of which none is written to; it goes with its namespaces.
pub(super) fn run(old: &Path, new: &Path) -> Result {
    setup::debian(TOOLS)?;
    let place = target().join("deb/here");
    std::fs::create_dir_all(&place)?;
    let scripts = ["here.sh", "trial.sh"].map(|name| root().join("configs/debian").join(name));
    let files = [scripts[0].as_path(), &place, &scripts[1], old, new];
    let namespaces = ["--mount", "--pid", "--fork", "--ipc", "--uts", "--net", "--kill-child", "/bin/sh"];
    let files = files.map(|path| path.to_string_lossy().into_owned());
    process("unshare", namespaces.map(str::to_owned).into_iter().chain(files)).run_quietly().map_err(|error| {
        Error::new(format!("{error}; it needs root, namespaces and overlay mounts: see docs/decisions/0078-package-in-ci.md"))
    })
}
