// SPDX-License-Identifier: EUPL-1.2
//! The web client: built before the binary that embeds it.

use crate::setup;
use crate::sh::{Result, process, root};

/// Where its sources are.
pub(crate) const CLIENT: &str = "crates/web/client";

/// Installs its packages and builds it into `dist`.
pub(crate) fn build() -> Result {
    setup::npm(CLIENT)?;
    script("build")
}

/// Runs one of its npm scripts.
pub(crate) fn script(name: &str) -> Result {
    process("npm", ["run", "--silent", name]).within(root().join(CLIENT)).run()
}
