// SPDX-License-Identifier: EUPL-1.2
//! What the web client asks for before it shows itself: how it is to look here.

use axum::Json;
use axum::extract::State;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::Shared;
use crate::branding::{Branding, Colour, Links};

/// Where the mark is.
const LOGO: &str = "/api/branding/logo";
/// It is kept, and asked for again each time: the configuration may have changed.
const REVALIDATE: &str = "no-cache";

/// How the web client looks here. What is not said is as it is built.
#[derive(Serialize, ToSchema)]
pub(crate) struct Look {
    /// What it calls itself.
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    /// Where its mark is.
    #[serde(skip_serializing_if = "Option::is_none")]
    logo: Option<&'static str>,
    /// Its colours on a light page.
    #[serde(skip_serializing_if = "Option::is_none")]
    light: Option<Colours>,
    /// Its colours on a dark page.
    #[serde(skip_serializing_if = "Option::is_none")]
    dark: Option<Colours>,
    /// Pages of whoever runs the server.
    links: LookLinks,
    /// The language of those whose browser asks for none that the client has.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(example = "fr")]
    language: String,
}

/// A colour, and what is written on it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Colours {
    #[schema(example = "#2456c9")]
    accent: String,
    #[schema(example = "#ffffff")]
    on_accent: String,
}

/// `https://` URLs.
#[derive(Serialize, ToSchema)]
pub(crate) struct LookLinks {
    #[serde(skip_serializing_if = "String::is_empty")]
    imprint: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    privacy: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    terms: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    accessibility: String,
}

impl Look {
    fn of(branding: &Branding) -> Look {
        let Branding { name, logo, accent, accent_dark, links, language } = branding;
        let Links { imprint, privacy, terms, accessibility } = links.clone();
        let colours =
            |accent: &Colour| Colours { accent: accent.to_string(), on_accent: accent.ink().to_string() };
        Look {
            name: name.clone(),
            logo: logo.is_some().then_some(LOGO),
            light: accent.as_ref().map(colours),
            dark: accent_dark.as_ref().map(colours),
            links: LookLinks { imprint, privacy, terms, accessibility },
            language: language.clone(),
        }
    }
}

/// How the web client looks here
#[utoipa::path(
    get,
    path = "/api/branding",
    tag = "rooms",
    responses((status = 200, description = "The name, the mark, the colours and the links.", body = Look)),
)]
pub(crate) async fn look(State(shared): State<Shared>) -> Response {
    let look = Look::of(&shared.rooms.live().config.branding);
    ([(CACHE_CONTROL, REVALIDATE)], Json(look)).into_response()
}

/// The mark
#[utoipa::path(
    get,
    path = "/api/branding/logo",
    tag = "rooms",
    responses(
        (status = 200, description = "A PNG, JPEG, WebP or SVG picture.", body = Vec<u8>, content_type = "image/*"),
        (status = 204, description = "There is none; the client shows its own."),
        (status = 304, description = "It is the one that If-None-Match names."),
    )
)]
pub(crate) async fn logo(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let live = shared.rooms.live();
    let Some(logo) = &live.config.branding.logo else {
        return (StatusCode::NO_CONTENT, [(CACHE_CONTROL, REVALIDATE)]).into_response();
    };
    let known = headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    if known.is_some_and(|known| known.split(',').any(|tag| tag.trim() == logo.etag())) {
        return (StatusCode::NOT_MODIFIED, [(ETAG, logo.etag()), (CACHE_CONTROL, REVALIDATE)])
            .into_response();
    }
    let mut response = logo.bytes().into_response();
    let tag = HeaderValue::from_str(logo.etag()).unwrap_or(HeaderValue::from_static("\"\""));
    for (name, value) in [
        (CONTENT_TYPE, HeaderValue::from_static(logo.content_type())),
        (CACHE_CONTROL, HeaderValue::from_static(REVALIDATE)),
        (ETAG, tag),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        // Whoever opens it by itself sees a picture, and runs nothing.
        (
            CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; sandbox"),
        ),
    ] {
        response.headers_mut().insert(name, value);
    }
    response
}
