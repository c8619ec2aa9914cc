// SPDX-License-Identifier: EUPL-1.2
//! Between the wire's words and ours. Bytes from outside are read here and nowhere else in this crate (but for the
//! join request in the URL); each reader stands alone, so that what one client sends can spoil nothing for another.

mod data;
mod describe;
mod track_packet;
mod words;

use livekit_protocol as proto;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message as Response;
use prost::Message;

pub use data::{DataPacket, decode_data};
pub(crate) use data::{destinations, stamp};
pub(crate) use describe::{participant_info, server_info, timed_version};
pub(crate) use track_packet::{TrackPacketHead, with_handle};
pub use words::permissions;
pub(crate) use words::{
    codec_mime, codec_of_mime, disconnect_reason, encoding_layers, kind, layer_mode, layer_specs, media_kind,
    permission, short_name, source,
};

use crate::Frame;

/// The signalling protocol that we speak. A newer client is answered as if it spoke this one.
pub const SERVER_PROTOCOL: i32 = 17;
/// The server version that clients compare to know which features there are; plain semver, by their wish.
pub const SERVER_VERSION: &str = "1.13.0";

/// Why bytes are no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Not the protobuf message that it should be.
    #[error("not a {what}: {problem}")]
    Malformed {
        /// What it should be.
        what: &'static str,
        /// What the parser says.
        problem: String,
    },
}

/// Reads a request in protobuf. `None`: of a kind that we don't know.
pub fn decode_request(bytes: &[u8]) -> Result<Option<Request>, WireError> {
    proto::SignalRequest::decode(bytes)
        .map(|request| request.message)
        .map_err(|e| malformed("SignalRequest", &e))
}

/// Reads a request in JSON. A field that comes twice is an error (row 32), one that we don't know is none.
pub fn decode_request_json(text: &str) -> Result<Option<Request>, WireError> {
    serde_json::from_str::<proto::SignalRequest>(text)
        .map(|request| request.message)
        .map_err(|e| malformed("SignalRequest", &e))
}

/// One response, written at most once in each form however many receive it.
pub(crate) struct Encoded {
    response: proto::SignalResponse,
    binary: Option<bytes::Bytes>,
}

impl Encoded {
    pub(crate) fn new(message: Response) -> Encoded {
        Encoded { response: proto::SignalResponse { message: Some(message) }, binary: None }
    }

    pub(crate) fn frame(&mut self, json: bool) -> Frame {
        if json && let Ok(text) = serde_json::to_string(&self.response) {
            return Frame::Text(text);
        }
        let response = &self.response;
        Frame::Binary(self.binary.get_or_insert_with(|| response.encode_to_vec().into()).clone())
    }
}

fn malformed(what: &'static str, problem: &impl std::fmt::Display) -> WireError {
    WireError::Malformed { what, problem: problem.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_32_a_field_that_comes_twice_in_json_is_refused() {
        let mute = r#"{"mute":{"sid":"TR_1","muted":true}}"#;
        assert!(
            matches!(decode_request_json(mute), Ok(Some(Request::Mute(m))) if m.sid == "TR_1" && m.muted)
        );
        for twice in [
            r#"{"mute":{"sid":"TR_1","sid":"TR_2","muted":true}}"#,
            r#"{"mute":{"sid":"TR_1"},"mute":{"sid":"TR_2"}}"#,
            r#"{"mute":{"sid":"TR_1"},"leave":{}}"#,
        ] {
            assert!(decode_request_json(twice).is_err(), "{twice}");
        }
    }

    #[test]
    fn what_a_newer_protocol_has_is_no_error() {
        assert_eq!(decode_request_json(r#"{"holdMyBeer":{"for":"ever"}}"#), Ok(None));
        let field_100_with_two_bytes = [0xa2, 0x06, 0x02, 1, 2];
        assert_eq!(decode_request(&field_100_with_two_bytes), Ok(None));
        assert!(decode_request(&[0x0a, 0x05, 1]).is_err());
    }
}
