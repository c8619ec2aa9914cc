// SPDX-License-Identifier: EUPL-1.2
//! What losses make of the rate (draft-ietf-rmcat-gcc-02 section 6), with one addition: loss that doesn't go away
//! when less is sent is the path's own, such as a bad radio link's, and is lived with.
//!
//! Which of the two it is, is tried: for a second so much is sent as a path that drops what is too much for it would carry
//! whole. If it then loses nothing, it does; if it loses as much as before, that is its own.

use super::history::SentPacket;

/// Losses are judged over at least this time and number of packets.
const WINDOW_MICROS: i64 = 500_000;
const WINDOW_PACKETS: u32 = 20;
/// Below this share the rate may grow, above the next it must fall.
const LOW: f64 = 0.02;
const HIGH: f64 = 0.10;
/// Growth of the limit for a window of low loss.
const GROWTH: f64 = 1.08;
/// No more than this is ever taken for the path's own.
const MAX_OWN: f64 = 0.35;
/// What loss may exceed the path's own by.
const MARGIN: f64 = 0.06;
/// How much of a new window the shown loss takes on.
const SMOOTHING: f64 = 0.3;
/// Of what arrived, a trial sends this share: clear of what a path that drops the rest would carry.
const CLEAR: f64 = 0.9;
/// A trial takes no more than this share of the rate away.
const MAX_STEP: f64 = 0.6;
/// What was queued before a trial leaves in this time, and counts for nothing.
const SETTLE_MICROS: i64 = 200_000;
/// A trial sees at least so many packets and so much time.
const TRIAL_PACKETS: u32 = 80;
const TRIAL_MICROS: i64 = 500_000;
/// What is still sent too fast after so long does not count.
const LOOK_MICROS: i64 = 150_000;
/// A trial that could not send less, or was hardly answered, ends after so long; so many packets have to do then.
const PATIENCE_MICROS: i64 = 3_000_000;
const FEW_PACKETS: u32 = 15;
/// Loss that is still this share of what it was did not come of the rate.
const UNIMPRESSED: f64 = 0.4;

/// Packets sent in some time, and those of them that were lost.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    packets: u32,
    lost: u32,
    bytes: u64,
    /// When the first and the last were sent.
    sent_micros: Option<(i64, i64)>,
}

impl Count {
    fn add(&mut self, packet: &SentPacket, lost: bool) {
        self.packets += 1;
        self.lost += u32::from(lost);
        self.bytes += u64::from(packet.bytes);
        let (first, last) = self.sent_micros.unwrap_or((packet.sent_micros, packet.sent_micros));
        self.sent_micros = Some((first.min(packet.sent_micros), last.max(packet.sent_micros)));
    }

    /// A packet that was counted as lost was only late.
    fn was_late(&mut self) {
        self.lost = self.lost.saturating_sub(1);
    }

    fn loss(&self) -> f64 {
        f64::from(self.lost) / f64::from(self.packets.max(1))
    }

    fn span_micros(&self) -> i64 {
        self.sent_micros.map_or(0, |(first, last)| last - first)
    }

    /// In bits per second. Between so many packets lies one interval fewer.
    fn rate(&self) -> f64 {
        let bits = self.bytes as f64 * 8.0 * f64::from(self.packets.saturating_sub(1))
            / f64::from(self.packets.max(1));
        bits * 1e6 / self.span_micros().max(1) as f64
    }
}

/// Less is sent, to see whether losses go with it.
#[derive(Debug, Clone, Copy)]
struct Trial {
    /// The limit of before.
    limit: f64,
    /// The share that was lost before.
    lost: f64,
    /// What a path would carry that drops what is too much for it, in bits per second.
    carries: f64,
    since_micros: i64,
    seen: Count,
}

/// The loss-based limit.
#[derive(Debug)]
pub(super) struct LossLimit {
    limit: f64,
    window: Count,
    window_start_micros: Option<i64>,
    smoothed: f64,
    /// Of the last window.
    last: f64,
    /// The path's own loss.
    own: f64,
    trial: Option<Trial>,
}

impl LossLimit {
    pub(super) fn new() -> LossLimit {
        LossLimit {
            limit: f64::INFINITY,
            window: Count::default(),
            window_start_micros: None,
            smoothed: 0.0,
            last: 0.0,
            own: 0.0,
            trial: None,
        }
    }

    /// In bits per second; infinite while losses say nothing.
    pub(super) fn limit(&self) -> f64 {
        self.limit
    }

    /// The share of packets lost, 0 to 1, over the last windows.
    pub(super) fn loss(&self) -> f64 {
        self.smoothed
    }

    /// The share that the path loses whatever is sent, as far as that is known.
    pub(super) fn own(&self) -> f64 {
        self.own
    }

