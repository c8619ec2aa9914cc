// SPDX-License-Identifier: EUPL-1.2
//! What a link does to a datagram: loss, alone or in bursts, delay, jitter, reordering, duplication, a rate with a
//! queue before it. The same model runs in virtual time in a [`crate::Conference`] and in real time in a router
//! between network namespaces.

use std::time::{Duration, Instant};

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

/// What a queue holds when a rate is given and nothing else is said: a third of a second, as a home router's.
const DEFAULT_QUEUE: Duration = Duration::from_millis(300);

/// One direction of a link.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinkModel {
    /// The least time that a datagram takes.
    pub delay: Duration,
    /// How much longer it may take, evenly spread. Order is kept; see [`LinkModel::reorder`].
    pub jitter: Duration,
    /// The share of datagrams that are lost, each by itself.
    pub loss: f64,
    /// Losses that come in bursts, beside those of [`LinkModel::loss`].
    pub bursts: Option<BurstLoss>,
    /// The share of datagrams that are overtaken by those behind them: they take [`LinkModel::jitter`] and 10 ms longer.
    pub reorder: f64,
    /// The share of datagrams that arrive twice.
    pub duplication: f64,
    /// Bits per second; `None` for as fast as one likes.
    pub rate: Option<u64>,
    /// What may wait for the rate, as time; a datagram that would wait longer is dropped.
    pub queue: Duration,
}

/// Gilbert and Elliott's model: a good state without loss, a bad one that loses most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BurstLoss {
    /// The chance for each datagram that a burst begins.
    pub begin: f64,
    /// The chance for each datagram of a burst that it is the last.
    pub end: f64,
    /// The share lost within a burst.
    pub loss: f64,
}

impl Default for LinkModel {
    fn default() -> Self {
        LinkModel {
            delay: Duration::from_millis(10),
            jitter: Duration::ZERO,
            loss: 0.0,
            bursts: None,
            reorder: 0.0,
            duplication: 0.0,
            rate: None,
            queue: DEFAULT_QUEUE,
        }
    }
}

/// What became of the datagrams of a link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Given to it.
    pub sent: u64,
    /// Lost by chance.
    pub lost: u64,
    /// Found the queue full.
    pub overflowed: u64,
}

/// One direction of a link at work. All its chance comes from its seed.
#[derive(Debug)]
pub struct Link {
    model: LinkModel,
    random: Xoshiro256PlusPlus,
    in_burst: bool,
    /// When the last datagram will have been put on the line.
    free_at: Option<Instant>,
    /// When the last one that keeps order arrives.
    last_arrival: Option<Instant>,
    stats: LinkStats,
}

impl Link {
    /// An idle link.
    pub fn new(model: LinkModel, seed: u64) -> Link {
        Link {
            model,
            random: Xoshiro256PlusPlus::seed_from_u64(seed),
            in_burst: false,
            free_at: None,
            last_arrival: None,
            stats: LinkStats::default(),
        }
    }

    /// What it is like now.
    pub fn model(&self) -> &LinkModel {
        &self.model
    }

    /// Becomes another link; what is on its way stays so.
    pub fn set_model(&mut self, model: LinkModel) {
        self.model = model;
    }

    /// What became of the datagrams so far.
    pub fn stats(&self) -> LinkStats {
        self.stats
    }

    /// A datagram of `bytes` in all is sent at `now`. When it arrives, and when its double does; nothing when it is lost.
    pub fn send(&mut self, now: Instant, bytes: usize) -> [Option<Instant>; 2] {
        self.stats.sent += 1;
        // Every datagram takes the same chances, so that one link's are not shifted by what another setting does.
        let [lost, burst, burst_lost, reordered, doubled] =
            std::array::from_fn(|_| self.random.random::<f64>());
        let jitter = self.model.jitter.mul_f64(self.random.random());
        if self.is_lost(lost, burst, burst_lost) {
            self.stats.lost += 1;
            return [None; 2];
        }
        let Some(on_line) = self.serialise(now, bytes) else {
            self.stats.overflowed += 1;
            return [None; 2];
        };
        let mut at = on_line + self.model.delay + jitter;
        if reordered < self.model.reorder {
            at += self.model.jitter + Duration::from_millis(10);
        } else {
            at = self.last_arrival.map_or(at, |last| at.max(last));
            self.last_arrival = Some(at);
        }
        [Some(at), (doubled < self.model.duplication).then_some(at)]
    }

