// SPDX-License-Identifier: EUPL-1.2
//! The description of our own HTTP endpoints (OpenAPI 3.1), at `/api/openapi.json` and in `docs/openapi.json`. The calls of
//! applications' servers are not in it: the protocol's own files describe those.

use std::sync::LazyLock;

use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use utoipa::OpenApi;

use crate::{http, whip};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Parvis",
        description = "What a page or a monitor asks of the server by plain HTTP. Signalling is a WebSocket at `/rtc` and \
                       `/rtc/v1`, agents' workers connect to `/agent`, and applications' servers call `/twirp/livekit.…`.",
        license(name = "EUPL-1.2", identifier = "EUPL-1.2"),
    ),
    paths(
        http::guest::join_as_guest,
        http::recordings::start,
        http::recordings::list,
        http::recordings::stop,
        http::recordings::links,
        http::recordings::fetch,
        http::branding::look,
        http::branding::logo,
        http::join::validate_dual,
        http::join::validate_single,
        http::health::alive,
        http::health::ready,
        whip::begin::publish,
        whip::begin::watch,
        whip::session::change,
        whip::session::end,
    ),
    tags(
        (name = "rooms", description = "Into a meeting by its link."),
        (name = "recordings", description = "What is kept of a meeting, which all in it see."),
        (name = "signalling", description = "Whether a client would be let in."),
        (name = "offers", description = "Publishing and watching by one HTTP request (WHIP, WHEP)."),
        (name = "health", description = "For whoever starts, watches and routes to the server."),
    )
)]
struct Document;

/// The description, as indented JSON.
pub fn openapi() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        // Only maps with keys that are no text can't be JSON, and there are none.
        serde_json::to_string_pretty(&Document::openapi()).unwrap_or_default() + "\n"
    });
    &TEXT
}

pub(crate) async fn document() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], openapi())
}
