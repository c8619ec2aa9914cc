// SPDX-License-Identifier: EUPL-1.2
//! Threads that open connections for signalling, because that waits for the server, and wake the one that goes on.

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Instant;

use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::signalling::{Guest, Opened, Signalling};
use crate::{LoadError, Target};

/// Opens connections, as many at the same time as there are threads.
pub(super) struct Door {
    guests: mpsc::Sender<(usize, Guest)>,
    opened: mpsc::Receiver<Opened>,
    wake: Arc<EventFd>,
}

impl Door {
    /// A door with so many threads behind it. They end with it.
    pub(super) fn new(target: &Target, threads: usize) -> Result<Door, LoadError> {
        let wake = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC);
        let wake = Arc::new(wake.map_err(|errno| LoadError::System("make an eventfd", errno.into()))?);
        let (guests, waiting) = mpsc::channel();
        let (sender, opened) = mpsc::channel();
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..threads {
            let (waiting, sender, wake, target) =
                (waiting.clone(), sender.clone(), wake.clone(), target.clone());
            std::thread::spawn(move || {
                while let Some((client, guest)) = next(&waiting) {
                    let begun = Instant::now();
                    let opened = Opened { client, begun, result: Signalling::open(&target, &guest) };
                    if sender.send(opened).is_err() || wake.write(1).is_err() {
                        return;
                    }
                }
            });
        }
        Ok(Door { guests, opened, wake })
    }

    /// Lets one in, as soon as a thread is free.
    pub(super) fn let_in(&self, client: usize, guest: &Guest) {
        // The threads live as long as this.
        let _ = self.guests.send((client, guest.clone()));
    }

    /// The next connection that was opened, if one was.
    pub(super) fn opened(&self) -> Option<Opened> {
        self.opened.try_recv().ok()
    }

    /// Readable when connections may have been opened, until `hear`.
    pub(super) fn wake(&self) -> &EventFd {
        &self.wake
    }

    /// Makes `wake` unreadable again.
    pub(super) fn hear(&self) {
        // Nothing to read is what we want.
        let _ = self.wake.read();
    }
}

fn next(waiting: &Mutex<mpsc::Receiver<(usize, Guest)>>) -> Option<(usize, Guest)> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}
