// SPDX-License-Identifier: EUPL-1.2
//! Storages that a request names itself (`S3Upload` of `livekit.Egress`), where the operator allowed them: the endpoint and the bucket are
//! one of `recording.storage.requested`, letter by letter, so that no request has the server speak to anybody else. The keys stand in
//! the request, which the store keeps sealed until the files lie there, and nowhere else.

use livekit_protocol as proto;
use livekit_protocol::EgressInfo;
use livekit_protocol::egress_info::Request;

use super::remote::StorageSettings;

/// The longest key, and the longest token of one that lasts for a while.
const MAX_KEY_CHARS: usize = 256;
const MAX_TOKEN_CHARS: usize = 4_096;
const MAX_REGION_CHARS: usize = 64;

/// A bucket that requests may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Allowed {
    /// `http://` or `https://`, with no path.
    pub(crate) endpoint: String,
    pub(crate) bucket: String,
}

/// What requests may name, and how it is sent there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Requested {
    pub(crate) allowed: Vec<Allowed>,
    /// Whether files stay here when they lie there.
    pub(crate) keep_local: bool,
    /// Recordings that are sent at one time.
    pub(crate) parallel: usize,
}

/// A storage as a request names it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Named<'a> {
    S3(&'a proto::S3Upload),
    /// One that this server does not speak to.
    Other(&'static str),
}

/// The protocol has one such choice for each kind of output.
macro_rules! named {
    ($($choice:path),*) => {$(
        impl<'a> From<&'a $choice> for Named<'a> {
            fn from(named: &'a $choice) -> Self {
                use $choice as Choice;
                match named {
                    Choice::S3(s3) => Named::S3(s3),
                    Choice::Gcp(_) => Named::Other("GCP"),
                    Choice::Azure(_) => Named::Other("Azure"),
                    Choice::AliOss(_) => Named::Other("AliOSS"),
                }
            }
        }
    )*};
}

named!(
    proto::encoded_file_output::Output,
    proto::direct_file_output::Output,
    proto::segmented_file_output::Output,
    proto::image_output::Output,
    proto::storage_config::Provider
);

impl Requested {
    /// The storage that an egress was asked to send its files to; `None` where it names none. Otherwise what is wrong, and what to do.
    pub(crate) fn of(&self, egress: &EgressInfo) -> Result<Option<StorageSettings>, String> {
        let outputs = egress.request.as_ref().map(outputs).unwrap_or_default();
        let Some(first) = outputs.iter().flatten().next() else { return Ok(None) };
        let Named::S3(s3) = first else {
            let Named::Other(what) = first else { return Ok(None) };
            return Err(format!("{what} is no storage that this server speaks to: name one that speaks S3"));
        };
        if outputs.iter().any(|output| output.as_ref() != Some(first)) {
            return Err(
                "the files of one egress lie in one storage: name the same one in each output, or in \
                        none"
                    .to_owned(),
            );
        }
        let endpoint = s3.endpoint.trim_end_matches('/');
        let is_it = |allowed: &&Allowed| allowed.endpoint == endpoint && allowed.bucket == s3.bucket;
        let Some(Allowed { endpoint, bucket }) = self.allowed.iter().find(is_it) else {
            return Err(
                "recordings are sent to no storage that the operator did not allow: leave out the storage, \
                        or have its endpoint and bucket listed in recording.storage.requested, as \
                        \"https://s3.example.org/bucket\""
                    .to_owned(),
            );
        };
        check(s3)?;
        Ok(Some(StorageSettings {
            endpoint: endpoint.clone(),
            region: if s3.region.is_empty() { "us-east-1" } else { &s3.region }.to_owned(),
            bucket: bucket.clone(),
            prefix: String::new(),
            key_id: s3.access_key.clone(),
            secret: s3.secret.clone(),
            token: s3.session_token.clone(),
            requested: true,
            path_style: s3.force_path_style,
            keep_local: self.keep_local,
            parallel: self.parallel,
        }))
    }
}

