// SPDX-License-Identifier: EUPL-1.2
//! RTCP: an iterator over a compound packet that allocates nothing, and a writer that appends to a buffer.
//!
//! ```
//! use parvis_rtp::rtcp::{self, Rtcp};
//!
//! let mut buf = [0; 1200];
//! let mut writer = rtcp::Writer::new(&mut buf);
//! writer.receiver_report(1, &[])?;
//! writer.nack(1, 2, [10, 11, 30])?;
//! let len = writer.len();
//! let lost: Vec<u16> = rtcp::packets(&buf[..len])
//!     .filter_map(|packet| match packet {
//!         Ok(Rtcp::Nack(nack)) => Some(nack.sequences().collect::<Vec<_>>()),
//!         _ => None,
//!     })
//!     .flatten()
//!     .collect();
//! assert_eq!(lost, [10, 11, 30]);
//! # Ok::<(), parvis_rtp::WriteError>(())
//! ```

mod feedback;
mod report;
mod transport;
mod writer;
mod xr;

pub use feedback::{Fir, FirEntry, Nack, Remb};
pub use report::{Bye, ReceiverReport, ReportBlock, ReportBlocks, Sdes, SenderInfo, SenderReport};
pub use transport::{REFERENCE_TICKS, TICK_MICROS, TransportFeedback};
pub use writer::Writer;
pub use xr::{Dlrr, DlrrBlock, Xr, XrBlock};

use crate::ParseError;
use crate::error::{slice, take};

/// Length of an RTCP packet's first word.
const HEADER_BYTES: usize = 4;

const PT_SENDER_REPORT: u8 = 200;
const PT_RECEIVER_REPORT: u8 = 201;
const PT_SDES: u8 = 202;
const PT_BYE: u8 = 203;
const PT_TRANSPORT_FEEDBACK: u8 = 205;
const PT_PAYLOAD_FEEDBACK: u8 = 206;
const PT_XR: u8 = 207;
const FMT_NACK: u8 = 1;
const FMT_TRANSPORT_CC: u8 = 15;
const FMT_PLI: u8 = 1;
const FMT_FIR: u8 = 4;
const FMT_APPLICATION: u8 = 15;

/// One packet of a compound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rtcp<'a> {
    /// Sender report (RFC 3550 section 6.4.1).
    SenderReport(SenderReport<'a>),
    /// Receiver report (RFC 3550 section 6.4.2).
    ReceiverReport(ReceiverReport<'a>),
    /// Source description (RFC 3550 section 6.5).
    Sdes(Sdes<'a>),
    /// Goodbye (RFC 3550 section 6.6).
    Bye(Bye<'a>),
    /// Generic NACK (RFC 4585 section 6.2.1).
    Nack(Nack<'a>),
    /// Picture loss indication (RFC 4585 section 6.3.1).
    Pli {
        /// Who asks.
        sender_ssrc: u32,
        /// For which stream.
        media_ssrc: u32,
    },
    /// Full intra request (RFC 5104 section 4.3.1).
    Fir(Fir<'a>),
    /// Receiver estimated maximum bitrate (draft-alvestrand-rmcat-remb-03).
    Remb(Remb<'a>),
    /// Transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1).
    TransportFeedback(TransportFeedback<'a>),
    /// Extended report (RFC 3611).
    Xr(Xr<'a>),
    /// Something else, to be passed over.
    Unknown {
        /// Packet type.
        packet_type: u8,
        /// The five bits of count or format.
        count: u8,
    },
}

/// Goes through the packets of a compound, or of a reduced-size one (RFC 5506). After an error there is no more.
pub fn packets(bytes: &[u8]) -> Packets<'_> {
    Packets { rest: bytes }
}

/// See [`packets`].
#[derive(Debug, Clone)]
pub struct Packets<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Packets<'a> {
    type Item = Result<Rtcp<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let packet = self.parse_next();
        if packet.is_err() {
            self.rest = &[];
        }
        Some(packet)
    }
}

impl<'a> Packets<'a> {
    fn parse_next(&mut self) -> Result<Rtcp<'a>, ParseError> {
        let head: [u8; HEADER_BYTES] = take(self.rest, 0, "RTCP header")?;
        if head[0] >> 6 != 2 {
            return Err(ParseError::Version(head[0] >> 6));
        }
        let len = HEADER_BYTES + 4 * usize::from(u16::from_be_bytes([head[2], head[3]]));
        let mut body = slice(self.rest, 0, len, "RTCP packet")?;
        self.rest = &self.rest[len..];
        if head[0] & 0x20 != 0 {
            let padding = body.last().copied().unwrap_or(0);
            if padding == 0 || usize::from(padding) > len - HEADER_BYTES {
                return Err(ParseError::Invalid { what: "RTCP padding", value: padding.into() });
            }
            body = &body[..len - usize::from(padding)];
        }
        let (count, packet_type, body) = (head[0] & 0x1f, head[1], &body[HEADER_BYTES..]);
        Ok(match (packet_type, count) {
            (PT_SENDER_REPORT, _) => Rtcp::SenderReport(SenderReport::parse(body, count)?),
            (PT_RECEIVER_REPORT, _) => Rtcp::ReceiverReport(ReceiverReport::parse(body, count)?),
            (PT_SDES, _) => Rtcp::Sdes(Sdes::parse(body, count)?),
            (PT_BYE, _) => Rtcp::Bye(Bye::parse(body, count)?),
            (PT_TRANSPORT_FEEDBACK, FMT_NACK) => Rtcp::Nack(Nack::parse(body)?),
            (PT_TRANSPORT_FEEDBACK, FMT_TRANSPORT_CC) => {
                Rtcp::TransportFeedback(TransportFeedback::parse(body)?)
            }
            (PT_PAYLOAD_FEEDBACK, FMT_PLI) => {
                let (sender_ssrc, media_ssrc) = feedback::ssrcs(body)?;
                Rtcp::Pli { sender_ssrc, media_ssrc }
            }
            (PT_PAYLOAD_FEEDBACK, FMT_FIR) => Rtcp::Fir(Fir::parse(body)?),
            (PT_PAYLOAD_FEEDBACK, FMT_APPLICATION) if body.get(8..12) == Some(b"REMB") => {
                Rtcp::Remb(Remb::parse(body)?)
            }
            (PT_XR, _) => Rtcp::Xr(Xr::parse(body)?),
            _ => Rtcp::Unknown { packet_type, count },
        })
    }
}

/// A big-endian word of bytes whose length was checked.
fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|word| word.first_chunk()).map_or(0, |word| u32::from_be_bytes(*word))
}
