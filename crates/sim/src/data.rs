// SPDX-License-Identifier: EUPL-1.2
//! Data messages that say whose they are.

use livekit_protocol as proto;
use livekit_protocol::data_packet::Value;
use prost::Message;

use crate::ClientId;

/// A message of `from`'s; reliable ones are counted from 1, others have 0.
pub(crate) fn packet(from: ClientId, count: u32) -> Vec<u8> {
    let user = proto::UserPacket { payload: from.0.to_be_bytes().to_vec(), ..Default::default() };
    proto::DataPacket { sequence: count, value: Some(Value::User(user)), ..Default::default() }
        .encode_to_vec()
}

/// Whose a message is, by what it says itself; the sid that the server wrote over it, and its count.
pub(crate) fn read(message: &[u8]) -> Option<(ClientId, String, u32)> {
    let packet = proto::DataPacket::decode(message).ok()?;
    let Some(Value::User(user)) = packet.value else { return None };
    let from = u32::from_be_bytes(*user.payload.first_chunk()?);
    Some((ClientId(from), packet.participant_sid, packet.sequence))
}
