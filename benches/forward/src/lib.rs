// SPDX-License-Identifier: EUPL-1.2
//! What forwarding one packet costs.
//!
//! The load is the same everywhere: one publisher of VP8 frames in eight packets of 1,200 bytes, and subscribers
//! that do nothing but answer with transport feedback, as receivers do. [`real`] runs it through a real shard's thread
//! and its sockets, [`bare`] through a loop that does what no forwarder can do without, [`memory`] through a
//! forwarder alone, in fixed time, where allocations can be counted.
//!
//! **The one invariant: bare and real path carry the same packets to the same sockets**, so that the difference is what
//! our forwarder adds.
//!
//! ```
//! use parvis_bench_forward::memory::Recording;
//!
//! let recording = Recording::make(2, 30);
//! assert!(recording.replay() >= 2 * 8 * 20, "most of the frames reached both subscribers");
//! ```

pub mod bare;
pub mod client;
pub mod cpu;
pub mod memory;
pub mod real;
pub mod sink;
pub mod source;

use std::sync::Arc;

use parvis_dtls::standin::StandIn;
use parvis_peer::sctp::SctpLimits;
use parvis_peer::sdp::SessionConfig;
use parvis_peer::{LocalCandidate, PeerConfig, PeerLimits};

/// The packets of a frame.
pub const FRAME_PACKETS: usize = 8;
/// An RTP packet before encryption, in bytes.
pub const PACKET_BYTES: usize = 1200;

/// What a measurement failed on.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// Peers over the stand-in for DTLS: handshakes are no part of what is measured, SRTP is AES-128-GCM.
pub fn peer_config(candidates: &[LocalCandidate], seed: u8) -> Arc<PeerConfig> {
    Arc::new(PeerConfig {
        local_candidates: candidates.into(),
        dtls: Arc::new(StandIn::new([seed; 32])),
        sdp: Arc::new(SessionConfig::default()),
        sctp: SctpLimits::default(),
        limits: PeerLimits::default(),
        ufrag_tag: None,
    })
}
