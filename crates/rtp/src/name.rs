// SPDX-License-Identifier: EUPL-1.2
//! Short names that travel in SDP and in header extensions.

use std::fmt;

/// The longest name kept, in bytes. RFC 8843 section 15 bounds a MID only by the header extension that carries
/// it (16 bytes in the one-byte form); browsers send one to four.
pub const MAX_NAME_BYTES: usize = 32;

/// A MID (RFC 8843) or RID (RFC 8851): a few visible ASCII bytes, kept in place and freely copied.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    len: u8,
    bytes: [u8; MAX_NAME_BYTES],
}

impl Name {
    /// Takes `text` when it has 1 to [`MAX_NAME_BYTES`] visible ASCII bytes.
    pub fn new(text: &str) -> Option<Name> {
        Name::from_bytes(text.as_bytes())
    }

    /// As [`Name::new`], from bytes off the wire.
    pub fn from_bytes(text: &[u8]) -> Option<Name> {
        if text.is_empty() || text.len() > MAX_NAME_BYTES || !text.iter().all(u8::is_ascii_graphic) {
            return None;
        }
        let mut bytes = [0; MAX_NAME_BYTES];
        bytes[..text.len()].copy_from_slice(text);
        Some(Name { len: text.len() as u8, bytes })
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// The name as it stands on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Identifies a media section within one peer connection (RFC 8843).
pub type Mid = Name;
/// Identifies one encoding within a media section (RFC 8851): `q`, `h`, `f` with most clients.
pub type Rid = Name;
