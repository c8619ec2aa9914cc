// SPDX-License-Identifier: EUPL-1.2
//! What others see of an egress: no key of a storage, no password, no stream key. By the names that these have in the protocol's
//! JSON form, so that a new way to name a storage can't be forgotten.

use livekit_protocol::EgressInfo;
use serde_json::Value;

/// Fields that hold a secret.
const SECRETS: [&str; 7] =
    ["accessKey", "secret", "sessionToken", "assumeRoleExternalId", "credentials", "accountKey", "password"];
/// Fields that hold URLs with a stream key or a passphrase in them.
const URLS: [&str; 3] = ["url", "urls", "websocketUrl"];
/// Characters at either end of a stream key that are shown of a long one, so that it can be told from others.
const SHOWN: usize = 3;

/// An egress without its secrets. One that can't be written as JSON is left without its request.
pub(crate) fn redacted(egress: EgressInfo) -> EgressInfo {
    let cleaned = cleaned(&egress, &|name, text| match name {
        name if SECRETS.contains(&name) => hidden(name, text),
        name if URLS.contains(&name) => *text = without_key(text),
        _ => {}
    });
    cleaned.unwrap_or(EgressInfo { request: None, stream_results: Vec::new(), ..egress })
}

/// An egress that needs the keys of its storage no more: without them, and else as it was.
pub(super) fn without_keys(egress: EgressInfo) -> EgressInfo {
    let cleaned = cleaned(&egress, &|name, text| {
        if SECRETS.contains(&name) {
            hidden(name, text);
        }
    });
    cleaned.unwrap_or(EgressInfo { request: None, ..egress })
}

fn hidden(name: &str, text: &mut String) {
    if !text.is_empty() {
        *text = format!("{{{name}}}");
    }
}

fn cleaned(egress: &EgressInfo, clean: &dyn Fn(&str, &mut String)) -> Option<EgressInfo> {
    let mut value = serde_json::to_value(egress).ok()?;
    walk("", &mut value, clean);
    serde_json::from_value(value).ok()
}

fn walk(name: &str, value: &mut Value, clean: &dyn Fn(&str, &mut String)) {
    match value {
        Value::Object(fields) => fields.iter_mut().for_each(|(name, value)| walk(name, value, clean)),
        Value::Array(items) => items.iter_mut().for_each(|item| walk(name, item, clean)),
        Value::String(text) => clean(name, text),
        _ => {}
    }
}

/// A URL without who signs in, without the last part of an RTMP one (the stream key), and without the values of a query.
fn without_key(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (place, query) = rest.split_once('?').map_or((rest, None), |(place, query)| (place, Some(query)));
    let (authority, path) =
        place.split_once('/').map_or((place, None), |(authority, path)| (authority, Some(path)));
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let mut clean = format!("{scheme}://{authority}");
    if let Some(path) = path {
        let is_rtmp = scheme.to_ascii_lowercase().starts_with("rtmp");
        let path = match path.rsplit_once('/') {
            Some((app, key)) if is_rtmp && !key.is_empty() => format!("{app}/{}", hinted(key)),
            None if is_rtmp && !path.is_empty() => hinted(path),
            _ => path.to_owned(),
        };
        clean = format!("{clean}/{path}");
    }
    if let Some(query) = query {
        let names = query.split('&').map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name));
        clean =
            format!("{clean}?{}", names.map(|name| format!("{name}={{…}}")).collect::<Vec<_>>().join("&"));
    }
    clean
}

/// `{abc...xyz}` of a long key, `{...}` of a short one.
fn hinted(key: &str) -> String {
    let characters: Vec<char> = key.chars().collect();
    if characters.len() < 4 * SHOWN {
        return "{...}".to_owned();
    }
    let part = |range: &[char]| range.iter().collect::<String>();
    format!("{{{}...{}}}", part(&characters[..SHOWN]), part(&characters[characters.len() - SHOWN..]))
}

#[cfg(test)]
mod tests {
    use livekit_protocol as proto;

    use super::*;

