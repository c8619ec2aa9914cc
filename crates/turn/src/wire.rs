// SPDX-License-Identifier: EUPL-1.2
//! Numbers of TURN's messages and attributes (RFC 8656 sections 17 and 18), and how its own attributes are read.

use std::net::SocketAddr;

use parvis_peer::stun::{Message, USERNAME, read_xor_address};

pub(crate) const ALLOCATE: u16 = 0x0003;
pub(crate) const REFRESH: u16 = 0x0004;
pub(crate) const SEND_INDICATION: u16 = 0x0016;
pub(crate) const DATA_INDICATION: u16 = 0x0017;
pub(crate) const CREATE_PERMISSION: u16 = 0x0008;
pub(crate) const CHANNEL_BIND: u16 = 0x0009;
/// The class bits of a message's kind (RFC 8489 section 5), and two of the classes.
pub(crate) const CLASS_BITS: u16 = 0x0110;
pub(crate) const SUCCESS: u16 = 0x0100;
pub(crate) const ERROR: u16 = 0x0110;

pub(crate) const CHANNEL_NUMBER: u16 = 0x000c;
pub(crate) const LIFETIME: u16 = 0x000d;
pub(crate) const XOR_PEER_ADDRESS: u16 = 0x0012;
pub(crate) const DATA: u16 = 0x0013;
pub(crate) const REALM: u16 = 0x0014;
pub(crate) const NONCE: u16 = 0x0015;
pub(crate) const XOR_RELAYED_ADDRESS: u16 = 0x0016;
pub(crate) const REQUESTED_ADDRESS_FAMILY: u16 = 0x0017;
pub(crate) const EVEN_PORT: u16 = 0x0018;
pub(crate) const REQUESTED_TRANSPORT: u16 = 0x0019;
pub(crate) const RESERVATION_TOKEN: u16 = 0x0022;

/// ERROR-CODE's numbers (RFC 8489 section 18.3, RFC 8656 section 19).
pub(crate) const BAD_REQUEST: u16 = 400;
pub(crate) const UNAUTHENTICATED: u16 = 401;
pub(crate) const FORBIDDEN: u16 = 403;
pub(crate) const UNKNOWN_ATTRIBUTE: u16 = 420;
pub(crate) const ALLOCATION_MISMATCH: u16 = 437;
pub(crate) const STALE_NONCE: u16 = 438;
pub(crate) const FAMILY_NOT_SUPPORTED: u16 = 440;
pub(crate) const WRONG_CREDENTIALS: u16 = 441;
pub(crate) const TRANSPORT_NOT_SUPPORTED: u16 = 442;
pub(crate) const FAMILY_MISMATCH: u16 = 443;
pub(crate) const QUOTA_REACHED: u16 = 486;
pub(crate) const INSUFFICIENT_CAPACITY: u16 = 508;

/// UDP, as REQUESTED-TRANSPORT says it: the protocol's number.
pub(crate) const UDP: u8 = 17;

/// Channels' numbers (RFC 8656 section 12).
pub(crate) const CHANNELS: std::ops::RangeInclusive<u16> = 0x4000..=0x4fff;
/// A channel message's number and length.
pub(crate) const CHANNEL_HEADER_BYTES: usize = 4;

/// Comprehension-required attributes that we know, besides those that are refused by their own rules.
const KNOWN: [u16; 11] = [
    USERNAME,
    CHANNEL_NUMBER,
    LIFETIME,
    XOR_PEER_ADDRESS,
    DATA,
    REALM,
    NONCE,
    REQUESTED_ADDRESS_FAMILY,
    EVEN_PORT,
    REQUESTED_TRANSPORT,
    RESERVATION_TOKEN,
];
/// How many unknown attributes an answer names.
const MAX_UNKNOWN_NAMED: usize = 4;

/// Comprehension-required attributes that we don't know, the first few, as UNKNOWN-ATTRIBUTES lists them.
pub(crate) fn unknown_attributes(message: &Message<'_>) -> Vec<u8> {
    let required = message.attributes().map(|(kind, _)| kind).filter(|kind| *kind < 0x8000);
    required.filter(|kind| !KNOWN.contains(kind)).take(MAX_UNKNOWN_NAMED).flat_map(u16::to_be_bytes).collect()
}

/// LIFETIME in seconds.
pub(crate) fn lifetime_asked(message: &Message<'_>) -> Option<u32> {
    Some(u32::from_be_bytes(message.attribute(LIFETIME)?.try_into().ok()?))
}

/// The address of an XOR-PEER-ADDRESS, as it was written.
pub(crate) fn peer_address(message: &Message<'_>, value: &[u8]) -> Option<SocketAddr> {
    read_xor_address(value, message.transaction())
}

/// Number and payload of a channel message. Padding behind the payload is allowed (RFC 8656 section 12.5).
pub(crate) fn read_channel(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let [c0, c1, l0, l1] = *bytes.first_chunk::<CHANNEL_HEADER_BYTES>()?;
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    let payload = bytes.get(CHANNEL_HEADER_BYTES..)?.get(..length)?;
    Some((u16::from_be_bytes([c0, c1]), payload))
}

/// A channel message, padded as a byte stream wants it.
pub(crate) fn write_channel(channel: u16, payload: &[u8], padded: bool) -> Option<Vec<u8>> {
    let length = u16::try_from(payload.len()).ok()?;
    let mut bytes = Vec::with_capacity(CHANNEL_HEADER_BYTES + payload.len().next_multiple_of(4));
    bytes.extend_from_slice(&channel.to_be_bytes());
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(payload);
    if padded {
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    Some(bytes)
}
