// SPDX-License-Identifier: EUPL-1.2
//! The RTP packet (RFC 3550 section 5.1): a borrowed view to read it, one call to write it.

use crate::error::{slice, take};
use crate::extension::{self, ExtensionMap, Extensions};
use crate::{ParseError, WriteError};

/// The fixed header, in bytes.
pub const FIXED_HEADER_BYTES: usize = 12;

/// A view of an RTP packet in somebody's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The marker bit: for video, the last packet of a frame.
    pub marker: bool,
    /// The payload type, 7 bits.
    pub payload_type: u8,
    /// The sequence number.
    pub sequence: u16,
    /// The media timestamp, in the codec's clock.
    pub timestamp: u32,
    /// The stream's SSRC.
    pub ssrc: u32,
    /// The contributing sources.
    pub csrcs: Csrcs<'a>,
    /// The first 16 bits of the header extension; 0 when there is none.
    pub extension_profile: u16,
    /// The header extension's body; empty when there is none.
    pub extension: &'a [u8],
    /// The payload without padding.
    pub payload: &'a [u8],
    /// How many bytes of padding follow the payload; 0 when there is none.
    pub padding: u8,
    /// Where the payload begins.
    pub header_len: usize,
}

impl<'a> Packet<'a> {
    /// Reads a packet that is not, or no longer, encrypted.
    pub fn parse(bytes: &'a [u8]) -> Result<Packet<'a>, ParseError> {
        let fixed: [u8; FIXED_HEADER_BYTES] = take(bytes, 0, "RTP header")?;
        let header_len = header_len(bytes)?;
        let csrcs_end = FIXED_HEADER_BYTES + 4 * usize::from(fixed[0] & 0x0f);
        let (extension_profile, extension) = if fixed[0] & 0x10 == 0 {
            (0, &[][..])
        } else {
            let profile: [u8; 2] = take(bytes, csrcs_end, "RTP header extension")?;
            (u16::from_be_bytes(profile), &bytes[csrcs_end + 4..header_len])
        };
        let body = &bytes[header_len..];
        let padding = if fixed[0] & 0x20 == 0 {
            0
        } else {
            let padding = body.last().copied().unwrap_or(0);
            if padding == 0 || usize::from(padding) > body.len() {
                return Err(ParseError::Invalid { what: "RTP padding", value: padding.into() });
            }
            padding
        };
        Ok(Packet {
            marker: fixed[1] & 0x80 != 0,
            payload_type: fixed[1] & 0x7f,
            sequence: u16::from_be_bytes([fixed[2], fixed[3]]),
            timestamp: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
            csrcs: Csrcs(&bytes[FIXED_HEADER_BYTES..csrcs_end]),
            extension_profile,
            extension,
            payload: &body[..body.len() - usize::from(padding)],
            padding,
            header_len,
        })
    }

    /// Reads the header extensions that `map` knows. A malformed element ends the reading; those before it count.
    pub fn extensions(&self, map: &ExtensionMap) -> Extensions<'a> {
        Extensions::parse(self.extension_profile, self.extension, map)
    }

    /// The header's fields, to write it again with changes.
    pub fn fields(&self) -> HeaderFields<'a> {
        HeaderFields {
            marker: self.marker,
            payload_type: self.payload_type,
            sequence: self.sequence,
            timestamp: self.timestamp,
            ssrc: self.ssrc,
            csrcs: self.csrcs,
        }
    }
}

/// Contributing sources, in network order as they stand in the packet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Csrcs<'a>(&'a [u8]);

