// SPDX-License-Identifier: EUPL-1.2
//! What the media engine keeps of one peer connection.

use std::time::{Duration, Instant};

use parvis_peer::sdp::MediaSection;
use parvis_rtp::{Extension, ExtensionMap, PlayoutDelay};
use rustc_hash::FxHashMap;

use super::MediaConfig;
use super::audio::Redundancy;
use super::demux::Demux;
use super::estimate::{Downlink, Uplink};
use super::fec::Protection;
use super::ingress::IngressLimit;
use super::pacer::{Pacer, ResendBudget};
use super::patience::Patience;
use crate::PeerId;

/// Before a round trip was measured, this is taken.
const DEFAULT_ROUND_TRIP: Duration = Duration::from_millis(100);
/// What is sent to a peer that gives no feedback on its path: two cameras of middling size.
const BLIND_BITRATE: u64 = 2_000_000;
/// A narrow line's pacing rate by its estimate, at most: there a key frame takes a quarter of a second anyway, and one that
/// comes faster than the line carries it stands in the line's queue before the sound.
const NARROW_PACING: f64 = 1.2;
/// A limit that is hit is told at most this often.
const LIMIT_EVENT_INTERVAL: Duration = Duration::from_secs(10);

/// One peer.
#[derive(Debug)]
pub(crate) struct MediaPeer {
    pub(crate) id: PeerId,
    /// When packets began to reach it; `None` while they don't.
    pub(crate) connected_at: Option<Instant>,
    /// The ids hold for the whole BUNDLE group, both ways.
    pub(crate) extensions: ExtensionMap,
    pub(crate) sections: Vec<MediaSection>,
    pub(crate) demux: Demux,
    /// Our SSRC in feedback and receiver reports.
    pub(crate) ssrc: u32,
    /// Places of its publications, in the order of publishing.
    pub(crate) publications: Vec<usize>,
    /// Places of its subscriptions, in the order of subscribing.
    pub(crate) subscriptions: Vec<usize>,
    /// Its subscriptions by our SSRC, of media and of retransmissions.
    pub(crate) outgoing: FxHashMap<u32, usize>,
    pub(crate) uplink: Uplink,
    /// What all of its publications may bring together.
    pub(crate) ingress: IngressLimit,
    pub(crate) downlink: Downlink,
    /// It is a media worker of ours: the way to it carries what is allowed at all.
    pub(crate) wide: bool,
    /// Its last REMB, in bits per second.
    pub(crate) remb: Option<u64>,
    /// What it is sent at most, where a test says so, in bits per second.
    pub(crate) ceiling: Option<u64>,
    /// Bounds of its pictures' delay, in place of those that publishers ask for.
    pub(crate) playout_delay: Option<PlayoutDelay>,
    pub(crate) pacer: Pacer,
    pub(crate) resends: ResendBudget,
    /// Its estimate is too low for pictures beside sound that is sent more than once.
    pub(crate) narrow: bool,
    /// Whether there are pictures for it.
    pub(crate) shows_pictures: bool,
    pub(crate) redundancy: Redundancy,
    pub(crate) protection: Protection,
    pub(crate) patience: Patience,
    pub(crate) probe: Option<ActiveProbe>,
    /// All bytes sent to it.
    pub(crate) sent_bytes: u64,
    /// Something changed that the allocation depends on.
    pub(crate) reallocate: bool,
    /// When bandwidth is shared out at the latest, though there are no pictures.
    pub(crate) next_allocation: Instant,
    /// Less is sent than wanted, for lack of bandwidth.
    pub(crate) limited: bool,
    /// When the allocation last went down: it doesn't go up right after.
    pub(crate) lowered_at: Option<Instant>,
    pub(crate) next_report: Instant,
    pub(crate) next_quality: Instant,
    /// Expected and received packets of all its streams when quality was last told.
    pub(crate) quality_base: (u64, u64),
    /// The least difference seen between our clock and its NTP clock, in 32.32 fixed point seconds.
    pub(crate) clock_offset: Option<i64>,
    /// Its last reference time: whose, the middle of its NTP time, and when it came.
    pub(crate) reference_time: Option<(u32, u32, Instant)>,
    /// From its answer to our reference time: a peer that only publishes reports on nothing of ours.
    pub(crate) uplink_round_trip: Option<Duration>,
    last_limit_event: Option<Instant>,
}

/// Padding that is being sent to see whether more fits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ActiveProbe {
    pub(crate) until: Instant,
    /// The rate to reach together with media, in bits per second.
    pub(crate) bitrate: u64,
    /// Packets that must still be sent, or it proves nothing.
    pub(crate) packets: u32,
    /// When it was last looked at, and what all had been sent until then.
    pub(crate) last: Instant,
    pub(crate) last_bytes: u64,
    pub(crate) owed_bytes: f64,
}

