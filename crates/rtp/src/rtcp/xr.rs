// SPDX-License-Identifier: EUPL-1.2
//! Extended reports (RFC 3611): receiver reference time and the delay since it, from which a receiver that sends
//! nothing learns its round trip.

use super::word;
use crate::ParseError;
use crate::error::take;

pub(super) const BLOCK_RRTR: u8 = 4;
pub(super) const BLOCK_DLRR: u8 = 5;

/// An extended report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Xr<'a> {
    /// Who reports.
    pub ssrc: u32,
    blocks: &'a [u8],
}

/// One block of an extended report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XrBlock<'a> {
    /// The reporter's wall clock: NTP, 32.32 fixed point seconds.
    ReceiverReferenceTime(u64),
    /// When reference times came, to those who sent them.
    Dlrr(DlrrBlock<'a>),
    /// Something else.
    Unknown(u8),
}

/// Delay since the last receiver reference time report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dlrr {
    /// Whose reference time it was.
    pub ssrc: u32,
    /// The middle 32 bits of that time; 0 when there was none.
    pub last_rr: u32,
    /// How long ago it came, in 1/65,536 s.
    pub delay_since_last_rr: u32,
}

/// The entries of a DLRR block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DlrrBlock<'a>(&'a [u8]);

impl<'a> DlrrBlock<'a> {
    /// The entries in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Dlrr> + 'a {
        self.0.chunks_exact(12).map(|entry| Dlrr {
            ssrc: word(entry, 0),
            last_rr: word(entry, 4),
            delay_since_last_rr: word(entry, 8),
        })
    }
}

impl<'a> Xr<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Xr<'a>, ParseError> {
        let ssrc = u32::from_be_bytes(take(body, 0, "RTCP extended report")?);
        Ok(Xr { ssrc, blocks: &body[4..] })
    }

    /// Its blocks. One whose length is wrong ends the reading.
    pub fn blocks(&self) -> impl Iterator<Item = XrBlock<'a>> + 'a {
        let mut rest = self.blocks;
        std::iter::from_fn(move || {
            let (head, after) = rest.split_first_chunk::<4>()?;
            let len = 4 * usize::from(u16::from_be_bytes([head[2], head[3]]));
            let (body, after) = after.split_at_checked(len)?;
            rest = after;
            Some(match (head[0], body) {
                (BLOCK_RRTR, body) if let Some(ntp) = body.first_chunk() => {
                    XrBlock::ReceiverReferenceTime(u64::from_be_bytes(*ntp))
                }
                (BLOCK_DLRR, body) => XrBlock::Dlrr(DlrrBlock(body)),
                (kind, _) => XrBlock::Unknown(kind),
            })
        })
    }
}
