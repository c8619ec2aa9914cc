// SPDX-License-Identifier: EUPL-1.2
//! The way out of a transport stream: a FIFO that somebody reads, or not. Whole access units go in or none.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

/// What may wait for the reader: two seconds of 8 Mbit/s.
const MAX_PENDING: usize = 2 * 1024 * 1024;
/// What the FIFO itself should hold.
const PIPE_BYTES: i32 = 1024 * 1024;
/// Between two looks for a reader.
const RETRY: Duration = Duration::from_millis(500);

pub(super) struct Fifo {
    path: PathBuf,
    file: Option<File>,
    next_try: Instant,
    pending: Vec<u8>,
    /// Until a key frame comes.
    skips: bool,
    /// Whether this reader has had a key frame.
    begun: bool,
    dropped: u64,
}

impl Fifo {
    pub(super) fn new(path: PathBuf) -> Fifo {
        Fifo {
            path,
            file: None,
            next_try: Instant::now(),
            pending: Vec::new(),
            skips: true,
            begun: false,
            dropped: 0,
        }
    }

    /// Adds an access unit. `starts` says that a reader can begin with it.
    pub(super) fn add(&mut self, unit: &[u8], starts: bool) {
        self.open();
        if self.file.is_none() {
            return;
        }
        self.write();
        if self.pending.len() + unit.len() > MAX_PENDING {
            self.skips = true;
        } else if starts {
            (self.skips, self.begun) = (false, true);
        }
        if self.skips {
            self.dropped += u64::from(self.begun);
            return;
        }
        self.pending.extend(unit);
        self.write();
    }

    /// What was left out since this was last asked, because the reader was too slow.
    pub(super) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    fn open(&mut self) {
        if self.file.is_some() || Instant::now() < self.next_try {
            return;
        }
        self.next_try = Instant::now() + RETRY;
        // Without a reader this fails, and does not wait for one.
        let opened = OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(&self.path);
        if let Ok(file) = opened {
            let _ = fcntl(&file, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES));
            (self.file, self.skips, self.begun) = (Some(file), true, false);
            self.pending.clear();
            self.dropped = 0;
        }
    }

    fn write(&mut self) {
        let Some(file) = &mut self.file else { return };
        let mut written = 0;
        while let Some(rest) = self.pending.get(written..).filter(|rest| !rest.is_empty()) {
            match file.write(rest) {
                Ok(0) => break,
                Ok(bytes) => written += bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => {
                    // The reader went. Another one begins with a key frame.
                    self.file = None;
                    self.pending.clear();
                    return;
                }
            }
        }
        self.pending.drain(..written);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    #[test]
    fn a_reader_that_stops_gets_whole_units_and_goes_on_with_a_key_frame() {
        let path = std::env::temp_dir().join(format!("parvis-fifo-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        let mut fifo = Fifo::new(path.clone());
        fifo.add(&[9; 100], true);
        assert_eq!(fifo.take_dropped(), 0, "nobody reads, and nothing is missed");
        let mut reader = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap();
        fifo.next_try = Instant::now();
        let unit = |number: u8| vec![number; 100_000];
        fifo.add(&unit(200), false);
        for number in 0..60 {
            fifo.add(&unit(number), number == 0);
        }
        assert!((24..=42).contains(&fifo.dropped), "3 MiB are held at most: {}", fifo.dropped);
        let (mut read, mut buf) = (Vec::new(), vec![0; 1 << 20]);
        let mut drain = |fifo: &mut Fifo| {
            loop {
                match reader.read(&mut buf) {
                    Ok(bytes) if bytes > 0 => read.extend_from_slice(&buf[..bytes]),
                    _ if fifo.pending.is_empty() => break,
                    _ => {}
                }
                fifo.write();
            }
        };
        drain(&mut fifo);
        fifo.add(&unit(100), false);
        fifo.add(&unit(101), true);
        drain(&mut fifo);
        assert_eq!(read.len() % 100_000, 0);
        let units: Vec<u8> = read.chunks(100_000).map(|unit| unit[0]).collect();
        assert!(read.chunks(100_000).all(|unit| unit.iter().all(|byte| *byte == unit[0])));
        assert_eq!(units.last(), Some(&101));
        assert!(!units.contains(&100) && !units.contains(&200) && units[0] == 0, "{units:?}");
        std::fs::remove_file(&path).unwrap();
    }
}