impl MediaPeer {
    pub(crate) fn new(config: &MediaConfig, now: Instant, id: PeerId, ssrc: u32) -> MediaPeer {
        let rate = pacing_rate(config, config.pacing_factor, config.start_bitrate);
        MediaPeer {
            id,
            connected_at: None,
            extensions: ExtensionMap::default(),
            sections: Vec::new(),
            demux: Demux::new(),
            ssrc,
            publications: Vec::new(),
            subscriptions: Vec::new(),
            outgoing: FxHashMap::default(),
            uplink: Uplink::new(),
            ingress: IngressLimit::of_peer(config, now),
            downlink: Downlink::new(config, now),
            wide: false,
            remb: None,
            ceiling: None,
            playout_delay: None,
            pacer: Pacer::new(now, config.pacer_packets, rate, config.max_bitrate, config.pacing_burst),
            narrow: false,
            shows_pictures: false,
            redundancy: Redundancy::default(),
            protection: Protection::default(),
            patience: Patience::default(),
            resends: ResendBudget::new(now, config.resend_share, config.resend_floor_bytes_per_second),
            probe: None,
            sent_bytes: 0,
            reallocate: true,
            next_allocation: now,
            limited: false,
            lowered_at: None,
            next_report: now,
            next_quality: now + config.quality_interval,
            quality_base: (0, 0),
            clock_offset: None,
            reference_time: None,
            uplink_round_trip: None,
            last_limit_event: None,
        }
    }

    /// Whether packets reach it.
    pub(crate) fn is_connected(&self) -> bool {
        self.connected_at.is_some()
    }

    /// The measured round trip, or a guess.
    pub(crate) fn round_trip(&self) -> Duration {
        self.downlink.round_trip().or(self.uplink_round_trip).unwrap_or(DEFAULT_ROUND_TRIP)
    }

    /// What it can receive, in bits per second. One that didn't negotiate transport-wide feedback says so by REMB, or not
    /// at all.
    pub(crate) fn estimate(&self, config: &MediaConfig) -> u64 {
        let estimate = match self.extensions.id(Extension::TransportSequence) {
            _ if self.wide => config.max_bitrate,
            Some(_) => self.downlink.estimate(),
            None => self.remb.unwrap_or(BLIND_BITRATE),
        };
        self.bounded(config, estimate)
    }

    /// What it can receive without queues growing on its path, whatever is lost there, in bits per second.
    pub(crate) fn estimate_by_delay(&self, config: &MediaConfig) -> u64 {
        match self.extensions.id(Extension::TransportSequence) {
            Some(_) => self.bounded(config, self.downlink.estimate_by_delay()),
            None => self.estimate(config),
        }
    }

    fn bounded(&self, config: &MediaConfig, estimate: u64) -> u64 {
        let estimate = estimate.clamp(config.min_bitrate, config.max_bitrate);
        self.ceiling.map_or(estimate, |ceiling| estimate.min(ceiling))
    }

    /// Takes a new agreement.
    pub(crate) fn set_sections(&mut self, sections: &[MediaSection]) {
        self.extensions = ExtensionMap::default();
        for section in sections {
            for (id, extension) in section.extensions.iter() {
                self.extensions.insert(id, extension);
            }
        }
        self.demux.set_sections(sections);
        self.sections = sections.to_vec();
    }

    /// Whether a limit that was hit is to be told.
    pub(crate) fn tell_limit(&mut self, now: Instant) -> bool {
        let tell = self
            .last_limit_event
            .is_none_or(|last| now.saturating_duration_since(last) >= LIMIT_EVENT_INTERVAL);
        if tell {
            self.last_limit_event = Some(now);
        }
        tell
    }

    /// Takes note of a sender report: the packet that travelled fastest tells best how the clocks differ.
    pub(crate) fn on_sender_clock(&mut self, our_ntp: u64, their_ntp: u64) {
        let difference = our_ntp.wrapping_sub(their_ntp) as i64;
        // A clock that was set back or forth by more than a second is a new clock.
        const SECOND: u64 = 1 << 32;
        let kept = self.clock_offset.filter(|old| old.abs_diff(difference) < SECOND);
        self.clock_offset = Some(kept.map_or(difference, |old| old.min(difference)));
    }

    /// Sets the pacer by the estimate.
    pub(crate) fn pace(&mut self, config: &MediaConfig, now: Instant) {
        // A low estimate tells of the line only where more is wanted than it allows.
        let narrow = self.narrow && self.limited;
        let factor = if narrow { config.pacing_factor.min(NARROW_PACING) } else { config.pacing_factor };
        let rate = pacing_rate(config, factor, self.estimate(config));
        self.pacer.set_rate(now, rate);
    }
}

/// Key frames are larger than the rate: the pacer goes faster than the estimate. In the long run it never goes beyond the
/// configured maximum (row 21), which it knows; a burst may, on a path that carries as much.
fn pacing_rate(config: &MediaConfig, factor: f64, estimate: u64) -> u64 {
    (estimate.min(config.max_bitrate) as f64 * factor) as u64
}