impl<'a> Csrcs<'a> {
    /// Takes up to 15 sources as they stand on the wire: 4 bytes each.
    pub fn from_wire(bytes: &'a [u8]) -> Option<Csrcs<'a>> {
        (bytes.len().is_multiple_of(4) && bytes.len() <= 4 * 15).then_some(Csrcs(bytes))
    }

    /// The sources in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = u32> + 'a {
        self.0.chunks_exact(4).map(|csrc| u32::from_be_bytes([csrc[0], csrc[1], csrc[2], csrc[3]]))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len() / 4
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What the fixed header of a packet to be written says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HeaderFields<'a> {
    /// The marker bit.
    pub marker: bool,
    /// The payload type, 7 bits.
    pub payload_type: u8,
    /// The sequence number.
    pub sequence: u16,
    /// The media timestamp.
    pub timestamp: u32,
    /// The stream's SSRC.
    pub ssrc: u32,
    /// The contributing sources; none by default.
    pub csrcs: Csrcs<'a>,
}

/// Writes header, those `extensions` that `map` has an id for, and `payload`. Returns the packet's length.
pub fn write_packet(
    buf: &mut [u8],
    fields: &HeaderFields<'_>,
    map: &ExtensionMap,
    extensions: &Extensions<'_>,
    payload: &[u8],
) -> Result<usize, WriteError> {
    let header_len = write_header(buf, fields, map, extensions)?;
    let len = header_len + payload.len();
    let have = buf.len();
    buf.get_mut(header_len..len).ok_or(WriteError::NoRoom { need: len, have })?.copy_from_slice(payload);
    Ok(len)
}

/// Writes only the header, so that the caller can put the payload together in place. Returns where it begins.
pub fn write_header(
    buf: &mut [u8],
    fields: &HeaderFields<'_>,
    map: &ExtensionMap,
    extensions: &Extensions<'_>,
) -> Result<usize, WriteError> {
    let fixed_len = FIXED_HEADER_BYTES + fields.csrcs.0.len();
    let have = buf.len();
    if have < fixed_len {
        return Err(WriteError::NoRoom { need: fixed_len, have });
    }
    let extension_len = extension::write(&mut buf[fixed_len..], map, extensions)?;
    if fields.payload_type > 0x7f {
        return Err(WriteError::Unrepresentable { what: "payload type", value: fields.payload_type.into() });
    }
    buf[0] = 0x80 | u8::from(extension_len > 0) << 4 | fields.csrcs.len() as u8;
    buf[1] = u8::from(fields.marker) << 7 | fields.payload_type;
    buf[2..4].copy_from_slice(&fields.sequence.to_be_bytes());
    buf[4..8].copy_from_slice(&fields.timestamp.to_be_bytes());
    buf[8..12].copy_from_slice(&fields.ssrc.to_be_bytes());
    buf[12..fixed_len].copy_from_slice(fields.csrcs.0);
    Ok(fixed_len + extension_len)
}

/// Writes a packet that carries nothing but `padding` bytes (1 to 255) of padding, to probe a path's bandwidth.
pub fn write_padding(
    buf: &mut [u8],
    fields: &HeaderFields<'_>,
    map: &ExtensionMap,
    extensions: &Extensions<'_>,
    padding: u8,
) -> Result<usize, WriteError> {
    if padding == 0 {
        return Err(WriteError::Unrepresentable { what: "padding", value: 0 });
    }
    let header_len = write_header(buf, fields, map, extensions)?;
    let len = header_len + usize::from(padding);
    let have = buf.len();
    let body = buf.get_mut(header_len..len).ok_or(WriteError::NoRoom { need: len, have })?;
    body.fill(0);
    body[usize::from(padding) - 1] = padding;
    buf[0] |= 0x20;
    Ok(len)
}

/// Where the payload begins: fixed header, CSRCs and extension, which SRTP leaves in the clear.
pub(crate) fn header_len(bytes: &[u8]) -> Result<usize, ParseError> {
    let fixed: [u8; FIXED_HEADER_BYTES] = take(bytes, 0, "RTP header")?;
    if fixed[0] >> 6 != 2 {
        return Err(ParseError::Version(fixed[0] >> 6));
    }
    let csrcs_len = 4 * usize::from(fixed[0] & 0x0f);
    slice(bytes, FIXED_HEADER_BYTES, csrcs_len, "RTP contributing sources")?;
    let mut len = FIXED_HEADER_BYTES + csrcs_len;
    if fixed[0] & 0x10 != 0 {
        let head: [u8; 4] = take(bytes, len, "RTP header extension")?;
        let words = usize::from(u16::from_be_bytes([head[2], head[3]]));
        slice(bytes, len + 4, 4 * words, "RTP header extension")?;
        len += 4 + 4 * words;
    }
    Ok(len)
}
