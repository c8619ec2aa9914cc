// SPDX-License-Identifier: EUPL-1.2
//! Traces of joins and of jobs for a collector of the operator's (OTLP over HTTP), where one is configured: which step took how
//! long. [`joins`] follows those who come in, [`jobs`] what is recorded and streamed; [`wire`] is what a collector reads and
//! [`send`] brings it there.
//!
//! **The one invariant: no text of a stranger's gets into a trace.** All that a span can say is a word that stands in this code
//! (`&'static str`), times, and ids that were drawn by lot: no name, no room, no identity, no address. What a client says of a trace of its
//! own is not read either: nobody but the operator decides what is sampled, and nobody waits for a collector.

mod jobs;
mod joins;
mod send;
#[cfg(test)]
mod tests;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

pub use jobs::JobStep;
pub(crate) use jobs::{Jobs, kind_of};
pub(crate) use joins::Joins;
pub use send::{TraceConfig, TraceError};

use send::Queue;
use wire::{ERROR, INTERNAL, OK, SAMPLED, SERVER, Status, WireSpan, attribute};

/// The name of a trace (W3C Trace Context): drawn by lot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TraceId(pub(crate) [u8; 16]);

impl fmt::Display for TraceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

/// Begins traces, as many as the configuration says. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Tracer {
    queue: Queue,
    sample_percent: u8,
}

impl Tracer {
    /// Begins a trace, if the lot falls upon it. Its first span says these words besides how it ended.
    pub(crate) fn begin(
        &self,
        now: Instant,
        name: &'static str,
        words: &[(&'static str, &'static str)],
    ) -> Option<Trace> {
        if rand::random::<u32>() % 100 >= u32::from(self.sample_percent) {
            return None;
        }
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Some(Trace(Arc::new(Inner {
            id: TraceId(rand::random()),
            root: rand::random(),
            name,
            words: words.to_vec(),
            began: now,
            // As `now` is always just now.
            began_unix_nanos: u64::try_from(unix.as_nanos()).unwrap_or(u64::MAX),
            ended: AtomicBool::new(false),
            queue: self.queue.clone(),
        })))
    }
}

#[cfg(test)]
impl Tracer {
    /// One that traces everything, for nobody.
    pub(crate) fn unread() -> Tracer {
        Tracer { queue: Queue::read_by_test(1).0, sample_percent: 100 }
    }
}

/// A trace that goes on. Clones are one; the last one that goes ends it, if nobody did.
#[derive(Clone)]
pub(crate) struct Trace(Arc<Inner>);

struct Inner {
    id: TraceId,
    root: [u8; 8],
    name: &'static str,
    words: Vec<(&'static str, &'static str)>,
    began: Instant,
    began_unix_nanos: u64,
    ended: AtomicBool,
    queue: Queue,
}

impl Trace {
    /// Its name.
    pub(crate) fn id(&self) -> TraceId {
        self.0.id
    }

    /// One of its steps is over.
    pub(crate) fn step(&self, name: &'static str, from: Instant, to: Instant) {
        let inner = &self.0;
        let span = WireSpan {
            span_id: rand::random::<[u8; 8]>().to_vec(),
            parent_span_id: inner.root.to_vec(),
            name: name.to_owned(),
            kind: INTERNAL,
            status: Some(Status { code: OK }),
            ..inner.span(from, to)
        };
        inner.queue.send(span);
    }

    /// It is over, and how. The first word counts. Steps may come later: those that nobody waited for.
    pub(crate) fn end(&self, at: Instant, outcome: &'static str, well: bool) {
        self.0.end(at, outcome, well);
    }
}

impl Inner {
    fn span(&self, from: Instant, to: Instant) -> WireSpan {
        let unix = |at: Instant| {
            let passed = at.saturating_duration_since(self.began).as_nanos();
            self.began_unix_nanos.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX))
        };
        WireSpan {
            trace_id: self.id.0.to_vec(),
            start_time_unix_nano: unix(from),
            end_time_unix_nano: unix(to.max(from)),
            flags: SAMPLED,
            ..WireSpan::default()
        }
    }

    fn end(&self, at: Instant, outcome: &'static str, well: bool) {
        if self.ended.swap(true, Ordering::AcqRel) {
            return;
        }
        let words = self.words.iter().copied().chain([("parvis.outcome", outcome)]);
        let span = WireSpan {
            span_id: self.root.to_vec(),
            name: self.name.to_owned(),
            kind: SERVER,
            attributes: words.map(|(key, word)| attribute(key, word)).collect(),
            status: Some(Status { code: if well { OK } else { ERROR } }),
            ..self.span(self.began, at)
        };
        self.queue.send(span);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.end(Instant::now(), "gone", false);
    }
}
