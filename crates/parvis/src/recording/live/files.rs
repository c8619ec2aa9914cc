// SPDX-License-Identifier: EUPL-1.2
//! What a worker writes of a stream, as the server reads it.

use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use nix::fcntl::OFlag;
use parvis_jobs::Segment;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::sync::watch;

use super::super::is_plain;
use super::stream::{Fan, Splitter};

/// Bytes that are read of a stream at once.
const READ_BYTES: usize = 64 << 10;
/// The largest file that a worker may have written: a segment of ten seconds at 40 Mbit/s.
pub(super) const MAX_SEGMENT_BYTES: u64 = 50 << 20;

/// Reads the transport stream and gives it to the targets. It never waits for one of them.
pub(super) async fn read(mut stream: pipe::Receiver, fan: Arc<Fan>, mut draining: watch::Receiver<bool>) {
    let mut splitter = Splitter::default();
    let mut bytes = vec![0; READ_BYTES];
    loop {
        let count = if *draining.borrow() {
            match stream.try_read(&mut bytes) {
                Ok(count) => count,
                Err(_) => return,
            }
        } else {
            tokio::select! {
                read = stream.read(&mut bytes) => match read {
                    Ok(count) => count,
                    Err(error) => {
                        tracing::warn!(%error, "a stream can't be read any more");
                        return;
                    }
                },
                changed = draining.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                },
            }
        };
        if count == 0 {
            return;
        }
        for piece in splitter.push(bytes.get(..count).unwrap_or_default()) {
            fan.give(&piece);
        }
    }
}

/// A file that a worker told of. It may say what it wants: nothing but a plain file of this directory is read.
pub(super) async fn load(directory: &Path, told: &Segment) -> io::Result<Bytes> {
    if !is_plain(&told.name) || told.bytes > MAX_SEGMENT_BYTES {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    read_plain(directory.join(&told.name)).await
}

/// A file, and nothing that a name only leads to.
pub(in super::super) async fn read_plain(path: PathBuf) -> io::Result<Bytes> {
    let read = move || {
        use std::io::Read as _;
        let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
        let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut bytes = Vec::new();
        file.take(MAX_SEGMENT_BYTES).read_to_end(&mut bytes)?;
        Ok(Bytes::from(bytes))
    };
    tokio::task::spawn_blocking(read).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}
