// SPDX-License-Identifier: EUPL-1.2
//! Programs of ours that tests run.

use std::path::PathBuf;

use crate::sh::{Result, process, target};

/// Any one test of the workspace. Cargo unites the features of tests with those of programs only where a test is built too.
const SOME_TEST: &str = "outlet";

/// What programs that must be fast spend their time in. These crates are built as for release, everything below them as for
/// all tests.
const OWN: &[&str] = &["rtp", "dtls", "peer", "sfu", "meeting", "signal", "shard", "sim", "bench-forward"];
const AS_RELEASED: &[(&str, &str)] = &[
    ("opt-level", "3"),
    ("debug-assertions", "false"),
    ("overflow-checks", "false"),
    ("codegen-units", "1"),
];

/// Builds the program of this name from what `cargo test --workspace` has built already: with the same features of
/// everything, so that nothing is built twice. Gives its path.
pub(crate) fn optimised(name: &str) -> Result<PathBuf> {
    let arguments = ["build", "--locked", "--workspace", "--test", SOME_TEST, "--bin", name];
    let mut arguments = arguments.map(str::to_owned).to_vec();
    for own in OWN {
        for (key, value) in AS_RELEASED {
            arguments.push(format!("--config=profile.dev.package.parvis-{own}.{key}={value}"));
        }
    }
    process("cargo", arguments).run()?;
    Ok(target().join("debug").join(name))
}

/// Builds the server and the media worker, out of what `cargo test --workspace` has built already, too.
pub(crate) fn server() -> Result {
    let programs = ["--bin", "parvis", "--bin", "parvis-media"];
    process("cargo", ["build", "--locked", "--workspace", "--test", SOME_TEST].into_iter().chain(programs))
        .run()
}
