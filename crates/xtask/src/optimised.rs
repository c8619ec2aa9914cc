// SPDX-License-Identifier: EUPL-1.2
//! Programs of ours that must be fast in a test: our own crates are built as for release, everything below them as for
//! all tests, so that nothing is built twice.

use std::path::PathBuf;

use crate::sh::{Result, process, target};

/// What such programs spend their time in.
const OWN: &[&str] = &["rtp", "dtls", "peer", "sfu", "meeting", "signal", "shard", "sim", "bench-forward"];
const AS_RELEASED: &[(&str, &str)] = &[
    ("opt-level", "3"),
    ("debug-assertions", "false"),
    ("overflow-checks", "false"),
    ("codegen-units", "1"),
];

/// Builds the program of a package; gives its path.
pub(crate) fn build(package: &str) -> Result<PathBuf> {
    let mut arguments = vec!["build".to_owned(), "--locked".to_owned(), format!("--package={package}")];
    for own in OWN {
        for (key, value) in AS_RELEASED {
            arguments.push(format!("--config=profile.dev.package.parvis-{own}.{key}={value}"));
        }
    }
    process("cargo", arguments).run()?;
    Ok(target().join("debug").join(package))
}
