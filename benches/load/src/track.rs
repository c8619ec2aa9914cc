// SPDX-License-Identifier: EUPL-1.2
//! One stream that a subscriber receives: what came, what is missing, how smoothly.

use std::time::{Duration, Instant};

use parvis_rtp::rtcp::ReportBlock;

use crate::stamp::Stamp;

/// A longer gap between two whole frames is a freeze: six frames at 30 a second.
pub(crate) const FREEZE: Duration = Duration::from_millis(200);

/// One stream of a subscriber.
#[derive(Debug, Default)]
pub(crate) struct Track {
    pub(crate) video: bool,
    pub(crate) key_seen: bool,
    pub(crate) key_asked: Option<Instant>,
    /// Sequence numbers without wrap; the first that counts, and the highest.
    base: i64,
    highest: Option<i64>,
    /// What was lost before the last receiver report.
    reported: (i64, i64),
    received_in_all: i64,
    first_of_all: i64,
    last_report: Option<(u32, Instant)>,
    /// The layer of the last stamp, and its number.
    last_stamp: Option<(u8, u32)>,
    frame: Option<(u8, u32, u16)>,
    last_whole: Option<Instant>,
    window: TrackWindow,
}

/// What a track counted since the window began.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct TrackWindow {
    /// Packets, padding included.
    pub(crate) received: u64,
    pub(crate) out_of_order: u64,
    /// Packets that the publisher numbered and that never came, by their stamps.
    pub(crate) missing: i64,
    pub(crate) whole_frames: u64,
    pub(crate) freezes: u64,
    pub(crate) frozen: Duration,
    /// Numbers of the stream that never came.
    pub(crate) lost: u64,
}

impl Track {
    pub(crate) fn new(video: bool) -> Track {
        Track { video, ..Track::default() }
    }

    /// A packet came, by its header.
    pub(crate) fn on_packet(&mut self, sequence: u16) {
        self.window.received += 1;
        self.received_in_all += 1;
        let Some(highest) = self.highest else {
            self.base = i64::from(sequence);
            self.first_of_all = self.base;
            self.highest = Some(self.base);
            return;
        };
        let distance = i64::from(sequence.wrapping_sub(highest as u16) as i16);
        if distance > 0 {
            self.highest = Some(highest + distance);
        } else {
            self.window.out_of_order += 1;
        }
    }

    /// Its stamp was read.
    pub(crate) fn on_stamp(&mut self, now: Instant, stamp: &Stamp) {
        match self.last_stamp {
            Some((layer, last)) if layer == stamp.layer => {
                let distance = stamp.sequence.wrapping_sub(last) as i32;
                if distance > 0 {
                    self.window.missing += i64::from(distance) - 1;
                    self.last_stamp = Some((layer, stamp.sequence));
                } else {
                    // It had been counted as missing.
                    self.window.missing -= 1;
                }
            }
            _ => self.last_stamp = Some((stamp.layer, stamp.sequence)),
        }
        if self.video {
            self.on_frame_part(now, stamp);
        }
    }

    fn on_frame_part(&mut self, now: Instant, stamp: &Stamp) {
        let count = match self.frame {
            Some((layer, frame, count)) if (layer, frame) == (stamp.layer, stamp.frame) => count + 1,
            _ => 1,
        };
        self.frame = Some((stamp.layer, stamp.frame, count));
        if count < stamp.count {
            return;
        }
        self.window.whole_frames += 1;
        if let Some(gap) = self.last_whole.map(|last| now.duration_since(last)).filter(|gap| *gap > FREEZE) {
            self.window.freezes += 1;
            self.window.frozen += gap;
        }
        self.last_whole = Some(now);
    }

    /// The sender's report came.
    pub(crate) fn on_sender_report(&mut self, now: Instant, ntp: u64) {
        self.last_report = Some(((ntp >> 16) as u32, now));
    }

