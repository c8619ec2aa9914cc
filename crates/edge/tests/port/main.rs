// SPDX-License-Identifier: EUPL-1.2
//! The public port on loopback, with clients of each protocol that comes to it.

#![allow(unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod certificates;
mod http;
mod kinds;
mod media_profiles;
mod profiles;
mod relay;
mod scene;
#[path = "../../../dtls/tests/support/mod.rs"]
mod support;
