// SPDX-License-Identifier: EUPL-1.2
//! The values that header extensions carry, in the one-byte and the two-byte form (RFC 8285 sections 4.2, 4.3).

use crate::{Extension, ExtensionMap, Mid, Name, Rid, WriteError};

/// "defined by profile" of the one-byte form.
const ONE_BYTE_PROFILE: u16 = 0xbede;
/// The same of the two-byte form; its lowest four bits are free for the application.
const TWO_BYTE_PROFILE: u16 = 0x1000;
/// Profile and length in words stand before the elements.
const PREAMBLE_BYTES: usize = 4;

/// What a packet's header extensions say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extensions<'a> {
    /// How loud the audio in this packet is.
    pub audio_level: Option<AudioLevel>,
    /// The media section that the stream belongs to.
    pub mid: Option<Mid>,
    /// The encoding that the stream is.
    pub rid: Option<Rid>,
    /// The encoding that the stream repairs.
    pub repaired_rid: Option<Rid>,
    /// The packet's number on the transport, over all streams.
    pub transport_sequence: Option<u16>,
    /// When it was sent: 24 bits, seconds in 6.18 fixed point.
    pub abs_send_time: Option<u32>,
    /// When its content was captured.
    pub abs_capture_time: Option<AbsCaptureTime>,
    /// How long the receiver may or must buffer.
    pub playout_delay: Option<PlayoutDelay>,
    /// Camera, flip and rotation, as 3GPP TS 26.114 section 7.4.5 packs them.
    pub video_orientation: Option<u8>,
    /// The AV1 dependency descriptor, to be read by [`crate::dependency`].
    pub dependency_descriptor: Option<&'a [u8]>,
}

impl<'a> Extensions<'a> {
    /// Reads the elements in `body`. A malformed element ends the reading; those before it count. An element
    /// whose length isn't what its extension says is passed over.
    pub fn parse(profile: u16, body: &'a [u8], map: &ExtensionMap) -> Extensions<'a> {
        let mut extensions = Extensions::default();
        for (id, value) in Elements::new(profile, body) {
            if let Some(extension) = map.extension(id) {
                extensions.read(extension, value);
            }
        }
        extensions
    }

    fn read(&mut self, extension: Extension, value: &'a [u8]) {
        match (extension, value) {
            (Extension::AudioLevel, [level]) => {
                self.audio_level = Some(AudioLevel { voice: level & 0x80 != 0, level: level & 0x7f });
            }
            (Extension::Mid, name) => self.mid = Name::from_bytes(name).or(self.mid),
            (Extension::Rid, name) => self.rid = Name::from_bytes(name).or(self.rid),
            (Extension::RepairedRid, name) => {
                self.repaired_rid = Name::from_bytes(name).or(self.repaired_rid)
            }
            (Extension::TransportSequence, [high, low]) => {
                self.transport_sequence = Some(u16::from_be_bytes([*high, *low]));
            }
            (Extension::AbsSendTime, [a, b, c]) => {
                self.abs_send_time = Some(u32::from_be_bytes([0, *a, *b, *c]))
            }
            (Extension::AbsCaptureTime, value) => {
                self.abs_capture_time = AbsCaptureTime::from_bytes(value).or(self.abs_capture_time);
            }
            (Extension::PlayoutDelay, [a, b, c]) => {
                let both = u32::from_be_bytes([0, *a, *b, *c]);
                self.playout_delay =
                    Some(PlayoutDelay { min: (both >> 12) as u16, max: (both & 0xfff) as u16 });
            }
            (Extension::VideoOrientation, [orientation]) => self.video_orientation = Some(*orientation),
            (Extension::DependencyDescriptor, value) if !value.is_empty() => {
                self.dependency_descriptor = Some(value);
            }
            _ => {}
        }
    }

    /// The bytes that `extension` carries here, if it is present. `scratch` holds those that must be put together.
    fn value<'s>(&'s self, extension: Extension, scratch: &'s mut [u8; 16]) -> Option<&'s [u8]> {
        let put = |scratch: &'s mut [u8; 16], bytes: &[u8]| -> &'s [u8] {
            scratch[..bytes.len()].copy_from_slice(bytes);
            &scratch[..bytes.len()]
        };
        Some(match extension {
            Extension::AudioLevel => {
                let level = self.audio_level?;
                put(scratch, &[u8::from(level.voice) << 7 | level.level.min(127)])
            }
            Extension::Mid => self.mid.as_ref()?.as_bytes(),
            Extension::Rid => self.rid.as_ref()?.as_bytes(),
            Extension::RepairedRid => self.repaired_rid.as_ref()?.as_bytes(),
            Extension::TransportSequence => put(scratch, &self.transport_sequence?.to_be_bytes()),
            Extension::AbsSendTime => put(scratch, &self.abs_send_time?.to_be_bytes()[1..]),
            Extension::AbsCaptureTime => {
                let time = self.abs_capture_time?;
                scratch[..8].copy_from_slice(&time.ntp.to_be_bytes());
                match time.clock_offset {
                    None => &scratch[..8],
                    Some(offset) => {
                        scratch[8..].copy_from_slice(&offset.to_be_bytes());
                        &scratch[..]
                    }
                }
            }
            Extension::PlayoutDelay => {
                let delay = self.playout_delay?;
                let both = u32::from(delay.min.min(0xfff)) << 12 | u32::from(delay.max.min(0xfff));
                put(scratch, &both.to_be_bytes()[1..])
            }
            Extension::VideoOrientation => put(scratch, &[self.video_orientation?]),
            Extension::DependencyDescriptor => self.dependency_descriptor?,
        })
    }
}

/// Client-to-mixer audio level (RFC 6464).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioLevel {
    /// Whether the sender believes that it is speech.
    pub voice: bool,
    /// −dBov: 0 is as loud as can be, 127 is silence.
    pub level: u8,
}

