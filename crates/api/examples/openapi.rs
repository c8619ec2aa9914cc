// SPDX-License-Identifier: EUPL-1.2
//! Prints the description of the HTTP endpoints: `cargo run --package parvis-api --example openapi > docs/openapi.json`.

use std::io::Write;

fn main() -> std::io::Result<()> {
    std::io::stdout().write_all(parvis_api::openapi().as_bytes())
}