    /// Whether so little is lost that it may be the path's own, whatever is sent.
    pub(super) fn may_be_own(&self) -> bool {
        self.smoothed <= MAX_OWN + MARGIN
    }

    /// Whether so much is lost that the rate has to fall: nothing more is tried then.
    pub(super) fn calls_for_less(&self) -> bool {
        self.trial.is_some() || (self.limit.is_finite() && self.smoothed > self.high())
    }

    fn high(&self) -> f64 {
        HIGH.max(self.own + MARGIN)
    }

    pub(super) fn on_arrived(&mut self, packet: &SentPacket, was_lost: bool) {
        let trial = self.trial_of(packet);
        if was_lost {
            self.window.was_late();
            if let Some(trial) = self.trial_of(packet) {
                trial.seen.was_late();
            }
        } else {
            if let Some(trial) = trial {
                trial.seen.add(packet, false);
            }
            self.window.add(packet, false);
        }
    }

    pub(super) fn on_lost(&mut self, packet: &SentPacket) {
        if let Some(trial) = self.trial_of(packet) {
            trial.seen.add(packet, true);
        }
        self.window.add(packet, true);
    }

    /// The trial that the packet was sent in.
    fn trial_of(&mut self, packet: &SentPacket) -> Option<&mut Trial> {
        self.trial.as_mut().filter(|trial| packet.sent_micros >= trial.since_micros)
    }

    /// After feedback. `rate` is the estimate, in bits per second.
    pub(super) fn update(&mut self, now: i64, rate: f64) {
        if let Some(trial) = self.trial {
            self.judge(now, &trial);
        }
        let start = *self.window_start_micros.get_or_insert(now);
        if now - start < WINDOW_MICROS || self.window.packets < WINDOW_PACKETS {
            return;
        }
        let window = std::mem::take(&mut self.window);
        self.window_start_micros = Some(now);
        self.on_window(now, &window, rate);
    }

    fn on_window(&mut self, now: i64, window: &Count, rate: f64) {
        let loss = window.loss();
        let last = std::mem::replace(&mut self.last, loss);
        self.take_loss(loss);
        if self.trial.is_some() {
            return;
        }
        if self.smoothed > self.high() && loss > self.high() {
            // A moment's losses are over by now, and cost nothing.
            if last > self.high() {
                self.begin_trial(now, window, (loss + last) / 2.0, rate);
            }
        } else {
            self.grow(rate);
        }
    }

    /// Takes a receiver report's share of lost packets for a window, where there is no better feedback.
    pub(super) fn on_report(&mut self, loss: f64, rate: f64) {
        self.take_loss(loss);
        if self.smoothed > self.high() && loss > self.high() {
            self.limit = rate.min(self.limit) * (1.0 - 0.5 * loss);
        } else {
            self.grow(rate);
        }
    }

    fn take_loss(&mut self, loss: f64) {
        self.smoothed += SMOOTHING * (loss - self.smoothed);
        self.own = self.own.min(self.smoothed + MARGIN);
    }

    fn grow(&mut self, rate: f64) {
        let low = LOW.max(self.own);
        if self.smoothed <= low || (self.own > 0.0 && self.smoothed <= self.own + MARGIN) {
            self.limit *= GROWTH;
            // Far above the estimate it has no say until losses come again.
            if self.limit > 4.0 * rate {
                self.limit = f64::INFINITY;
            }
        }
    }

    fn begin_trial(&mut self, now: i64, window: &Count, lost: f64, rate: f64) {
        let limit = rate.min(self.limit);
        if !self.may_be_own() {
            // That is no path to live with, whatever it comes from.
            self.limit = limit * (1.0 - 0.5 * window.loss());
            return;
        }
        let sent = window.rate().min(limit);
        // Its own loss it has at any rate.
        let excess = (lost - self.own).max(0.0) / (1.0 - self.own);
        let carries = sent * (1.0 - excess);
        self.limit = (CLEAR * carries).max((1.0 - MAX_STEP) * sent);
        let since_micros = now + SETTLE_MICROS;
        self.trial = Some(Trial { limit, lost, carries, since_micros, seen: Count::default() });
    }

    fn judge(&mut self, now: i64, trial: &Trial) {
        let Trial { seen, lost, .. } = *trial;
        let late = now - trial.since_micros > PATIENCE_MICROS;
        let too_fast = seen.span_micros() >= LOOK_MICROS && seen.rate() > trial.carries;
        if too_fast && !late {
            self.trial = Some(Trial { seen: Count::default(), ..*trial });
            return;
        }
        let packets = if late { FEW_PACKETS } else { TRIAL_PACKETS };
        let enough = seen.packets >= packets && seen.span_micros() >= TRIAL_MICROS && !too_fast;
        if !enough && !late {
            return;
        }
        self.trial = None;
        let loss = seen.loss();
        if !enough {
            // No less can be sent than is: to allow less would change nothing.
            self.limit = trial.limit;
            return;
        }
        let stays = loss >= (UNIMPRESSED * lost).max(LOW) && loss <= MAX_OWN + MARGIN;
        if stays {
            self.limit = trial.limit;
        }
        // What is lost of so little is the path's own, be it all or the rest.
        let own = if stays { (loss + lost) / 2.0 } else { loss };
        self.own = if own > LOW { own.min(MAX_OWN) } else { 0.0 };
        self.smoothed = loss;
    }

