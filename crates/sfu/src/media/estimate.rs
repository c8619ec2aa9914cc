// SPDX-License-Identifier: EUPL-1.2
//! What a peer's path carries, both ways.

use std::time::{Duration, Instant};

use parvis_rtp::rtcp::TransportFeedback;

use super::MediaConfig;

/// What a sent packet is to congestion control.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SentKind {
    Audio,
    Video,
    Resend,
    Padding,
}

/// Our feedback on what a peer sends.
#[derive(Debug)]
pub(crate) struct Uplink {}

impl Uplink {
    pub(crate) fn new(_now: Instant) -> Uplink {
        Uplink {}
    }

    pub(crate) fn on_packet(&mut self, _now: Instant, _transport_sequence: u16) {}

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    pub(crate) fn write_feedback(
        &mut self,
        _now: Instant,
        _ssrc: u32,
        _media: u32,
        _buf: &mut [u8],
    ) -> Option<usize> {
        None
    }
}

/// What a peer can receive.
#[derive(Debug)]
pub(crate) struct Downlink {
    estimate: u64,
    sequence: u16,
    loss: f32,
    round_trip: Option<Duration>,
}

impl Downlink {
    pub(crate) fn new(config: &MediaConfig, _now: Instant) -> Downlink {
        Downlink { estimate: config.start_bitrate, sequence: 0, loss: 0.0, round_trip: None }
    }

    pub(crate) fn on_sent(&mut self, _now: Instant, _bytes: usize, _kind: SentKind) -> u16 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    pub(crate) fn on_feedback(&mut self, _now: Instant, _feedback: &TransportFeedback<'_>) {}

    pub(crate) fn on_report(&mut self, _now: Instant, fraction_lost: f32, round_trip: Option<Duration>) {
        self.loss += (fraction_lost - self.loss) * 0.25;
        self.round_trip = round_trip.or(self.round_trip);
    }

    pub(crate) fn estimate(&self) -> u64 {
        self.estimate
    }

    pub(crate) fn loss(&self) -> f32 {
        self.loss
    }

    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    pub(crate) fn handle_timeout(&mut self, _now: Instant) {}

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    pub(crate) fn wants_probe(&mut self, _now: Instant) -> Option<(u64, Duration)> {
        None
    }
}
