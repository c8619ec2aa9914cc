// SPDX-License-Identifier: EUPL-1.2
//! What can be wrong with bytes from outside, and with room for bytes of ours.

/// Why bytes were refused. Nothing of what was read counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// It ends too early.
    #[error("{what}: needs {need} bytes, has {have}")]
    TooShort {
        /// Which part.
        what: &'static str,
        /// Bytes needed.
        need: usize,
        /// Bytes there.
        have: usize,
    },
    /// The version bits are not 2 (RFC 3550 section 5.1).
    #[error("RTP version is {0}, must be 2")]
    Version(u8),
    /// A field holds what it may not hold.
    #[error("{what}: value {value} is not allowed")]
    Invalid {
        /// Which field.
        what: &'static str,
        /// What stands there.
        value: u32,
    },
    /// It refers to something that was not received.
    #[error("{what} was not received")]
    Missing {
        /// To what.
        what: &'static str,
    },
}

/// Why something could not be written. The buffer's content is then unspecified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The buffer is too small.
    #[error("needs room for {need} bytes, has {have}")]
    NoRoom {
        /// Bytes needed, at least.
        need: usize,
        /// Bytes there.
        have: usize,
    },
    /// A field can't hold the value.
    #[error("{what}: value {value} does not fit")]
    Unrepresentable {
        /// Which field.
        what: &'static str,
        /// What should stand there.
        value: usize,
    },
}

/// `bytes[at..at + N]`, or an error that names `what`.
pub(crate) fn take<const N: usize>(
    bytes: &[u8],
    at: usize,
    what: &'static str,
) -> Result<[u8; N], ParseError> {
    bytes.get(at..).and_then(|rest| rest.first_chunk::<N>()).copied().ok_or(ParseError::TooShort {
        what,
        need: at.saturating_add(N),
        have: bytes.len(),
    })
}

/// `bytes[at..at + len]`, or an error that names `what`.
pub(crate) fn slice<'a>(
    bytes: &'a [u8],
    at: usize,
    len: usize,
    what: &'static str,
) -> Result<&'a [u8], ParseError> {
    bytes.get(at..).and_then(|rest| rest.get(..len)).ok_or(ParseError::TooShort {
        what,
        need: at.saturating_add(len),
        have: bytes.len(),
    })
}
