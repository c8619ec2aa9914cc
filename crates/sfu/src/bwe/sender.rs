// SPDX-License-Identifier: EUPL-1.2
//! Estimates what can be sent to a peer, from its feedback.

use std::time::{Duration, Instant};

use parvis_rtp::rtcp::{TICK_MICROS, TransportFeedback};

use super::aimd::Aimd;
use super::history::{Fate, History, SentPacket};
use super::limited::Limited;
use super::loss::LossLimit;
use super::probe::{Probe, Prober};
use super::rate::RateWindow;
use super::trend::{Trend, Usage};

/// Until one is measured.
const DEFAULT_ROUND_TRIP_MICROS: i64 = 100_000;
/// Packets went out and no feedback came for so long: the path is down or drowned.
const SILENCE_MICROS: i64 = 2_000_000;
/// Then the estimate falls by this factor at this interval.
const SILENCE_FACTOR: f64 = 0.8;
const SILENCE_STEP_MICROS: i64 = 500_000;
/// Feedback of the transport is younger than this: receiver reports tell nothing better.
const FEEDBACK_FRESH_MICROS: i64 = 2_000_000;
/// Longer round trips are not believed.
const MAX_ROUND_TRIP: Duration = Duration::from_secs(10);
/// How much of a new round trip is taken on.
const ROUND_TRIP_WEIGHT: f64 = 0.25;
/// After a decrease nothing is tried for so long.
const CALM_MICROS: i64 = 1_000_000;
/// The peer's clock may be so far from where it began, 8.7 years of ticks, before it is taken for a liar's and begun
/// anew. It keeps the arithmetic far from overflow.
const MAX_TICKS: u64 = 1 << 40;
/// What arrived can't be more than what was sent, give or take the windows' edges.
const MAX_OF_SENT: f64 = 1.2;
/// Who sends more than this multiple of the estimate doesn't follow it.
const BEYOND_ESTIMATE: f64 = 1.1;

/// Where the estimate may lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderConfig {
    /// The estimate before the first feedback, in bits per second.
    pub start: u64,
    /// The lowest estimate, in bits per second.
    pub floor: u64,
    /// The highest estimate, in bits per second, whatever feedback claims.
    pub cap: u64,
}

impl Default for SenderConfig {
    fn default() -> Self {
        SenderConfig { start: 300_000, floor: 100_000, cap: 50_000_000 }
    }
}

/// What a packet is sent for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SentKind {
    /// Media, retransmissions included.
    Media,
    /// Padding of a [`Probe`].
    Probe,
}

/// What a packet carried, so that its loss can be made good before the peer asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Carried {
    /// The SSRC of its media, also where it went on a retransmission's.
    pub ssrc: u32,
    /// Its sequence number there.
    pub sequence: u16,
    /// How often it had been sent before.
    pub resends: u8,
}

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SenderStats {
    /// Feedback packets read.
    pub feedbacks: u64,
    /// Statuses of packets that were never sent, or too long ago.
    pub unknown_packets: u64,
    /// Packets that arrived.
    pub arrived_packets: u64,
    /// Packets reported lost; some may have turned up later.
    pub lost_packets: u64,
    /// Clusters of padding asked for, and those that proved a rate.
    pub probes: u64,
    /// See [`SenderStats::probes`].
    pub probes_proven: u64,
    /// Times that delays made the estimate fall.
    pub overuses: u64,
}

/// The sending end of transport-wide feedback, for one transport.
#[derive(Debug)]
pub struct Sender {
    config: SenderConfig,
    epoch: Instant,
    history: History,
    trend: Trend,
    aimd: Aimd,
    loss: LossLimit,
    prober: Prober,
    acknowledged: RateWindow,
    sent: RateWindow,
    limited: Limited,
    /// What the application could use, in bits per second.
    wanted: f64,
    round_trip_micros: Option<f64>,
    /// A receiver report knows the round trip without the feedback's interval in it.
    round_trip_reported: bool,
    /// The peer's clock, unwrapped: it counts 2^32 ticks.
    last_arrival_ticks: Option<i64>,
    last_feedback_micros: Option<i64>,
    /// The last packet that feedback told of.
    last_told: Option<u16>,
    /// When the oldest packet since the last feedback was sent.
    unanswered_since_micros: Option<i64>,
    last_silence_micros: i64,
    /// More would have been tried, and no stream could carry it.
    untried: bool,
    /// The estimate was lowered for want of feedback, which has not come back yet.
    silent: bool,
    stats: SenderStats,
}

