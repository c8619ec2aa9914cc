// SPDX-License-Identifier: EUPL-1.2
//! What was done in a time, and the processors' time that it took.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::process::{Usage, own_process_time};
use crate::{LoadError, Target};

/// More of its core than this, and a process has no time left.
const FULL: f64 = 0.9;

/// What was done in a time, and what it took.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Work {
    /// How many.
    pub count: u64,
    /// From the beginning of the first to the end of the last.
    pub seconds: f64,
    /// How many in a second.
    pub per_second: f64,
    /// What the load's process took, as a share of one core.
    pub own_share: f64,
    /// What it cost the server, if it was watched.
    pub server: Option<ServerWork>,
    /// Why the rate is the load's rather than the server's; `None` when it is the server's.
    pub limit: Option<String>,
}

/// What something cost the server.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct ServerWork {
    /// The share of one core that it took meanwhile.
    pub share: f64,
    /// Its time on processors, from the beginning of the first until a second after the end of the last: what it does
    /// after an answer counts.
    pub cpu_seconds: f64,
    /// How many it does with a second of processor time: what one core could do if nothing else were in the way.
    pub per_cpu_second: f64,
}

/// Reads clocks from a beginning on.
pub(super) struct Meter<'a> {
    target: &'a Target,
    at: Instant,
    own: Duration,
    server: Option<Usage>,
}

/// A time that was measured, and whose costs are read once more later.
pub(super) struct Window<'a> {
    meter: Meter<'a>,
    seconds: f64,
    own_share: f64,
    server_share: Option<f64>,
}

impl<'a> Meter<'a> {
    pub(super) fn start(target: &'a Target) -> Result<Meter<'a>, LoadError> {
        Ok(Meter { target, server: target.usage()?, own: own_process_time(), at: Instant::now() })
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.at.elapsed()
    }

    /// The end of what is measured.
    pub(super) fn stop(self) -> Result<Window<'a>, LoadError> {
        let seconds = self.at.elapsed().as_secs_f64().max(f64::MIN_POSITIVE);
        let own_share = own_process_time().saturating_sub(self.own).as_secs_f64() / seconds;
        let server_share = self.server_time()?.map(|time| time / seconds);
        Ok(Window { meter: self, seconds, own_share, server_share })
    }

    fn server_time(&self) -> Result<Option<f64>, LoadError> {
        let since = |(before, now): (Usage, Usage)| now.cpu.saturating_sub(before.cpu).as_secs_f64();
        Ok(self.server.zip(self.target.usage()?).map(since))
    }
}

impl Window<'_> {
    /// The share of one core that the server took.
    pub(super) fn server_share(&self) -> Option<f64> {
        self.server_share
    }

    pub(super) fn seconds(&self) -> f64 {
        self.seconds
    }

    /// Sums it up: the server's time up to now counts.
    pub(super) fn work(&self, count: u64) -> Result<Work, LoadError> {
        let server =
            self.meter.server_time()?.zip(self.server_share).map(|(cpu_seconds, share)| ServerWork {
                share,
                cpu_seconds,
                per_cpu_second: count as f64 / cpu_seconds.max(f64::MIN_POSITIVE),
            });
        Ok(Work {
            count,
            seconds: self.seconds,
            per_second: count as f64 / self.seconds,
            own_share: self.own_share,
            server,
            limit: limit(self.own_share, self.server_share),
        })
    }
}

/// Whether the load had no time left although the server had.
fn limit(own: f64, server: Option<f64>) -> Option<String> {
    let server_full = server.is_some_and(|share| share >= FULL);
    (own >= FULL && !server_full).then(|| {
        let of_server =
            server.map_or(String::new(), |share| format!(", the server {:.0} % of its own", share * 100.0));
        format!("the load took {:.0} % of its core{of_server}", own * 100.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crowd::scenario::tests::of;

    #[test]
    fn the_load_is_the_limit_only_while_the_server_has_time_left() {
        assert_eq!(limit(0.5, Some(0.5)), None);
        assert_eq!(limit(0.95, Some(0.95)), None);
        assert_eq!(
            limit(0.95, Some(0.4)).as_deref(),
            Some("the load took 95 % of its core, the server 40 % of its own")
        );
    }

    #[test]
    fn what_a_server_does_after_the_end_counts_as_its_time_and_not_as_time_of_the_measurement() {
        let scenario = of(&format!("--pid {}", std::process::id()));
        let busy = |millis: u64| {
            let start = crate::process::own_time();
            while crate::process::own_time() - start < Duration::from_millis(millis) {
                std::hint::black_box(0);
            }
        };
        let meter = Meter::start(&scenario.target).unwrap();
        busy(20);
        let window = meter.stop().unwrap();
        busy(60);
        let work = window.work(8).unwrap();
        let server = work.server.unwrap();
        assert!(server.cpu_seconds >= 0.08 && work.seconds < window.meter.elapsed().as_secs_f64() - 0.05);
        assert!((server.per_cpu_second * server.cpu_seconds - 8.0).abs() < 1e-6);
    }
}
