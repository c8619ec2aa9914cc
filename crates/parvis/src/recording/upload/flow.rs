// SPDX-License-Identifier: EUPL-1.2
//! Files that are sent while their recording goes on: segments and pictures of a stream. Each is sent in its turn, and a playlist
//! only when all that was written before it lies there. While the storage is down they wait on the disk, where [`super::Uploads`] finds
//! what is left when the recording has ended.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use parvis_store::TenantId;
use sha2::{Digest as _, Sha256};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::remote::{Remote, RemoteError};
use super::state::{State, Upload};
use crate::recording::live::read_plain;

/// How long it is waited before the next try after one that failed; twice as long each time, …
const PAUSE: Duration = Duration::from_secs(1);
/// … up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Files after which it is written down that they lie there: as many at most are sent again after a crash.
const NOTED_EACH: usize = 64;

/// What is counted of all of them.
#[derive(Debug, Default)]
pub(crate) struct FlowCounts {
    pub(crate) files: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) waiting: AtomicU64,
}

/// Where one recording's files are sent to.
#[derive(Clone)]
pub(crate) struct Destination {
    pub(crate) remote: Remote,
    pub(crate) tenant: TenantId,
    pub(crate) egress: String,
    /// The recording's folder here.
    pub(crate) folder: PathBuf,
}

impl Destination {
    /// A file's address there.
    pub(crate) fn url(&self, name: &str) -> String {
        self.remote.url(&self.tenant, &self.egress, name)
    }
}

#[derive(Debug, Default)]
struct Queue {
    /// Files that never change, by their names.
    files: VecDeque<String>,
    /// What changes, as it is now. It names nothing that is not in `files`, or there.
    changing: BTreeMap<String, Bytes>,
    ended: bool,
}

/// What is sent next.
enum Next {
    File(String),
    Changing(String, Bytes),
}

struct Work {
    to: Destination,
    queue: Mutex<Queue>,
    rung: Notify,
    counts: Arc<FlowCounts>,
}

/// See the module's page.
pub(crate) struct Flow {
    work: Arc<Work>,
    task: JoinHandle<()>,
    given_up: watch::Sender<bool>,
}

impl Flow {
    /// Begins to send. Call it in a runtime.
    pub(crate) fn start(to: Destination, counts: Arc<FlowCounts>) -> Flow {
        let work = Arc::new(Work { to, queue: Mutex::default(), rung: Notify::new(), counts });
        let (given_up, is_given_up) = watch::channel(false);
        let task = tokio::spawn(Arc::clone(&work).run(is_given_up));
        Flow { work, task, given_up }
    }

    /// Has these files sent, and then what changes by that. All at once: no playlist goes out that names more.
    pub(crate) fn add(&self, files: Vec<String>, changing: Vec<(String, Bytes)>) {
        self.work.counts.waiting.fetch_add(files.len() as u64, Ordering::Relaxed);
        let mut queue = self.work.queue();
        queue.files.extend(files);
        queue.changing.extend(changing);
        drop(queue);
        self.work.rung.notify_one();
    }

    /// Nothing more comes. Waits until all is there, at most so long: what is left is sent with the recording.
    pub(crate) async fn end(mut self, patience: Duration) {
        self.work.queue().ended = true;
        self.work.rung.notify_one();
        if tokio::time::timeout(patience, &mut self.task).await.is_err() {
            let _ = self.given_up.send(true);
            // It only writes down how far it came.
            let _ = (&mut self.task).await;
        }
        let left = self.work.queue().files.len() as u64;
        self.work.counts.waiting.fetch_sub(left, Ordering::Relaxed);
    }
}

