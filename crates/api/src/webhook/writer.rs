// SPDX-License-Identifier: EUPL-1.2
//! From memory into the outbox. While the store can't be written to, events wait here, in their order.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parvis_store::{NewEvent, StoreError};
use tokio::sync::mpsc;

use super::Shared;
use super::target::of_request;

/// Events that are written at once.
const BATCH: usize = 64;
/// How long to wait before the store is asked again, at first and at most.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(2)];

/// Writes until the queue is closed and empty.
pub(super) async fn write(shared: Arc<Shared>, mut events: mpsc::Receiver<NewEvent>) {
    let mut batch = Vec::with_capacity(BATCH);
    while events.recv_many(&mut batch, BATCH).await > 0 {
        let unwritten = batch.len() + events.len();
        shared.counters.in_memory.store(unwritten as u64, Ordering::Relaxed);
        write_batch(&shared, &mut batch).await;
        if batch.iter().any(|event| event.targets.iter().any(|id| of_request(id).is_some()))
            && let Err(error) = shared.serve_further().await
        {
            tracing::warn!(%error, "webhooks that requests named wait for the next one");
        }
        batch.clear();
        shared.counters.in_memory.store(events.len() as u64, Ordering::Relaxed);
        shared.written.send_modify(|count| *count += 1);
    }
}

async fn write_batch(shared: &Shared, batch: &mut [NewEvent]) {
    let [mut pause, longest] = PAUSES;
    loop {
        let rules = shared.rules();
        for event in batch.iter_mut() {
            // Those of the configuration may have changed while the store could not be written to.
            event.targets.retain(|id| of_request(id).is_some());
            event.targets.extend(rules.config.targets_of(&event.event).cloned());
        }
        match shared.store.add_events(batch).await {
            Ok(()) => return,
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, events = batch.len(), "webhooks wait for the store");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(longest);
            }
            Err(error) => {
                let full = matches!(error, StoreError::Full { .. });
                tracing::error!(%error, full, events = batch.len(), "webhooks are dropped");
                shared.counters.dropped.fetch_add(batch.len() as u64, Ordering::Relaxed);
                return;
            }
        }
    }
}