    fn is_lost(&mut self, lost: f64, burst: f64, burst_lost: f64) -> bool {
        let Some(bursts) = self.model.bursts else { return lost < self.model.loss };
        self.in_burst = if self.in_burst { burst >= bursts.end } else { burst < bursts.begin };
        lost < self.model.loss || (self.in_burst && burst_lost < bursts.loss)
    }

    /// When the datagram has left, or `None` when the queue is full.
    fn serialise(&mut self, now: Instant, bytes: usize) -> Option<Instant> {
        let Some(rate) = self.model.rate else { return Some(now) };
        let begins = self.free_at.map_or(now, |free| free.max(now));
        if begins.saturating_duration_since(now) > self.model.queue {
            return None;
        }
        let takes = Duration::from_secs_f64(bytes as f64 * 8.0 / rate.max(1) as f64);
        self.free_at = Some(begins + takes);
        self.free_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(model: LinkModel, datagrams: usize, every: Duration) -> (Vec<Option<Duration>>, LinkStats) {
        let start = Instant::now();
        let mut link = Link::new(model, 7);
        let times = (0..datagrams as u32).map(|number| {
            let [at, _] = link.send(start + every * number, 1250);
            at.map(|at| at - start)
        });
        (times.collect(), link.stats())
    }

    #[test]
    fn a_rate_spreads_datagrams_and_a_full_queue_drops_them() {
        // 1,250 bytes are 10 ms at 1 Mbit/s; 100 ms of queue hold ten of them and the one on the line.
        let model =
            LinkModel { rate: Some(1_000_000), queue: Duration::from_millis(100), ..LinkModel::default() };
        let (times, stats) = arrivals(model, 30, Duration::ZERO);
        let arrived: Vec<Duration> = times.into_iter().flatten().collect();
        assert_eq!(arrived.len(), 11);
        assert_eq!(arrived[0], Duration::from_millis(20));
        assert_eq!(arrived[10], Duration::from_millis(120));
        assert_eq!((stats.sent, stats.overflowed), (30, 19));
    }

    #[test]
    fn jitter_keeps_the_order_and_reordering_does_not() {
        let jitter = LinkModel { jitter: Duration::from_millis(30), ..LinkModel::default() };
        let (times, _) = arrivals(jitter, 1000, Duration::from_millis(5));
        assert!(times.iter().is_sorted());
        let (times, _) = arrivals(LinkModel { reorder: 0.05, ..jitter }, 1000, Duration::from_millis(5));
        let overtaken = times.windows(2).filter(|pair| pair[0] > pair[1]).count();
        assert!((20..80).contains(&overtaken), "{overtaken}");
    }

    #[test]
    fn bursts_lose_as_much_as_they_say_and_in_runs() {
        // A fifth of the time in bursts of five: 0.05 / (0.05 + 0.2).
        let bursts = Some(BurstLoss { begin: 0.05, end: 0.2, loss: 1.0 });
        let (times, stats) = arrivals(LinkModel { bursts, ..LinkModel::default() }, 20_000, Duration::ZERO);
        let runs = times.windows(2).filter(|pair| pair[0].is_some() && pair[1].is_none()).count();
        assert!((3400..4600).contains(&stats.lost), "{stats:?}");
        assert!((4.0..6.0).contains(&(stats.lost as f64 / runs as f64)), "{} in {runs}", stats.lost);
    }

    #[test]
    fn the_same_seed_loses_the_same() {
        let model = LinkModel { loss: 0.3, jitter: Duration::from_millis(9), ..LinkModel::default() };
        let once = arrivals(model, 500, Duration::from_millis(1));
        assert_eq!(once, arrivals(model, 500, Duration::from_millis(1)));
        assert!((120..180).contains(&once.1.lost));
    }
}
