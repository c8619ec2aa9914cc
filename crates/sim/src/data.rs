// SPDX-License-Identifier: EUPL-1.2
//! Data messages that say whose they are.

use livekit_protocol as proto;
use livekit_protocol::data_packet::Value;
use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use crate::ClientId;

/// A message of `from`'s with so many bytes to no purpose; reliable ones are counted from 1, others have 0.
pub(crate) fn packet(from: ClientId, count: u32, idle: usize) -> Vec<u8> {
    let mut payload = from.0.to_be_bytes().to_vec();
    payload.resize(payload.len() + idle, 0x55);
    let user = proto::UserPacket { payload, ..Default::default() };
    proto::DataPacket { sequence: count, value: Some(Value::User(user)), ..Default::default() }
        .encode_to_vec()
}

/// Whose a message is, by what it says itself; the sid that the server wrote over it, and its count.
pub(crate) fn read(message: &[u8]) -> Option<(ClientId, &str, u32)> {
    let (mut from, mut sid, mut count) = (None, "", 0);
    for (tag, field) in fields(message) {
        match (tag, field) {
            (USER, Field::Bytes(user)) => {
                let payload = fields(user).find_map(|(tag, field)| match field {
                    Field::Bytes(payload) if tag == USER_PAYLOAD => Some(payload),
                    _ => None,
                });
                from = Some(ClientId(u32::from_be_bytes(*payload?.first_chunk()?)));
            }
            (SEQUENCE, Field::Number(sequence)) => count = sequence as u32,
            (PARTICIPANT_SID, Field::Bytes(bytes)) => sid = std::str::from_utf8(bytes).ok()?,
            _ => {}
        }
    }
    Some((from?, sid, count))
}

/// Fields of `DataPacket`, and one of `UserPacket`, by their numbers in the protocol.
const USER: u32 = 2;
const SEQUENCE: u32 = 16;
const PARTICIPANT_SID: u32 = 17;
const USER_PAYLOAD: u32 = 2;

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Other,
}

/// The fields of a message in their order, where they lie: every client reads those of all others, so that none is copied. What
/// can't be read ends them.
fn fields(mut rest: &[u8]) -> impl Iterator<Item = (u32, Field<'_>)> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (tag, wire_type) = decode_key(&mut rest).ok()?;
        let field = match wire_type {
            WireType::Varint => Field::Number(decode_varint(&mut rest).ok()?),
            WireType::LengthDelimited => {
                let length = usize::try_from(decode_varint(&mut rest).ok()?).ok()?;
                let (bytes, later) = rest.split_at_checked(length)?;
                rest = later;
                Field::Bytes(bytes)
            }
            _ => {
                skip_field(wire_type, tag, &mut rest, DecodeContext::default()).ok()?;
                Field::Other
            }
        };
        Some((tag, field))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_whose_it_is_and_what_the_server_wrote_over_it() {
        let mut written = proto::DataPacket::decode(&packet(ClientId(70_000), 300, 0)[..]).unwrap();
        assert_eq!(read(&packet(ClientId(70_000), 300, 0)), Some((ClientId(70_000), "", 300)));
        assert_eq!(read(&packet(ClientId(70_000), 300, 900)), Some((ClientId(70_000), "", 300)));
        written.participant_sid = "PA_1".to_owned();
        written.participant_identity = "c70000".to_owned();
        let bytes = written.encode_to_vec();
        assert_eq!(read(&bytes), Some((ClientId(70_000), "PA_1", 300)));
        assert_eq!(read(&bytes[..2]), None);
        assert_eq!(read(&[]), None);
    }
}
