// SPDX-License-Identifier: EUPL-1.2
//! Trying more than is sent: short clusters of padding at a higher rate, whose arrival proves that rate.

use std::time::Duration;

use super::SentKind;

/// Multiples of the start rate that are tried first, one after the other.
const FIRST_STEPS: [f64; 2] = [3.0, 6.0];
/// A cluster that proved this share of its target is followed by one of twice what it proved.
const WORTH_FOLLOWING: f64 = 0.7;
/// Later clusters try this multiple of the estimate.
const STEP: f64 = 2.0;
/// A cluster must have so many packets to prove anything, 1,200 bytes each as far as they are planned.
const MIN_PACKETS: u32 = 5;
const PACKET_BITS: f64 = 9600.0;
/// A cluster lasts at least this long.
const MIN_DURATION: Duration = Duration::from_millis(20);
/// Feedback on a cluster is awaited for so long, of which only what we were awake for counts: after a pause of our own it
/// waits in the socket. Who looks more seldom than this was away.
const PATIENCE_MICROS: i64 = 1_000_000;
const AWAY_MICROS: i64 = 250_000;
/// Between clusters while more is wanted than the estimate allows; doubled after each that proved nothing, up to the
/// longest.
const PAUSE_MICROS: i64 = 2_000_000;
const MAX_PAUSE_MICROS: i64 = 32_000_000;
/// As long as the application sends what it may, the estimate grows by itself, and clusters are so many times rarer.
const UNLIMITED_PAUSE: i64 = 3;
/// The pause when more is wanted than a moment ago, and nothing has failed.
const HURRIED_PAUSE_MICROS: i64 = 250_000;
/// A receiver that gets a cluster more slowly than this share of its sending is the bottleneck's measure.
const SATURATED: f64 = 0.9;
/// Clusters are no longer for losses beyond this.
const MAX_LOSS: f64 = 0.4;
/// A cluster that took this many times as long as it should, and this much more, was held up by us: against losses it takes
/// less than three times as long.
const HELD_UP: i64 = 3;
const HELD_UP_MICROS: i64 = 250_000;
/// Then so much of the received rate is believed.
const BELIEVED: f64 = 0.95;

/// What to send now, beside media, as padding of kind [`super::SentKind::Probe`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// The rate to reach together with media, in bits per second.
    pub bitrate: u64,
    /// For how long.
    pub duration: Duration,
    /// At least so many packets, or it proves nothing.
    pub packets: u32,
}

impl Probe {
    /// The same, where a share of it will be lost on the way.
    pub(super) fn against(self, loss: f64) -> Probe {
        let more = 1.0 / (1.0 - loss.clamp(0.0, MAX_LOSS)).powi(2);
        let packets = (f64::from(self.packets) * more).ceil();
        Probe {
            packets: packets as u32,
            duration: self.duration.mul_f64(packets / f64::from(self.packets)),
            ..self
        }
    }
}

/// The cluster under way.
#[derive(Debug, Clone, Copy)]
struct Cluster {
    target: f64,
    started_micros: i64,
    /// How long feedback has been awaited, as of the last look.
    awaited_micros: i64,
    looked_micros: i64,
    packets: u32,
    bytes: u64,
    /// Packets and bytes of media since the cluster's last packet.
    media: (u32, u64),
    first_bytes: u64,
    last_bytes: u64,
    sent: (i64, i64),
    received: (i64, i64),
    /// One of the first steps.
    is_first: bool,
}

/// Decides when to try how much, and judges what came of it.
#[derive(Debug, Default)]
pub(super) struct Prober {
    start: f64,
    step: usize,
    /// A follow-up of a successful cluster.
    next_target: Option<f64>,
    cluster: Option<Cluster>,
    last_end_micros: Option<i64>,
    failures: u32,
    hurried: bool,
}

impl Prober {
    pub(super) fn new(start: f64) -> Prober {
        Prober { start, ..Prober::default() }
    }

    /// More is wanted than was a moment ago.
    pub(super) fn hurry(&mut self) {
        self.hurried = true;
    }