impl Sender {
    /// Begins at the configured start.
    pub fn new(config: SenderConfig, now: Instant) -> Sender {
        let start = config.start.clamp(config.floor.min(config.cap), config.cap) as f64;
        Sender {
            config,
            epoch: now,
            history: History::default(),
            trend: Trend::new(),
            aimd: Aimd::new(start),
            loss: LossLimit::new(),
            prober: Prober::new(start),
            acknowledged: RateWindow::default(),
            sent: RateWindow::default(),
            limited: Limited::new(),
            wanted: config.cap as f64,
            round_trip_micros: None,
            round_trip_reported: false,
            last_arrival_ticks: None,
            last_feedback_micros: None,
            last_told: None,
            unanswered_since_micros: None,
            last_silence_micros: 0,
            untried: false,
            silent: false,
            stats: SenderStats::default(),
        }
    }

    /// The transport-wide number that [`Sender::on_sent`] gives the next packet.
    pub fn next_sequence(&self) -> u16 {
        self.history.next_sequence()
    }

    /// A packet of so many bytes (as on the wire) goes out now. Returns its transport-wide sequence number.
    pub fn on_sent(&mut self, now: Instant, bytes: usize, kind: SentKind, carried: Option<Carried>) -> u16 {
        let sent_micros = self.micros(now);
        self.sent.add(sent_micros, bytes);
        self.unanswered_since_micros.get_or_insert(sent_micros);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.history.push(SentPacket { sent_micros, bytes, kind, fate: Fate::Unknown, carried })
    }

    /// The peer says what arrived. Numbers that were never sent are passed over and counted. What the packets carried that are
    /// told lost for the first time is put into `lost`.
    pub fn on_feedback(&mut self, now: Instant, feedback: &TransportFeedback<'_>, lost: &mut Vec<Carried>) {
        let now_micros = self.micros(now);
        self.stats.feedbacks += 1;
        let mut newest_sent = None;
        let (mut gap, mut last) = (None, None);
        for (sequence, arrival) in feedback.arrivals().take(self.history.capacity()) {
            if last.replace(sequence).is_none() {
                gap = self.last_told.map(|before| (before, sequence));
            }
            let Some(packet) = self.history.get_mut(sequence) else {
                self.stats.unknown_packets += 1;
                continue;
            };
            match (arrival, packet.fate) {
                (None, Fate::Unknown | Fate::Untold) => {
                    packet.fate = Fate::Lost;
                    self.loss.on_lost(packet);
                    lost.extend(packet.carried);
                    self.stats.lost_packets += 1;
                }
                (Some(ticks), Fate::Unknown | Fate::Untold | Fate::Lost) => {
                    let (packet, was_lost) = (*packet, packet.fate == Fate::Lost);
                    self.loss.on_arrived(&packet, was_lost);
                    self.mark_arrived(sequence);
                    newest_sent = newest_sent.max(Some(packet.sent_micros));
                    let arrived_micros = self.unwrap_arrival(ticks) * TICK_MICROS;
                    if let Some(gap) = gap.take() {
                        self.credit_untold(gap, arrived_micros);
                    }
                    self.on_arrived(&packet, arrived_micros);
                }
                _ => {}
            }
        }
        self.last_told = last.or(self.last_told);
        let Some(newest_sent) = newest_sent else { return };
        if std::mem::take(&mut self.silent) {
            // The path is back. What was lost meanwhile has already cost its share, and says nothing of now.
            self.loss = LossLimit::new();
            self.prober = Prober::new(self.config.start as f64);
        }
        self.last_feedback_micros = Some(now_micros);
        self.unanswered_since_micros = None;
        if !self.round_trip_reported {
            self.take_round_trip((now_micros - newest_sent) as f64);
        }
        self.update(now_micros);
    }

