// SPDX-License-Identifier: EUPL-1.2
//! Writes Binding requests as the RFCs say, independently of the crate's own code.

use aws_lc_rs::hmac;

/// A Binding request, right unless told otherwise.
pub struct Request {
    pub transaction: Vec<u8>,
    pub username: String,
    pub password: String,
    pub nominate: bool,
    /// Claims to be the controlled agent.
    pub controlled: bool,
    pub integrity: bool,
    pub fingerprint: bool,
    /// Further attributes, before MESSAGE-INTEGRITY.
    pub extra: Vec<(u16, Vec<u8>)>,
}

impl Default for Request {
    fn default() -> Self {
        Request {
            transaction: vec![7; 12],
            username: String::new(),
            password: String::new(),
            nominate: false,
            controlled: false,
            integrity: true,
            fingerprint: true,
            extra: Vec::new(),
        }
    }
}

impl Request {
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0x00, 0x01, 0, 0, 0x21, 0x12, 0xa4, 0x42];
        bytes.extend_from_slice(&self.transaction);
        attribute(&mut bytes, 0x0006, self.username.as_bytes());
        attribute(&mut bytes, if self.controlled { 0x8029 } else { 0x802a }, &[1; 8]);
        attribute(&mut bytes, 0x0024, &0x6e7f_1eff_u32.to_be_bytes());
        if self.nominate {
            attribute(&mut bytes, 0x0025, &[]);
        }
        for (kind, value) in &self.extra {
            attribute(&mut bytes, *kind, value);
        }
        if self.integrity {
            set_length(&mut bytes, 24);
            let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, self.password.as_bytes());
            let tag = hmac::sign(&key, &bytes);
            attribute(&mut bytes, 0x0008, tag.as_ref());
        }
        if self.fingerprint {
            set_length(&mut bytes, 8);
            let check = crc32(&bytes) ^ 0x5354_554e;
            attribute(&mut bytes, 0x8028, &check.to_be_bytes());
        }
        set_length(&mut bytes, 0);
        bytes
    }
}

fn attribute(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&(value.len() as u16).to_be_bytes());
    bytes.extend_from_slice(value);
    while !bytes.len().is_multiple_of(4) {
        bytes.push(0);
    }
}

fn set_length(bytes: &mut [u8], more: usize) {
    let length = (bytes.len() - 20 + more) as u16;
    bytes[2..4].copy_from_slice(&length.to_be_bytes());
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

pub fn is_success(message: &[u8]) -> bool {
    message[..2] == [0x01, 0x01]
}

/// The code of an error response.
pub fn error_code(message: &[u8]) -> Option<u16> {
    if message[..2] != [0x01, 0x11] {
        return None;
    }
    let mut at = 20;
    while at + 4 <= message.len() {
        let length = usize::from(u16::from_be_bytes([message[at + 2], message[at + 3]]));
        if message[at..at + 2] == [0x00, 0x09] {
            return Some(u16::from(message[at + 6]) * 100 + u16::from(message[at + 7]));
        }
        at += 4 + length.next_multiple_of(4);
    }
    None
}
