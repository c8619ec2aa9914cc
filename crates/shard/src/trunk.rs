// SPDX-License-Identifier: EUPL-1.2
//! Rings between the threads, by which rooms larger than one shard are carried: a pair of bounded queues for each two
//! shards and direction, one with batches, one that brings them back empty. The queues are the standard library's,
//! which are lock-free as long as nobody waits at them; here nobody does. A full ring is the sender's to deal with.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use nix::sys::eventfd::EventFd;
use parvis_sfu::TrunkBatch;

/// One thread's ends of the rings to and from all others.
pub(crate) struct Links {
    /// By shard; none to itself.
    links: Vec<Option<Link>>,
    bell: Arc<AtomicBool>,
}

struct Link {
    out: SyncSender<TrunkBatch>,
    returned: Receiver<TrunkBatch>,
    inbox: Receiver<TrunkBatch>,
    giving_back: SyncSender<TrunkBatch>,
    /// The other thread's eventfd, and whether it was written and not yet heard.
    wake: Arc<EventFd>,
    bell: Arc<AtomicBool>,
}

/// What became of a batch.
pub(crate) enum Sent {
    Carried,
    /// It comes back: the other thread can't keep up.
    Full(TrunkBatch),
    /// It comes back: the other thread is gone for good.
    Gone(TrunkBatch),
}

/// Rings of `depth` batches between all shards whose eventfds these are.
pub(crate) fn mesh(wakes: &[Arc<EventFd>], depth: usize) -> Vec<Links> {
    let bells: Vec<Arc<AtomicBool>> = wakes.iter().map(|_| Arc::default()).collect();
    let mut links: Vec<Links> = bells
        .iter()
        .map(|bell| Links { links: wakes.iter().map(|_| None).collect(), bell: Arc::clone(bell) })
        .collect();
    for a in 0..wakes.len() {
        for b in a + 1..wakes.len() {
            let ring = || sync_channel(depth.max(1));
            let ((a_to_b, b_inbox), (b_gives_back, a_returned)) = (ring(), ring());
            let ((b_to_a, a_inbox), (a_gives_back, b_returned)) = (ring(), ring());
            links[a].links[b] = Some(Link {
                out: a_to_b,
                returned: a_returned,
                inbox: a_inbox,
                giving_back: a_gives_back,
                wake: Arc::clone(&wakes[b]),
                bell: Arc::clone(&bells[b]),
            });
            links[b].links[a] = Some(Link {
                out: b_to_a,
                returned: b_returned,
                inbox: b_inbox,
                giving_back: b_gives_back,
                wake: Arc::clone(&wakes[a]),
                bell: Arc::clone(&bells[a]),
            });
        }
    }
    links
}

impl Links {
    /// How many shards there are.
    pub(crate) fn count(&self) -> usize {
        self.links.len()
    }

    /// Hands a batch to a shard, and wakes its thread if nobody else has just done so.
    pub(crate) fn send(&self, to: usize, batch: TrunkBatch) -> Sent {
        let Some(link) = self.links.get(to).and_then(Option::as_ref) else { return Sent::Gone(batch) };
        match link.out.try_send(batch) {
            Ok(()) => {
                // Whoever hears the bell takes it down before it looks into its rings: what was put there before is seen.
                if !link.bell.swap(true, Ordering::AcqRel) {
                    let _ = link.wake.write(1);
                }
                Sent::Carried
            }
            Err(TrySendError::Full(batch)) => Sent::Full(batch),
            Err(TrySendError::Disconnected(batch)) => Sent::Gone(batch),
        }
    }

    /// A batch of ours that came back empty.
    pub(crate) fn returned(&self, from: usize) -> Option<TrunkBatch> {
        self.links.get(from)?.as_ref()?.returned.try_recv().ok()
    }

    /// Whether something may have come since the last time.
    pub(crate) fn rung(&self) -> bool {
        self.bell.swap(false, Ordering::AcqRel)
    }

    /// The next batch of a shard's.
    pub(crate) fn receive(&self, from: usize) -> Option<TrunkBatch> {
        self.links.get(from)?.as_ref()?.inbox.try_recv().ok()
    }

    /// Gives a batch back that was dealt with. One that finds no place is freed.
    pub(crate) fn give_back(&self, to: usize, batch: TrunkBatch) {
        if let Some(link) = self.links.get(to).and_then(Option::as_ref) {
            let _ = link.giving_back.try_send(batch);
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::eventfd::EfdFlags;

    use super::*;

    fn wakes(count: usize) -> Vec<Arc<EventFd>> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        (0..count).map(|_| Arc::new(EventFd::from_flags(flags).unwrap())).collect()
    }

    #[test]
    fn a_burst_of_batches_rings_once_and_a_full_ring_gives_back() {
        let wakes = wakes(3);
        let links = mesh(&wakes, 2);
        assert!(matches!(links[0].send(1, TrunkBatch::default()), Sent::Carried));
        assert!(matches!(links[0].send(1, TrunkBatch::default()), Sent::Carried));
        assert!(matches!(links[0].send(1, TrunkBatch::default()), Sent::Full(_)));
        assert!(matches!(links[2].send(1, TrunkBatch::default()), Sent::Carried), "each has its own ring");
        assert_eq!(wakes[1].read(), Ok(1), "rung once for all");
        assert!(wakes[2].read().is_err() && wakes[0].read().is_err());

        assert!(links[1].rung() && !links[1].rung());
        let batch = links[1].receive(0).unwrap();
        assert!(links[1].receive(0).is_some() && links[1].receive(0).is_none());
        links[1].give_back(0, batch);
        assert!(links[0].returned(1).is_some() && links[0].returned(1).is_none());
        assert!(matches!(links[0].send(1, TrunkBatch::default()), Sent::Carried));
        assert_eq!(wakes[1].read(), Ok(1), "after it was heard it rings again");
    }

    #[test]
    fn a_shard_that_is_gone_and_the_own_one_take_nothing() {
        let mut links = mesh(&wakes(2), 2);
        assert!(matches!(links[0].send(0, TrunkBatch::default()), Sent::Gone(_)));
        links.pop();
        assert!(matches!(links[0].send(1, TrunkBatch::default()), Sent::Gone(_)));
    }
}
