// SPDX-License-Identifier: EUPL-1.2
//! Redundant audio (RFC 2198): one packet with a primary block and earlier ones again.

use crate::error::{slice, take};
use crate::{ParseError, WriteError};

const WHAT: &str = "RED payload";

/// The highest timestamp offset: 14 bits.
pub const MAX_OFFSET: u16 = 0x3fff;
/// The longest redundant block: 10 bits.
pub const MAX_BLOCK_BYTES: usize = 0x3ff;

/// A block of a RED payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block<'a> {
    /// What it carries.
    pub payload_type: u8,
    /// How far its timestamp is before the packet's; 0 for the primary block.
    pub timestamp_offset: u16,
    /// Its payload.
    pub payload: &'a [u8],
}

/// A RED payload, checked to be whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Red<'a> {
    heads: &'a [u8],
    redundant: &'a [u8],
    /// The newest block: what a receiver without RED would get.
    pub primary: Block<'a>,
}

impl<'a> Red<'a> {
    /// Reads the headers of all blocks.
    pub fn parse(payload: &'a [u8]) -> Result<Red<'a>, ParseError> {
        let (mut at, mut redundant_len) = (0, 0);
        loop {
            let [first] = take(payload, at, WHAT)?;
            if first & 0x80 == 0 {
                let body = &payload[at + 1..];
                let redundant = slice(body, 0, redundant_len, WHAT)?;
                let payload_type = first & 0x7f;
                let primary = Block { payload_type, timestamp_offset: 0, payload: &body[redundant_len..] };
                return Ok(Red { heads: &payload[..at], redundant, primary });
            }
            redundant_len += Head::read(take(payload, at, WHAT)?).len;
            at += 4;
        }
    }

    /// The redundant blocks, oldest first.
    pub fn redundant(&self) -> impl Iterator<Item = Block<'a>> + 'a {
        let mut rest = self.redundant;
        self.heads.chunks_exact(4).map_while(move |head| {
            let head = Head::read(*head.first_chunk()?);
            let (payload, after) = rest.split_at_checked(head.len)?;
            rest = after;
            Some(Block { payload_type: head.payload_type, timestamp_offset: head.offset, payload })
        })
    }
}

struct Head {
    payload_type: u8,
    offset: u16,
    len: usize,
}

impl Head {
    fn read(bytes: [u8; 4]) -> Head {
        let word = u32::from_be_bytes(bytes);
        Head {
            payload_type: (word >> 24) as u8 & 0x7f,
            offset: (word >> 10) as u16 & MAX_OFFSET,
            len: word as usize & MAX_BLOCK_BYTES,
        }
    }
}

/// How long a RED payload of `redundant` blocks and a primary one of `primary` bytes is.
pub fn len(redundant: &[Block<'_>], primary: usize) -> usize {
    let bodies: usize = redundant.iter().map(|block| block.payload.len()).sum();
    4 * redundant.len() + 1 + bodies + primary
}

/// Writes a RED payload of `redundant` blocks, oldest first, and a primary one. Returns its length.
pub fn write(
    buf: &mut [u8],
    redundant: &[Block<'_>],
    payload_type: u8,
    primary: &[u8],
) -> Result<usize, WriteError> {
    let need = len(redundant, primary.len());
    let have = buf.len();
    let buf = buf.get_mut(..need).ok_or(WriteError::NoRoom { need, have })?;
    let mut body_at = 4 * redundant.len() + 1;
    for (place, block) in redundant.iter().enumerate() {
        if block.payload.len() > MAX_BLOCK_BYTES {
            return Err(WriteError::Unrepresentable { what: "RED block length", value: block.payload.len() });
        }
        if block.timestamp_offset > MAX_OFFSET {
            let value = block.timestamp_offset.into();
            return Err(WriteError::Unrepresentable { what: "RED timestamp offset", value });
        }
        let word = (0x80 | u32::from(block.payload_type & 0x7f)) << 24
            | u32::from(block.timestamp_offset) << 10
            | block.payload.len() as u32;
        buf[4 * place..4 * place + 4].copy_from_slice(&word.to_be_bytes());
        buf[body_at..body_at + block.payload.len()].copy_from_slice(block.payload);
        body_at += block.payload.len();
    }
    buf[4 * redundant.len()] = payload_type & 0x7f;
    buf[body_at..].copy_from_slice(primary);
    Ok(need)
}
