// SPDX-License-Identifier: EUPL-1.2
//! Those who come into one room and have a trace: from the admission to the first packet that is forwarded to them.

use std::time::{Duration, Instant};

use parvis_sfu::PeerId;

use super::{Trace, TraceId};

/// Joins of one room that are followed at one time.
const MAX_FOLLOWED: usize = 256;
/// How long one is followed. Who comes into a room where nobody is heard has no first packet for as long as that is.
const PATIENCE: Duration = Duration::from_secs(60);

/// See the module's page.
#[derive(Default)]
pub(crate) struct Joins {
    coming: Vec<Coming>,
}

struct Coming {
    trace: Trace,
    /// Its peer connections: one, or one for each way.
    peers: Vec<PeerId>,
    admitted: Instant,
    /// When the client first said what it can.
    described: Option<Instant>,
    connected: bool,
}

impl Joins {
    /// Somebody was admitted, with these peer connections.
    pub(crate) fn admitted(&mut self, now: Instant, trace: Trace, peers: Vec<PeerId>) {
        self.coming.retain(|coming| {
            let goes_on = now.saturating_duration_since(coming.admitted) < PATIENCE;
            if !goes_on {
                coming.trace.end(now, "never connected", false);
            }
            goes_on
        });
        if self.coming.len() >= MAX_FOLLOWED {
            return trace.end(now, "admitted", true);
        }
        self.coming.push(Coming { trace, peers, admitted: now, described: None, connected: false });
    }

    /// A client said what it can, or what it takes of what was offered.
    pub(crate) fn described(&mut self, now: Instant, peer: PeerId) {
        let Some(coming) = self.of(peer).filter(|coming| coming.described.is_none()) else { return };
        coming.described = Some(now);
        coming.trace.step("signalling", coming.admitted, now);
    }

    /// ICE and DTLS are up. Gives the trace if that is what the join waited for.
    pub(crate) fn connected(&mut self, now: Instant, peer: PeerId) -> Option<TraceId> {
        let coming = self.of(peer).filter(|coming| !coming.connected)?;
        coming.connected = true;
        coming.trace.step("connection", coming.described.unwrap_or(coming.admitted), now);
        coming.trace.end(now, "connected", true);
        Some(coming.trace.id())
    }

    /// The first packet of something that was subscribed to at `since` went out. Gives the trace if it is the first at all.
    pub(crate) fn forwarded(&mut self, since: Instant, now: Instant, peer: PeerId) -> Option<TraceId> {
        let at = self.coming.iter().position(|coming| coming.connected && coming.peers.contains(&peer))?;
        let coming = self.coming.swap_remove(at);
        coming.trace.step("first packet", since, now);
        Some(coming.trace.id())
    }

    /// A peer connection is over: by whom, and so how the join ends if it had not.
    pub(crate) fn over(&mut self, now: Instant, peer: PeerId, outcome: &'static str) {
        self.coming.retain(|coming| {
            let stays = !coming.peers.contains(&peer);
            if !stays {
                coming.trace.end(now, outcome, false);
            }
            stays
        });
    }

    /// How many are followed.
    #[cfg(test)]
    pub(crate) fn followed(&self) -> usize {
        self.coming.len()
    }

    fn of(&mut self, peer: PeerId) -> Option<&mut Coming> {
        self.coming.iter_mut().find(|coming| coming.peers.contains(&peer))
    }
}
