// SPDX-License-Identifier: EUPL-1.2
//! Takes events without waiting and has them written. A database that is slow fills the queue, one that is away or full loses events: how
//! many is counted, stands in the log as soon as that takes entries again, and, where the operator wants it so, refuses acts meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use parvis_audit::{Act, Event, Outcome, Sink, Who};
use parvis_store::Store;
use tokio::sync::{mpsc, oneshot};

use super::now_ms;

/// Events written in one transaction.
const BATCH: usize = 256;
/// How long to wait before what the database did not take is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// The way into the log. All clones are one.
#[derive(Clone)]
pub(crate) struct Log {
    queue: mpsc::Sender<Message>,
    counts: Arc<Counts>,
    refuse: bool,
}

/// What comes through the queue.
enum Message {
    Event(Box<Event>),
    /// Say when all before is written.
    Flush(oneshot::Sender<()>),
}

/// How many refusals are told one by one: so many at once, and one in each [`REFUSAL_EACH_MS`] after that. Those of strangers alone: what
/// they can have written is 4 MB a day at most, whatever they try.
const REFUSALS: i64 = 100;
const REFUSAL_EACH_MS: i64 = 10_000;

/// What the log counts.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) written: AtomicU64,
    pub(super) lost: AtomicU64,
    /// Lost, and not in the log yet.
    unsaid: AtomicU64,
    /// When the place for refusals would be free again, in milliseconds since 1970.
    refusals_ms: AtomicI64,
    /// Refusals that are not told one by one, and not in the log yet.
    refusals: AtomicU64,
    /// The last try did not write.
    pub(super) stuck: AtomicBool,
}

impl Log {
    /// Begins to write into this store.
    pub(super) fn start(store: Store, queue: usize, refuse: bool) -> Log {
        let (sender, receiver) = mpsc::channel(queue.max(1));
        let counts = Arc::<Counts>::default();
        tokio::spawn(write(store, receiver, Arc::clone(&counts)));
        Log { queue: sender, counts, refuse }
    }

    /// Waits until all that was recorded before is written.
    pub(super) async fn flush(&self) {
        let (sender, done) = oneshot::channel();
        if self.queue.send(Message::Flush(sender)).await.is_ok() {
            // An error says that the writer is gone.
            let _ = done.await;
        }
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Events that wait to be written.
    pub(super) fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }
}

impl Sink for Log {
    fn record(&self, event: Event) {
        let time_ms = if event.time_ms == 0 { now_ms() } else { event.time_ms };
        let event = Box::new(Event { time_ms, ..event });
        if event.outcome == Outcome::Refused && event.who == Who::Nobody && !self.counts.tell_refusal(time_ms)
        {
            return;
        }
        if self.queue.try_send(Message::Event(event)).is_err() {
            self.counts.lose(1);
        }
    }

    fn may_act(&self) -> bool {
        !self.refuse || (!self.counts.stuck.load(Ordering::Relaxed) && self.queue.capacity() > 0)
    }
}

impl Counts {
    /// Whether a refusal of a stranger is told by itself; otherwise it is counted.
    fn tell_refusal(&self, now_ms: i64) -> bool {
        let next = |free_ms: i64| {
            let free_ms = free_ms.max(now_ms - REFUSALS * REFUSAL_EACH_MS);
            (free_ms <= now_ms - REFUSAL_EACH_MS).then_some(free_ms + REFUSAL_EACH_MS)
        };
        let told = self.refusals_ms.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok();
        if !told {
            self.refusals.fetch_add(1, Ordering::Relaxed);
        }
        told
    }

    /// What is to be said of refusals that were only counted.
    pub(super) fn take_refusals(&self) -> Option<Event> {
        let count = self.refusals.swap(0, Ordering::Relaxed);
        let event = Event { count: Some(count), ..Event::new("", Act::Refusals, Who::Server) };
        (count > 0).then_some(event)
    }

    fn lose(&self, events: u64) {
        self.lost.fetch_add(events, Ordering::Relaxed);
        self.unsaid.fetch_add(events, Ordering::Relaxed);
    }

    /// Writes these events, after a word on those that were lost before. Waits for a database that is away.
    async fn put(&self, store: &Store, mut events: Vec<Event>) {
        loop {
            let unsaid = self.unsaid.load(Ordering::Relaxed);
            let lost =
                Event { time_ms: now_ms(), count: Some(unsaid), ..Event::new("", Act::LogLost, Who::Server) };
            let first = if unsaid > 0 { vec![lost] } else { Vec::new() };
            let all: Vec<Event> = first.into_iter().chain(events.iter().cloned()).collect();
            if all.is_empty() {
                return;
            }
            let Err(error) = store.audit_append(&all).await else {
                self.unsaid.fetch_sub(unsaid, Ordering::Relaxed);
                self.written.fetch_add(all.len() as u64, Ordering::Relaxed);
                if self.stuck.swap(false, Ordering::Relaxed) {
                    tracing::info!(lost = unsaid, "the audit log takes entries again");
                }
                return;
            };
            if !self.stuck.swap(true, Ordering::Relaxed) {
                tracing::error!(%error, "the audit log takes no entries");
            }
            if !error.is_transient() {
                // What the server says of itself has a place of its own when nothing else has one.
                let own = |event: &Event| matches!(event.who, Who::Server | Who::Operator);
                let kept: Vec<Event> = events.iter().filter(|event| own(event)).cloned().collect();
                let saved = !kept.is_empty() && store.audit_append(&kept).await.is_ok();
                let kept = if saved { kept.len() as u64 } else { 0 };
                self.written.fetch_add(kept, Ordering::Relaxed);
                return self.lose(std::mem::take(&mut events).len() as u64 - kept);
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}

async fn write(store: Store, mut queue: mpsc::Receiver<Message>, counts: Arc<Counts>) {
    let mut messages = Vec::with_capacity(BATCH);
    loop {
        // What was lost is to be said though nothing follows; acts that are refused bring no event either.
        let patience =
            if counts.unsaid.load(Ordering::Relaxed) > 0 { RETRY } else { Duration::from_secs(3_600) };
        let received = tokio::time::timeout(patience, queue.recv_many(&mut messages, BATCH)).await;
        if received == Ok(0) {
            return;
        }
        let (mut events, mut flushes) = (Vec::new(), Vec::new());
        for message in messages.drain(..) {
            match message {
                Message::Event(event) => events.push(*event),
                Message::Flush(done) => flushes.push(done),
            }
        }
        counts.put(&store, events).await;
        for done in flushes {
            // Whoever waited may have gone.
            let _ = done.send(());
        }
    }
}
