// SPDX-License-Identifier: EUPL-1.2
//! All streams that can be watched, by their keys, and what streams count.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parvis_api::{Sample, Watched};

use super::super::upload::FlowCounts;
use super::shelf::{Audience, Shelf};

/// What all streams share.
#[derive(Default)]
pub(crate) struct Shelves {
    pub(super) shelves: Mutex<HashMap<String, Arc<Shelf>>>,
    pub(super) audience: Arc<Audience>,
    /// Pieces that targets did not take in time, of streams that have ended too.
    pub(super) dropped: AtomicU64,
    pub(super) retried: AtomicU64,
    pub(super) failed: AtomicU64,
    /// What of streams was sent to the storage as it came.
    pub(super) sent: Arc<FlowCounts>,
}

impl Shelves {
    /// What a request for a file of a stream is answered with.
    pub(crate) async fn answer(&self, key: &str, name: &str, query: &str) -> Watched {
        let shelf = self.shelves().get(key).cloned();
        match shelf {
            Some(shelf) => shelf.answer(name, query).await,
            None => Watched::Gone,
        }
    }

    /// For the metrics page.
    pub(crate) fn samples(&self) -> Vec<Sample> {
        let sample = |name: &str, help, counter, value: f64| Sample {
            name: name.to_owned(),
            help,
            counter,
            labels: Vec::new(),
            value,
        };
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        let audience = &self.audience;
        vec![
            sample("parvis_live_streams", "Streams that can be watched.", false, self.shelves().len() as f64),
            sample(
                "parvis_live_waiting",
                "Requests that wait for the next part of a stream: about as many as watch.",
                false,
                audience.waiting.load(Ordering::Relaxed) as f64,
            ),
            sample("parvis_live_requests_total", "Requests of viewers.", true, read(&audience.requests)),
            sample("parvis_live_bytes_total", "Bytes handed out to viewers.", true, read(&audience.bytes)),
            sample(
                "parvis_live_refused_total",
                "Requests that found no place to wait (streaming.max_waiting).",
                true,
                read(&audience.refused),
            ),
            sample(
                "parvis_stream_dropped_total",
                "Pieces of streams that a target did not take in time.",
                true,
                read(&self.dropped),
            ),
            sample(
                "parvis_stream_retries_total",
                "Times that a target of a stream was tried again.",
                true,
                read(&self.retried),
            ),
            sample(
                "parvis_stream_targets_failed_total",
                "Targets of streams given up.",
                true,
                read(&self.failed),
            ),
            sample(
                "parvis_live_files_uploaded_total",
                "Segments, playlists and images of streams that were sent to the storage while these went on.",
                true,
                read(&self.sent.files),
            ),
            sample(
                "parvis_live_uploaded_bytes_total",
                "Bytes of segments, playlists and images that were sent to the storage.",
                true,
                read(&self.sent.bytes),
            ),
            sample(
                "parvis_live_uploads_failed_total",
                "Tries to send a segment, a playlist or an image to the storage that failed.",
                true,
                read(&self.sent.failed),
            ),
            sample(
                "parvis_live_files_to_upload",
                "Segments and images of streams that are not in the storage yet.",
                false,
                read(&self.sent.waiting),
            ),
        ]
    }

    pub(super) fn shelves(&self) -> MutexGuard<'_, HashMap<String, Arc<Shelf>>> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