/// When the first sample of a packet was captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbsCaptureTime {
    /// By the capturer's clock: NTP, 32.32 fixed point seconds.
    pub ntp: u64,
    /// How far the sender believes the capturer's clock to be ahead of its own: 32.32 fixed point seconds.
    pub clock_offset: Option<i64>,
}

impl AbsCaptureTime {
    fn from_bytes(value: &[u8]) -> Option<AbsCaptureTime> {
        let (ntp, rest) = value.split_first_chunk::<8>()?;
        let clock_offset = match rest.len() {
            0 => None,
            8 => Some(i64::from_be_bytes(*rest.first_chunk()?)),
            _ => return None,
        };
        Some(AbsCaptureTime { ntp: u64::from_be_bytes(*ntp), clock_offset })
    }
}

/// Bounds on the receiver's delay between capture and rendering, 12 bits each, in units of 10 ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlayoutDelay {
    /// At least.
    pub min: u16,
    /// At most.
    pub max: u16,
}

/// Writes the whole extension block, preamble and zero padding included; nothing when no extension has an id.
/// The two-byte form is chosen only when an id above 14 or a value of more than 16 bytes needs it.
pub(crate) fn write(
    buf: &mut [u8],
    map: &ExtensionMap,
    extensions: &Extensions<'_>,
) -> Result<usize, WriteError> {
    match write_one_byte_form(buf, map, extensions) {
        Some(len) => Ok(len),
        None => write_either_form(buf, map, extensions),
    }
}

