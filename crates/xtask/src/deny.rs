// SPDX-License-Identifier: EUPL-1.2
//! `cargo xtask deny`: licences, bans and advisories by cargo-deny and `deny.toml`.
//!
//! With `PARVIS_ADVISORY_DB` naming a `.tar.zst` of the RustSec database, only the crates themselves are fetched.

use std::path::Path;

use crate::setup;
use crate::sh::{Result, process, root, target};

const VERSION: &str = "0.20.2";

/// The folder in which cargo-deny looks for the default database: its name with a hash of its address.
const DATABASE: &str = "advisory-db-3157b0e258782691";

/// Checks the whole workspace.
pub(crate) fn run() -> Result {
    setup::cargo_tool("cargo-deny", VERSION)?;
    let Ok(archive) = std::env::var("PARVIS_ADVISORY_DB") else {
        return process("cargo", ["deny", "--workspace", "check"]).run();
    };
    // It looks at what other systems would link too, which no build here has fetched.
    process("cargo", ["fetch", "--locked", "--quiet"]).run()?;
    let home = target().join("advisories");
    unpack(&root().join(archive), &home)?;
    // cargo-deny takes the database's place only from its configuration.
    let rules = std::fs::read_to_string(root().join("deny.toml"))?;
    let place = format!("[advisories]\ndb-path = {:?}\n", home.to_string_lossy());
    let config = home.join("deny.toml");
    std::fs::write(&config, rules.replace("[advisories]\n", &place))?;
    let config = config.to_string_lossy().into_owned();
    process("cargo", ["deny", "--workspace", "--offline", "--config", &config, "check"]).run()
}

/// Lays the database out as cargo-deny would have fetched it.
fn unpack(archive: &Path, home: &Path) -> Result {
    let database = home.join(DATABASE);
    std::fs::create_dir_all(database.join(".git"))?;
    let (archive, place) = (archive.to_string_lossy(), database.to_string_lossy());
    setup::archives()?;
    process("tar", ["--zstd", "-xf", &archive, "--strip-components=1", "-C", &place]).run()?;
    // The age that cargo-deny checks is this file's: the archive is as new as the checkout beside it.
    std::fs::write(database.join(".git/FETCH_HEAD"), "")?;
    Ok(())
}
