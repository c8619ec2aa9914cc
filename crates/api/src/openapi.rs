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
        http::meeting::make_room,
        http::meeting::look_at_room,
        http::consent::standing,
        http::consent::answer,
        http::live::watch,
        http::recordings::start,
        http::recordings::list,
        http::recordings::stop,
        http::recordings::links,
        http::recordings::make_film,
        http::recordings::film,
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
        document,
    ),
    tags(
        (name = "rooms", description = "Into a meeting by its link."),
        (name = "recordings", description = "What is kept of a meeting, which all in it see."),
        (name = "signalling", description = "Whether a client would be let in."),
        (name = "offers", description = "Publishing and watching by one HTTP request (WHIP, WHEP)."),
        (name = "description", description = "This."),
        (name = "health", description = "For whoever starts, watches and routes to the server."),
    )
)]
struct Document;

/// Paths that do what another one does, under one more name.
const TWINS: &[(&str, &str, &str)] =
    &[("/whip", "/whip/v1", "_without_version"), ("/whep/v1/{session}", "/whip/v1/{session}", "_watching")];

/// The description, as indented JSON.
pub fn openapi() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let mut document = Document::openapi();
        for (twin, path, suffix) in TWINS {
            let Some(mut item) = document.paths.paths.get(*path).cloned() else { continue };
            let operations = [&mut item.post, &mut item.patch, &mut item.delete];
            // Each operation has a name of its own.
            for name in
                operations.into_iter().flatten().filter_map(|operation| operation.operation_id.as_mut())
            {
                name.push_str(suffix);
            }
            document.paths.paths.insert((*twin).to_owned(), item);
        }
        // Only maps with keys that are no text can't be JSON, and there are none.
        serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
    });
    &TEXT
}

/// This description.
#[utoipa::path(
    get,
    path = "/api/openapi.json",
    tag = "description",
    responses((status = 200, description = "What can be asked for by HTTP (OpenAPI 3.1).", body = Object, content_type = "application/json")),
)]
pub(crate) async fn document() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], openapi())
}
