// SPDX-License-Identifier: EUPL-1.2
//! Puts a compound RTCP packet together in the caller's buffer.

use super::feedback::Remb;
use super::report::SDES_CNAME;
use super::xr::{BLOCK_DLRR, BLOCK_RRTR};
use super::{
    Dlrr, FMT_APPLICATION, FMT_FIR, FMT_NACK, FMT_PLI, FMT_TRANSPORT_CC, FirEntry, HEADER_BYTES, PT_BYE,
    PT_PAYLOAD_FEEDBACK, PT_RECEIVER_REPORT, PT_SDES, PT_SENDER_REPORT, PT_TRANSPORT_FEEDBACK, PT_XR,
    ReportBlock, SenderInfo, transport,
};
use crate::WriteError;

/// Report blocks, goodbyes or chunks in one packet: five bits.
const MAX_COUNT: usize = 31;

/// Appends packets to a buffer. A packet that doesn't fit leaves what stands before it whole.
#[derive(Debug)]
pub struct Writer<'b> {
    buf: &'b mut [u8],
    len: usize,
}

impl<'b> Writer<'b> {
    /// Begins an empty compound in `buf`.
    pub fn new(buf: &'b mut [u8]) -> Writer<'b> {
        Writer { buf, len: 0 }
    }

    /// How many bytes stand in the buffer.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A sender report with at most 31 blocks.
    pub fn sender_report(
        &mut self,
        ssrc: u32,
        info: &SenderInfo,
        blocks: &[ReportBlock],
    ) -> Result<(), WriteError> {
        let mut packet = self.begin();
        packet.word(ssrc)?;
        packet.bytes(&info.ntp.to_be_bytes())?;
        packet.word(info.rtp_timestamp)?;
        packet.word(info.packets)?;
        packet.word(info.octets)?;
        for block in blocks {
            packet.bytes(&block.to_bytes())?;
        }
        packet.end(PT_SENDER_REPORT, blocks.len())
    }

    /// A receiver report with at most 31 blocks.
    pub fn receiver_report(&mut self, ssrc: u32, blocks: &[ReportBlock]) -> Result<(), WriteError> {
        let mut packet = self.begin();
        packet.word(ssrc)?;
        for block in blocks {
            packet.bytes(&block.to_bytes())?;
        }
        packet.end(PT_RECEIVER_REPORT, blocks.len())
    }

    /// A source description with one CNAME of at most 255 bytes.
    pub fn cname(&mut self, ssrc: u32, cname: &[u8]) -> Result<(), WriteError> {
        let unfit = WriteError::Unrepresentable { what: "CNAME length", value: cname.len() };
        let len = u8::try_from(cname.len()).map_err(|_| unfit)?;
        let mut packet = self.begin();
        packet.word(ssrc)?;
        packet.bytes(&[SDES_CNAME, len])?;
        packet.bytes(cname)?;
        // One zero ends the list, more fill the word.
        let fill = 4 - packet.at % 4;
        packet.bytes(&[0; 4][..fill])?;
        packet.end(PT_SDES, 1)
    }

    /// A goodbye of at most 31 streams.
    pub fn bye(&mut self, ssrcs: &[u32]) -> Result<(), WriteError> {
        let mut packet = self.begin();
        for ssrc in ssrcs {
            packet.word(*ssrc)?;
        }
        packet.end(PT_BYE, ssrcs.len())
    }

    /// A generic NACK for `sequences`, best given in order: each may share its predecessor's pair.
    pub fn nack(
        &mut self,
        sender_ssrc: u32,
        media_ssrc: u32,
        sequences: impl IntoIterator<Item = u16>,
    ) -> Result<(), WriteError> {
        let mut packet = self.begin();
        packet.word(sender_ssrc)?;
        packet.word(media_ssrc)?;
        let mut pair: Option<(u16, u16)> = None;
        for sequence in sequences {
            match &mut pair {
                Some((first, _)) if *first == sequence => {}
                Some((first, mask)) if sequence.wrapping_sub(*first) <= 16 => {
                    *mask |= 1 << (sequence.wrapping_sub(*first) - 1);
                }
                _ => {
                    if let Some((first, mask)) = pair.replace((sequence, 0)) {
                        packet.word(u32::from(first) << 16 | u32::from(mask))?;
                    }
                }
            }
        }
        if let Some((first, mask)) = pair {
            packet.word(u32::from(first) << 16 | u32::from(mask))?;
        }
        packet.end(PT_TRANSPORT_FEEDBACK, FMT_NACK.into())
    }

    /// A picture loss indication.
    pub fn pli(&mut self, sender_ssrc: u32, media_ssrc: u32) -> Result<(), WriteError> {
        let mut packet = self.begin();
        packet.word(sender_ssrc)?;
        packet.word(media_ssrc)?;
        packet.end(PT_PAYLOAD_FEEDBACK, FMT_PLI.into())
    }

    /// A full intra request.
    pub fn fir(&mut self, sender_ssrc: u32, entries: &[FirEntry]) -> Result<(), WriteError> {
        let mut packet = self.begin();
        packet.word(sender_ssrc)?;
        packet.word(0)?;
        for entry in entries {
            packet.word(entry.ssrc)?;
            packet.word(u32::from(entry.sequence) << 24)?;
        }
        packet.end(PT_PAYLOAD_FEEDBACK, FMT_FIR.into())
    }

    /// A receiver's estimate in bits per second, for at most 255 streams.
    pub fn remb(&mut self, sender_ssrc: u32, bitrate: u64, ssrcs: &[u32]) -> Result<(), WriteError> {
        let unfit = WriteError::Unrepresentable { what: "REMB streams", value: ssrcs.len() };
        let count = u8::try_from(ssrcs.len()).map_err(|_| unfit)?;
        let [a, b, c] = Remb::encode(bitrate);
        let mut packet = self.begin();
        packet.word(sender_ssrc)?;
        packet.word(0)?;
        packet.bytes(b"REMB")?;
        packet.bytes(&[count, a, b, c])?;
        for ssrc in ssrcs {
            packet.word(*ssrc)?;
        }
        packet.end(PT_PAYLOAD_FEEDBACK, FMT_APPLICATION.into())
    }

    /// Transport-wide feedback on as many of `arrivals` as fit, by sequence number from `base_sequence` on; arrival
    /// times in ticks of 250 µs since an epoch of the caller's, `None` for what didn't arrive. At least one must
    /// have arrived. Returns how many are covered (at most 1,024): the rest goes into the next packet.
    pub fn transport_feedback(
        &mut self,
        sender_ssrc: u32,
        media_ssrc: u32,
        feedback_count: u8,
        base_sequence: u16,
        arrivals: &[Option<i64>],
    ) -> Result<usize, WriteError> {
        let start = self.len + HEADER_BYTES;
        let need = start + 20;
        let have = self.buf.len();
        // Whole words only, so that the padding fits.
        let end = start + (have.saturating_sub(start) & !3);
        let room = self.buf.get_mut(start..end).ok_or(WriteError::NoRoom { need, have })?;
        let (len, covered) =
            transport::write(room, (sender_ssrc, media_ssrc), feedback_count, base_sequence, arrivals)?;
        let padding = len.next_multiple_of(4) - len;
        if padding > 0 {
            room[len..len + padding].fill(0);
            room[len + padding - 1] = padding as u8;
        }
        let packet = Unfinished { at: start + len + padding, writer: self };
        let at = packet.writer.len;
        packet.end(PT_TRANSPORT_FEEDBACK, FMT_TRANSPORT_CC.into())?;
        self.buf[at] |= u8::from(padding > 0) << 5;
        Ok(covered)
    }

    /// An extended report with our wall clock (NTP, 32.32 fixed point seconds).
    pub fn receiver_reference_time(&mut self, ssrc: u32, ntp: u64) -> Result<(), WriteError> {
        let mut packet = self.begin();
        packet.word(ssrc)?;
        packet.word(u32::from(BLOCK_RRTR) << 24 | 2)?;
        packet.bytes(&ntp.to_be_bytes())?;
        packet.end(PT_XR, 0)
    }

    /// An extended report on when reference times of others came.
    pub fn dlrr(&mut self, ssrc: u32, entries: &[Dlrr]) -> Result<(), WriteError> {
        let unfit = WriteError::Unrepresentable { what: "DLRR entries", value: entries.len() };
        let words = u16::try_from(3 * entries.len()).map_err(|_| unfit)?;
        let mut packet = self.begin();
        packet.word(ssrc)?;
        packet.word(u32::from(BLOCK_DLRR) << 24 | u32::from(words))?;
        for entry in entries {
            packet.word(entry.ssrc)?;
            packet.word(entry.last_rr)?;
            packet.word(entry.delay_since_last_rr)?;
        }
        packet.end(PT_XR, 0)
    }

    fn begin(&mut self) -> Unfinished<'_, 'b> {
        Unfinished { at: self.len + HEADER_BYTES, writer: self }
    }
}

/// A packet whose header is not yet written: until it ends, the compound doesn't have it.
struct Unfinished<'w, 'b> {
    writer: &'w mut Writer<'b>,
    at: usize,
}

impl Unfinished<'_, '_> {
    fn word(&mut self, word: u32) -> Result<(), WriteError> {
        self.bytes(&word.to_be_bytes())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let have = self.writer.buf.len();
        let end = self.at + bytes.len();
        let room = self.writer.buf.get_mut(self.at..end).ok_or(WriteError::NoRoom { need: end, have })?;
        room.copy_from_slice(bytes);
        self.at = end;
        Ok(())
    }

    fn end(self, packet_type: u8, count: usize) -> Result<(), WriteError> {
        if count > MAX_COUNT {
            return Err(WriteError::Unrepresentable { what: "RTCP count", value: count });
        }
        let have = self.writer.buf.len();
        let start = self.writer.len;
        let bytes = self.at - start;
        let unfit = WriteError::Unrepresentable { what: "RTCP length", value: bytes };
        let words = u16::try_from(bytes / 4 - 1).map_err(|_| unfit)?;
        let head = self.writer.buf.get_mut(start..start + HEADER_BYTES);
        let head = head.ok_or(WriteError::NoRoom { need: self.at, have })?;
        head[0] = 0x80 | count as u8;
        head[1] = packet_type;
        head[2..].copy_from_slice(&words.to_be_bytes());
        self.writer.len = self.at;
        Ok(())
    }
}
