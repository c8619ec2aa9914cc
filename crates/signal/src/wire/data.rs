// SPDX-License-Identifier: EUPL-1.2
//! Data packets: read, stamped with who really sent them, and written anew.

use livekit_protocol as proto;
use livekit_protocol::data_packet::Value;
use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, skip_field};

use super::{WireError, malformed};

/// The highest field of `DataPacket` that the parser knows. Those above are a newer protocol's.
const LAST_KNOWN_FIELD: u32 = 18;

/// A data packet, with the kinds of a newer protocol kept as they are.
#[derive(Debug, Clone, PartialEq)]
pub struct DataPacket {
    /// What we know of it.
    pub(crate) known: proto::DataPacket,
    /// The fields that we don't know, whole.
    pub(crate) unknown: Vec<u8>,
}

/// Reads a message off a data channel.
pub fn decode_data(bytes: &[u8]) -> Result<DataPacket, WireError> {
    let known = proto::DataPacket::decode(bytes).map_err(|e| malformed("DataPacket", &e))?;
    let unknown = unknown_fields(bytes).map_err(|e| malformed("DataPacket", &e))?;
    Ok(DataPacket { known, unknown })
}

/// Whom the sender names, in whichever of the fields: identities and sids. Neither means everyone.
pub(crate) fn destinations(packet: &proto::DataPacket) -> (Vec<&str>, Vec<&str>) {
    #[allow(deprecated)]
    let (identities, sids) = match &packet.value {
        Some(Value::User(user)) => (user.destination_identities.as_slice(), user.destination_sids.as_slice()),
        _ => (Default::default(), Default::default()),
    };
    let identities = packet.destination_identities.iter().chain(identities).map(String::as_str).collect();
    (identities, sids.iter().map(String::as_str).collect())
}

/// Writes who sent it over whatever the sender claims (row 31), and writes the packet anew.
pub(crate) fn stamp(mut packet: DataPacket, reliable: bool, identity: &str, sid: &str) -> Vec<u8> {
    let known = &mut packet.known;
    known.participant_identity = identity.to_owned();
    known.participant_sid = sid.to_owned();
    #[allow(deprecated)]
    {
        let kind =
            if reliable { proto::data_packet::Kind::Reliable } else { proto::data_packet::Kind::Lossy };
        known.kind = kind.into();
        if let Some(Value::User(user)) = &mut known.value {
            user.participant_identity = identity.to_owned();
            user.participant_sid = sid.to_owned();
        }
    }
    if !reliable {
        known.sequence = 0;
    }
    let mut bytes = known.encode_to_vec();
    bytes.extend_from_slice(&packet.unknown);
    bytes
}

fn unknown_fields(bytes: &[u8]) -> Result<Vec<u8>, prost::DecodeError> {
    let mut unknown = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let field = rest;
        let (tag, wire_type): (u32, WireType) = decode_key(&mut rest)?;
        skip_field(wire_type, tag, &mut rest, DecodeContext::default())?;
        if tag > LAST_KNOWN_FIELD {
            unknown.extend_from_slice(&field[..field.len() - rest.len()]);
        }
    }
    Ok(unknown)
}

#[cfg(test)]
#[allow(deprecated)]
mod tests {
    use super::*;

    fn user(payload: &[u8]) -> proto::DataPacket {
        proto::DataPacket {
            participant_identity: "victim".into(),
            participant_sid: "PA_victim".into(),
            sequence: 7,
            value: Some(Value::User(proto::UserPacket {
                participant_sid: "PA_victim".into(),
                participant_identity: "victim".into(),
                payload: payload.to_vec(),
                ..Default::default()
            })),
            ..Default::default()
        }
    }

    #[test]
    fn row_31_a_forged_sender_is_overwritten_everywhere() {
        let packet = decode_data(&user(b"hello").encode_to_vec()).unwrap();
        let sent = proto::DataPacket::decode(stamp(packet, true, "mallory", "PA_m").as_slice()).unwrap();
        assert_eq!((sent.participant_identity.as_str(), sent.participant_sid.as_str()), ("mallory", "PA_m"));
        assert_eq!(sent.sequence, 7);
        let Some(Value::User(user)) = sent.value else { panic!("not a user packet") };
        assert_eq!((user.participant_identity.as_str(), user.participant_sid.as_str()), ("mallory", "PA_m"));
        assert_eq!(user.payload, b"hello");
    }

    #[test]
    fn row_31_a_sender_that_is_named_twice_is_still_overwritten() {
        let mut bytes = user(b"x").encode_to_vec();
        bytes.extend_from_slice(
            &proto::DataPacket { participant_identity: "b".into(), ..Default::default() }.encode_to_vec(),
        );
        let sent = stamp(decode_data(&bytes).unwrap(), false, "mallory", "PA_m");
        assert!(!sent.windows(6).any(|window| window == b"victim"));
        let sent = proto::DataPacket::decode(sent.as_slice()).unwrap();
        assert_eq!((sent.participant_identity.as_str(), sent.sequence), ("mallory", 0));
    }

    #[test]
    fn a_kind_of_a_newer_protocol_passes_whole() {
        let newer = [0xa2, 0x06, 0x02, 1, 2]; // field 100, two bytes
        let sent = stamp(decode_data(&newer).unwrap(), true, "ada", "PA_1");
        assert!(sent.ends_with(&newer));
        assert!(decode_data(&newer[..4]).is_err());
    }
}
