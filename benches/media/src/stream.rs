// SPDX-License-Identifier: EUPL-1.2
//! A live film, taken out of its worker's FIFO as the server does.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use parvis_jobs::{LIVE_DIRECTORY, Live, LiveLayout, STREAM};

use crate::Fallible;

/// Reads until it is stopped.
pub(crate) struct Stream {
    reader: JoinHandle<std::io::Result<()>>,
    stopped: Arc<AtomicBool>,
}

/// What is asked for: everybody in tiles.
pub(crate) fn live((width, height): (u32, u32), rate: u32, kbits: u32) -> Live {
    Live {
        layout: LiveLayout::Grid,
        subject: None,
        subject_track: None,
        width,
        height,
        rate,
        kbits,
        title: None,
        clock: false,
        watermark: None,
        hls: None,
        stream: true,
        images: None,
        first_sequence: 0,
        first_image: 0,
    }
}

impl Stream {
    /// Makes the FIFO in the recording's directory, and writes to `film` what comes out of it.
    pub(crate) fn new(recording: &Path, film: &Path) -> Fallible<Stream> {
        let folder = recording.join(LIVE_DIRECTORY);
        DirBuilder::new().mode(0o700).create(&folder)?;
        let fifo = folder.join(STREAM);
        mkfifo(&fifo, Mode::from_bits_truncate(0o600))?;
        let nonblocking = nix::fcntl::OFlag::O_NONBLOCK.bits();
        let mut from = OpenOptions::new().read(true).custom_flags(nonblocking).open(&fifo)?;
        let mut to = File::create(film)?;
        let stopped = Arc::new(AtomicBool::new(false));
        let is_stopped = Arc::clone(&stopped);
        let reader = std::thread::spawn(move || {
            let mut bytes = vec![0; 64 << 10];
            while !is_stopped.load(Ordering::Acquire) {
                match from.read(&mut bytes) {
                    // Nobody writes yet, or nothing new.
                    Ok(0) => sleep(Duration::from_millis(10)),
                    Ok(count) => to.write_all(bytes.get(..count).unwrap_or_default())?,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => sleep(Duration::from_millis(10)),
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        });
        Ok(Stream { reader, stopped })
    }

    pub(crate) fn end(self, recording: &Path) -> Fallible<()> {
        self.stopped.store(true, Ordering::Release);
        self.reader.join().map_err(|_| "what reads the film broke")??;
        Ok(fs::remove_dir_all(recording.join(LIVE_DIRECTORY))?)
    }
}
