// SPDX-License-Identifier: EUPL-1.2
//! Retransmission payloads (RFC 4588 section 4): the original sequence number, then the original payload.

use crate::WriteError;

/// Bytes that a retransmission is longer than its original.
pub const OVERHEAD_BYTES: usize = 2;

/// Splits a retransmission's payload in original sequence number and original payload. `None` for padding, which
/// carries neither.
pub fn split(payload: &[u8]) -> Option<(u16, &[u8])> {
    let (sequence, original) = payload.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*sequence), original))
}

/// Writes the payload of a retransmission. Returns its length.
pub fn write(buf: &mut [u8], original_sequence: u16, payload: &[u8]) -> Result<usize, WriteError> {
    let len = OVERHEAD_BYTES + payload.len();
    let have = buf.len();
    let buf = buf.get_mut(..len).ok_or(WriteError::NoRoom { need: len, have })?;
    buf[..2].copy_from_slice(&original_sequence.to_be_bytes());
    buf[2..].copy_from_slice(payload);
    Ok(len)
}