    /// A receiver report: the share of packets lost since the last one, in 1/256, and the round trip if it tells.
    pub fn on_receiver_report(&mut self, now: Instant, fraction_lost: u8, round_trip: Option<Duration>) {
        let now_micros = self.micros(now);
        if let Some(round_trip) = round_trip.filter(|round_trip| *round_trip <= MAX_ROUND_TRIP) {
            self.round_trip_reported = true;
            self.take_round_trip(round_trip.as_micros() as f64);
        }
        let fresh = self.last_feedback_micros.is_some_and(|last| now_micros - last < FEEDBACK_FRESH_MICROS);
        if !fresh {
            self.loss.on_report(f64::from(fraction_lost) / 256.0, self.aimd.rate());
        }
    }

    /// What the application could use at most: more is never tried. The cap at first.
    pub fn set_wanted(&mut self, bits_per_second: u64) {
        let before = self.wanted;
        self.wanted = bits_per_second.min(self.config.cap) as f64;
        let estimate = self.estimate() as f64;
        if before <= estimate && self.wanted > estimate {
            // Somebody looks closer: that is no time to wait for the next turn.
            self.prober.hurry();
        }
    }

    /// Whether to try more than is sent. Asked after feedback and now and then. The padding goes out evenly, its first
    /// packet at once, and is reported by [`Sender::on_sent`] as [`SentKind::Probe`]; media goes on beside it. Nothing is
    /// tried as long as `can_send` says that no stream could carry it.
    pub fn wants_probe(&mut self, now: Instant, can_send: impl FnOnce() -> bool) -> Option<Probe> {
        let now_micros = self.micros(now);
        // Nothing is known of a path that has not answered yet.
        self.last_feedback_micros?;
        let decreased = self.aimd.last_decrease_micros().is_some_and(|last| now_micros - last < CALM_MICROS);
        // A limit that losses left behind stays where it is for as long as a few go on: only trying shows that more fits.
        let calm = self.trend.usage() != Usage::Over && !decreased && !self.loss.calls_for_less();
        let estimate = self.estimate() as f64;
        // A pause shows, too.
        self.sent.add(now_micros, 0);
        let sent = self.sent.bits_per_second();
        // Sound goes out whatever the estimate is, and makes it grow no faster.
        let beyond = sent.is_some_and(|sent| sent > BEYOND_ESTIMATE * estimate);
        let limited = self.limited.update(sent, estimate) || beyond;
        let rates = (estimate, self.wanted);
        let untried = &mut self.untried;
        let can_send = || {
            let can = can_send();
            *untried = !can;
            can
        };
        let probe = self.prober.poll(now_micros, rates, calm, limited, can_send)?.against(self.loss.loss());
        self.stats.probes += 1;
        Some(probe)
    }

    /// What can be sent, in bits per second.
    pub fn estimate(&self) -> u64 {
        let floor = self.config.floor.min(self.config.cap);
        (self.aimd.rate().min(self.loss.limit()) as u64).clamp(floor, self.config.cap)
    }

    /// What can be sent without queues growing, whatever is lost, in bits per second. Where more is lost than can be the
    /// path's own, that is [`Sender::estimate`]: a queue that is full grows no more.
    pub fn estimate_by_delay(&self) -> u64 {
        if !self.loss.may_be_own() {
            return self.estimate();
        }
        let floor = self.config.floor.min(self.config.cap);
        (self.aimd.rate() as u64).clamp(floor, self.config.cap)
    }

    /// What arrives, in bits per second; 0 until that is known.
    pub fn acknowledged_rate(&self) -> u64 {
        self.believable_rate().unwrap_or(0.0) as u64
    }

    /// The share of packets lost on the way, 0 to 1.
    pub fn loss(&self) -> f32 {
        self.loss.loss() as f32
    }

