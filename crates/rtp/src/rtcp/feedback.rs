// SPDX-License-Identifier: EUPL-1.2
//! Feedback about single streams: NACK (RFC 4585), FIR (RFC 5104), REMB (draft-alvestrand-rmcat-remb-03).

use super::word;
use crate::ParseError;
use crate::error::{slice, take};

/// The SSRCs of the packet's sender and of the stream meant, with which all feedback begins (RFC 4585 section 6.1).
pub(super) fn ssrcs(body: &[u8]) -> Result<(u32, u32), ParseError> {
    let both: [u8; 8] = take(body, 0, "RTCP feedback")?;
    Ok((word(&both, 0), word(&both, 4)))
}

/// A generic NACK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nack<'a> {
    /// Who asks.
    pub sender_ssrc: u32,
    /// For which stream.
    pub media_ssrc: u32,
    pairs: &'a [u8],
}

impl<'a> Nack<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Nack<'a>, ParseError> {
        let (sender_ssrc, media_ssrc) = ssrcs(body)?;
        let pairs = &body[8..];
        Ok(Nack { sender_ssrc, media_ssrc, pairs: &pairs[..pairs.len() & !3] })
    }

    /// Each pair: a lost packet, and which of the 16 after it are lost too.
    pub fn pairs(&self) -> impl ExactSizeIterator<Item = (u16, u16)> + 'a {
        self.pairs
            .chunks_exact(4)
            .map(|pair| (u16::from_be_bytes([pair[0], pair[1]]), u16::from_be_bytes([pair[2], pair[3]])))
    }

    /// Every sequence number that is asked for: at most 17 a pair, so some 6,000 in a datagram.
    pub fn sequences(&self) -> impl Iterator<Item = u16> + 'a {
        self.pairs().flat_map(|(first, mask)| {
            std::iter::once(first).chain(
                (0..16u16)
                    .filter(move |bit| mask >> bit & 1 != 0)
                    .map(move |bit| first.wrapping_add(bit + 1)),
            )
        })
    }
}

/// A full intra request. Its media SSRC is unused: the entries name the streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fir<'a> {
    /// Who asks.
    pub sender_ssrc: u32,
    entries: &'a [u8],
}

/// A request for one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirEntry {
    /// The stream.
    pub ssrc: u32,
    /// The request's number: the same again is the same request.
    pub sequence: u8,
}

impl<'a> Fir<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Fir<'a>, ParseError> {
        let (sender_ssrc, _) = ssrcs(body)?;
        Ok(Fir { sender_ssrc, entries: &body[8..] })
    }

    /// The requests.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = FirEntry> + 'a {
        self.entries.chunks_exact(8).map(|entry| FirEntry { ssrc: word(entry, 0), sequence: entry[4] })
    }
}

/// What a receiver believes it can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remb<'a> {
    /// Who says so.
    pub sender_ssrc: u32,
    /// In bits per second. It may say anything up to 2^81: what doesn't fit is `u64::MAX`.
    pub bitrate: u64,
    ssrcs: &'a [u8],
}

impl<'a> Remb<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Remb<'a>, ParseError> {
        let (sender_ssrc, _) = ssrcs(body)?;
        let [count, a, b, c] = take(body, 12, "REMB")?;
        let mantissa = u64::from(a & 3) << 16 | u64::from(b) << 8 | u64::from(c);
        let exponent = u32::from(a >> 2);
        let bitrate = if mantissa.leading_zeros() < exponent { u64::MAX } else { mantissa << exponent };
        Ok(Remb { sender_ssrc, bitrate, ssrcs: slice(body, 16, 4 * usize::from(count), "REMB")? })
    }

    /// The streams that share it.
    pub fn ssrcs(&self) -> impl ExactSizeIterator<Item = u32> + 'a {
        self.ssrcs.chunks_exact(4).map(|ssrc| word(ssrc, 0))
    }

    /// Exponent and mantissa, rounded down.
    pub(super) fn encode(bitrate: u64) -> [u8; 3] {
        let exponent = (u64::BITS - bitrate.leading_zeros()).saturating_sub(18);
        let mantissa = bitrate >> exponent;
        [(exponent << 2) as u8 | (mantissa >> 16) as u8, (mantissa >> 8) as u8, mantissa as u8]
    }
}