/// What each output that has files names; streams have none.
fn outputs(request: &Request) -> Vec<Option<Named<'_>>> {
    match request {
        Request::RoomComposite(request) => {
            let mut named = listed(&request.file_outputs, &request.segment_outputs, &request.image_outputs);
            #[allow(deprecated, reason = "applications of before name it there")]
            match &request.output {
                Some(proto::room_composite_egress_request::Output::File(of)) => {
                    named.push(of.output.as_ref().map(Named::from));
                }
                Some(proto::room_composite_egress_request::Output::Segments(of)) => {
                    named.push(of.output.as_ref().map(Named::from));
                }
                Some(proto::room_composite_egress_request::Output::Stream(_)) | None => {}
            }
            named
        }
        Request::TrackComposite(request) => {
            let mut named = listed(&request.file_outputs, &request.segment_outputs, &request.image_outputs);
            #[allow(deprecated, reason = "applications of before name it there")]
            match &request.output {
                Some(proto::track_composite_egress_request::Output::File(of)) => {
                    named.push(of.output.as_ref().map(Named::from));
                }
                Some(proto::track_composite_egress_request::Output::Segments(of)) => {
                    named.push(of.output.as_ref().map(Named::from));
                }
                Some(proto::track_composite_egress_request::Output::Stream(_)) | None => {}
            }
            named
        }
        Request::Participant(request) => {
            listed(&request.file_outputs, &request.segment_outputs, &request.image_outputs)
        }
        Request::Track(request) => match &request.output {
            Some(proto::track_egress_request::Output::File(of)) => vec![of.output.as_ref().map(Named::from)],
            _ => Vec::new(),
        },
        Request::Egress(request) => of_any(request),
        Request::Web(_) | Request::Replay(_) => Vec::new(),
    }
}

/// Of one that is for all outputs, and of those that each has besides.
fn of_any(request: &proto::StartEgressRequest) -> Vec<Option<Named<'_>>> {
    use proto::output::Config;
    let all = provider(request.storage.as_ref());
    let outputs = request.outputs.iter().filter_map(|output| {
        let inner = match output.config.as_ref()? {
            Config::Stream(_) => return None,
            Config::File(_) => None,
            Config::Segments(segments) => segments.output.as_ref().map(Named::from),
            Config::Images(images) => images.output.as_ref().map(Named::from),
        };
        Some(provider(output.storage.as_ref()).or(inner).or(all))
    });
    outputs.collect()
}

fn provider(storage: Option<&proto::StorageConfig>) -> Option<Named<'_>> {
    storage?.provider.as_ref().map(Named::from)
}

fn listed<'a>(
    files: &'a [proto::EncodedFileOutput],
    segments: &'a [proto::SegmentedFileOutput],
    images: &'a [proto::ImageOutput],
) -> Vec<Option<Named<'a>>> {
    let files = files.iter().map(|file| file.output.as_ref().map(Named::from));
    let segments = segments.iter().map(|segments| segments.output.as_ref().map(Named::from));
    let images = images.iter().map(|images| images.output.as_ref().map(Named::from));
    files.chain(segments).chain(images).collect()
}

