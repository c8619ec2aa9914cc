// SPDX-License-Identifier: EUPL-1.2
//! The web client's files, and the way to them behind TLS.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::extract::{OriginalUri, State};
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HOST, IF_NONE_MATCH, LOCATION, VARY,
};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};

use parvis_web::Asset;
use serde_json::{Map, Value};

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

/// What an installed client is called by, and looks like.
const MANIFEST: &str = "/manifest.webmanifest";

/// The client's manifest, by the name that it has here.
fn named(asset: &Asset, name: &str, if_none_match: &str) -> Response {
    let mut hasher = DefaultHasher::new();
    (name, asset.etag).hash(&mut hasher);
    let etag = format!("W/\"{:016x}\"", hasher.finish());
    let caching = [(ETAG, etag.clone()), (CACHE_CONTROL, asset.cache_control().to_owned())];
    if if_none_match.split(',').any(|known| known.trim() == etag) {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    let Some(manifest) = with_name(asset.identity, name) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    (caching, [(CONTENT_TYPE, asset.content_type)], manifest).into_response()
}

/// A manifest as it is built, with another name. `None` if it is none.
fn with_name(built: &[u8], name: &str) -> Option<String> {
    let mut manifest: Map<String, Value> = serde_json::from_slice(built).ok()?;
    for key in ["name", "short_name"] {
        manifest.insert(key.to_owned(), name.into());
    }
    serde_json::to_string(&manifest).ok()
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
    let live = shared.rooms.live();
    let mut response = match parvis_web::resolve(uri.path()) {
        Some(asset) if uri.path() == MANIFEST && !live.config.branding.name.is_empty() => {
            named(asset, &live.config.branding.name, text(IF_NONE_MATCH))
        }
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
    for (name, value) in
        parvis_web::headers(&[], &live.config.frame_ancestors, parvis_web::compiles_wasm(uri.path()))
    {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_installed_client_is_called_as_it_is_called_here() {
        let asset = Asset {
            content_type: "application/manifest+json",
            etag: "W/\"1\"",
            immutable: false,
            identity: br#"{ "id": "/", "name": "Parvis", "short_name": "Parvis", "icons": [] }"#,
            gzip: None,
            brotli: None,
        };
        let response = named(&asset, "Visio \"d'ici\"", "");
        assert_eq!(response.headers()[CONTENT_TYPE], "application/manifest+json");
        let etag = response.headers()[ETAG].to_str().unwrap().to_owned();
        let body = axum::body::to_bytes(response.into_body(), 1_024).await.unwrap();
        let manifest: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            (&manifest["name"], &manifest["short_name"]),
            (&"Visio \"d'ici\"".into(), &"Visio \"d'ici\"".into())
        );
        assert_eq!((&manifest["id"], &manifest["icons"]), (&"/".into(), &Value::Array(Vec::new())));
        assert_eq!(named(&asset, "Visio \"d'ici\"", &etag).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(
            named(&asset, "Autre", &etag).status(),
            StatusCode::OK,
            "another name is another manifest"
        );
        assert_eq!(with_name(b"no manifest", "Visio"), None);
    }
}
