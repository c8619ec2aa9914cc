// SPDX-License-Identifier: EUPL-1.2
//! One room over two forwarders: what is published at home reaches subscribers far away by a trunk, and what they need
//! goes up the same way.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "media/world.rs"]
#[allow(dead_code)]
mod world;

#[path = "trunk/bridges.rs"]
mod bridges;
#[path = "trunk/forwarders.rs"]
mod forwarders;
#[path = "trunk/media.rs"]
mod media;
#[path = "trunk/spread.rs"]
mod spread;