    /// Whether to try more now. `wanted` is what the application could use; `limited` says that it sends less than it
    /// may. `can_send` is asked last: a cluster that nothing can carry would count as one that proved nothing.
    pub(super) fn poll(
        &mut self,
        now: i64,
        (estimate, wanted): (f64, f64),
        calm: bool,
        limited: bool,
        can_send: impl FnOnce() -> bool,
    ) -> Option<Probe> {
        if let Some(cluster) = &mut self.cluster {
            let looked = std::mem::replace(&mut cluster.looked_micros, now);
            cluster.awaited_micros += (now - looked).min(AWAY_MICROS);
            if cluster.awaited_micros < PATIENCE_MICROS {
                return None;
            }
            self.finish(now, None);
        }
        if !calm || estimate >= wanted {
            return None;
        }
        let first = FIRST_STEPS.get(self.step).map(|step| step * self.start);
        let target = if let Some(target) = self.next_target.or(first) {
            target
        } else {
            let pause = match (self.hurried && self.failures == 0, limited) {
                (true, _) => HURRIED_PAUSE_MICROS,
                (false, true) => (PAUSE_MICROS << self.failures.min(8)).min(MAX_PAUSE_MICROS),
                (false, false) => {
                    ((UNLIMITED_PAUSE * PAUSE_MICROS) << self.failures.min(8)).min(MAX_PAUSE_MICROS)
                }
            };
            if self.last_end_micros.is_some_and(|last| now - last < pause) {
                return None;
            }
            STEP * estimate
        };
        if !can_send() {
            return None;
        }
        let is_first = self.next_target.take().is_none() && first.is_some();
        self.step += usize::from(is_first);
        // A little above what is wanted, so that reaching it is seen.
        let target = target.min(1.1 * wanted);
        if target <= estimate {
            return None;
        }
        self.hurried = false;
        self.cluster = Some(Cluster {
            target,
            started_micros: now,
            awaited_micros: 0,
            looked_micros: now,
            packets: 0,
            bytes: 0,
            media: (0, 0),
            first_bytes: 0,
            last_bytes: 0,
            sent: (i64::MAX, i64::MIN),
            received: (i64::MAX, i64::MIN),
            is_first,
        });
        let duration =
            Duration::from_secs_f64(f64::from(MIN_PACKETS) * PACKET_BITS / target).max(MIN_DURATION);
        Some(Probe { bitrate: target as u64, duration, packets: MIN_PACKETS })
    }

    /// A packet arrived, of the cluster or of media. Media counts where it lies between packets of the cluster.
    pub(super) fn on_arrived(&mut self, kind: SentKind, sent: i64, arrived: i64, bytes: u32) {
        let Some(cluster) = &mut self.cluster else { return };
        let bytes = u64::from(bytes);
        if sent < cluster.started_micros {
            return;
        }
        if kind == SentKind::Media {
            cluster.media.0 += u32::from(cluster.packets > 0);
            cluster.media.1 += if cluster.packets > 0 { bytes } else { 0 };
            return;
        }
        let (media_packets, media_bytes) = std::mem::take(&mut cluster.media);
        cluster.packets += 1 + media_packets;
        cluster.bytes += bytes + media_bytes;
        if sent < cluster.sent.0 {
            cluster.first_bytes = bytes;
        }
        if sent >= cluster.sent.1 {
            cluster.last_bytes = bytes;
        }
        cluster.sent = (cluster.sent.0.min(sent), cluster.sent.1.max(sent));
        cluster.received = (cluster.received.0.min(arrived), cluster.received.1.max(arrived));
    }

    /// After feedback: the rate that the cluster has proven, once it has, on a path that loses a share of `own` whatever is
    /// sent.
    pub(super) fn result(&mut self, now: i64, own: f64) -> Option<f64> {
        let cluster = self.cluster?;
        let sent_for = cluster.sent.1.saturating_sub(cluster.sent.0);
        let received_for = cluster.received.1.saturating_sub(cluster.received.0);
        let planned = Duration::from_secs_f64(f64::from(MIN_PACKETS) * PACKET_BITS / cluster.target)
            .max(MIN_DURATION)
            .as_micros() as i64;
        // Nearly all of its time must be seen.
        if cluster.packets < MIN_PACKETS || sent_for < planned * 6 / 10 || received_for <= 0 {
            return None;
        }
        if sent_for > HELD_UP * planned + HELD_UP_MICROS {
            // It was never as fast as it should be, which says nothing of the path: once more.
            (self.cluster, self.last_end_micros) = (None, Some(now));
            self.step -= usize::from(cluster.is_first);
            return None;
        }
        // The last packet's bytes left after the interval ended, the first's arrived before it began.
        let sent_rate = (cluster.bytes - cluster.last_bytes) as f64 * 8e6 / sent_for as f64;
        let received_rate = (cluster.bytes - cluster.first_bytes) as f64 * 8e6 / received_for as f64;
        // Only what arrived counts: a link that bunches packets up can't make more of them than were sent.
        let proven = if received_rate < SATURATED * sent_rate {
            BELIEVED * received_rate
        } else {
            sent_rate.min(received_rate)
        };
        let proven = (proven / (1.0 - own)).min(cluster.target.max(proven));
        self.finish(now, Some((proven, cluster.target)));
        Some(proven)
    }

    fn finish(&mut self, now: i64, outcome: Option<(f64, f64)>) {
        self.cluster = None;
        self.last_end_micros = Some(now);
        match outcome {
            Some((proven, target)) if proven >= WORTH_FOLLOWING * target => {
                self.failures = 0;
                if self.step >= FIRST_STEPS.len() {
                    self.next_target = Some(STEP * proven);
                }
            }
            _ => {
                self.failures += 1;
                self.step = FIRST_STEPS.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_share_is_lost_a_cluster_goes_on_until_enough_will_have_arrived() {
        let probe = Probe { bitrate: 1_000_000, duration: Duration::from_millis(50), packets: MIN_PACKETS };
        assert_eq!(probe.against(0.0), probe);
        // Of eleven seven or eight arrive, of five not even four.
        let longer = probe.against(0.3);
        assert_eq!(
            (longer.packets, longer.duration, longer.bitrate),
            (11, Duration::from_millis(110), 1_000_000)
        );
        assert_eq!(probe.against(0.9), probe.against(MAX_LOSS));
    }
}
