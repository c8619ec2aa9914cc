// SPDX-License-Identifier: EUPL-1.2
//! Bits, most significant first, read and written.

use crate::{ParseError, WriteError};

/// Reads bits from bytes; what it is about stands in its errors.
#[derive(Debug, Clone)]
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
    what: &'static str,
}

impl<'a> BitReader<'a> {
    pub(crate) fn new(bytes: &'a [u8], what: &'static str) -> BitReader<'a> {
        BitReader { bytes, at: 0, what }
    }

    pub(crate) fn bit(&mut self) -> Result<bool, ParseError> {
        Ok(self.bits(1)? != 0)
    }

    /// The next `count` bits, 32 at most.
    pub(crate) fn bits(&mut self, count: u32) -> Result<u32, ParseError> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.bytes.get(self.at / 8).ok_or(ParseError::TooShort {
                what: self.what,
                need: self.at / 8 + 1,
                have: self.bytes.len(),
            })?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Ok(value)
    }

    /// A value below `limit` in the shortest code (AV1 RTP specification, appendix A.8.2, `ns(n)`).
    pub(crate) fn below(&mut self, limit: u32) -> Result<u32, ParseError> {
        let width = u32::BITS - limit.leading_zeros();
        if width == 0 {
            return Ok(0);
        }
        let short = (1 << width) - limit;
        let value = self.bits(width - 1)?;
        if value < short { Ok(value) } else { Ok((value << 1) - short + self.bits(1)?) }
    }

    /// An unsigned Exp-Golomb code (H.264 section 9.1).
    pub(crate) fn exp_golomb(&mut self) -> Result<u32, ParseError> {
        let mut zeros = 0;
        while !self.bit()? {
            zeros += 1;
            if zeros > 31 {
                return Err(ParseError::Invalid { what: self.what, value: zeros });
            }
        }
        Ok((1 << zeros) - 1 + self.bits(zeros)?)
    }

    /// A signed Exp-Golomb code, of which only the length matters to us.
    pub(crate) fn skip_signed_exp_golomb(&mut self) -> Result<(), ParseError> {
        self.exp_golomb().map(drop)
    }
}

/// Writes bits to bytes.
#[derive(Debug)]
pub(crate) struct BitWriter<'b> {
    bytes: &'b mut [u8],
    at: usize,
}

impl<'b> BitWriter<'b> {
    pub(crate) fn new(bytes: &'b mut [u8]) -> BitWriter<'b> {
        BitWriter { bytes, at: 0 }
    }

    pub(crate) fn bit(&mut self, bit: bool) -> Result<(), WriteError> {
        self.bits(bit.into(), 1)
    }

    /// The lowest `count` bits of `value`.
    pub(crate) fn bits(&mut self, value: u32, count: u32) -> Result<(), WriteError> {
        let have = self.bytes.len();
        for place in (0..count).rev() {
            let no_room = WriteError::NoRoom { need: self.at / 8 + 1, have };
            let byte = self.bytes.get_mut(self.at / 8).ok_or(no_room)?;
            if self.at.is_multiple_of(8) {
                *byte = 0;
            }
            *byte |= ((value >> place & 1) as u8) << (7 - self.at % 8);
            self.at += 1;
        }
        Ok(())
    }

    /// The inverse of [`BitReader::below`].
    pub(crate) fn below(&mut self, value: u32, limit: u32) -> Result<(), WriteError> {
        let width = u32::BITS - limit.leading_zeros();
        if width == 0 {
            return Ok(());
        }
        let short = (1 << width) - limit;
        if value < short { self.bits(value, width - 1) } else { self.bits(value + short, width) }
    }

    /// Bytes begun so far; the last is filled with zeros.
    pub(crate) fn len(&self) -> usize {
        self.at.div_ceil(8)
    }
}