/// Whether it can be spoken to with this, by what this server can do. Nothing of a key is said.
fn check(s3: &proto::S3Upload) -> Result<(), String> {
    let asks_more = [
        (!s3.assume_role_arn.is_empty() || !s3.assume_role_external_id.is_empty(), "assume_role_arn"),
        (!s3.metadata.is_empty(), "metadata"),
        (!s3.tagging.is_empty(), "tagging"),
        (!s3.content_disposition.is_empty(), "content_disposition"),
        (s3.proxy.is_some(), "proxy"),
    ];
    if let Some((_, what)) = asks_more.iter().find(|(asks, _)| *asks) {
        return Err(format!("files are sent to a storage as they are, and straight there: leave out {what}"));
    }
    // They become parts of headers.
    for (what, text, least, most) in [
        ("access_key", &s3.access_key, 1, MAX_KEY_CHARS),
        ("secret", &s3.secret, 1, MAX_KEY_CHARS),
        ("session_token", &s3.session_token, 0, MAX_TOKEN_CHARS),
        ("region", &s3.region, 0, MAX_REGION_CHARS),
    ] {
        if !(least..=most).contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!(
                "{what} has {least} to {most} letters, digits and signs: see that it is whole"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requested() -> Requested {
        let allowed =
            |endpoint: &str, bucket: &str| Allowed { endpoint: endpoint.into(), bucket: bucket.into() };
        let allowed =
            vec![allowed("https://s3.example.org", "theirs"), allowed("http://127.0.0.1:9000", "others")];
        Requested { allowed, keep_local: false, parallel: 2 }
    }

    fn s3() -> proto::S3Upload {
        proto::S3Upload {
            endpoint: "https://s3.example.org".into(),
            bucket: "theirs".into(),
            access_key: "AKIA".into(),
            secret: "hush".into(),
            ..Default::default()
        }
    }

    fn file(s3: proto::S3Upload) -> proto::EncodedFileOutput {
        let output = Some(proto::encoded_file_output::Output::S3(s3));
        proto::EncodedFileOutput { output, ..Default::default() }
    }

    fn room(files: Vec<proto::EncodedFileOutput>) -> Request {
        Request::RoomComposite(proto::RoomCompositeEgressRequest {
            file_outputs: files,
            ..Default::default()
        })
    }

    fn of(requested: &Requested, request: Request) -> Result<Option<StorageSettings>, String> {
        requested.of(&EgressInfo { request: Some(request), ..EgressInfo::default() })
    }

    #[test]
    fn a_storage_that_was_allowed_is_spoken_to_with_the_requests_own_key_however_it_is_named() {
        let theirs = s3();
        let segments = proto::SegmentedFileOutput {
            output: Some(proto::segmented_file_output::Output::S3(theirs.clone())),
            ..Default::default()
        };
        let images = proto::ImageOutput {
            output: Some(proto::image_output::Output::S3(theirs.clone())),
            ..Default::default()
        };
        let direct = proto::DirectFileOutput {
            output: Some(proto::direct_file_output::Output::S3(theirs.clone())),
            ..Default::default()
        };
        let config =
            proto::StorageConfig { provider: Some(proto::storage_config::Provider::S3(theirs.clone())) };
        let any = |request: Option<&proto::StorageConfig>, output: Option<&proto::StorageConfig>| {
            let config = Some(proto::output::Config::File(proto::FileOutput::default()));
            Request::Egress(proto::StartEgressRequest {
                storage: request.cloned(),
                outputs: vec![proto::Output { config, storage: output.cloned() }],
                ..Default::default()
            })
        };
        for request in [
            room(vec![file(theirs.clone())]),
            Request::Participant(proto::ParticipantEgressRequest {
                segment_outputs: vec![segments],
                image_outputs: vec![images],
                ..Default::default()
            }),
            Request::TrackComposite(proto::TrackCompositeEgressRequest {
                file_outputs: vec![file(theirs.clone())],
                ..Default::default()
            }),
            Request::Track(proto::TrackEgressRequest {
                output: Some(proto::track_egress_request::Output::File(direct)),
                ..Default::default()
            }),
            any(Some(&config), None),
            any(None, Some(&config)),
        ] {
            let settings = of(&requested(), request).unwrap().unwrap();
            assert_eq!(
                (settings.endpoint.as_str(), settings.bucket.as_str()),
                ("https://s3.example.org", "theirs")
            );
            assert_eq!((settings.key_id.as_str(), settings.secret.as_str()), ("AKIA", "hush"));
            assert!(settings.requested && settings.prefix.is_empty() && !settings.path_style);
            assert!(!format!("{settings:?}").contains("hush"), "nothing of it is logged");
        }
        assert_eq!(of(&requested(), room(vec![proto::EncodedFileOutput::default()])), Ok(None));
    }

    #[test]
    fn row_49_no_request_has_the_server_speak_to_whom_the_operator_did_not_allow() {
        for (endpoint, bucket) in [
            ("https://s3.example.org", "others"),
            ("http://127.0.0.1:9000", "theirs"),
            ("http://s3.example.org", "theirs"),
            ("https://s3.example.org:443", "theirs"),
            ("https://s3.example.org.evil.example", "theirs"),
            ("https://ada@s3.example.org", "theirs"),
            ("https://s3.example.org/..", "theirs"),
            ("HTTPS://S3.EXAMPLE.ORG", "theirs"),
            ("http://169.254.169.254", "theirs"),
            ("", "theirs"),
            ("https://s3.example.org", "theirs/../others"),
            ("https://s3.example.org", ""),
        ] {
            let named = proto::S3Upload { endpoint: endpoint.into(), bucket: bucket.into(), ..s3() };
            let refused = of(&requested(), room(vec![file(named)])).unwrap_err();
            assert!(refused.contains("recording.storage.requested"), "{endpoint} {bucket}: {refused}");
            assert!(!refused.contains("hush") && !refused.contains("AKIA"), "{refused}");
        }
        let refused = of(&Requested::default(), room(vec![file(s3())])).unwrap_err();
        assert!(refused.contains("recording.storage.requested"), "where nothing is allowed: {refused}");
    }

    #[test]
    fn what_can_not_be_done_with_a_storage_is_said_and_no_key_is() {
        let proxy = proto::ProxyConfig { url: "http://127.0.0.1:3128".into(), ..Default::default() };
        type Change = fn(&mut proto::S3Upload);
        let cases: [(Change, &str); 9] = [
            (|s3| s3.assume_role_arn = "arn".into(), "leave out assume_role_arn"),
            (|s3| s3.metadata = [("a".to_owned(), "b".to_owned())].into(), "leave out metadata"),
            (|s3| s3.tagging = "a=b".into(), "leave out tagging"),
            (|s3| s3.content_disposition = "inline".into(), "leave out content_disposition"),
            (|s3| s3.access_key.clear(), "access_key"),
            (|s3| s3.secret = "hush\r\nX-Evil: 1".into(), "secret"),
            (|s3| s3.access_key = "AKIA\u{e9}".into(), "access_key"),
            (|s3| s3.session_token = "hush\u{0}".into(), "session_token"),
            (|s3| s3.region = "a b".into(), "region"),
        ];
        for (change, expected) in cases {
            let mut named = s3();
            change(&mut named);
            let refused = of(&requested(), room(vec![file(named)])).unwrap_err();
            assert!(refused.contains(expected) && !refused.contains("hush"), "{expected}: {refused}");
        }
        let through = proto::S3Upload { proxy: Some(proxy), ..s3() };
        assert!(of(&requested(), room(vec![file(through)])).unwrap_err().contains("leave out proxy"));
        let two = vec![file(s3()), proto::EncodedFileOutput::default()];
        assert!(of(&requested(), room(two)).unwrap_err().contains("in each output, or in none"));
        use proto::encoded_file_output::Output;
        for (other, expected) in [
            (Output::Gcp(proto::GcpUpload::default()), "GCP"),
            (Output::Azure(proto::AzureBlobUpload::default()), "Azure"),
            (Output::AliOss(proto::AliOssUpload::default()), "AliOSS"),
        ] {
            let named = proto::EncodedFileOutput { output: Some(other), ..Default::default() };
            let refused = of(&requested(), room(vec![named])).unwrap_err();
            assert!(refused.contains(expected) && refused.contains("speaks S3"), "{refused}");
        }
    }
}
