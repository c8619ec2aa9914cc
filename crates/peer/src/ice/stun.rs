// SPDX-License-Identifier: EUPL-1.2
//! STUN messages (RFC 8489), read in place: what ICE needs of them (RFC 8445 section 16), and for TURN every attribute.
//!
//! An own reader: anyone can send these packets, so it allocates nothing, refuses what isn't exactly a message, and
//! compares the tag in constant time.
//!
//! ```
//! use parvis_peer::stun::{BINDING_REQUEST, Message, Writer, XOR_MAPPED_ADDRESS, read_xor_address};
//!
//! let mut writer = Writer::new(BINDING_REQUEST, &[7; 12]);
//! writer.xor_address(XOR_MAPPED_ADDRESS, "192.0.2.1:7882".parse()?);
//! let bytes = writer.finish(None);
//! let message = Message::parse(&bytes).unwrap();
//! let address = message.attribute(XOR_MAPPED_ADDRESS).and_then(|value| read_xor_address(value, message.transaction()));
//! assert_eq!(address, Some("192.0.2.1:7882".parse()?));
//! # Ok::<(), std::net::AddrParseError>(())
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use aws_lc_rs::{constant_time, hmac};

/// The user fragment of ours that a STUN Binding request names: how a forwarder finds the peer that a new path
/// belongs to. Nothing is authenticated here.
pub fn stun_local_ufrag(datagram: &[u8]) -> Option<&str> {
    let message = Message::parse(datagram)?;
    if message.kind != BINDING_REQUEST {
        return None;
    }
    message.local_ufrag()
}

/// A Binding request (RFC 8489 section 2).
pub const BINDING_REQUEST: u16 = 0x0001;
/// Its answer.
pub const BINDING_SUCCESS: u16 = 0x0101;
const BINDING_ERROR: u16 = 0x0111;

/// Bytes 4 to 7 of every message (RFC 8489 section 5).
pub const MAGIC_COOKIE: [u8; 4] = 0x2112_a442_u32.to_be_bytes();
/// Bytes of the header.
pub const HEADER_BYTES: usize = 20;
/// Bytes of a transaction's id.
pub const TRANSACTION_BYTES: usize = 12;
/// An attribute's type and length.
const ATTRIBUTE_HEADER_BYTES: usize = 4;
const INTEGRITY_BYTES: usize = 20;
const FINGERPRINT_BYTES: usize = 4;
/// RFC 8489 section 14.7.
const FINGERPRINT_XOR: u32 = 0x5354_554e;
/// How many unknown attributes an error response names.
const MAX_UNKNOWN_NAMED: usize = 4;

/// USERNAME (RFC 8489 section 14.3).
pub const USERNAME: u16 = 0x0006;
/// MESSAGE-INTEGRITY (RFC 8489 section 14.5).
pub const MESSAGE_INTEGRITY: u16 = 0x0008;
/// ERROR-CODE (RFC 8489 section 14.8).
pub const ERROR_CODE: u16 = 0x0009;
/// UNKNOWN-ATTRIBUTES (RFC 8489 section 14.13).
pub const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
/// XOR-MAPPED-ADDRESS (RFC 8489 section 14.2).
pub const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const PRIORITY: u16 = 0x0024;
const USE_CANDIDATE: u16 = 0x0025;
/// FINGERPRINT (RFC 8489 section 14.7).
pub const FINGERPRINT: u16 = 0x8028;
const ICE_CONTROLLED: u16 = 0x8029;
const ICE_CONTROLLING: u16 = 0x802a;

/// A well-formed STUN message whose FINGERPRINT, if it has one, holds.
#[derive(Debug)]
pub struct Message<'a> {
    bytes: &'a [u8],
    pub(super) kind: u16,
    username: Option<&'a str>,
    /// Where MESSAGE-INTEGRITY begins.
    integrity_at: Option<usize>,
    pub(super) has_fingerprint: bool,
    pub(super) use_candidate: bool,
    /// The sender takes itself for the controlled agent.
    pub(super) controlled: bool,
    unknown: [u16; MAX_UNKNOWN_NAMED],
    unknown_count: usize,
}

