// SPDX-License-Identifier: EUPL-1.2
//! Bodies of calls: protobuf, or its JSON form. What can't be read to the last byte is refused, and so is JSON in which one
//! object names a key twice: two readers would see two different requests (row 32).

use std::collections::BTreeSet;
use std::fmt;

use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde::de::{DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::error::{Code, TwirpError};

/// How a call is written; its answer is written alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Protobuf,
    Json,
}

impl Format {
    /// What the head says of the body.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Format, TwirpError> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !matches!(text(CONTENT_ENCODING), "" | "identity") {
            return Err(TwirpError::encoded());
        }
        let kind = text(CONTENT_TYPE).split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match kind.as_str() {
            "application/protobuf" => Ok(Format::Protobuf),
            "application/json" => Ok(Format::Json),
            _ => {
                let message = "the Content-Type is application/protobuf or application/json";
                Err(TwirpError::new(Code::BadRoute, message))
            }
        }
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Format::Protobuf => "application/protobuf",
            Format::Json => "application/json",
        }
    }

    pub(crate) fn read<Q: prost::Message + Default + DeserializeOwned>(
        self,
        body: &[u8],
    ) -> Result<Q, TwirpError> {
        let malformed = |what: &str, problem: &dyn fmt::Display| {
            TwirpError::new(Code::Malformed, format!("the body is not this call's {what}: {problem}"))
        };
        match self {
            Format::Protobuf => Q::decode(body).map_err(|error| malformed("protobuf message", &error)),
            Format::Json => serde_json::from_slice::<Distinct>(body)
                .and_then(|Distinct| serde_json::from_slice(body))
                .map_err(|error| malformed("JSON", &error)),
        }
    }

    pub(crate) fn write(self, answer: &(impl prost::Message + Serialize)) -> Result<Vec<u8>, TwirpError> {
        match self {
            Format::Protobuf => Ok(answer.encode_to_vec()),
            Format::Json => {
                serde_json::to_vec(answer).map_err(|error| TwirpError::new(Code::Internal, error))
            }
        }
    }
}

/// Some JSON in which no object names a key twice. Maps of strings would take the last of both without a word.
struct Distinct;

impl<'de> Deserialize<'de> for Distinct {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Walk)
    }
}

struct Walk;

impl<'de> Visitor<'de> for Walk {
    type Value = Distinct;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Distinct, E> {
        Ok(Distinct)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Distinct, E> {
        Ok(Distinct)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Distinct, E> {
        Ok(Distinct)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Distinct, E> {
        Ok(Distinct)
    }

    fn visit_str<E>(self, _: &str) -> Result<Distinct, E> {
        Ok(Distinct)
    }

    fn visit_unit<E>(self) -> Result<Distinct, E> {
        Ok(Distinct)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Distinct, A::Error> {
        while items.next_element::<Distinct>()?.is_some() {}
        Ok(Distinct)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Distinct, A::Error> {
        let mut keys = BTreeSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            entries.next_value::<Distinct>()?;
            if let Some(key) = keys.replace(key) {
                return Err(serde::de::Error::custom(format!("the key {key:?} is there twice")));
            }
        }
        Ok(Distinct)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use livekit_protocol as proto;

    use super::*;

    fn json<Q: prost::Message + Default + DeserializeOwned>(text: &str) -> Result<Q, TwirpError> {
        Format::Json.read(text.as_bytes())
    }

    #[test]
    fn row_32_a_key_that_comes_twice_anywhere_is_refused() {
        type Update = proto::UpdateParticipantRequest;
        let fine =
            json::<Update>(r#"{"room":"a","attributes":{"x":"1","y":"1"},"unknown":[1,null,{"a":2.5}]}"#);
        assert_eq!(fine.unwrap().attributes.len(), 2);
        for twice in [
            r#"{"room":"a","room":"b"}"#,
            r#"{"room":"a","attributes":{"x":"1","x":"2"}}"#,
            r#"{"room":"a","unknown":[{"x":1,"\u0078":2}]}"#,
            r#"{"room":"a","permission":{"canPublish":true,"can_publish":false}}"#,
        ] {
            assert!(json::<Update>(twice).is_err(), "{twice}");
        }
    }

    #[test]
    fn both_ways_to_write_a_field_are_read() {
        for text in [
            r#"{"room":"a","trackSid":"TR_1","muted":true}"#,
            r#"{"room":"a","track_sid":"TR_1","muted":true}"#,
        ] {
            let request: proto::MuteRoomTrackRequest = json(text).unwrap();
            assert_eq!((request.track_sid.as_str(), request.muted), ("TR_1", true));
        }
    }

    #[test]
    fn only_protobuf_and_json_are_read_and_nothing_compressed() {
        let headers = |kind: &'static str, encoding: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            if let Some(encoding) = encoding {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
            }
            headers
        };
        assert_eq!(Format::of(&headers("application/protobuf", None)), Ok(Format::Protobuf));
        assert_eq!(
            Format::of(&headers("Application/JSON; charset=utf-8", Some("identity"))),
            Ok(Format::Json)
        );
        for refused in
            [headers("text/plain", None), headers("application/json", Some("gzip")), HeaderMap::new()]
        {
            assert!(Format::of(&refused).is_err(), "{refused:?}");
        }
    }

    #[test]
    fn json_that_is_deep_or_no_json_is_refused_without_harm() {
        for text in
            [String::new(), "[".repeat(100_000), r#"{"a":"#.repeat(1_000), "{}x".into(), "\u{0}".into()]
        {
            assert!(json::<proto::ListRoomsRequest>(&text).is_err(), "{text:.20}");
        }
    }
}
