// SPDX-License-Identifier: EUPL-1.2
//! A file that is sealed as it grows, and of which a killed process loses next to nothing.
//!
//! age seals in chunks of 64 KiB, and of a chunk that isn't whole nothing can be read: of speech that is ten seconds and
//! more. So what the open chunk holds is sealed again and again into a small file beside it, the *tail*, which is an age
//! file of its own each time (its own key, so that no nonce is used twice). It has two slots that take turns: one is
//! always whole. When the file is finished, the tail goes.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;

use crate::age::{AgeError, CHUNK_BYTES, Recipient, Sealer};

/// Where a tail's second slot begins: a sealed chunk, and room for a header of 16 recipients.
pub const TAIL_SLOT_BYTES: u64 = 80 * 1024;
/// What each slot's content begins with.
pub const TAIL_MAGIC: &[u8; 8] = b"PVTAIL\0\x01";
/// Magic, running number, offset.
pub const TAIL_HEAD_BYTES: usize = 24;
/// What a name ends with when the file is sealed.
pub const SEALED_SUFFIX: &str = ".age";
/// What the tail's name ends with, after the file's own name.
pub const TAIL_SUFFIX: &str = ".tail";

/// What is known of a file that is finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Its name in the directory.
    pub name: String,
    /// Bytes on disk.
    pub bytes: u64,
    /// SHA-256 of what lies on disk, in hex.
    pub sha256: String,
}

/// A file that grows.
pub struct GrowingFile {
    name: String,
    path: PathBuf,
    file: File,
    /// What was written and is whole.
    written: u64,
    hash: digest::Context,
    seal: Option<Seal>,
    /// Bytes for the disk that were not taken yet: a full disk may take them later.
    pending: Vec<u8>,
}

struct Seal {
    recipients: Vec<Recipient>,
    sealer: Sealer,
    /// The open chunk.
    plain: Vec<u8>,
    /// Plain bytes before the open chunk.
    offset: u64,
    tail: File,
    tail_path: PathBuf,
    tail_number: u64,
    /// Plain bytes of the open chunk that the tail has.
    in_tail: usize,
}

impl GrowingFile {
    /// A new file `name` in `directory`; `recipients` seal it (and `.age` is added to its name), none leave it in the
    /// clear. A name that exists is an error.
    pub fn create(directory: &Path, name: &str, recipients: &[Recipient]) -> Result<GrowingFile, AgeError> {
        let sealed = !recipients.is_empty();
        let name = if sealed { format!("{name}{SEALED_SUFFIX}") } else { name.to_owned() };
        let path = directory.join(&name);
        let file = create(&path)?;
        let (seal, pending) = if sealed {
            let (sealer, head) = Sealer::new(recipients)?;
            let tail_path = directory.join(format!("{name}{TAIL_SUFFIX}"));
            let tail = create(&tail_path)?;
            let recipients = recipients.to_vec();
            let plain = Vec::with_capacity(CHUNK_BYTES);
            let seal =
                Seal { recipients, sealer, plain, offset: 0, tail, tail_path, tail_number: 0, in_tail: 0 };
            (Some(seal), head)
        } else {
            (None, Vec::new())
        };
        let hash = digest::Context::new(&digest::SHA256);
        let mut file = GrowingFile { name, path, file, written: 0, hash, seal, pending };
        file.flush_pending()?;
        Ok(file)
    }

    /// Its name in the directory.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes on disk, the tail's included.
    pub fn bytes_on_disk(&self) -> u64 {
        let tail = self
            .seal
            .as_ref()
            .map_or(0, |seal| if seal.tail_number > 1 { TAIL_SLOT_BYTES } else { 0 } + seal.in_tail as u64);
        self.written + tail
    }

