// SPDX-License-Identifier: EUPL-1.2
//! Sender and receiver reports, source descriptions, goodbyes (RFC 3550 section 6).

use super::word;
use crate::ParseError;
use crate::error::{slice, take};

pub(super) const BLOCK_BYTES: usize = 24;
pub(super) const SDES_CNAME: u8 = 1;

/// What a sender says of the moment of its report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SenderInfo {
    /// Its wall clock: NTP, 32.32 fixed point seconds.
    pub ntp: u64,
    /// The same moment in the stream's RTP clock.
    pub rtp_timestamp: u32,
    /// Packets sent so far.
    pub packets: u32,
    /// Payload bytes sent so far.
    pub octets: u32,
}

/// A sender report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderReport<'a> {
    /// The sender's stream.
    pub ssrc: u32,
    /// What it sent.
    pub info: SenderInfo,
    /// What it received.
    pub blocks: ReportBlocks<'a>,
}

impl<'a> SenderReport<'a> {
    pub(super) fn parse(body: &'a [u8], count: u8) -> Result<SenderReport<'a>, ParseError> {
        let ntp = u64::from_be_bytes(take(body, 4, "RTCP sender report")?);
        let blocks = slice(body, 24, BLOCK_BYTES * usize::from(count), "RTCP sender report")?;
        let info = SenderInfo {
            ntp,
            rtp_timestamp: word(body, 12),
            packets: word(body, 16),
            octets: word(body, 20),
        };
        Ok(SenderReport { ssrc: word(body, 0), info, blocks: ReportBlocks(blocks) })
    }
}

/// A receiver report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiverReport<'a> {
    /// Who reports.
    pub ssrc: u32,
    /// What it received.
    pub blocks: ReportBlocks<'a>,
}

impl<'a> ReceiverReport<'a> {
    pub(super) fn parse(body: &'a [u8], count: u8) -> Result<ReceiverReport<'a>, ParseError> {
        let blocks = slice(body, 4, BLOCK_BYTES * usize::from(count), "RTCP receiver report")?;
        Ok(ReceiverReport { ssrc: word(body, 0), blocks: ReportBlocks(blocks) })
    }
}

/// The blocks of a report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReportBlocks<'a>(&'a [u8]);

impl<'a> ReportBlocks<'a> {
    /// The blocks in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = ReportBlock> + 'a {
        self.0.chunks_exact(BLOCK_BYTES).map(ReportBlock::read)
    }
}

/// What is reported of one stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReportBlock {
    /// The stream.
    pub ssrc: u32,
    /// Share of packets lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost in all, −2^23 to 2^23 − 1; negative with duplicates.
    pub cumulative_lost: i32,
    /// Wraps and highest sequence number.
    pub extended_highest_sequence: u32,
    /// Interarrival jitter in the stream's clock.
    pub jitter: u32,
    /// The middle 32 bits of the last sender report's NTP time; 0 when there was none.
    pub last_sr: u32,
    /// How long ago that was, in 1/65,536 s.
    pub delay_since_last_sr: u32,
}

impl ReportBlock {
    fn read(bytes: &[u8]) -> ReportBlock {
        let lost = word(bytes, 4);
        ReportBlock {
            ssrc: word(bytes, 0),
            fraction_lost: (lost >> 24) as u8,
            cumulative_lost: (lost << 8) as i32 >> 8,
            extended_highest_sequence: word(bytes, 8),
            jitter: word(bytes, 12),
            last_sr: word(bytes, 16),
            delay_since_last_sr: word(bytes, 20),
        }
    }

    pub(super) fn to_bytes(self) -> [u8; BLOCK_BYTES] {
        let lost = self.cumulative_lost.clamp(-(1 << 23), (1 << 23) - 1) as u32 & 0x00ff_ffff;
        let words = [
            self.ssrc,
            u32::from(self.fraction_lost) << 24 | lost,
            self.extended_highest_sequence,
            self.jitter,
            self.last_sr,
            self.delay_since_last_sr,
        ];
        let mut bytes = [0; BLOCK_BYTES];
        for (to, word) in bytes.chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&word.to_be_bytes());
        }
        bytes
    }
}

/// A source description; only CNAMEs are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sdes<'a> {
    chunks: &'a [u8],
    count: u8,
}

impl<'a> Sdes<'a> {
    pub(super) fn parse(body: &'a [u8], count: u8) -> Result<Sdes<'a>, ParseError> {
        let sdes = Sdes { chunks: body, count };
        let mut rest = body;
        for _ in 0..count {
            rest = SdesChunk::read(rest)?.1;
        }
        Ok(sdes)
    }

    /// SSRC and CNAME of each source that has one. A CNAME is bytes, UTF-8 if its sender is well behaved.
    pub fn cnames(&self) -> impl Iterator<Item = (u32, &'a [u8])> + 'a {
        let mut rest = self.chunks;
        (0..self.count)
            .map_while(move |_| {
                let (chunk, after) = SdesChunk::read(rest).ok()?;
                rest = after;
                Some((chunk.ssrc, chunk.cname))
            })
            .filter_map(|(ssrc, cname)| Some((ssrc, cname?)))
    }
}

struct SdesChunk<'a> {
    ssrc: u32,
    cname: Option<&'a [u8]>,
}

impl<'a> SdesChunk<'a> {
    /// The first chunk, and what follows it.
    fn read(bytes: &'a [u8]) -> Result<(SdesChunk<'a>, &'a [u8]), ParseError> {
        let ssrc = u32::from_be_bytes(take(bytes, 0, "RTCP source description")?);
        let mut chunk = SdesChunk { ssrc, cname: None };
        let mut at = 4;
        loop {
            let [kind] = take(bytes, at, "RTCP source description")?;
            if kind == 0 {
                // Ends the list; the chunk is filled up to the next word (RFC 3550 section 6.5).
                let end = (at + 4) & !3;
                return Ok((
                    chunk,
                    slice(bytes, end, bytes.len().saturating_sub(end), "RTCP source description")?,
                ));
            }
            let [len] = take(bytes, at + 1, "RTCP source description")?;
            let text = slice(bytes, at + 2, len.into(), "RTCP source description")?;
            if kind == SDES_CNAME {
                chunk.cname = Some(text);
            }
            at += 2 + text.len();
        }
    }
}

/// A goodbye.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bye<'a>(&'a [u8]);

impl<'a> Bye<'a> {
    pub(super) fn parse(body: &'a [u8], count: u8) -> Result<Bye<'a>, ParseError> {
        Ok(Bye(slice(body, 0, 4 * usize::from(count), "RTCP goodbye")?))
    }

    /// The streams that end.
    pub fn ssrcs(&self) -> impl ExactSizeIterator<Item = u32> + 'a {
        self.0.chunks_exact(4).map(|ssrc| word(ssrc, 0))
    }
}
