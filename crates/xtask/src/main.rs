// SPDX-License-Identifier: EUPL-1.2
//! What a developer runs: run, test, bench, fuzz
fn main() {}