    #[test]
    fn no_secret_is_left_in_whatever_way_a_storage_is_named() {
        use proto::encoded_file_output::Output as File;
        let s3 = proto::S3Upload {
            access_key: "AKIA".into(),
            secret: "hush".into(),
            session_token: "hush".into(),
            bucket: "recordings".into(),
            proxy: Some(proto::ProxyConfig {
                url: "http://me:hush@proxy.example".into(),
                password: "hush".into(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let azure = proto::AzureBlobUpload {
            account_key: "hush".into(),
            container_name: "c".into(),
            ..Default::default()
        };
        let gcp =
            proto::GcpUpload { credentials: "{\"hush\":1}".into(), bucket: "b".into(), ..Default::default() };
        for output in [File::S3(s3.clone()), File::Azure(azure), File::Gcp(gcp)] {
            let file = proto::EncodedFileOutput {
                filepath: "a.mp4".into(),
                output: Some(output),
                ..Default::default()
            };
            let request =
                proto::RoomCompositeEgressRequest { file_outputs: vec![file], ..Default::default() };
            let egress = EgressInfo {
                egress_id: "EG_1".into(),
                request: Some(proto::egress_info::Request::RoomComposite(request)),
                ..Default::default()
            };
            let clean = redacted(egress);
            let text = serde_json::to_string(&clean).unwrap();
            assert!(!text.contains("hush") && !text.contains("AKIA"), "{text}");
            assert!(text.contains("a.mp4") && clean.egress_id == "EG_1", "{text}");
        }
        let storage = proto::StorageConfig { provider: Some(proto::storage_config::Provider::S3(s3)) };
        let request = proto::StartEgressRequest { storage: Some(storage), ..Default::default() };
        let egress =
            EgressInfo { request: Some(proto::egress_info::Request::Egress(request)), ..Default::default() };
        let text = serde_json::to_string(&redacted(egress)).unwrap();
        assert!(!text.contains("hush") && text.contains("{secret}") && text.contains("recordings"), "{text}");
    }

    #[test]
    fn what_a_storage_needs_no_more_is_forgotten_and_nothing_else() {
        let request = proto::TrackCompositeEgressRequest {
            stream_outputs: vec![proto::StreamOutput {
                urls: vec!["rtmp://live.example/app/abcdefghijklmnop".into()],
                ..Default::default()
            }],
            image_outputs: vec![proto::ImageOutput {
                output: Some(proto::image_output::Output::S3(proto::S3Upload {
                    access_key: "AKIA".into(),
                    secret: "hush".into(),
                    session_token: "hush".into(),
                    bucket: "theirs".into(),
                    ..Default::default()
                })),
                ..Default::default()
            }],
            ..Default::default()
        };
        let request = Some(proto::egress_info::Request::TrackComposite(request));
        let once = without_keys(EgressInfo { egress_id: "EG_1".into(), request, ..Default::default() });
        let text = serde_json::to_string(&once).unwrap();
        assert!(!text.contains("hush") && !text.contains("AKIA"), "{text}");
        assert!(text.contains("theirs") && text.contains("abcdefghijklmnop"), "{text}");
        assert_eq!(without_keys(once.clone()), once);
    }

    #[test]
    fn a_stream_is_told_by_its_place_and_not_by_its_key() {
        for (url, expected) in [
            ("rtmp://live.example/app/abcdefghijklmnop", "rtmp://live.example/app/{abc...nop}"),
            ("rtmps://live.example/app/short", "rtmps://live.example/app/{...}"),
            ("rtmp://me:hush@live.example:1935/key", "rtmp://live.example:1935/{...}"),
            ("rtmp://live.example/app/key?auth=hush", "rtmp://live.example/app/{...}?auth={…}"),
            (
                "srt://live.example:9000?passphrase=hush&mode=caller",
                "srt://live.example:9000?passphrase={…}&mode={…}",
            ),
            ("wss://sink.example/path/x", "wss://sink.example/path/x"),
            ("nothing", "nothing"),
        ] {
            assert_eq!(without_key(url), expected);
        }
    }
}
