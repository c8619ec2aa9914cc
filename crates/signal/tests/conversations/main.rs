// SPDX-License-Identifier: EUPL-1.2
//! Whole conversations between hand-written clients and a room, in virtual time, with a forwarder of a few lines.
#![allow(deprecated, unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod adaptation;
mod blobs;
mod control;
mod crowd;
mod data;
mod data_tracks;
mod forwarded;
mod happened;
mod join;
mod lab;
mod limits;
mod minutes;
mod moves;
mod offered;
mod pace;
mod permissions;
mod protocol;
mod publish;
mod record;
mod relay;
mod resume;
mod roster;
mod rpc;
mod simulate;
mod start;