impl<'a> Message<'a> {
    /// `None` unless `bytes` are one whole STUN message and nothing else.
    pub fn parse(bytes: &'a [u8]) -> Option<Message<'a>> {
        let header = bytes.first_chunk::<HEADER_BYTES>()?;
        let kind = u16::from_be_bytes([header[0], header[1]]);
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if kind & 0xc000 != 0 || header[4..8] != MAGIC_COOKIE || HEADER_BYTES + length != bytes.len() {
            return None;
        }
        let mut message = Message {
            bytes,
            kind,
            username: None,
            integrity_at: None,
            has_fingerprint: false,
            use_candidate: false,
            controlled: false,
            unknown: [0; MAX_UNKNOWN_NAMED],
            unknown_count: 0,
        };
        let mut at = HEADER_BYTES;
        while at < bytes.len() {
            // FINGERPRINT is the last attribute (RFC 8489 section 14.7).
            if message.has_fingerprint {
                return None;
            }
            let [t0, t1, l0, l1] = *bytes.get(at..)?.first_chunk::<ATTRIBUTE_HEADER_BYTES>()?;
            let length = usize::from(u16::from_be_bytes([l0, l1]));
            let value = bytes.get(at + ATTRIBUTE_HEADER_BYTES..)?.get(..length)?;
            message.take_attribute(u16::from_be_bytes([t0, t1]), at, value)?;
            at += ATTRIBUTE_HEADER_BYTES + length.next_multiple_of(4);
        }
        (at == bytes.len()).then_some(message)
    }

    fn take_attribute(&mut self, kind: u16, at: usize, value: &'a [u8]) -> Option<()> {
        // After MESSAGE-INTEGRITY only FINGERPRINT counts; the rest isn't covered by the tag (RFC 8489 section 14.5).
        if self.integrity_at.is_some() && kind != FINGERPRINT {
            return Some(());
        }
        match kind {
            USERNAME => self.username = Some(std::str::from_utf8(value).ok()?),
            MESSAGE_INTEGRITY => {
                self.integrity_at = (value.len() == INTEGRITY_BYTES).then_some(at);
                self.integrity_at?;
            }
            FINGERPRINT => {
                let sent = u32::from_be_bytes(value.try_into().ok()?);
                self.has_fingerprint = sent == crc32(&self.bytes[..at]) ^ FINGERPRINT_XOR;
                self.has_fingerprint.then_some(())?;
            }
            USE_CANDIDATE => self.use_candidate = true,
            ICE_CONTROLLED => self.controlled = true,
            PRIORITY | ICE_CONTROLLING => {}
            comprehension_required if comprehension_required < 0x8000 => {
                if let Some(slot) = self.unknown.get_mut(self.unknown_count) {
                    *slot = comprehension_required;
                    self.unknown_count += 1;
                }
            }
            _ => {}
        }
        Some(())
    }

    /// Method and class, the first two bytes (RFC 8489 section 5).
    pub fn kind(&self) -> u16 {
        self.kind
    }

    /// USERNAME, when it is text.
    pub fn username(&self) -> Option<&'a str> {
        self.username
    }

    /// Whether MESSAGE-INTEGRITY is there; [`Message::is_authentic`] says whether it holds.
    pub fn has_integrity(&self) -> bool {
        self.integrity_at.is_some()
    }

    /// Whether FINGERPRINT is there; one that does not hold makes it no message.
    pub fn has_fingerprint(&self) -> bool {
        self.has_fingerprint
    }

    /// Kind and value of each attribute before MESSAGE-INTEGRITY and FINGERPRINT: those that count.
    pub fn attributes(&self) -> impl Iterator<Item = (u16, &'a [u8])> + use<'a> {
        let bytes = self.bytes.get(..self.integrity_at.unwrap_or(self.bytes.len())).unwrap_or_default();
        let mut at = HEADER_BYTES;
        std::iter::from_fn(move || {
            let [t0, t1, l0, l1] = *bytes.get(at..)?.first_chunk::<ATTRIBUTE_HEADER_BYTES>()?;
            let length = usize::from(u16::from_be_bytes([l0, l1]));
            let value = bytes.get(at + ATTRIBUTE_HEADER_BYTES..)?.get(..length)?;
            at += ATTRIBUTE_HEADER_BYTES + length.next_multiple_of(4);
            Some((u16::from_be_bytes([t0, t1]), value))
        })
        .filter(|(kind, _)| *kind != FINGERPRINT)
    }

    /// The first attribute of this kind; later ones of the same kind don't count (RFC 8489 section 14).
    pub fn attribute(&self, kind: u16) -> Option<&'a [u8]> {
        self.attributes().find(|(found, _)| *found == kind).map(|(_, value)| value)
    }

