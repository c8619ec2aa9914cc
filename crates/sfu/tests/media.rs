// SPDX-License-Identifier: EUPL-1.2
//! One room's media in virtual time: packets in, packets out, nothing between.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "media/world.rs"]
mod world;

#[path = "media/adaptation.rs"]
mod adaptation;
#[path = "media/audio.rs"]
mod audio;
#[path = "media/bandwidth.rs"]
mod bandwidth;
#[path = "media/bounds.rs"]
mod bounds;
#[path = "media/fec.rs"]
mod fec;
#[path = "media/forwarding.rs"]
mod forwarding;
#[path = "media/held.rs"]
mod held;
#[path = "media/layers.rs"]
mod layers;
#[path = "media/prompted.rs"]
mod prompted;
#[path = "media/redundancy.rs"]
mod redundancy;
#[path = "media/repair.rs"]
mod repair;
#[path = "media/reports.rs"]
mod reports;
#[path = "media/rewriting.rs"]
mod rewriting;
#[path = "media/stage.rs"]
mod stage;
#[path = "media/svc.rs"]
mod svc;
#[path = "media/timers.rs"]
mod timers;