impl Work {
    async fn run(self: Arc<Self>, mut given_up: watch::Receiver<bool>) {
        let mut state = self.to.remote.nothing_yet();
        // Whoever erases the recording must know of the storage before anything lies there.
        if let Err(error) = self.note(&mut state, &mut Vec::new()).await {
            let recording = &self.to.egress;
            return tracing::error!(recording, %error, "its segments are not sent to the storage before it has ended");
        }
        let (mut pause, mut fresh) = (PAUSE, Vec::new());
        while let Some(next) = self.next().await {
            let sent = tokio::select! {
                sent = self.send(&next) => sent,
                _ = given_up.wait_for(|over| *over) => break,
            };
            match sent {
                Ok(upload) => {
                    pause = PAUSE;
                    if let (Next::File(name), Some(upload)) = (&next, upload) {
                        state.files.insert(name.clone(), upload);
                        fresh.push(name.clone());
                    }
                    self.done(next);
                }
                Err(error) => {
                    self.counts.failed.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(recording = self.to.egress, %error, "a file of a stream is not in the storage yet; it is tried again");
                    tokio::select! {
                        () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                        _ = given_up.wait_for(|over| *over) => break,
                    }
                }
            }
            if fresh.len() >= NOTED_EACH {
                self.note_or_say(&mut state, &mut fresh).await;
            }
        }
        self.note_or_say(&mut state, &mut fresh).await;
    }

    /// What is to be sent; `None` when nothing more comes.
    async fn next(&self) -> Option<Next> {
        loop {
            {
                let queue = self.queue();
                if let Some(name) = queue.files.front() {
                    return Some(Next::File(name.clone()));
                }
                if let Some((name, bytes)) = queue.changing.first_key_value() {
                    return Some(Next::Changing(name.clone(), bytes.clone()));
                }
                if queue.ended {
                    return None;
                }
            }
            self.rung.notified().await;
        }
    }

    fn done(&self, sent: Next) {
        let mut queue = self.queue();
        match sent {
            Next::File(_) => {
                queue.files.pop_front();
                drop(queue);
                self.counts.waiting.fetch_sub(1, Ordering::Relaxed);
            }
            Next::Changing(name, bytes) => {
                // It may have changed again meanwhile.
                if queue.changing.get(&name).is_some_and(|now| now.as_ptr() == bytes.as_ptr()) {
                    queue.changing.remove(&name);
                }
            }
        }
    }

    /// Sends one. What is not here any more is passed over.
    async fn send(&self, next: &Next) -> Result<Option<Upload>, RemoteError> {
        let Destination { remote, tenant, egress, folder } = &self.to;
        let (name, bytes) = match next {
            Next::File(name) => {
                let path = folder.join(name);
                match read_plain(path.clone()).await {
                    Ok(bytes) => (name, bytes),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                    Err(source) => return Err(RemoteError::File { path, source }),
                }
            }
            Next::Changing(name, bytes) => (name, bytes.clone()),
        };
        let (length, sha256) = (bytes.len() as u64, hex::encode(Sha256::digest(&bytes)));
        remote.put((tenant, egress), name, bytes).await?;
        self.counts.files.fetch_add(1, Ordering::Relaxed);
        self.counts.bytes.fetch_add(length, Ordering::Relaxed);
        Ok(Some(Upload { bytes: length, sha256, done: true, ..Upload::default() }))
    }

    async fn note_or_say(&self, state: &mut State, fresh: &mut Vec<String>) {
        if let Err(error) = self.note(state, fresh).await {
            let recording = &self.to.egress;
            tracing::warn!(recording, %error, "how much of it lies in the storage can't be written down");
        }
    }

    /// Writes down what lies there, and then takes away here what need not stay.
    async fn note(&self, state: &mut State, fresh: &mut Vec<String>) -> io::Result<()> {
        let (written, folder) = (state.clone(), self.to.folder.clone());
        let write = move || {
            std::fs::create_dir_all(&folder)?;
            written.write(&folder)
        };
        tokio::task::spawn_blocking(write).await.map_err(io::Error::other)??;
        for name in fresh.drain(..).filter(|_| !self.to.remote.settings().keep_local) {
            // One that can't be is found when the recording has ended.
            let _ = tokio::fs::remove_file(self.to.folder.join(name)).await;
        }
        Ok(())
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing in these short sections panics half way.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