    /// Adds bytes. After an error nothing of them is lost: [`GrowingFile::sync`] or [`GrowingFile::finish`] tries again.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), AgeError> {
        let Some(seal) = &mut self.seal else {
            self.pending.extend_from_slice(bytes);
            return Ok(self.flush_pending()?);
        };
        while !bytes.is_empty() {
            // A full chunk stays open until something follows it: it may be the last.
            if seal.plain.len() == CHUNK_BYTES {
                seal.sealer.seal(&seal.plain, false, &mut self.pending)?;
                seal.offset += CHUNK_BYTES as u64;
                seal.plain.clear();
                seal.in_tail = 0;
            }
            let room = (CHUNK_BYTES - seal.plain.len()).min(bytes.len());
            let (now, later) = bytes.split_at(room);
            seal.plain.extend_from_slice(now);
            bytes = later;
        }
        Ok(self.flush_pending()?)
    }

    /// From here on a killed process loses nothing of what was written. (A machine that loses its power may: the disk is
    /// asked to keep files when the recording ends. Waiting for it each time would lose packets instead.)
    pub fn sync(&mut self) -> Result<(), AgeError> {
        self.flush_pending()?;
        let Some(seal) = self.seal.as_mut().filter(|seal| seal.in_tail < seal.plain.len()) else {
            return Ok(());
        };
        seal.tail_number += 1;
        let mut content = TAIL_MAGIC.to_vec();
        content.extend(seal.tail_number.to_be_bytes());
        content.extend(seal.offset.to_be_bytes());
        // An age chunk has 64 KiB: what the head takes goes over into a second one.
        content.extend_from_slice(&seal.plain);
        let (mut sealer, mut sealed) = Sealer::new(&seal.recipients)?;
        let chunks = content.len().div_ceil(CHUNK_BYTES);
        for (place, chunk) in content.chunks(CHUNK_BYTES).enumerate() {
            sealer.seal(chunk, place + 1 == chunks, &mut sealed)?;
        }
        let mut slot = u32::try_from(sealed.len()).map_err(|_| AgeError::Crypto)?.to_be_bytes().to_vec();
        slot.append(&mut sealed);
        let at = (seal.tail_number & 1) * TAIL_SLOT_BYTES;
        seal.tail.write_all_at(&slot, at)?;
        seal.in_tail = seal.plain.len();
        Ok(())
    }

    /// Writes what is left, and removes the tail. After an error it may be tried again.
    pub fn finish(&mut self) -> Result<Finished, AgeError> {
        if let Some(seal) = &mut self.seal
            && !seal.sealer.has_ended()
        {
            seal.sealer.seal(&seal.plain, true, &mut self.pending)?;
        }
        self.flush_pending()?;
        if let Some(seal) = &self.seal {
            std::fs::remove_file(&seal.tail_path)?;
        }
        let sha256 = hex::encode(self.hash.clone().finish());
        Ok(Finished { name: self.name.clone(), bytes: self.written, sha256 })
    }

    fn flush_pending(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.file.write_all_at(&self.pending, self.written) {
            // Half a chunk is of no use to anybody, and would be in the way of a whole one.
            let _ = self.file.set_len(self.written);
            return Err(error);
        }
        self.written += self.pending.len() as u64;
        self.hash.update(&self.pending);
        self.pending.clear();
        Ok(())
    }
}

impl std::fmt::Debug for GrowingFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GrowingFile")
            .field("path", &self.path)
            .field("written", &self.written)
            .field("sealed", &self.seal.is_some())
            .finish_non_exhaustive()
    }
}

/// A new file that only its owner reads.
fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| named(path, &error))
}

/// The same error with the file's name in it.
pub(crate) fn named(path: &Path, error: &io::Error) -> io::Error {
    // The raw number is kept where callers look at it: a full disk is told by it.
    match error.raw_os_error() {
        Some(number) if is_full(error) => io::Error::from_raw_os_error(number),
        _ => io::Error::new(error.kind(), format!("{}: {error}", path.display())),
    }
}

/// Whether the disk, or the share of whoever owns the file, is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