    /// The part of USERNAME that is the receiver's user fragment (RFC 8445 section 7.2.2).
    pub(super) fn local_ufrag(&self) -> Option<&'a str> {
        Some(self.username?.split_once(':')?.0)
    }

    /// Comprehension-required attributes that we don't know, the first few.
    pub(super) fn unknown(&self) -> &[u16] {
        &self.unknown[..self.unknown_count]
    }

    /// Whether MESSAGE-INTEGRITY is there and holds (RFC 8489 section 14.5).
    pub fn is_authentic(&self, key: &hmac::Key) -> bool {
        let Some(at) = self.integrity_at else { return false };
        let end = at + ATTRIBUTE_HEADER_BYTES + INTEGRITY_BYTES;
        let (Some(covered), Some(tag)) = (self.bytes.get(..at), self.bytes.get(end - INTEGRITY_BYTES..end))
        else {
            return false;
        };
        constant_time::verify_slices_are_equal(integrity(key, covered).as_ref(), tag).is_ok()
    }

    /// The answer to a Binding request: the address that it came from.
    pub(super) fn success(&self, source: SocketAddr, key: &hmac::Key) -> Vec<u8> {
        let mut writer = Writer::new(BINDING_SUCCESS, self.transaction());
        writer.xor_address(XOR_MAPPED_ADDRESS, source);
        writer.finish(Some(key))
    }

    /// A refusal of a Binding request.
    pub(super) fn error(&self, code: u16, key: &hmac::Key) -> Vec<u8> {
        let mut writer = Writer::new(BINDING_ERROR, self.transaction());
        writer.error_code(code);
        if !self.unknown().is_empty() {
            let names: Vec<u8> = self.unknown().iter().flat_map(|kind| kind.to_be_bytes()).collect();
            writer.attribute(UNKNOWN_ATTRIBUTES, &names);
        }
        writer.finish(Some(key))
    }

    /// The transaction's id.
    pub fn transaction(&self) -> &'a [u8; TRANSACTION_BYTES] {
        const NONE: &[u8; TRANSACTION_BYTES] = &[0; TRANSACTION_BYTES];
        // There always is one: a shorter header is no message.
        self.bytes.get(8..).and_then(|rest| rest.first_chunk()).unwrap_or(NONE)
    }
}

/// Writes one message.
#[derive(Debug)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// A message of this method and class.
    pub fn new(kind: u16, transaction: &[u8; TRANSACTION_BYTES]) -> Writer {
        let mut bytes = Vec::with_capacity(96);
        bytes.extend_from_slice(&kind.to_be_bytes());
        bytes.extend_from_slice(&[0; 2]);
        bytes.extend_from_slice(&MAGIC_COOKIE);
        bytes.extend_from_slice(transaction);
        Writer { bytes }
    }

    /// Appends an attribute. A value has at most 65,535 bytes.
    pub fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.bytes.extend_from_slice(&kind.to_be_bytes());
        self.bytes.extend_from_slice(&(value.len() as u16).to_be_bytes());
        self.bytes.extend_from_slice(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// Appends ERROR-CODE without a reason phrase: the code says it all, and an answer stays small.
    pub fn error_code(&mut self, code: u16) {
        self.attribute(ERROR_CODE, &[0, 0, (code / 100) as u8, (code % 100) as u8]);
    }

    /// Appends an address in the form of RFC 8489 section 14.2.
    pub fn xor_address(&mut self, kind: u16, address: SocketAddr) {
        let [c0, c1, ..] = MAGIC_COOKIE;
        let [p0, p1] = address.port().to_be_bytes();
        let mut value = vec![0, 0, p0 ^ c0, p1 ^ c1];
        // The mask is cookie and transaction id, as they stand in the header.
        let mask = &self.bytes[4..HEADER_BYTES];
        match address.ip() {
            IpAddr::V4(ip) => {
                value[1] = 1;
                value.extend(ip.octets().iter().zip(mask).map(|(byte, mask)| byte ^ mask));
            }
            IpAddr::V6(ip) => {
                value[1] = 2;
                value.extend(ip.octets().iter().zip(mask).map(|(byte, mask)| byte ^ mask));
            }
        }
        self.attribute(kind, &value);
    }

    /// The message with its length and nothing after the last attribute: as indications are sent.
    pub fn finish_bare(mut self) -> Vec<u8> {
        let length = self.bytes.len() - HEADER_BYTES;
        self.bytes[2..4].copy_from_slice(&(length as u16).to_be_bytes());
        self.bytes
    }

    /// The message with MESSAGE-INTEGRITY, if there is a key, and FINGERPRINT.
    pub fn finish(mut self, key: Option<&hmac::Key>) -> Vec<u8> {
        if let Some(key) = key {
            let tag = integrity(key, &self.bytes);
            self.attribute(MESSAGE_INTEGRITY, tag.as_ref());
        }
        // FINGERPRINT covers the header with the final length.
        let length = self.bytes.len() - HEADER_BYTES + ATTRIBUTE_HEADER_BYTES + FINGERPRINT_BYTES;
        self.bytes[2..4].copy_from_slice(&(length as u16).to_be_bytes());
        let check = crc32(&self.bytes) ^ FINGERPRINT_XOR;
        self.attribute(FINGERPRINT, &check.to_be_bytes());
        self.bytes
    }
}

