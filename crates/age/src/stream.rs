// SPDX-License-Identifier: EUPL-1.2
//! The payload: chunks of 64 KiB, each sealed by ChaCha20-Poly1305 (the STREAM construction).

use std::fmt;
use std::io::{BufRead, Read};

use aws_lc_rs::aead::{Aad, LessSafeKey, Nonce};
use aws_lc_rs::rand;
use zeroize::Zeroizing;

use crate::header::{self, FileKey};
use crate::{AgeError, Identity, Recipient};

/// Plain bytes of each chunk but the last.
pub const CHUNK_BYTES: usize = 64 * 1024;
/// The same, sealed.
pub const SEALED_CHUNK_BYTES: usize = CHUNK_BYTES + TAG_BYTES;

const TAG_BYTES: usize = 16;
const NONCE_BYTES: usize = 16;

/// Seals one file.
pub struct Sealer {
    key: LessSafeKey,
    chunk: u64,
    ended: bool,
}

impl Sealer {
    /// A new file for `recipients`, and the bytes that it begins with.
    pub fn new(recipients: &[Recipient]) -> Result<(Sealer, Vec<u8>), AgeError> {
        let mut key = FileKey::default();
        rand::fill(&mut key[..])?;
        let mut head = header::write(&key, recipients)?;
        let mut nonce = [0; NONCE_BYTES];
        rand::fill(&mut nonce)?;
        head.extend_from_slice(&nonce);
        Ok((Sealer { key: header::payload_key(&key, &nonce)?, chunk: 0, ended: false }, head))
    }

    /// Appends the next chunk, sealed, to `out`. Each must be full but the `last`, which may be empty only when it is
    /// the only one; after the last one there is none.
    pub fn seal(&mut self, plain: &[u8], last: bool, out: &mut Vec<u8>) -> Result<(), AgeError> {
        let fits = if last {
            plain.len() <= CHUNK_BYTES && (self.chunk == 0 || !plain.is_empty())
        } else {
            plain.len() == CHUNK_BYTES
        };
        if self.ended || !fits {
            return Err(AgeError::Crypto);
        }
        self.ended = last;
        let start = out.len();
        out.extend_from_slice(plain);
        let sealed = out.get_mut(start..).ok_or(AgeError::Crypto)?;
        let tag = self.key.seal_in_place_separate_tag(nonce(self.chunk, last), Aad::empty(), sealed)?;
        out.extend_from_slice(tag.as_ref());
        self.chunk += 1;
        Ok(())
    }

    /// Whether the last chunk was sealed.
    pub fn has_ended(&self) -> bool {
        self.ended
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer")
            .field("chunk", &self.chunk)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

/// Opens one file.
pub struct Opener<R> {
    reader: R,
    key: LessSafeKey,
    chunk: u64,
    ended: bool,
}

impl<R: BufRead> Opener<R> {
    /// Reads the header.
    pub fn new(mut reader: R, identities: &[Identity]) -> Result<Opener<R>, AgeError> {
        let key = header::read(&mut reader, identities)?;
        let mut nonce = [0; NONCE_BYTES];
        match reader.read_exact(&mut nonce) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                return Err(AgeError::Truncated { chunks: 0 });
            }
            Err(error) => return Err(error.into()),
        }
        Ok(Opener { reader, key: header::payload_key(&key, &nonce)?, chunk: 0, ended: false })
    }

    /// The next chunk; `None` after the last one. [`AgeError::Truncated`] says that the file ends without one.
    pub fn next_chunk(&mut self) -> Result<Option<Zeroizing<Vec<u8>>>, AgeError> {
        if self.ended {
            return Ok(None);
        }
        let mut sealed = Vec::with_capacity(SEALED_CHUNK_BYTES);
        self.reader.by_ref().take(SEALED_CHUNK_BYTES as u64).read_to_end(&mut sealed)?;
        let full = sealed.len() == SEALED_CHUNK_BYTES;
        let at_end = self.reader.fill_buf()?.is_empty();
        // A full chunk at the end may be the last one, or the end was cut off behind it.
        let attempts: &[bool] = match (full, at_end) {
            (true, false) => &[false],
            (true, true) => &[true, false],
            (false, _) => &[true],
        };
        for last in attempts {
            let mut plain = Zeroizing::new(sealed.clone());
            let opened = self.key.open_in_place(nonce(self.chunk, *last), Aad::empty(), &mut plain);
            let Ok(len) = opened.map(|opened| opened.len()) else { continue };
            if *last && len == 0 && self.chunk > 0 {
                break;
            }
            plain.truncate(len);
            self.chunk += 1;
            self.ended = *last;
            return Ok(Some(plain));
        }
        // What is no whole chunk may have been cut off, or changed: there is no telling.
        if full {
            Err(AgeError::Damaged { chunk: self.chunk })
        } else {
            Err(AgeError::Truncated { chunks: self.chunk })
        }
    }
}

impl<R> fmt::Debug for Opener<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener")
            .field("chunk", &self.chunk)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

/// Eleven bytes of counter, one that says whether it is the last chunk.
fn nonce(chunk: u64, last: bool) -> Nonce {
    let mut nonce = [0; 12];
    nonce[3..11].copy_from_slice(&chunk.to_be_bytes());
    nonce[11] = last.into();
    Nonce::assume_unique_for_key(nonce)
}
