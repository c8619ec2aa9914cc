// SPDX-License-Identifier: EUPL-1.2
//! What a peer's path carries, both ways.

use std::time::{Duration, Instant};

use parvis_rtp::rtcp::TransportFeedback;

use super::MediaConfig;
use crate::bwe::{self, Carried, Probe, Receiver, Sender, SenderConfig};

/// What a sent packet is to congestion control.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SentKind {
    Media,
    /// Media that can be sent again as soon as its loss is known.
    Repairable(Carried),
    Padding,
}

/// Our feedback on what a peer sends.
pub(crate) type Uplink = Receiver;

/// What a peer can receive.
#[derive(Debug)]
pub(crate) struct Downlink {
    sender: Sender,
}

impl Downlink {
    pub(crate) fn new(config: &MediaConfig, now: Instant) -> Downlink {
        let config =
            SenderConfig { start: config.start_bitrate, floor: config.min_bitrate, cap: config.max_bitrate };
        Downlink { sender: Sender::new(config, now) }
    }

    /// The transport-wide number that the next packet bears.
    pub(crate) fn next_sequence(&self) -> u16 {
        self.sender.next_sequence()
    }

    /// The packet with the next number left, of so many bytes before encryption.
    pub(crate) fn on_sent(&mut self, now: Instant, bytes: usize, kind: SentKind) {
        let (kind, carried) = match kind {
            SentKind::Media => (bwe::SentKind::Media, None),
            SentKind::Repairable(carried) => (bwe::SentKind::Media, Some(carried)),
            SentKind::Padding => (bwe::SentKind::Probe, None),
        };
        self.sender.on_sent(now, bytes, kind, carried);
    }

    /// What the packets carried that are told lost for the first time is put into `lost`.
    pub(crate) fn on_feedback(
        &mut self,
        now: Instant,
        feedback: &TransportFeedback<'_>,
        lost: &mut Vec<Carried>,
    ) {
        self.sender.on_feedback(now, feedback, lost);
    }

    /// A report: the share of packets lost since the last one, and the round trip if it tells.
    pub(crate) fn on_report(&mut self, now: Instant, fraction_lost: f32, round_trip: Option<Duration>) {
        self.sender.on_receiver_report(now, (fraction_lost * 256.0).min(255.0) as u8, round_trip);
    }

    /// What could be used at most.
    pub(crate) fn set_wanted(&mut self, bits_per_second: u64) {
        self.sender.set_wanted(bits_per_second);
    }

    pub(crate) fn estimate(&self) -> u64 {
        self.sender.estimate()
    }

    pub(crate) fn estimate_by_delay(&self) -> u64 {
        self.sender.estimate_by_delay()
    }

    pub(crate) fn loss(&self) -> f32 {
        self.sender.loss()
    }

    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.sender.round_trip()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.sender.handle_timeout(now);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.sender.poll_timeout()
    }

    pub(crate) fn wants_probe(&mut self, now: Instant, can_send: impl FnOnce() -> bool) -> Option<Probe> {
        self.sender.wants_probe(now, can_send)
    }
}
