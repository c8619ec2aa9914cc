// SPDX-License-Identifier: EUPL-1.2
//! One room over two forwarders: what is published at home reaches subscribers far away by a trunk, and what they need
//! goes up the same way.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use parvis_dtls::standin::StandIn;
use parvis_peer::{LocalCandidate, PeerConfig, Protocol};

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

/// How the peers of both sides are made.
fn peer_config() -> Arc<PeerConfig> {
    let address = "192.0.2.1:7882".parse().unwrap();
    Arc::new(PeerConfig {
        local_candidates: Arc::new([LocalCandidate { protocol: Protocol::Udp, address }]),
        dtls: Arc::new(StandIn::new([1; 32])),
        sdp: Arc::default(),
        sctp: Default::default(),
        limits: Default::default(),
        ufrag_tag: None,
    })
}
