// SPDX-License-Identifier: EUPL-1.2
//! A histogram that remembers, for each of its buckets, the last measured thing that has a trace: whoever sees a slow one in a
//! dashboard finds the trace of one that was as slow.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::{Histogram, HistogramOpts, Registry};

use crate::traces::TraceId;

/// One measured thing that has a trace.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Exemplar {
    /// Its trace.
    pub(crate) trace: TraceId,
    /// How long it took, in seconds.
    pub(crate) seconds: f64,
    /// When it was measured, in seconds since 1970.
    pub(crate) at: f64,
}

/// A histogram of times. Clones are one.
#[derive(Clone)]
pub(crate) struct Timed {
    pub(crate) histogram: Histogram,
    name: &'static str,
    bounds: &'static [f64],
    /// One for each bucket, the last of them the one without a bound: never more.
    last: Arc<Mutex<Vec<Option<Exemplar>>>>,
}

impl Timed {
    /// A new one without observations. It fails only if another metric has its name.
    pub(crate) fn new(
        registry: &Registry,
        name: &'static str,
        help: &str,
        bounds: &'static [f64],
    ) -> Result<Timed, prometheus::Error> {
        let histogram = Histogram::with_opts(HistogramOpts::new(name, help).buckets(bounds.to_vec()))?;
        registry.register(Box::new(histogram.clone()))?;
        let last = Arc::new(Mutex::new(vec![None; bounds.len() + 1]));
        Ok(Timed { histogram, name, bounds, last })
    }

    /// Takes note of how long something took, and of its trace if it has one.
    pub(crate) fn observe(&self, took: Duration, trace: Option<TraceId>) {
        let seconds = took.as_secs_f64();
        self.histogram.observe(seconds);
        let Some(trace) = trace else { return };
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let bucket = self.bounds.iter().filter(|bound| seconds > **bound).count();
        if let Some(place) = self.last().get_mut(bucket) {
            *place = Some(Exemplar { trace, seconds, at });
        }
    }

    /// The name of its family.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// What is remembered of each bucket, in their order.
    pub(crate) fn exemplars(&self) -> Vec<Option<Exemplar>> {
        self.last().clone()
    }

    fn last(&self) -> MutexGuard<'_, Vec<Option<Exemplar>>> {
        // Nothing panics while it is held.
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bucket_remembers_the_last_thing_in_it_that_has_a_trace() {
        let timed = Timed::new(&Registry::new(), "waits_seconds", "Waits.", &[0.1, 1.0]).unwrap();
        let id = |byte| TraceId([byte; 16]);
        for (millis, trace) in [(100, Some(1)), (500, Some(2)), (700, Some(3)), (800, None), (9_000, Some(4))]
        {
            timed.observe(Duration::from_millis(millis), trace.map(id));
        }
        let kept = timed.exemplars();
        let kept: Vec<_> =
            kept.iter().map(|exemplar| exemplar.map(|each| (each.trace, each.seconds))).collect();
        // A bound belongs to its bucket, as `le` says.
        assert_eq!(kept, [Some((id(1), 0.1)), Some((id(3), 0.7)), Some((id(4), 9.0))]);
        assert_eq!(timed.histogram.get_sample_count(), 5);
    }
}
