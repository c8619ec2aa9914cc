// SPDX-License-Identifier: EUPL-1.2
//! The engine's surface.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use parvis_peer::sdp::MediaSection;
use parvis_rtp::Mid;

use super::{Egress, MediaConfig, MediaEvent, MediaStats};
use crate::{PeerId, SubscriptionId, SubscriptionSettings, TrackId, TrackSpec};

/// The media of one room.
#[derive(Debug)]
pub struct RoomMedia {
    events: VecDeque<MediaEvent>,
    stats: MediaStats,
}

impl RoomMedia {
    /// An empty room. `seed` gives the first sequence numbers and timestamps.
    pub fn new(_config: Arc<MediaConfig>, _seed: [u8; 32], _now: Instant) -> Self {
        RoomMedia { events: VecDeque::new(), stats: MediaStats::default() }
    }

    /// Makes a peer known.
    pub fn add_peer(&mut self, _now: Instant, _peer: PeerId) {}

    /// Forgets a peer with its publications and subscriptions.
    pub fn remove_peer(&mut self, _now: Instant, _peer: PeerId) {}

    /// Says what the peer's negotiation came to: both directions, every section. A subscription's section is the
    /// one whose `sender` is `SenderId(subscription.0)`.
    pub fn set_sections(&mut self, _now: Instant, _peer: PeerId, _sections: &[MediaSection]) {}

    /// Says whether packets can reach the peer.
    pub fn set_connected(&mut self, _now: Instant, _peer: PeerId, _connected: bool) {}

    /// Expects a track.
    pub fn publish(&mut self, _now: Instant, _track: TrackId, _peer: PeerId, _spec: &TrackSpec) {}

    /// Says which section carries a track.
    pub fn bind(&mut self, _now: Instant, _track: TrackId, _mid: Mid) {}

    /// Forgets a track and its subscriptions.
    pub fn unpublish(&mut self, _now: Instant, _track: TrackId) {}

    /// Stops or resumes forwarding a track, at once.
    pub fn set_muted(&mut self, _now: Instant, _track: TrackId, _muted: bool) {}

    /// Forwards a track to a peer from `ssrc`.
    pub fn subscribe(
        &mut self,
        _now: Instant,
        _subscription: SubscriptionId,
        _peer: PeerId,
        _track: TrackId,
        _ssrc: u32,
        _rtx_ssrc: Option<u32>,
    ) {
    }

    /// Ends a subscription.
    pub fn unsubscribe(&mut self, _now: Instant, _subscription: SubscriptionId) {}

    /// Says what the subscriber shows.
    pub fn configure(
        &mut self,
        _now: Instant,
        _subscription: SubscriptionId,
        _settings: SubscriptionSettings,
    ) {
    }

    /// A decrypted RTP packet of the peer's.
    pub fn handle_rtp(&mut self, _now: Instant, _peer: PeerId, _packet: &[u8], _egress: &mut impl Egress) {}

    /// A decrypted compound RTCP packet of the peer's.
    pub fn handle_rtcp(&mut self, _now: Instant, _peer: PeerId, _compound: &[u8], _egress: &mut impl Egress) {
    }

    /// Does what is due: paced packets, feedback, reports, NACKs, allocation, speakers.
    pub fn handle_timeout(&mut self, _now: Instant, _egress: &mut impl Egress) {}

    /// When [`RoomMedia::handle_timeout`] is next due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// What happened, oldest first.
    pub fn poll_event(&mut self) -> Option<MediaEvent> {
        self.events.pop_front()
    }

    /// What was counted.
    pub fn stats(&self) -> MediaStats {
        self.stats
    }
}
