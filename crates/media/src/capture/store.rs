// SPDX-License-Identifier: EUPL-1.2
//! The directory of one recording: how much of it is used, and what is kept back for a full disk.

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;
use parvis_jobs::Quota;

use super::file::{GrowingFile, TAIL_SUFFIX, named};
use crate::age::{AgeError, Recipient};

/// Room that is taken at the start, and given back when the disk is full, so that files can be finished then.
const RESERVE: &str = ".reserve";
/// For each track that may be open: its last chunk. And the manifest, twice.
const RESERVE_BASE_BYTES: u64 = 256 * 1024;
const RESERVE_TRACK_BYTES: u64 = 72 * 1024;

/// The directory of one recording.
#[derive(Debug)]
pub(super) struct Store {
    directory: PathBuf,
    recipients: Vec<Recipient>,
    quota: Quota,
    /// Bytes of finished files, and of those that earlier workers left.
    settled: u64,
    reserve: bool,
}

impl Store {
    /// Takes the directory, which must exist, and whatever is in it from before.
    pub(super) fn open(directory: &Path, recipients: Vec<Recipient>, quota: Quota) -> io::Result<Store> {
        // Of a worker that was killed.
        let reserve = directory.join(RESERVE);
        if let Err(error) = fs::remove_file(&reserve)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(named(&reserve, &error));
        }
        let mut settled = 0;
        for entry in fs::read_dir(directory).map_err(|error| named(directory, &error))? {
            settled += entry?.metadata()?.len();
        }
        let mut store = Store { directory: directory.to_owned(), recipients, quota, settled, reserve: false };
        let tracks = if quota.tracks == 0 { 16 } else { u64::from(quota.tracks.min(64)) };
        store.take_reserve(RESERVE_BASE_BYTES + tracks * RESERVE_TRACK_BYTES)?;
        Ok(store)
    }

    /// The directory.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// A new file: `stem`, a number of three digits or more that is free, `suffix`.
    pub(super) fn create(&self, stem: &str, suffix: &str) -> Result<GrowingFile, AgeError> {
        for number in 0..=MAX_NUMBER {
            let name = format!("{stem}-{number:03}{suffix}");
            match GrowingFile::create(&self.directory, &name, &self.recipients) {
                Err(AgeError::Io(error)) if error.kind() == io::ErrorKind::AlreadyExists => {}
                other => return other,
            }
        }
        let what =
            format!("{stem}: {MAX_NUMBER} files of this name are there; end the recording and begin another");
        Err(AgeError::Io(io::Error::new(io::ErrorKind::AlreadyExists, what)))
    }

    /// Takes a file away, with its tail. One that is not there is none.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        for name in [name, &format!("{name}{TAIL_SUFFIX}")] {
            let path = self.directory.join(name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(named(&path, &error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// A file was finished, or is left as it is.
    pub(super) fn settle(&mut self, bytes: u64) {
        self.settled += bytes;
    }

    /// Bytes in the directory, with `open` of files that are open.
    pub(super) fn used(&self, open: u64) -> u64 {
        self.settled + open
    }

    /// Whether the quota is used, with `open` bytes of files that are open.
    pub(super) fn quota_reached(&self, open: u64) -> bool {
        self.quota.bytes > 0 && self.used(open) >= self.quota.bytes
    }

    /// Whether less is free on the file system than must stay free.
    pub(super) fn is_nearly_full(&self) -> bool {
        if self.quota.keep_free_bytes == 0 {
            return false;
        }
        // A file system that does not tell is not full.
        statvfs(&self.directory).is_ok_and(|stat| {
            stat.blocks_available().saturating_mul(stat.fragment_size()) < self.quota.keep_free_bytes
        })
    }

    /// Gives back what was kept for the end.
    pub(super) fn release_reserve(&mut self) {
        if std::mem::take(&mut self.reserve) {
            let _ = fs::remove_file(self.directory.join(RESERVE));
        }
    }

    /// Written, and not only asked for: then it is there, whatever the file system.
    fn take_reserve(&mut self, bytes: u64) -> io::Result<()> {
        let path = self.directory.join(RESERVE);
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let mut file = file.map_err(|error| named(&path, &error))?;
        self.reserve = true;
        io::copy(&mut io::Read::take(io::repeat(0), bytes), &mut file)
            .map_err(|error| named(&path, &error))?;
        Ok(())
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.release_reserve();
    }
}

/// Parts of one track, and runs of one job.
const MAX_NUMBER: u32 = 9999;
