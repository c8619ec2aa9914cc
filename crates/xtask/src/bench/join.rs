// SPDX-License-Identifier: EUPL-1.2
//! From joining to the first picture, in real browsers.

use super::Options;
use crate::sh::{Result, process, root, target};
use crate::{e2e, setup};

/// Runs it against a release build.
pub(super) fn run(options: &Options) -> Result {
    setup::build_tools()?;
    setup::browsers()?;
    setup::npm(e2e::FOLDER)?;
    process("cargo", ["build", "--release", "--package", "parvis"]).run()?;
    let mut arguments = vec!["bench/join.mjs".to_owned()];
    if options.quick {
        arguments.push("--quick".to_owned());
    }
    if let Some(file) = options.json_file()? {
        arguments.extend(["--json".to_owned(), file.to_string_lossy().into_owned()]);
    }
    process("node", arguments)
        .within(root().join(e2e::FOLDER))
        .with("PARVIS_SERVER", target().join("release/parvis"))
        .watch(|_| ())
}
