// SPDX-License-Identifier: EUPL-1.2
//! The web client's files, and the way to them behind TLS.

use axum::extract::{OriginalUri, State};
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HOST, IF_NONE_MATCH, LOCATION, VARY,
};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};

use super::Shared;

/// Sends whoever speaks plain HTTP to the same place behind TLS. A token in the query string was sent in the clear already;
/// it is not repeated.
pub(crate) async fn to_https(OriginalUri(uri): OriginalUri, headers: HeaderMap) -> Response {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let authority = host.and_then(|host| host.parse::<Authority>().ok());
    let Some(authority) = authority else {
        return (StatusCode::BAD_REQUEST, "this port speaks HTTPS\n").into_response();
    };
    let place = format!("https://{authority}{}", uri.path());
    (StatusCode::PERMANENT_REDIRECT, [(LOCATION, place), (CACHE_CONTROL, "no-store".to_owned())])
        .into_response()
}

/// The web client's files.
pub(crate) async fn page(
    State(shared): State<Shared>,
    method: Method,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let text =
        |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
    let mut response = match parvis_web::resolve(uri.path()) {
        None => (StatusCode::NOT_FOUND, "not found\n").into_response(),
        Some(asset) => {
            let caching =
                [(ETAG, asset.etag), (CACHE_CONTROL, asset.cache_control()), (VARY, "Accept-Encoding")];
            if asset.matches(text(IF_NONE_MATCH)) {
                (StatusCode::NOT_MODIFIED, caching).into_response()
            } else {
                let (encoding, body) = asset.negotiate(text(ACCEPT_ENCODING));
                let mut response = (caching, [(CONTENT_TYPE, asset.content_type)], body).into_response();
                if let Some(encoding) = encoding {
                    response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
                }
                response
            }
        }
    };
    let live = shared.rooms.live();
    for (name, value) in parvis_web::headers(&[], &live.config.frame_ancestors) {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
