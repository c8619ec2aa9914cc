// SPDX-License-Identifier: EUPL-1.2
//! The Parvis server: configuration, wiring of threads and tasks, command line
fn main() {}
