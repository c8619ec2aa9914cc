// SPDX-License-Identifier: EUPL-1.2
//! `/rtc/v1`: `join_request` is base64url of a `WrappedJoinRequest`, which holds a `JoinRequest`, perhaps gzipped.

use std::io::Read;

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use livekit_protocol as proto;
use livekit_protocol::wrapped_join_request::Compression;
use prost::Message;

use super::{Form, JoinError, JoinParams, MAX_JOIN_REQUEST_BYTES, Resume, parameter};

const PARAMETER: &str = "join_request";

/// Clients differ in whether they pad.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub(super) fn parse(query: &str) -> Result<JoinParams, JoinError> {
    let encoded = parameter(query, PARAMETER).ok_or(JoinError::Missing(PARAMETER))?;
    let wrapped = decode_base64url(&encoded)?;
    let wrapped = proto::WrappedJoinRequest::decode(wrapped.as_slice()).map_err(|e| invalid(&e))?;
    let request = match wrapped.compression() {
        Compression::None => wrapped.join_request,
        Compression::Gzip => gunzip(&wrapped.join_request)?,
    };
    if request.len() > MAX_JOIN_REQUEST_BYTES {
        return Err(too_large());
    }
    let request = proto::JoinRequest::decode(request.as_slice()).map_err(|e| invalid(&e))?;
    Ok(from_request(request))
}

pub(super) fn decode_base64url(text: &str) -> Result<Vec<u8>, JoinError> {
    // Some clients use the standard alphabet; the two differ in two characters.
    BASE64URL.decode(text.replace('+', "-").replace('/', "_")).map_err(|e| invalid(&e))
}

fn from_request(request: proto::JoinRequest) -> JoinParams {
    let settings = request
        .connection_settings
        .unwrap_or(proto::ConnectionSettings { auto_subscribe: true, ..Default::default() });
    let resume = request
        .reconnect
        .then_some(Resume { participant_sid: request.participant_sid, sync_state: request.sync_state });
    JoinParams {
        form: Form::Single,
        client: request.client_info.unwrap_or_default(),
        auto_subscribe: settings.auto_subscribe,
        auto_data_tracks: settings.auto_subscribe_data_track.unwrap_or(false),
        adaptive_stream: settings.adaptive_stream,
        metadata: Some(request.metadata).filter(|metadata| !metadata.is_empty()),
        attributes: request.participant_attributes.into_iter().collect(),
        add_tracks: request.add_track_requests,
        publisher_offer: request.publisher_offer,
        resume,
    }
}

/// Stops at the limit: a bomb costs no more than it says.
fn gunzip(bytes: &[u8]) -> Result<Vec<u8>, JoinError> {
    let mut out = Vec::new();
    let limit = MAX_JOIN_REQUEST_BYTES as u64 + 1;
    flate2::read::GzDecoder::new(bytes).take(limit).read_to_end(&mut out).map_err(|e| invalid(&e))?;
    if out.len() > MAX_JOIN_REQUEST_BYTES {
        return Err(too_large());
    }
    Ok(out)
}

fn too_large() -> JoinError {
    JoinError::TooLarge { what: "the join request", limit: MAX_JOIN_REQUEST_BYTES }
}

fn invalid(error: &impl std::fmt::Display) -> JoinError {
    JoinError::Invalid { parameter: PARAMETER, problem: error.to_string() }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn url(compression: Compression, join_request: Vec<u8>) -> String {
        let wrapped = proto::WrappedJoinRequest { compression: compression.into(), join_request };
        let encoded = base64::engine::general_purpose::URL_SAFE.encode(wrapped.encode_to_vec());
        form_urlencoded::Serializer::new("access_token=x".to_owned())
            .append_pair(PARAMETER, &encoded)
            .finish()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn request() -> proto::JoinRequest {
        proto::JoinRequest {
            client_info: Some(proto::ClientInfo { protocol: 18, ..Default::default() }),
            connection_settings: Some(proto::ConnectionSettings {
                adaptive_stream: true,
                ..Default::default()
            }),
            metadata: "m".into(),
            publisher_offer: Some(proto::SessionDescription {
                sdp: "v=0".repeat(1000),
                ..Default::default()
            }),
            reconnect: true,
            participant_sid: "PA_1".into(),
            ..Default::default()
        }
    }

    #[test]
    fn plain_and_gzipped_requests_say_the_same() {
        let bytes = request().encode_to_vec();
        let plain = JoinParams::parse(Form::Single, &url(Compression::None, bytes.clone())).unwrap();
        let zipped = JoinParams::parse(Form::Single, &url(Compression::Gzip, gzip(&bytes))).unwrap();
        assert_eq!(plain, zipped);
        assert_eq!(plain.protocol(), 18);
        assert!(plain.adaptive_stream && !plain.auto_subscribe);
        assert_eq!(plain.resume.map(|resume| resume.participant_sid).as_deref(), Some("PA_1"));
        assert_eq!(plain.publisher_offer.map(|offer| offer.sdp.len()), Some(3000));
    }

    #[test]
    fn row_28_a_gzip_bomb_is_refused_at_the_limit() {
        let bomb = gzip(&vec![0; 64 * 1024 * 1024]);
        assert!(bomb.len() < 100 * 1024);
        let error = JoinParams::parse(Form::Single, &url(Compression::Gzip, bomb)).unwrap_err();
        assert_eq!(error, too_large());
        assert_eq!(error.status(), 413);
        let fits = vec![0; MAX_JOIN_REQUEST_BYTES + 1];
        assert_eq!(gunzip(&gzip(&fits[1..])).unwrap().len(), MAX_JOIN_REQUEST_BYTES);
        assert_eq!(gunzip(&gzip(&fits)), Err(too_large()));
    }

    #[test]
    fn what_cannot_be_read_is_a_bad_request() {
        let truncated = gzip(&request().encode_to_vec());
        for query in [
            "access_token=x".to_owned(),
            "join_request=%%%".to_owned(),
            "join_request=____".to_owned(),
            url(Compression::None, vec![0x0a, 0xff]),
            url(Compression::Gzip, truncated[..truncated.len() / 2].to_vec()),
            url(Compression::Gzip, b"not gzip".to_vec()),
        ] {
            let error = JoinParams::parse(Form::Single, &query).unwrap_err();
            assert_eq!(error.status(), 400, "{query}: {error}");
        }
    }
}
