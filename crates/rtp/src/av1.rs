// SPDX-License-Identifier: EUPL-1.2
//! AV1's aggregation header and OBU elements (RTP Payload Format for AV1, sections 4.4 and 4.5). What forwarding
//! needs beyond this stands in the dependency descriptor.

use crate::ParseError;
use crate::error::{slice, take};

const WHAT: &str = "AV1 payload";

/// What stands before OBU elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor<'a> {
    /// The first element continues one of the packet before (Z).
    pub continues: bool,
    /// The last element goes on in the next packet (Y).
    pub continued: bool,
    /// How many elements there are; 0 when each has its length before it (W).
    pub count: u8,
    /// The packet begins a coded video sequence, that is a key frame with its sequence header (N).
    pub new_sequence: bool,
    elements: &'a [u8],
}

impl<'a> Descriptor<'a> {
    /// Reads the aggregation header. A payload without any element is malformed.
    pub fn parse(payload: &'a [u8]) -> Result<Descriptor<'a>, ParseError> {
        let [first] = take(payload, 0, WHAT)?;
        slice(payload, 1, 1, WHAT)?;
        let descriptor = Descriptor {
            continues: first & 0x80 != 0,
            continued: first & 0x40 != 0,
            count: first >> 4 & 3,
            new_sequence: first & 0x08 != 0,
            elements: &payload[1..],
        };
        if descriptor.new_sequence && descriptor.continues {
            return Err(ParseError::Invalid { what: "AV1 aggregation header", value: first.into() });
        }
        Ok(descriptor)
    }

    /// The OBU elements. One whose length is wrong ends the reading with an error.
    pub fn elements(&self) -> impl Iterator<Item = Result<&'a [u8], ParseError>> + 'a {
        let (mut rest, count) = (self.elements, usize::from(self.count));
        let mut place = 0;
        std::iter::from_fn(move || {
            if rest.is_empty() || (count > 0 && place == count) {
                return None;
            }
            place += 1;
            let element = if place == count { Ok((rest, &[][..])) } else { split_element(rest) };
            rest = element.map_or(&[], |(_, after)| after);
            Some(element.map(|(element, _)| element))
        })
    }

    /// The OBUs that begin in this packet.
    pub fn obus(&self) -> impl Iterator<Item = Obu> + 'a {
        self.elements().skip(usize::from(self.continues)).map_while(Result::ok).filter_map(Obu::parse)
    }
}

/// Whether `payload` begins an AV1 coded video sequence.
pub fn is_keyframe(payload: &[u8]) -> bool {
    Descriptor::parse(payload).is_ok_and(|descriptor| descriptor.new_sequence)
}

/// An OBU's header (AV1 bitstream specification, section 5.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Obu {
    /// Its type: 1 is a sequence header, 6 a frame.
    pub kind: u8,
    /// Its temporal layer; 0 without extension.
    pub temporal: u8,
    /// Its spatial layer; 0 without extension.
    pub spatial: u8,
}

impl Obu {
    /// A sequence header.
    pub const SEQUENCE_HEADER: u8 = 1;

    fn parse(element: &[u8]) -> Option<Obu> {
        let first = *element.first()?;
        let layers = if first & 0x04 != 0 { *element.get(1)? } else { 0 };
        Some(Obu { kind: first >> 3 & 0x0f, temporal: layers >> 5, spatial: layers >> 3 & 3 })
    }
}

/// The first element behind its length, and what follows it.
fn split_element(bytes: &[u8]) -> Result<(&[u8], &[u8]), ParseError> {
    // leb128; a packet's length needs no more than three bytes, the format allows eight with leading zeros.
    let (mut len, mut at) = (0_u64, 0);
    loop {
        let [byte] = take(bytes, at, WHAT)?;
        len |= u64::from(byte & 0x7f) << (7 * at);
        at += 1;
        if byte & 0x80 == 0 {
            break;
        }
        if at == 8 {
            return Err(ParseError::Invalid { what: "AV1 OBU element length", value: byte.into() });
        }
    }
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    let element = slice(bytes, at, len, "AV1 OBU element")?;
    Ok((element, &bytes[at + len..]))
}
