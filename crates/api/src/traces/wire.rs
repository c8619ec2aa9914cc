// SPDX-License-Identifier: EUPL-1.2
//! The messages that a collector takes: the part of OTLP's `ExportTraceServiceRequest` that we say, with the field numbers of
//! the published schema. What is left out has its default there.

use prost::{Message, Oneof};

/// What is sent at one time.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Export {
    #[prost(message, repeated, tag = "1")]
    pub(super) resource_spans: Vec<ResourceSpans>,
}

/// Spans of one program.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    pub(super) resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    pub(super) scope_spans: Vec<ScopeSpans>,
}

/// The program.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Resource {
    #[prost(message, repeated, tag = "1")]
    pub(super) attributes: Vec<KeyValue>,
}

/// Spans of one part of it; we have one.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    pub(super) scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    pub(super) spans: Vec<WireSpan>,
}

/// The part.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Scope {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) version: String,
}

/// One span.
#[derive(Clone, PartialEq, Message)]
pub(super) struct WireSpan {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) span_id: Vec<u8>,
    /// Empty: it is the first of its trace.
    #[prost(bytes = "vec", tag = "4")]
    pub(super) parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    pub(super) name: String,
    #[prost(int32, tag = "6")]
    pub(super) kind: i32,
    #[prost(fixed64, tag = "7")]
    pub(super) start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    pub(super) end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    pub(super) attributes: Vec<KeyValue>,
    #[prost(message, optional, tag = "15")]
    pub(super) status: Option<Status>,
    /// W3C's trace flags.
    #[prost(fixed32, tag = "16")]
    pub(super) flags: u32,
}

/// How it ended.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Status {
    #[prost(int32, tag = "3")]
    pub(super) code: i32,
}

/// One attribute.
#[derive(Clone, PartialEq, Message)]
pub(super) struct KeyValue {
    #[prost(string, tag = "1")]
    pub(super) key: String,
    #[prost(message, optional, tag = "2")]
    pub(super) value: Option<AnyValue>,
}

/// What it says.
#[derive(Clone, PartialEq, Message)]
pub(super) struct AnyValue {
    #[prost(oneof = "Text", tags = "1")]
    pub(super) value: Option<Text>,
}

/// The only kind of value that is said here.
#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Text {
    #[prost(string, tag = "1")]
    String(String),
}

/// `SPAN_KIND_INTERNAL`: within the program.
pub(super) const INTERNAL: i32 = 1;
/// `SPAN_KIND_SERVER`: somebody asked for it.
pub(super) const SERVER: i32 = 2;
/// `STATUS_CODE_OK`.
pub(super) const OK: i32 = 1;
/// `STATUS_CODE_ERROR`.
pub(super) const ERROR: i32 = 2;
/// The trace is sampled.
pub(super) const SAMPLED: u32 = 1;

/// An attribute.
pub(super) fn attribute(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Text::String(value.to_owned())) });
    KeyValue { key: key.to_owned(), value }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the schema's own library for Python (opentelemetry-proto 1.45.2) makes of a request with these two spans.
    const FOREIGN: &str = concat!(
        "0aa5020a610a180a0c736572766963652e6e616d6512080a067061727669730a1a0a0f736572766963652e76657273696f6e",
        "12070a05312e322e330a290a13736572766963652e696e7374616e63652e696412120a103030313132323333343435353636",
        "373712bf010a0f0a067061727669731205312e322e33125f0a100102030405060708090a0b0c0d0e0f101208111213141516",
        "17182a046a6f696e30023900002a36fe9c97174180b21045fe9c97174a1d0a0e7061727669732e6f7574636f6d65120b0a09",
        "726f6f6d5f66756c6c7a021802850101000000124b0a100102030405060708090a0b0c0d0e0f101208212223242526272822",
        "0811121314151617182a05746f6b656e30013900002a36fe9c97174140423936fe9c97177a021801850101000000",
    );

    fn span(id: u8, name: &str) -> WireSpan {
        WireSpan {
            trace_id: (1..=16).collect(),
            span_id: (id..id + 8).collect(),
            parent_span_id: Vec::new(),
            name: name.to_owned(),
            kind: SERVER,
            start_time_unix_nano: 1_700_000_000_000_000_000,
            end_time_unix_nano: 1_700_000_000_250_000_000,
            attributes: Vec::new(),
            status: Some(Status { code: ERROR }),
            flags: SAMPLED,
        }
    }

    #[test]
    fn a_request_is_byte_for_byte_what_the_schema_s_own_library_makes_of_it() {
        let first =
            WireSpan { attributes: vec![attribute("parvis.outcome", "room_full")], ..span(0x11, "join") };
        let second = WireSpan {
            parent_span_id: first.span_id.clone(),
            kind: INTERNAL,
            end_time_unix_nano: 1_700_000_000_001_000_000,
            status: Some(Status { code: OK }),
            ..span(0x21, "token")
        };
        let attributes = vec![
            attribute("service.name", "parvis"),
            attribute("service.version", "1.2.3"),
            attribute("service.instance.id", "0011223344556677"),
        ];
        let scope = Scope { name: "parvis".to_owned(), version: "1.2.3".to_owned() };
        let export = Export {
            resource_spans: vec![ResourceSpans {
                resource: Some(Resource { attributes }),
                scope_spans: vec![ScopeSpans { scope: Some(scope), spans: vec![first, second] }],
            }],
        };
        let foreign = hex(FOREIGN);
        assert_eq!(export.encode_to_vec(), foreign);
        assert_eq!(Export::decode(foreign.as_slice()).unwrap(), export);
    }

    fn hex(text: &str) -> Vec<u8> {
        let pair = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
        (0..text.len()).step_by(2).map(pair).collect()
    }
}