    /// A probe has proven so much: the limit is not below it.
    pub(super) fn raise(&mut self, proven: f64) {
        self.limit = self.limit.max(proven);
    }
}

#[cfg(test)]
mod tests {
    use super::super::SentKind;
    use super::super::history::Fate;
    use super::*;

    /// Sends packets of 1,000 bytes at the lesser of `rate` and the limit for so many windows, of which `path` tells how
    /// many in a thousand are lost at a rate. The limit after each window.
    fn play(
        limit: &mut LossLimit,
        now: &mut i64,
        rate: f64,
        windows: u32,
        path: impl Fn(f64) -> f64,
    ) -> Vec<f64> {
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        let mut limits = Vec::new();
        for _ in 0..windows {
            let end = *now + WINDOW_MICROS;
            while *now < end {
                let sending = rate.min(limit.limit());
                *now += (8e9 / sending) as i64;
                let packet = SentPacket {
                    sent_micros: *now,
                    bytes: 1000,
                    kind: SentKind::Media,
                    fate: Fate::Unknown,
                    carried: None,
                };
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                if path(sending) > ((random >> 33) % 1000) as f64 {
                    limit.on_lost(&packet);
                } else {
                    limit.on_arrived(&packet, false);
                }
                limit.update(*now, rate);
            }
            limits.push(limit.limit());
        }
        limits
    }

    #[test]
    fn loss_that_stays_when_less_is_sent_is_lived_with_within_seconds() {
        for permille in [130.0, 200.0, 300.0] {
            let mut limit = LossLimit::new();
            let limits = play(&mut limit, &mut 0, 1e6, 60, |_| permille);
            let back = limits.iter().rposition(|limit| *limit < 9e5).unwrap_or(0);
            assert!(limits[12] > 9e5, "{permille}: after six seconds {limits:?}");
            assert!(
                limits.iter().filter(|limit| **limit < 9e5).count() < 15,
                "{permille}: {back} {limits:?}"
            );
            assert!(limits.iter().all(|limit| *limit >= 3.9e5), "{permille}: {limits:?}");
            assert!((limit.own - permille / 1000.0).abs() < 0.06, "{permille}: {limit:?}");
        }
    }

    #[test]
    fn loss_that_goes_when_less_is_sent_is_none_of_the_paths_own() {
        // A policer drops what is above its rate.
        for carries in [5e5, 7e5, 8.5e5] {
            let mut limit = LossLimit::new();
            let limits = play(&mut limit, &mut 0, 1e6, 100, |rate| 1000.0 * (1.0 - carries / rate).max(0.0));
            let late = &limits[20..];
            let mean = late.iter().sum::<f64>() / late.len() as f64;
            assert!(mean > 0.75 * carries && mean < 1.2 * carries, "{carries}: {mean} {limits:?}");
            assert!(late.iter().all(|limit| *limit < 1.35 * carries), "{carries}: {limits:?}");
            assert!(limit.own < 0.05, "{limit:?}");
        }
    }

    #[test]
    fn a_policer_on_a_path_with_losses_of_its_own_is_told_apart() {
        let mut limit = LossLimit::new();
        let limits = play(&mut limit, &mut 0, 2e6, 100, |rate| 1000.0 - 880.0 * (1e6 / rate).min(1.0));
        let late = &limits[30..];
        let mean = late.iter().sum::<f64>() / late.len() as f64;
        assert!((6e5..1.5e6).contains(&mean), "{mean} {limits:?}");
    }

    #[test]
    fn where_most_is_lost_the_rate_falls_though_sending_less_changes_nothing() {
        let mut limit = LossLimit::new();
        let limits = play(&mut limit, &mut 0, 1e6, 100, |_| 600.0);
        assert!(limits[20..].iter().all(|limit| *limit < 2e5), "{limits:?}");
    }

    #[test]
    fn a_path_that_gets_well_again_leaves_no_limit() {
        let (mut limit, mut now) = (LossLimit::new(), 0);
        play(&mut limit, &mut now, 1e6, 40, |_| 200.0);
        play(&mut limit, &mut now, 1e6, 40, |_| 0.0);
        assert!(limit.limit().is_infinite() && limit.own < 0.08, "{limit:?}");
    }
}
