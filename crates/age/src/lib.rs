// SPDX-License-Identifier: EUPL-1.2
//! Files sealed as age has them (<https://github.com/C2SP/C2SP/blob/main/age.md>, version 1), for X25519 recipients, over
//! aws-lc-rs. The `age` tool opens what [`Sealer`] writes; [`Opener`] reads what either wrote.
//!
//! A file is a header, in which a key of its own is wrapped for each recipient, and chunks of 64 KiB. Each chunk has its
//! number and whether it is the last in its nonce, so that none can be left out, moved, or cut off unnoticed.
//!
//! The media worker seals what it writes and opens it afterwards; the server makes a pair of keys for each film that is to be made.
//!
//! **The invariant:** no key is ever printed, and nothing that a file holds makes the reader panic.
//!
//! ```
//! use parvis_age::{Identity, Opener, Sealer};
//!
//! let identity = Identity::generate()?;
//! let (mut sealer, mut file) = Sealer::new(&[identity.recipient()])?;
//! sealer.seal(b"what was said", true, &mut file)?;
//! let mut opener = Opener::new(&file[..], &[identity])?;
//! assert_eq!(opener.next_chunk()?.as_deref().map(Vec::as_slice), Some(&b"what was said"[..]));
//! # Ok::<(), parvis_age::AgeError>(())
//! ```

mod bech32;
mod header;
mod stream;

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::agreement::{PrivateKey, X25519};
use aws_lc_rs::encoding::{AsBigEndian, Curve25519SeedBin};
use zeroize::Zeroize;

pub use stream::{CHUNK_BYTES, Opener, SEALED_CHUNK_BYTES, Sealer};

/// Recipients of one file. Each adds some 100 bytes to every file.
pub const MAX_RECIPIENTS: usize = 16;

const RECIPIENT_PREFIX: &str = "age";
const IDENTITY_PREFIX: &str = "age-secret-key-";
const KEY_BYTES: usize = 32;

/// Why a file could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum AgeError {
    /// Text that is no recipient or identity.
    #[error("not an age {what}: {reason}; `age-keygen` makes both")]
    Key {
        /// Recipient or identity.
        what: &'static str,
        /// What is wrong with it. Never the text itself: it may be a secret.
        reason: &'static str,
    },
    /// None, or too many.
    #[error("{have} recipients; 1 to {MAX_RECIPIENTS} are possible")]
    Recipients {
        /// How many.
        have: usize,
    },
    /// No age file of version 1, or a damaged one.
    #[error("not an age file: {0}")]
    Header(&'static str),
    /// None of the identities is one of its recipients'.
    #[error("sealed for other recipients: none of the {tried} identities opens it")]
    NoMatch {
        /// How many were tried.
        tried: usize,
    },
    /// The chunk's tag does not hold.
    #[error("chunk {chunk} is damaged, or was put there by someone without the key")]
    Damaged {
        /// Which, from 0.
        chunk: u64,
    },
    /// The file ends before its last chunk. What came before it is whole.
    #[error("cut off after {chunks} whole chunks")]
    Truncated {
        /// Chunks that were read.
        chunks: u64,
    },
    /// The file can't be read.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The cryptographic library refused.
    #[error("the cryptographic library refused an operation that can't fail")]
    Crypto,
}

impl From<aws_lc_rs::error::Unspecified> for AgeError {
    fn from(_: aws_lc_rs::error::Unspecified) -> AgeError {
        AgeError::Crypto
    }
}

/// Whom a file is sealed for: an X25519 public key, `age1…` in text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipient([u8; KEY_BYTES]);

impl FromStr for Recipient {
    type Err = AgeError;

    fn from_str(text: &str) -> Result<Recipient, AgeError> {
        let key = bech32::decode(RECIPIENT_PREFIX, text);
        Ok(Recipient(key.map_err(|reason| AgeError::Key { what: "recipient", reason })?))
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bech32::encode(RECIPIENT_PREFIX, &self.0))
    }
}

/// Who can open a file: an X25519 private key, `AGE-SECRET-KEY-1…` in text. Never printed; wiped when dropped.
pub struct Identity {
    key: [u8; KEY_BYTES],
    public: [u8; KEY_BYTES],
}

impl Identity {
    /// A new one.
    pub fn generate() -> Result<Identity, AgeError> {
        let key: Curve25519SeedBin<'_> = PrivateKey::generate(&X25519)?.as_be_bytes()?;
        let key = *key.as_ref().first_chunk().ok_or(AgeError::Crypto)?;
        Identity::new(key)
    }

    /// Its public half.
    pub fn recipient(&self) -> Recipient {
        Recipient(self.public)
    }

    /// The secret in text, for a file that only its owner reads.
    pub fn to_secret_text(&self) -> String {
        bech32::encode(IDENTITY_PREFIX, &self.key).to_uppercase()
    }

    /// All identities of a file as `age-keygen` writes it: one a line, comments after `#`.
    pub fn read_all(text: &str) -> Result<Vec<Identity>, AgeError> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(str::parse).collect()
    }

    fn new(key: [u8; KEY_BYTES]) -> Result<Identity, AgeError> {
        let public = PrivateKey::from_private_key(&X25519, &key).map_err(|_| AgeError::Crypto)?;
        let public = public.compute_public_key()?;
        let public = *public.as_ref().first_chunk().ok_or(AgeError::Crypto)?;
        Ok(Identity { key, public })
    }
}

impl FromStr for Identity {
    type Err = AgeError;

    fn from_str(text: &str) -> Result<Identity, AgeError> {
        let key = bech32::decode(IDENTITY_PREFIX, text);
        Identity::new(key.map_err(|reason| AgeError::Key { what: "identity", reason })?)
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity(of {})", self.recipient())
    }
}

#[cfg(test)]
mod tests;