/// Writes the one-byte form in one go. `None` when it can't hold every value, or there is no room for it.
fn write_one_byte_form(buf: &mut [u8], map: &ExtensionMap, extensions: &Extensions<'_>) -> Option<usize> {
    let mut scratch = [0; 16];
    let mut at = PREAMBLE_BYTES;
    for (id, extension) in map.iter() {
        let Some(value) = extensions.value(extension, &mut scratch) else { continue };
        if id > 14 || value.is_empty() || value.len() > 16 {
            return None;
        }
        let element = buf.get_mut(at..=at + value.len())?;
        element[0] = id << 4 | (value.len() - 1) as u8;
        element[1..].copy_from_slice(value);
        at += element.len();
    }
    if at == PREAMBLE_BYTES {
        return Some(0);
    }
    let words = (at - PREAMBLE_BYTES).div_ceil(4);
    let len = PREAMBLE_BYTES + 4 * words;
    buf.get_mut(at..len)?.fill(0);
    buf[..2].copy_from_slice(&ONE_BYTE_PROFILE.to_be_bytes());
    // At most 10 elements of 17 bytes: the count of words fits.
    buf[2..4].copy_from_slice(&(words as u16).to_be_bytes());
    Some(len)
}

fn write_either_form(
    buf: &mut [u8],
    map: &ExtensionMap,
    extensions: &Extensions<'_>,
) -> Result<usize, WriteError> {
    let mut scratch = [0; 16];
    let (mut count, mut values_len, mut two_byte) = (0, 0, false);
    for (id, extension) in map.iter() {
        if let Some(value) = extensions.value(extension, &mut scratch) {
            if value.len() > 255 {
                return Err(WriteError::Unrepresentable {
                    what: "header extension length",
                    value: value.len(),
                });
            }
            count += 1;
            values_len += value.len();
            two_byte |= id > 14 || value.is_empty() || value.len() > 16;
        }
    }
    if count == 0 {
        return Ok(0);
    }
    let elements_len = values_len + count * if two_byte { 2 } else { 1 };
    let words = elements_len.div_ceil(4);
    let len = PREAMBLE_BYTES + 4 * words;
    let have = buf.len();
    let buf = buf.get_mut(..len).ok_or(WriteError::NoRoom { need: len, have })?;
    let profile = if two_byte { TWO_BYTE_PROFILE } else { ONE_BYTE_PROFILE };
    buf[..2].copy_from_slice(&profile.to_be_bytes());
    // At most 10 elements of 257 bytes: the count of words fits.
    buf[2..4].copy_from_slice(&(words as u16).to_be_bytes());
    let mut at = PREAMBLE_BYTES;
    for (id, extension) in map.iter() {
        let Some(value) = extensions.value(extension, &mut scratch) else { continue };
        if two_byte {
            buf[at] = id;
            buf[at + 1] = value.len() as u8;
            at += 2;
        } else {
            buf[at] = id << 4 | (value.len() - 1) as u8;
            at += 1;
        }
        buf[at..at + value.len()].copy_from_slice(value);
        at += value.len();
    }
    buf[at..].fill(0);
    Ok(len)
}

/// The elements of an extension block, in either form; of an unknown form, none.
struct Elements<'a> {
    rest: &'a [u8],
    two_byte: bool,
}

impl<'a> Elements<'a> {
    fn new(profile: u16, body: &'a [u8]) -> Elements<'a> {
        let two_byte = profile & 0xfff0 == TWO_BYTE_PROFILE;
        let rest = if two_byte || profile == ONE_BYTE_PROFILE { body } else { &[] };
        Elements { rest, two_byte }
    }

    fn next_element(&mut self) -> Option<(u8, &'a [u8])> {
        loop {
            let (&first, rest) = self.rest.split_first()?;
            self.rest = rest;
            if first == 0 {
                continue; // padding between elements
            }
            let (id, len) = if self.two_byte {
                let (&len, rest) = self.rest.split_first()?;
                self.rest = rest;
                (first, usize::from(len))
            } else {
                (first >> 4, usize::from(first & 0x0f) + 1)
            };
            // One-byte form: id 0 with a length, and id 15, end it (RFC 8285 section 4.2).
            if !self.two_byte && (id == 0 || id == 15) {
                return None;
            }
            let (value, rest) = self.rest.split_at_checked(len)?;
            self.rest = rest;
            return Some((id, value));
        }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let element = self.next_element();
        if element.is_none() {
            self.rest = &[];
        }
        element
    }
}
