// SPDX-License-Identifier: EUPL-1.2
//! What one track, and one participant with all of its tracks, may bring (row 22). What is beyond is dropped before
//! anything else is done with it. Nobody is sent away for it: who comes back costs more than what is dropped.

use std::time::Instant;

use parvis_peer::sdp::MediaKind;

use super::MediaConfig;

/// Two token buckets that hold half a second each, for key frames.
#[derive(Debug)]
pub(crate) struct IngressLimit {
    packets_per_second: f64,
    bytes_per_second: f64,
    packets: f64,
    bytes: f64,
    refilled: Instant,
}

impl IngressLimit {
    /// What one track may bring.
    pub(crate) fn of_track(config: &MediaConfig, kind: MediaKind, now: Instant) -> IngressLimit {
        match kind {
            MediaKind::Audio => {
                IngressLimit::new(config.ingress_packets_per_second_audio, config.ingress_bitrate_audio, now)
            }
            _ => IngressLimit::new(config.ingress_packets_per_second, config.ingress_bitrate, now),
        }
    }

    /// What all tracks of one participant may bring together: never less than one of them.
    pub(crate) fn of_peer(config: &MediaConfig, now: Instant) -> IngressLimit {
        let packets = config.ingress_packets_per_second_peer.max(config.ingress_packets_per_second);
        IngressLimit::new(packets, config.ingress_bitrate_peer.max(config.ingress_bitrate), now)
    }

    fn new(packets: u32, bits: u64, now: Instant) -> IngressLimit {
        let packets_per_second = f64::from(packets);
        let bytes_per_second = bits as f64 / 8.0;
        IngressLimit {
            packets_per_second,
            bytes_per_second,
            packets: packets_per_second / 2.0,
            bytes: bytes_per_second / 2.0,
            refilled: now,
        }
    }

    /// Whether a packet of so many bytes is within the limit.
    pub(crate) fn admit(&mut self, now: Instant, bytes: usize) -> bool {
        let elapsed = now.saturating_duration_since(self.refilled).as_secs_f64();
        self.refilled = self.refilled.max(now);
        self.packets = (self.packets + elapsed * self.packets_per_second).min(self.packets_per_second / 2.0);
        self.bytes = (self.bytes + elapsed * self.bytes_per_second).min(self.bytes_per_second / 2.0);
        if self.packets < 1.0 || self.bytes < bytes as f64 {
            return false;
        }
        self.packets -= 1.0;
        self.bytes -= bytes as f64;
        true
    }
}