/// Reads an address in the form of RFC 8489 section 14.2.
pub fn read_xor_address(value: &[u8], transaction: &[u8; TRANSACTION_BYTES]) -> Option<SocketAddr> {
    let [_, family, p0, p1] = *value.first_chunk::<4>()?;
    let [c0, c1, ..] = MAGIC_COOKIE;
    let port = u16::from_be_bytes([p0 ^ c0, p1 ^ c1]);
    let mask = MAGIC_COOKIE.iter().chain(transaction);
    let octets = value.get(4..)?.iter().zip(mask).map(|(byte, mask)| byte ^ mask);
    let ip: IpAddr = match (family, value.len()) {
        (1, 8) => {
            let mut ip = [0; 4];
            ip.iter_mut().zip(octets).for_each(|(to, from)| *to = from);
            Ipv4Addr::from(ip).into()
        }
        (2, 20) => {
            let mut ip = [0; 16];
            ip.iter_mut().zip(octets).for_each(|(to, from)| *to = from);
            Ipv6Addr::from(ip).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// HMAC-SHA1 over the message up to MESSAGE-INTEGRITY, with the header's length as if it ended with that attribute.
fn integrity(key: &hmac::Key, covered: &[u8]) -> hmac::Tag {
    let length = covered.len() - HEADER_BYTES + ATTRIBUTE_HEADER_BYTES + INTEGRITY_BYTES;
    let mut context = hmac::Context::with_key(key);
    context.update(&covered[..2]);
    context.update(&(length as u16).to_be_bytes());
    context.update(&covered[4..]);
    context.sign()
}

/// CRC-32 as in ITU V.42.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| (crc >> 8) ^ CRC_TABLE[usize::from((crc as u8) ^ byte)])
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5769 section 2.1: password `VOkJxbRl1RmTxUk/WvJxBt`, user name `evtj:h6vY`.
    const REQUEST: &str = "000100582112a442b7e7a701bc34d686fa87dfae\
        802200105354554e207465737420636c69656e74\
        002400046e0001ff80290008932ff9b151263b36\
        000600096576746a3a68367659202020\
        000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2\
        80280004e57a3bcf";
    /// RFC 5769 section 2.2, without its SOFTWARE attribute the answer that we write: the same address.
    const PASSWORD: &[u8] = b"VOkJxbRl1RmTxUk/WvJxBt";

    fn key() -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, PASSWORD)
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    #[test]
    fn the_sample_request_of_rfc_5769_is_authentic() {
        let request = bytes(REQUEST);
        let message = Message::parse(&request).unwrap();
        assert_eq!(message.local_ufrag(), Some("evtj"));
        assert!(message.is_authentic(&key()) && message.has_fingerprint && message.controlled);
        assert_eq!(stun_local_ufrag(&request), Some("evtj"));
        let other = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"VOkJxbRl1RmTxUk/WvJxBT");
        assert!(!message.is_authentic(&other));
    }

    #[test]
    fn a_request_with_any_bit_flipped_is_malformed_or_not_authentic() {
        let request = bytes(REQUEST);
        for bit in 0..request.len() * 8 {
            let mut damaged = request.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let taken = Message::parse(&damaged)
                .is_some_and(|message| message.has_fingerprint && message.is_authentic(&key()));
            assert!(!taken, "bit {bit}");
        }
    }

    #[test]
    fn a_truncated_or_padded_request_is_malformed() {
        let request = bytes(REQUEST);
        for len in 0..request.len() {
            assert!(Message::parse(&request[..len]).is_none(), "{len} bytes");
        }
        assert!(Message::parse(&[&request[..], &[0; 4]].concat()).is_none());
    }

    #[test]
    fn answers_bear_the_addresses_of_rfc_5769_in_both_families() {
        let request = bytes(REQUEST);
        let message = Message::parse(&request).unwrap();
        // RFC 5769 sections 2.2 and 2.3.
        for (source, attribute) in [
            ("192.0.2.1:32853", "002000080001a147e112a643"),
            (
                "[2001:db8:1234:5678:11:2233:4455:6677]:32853",
                "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9",
            ),
        ] {
            let answer = message.success(source.parse().unwrap(), &key());
            let attribute = bytes(attribute);
            assert_eq!(answer[HEADER_BYTES..HEADER_BYTES + attribute.len()], attribute[..]);
            let parsed = Message::parse(&answer).unwrap();
            assert_eq!(parsed.kind, BINDING_SUCCESS);
            assert!(parsed.is_authentic(&key()) && parsed.has_fingerprint);
            assert_eq!(answer[8..20], request[8..20], "the transaction id comes back");
        }
    }

    #[test]
    fn every_attribute_that_is_written_is_read_and_none_behind_the_tag() {
        let mut writer = Writer::new(0x0003, &[9; 12]);
        writer.attribute(0x0019, &[17, 0, 0, 0]);
        writer.attribute(USERNAME, b"ada");
        let addresses = ["192.0.2.1:3478", "[2001:db8::1]:443"].map(|text| text.parse().unwrap());
        writer.xor_address(0x0012, addresses[0]);
        writer.xor_address(0x0012, addresses[1]);
        let written = writer.finish(Some(&key()));
        let message = Message::parse(&written).unwrap();
        assert!(message.is_authentic(&key()) && message.has_integrity() && message.has_fingerprint);
        assert_eq!((message.kind(), message.username()), (0x0003, Some("ada")));
        let kinds: Vec<u16> = message.attributes().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, [0x0019, USERNAME, 0x0012, 0x0012], "neither tag nor fingerprint is among them");
        assert_eq!(message.attribute(0x0019), Some(&[17, 0, 0, 0][..]));
        let read = message.attributes().filter(|(kind, _)| *kind == 0x0012);
        let read: Vec<_> = read.map(|(_, value)| read_xor_address(value, message.transaction())).collect();
        assert_eq!(read, addresses.map(Some));
        for value in [&[][..], &[0, 1, 0, 0, 1, 2, 3], &[0, 2, 0, 0, 1, 2, 3, 4], &[0, 3, 0, 0, 1, 2, 3, 4]] {
            assert_eq!(read_xor_address(value, &[9; 12]), None);
        }
    }

    #[test]
    fn an_attribute_after_message_integrity_does_not_count() {
        // USE-CANDIDATE slipped in between MESSAGE-INTEGRITY and FINGERPRINT: an attacker needs no key for it.
        let mut forged = bytes(REQUEST);
        forged.truncate(forged.len() - 8);
        forged.extend_from_slice(&[0x00, 0x25, 0, 0]);
        let length = (forged.len() - HEADER_BYTES + 8) as u16;
        forged[2..4].copy_from_slice(&length.to_be_bytes());
        let check = crc32(&forged) ^ FINGERPRINT_XOR;
        forged.extend_from_slice(&[0x80, 0x28, 0, 4]);
        forged.extend_from_slice(&check.to_be_bytes());
        let message = Message::parse(&forged).unwrap();
        assert!(message.is_authentic(&key()) && !message.use_candidate);
    }
}