    /// What a receiver report says of it (RFC 3550 section 6.4.1, appendix A.3).
    pub(crate) fn report(&mut self, now: Instant, ssrc: u32) -> Option<ReportBlock> {
        let highest = self.highest?;
        let expected = highest - self.first_of_all + 1;
        let lost = expected - self.received_in_all;
        let (expected_before, lost_before) = std::mem::replace(&mut self.reported, (expected, lost));
        let (of, fresh) = (expected - expected_before, (lost - lost_before).max(0));
        let (last_sr, delay) = self
            .last_report
            .map_or((0, 0), |(ntp, at)| (ntp, (now.duration_since(at).as_secs_f64() * 65_536.0) as u32));
        Some(ReportBlock {
            ssrc,
            fraction_lost: if of > 0 { (fresh * 256 / of).min(255) as u8 } else { 0 },
            cumulative_lost: lost as i32,
            extended_highest_sequence: highest as u32,
            jitter: 0,
            last_sr,
            delay_since_last_sr: delay,
        })
    }

    /// Begins to count anew. A freeze that lasts is counted from now on.
    pub(crate) fn begin_window(&mut self, now: Instant) {
        self.window = TrackWindow::default();
        if let Some(highest) = self.highest {
            self.base = highest + 1;
        }
        self.last_whole = self.last_whole.map(|_| now);
    }

    /// What was counted. A freeze that has not ended counts.
    pub(crate) fn window(&self, now: Instant) -> TrackWindow {
        let mut window = self.window;
        if let Some(highest) = self.highest {
            let expected = (highest - self.base + 1).max(0) as u64;
            window.lost = expected.saturating_sub(window.received);
        }
        let open = self.last_whole.map(|last| now.duration_since(last)).filter(|gap| *gap > FREEZE);
        if let Some(gap) = open {
            window.freezes += 1;
            window.frozen += gap;
        }
        window
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(layer: u8, sequence: u32, frame: u32, index: u16, count: u16) -> Stamp {
        Stamp { publisher: 1, layer, frame, index, count, sequence, sent_ns: 0 }
    }

    #[test]
    fn gaps_late_packets_and_wraps_are_told_apart() {
        let now = Instant::now();
        let mut track = Track::new(false);
        for sequence in [65_530, 65_531, 65_533, 65_532, 65_535, 0, 3] {
            track.on_packet(sequence);
        }
        let window = track.window(now);
        assert_eq!((window.received, window.lost, window.out_of_order), (7, 3, 1), "65534, 1 and 2 are lost");
        let block = track.report(now, 5).unwrap();
        assert_eq!((block.cumulative_lost, block.fraction_lost), (3, 76), "3 of 10, in 256ths");
        assert_eq!(block.extended_highest_sequence, 65_539);
        track.begin_window(now);
        track.on_packet(4);
        let window = track.window(now);
        assert_eq!((window.received, window.lost), (1, 0));
        assert_eq!(track.report(now, 5).unwrap().fraction_lost, 0);
    }

    #[test]
    fn what_a_server_drops_without_a_trace_is_missing_but_another_layer_is_not() {
        let now = Instant::now();
        let mut track = Track::new(true);
        for (layer, sequence) in [(0, 10), (0, 11), (2, 900), (2, 901), (2, 905), (2, 903)] {
            track.on_stamp(now, &stamp(layer, sequence, sequence, 0, 1));
        }
        assert_eq!(track.window(now).missing, 2, "902 and 904");
    }

    #[test]
    fn only_whole_frames_end_a_freeze() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut track = Track::new(true);
        let mut sequence = 0;
        let mut part = |track: &mut Track, millis, frame, index| {
            sequence += 1;
            track.on_stamp(at(millis), &stamp(0, sequence, frame, index, 2));
        };
        part(&mut track, 0, 0, 0);
        part(&mut track, 1, 0, 1);
        part(&mut track, 100, 1, 0);
        part(&mut track, 201, 2, 1);
        part(&mut track, 300, 3, 0);
        part(&mut track, 301, 3, 1);
        let window = track.window(at(310));
        assert_eq!((window.whole_frames, window.freezes), (2, 1));
        assert_eq!(window.frozen, Duration::from_millis(300));
        assert_eq!(track.window(at(601)).freezes, 2, "one that lasts counts");
    }
}
