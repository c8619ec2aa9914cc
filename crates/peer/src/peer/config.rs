// SPDX-License-Identifier: EUPL-1.2
//! What all peers of a process have in common, and what one of them may cost.

use std::{sync::Arc, time::Duration};

use crate::{LocalCandidate, sctp::SctpLimits, sdp::SessionConfig};

/// Settings of a [`crate::Peer`].
#[derive(Debug, Clone)]
pub struct PeerConfig {
    /// Where we can be reached, best first.
    pub local_candidates: Arc<[LocalCandidate]>,
    /// Makes the DTLS endpoints: [`parvis_dtls::Context`], or the stand-in for simulations.
    pub dtls: Arc<dyn parvis_dtls::Factory>,
    /// Codecs, header extensions and bounds of session descriptions.
    pub sdp: Arc<SessionConfig>,
    /// Bounds of data channels.
    pub sctp: SctpLimits,
    /// All other bounds.
    pub limits: PeerLimits,
    /// A number below 4,096 that user fragments begin with, so that a connection which could be for any of several
    /// forwarders is given to the right one: see [`crate::local_ufrag_tag`].
    pub ufrag_tag: Option<u16>,
}

/// Bounds of one peer. Each counts in [`crate::PeerStats`] when it is hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerLimits {
    /// 5-tuples at a time. A phone on Wi-Fi and a mobile network, each with IPv4 and IPv6, to four addresses of ours,
    /// makes 16. About 100 bytes each.
    pub paths: usize,
    /// Candidates that the peer may name for one description. Browsers name five to twenty.
    pub remote_candidates: usize,
    /// How long a path lives without an authentic check (RFC 7675 section 5.1: 30 seconds).
    pub consent: Duration,
    /// How long it may take from knowing the peer's description to [`crate::PeerEvent::Connected`].
    pub connect: Duration,
    /// How long a disconnected peer may come back.
    pub reconnect: Duration,
    /// DTLS bytes kept while the answer to our offer is still under way: a browser's first flight is two datagrams,
    /// 1,500 bytes in all, and is repeated every 50 to 100 ms at first.
    pub early_dtls_bytes: usize,
}

impl Default for PeerLimits {
    fn default() -> Self {
        PeerLimits {
            paths: 16,
            remote_candidates: 64,
            consent: Duration::from_secs(30),
            connect: Duration::from_secs(30),
            reconnect: Duration::from_secs(60),
            early_dtls_bytes: 8 * 1024,
        }
    }
}
