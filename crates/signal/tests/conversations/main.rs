// SPDX-License-Identifier: EUPL-1.2
//! Whole conversations between hand-written clients and a room, in virtual time, with a forwarder of a few lines.
#![allow(deprecated, unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod adaptation;
mod crowd;
mod data;
mod join;
mod lab;
mod limits;
mod offered;
mod permissions;
mod publish;
mod resume;
mod roster;
