// SPDX-License-Identifier: EUPL-1.2
//! What simulated clients send, and what they make of what arrives. Each payload says whose it is, so that a packet
//! that strays is seen.

use parvis_rtp::{ExtensionMap, Mid};

use crate::ClientId;

/// A picture's packets.
pub(crate) const PACKETS_PER_FRAME: u16 = 3;

/// Where an outgoing packet belongs.
pub(crate) struct Stream {
    pub(crate) ssrc: u32,
    pub(crate) mid: Mid,
    pub(crate) payload_type: u8,
    pub(crate) extensions: ExtensionMap,
}

/// A packet of sound: whose, and the how manieth.
pub(crate) fn sound(from: ClientId, count: u32) -> Vec<u8> {
    let mut payload = vec![b'A'];
    payload.extend((from.0 as u32).to_be_bytes());
    payload.extend(count.to_be_bytes());
    payload
}

/// One packet of a VP8 frame (RFC 7741 section 4.2: 15-bit picture id), then whose, which frame, which part.
pub(crate) fn picture(from: ClientId, frame: u32, part: u16, key: bool) -> Vec<u8> {
    let id = (frame & 0x7fff) as u16 | 0x8000;
    let start = part == 0;
    let mut payload = vec![0x80 | u8::from(start) << 4, 0x80];
    payload.extend(id.to_be_bytes());
    if start {
        // RFC 6386 section 9.1: the frame tag's first bit is clear for a key frame, then start code and size.
        payload.extend([u8::from(!key) | 0x10, 0, 0]);
        if key {
            payload.extend([0x9d, 0x01, 0x2a, 64, 1, 180, 0]);
        }
    }
    payload.push(b'V');
    payload.extend((from.0 as u32).to_be_bytes());
    payload.extend(frame.to_be_bytes());
    payload.extend(part.to_be_bytes());
    payload.resize(600, 0x55);
    payload
}

/// Whose payload it is, whether it is a picture, and its count or frame.
pub(crate) fn read(payload: &[u8]) -> Option<(ClientId, bool, u32)> {
    let number = |at: usize| Some(u32::from_be_bytes(payload.get(at..at + 4)?.try_into().ok()?));
    if payload.first() == Some(&b'A') && payload.len() == 9 {
        return Some((ClientId(number(1)? as usize), false, number(5)?));
    }
    let start = payload.first()? & 0x10 != 0;
    let key = start && payload.get(4)? & 1 == 0;
    let body = 4 + if start { 3 } else { 0 } + if key { 7 } else { 0 };
    (payload.get(body) == Some(&b'V')).then_some(())?;
    Some((ClientId(number(body + 1)? as usize), true, number(body + 5)?))
}