    /// The round trip, once known.
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip_micros.map(|micros| Duration::from_micros(micros as u64))
    }

    /// What was counted.
    pub fn stats(&self) -> SenderStats {
        self.stats
    }

    /// When [`Sender::handle_timeout`] wants to be called; `None` while nothing is unanswered.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next_silence_micros().map(|micros| self.epoch + Duration::from_micros(micros.max(0) as u64))
    }

    /// Lowers the estimate when packets go out and nothing comes back.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now_micros = self.micros(now);
        if self.next_silence_micros().is_some_and(|due| due <= now_micros) {
            self.last_silence_micros = now_micros;
            self.silent = true;
            self.aimd.set_rate(self.aimd.rate() * SILENCE_FACTOR);
            self.clamp();
        }
    }

    fn next_silence_micros(&self) -> Option<i64> {
        // A peer that never gave feedback may not know how.
        self.last_feedback_micros?;
        let since = self.unanswered_since_micros?;
        Some((since + SILENCE_MICROS).max(self.last_silence_micros + SILENCE_STEP_MICROS))
    }

    /// Feedback is lost as other packets are, and what it would have told of counts as what was told does: else a path that
    /// loses a fifth would seem to carry two thirds. `told` are the packets before and after the gap.
    fn credit_untold(&mut self, told: (u16, u16), arrived_micros: i64) {
        let share = 1.0 - self.loss.loss();
        let mut bytes = 0;
        for packet in self.history.between(told.0, told.1).filter(|packet| packet.fate == Fate::Unknown) {
            packet.fate = Fate::Untold;
            bytes += u64::from(packet.bytes);
        }
        self.acknowledged.add(arrived_micros, (bytes as f64 * share) as usize);
    }

    fn on_arrived(&mut self, packet: &SentPacket, arrived_micros: i64) {
        self.stats.arrived_packets += 1;
        if packet.fate != Fate::Untold {
            self.acknowledged.add(arrived_micros, packet.bytes as usize);
        }
        self.prober.on_arrived(packet.kind, packet.sent_micros, arrived_micros, packet.bytes);
        // A cluster fills a queue on purpose; its own delays are no sign.
        if packet.kind != SentKind::Probe {
            self.trend.on_packet(packet.sent_micros, arrived_micros);
        }
    }

    fn mark_arrived(&mut self, sequence: u16) {
        if let Some(packet) = self.history.get_mut(sequence) {
            packet.fate = Fate::Arrived;
        }
    }

    fn update(&mut self, now_micros: i64) {
        let round_trip = self.round_trip_micros.map_or(DEFAULT_ROUND_TRIP_MICROS, |micros| micros as i64);
        let decreased = self.aimd.last_decrease_micros();
        let sent = self.sent.bits_per_second();
        let acknowledged = self.believable_rate();
        self.aimd.update(now_micros, self.trend.usage(), acknowledged, sent, round_trip);
        // Only there: where it is tried, the padding would count as sound, and nothing more be tried.
        if self.untried {
            self.aimd.take_carried(now_micros, acknowledged, sent);
        }
        self.stats.overuses += u64::from(self.aimd.last_decrease_micros() != decreased);
        self.loss.update(now_micros, self.aimd.rate());
        if let Some(proven) = self.prober.result(now_micros, self.loss.own()) {
            self.stats.probes_proven += 1;
            if proven > self.aimd.rate() {
                self.aimd.set_rate(proven);
            }
            self.loss.raise(proven);
        }
        self.clamp();
    }

    /// What feedback says has arrived, as far as so much was sent.
    fn believable_rate(&self) -> Option<f64> {
        // What the path loses by itself would have come too if it didn't: the rate is that of sending.
        let acknowledged = self.acknowledged.bits_per_second()? / (1.0 - self.loss.own());
        Some(self.sent.bits_per_second().map_or(acknowledged, |sent| acknowledged.min(MAX_OF_SENT * sent)))
    }

    fn clamp(&mut self) {
        let floor = self.config.floor.min(self.config.cap);
        self.aimd.clamp(floor as f64, self.config.cap as f64);
    }

    fn take_round_trip(&mut self, micros: f64) {
        let last = self.round_trip_micros.unwrap_or(micros);
        self.round_trip_micros = Some(last + ROUND_TRIP_WEIGHT * (micros - last));
    }

    fn unwrap_arrival(&mut self, ticks: i64) -> i64 {
        let last = self.last_arrival_ticks.unwrap_or(ticks);
        let mut unwrapped = last + i64::from((ticks as u32).wrapping_sub(last as u32) as i32);
        if unwrapped.unsigned_abs() > MAX_TICKS {
            unwrapped = ticks;
            self.acknowledged = RateWindow::default();
            self.trend = Trend::new();
        }
        self.last_arrival_ticks = Some(unwrapped);
        unwrapped
    }

    fn micros(&self, now: Instant) -> i64 {
        now.saturating_duration_since(self.epoch).as_micros() as i64
    }
}
