// SPDX-License-Identifier: EUPL-1.2
//! `/rtc`: one query parameter per word.

use std::collections::BTreeMap;

use livekit_protocol as proto;
use livekit_protocol::client_info::Sdk;
use serde::Deserialize;
use serde::de::{Error, MapAccess, Visitor};

use super::{Form, JoinError, JoinParams, Resume, parameter, wrapped};

pub(super) fn parse(query: &str) -> Result<JoinParams, JoinError> {
    let text = |name| parameter(query, name).unwrap_or_default();
    let flag = |name| parameter(query, name).map(|value| is_true(&value));
    let attributes = match parameter(query, "attributes").filter(|value| !value.is_empty()) {
        Some(encoded) => attributes(&encoded)?,
        None => BTreeMap::new(),
    };
    let resume =
        flag("reconnect").unwrap_or(false).then(|| Resume { participant_sid: text("sid"), sync_state: None });
    Ok(JoinParams {
        form: Form::Dual,
        client: proto::ClientInfo {
            sdk: sdk(&text("sdk")).into(),
            version: text("version"),
            protocol: number(query, "protocol")?,
            client_protocol: number(query, "client_protocol")?,
            os: text("os"),
            os_version: text("os_version"),
            device_model: text("device_model"),
            browser: text("browser"),
            browser_version: text("browser_version"),
            network: text("network"),
            ..Default::default()
        },
        auto_subscribe: flag("auto_subscribe").unwrap_or(true),
        auto_data_tracks: flag("auto_subscribe_data_track").unwrap_or(false),
        adaptive_stream: flag("adaptive_stream").unwrap_or(false),
        metadata: None,
        attributes,
        add_tracks: Vec::new(),
        publisher_offer: None,
        resume,
    })
}

fn is_true(value: &str) -> bool {
    matches!(value, "1" | "true" | "True" | "TRUE" | "t")
}

fn number(query: &str, name: &'static str) -> Result<i32, JoinError> {
    let Some(value) = parameter(query, name).filter(|value| !value.is_empty()) else { return Ok(0) };
    value.parse().map_err(|_| JoinError::Invalid {
        parameter: name,
        problem: format!("not a number: {:?}", value.chars().take(20).collect::<String>()),
    })
}

/// The name that clients give themselves.
fn sdk(name: &str) -> Sdk {
    let upper: String = name.chars().filter(|c| *c != '_').take(20).collect::<String>().to_ascii_uppercase();
    match upper.as_str() {
        "REACTNATIVE" => Sdk::ReactNative,
        "UNITYWEB" => Sdk::UnityWeb,
        other => Sdk::from_str_name(other).unwrap_or(Sdk::Unknown),
    }
}

/// Base64url of a JSON object of strings.
fn attributes(encoded: &str) -> Result<BTreeMap<String, String>, JoinError> {
    let problem = |problem: String| JoinError::Invalid { parameter: "attributes", problem };
    let json = wrapped::decode_base64url(encoded).map_err(|e| problem(e.to_string()))?;
    let attributes: Attributes = serde_json::from_slice(&json).map_err(|e| problem(e.to_string()))?;
    Ok(attributes.0)
}

/// An object in which no key comes twice: whoever reads it after us must not find another value than we did.
struct Attributes(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Attributes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Once;
        impl<'de> Visitor<'de> for Once {
            type Value = Attributes;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Attributes, A::Error> {
                let mut attributes = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, String>()? {
                    if attributes.insert(key, value).is_some() {
                        return Err(A::Error::custom("a key comes twice"));
                    }
                }
                Ok(Attributes(attributes))
            }
        }
        deserializer.deserialize_map(Once)
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;

    use super::*;

    fn with_attributes(json: &str) -> Result<JoinParams, JoinError> {
        let encoded = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json);
        JoinParams::parse(Form::Dual, &format!("protocol=16&attributes={encoded}"))
    }

    #[test]
    fn a_browsers_query_is_read() {
        let query = "access_token=ey.x.y&auto_subscribe=0&sdk=js&version=2.15.6&protocol=16&adaptive_stream=1\
                     &os=Mac%20OS&browser=Firefox&browser_version=128.0&reconnect=1&sid=PA_abc&reconnect_reason=1";
        let params = JoinParams::parse(Form::Dual, query).unwrap();
        assert_eq!(params.protocol(), 16);
        assert_eq!(params.client.sdk(), Sdk::Js);
        assert_eq!(params.client.os, "Mac OS");
        assert_eq!(params.client.browser, "Firefox");
        assert!(!params.auto_subscribe && params.adaptive_stream);
        assert_eq!(params.resume, Some(Resume { participant_sid: "PA_abc".into(), sync_state: None }));
    }

    #[test]
    fn what_a_client_leaves_out_has_a_default() {
        let params = JoinParams::parse(Form::Dual, "").unwrap();
        assert!(params.auto_subscribe && !params.adaptive_stream && params.resume.is_none());
        assert_eq!(sdk("reactnative"), Sdk::ReactNative);
        assert_eq!(sdk("python"), Sdk::Python);
        assert_eq!(sdk("something-new"), Sdk::Unknown);
    }

    #[test]
    fn attributes_are_read() {
        let params = with_attributes(r##"{"colour":"#0f0","role":"chair"}"##).unwrap();
        assert_eq!(params.attributes["colour"], "#0f0");
        assert_eq!(params.attributes.len(), 2);
    }

    #[test]
    fn row_32_a_key_that_comes_twice_is_a_bad_request() {
        let error = with_attributes(r#"{"role":"guest","role":"chair"}"#).unwrap_err();
        assert_eq!(error.status(), 400);
        assert!(error.to_string().contains("a key comes twice"), "{error}");
    }

    #[test]
    fn what_cannot_be_read_is_a_bad_request() {
        for json in ["[]", "{\"a\":1}", "{\"a\"", ""] {
            if !json.is_empty() {
                assert_eq!(with_attributes(json).unwrap_err().status(), 400, "{json}");
            }
        }
        assert_eq!(JoinParams::parse(Form::Dual, "protocol=sixteen").unwrap_err().status(), 400);
        let huge = format!("sid={}", "x".repeat(super::super::MAX_QUERY_BYTES));
        assert_eq!(JoinParams::parse(Form::Dual, &huge).unwrap_err().status(), 413);
    }
}
