// SPDX-License-Identifier: EUPL-1.2
//! What all clients together counted in one window of time.

use std::time::{Duration, Instant};

use crate::histogram::Histogram;
use crate::report::Totals;
use crate::stamp::Stamp;

/// Counted since the window began.
#[derive(Debug)]
pub(crate) struct Tally {
    /// What stamps count from.
    start: Instant,
    pub(crate) delay: Histogram,
    /// How long the load's own thread was away from its sockets at a time.
    pub(crate) turns: Histogram,
    /// Packets of media that subscribers got.
    pub(crate) audio: u64,
    pub(crate) video: u64,
    pub(crate) bytes: u64,
    pub(crate) by_layer: [u64; 3],
    pub(crate) padding: u64,
    pub(crate) retransmissions: u64,
    pub(crate) unstamped: u64,
    /// Datagrams that our own end refused.
    pub(crate) dropped: u64,
    /// Packets that publishers sent, and packets that would arrive if each reached all who receive its sender.
    pub(crate) published: u64,
    pub(crate) expected: u64,
    /// Packets that the load's own sockets had no room for.
    pub(crate) unsent: u64,
    /// Frames and sounds that were due, and that came too late from the load itself.
    pub(crate) due: u64,
    pub(crate) late: u64,
}

impl Tally {
    pub(crate) fn new(start: Instant) -> Tally {
        Tally {
            start,
            delay: Histogram::default(),
            turns: Histogram::default(),
            audio: 0,
            video: 0,
            bytes: 0,
            by_layer: [0; 3],
            padding: 0,
            retransmissions: 0,
            unstamped: 0,
            dropped: 0,
            published: 0,
            expected: 0,
            unsent: 0,
            due: 0,
            late: 0,
        }
    }

    /// Packets of media that subscribers got.
    pub(crate) fn received(&self) -> u64 {
        self.audio + self.video
    }

    /// All packets of RTP that came.
    pub(crate) fn arrived(&self) -> u64 {
        self.received() + self.padding + self.retransmissions
    }

    pub(crate) fn on_media(&mut self, bytes: usize, video: bool) {
        *(if video { &mut self.video } else { &mut self.audio }) += 1;
        self.bytes += bytes as u64;
    }

    pub(crate) fn on_stamp(&mut self, now: Instant, stamp: &Stamp, video: bool) {
        let now = now.saturating_duration_since(self.start);
        self.delay.add(now.saturating_sub(Duration::from_nanos(stamp.sent_ns)));
        if let Some(count) = self.by_layer.get_mut(usize::from(stamp.layer)).filter(|_| video) {
            *count += 1;
        }
    }
}

impl Totals {
    pub(crate) fn add(&mut self, tally: &Tally) {
        self.published += tally.published - tally.unsent;
        self.arrived += tally.arrived();
    }
}
